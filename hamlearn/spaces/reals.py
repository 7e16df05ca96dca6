"""Real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.spaces.base import Space
from hamlearn.spaces.numbers import floats


@dataclass(frozen=True)
class Reals(Space, name="reals"):
    """Real numbers: paths and fields."""

    signed: ClassVar[bool] = True
    unbounded: ClassVar[bool] = True

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Finite numbers as float32 or float64."""
        return floats(array, "reals", q), Reals()

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """One normal number per microstate, the same at all sites: independent ones are further from equilibrium than any."""
        return np.broadcast_to(rng.normal(size=(*shape[:-1], 1)), shape).copy()

    def propose(self, rng: np.random.Generator, old: np.ndarray, width: Any) -> np.ndarray:
        """A normal step."""
        return np.asarray(old + width * rng.normal(size=old.shape))
