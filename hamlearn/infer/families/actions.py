"""The kind of :class:`hamlearn.models.PolynomialAction`: actions of paths and fields with unknown coefficients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.data import space_of
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer import families, groups, posteriors
from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.fit import Fit
from hamlearn.infer.likelihoods.ring import RingLikelihood
from hamlearn.infer.likelihoods.score import PooledScores, ScoreMatching
from hamlearn.infer.likelihoods.sites import SiteConditionals
from hamlearn.infer.newton import MAX_STEPS
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import maximise
from hamlearn.infer.pipeline import Opened
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.settings import SAMPLED, Drawn, Engine, External, LaplaceApproximation, as_engine, require_memory
from hamlearn.models import Normal
from hamlearn.models.actions import BoundAction, PolynomialAction, Scales, percent
from hamlearn.progress import logger
from hamlearn.systems.base import System

LIKELIHOODS = ("auto", "score", "pseudo", "exact")
INEFFICIENT = 3.0  # variance of score matching over the Cramér–Rao bound beyond which `auto` takes another likelihood
# Seconds, and those of one site of one microstate: "scalar field 6x6" and "double well, 32 slices" of benchmarks/couplings/estimates.py
_FIXED, _PER_VALUE = 0.03, {"score": 2e-7, "pseudo": 1e-6, "exact": 4e-7}
_NUTS_SECONDS = 20.0  # "9 spins, horseshoe"
RUNAWAY_SHARE = 0.05  # of draws that do not confine the field, beyond which none are simulated


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: PolynomialAction,
    likelihood: str = "auto",
    engine: str | Engine = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    checkpoint: Any = None,
) -> xr.DataTree:
    """The posterior of the coefficients given paths or fields; a bare tree, without a verdict.

    Score matching at every temperature is one linear solve; the estimates are pooled by inverse covariance. Where
    its variance is far above the Cramér–Rao bound, "auto" goes on to the exact likelihood (periodic paths) or to the
    pseudo-likelihood.
    """
    asked, settings = _ask(data, model, likelihood, as_engine(engine), calibrate, seed)
    return _assemble(asked, settings.draw(asked.fit, seed=seed, checkpoint=checkpoint), settings)


def opened(
    data: list[xr.Dataset], model: PolynomialAction, *, likelihood: str, calibrate: bool, seed: int, engine: str | Engine = SAMPLED
) -> Opened:
    """The posterior before its draws."""
    asked, _ = _ask(data, model, likelihood, as_engine(engine), calibrate, seed)
    return Opened(asked.fit, lambda drawn, engine, findings: _assemble(asked, drawn, engine, findings))


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question to paths or fields, and all of its answer but draws."""

    enquiry: Enquiry
    bound: BoundAction
    parts: list[Observations]
    scales: list[Scales]
    likelihood: str
    excess: np.ndarray
    found: Maximum
    fit: Fit
    estimated: float


def _ask(
    data: xr.Dataset | Iterable[xr.Dataset], model: PolynomialAction, likelihood: str, engine: Engine | None, calibrate: bool, seed: int
) -> tuple[_Asked, Engine]:
    """The model on the sites of the data, its maximum under the likelihood that was chosen, and the engine."""
    choice(likelihood, LIKELIHOODS, "likelihood")
    bound, parts, scales, sets, reasons = bind(data, model)
    enquiry = Enquiry(model, bound.space, sets, seed)
    seconds = _seconds(parts, "score")
    logger.info("learning %d coefficients: score matching first, about %.2g s", bound.n_params, seconds)
    matched = score_matching(bound, parts, scales, wanted=calibrate)
    name, excess = _choose(likelihood, bound, parts, scales, matched, reasons)
    settings = _engine(engine, name, reasons, calibrate=calibrate)
    require_memory(settings, bound.n_params)
    if name != "score" or not settings.bell:
        more = _seconds(parts, name) + (0.0 if settings.bell else _NUTS_SECONDS)
        logger.info("then the %s likelihood, engine %s, about %.2g s more", name, settings.name, more)
        seconds += more
    found = matched if name == "score" else _maximum(name, bound, parts, scales, matched, wanted=calibrate)
    mean, root = _with_prior(found, bound, settings)
    enquiry.say(*reasons)
    fit = Fit(found.likelihood, found.theta, found.calibration, mean, root)
    return _Asked(enquiry, bound, parts, scales, name, excess, found, fit, seconds), settings


