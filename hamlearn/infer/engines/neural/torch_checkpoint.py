"""A module, its optimiser and its generator as the arrays of a :class:`hamlearn.checkpoint.Checkpoint`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn


class Held:
    """What every learner of torch answers alike: a module (density, guide) with its optimiser and its generator."""

    density: Any
    optimiser: Any
    generator: torch.Generator

    def weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights."""
        return host_weights(self.density)

    def adopt(self, weights: dict[str, np.ndarray]) -> None:
        """Take weights that were kept."""
        set_weights(self.density, weights)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next round depends on."""
        return arrays_of(self.density, self.optimiser, self.generator)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        restore(self.density, self.optimiser, self.generator, arrays)


def arrays_of(module: nn.Module, optimiser: Any, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Weights, moments and random numbers of a training."""
    arrays = {"generator": generator.get_state().numpy()}
    arrays |= {f"now/{name}": value for name, value in host_weights(module).items()}
    for index, entries in optimiser.state_dict()["state"].items():
        arrays |= {f"adam/{index}/{key}": value.cpu().numpy().copy() for key, value in entries.items()}
    return arrays


def restore(module: nn.Module, optimiser: Any, generator: torch.Generator, arrays: Mapping[str, np.ndarray]) -> None:
    """Set all three to what :func:`arrays_of` read; an error where it is of another module."""
    group = lambda prefix: {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    set_weights(module, group("now/"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in group("adam/").items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = torch.as_tensor(value)
    if state and len(state) != sum(len(one["params"]) for one in optimiser.param_groups):
        raise ValueError("it lacks the optimiser's state of some parameters")
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    generator.set_state(torch.as_tensor(arrays["generator"]))


def host_weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Copies of a module's weights, from whichever device they are on."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def set_weights(module: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Weights that :func:`host_weights` read, in place."""
    module.load_state_dict({name: torch.as_tensor(np.asarray(value)) for name, value in weights.items()})
