"""Columns from simulations: clusters, annealed walks, tempering ladders with acceptance ratios, hybrid Monte Carlo of all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.predictions import annealed, shared
from hamlearn.infer.predictions.estimator import Estimates, Seen, Sums, collected, columns_of, distances, energies_of_all
from hamlearn.infer.predictions.exactly import in_blocks, tracked
from hamlearn.infer.predictions.intervals import QUIET
from hamlearn.infer.predictions.shared import reweighted
from hamlearn.infer.predictions.work import CALL, SAMPLER, TRACING, Work, longest, of_energy
from hamlearn.infer.shares import HANDFUL
from hamlearn.systems.factors import sites_of
from hamlearn.systems.observables import Observable
from hamlearn.systems.pairs import pairs_of
from hamlearn.systems.sampling import exchanging, simulate, simulate_systems, tempering
from hamlearn.systems.sampling.bridging import bennett
from hamlearn.systems.sampling.cluster import is_ferromagnet
from hamlearn.systems.sampling.stacks import simulate_stack, stackable

_BLOCKS = 8  # of a simulation, whose scatter is its error
_DRAWS = 160  # per member, rung and chain, to begin with
MOST_LOOKUPS = 2e9  # of single sites and their interactions in one run, when more draws are needed: about half a minute
_MOST_CLUSTER_UPDATES = 2e8  # of single sites by cluster moves: about ten seconds
_CLOSE_UPDATES = 1 << 27  # of single sites by cluster moves of the mean member
_EXCHANGES = 1 << 23  # proposed of the mean member, where the sum of all spins is fixed
_BURN_IN, _THIN = 400, 5
_HOPELESS = 0.02  # share of random states that reweighting would leave a member
_RANDOM = 2048  # states that tell how far the energies of infinite temperature scatter
_CONTINUOUS_DRAWS, _CONTINUOUS_CHAINS = 400, 8
_FROM_PYTHON = 16  # members that are simulated where JAX cannot step them: each costs seconds
_PER_UPDATE = 150.0  # operations of an update of a site by cluster moves, or of a look-up of tables
_PER_HEAT_BATH = {True: 400.0, False: 1500.0}  # of an update of a spin, and of a site of several states, with its random numbers
_PER_PROPOSAL = 2.5e3  # of a proposal of Metropolis, beside the energy that it costs
_PER_FLOP = 2.0  # of an operation that JAX counts in an energy, beside the best that a core can do
_PER_TRAJECTORY = 500.0  # operations of a site of a trajectory of hybrid Monte Carlo, beside the gradients of its action
_TRAJECTORIES, _GRADIENTS = 1000.0, 12.0  # of a run beside its draws (burn-in and pilot), and gradients of each


def from_simulation(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work
) -> dict[str, Estimates]:
    """By whatever decorrelates them fastest."""
    log_z = any(record.needs_log_z for record in records)
    if systems[0].space.continuous:
        if log_z:
            names = ", ".join(record.name for record in records if record.needs_log_z)
            raise HamlearnError(
                f"{names} of {systems[0]!r} needs log Z, which no oracle knows; simulations of continuous systems do not give it."
            )
        close = reweighted(systems, betas, records, seed, work) if systems[0].directions is not None else None
        return _one_by_one_or_stacked(systems, betas, records, seed, work) if close is None else close
    if systems[0].space.constraint:
        return _conserved(systems, betas, records, seed, work)
    if not log_z and all(is_ferromagnet(one) for one in systems):
        light = all(record.separations is None for record in records)
        close = reweighted(systems, betas, records, seed, work, _CLOSE_UPDATES) if len(systems) > 1 and light else None
        return from_clusters(systems, betas, records, seed, work) if close is None else close
    if log_z and annealed.refusal(systems) is None:
        walks = annealed.from_walks(systems, betas, records, seed, work)
        share = next(iter(walks.values())).share
        if share is None or share.min() >= HANDFUL:
            return walks
        return {name: replace(one, share=share) for name, one in _tempered(systems, betas, records, seed, work).items()}
    close = None
    if not log_z and len(systems) > 1 and not _far_apart(systems, betas):
        close = reweighted(systems, betas, records, seed, work, source=_on_a_ladder(systems, betas, seed, work))
    return _tempered(systems, betas, records, seed, work) if close is None else close


def _conserved(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work) -> dict[str, Estimates]:
    """Spins whose sum is fixed: what needs log Z by annealed walks of exchanges, the rest by Kawasaki's of the mean member or of all."""
    annealing = [record for record in records if record.needs_log_z]
    rest = [record for record in records if not record.needs_log_z]
    result = dict[str, Estimates]()
    if annealing:
        if refusal := annealed.refusal(systems):
            names = ", ".join(record.name for record in annealing)
            raise HamlearnError(f"{names} of {systems[0]!r} needs log Z, which annealed walks estimate of fewer sites; here are {refusal}.")
        result |= annealed.from_walks(systems, betas, annealing, seed, work)
    if rest:
        close = reweighted(systems, betas, rest, seed, work, _EXCHANGES) if systems[0].pairs is not None else None
        result |= _one_by_one_or_stacked(systems, betas, rest, seed, work) if close is None else close
    return result


