"""Graphs and lattices: sites, bonds, colourings, distances.

A :class:`Lattice` is any graph whose sites have an array shape and, if it has a geometry, positions. Bonds are pairs
of flat (C-order) site indices, each bond once. A periodic axis of extent 2 keeps both of its wrap-around bonds, so
that the formulas of the torus (and the row transfer matrix) hold at every extent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np

from hamlearn import memory
from hamlearn.arguments import require_whole, shown
from hamlearn.data import as_names, word
from hamlearn.errors import HamlearnError


@dataclass(frozen=True, eq=False, repr=False)
class Lattice:
    """Sites and bonds, with positions where the graph has a geometry.

    Parameters
    ----------
    shape : tuple of int
        Shape of the site axes; sites are numbered in C order.
    bonds : array of int, shape (n_bonds, 2)
        Flat indices of the two ends of every bond.
    kind : str
        Name of the geometry (``"hypercubic"``, ``"triangular"``, ``"honeycomb"``, ``"complete"``, ``"graph"``).
    periodic : bool
        Whether the boundaries wrap around.
    positions : array, shape (n_sites, dimension), optional
        Where each site is, in units of the nearest-neighbour distance.
    periods : array, shape (dimension, dimension), optional
        The vectors (rows) under which a periodic lattice repeats.
    names : tuple of str
        What the sites are called; empty where they are numbered. Labels, and no part of what makes two lattices one.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> torus = lattice.hypercubic((4, 4))
    >>> torus.n_sites, torus.n_bonds, int(torus.degree.max())
    (16, 32, 4)
    >>> int(torus.colouring.max()) + 1  # a checkerboard
    2
    """

    shape: tuple[int, ...]
    bonds: np.ndarray
    kind: str = "graph"
    periodic: bool = False
    positions: np.ndarray | None = None
    periods: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Lattice({self.kind} {self.shape}, {self.n_bonds} bonds{', periodic' if self.periodic else ''})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Lattice) and self._content == other._content)

    def __hash__(self) -> int:
        return hash(self._content)

    @cached_property
    def _content(self) -> tuple[Any, ...]:
        """What makes two lattices one: everything they are made of."""
        arrays = (np.asarray(self.bonds, np.int64), self.positions, self.periods)
        digests = tuple(None if one is None else hashlib.sha256(np.ascontiguousarray(one).tobytes()).digest() for one in arrays)
        return (tuple(int(size) for size in self.shape), self.kind, bool(self.periodic), *digests)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return int(np.prod(self.shape))

    @property
    def n_bonds(self) -> int:
        """Number of bonds."""
        return len(self.bonds)

    @property
    def site_dims(self) -> tuple[str, ...]:
        """Names of the site axes in data sets: ``("site",)``, or ``("x0", "x1", ...)``."""
        return ("site",) if len(self.shape) == 1 else tuple(f"x{axis}" for axis in range(len(self.shape)))

    def called(self, names: Sequence[str]) -> Lattice:
        """The same sites and bonds with other names; none where there is not one for every site."""
        return replace(self, names=tuple(names) if len(names) == self.n_sites else ())

    def word(self, site: int) -> str:
        """What a site is called: its name, or its number."""
        return word(self.names, site)

    @cached_property
    def degree(self) -> np.ndarray:
        """Number of bonds at every site, shape ``(n_sites,)``."""
        return np.bincount(self.bonds.ravel(), minlength=self.n_sites)

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Neighbouring sites and the bonds to them, two integer arrays ``(n_sites, max degree)`` padded with −1."""
        width = int(self.degree.max(initial=0))
        sites = np.full((self.n_sites, width), -1)
        bonds = np.full((self.n_sites, width), -1)
        fill = np.zeros(self.n_sites, int)
        for index, (i, j) in enumerate(self.bonds):
            for here, there in ((i, j), (j, i)):
                sites[here, fill[here]], bonds[here, fill[here]] = there, index
                fill[here] += 1
        return sites, bonds

    @cached_property
    def colouring(self) -> np.ndarray:
        """Colour of every site, shape ``(n_sites,)``: no bond joins two sites of one colour.

        Sites of one colour are independent given the rest, so a sampler may update them together. Two colours
        where the graph is bipartite, otherwise DSATUR (D. Brélaz, Commun. ACM 22, 251, 1979).
        """
        # DSATUR alone would find the two colours as well, in time that grows with the square of the sites.
        if not nx.is_bipartite(self.graph):
            return self._coloured_by_saturation()
        colours = nx.bipartite.color(self.graph)
        return np.array([colours[site] for site in range(self.n_sites)])

    def _coloured_by_saturation(self) -> np.ndarray:
        """Next comes the site that sees most colours, of those the one of highest degree, with the first colour that it does not see."""
        sites, _ = self.neighbours
        degree = np.bincount(np.unique(np.sort(self.bonds, 1), axis=0).ravel(), minlength=self.n_sites)
        seen = np.zeros((self.n_sites, int(degree.max(initial=0)) + 1), bool)
        rank, colours = degree.copy(), np.empty(self.n_sites, int)
        for _ in range(self.n_sites):
            site = int(np.argmax(rank))
            colours[site] = colour = int(np.argmin(seen[site]))
            around = np.unique(sites[site][sites[site] >= 0])
            rank[around] += seen.shape[1] * ~seen[around, colour]
            seen[around, colour] = True
            rank[site] = -self.n_sites * seen.shape[1] ** 2  # below all, whatever is added to it
        return colours

    @cached_property
    def graph(self) -> nx.Graph:
        """The same graph for NetworkX (double bonds appear once)."""
        graph = nx.Graph()
        graph.add_nodes_from(range(self.n_sites))
        graph.add_edges_from(self.bonds.tolist())
        return graph

    @cached_property
    def distances(self) -> np.ndarray:
        """Distance between every two sites, shape ``(n_sites, n_sites)``.

        Euclidean (shortest image when periodic) where the graph has positions, else the number of bonds of the
        shortest path (infinite between components).
        """
        if self.positions is None:
            result = np.full((self.n_sites, self.n_sites), np.inf)
            for start, lengths in nx.all_pairs_shortest_path_length(self.graph):
                for end, length in lengths.items():
                    result[start, end] = length
            return result
        difference = self.positions[:, None] - self.positions[None]
        if self.periods is None or not self.periodic:
            return np.linalg.norm(difference, axis=-1)
        # A long, narrow lattice with skewed axes may wrap several times around its short axis on the way along its long one.
        overlap = np.abs(self.periods @ self.periods.T) / np.sum(self.periods**2, axis=1)
        reach = np.ceil(overlap.sum(0) - 1e-9).astype(int)
        images = np.array(list(np.ndindex(*(2 * reach + 1)))) - reach
        result = np.full(difference.shape[:2], np.inf)
        for image in images @ self.periods:
            np.minimum(result, np.linalg.norm(difference + image, axis=-1), out=result)
        return result

    def pairs_within(self, radius: float) -> Lattice:
        """The same sites with a bond between every two at distance at most `radius`.

        Examples
        --------
        >>> from hamlearn.systems import lattice
        >>> lattice.hypercubic((6, 6)).pairs_within(1.5).n_bonds  # nearest and diagonal neighbours
        144
        """
        i, j = np.triu_indices(self.n_sites, 1)
        near = self.distances[i, j] <= radius * (1 + 1e-9)
        return replace(self, bonds=np.stack([i[near], j[near]], 1))

    def resized(self, shape: Sequence[int]) -> Lattice:
        """The same geometry with other extents; only for lattices built by a constructor of this module."""
        makers = {"hypercubic": hypercubic, "triangular": triangular, "honeycomb": honeycomb}
        if self.kind not in makers or self.n_bonds != makers[self.kind](self.shape, periodic=self.periodic).n_bonds:
            raise HamlearnError(f"a lattice of kind {self.kind!r} with {self.n_bonds} bonds has no rule for other sizes.")
        return makers[self.kind](tuple(shape), periodic=self.periodic)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        own = {"names": list(self.names)} if self.names else {}
        return {
            "shape": list(self.shape),
            "bonds": self.bonds.tolist(),
            "kind": self.kind,
            "periodic": self.periodic,
            "positions": None if self.positions is None else self.positions.tolist(),
            "periods": None if self.periods is None else self.periods.tolist(),
            **own,
        }


