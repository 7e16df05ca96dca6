"""Lattices and the two methods that allow any couplings: enumeration, and the transfer matrix where layers are thin."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.spaces.extents import Extent, count, room
from hamlearn.systems.exact import enumeration
from hamlearn.systems.exact.layers import MAX_BLOCK_STATES, Layers, cut
from hamlearn.systems.lattice import Lattice

General = Literal["enumeration", "transfer"]
"""Methods that allow any couplings and fields."""

ALWAYS_ENUMERATE = 2**12
"""Up to this many states enumeration is so cheap that it is not compared with the transfer matrix."""


@lru_cache(maxsize=256)
def layers_of(lattice: Lattice, q: Extent) -> Layers | None:
    """The cheapest cut of `lattice` into layers, with room for the largest number of states of a site, or None; remembered."""
    return cut(lattice, room(q))


def require_layers(lattice: Lattice, q: Extent) -> Layers:
    """Like :func:`layers_of`, or an error."""
    layers = layers_of(lattice, q)
    if layers is None:
        raise HamlearnError(too_large(lattice, q, f"a lattice of shape {lattice.shape} ({lattice.kind})"))
    return layers


def lattice_method(lattice: Lattice, q: Extent) -> General | None:
    """The cheaper of the two methods that allow any couplings and fields, or None."""
    states, layers = count(q, lattice.n_sites), layers_of(lattice, q)
    limit = enumeration.MAX_STATES if layers is None else min(layers.cost, enumeration.MAX_STATES)
    if states <= max(limit, ALWAYS_ENUMERATE):
        return "enumeration"
    return None if layers is None else "transfer"


def too_large(lattice: Lattice, q: Extent, name: str) -> str:
    """What is too large about a lattice for methods of any couplings, in words."""
    told = enumeration.power_text(q, lattice.n_sites)
    most = room(q)
    widest = int(np.log(MAX_BLOCK_STATES) / np.log(most) + 1e-9)
    return (
        f"no exact method for any couplings treats {name}: {told} states (enumeration stops at "
        f"2**20), and it cannot be cut along an axis into layers of at most {MAX_BLOCK_STATES} states ({widest} "
        f"sites with q={most}) with bonds only inside layers and between neighbouring ones. Use a smaller or "
        'narrower lattice, sample it with hl.simulate, or learn with likelihood="pseudo".'
    )