def _one_by_one_or_stacked(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work
) -> dict[str, Estimates]:
    """Continuous members: those of one structure in one compiled run, others one after the other."""
    size: dict[str, Any] = {"draws": _CONTINUOUS_DRAWS, "chains": _CONTINUOUS_CHAINS}
    each = _PER_TRAJECTORY * systems[0].lattice.n_sites + 3 * _GRADIENTS * _PER_FLOP * of_energy(systems[0])
    trajectories = len(systems) * len(betas) * _CONTINUOUS_CHAINS * (_CONTINUOUS_DRAWS + _TRAJECTORIES)
    what = f"simulations of {len(systems)} members"
    work.announce(what, TRACING + len(systems) * len(betas) * CALL + trajectories * each, compiling=SAMPLER)
    if systems[0].space.unbounded and stackable(systems):
        used, runs = "hmc", list(simulate_stack(systems, betas, **size, seed=seed))
    else:
        systems = systems if all(one.pure_jax for one in systems) else systems[:_FROM_PYTHON]

        def run(pair: tuple[int, Any]) -> Any:
            return simulate(pair[1], betas, **size, seed=seed + 31 * pair[0], progress=False)

        data = tracked(run, list(enumerate(systems)), "simulating members")
        used, runs = str(data[-1].attrs.get("sampler", "auto")), [one["state"].values for one in data]
    found = (
        [(in_blocks(records, here, system, beta), None) for here, beta in zip(states, betas.tolist(), strict=True)]
        for system, states in zip(systems, runs, strict=True)
    )
    method = f"simulated: {used}, {len(systems)} members, {_CONTINUOUS_CHAINS} x {_CONTINUOUS_DRAWS} draws each"
    return collected(records, found, method, partial(distances, system=systems[0]))


