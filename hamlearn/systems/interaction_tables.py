"""Tile energies: H is a sum over windows of the lattice, each looked up in a table of all states of a window.

Every local Hamiltonian with few states per window compiles to this: cluster expansions, extensive networks, neural
local energies. The table replaces the formula, so a Monte-Carlo step costs the same whatever made the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn import spaces
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import SPINS, Space, as_site_axes
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs, from_windows
from hamlearn.systems.parametric import ParametricSystem, parameter

MAX_TABLE = 2**20
"""Largest number of states of one window: 20 spins, 12 three-state sites."""


@dataclass(frozen=True, eq=False, init=False)
class InteractionTables(ParametricSystem, kind="interaction_tables", structure=("window", "stride")):
    """Energy as a sum over tiles: H(σ) = Σ_t E_t[code of the states in tile t].

    A tile is a window of the lattice (its extents per axis) anchored at a site; it reaches from there in the direction
    of growing coordinates and wraps around. The code of its states counts in base q, the first site (C order) most
    significant, as in :func:`hamlearn.systems.exact.all_states`: for spins, −1 is the digit 0 and +1 the digit 1.

    Parameters
    ----------
    lattice : Lattice or sequence of int
        A periodic hypercubic lattice, or its extents.
    window : int or sequence of int
        Extents of a tile; one number is the extent along every axis. None may exceed the lattice's.
    tables : array ``(q**n,)`` or ``(n_tiles, q**n)``
        Energy of every state of a tile of n sites, in units of energy: one table shared by all tiles, or one per tile
        (tiles in the C order of their anchors).
    stride : int or sequence of int
        Distance between anchors along every axis; must divide the extents. The default 1 puts a tile at every site.
    space : Space
        Spins (the default) or states.
    name : str
        What `repr` and reports call the system.

    Raises
    ------
    HamlearnError
        If the lattice is not periodic and hypercubic, a window does not fit or has more than 2^20 states, or the
        tables have the wrong shape or are not finite.

    Examples
    --------
    The Ising chain from tiles of two neighbours, −σσ' for the states −−, −+, +−, ++:

    >>> from hamlearn.systems import InteractionTables
    >>> chain = InteractionTables((6,), 2, [-1.0, 1.0, 1.0, -1.0])
    >>> float(chain.energy(np.ones(6)))
    -6.0
    """

    lattice: Lattice
    window: tuple[int, ...]
    tables: np.ndarray
    stride: tuple[int, ...]
    space: Space
    name: str

    def __init__(
        self,
        lattice: Any,
        window: int | Sequence[int],
        tables: Any,
        stride: int | Sequence[int] = 1,
        space: Space = SPINS,
        *,
        name: str = "InteractionTables",
    ) -> None:
        graph = lattice if isinstance(lattice, Lattice) else lattices.hypercubic(lattice)
        shape = graph.shape
        if graph.kind != "hypercubic" or not graph.periodic:
            raise HamlearnError(
                f"interaction tables live on a periodic hypercubic lattice; got kind {graph.kind!r}, periodic={graph.periodic}. "
                "Give lattice.hypercubic(shape), or write the energy with Pairwise or a system of your own."
            )
        extents, steps = (_per_axis(value, len(shape), what) for value, what in ((window, "window"), (stride, "stride")))
        if any(w > extent for w, extent in zip(extents, shape, strict=True)):
            raise HamlearnError(
                f"a window of extents {extents} is larger than the lattice {shape}; use a smaller window or a larger lattice."
            )
        if any(extent % step for step, extent in zip(steps, shape, strict=True)):
            raise HamlearnError(f"the stride {steps} must divide the lattice's extents {shape}.")
        n, tiles = int(np.prod(extents)), int(np.prod([extent // step for extent, step in zip(shape, steps, strict=True)]))
        if space.continuous or n * np.log2(space.q) > np.log2(MAX_TABLE) + 1e-9:
            raise HamlearnError(
                f"a window of {n} sites of {space.name} (q={space.q}) has more than 2**20 states, too many for a table; shrink it."
            )
        if not space.uniform:
            raise HamlearnError(f"one table for all windows is of sites that all have the same states; got {space}.")
        array = np.array(tables, dtype=np.float64)
        if array.shape not in ((space.q**n,), (tiles, space.q**n)):
            raise HamlearnError(
                f"tables must have shape ({space.q**n},), shared by all tiles, or ({tiles}, {space.q**n}), one per tile; got {array.shape}."
            )
        if not np.all(np.isfinite(array)):
            raise HamlearnError(f"tables must be finite; {np.sum(~np.isfinite(array))} of {array.size} values are not.")
        array.setflags(write=False)
        for key, value in (("lattice", graph), ("window", extents), ("tables", array), ("stride", steps), ("space", space), ("name", name)):
            object.__setattr__(self, key, value)

    @property
    def shared(self) -> bool:
        """Whether all tiles have one table."""
        return self.tables.ndim == 1

    @cached_property
    def tile_sites(self) -> np.ndarray:
        """Flat indices of the sites of every tile, shape ``(n_tiles, n)``, both in C order."""
        return tile_sites(self.lattice.shape, self.window, self.stride)

    @cached_property
    def places(self) -> np.ndarray:
        """What the digit of every site of a window counts in the code, shape ``(n,)``."""
        return self.space.q ** np.arange(self.tile_sites.shape[1] - 1, -1, -1, dtype=np.int64)

    @property
    def windows(self) -> InteractionTables:
        """Itself: what look-ups by windows ask for."""
        return self

    @cached_property
    def pairs(self) -> Pairs | None:
        """The same energy as tables over pairs of sites, where no three interact: what exact answers ask for."""
        return from_windows(self.lattice, self.space.q, self.tile_sites, np.atleast_2d(self.tables))

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``.

        Written in the array-API style: NumPy, JAX and torch arrays all work.
        """
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        xp = array_namespace(states)
        flat = as_site_axes(states, self.lattice.shape)
        digits = xp.astype((flat + 1) / 2 if self.space.binary else flat, xp.int32)
        tiles, n = self.tile_sites.shape
        lead = tuple(flat.shape[:-1])
        codes = xp.zeros((*lead, tiles), dtype=xp.int32)
        for k in range(n):  # window by window site: no array n times as large as the states
            codes = codes + xp.take(digits, xp.asarray(self.tile_sites[:, k].copy()), axis=-1) * int(self.places[k])
        if not self.shared:
            codes = codes + xp.asarray(np.arange(tiles, dtype=np.int32) * self.tables.shape[1])
        values = xp.take(parameter(xp, self.tables.ravel()), xp.reshape(codes, (-1,)), axis=0)
        return xp.sum(xp.reshape(values, (*lead, tiles)), axis=-1)

    def resized(self, shape: Sequence[int]) -> InteractionTables:
        """The same energy on a periodic lattice of other extents.

        Raises
        ------
        HamlearnError
            If every tile has its own table: there is no rule for further ones.
        """
        if not self.shared:
            raise HamlearnError("these tiles have one table each (site-resolved): there is no rule for another lattice size.")
        return InteractionTables(self.lattice.resized(tuple(shape)), self.window, self.tables, self.stride, self.space, name=self.name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "kind": "interaction_tables",
            "name": self.name,
            "shape": list(self.lattice.shape),
            "window": list(self.window),
            "stride": list(self.stride),
            "tables": self.tables.tolist(),
            **self.space.attrs,
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> InteractionTables:
        """The system that :meth:`to_dict` described."""
        space = spaces.from_attrs(description)
        shape, window, stride = (tuple(description[key]) for key in ("shape", "window", "stride"))
        return cls(shape, window, description["tables"], stride, space, name=description["name"])

    def __repr__(self) -> str:
        window = "x".join(map(str, self.window))
        return f"{self.name}(shape={self.lattice.shape}, {window} tiles{'' if self.shared else ', one table each'})"


def tile_sites(shape: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the sites of every tile of a periodic lattice, shape ``(n_tiles, n)``.

    Examples
    --------
    >>> tile_sites((4,), (2,), (1,)).tolist()
    [[0, 1], [1, 2], [2, 3], [3, 0]]
    """
    anchors = np.stack([grid.ravel() for grid in np.meshgrid(*map(np.arange, [0] * len(shape), shape, stride), indexing="ij")], 1)
    offsets = np.array(list(np.ndindex(*window)))
    return np.ravel_multi_index(tuple(np.moveaxis((anchors[:, None] + offsets) % shape, -1, 0)), shape)


def _per_axis(value: Any, axes: int, what: str) -> tuple[int, ...]:
    array = np.atleast_1d(value)
    array = np.repeat(array, axes) if len(array) == 1 else array
    if array.shape != (axes,) or not np.issubdtype(array.dtype, np.integer) or np.any(array < 1):
        raise HamlearnError(f"{what} must be a positive whole number or one per lattice axis ({axes}); got {value!r}.")
    return tuple(int(one) for one in array)
