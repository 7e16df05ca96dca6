"""Columns from learned densities: their own direct draws, weighted for other temperatures, and recalibrated on observed microstates.

A density p at β_o has the action −(β/β_o) ln p at β, so the weight of its draw is p^(β/β_o − 1): no Markov chain, and an
effective sample size that says how far from β_o this can be carried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.densities.recalibration import recalibrated
from hamlearn.infer.predictions.estimator import Estimates, Seen, Sums, columns_of, distances, error_of
from hamlearn.infer.predictions.work import SECOND, Work
from hamlearn.systems.observables import Observable

DRAWS, _BLOCKS = 8192, 16
_COMPILING, _PER_SITE = 0.3 * SECOND, 2e4  # operations of the draws of a network, and of a site of a draw
RECALIBRATED = "; intervals hold what ln q recalibrated on the observed microstates gives, too"
Density = Callable[[np.ndarray], np.ndarray]  # from ln q of draws to the ln p that they are weighted for
Found = tuple[np.ndarray, np.ndarray]  # values and errors (beta, ...)


def is_density(system: Any) -> bool:
    """Whether a system is a normalised density that draws for itself: its ``log_prob`` is a method of something with ``sample``."""
    return hasattr(getattr(getattr(system, "log_prob", None), "__self__", None), "sample")


def from_densities(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work
) -> tuple[dict[str, Estimates], np.ndarray]:
    """Estimates of every network at every temperature, and the smallest effective share of draws at each.

    Every network counts once, however often it stands among the members. Free energies count from the density's own normalisation,
    −ln p/β_o being the energy. Where the microstates that were learned from left their moments of ln q, the estimates carry a second
    version of themselves, of the networks recalibrated by these: see :mod:`hamlearn.infer.densities.recalibration`.

    Parameters
    ----------
    systems : sequence of LearnedDensity
        Members of a posterior.
    betas : array (beta,)
        Inverse temperatures.
    records : sequence of Observable
        Whatever a density has.
    seed : int
        Of the draws.
    work : Work
        Adds up what it costs.

    Raises
    ------
    HamlearnError
        If a density of paths is asked for another temperature than its own.
    """
    distinct = list({id(system.log_prob.__self__): system for system in systems}.values())
    for system in distinct:
        _require_own_temperature(system, betas)
    drawn = len(betas) if systems[0].conditioned else 1
    sites = systems[0].lattice.n_sites
    work.announce(f"direct draws of {len(distinct)} networks", len(distinct) * (_COMPILING + DRAWS * sites * drawn * _PER_SITE))
    rows = [_network(system, betas, records, seed + index) for index, system in enumerate(distinct)]
    together = len(rows) > 1 and all(len(row.versions) > 1 for row in rows)  # one network has no interval to hold it
    shares = np.min([np.min(row.shares[: 2 if together else 1], 0) for row in rows], 0)
    method = f"direct draws, reweighted (effective share at least {shares.min():.2g})"
    estimates = {}
    for record in records:
        where, second = distances(record, distinct[0]), None
        if together:
            values, errors = (np.stack([row.versions[1][record.name][part] for row in rows]) for part in (0, 1))
            # Networks learned from the same microstates share the sampling error of their moments: the difference to moments one
            # standard error away, in each of their two directions.
            moved = [
                np.mean([row.versions[k][record.name][0] for row in rows], 0) - values.mean(0) for k in range(2, len(rows[0].versions))
            ]
            second = Estimates(values, errors, RECALIBRATED, where, np.sqrt(np.sum(np.square(moved), axis=0)))
        values, errors = (np.stack([row.versions[0][record.name][part] for row in rows]) for part in (0, 1))
        estimates[record.name] = Estimates(values, errors, method + (RECALIBRATED if second else ""), where, recalibrated=second)
    return estimates, shares


def _require_own_temperature(system: Any, betas: np.ndarray) -> None:
    if system.space.unbounded and len(system.lattice.shape) == 1 and not system.conditioned and np.any(betas != system.beta):
        other = float(betas[betas != system.beta][0])
        raise HamlearnError(
            f"a density of paths knows beta = {system.beta:g} only: its action at {other:g} has another mixture of kinetic and "
            "potential terms. Join two temperatures first: hl.extrapolate([post1, post2], beta=...)."
        )


@dataclass(frozen=True, eq=False)
class _Network:
    """Values and errors by observable of one network as it is, recalibrated, and with moments moved; effective shares ``(2, beta)``."""

    versions: list[dict[str, Found]]
    shares: np.ndarray


def _network(system: Any, betas: np.ndarray, records: Sequence[Observable], seed: int) -> _Network:
    one = system.log_prob.__self__
    draws: list[_Draws] = []
    for beta in betas.tolist():
        if not draws or one.conditioned:
            states = one.sample(DRAWS, seed, beta)
            log_q = np.asarray(one.log_prob(states, beta), float)
        draws.append(_Draws(system, beta, states, log_q, records))
    versions: list[Density] = [lambda log_q: log_q]
    if one.observed is not None and not one.conditioned:
        versions += [lambda log_q, to=to: recalibrated(log_q, to) for to in (one.observed, *one.observed.shifted())]  # type: ignore[misc]
    found = [_with_errors(draws, version, records, errors=index < 2) for index, version in enumerate(versions)]
    return _Network([values for values, _ in found], np.stack([shares for _, shares in found[:2]]))


class _Draws:
    """Direct draws of a density at one temperature; what of their columns does not depend on ln p is computed once."""

    def __init__(self, system: Any, beta: float, states: np.ndarray, log_q: np.ndarray, records: Sequence[Observable]) -> None:
        self.system, self.beta, self.states, self.log_q, self.records = system, beta, states, log_q, records
        fixed = [record for record in records if record.of_states or system.conditioned]
        self.fixed = columns_of(fixed, states, system, beta)
        self.own = [record for record in records if record.name not in self.fixed]

    def estimates(self, density: Density, keep: np.ndarray | slice) -> tuple[dict[str, np.ndarray], float]:
        """Observables under a density of ln q (the identity, or its recalibration) from the draws to `keep`, and their effective share."""
        system, log_q = self.system, self.log_q[keep]
        columns = {name: values[keep] for name, values in self.fixed.items()}
        log_w = np.zeros(len(log_q))  # a density that knows temperatures is drawn from at each
        if not system.conditioned:
            log_p = density(log_q)
            log_w = self.beta / system.beta * log_p - log_q
            states = self.states[keep]
            columns |= columns_of(self.own, states, Seen(system, states, -log_p / system.beta), self.beta)
        top = log_w.max()
        w = np.exp(log_w - top)
        sums = Sums(self.beta, system.lattice.n_sites)
        sums.add(columns, w[:, None])
        log_z = top + np.log(w.mean())
        values = {record.name: sums.finish(record, np.full((1, 1), log_z))[0] for record in self.records}
        return {name: value[0] for name, value in values.items()}, float(w.sum() ** 2 / (len(w) * (w**2).sum()))


def _with_errors(
    draws: list[_Draws], density: Density, records: Sequence[Observable], *, errors: bool
) -> tuple[dict[str, Found], np.ndarray]:
    """Estimates with errors by deleting blocks: a nonlinear function of weighted means has no error from a block alone."""
    whole = [one.estimates(density, slice(None)) for one in draws]
    block = np.arange(DRAWS) * _BLOCKS // DRAWS
    left = [[one.estimates(density, block != b)[0] for one in draws] for b in range(_BLOCKS)] if errors else []
    result = {}
    for record in records:
        values = np.stack([row[0][record.name] for row in whole])
        replicates = [np.stack([row[record.name] for row in rows]) for rows in left]
        result[record.name] = values, error_of(np.stack(replicates)) if errors else np.zeros_like(values)
    return result, np.array([row[1] for row in whole])
