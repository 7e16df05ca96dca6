"""Systems drawn from a posterior, and their energies."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import tree
from hamlearn.systems.base import System, as_site_axes


def member_theta(post: xr.DataTree, n: int, seed: int = 0) -> np.ndarray:
    """`n` draws of θ ``(n, n_params)``, spread over chains; without replacement where there are enough."""
    if not (isinstance(n, int | np.integer) and n >= 1):
        raise HamlearnError(f"the number of members must be a positive whole number; got {n!r}.")
    flat = tree.theta_draws(post).reshape(-1, tree.bound_of(post).n_params)
    return flat[np.random.default_rng(seed).choice(len(flat), size=n, replace=n > len(flat))]


def members(post: xr.DataTree, n: int, seed: int = 0) -> list[System]:
    """`n` Hamiltonians drawn from the posterior.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    n : int
        How many.
    seed : int
        Which.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    >>> hl.members(post, 3)[0]
    Learned(shape=(3, 3), 18 bonds)
    """
    bound = tree.bound_of(post)
    return [bound.system(theta) for theta in member_theta(post, n, seed)]


def energy(post: xr.DataTree, states: Any, members: int = 64, seed: int = 0) -> xr.DataArray:
    """Energies of given states under Hamiltonians drawn from the posterior.

    Parameters
    ----------
    post : DataTree
        A posterior.
    states : array ``(..., *site axes)`` or Dataset of microstates
        Spins ±1 or states 0 … q−1.
    members : int
        Number of posterior draws.
    seed : int
        Which draws.

    Returns
    -------
    DataArray
        Dims ``(member, *leading axes)``, in units of energy (of temperature where β was undeclared).
    """
    bound = tree.bound_of(post)
    dims: tuple[str, ...] = ()
    if isinstance(states, xr.Dataset):
        dims = tuple(str(name) for name in states["state"].dims if name in ("beta", "chain", "draw"))
        states = states["state"].values
    array = np.asarray(states)
    outside = np.setdiff1d(array, bound.space.values)
    if outside.size:
        raise HamlearnError(f"states must hold {bound.space.name} {bound.space.values.tolist()}; found {outside[:3].tolist()}.")
    flat = as_site_axes(array, bound.lattice.shape)
    values = np.stack([system.energy(flat) for system in map(bound.system, member_theta(post, members, seed))])
    lead = dims if len(dims) == values.ndim - 1 else tuple(f"axis_{index}" for index in range(values.ndim - 1))
    return xr.DataArray(values, dims=("member", *lead), name="energy")
