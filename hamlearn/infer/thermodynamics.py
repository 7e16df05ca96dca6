"""Observables of many systems at many temperatures: from oracles, or from tempered simulation and acceptance ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.progress import track
from hamlearn.systems import exact, observables
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.sampling import simulate_members, tempering

_BLOCKS = 8  # of a simulation, whose scatter is its error
_DRAWS = 160  # per member, rung and chain, to begin with
_MOST_UPDATES = 4e9  # of single sites, when more draws are needed: about a minute
_QUIET = 0.1  # share of the spread between members that may be the simulation's
_EXACT_DRAWS = 256  # independent draws per member and temperature where they are exact
_BURN_IN, _THIN = 400, 5


@dataclass(frozen=True)
class Estimates:
    """One observable of every member at every temperature.

    Attributes
    ----------
    values, errors : array (member, beta) or (member, beta, r)
        Estimates and their simulation standard errors (0: exact).
    method : str
        How they were made.
    distances : array, optional
        Coordinate r.
    """

    values: np.ndarray
    errors: np.ndarray
    method: str
    distances: np.ndarray | None = None


def from_oracle(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], method: str, seed: int) -> dict[str, Estimates]:
    """What the exact oracle gives: thermodynamics in closed form, magnetic observables from exact samples."""
    result: dict[str, Estimates] = {}
    thermal = [name for name in ("energy", "heat_capacity", "entropy", "free_energy") if name in wanted]
    if thermal:
        with track(len(systems), "exact thermodynamics") as bar:
            curves = []
            for system in systems:
                curves.append(exact.thermodynamics(system, betas))
                bar.advance(1)
        for name in thermal:
            values = np.stack([curve[name].values for curve in curves])
            result[name] = Estimates(values, np.zeros_like(values), f"exact ({method})")
    magnetic = [name for name in wanted if name not in result]
    if magnetic and method in ("enumeration", "transfer"):
        sampled: dict[str, list[Any]] = {name: [] for name in magnetic}
        with track(len(systems) * len(betas), "exact sampling") as bar:
            for index, system in enumerate(systems):
                rows = []
                for place, beta in enumerate(betas):
                    states = exact.sample(system, float(beta), _EXACT_DRAWS, seed=seed + 7919 * index + place)
                    rows.append(_observe(states, system, float(beta), magnetic))
                    bar.advance(1)
                for name in magnetic:
                    sampled[name].append([row[name] for row in rows])
        for name in magnetic:
            pairs = np.array(sampled[name])  # (member, beta, estimate or error, ...)
            distances = observables.separations(systems[0].lattice) if name == "correlation" else None
            result[name] = Estimates(pairs[:, :, 0], pairs[:, :, 1], f"exact samples ({method})", distances)
    return result


def _order(states: np.ndarray, system: Any) -> np.ndarray:
    """Signed magnetization of spins, order parameter of q-state models, per draw."""
    if isinstance(system, Pairwise):
        return np.asarray(observables.magnetization(states, system.lattice))
    return np.asarray(observables.potts_order_parameter(states, system.space.q, system.lattice))


def _observe(states: np.ndarray, system: Any, beta: float, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Estimate and error of every wanted observable from independent draws ``(draw, *sites)``."""
    blocks = np.array_split(states, _BLOCKS)
    result = {}
    for name in wanted:
        whole = _estimate(states, system, beta, name)
        parts = np.stack([_estimate(block, system, beta, name) for block in blocks])
        result[name] = np.stack([whole, parts.std(0, ddof=1) / np.sqrt(_BLOCKS)])
    return result


def _estimate(states: np.ndarray, system: Any, beta: float, name: str) -> np.ndarray:
    if name == "correlation":
        q = None if isinstance(system, Pairwise) else system.space.q
        return np.asarray(observables.correlation(states, system.lattice, q)).reshape(-1, _n_distances(system)).mean(0)
    order = _order(states, system)
    if name == "abs_magnetization":
        return np.abs(order).mean()
    return np.asarray(observables.susceptibility(order, beta, system.lattice.n_sites))


def _n_distances(system: Any) -> int:
    return len(observables.separations(system.lattice))


def from_simulation(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates]:
    """Tempered simulation of all members; four times longer while its noise is more than a tenth of their variance."""
    ladder = _ladder(systems, betas)
    draws = _DRAWS
    while True:
        result = simulate_once(systems, betas, ladder, wanted, seed, draws)
        noisy = len(systems) > 1 and any(np.mean(found.errors**2) > _QUIET * np.mean(found.values.var(0)) for found in result.values())
        updates = 2 * 4 * draws * _THIN * len(systems) * len(ladder) * systems[0].lattice.n_sites
        if not noisy or updates > _MOST_UPDATES:
            return result
        draws *= 4


