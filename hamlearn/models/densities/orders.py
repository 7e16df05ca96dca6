"""In which order the sites of a lattice are unwrapped."""

from __future__ import annotations

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.models.autoregressive import ORDERS


def unwrapping(shape: tuple[int, ...], order: str) -> np.ndarray:
    """Flat (C-order) sites in the order in which they are drawn, shape ``(n_sites,)``.

    Parameters
    ----------
    shape : tuple of int
        Extents of the site axes.
    order : {"raster", "snake", "spiral"}
        "raster" is the C order; "snake" runs backwards through every other row, so that neighbours in the order are
        neighbours on the lattice; "spiral" goes around the rim and inwards, clockwise from the first corner.

    Raises
    ------
    HamlearnError
        If a spiral is asked of anything but one or two axes.

    Examples
    --------
    >>> unwrapping((2, 3), "snake").tolist()
    [0, 1, 2, 5, 4, 3]
    >>> unwrapping((3, 3), "spiral").tolist()
    [0, 1, 2, 5, 8, 7, 6, 3, 4]
    """
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    if choice(order, ORDERS, "order") == "raster" or len(shape) == 1:
        return sites.ravel()
    if order == "snake":
        return _snake(sites)
    if len(shape) != 2:
        raise HamlearnError(f"a spiral needs one or two site axes; got shape {shape}. Use order='raster' or 'snake'.")
    found: list[int] = []
    while sites.size:
        found.extend(sites[0].tolist())
        sites = np.rot90(sites[1:])
    return np.array(found)


def _snake(sites: np.ndarray) -> np.ndarray:
    if sites.ndim == 1:
        return sites
    rows = [_snake(row) for row in sites]
    return np.concatenate([row[::-1] if index % 2 else row for index, row in enumerate(rows)])
