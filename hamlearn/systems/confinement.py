"""Whether neighbour terms of either sign and an on-site potential hold a real field together.

A leading on-site power above the second wins against every quadratic form; where it is the second itself, the whole quadratic
form must be positive definite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.errors import choice

COUPLINGS = ("difference", "product")
"""κ/2 (φ_y − φ_x)² or −κ φ_x φ_y for every pair of neighbours."""


def lowest_curvature(shape: Sequence[int], kinetic: np.ndarray, coupling: str = "difference", *, periodic: bool = True) -> np.ndarray:
    """Smallest eigenvalue of the matrix A of the neighbour terms, ½ φᵀAφ, on a hypercubic lattice.

    Parameters
    ----------
    shape : sequence of int
        Extents, each at least twice the longest distance.
    kinetic : array (..., R)
        κ_1 … κ_R of the terms at distances 1 … R along every axis, of either sign.
    coupling : {"difference", "product"}
        Σ_r κ_r/2 Σ (φ_{x+rμ} − φ_x)², or −Σ_r κ_r Σ φ_{x+rμ} φ_x.
    periodic : bool
        Whether the boundaries wrap around.

    Returns
    -------
    array (...)
        The field is Gaussian and confined if this plus 2c₂ is positive.

    Notes
    -----
    A is a Kronecker sum over the axes, so its smallest eigenvalue is the sum of theirs.

    Examples
    --------
    >>> float(lowest_curvature((4, 4), np.array([1.0]), "product"))  # every site has four neighbours
    -4.0
    >>> float(lowest_curvature((2,), np.array([1.0]), "product", periodic=False))
    -1.0
    """
    choice(coupling, COUPLINGS, "coupling")
    strengths = np.asarray(kinetic, float)
    total = np.zeros(strengths.shape[:-1])
    for extent in shape:
        forms = np.stack([_form(int(extent), r, coupling, periodic) for r in range(1, strengths.shape[-1] + 1)])
        if len(forms) == 1:
            values = np.linalg.eigvalsh(forms[0])
            total = total + np.where(strengths[..., 0] >= 0, strengths[..., 0] * values[0], strengths[..., 0] * values[-1])
        elif periodic:  # circulant: the forms commute, plane waves diagonalise them together
            total = total + (strengths @ np.fft.fft(forms[:, 0], axis=-1).real).min(-1)
        else:
            total = total + np.linalg.eigvalsh(np.tensordot(strengths, forms, 1))[..., 0]
    return total


def _form(extent: int, r: int, coupling: str, periodic: bool) -> np.ndarray:
    """A of one axis with κ_r = 1, shape ``(extent, extent)``."""
    ahead = np.roll(np.eye(extent), r, axis=1) if periodic else np.eye(extent, k=r)
    if coupling == "product":
        return -(ahead + ahead.T)
    steps = ahead - np.diag(ahead.sum(1))  # the last r sites of an open axis have nobody ahead
    return np.asarray(steps.T @ steps)
