"""States 0 … q−1, of which sites may have numbers of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_whole, shown
from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import Space, Symmetry
from hamlearn.spaces.numbers import check_q, distinct, hint_of_codes, refuse_nan


@dataclass(frozen=True)
class States(Space, name="states"):
    """The states 0 … q−1 of a site: colours, clock hands, amino acids, answers.

    Attributes
    ----------
    q : int
        How many; of sites that differ the largest number. A sequence is the number of every site, in their order (`sizes`).
    sizes : tuple of int
        Where sites differ, the number of states of each; else ().

    Examples
    --------
    >>> States((2, 5, 3)), States((4, 4)) == States(4)
    (States(q=5, sizes=(2, 5, 3)), True)
    >>> States((2, 3)).there(2).tolist()
    [[True, True, False], [True, True, True]]
    """

    q: int = 0  # type: ignore[misc]  # a number of its own for every such space
    sizes: tuple[int, ...] = ()  # type: ignore[misc]
    interaction: ClassVar[str] = "general"

    def __post_init__(self) -> None:
        several = isinstance(self.q, Sequence | np.ndarray) and not isinstance(self.q, str)
        given: Any = json.loads(self.sizes) if isinstance(self.sizes, str) else self.q if several else self.sizes  # a text is a file's
        sizes = tuple(require_whole(one, "q") for one in given)
        q = max(sizes, default=0) if several else require_whole(self.q, "q")
        for one in (q, *sizes):
            if not 2 <= one <= 127:
                raise HamlearnError(f"states need 2 <= q <= 127; got q={one}{f' among {shown(sizes)}' if sizes else ''}.")
        if sizes and max(sizes) != q:
            raise HamlearnError(f"q={q} is not the largest number of states in sizes={shown(sizes)}.")
        object.__setattr__(self, "q", q)
        object.__setattr__(self, "sizes", sizes if len(set(sizes)) > 1 else ())

    @property
    def uniform(self) -> bool:
        """Whether no site has a number of states of its own."""
        return not self.sizes

    def there(self, n_sites: int) -> np.ndarray:
        """The first so many of every site."""
        return super().there(n_sites) if self.uniform else np.arange(self.q) < self._of(n_sites)[:, None]

    def _of(self, n_sites: int) -> np.ndarray:
        if n_sites != len(self.sizes):
            raise HamlearnError(f"these states are of {len(self.sizes)} sites, each with its own number of them; here are {n_sites} sites.")
        return np.array(self.sizes)

    def validate(self, array: np.ndarray, *, wrap: bool = False, site_axes: int | None = None) -> np.ndarray:
        """Whole numbers as int8, of every site only those that it has."""
        values = super().validate(array, wrap=wrap, site_axes=site_axes)
        if self.uniform:
            return values
        flat = values.reshape(*values.shape[: values.ndim - site_axes], -1) if site_axes else values
        sizes = self._of(flat.shape[-1] if flat.ndim else 0)
        most = flat.reshape(-1, len(sizes)).max(0)
        if np.any(most >= sizes):
            site = int(np.argmax(most >= sizes))
            raise HamlearnError(f"site {site} has the states 0 … {sizes[site] - 1} (q={sizes[site]}); found {most[site]} there.")
        return values

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent states, of every site only those that it has."""
        if self.uniform:
            return super().random(rng, shape)
        return (rng.random(shape) * self._of(shape[-1])).astype(np.int8)

    @property
    def attrs(self) -> dict[str, Any]:
        """What files and data say of it."""
        return {"space": self.name, "q": self.q} | ({"sizes": json.dumps(self.sizes)} if self.sizes else {})

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
        """A shift of all states alike, other than by 0; none where sites have other states."""
        if not self.uniform:
            return {}

        def permuted(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            result = np.empty_like(rows)
            for part in np.array_split(np.arange(len(rows)), min(16, len(rows))):
                shift = int(rng.integers(1, self.q))
                result[part] = (rows[part] + shift) % self.q
            return result

        return {"internal": permuted}

    def turned(self, states: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Every microstate with all its sites shifted alike; as it is where sites have other states."""
        if not self.uniform:
            return states
        return (states + rng.integers(self.q, size=shape)) % self.q