def _assemble(asked: _Asked, drawn: Drawn, engine: Engine | External, findings: tuple[Noted, ...] = ()) -> xr.DataTree:
    """The tree of draws of θ."""
    bound, facts = asked.bound, _facts(asked, drawn.theta, engine, findings)
    tree = {"posterior": variables(bound, drawn.theta), "point": variables(bound, asked.fit.mean)}
    tree |= {"observed_data": _observed(bound, asked.parts, asked.scales), **groups.sample_stats(drawn.stats)}
    return asked.enquiry.posterior(tree, **facts, pareto_k=drawn.pareto_k)


@dataclass(frozen=True, eq=False)
class Maximum:
    """A maximum, its calibrated covariance, and the likelihood it is the maximum of."""

    theta: np.ndarray
    calibration: Calibration
    likelihood: Any
    value: float
    steps: int
    spread: float  # p-value of the coefficients agreeing across temperatures; nan for one

    @property
    def covariance(self) -> np.ndarray:
        """Of the estimate."""
        return self.calibration.covariance


def bind(
    data: xr.Dataset | Iterable[xr.Dataset], model: PolynomialAction
) -> tuple[BoundAction, list[Observations], list[Scales], list[xr.Dataset], list[str]]:
    """The model on the sites of the data, and the data as the likelihoods read them."""
    sets = microstate_data.split_by_beta(data)
    shapes = sorted({tuple(part["state"].shape[2:]) for part in sets})
    if len(shapes) > 1:
        raise HamlearnError(
            f"the data sets have different site axes {shapes}: their lattice spacings would be mixed. "
            "Learn each by itself; hl.extrapolate joins posteriors with one spacing."
        )
    space = space_of(sets)
    bound = model.bind(space, shapes[0])
    widths, reasons = [_spacing(part, bound) for part in sets], []
    if bound.family == "path":
        if len({width is None for width in widths}) > 1:
            raise HamlearnError(
                "mixed lattice spacings: some data sets have a fixed width a of their time slices, others a = beta/N_tau. "
                "Learn them separately."
            )
        used = [1 / bound.scales(float(part["beta"]), width).u for part, width in zip(sets, widths, strict=True)]
        origin = "beta/N_tau" if widths[0] is None else "as given"
        reasons.append(f"width of a time slice a = {', '.join(f'{a:.6g}' for a in used)} ({origin})")
    parts, scales = [], []
    for part, width in zip(sets, widths, strict=True):
        weight, weighted = microstate_data.multiplicity(part)
        states = microstate_data.rows(part)
        if bound.family == "path" and model.periodic:
            _refuse_open(states, microstate_data.periodic(part))
        independent = bool(int(part.attrs.get("independent", 0)))
        parts.append(Observations(states, weight, weighted, float(part["beta"]), independent))
        scales.append(bound.scales(float(part["beta"]), width))
    return bound, parts, scales, sets, reasons


def _spacing(data: xr.Dataset, bound: BoundAction) -> float | None:
    """The width of a time slice that the model or the data declare; None for β/N_τ."""
    if bound.family != "path":
        return None
    known, wanted = microstate_data.spacing(data), bound.model.a
    if known is not None and wanted is not None and not np.isclose(known, wanted, rtol=1e-9):
        raise HamlearnError(f"mixed lattice spacings: the model has a={wanted:g}, the data declare spacing={known:g}.")
    return wanted if wanted is not None else known


def _refuse_open(states: np.ndarray, declared: bool | None) -> None:
    """An error if paths are declared open, or the link that closes the ring is far longer than the others: given as periodic."""
    if declared is False:
        raise HamlearnError("these paths are declared open (periodic=False): learn with PolynomialAction(..., periodic=False).")
    flat = states.reshape(-1, states.shape[-1]).astype(float)
    if flat.shape[1] < 4:
        return
    inner = (np.diff(flat, axis=1) ** 2).mean(0)
    seam = ((flat[:, 0] - flat[:, -1]) ** 2).mean()
    # Mean squared links of a ring are all alike; those of an open path join its two ends at random.
    if seam > 3 * inner.max() and len(flat) >= 20:
        raise HamlearnError(
            f"these paths look open: the link from the last slice to the first is {np.sqrt(seam / inner.mean()):.1f} times as long as the "
            "others. If they are, learn with PolynomialAction(..., periodic=False)."
        )


def _seconds(parts: list[Observations], likelihood: str) -> float:
    """Of the maximum of a likelihood."""
    return _FIXED + _PER_VALUE[likelihood] * sum(part.states.size for part in parts)


