"""Thermodynamics of learned densities at other temperatures: their own direct draws, reweighted.

A density p at β_o has the action −(β/β_o) ln p at β, so the weight of its draw is p^(β/β_o − 1): no Markov chain, and an
effective sample size that says how far from β_o this can be carried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.infer.densities.recalibration import recalibrated
from hamlearn.infer.predictions.thermodynamics import Estimates
from hamlearn.systems import lattice as lattices
from hamlearn.systems import observables
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.models.autoregressive.evaluate import Evaluator

_DRAWS, _BLOCKS = 8192, 16
RECALIBRATED = "; intervals hold what ln q recalibrated on the observed microstates gives, too"
Density = Callable[[np.ndarray], np.ndarray]  # from ln q of draws to the ln p that they are weighted for


def from_density(
    systems: Sequence[LearnedDensity], betas: np.ndarray, wanted: Sequence[str], seed: int
) -> tuple[dict[str, Estimates], np.ndarray]:
    """Estimates of every network at every temperature, and the smallest effective share of draws at each.

    Every network counts once, however often it stands among the members. Free energies count from the density's own normalisation,
    −ln p/β_o being the energy.
    Where the microstates that were learned from left their moments of ln q, the estimates carry a second version of themselves,
    of the networks recalibrated by these: see :mod:`hamlearn.infer.densities.recalibration`.
    """
    found: dict[int, _Network] = {}
    for system in systems:
        one = system.log_prob.__self__  # type: ignore[attr-defined]  # the evaluator behind the bound method
        if id(one) not in found:
            found[id(one)] = _one(system, one, betas, wanted, seed + len(found))
    rows = list(found.values())
    together = len(rows) > 1 and all(row.recalibrated is not None for row in rows)  # one network has no interval to hold it
    shares = np.min([row.share_recalibrated if together else row.share for row in rows], 0)
    method = f"direct draws, reweighted (effective share at least {shares.min():.2g})"
    distances = observables.separations(systems[0].lattice) if "correlation" in wanted else None
    estimates = {}
    for name in wanted:
        where = distances if name == "correlation" else None
        second = None
        if together:
            values, errors, moved = (
                np.stack(part) for part in zip(*(row.recalibrated[name] for row in rows if row.recalibrated), strict=True)
            )
            # Networks learned from the same microstates share the sampling error of their moments.
            second = Estimates(values, errors, RECALIBRATED, where, np.sqrt((moved.mean(0) ** 2).sum(0)))
        values, errors = (np.stack(part) for part in zip(*(row.own[name] for row in rows), strict=True))
        estimates[name] = Estimates(values, errors, method + (RECALIBRATED if second else ""), where, recalibrated=second)
    return estimates, shares


@dataclass(frozen=True, eq=False)
class _Network:
    """Values and errors ``(beta, ...)`` of every observable; recalibrated also by how much they move with each of two moments.

    `share` is the effective share of draws; `share_recalibrated` the smaller of it and that of the recalibrated density.
    """

    own: dict[str, tuple[np.ndarray, np.ndarray]]
    recalibrated: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] | None
    share: np.ndarray
    share_recalibrated: np.ndarray


def _one(system: LearnedDensity, one: Evaluator, betas: np.ndarray, wanted: Sequence[str], seed: int) -> _Network:
    """Everything of one network."""
    draws: list[_Draws] = []
    for beta in betas.tolist():
        if not draws or one.conditioned:
            states = one.sample(_DRAWS, seed, beta)
            log_q = one.log_prob(states, beta)
            columns = {"energy": np.asarray(system.energy(states), float), "order": _order(states, system)}
            if "correlation" in wanted:
                q = None if system.space.binary else system.space.q
                columns["correlation"] = np.asarray(observables.correlation(states, system.lattice, q)).reshape(len(states), -1)
        draws.append(_Draws(log_q, columns, np.zeros(_DRAWS) if one.conditioned else None, beta, system))
    same = lambda log_q: log_q
    own, share = _with_errors(draws, same, wanted)
    if one.observed is None or one.conditioned:
        return _Network(own, None, share, share)
    known = one.observed
    values, again = _with_errors(draws, lambda log_q: recalibrated(log_q, known), wanted)
    # The difference to moments one standard error away, in each of their two directions.
    moved = [[_values(draws, lambda log_q, to=to: recalibrated(log_q, to), wanted)[name] for to in known.shifted()] for name in wanted]  # type: ignore[misc]
    second = {
        name: (*values[name], np.stack([part - values[name][0] for part in parts])) for name, parts in zip(wanted, moved, strict=True)
    }
    return _Network(own, second, share, np.minimum(share, again))


@dataclass(frozen=True, eq=False)
class _Draws:
    """Direct draws of a density, to be weighted for one temperature; log-weights are known of a density that knows temperatures."""

    log_q: np.ndarray
    columns: dict[str, np.ndarray]
    log_w: np.ndarray | None
    beta: float
    system: LearnedDensity

    def estimates(self, density: Density, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], float]:
        """Observables under a density of ln q (the identity, or its recalibration), and the effective share of draws."""
        log_q, columns, log_w = self.log_q, self.columns, self.log_w
        if log_w is None:
            log_p = density(log_q)
            log_w = self.beta / self.system.beta * log_p - log_q
            columns = columns | {"energy": -log_p / self.system.beta}
        w = np.exp(log_w - log_w.max())
        lattice = self.system.lattice
        values = {name: np.asarray(_estimate(name, log_w, columns, self.beta, lattice)) for name in wanted}
        return values, float(w.sum() ** 2 / (len(w) * (w**2).sum()))


def _values(draws: list[_Draws], density: Density, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    found = [one.estimates(density, wanted)[0] for one in draws]
    return {name: np.stack([row[name] for row in found]) for name in wanted}


def _with_errors(
    draws: list[_Draws], density: Density, wanted: Sequence[str]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Estimates with errors by deleting blocks: a nonlinear function of weighted means has no error from a block alone."""
    whole = [one.estimates(density, wanted) for one in draws]
    block = np.arange(_DRAWS) * _BLOCKS // _DRAWS
    left = [_values(_part_of(draws, block != b), density, wanted) for b in range(_BLOCKS)]
    result = {}
    for name in wanted:
        replicates = np.stack([part[name] for part in left])
        error = np.sqrt((_BLOCKS - 1) / _BLOCKS * ((replicates - replicates.mean(0)) ** 2).sum(0))
        result[name] = np.stack([row[0][name] for row in whole]), error
    return result, np.array([row[1] for row in whole])