def from_dict(description: dict[str, Any]) -> Lattice:
    """The lattice that :meth:`Lattice.to_dict` described."""
    arrays = {key: None if description[key] is None else np.asarray(description[key], float) for key in ("positions", "periods")}
    bonds = np.asarray(description["bonds"], int).reshape(-1, 2)
    names = tuple(map(str, description.get("names", ())))
    return Lattice(tuple(description["shape"]), bonds, description["kind"], description["periodic"], **arrays, names=names)


def hypercubic(shape: int | Sequence[int], *, periodic: bool = True) -> Lattice:
    """Chain, square, cubic, … lattice: nearest neighbours along every axis.

    Bonds run axis by axis, within an axis by site: on a periodic lattice bond ``axis * n_sites + i`` leaves site i
    along `axis`.

    Parameters
    ----------
    shape : int or sequence of int
        Extents; one for a chain, two for a square lattice, three for a cubic one.
    periodic : bool
        Wrap the boundaries around (the default: no surface).

    Raises
    ------
    HamlearnError
        If an extent is not a positive integer.
    """
    extents = _extents(shape)
    sites = np.arange(np.prod(extents)).reshape(extents)
    bonds = [_shifted_pairs(sites, np.eye(len(extents), dtype=int)[axis], periodic) for axis in range(len(extents)) if extents[axis] > 1]
    positions = np.argwhere(np.ones(extents, bool)).astype(float)
    return Lattice(extents, _stack(bonds), "hypercubic", periodic, positions, np.diag(extents).astype(float))


