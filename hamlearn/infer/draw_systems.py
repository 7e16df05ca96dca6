"""Systems drawn from a posterior, and their energies."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_seed, require_whole
from hamlearn.data import admit_states
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, one_group, posteriors
from hamlearn.processes import verb
from hamlearn.systems.base import System, as_site_axes, axes_of, one_beta


@verb
def draw_systems(post: xr.DataTree, n: int, seed: int = 0, *, group: str | None = None) -> list[System]:
    """`n` Hamiltonians drawn from the posterior, or the networks of an ensemble that has fewer: repeated, they would look like draws.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    n : int
        How many, at most.
    seed : int
        Which.
    group : str, optional
        Of a posterior of groups: of which, as for :func:`hamlearn.predict`.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    >>> hl.draw_systems(post, 3)[0]
    Learned(shape=(3, 3), 18 bonds)
    """
    post = one_group.asked(post, group)
    return families.of(post).draw_systems(post, distinct(post, n), require_seed(seed), None)


@verb
def energy(post: xr.DataTree, states: Any, draws: int = 64, seed: int = 0, *, group: str | None = None) -> xr.DataArray:
    """Energies of given states under Hamiltonians drawn from the posterior.

    Parameters
    ----------
    post : DataTree
        A posterior.
    states : array ``(..., *site axes)`` or Dataset of microstates
        Spins ±1 or states 0 … q−1; a Dataset of other codes is numbered as the posterior's states are.
    draws : int
        Number of posterior draws; an ensemble of fewer networks gives each of them once.
    seed : int
        Which draws.
    group : str, optional
        Of a posterior of groups: of which, as for :func:`hamlearn.predict`.

    Returns
    -------
    DataArray
        Dims ``(member, *leading axes)``, in units of energy (of temperature where β was undeclared).
    """
    post = one_group.asked(post, group)
    systems = families.of(post).draw_systems(post, distinct(post, draws), require_seed(seed), None)
    array, dims = site_states(systems[0], posteriors.numbered(post, states))
    values = np.stack([np.asarray(system.energy(array)) for system in systems])
    return over_members(values, dims, "energy")


@verb
def action(
    post: xr.DataTree, states: Any, beta: float | None = None, draws: int = 64, seed: int = 0, *, group: str | None = None
) -> xr.DataArray:
    """Actions −ln p + constant of given states at inverse temperature β, under Hamiltonians drawn from the posterior.

    Parameters
    ----------
    post : DataTree
        A posterior.
    states : array ``(..., *site axes)`` or Dataset of microstates
        The states.
    beta : float, optional
        Inverse temperature; by default the one that was observed. βH for classical systems; for a path
        S = K/β + βV with the number of time slices fixed (or with their width fixed, where the data had a given one).
    draws : int
        Number of posterior draws; an ensemble of fewer networks gives each of them once.
    seed : int
        Which draws.
    group : str, optional
        Of a posterior of groups: of which, as for :func:`hamlearn.predict`.

    Returns
    -------
    DataArray
        Dims ``(member, *leading axes)``, dimensionless. Learned actions are defined up to a constant: compare differences.

    Examples
    --------
    >>> import hamlearn as hl
    >>> paths = hl.systems.Path(16, hl.systems.Polynomial([0, 0.5]))
    >>> data = hl.simulate(paths, beta=4.0, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.PolynomialAction(powers=(2,)), check=False)
    >>> hl.action(post, data["state"][0, :3].values, beta=8.0, draws=10).sizes
    Frozen({'member': 10, 'axis_0': 3})
    """
    post = one_group.asked(post, group)
    observed = np.unique(posteriors.observed_betas(post))
    if beta is None and len(observed) > 1:
        raise HamlearnError(f"the posterior was learned at several temperatures {observed.tolist()}: name the one you mean, beta=...")
    at = one_beta(observed[0] if beta is None else beta)
    kind, draws, seed = families.of(post), distinct(post, draws), require_seed(seed)
    if (own := getattr(kind, "action", None)) is not None:
        array, dims = site_states(kind.bound_of(post), posteriors.numbered(post, states))  # type: ignore[attr-defined]
        return over_members(own(post, array, at, draws, seed), dims, "action")
    systems = kind.draw_systems(post, draws, seed, None)
    array, dims = site_states(systems[0], posteriors.numbered(post, states))
    return over_members(np.stack([np.asarray(system.action(array, at)) for system in systems]), dims, "action")


def distinct(post: xr.DataTree, n: int) -> int:
    """As many draws as were asked for, or as there are networks; an action joined from ensembles has those of the smallest."""
    n = require_whole(n, "the number of draws")
    sources = [child for name, child in posteriors.require_posterior(post).children.items() if name.startswith("source_")]
    if sources:
        return min(distinct(source, n) for source in sources)
    if families.traits(post).density:
        return min(n, int(post["weights"].sizes["member"]))
    return n


def site_states(system: System, states: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """States ``(..., *lattice.shape)`` of a system, checked, and the names of their leading axes."""
    dims: tuple[str, ...] = ()
    found, shape = admit_states(states, system.space), axes_of(system)
    if isinstance(found, xr.Dataset):
        dims = tuple(str(name) for name in found["state"].dims if name in ("beta", "chain", "draw"))
        found = found["state"].values
    array = np.asarray(found)
    flat = as_site_axes(array, shape)
    lead = flat.shape[:-1]
    names = dims if len(dims) == len(lead) else tuple(f"axis_{index}" for index in range(len(lead)))
    return flat.reshape((*lead, *shape)), names


def over_members(values: np.ndarray, dims: tuple[str, ...], name: str) -> xr.DataArray:
    """Values ``(member, *leading axes)`` with their dims."""
    return xr.DataArray(values, dims=("member", *dims), name=name)
