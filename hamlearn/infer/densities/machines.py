"""A learned restricted Boltzmann machine as a density: ln p by its normaliser, and draws of replicas that were exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hamlearn.models.rbm import RBM
from hamlearn.systems.base import Space
from hamlearn.systems.hidden import MOST_DRAWN
from hamlearn.systems.rbm import RestrictedBoltzmannMachine
from hamlearn.systems.sampling import replicas
from hamlearn.systems.sampling.line import Line

PARTS = ("alone", "visible", "hidden", "weights")


class MachineDensity:
    """What verbs of densities ask of one machine of a posterior.

    Parameters
    ----------
    model : RBM
    space, shape : Space, tuple of int
        Values and extents of the site axes.
    weights : mapping of arrays
        ``visible``, ``hidden`` and ``weights`` of units in {0, 1}, and ``alone``, b of independent sites as frequent in their values.
    beta : float
        Temperature of the data.
    log_z : float
        What the machine is normalised by.

    Attributes
    ----------
    system : RestrictedBoltzmannMachine
        H = −ln p/β.
    """

    conditioned, elements = False, 1

    def __init__(
        self, model: RBM, space: Space, shape: tuple[int, ...], weights: Mapping[str, np.ndarray], beta: float, log_z: float
    ) -> None:
        self.observed: Any = None  # what the microstates it was learned from say of its ln p, where that was recorded
        self.model, self.space, self.shape, self.weights, self.beta = model, space, tuple(shape), weights, float(beta)
        visible, hidden, matrix = (np.asarray(weights[name], float) for name in PARTS[1:])
        if not space.binary:  # the first value of every site is the reference
            visible = np.concatenate([np.zeros((len(visible), 1)), visible], 1)
            matrix = np.concatenate([np.zeros((len(matrix), 1, matrix.shape[-1])), matrix], 1)
        else:
            visible, matrix = visible[:, 0], matrix[:, 0]
        given: dict[str, Any] = {"space": space, "beta": self.beta, "log_z": log_z}
        self.system = RestrictedBoltzmannMachine(self.shape, visible, hidden, matrix, **given).drawing(self)

    def log_prob(self, states: Any, beta: float | None = None) -> np.ndarray:
        """Ln p of states ``(..., *shape)``, shape ``(...)``."""
        return np.asarray(-self.beta * self.system.energy(np.asarray(states)), float)

    def sample(self, count: int, seed: int, beta: float | None = None) -> np.ndarray:
        """Microstates ``(count, *shape)``: independent ones of few hidden units, else of replicas exchanged on the line to it."""
        if self.model.hidden <= MOST_DRAWN:
            index = self.system.hidden_layer.draws(int(count), int(seed))
        else:
            index = replicas.draws(self.line, int(count), int(seed))
        return np.asarray(self.space.from_index(index.reshape(count, *self.shape)))

    def drawn_seconds(self, count: int) -> float:
        """CPU seconds of so many draws, about."""
        return replicas.draw_seconds(self.line, count)

    @property
    def line(self) -> Line:
        """From independent sites to the machine."""
        return Line(**{name: np.asarray(self.weights[name], float) for name in PARTS})