def triangular(shape: Sequence[int], *, periodic: bool = True) -> Lattice:
    """Triangular lattice of ``shape = (rows, columns)``: six neighbours, along both axes and one diagonal."""
    extents = _extents(shape)
    if len(extents) != 2 or min(extents) < 2:
        raise HamlearnError(f"a triangular lattice has two extents of at least 2; got shape {extents}.")
    sites = np.arange(np.prod(extents)).reshape(extents)
    bonds = [_shifted_pairs(sites, np.array(step), periodic) for step in ((1, 0), (0, 1), (1, -1))]
    vectors = np.array([[0.5, np.sqrt(3) / 2], [1.0, 0.0]])
    positions = np.argwhere(np.ones(extents, bool)) @ vectors
    return Lattice(extents, _stack(bonds), "triangular", periodic, positions, np.array(extents)[:, None] * vectors)


def honeycomb(shape: Sequence[int], *, periodic: bool = True) -> Lattice:
    """Honeycomb lattice of ``shape = (rows, columns)`` unit cells of two sites: site axes ``(rows, columns, 2)``."""
    given = _extents(shape)
    cells = given[:2]
    if len(given) not in (2, 3) or (len(given) == 3 and given[2] != 2):
        raise HamlearnError(f"a honeycomb lattice has two extents (its sites two axes and the sublattice); got shape {shape!r}.")
    sites = np.arange(np.prod(cells) * 2).reshape((*cells, 2))
    bonds = []
    for step in ((0, 0), (-1, 0), (0, -1)):
        # Site A of a cell is bonded to site B of its own cell and of the cells behind it along both axes.
        bonds.append(np.stack(_shifted(sites[..., 1], np.array(step), periodic, sites[..., 0]), 1))
    root = np.sqrt(3)
    vectors = np.array([[root / 2, 1.5], [root, 0.0]])
    corner = np.argwhere(np.ones(cells, bool)) @ vectors
    # B sits so that A's three neighbours are at unit distance: own cell and the two cells behind.
    positions = np.stack([corner, corner + np.array([root / 2, 0.5])], 1).reshape(-1, 2)
    return Lattice((*cells, 2), _stack(bonds), "honeycomb", periodic, positions, np.array(cells)[:, None] * vectors)


def complete(n_sites: int) -> Lattice:
    """All pairs of `n_sites` sites, in the order of ``np.triu_indices(n_sites, 1)``."""
    n_sites = require_whole(n_sites, "the number of sites of a complete graph", 2)
    memory.require(n_sites**2 * 33, f"all pairs of {n_sites} sites", "Give the pairs that interact: hl.systems.lattice.graph(bonds).")
    return Lattice((n_sites,), np.stack(np.triu_indices(n_sites, 1), 1), "complete")


