"""Every observable of many systems at many temperatures: who answers for which of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.predictions import exactly, kept, simulated
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.infer.predictions.work import Work
from hamlearn.systems import exact
from hamlearn.systems.observables import Observable


def estimate(
    systems: Sequence[Any],
    betas: np.ndarray,
    records: Sequence[Observable],
    seed: int,
    work: Work | None = None,
    key: Hashable = None,
) -> dict[str, Estimates]:
    """Every observable of every member: by an oracle where there is one, by simulation otherwise; `work` adds up what that costs.

    Members of a sparse posterior may be of several kinds (one in a hundred holds a further term); each kind is treated by
    itself. Where a `key` says what the systems are, what is found of them is kept under it (:mod:`.kept`).
    """
    work = Work() if work is None else work
    groups: dict[Any, list[int]] = {}
    for index, system in enumerate(systems):
        groups.setdefault((type(system), exact.method(system), system.lattice), []).append(index)
    found = []
    for where in groups.values():
        some = [systems[k] for k in where]
        whole = None if key is None else (key, type(some[0]), tuple(where))  # a class written anew is another, whatever its name
        asked = None if key is None else (whole, betas.tobytes(), tuple(records), seed)
        answer, operations = kept.recall(asked, partial(_counted, some, betas, records, seed, whole))
        work.operations += operations  # the same, whatever was asked before
        found.append(answer)
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
        shares = [piece.share for piece in pieces if piece.share is not None]
        share = np.min(shares, 0) if shares else None
        merged[name] = Estimates(arrays[0], arrays[1], "; ".join(methods), pieces[0].distances, shared, share=share)
    return merged


def _counted(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, key: Hashable
) -> tuple[dict[str, Estimates], float]:
    """Estimates of systems of one kind, and the work that they took."""
    work = Work()
    return _one_kind(systems, betas, records, seed, work, key), work.operations


def _one_kind(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work, key: Hashable
) -> dict[str, Estimates]:
    oracle, result = exact.oracle(systems[0]), {}
    if oracle is not None:
        result = exactly.from_oracle(oracle, systems, betas, records, seed, work, simulable=not exactly.closed(records), key=key)
    left = [record for record in records if record.name not in result]
    if left and exactly.closed(left):
        names = ", ".join(record.name for record in left)
        raise HamlearnError(f"{names} of {systems[0]!r} needs its transfer operator: periodic paths of neighbouring slices.")
    return result | (simulated.from_simulation(systems, betas, left, seed, work) if left else {})


def particle(system: Any) -> Any:
    """A path of fixed width as one whose β is that of its slices, so that thermal derivatives mean the same; others as they are."""
    line = system.nearest_path
    return system if line is None or line.a is None else dataclasses.replace(line, a=None)
