"""The oracle of imaginary-time paths: log Z, averages, thermodynamics of the particle and independent paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.exact import rings
from hamlearn.systems.exact.oracle import Oracle, columns_of_beta
from hamlearn.systems.exact.path import TransferOperator, transfer_operator
from hamlearn.systems.path import Path

_SOLVE = 40.0  # operations per cubed grid point: the last eigendecomposition, the coarser ones before it, and the moments


class Operator(Oracle):
    """Paths of neighbouring slices, however they were written: a system shows by a property ``nearest_path`` which :class:`Path` it is."""

    name = "operator"
    gives = ("log_z", "thermodynamics", "expectations", "sample")

    def refusal(self, system: System) -> str | None:
        """Why not."""
        return None if system.nearest_path is not None else "needs an imaginary-time path of neighbouring slices"

    def cost(self, system: System, beta: float) -> float:
        """Of the last eigendecomposition, the coarser ones before it, and the moments."""
        path = _path(system)
        points = len(transfer_operator(path, beta).x)
        return _SOLVE * points**3 + 8.0 * path.n_tau * points**2

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z with the plain measure Π dx."""
        return np.array([transfer_operator(_path(system), float(one)).log_partition for one in betas])

    def thermodynamics(self, system: System, betas: np.ndarray) -> xr.Dataset:
        """Log Z, action, gap and moments of a path; for rings also the thermodynamics of the particle.

        See :func:`hamlearn.systems.exact.thermodynamics`.
        """
        found = [_thermodynamics_at(transfer_operator(_path(system), float(one))) for one in betas]
        columns = {name: (np.array([one[name] for one in found]), *labels) for name, labels in _COLUMNS.items() if name in found[0]}
        return columns_of_beta(columns, betas, "transfer operator")

    def expectations(self, system: System, beta: Any) -> xr.Dataset:
        """Distribution of x and correlation function of a ring; see :func:`hamlearn.systems.exact.expectations`."""
        return _expectations(_path(system), beta)

    def sample(self, system: System, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
        """Slice by slice from p(x_t | x_{t−1}, x_0)."""
        return rings.sample(_path(system), beta, draws, generator)


def _path(system: System) -> Path:
    found = system.nearest_path
    assert found is not None  # refusal() has seen to it
    return found


_COLUMNS = {
    "log_partition": ("log Z, plain measure", "1"),
    "action": ("mean action", "1"),
    "action_variance": ("variance of the action", "1"),
    "gap": ("ln(λ0/λ1)/a", "energy"),
    "squared_position": ("mean square of x", "length²"),
    "quartic_position": ("mean fourth power of x", "length⁴"),
    "energy": ("energy of the particle", "energy"),
    "heat_capacity": ("heat capacity of the particle", "k_B"),
    "entropy": ("entropy of the particle", "k_B"),
    "free_energy": ("free energy of the particle", "energy"),
}


def _thermodynamics_at(operator: TransferOperator) -> dict[str, float]:
    path, n = operator.path, operator.path.n_tau
    beta = path.temperature(operator.beta)
    kinetic, potential = operator.links()
    V = operator.V + operator.shift / beta
    action = operator.moments(kinetic / beta + beta * potential, 0.5 * operator.a * V)
    found = {"log_partition": operator.log_partition, "action": action[0], "action_variance": action[1], "gap": operator.gap}
    if not path.periodic:
        return found
    density = operator.density() * operator.h
    found |= {"squared_position": density @ operator.x**2, "quartic_position": density @ operator.x**4}
    # With the measure of the path integral, Z = (κ/2πa)^{N/2} ∫Πdx e^{−K/β − βV}.
    log_z = found["log_partition"] + 0.5 * n * np.log(path.kinetic * n / (2 * np.pi * beta))
    mean_kinetic = operator.moments(kinetic)[0]
    slope, variance = operator.moments(kinetic / beta**2 - potential)
    found["energy"] = n / (2 * beta) - slope
    found["heat_capacity"] = beta**2 * (n / (2 * beta**2) - 2 * mean_kinetic / beta**3 + variance)
    found |= {"entropy": log_z + beta * found["energy"], "free_energy": -log_z / beta}
    return found


def _expectations(path: Path, beta: Any) -> xr.Dataset:
    """Exact distribution of x and correlation function of a ring; see :func:`hamlearn.systems.exact.expectations`."""
    if not path.periodic:
        raise HamlearnError("exact expectations of a path need periodic=True: with free ends they differ from slice to slice.")
    found = []
    for one in np.atleast_1d(check_beta(beta)).ravel():
        operator = transfer_operator(path, float(one))
        grid = operator.x
        data = {
            "density": ("position", operator.density(), {"long_name": "probability density of x", "units": "1/length"}),
            "correlation": ("separation", operator.correlation(), {"long_name": "mean of x_0 x_t", "units": "length²"}),
        }
        found.append(xr.Dataset(data, {"position": grid, "separation": np.arange(path.n_tau // 2 + 1), "beta": float(one)}))
    if np.ndim(beta) == 0:
        return found[0].assign_attrs(method="transfer operator")
    common = np.unique(np.concatenate([one["position"].values for one in found]))
    aligned = [one.interp(position=common, kwargs={"fill_value": 0.0}) for one in found]
    return xr.concat(aligned, "beta").assign_attrs(method="transfer operator; densities at several β interpolated to one grid")
