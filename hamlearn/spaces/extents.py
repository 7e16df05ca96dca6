"""Which values sites have where they are discrete, and how many microstates that makes: what is listed, and what listing costs.

An extent is the number of values of every site alike, or a row with an entry for each: the number of its values, the first so many, or
these values themselves, where there are gaps.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from hamlearn.statistics import power

Extent = int | tuple[int | tuple[int, ...], ...]


def values_of(q: Extent, n_sites: int) -> tuple[tuple[int, ...], ...]:
    """The values of every one of `n_sites` sites.

    Examples
    --------
    >>> values_of((3, (0, 2)), 2), values_of(2, 3)
    (((0, 1, 2), (0, 2)), ((0, 1), (0, 1), (0, 1)))
    """
    found = q if isinstance(q, tuple) else (q,) * n_sites
    return tuple(tuple(range(one)) if isinstance(one, int) else one for one in found)


def each(q: Extent, n_sites: int) -> tuple[int, ...]:
    """How many values every one of `n_sites` sites has.

    Examples
    --------
    >>> each((3, (0, 2)), 2), each(2, 3)
    ((3, 2), (2, 2, 2))
    """
    found = q if isinstance(q, tuple) else (q,) * n_sites
    return tuple(one if isinstance(one, int) else len(one) for one in found)


def rooms(q: Extent, n_sites: int) -> tuple[int, ...]:
    """What has room for the values of every one of `n_sites` sites, gaps included: its highest one, plus one.

    Examples
    --------
    >>> rooms((3, (0, 4)), 2), rooms(2, 2)
    ((3, 5), (2, 2))
    """
    found = q if isinstance(q, tuple) else (q,) * n_sites
    return tuple(one if isinstance(one, int) else 1 + one[-1] for one in found)


def room(q: Extent) -> int:
    """What has room for the values of any site.

    Examples
    --------
    >>> room((3, (0, 4))), room(2)
    (5, 2)
    """
    return q if isinstance(q, int) else max(rooms(q, len(q)))


def count(q: Extent, n_sites: int) -> float:
    """How many microstates so many sites have: the product of what every site has; inf beyond any float.

    Examples
    --------
    >>> count((2, 2, 30), 3), count(3, 2), count(2, 1030)
    (120.0, 9.0, inf)
    """
    return power(q, n_sites) if isinstance(q, int) else prod(map(float, each(q, n_sites)))


def around(q: Extent, bonds: np.ndarray, n_sites: int) -> float:
    """The most microstates that a site can have together with its neighbours, at the other ends of its `bonds` ``(n_bonds, 2)``.

    Gaps are counted, as where patterns are coded place by place (:func:`rooms`).

    Examples
    --------
    >>> path = np.array([[0, 1], [1, 2]])
    >>> around((2, 2, 30), path, 3), around(3, path, 3), around((2, 2, 30), path[:1], 3)
    (120.0, 27.0, 30.0)
    """
    if isinstance(q, int):
        return power(q, 1 + int(np.bincount(bonds.ravel(), minlength=1).max()))
    found = np.array(rooms(q, n_sites), float)
    sizes = found.copy()
    with np.errstate(over="ignore"):
        for here, there in (bonds.T, bonds.T[::-1]):
            np.multiply.at(found, here, sizes[there])
    return float(found.max())


@lru_cache(maxsize=64)
def listed(q: Extent, n_sites: int) -> np.ndarray:
    """All microstates of `n_sites` sites in C order (the last site fastest), int8 ``(count, n_sites)``.

    Examples
    --------
    >>> listed((2, (0, 2)), 2).tolist()
    [[0, 0], [0, 2], [1, 0], [1, 2]]
    """
    states = np.ascontiguousarray(np.indices(each(q, n_sites), dtype=np.int8).reshape(n_sites, -1).T)
    for site, values in enumerate(values_of(q, n_sites)):
        if values[-1] >= len(values):
            states[:, site] = np.array(values, np.int8)[states[:, site]]
    states.setflags(write=False)
    return states


def ranks(states: np.ndarray, q: Extent) -> np.ndarray:
    """Which of its site's values every one of `states` ``(..., n_sites)`` is; what is below zero, of missing cells, as it is.

    Examples
    --------
    >>> ranks(np.array([[1, 2], [-1, 0]]), (2, (0, 2))).tolist()
    [[1, 1], [-1, 0]]
    """
    found = np.array(states)
    for site, values in enumerate(values_of(q, found.shape[-1]) if isinstance(q, tuple) else ()):
        if values[-1] >= len(values):
            column = found[..., site]
            found[..., site] = np.where(column < 0, column, np.searchsorted(values, column))
    return found
