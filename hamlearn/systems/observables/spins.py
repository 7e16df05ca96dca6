"""Observables of spins and states, and those that every system has.

States have the site axes last, whatever comes before them (chain, draw, …): with a `lattice` either its shape or flat
sites, without one flat sites. The formulas are written for NumPy, JAX and torch arrays alike. What is per site says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System, as_site_axes
from hamlearn.systems.lattice import Lattice


def magnetization(states: Any, lattice: Lattice | None = None) -> Any:
    """Magnetization per site, (1/N) Σ_i σ_i, signed, between −1 and 1.

    Parameters
    ----------
    states : array ``(..., *sites)``
        ±1 spins.
    lattice : Lattice, optional
        Needed only where the sites have several axes.

    Returns
    -------
    array (...)
        One value per microstate.

    Examples
    --------
    >>> magnetization(np.array([[1, 1, 1, -1], [1, -1, 1, -1]]))
    array([0.5, 0. ])
    """
    xp, flat = _flat(states, lattice)
    return xp.mean(_real(xp, flat), axis=-1)


def staggered_magnetization(states: Any, lattice: Lattice) -> Any:
    """Staggered magnetization per site, (1/N) Σ_i ε_i σ_i with ε = ±1 on the two sublattices.

    It orders an antiferromagnet. ε is +1 at site 0.

    Raises
    ------
    HamlearnError
        If the lattice has no two sublattices (a bond would join two sites of one).

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> checkerboard = (-1) ** np.add.outer(np.arange(4), np.arange(4))
    >>> float(staggered_magnetization(checkerboard, lattice.hypercubic((4, 4))))
    1.0
    """
    colours = lattice.colouring
    if colours.max(initial=0) > 1:
        raise HamlearnError(
            f"a staggered magnetization needs two sublattices; this {lattice.kind} lattice of shape {lattice.shape} is not bipartite."
        )
    xp, flat = _flat(states, lattice)
    signs = np.where(colours == colours[0], 1.0, -1.0)
    return xp.mean(_real(xp, flat) * xp.asarray(signs, dtype=_real(xp, flat).dtype), axis=-1)


def potts_order_parameter(states: Any, q: int, lattice: Lattice | None = None) -> Any:
    """Order parameter of q states, (q max_a n_a/N − 1)/(q − 1): 0 without order, 1 with all sites in one state.

    Parameters
    ----------
    states : array ``(..., *sites)``
        States 0 … q − 1.
    q : int
        Number of states.
    lattice : Lattice, optional
        Needed only where the sites have several axes.

    Notes
    -----
    Source: Wu, Rev. Mod. Phys. 54, 235 (1982). For finite N its mean stays above 0 at high temperature, by order 1/√N.

    Examples
    --------
    >>> potts_order_parameter(np.array([[0, 0, 0], [0, 1, 2]]), q=3)
    array([1., 0.])
    """
    xp, flat = _flat(states, lattice)
    fractions = xp.stack([xp.mean(_real(xp, flat == value), axis=-1) for value in range(q)])
    return (q * xp.max(fractions, axis=0) - 1) / (q - 1)


def energy_per_site(states: Any, system: System) -> Any:
    """Energy per site, H/N, of every microstate ``(..., *sites)``.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> float(energy_per_site(np.ones((4, 4)), Ising((4, 4))))
    -2.0
    """
    return system.energy(states) / system.lattice.n_sites


def separations(lattice: Lattice) -> np.ndarray:
    """The distances r at which :func:`correlation` is given.

    0, 1, … along the axes of a nearest-neighbour hypercubic lattice (to half its smallest extent if periodic); the
    distances of all shells of sites otherwise.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> separations(lattice.hypercubic((6, 8)))
    array([0., 1., 2., 3.])
    """
    if lattice.kind == "hypercubic":
        extents = [extent for extent in lattice.shape if extent > 1] or [1]
        return np.arange(min(extents) // 2 + 1 if lattice.periodic else min(extents), dtype=float)
    shells = np.unique(lattice.distances.round(9))
    return shells[np.isfinite(shells)]


def correlation(states: Any, lattice: Lattice, q: int | None = None) -> Any:
    """Correlation function C(r), the mean of σ_i σ_j over all pairs at distance r, of every microstate.

    On a square lattice C(r) = (1/2L²) Σ_ij σ_ij (σ_{i+r,j} + σ_{i,j+r}), and likewise along the axes of other
    hypercubic lattices; on any other graph the mean over the shell of pairs at distance r. It is not connected: the
    square of the magnetization is not subtracted.

    Parameters
    ----------
    states : array ``(..., *sites)``
        ±1 spins, or states 0 … q − 1 with `q`.
    lattice : Lattice
        Where the sites are.
    q : int, optional
        For states: C(r) is then the mean of (q δ(s_i, s_j) − 1)/(q − 1).

    Returns
    -------
    array (..., r)
        At the distances :func:`separations`; C(0) = 1.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> stripes = np.array([[1, -1, 1, -1]] * 4)
    >>> correlation(stripes, lattice.hypercubic((4, 4)))  # 1 along the stripes, ∓1 across them
    array([1., 0., 1.])
    """
    xp, flat = _flat(states, lattice)
    if q is not None:
        # δ(a, b) is a sum of products of indicators, so C(r) is a sum of correlations of 0/1 fields.
        equal = sum(_pair_means(xp, _real(xp, flat == value), lattice) for value in range(q))
        return (q * equal - 1) / (q - 1)
    return _pair_means(xp, _real(xp, flat), lattice)


def _pair_means(xp: Any, values: Any, lattice: Lattice) -> Any:
    """Mean of v_i v_j over the pairs at every separation, from flat real values."""
    distances = separations(lattice)
    if lattice.kind != "hypercubic":
        means = []
        for distance in distances:
            pairs = np.abs(lattice.distances - distance) < 1e-6
            shell = xp.asarray(pairs / pairs.sum(), dtype=values.dtype)
            means.append(xp.sum((values @ shell) * values, axis=-1))
        return xp.stack(means, axis=-1)
    grid = values.reshape((*values.shape[:-1], *lattice.shape))
    axes = [axis - len(lattice.shape) for axis, extent in enumerate(lattice.shape) if extent > 1]
    sites = tuple(range(-len(lattice.shape), 0))
    means = [xp.mean(values * values, axis=-1)]
    for r in range(1, len(distances)):
        total = 0
        for axis in axes:
            extent = grid.shape[axis]
            moved = xp.roll(grid, -r, axis=axis)
            product = grid * moved
            if not lattice.periodic:
                inside = (slice(None),) * (product.ndim + axis) + (slice(0, extent - r),) + (slice(None),) * (-axis - 1)
                product = product[inside]
            total = total + xp.mean(product, axis=sites)
        means.append(total / len(axes))
    return xp.stack(means, axis=-1)


def heat_capacity(energies: Any, beta: float, n_sites: int, axis: int | tuple[int, ...] | None = None) -> Any:
    """Heat capacity per site, β² (⟨E²⟩ − ⟨E⟩²)/N, in units of k_B.

    Parameters
    ----------
    energies : array
        Total energies.
    beta : float
        Inverse temperature they were drawn at.
    n_sites : int
        N.
    axis : int or tuple, optional
        Axes of the draws (default: all).

    Examples
    --------
    >>> float(heat_capacity(np.array([-4.0, 4.0]), beta=0.5, n_sites=4))
    1.0
    """
    xp = array_namespace(energies)
    return beta**2 * xp.var(_real(xp, energies), axis=axis) / n_sites


def susceptibility(
    magnetizations: Any, beta: float, n_sites: int, axis: int | tuple[int, ...] | None = None, *, absolute: bool = True
) -> Any:
    """Susceptibility per site, β N (⟨m²⟩ − ⟨abs m⟩²), or with the signed mean β N (⟨m²⟩ − ⟨m⟩²).

    Parameters
    ----------
    magnetizations : array
        Magnetizations per site.
    beta : float
        Inverse temperature they were drawn at.
    n_sites : int
        N.
    axis : int or tuple, optional
        Axes of the draws (default: all).
    absolute : bool
        Subtract ⟨abs m⟩², which peaks at the transition (the default), rather than ⟨m⟩², which vanishes without field
        and makes the response to a field in a finite system.

    Examples
    --------
    >>> m = np.array([1.0, -1.0])
    >>> float(susceptibility(m, 0.5, 8)), float(susceptibility(m, 0.5, 8, absolute=False))
    (0.0, 4.0)
    """
    xp = array_namespace(magnetizations)
    m = _real(xp, magnetizations)
    mean = xp.mean(xp.abs(m) if absolute else m, axis=axis)
    return beta * n_sites * (xp.mean(m * m, axis=axis) - mean**2)


def spins_up_distribution(states: Any, lattice: Lattice | None = None) -> np.ndarray:
    """P(k): the fraction of microstates with k spins up, k = 0 … N; pooled over all leading axes.

    Examples
    --------
    >>> spins_up_distribution(np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]))
    array([0.25, 0.5 , 0.25])
    """
    _, flat = _flat(states, lattice)
    spins = np.asarray(flat)
    counts = np.bincount((spins > 0).sum(-1).ravel(), minlength=spins.shape[-1] + 1)
    return counts / counts.sum()


def _flat(states: Any, lattice: Lattice | None) -> tuple[Any, Any]:
    """Array namespace, and states with the sites on one last axis."""
    states = np.asarray(states) if isinstance(states, list | tuple) else states
    xp = array_namespace(states)
    if lattice is None and states.ndim == 0:
        raise HamlearnError("an observable needs states with at least one axis of sites; got a single number.")
    return xp, states if lattice is None else as_site_axes(states, lattice.shape)


def _real(xp: Any, values: Any) -> Any:
    """Values as floating-point numbers: as they are if they already are, else of the default precision."""
    return values if xp.isdtype(values.dtype, "real floating") else xp.astype(values, xp.asarray(1.0).dtype)
