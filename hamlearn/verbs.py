"""The verbs that join rooms: what infer returns, with the verdict of diagnostics attached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hamlearn import diagnostics, infer

if TYPE_CHECKING:
    import xarray as xr

    from hamlearn.models import Couplings


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Couplings,
    likelihood: str = "auto",
    engine: Any = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    check: bool = True,
) -> xr.DataTree:
    """The posterior of a model's unknowns given microstates, with the verdict attached.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates at one or several temperatures (they enter jointly); see :func:`hamlearn.microstates`.
    model : Couplings
        What is unknown, and its prior.
    likelihood : {"auto", "exact", "pseudo", "screening", "rise", "logrise"}
        How log p(data | θ) is evaluated; "screening" is "rise". "auto" takes the exact one where its estimated time
        is below two minutes, else the pseudo-likelihood.
    engine : {"auto", "mle", "map", "laplace", "nuts", "gibbs"} or settings
        How the posterior is found, or settings such as ``hl.infer.NUTS(draws=500)``. "auto" takes NUTS up to 500
        parameters, the normal approximation beyond, and Gibbs for spike-and-slab priors. Every engine returns draws.
    calibrate : bool
        Correct composite likelihoods and autocorrelated draws so that intervals cover. Switched off, the verdict
        says so.
    seed : int
        Seed of everything random.
    check : bool
        Compare the model with held-out data on statistics that were not fitted, for the verdict.

    Returns
    -------
    DataTree
        ArviZ's schema: ``post["posterior"]["J"]`` over (chain, draw, bond) with coordinates ``site_i``, ``site_j``,
        and ``["h"]`` over (chain, draw, site).

    Raises
    ------
    HamlearnError
        If the data cannot bear the model, a choice is not known, or prior and engine do not go together.

    Examples
    --------
    >>> import hamlearn as hl
    >>> glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> data = hl.simulate(glass, beta=0.5, draws=1000, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(glass.lattice), engine="laplace", seed=0)
    >>> post["posterior"]["J"].dims
    ('chain', 'draw', 'bond')
    """
    sets = data if hasattr(data, "data_vars") else list(data)
    post = infer.learn(sets, model, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed)
    return diagnostics.attach(post, sets, check=check, seed=seed)
