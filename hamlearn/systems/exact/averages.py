"""Exact log Z, thermodynamics and local expectations of a system."""

from __future__ import annotations

from typing import Any

import xarray as xr

from hamlearn.processes import verb
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.exact.oracle import Oracle, one_dimensional
from hamlearn.systems.exact.registry import require_normaliser, require_oracle


@verb
def log_partition(system: System, beta: Any, *, oracle: Oracle | None = None) -> Any:
    """Exact log Z.

    Parameters
    ----------
    system : System
        One that :func:`method` can treat, or at its own temperature one of few hidden units. Paths and free fields use the plain measure
        Π dx, XY the measure Π dφ/2π.
    beta : float or array
        Inverse temperature, > 0.
    oracle : Oracle, optional
        Who is to answer; by default the cheapest that knows.

    Returns
    -------
    float, or array of the shape of `beta`

    Raises
    ------
    HamlearnError
        If the system is too large or of another kind, or β is not positive.

    Examples
    --------
    The torus at β = 0.44, in closed form (Kaufman 1949):

    >>> from hamlearn.systems import Ising, exact
    >>> round(exact.log_partition(Ising((32, 32)), 0.44), 6)
    951.642126
    """
    points = check_beta(beta)
    found = require_normaliser(system, "exact log Z", oracle).log_z(system, points.ravel()).reshape(points.shape)
    return float(found) if points.ndim == 0 else found


@verb
def thermodynamics(system: System, beta: Any, *, oracle: Oracle | None = None) -> xr.Dataset:
    """Exact energy, heat capacity, entropy and free energy per site.

    Parameters
    ----------
    system : System
        One that :func:`method` can treat.
    beta : float or array (n,)
        Inverse temperatures, > 0.
    oracle : Oracle, optional
        As in :func:`log_partition`.

    Returns
    -------
    xarray.Dataset
        Over dimension ``beta``, in natural units (k_B = 1): ``energy`` U/N = −∂ log Z/∂β / N,
        ``heat_capacity`` β² Var(H)/N, ``entropy`` (log Z + βU)/N and ``free_energy`` −log Z/(βN).
        Derivatives by automatic differentiation of log Z. Entropies of continuous systems are relative to the measure
        of :func:`log_partition`.

        A path is one particle, so its values are totals, not per site: ``log_partition``, ``action`` ⟨S⟩,
        ``action_variance`` Var S and ``gap`` ln(λ₀/λ₁)/a; for rings also ``squared_position`` ⟨x²⟩,
        ``quartic_position`` ⟨x⁴⟩, and ``energy``, ``heat_capacity``, ``entropy`` and ``free_energy`` of the particle
        with N_τ slices (with the factor (κ/2πa)^(N_τ/2) of the path integral, a = β/N_τ).

    Raises
    ------
    HamlearnError
        If the system is too large or of another kind, or β is not positive.

    Examples
    --------
    Near the critical point (Ferdinand and Fisher, Phys. Rev. 185, 832, 1969):

    >>> from hamlearn.systems import Ising, exact
    >>> ising = exact.thermodynamics(Ising((24, 24)), 0.4407)
    >>> [round(float(ising[name][0]), 5) for name in ("energy", "entropy", "free_energy")]
    [-1.44025, 0.29611, -2.11215]
    """
    points = one_dimensional(beta)
    return require_oracle(system, "thermodynamics", "exact thermodynamics", oracle).thermodynamics(system, points)


@verb
def expectations(system: System, beta: Any, *, oracle: Oracle | None = None) -> xr.Dataset:
    """Exact single-site and bond expectations: the gradients of log Z.

    Parameters
    ----------
    system : System
        One small enough for enumeration or the transfer matrix; or a periodic path.
    beta : float or array (n,)
        Inverse temperature, > 0.
    oracle : Oracle, optional
        As in :func:`log_partition`.

    Returns
    -------
    xarray.Dataset
        For spins ``magnetization`` ⟨σ_i⟩ over ``site`` and ``correlation`` ⟨σ_i σ_j⟩ over ``bond``; otherwise
        the probabilities ``marginal`` over (site, state) and ``pair_marginal`` over (bond, state_i, state_j).
        With a leading ``beta`` where an array was given. Sites are flat (C order), bonds in the order of
        ``lattice.bonds``, whose ends are the coordinates ``site_i`` and ``site_j``. For paths the ``density`` of x
        over ``position`` and the ``correlation`` ⟨x_0 x_t⟩ over ``separation`` t = 0 … N_τ/2.

    Raises
    ------
    HamlearnError
        If the system is too large or of another kind, or β is not positive.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> chain = exact.expectations(Ising(3, periodic=False), 0.5)
    >>> chain["correlation"].values.round(6).tolist()  # tanh β on an open chain
    [0.462117, 0.462117]
    """
    check_beta(beta)
    return require_oracle(system, "expectations", "exact expectations", oracle).expectations(system, beta)