def simulate_once(
    systems: Sequence[Any], betas: np.ndarray, ladder: np.ndarray, wanted: Sequence[str], seed: int, draws: int
) -> dict[str, Estimates]:
    """Estimates of every member from one tempered run on a ladder that contains the wanted temperatures.

    Free energies come from Bennett's acceptance ratio between neighbouring rungs, starting at β = 0 where ln Z is
    N ln q exactly (C. H. Bennett, J. Comput. Phys. 22, 245 (1976)).
    """
    first = systems[0]
    at = np.searchsorted(ladder, betas)
    lattice, space = first.lattice, first.space
    if isinstance(first, Pairwise):
        parameters = {"J": np.stack([system.J for system in systems]), "h": np.stack([system.h for system in systems])}
    else:
        parameters = {
            "tables": np.stack([system.coupling_tables() for system in systems]),
            "fields": np.stack([system.field_tables() for system in systems]),
        }
    correlate = "correlation" in wanted

    def observe(states: np.ndarray) -> dict[str, np.ndarray]:
        kept: dict[str, Any] = {
            "energy": np.stack([np.asarray(system.energy(states[:, m])) for m, system in enumerate(systems)], 1),
            "order": _order(states, first),
        }
        if correlate:
            q = None if isinstance(first, Pairwise) else space.q
            kept["correlation"] = np.asarray(observables.correlation(states[:, :, at], lattice, q)).mean(3)
        return kept

    kept = simulate_members(
        lattice,
        space,
        parameters,
        ladder,
        draws=draws,
        chains=2,
        seed=seed,
        sampler="tempering",
        burn_in=_BURN_IN,
        thin=_THIN,
        observe=observe,
    )
    method = f"simulated: tempering, {len(ladder)} temperatures, 2 x {draws} draws a member"
    n = lattice.n_sites
    energy = np.moveaxis(kept["energy"], 0, -1)  # (member, rung, chain, draw)
    order = np.moveaxis(kept["order"], 0, -1)
    result = {}
    if {"entropy", "free_energy"} & set(wanted):
        generator = np.random.default_rng(seed)
        random_states = space.values[generator.integers(space.q, size=(2 * draws, n))]
        free = np.stack([np.asarray(system.energy(random_states)) for system in systems])
        log_z, log_z_error = _blocked(lambda part: _log_partition(part, free, ladder, n * np.log(space.q)), energy)
    for name in wanted:
        if name == "correlation":
            series = np.moveaxis(kept["correlation"], 0, -1)[:, :, :, None]  # (member, beta, r, 1, draw)
            values, errors = _blocked(lambda part: part.mean((-2, -1)), series)
            result[name] = Estimates(values, errors, method, observables.separations(lattice))
            continue
        if name == "energy":
            values, errors = _blocked(lambda part: part.mean((-2, -1)) / n, energy)
        elif name == "heat_capacity":
            values, errors = _blocked(lambda part: ladder**2 * part.reshape((*part.shape[:2], -1)).var(-1) / n, energy)
        elif name == "abs_magnetization":
            values, errors = _blocked(lambda part: np.abs(part).mean((-2, -1)), order)
        elif name == "susceptibility":
            values, errors = _blocked(lambda part: ladder * n * ((part**2).mean((-2, -1)) - np.abs(part).mean((-2, -1)) ** 2), order)
        elif name == "free_energy":
            values, errors = -log_z / (ladder * n), log_z_error / (ladder * n)
        else:
            values, errors = _blocked(lambda part: ladder * part.mean((-2, -1)) / n, energy)
            values, errors = values + log_z / n, np.hypot(errors, log_z_error / n)
        result[name] = Estimates(values[:, at], errors[:, at], method)
    return result


def _ladder(systems: Sequence[Any], betas: np.ndarray) -> np.ndarray:
    """Temperatures from hot to the coldest wanted one, close enough for exchanges, with every wanted one among them."""
    variances = []
    for system in systems[:8]:
        tables = system.coupling_tables()
        tables = tables - tables.mean(-1, keepdims=True) - tables.mean(-2, keepdims=True) + tables.mean((-1, -2), keepdims=True)
        fields = system.field_tables()
        variances.append(float(np.sum(tables**2) / system.space.q**2 + np.sum(np.var(fields, axis=-1))))
    rungs = tempering.default_ladder(float(betas.max()), float(np.mean(variances)), systems[0].lattice.n_sites)
    return np.unique(np.append(rungs, betas))


def _blocked(estimate: Any, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate from all draws (last axis), and its error from contiguous blocks of them."""
    parts = np.stack([estimate(part) for part in np.array_split(series, _BLOCKS, axis=-1)])
    return estimate(series), parts.std(0, ddof=1) / np.sqrt(_BLOCKS)


def _log_partition(energy: np.ndarray, free: np.ndarray, ladder: np.ndarray, start: float) -> np.ndarray:
    """Ln Z on every rung ``(member, rung)`` from energies ``(member, rung, chain, draw)`` and those at β = 0."""
    samples = energy.reshape((*energy.shape[:2], -1))
    keep = samples.shape[-1]
    hot = np.resize(free, (len(free), keep)) if free.shape[1] < keep else free[:, :keep]
    samples = np.concatenate([hot[:, None], samples], 1)
    steps = np.diff(np.concatenate([[0.0], ladder]))[:, None]
    # Work of a step of β forwards from the hotter rung and backwards from the colder one, equally many of each.
    forward, backward = steps * samples[:, :-1], -steps * samples[:, 1:]
    low = np.minimum(forward.min(-1), -backward.max(-1)) - 1.0
    high = np.maximum(forward.max(-1), -backward.min(-1)) + 1.0
    for _ in range(60):  # bisection of a monotone function; its root is ΔβF, minus the change of ln Z
        middle = (low + high) / 2
        excess = _fermi(forward - middle[..., None]).sum(-1) - _fermi(backward + middle[..., None]).sum(-1)
        low, high = np.where(excess < 0, middle, low), np.where(excess < 0, high, middle)
    return start - np.cumsum((low + high) / 2, -1)


def _fermi(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, x))