def score_matching(bound: BoundAction, parts: list[Observations], scales: list[Scales], *, wanted: bool = True) -> Maximum:
    """Score matching at every temperature, pooled by inverse covariance."""
    fits = [_match(bound, part, scale, wanted=wanted, pooled=len(parts) > 1) for part, scale in zip(parts, scales, strict=True)]
    if len(fits) == 1:
        return fits[0]
    theta, covariance, p_value = pool([fit.theta for fit in fits], [fit.covariance for fit in fits])
    root = np.linalg.cholesky(covariance)
    scores = [fit.calibration.score for fit in fits if fit.calibration.score is not None]
    joint = replace(
        max(scores, key=lambda score: score.tau),
        batches=min(score.batches for score in scores),
        ess=sum(score.ess for score in scores),
        chains_disagree=any(score.chains_disagree for score in scores),
    )
    first = fits[0].calibration.basis
    slowest = {"tau": joint.tau} if "tau" in first.numbers else {}
    basis = replace(first, numbers={**first.numbers, **slowest, "temperatures": len(fits)})
    adjusted = fits[0].calibration.adjusted
    likelihood = PooledScores(bound, parts, theta, np.linalg.inv(covariance))
    calibration = Calibration(likelihood.A, root, min(fit.calibration.degrees for fit in fits), adjusted, basis, joint)
    return Maximum(theta, calibration, likelihood, sum(fit.value for fit in fits), 1, p_value)


