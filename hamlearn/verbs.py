"""The verbs that join rooms: what infer returns, with the verdict of diagnostics attached."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, ParamSpec

import xarray as xr

from hamlearn import data as microstates
from hamlearn import diagnostics, infer
from hamlearn.arguments import require_flag
from hamlearn.diagnostics import cost
from hamlearn.diagnostics.verdict import judged
from hamlearn.infer import one_group, posteriors
from hamlearn.infer.asked import EngineAsked, Fixed, LikelihoodName
from hamlearn.models import Model
from hamlearn.processes import verb
from hamlearn.progress import followed_by

Asked = ParamSpec("Asked")


@verb
def learn(
    data: xr.Dataset | Iterable[xr.Dataset] | Mapping[str, xr.Dataset] | str | PathLike[str],
    model: Model,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    check: bool = True,
    checkpoint: str | PathLike[str] | None = None,
) -> xr.DataTree:
    """The posterior of a model's unknowns given microstates, with the verdict attached.

    Parameters
    ----------
    data : Dataset, list of Datasets, or path
        Microstates at one or several temperatures (they enter jointly); see :func:`hamlearn.microstates`. Groups of
        :class:`hamlearn.models.Hierarchical` also as a mapping from their names. A path to a .zarr or
        .nc file that hamlearn wrote; neural densities read from it piece by piece what exceeds
        :class:`hamlearn.infer.Training`'s ``memory``, other models load it.
    model : Couplings, PolynomialAction, or another model of :mod:`hamlearn.models`
        What is unknown, and its prior.
    likelihood : {"auto", "exact", "pseudo", "exchange", "screening", "rise", "logrise", "score"}
        How log p(data | θ) is evaluated; "screening" is "rise". "auto" takes the exact one where its counted work is less
        than ten seconds of one ordinary core (counted, so the choice is the same on any machine), else the
        pseudo-likelihood, and of spins whose sum is fixed "exchange", conditionals of two unlike spins. "score" is score matching,
        for angles and real fields;
        "auto" takes it for polynomial actions unless it wastes data (the record says how much).
    engine : {"auto", "mle", "map", "laplace", "importance", "nuts", "gibbs"} or settings
        How the posterior is found, or settings such as ``hl.infer.NUTS(draws=500)``. "auto" takes importance sampling where
        priors are normal (the normal approximation beyond 1000 parameters; NUTS where the posterior turns out not to be normal), Gibbs for
        spike-and-slab priors, and NUTS for all others. Every engine returns draws.
    calibrate : bool
        Correct composite likelihoods and autocorrelated draws so that intervals cover. Switched off, the verdict
        says so.
    seed : int
        Seed of everything random.
    check : bool
        Compare the model with held-out data on statistics that were not fitted, for the verdict.
    checkpoint : path, optional
        File that fits which may take long (NUTS, Gibbs, training of neural densities) save themselves to, every few seconds and when they
        are interrupted; quick ones have nothing to save, and models that never save themselves refuse it. The same call continues from
        it and gives what an uninterrupted one would have given. It is not removed: do that when the posterior is saved. A file that
        belongs to another call, or is damaged, is left alone with a warning, and this fit saves itself beside it.

    Returns
    -------
    DataTree
        ArviZ's schema: ``post["posterior"]["J"]`` over (chain, draw, bond), bonds called by the sites they join (``"0, 1"``; as numbers
        they are in ``post["constant_data"]``, variables ``site_i`` and ``site_j``), and ``["h"]`` over (chain, draw, site).

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
    sets: Any = data
    if isinstance(data, str | PathLike):
        streams = not isinstance(model, type) and hasattr(model, "traits") and model.traits.streams
        sets = microstates.open_microstates(data) if streams else microstates.microstates(data)
    else:
        sets = list(microstates.flattened(model.sets(data) if isinstance(model, Model) else data))
    require_flag(check, "check")
    with followed_by(f"  then a comparison with held-out data{cost.told(sets, model)}" if check else ""):
        post = infer.learn(sets, model, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed, checkpoint=checkpoint)
    if "streamed" in (posteriors.provenance_of(post).training or {}):  # held-out data that a check can hold, of what may lie on disk
        sets = microstates.excerpt(sets, getattr(engine, "memory", infer.Training().memory))
    return diagnostics.diagnose(post, sets, check=check, seed=seed)


