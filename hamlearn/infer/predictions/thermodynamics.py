"""Observables of many systems at many temperatures: from oracles, or from tempered simulation and acceptance ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.infer.predictions.intervals import QUIET
from hamlearn.infer.predictions.magnetic import enumerated, order, sampled
from hamlearn.models.couplings import EXCLUDED
from hamlearn.progress import track
from hamlearn.systems import exact, observables
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.sampling import simulate, simulate_systems, tempering
from hamlearn.systems.sampling.cluster import is_ferromagnet
from hamlearn.systems.sampling.energies import energies
from hamlearn.systems.sampling.ladders import free_variance

_BLOCKS = 8  # of a simulation, whose scatter is its error
_DRAWS = 160  # per member, rung and chain, to begin with
_MOST_UPDATES = 2e9  # of single sites in one run, when more draws are needed: about half a minute
_MOST_CLUSTER_UPDATES = 2e8  # of single sites by cluster moves: about ten seconds
_LEAST_SHARE = 0.2  # of the draws, that reweighting must leave
_BURN_IN, _THIN = 400, 5
_RANDOM = 2048  # states that tell how far the energies of infinite temperature scatter


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
    shared : array (beta,), optional
        Simulation standard error that all members have in common (reweighted from one simulation).
    recalibrated : Estimates, optional
        The same of networks recalibrated on the microstates they were learned from: what it differs by is an estimate of the
        error that networks share. Its ``shared`` is the sampling error of these microstates.
    independent : int, optional
        How many of the members are independent draws, where they repeat each other (few networks); all by default.
    shift, shift_error : array (beta,) or (beta, r), optional
        What is added to the mean over members to centre it, and its standard error.
    """

    values: np.ndarray
    errors: np.ndarray
    method: str
    distances: np.ndarray | None = None
    shared: np.ndarray | None = None
    recalibrated: Estimates | None = None
    independent: int | None = None
    shift: np.ndarray | None = None
    shift_error: np.ndarray | None = None


def estimate(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates]:
    """Every observable of every member: by an oracle where there is one, by simulation otherwise.

    Members of a sparse posterior may be of several kinds (one in a hundred holds a further term); each kind is treated by
    itself.
    """
    groups: dict[Any, list[int]] = {}
    for index, system in enumerate(systems):
        method = exact.method(system)
        groups.setdefault((type(system), method, np.asarray(system.lattice.bonds).tobytes()), []).append(index)
    found = [_one_kind([systems[k] for k in where], betas, wanted, method, seed) for (_, method, _), where in groups.items()]
    if len(found) == 1:
        return found[0]
    order = np.argsort(np.concatenate(list(groups.values())), kind="stable")
    merged = {}
    for name in wanted:
        pieces = [one[name] for one in found]
        arrays = [np.concatenate([getattr(piece, part) for piece in pieces])[order] for part in ("values", "errors")]
        methods = [f"{piece.method} ({len(where)} members)" for piece, where in zip(pieces, groups.values(), strict=True)]
        parts = [
            len(where) / len(systems) * piece.shared
            for piece, where in zip(pieces, groups.values(), strict=True)
            if piece.shared is not None
        ]
        shared = np.sqrt(np.sum(np.square(parts), 0)) if parts else None
        merged[name] = Estimates(arrays[0], arrays[1], "; ".join(methods), pieces[0].distances, shared)
    return merged


def _one_kind(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], method: str | None, seed: int) -> dict[str, Estimates]:
    result = {} if method is None else from_oracle(systems, betas, wanted, method, seed)
    left = [name for name in wanted if name not in result]
    return result | (from_simulation(systems, betas, left, seed) if left else {})


def from_oracle(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], method: str, seed: int) -> dict[str, Estimates]:
    """What the exact oracle gives: thermodynamics in closed form, magnetic observables from all states or exact samples."""
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
        if method == "enumeration":
            values_of, errors_of, how = enumerated(systems, betas, magnetic)
        else:
            values_of, errors_of, how = sampled(systems, betas, magnetic, method, seed, _observe)
        for name in magnetic:
            distances = observables.separations(systems[0].lattice) if name == "correlation" else None
            result[name] = Estimates(values_of[name], errors_of[name], how, distances)
    return result


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
        q = None if system.space.binary else system.space.q
        return np.asarray(observables.correlation(states, system.lattice, q)).reshape(-1, _n_distances(system)).mean(0)
    if name in ("energy", "heat_capacity"):
        energy, n = energies(system, states.reshape(len(states), -1)), system.lattice.n_sites
        return np.asarray(energy.mean() / n if name == "energy" else beta**2 * energy.var() / n)
    m = order(states, system)
    if name == "abs_magnetization":
        return np.abs(m).mean()
    return np.asarray(observables.susceptibility(m, beta, system.lattice.n_sites))


