"""States 0 … q−1, of which sites may have numbers of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_whole, shown
from hamlearn.errors import HamlearnError
from hamlearn.spaces.base import MISSING, Space, Symmetry
from hamlearn.spaces.extents import each, room, values_of
from hamlearn.spaces.numbers import check_q, distinct, hint_of_codes, refuse_nan


@dataclass(frozen=True)
class States(Space, name="states"):
    """The states 0 … q−1 of a site: colours, clock hands, amino acids, answers.

    Attributes
    ----------
    q : int
        How many; of sites that differ what has room for all. A sequence is that of every site, in their order (`sizes`).
    sizes : tuple
        Where sites differ, how many states each has, the first so many; or which, where there are gaps. Else ().

    Examples
    --------
    >>> States((2, 5, 3)), States((4, 4)) == States(4)
    (States(q=5, sizes=(2, 5, 3)), True)
    >>> States((2, 3)).there(2).tolist()
    [[True, True, False], [True, True, True]]
    >>> States(4, ((0, 2), (0, 1, 2)))  # no site is seen in state 3
    States(q=4, sizes=((0, 2), 3))
    """

    q: int = 0  # type: ignore[misc]  # a number of its own for every such space
    sizes: tuple[int | tuple[int, ...], ...] = ()  # type: ignore[misc]
    interaction: ClassVar[str] = "general"

    def __post_init__(self) -> None:
        several = isinstance(self.q, Sequence | np.ndarray) and not isinstance(self.q, str)
        given: Any = json.loads(self.sizes) if isinstance(self.sizes, str) else self.q if several else self.sizes  # a text is a file's
        sizes = tuple(_of_site(one) for one in given)
        q = room(sizes) if several else require_whole(self.q, "q")
        for one in (q, *(one for one in sizes if isinstance(one, int))):
            if not 2 <= one <= 127:
                raise HamlearnError(f"states need 2 <= q <= 127; got q={one}{f' among {shown(sizes)}' if sizes else ''}.")
        if sizes and room(sizes) > q:
            raise HamlearnError(f"q={q} has no room for the states of sizes={shown(sizes)}.")
        object.__setattr__(self, "q", q)
        object.__setattr__(self, "sizes", sizes if set(sizes) != {q} else ())

    @property
    def uniform(self) -> bool:
        """Whether no site has a number of states of its own."""
        return not self.sizes

    def there(self, n_sites: int) -> np.ndarray:
        """The first so many of every site, or those that it has."""
        found = super().there(n_sites)
        for site, values in enumerate(() if self.uniform else self._of(n_sites)):
            found[site] = np.isin(np.arange(self.q), values)
        return found

    def _of(self, n_sites: int) -> tuple[tuple[int, ...], ...]:
        if n_sites != len(self.sizes):
            raise HamlearnError(f"these states are of {len(self.sizes)} sites, each with its own number of them; here are {n_sites} sites.")
        return values_of(self.sizes, n_sites)

    def only(self, there: np.ndarray) -> States:
        """The same states, of every site only those that it has and that are `there` ``(n_sites, q)``.

        Examples
        --------
        >>> States(3).only(np.array([[True, False, True], [True, True, False]]))
        States(q=3, sizes=((0, 2), 2))
        """
        return States(self.q, tuple(tuple(np.flatnonzero(one).tolist()) for one in there & self.there(len(there))))

    def validate(self, array: np.ndarray, *, wrap: bool = False, site_axes: int | None = None) -> np.ndarray:
        """Whole numbers as int8, of every site only those that it has."""
        values = super().validate(array, wrap=wrap, site_axes=site_axes)
        self.require_own(values, site_axes)
        return values

    def require_own(self, values: np.ndarray, site_axes: int | None = None) -> None:
        """An error where a site is in a state that is none of its; of states or missing cells, whose last so many axes are sites."""
        if self.uniform:
            return
        flat = values.reshape(*values.shape[: values.ndim - site_axes], -1) if site_axes else values
        rows = flat.reshape(-1, flat.shape[-1] if flat.ndim else 0)
        known = self.there(rows.shape[1])[np.arange(rows.shape[1]), np.maximum(rows, 0)] | (rows == MISSING)
        if not known.all():
            row, site = np.argwhere(~known)[0]
            own = values_of(self.sizes, rows.shape[1])[site]
            told = f"0 … {own[-1]} (q={len(own)})" if own[-1] < len(own) else ", ".join(map(str, own))
            raise HamlearnError(f"site {site} has the states {told}; found {rows[row, site]} there.")

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent states, of every site only those that it has."""
        if self.uniform:
            return super().random(rng, shape)
        chosen = (rng.random(shape) * each(self.sizes, shape[-1])).astype(np.int8)
        return np.stack([np.array(values, np.int8)[chosen[..., site]] for site, values in enumerate(self._of(shape[-1]))], -1)

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


def _of_site(given: Any) -> int | tuple[int, ...]:
    """How many states a site has, the first so many; or which, where some before the last are none of its."""
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
        return require_whole(given, "q")
    found = tuple(sorted({require_whole(one, "a state", 0) for one in given}))
    if not found:
        raise HamlearnError("a site has one state at least; got none.")
    return len(found) if len(found) > 1 and found[-1] < len(found) else found
