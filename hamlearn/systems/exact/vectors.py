"""Exact log Z of unit vectors on trees without field: every bond is a factor of its own.

Integrating a leaf of the tree gives the same factor whatever its neighbour is, so that with the uniform measure on spheres
Z = Π_b λ(βJ_b), λ of :mod:`hamlearn.systems.spheres` (Fisher, Am. J. Phys. 32, 343, 1964).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.systems.base import check_beta
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.spheres import log_normaliser
from hamlearn.systems.vectors import VectorSpins

_BETA = {"long_name": "inverse temperature", "units": "1/energy"}


def applies(system: Any) -> bool:
    """Whether a system is one of unit vectors on a tree (or several), such as an open chain, without field."""
    return isinstance(system, VectorSpins) and not np.any(system.h) and is_forest(system.lattice)


def is_forest(lattice: Lattice) -> bool:
    """Whether no path along bonds returns to where it began.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> is_forest(lattice.hypercubic(5, periodic=False)), is_forest(lattice.hypercubic(5))
    (True, False)
    """
    root = np.arange(lattice.n_sites)
    for i, j in lattice.bonds:
        a, b = root[i], root[j]
        if a == b:
            return False
        root[root == b] = a
    return True


def log_partition(system: Any, beta: Any) -> Any:
    """Log Z with the uniform measure on spheres, at one or several temperatures."""
    points = check_beta(beta)
    found = log_normaliser(np.abs(points[..., None] * np.asarray(system.J)), system.n)[0].sum(-1)
    return float(found) if points.ndim == 0 else found


def thermodynamics(system: Any, beta: Any) -> xr.Dataset:
    """Energy, heat capacity, entropy (relative to uniform directions) and free energy per site."""
    points = np.atleast_1d(check_beta(beta))
    J, sites = np.asarray(system.J), system.lattice.n_sites
    K = points[:, None] * J
    value, ratio, slope = log_normaliser(np.abs(K), system.n)
    log_z, energy = value.sum(-1), -(ratio * K * J).sum(-1)
    columns = {
        "energy": (energy / sites, "energy per site", "energy"),
        "heat_capacity": (points**2 * (slope * J**2).sum(-1) / sites, "heat capacity per site", "k_B"),
        "entropy": ((log_z + points * energy) / sites, "entropy per site, relative to uniform directions", "k_B"),
        "free_energy": (-log_z / (points * sites), "free energy per site", "energy"),
    }
    data = {name: ("beta", column, {"long_name": text, "units": unit}) for name, (column, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", points, _BETA)}, {"method": "product over the bonds of a tree"})
