"""Imaginary-time paths whose kinetic term is any even function of a step: S = K/β + βV with K = N_τ Σ k(Δx)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.layers import UnitLayer
from hamlearn.systems.path import Path
from hamlearn.systems.potentials import potential_from_dict, potential_name

_REACH, _POINTS = 64.0, 1 << 17  # of the table that the exact sampler reads k from: steps beyond have no weight left


PARABOLA = UnitLayer([0.0, 0.5], even=True)
"""The steps of a particle of mass one, Δ²/2."""


@dataclass(frozen=True, eq=False)
class NetworkPath(Path, kind="network_path"):
    """Paths x_0 … x_{N_τ−1} with S = Σ [k(x_{t+1} − x_t)/a + a V(x_t)], a = β/N_τ, where k is even.

    With k(Δ) = κΔ²/2 it is a :class:`Path`. Other k are learned (:class:`hamlearn.models.NetworkAction`), or a relativistic particle's.

    Parameters
    ----------
    n_tau, potential, kinetic, a, periodic
        As for :class:`Path`; `kinetic` is κ of the parabola that k follows at long steps, which sets scales and the measure.
    steps : UnitLayer or callable
        k(Δ), elementwise and even.

    Raises
    ------
    HamlearnError
        If `steps` is no even function of arrays, or another argument is out of range.

    Notes
    -----
    Thermodynamics of the particle use the measure of a path integral of mass κ, (κ/2πa)^(N_τ/2) Π dx, whatever k is.

    Examples
    --------
    >>> from hamlearn.systems import DoubleWell
    >>> fast = NetworkPath(8, DoubleWell(4.0, 2.8), steps=lambda d: (1 + d * d) ** 0.5 - 1)
    >>> round(float(fast.action(np.array([1.4] * 7 + [-1.4]), beta=8.0)), 3)  # two steps of 2.8
    3.946
    """

    steps: Callable[[Any], Any] = PARABOLA

    def __post_init__(self) -> None:
        super().__post_init__()
        d = np.linspace(0.05, 6.0, 60)
        try:
            left, right = (np.asarray(self.steps(sign * d), float) for sign in (-1, 1))
        except Exception as error:  # a user's function fails as it likes
            raise HamlearnError(f"steps {potential_name(self.steps)!r} must map arrays of steps to k; it failed: {error}") from error
        if right.shape != d.shape or not np.allclose(left, right, rtol=1e-9, atol=1e-12):
            raise HamlearnError("steps must be an even function, elementwise: k(-d) = k(d), for paths have no arrow of time.")

    @property
    def quadratic(self) -> bool:
        """Whether the kinetic term is that of a particle: not here."""
        return False

    def link(self, steps: Any) -> Any:
        """The function k of steps, elementwise."""
        return self.steps(steps)

    def near_link(self, steps: np.ndarray) -> np.ndarray:
        """The same from a table, to 1e-6: for samplers, which ask for it many times."""
        return np.interp(np.abs(steps), *self._table)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        grid = np.linspace(0.0, _REACH, _POINTS)
        return grid, np.asarray(self.steps(grid), float)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description.

        Raises
        ------
        HamlearnError
            If `steps` or the potential is a function without a name of its own.
        """
        if not isinstance(self.steps, UnitLayer):
            raise HamlearnError("these steps are a function of your own: it simulates, but only a UnitLayer can be written down.")
        return {**super().to_dict(), "kind": "network_path", "steps": self.steps.to_dict()}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any], potential: Any = None) -> NetworkPath:
        """The path that :meth:`to_dict` described."""
        given = {key: description[key] for key in ("kinetic", "a", "periodic")}
        found = potential_from_dict(description["potential"], potential)
        return cls(description["n_tau"], found, **given, steps=UnitLayer.from_dict(description["steps"]))

    def __repr__(self) -> str:
        return f"NetworkPath(n_tau={self.n_tau}, {potential_name(self.potential)}, steps={potential_name(self.steps)})"
