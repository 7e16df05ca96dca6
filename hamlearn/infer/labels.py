"""What bonds and sites are called in a posterior: plain coordinates, which ArviZ makes its labels of (``J[0, 1]``, ``h[0]``).

The ends of bonds are numbers, and no names: they are in ArviZ's group for what is known and not modelled, ``constant_data``. As
coordinates beside ``bond`` they would be of some variables and not of others, which ArviZ's tables cannot join.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from hamlearn.systems.lattice import Lattice

ENDS = ("site_i", "site_j")


def bonds(lattice: Lattice) -> np.ndarray:
    """The two sites that every bond joins, as one text.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> bonds(lattice.graph([[0, 1], [1, 2]])).tolist()
    ['0, 1', '1, 2']
    """
    return np.array([f"{lattice.word(i)}, {lattice.word(j)}" for i, j in lattice.bonds.tolist()], dtype=str)


def sites(names: Sequence[str], n_sites: int) -> np.ndarray:
    """What the sites are called, as a coordinate: their names, or their numbers where `names` is empty."""
    return np.array(names, dtype=str) if len(names) == n_sites else np.arange(n_sites)


def constant(lattice: Lattice) -> xr.Dataset:
    """Group ``constant_data``: the sites that bonds join.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> constant(lattice.graph([[0, 1], [1, 2]]))["site_j"].values.tolist()
    [1, 2]
    """
    ends = {name: ("bond", end) for name, end in zip(ENDS, lattice.bonds.T.copy(), strict=True)}
    return xr.Dataset(ends, coords={"bond": bonds(lattice)} | ({"site": sites(lattice.names, lattice.n_sites)} if lattice.names else {}))


def relabelled(group: xr.Dataset, lattice: Lattice) -> xr.Dataset:
    """A group of files of schema 3 and before, where bonds were numbered and their ends coordinates, as it is now."""
    if "bond" not in group.dims:
        return group
    return group.drop_vars([name for name in ENDS if name in group.coords]).assign_coords(bond=bonds(lattice))


__all__ = ["ENDS", "bonds", "constant", "relabelled", "sites"]