def graph(bonds: Any, n_sites: int | None = None) -> Lattice:
    """Any graph, from an integer array of bonds.

    Parameters
    ----------
    bonds : array of int, shape (n_bonds, 2)
        Site indices of both ends, counted from 0; or pairs of names, which call the sites in the order in which they come up.
    n_sites : int, optional
        Number of sites; one more than the largest index by default.

    Raises
    ------
    HamlearnError
        If a bond is out of range, joins a site to itself, or appears twice.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> lattice.graph([("anna", "ben"), ("ben", "eve")]).names
    ('anna', 'ben', 'eve')
    """
    try:
        array = np.asarray(bonds)
    except Exception:  # ragged lists, and what refuses to be an array
        raise HamlearnError(f"bonds must be pairs of sites, an integer array of shape (n_bonds, 2); got {shown(bonds)}.") from None
    if array.ndim == 0 and array.dtype.kind == "U":
        raise HamlearnError(f"bonds are pairs of sites, or a lattice such as hl.systems.lattice.hypercubic((8, 8)); got {shown(bonds)}.")
    if array.ndim != 2 or array.shape[1:] != (2,) or array.size == 0:
        raise HamlearnError(f"bonds must be a non-empty integer array of shape (n_bonds, 2); got shape {array.shape}.")
    if array.dtype.kind == "U" and n_sites is None:
        place = {name: site for site, name in enumerate(dict.fromkeys(array.ravel().tolist()))}
        names = as_names(list(place), len(place), "the sites of bonds")
        return graph([[place[i], place[j]] for i, j in array.tolist()]).called(names)
    if not np.issubdtype(array.dtype, np.integer):
        if array.dtype.kind != "f" or not np.all(array == np.floor(array)) or np.any(np.abs(array) >= 2**53):
            raise HamlearnError("bonds must hold integers (site indices from 0).")
        array = array.astype(int)
    count = max(int(array.max()) + 1, 1) if n_sites is None else require_whole(n_sites, "n_sites, the number of sites,")
    memory.require(32 * count, f"a graph of {count} sites", "Number the sites from 0 without gaps.")
    outside = np.flatnonzero((array < 0).any(1) | (array >= count).any(1))
    if outside.size:
        raise HamlearnError(
            f"bond {outside[0]} = {tuple(array[outside[0]].tolist())} is out of range: site indices run from 0 to {count - 1}."
        )
    loops = np.flatnonzero(array[:, 0] == array[:, 1])
    if loops.size:
        raise HamlearnError(f"bond {loops[0]} joins site {array[loops[0], 0]} to itself; a bond needs two different sites.")
    unique, counts = np.unique(np.sort(array, 1), axis=0, return_counts=True)
    if np.any(counts > 1):
        raise HamlearnError(f"bond {tuple(unique[counts > 1][0].tolist())} is repeated; give each bond once (add up its couplings).")
    return Lattice((count,), array.astype(int))


def as_lattice(bonds: Lattice | Any, n_sites: int | None = None) -> Lattice:
    """`bonds` itself if it is a lattice, else :func:`graph` of it."""
    return bonds if isinstance(bonds, Lattice) else graph(bonds, n_sites)


def _extents(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Extents as positive Python integers, of a lattice that fits into memory."""
    shape = shape.tolist() if isinstance(shape, np.ndarray | np.generic) else shape
    given = shape if isinstance(shape, Iterable) and not isinstance(shape, str | bytes | Mapping) else [shape]
    extents = list(given)
    if not extents or any(isinstance(one, bool) or not isinstance(one, int | np.integer) or one < 1 for one in extents):
        raise HamlearnError(f"lattice extents must be positive integers; got shape {shown(shape)}.")
    found = tuple(int(extent) for extent in extents)
    memory.require(math.prod(found) * (40 * len(found) + 8), f"sites and bonds of a lattice of extents {found}", "Ask for a smaller one.")
    return found


def _shifted(sites: np.ndarray, step: np.ndarray, periodic: bool, origin: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flat arrays (origin site, site at `origin + step`), wrapped or cut at the boundary."""
    origin = sites if origin is None else origin
    here = np.argwhere(np.ones(sites.shape, bool))
    there = here + step
    inside = np.all((there >= 0) & (there < sites.shape), axis=1)
    keep = np.ones(len(here), bool) if periodic else inside
    there = there % sites.shape
    return origin[tuple(here[keep].T)], sites[tuple(there[keep].T)]


def _shifted_pairs(sites: np.ndarray, step: np.ndarray, periodic: bool) -> np.ndarray:
    return np.stack(_shifted(sites, step, periodic), 1)


def _stack(bonds: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(bonds) if bonds else np.zeros((0, 2), int)


__all__ = [
    "Lattice",
    "as_lattice",
    "complete",
    "from_dict",
    "graph",
    "honeycomb",
    "hypercubic",
    "triangular",
]


def __dir__() -> list[str]:
    return sorted(__all__)
