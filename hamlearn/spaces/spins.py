"""±1 spins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import Space, Symmetry
from hamlearn.spaces.numbers import two_values


@dataclass(frozen=True)
class Spins(Space, name="spins"):
    """±1 spins, with their sum fixed or free.

    Attributes
    ----------
    magnetization : int, optional
        Σσ of every microstate (Ising models of alloys and lattice gases; sampled by Kawasaki exchange). None: free.

    Examples
    --------
    >>> Spins(magnetization=0).cold((6,)).tolist()
    [1, 1, 1, -1, -1, -1]
    """

    magnetization: int | None = None
    q: ClassVar[int] = 2
    signed: ClassVar[bool] = True
    interaction: ClassVar[str] = "ising"

    def __post_init__(self) -> None:
        if self.magnetization is not None:
            object.__setattr__(self, "magnetization", require_whole(self.magnetization, "magnetization", -(2**31)))

    @property
    def constraint(self) -> dict[str, int]:
        """The fixed sum, or nothing."""
        return {} if self.magnetization is None else {"magnetization": self.magnetization}

    @property
    def free(self) -> Space:
        """±1 spins whose sum is free."""
        return Spins()

    @property
    def values(self) -> np.ndarray:
        """−1 and 1."""
        return np.array([-1, 1], np.int8)

    def index(self, states: Any) -> Any:
        """0 and 1 of −1 and 1."""
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        return (states + 1) // 2

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Values −1 and 1 as int8."""
        return two_values(array, "spins", (-1, 1), q), Spins()

    def validate(self, array: np.ndarray, *, wrap: bool = False, site_axes: int | None = None) -> np.ndarray:
        """Values −1 and 1 as int8, of the right sum where it is fixed and `site_axes` is known."""
        values = super().validate(array, site_axes=site_axes)
        if self.magnetization is not None and site_axes:
            sums = values.sum(tuple(range(-site_axes, 0)), dtype=np.int64)
            if np.any(sums != self.magnetization):
                other = np.unique(sums[sums != self.magnetization])
                raise HamlearnError(
                    f"every microstate must have the magnetization {self.magnetization} (the sum of its spins), which is fixed; found "
                    f"{', '.join(map(str, other[:5].tolist()))}{', …' if len(other) > 5 else ''}."
                )
        return values

    def allows(self, states: np.ndarray) -> np.ndarray:
        """Those of the fixed sum."""
        return super().allows(states) if self.magnetization is None else states.sum(-1, dtype=np.int64) == self.magnetization

    def order_parameters(self, states: np.ndarray) -> np.ndarray:
        """Their mean; where it is fixed, the difference between the two halves of the sites: how far unlike spins have separated."""
        if self.magnetization is None:
            return super().order_parameters(states)
        half = states.shape[-1] // 2
        return (states[..., :half].sum(-1, dtype=np.float64) - states[..., half:].sum(-1, dtype=np.float64))[..., None] / states.shape[-1]

    def ups(self, n_sites: int) -> int:
        """Number of spins up of a microstate with the fixed sum; an error if no microstate has it."""
        assert self.magnetization is not None
        if abs(self.magnetization) > n_sites or (n_sites + self.magnetization) % 2:
            raise HamlearnError(
                f"{n_sites} spins cannot have the magnetization {self.magnetization} (their sum): it must be between {-n_sites} and "
                f"{n_sites} and as even or odd as {n_sites}."
            )
        return (n_sites + self.magnetization) // 2

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent spins; permutations of the cold state where the sum is fixed."""
        return super().random(rng, shape) if self.magnetization is None else rng.permuted(self.cold(shape), axis=-1)

    def cold(self, shape: tuple[int, ...]) -> np.ndarray:
        """All spins up; where the sum is fixed, first those that are up, then the others."""
        ups = shape[-1] if self.magnetization is None else self.ups(shape[-1])
        return np.broadcast_to(np.where(np.arange(shape[-1]) < ups, 1, -1).astype(np.int8), shape).copy()

    def symmetries(self) -> dict[str, Symmetry]:
        """The flip, where it keeps the sum."""
        return {} if self.magnetization else super().symmetries()
