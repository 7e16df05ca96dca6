"""Systems drawn from a posterior, and their energies."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import kinds
from hamlearn.systems.base import System, as_site_axes


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
    return kinds.of(post).members(post, n, seed, None)


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
    systems = kinds.of(post).members(post, members, seed, None)
    array, dims = site_states(systems[0], states)
    values = np.stack([np.asarray(system.energy(array)) for system in systems])
    return over_members(values, dims, "energy")


def site_states(system: System, states: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """States ``(..., *lattice.shape)`` of a system, checked, and the names of their leading axes."""
    dims: tuple[str, ...] = ()
    if isinstance(states, xr.Dataset):
        dims = tuple(str(name) for name in states["state"].dims if name in ("beta", "chain", "draw"))
        states = states["state"].values
    array, space, shape = np.asarray(states), system.space, tuple(system.lattice.shape)
    if space.q:
        outside = np.setdiff1d(array, space.values)
        if outside.size:
            raise HamlearnError(f"states must hold {space.name} {space.values.tolist()}; found {outside[:3].tolist()}.")
    flat = as_site_axes(array, shape)
    lead = flat.shape[:-1]
    names = dims if len(dims) == len(lead) else tuple(f"axis_{index}" for index in range(len(lead)))
    return flat.reshape((*lead, *shape)), names


def over_members(values: np.ndarray, dims: tuple[str, ...], name: str) -> xr.DataArray:
    """Values ``(member, *leading axes)`` with their dims."""
    return xr.DataArray(values, dims=("member", *dims), name=name)
