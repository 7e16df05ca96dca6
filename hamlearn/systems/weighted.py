"""Actions joined from actions at other temperatures: least squares over their kinetic and potential parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import Space, System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import ParametricSystem


@dataclass(frozen=True, eq=False, init=False)
class JoinedAction(ParametricSystem, kind="joined_action", structure=("betas",)):
    """S_β = K/β + βV with K and V from the actions of several systems, each at its own temperature.

    Parameters
    ----------
    parts : sequence of System
        Systems on the same sites; part i is asked for its action at ``betas[i]``.
    betas : sequence of float
        Their inverse temperatures. Several: imaginary-time paths with a fixed number of slices, S_i = K/β_i + β_i V up
        to constants, K and V by least squares (for two the exact identity). One: a classical system, S_β = (β/β_1) S_1.

    Raises
    ------
    HamlearnError
        If parts and temperatures do not match, sites differ, or two temperatures are equal.

    Examples
    --------
    >>> from hamlearn.systems import DoubleWell, Path
    >>> path = Path(8, DoubleWell(4.0, 2.8))
    >>> joined = JoinedAction([path, path], [20.0, 40.0])
    >>> x = np.linspace(-1, 1, 8)
    >>> bool(np.isclose(joined.action(x, 80.0), path.action(x, 80.0)))
    True
    """

    parts: tuple[System, ...]
    betas: tuple[float, ...]

    def __init__(self, parts: Sequence[System], betas: Sequence[float]) -> None:
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in betas))
        if not self.parts or len(self.parts) != len(self.betas):
            raise HamlearnError(f"every part needs its temperature; got {len(self.parts)} parts and {len(self.betas)} values of beta.")
        if len({tuple(part.lattice.shape) for part in self.parts}) > 1:
            raise HamlearnError(f"the parts live on different sites {[tuple(part.lattice.shape) for part in self.parts]}.")
        if len(set(self.betas)) < len(self.betas):
            raise HamlearnError(f"two temperatures are equal (beta = {self.betas}): kinetic and potential parts cannot be told apart.")

    @property
    def lattice(self) -> Lattice:
        """The sites of the parts."""
        return self.parts[0].lattice

    @property
    def space(self) -> Space:
        """The values of the parts."""
        return self.parts[0].space

    @property
    def pure_jax(self) -> bool:
        """Whether every part may be stepped by the jitted samplers."""
        return all(part.pure_jax for part in self.parts)

    @cached_property
    def split(self) -> np.ndarray:
        """The matrix that takes the actions of the parts to K and V, shape ``(2, n_parts)``."""
        if len(self.parts) == 1:
            return np.array([[0.0], [1 / self.betas[0]]])
        betas = np.array(self.betas)
        return np.linalg.pinv(np.stack([1 / betas, betas], 1))

    def weights(self, beta: float) -> np.ndarray:
        """w_i of S_β = Σ w_i S_i, shape ``(n_parts,)``."""
        return np.array([1 / beta, beta]) @ self.split

    def _parts(self, states: Any) -> list[Any]:
        return [part.action(states, beta) for part, beta in zip(self.parts, self.betas, strict=True)]

    def energy(self, states: Any) -> Any:
        """The part V that does not depend on β: the energy of a classical system, the mean potential along a path."""
        total = 0.0
        for action, share in zip(self._parts(states), self.split[1].tolist(), strict=True):
            total = total + share * action
        return total

    def action(self, states: Any, beta: float) -> Any:
        """K/β + βV of states ``(..., *lattice.shape)``, up to a constant."""
        total = 0.0
        for action, (kinetic, potential) in zip(self._parts(states), self.split.T.tolist(), strict=True):
            total = total + (kinetic / beta + potential * beta) * action  # β may be traced by JAX
        return total

    def __repr__(self) -> str:
        return f"JoinedAction({', '.join(f'beta={beta:g}' for beta in self.betas)}, shape={tuple(self.lattice.shape)})"
