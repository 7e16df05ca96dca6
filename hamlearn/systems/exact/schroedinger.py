"""Spectrum of a particle in a potential: finite differences of the Schrödinger equation.

An oracle for paths in the continuum limit a → 0 that shares nothing with the path integral.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.linalg import eigh_tridiagonal

from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.systems.exact.path import confined
from hamlearn.systems.path import Path
from hamlearn.systems.potentials import Potential


@verb
def schroedinger(potential: Potential, kinetic: float = 1.0, levels: int = 8, points: int = 2000) -> xr.Dataset:
    """Lowest energies and wave functions of H = −(1/2κ) d²/dx² + V(x).

    Parameters
    ----------
    potential : DoubleWell, Polynomial or callable
        V(x); it must confine.
    kinetic : float
        κ, the mass (ħ = 1), as in :class:`hamlearn.systems.Path`.
    levels : int
        How many levels.
    points : int
        Grid points of the coarser of two grids; energies are extrapolated to h → 0 from both (error of order h⁴).

    Returns
    -------
    xarray.Dataset
        ``energy`` over ``level``; ``wavefunction`` over (``level``, ``position``), normalised, positive at its
        outermost maximum on the right.

    Raises
    ------
    HamlearnError
        If the potential does not confine or `levels` is out of range.

    Examples
    --------
    >>> from hamlearn.systems import Polynomial, exact
    >>> exact.schroedinger(Polynomial([0, 0.5]), levels=3)["energy"].values.round(6)
    array([0.5, 1.5, 2.5])
    """
    if not 1 <= levels <= points // 10:
        raise HamlearnError(f"levels must be between 1 and points/10 = {points // 10}; got {levels!r}.")
    low, high = confined(Path(2, potential, kinetic), 1.0)
    coarse, fine = (_solve(potential, kinetic, levels, low, high, n) for n in (points, 2 * points))
    energies = (4 * fine[1] - coarse[1]) / 3
    x, _, vectors = fine
    waves = vectors.T / np.sqrt(x[1] - x[0])
    tail = np.array([wave[np.flatnonzero(np.abs(wave) > 1e-3 * np.abs(wave).max())[-1]] for wave in waves])
    waves = waves * np.sign(tail)[:, None]
    data = {
        "energy": ("level", energies, {"long_name": "energy", "units": "energy"}),
        "wavefunction": (("level", "position"), waves, {"long_name": "wave function", "units": "length^(-1/2)"}),
    }
    return xr.Dataset(data, {"level": np.arange(levels), "position": x})


def _solve(
    potential: Potential, kinetic: float, levels: int, low: float, high: float, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid, energies, and eigenvectors in columns, with zero boundary values at `low` and `high`."""
    h = (high - low) / points
    x = low + h * np.arange(1, points)
    diagonal = np.asarray(potential(x), float) + 1 / (kinetic * h**2)
    off = np.full(points - 2, -0.5 / (kinetic * h**2))
    energies, vectors = eigh_tridiagonal(diagonal, off, select="i", select_range=(0, levels - 1))
    return x, energies, vectors
