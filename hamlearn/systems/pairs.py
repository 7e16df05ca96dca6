"""Systems as sums over pairs of sites: what samplers and oracles ask for, however a system was written.

Of discrete sites they are :class:`Pairs` (``system.pairs``), of angles and unit vectors :class:`Directions` (``system.directions``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hamlearn.spaces.extents import Extent
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice

_ROUNDING = 1e-12  # of the largest entry: what is below is no interaction of three sites
_PROBES = 64


class Pairs(NamedTuple):
    """Minus the energy as tables over bonds and sites.

    Attributes
    ----------
    lattice : Lattice
        Sites, and the pairs that interact.
    q : int
        States of a site.
    tables : array (n_bonds, q, q)
        What a bond adds for every pair of states.
    fields : array (n_sites, q)
        What a site adds for every state; constants are with the first site. −∞ for states that a site does not have.
    sizes : tuple
        Of every site how many states it has, or which, where some have fewer than q; else ().
    """

    lattice: Lattice
    q: int
    tables: np.ndarray
    fields: np.ndarray
    sizes: tuple[int | tuple[int, ...], ...] = ()

    @property
    def extent(self) -> Extent:
        """How many states there are, or which: of every site where sites differ, else of all."""
        return self.sizes or self.q

    @property
    def known(self) -> np.ndarray:
        """The fields, nan for states that a site does not have."""
        return np.where(np.isneginf(self.fields), np.nan, self.fields)

    def of_spins(self) -> tuple[np.ndarray, np.ndarray]:
        """Of two states a site: J ``(n_bonds,)`` and h ``(n_sites,)`` of the same energy as −Σ Jσσ − Σ hσ, up to a constant."""
        tables, fields = np.asarray(self.tables, float), np.asarray(self.fields, float)
        coupling = (tables[:, 0, 0] - tables[:, 0, 1] - tables[:, 1, 0] + tables[:, 1, 1]) / 4
        # What a table says of one end alone is a field: half the difference of its rows' and its columns' means.
        sides = np.stack([tables[:, 1].mean(-1) - tables[:, 0].mean(-1), tables[..., 1].mean(-1) - tables[..., 0].mean(-1)], 1) / 2
        ends = np.asarray(self.lattice.bonds).ravel()
        return coupling, (fields[:, 1] - fields[:, 0]) / 2 + np.bincount(ends, sides.ravel(), self.lattice.n_sites)


class Directions(NamedTuple):
    """Angles or unit vectors of n components with energy −Σ J s·s − Σ h·s over the bonds and sites of the system's lattice.

    Attributes
    ----------
    J : array (n_bonds,)
        Couplings.
    h : array (n_sites, n)
        Fields.
    """

    J: np.ndarray
    h: np.ndarray

    @property
    def n(self) -> int:
        """Components: 2 of angles."""
        return int(self.h.shape[-1])


def pairs_of(system: System) -> Pairs | None:
    """``system.pairs`` where all states of all sites are allowed, as sums over states take for granted; else None.

    Examples
    --------
    >>> from hamlearn.systems import InteractionTables, Ising
    >>> pairs_of(Ising((3,))).tables[0].tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    >>> len(pairs_of(InteractionTables((6,), 2, [-1.0, 1.0, 1.0, -1.0])).lattice.bonds)
    6
    """
    return None if system.space.constraint else system.pairs


def directions_of(system: System) -> Directions:
    """``system.directions`` of a system that was found to have them."""
    assert system.directions is not None
    return system.directions


def from_windows(lattice: Lattice, q: int, sites: np.ndarray, tables: np.ndarray) -> Pairs | None:
    """A sum of energies of windows as pairs, or None where three sites of a window interact.

    Parameters
    ----------
    lattice : Lattice
        The sites.
    q : int
        States of a site.
    sites : array of int (n_windows, k)
        Sites of every window.
    tables : array ``(n_windows or 1, q**k)``
        Energy of every state of a window, the first site most significant.

    Returns
    -------
    Pairs or None
        The functional decomposition of every table: means over all sites but two, one and none.
    """
    count, k = sites.shape
    scale = float(np.abs(tables).max(initial=0.0))
    if k > 2 and _three_interact(tables, q, k, scale):
        return None
    rest = -tables.reshape(len(tables), *[q] * k)
    constant = rest.mean(tuple(range(1, k + 1)))
    rest = rest - constant.reshape(-1, *[1] * k)
    fields, ends, found = np.zeros((lattice.n_sites, q)), [], []
    for order in (1, 2):
        for which in ([(i,) for i in range(k)], [(i, j) for i in range(k) for j in range(i + 1, k)])[order - 1]:
            term = rest.mean(tuple(axis + 1 for axis in range(k) if axis not in which))
            rest = rest - term.reshape(len(term), *[q if axis in which else 1 for axis in range(k)])
            full = np.broadcast_to(term, (count, *term.shape[1:]))
            if order == 1:
                np.add.at(fields, sites[:, which[0]], full)
            else:
                ends.append(sites[:, which])
                found.append(full)
    if np.abs(rest).max(initial=0.0) > _ROUNDING * scale * k:
        return None
    fields[0] += np.broadcast_to(constant, (count,)).sum()
    bonds, merged = _merged(np.concatenate(ends), np.concatenate(found)) if ends else (np.zeros((0, 2), int), np.zeros((0, q, q)))
    there = np.abs(merged).max((1, 2), initial=0.0) > _ROUNDING * scale
    return Pairs(Lattice(tuple(lattice.shape), bonds[there]), q, merged[there], fields)


def _merged(ends: np.ndarray, tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair once, its smaller site first, with the sum of its tables."""
    turned = ends[:, 0] > ends[:, 1]
    tables = np.where(turned[:, None, None], tables.swapaxes(1, 2), tables)
    bonds, index = np.unique(np.sort(ends, axis=1), axis=0, return_inverse=True)
    total = np.zeros((len(bonds), *tables.shape[1:]))
    np.add.at(total, index.ravel(), tables)
    return bonds, total


def _three_interact(tables: np.ndarray, q: int, k: int, scale: float) -> bool:
    """Whether a third difference of the first table is seen to differ from zero: most tables of networks are told apart at once."""
    rng = np.random.default_rng(0)
    here, there = rng.integers(q, size=(2, _PROBES, k))
    three = rng.permuted(np.tile(np.arange(k), (_PROBES, 1)), axis=1)[:, :3]
    rows, total = np.arange(_PROBES), np.zeros(_PROBES)
    for subset in np.ndindex(2, 2, 2):
        states = here.copy()
        for place, moved in enumerate(subset):
            if moved:
                states[rows, three[:, place]] = there[rows, three[:, place]]
        total += (-1) ** sum(subset) * tables[0][states @ q ** np.arange(k - 1, -1, -1)]
    return bool(np.abs(total).max() > 8 * _ROUNDING * scale)
