"""A lattice as the jitted samplers see it: sites grouped by colour, padded to a rectangle.

No bond joins two sites of one colour, so a sampler updates a whole colour at once. Everything is an array argument
of the compiled functions, not a constant in them: two lattices of equal shapes share one compilation.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hamlearn.systems.lattice import Lattice


class Layout(NamedTuple):
    """Index tables; a *slot* is a place in the padded rectangle (colour, place), flattened in C order.

    Attributes
    ----------
    site : int array (n_colours, group)
        Site in every slot; ``n_sites`` in padding.
    slot : int array (n_sites,)
        Slot of every site.
    neighbour : int array (n_colours, group, width)
        Slots of the neighbours; 0 in padding, where the coupling is zero.
    bond : int array (n_colours, group, width)
        Bonds to the neighbours; ``n_bonds`` in padding.
    first : bool array (n_colours, group, width)
        Whether the slot is the first end of the bond, which orients tables that are not symmetric.
    """

    site: Any
    slot: Any
    neighbour: Any
    bond: Any
    first: Any


_layouts: weakref.WeakKeyDictionary[Lattice, Layout] = weakref.WeakKeyDictionary()


def layout_of(lattice: Lattice) -> Layout:
    """The layout of a lattice; computed once for each.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> layout_of(lattice.hypercubic((4, 4))).neighbour.shape
    (2, 8, 4)
    """
    found = _layouts.get(lattice)  # asked once: the equal lattice that is its key may cease to exist in another thread
    if found is None:
        found = _layouts[lattice] = _build(lattice)
    return found


def _build(lattice: Lattice) -> Layout:
    colours = lattice.colouring
    counts = np.bincount(colours)
    site = np.full((len(counts), counts.max()), lattice.n_sites)
    for colour, count in enumerate(counts):
        site[colour, :count] = np.flatnonzero(colours == colour)
    real = site < lattice.n_sites
    slot = np.empty(lattice.n_sites, int)
    slot[site[real]] = np.flatnonzero(real.ravel())
    sites, bonds = lattice.neighbours
    # One more row, for padding slots: they have no neighbours.
    sites = np.concatenate([sites, np.full((1, sites.shape[1]), -1)])[site]
    bonds = np.concatenate([bonds, np.full((1, bonds.shape[1]), -1)])[site]
    missing = bonds < 0
    neighbour = np.where(missing, 0, slot[np.where(missing, 0, sites)])
    first = np.concatenate([lattice.bonds[:, 0], [-1]])[bonds] == site[..., None]
    bond = np.where(missing, lattice.n_bonds, bonds)
    tables = [jnp.asarray(table, jnp.int32) for table in (site, slot, neighbour, bond)]
    return Layout(tables[0], tables[1], tables[2], tables[3], jnp.asarray(first))


def to_slots(layout: Layout, per_site: Any, padding: float) -> Any:
    """Values ``(n_sites, ...)`` in the order of slots, ``(n_colours, group, ...)``."""
    tail = jnp.full((1, *per_site.shape[1:]), padding, per_site.dtype)
    return jnp.concatenate([per_site, tail])[layout.site]


def to_sites(layout: Layout, per_slot: Any) -> Any:
    """Values ``(..., n_colours, group)`` in the order of sites, ``(..., n_sites)``."""
    return per_slot.reshape((*per_slot.shape[:-2], -1))[..., layout.slot]