def _part_of(draws: list[_Draws], keep: np.ndarray) -> list[_Draws]:
    """A part of the draws at every temperature."""
    part = lambda column: None if column is None else column[keep]
    return [
        replace(one, log_q=one.log_q[keep], columns={key: value[keep] for key, value in one.columns.items()}, log_w=part(one.log_w))
        for one in draws
    ]


def _estimate(name: str, log_w: np.ndarray, columns: dict[str, np.ndarray], beta: float, lattice: lattices.Lattice) -> np.ndarray:
    """One observable from weighted draws."""
    n, top = lattice.n_sites, log_w.max()
    w = np.exp(log_w - top)
    log_z, w = top + np.log(w.mean()), w / w.sum()
    energy, order = columns["energy"], columns["order"]
    if name == "energy":
        return w @ energy / n
    if name == "heat_capacity":
        return beta**2 * (w @ energy**2 - (w @ energy) ** 2) / n
    if name == "free_energy":
        return np.asarray(-log_z / (beta * n))
    if name == "entropy":
        return (log_z + beta * (w @ energy)) / n
    if name == "abs_magnetization":
        return w @ np.abs(order)
    if name == "susceptibility":
        return beta * n * (w @ order**2 - (w @ np.abs(order)) ** 2)
    return w @ columns["correlation"]


def _order(states: np.ndarray, system: LearnedDensity) -> np.ndarray:
    if system.space.binary:
        return np.asarray(observables.magnetization(states, system.lattice))
    return np.asarray(observables.potts_order_parameter(states, system.space.q, system.lattice))
