"""Log Z as a pure JAX function of coupling and field tables, and its compiled derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.errors import HamlearnError, choice
from hamlearn.processes import verb
from hamlearn.spaces.extents import Extent, room, values_of
from hamlearn.systems.base import System
from hamlearn.systems.exact import enumeration, transfer
from hamlearn.systems.exact.cuts import General, lattice_method, require_layers
from hamlearn.systems.exact.weights import require_double
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs, pairs_of

Arithmetic = Literal["auto", "linear", "log"]
_NOWHERE = -1e30  # log weight, at any β, of a state that a site does not have: its exponential is zero


@verb
def log_partition_function(
    lattice: Lattice, q: Extent = 2, method: General | None = None, *, arithmetic: Arithmetic = "auto"
) -> Callable[[Any, Any], jax.Array]:
    """Log Z of a lattice as a pure JAX function of its tables, for jit, grad and vmap.

    Parameters
    ----------
    lattice : Lattice
        Sites and bonds.
    q : int or tuple (n_sites,)
        States per site (2: spins), or of every site its own: how many, or which. Tables and fields have room for all, and what they hold
        of states that a site does not have counts for nothing.
    method : {"enumeration", "transfer"}, optional
        The cheaper by default.
    arithmetic : {"auto", "linear", "log"}
        Of the transfer matrix (enumeration has no limit). "linear" is fast and returns NaN where it could
        under- or overflow: β × :func:`energy_range` of 600 or more, about β = 15 for a Gaussian glass on 8×8.
        "log" has no limit and is some 15 times slower. "auto" (the default, right for single calls) switches
        inside the function; under vmap JAX runs both sides of such a switch, so say "linear" there.

    Returns
    -------
    callable
        ``f(tables, fields)`` with tables ``(n_bonds, q, q)`` and fields ``(n_sites, q)`` that hold
        −β × energy; log Z, a float64 scalar. Call it, and what jit, grad and vmap make of it, inside
        ``jax.enable_x64(True)``. Its gradients are the pair and site marginals.

    Raises
    ------
    HamlearnError
        If the lattice is too large for the method; when called outside an x64 context.

    Examples
    --------
    >>> import jax
    >>> from hamlearn.systems import Ising, exact
    >>> ising = Ising((4, 4))
    >>> log_z = exact.log_partition_function(ising.lattice)
    >>> with jax.enable_x64(True):
    ...     print(f"{log_z(0.4 * ising.pairs.tables, 0.4 * ising.pairs.fields):.6f}")
    14.561093
    """
    choice(arithmetic, ("auto", "linear", "log"), "arithmetic")
    if method is not None:
        choice(method, ("enumeration", "transfer"), "method")
    if (method or lattice_method(lattice, q)) == "enumeration":
        enumeration.require_enumerable(lattice, q)

        def by_enumeration(tables: Any, fields: Any) -> jax.Array:
            return enumeration.log_partition(lattice, q, require_double(tables), require_double(fields))

        return by_enumeration

    layers, most = require_layers(lattice, q), room(q)
    there = _there(lattice, q, most)

    def linear(tables: jax.Array, fields: jax.Array) -> jax.Array:
        return transfer.log_partition(layers, tables, fields, linear=True)

    def log(tables: jax.Array, fields: jax.Array) -> jax.Array:
        return transfer.log_partition(layers, tables, fields, linear=False)

    def by_transfer(tables: Any, fields: Any) -> jax.Array:
        tables, fields = require_double(tables)[:, :most, :most], jnp.where(there, require_double(fields)[:, :most], _NOWHERE)
        if arithmetic == "log":
            return log(tables, fields)
        safe = lax.stop_gradient(transfer.energy_range(layers, tables, fields)) < transfer.LINEAR_RANGE
        if arithmetic == "linear":
            return jnp.where(safe, linear(tables, fields), jnp.nan)
        return lax.cond(safe, linear, log, tables, fields)

    return by_transfer


def _there(lattice: Lattice, q: Extent, most: int) -> np.ndarray:
    """Which of so many states every site has, ``(n_sites, most)``."""
    found = np.zeros((lattice.n_sites, most), bool)
    for site, values in enumerate(values_of(q, lattice.n_sites)):
        found[site, list(values)] = True
    return found


def masked(pairs: Pairs, beta: float) -> np.ndarray:
    """Fields times β for the transfer matrix, which has room for states that a site does not have."""
    return np.where(_there(pairs.lattice, pairs.extent, pairs.q), beta * pairs.fields, _NOWHERE)


@dataclass(frozen=True)
class Compiled:
    """Jitted functions of one lattice and method; tables and fields without β.

    Attributes
    ----------
    value : callable
        ``(beta, tables, fields)`` → log Z.
    derivatives : callable
        ``(beta, tables, fields)`` → log Z and its first and second derivative in β.
    gradient : callable
        ``(beta, tables, fields)`` → log Z and the pair ``(n_bonds, q, q)`` and site ``(n_sites, q)`` marginals.
    """

    value: Callable[..., jax.Array]
    derivatives: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]
    gradient: Callable[..., tuple[jax.Array, tuple[jax.Array, jax.Array]]]


@lru_cache(maxsize=64)
def compiled(lattice: Lattice, q: Extent, method: General, arithmetic: Arithmetic) -> Compiled:
    """The jitted functions of a lattice; equal lattices share them."""
    log_z = log_partition_function(lattice, q, method, arithmetic=arithmetic)

    def value(beta: jax.Array, tables: jax.Array, fields: jax.Array) -> jax.Array:
        return log_z(beta * tables, beta * fields)

    def derivatives(beta: jax.Array, tables: jax.Array, fields: jax.Array) -> Any:
        return two_derivatives(lambda b: value(b, tables, fields), beta)

    def gradient(beta: jax.Array, tables: jax.Array, fields: jax.Array) -> Any:
        return jax.value_and_grad(log_z, argnums=(0, 1))(beta * tables, beta * fields)

    return Compiled(jax.jit(value), jax.jit(derivatives), jax.jit(gradient))


def two_derivatives(function: Callable[[Any], jax.Array], x: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """f, f′ and f″ of a scalar function, forward over forward: nothing is stored for a backward pass."""
    x = jnp.asarray(x, dtype=float)
    one = jnp.ones_like(x)
    (value, slope), (_, curvature) = jax.jvp(lambda b: jax.jvp(function, (b,), (one,)), (x,), (one,))
    return value, slope, curvature


@verb
def energy_range(system: System) -> float:
    """Range of energies by which the transfer matrix picks its arithmetic: linear while β × it is below 600.

    Parameters
    ----------
    system : Pairwise or QState
        On a lattice that can be cut into layers.

    Returns
    -------
    float
        In units of energy; :mod:`hamlearn.systems.exact.transfer` derives it.

    Raises
    ------
    HamlearnError
        If the lattice cannot be cut into thin enough layers.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> exact.energy_range(Ising((4, 4)))
    24.0
    """
    pairs = pairs_of(system)
    if pairs is None:
        raise HamlearnError(f"energy_range needs a system of pair couplings; got {type(system).__name__}.")
    return _range_of(pairs)


def _range_of(pairs: Pairs) -> float:
    require_layers(pairs.lattice, pairs.q)
    with jax.enable_x64(True):
        return float(_energy_range(pairs.lattice, pairs.q)(pairs.tables, masked(pairs, 1.0)))


@lru_cache(maxsize=64)
def _energy_range(lattice: Lattice, q: int) -> Callable[[Any, Any], jax.Array]:
    layers = require_layers(lattice, q)
    return jax.jit(lambda tables, fields: transfer.energy_range(layers, tables, fields))


def arithmetics(pairs: Pairs, method: General, betas: np.ndarray) -> list[Arithmetic]:
    """The arithmetic at every β, decided before compiling, so that only what is needed is compiled."""
    if method == "enumeration":
        return ["auto"] * betas.size
    if pairs.sizes:
        return ["log"] * betas.size  # what is not there is beyond any range
    limit = transfer.LINEAR_RANGE / max(_range_of(pairs), 1e-300)
    return ["linear" if beta < limit else "log" for beta in betas.ravel()]