def from_clusters(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work) -> dict[str, Estimates]:
    """Swendsen–Wang at the wanted temperatures, for ferromagnets whose log Z nobody asks for: no slow mode at a transition."""
    draws, n = 2 * _DRAWS, systems[0].lattice.n_sites

    def run(pair: tuple[int, Any]) -> list[tuple[Sums, None]]:
        index, system = pair
        options: dict[str, Any] = {"chains": _BLOCKS, "sampler": "swendsen_wang", "burn_in": _BURN_IN // 4, "progress": False}
        states = simulate(system, betas, draws, seed=seed + 7919 * index, **options)["state"].values
        return [(in_blocks(records, here, system, beta), None) for here, beta in zip(states, betas.tolist(), strict=True)]

    calls = len(systems) * len(betas)
    each = _PER_UPDATE * _BLOCKS * calls * n
    while True:
        most = longest(draws, _MOST_CLUSTER_UPDATES / (_BLOCKS * calls * n)) * each
        work.announce(f"cluster moves of {len(systems)} members", calls * CALL + (draws + _BURN_IN // 4) * each, most)
        method = f"simulated: swendsen_wang, {_BLOCKS} x {draws} draws a member"
        found = tracked(run, list(enumerate(systems)), "cluster sampling")
        result = collected(records, found, method, partial(distances, system=systems[0]))
        if not _noisy(result, systems) or 4 * _BLOCKS * draws * calls * n > _MOST_CLUSTER_UPDATES:
            return result
        draws *= 4


def _tempered(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work) -> dict[str, Estimates]:
    """Tempered simulation of all members; four times longer while its noise is more than a tenth of their variance."""
    rungs, draws, compiling = ladder(systems, betas), _DRAWS, SAMPLER
    each = _of_draw(systems, len(rungs))
    while True:
        most = longest(draws, MOST_LOOKUPS / lookups(systems, len(rungs), 1)) * each
        what = f"tempering of {len(systems)} members at {len(rungs)} temperatures"
        work.announce(what, TRACING + (draws + _BURN_IN / _THIN) * each, most, compiling)
        result = _tempered_once(systems, betas, rungs, records, seed, draws)
        if not _noisy(result, systems) or 4 * lookups(systems, len(rungs), draws) > MOST_LOOKUPS:
            return result
        draws, compiling = 4 * draws, 0.0


def _far_apart(systems: Sequence[Any], betas: np.ndarray) -> bool:
    """Whether reweighting from the mean member is hopeless (networks of an ensemble), by random states, before anything is simulated."""
    centre = shared.mean_of(systems)
    if centre is None:
        return True
    states = _random_states(centre)
    change = energies_of_all(systems, states) - energies_of_all([centre], states)
    return bool(np.exp(-((betas.max() * change.std(0)) ** 2)).min() < _HOPELESS)


def _random_states(system: Any) -> np.ndarray:
    return np.asarray(system.space.random(np.random.default_rng(0), (_RANDOM, system.lattice.n_sites)).reshape(-1, *system.lattice.shape))


def _on_a_ladder(systems: Sequence[Any], betas: np.ndarray, seed: int, work: Work) -> Callable[[Any], shared.Source]:
    """Tempering of the mean member, at all temperatures at once."""

    def source(centre: Any) -> shared.Source:
        rungs, runs = ladder([centre], betas), dict[int, np.ndarray]()
        at = np.searchsorted(rungs, betas)
        each = shared.CHAINS / 2 * _of_draw([centre], len(rungs)) + len(betas) * shared.of_energies(systems)

        def chains(k: int, draws: int) -> np.ndarray:
            if draws > max(runs, default=0):
                what = f"tempering of the mean member at {len(rungs)} temperatures, {draws} draws"
                work.announce(what, (0.0 if runs else TRACING) + (draws + _BURN_IN / _THIN) * each, compiling=0.0 if runs else SAMPLER)
                options: dict[str, Any] = {"draws": draws, "chains": shared.CHAINS, "burn_in": _BURN_IN, "thin": _THIN}
                options["sampler"] = "tempering" if exchanging([centre]) else "metropolis"
                runs[draws] = simulate_systems([centre], rungs, seed=seed + draws, progress=False, **options)[0][at]
            return runs[max(runs)][k]

        few = shared.UPDATES // (shared.CHAINS * _THIN * centre.lattice.n_sites * len(rungs))
        return shared.Source(
            int(np.clip(few, shared.FEWEST, shared.MOST)), chains, f"tempering of the mean member, {len(rungs)} temperatures"
        )

    return source


def _of_draw(systems: Sequence[Any], rungs: int) -> float:
    """Operations of a draw of all ladders: its sweeps, and the energies that are measured of it."""
    first = systems[0]
    energy, chains = of_energy(first), 2.0 * len(systems) * rungs
    if first.windows is None and first.pairs is not None:
        sweeps = _PER_HEAT_BATH[first.space.binary] * lookups(systems, rungs, 1)
    else:
        sweeps = _THIN * chains * (of_sweep(first) + (0.0 if sites_of(first) is not None else 3 * _PER_FLOP * energy))
    return sweeps + chains * _PER_FLOP * energy


def of_sweep(system: Any) -> float:
    """Operations of a sweep of one chain of a system that is known by its energy alone, or by tables."""
    if (sites := sites_of(system)) is not None:
        return _PER_UPDATE * max(system.lattice.n_sites, system.space.q * sites.size / _ONE_LOOKUP)
    proposal = of_energy(system) if system.energy_change is None else 0.0
    return float(system.lattice.n_sites * (_PER_PROPOSAL + _PER_FLOP * proposal))


def lookups(systems: Sequence[Any], rungs: int, draws: int = _DRAWS) -> float:
    """Work of a tempered run: updates of single sites times the tables that each looks up for all of its values."""
    first = systems[0]
    n, sites = first.lattice.n_sites, sites_of(first)
    if first.windows is None and first.pairs is not None:
        each = 1.0
    else:  # a system that is known by its energy alone, which no tables hold, is evaluated whole
        each = float(n) if sites is None else first.space.q * sites.size / n / _ONE_LOOKUP
    return 2.0 * draws * _THIN * len(systems) * rungs * n * max(1.0, each)


_ONE_LOOKUP = 8.0  # look-ups of a table that cost as much as an update of a site with a few neighbours


def _noisy(found: dict[str, Estimates], systems: Sequence[Any]) -> bool:
    return len(systems) > 1 and any(np.mean(one.errors**2) > QUIET * np.mean(one.values.var(0)) for one in found.values())


def _tempered_once(
    systems: Sequence[Any], betas: np.ndarray, rungs: np.ndarray, records: Sequence[Observable], seed: int, draws: int
) -> dict[str, Estimates]:
    """Estimates of every member from one tempered run on a ladder that contains the wanted temperatures.

    Free energies come from Bennett's acceptance ratio between neighbouring rungs, starting at β = 0 where ln Z is
    N ln q exactly.
    """
    first, at = systems[0], np.searchsorted(rungs, betas)
    log_z = any(record.needs_log_z for record in records)
    common = [record for record in records if record.of_states]
    own, points = [record for record in records if not record.of_states], list(enumerate(betas.tolist()))

    def observe(states: np.ndarray) -> dict[str, np.ndarray]:
        """Columns ``(draw, member, beta, chain, k)``, of states ``(draw, member, rung, chain, *sites)``, and energies of all rungs."""
        wanted = states[:, :, at]
        lead, sites = wanted.shape[:4], states.shape[4:]
        every = columns_of(common, wanted.reshape(-1, *sites), first, 1.0)
        kept = {name: values.reshape(*lead, -1) for name, values in every.items()}
        if not own and not log_z:
            return kept
        energies = np.stack([np.asarray(system.energy(states[:, m]), float) for m, system in enumerate(systems)], 1)
        kept |= {"all energies": energies} if log_z else {}
        rows = [
            [_measured(own, wanted[:, m, k], system, energies[:, m, at[k]], beta) for k, beta in points] for m, system in enumerate(systems)
        ]
        joined = {record.name: np.stack([np.stack([part[record.name] for part in row], 1) for row in rows], 1) for record in own}
        return kept | joined

    options: dict[str, Any] = {"draws": draws, "chains": 2, "burn_in": _BURN_IN, "thin": _THIN}
    options["sampler"] = "tempering" if exchanging(systems) else "metropolis"
    kept = simulate_systems(systems, rungs, seed=seed, observe=observe, **options)
    free = _log_partitions(systems, kept.pop("all energies"), rungs, seed, draws)[..., at] if log_z else None
    found = []
    for m in range(len(systems)):
        row = []
        for k, beta in enumerate(betas.tolist()):
            sums = Sums(beta, first.lattice.n_sites)
            for block in np.array_split(np.arange(draws), _BLOCKS):
                sums.add({name: values[block][:, m, k].reshape(len(block) * values.shape[3], -1) for name, values in kept.items()})
            row.append((sums, None if free is None else free[:, m, k, None]))
        found.append(row)
    method = f"simulated: tempering, {len(rungs)} temperatures, 2 x {draws} draws a member"
    return collected(records, found, method, partial(distances, system=first))


def _measured(records: Sequence[Observable], states: np.ndarray, system: Any, energies: np.ndarray, beta: float) -> dict[str, np.ndarray]:
    """Columns ``(draw, chain, k)`` of states ``(draw, chain, *sites)`` whose energies ``(draw, chain)`` are known."""
    lead = energies.shape
    rows = states.reshape(-1, *states.shape[2:])
    found = columns_of(records, rows, Seen(system, rows, energies.ravel()), beta)
    return {name: values.reshape(*lead, -1) for name, values in found.items()}


def ladder(systems: Sequence[Any], betas: np.ndarray) -> np.ndarray:
    """Temperatures from hot to the coldest wanted one, close enough for exchanges, with every wanted one among them."""
    variance = float(np.mean([_free_variance(system) for system in systems[:8]]))
    return np.unique(np.append(tempering.default_ladder(float(betas.max()), variance, systems[0].lattice.n_sites), betas))


def _free_variance(system: Any) -> float:
    """Variance of the energy at infinite temperature: of pairs from their tables, else over random states."""
    pairs = pairs_of(system)
    if pairs is None:
        return float(np.var(np.asarray(system.energy(_random_states(system)), float)))
    tables = pairs.tables
    tables = tables - tables.mean(-1, keepdims=True) - tables.mean(-2, keepdims=True) + tables.mean((-1, -2), keepdims=True)
    return float(np.sum(tables**2) / pairs.q**2 + np.sum(np.nanvar(pairs.known, axis=-1)))


def _log_partitions(systems: Sequence[Any], energies: np.ndarray, rungs: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Ln Z ``(1 + block, member, rung)`` from energies ``(draw, member, rung, chain)``: of all draws, and with each block left out."""
    space, n = systems[0].space, systems[0].lattice.n_sites
    random_states = space.random(np.random.default_rng(seed), (2 * draws, n)).reshape(-1, *systems[0].lattice.shape)
    hot = np.stack([np.asarray(system.energy(random_states)) for system in systems])
    every = np.moveaxis(energies, 0, -1)  # (member, rung, chain, draw)
    keep = [np.ones(draws, bool)]
    for block in np.array_split(np.arange(draws), _BLOCKS):
        keep.append(~np.isin(np.arange(draws), block))
    return np.stack([_log_partition(every[..., kept], hot, rungs, np.log(space.there(n).sum(1)).sum()) for kept in keep])


def _log_partition(energy: np.ndarray, free: np.ndarray, rungs: np.ndarray, start: float) -> np.ndarray:
    """Ln Z on every rung ``(member, rung)`` from energies ``(member, rung, chain, draw)`` and those at β = 0."""
    samples = energy.reshape((*energy.shape[:2], -1))
    keep = samples.shape[-1]
    hot = np.resize(free, (len(free), keep)) if free.shape[1] < keep else free[:, :keep]
    samples = np.concatenate([hot[:, None], samples], 1)
    steps = np.diff(np.concatenate([[0.0], rungs]))[:, None]
    # Work of a step of β forwards from the hotter rung and backwards from the colder one, equally many of each.
    forward, backward = steps * samples[:, :-1], -steps * samples[:, 1:]
    return start - np.cumsum(bennett(forward, backward), -1)