@verb
def from_samples(
    samples: Any, program: infer.Program | infer.DensityProgram, *, independent: bool = False, check: bool = True, seed: int = 0
) -> xr.DataTree:
    """The posterior of a program from draws that were made elsewhere, with the verdict attached: predict and report as ever.

    Parameters
    ----------
    samples : numpyro.infer.MCMC, mapping or DataTree
        A sampler that has run; or arrays by site, ``theta`` or ``J`` (and ``h``), with axes (chain, draw, parameter) or (draw,
        parameter); or a tree whose group ``posterior`` has them (ArviZ).
    program : Program or DensityProgram
        What was sampled, of :func:`hamlearn.infer.program`.
    independent : bool
        Whether draws were made independently, by the guide of variational inference or another fit: they are then no chains, and are not
        judged by R̂, which has nothing to say of them. Whether they are draws of the posterior is judged either way, by its density.
    check : bool
        Compare the model with held-out data, for the verdict, as :func:`learn` does.
    seed : int
        Of the comparison.

    Returns
    -------
    DataTree
        As of :func:`learn`; the record names the engine ``external`` and what made the draws.

    Raises
    ------
    HamlearnError
        If a site is missing, shapes do not fit, or draws are not finite.

    Examples
    --------
    A normal approximation made by hand:

    >>> import numpy as np
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> program = hl.infer.program(data, model)
    >>> draws = np.random.default_rng(0).multivariate_normal(program.optimum, program.covariance, size=(4, 500))
    >>> hl.from_samples({"theta": draws}, program, independent=True, check=False)["posterior"]["J"].shape
    (4, 500, 18)
    """
    require_flag(check, "check")
    return diagnostics.diagnose(infer.from_samples(samples, program, independent=independent), program.data, check=check, seed=seed)


@verb
def extrapolate(posts: xr.DataTree | Sequence[xr.DataTree], beta: float, *, fixed: Fixed = "sites", seed: int = 0) -> xr.DataTree:
    """A posterior over actions at an inverse temperature that was not observed, with a verdict on how far it may be trusted.

    Polynomial actions and couplings have coefficients free of β: those of all temperatures are pooled by inverse covariance
    (one temperature is enough). Learned densities of paths are joined by the identity S_3 = Σ w_i S_i that follows
    from S_β = K/β + βV at a fixed number of time slices; it needs two temperatures, and least squares over K and V joins
    more. Learned densities of classical systems need one: S = βH.

    Parameters
    ----------
    posts : DataTree or sequence of DataTree
        Posteriors of one kind at different inverse temperatures, as :func:`hamlearn.learn` returned them.
    beta : float
        The wanted inverse temperature.
    fixed : {"sites", "spacing"}
        What stays when the temperature of a path changes: the number of time slices, so that a = β/N_τ (the identity's
        meaning), or the width a, so that N_τ = β/a.
    seed : int
        Seed of draws and of the simulation behind the predicted effective sample size.

    Returns
    -------
    DataTree
        A posterior at `beta` like any other. Its record and verdict name the amplification of error variances and
        the predicted effective sample size of reweighting to the true action (below 0.1: do not trust it).

    Raises
    ------
    HamlearnError
        If two temperatures are equal, lattice spacings are mixed, or the posteriors are of different models.

    Examples
    --------
    >>> import hamlearn as hl
    >>> paths = hl.systems.Path(16, hl.systems.Polynomial([0, 0.5]))
    >>> model = hl.models.PolynomialAction(powers=(2,))
    >>> posts = [hl.learn(hl.simulate(paths, beta=b, draws=500, seed=0), model, check=False) for b in (4.0, 8.0)]
    >>> hl.extrapolate(posts, beta=6.0)["posterior"]["c"].dims
    ('chain', 'draw', 'power')
    """
    return diagnostics.diagnose(infer.extrapolate(posts, beta, fixed=fixed, seed=seed))


def _with_verdict(function: Callable[Asked, xr.Dataset]) -> Callable[Asked, xr.Dataset]:
    """`function` of a posterior, whose result says what the verdict on this is: one signature and one docstring for both."""

    @functools.wraps(function)
    def told(*args: Asked.args, **options: Asked.kwargs) -> xr.Dataset:
        result = function(*args, **options)
        given: Any = {"post": args[0] if args else None, **options}
        post = one_group.asked(given["post"], given.get("group"))
        found = diagnostics.verdict(post)
        about = {"about": f"predictions from {post.attrs['about']}"} if "about" in post.attrs else {}
        result.attrs = {**about, **result.attrs, "verdict": found.level}
        if found.doubt:
            warning = f"the posterior behind these bands is not to be believed: {found.doubt}"
            result.attrs["warning"] = "; ".join(filter(None, [result.attrs.get("warning"), warning]))
        return result

    return told


predict = _with_verdict(infer.predict)
compare = judged(infer.compare)
plan = judged(infer.plan)
critical_point = judged(infer.critical_point)
