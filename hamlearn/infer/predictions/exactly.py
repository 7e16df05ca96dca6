"""Columns from oracles: thermodynamics in closed form, all states with their weights, or independent samples."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from hamlearn.infer.predictions import kept
from hamlearn.infer.predictions.estimator import Estimates, Seen, Sums, collected, columns_of, distances
from hamlearn.infer.predictions.intervals import QUIET
from hamlearn.infer.predictions.work import CALL, PER_COLUMN, PER_STATE, TRANSFER, Work, longest, of_energy
from hamlearn.progress import track
from hamlearn.systems import exact
from hamlearn.systems.exact import Oracle, enumeration
from hamlearn.systems.exact.curves import Curves
from hamlearn.systems.observables import Observable

MOST_SITES = 1 << 26  # sites drawn for all members at all temperatures together: about half a minute
_DRAWS = 256  # independent ones per member and temperature to begin with, four times as many while they are not quiet
_BLOCKS = 8
_CHUNK = 1 << 16
_MINUTE = 3e11  # operations of oracles of continuous systems, about half a minute; simulations take over, where there are any
_FEWEST = 4  # members that are solved whatever it costs


def affordable(oracle: Oracle, system: Any, betas: np.ndarray, members: int) -> int:
    """How many members the oracle solves: counted, so that the same call gives the same bands on any machine."""
    if not system.space.continuous:
        return members
    work = sum(oracle.cost(system, float(beta)) for beta in betas)
    return int(np.clip(_MINUTE / work, min(members, _FEWEST), members))


def from_oracle(
    oracle: Oracle,
    systems: Sequence[Any],
    betas: np.ndarray,
    records: Sequence[Observable],
    seed: int,
    work: Work,
    *,
    simulable: bool,
    key: Hashable = None,
) -> dict[str, Estimates]:
    """What an oracle knows of the observables; where it affords few members only, what cannot be `simulable` is of these few."""
    if "states" in oracle.gives and not closed(records):  # their energies are kept: another temperature only weighs them anew
        return enumerated(systems, betas, records, work, key)
    first, thermal = systems[0], _thermal(oracle, systems[0], betas, records, work)
    solved = affordable(oracle, first, betas, len(systems)) if thermal else len(systems)
    if solved < len(systems) and simulable:
        thermal = [record for record in thermal if record.needs_log_z]
    result = _curves(oracle, systems[:solved], betas, thermal, len(systems), work) if thermal else {}
    left = [record for record in records if record.name not in result and not record.needs_log_z]
    if solved < len(systems) and simulable:
        return result
    left = [record for record in left if not closed([record])]
    if left and "states" in oracle.gives:
        result |= enumerated(systems, betas, left, work, key)
    elif left and "sample" in oracle.gives:
        result |= sampled(oracle, systems, betas, left, seed, work)
    return result


def closed(records: Sequence[Observable]) -> bool:
    """Whether any of the observables has no columns: it is known in closed form or not at all."""
    return any(record.columns is None for record in records)


def _thermal(oracle: Oracle, system: Any, betas: np.ndarray, records: Sequence[Observable], work: Work) -> list[Observable]:
    """Observables that the oracle has in closed form, by the names of its columns."""
    if not records or "thermodynamics" not in oracle.gives:
        return []
    some = betas[:1] if oracle.values_per_point == 1 else betas  # a curve through log Z compiles no derivatives, a point would
    work.announce(f"what the oracle {oracle.name} knows", len(some) * oracle.cost(system, float(betas[0])), compiling=TRANSFER)
    columns = set(Curves(oracle, some).of(system).data_vars)
    columns |= {"correlation"} if system.space.continuous and "expectations" in oracle.gives else set()
    return [record for record in records if record.name in columns]


def _curves(
    oracle: Oracle, systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], asked: int, work: Work
) -> dict[str, Estimates]:
    """Thermodynamics of every member, and the correlation function of rings."""
    each = sum(CALL + oracle.cost(systems[0], float(beta)) for beta in betas)
    work.announce(f"exact thermodynamics of {len(systems)} members", len(systems) * each)
    found: dict[str, list[np.ndarray]] = {record.name: [] for record in records}
    curves = Curves(oracle, betas)
    with track(len(systems), "exact thermodynamics") as bar:
        for system in systems:
            curve = curves.of(system)
            for record in records:
                if record.name in curve:
                    found[record.name].append(curve[record.name].values)
                else:
                    local = [exact.expectations(system, float(beta), oracle=oracle)[record.name].values for beta in betas]
                    found[record.name].append(np.stack(local))
            bar.advance(1)
    method = f"exact ({oracle.name})" + ("" if len(systems) == asked else f", {len(systems)} members")
    result = {}
    for record in records:
        values = np.stack(found[record.name])
        result[record.name] = Estimates(values, np.zeros_like(values), method, distances(record, systems[0]))
    return result


def enumerated(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], work: Work | None = None, key: Hashable = None
) -> dict[str, Estimates]:
    """Every observable of every member from the weights of all states: exact.

    Parameters
    ----------
    systems : sequence of System
        Members on one lattice of at most 2^20 states.
    betas : array (beta,)
        Inverse temperatures.
    records : sequence of Observable
        Whatever has columns.
    work : Work, optional
        Adds up what it costs.
    key : hashable, optional
        Says what the systems are: their energies of all states are kept under it (:mod:`.kept`).

    Examples
    --------
    >>> from hamlearn.systems import Ising, observables
    >>> system = Ising((3, 3))
    >>> found = enumerated([system], np.array([0.4]), observables.looked_up(["abs_magnetization"], system))
    >>> round(float(found["abs_magnetization"].values[0, 0]), 6), found["abs_magnetization"].method
    (0.816861, 'exact (enumeration)')
    """
    first = systems[0]
    indices = enumeration.all_states(first.lattice, first.space.extent)
    each = of_energy(first) + PER_STATE * (1 + len(betas))
    (work or Work()).announce(f"all states of {len(systems)} members", len(systems) * (CALL + len(indices) * each))
    pieces = [first.space.from_index(indices[start : start + _CHUNK]) for start in range(0, len(indices), _CHUNK)]
    joined = lambda parts: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    common = [record for record in records if record.of_states]
    named = lambda *what: None if key is None else (key, *what)
    shared = kept.recall(
        named("columns", *common), lambda: joined([columns_of(common, piece, first, float(betas[0])) for piece in pieces]) if common else {}
    )
    own = [record for record in records if not record.of_states]

    def member(pair: tuple[int, Any]) -> list[tuple[Sums, np.ndarray]]:
        index, system = pair
        minus_energy, found = kept.recall(named("states", index), lambda: exact.state_log_weights(system)), []
        possible = np.where(np.isfinite(minus_energy), minus_energy, 0.0)  # what is not allowed weighs nothing
        known = [Seen(system, piece, -possible[k * _CHUNK : (k + 1) * _CHUNK]) for k, piece in enumerate(pieces)]
        for beta in betas.tolist():
            top = minus_energy.max()
            weight = np.exp(beta * (minus_energy - top))
            sums = Sums(beta, system.lattice.n_sites)
            sums.add(shared | joined([columns_of(own, *pair, beta) for pair in zip(pieces, known, strict=True)]), weight[:, None])
            found.append((sums, np.full((1, 1), beta * top + np.log(weight.sum()))))
        return found

    return collected(
        records, tracked(member, list(enumerate(systems)), "exact moments"), "exact (enumeration)", partial(distances, system=first)
    )


def sampled(
    oracle: Oracle, systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work
) -> dict[str, Estimates]:
    """The same from independent exact draws: four times as many while their noise is more than a tenth of the members' variance.

    What noise is left when the draws have reached their limit is in ``errors``, and the intervals hold it.
    """
    draws, first = _DRAWS, systems[0]
    calls = len(systems) * len(betas)
    compiling, each = TRANSFER, (oracle.cost_of_draw(first) + PER_COLUMN * of_energy(first)) * calls

    def member(pair: tuple[int, Any]) -> list[tuple[Sums, None]]:
        index, system = pair
        found = []
        for place, beta in enumerate(betas.tolist()):
            states = exact.sample(system, beta, draws, seed=seed + 7919 * index + place, oracle=oracle)
            found.append((in_blocks(records, np.array_split(states, _BLOCKS), system, beta), None))
        return found

    while True:
        most = longest(draws, MOST_SITES / (first.lattice.n_sites * calls)) * each
        work.announce(f"{draws} exact samples of {len(systems)} members", calls * CALL + draws * each, most, compiling)
        method = f"exact samples ({oracle.name}), {draws} draws a member"
        result = collected(records, tracked(member, list(enumerate(systems)), "exact sampling"), method, partial(distances, system=first))
        # Of every temperature by itself: where members hardly differ the others must not hide it.
        noisy = len(systems) > 1 and any(_loud(one) for one in result.values())
        if not noisy or 4 * draws * first.lattice.n_sites * calls > MOST_SITES:
            return result
        draws, compiling = 4 * draws, 0.0


def in_blocks(records: Sequence[Observable], blocks: Sequence[np.ndarray], system: Any, beta: float) -> Sums:
    """Sums of states ``(draw, *sites)`` in blocks."""
    sums = Sums(beta, system.lattice.n_sites)
    for block in blocks:
        sums.add(columns_of(records, block, system, beta))
    return sums


def tracked(run: Any, items: Sequence[Any], what: str) -> list[Any]:
    """`run` of every item, with a bar."""
    found = []
    with track(len(items), what) as bar:
        for item in items:
            found.append(run(item))
            bar.advance(1)
    return found


def _loud(one: Estimates) -> bool:
    axes = (0, *range(2, one.values.ndim))
    return bool(np.any((one.errors**2).mean(axes) > QUIET * one.values.var(0).reshape(one.values.shape[1], -1).mean(1)))
