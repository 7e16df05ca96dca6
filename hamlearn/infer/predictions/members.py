"""Every observable of many systems at many temperatures: who answers for which of them, and what it will cost."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.predictions import densities, exactly, simulated
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.systems import exact
from hamlearn.systems.exact import Oracle
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND
from hamlearn.systems.observables import Observable

logger = logging.getLogger("hamlearn")
_PER_UPDATE = 150.0  # operations of an update of a site, of any sampler, about
_PER_CONTINUOUS = 2e4  # of a site of a draw by hybrid Monte Carlo: trajectories, burn-in and the transform


def estimate(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int) -> dict[str, Estimates]:
    """Every observable of every member: by an oracle where there is one, by simulation otherwise.

    Members of a sparse posterior may be of several kinds (one in a hundred holds a further term); each kind is treated by
    itself.
    """
    groups: dict[Any, list[int]] = {}
    for index, system in enumerate(systems):
        groups.setdefault((type(system), exact.method(system), system.lattice), []).append(index)
    found = [_one_kind([systems[k] for k in where], betas, records, seed) for where in groups.values()]
    if len(found) == 1:
        return found[0]
    order = np.argsort(np.concatenate(list(groups.values())), kind="stable")
    merged = {}
    for name in (record.name for record in records):
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


def _one_kind(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int) -> dict[str, Estimates]:
    oracle, result = exact.oracle(systems[0]), {}
    if oracle is not None:
        result = exactly.from_oracle(oracle, systems, betas, records, seed, simulable=not exactly.closed(records))
    left = [record for record in records if record.name not in result]
    if left and exactly.closed(left):
        names = ", ".join(record.name for record in left)
        raise HamlearnError(f"{names} of {systems[0]!r} needs its transfer operator: periodic paths of neighbouring slices.")
    return result | (simulated.from_simulation(systems, betas, left, seed) if left else {})


def particle(system: Any) -> Any:
    """A path of fixed width as one whose β is that of its slices, so that thermal derivatives mean the same; others as they are."""
    line = system.nearest_path
    return system if line is None or line.a is None else dataclasses.replace(line, a=None)


def work(systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable]) -> float:
    """Operations of :func:`estimate`, about: counted before it starts, the same on every machine; longer runs may follow once."""
    first, members = systems[0], len(systems)
    sites, oracle = first.lattice.n_sites, exact.oracle(systems[0])
    if densities.is_density(first):
        return _PER_UPDATE * densities.DRAWS * sites * len({id(one.log_prob.__self__) for one in systems})
    if oracle is not None and (_in_closed_form(oracle, records) or "sample" in oracle.gives):
        return members * sum(oracle.cost(first, float(beta)) for beta in betas)
    if first.space.continuous:
        return _PER_CONTINUOUS * 400 * 8 * sites * members * len(betas)
    return _PER_UPDATE * simulated.lookups(systems, len(simulated.ladder(systems, betas)))


def _in_closed_form(oracle: Oracle, records: Sequence[Observable]) -> bool:
    return all(record.name in ("energy", "heat_capacity", "entropy", "free_energy") or exactly.closed([record]) for record in records)


def announce(operations: float, members: int, betas: int) -> None:
    """Say what is to be done before it is."""
    seconds = operations / OPERATIONS_PER_SECOND
    logger.info("predicting from %d draws at %d values of beta: about %.2g s of counted work", members, betas, seconds)
