"""How a lattice is cut into layers, so that its partition function is a product of transfer matrices.

Sites with the same coordinate along one axis form a layer; every bond must lie inside a layer or join two
consecutive ones, the last and the first included. Between two layers the transfer matrix is a Kronecker product
over blocks of sites that no inter-layer bond leaves (single sites on a square lattice), so applying it costs far
less than a dense product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hamlearn.systems.lattice import Lattice

MAX_PRODUCT = 2**18
"""Largest partial product (rows x states of a layer), 2 MB in float64: 9 spins a layer on a ring of layers."""
MAX_LAYER_STATES = 2**16
"""Largest number of states of a layer where the layers form an open strip (one row only): 16 spins."""
MAX_BLOCK_STATES = 512
"""Largest Kronecker factor that is applied as a dense matrix."""


@dataclass(frozen=True, eq=False)
class Layers:
    """A lattice cut into consecutive layers.

    Attributes
    ----------
    q : int
        States per site.
    sites : array of int (n_layers, width)
        Flat site index at every position of every layer.
    cyclic : bool
        Whether bonds join the last layer to the first (of at least three: two layers share one boundary).
    inside : array of int (n, 4)
        Bonds within layers: bond, layer, position of its first end, of its second.
    between : array of int (n, 5)
        Bonds between layers: bond, boundary (r lies between layers r and r + 1), position in layer r, in
        layer r + 1, and 1 where the bond's first end lies in layer r + 1.
    blocks : tuple of int
        Widths of the smallest runs of positions that no bond between layers leaves.
    """

    q: int
    sites: np.ndarray
    cyclic: bool
    inside: np.ndarray
    between: np.ndarray
    blocks: tuple[int, ...]

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.sites.shape[0])

    @property
    def width(self) -> int:
        """Sites per layer."""
        return int(self.sites.shape[1])

    @property
    def n_boundaries(self) -> int:
        """Number of transfer matrices."""
        return self.n_layers if self.cyclic else self.n_layers - 1

    @property
    def states(self) -> int:
        """States of one layer."""
        return self.q**self.width

    @property
    def rows(self) -> int:
        """Rows of the partial product: every state of the first layer on a ring, one on an open strip."""
        return self.states if self.cyclic else 1

    @property
    def cost(self) -> int:
        """Entries of all partial products; what the axis is chosen by."""
        return self.n_layers * self.rows * self.states

    @property
    def feasible(self) -> bool:
        """Whether the products fit the limits of this module."""
        return self.rows * self.states <= MAX_PRODUCT and self.states <= MAX_LAYER_STATES and self.q ** max(self.blocks) <= MAX_BLOCK_STATES

    def merged_blocks(self, max_width: int) -> tuple[int, ...]:
        """Neighbouring blocks merged into groups of about equal width, at most `max_width` where blocks allow."""
        count = -(-self.width // max_width)
        target = -(-self.width // count)
        groups: list[int] = []
        for width in self.blocks:
            if groups and groups[-1] + width <= target:
                groups[-1] += width
            else:
                groups.append(width)
        return tuple(groups)


def cut(lattice: Lattice, q: int) -> Layers | None:
    """The cheapest feasible cut of `lattice` into layers along one of its axes, or None."""
    candidates = [cut_along(lattice, q, axis) for axis in range(len(lattice.shape))]
    feasible = [layers for layers in candidates if layers is not None and layers.feasible]
    return min(feasible, key=lambda layers: layers.cost) if feasible else None


def cut_along(lattice: Lattice, q: int, axis: int) -> Layers | None:
    """`lattice` cut along `axis`, or None if a bond joins layers that are not neighbours."""
    grid = np.moveaxis(np.arange(lattice.n_sites).reshape(lattice.shape), axis, 0)
    sites = grid.reshape(len(grid), -1)
    n_layers, width = sites.shape
    layer, position = np.empty(lattice.n_sites, int), np.empty(lattice.n_sites, int)
    layer[sites.ravel()], position[sites.ravel()] = np.divmod(np.arange(sites.size), width)

    bonds = np.arange(lattice.n_bonds)
    first, second = lattice.bonds.T
    step = (layer[second] - layer[first]) % n_layers
    forward, backward = step == 1 % n_layers, step == (n_layers - 1) % n_layers
    if n_layers == 2:
        # Both wrap-around bonds join the same two layers: one boundary, crossed once, and no ring to close.
        forward, backward = (step == 1) & (layer[first] == 0), (step == 1) & (layer[first] == 1)
    same = step == 0
    if not np.all(same | forward | backward):
        return None
    forward, backward = forward & ~same, backward & ~same

    inside = np.stack([bonds, layer[first], position[first], position[second]], 1)[same]
    along = np.stack([bonds, layer[first], position[first], position[second], 0 * bonds], 1)[forward]
    against = np.stack([bonds, layer[second], position[second], position[first], 0 * bonds + 1], 1)[backward]
    between = np.concatenate([along, against])
    cyclic = n_layers > 2 and bool(np.any(between[:, 1] == n_layers - 1))
    left, right = between[:, 2], between[:, 3]
    splits = [p for p in range(1, width) if not np.any((left < p) != (right < p))]
    blocks = tuple(int(w) for w in np.diff([0, *splits, width]))
    return Layers(q, sites, cyclic, inside, between, blocks)
