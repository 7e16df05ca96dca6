"""A training's state as the arrays of a :class:`hamlearn.checkpoint.Checkpoint`, and back."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hamlearn import checkpoint
from hamlearn.models.autoregressive.build import with_weights
from hamlearn.models.autoregressive.symmetrised import Symmetrised

Kept = tuple[dict[str, Any], dict[str, np.ndarray]]  # history and best weights


class Checkpoint(checkpoint.Checkpoint):
    """Where a training saves itself, and what it must agree with to be continued.

    Parameters
    ----------
    path : str or path
        The file.
    request : dict of str
        What determines the result, each by name: model, space, sites, data, settings, seed.
    """

    def __init__(self, path: Any, request: Mapping[str, str]) -> None:
        super().__init__(path, request, of="training")

    def resume(self, density: Symmetrised, optimiser: Any, generator: torch.Generator) -> Kept | None:
        """History and best weights from the file, with everything else set to its state there; None if it is of no use."""

        def build(arrays: dict[str, np.ndarray]) -> Kept:
            before = host_weights(density), copy.deepcopy(optimiser.state_dict()), generator.get_state()
            try:
                return _set(arrays, density, optimiser, generator)
            except Exception:
                with_weights(density, before[0])
                optimiser.load_state_dict(before[1])
                generator.set_state(before[2])
                raise

        return self.restore(build)

    def keep(
        self, history: dict[str, Any], best: dict[str, np.ndarray], density: Symmetrised, optimiser: Any, generator: torch.Generator
    ) -> None:
        """Save all of it."""
        arrays: dict[str, Any] = {"history": json.dumps(history), "generator": generator.get_state().numpy()}
        arrays |= {f"now/{name}": value for name, value in host_weights(density).items()}
        arrays |= {f"best/{name}": value for name, value in best.items()}
        for index, entries in optimiser.state_dict()["state"].items():
            arrays |= {f"adam/{index}/{key}": np.asarray(value.cpu()) for key, value in entries.items()}
        self.save(arrays)


def _set(arrays: dict[str, np.ndarray], density: Symmetrised, optimiser: Any, generator: torch.Generator) -> Kept:
    group = lambda prefix: {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    history: dict[str, Any] = json.loads(str(arrays["history"]))
    with_weights(density, group("now/"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in group("adam/").items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = torch.as_tensor(value)
    if state and len(state) != len(list(density.parameters())):
        raise ValueError("it lacks the optimiser's state of some parameters")
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    generator.set_state(torch.as_tensor(arrays["generator"]))
    return history, group("best/")


def host_weights(density: Symmetrised) -> dict[str, np.ndarray]:
    """:func:`.build.weights_of` from whichever device they are on."""
    return {name: value.detach().cpu().numpy().copy() for name, value in density.state_dict().items()}
