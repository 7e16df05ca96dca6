"""The last stage of cluster expansions: strengths of pairs and fields by the exact likelihood, where it is cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import calibrate as calibrated
from hamlearn.infer.costs import announced
from hamlearn.infer.likelihoods.exact import ExactLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import maximise
from hamlearn.infer.provenance import Basis
from hamlearn.infer.settings import LaplaceApproximation
from hamlearn.models import BoundClusterExpansion, BoundCouplings, Couplings
from hamlearn.progress import logger
from hamlearn.systems import exact
from hamlearn.systems.pairwise import Pairwise


@dataclass(frozen=True, eq=False)
class Sharpened:
    """Strengths of the selected terms, a root of their covariance, and what that rests on."""

    theta: np.ndarray
    root: np.ndarray
    basis: Basis
    seconds: float  # that it was said to take


def sharpened(
    bound: BoundClusterExpansion,
    parts: list[Observations],
    selected: np.ndarray,
    likelihood: str,
    say: Callable[[str], None],
    *,
    calibrate: bool,
) -> Sharpened | None:
    """Optimum of the selected terms under the exact likelihood, where they are pairs and it is cheap; it says why (not)."""
    if likelihood in ("pseudo", "exchange"):
        return None
    tied = bound.copies == 1
    pairs, fields = ([int(k) for k in selected if tied and bound.orders[k % bound.n_terms] == order] for order in (2, 1))
    why = "the selected terms are not translation-tied pairs (and fields)"
    method: str | None = None
    family: BoundCouplings | None = None
    if pairs and len(pairs) + len(fields) == len(selected):
        family, why = _pair_family(bound, pairs, fields), "no exact oracle for these pairs on this lattice"
        method = exact.method(family.system(np.full(family.n_params, 0.1)))
    if family is None or method not in ("enumeration", "transfer"):
        if likelihood == "exact":
            raise HamlearnError(f"likelihood='exact' is not possible: {why}. Use likelihood='auto' or {bound.stand_in!r}.")
        say(f"likelihood {bound.stand_in}: {why}")
        return None
    exactly = ExactLikelihood(family, parts)
    cost = announced(exactly, LaplaceApproximation())
    logger.info("then the exact likelihood of the %d that are left, %s", len(selected), cost)
    best = maximise(exactly)
    if not best.converged:
        say(f"likelihood {bound.stand_in}: the exact one has no finite optimum (data too ordered)")
        return None
    found = calibrated(exactly, best.theta, best.information, wanted=calibrate)
    say(f"strengths of the selected terms from the exact likelihood ({method})")
    order = np.argsort(np.array(pairs + fields), kind="stable")  # back to the order of `selected`
    return Sharpened(best.theta[order], found.root[order], found.basis, cost.seconds)


def _pair_family(bound: BoundClusterExpansion, pairs: list[int], fields: list[int]) -> BoundCouplings:
    """Couplings with one strength per displacement, in the order of `pairs`, and one field if there is one."""
    groups, lattices = [], []
    for group, parameter in enumerate(pairs):
        one = np.zeros(bound.n_params)
        one[parameter] = 1.0
        system = bound.free_system(one)
        assert isinstance(system, Pairwise)
        there = np.flatnonzero(system.J)
        lattices.append(system.lattice.bonds[there])
        groups.append(np.full(len(there), group))
    torus = bound.lattice
    bonds = np.concatenate(lattices)
    lattice = type(torus)(torus.shape, bonds, torus.kind, True, torus.positions, torus.periods)
    model = Couplings(lattice, tie=np.concatenate(groups), fields="uniform" if fields else None)
    return model.bind(bound.space, torus.shape)
