"""Every :class:`hamlearn.models.Family`: learned from the energies of its systems, whatever they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, groups, observations, posteriors
from hamlearn.infer.choose import Choice, check_priors
from hamlearn.infer.costs import Cost, compiled
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.likelihoods.energy import NAMES, EnergyLikelihood, affordable
from hamlearn.infer.pipeline import Answer, Asked, Opened
from hamlearn.infer.provenance import Noted
from hamlearn.infer.settings import NUTS, SAMPLED, Engine, LaplaceApproximation, as_engine, require_memory
from hamlearn.models import Normal
from hamlearn.models.base import BoundFamily, Family
from hamlearn.systems.base import System, axes_of, energies_of
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

_COMPILING, _NUTS_COMPILING = 0.8, 4.0  # seconds: "own family 4x4", "8x8" and "hidden 6x6" of benchmarks/couplings/estimates.py
_STEPS = 16  # gradients of a NUTS draw, about


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Family,
    likelihood: str = "auto",
    engine: str | Engine = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    checkpoint: str | PathLike[str] | None = None,
) -> xr.DataTree:
    """The posterior of a family's parameters, each under its own name; a bare tree, without a verdict."""
    return _ask(data, model, likelihood, engine, calibrate, seed).answered(checkpoint)


def opened(data: list[xr.Dataset], model: Family, *, likelihood: str, calibrate: bool, seed: int, engine: str | Engine = SAMPLED) -> Opened:
    """The posterior before its draws."""
    return _ask(data, model, likelihood, engine, calibrate, seed).opened()


def _ask(
    data: xr.Dataset | Iterable[xr.Dataset], model: Family, likelihood: str, engine: str | Engine, calibrate: bool, seed: int
) -> Asked:
    """The family on the sites of the data, with likelihood and engine chosen, and said."""
    choice(likelihood, NAMES, "likelihood of a family")
    settings = as_engine(engine)
    bound, parts, sets = observations.bind(data, model)
    enquiry = Enquiry(bound.model, bound.space, sets, seed)
    _require_energies(bound.system(bound.start))
    reasons: list[str] = []
    chosen = EnergyLikelihood(bound, parts, _likelihood(likelihood, bound, reasons))
    if chosen.name == "score" and not calibrate:
        raise HamlearnError("score matching has no natural scale: its error bars come from calibration alone; leave calibrate=True.")
    reasons.append(f"the action is {'linear in' if chosen.linear else 'no linear function of'} the parameters: {_told(chosen)}")
    automatic, settings = settings is None, _engine(settings, bound, chosen, reasons)
    if not settings.flat and (plain := [block.name for block in bound.blocks if block.unsaid]):
        reasons.append(f"prior N(0, {Normal().scale:g}²) of {', '.join(plain)}, the default: give prior= where values may be larger")
    require_memory(settings, bound.n_params)
    prepared = Choice(chosen, settings, tuple(reasons), _cost(chosen, settings), automatic)  # type: ignore[arg-type]
    prepared.announce()
    enquiry.say(*reasons)
    return Asked(enquiry, prepared, parts, observations.frozen_sites(parts), calibrate, _assemble)


def _assemble(asked: Asked, answer: Answer) -> xr.DataTree:
    """The tree of an answer."""
    bound: Any = asked.prepared.likelihood.bound
    if not answer.record["optimum"]["finite"] and asked.prepared.likelihood.name == "score":
        raise HamlearnError(
            "score matching has no optimum here: the data cannot tell some parameters apart, or values hardly vary. Drop or tie parameters."
        )
    tree = {"posterior": variables(bound, answer.theta), "point": variables(bound, answer.point)}
    observed = groups.by_temperature(asked.parts, {"mean_value": groups.site_means(asked.parts, bound.space)})
    tree |= {"observed_data": observed, **groups.sample_stats(answer.stats)}
    made, drawn = asked.provenance(answer), {str(name): one.values for name, one in tree["posterior"].data_vars.items()}
    warned = tuple(Noted("told", "caution", "parameters", {}, *one) for one in bound.model.remarks(drawn))
    made = replace(made, findings=(*made.findings, *warned))
    return posteriors.assemble(tree, model=bound.model, space=bound.space, provenance=made, sets=asked.enquiry.sets)


def _require_energies(system: System) -> None:
    """An error that teaches where the energies of two microstates are not two numbers: before JAX says it of arrays of its own."""
    states = system.space.random(np.random.default_rng(0), (2, system.lattice.n_sites))
    energies_of(system, states.reshape(2, *axes_of(system)))


def _likelihood(wanted: str, bound: BoundFamily, reasons: list[str]) -> str:
    if wanted != "auto":
        return wanted
    if not bound.space.q:
        reasons.append("likelihood score: matches slopes of the action, no normaliser needed")
        return "score"
    if affordable(bound):
        reasons.append("likelihood exact: all states can be listed")
        return "exact"
    reasons.append("likelihood pseudo: too many states to list")
    return "pseudo"


def _told(likelihood: EnergyLikelihood) -> str:
    return "data are compressed once" if likelihood.linear else "all microstates are gone through at every evaluation"


def _engine(wanted: Engine | None, bound: BoundFamily, likelihood: EnergyLikelihood, reasons: list[str]) -> Engine:
    normal = all(isinstance(block.prior, Normal) for block in bound.blocks)
    if wanted is None:
        reasons.append("engine laplace: a few parameters from many rows" if normal else "engine nuts: priors that are not normal")
        wanted = LaplaceApproximation() if normal else NUTS()
    for block in bound.blocks:
        check_priors(block.prior, wanted)
    return wanted


def _cost(likelihood: EnergyLikelihood, engine: Engine) -> Cost:
    gradients, compiling = 30.0 + 2.0 * likelihood.bound.n_params, _COMPILING
    if isinstance(engine, NUTS):
        gradients += _STEPS * (engine.draws + engine.warmup) * engine.chains
        compiling += _NUTS_COMPILING
    return compiled((gradients * likelihood.operations + likelihood.passing) / OPERATIONS_PER_SECOND, compiling)


def variables(bound: BoundFamily, theta: np.ndarray) -> xr.Dataset:
    """Every parameter by its name, of θ ``(chain, draw, n_params)`` or one ``(n_params,)``."""
    lead, coordinates = groups.drawn(theta)
    axes = {name: tuple(f"{name}_{axis}" for axis in range(len(shape))) for name, shape in bound.shapes.items()}
    return xr.Dataset({name: ((*lead, *axes[name]), value) for name, value in bound.values(theta).items()}, coords=coordinates)


def _bound_of(post: xr.DataTree) -> BoundFamily:
    found: BoundFamily = posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post))
    return found


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """The family's systems with drawn parameters; on another lattice where the parameters do not belong to one."""
    bound = _bound_of(post)
    return [bound.system(theta, shape) for theta in families.spread(parameters(post)[1], n, seed)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """θ: every parameter, arrays element by element."""
    bound, group = _bound_of(post), post["posterior"].to_dataset()
    if missing := [name for name in bound.shapes if name not in group]:
        raise HamlearnError(
            f"the posterior lacks the parameter {missing[0]!r} of {bound.model!r}: its class has changed since it was learned."
        )
    return bound.parameter_names, bound.from_values({name: group[name].values for name in bound.shapes})
