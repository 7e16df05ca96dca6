"""Log Z and whatever else of interacting spins that no oracle knows, from annealed walks with weights.

What matters is the scatter of the weights: their effective share (:mod:`hamlearn.infer.shares`) says whether walks were slow enough, and
they are made slower until it may be trusted. Members that are close share the walks of their mean. Where the share stays small (glassy
couplings, an ordered phase of many spins) the tempering of :mod:`.simulated` answers, and the share goes along as a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hamlearn.infer.predictions.estimator import Estimates, Sums, collected, columns_of_all, distances, energies_of_all
from hamlearn.infer.predictions.exactly import tracked
from hamlearn.infer.predictions.intervals import QUIET
from hamlearn.infer.predictions.shared import mean_of, summary
from hamlearn.infer.predictions.work import CALL, PER_ENERGY, Work, longest, of_energy
from hamlearn.infer.shares import TRUSTED
from hamlearn.systems.observables import Observable
from hamlearn.systems.sampling.annealing import annealed, annealed_exchanges, independent_start
from hamlearn.systems.sampling.kawasaki import Kawasaki

MOST_SITES = 256  # more spins need walks longer than tempering takes
MOST_UPDATES = 1 << 29  # of single sites: about ten seconds
_WALKS, _STEPS = 512, 64  # of a member (of the mean one) at a temperature, to begin with
_SHARED = 8  # times as many walks where all members share them
_MOST_WALKS = 1 << 16  # of one member: their columns are held at once
_PER_SITE = 200.0  # operations of a site of a walk in columns and sums
_BLOCKS = 32  # of walks, each left out once for errors
_CLOSE = 0.5  # of the mean member's share, that reweighting must leave every member
_PER_UPDATE = 200.0  # operations of an update of a site, most of which flip: "40 spins, all pairs, entropy, 16 draws"


def refusal(systems: Sequence[Any]) -> str | None:
    """Why walks are not for these systems, in a few words; None where they are."""
    first = systems[0]
    listed = lambda one: one.pairs is not None or (bool(one.space.constraint) and one.windows is not None)
    if not first.space.binary or not all(map(listed, systems)):
        return "they are no spins with pair couplings"
    return None if first.lattice.n_sites <= MOST_SITES else f"more than {MOST_SITES} sites"


Answer = tuple[dict[str, Estimates], np.ndarray]


def from_walks(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work) -> dict[str, Estimates]:
    """Estimates of every member; their ``share`` is the smallest effective share of walks that a member has.

    Walks are four times slower while the share is not trusted, and four times as many while their noise is more than a tenth of the
    members' variance. Errors are of leaving out blocks of walks, which are independent; those of shared walks are common to all members.
    """
    centre = mean_of(systems) if len(systems) > 1 else None
    middle = systems[0] if centre is None else centre
    windows = middle.pairs is None  # more than two spins interact, where their sum is fixed
    J, h, _ = (np.zeros(()), np.zeros(middle.lattice.n_sites), 0.0) if windows else _terms(middle)
    ups = middle.space.ups(len(h)) if middle.space.constraint else None
    starts = [independent_start(beta * J, beta * h, seed) for beta in betas.tolist()] if ups is None else []

    def walked(system: Any, k: int, walks: int, steps: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """States and the logarithms of their weights, whose mean is Z."""
        root = np.random.SeedSequence([seed, index, k, walks, steps])
        if system.pairs is None:
            return _exchanged_windows(system, float(betas[k]), walks, steps, root)
        J, h, constant = _terms(system)
        if ups is not None:
            flat, log_weight = annealed_exchanges(betas[k] * J, betas[k] * h, ups, walks, steps, root)
            return flat.reshape(-1, *system.lattice.shape), log_weight - betas[k] * constant
        flat, log_weight = annealed(betas[k] * J, betas[k] * h, starts[k], walks, steps, root)
        return flat.reshape(-1, *system.lattice.shape), log_weight - betas[k] * constant

    def together(walks: int, steps: int) -> Answer | None:
        runs = [walked(centre, k, walks, steps, 0) for k in range(len(betas))]
        weighed = [_weighed(records, *run, systems, centre, beta) for run, beta in zip(runs, betas.tolist(), strict=True)]
        if any(share.min() < _CLOSE * own for _, _, share, own in weighed):
            return None
        found = {record.name: [summary(sums, record, log_z) for sums, log_z, *_ in weighed] for record in records}
        words = f"estimated: {walks} annealed walks of {steps} sweeps, reweighted to every member"
        result = {}
        for record in records:
            values, errors = (np.stack([at[part] for at in found[record.name]], 1) for part in (0, 1))
            common = np.stack([at[2] for at in found[record.name]])
            result[record.name] = Estimates(values, errors, words, distances(record, systems[0]), shared=common)
        return result, np.array([share.min() for _, _, share, _ in weighed])

    def separately(walks: int, steps: int) -> Answer:
        def member(pair: tuple[int, Any]) -> list[tuple[Sums, np.ndarray, np.ndarray, float]]:
            index, one = pair
            runs = [walked(one, k, walks, steps, index) for k in range(len(betas))]
            return [_weighed(records, *run, [one], one, beta) for run, beta in zip(runs, betas.tolist(), strict=True)]

        runs = tracked(member, list(enumerate(systems)), "annealing")
        found = [[at[:2] for at in run] for run in runs]
        words = f"estimated: {walks} annealed walks of {steps} sweeps a member"
        share = np.array([[at[3] for at in run] for run in runs]).min(0)
        return collected(records, found, words, partial(distances, system=systems[0])), share

    sites = len(betas) * middle.lattice.n_sites
    close = None
    if centre is not None:
        energies = len(betas) * len(systems) * PER_ENERGY * of_energy(middle)
        close = _lengthened(together, "of the mean member", _SHARED * _WALKS, sites, energies, work)
    answer = close or _lengthened(
        separately, f"for each of {len(systems)} members", _WALKS, len(systems) * sites, len(systems) * CALL / _WALKS, work
    )
    assert answer is not None
    result, share = answer
    return {name: replace(one, share=share) for name, one in result.items()}


def _lengthened(run: Callable[[int, int], Answer | None], whose: str, walks: int, sites: int, per_walk: float, work: Work) -> Answer | None:
    """A run of walks, slower or more of them as far as needed and affordable; announced each time."""
    steps = _STEPS
    while True:
        cost = lambda walks, steps: walks * (sites * (steps * _PER_UPDATE + _PER_SITE) + per_walk)
        most = longest(1.0, MOST_UPDATES / (sites * walks * steps)) * cost(walks, steps)
        work.announce(f"{walks} annealed walks of {steps} sweeps {whose}", cost(walks, steps), most)
        answer = run(walks, steps)
        if answer is None:
            return None
        result, share = answer
        slower = bool((share < TRUSTED).any())
        noisy = 4 * walks <= _MOST_WALKS and any(map(_noisy, result.values()))
        if not (slower or noisy) or 4 * sites * walks * steps > MOST_UPDATES:
            return answer
        steps, walks = (4 * steps, walks) if slower else (steps, 4 * walks)


def _noisy(one: Estimates) -> bool:
    """Whether the noise of members is no small part of their spread, at any temperature; of one member there is none to compare with."""
    if len(one.values) < 2:
        return False
    noise = (one.errors**2).mean(0) + (0.0 if one.shared is None else one.shared**2)
    spread = one.values.var(0, ddof=1)
    of_beta = tuple(range(1, noise.ndim))
    return bool(np.any(noise.mean(of_beta) > QUIET * spread.mean(of_beta)))


def _exchanged_windows(system: Any, beta: float, walks: int, steps: int, root: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`annealed_exchanges`, of tables of windows: states ``(walk, *sites)`` and the logarithms of their weights."""
    n, (start, sweeps) = system.lattice.n_sites, root.spawn(2)
    flat = system.space.random(np.random.default_rng(start), (walks, n))
    log_weight = np.full(walks, math.log(math.comb(n, system.space.ups(n))))
    ladder = np.linspace(0.0, beta, steps + 1)
    for before, here, seed in zip(ladder[:-1], ladder[1:], sweeps.spawn(steps), strict=True):
        log_weight -= (here - before) * np.asarray(system.energy(flat.reshape(-1, *system.lattice.shape)), float)
        engine = Kawasaki().engine(system, np.array([here]), walks, 0)
        flat = engine.advance(engine.init(flat, seed), 1, 1)[1][0]
    return flat.reshape(-1, *system.lattice.shape), log_weight


