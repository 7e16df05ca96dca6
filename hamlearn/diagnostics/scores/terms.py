"""Test functions: products over a few sites that a pair model does not hold, listed from its graph.

Of spins a term is the product of its sites; of q states it is the product over pairs of (whether they agree − 1/q).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hamlearn.systems.lattice import Lattice

MOST = 512  # terms of one kind
_FIRST = 16  # bonds of a site that are looked at


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms of one kind, all with the same number of sites.

    Attributes
    ----------
    name : str
        Plain words.
    sites : int array (term, n)
        Sites of every term; for q states neighbours in the list (0 and 1, 2 and 3) are the pairs that may agree.
    """

    name: str
    sites: np.ndarray

    def __len__(self) -> int:
        return len(self.sites)

    def values(self, index: np.ndarray, q: int) -> np.ndarray:
        """Every term of every row of value indices, shape ``(row, term)``."""
        return self.of(index[:, self.sites], q, np.arange(len(self)))

    def of(self, states: np.ndarray, q: int, where: np.ndarray) -> np.ndarray:
        """Some of the terms, from the value indices of their sites ``(row, term, n)``."""
        return product(states, q)


@dataclass(frozen=True, eq=False)
class Tables(Terms):
    """Terms that are tables over the states of their three sites ``(term, q, q, q)``."""

    tables: np.ndarray

    def of(self, states: np.ndarray, q: int, where: np.ndarray) -> np.ndarray:
        """Entries of the tables."""
        return np.asarray(self.tables[(where, *np.moveaxis(states, -1, 0))])


def product(states: np.ndarray, q: int) -> np.ndarray:
    """Terms from the value indices of their sites ``(row, term, n)``."""
    if q == 2:
        odd = (states.shape[-1] - states.sum(-1, dtype=np.int64)) & 1
        return 1.0 - 2.0 * odd
    agree = (states[..., 0::2] == states[..., 1::2]) - 1.0 / q
    return np.asarray(agree.prod(-1))


def some(items: np.ndarray, limit: int = MOST) -> np.ndarray:
    """At most `limit` of the items, evenly spread."""
    return items if len(items) <= limit else items[np.linspace(0, len(items) - 1, limit).round().astype(int)]


def plaquettes(lattice: Lattice) -> np.ndarray:
    """Elementary squares ``(n, 4)`` as two opposite bonds: cycles of four bonds with the shortest diagonals, none of them bonded."""
    neighbours = _neighbours(lattice)
    found: dict[tuple[int, ...], tuple[float, tuple[int, int, int, int]]] = {}
    for i, around in enumerate(neighbours):
        for j, k in combinations(sorted(around), 2):
            if k in neighbours[j]:
                continue
            for end in (neighbours[j] & neighbours[k]) - {i}:
                if end in around:
                    continue
                length = float(lattice.distances[i, end] + lattice.distances[j, k])
                key = tuple(sorted((i, j, end, k)))
                if key not in found or length < found[key][0]:
                    found[key] = (length, (i, j, end, k))
    if not found:
        return np.zeros((0, 4), int)
    shortest = min(length for length, _ in found.values())
    return np.array([cycle for _, (length, cycle) in sorted(found.items()) if length < shortest + 1e-6])


def bond_pairs(lattice: Lattice) -> np.ndarray:
    """Two bonds that share no site ``(n, 2)``: all where there are few, else those that a third bond connects."""
    bonds = lattice.bonds
    all_of_them = len(bonds) * (len(bonds) - 1) // 2 <= MOST
    pairs = np.stack(np.triu_indices(len(bonds), 1), 1) if all_of_them else _connected(bonds[: 4 * MOST], lattice.n_sites)
    shared = (bonds[pairs[:, 0], :, None] == bonds[pairs[:, 1], None, :]).any((1, 2))
    return some(pairs[~shared])


def _connected(bonds: np.ndarray, n_sites: int) -> np.ndarray:
    """Bonds at the two ends of a third one, in order ``(n, 2)``; of every site its first sixteen."""
    ends, number = bonds.ravel(), np.repeat(np.arange(len(bonds)), 2)
    order = np.argsort(ends, kind="stable")
    place = np.arange(len(ends)) - np.searchsorted(ends[order], ends[order])
    first = place < _FIRST
    at = np.full((n_sites, _FIRST), -1)
    at[ends[order][first], place[first]] = number[order][first]
    here, there = np.broadcast_arrays(at[bonds[:, 0], :, None], at[bonds[:, 1], None, :])
    real = (here >= 0) & (there >= 0) & (here != there)
    both = np.sort(np.stack([here[real], there[real]], 1), 1)
    code = np.unique(both[:, 0] * len(bonds) + both[:, 1])
    return np.stack([code // len(bonds), code % len(bonds)], 1)


def unbonded(lattice: Lattice) -> np.ndarray:
    """Pairs of sites without a bond, the nearest ones first."""
    bonded = np.zeros((lattice.n_sites,) * 2, bool)
    bonded[tuple(lattice.bonds.T)] = bonded[tuple(lattice.bonds.T[::-1])] = True
    pairs = np.stack(np.triu_indices(lattice.n_sites, 1), 1)
    pairs = pairs[~bonded[pairs[:, 0], pairs[:, 1]]]
    if len(pairs) <= MOST:
        return pairs
    return pairs[np.argsort(lattice.distances[pairs[:, 0], pairs[:, 1]], kind="stable")][:MOST]


def triples(lattice: Lattice) -> np.ndarray:
    """Three sites along two bonds ``(n, 3)``."""
    found = {tuple(sorted((i, j, k))) for j, around in enumerate(_neighbours(lattice)) for i, k in combinations(sorted(around)[:_FIRST], 2)}
    return some(np.array(sorted(found), int).reshape(-1, 3), 256)


def _neighbours(lattice: Lattice) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in range(lattice.n_sites)]
    for i, j in lattice.bonds.tolist():
        found[i].add(j)
        found[j].add(i)
    return found
