"""The free scalar field (λ = 0) in closed form: a Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import check_beta
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.scalar import ScalarField

_BETA = {"long_name": "inverse temperature", "units": "1/action"}


def applies(system: Any) -> bool:
    """Whether a system is a free field on a periodic hypercubic lattice."""
    if not isinstance(system, ScalarField):
        return False
    lattice: Lattice = system.lattice
    return system.lam == 0 and lattice.kind == "hypercubic" and lattice.periodic


def modes(field: ScalarField) -> np.ndarray:
    """Eigenvalue of the quadratic form for every momentum, shape ``lattice.shape``.

    m² + Σ_μ 2(1 − cos k_μ) for ``coupling="difference"``, m² − Σ_μ 2 cos k_μ for "product", with k = 2πn/L. Axes of extent 1
    have no bonds and contribute nothing.

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
        raise HamlearnError(f"the closed form needs a free field, lam=0, on a periodic hypercubic lattice; got {field!r}.")
    result = np.full(field.lattice.shape, float(field.m2))
    for axis, extent in enumerate(field.lattice.shape):
        if extent > 1:
            cosine = np.cos(2 * np.pi * np.arange(extent) / extent)
            term = 2 * (1 - cosine) if field.coupling == "difference" else -2 * cosine
            result = result + term.reshape([-1 if k == axis else 1 for k in range(result.ndim)])
    return result


def propagator(field: ScalarField, beta: float = 1.0) -> np.ndarray:
    """⟨φ_0 φ_x⟩ of a free field for every site x, shape ``lattice.shape``: (1/N) Σ_k e^{ikx}/(β ω_k).

    Examples
    --------
    >>> from hamlearn.systems import ScalarField
    >>> float(propagator(ScalarField(2, m2=1.0, lam=0.0))[0])  # (1 + 1/5)/2, both wrap-around bonds kept
    0.6
    """
    return np.fft.ifftn(1 / (float(check_beta(beta)) * modes(field))).real


def log_partition(field: ScalarField, beta: Any) -> Any:
    """Log Z = ½ Σ_k log(2π/(β ω_k)) with the plain measure Π dφ."""
    points = check_beta(beta)
    logs = np.log(modes(field))
    found = 0.5 * (logs.size * np.log(2 * np.pi / points) - logs.sum())
    return float(found) if points.ndim == 0 else found


def thermodynamics(field: ScalarField, beta: Any) -> xr.Dataset:
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


def sample(field: ScalarField, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Independent fields ``(draws, *lattice.shape)``: white noise divided by √(β ω_k)."""
    axes = tuple(range(1, 1 + len(field.lattice.shape)))
    noise = np.fft.fftn(generator.normal(size=(draws, *field.lattice.shape)), axes=axes)
    return np.fft.ifftn(noise / np.sqrt(float(check_beta(beta)) * modes(field)), axes=axes).real
