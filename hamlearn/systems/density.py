"""A learned density as a world: its Hamiltonian is −ln p/β at the temperature it was learned at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import Space, System
from hamlearn.systems.lattice import Lattice


class LogProb(Protocol):
    """ln p of states ``(..., *shape)``; a density over several temperatures takes the one meant."""

    def __call__(self, states: Any, beta: float | None = None) -> np.ndarray:
        """Log-densities, shape ``(...)``."""
        ...


class Draw(Protocol):
    """Independent microstates ``(count, *shape)``, as :class:`LogProb` takes temperatures."""

    def __call__(self, count: int, seed: int, beta: float | None = None) -> np.ndarray:
        """States, the same for the same seed."""
        ...


@dataclass(frozen=True, eq=False)
class LearnedDensity(System):
    """A normalised density as a Hamiltonian: H(x) = −ln p(x)/β_o, the constant fixed by the normalisation.

    At another temperature its action is βH, as for every classical system. A density that knows several temperatures
    answers with its own: action(x, β) = −ln p(x | β).

    Parameters
    ----------
    lattice : Lattice
        Sites.
    space : Space
        Values of one site.
    beta : float
        Inverse temperature β_o that the density was learned at.
    log_prob : callable
        ln p; evaluates arrays in NumPy, whatever is behind it.
    conditioned : bool
        Whether `log_prob` takes a temperature.
    draw : callable, optional
        Independent microstates of it, ``draw(count, seed, beta)``, shape ``(count, *lattice.shape)``; `beta` as `log_prob` takes it.
    description : dict
        Model and fingerprint of the weights, JSON-ready.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.systems import SPINS, lattice
    >>> fair = LearnedDensity(lattice.hypercubic(3), SPINS, 0.5, lambda states, beta=None: np.full(states.shape[:-1], -3 * np.log(2)))
    >>> fair.energy(np.ones((2, 3)))
    array([4.1588831, 4.1588831])
    """

    lattice: Lattice
    space: Space
    beta: float
    log_prob: LogProb
    conditioned: bool = False
    description: dict[str, Any] | None = None
    draw: Draw | None = None

    def energy(self, states: Any) -> Any:
        """−ln p(x)/β_o of states ``(..., *lattice.shape)``, shape ``(...)``."""
        return -self.log_prob(np.asarray(states), self.beta if self.conditioned else None) / self.beta

    def action(self, states: Any, beta: float) -> Any:
        """β times the energy, or −ln p(x | β) of a density that knows temperatures."""
        return -self.log_prob(np.asarray(states), float(beta)) if self.conditioned else beta * self.energy(states)

    def own_draws(self, beta: float | None = None) -> Callable[[int, int], np.ndarray] | None:
        """Its own, at the temperature it was learned at; at every one of a density that knows temperatures."""
        draw = self.draw
        if draw is None or not (beta is None or self.conditioned or np.isclose(beta, self.beta, rtol=1e-9, atol=0.0)):
            return None
        return lambda count, seed: draw(count, seed, beta if self.conditioned else None)

    def to_dict(self) -> dict[str, Any]:
        """What it is and the fingerprint of its weights (they stay with the posterior: too many for a description)."""
        return {"kind": "density", "lattice": self.lattice.to_dict(), **self.space.attrs, "beta": self.beta} | {
            "description": self.description or {}
        }

    def __repr__(self) -> str:
        return f"LearnedDensity(shape={self.lattice.shape}, beta={self.beta:g})"


def density_from_dict(description: dict[str, Any]) -> LearnedDensity:
    """Always an error: the weights are in the posterior."""
    raise HamlearnError(
        "a learned density cannot be rebuilt from its description: its weights are kept with the posterior. "
        "Load that with hl.load(...) and take hl.draw_systems(post, n)."
    )
