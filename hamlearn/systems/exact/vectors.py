"""Exact log Z of angles and unit vectors on trees without field: every bond is a factor of its own.

Integrating a leaf of the tree gives the same factor whatever its neighbour is, so that with the uniform measure on spheres
Z = Π_b λ(βJ_b), λ of :mod:`hamlearn.systems.spheres` (Fisher, Am. J. Phys. 32, 343, 1964).
"""

from __future__ import annotations

import numpy as np

from hamlearn.systems.base import System
from hamlearn.systems.exact.oracle import Oracle
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import directions_of
from hamlearn.systems.spheres import log_normaliser


class Tree(Oracle):
    """Angles and unit vectors on trees without field: a system shows them by ``directions``."""

    name = "tree"
    measure = "relative to uniform directions"

    def refusal(self, system: System) -> str | None:
        """Why not."""
        shown = system.directions
        words = "needs angles or unit vectors on trees, such as open chains, without field"
        return words if shown is None or np.any(shown.h) or not is_forest(system.lattice) else None

    def derivatives(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z with the uniform measure on spheres: a sum over bonds."""
        J, n = np.asarray(directions_of(system).J), directions_of(system).n
        K = betas[:, None] * J
        value, ratio, slope = log_normaliser(np.abs(K), n)
        return np.stack([value.sum(-1), (ratio * K * J).sum(-1), (slope * J**2).sum(-1)])


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