def _n_distances(system: Any) -> int:
    return len(observables.separations(system.lattice))


def from_simulation(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates]:
    """Tempered simulation of all members; four times longer while its noise is more than a tenth of their variance."""
    if not {"entropy", "free_energy"} & set(wanted) and all(isinstance(one, Pairwise) and is_ferromagnet(one) for one in systems):
        close = _reweighted(systems, betas, wanted, seed) if len(systems) > 1 and "correlation" not in wanted else None
        return _from_clusters(systems, betas, wanted, seed) if close is None else close
    ladder = _ladder(systems, betas)
    draws = _DRAWS
    while True:
        result = simulate_once(systems, betas, ladder, wanted, seed, draws)
        noisy = len(systems) > 1 and any(np.mean(found.errors**2) > QUIET * np.mean(found.values.var(0)) for found in result.values())
        updates = 2 * 4 * draws * _THIN * len(systems) * len(ladder) * systems[0].lattice.n_sites
        if not noisy or 4 * updates * _cost(systems[0]) > _MOST_UPDATES:
            return result
        draws *= 4


def _cost(system: Any) -> float:
    """Of updating a site, in units of one that looks at its neighbours only: a system known by its energy is evaluated whole."""
    local = hasattr(system, "coupling_tables") or isinstance(system, InteractionTables)
    return 1.0 if local else max(1.0, float(system.lattice.n_sites))


