"""Free fields, of neighbour terms at any distances, in closed form: a Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import check_beta
from hamlearn.systems.field import Field
from hamlearn.systems.lattice import Lattice

_BETA = {"long_name": "inverse temperature", "units": "1/action"}


def applies(system: Any) -> bool:
    """Whether a system is a free field on a periodic hypercubic lattice."""
    if not isinstance(system, Field):
        return False
    lattice: Lattice = system.lattice
    return system.free and not system.path and lattice.kind == "hypercubic" and lattice.periodic


def modes(field: Field) -> np.ndarray:
    """Eigenvalue of the quadratic form for every momentum, shape ``lattice.shape``.

    2c₂ + Σ_μ Σ_r 2κ_r (1 − cos r k_μ) for ``coupling="difference"``, 2c₂ − Σ_μ Σ_r 2κ_r cos r k_μ for "product", with k = 2πn/L and
    2c₂ = m². Axes of extent 1 have no bonds and contribute nothing.

    Raises
    ------
    HamlearnError
        If the field is not free or its lattice not periodic and hypercubic.

    Examples
    --------
    >>> from hamlearn.systems import ScalarField
    >>> modes(ScalarField(4, m2=1.0, lam=0.0)).round(6)
    array([1., 3., 5., 3.])
    """
    if not applies(field):
        raise HamlearnError(f"the closed form needs a free field (lam=0, no power but φ²) on a periodic hypercubic lattice; got {field!r}.")
    result = np.full(field.lattice.shape, 2.0 * field.potential.c[1])
    for axis, extent in enumerate(field.lattice.shape):
        if extent > 1:
            cosines = np.cos(2 * np.pi * np.outer(np.arange(1, len(field.kinetic) + 1), np.arange(extent)) / extent)
            term = field.kinetic @ (2 * (1 - cosines) if field.coupling == "difference" else -2 * cosines)
            result = result + term.reshape([-1 if k == axis else 1 for k in range(result.ndim)])
    return result


def propagator(field: Field, beta: float = 1.0) -> np.ndarray:
    """⟨φ_0 φ_x⟩ of a free field for every site x, shape ``lattice.shape``: (1/N) Σ_k e^{ikx}/(β ω_k).

    Examples
    --------
    >>> from hamlearn.systems import ScalarField
    >>> float(propagator(ScalarField(2, m2=1.0, lam=0.0))[0])  # (1 + 1/5)/2, both wrap-around bonds kept
    0.6
    """
    return np.fft.ifftn(1 / (float(check_beta(beta)) * modes(field))).real


def log_partition(field: Field, beta: Any) -> Any:
    """Log Z = ½ Σ_k log(2π/(β ω_k)) with the plain measure Π dφ."""
    points = check_beta(beta)
    logs = np.log(modes(field))
    found = 0.5 * (logs.size * np.log(2 * np.pi / points) - logs.sum())
    return float(found) if points.ndim == 0 else found


def thermodynamics(field: Field, beta: Any) -> xr.Dataset:
    """Energy S/N, heat capacity, entropy and free energy per site, and ⟨φ²⟩, of a free field at weight exp(−βS)."""
    points = np.atleast_1d(check_beta(beta))
    n, value = field.lattice.n_sites, np.atleast_1d(log_partition(field, points))
    columns = {
        "energy": (0.5 / points, "action per site (β outside)", "1"),
        "heat_capacity": (np.full_like(points, 0.5), "heat capacity per site", "k_B"),
        "entropy": (value / n + 0.5, "entropy per site, plain measure", "k_B"),
        "free_energy": (-value / (points * n), "free energy per site, plain measure", "1"),
        "squared_field": (np.mean(1 / modes(field)) / points, "mean square of the field", "1"),
    }
    data = {name: ("beta", column, {"long_name": text, "units": unit}) for name, (column, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", points, _BETA)}, {"method": "closed form"})


def sample(field: Field, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Independent fields ``(draws, *lattice.shape)``: white noise divided by √(β ω_k)."""
    axes = tuple(range(1, 1 + len(field.lattice.shape)))
    noise = np.fft.fftn(generator.normal(size=(draws, *field.lattice.shape)), axes=axes)
    return np.fft.ifftn(noise / np.sqrt(float(check_beta(beta)) * modes(field)), axes=axes).real
