"""Calibration of models of the library, without code of yours: over a prior, at one truth, and at a posterior that you have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_beta, require_flag, require_seed, require_whole, shown
from hamlearn.diagnostics.calibration.kept import recorded
from hamlearn.diagnostics.calibration.refits import Refit, engine_of, kinds_of, require_open
from hamlearn.diagnostics.calibration.results import Ranks
from hamlearn.diagnostics.calibration.running import run
from hamlearn.diagnostics.calibration.scores import Kept
from hamlearn.diagnostics.calibration.user import ranks_of
from hamlearn.diagnostics.verdict import verdict
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.asked import EngineAsked, LikelihoodName
from hamlearn.infer.seen import KEY
from hamlearn.models.traits import Model
from hamlearn.processes import verb
from hamlearn.progress import logger
from hamlearn.spaces import SPINS, Space
from hamlearn.systems.lattice import Lattice

_DRAWS, _BINS = 99, 10
_FEWEST = 10  # data sets


@verb
def over_prior(
    model: Model,
    shape: int | tuple[int, ...] | Lattice,
    *,
    space: Space = SPINS,
    beta: float | list[float] = 1.0,
    rows: int = 500,
    sets: int = 100,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked = "auto",
    calibrate: bool = True,
    seed: int = 0,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> Ranks:
    """Simulation-based calibration of a model: truths from its prior, data simulated from them, ranks of the truths.

    Parameters
    ----------
    model : Couplings, PolynomialAction or Family
        A model whose unknowns are parameters with priors.
    shape : int, tuple of int or Lattice
        Site axes.
    space : Space
        What a site is: ``hl.systems.SPINS``, ``states(3)``, ``ANGLES``, ``REALS`` or ``vectors(3)``.
    beta : float or list of float
        Temperatures of the data, which are learned together.
    rows : int
        Nearly independent microstates at each of them.
    sets : int
        How many data sets, at least 10.
    likelihood, engine, calibrate
        As for :func:`hamlearn.learn`.
    seed : int
        Of everything.
    executor : concurrent.futures.Executor, optional
        Runs data sets in parallel.
    checkpoint : path, optional
        File that every data set is saved to as soon as it is done; the same call continues from it, also with more `sets`, and gives what
        an uninterrupted one would have given.

    Returns
    -------
    Ranks
        ``print`` it; ``decision``, ``p_value``, ``kinds``, ``to_dataset()``, and ``hl.plots.calibration(found)``.

    Raises
    ------
    HamlearnError
        If the unknowns are no parameters with priors, or fewer than two data sets could be learned.

    Notes
    -----
    A prior that widens with the data (the default one of couplings) is none that truths could be drawn from: they are drawn from it as it
    is before, and the result says so.

    Examples
    --------
    >>> import hamlearn as hl
    >>> chain = hl.systems.lattice.hypercubic((4,))
    >>> model = hl.models.Couplings(chain, tie="uniform", prior=hl.models.Normal(0.5), fields=None)
    >>> found = hl.diagnostics.calibration.over_prior(model, chain, rows=100, sets=20, engine="laplace")
    >>> found.ranks.shape, found.names
    ((20, 1), ('J[tied]',))
    """
    job = _asked(model, shape, space, beta, rows, likelihood, engine, calibrate, seed)
    widens = any(getattr(block.prior, "widens", False) for block in job.bound.blocks)
    notes = ("The prior widens with the data; truths were drawn from it as it is before.",) if widens else ()
    return _answer(job, sets, executor, checkpoint, "prior", notes)


@verb
def at_truth(
    model: Model,
    truth: Mapping[str, Any],
    shape: int | tuple[int, ...] | Lattice,
    *,
    space: Space = SPINS,
    beta: float | list[float] = 1.0,
    rows: int = 500,
    sets: int = 100,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked = "auto",
    calibrate: bool = True,
    seed: int = 0,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> Ranks:
    """Coverage at one truth: what over_prior does where there is no prior to draw from, or one place is of interest.

    Parameters
    ----------
    model : Couplings, PolynomialAction or Family
        A model whose unknowns are parameters.
    truth : mapping
        Parameters by the names of their blocks, such as ``{"J": 0.4, "h": glass.h}``: one number for all of a block, or one for each.
    shape, space, beta, rows, sets, likelihood, engine, calibrate, seed, executor, checkpoint
        As for :func:`over_prior`.

    Returns
    -------
    Ranks
        Its ``decision`` is one on coverage: at one truth ranks are uniform only where the data say much more than the prior.

    Raises
    ------
    HamlearnError
        If the truth has other parameters than the model, or as :func:`over_prior` does.

    Examples
    --------
    >>> import hamlearn as hl
    >>> chain = hl.systems.lattice.hypercubic((4,))
    >>> model = hl.models.Couplings(chain, tie="uniform", fields=None)
    >>> found = hl.diagnostics.calibration.at_truth(model, {"J": 0.4}, chain, rows=100, sets=20, engine="mle")
    >>> found.kinds.sizes["level"]
    2
    """
    job = _asked(model, shape, space, beta, rows, likelihood, engine, calibrate, seed)
    theta, bound = np.full(job.bound.n_params, np.nan), job.bound
    blocks = {block.name: block for block in bound.blocks}
    if not isinstance(truth, Mapping) or set(truth) != set(blocks):
        given = list(truth) if isinstance(truth, Mapping) else shown(truth)
        raise HamlearnError(f"truth gives every block of parameters by name, here {', '.join(blocks)}; got {given}.")
    for name, value in truth.items():
        try:
            theta[blocks[name].where] = np.asarray(value, float)
        except ValueError:
            raise HamlearnError(
                f"truth[{name!r}] is one number or {blocks[name].size} of them; got an array of shape {np.shape(value)}."
            ) from None
    if not np.all(np.isfinite(theta)):
        raise HamlearnError("the truth has entries that are not finite.")
    return _answer(replace(job, truths=theta[None]), sets, executor, checkpoint, "truth")


@verb
def local(
    post: xr.DataTree,
    data: xr.Dataset | list[xr.Dataset] | None = None,
    *,
    sets: int = 50,
    engine: EngineAsked | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> Ranks:
    """Do intervals cover here? Data simulated at strengths that the posterior holds for possible, learned as it was.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn` whose unknowns are parameters.
    data : Dataset or list of Datasets, optional
        The microstates that it was learned from. They are then learned together with those simulated, and by Bayes' theorem the truths
        are draws of that very posterior, whatever the prior: an exact check, at up to twice as many data.
    sets : int
        How many data sets, at least 10.
    engine : optional
        As for :func:`hamlearn.learn`; by default the recorded one with its settings.
    seed : int
        Of everything.
    executor : concurrent.futures.Executor, optional
        Runs data sets in parallel.
    checkpoint : path, optional
        File that every data set is saved to as soon as it is done; the same call continues from it, also with more `sets`.

    Returns
    -------
    Ranks
        ``print`` it beside the verdict; ``posterior`` is a copy whose verdict, report and predictions know of it, ``finding`` the same in
        the form of the verdict's reasons.

    Raises
    ------
    HamlearnError
        If the unknowns are no parameters, cells are missing or misread and `data` are not given, or those are not the posterior's.

    Notes
    -----
    Refits say whether intervals cover that are learned so. Whether those of this posterior are such ones is asked beside: its standard
    deviations are compared with those of the refits (``bars``), and draws that are narrower or wider are not calibrated, however well the
    refits cover. Data that scatter otherwise than the model says may widen or narrow bars that are corrected for it, which looks alike;
    and of chains that are worth a tenth of their rows bars may be a third of those of so many independent ones before that is told.

    Rows are as many as the data are worth independent ones, and are independent. What the data do that the model does not (drift, sites
    that are missing from it, readout errors) is in no simulation of the model: that is the verdict's comparison with the data.

    Without `data` a prior that holds part of a parameter pulls its estimates, at one place always to the same side: coverage then errs
    for single parameters though Bayes' theorem is obeyed, and ``bias`` says so. With `data`: Säilynoja, Schmitt, Bürkner and Vehtari,
    arXiv:2502.03279.

    Examples
    --------
    >>> import hamlearn as hl
    >>> world = hl.systems.Ising((2, 3))
    >>> data = hl.simulate(world, beta=0.3, draws=200, chains=1, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(world.lattice, tie="uniform", fields=None), engine="laplace", check=False)
    >>> found = hl.diagnostics.calibration.local(post, sets=20)
    >>> found.truths, len(found.failures)
    ('posterior', 0)
    """
    post, seed = admit_posterior(post), require_seed(seed)
    sets = require_whole(sets, "sets", _FEWEST)
    model, made = posteriors.model_of(post), posteriors.provenance_of(post)
    require_open(model)
    if "flip" in post["posterior"]:
        raise HamlearnError(
            "the rate at which cells are misread was learned with this posterior, and has no place among its parameters: declare a rate "
            "(flip=), or check by functions of your own (hl.diagnostics.coverage)."
        )
    if (made.missing or made.flip) and data is None:
        raise HamlearnError(
            "cells of the data of this posterior are missing or misread, and it does not know which: give them, local(post, data), and "
            "simulated cells are missing and misread alike."
        )
    if made.extrapolation is not None:
        raise HamlearnError("this posterior was carried to another temperature: check those that it was made of, each at its own data.")
    beside = () if data is None else _same(post, data, missing=model.traits.missing)
    kind: Any = families.of(post)
    draw = getattr(kind, "confining_draws", None)
    drawn = families.spread(kind.parameters(post)[1], sets, seed) if draw is None else draw(post, sets, seed)
    sizes = np.asarray(post["observed_data"]["size"].values, float)
    worth = min(1.0, made.calibration.ess / sizes.sum()) if made.calibration.ess > 0 else 1 / max(1.0, made.calibration.tau)
    job = Refit(
        model,
        posteriors.space_of(post),
        posteriors.site_shape(post),
        tuple(map(float, posteriors.observed_betas(post))),
        tuple(max(2, round(size * worth)) for size in sizes),
        drawn,
        made.likelihood,
        engine_of(made) if engine is None else engine,
        made.calibration.basis.code != "off",
        Kept(_DRAWS, _BINS),
        seed,
        kind.width_of(post) if hasattr(kind, "width_of") else None,
        beside,
    )
    notes: tuple[str, ...] = ()
    if worth < 0.95:
        notes = (f"The data are worth {worth:.2g} of their rows: so many independent ones were simulated.",)
    if verdict(post).level == "do not believe":
        notes += ("The verdict on this posterior is DO NOT BELIEVE, which no calibration changes.",)
    each = made.estimated_seconds * (2 if beside else 1)
    cost = f", by count at most about {sets * each:.2g} s of one core beside the simulations" if math.isfinite(each) else ""
    logger.info("calibration here: %d data sets of %s rows are simulated and learned as this one was%s", sets, _told(job.rows), cost)
    found = _answer(job, sets, executor, checkpoint, "joined" if beside else "posterior", notes, told=True)
    draws, between = kind.parameters(post)[1], (1.0, math.sqrt(2)) if beside else (math.sqrt(worth), 1.0)
    found = replace(found, saved=draws.reshape(-1, draws.shape[-1]).std(0, ddof=1), between=between)
    return replace(found, posterior=recorded(post, found))


def _asked(model: Any, shape: Any, space: Any, beta: Any, rows: Any, likelihood: Any, engine: Any, calibrate: Any, seed: Any) -> Refit:
    """What is done with every data set, of arguments that are checked."""
    require_open(model)
    if isinstance(shape, Lattice):
        shape = shape.shape
    extents = tuple(require_whole(one, "shape") for one in np.atleast_1d(np.asarray(shape, object)))
    if not isinstance(space, Space):
        raise HamlearnError(f"space is one of hl.systems, such as SPINS, states(3), ANGLES or REALS; got {shown(space)}.")
    betas = tuple(map(float, np.atleast_1d(require_beta(beta))))
    count = (require_whole(rows, "rows", 2),) * len(betas)
    settings = likelihood, engine, require_flag(calibrate, "calibrate")
    return Refit(model, space, extents, betas, count, None, *settings, Kept(_DRAWS, _BINS), require_seed(seed))


def _answer(
    job: Refit, sets: int, executor: Executor | None, checkpoint: Any, truths: Any, notes: tuple[str, ...] = (), *, told: bool = False
) -> Ranks:
    """Ranks of all data sets."""
    sets, names = require_whole(sets, "sets", _FEWEST), list(job.bound.parameter_names)
    if not told:
        logger.info("calibration: %d data sets of %s rows, simulated and learned (parameters: %d)", sets, _told(job.rows), len(names))
    found = run(job, sets, executor=executor, checkpoint=checkpoint, request=job.request(), label="calibration")
    return ranks_of(found, job.kept, tuple(names), kinds_of(names), truths=truths, notes=notes)


def _told(rows: tuple[int, ...]) -> str:
    return " + ".join(map(str, rows))


def _same(post: xr.DataTree, data: Any, *, missing: bool) -> tuple[xr.Dataset, ...]:
    """The data of a posterior, which must be those."""
    sets = microstates.split_by_beta(microstates.admit(data, missing=missing))
    if KEY not in post.attrs and microstates.fingerprint(sets) != post.attrs["fingerprint"]:
        raise HamlearnError("data= are not the microstates that this posterior was learned from: give those, or leave them out.")
    return tuple(sets)


__all__ = ["at_truth", "local", "over_prior"]
