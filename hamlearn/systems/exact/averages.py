"""Exact log Z, thermodynamics and local expectations of a system."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.systems.base import check_beta
from hamlearn.systems.exact import enumeration, free, kaufman, path, vectors, xy
from hamlearn.systems.exact.methods import evaluated, lattice_method, require, require_general, tables_of
from hamlearn.systems.exact.methods import method as method_of
from hamlearn.systems.exact.partition import arithmetics, compiled, two_derivatives
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.path import Path

_CONTINUOUS: dict[Any, Any] = {"operator": path, "characters": xy, "gaussian": free, "tree": vectors}
BETA_ATTRIBUTES = {"long_name": "inverse temperature", "units": "1/energy"}


@verb
def log_partition(system: Any, beta: Any) -> Any:
    """Exact log Z.

    Parameters
    ----------
    system : Pairwise, QState, Path, XY or Field
        A system that :func:`method` can treat. Paths and free fields use the plain measure Π dx, XY the measure
        Π dφ/2π.
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
    other = _CONTINUOUS.get(method_of(system))
    if other is not None:
        return other.log_partition(system, beta)
    result = _derivatives(system, check_beta(beta), order=0)[0]
    return float(result) if np.ndim(beta) == 0 else result


@verb
def thermodynamics(system: Any, beta: Any) -> xr.Dataset:
    """Exact energy, heat capacity, entropy and free energy per site.

    Parameters
    ----------
    system : Pairwise, QState, Path, XY or Field
        A system that :func:`method` can treat.
    beta : float or array (n,)
        Inverse temperatures, > 0.

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
    other = _CONTINUOUS.get(method_of(system))
    if other is not None:
        return other.thermodynamics(system, beta)
    points = _one_dimensional(beta)
    energy, heat_capacity, entropy = _per_site(system, points)
    columns = {
        "energy": (energy, "energy per site", "energy"),
        "heat_capacity": (heat_capacity, "heat capacity per site", "k_B"),
        "entropy": (entropy, "entropy per site", "k_B"),
        "free_energy": (energy - entropy / points, "free energy per site", "energy"),
    }
    data = {name: ("beta", column, {"long_name": text, "units": unit}) for name, (column, text, unit) in columns.items()}
    return xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES)}, {"method": require(system)})


@verb
def expectations(system: Any, beta: Any) -> xr.Dataset:
    """Exact single-site and bond expectations: the gradients of log Z.

    Parameters
    ----------
    system : Pairwise, QState or Path
        A system small enough for enumeration or the transfer matrix; or a periodic path.
    beta : float or array (n,)
        Inverse temperature, > 0.

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
    if isinstance(system, Path):
        return path.expectations(system, beta)
    chosen = require_general(system, "exact expectations")
    points = _one_dimensional(beta)
    tables, fields = tables_of(system)
    pairs = np.empty((points.size, *tables.shape))
    sites = np.empty((points.size, *fields.shape))
    with jax.enable_x64(True):
        for k, arithmetic in enumerate(arithmetics(system, chosen, points)):
            run = compiled(system.lattice, system.space.q, chosen, arithmetic).gradient
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
    result = xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES), **ends}, {"method": chosen})
    return result.isel(beta=0) if np.ndim(beta) == 0 else result


