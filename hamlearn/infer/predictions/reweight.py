"""Thermodynamics of learned densities at other temperatures: their own direct draws, reweighted.

A density p at β_o has the action −(β/β_o) ln p at β, so the weight of its draw is p^(β/β_o − 1): no Markov chain, and an
effective sample size that says how far from β_o this can be carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.infer.predictions.thermodynamics import Estimates
from hamlearn.systems import lattice as lattices
from hamlearn.systems import observables
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.models.autoregressive.evaluate import Evaluator

_DRAWS, _BLOCKS = 8192, 16


def from_density(
    systems: Sequence[LearnedDensity], betas: np.ndarray, wanted: Sequence[str], seed: int
) -> tuple[dict[str, Estimates], np.ndarray]:
    """Estimates of every member at every temperature, and the smallest effective share of draws at each.

    Members of one network share its draws. Free energies count from the density's own normalisation, −ln p/β_o being the energy.
    """
    found: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]] = {}
    rows = []
    for system in systems:
        one = system.log_prob.__self__  # type: ignore[attr-defined]  # the evaluator behind the bound method
        if id(one) not in found:
            found[id(one)] = _one(system, one, betas, wanted, seed + len(found))
        rows.append(found[id(one)])
    shares = np.min([row[2] for row in rows], 0)
    method = f"direct draws, reweighted (effective share at least {shares.min():.2g})"
    distances = observables.separations(systems[0].lattice) if "correlation" in wanted else None
    values, errors, _ = zip(*rows, strict=True)
    stack = lambda parts, name: np.stack([part[name] for part in parts])
    estimates = {
        name: Estimates(stack(values, name), stack(errors, name), method, distances if name == "correlation" else None) for name in wanted
    }
    return estimates, shares


def _one(
    system: LearnedDensity, one: Evaluator, betas: np.ndarray, wanted: Sequence[str], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Values and errors ``(beta, ...)`` of one network, and its effective shares ``(beta,)``."""
    values: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    errors: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    shares: list[float] = []
    states = None
    for beta in betas.tolist():
        if states is None or one.conditioned:
            states = one.sample(_DRAWS, seed, beta)
            log_q = one.log_prob(states, beta)
            columns = {"energy": np.asarray(system.energy(states), float), "order": _order(states, system)}
            if "correlation" in wanted:
                q = None if system.space.name == "spins" else system.space.q
                columns["correlation"] = np.asarray(observables.correlation(states, system.lattice, q)).reshape(len(states), -1)
        log_w = -np.asarray(system.action(states, beta), float) - log_q
        w = np.exp(log_w - log_w.max())
        shares.append(float(w.sum() ** 2 / (len(w) * (w**2).sum())))
        for name in wanted:
            whole = _estimate(name, log_w, columns, beta, system.lattice)
            # Delete-a-block: a nonlinear function of weighted means has no error from a block alone.
            keep = np.arange(len(log_w)) * _BLOCKS // len(log_w)
            left = np.stack(
                [
                    _estimate(name, log_w[keep != b], {key: column[keep != b] for key, column in columns.items()}, beta, system.lattice)
                    for b in range(_BLOCKS)
                ]
            )
            values[name].append(whole)
            errors[name].append(np.sqrt((_BLOCKS - 1) / _BLOCKS * ((left - left.mean(0)) ** 2).sum(0)))
    return {name: np.stack(v) for name, v in values.items()}, {name: np.stack(v) for name, v in errors.items()}, np.array(shares)


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
    if system.space.name == "spins":
        return np.asarray(observables.magnetization(states, system.lattice))
    return np.asarray(observables.potts_order_parameter(states, system.space.q, system.lattice))
