"""States 0 … q−1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import Space, Symmetry
from hamlearn.spaces.numbers import check_q, distinct, hint_of_codes, refuse_nan


@dataclass(frozen=True)
class States(Space, name="states"):
    """The states 0 … q−1 of a site: colours, clock hands, amino acids."""

    q: int = 0  # type: ignore[misc]  # a number of its own for every such space
    interaction: ClassVar[str] = "general"

    def __post_init__(self) -> None:
        if not 2 <= require_whole(self.q, "q") <= 127:
            raise HamlearnError(f"states need 2 <= q <= 127; got q={self.q}.")
        object.__setattr__(self, "q", int(self.q))

    @property
    def features(self) -> int:
        """Q − 1."""
        return self.q - 1

    @property
    def values(self) -> np.ndarray:
        """0 … q−1."""
        return np.arange(self.q, dtype=np.int8)

    def index(self, states: Any) -> Any:
        """The states themselves."""
        return np.asarray(states) if isinstance(states, list | tuple) else states

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Whole numbers 0 … q−1 as int8; `q` as many as occur by default."""
        refuse_nan(array)
        check_q(q, "states")
        found = distinct(array)
        if found[0] < 0 or found[-1] > 126 or not np.all(found == np.floor(found)) or (q is not None and found[-1] >= q):
            top = "q−1" if q is None else str(q - 1)
            raise HamlearnError(
                f"space='states' holds the integers 0 … {top}; found values from {found[0]} to {found[-1]}.{hint_of_codes(found, q)}"
            )
        return array.astype(np.int8, copy=False), cls(max(2, len(found)) if q is None else int(q))

    def order_parameters(self, states: np.ndarray) -> np.ndarray:
        """The fraction of sites in each state."""
        return np.stack([(states == value).mean(-1) for value in range(self.q)], -1)

    def magnitude(self, states: np.ndarray) -> np.ndarray:
        """The largest fraction."""
        return np.asarray(self.order_parameters(states).max(-1))

    def alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """1 where two sites are in the same state."""
        return (first == second).astype(np.float64)

    def encode(self, states: np.ndarray) -> np.ndarray:
        """One of q numbers is 1."""
        return (states[..., None] == np.arange(self.q)).astype(np.float64)

    def symmetries(self) -> dict[str, Symmetry]:
        """A shift of all states alike, other than by 0."""

        def permuted(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            result = np.empty_like(rows)
            for part in np.array_split(np.arange(len(rows)), min(16, len(rows))):
                shift = int(rng.integers(1, self.q))
                result[part] = (rows[part] + shift) % self.q
            return result

        return {"internal": permuted}

    def turned(self, states: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Every microstate with all its sites shifted alike."""
        return (states + rng.integers(self.q, size=shape)) % self.q
