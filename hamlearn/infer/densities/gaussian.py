"""A learned Gaussian machine as a density: ln p and draws, exact at every temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.systems import exact
from hamlearn.systems.base import Space
from hamlearn.systems.gaussian_machine import GaussianMachine


@dataclass(frozen=True, eq=False)
class GaussianDensity:
    """What verbs of densities ask of one machine of a posterior, which knows all temperatures.

    Attributes
    ----------
    system : GaussianMachine
    beta : float
        Where nothing is said: that of the data.
    """

    system: GaussianMachine
    beta: float
    conditioned: ClassVar[bool] = True
    elements: ClassVar[int] = 1

    @property
    def space(self) -> Space:
        """Real numbers."""
        return self.system.space

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the site axes."""
        return tuple(self.system.lattice.shape)

    def log_prob(self, states: Any, beta: Any = None) -> np.ndarray:
        """Ln p of fields ``(..., *shape)``, shape ``(...)``, at a temperature, or at one each."""
        at = np.asarray(self.beta if beta is None else beta, float)
        log_z = 0.5 * np.log(2 * np.pi / (at[..., None] * self.system.spectrum())).sum(-1)
        return np.asarray(-at * self.system.energy(np.asarray(states, float)) - log_z, float)

    def sample(self, count: int, seed: int, beta: float | None = None) -> np.ndarray:
        """Independent fields ``(count, *shape)``."""
        return np.asarray(exact.sample(self.system, self.beta if beta is None else float(beta), int(count), seed=int(seed)))
