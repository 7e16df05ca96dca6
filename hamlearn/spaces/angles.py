"""Angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import Space, Symmetry
from hamlearn.spaces.numbers import floats

TURN = 2 * np.pi
"""A full turn: angles are in [0, 2π)."""


@dataclass(frozen=True)
class Angles(Space, name="angles"):
    """Angles in radians, in [0, 2π)."""

    period: ClassVar[float | None] = TURN
    interaction: ClassVar[str] = "xy"

    @property
    def features(self) -> int:
        """Both components."""
        return 2

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Radians in [0, 2π), or reduced to it by `wrap`."""
        values = floats(array, "angles", q)
        if np.any(values == values.dtype.type(TURN)) and values.dtype == np.float32:
            values = np.where(values == np.float32(TURN), np.float32(0), values)  # what an angle just below 2π rounds to
        low, high = float(values.min()), float(values.max())
        if not wrap and (low < 0 or high >= TURN):
            found = f"space='angles' holds radians in [0, 2π); found values from {low:.6g} to {high:.6g}."
            if high - low > 1.5 * TURN and low >= -180 and high <= 360:
                raise HamlearnError(f"{found} These look like degrees: convert them with np.deg2rad(angles) % (2 * np.pi).")
            centred = " They look like angles in (−π, π]." if low >= -np.pi * 1.000001 and high <= np.pi * 1.000001 else ""
            raise HamlearnError(f"{found}{centred} If these are radians, declare wrap=True to reduce them.")
        return Angles().wrap(values) if wrap else values, Angles()

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform angles."""
        return rng.uniform(0, TURN, shape)

    def propose(self, rng: np.random.Generator, old: np.ndarray, width: Any) -> np.ndarray:
        """A normal step."""
        return np.asarray(self.wrap(old + width * rng.normal(size=old.shape)))

    def wrap(self, values: Any) -> Any:
        """Angles in [0, 2π): the remainder of a tiny negative one rounds up to the full turn, which is 0."""
        xp = array_namespace(values)
        turned = xp.remainder(values, TURN)
        return xp.where(turned >= TURN, xp.zeros_like(turned), turned)

    def order_parameters(self, states: np.ndarray) -> np.ndarray:
        """The two components of the magnetization."""
        return np.stack([np.cos(states).mean(-1), np.sin(states).mean(-1)], -1)

    def alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosine of the difference."""
        return np.asarray(np.cos(first - second))

    def encode(self, states: np.ndarray) -> np.ndarray:
        """Cosine and sine."""
        return np.stack([np.cos(states), np.sin(states)], -1)

    def symmetries(self) -> dict[str, Symmetry]:
        """A rotation of all angles alike, and their reflection."""

        def rotated(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return np.mod(rows + rng.uniform(0.1, TURN - 0.1, (len(rows),) + (1,) * (rows.ndim - 1)), TURN)

        return {"internal": rotated, "mirror": lambda rows, rng: np.mod(-rows, TURN)}

    def turned(self, states: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Every microstate rotated."""
        return np.mod(states + rng.uniform(0, TURN, size=shape), TURN)
