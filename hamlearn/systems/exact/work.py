"""What an exact answer costs, in operations: decisions about cost are made by counting, never by the clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.exact import methods, path, xy

OPERATIONS_PER_SECOND = 1e10
"""Of one core on dense linear algebra, about: only for sentences that turn counts into seconds."""
_SOLVE = 40.0  # operations per cubed grid point: the last eigendecomposition, the coarser ones before it, and the moments
_ENTRY = 300.0  # of an entry of an XY row matrix with its two derivatives: Bessel functions and sums over the free current
_PRODUCT = 3.0  # per cubed row of a product of matrices with two derivatives, six products at a quarter of an eigensolver's cost


def operations(system: Any, beta: float) -> float:
    """Operations of :func:`~hamlearn.systems.exact.thermodynamics` of a system at one temperature, about.

    The same number on every machine and under any load, so that what is decided by it is too.

    Parameters
    ----------
    system : System
        One that :func:`~hamlearn.systems.exact.method` can treat.
    beta : float
        Inverse temperature, > 0.

    Raises
    ------
    HamlearnError
        If there is no exact method.

    Examples
    --------
    >>> from hamlearn.systems import Ising, XY
    >>> from hamlearn.systems.exact.work import operations
    >>> operations(XY((4, 4)), 1.0) > 10 * operations(XY((16,)), 1.0)
    True
    >>> round(operations(Ising((3, 3)), 1.0))
    15360
    """
    method = methods.require(system)
    if method == "operator":
        points = len(path.transfer_operator(system, beta).x)
        return _SOLVE * points**3 + 8.0 * system.n_tau * points**2
    if method == "characters":
        rows, matrices, blocks = xy.sizes(system, beta)
        products = 2.0 * np.log2(rows + 1) if matrices == 1 else float(rows)
        return float(_ENTRY * matrices * (blocks**2).sum() + _PRODUCT * products * (blocks**3).sum())
    n, q = system.lattice.n_sites, max(getattr(system.space, "q", 0) or 0, 1)
    if method == "enumeration":
        return 30.0 * float(q**n)
    if method == "transfer":
        layers = methods.require_layers(system.lattice, q)
        return 6.0 * layers.cost * sum(float(q**width) for width in layers.blocks)
    if method in ("kaufman", "gaussian", "tree"):
        return 100.0 * n
    raise HamlearnError(f"no count of operations for the method {method!r}.")