def pool(estimates: list[np.ndarray], covariances: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Inverse-covariance mean of independent estimates, its covariance, and the p-value of their agreement (χ²)."""
    import scipy.stats

    precisions = [np.linalg.inv(covariance) for covariance in covariances]
    covariance = np.linalg.inv(np.sum(precisions, axis=0))
    covariance = (covariance + covariance.T) / 2
    mean = covariance @ np.sum([precision @ theta for precision, theta in zip(precisions, estimates, strict=True)], axis=0)
    square = sum((theta - mean) @ precision @ (theta - mean) for precision, theta in zip(precisions, estimates, strict=True))
    degrees = (len(estimates) - 1) * len(mean)
    return mean, covariance, float(scipy.stats.chi2.sf(square, degrees)) if degrees else float("nan")


def _match(bound: BoundAction, part: Observations, scale: Scales, *, wanted: bool, pooled: bool) -> Maximum:
    used = part if wanted else replace(part, independent=True)
    likelihood = ScoreMatching(bound, [used], scale)
    information = likelihood.information(np.zeros(bound.n_params))
    _require_identified(bound, information, part)
    theta = likelihood.solve()
    minimum = 2 * bound.n_params if pooled or isinstance(bound.model.prior, Normal) else 0
    calibration = calibration_room.calibrate(likelihood, theta, information, minimum=minimum)
    if calibration.score is not None and min(calibration.degrees, calibration.score.batches) < 2 * bound.n_params and minimum:
        raise HamlearnError(
            f"only {calibration.score.batches} independent {calibration.score.unit} for {bound.n_params} coefficients: their covariance "
            "cannot be inverted, which pooling temperatures and priors need. Give more data, or use fewer powers."
        )
    if not wanted:
        calibration = replace(calibration, adjusted=False, basis=Basis("off", {"composite": True}))
    return Maximum(theta, calibration, likelihood, likelihood.value_and_gradient(theta)[0], 1, float("nan"))


def _require_identified(bound: BoundAction, information: np.ndarray, part: Observations) -> None:
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values[0] < 1e-11:
        names = [bound.parameter_names[k] for k in np.flatnonzero(np.abs(vectors[:, 0]) > 0.3)]
        raise HamlearnError(
            f"the data at beta = {part.beta:g} cannot tell {', '.join(names)} apart (values hardly vary): "
            "leave out powers, or give more data."
        )


def _choose(
    wanted: str, bound: BoundAction, parts: list[Observations], scales: list[Scales], matched: Maximum, reasons: list[str]
) -> tuple[str, np.ndarray]:
    """The likelihood to use, whoever makes the draws, and by how much the variance of score matching exceeds the Cramér–Rao bound."""
    fisher = np.zeros((bound.n_params,) * 2)
    tau = matched.calibration.score.tau if matched.calibration.score is not None else 1.0
    for part, scale in zip(parts, scales, strict=True):
        terms = bound.terms(part.states.reshape(-1, *bound.shape), scale)[:, bound.free]
        weight = part.weight.reshape(-1)
        centred = terms - weight @ terms / weight.sum()
        fisher += (centred * weight[:, None]).T @ centred / tau
    # The Fisher information of an exponential family is the covariance of its terms, which the data know.
    excess = np.diag(matched.covariance) / np.diag(np.linalg.pinv(fisher))
    worst = float(excess.max())
    told = ", ".join(f"{name} {value:.2g}" for name, value in zip(bound.parameter_names, excess, strict=True))
    reasons.append(f"variance of score matching over the Cramér–Rao bound: {told}")
    if wanted != "auto":
        return wanted, excess
    model = bound.model
    exact = bound.family == "path" and model.range == 1 and model.periodic and model.kinetic is not False
    if worst <= INEFFICIENT or len(bound.links) > 1:
        why = "a linear solve, and nearly efficient" if worst <= INEFFICIENT else "there are several neighbour terms"
        reasons.append(f"likelihood score: {why}")
        return "score", excess
    other = "exact" if exact else "pseudo"
    reasons.append(f"likelihood {other}: score matching would waste {1 - 1 / worst:.0%} of the data")
    return other, excess


def _engine(settings: Engine | None, likelihood: str, reasons: list[str], *, calibrate: bool) -> Engine:
    if settings is None:
        reasons.append("engine laplace: estimates of a few coefficients from many rows are normal")
        return LaplaceApproximation()
    if settings.sparse:
        raise HamlearnError("engine 'gibbs' is for spike-and-slab couplings; use 'laplace', 'mle', 'map' or 'nuts'.")
    if not settings.bell and likelihood == "score" and not calibrate:
        raise HamlearnError(
            "the loss of score matching has no natural scale, and only calibration gives it one: leave calibrate=True, or sample "
            "likelihood='pseudo' or 'exact'."
        )
    return settings


def _maximum(name: str, bound: BoundAction, parts: list[Observations], scales: list[Scales], start: Maximum, *, wanted: bool) -> Maximum:
    """The maximum of the pseudo- or exact likelihood by Newton's method, started from score matching."""
    likelihood = (RingLikelihood if name == "exact" else SiteConditionals)(bound, parts, scales, start.theta)
    best = maximise(likelihood, start=start.theta)
    if not best.converged and best.steps == MAX_STEPS:
        raise HamlearnError(f"the {name} likelihood has no maximum within {MAX_STEPS} Newton steps; use likelihood='score', or more data.")
    calibration = calibration_room.calibrate(likelihood, best.theta, best.information, wanted=wanted, minimum=2 * bound.n_params)
    return Maximum(best.theta, calibration, likelihood, best.value, best.steps, start.spread)


def _with_prior(fit: Maximum, bound: BoundAction, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance root of the calibrated normal times the prior."""
    prior = bound.model.prior
    if engine.flat or not isinstance(prior, Normal):
        return fit.theta, fit.calibration.root
    precision = np.linalg.inv(fit.covariance)
    covariance = np.linalg.inv(precision + np.eye(bound.n_params) * prior.scale**-2.0)
    return covariance @ precision @ fit.theta, np.linalg.cholesky((covariance + covariance.T) / 2)


def _facts(asked: _Asked, theta: np.ndarray, engine: Engine | External, said: tuple[Noted, ...]) -> dict[str, Any]:
    """How it was answered, for the record."""
    fit, bound, name = asked.found, asked.bound, asked.likelihood
    calibration, score = fit.calibration, fit.calibration.score
    runaway = float(1 - bound.confining(theta).mean())
    findings = [*said]
    if runaway > 0:
        severity = "serious" if runaway > RUNAWAY_SHARE else "caution"
        findings.append(Noted("unbounded", severity, "stability", {"share": runaway, "fault": bound.fault}))
    if np.isfinite(fit.spread) and fit.spread < 1e-3:
        severity = "serious" if fit.spread < 1e-6 else "caution"
        findings.append(Noted("temperatures disagree", severity, "fit", {"p": fit.spread, "pooled": False}))
    prior = bound.model.prior
    spread = theta.reshape(-1, bound.n_params).std(0)
    share = (spread / prior.scale) ** 2 if isinstance(prior, Normal) and not engine.flat else np.zeros(0)
    return {
        "likelihood": name,
        "composite": name != "exact",
        "engine": engine,
        "n_params": bound.n_params,
        "estimated_seconds": asked.estimated,
        "adjusted": calibration.adjusted,
        "basis": calibration.basis,
        "optimum": {"steps": fit.steps, "value": fit.value},
        "calibration": {} if score is None else {"ess": score.ess, "tau": score.tau, **score.told},
        "prior_share": tuple(share.tolist()),
        "excess_variance": asked.excess.tolist(),
        "nonconfining": runaway,
        "agreement": None if np.isnan(fit.spread) else fit.spread,
        "findings": tuple(findings),
    }


def variables(bound: BoundAction, theta: np.ndarray) -> xr.Dataset:
    """What a posterior reports of θ ``(n_params,)`` or ``(chain, draw, n_params)``: `c` over power and `kinetic`."""
    (lead, axes), full, r, links = groups.drawn(theta), bound.full(theta), bound.model.range, len(bound.links)
    found = xr.Dataset({"c": ((*lead, "power"), full[..., links:])}, coords={"power": np.array(bound.model.powers)} | axes)
    found = found.assign(gradient=(lead, full[..., r])) if links > r else found
    if r > 1:
        return found.assign(kinetic=((*lead, "range"), full[..., :r])).assign_coords(range=np.arange(1, r + 1))
    return found.assign(kinetic=(lead, full[..., 0]))


def _observed(bound: BoundAction, parts: list[Observations], scales: list[Scales]) -> xr.Dataset:
    """Per temperature: size, mean terms and their covariance, and the support: range of values and longest links."""
    names = bound.term_names if bound.model.range > 1 else ["kinetic[1]", *bound.term_names[1:]]
    means, covariances, support = [], [], []
    for part, scale in zip(parts, scales, strict=True):
        states, weight = part.states.reshape(-1, *bound.shape), part.weight.reshape(-1)
        terms = bound.terms(states, scale)
        mean = weight @ terms / weight.sum()
        means.append(mean)
        covariances.append(((terms - mean) * weight[:, None]).T @ (terms - mean) / weight.sum())
        links = np.abs(np.diff(states, axis=-1))
        support.append([float(states.min()), float(states.max()), float(links.max()), float(np.quantile(links, 0.999))])
    values = {
        "mean_term": (("temperature", "term"), np.array(means)),
        "term_covariance": (("temperature", "term", "term_b"), np.array(covariances)),
        "support": (("temperature", "extent"), np.array(support)),
    }
    return groups.by_temperature(parts, values).assign_coords(
        u=("temperature", [scale.u for scale in scales]),
        v=("temperature", [scale.v for scale in scales]),
        term=names,
        extent=["lowest", "highest", "longest_link", "long_link"],
    )


def bound_of(post: xr.DataTree) -> BoundAction:
    """The family a posterior belongs to, on its sites."""
    return cast(BoundAction, posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post)))


def width_of(post: xr.DataTree) -> float | None:
    """The fixed width of a time slice that the posterior's data had; None where it is β/N_τ."""
    observed = post["observed_data"].to_dataset()
    bound = bound_of(post)
    if bound.family != "path":
        return None
    widths = 1 / observed["u"].values
    if bound.model.a is not None:
        return bound.model.a
    return None if np.allclose(widths, observed["beta"].values / bound.shape[0], rtol=1e-12) else float(widths[0])


def theta_draws(post: xr.DataTree) -> np.ndarray:
    """θ ``(chain, draw, n_params)``."""
    group = post["posterior"].to_dataset()
    return bound_of(post).from_values(group["kinetic"].values, group["c"].values, group["gradient"].values if "gradient" in group else None)


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Paths or fields drawn from the posterior, with another number of sites if wanted."""
    bound, width = bound_of(post), width_of(post)
    return [bound.system(theta, shape, width) for theta in confining_draws(post, n, seed)]


def confining_draws(post: xr.DataTree, n: int, seed: int) -> np.ndarray:
    """`n` draws of θ that have an equilibrium ``(n, n_params)``; an error where more than a few have none."""
    bound, draws = bound_of(post), theta_draws(post)
    stable = bound.confining(draws)
    if stable.mean() < 1 - RUNAWAY_SHARE:
        raise HamlearnError(
            f"{percent(float(1 - stable.mean()))} of this posterior {bound.fault}: there is no equilibrium to simulate. "
            "Collect more data, or learn with a lower largest power; hl.action still evaluates it."
        )
    return families.spread(draws[stable][None], n, seed)


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """θ: the unknown coefficients."""
    return bound_of(post).parameter_names, theta_draws(post)


def action(post: xr.DataTree, states: np.ndarray, beta: float, members: int, seed: int) -> np.ndarray:
    """S of states ``(..., *sites)`` under drawn coefficients, ``(member, ...)``; draws that do not confine included."""
    bound = bound_of(post)
    shape = tuple(np.shape(states)[np.ndim(states) - len(bound.shape) :])
    here = replace(bound, shape=shape)
    return here.action(families.spread(theta_draws(post), members, seed), states, here.scales(beta, width_of(post)))
