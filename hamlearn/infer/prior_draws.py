"""Draws from the prior beside those of the posterior, in ArviZ's group ``prior``: what the data added."""

from __future__ import annotations

from typing import cast

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.families import Open
from hamlearn.processes import verb


@verb
def prior(post: xr.DataTree, draws: int = 1000, seed: int = 0) -> xr.DataTree:
    """The posterior with a group ``prior``: its variables drawn from their priors, without data.

    Parameters
    ----------
    post : DataTree
        A posterior whose unknowns are parameters with priors that can be drawn from.
    draws : int
        How many, in one chain: they are independent.
    seed : int
        Which.

    Returns
    -------
    DataTree
        A copy of `post`. The group has the variables of ``posterior``, in the same units: priors in units of kT are those that the data's
        temperature made of them, and one that gave way to the data is as it was used.

    Raises
    ------
    HamlearnError
        If the model's unknowns have no priors (weights of networks, selected terms), or a flat one, which has no draws.

    Examples
    --------
    >>> import arviz_plots, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.5, draws=100, chains=2, seed=0, sampler="exact")
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((2, 2))), check=False, engine="laplace")
    >>> post = hl.infer.prior(post, draws=200)
    >>> post["prior"]["J"].dims, post["prior"].sizes["draw"]
    (('chain', 'draw', 'bond'), 200)
    >>> _ = arviz_plots.plot_prior_posterior(post, coords={"bond": ["0, 2"]}, var_names="J", backend="none")
    """
    post, count, generator = admit_posterior(post), require_whole(draws, "draws"), np.random.default_rng(require_seed(seed))
    model = posteriors.model_of(post)
    if model.traits.density or model.traits.closed:
        lacking = model.traits.closed or "has weights of networks, whose prior is not drawn from"
        raise HamlearnError(f"{type(model).__name__} {lacking}: there is no group 'prior' to draw.")
    bound = model.bind(posteriors.space_of(post), posteriors.site_shape(post))
    memory.require(8 * count * bound.n_params, f"{count} draws of {bound.n_params} parameters", "Ask for fewer draws.")
    parts = [np.stack([block.prior.draw(block.size, generator) for _ in range(count)]) for block in bound.blocks]
    group = cast(Open, families.of(post)).variables(bound, np.concatenate(parts, -1)[None])
    found = post.copy()
    found["prior"] = xr.DataTree(group.assign_coords(chain=[0], draw=np.arange(count)))
    return found


__all__ = ["prior"]
