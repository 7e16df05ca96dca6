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
    """Whether a system is a free field on a periodic hypercubic lattice, or a path of one with the usual kinetic term."""
    if not isinstance(system, Field) or (system.path and (len(system.kinetic) > 1 or system.kinetic[0] <= 0)):
        return False
    lattice: Lattice = system.lattice
    return system.free and lattice.kind == "hypercubic" and lattice.periodic


def modes(field: Field, beta: float = 1.0) -> np.ndarray:
    """Eigenvalue ω_k(β) of the quadratic form of the action at β for every momentum, shape ``lattice.shape``.

    β (2c₂ + Σ_μ Σ_r 2κ_r (1 − cos r k_μ)) for ``coupling="difference"``, β (2c₂ − Σ_μ Σ_r 2κ_r cos r k_μ) for "product", with k = 2πn/L
    and 2c₂ = m². Axes of extent 1 have no bonds and contribute nothing. Of a path: 1/a at the terms along time, a at all others.

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
    kinetic, other = _spectra(field)
    u, v = field.factors(float(check_beta(beta)))
    return np.asarray(u * kinetic + v * other)


def _spectra(field: Field) -> tuple[np.ndarray, np.ndarray]:
    """What u and v multiply in ω_k."""
    if not applies(field):
        raise HamlearnError(f"the closed form needs a free field (lam=0, no power but φ²) on a periodic hypercubic lattice; got {field!r}.")
    kinetic, gradient = (_along(field, *term) for term in field.terms)
    return kinetic, gradient + 2.0 * field.potential.c[1]


def _along(field: Field, strengths: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Eigenvalues of the neighbour terms along some axes."""
    result = np.zeros(field.lattice.shape)
    for axis in axes:
        extent = field.lattice.shape[axis]
        if extent > 1:
            cosines = np.cos(2 * np.pi * np.outer(np.arange(1, len(strengths) + 1), np.arange(extent)) / extent)
            term = strengths @ (2 * (1 - cosines) if field.coupling == "difference" else -2 * cosines)
            result = result + term.reshape([-1 if k == axis else 1 for k in range(result.ndim)])
    return result


def propagator(field: Field, beta: float = 1.0) -> np.ndarray:
    """⟨φ_0 φ_x⟩ of a free field for every site x, shape ``lattice.shape``: (1/N) Σ_k e^{ikx}/ω_k(β).

    Examples
    --------
    >>> from hamlearn.systems import ScalarField
    >>> float(propagator(ScalarField(2, m2=1.0, lam=0.0))[0])  # (1 + 1/5)/2, both wrap-around bonds kept
    0.6
    """
    return np.fft.ifftn(1 / modes(field, beta)).real


def log_partition(field: Field, beta: Any) -> Any:
    """Log Z = ½ Σ_k log(2π/ω_k(β)) with the plain measure Π dφ."""
    points = check_beta(beta)
    found = np.array([0.5 * np.log(2 * np.pi / modes(field, float(one))).sum() for one in points.ravel()]).reshape(points.shape)
    return float(found) if points.ndim == 0 else found


def thermodynamics(field: Field, beta: Any) -> xr.Dataset:
    """Energy, heat capacity, entropy and free energy per site, and ⟨φ²⟩, of a free field at weight exp(−βS).

    Of a path they are those of the quantum field with N_τ slices, per site of space, with the factor (κ/2πa)^(N/2) of the path integral, as
    those of :class:`.Path` are; and there is the mean ``action`` besides.
    """
    points = np.atleast_1d(check_beta(beta))
    if field.path:
        return _of_path(field, points)
    n, value = field.lattice.n_sites, np.atleast_1d(log_partition(field, points))
    columns = {
        "energy": (0.5 / points, "action per site (β outside)", "1"),
        "heat_capacity": (np.full_like(points, 0.5), "heat capacity per site", "k_B"),
        "entropy": (value / n + 0.5, "entropy per site, plain measure", "k_B"),
        "free_energy": (-value / (points * n), "free energy per site, plain measure", "1"),
        "squared_field": (np.mean(1 / modes(field)) / points, "mean square of the field", "1"),
    }
    return _dataset(columns, points)


def _of_path(field: Field, points: np.ndarray) -> xr.Dataset:
    """The same of a path: ln Z = Σ_k ½ ln(κ N_τ/(β ω_k)) with ω_k = (N_τ/β) t_k + (β/N_τ) s_k, and its derivatives in β."""
    times, n = field.lattice.shape[0], field.lattice.n_sites
    t, s = _spectra(field)
    rows = []
    for beta in points if field.a is None else np.full_like(points, field.a * times):  # the action belongs to the width of its slices
        omega, slope, bend = times / beta * t + beta / times * s, s / times - times / beta**2 * t, 2 * times / beta**3 * t
        value = 0.5 * np.log(field.kinetic[0] * times / (beta * omega)).sum()
        energy = 0.5 * (slope / omega + 1 / beta).sum()
        capacity = -(beta**2) * 0.5 * (bend / omega - (slope / omega) ** 2 - 1 / beta**2).sum()
        rows.append([energy, capacity, value + beta * energy, -value / beta, np.mean(1 / omega), 0.5 * n])
    found, space = np.array(rows).T, n // times
    columns = {
        "energy": (found[0] / space, "energy per site of space", "energy"),
        "heat_capacity": (found[1] / space, "heat capacity per site of space", "k_B"),
        "entropy": (found[2] / space, "entropy per site of space", "k_B"),
        "free_energy": (found[3] / space, "free energy per site of space", "energy"),
        "squared_field": (found[4], "mean square of the field", "1"),
        "action": (found[5], "mean action", "1"),
    }
    return _dataset(columns, points)


def _dataset(columns: dict[str, Any], points: np.ndarray) -> xr.Dataset:
    data = {name: ("beta", column, {"long_name": text, "units": unit}) for name, (column, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", points, _BETA)}, {"method": "closed form"})


def sample(field: Field, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Independent fields ``(draws, *lattice.shape)``: white noise divided by √ω_k(β)."""
    axes = tuple(range(1, 1 + len(field.lattice.shape)))
    noise = np.fft.fftn(generator.normal(size=(draws, *field.lattice.shape)), axes=axes)
    return np.fft.ifftn(noise / np.sqrt(modes(field, beta)), axes=axes).real