def _per_site(system: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy, heat capacity and entropy per site at inverse temperatures ``(n,)``, right at any β and any size of the couplings.

    Log Z = −βE₀ + ln g + … loses ln g where β|E₀| has more digits than a float. So energies are measured in a power of two that
    bounds them (exact, and no square overflows), and at low temperature from the ground state. Where x = β × this unit is beyond
    `_FINE`, the system is looked at there: if it has no heat capacity left, only ground states are left, and their energy and entropy
    are those of any lower temperature. If it still has, there are levels closer than a millionth of the bound; they are told apart
    down to `_CLOSEST`, where the rounding of their sums begins to.
    """
    unit, n = _unit(system), system.lattice.n_sites
    with np.errstate(over="ignore"):
        x = np.minimum(points * unit, _CLOSEST)
    cold, ground = x > _COLD, 0.0
    if np.any(cold):
        ground = -float(_derivatives(system, np.array([_CLOSEST]), order=2, unit=unit)[1, 0])
    at = np.minimum(x, _FINE)
    found = np.empty((3, len(x)))
    for chosen, zero in ((~cold, 0.0), (cold, ground)):
        if np.any(chosen):
            found[:, chosen] = _derivatives(system, at[chosen], order=2, unit=unit, zero=zero)
    thawed = (x > _FINE) & (at**2 * found[2] > _FROZEN)
    if np.any(thawed):
        at = np.where(thawed, x, at)
        found[:, thawed] = _derivatives(system, x[thawed], order=2, unit=unit, zero=ground)
    value, slope, curvature = found
    energy = np.where(cold, ground, 0.0) - slope
    return energy / n * unit, at**2 * curvature / n, (value - at * slope) / n


_COLD, _FINE, _CLOSEST = 1e3, 1e6, 1e10  # of β in units of the inverse energy bound
_FROZEN = 1e-12  # β² Var(H)
_NO_EXCITATION = 100.0  # βJ of the weaker axis of a uniform torus, whose excitations cost at least 4 J


def _unit(system: Any) -> float:
    """A power of two about as large as any energy of the system in magnitude (1 where all are zero)."""
    if evaluated(system):
        largest = float(np.abs(enumeration.possible(system)).max(initial=0.0))
    else:
        largest = sum(float(np.ptp(one, axis=tuple(range(1, one.ndim))).sum()) for one in tables_of(system) if one.size)
    return 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 1.0


def _derivatives(system: Any, points: np.ndarray, order: int, unit: float = 1.0, zero: float = 0.0) -> np.ndarray:
    """Log Z and, with `order` 2, its first two derivatives in β: ``(1 or 3, *points.shape)``.

    β in units of 1/`unit`, energies counted from `zero` units.
    """
    chosen, general = require(system), lattice_method(system.lattice, system.space.q)
    results = np.empty((order + 1, points.size))
    with jax.enable_x64(True):
        if chosen == "kaufman":
            # Flipping one sublattice turns the antiferromagnet on even extents into the ferromagnet.
            couplings = np.array(kaufman.couplings(system)) / unit
            for k, beta in enumerate(points.ravel()):
                results[:, k] = _kaufman(beta, couplings, system.lattice.shape)[: order + 1]
                results[:2, k] += np.array([beta * zero, zero])[: order + 1]
                if order and beta * couplings.min() > _NO_EXCITATION:
                    results[2, k] = 0.0  # below e^-400; what was found is rounding
        elif evaluated(system):
            energies = enumeration.possible(system) / unit - zero
            for k, beta in enumerate(points.ravel()):
                weights = np.exp(-beta * (energies - energies.min()))
                mean = weights @ energies / weights.sum()
                variance = weights @ (energies - mean) ** 2 / weights.sum()
                results[:, k] = [np.log(weights.sum()) - beta * energies.min(), -mean, variance][: order + 1]
        else:
            assert general is not None  # require() has seen to it
            tables, fields = (one / unit for one in tables_of(system))
            fields[0] += zero  # fields are minus energies
            for k, arithmetic in enumerate(arithmetics(system, general, points / unit)):
                run = compiled(system.lattice, system.space.q, general, arithmetic)
                beta = points.ravel()[k]
                results[:, k] = run.derivatives(beta, tables, fields) if order else run.value(beta, tables, fields)
    return results.reshape(order + 1, *points.shape)


@partial(jax.jit, static_argnums=2)
def _kaufman(beta: jax.Array, couplings: jax.Array, extents: tuple[int, int]) -> Any:
    return two_derivatives(lambda b: kaufman.log_partition(extents, b * couplings[0], b * couplings[1]), beta)


def _one_dimensional(beta: Any) -> np.ndarray:
    points = np.atleast_1d(check_beta(beta))
    if points.ndim > 1:
        raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {points.shape}.")
    return points
