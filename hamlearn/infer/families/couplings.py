"""The kind of :class:`hamlearn.models.Couplings`: pair interactions with unknown strengths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike

import numpy as np
import xarray as xr

from hamlearn.data.readout import require_flips, with_flip
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import absences, completions, families, incomplete, large, posteriors, rates, rates_augmented, rates_by_site
from hamlearn.infer.choose import choose
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.likelihoods import NAMES, OneHotLikelihood
from hamlearn.infer.observations import Observations, bind, frozen_sites, mean_beta
from hamlearn.infer.pipeline import Answer, Asked, Opened
from hamlearn.infer.provenance import Provenance
from hamlearn.infer.scales import widened
from hamlearn.infer.settings import SAMPLED, Engine, as_engine, require_memory
from hamlearn.models import BoundCouplings, Couplings, Normal
from hamlearn.systems.base import System

__all__ = ["completed", "draw_systems", "learn", "opened", "parameters"]

_CALIBRATED = "error bars of data augmentation, of what is missing or misread, come from calibration alone; leave calibrate=True."


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Couplings,
    likelihood: str = "auto",
    engine: str | Engine = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    checkpoint: str | PathLike[str] | None = None,
) -> xr.DataTree:
    """The posterior of a model's unknowns given microstates; a bare tree, without a verdict.

    See :func:`hamlearn.learn`, which adds the verdict.
    """
    return _ask(data, model, likelihood, engine, calibrate, seed).answered(checkpoint)


def opened(
    data: list[xr.Dataset], model: Couplings, *, likelihood: str, calibrate: bool, seed: int, engine: str | Engine = SAMPLED
) -> Opened:
    """The posterior before its draws."""
    if model.flip:
        raise HamlearnError(
            "an unknown readout error rate is learned by hl.learn from one group of rows alone: for groups and programs declare the rate "
            "with the data, hl.microstates(..., flip=rate)."
        )
    return _ask(data, model, likelihood, engine, calibrate, seed).opened()


def _ask(
    data: xr.Dataset | Iterable[xr.Dataset], model: Couplings, likelihood: str, engine: str | Engine, calibrate: bool, seed: int
) -> Asked:
    """The model on the sites of the data, with likelihood, engine and widths of priors chosen, and said."""
    choice(likelihood, NAMES, "likelihood")
    settings = as_engine(engine)
    bound, parts, sets = bind(data, model)
    if not bound.n_params:
        raise HamlearnError(
            "a graph without bonds, and no fields: there is nothing to learn. Give bonds, or leave fields at fields='site'."
        )
    if sum(part.weight.size for part in parts) == 1 and bound.heaviest_site() >= 1:
        raise HamlearnError(
            f"one sample, a microstate of {bound.lattice.n_sites} sites, says nothing about {bound.n_params} parameters. If rows "
            "are sites, transpose the data (states.T). Of one large lattice a coupling that all bonds share is learned, without error bars "
            "that were tested: tie='uniform', calibrate=False."
        )
    frozen, enquiry = frozen_sites(parts), Enquiry(model, bound.space, sets, seed)
    if model.flip:
        require_flips(bound.space)
        choice(likelihood, ("auto", "exact"), "likelihood of an unknown readout error rate")
        if not isinstance(model.prior, Normal):
            raise HamlearnError(
                f"an unknown readout error rate is learned with normal priors of couplings, prior='normal'; got {model.prior.name!r}. With "
                "a rate that is declared, hl.microstates(..., flip=rate), every prior will do."
            )
        parts, settings, likelihood = _with_rates(bound, parts, settings, calibrate=calibrate)
    prepared = choose(bound, parts, likelihood, settings, seed)
    parts = list(prepared.likelihood.parts)
    if prepared.likelihood.name == "score" and not calibrate:
        raise HamlearnError(
            "the loss of score matching has no natural scale: its error bars come from calibration alone; leave calibrate=True."
        )
    if prepared.likelihood.calibration is not None and not calibrate:
        raise HamlearnError(_CALIBRATED)
    prepared.announce()
    enquiry.say(*prepared.reasons)
    whole = bound.n_params <= large.LIMIT and not prepared.diagonal  # else fewer draws are kept, and priors stay as they are
    if whole:
        require_memory(prepared.engine, bound.n_params)
    _refuse_hopeless(bound, parts, frozen, prepared.engine)
    if not prepared.engine.flat and whole:
        assert not isinstance(prepared.likelihood, OneHotLikelihood)
        found, close = widened(prepared.likelihood)
        prepared = replace(prepared, likelihood=found, start=close)
        bound = prepared.likelihood.bound
    if not prepared.engine.flat:
        enquiry.say(*_priors(model, bound, parts))
    return Asked(enquiry, prepared, parts, frozen, calibrate, _assemble)


def _with_rates(
    bound: BoundCouplings, parts: list[Observations], settings: Engine | None, *, calibrate: bool
) -> tuple[list[Observations], Engine, str]:
    """The data at rates near those to be learned, and what learns them: sums over all states, or draws where these are too many."""
    priors = bound.model.flip
    rates.require_unknown(bound, parts, priors)
    declared = rates.declared(bound, parts, rates.START)
    listed = incomplete.marginal(bound, declared)
    if listed is None and not calibrate:
        raise HamlearnError(_CALIBRATED)
    if listed is None:
        return declared, rates_augmented.AugmentedRates.of(settings, priors), "auto"
    kind = rates_by_site.WithRates if len(priors) > 1 else rates.WithRate
    return rates.at_most_probable(bound, parts, listed, priors), kind.of(settings, priors), "exact"


def _assemble(asked: Asked, answer: Answer) -> xr.DataTree:
    """The tree of an answer: draws of θ, the optimum, and the record of how they were made."""
    rate = answer.own.get("flip")
    found = posteriors.build(
        asked.prepared.likelihood.bound,
        answer.theta,
        answer.point,
        stats=answer.stats,
        **answer.sparse,
        provenance=_as_observed(asked, asked.provenance(answer), rate),
        parts=asked.parts,
        sets=asked.enquiry.sets,
    )
    if rate is not None:
        found["posterior"]["flip"] = xr.DataArray(rate, dims=("chain", "draw", "site")[: rate.ndim])
    return found


def _as_observed(asked: Asked, made: Provenance, rate: np.ndarray | None) -> Provenance:
    """The record, with what missing and misread cells say of themselves."""
    parts, q = asked.parts, asked.prepared.likelihood.bound.space.q
    found = absences.noted(parts, q, made.calibration.tau)
    if rate is None:
        found += absences.errors(parts)
    else:
        bound = asked.prepared.likelihood.bound
        found += (rates.noted(rate, bound.model.flip, made.worth / bound.n_params),)
    flip = absences.misread(parts) if rate is None else float(rate.mean())
    return replace(made, missing=absences.share(parts), flip=flip, findings=(*made.findings, *found))


def completed(post: xr.DataTree, sets: list[xr.Dataset], seed: int) -> list[xr.Dataset]:
    """Microstates with every cell that is not known drawn given what was read, by the mean of the posterior."""
    bound, theta = posteriors.bound_of(post), posteriors.theta_draws(post).mean((0, 1))
    if bound.model.flip:
        rate = post["posterior"].to_dataset()["flip"].mean(("chain", "draw")).values.tolist()
        sets = [with_flip(one, rate, bound.space) for one in sets]
    return [completions.completed(posteriors.numbered(post, one), bound, theta, seed + number) for number, one in enumerate(sets)]


def variables(bound: BoundCouplings, theta: np.ndarray) -> xr.Dataset:
    """What a posterior reports of θ ``(chain, draw, n_params)``."""
    return posteriors.variables(bound, theta, ("chain", "draw"))


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Pair systems drawn from the posterior; on another lattice where the parameters are tied."""
    bound = posteriors.bound_of(post)
    lattice = None if shape is None else bound.lattice.resized(shape)
    return [bound.system(theta, lattice) for theta in families.spread(posteriors.theta_draws(post), n, seed)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """θ: tied couplings once, tables by their free part."""
    return posteriors.bound_of(post).parameter_names, posteriors.theta_draws(post)


def _priors(model: Couplings, bound: BoundCouplings, parts: list[Observations]) -> list[str]:
    """What priors in units of kT have become with the data, in words."""
    found, beta = [], mean_beta([part.beta for part in parts])
    sizes = bound.n_coupling_params, bound.n_field_params
    priors = ("J", model.prior, bound.model.prior), ("h", model.field_prior, bound.model.field_prior)
    for (letter, given, used), there in zip(priors, sizes, strict=True):
        if there and isinstance(given, Normal) and isinstance(used, Normal) and (given.unit == "kT" or given.widens):
            asked = given.at(beta).scale
            wider = f", widened by the data from {asked * beta:.3g}" if used.scale > 1.001 * asked else ""
            found.append(f"prior β{letter} ~ N(0, {used.scale * beta:.3g}²){wider}: {letter} ~ N(0, {used.scale:.3g}²)")
    return found


def _refuse_hopeless(bound: BoundCouplings, parts: list[Observations], frozen: np.ndarray, engine: Engine) -> None:
    if not engine.flat:
        return
    if (lone := bound.without_field(frozen)).size:
        sites = ", ".join(map(bound.lattice.word, lone[:5])) + (", …" if lone.size > 5 else "")
        who, whose = (
            (f"site {sites} never changes", "its field has") if lone.size == 1 else (f"sites {sites} never change", "their fields have")
        )
        raise HamlearnError(
            f"{who} in the data (frozen): {whose} no finite maximum-likelihood value. "
            "Leave out what is frozen, or use a proper prior with engine='map', 'laplace' or 'nuts'."
        )
    size = sum(part.size for part in parts)
    if size < bound.n_params / max(bound.lattice.n_sites / 2, 1):
        raise HamlearnError(
            f"{size:g} microstates cannot bear {bound.n_params} parameters by maximum likelihood; "
            "use a proper prior (engine='nuts'), tie parameters, or more data."
        )
