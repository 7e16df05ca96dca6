"""Exact log Z, thermodynamics and local expectations of a system."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import check_beta
from hamlearn.systems.exact import kaufman
from hamlearn.systems.exact.methods import require, require_general, tables_of
from hamlearn.systems.exact.partition import arithmetics, compiled, two_derivatives
from hamlearn.systems.pairwise import Pairwise

BETA_ATTRIBUTES = {"long_name": "inverse temperature", "units": "1/energy"}


def log_partition(system: Any, beta: Any) -> Any:
    """Exact log Z.

    Parameters
    ----------
    system : Pairwise or QState
        A system that :func:`method` can treat.
    beta : float or array
        Inverse temperature, > 0.

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
    result = _derivatives(system, check_beta(beta), order=0)[0]
    return float(result) if np.ndim(beta) == 0 else result


def thermodynamics(system: Any, beta: Any) -> xr.Dataset:
    """Exact energy, heat capacity, entropy and free energy per site.

    Parameters
    ----------
    system : Pairwise or QState
        A system that :func:`method` can treat.
    beta : float or array (n,)
        Inverse temperatures, > 0.

    Returns
    -------
    xarray.Dataset
        Over dimension ``beta``, in natural units (k_B = 1): ``energy`` U/N = −∂ log Z/∂β / N,
        ``heat_capacity`` β² Var(H)/N, ``entropy`` (log Z + βU)/N and ``free_energy`` −log Z/(βN).
        Derivatives by automatic differentiation of log Z.

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
    points = _one_dimensional(beta)
    value, slope, curvature = _derivatives(system, points, order=2)
    n = system.lattice.n_sites
    columns = {
        "energy": (-slope / n, "energy per site", "energy"),
        "heat_capacity": (points**2 * curvature / n, "heat capacity per site", "k_B"),
        "entropy": ((value - points * slope) / n, "entropy per site", "k_B"),
        "free_energy": (-value / (points * n), "free energy per site", "energy"),
    }
    data = {name: ("beta", column, {"long_name": text, "units": unit}) for name, (column, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES)}, {"method": require(system)})


def expectations(system: Any, beta: Any) -> xr.Dataset:
    """Exact single-site and bond expectations: the gradients of log Z.

    Parameters
    ----------
    system : Pairwise or QState
        A system small enough for enumeration or the transfer matrix.
    beta : float or array (n,)
        Inverse temperature, > 0.

    Returns
    -------
    xarray.Dataset
        For spins ``magnetization`` ⟨σ_i⟩ over ``site`` and ``correlation`` ⟨σ_i σ_j⟩ over ``bond``; otherwise
        the probabilities ``marginal`` over (site, state) and ``pair_marginal`` over (bond, state_i, state_j).
        With a leading ``beta`` where an array was given. Sites are flat (C order), bonds in the order of
        ``lattice.bonds``, whose ends are the coordinates ``site_i`` and ``site_j``.

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
    method = require_general(system, "exact expectations")
    points = _one_dimensional(beta)
    tables, fields = tables_of(system)
    pairs = np.empty((points.size, *tables.shape))
    sites = np.empty((points.size, *fields.shape))
    with jax.enable_x64(True):
        for k, arithmetic in enumerate(arithmetics(system, method, points)):
            run = compiled(system.lattice, system.space.q, method, arithmetic).gradient
            _, (pairs[k], sites[k]) = run(points[k], tables, fields)
    if isinstance(system, Pairwise):
        correlation = pairs[..., 0, 0] + pairs[..., 1, 1] - pairs[..., 0, 1] - pairs[..., 1, 0]
        data: dict[str, Any] = {
            "magnetization": (("beta", "site"), sites[..., 1] - sites[..., 0]),
            "correlation": (("beta", "bond"), correlation),
        }
    else:
        data = {
            "marginal": (("beta", "site", "state"), sites),
            "pair_marginal": (("beta", "bond", "state_i", "state_j"), pairs),
        }
    ends = {f"site_{end}": ("bond", system.lattice.bonds[:, k]) for k, end in enumerate("ij")}
    result = xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES), **ends}, {"method": method})
    return result.isel(beta=0) if np.ndim(beta) == 0 else result


def _derivatives(system: Any, points: np.ndarray, order: int) -> np.ndarray:
    """Log Z and, with `order` 2, its first two derivatives in β: ``(1 or 3, *points.shape)``."""
    method = require(system)
    results = np.empty((order + 1, points.size))
    with jax.enable_x64(True):
        if method == "kaufman":
            # Flipping one sublattice turns the antiferromagnet on even extents into the ferromagnet.
            coupling = abs(float(system.J[0]))
            for k, beta in enumerate(points.ravel()):
                results[:, k] = _kaufman(beta, coupling, system.lattice.shape)[: order + 1]
        else:
            tables, fields = tables_of(system)
            for k, arithmetic in enumerate(arithmetics(system, method, points)):
                run = compiled(system.lattice, system.space.q, method, arithmetic)
                beta = points.ravel()[k]
                results[:, k] = run.derivatives(beta, tables, fields) if order else run.value(beta, tables, fields)
    return results.reshape(order + 1, *points.shape)


@partial(jax.jit, static_argnums=2)
def _kaufman(beta: jax.Array, coupling: jax.Array, extents: tuple[int, int]) -> Any:
    return two_derivatives(lambda b: kaufman.log_partition(extents, b * coupling), beta)


def _one_dimensional(beta: Any) -> np.ndarray:
    points = np.atleast_1d(check_beta(beta))
    if points.ndim > 1:
        raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {points.shape}.")
    return points
