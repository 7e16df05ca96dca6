"""Unit vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import Space, Symmetry
from hamlearn.spaces.numbers import floats

TOLERANCE = 1e-3
"""By how much a length may differ from 1 (rounded numbers): such vectors are normalised, others refused."""


@dataclass(frozen=True)
class UnitVectors(Space, name="vectors"):
    """Unit vectors of n components, on the last axis of states; *flat* states have all components of all sites on one axis, C order.

    Attributes
    ----------
    n : int
        Components; 3 for Heisenberg spins.

    Examples
    --------
    >>> UnitVectors(3).event_shape, UnitVectors(3).cold((2,)).tolist()
    ((3,), [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    """

    n: int = 3
    interaction: ClassVar[str] = "vectors"
    gaps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", require_whole(self.n, "n, the number of components of a vector,", 2))

    @property
    def event_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The components."""
        return (self.n,)

    @property
    def features(self) -> int:
        """The components."""
        return self.n

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Vectors ``(..., n)``, of length 1 or normalised where rounding made them a little shorter or longer."""
        values = floats(array, "vectors", q)
        if values.ndim < 1 or values.shape[-1] < 2:
            raise HamlearnError(f"space='vectors' has the components of vectors on the last axis, 2 or more; got shape {array.shape}.")
        lengths = np.linalg.norm(values.astype(np.float64, copy=False), axis=-1, keepdims=True)
        off = np.abs(lengths - 1)
        if np.any(off > TOLERANCE):
            raise HamlearnError(
                f"space='vectors' holds vectors of length 1; {np.sum(off > TOLERANCE)} of {lengths.size} are not: lengths from "
                f"{lengths.min():.6g} to {lengths.max():.6g}. Where only directions count, divide by the lengths: "
                "states / np.linalg.norm(states, axis=-1, keepdims=True). The last axis holds the components."
            )
        exact = off.max() <= 16 * np.finfo(values.dtype).eps
        return values if exact else (values / lengths).astype(values.dtype), cls(values.shape[-1])

    def validate(self, array: np.ndarray, *, wrap: bool = False, site_axes: int | None = None) -> np.ndarray:
        """Vectors ``(..., n)``, or flat states, as :meth:`declared` has them."""
        shaped = array
        if array.ndim and array.shape[-1] != self.n and array.shape[-1] % self.n == 0 and not site_axes:
            shaped = array.reshape(*array.shape[:-1], -1, self.n)
        if not shaped.ndim or shaped.shape[-1] != self.n:
            raise HamlearnError(f"vectors of {self.n} components have them on the last axis; got shape {array.shape}.")
        values = super().validate(shaped)
        return array if values is shaped else values.reshape(array.shape)

    def apart(self, states: np.ndarray) -> np.ndarray:
        """Flat states ``(..., n_sites · n)`` as ``(..., n_sites, n)``."""
        return states.reshape(*states.shape[:-1], -1, self.n)

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent directions."""
        values = rng.normal(size=(*shape, self.n))
        return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))

    def cold(self, shape: tuple[int, ...]) -> np.ndarray:
        """All along the last axis."""
        return np.broadcast_to(np.eye(self.n)[-1], (*shape, self.n)).copy()

    def propose(self, rng: np.random.Generator, old: np.ndarray, width: Any) -> np.ndarray:
        """A normal step off the sphere, and back along the radius: as probable as the way back, for it depends on the angle alone."""
        moved = old + width * rng.normal(size=old.shape)
        return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True))

    def order_parameters(self, states: np.ndarray) -> np.ndarray:
        """The components of the magnetization."""
        return np.asarray(self.apart(states).mean(-2))

    def pick(self, states: np.ndarray, sites: Any) -> np.ndarray:
        """The vector ``(..., n)`` at one site, or flat states of several sites."""
        found = self.apart(states)[..., sites, :]
        return found if np.ndim(sites) == 0 else found.reshape(*states.shape[:-1], -1)

    def alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The scalar product."""
        return np.asarray((first * second).sum(-1))

    def encode(self, states: np.ndarray) -> np.ndarray:
        """The components, ``(..., n_sites, n)`` of flat states."""
        return self.apart(states).astype(np.float64)

    def symmetries(self) -> dict[str, Symmetry]:
        """A rotation (or reflection) of all vectors alike."""
        return {"internal": lambda rows, rng: self.turned(rows, rng, (len(rows),))}

    def turned(self, states: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Every microstate rotated by a random element of O(n)."""
        count = int(np.prod(shape))
        matrices, triangles = np.linalg.qr(rng.normal(size=(count, self.n, self.n)))
        matrices = matrices * np.sign(np.diagonal(triangles, axis1=1, axis2=2))[:, None]
        return np.asarray((states.reshape(count, -1, self.n) @ matrices).reshape(states.shape))