def _reweighted(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates] | None:
    """All members from one Swendsen–Wang simulation of their mean, by reweighting; None where they are too far apart.

    The members of a sharp posterior differ by far less than the noise of separate simulations; their differences are
    resolved because all see the same microstates (Ferrenberg & Swendsen 1988).
    """
    first, n = systems[0], systems[0].lattice.n_sites
    strengths = np.stack([system.J for system in systems])
    centre = Pairwise(first.lattice, strengths.mean(0), 0.0)
    draws = int(np.clip(_MOST_CLUSTER_UPDATES / (_BLOCKS * n * len(betas)), 1000, 20_000))
    data = simulate(centre, betas, draws, _BLOCKS, seed, "swendsen_wang", burn_in=_BURN_IN // 4, progress=False)
    states = data["state"].values.reshape(len(betas), _BLOCKS, draws, n)
    shift = (strengths - strengths.mean(0)).astype(np.float32)
    i, j = first.lattice.bonds.T
    blocks = np.zeros((len(betas), _BLOCKS, len(systems), 5))  # sums of w, wE, wE², w|m|, wm²
    for k, beta in enumerate(betas):
        for chain, one in enumerate(states[k]):
            change = -((one[:, i] * one[:, j]).astype(np.float32) @ shift.T).astype(float)
            weight = np.exp(-beta * (change - change.mean(0)))
            if np.min(weight.sum(0) ** 2 / (weight**2).sum(0)) < _LEAST_SHARE * draws:
                return None
            energy = energies(centre, one)[:, None] + change
            m = np.abs(one.mean(1, dtype=float))[:, None]
            blocks[k, chain] = np.stack([(weight * x).sum(0) for x in (np.ones_like(energy), energy, energy**2, m, m**2)], -1)
    method = f"simulated: swendsen_wang of the mean member, {_BLOCKS} x {draws} draws, reweighted to every member"
    result = {}
    for name in wanted:
        whole, parts = _from_sums(blocks.sum(1), betas, n, name), _from_sums(np.moveaxis(blocks, 1, 0), betas[None], n, name)
        own = parts - parts.mean(-1, keepdims=True)  # (chain, beta, member): what the members do not share
        errors = own.std(0, ddof=1) / np.sqrt(_BLOCKS)
        shared = parts.mean(-1).std(0, ddof=1) / np.sqrt(_BLOCKS)
        result[name] = Estimates(whole.T, errors.T, method, shared=shared)
    return result


def _from_sums(sums: np.ndarray, betas: np.ndarray, n: int, name: str) -> np.ndarray:
    """An observable ``(..., beta, member)`` from weighted sums ``(..., beta, member, 5)``."""
    energy, square, m, m_square = (sums[..., k] / sums[..., 0] for k in range(1, 5))
    beta = betas[..., None]
    if name == "energy":
        return energy / n
    if name == "heat_capacity":
        return beta**2 * (square - energy**2) / n
    return m if name == "abs_magnetization" else beta * n * (m_square - m**2)


def _from_clusters(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates]:
    """Swendsen–Wang at the wanted temperatures, for ferromagnets whose log Z nobody asks for: no slow mode at a transition."""
    draws, lattice = _DRAWS, systems[0].lattice
    while True:
        rows: dict[str, list[Any]] = {name: [] for name in wanted}
        with track(len(systems), "cluster sampling") as bar:
            for index, system in enumerate(systems):
                options: dict[str, Any] = {
                    "chains": _BLOCKS,
                    "seed": seed + 7919 * index,
                    "sampler": "swendsen_wang",
                    "burn_in": _BURN_IN // 4,
                }
                states = simulate(system, betas, draws, **options, progress=False)["state"].values
                for name in wanted:
                    rows[name].append([_by_chain(one, system, float(beta), name) for one, beta in zip(states, betas, strict=True)])
                bar.advance(1)
        method = f"simulated: swendsen_wang, {_BLOCKS} x {draws} draws a member"
        result = {}
        for name in wanted:
            pairs = np.array(rows[name])  # (member, beta, estimate or error, ...)
            distances = observables.separations(lattice) if name == "correlation" else None
            result[name] = Estimates(pairs[:, :, 0], pairs[:, :, 1], method, distances)
        noisy = len(systems) > 1 and any(np.mean(found.errors**2) > QUIET * np.mean(found.values.var(0)) for found in result.values())
        if not noisy or 4 * _BLOCKS * draws * len(systems) * len(betas) * lattice.n_sites > _MOST_CLUSTER_UPDATES:
            return result
        draws *= 4


def _by_chain(states: np.ndarray, system: Any, beta: float, name: str) -> np.ndarray:
    """Estimate and error of an observable from states ``(chain, draw, *sites)`` of independent chains."""
    parts = np.stack([_estimate(one, system, beta, name) for one in states])
    return np.stack([parts.mean(0), parts.std(0, ddof=1) / np.sqrt(len(parts))])


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
    correlate = "correlation" in wanted

    def observe(states: np.ndarray) -> dict[str, np.ndarray]:
        kept: dict[str, Any] = {
            "energy": np.stack([np.asarray(system.energy(states[:, m])) for m, system in enumerate(systems)], 1),
            "order": order(states, first),
        }
        if correlate:
            q = None if space.binary else space.q
            kept["correlation"] = np.asarray(observables.correlation(states[:, :, at], lattice, q)).mean(3)
        return kept

    kept = simulate_systems(
        systems,
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
    magnetization = np.moveaxis(kept["order"], 0, -1)
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
            values, errors = _blocked(lambda part: np.abs(part).mean((-2, -1)), magnetization)
        elif name == "susceptibility":
            values, errors = _blocked(
                lambda part: ladder * n * ((part**2).mean((-2, -1)) - np.abs(part).mean((-2, -1)) ** 2), magnetization
            )
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
        if isinstance(system, InteractionTables):
            variances.append(free_variance(system))
            continue
        if not hasattr(system, "coupling_tables"):  # known by its energies alone: their variance over random states
            states = system.space.values[np.random.default_rng(0).integers(system.space.q, size=(_RANDOM, *system.lattice.shape))]
            variances.append(float(np.var(np.asarray(system.energy(states), float))))
            continue
        tables = system.coupling_tables()
        tables = tables - tables.mean(-1, keepdims=True) - tables.mean(-2, keepdims=True) + tables.mean((-1, -2), keepdims=True)
        fields = system.field_tables()
        # Excluded states (see BoundCouplings.never) are not there to be excited.
        fields = np.where(fields > -0.5 * EXCLUDED * max(1.0, np.abs(tables).max(initial=0.0)), fields, np.nan)
        variances.append(float(np.sum(tables**2) / system.space.q**2 + np.sum(np.nanvar(fields, axis=-1))))
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
