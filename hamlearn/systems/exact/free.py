"""Gaussian fields in closed form: by momenta where they repeat on a periodic lattice, else by diagonalising the quadratic form."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.exact.oracle import Oracle, columns_of_beta
from hamlearn.systems.field import Field

MOST_SITES = 2048
"""Largest number of sites whose quadratic form is diagonalised; periodic lattices are solved by momenta, at any size."""


class Gaussian(Oracle):
    """Systems whose action is a quadratic form: they are ``free``, with a ``quadratic_form(beta)``.

    Of a ``lattice_field`` that repeats, momenta diagonalise the form.
    """

    name = "gaussian"
    gives = ("log_z", "thermodynamics", "sample")
    measure = "plain measure"

    def refusal(self, system: System) -> str | None:
        """Why not."""
        words = "needs a free field (lam=0, no power but φ²)"
        if not system.free:
            return words
        path = _path(system)
        if path and (len(path.kinetic) > 1 or path.kinetic[0] <= 0):
            return f"{words}, of paths with the usual kinetic term"
        if _repeating(system) is None and (path or system.lattice.n_sites > MOST_SITES):
            return f"{words} on a periodic hypercubic lattice, or of at most {MOST_SITES} sites"
        return None

    def cost(self, system: System, beta: float) -> float:
        """Of its momenta, or of an eigendecomposition."""
        n = float(system.lattice.n_sites)
        return 10.0 * n**3 if _repeating(system) is None else 100.0 * n

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z = ½ Σ_k log(2π/ω_k(β)) with the plain measure Π dφ."""
        return np.array([0.5 * np.log(2 * np.pi / _spectrum(system, float(one))).sum() for one in betas])

    def derivatives(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Of a form that is proportional to β."""
        half = np.full_like(betas, system.lattice.n_sites / 2)
        return np.stack([self.log_z(system, betas), -half / betas, half / betas**2])

    def thermodynamics(self, system: System, betas: np.ndarray) -> xr.Dataset:
        """Energy, heat capacity, entropy and free energy per site, and ⟨φ²⟩, at weight exp(−βS).

        Of a path they are those of the quantum field with N_τ slices, per site of space, with the factor (κ/2πa)^(N/2) of the path
        integral, as those of :class:`.Path` are; and there is the mean ``action`` besides.
        """
        if path := _path(system):
            return _of_path(path, betas)
        result = super().thermodynamics(system, betas)
        square = np.array([np.mean(1 / _spectrum(system, float(one))) for one in betas])
        columns = {"squared_field": (square, "mean square of the field", "1")}
        return result.merge(columns_of_beta(columns, betas, self.name)).assign_attrs(result.attrs)

    def sample(self, system: System, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
        """White noise divided by √ω in every mode."""
        shape = tuple(system.lattice.shape)
        noise = generator.normal(size=(draws, *shape))
        found = _repeating(system)
        if found is None:
            values, vectors = np.linalg.eigh(system.quadratic_form(beta))
            return ((noise.reshape(draws, -1) / np.sqrt(values)) @ vectors.T).reshape(draws, *shape)
        axes = tuple(range(1, 1 + len(shape)))
        return np.fft.ifftn(np.fft.fftn(noise, axes=axes) / np.sqrt(modes(found, beta)), axes=axes).real


def _path(system: System) -> Field | None:
    return system.lattice_field if system.lattice_field is not None and system.lattice_field.path else None


def _repeating(system: System) -> Field | None:
    """The field whose quadratic form momenta diagonalise."""
    found, lattice = system.lattice_field, system.lattice
    return found if lattice.kind == "hypercubic" and lattice.periodic else None


def _spectrum(system: System, beta: float) -> np.ndarray:
    """All eigenvalues of the quadratic form at β."""
    found = _repeating(system)
    return np.linalg.eigvalsh(system.quadratic_form(beta)) if found is None else modes(found, beta)


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
    if not Gaussian().applies(field) or _repeating(field) is None:
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
    return columns_of_beta(columns, points, "closed form")
