"""Verbs of posteriors over normalised densities: log-probabilities and direct samples."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.draw_systems import over_members, site_states
from hamlearn.processes import verb
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import one_beta


@verb
def log_prob(post: xr.DataTree, states: Any, beta: float | None = None) -> xr.DataArray:
    """Log-probability of given microstates under every network of a posterior, normalised.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Autoregressive` or :class:`hamlearn.models.Flow`.
    states : array ``(..., *site axes)`` or Dataset of microstates
        Spins ±1, states 0 … q−1, angles or reals.
    beta : float, optional
        Temperature of a model with ``condition="beta"``; by default that of a Dataset, or the mean of those learned.

    Returns
    -------
    DataArray
        Dims ``(member, *leading axes)``, in nats; for angles and reals the log of a density with respect to Π dx.

    Raises
    ------
    HamlearnError
        If the posterior has no normalised density, the states lie outside its space or on another lattice.

    Examples
    --------
    >>> import hamlearn as hl, numpy as np
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=400, seed=0)
    >>> post = hl.learn(data, hl.models.Autoregressive(hidden=8), engine=hl.infer.Training(epochs=2), check=False)
    >>> every = hl.systems.exact.all_states(hl.systems.lattice.hypercubic((2, 2))) * 2 - 1
    >>> float(np.exp(hl.log_prob(post, every.reshape(16, 2, 2))).sum("axis_0")[0])
    1.0
    """
    post = admit_posterior(post)
    found = families.evaluators(post)
    system = families.of(post).draw_systems(post, 1, 0, None)[0]
    array, dims = site_states(system, posteriors.numbered(post, states))
    at: Any = None if beta is None else one_beta(beta)
    if at is None and found[0].conditioned and isinstance(states, xr.Dataset):
        at = np.asarray(states["beta"].values)
        at = at.reshape(at.shape + (1,) * (array.ndim - len(system.lattice.shape) - at.ndim))
    return over_members(np.stack([one.log_prob(array, at) for one in found]), dims, "log_prob")


@verb
def sample(post: xr.DataTree, n: int, seed: int = 0, beta: float | None = None) -> xr.Dataset:
    """Independent microstates drawn from the networks of a posterior.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Autoregressive` or :class:`hamlearn.models.Flow`.
    n : int
        Microstates per network.
    seed : int
        Which.
    beta : float, optional
        Temperature of a model with ``condition="beta"``; by default the mean of those learned.

    Returns
    -------
    Dataset
        Microstates, one chain per network, at the temperature the density was learned at.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=400, seed=0)
    >>> post = hl.learn(data, hl.models.Autoregressive(hidden=8), engine=hl.infer.Training(epochs=2), check=False)
    >>> dict(hl.sample(post, 100)["state"].sizes)
    {'chain': 1, 'draw': 100, 'x0': 2, 'x1': 2}
    """
    post = admit_posterior(post)
    n, seed = require_whole(n, "the number of microstates"), require_seed(seed)
    found = families.evaluators(post)
    if beta is not None and not found[0].conditioned:
        raise HamlearnError(
            "this density knows one temperature; for another, learn with Autoregressive(condition='beta') "
            "or weight its draws: hl.estimate(...)."
        )
    cells = len(found) * n * math.prod(found[0].shape)
    memory.require(8 * cells, f"{n} microstates of {math.prod(found[0].shape)} sites from {len(found)} networks", "Ask for fewer at once.")
    seeds = np.random.SeedSequence(int(seed)).generate_state(len(found))
    states = np.stack([one.sample(int(n), int(start), beta) for one, start in zip(found, seeds, strict=True)])
    attrs = {
        "sampler": posteriors.model_of(post).kind,
        "seed": int(seed),
        "independent": 1,
        "tau_int": 1.0,
        "ess": float(states.shape[0] * n),
    }
    attrs |= {"model": json.dumps(posteriors.model_of(post).to_dict()), "beta_declared": int(post.attrs["beta_declared"])}
    at = found[0].beta if beta is None else one_beta(beta)
    return microstate_data.build(
        states, beta=at, space=found[0].space, lattice=lattices.hypercubic(posteriors.site_shape(post)), attrs=attrs
    )
