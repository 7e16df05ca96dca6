"""Composite likelihoods on dense graphs of ±1 spins whose couplings are few numbers: from how often sites see which sums of neighbours.

Where couplings are tied a site's conditional depends on its neighbours through one sum for every parameter. These are small whole
numbers, and all sites share the table of how often they occur: 4000 rows of 16×16 spins, tied by distance up to 2.3, are a million
conditionals and some two thousand different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse

from hamlearn.infer.likelihoods import conditionals
from hamlearn.infer.likelihoods.patterns import PatternLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings

_MOST = 1e6  # sums that may occur: their table is made at once
_CHUNK = 1 << 20  # conditionals looked at at a time: bounds memory, not results


class TiedLikelihood(PatternLikelihood):
    """Pseudo-likelihood or RISE, whose sums over sites know no site; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    To the engines all conditionals are those of one site, whose patterns are the sums: β times a spin times the sum that each
    parameter multiplies.
    """

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name, self.multiclass = bound, parts, name, False
        self._adjacent, self._fields = _adjacent(bound), _indicators(bound)
        counted = [self._counted(part) for part in parts]
        self.design = np.concatenate([part.beta * sums for part, (sums, _) in zip(parts, counted, strict=True)])[None]
        self.counts = np.concatenate([often for _, often in counted])[None]
        self.index = np.arange(bound.n_params)[None]
        self.floor = np.zeros((1, 2))  # both values of a spin occur

    def _counted(self, part: Observations) -> tuple[np.ndarray, np.ndarray]:
        """Sums that occur, times the spin ``(pattern, n_params)``, and how often."""
        largest = _largest(self.bound)
        place = np.cumprod([1, *(2 * largest + 1)])
        states, weight = part.gathered
        total = np.zeros(place[-1])
        rows = max(1, _CHUNK // states.shape[1])
        for start in range(0, len(states), rows):
            spins = _spins(states[start : start + rows])
            code = sum(one * place[k] for k, one in enumerate(self._signed(spins))) + float(place[:-1] @ largest)
            often = np.tile(weight[start : start + rows], states.shape[1])
            total += np.bincount(np.asarray(code, np.int64).ravel(), weights=often, minlength=len(total))
        seen = np.flatnonzero(total)
        return seen[:, None] // place[:-1] % (2 * largest + 1) - largest, total[seen]

    def _signed(self, spins: np.ndarray) -> list[np.ndarray]:
        """Every spin times the sum that each parameter multiplies ``(site, row)``, of spins ``(site, row)``."""
        return [spins * (matrix @ spins) for matrix in self._adjacent] + [spins * field for field in self._fields]

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows, from the states themselves."""

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            signed = self._signed(_spins(states))
            z = part.beta * sum(value * one for value, one in zip(theta, signed, strict=True))
            slope = part.beta * conditionals.binary(self.name, np.asarray(z))[1]
            return np.stack([np.einsum("ir,ir->r", slope, one) for one in signed], 1)

        return scores


def counts_sums(bound: BoundCouplings, parts: Sequence[Observations], name: str) -> bool:
    """Whether there are few enough sums: a table of them is short beside the conditionals that it counts."""
    if name == "logrise" or any(part.gaps for part in parts):  # every site has a normalisation of its own; its own rows
        return False
    conditionals_seen = sum(part.weight.size for part in parts) * bound.lattice.n_sites
    most = min(_MOST, conditionals_seen / 4)
    if bound.n_params * np.log(3) > np.log(most):  # every sum has three values or more: no need to look at each bond for each parameter
        return False
    return bool(np.prod(2.0 * _largest(bound) + 1) <= most)


def _spins(states: np.ndarray) -> np.ndarray:
    """Value indices ``(row, site)`` as spins ``(site, row)``."""
    return np.ascontiguousarray(2.0 * states.T - 1)


def _largest(bound: BoundCouplings) -> np.ndarray:
    """The largest sum of every parameter: how many bonds of its kind a site has, or its field."""
    ends = bound.lattice.bonds
    found = np.ones(bound.n_params, np.int64)
    for kind in range(bound.n_coupling_params):
        found[kind] = np.bincount(ends[bound.bond_group == kind].ravel(), minlength=1).max()
    return found


def _adjacent(bound: BoundCouplings) -> list[scipy.sparse.csr_matrix]:
    """Of every kind of bonds, which sites they join ``(site, site)``."""
    n = bound.lattice.n_sites
    found = []
    for kind in range(bound.n_coupling_params):
        first, second = bound.lattice.bonds[bound.bond_group == kind].T
        places = np.r_[first, second], np.r_[second, first]
        found.append(scipy.sparse.csr_matrix((np.ones(2 * len(first)), places), shape=(n, n)))
    return found


def _indicators(bound: BoundCouplings) -> list[np.ndarray]:
    """Of every kind of fields, which sites have it ``(site, 1)``."""
    return [(bound.field_group == kind).astype(float)[:, None] for kind in range(bound.n_params - bound.n_coupling_params)]