def weighted_states(system: Any, beta: float, walks: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """States ``(walk, *sites)`` of a system with weights that add up to one, and their effective share: slower until it is trusted."""
    J, h, _ = _terms(system)
    start, steps = independent_start(beta * J, beta * h, seed), _STEPS
    while True:
        flat, log_weight = annealed(beta * J, beta * h, start, walks, steps, np.random.SeedSequence([seed, walks, steps]))
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        share = float(1 / (len(weight) * (weight**2).sum()))
        if share >= TRUSTED or 4 * len(h) * walks * steps > MOST_UPDATES:
            return flat.reshape(-1, *system.lattice.shape), weight, share
        steps *= 4


def _terms(system: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """J as a matrix, h, and the constant that the energy has beside them."""
    pairs = system.pairs  # of all states, or of those of one sum
    J, h = pairs.of_spins()
    n, (i, j) = pairs.lattice.n_sites, np.asarray(pairs.lattice.bonds).T
    matrix = np.zeros((n, n))
    np.add.at(matrix, (i, j), J)
    matrix += matrix.T
    up = np.ones((1, *system.lattice.shape), np.int8)
    return matrix, h, float(np.asarray(system.energy(up), float)[0] + J.sum() + h.sum())


def _weighed(
    records: Sequence[Observable], states: np.ndarray, log_weight: np.ndarray, systems: Sequence[Any], walker: Any, beta: float
) -> tuple[Sums, np.ndarray, np.ndarray, float]:
    """Weighted sums of the members in blocks of walks, log Z ``(1 + block, member)`` of all walks and with each block left out.

    With them the effective share of every member's weights ``(member,)``, and that of the `walker` whose walks they are.
    """
    top, blocks = float(log_weight.max()), np.array_split(np.arange(len(states)), _BLOCKS)
    sums, weights = Sums(beta, walker.lattice.n_sites), []
    change = np.zeros((len(states), len(systems)))
    alone = len(systems) == 1 and systems[0] is walker
    energies = [energies_of_all(systems, states[block]) for block in blocks]
    if not alone:
        for block, energy in zip(blocks, energies, strict=True):
            change[block] = -beta * (energy - energies_of_all([walker], states[block]))
    high = change.max(0)
    for block, energy in zip(blocks, energies, strict=True):
        weight = np.exp(log_weight[block, None] - top + change[block] - high)
        sums.add(columns_of_all(records, states[block], systems, beta, energy), weight)
        weights.append(weight)
    every, own = np.concatenate(weights), np.exp(log_weight - top)
    total, sizes = np.stack([weight.sum(0) for weight in weights]), np.array([len(block) for block in blocks])
    left = (every.sum(0) - total) / (len(states) - sizes)[:, None]
    log_z = top + high + np.log(np.concatenate([every.mean(0)[None], left]))
    share = lambda w: w.sum(0) ** 2 / (len(w) * (w**2).sum(0))
    return sums, log_z, share(every), float(share(own))
