"""What an exact answer is: an object that says of which systems it knows what, and at what cost."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System, check_beta

BETA_ATTRIBUTES = {"long_name": "inverse temperature", "units": "1/energy"}
HOPELESS = float("inf")
"""A preference: taken only where no other oracle applies."""


class Oracle:
    """An exact method: derive from it, say which systems it treats, and give log Z with two derivatives.

    Oracles ask for the structure of a system (tables over pairs, a quadratic form, a path of neighbouring slices), never for its class:
    the same Hamiltonian written otherwise gets the same answer.

    Attributes
    ----------
    name : str
        What results call it.
    gives : tuple of str
        Which answers it has: "log_z", "thermodynamics", and perhaps "expectations", "sample", and "states" (all of them are listed);
        "normaliser" in place of all of these where log Z is known at the one temperature that a system has for its own.
    measure : str
        What entropies and free energies are relative to, in words.
    values_per_point : float
        How many values of :meth:`log_z` cost as much as :meth:`thermodynamics` at one temperature; where it is many, curves are made of
        the former (:mod:`hamlearn.systems.exact.curves`).

    Examples
    --------
    Free spins in a field, as a user adds them:

    >>> import numpy as np
    >>> from hamlearn.systems import Ising, exact
    >>> class Free(exact.Oracle):
    ...     name = "free spins"
    ...
    ...     def refusal(self, system):
    ...         return None if system.pairs is not None and not system.pairs.of_spins()[0].any() else "spins interact"
    ...
    ...     def derivatives(self, system, betas):
    ...         h = system.pairs.of_spins()[1]
    ...         x = betas[:, None] * h
    ...         return np.stack([np.log(2 * np.cosh(x)).sum(1), np.tanh(x) @ h, (1 / np.cosh(x) ** 2) @ h**2])
    >>> wide = Ising((30, 30), J=0.0, h=0.5)
    >>> round(exact.log_partition(wide, 1.0, oracle=Free()), 3)
    731.936
    """

    name: ClassVar[str] = ""
    gives: ClassVar[tuple[str, ...]] = ("log_z", "thermodynamics")
    measure: ClassVar[str] = ""
    values_per_point: ClassVar[float] = 1.0

    def refusal(self, system: System) -> str | None:
        """Why it cannot treat a system, in a few words; None where it can."""
        raise NotImplementedError

    def applies(self, system: System) -> bool:
        """Whether it can treat a system."""
        return self.refusal(system) is None

    def preference(self, system: System) -> float:
        """Of the oracles that apply, that of the smallest number answers; among equals the earlier one."""
        return 0.0

    def cost(self, system: System, beta: float) -> float:
        """Operations of :meth:`thermodynamics` at one temperature, about; counted, so that it is the same on every machine."""
        return 100.0 * system.lattice.n_sites

    def cost_of_draw(self, system: System) -> float:
        """Operations of one independent state of :meth:`sample`, about."""
        return 500.0 * system.lattice.n_sites

    def derivatives(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z and its first two derivatives in β, shape ``(3, n)``, at inverse temperatures ``(n,)``."""
        raise HamlearnError(f"the oracle {self.name!r} has no derivatives of log Z.")

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z ``(n,)`` at inverse temperatures ``(n,)``."""
        return self.derivatives(system, betas)[0]

    def per_site(self, system: System, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energy, heat capacity and entropy per site, each ``(n,)``."""
        value, slope, curvature = self.derivatives(system, betas)
        n = system.lattice.n_sites
        return -slope / n, betas**2 * curvature / n, (value - betas * slope) / n

    def thermodynamics(self, system: System, betas: np.ndarray) -> xr.Dataset:
        """Energy, heat capacity, entropy and free energy per site over ``beta``."""
        return self.columns(betas, *self.per_site(system, betas))

    def columns(self, betas: np.ndarray, energy: np.ndarray, heat_capacity: np.ndarray, entropy: np.ndarray) -> xr.Dataset:
        """A Dataset of these, all per site, and of the free energy."""
        said = f", {self.measure}" if self.measure else ""
        columns = {
            "energy": (energy, "energy per site", "energy"),
            "heat_capacity": (heat_capacity, "heat capacity per site", "k_B"),
            "entropy": (entropy, f"entropy per site{said}", "k_B"),
            "free_energy": (energy - entropy / betas, f"free energy per site{said}", "energy"),
        }
        return columns_of_beta(columns, betas, self.name)

    def expectations(self, system: System, beta: Any) -> xr.Dataset:
        """Exact local expectations at one or several temperatures."""
        raise HamlearnError(f"the oracle {self.name!r} knows no local expectations of {system!r}.")

    def sample(self, system: System, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
        """Independent states ``(draws, *lattice.shape)``."""
        raise HamlearnError(f"the oracle {self.name!r} draws no samples of {system!r}.")

    def __repr__(self) -> str:
        return f"<oracle {self.name}>"


def columns_of_beta(columns: dict[str, tuple[np.ndarray, str, str]], betas: np.ndarray, method: str) -> xr.Dataset:
    """A Dataset of columns ``(values, long name, units)`` over ``beta``."""
    data = {name: ("beta", values, {"long_name": text, "units": unit}) for name, (values, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", betas, BETA_ATTRIBUTES)}, {"method": method})


def one_dimensional(beta: Any) -> np.ndarray:
    """Inverse temperatures ``(n,)`` from a number or a one-dimensional array."""
    points = np.atleast_1d(check_beta(beta))
    if points.ndim > 1:
        raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {points.shape}.")
    return points
