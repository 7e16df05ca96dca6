"""State and progress of a simulation as the arrays of a :class:`hamlearn.checkpoint.Checkpoint`, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hamlearn.systems.sampling.loop import Progress


def request(asked: Mapping[str, Any]) -> dict[str, str]:
    """Everything that determines a simulation's result, each by name, as text; dictionaries (a system) entry by entry."""
    flat: dict[str, Any] = {}
    for name, value in asked.items():
        flat |= {f"{name} {key}": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
    return {name: json.dumps(value, sort_keys=True, default=lambda one: np.asarray(one).tolist()) for name, value in flat.items()}


def as_arrays(state: Any, progress: Progress) -> dict[str, np.ndarray]:
    """An engine's state and how far its run is, all but the draws."""
    plain = {one.name: getattr(progress, one.name) for one in fields(progress) if one.name not in ("pilot", "kept", "held", "info")}
    arrays = {"plain": np.asarray(json.dumps(plain))}
    arrays |= {f"state_{index}": np.asarray(leaf) for index, leaf in enumerate(state)}
    arrays |= {f"info_{name}": np.asarray(value) for name, value in progress.info.items()}
    arrays |= {name: np.concatenate(chunks) for name in ("pilot", "held") if (chunks := getattr(progress, name))}
    return arrays


def draws_of(progress: Progress) -> dict[str, list[np.ndarray]]:
    """Draws by name, chunk by chunk: what only grows."""
    return {f"kept_{name}": chunks for name, chunks in progress.kept.items()}


def from_arrays(arrays: Mapping[str, Any], fresh: tuple[Any, Progress]) -> tuple[Any, Progress]:
    """The same two, of the types of `fresh`."""
    state, progress = fresh
    groups: dict[str, dict[str, Any]] = {"kept": {}, "info": {}}
    for name, array in arrays.items():
        group, _, key = name.partition("_")
        if group in groups:
            groups[group][key] = array
    leaves = [arrays[f"state_{index}"] for index in range(len(state))]
    kept = {name: list(chunks) for name, chunks in groups["kept"].items()}
    pilot, held = ([arrays[name]] if name in arrays else [] for name in ("pilot", "held"))
    plain = json.loads(str(arrays["plain"]))
    return type(state)(*leaves), type(progress)(**plain, pilot=pilot, kept=kept, held=held, info=groups["info"])
