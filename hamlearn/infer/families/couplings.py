"""The kind of :class:`hamlearn.models.Couplings`: pair interactions with unknown strengths."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer import families, large, posteriors
from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.choose import Choice, choose
from hamlearn.infer.engines import gibbs
from hamlearn.infer.likelihoods import NAMES, Likelihood, OneHotLikelihood, RowLikelihood
from hamlearn.infer.observations import Observations, bind, frozen_sites, mean_beta
from hamlearn.infer.optimum import Optimum, maximise, normal_blocks
from hamlearn.infer.provenance import Basis, Noted, Provenance, new_provenance
from hamlearn.infer.scales import widened
from hamlearn.infer.settings import MAP, NUTS, Engine, Gibbs, LaplaceApproximation, as_engine, require_memory
from hamlearn.models import BoundCouplings, Couplings, Normal, SpikeSlab
from hamlearn.models.base import Block, BoundFamily
from hamlearn.statistics import first_largest, leading
from hamlearn.systems.base import System

logger = logging.getLogger("hamlearn")


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
    asked = ask(data, model, likelihood, engine, calibrate)
    return assemble(asked, answer(asked.prepared, calibrate=calibrate, seed=seed, frozen=asked.frozen, checkpoint=checkpoint), seed)


@dataclass(frozen=True, eq=False)
class Asked:
    """A question to data: what is unknown, and how it will be answered."""

    prepared: Choice
    parts: list[Observations]
    sets: list[xr.Dataset]
    frozen: np.ndarray
    stated: tuple[str, ...]
    started: float


def ask(data: xr.Dataset | Iterable[xr.Dataset], model: Couplings, likelihood: str, engine: str | Engine, calibrate: bool) -> Asked:
    """The model on the sites of the data, with likelihood, engine and widths of priors chosen, and said."""
    choice(likelihood, NAMES, "likelihood")
    settings = as_engine(engine)
    bound, parts, sets = bind(data, model)
    frozen = frozen_sites(parts)
    prepared = choose(bound, parts, likelihood, settings)
    if prepared.likelihood.name == "score" and not calibrate:
        raise HamlearnError(
            "the loss of score matching has no natural scale: its error bars come from calibration alone; leave calibrate=True."
        )
    logger.info(
        "learning %d parameters: %s likelihood, engine %s, about %.3g s",
        bound.n_params,
        prepared.likelihood.name,
        prepared.engine.name,
        prepared.seconds,
    )
    for reason in prepared.reasons:
        logger.info("  %s", reason)
    if bound.n_params <= large.LIMIT:  # beyond it fewer draws are kept
        require_memory(prepared.engine, bound.n_params)
    _refuse_hopeless(bound, parts, frozen, prepared.engine)
    started = time.perf_counter()
    if prepared.engine.name != "mle" and bound.n_params <= large.LIMIT and not isinstance(prepared.likelihood, OneHotLikelihood):
        prepared = replace(prepared, likelihood=widened(prepared.likelihood))
        bound = prepared.likelihood.bound
    stated = [] if prepared.engine.name == "mle" else _priors(model, bound, parts)
    for reason in stated:
        logger.info("  %s", reason)
    return Asked(prepared, parts, sets, frozen, tuple(stated), started)


def assemble(asked: Asked, result: dict[str, Any], seed: int) -> xr.DataTree:
    """The tree of an answer: draws of θ, the optimum, and the record of how they were made."""
    provenance, rest = (
        made(asked, result, seed),
        {name: value for name, value in result.items() if name not in ("record", "theta", "point")},
    )
    bound, parts, sets = asked.prepared.likelihood.bound, asked.parts, asked.sets
    return posteriors.build(bound, result["theta"], result["point"], provenance=provenance, parts=parts, sets=sets, **rest)


def made(asked: Asked, result: dict[str, Any], seed: int) -> Provenance:
    """How an answer was made, and how it was asked for."""
    prepared, sets = asked.prepared, asked.sets
    bound = prepared.likelihood.bound
    used, reasons = result["record"].pop("engine_used"), [*prepared.reasons, *asked.stated]
    if "fallback" in result["record"]:
        reasons.append(result["record"].pop("fallback"))
        logger.info("  %s", reasons[-1])
    return new_provenance(
        **result["record"],
        likelihood=prepared.likelihood.name,
        composite=prepared.likelihood.composite,
        engine=used,
        reasons=reasons,
        estimated_seconds=prepared.seconds,
        seconds=time.perf_counter() - asked.started,
        seed=seed,
        n_params=bound.n_params,
        frozen_sites=tuple(asked.frozen.tolist()),
        sets=sets,
    )


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
    if engine.name != "mle":
        return
    if frozen.size and bound.model.fields == "site":
        sites = ", ".join(map(str, frozen[:5])) + (", …" if frozen.size > 5 else "")
        raise HamlearnError(
            f"site {sites} never changes in the data (a frozen spin): its field has no finite maximum-likelihood value. "
            "Leave it out, or use a proper prior with engine='map', 'laplace' or 'nuts'."
        )
    size = sum(part.size for part in parts)
    if size < bound.n_params / max(bound.lattice.n_sites / 2, 1):
        raise HamlearnError(
            f"{size:g} microstates cannot bear {bound.n_params} parameters by maximum likelihood; "
            "use a proper prior (engine='nuts'), tie parameters, or more data."
        )


def answer(
    prepared: Choice, *, calibrate: bool, seed: int, frozen: np.ndarray, checkpoint: str | PathLike[str] | None, run: Any = None
) -> dict[str, Any]:
    """The answer of an engine; `run` makes draws in place of NumPyro's NUTS, with the arguments of :func:`.engines.numpyro.run`."""
    engine, prior = prepared.engine, getattr(prepared.likelihood.bound.model, "prior", None)
    if isinstance(prepared.likelihood, OneHotLikelihood | RowLikelihood) and isinstance(engine, MAP):
        if isinstance(prepared.likelihood, OneHotLikelihood) or prepared.likelihood.bound.n_params > large.LIMIT:
            return large.infer(prepared.likelihood, engine, seed, float(sum(part.size for part in prepared.likelihood.parts)))
    assert not isinstance(prepared.likelihood, OneHotLikelihood)
    likelihood = prepared.likelihood
    best = maximise(likelihood)
    spectrum = _spectrum(likelihood.bound, best.information)
    loose = spectrum.unidentified
    usable = best.converged and not loose and not (frozen.size and likelihood.bound.model.fields == "site")
    if loose and best.converged and engine.name == "mle":
        raise HamlearnError(
            f"the data cannot tell some parameters apart (for example {loose[0]}): maximum likelihood is not unique. "
            "Tie them, drop them, or use a proper prior with engine='map', 'laplace' or 'nuts'."
        )
    if not usable and engine.name == "mle":
        worst = likelihood.bound.parameter_names[first_largest(np.abs(best.theta), tolerance=1e-3)]
        raise HamlearnError(
            f"the maximum-likelihood estimate runs off to infinity ({worst} leads): the data are separable, too few or too ordered. "
            "Use a proper prior with engine='map', 'laplace' or 'nuts', or more data."
        )
    if isinstance(engine, Gibbs):
        assert isinstance(prior, SpikeSlab)
        best = best if usable else maximise(likelihood, Normal())
        return _sparse(likelihood, best, prior, engine, calibrate, seed, spectrum, checkpoint)
    normal = normal_blocks(likelihood.bound)
    centre = best if usable else maximise(likelihood, normal)
    # Multiplying a calibrated likelihood by a prior inverts J, which takes two batches a parameter.
    minimum = 0 if engine.name == "mle" else 2 * likelihood.bound.n_params
    calibration = calibration_room.calibrate(likelihood, centre.theta, centre.information, wanted=calibrate, usable=usable, minimum=minimum)
    record = _record(likelihood, centre, calibration, usable, spectrum)
    mean, root = _normal(likelihood, centre, calibration, normal if engine.name != "mle" else None, usable)
    few = not _enough_batches(calibration, likelihood.bound.n_params)
    bell = all(isinstance(block.prior, Normal) for block in likelihood.bound.blocks)  # what a normal posterior needs
    if isinstance(engine, NUTS) and prepared.automatic and few and bell:
        engine = LaplaceApproximation(engine.draws, engine.chains)
        record["fallback"] = "engine laplace instead of nuts: too few independent batches of autocorrelated draws for a calibrated NUTS"
    if isinstance(engine, NUTS):
        return _sample(likelihood, centre, calibration, engine, seed, root, record, checkpoint, run)
    record["engine_used"] = engine
    shares = ((root**2).sum(1) * _penalty(normal)).tolist() if engine.name != "mle" else []
    record["prior_share"] = tuple(shares)
    return {"theta": _normal_draws(mean, root, calibration.degrees, engine, seed), "point": mean, "record": record}


def _sample(
    likelihood: Likelihood,
    centre: Optimum,
    calibration: Calibration,
    engine: NUTS,
    seed: int,
    root: np.ndarray,
    record: dict[str, Any],
    checkpoint: str | PathLike[str] | None,
    run: Any = None,
) -> dict[str, Any]:
    from hamlearn.infer.engines import numpyro

    p = likelihood.bound.n_params
    score = calibration.score
    if score is not None and not _enough_batches(calibration, p):
        raise HamlearnError(
            f"calibrated NUTS needs at least {2 * p} independent batches for {p} parameters; the data give {score.batches} "
            f"(autocorrelation time {score.tau:.3g} draws). Use engine='laplace', tie parameters, or more data."
        )
    samples = (run or numpyro.run)(likelihood, centre.theta, calibration, engine, seed, root @ root.T, checkpoint)
    return sampled(likelihood.bound, samples, centre.theta, engine, record)


def sampled(bound: BoundCouplings | BoundFamily, samples: Any, point: np.ndarray, engine: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Draws made by a sampler as an answer."""
    p, scales = bound.n_params, np.concatenate([np.full(block.size, block.scale) for block in bound.blocks])
    shares = (samples.theta.reshape(-1, p).std(0) / scales) ** 2
    record = {**record, "prior_share": tuple(shares.tolist()), "engine_used": engine}
    return {"theta": samples.theta, "point": point, "stats": samples.stats, "record": record}


def _sparse(
    likelihood: Likelihood,
    best: Optimum,
    prior: SpikeSlab,
    engine: Gibbs,
    calibrate: bool,
    seed: int,
    spectrum: _Spectrum,
    checkpoint: str | PathLike[str] | None,
) -> dict[str, Any]:
    wanted = calibrate and not (not likelihood.composite and all(part.independent for part in likelihood.parts))
    # Where data are nearly frozen the maximum of the likelihood is far out, and its curvature means nothing elsewhere.
    start = maximise(likelihood, Normal(prior.slab)).theta
    draws = gibbs.spike_slab(
        likelihood,
        start,
        prior,
        calibrated=wanted,
        draws=engine.draws,
        chains=engine.chains,
        burn_in=engine.warmup,
        thin=engine.thin,
        seed=seed,
        checkpoint=checkpoint,
    )
    basis = Basis("off", {"composite": likelihood.composite})
    if calibrate and not likelihood.composite:
        basis = Basis("independent", {"tested": False})
    if wanted and draws.score is not None:
        numbers = {"batches": draws.score.batches, "kind": draws.score.kind, "shrinkage": float(draws.shrinkage)}
        basis = Basis("surrogate", numbers)
    calibration = Calibration(best.information, calibration_room.inverse_root(best.information), np.inf, wanted, basis, draws.score)
    record = {**_record(likelihood, best, calibration, True, spectrum), "engine_used": engine}
    record["search"] = {"rounds": draws.rounds, "graphs": draws.graphs, "evidence_of_starts": draws.evidence.tolist()}
    there = draws.included.mean((0, 1))
    found, worth = record["identifiability"], record["calibration"]["ess"]
    found["n_effective"] = float(there.sum()) + likelihood.bound.n_field_params
    found["data_at_worst_site"] = worth / max(likelihood.bound.heaviest_site(there), 1e-12)
    record["findings"] = _undetermined(draws.detectable)
    mean = draws.theta.mean((0, 1))
    return {"theta": draws.theta, "point": mean, "included": draws.included, "hyper": draws.hyper, "record": record}


def _normal(
    likelihood: Likelihood, centre: Optimum, calibration: Calibration, prior: Sequence[Block] | None, usable: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance root of the normal approximation: of the (calibrated) likelihood, times the prior if there is one."""
    if prior is None:
        return centre.theta, calibration.root
    penalty = _penalty(prior)
    if not usable:  # the centre already holds the prior
        return centre.theta, calibration_room.inverse_root(centre.information + np.diag(penalty))
    target: Any = likelihood
    if calibration.adjusted:
        if not _enough_batches(calibration, len(penalty)):
            return _times_prior(centre.theta, calibration.covariance, penalty)
        target = calibration_room.Adjusted(likelihood, centre.theta, calibration.linear_map())
    mode = maximise(target, prior, start=centre.theta)
    return mode.theta, calibration_room.inverse_root(mode.information + np.diag(penalty))


def _times_prior(theta: np.ndarray, covariance: np.ndarray, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and a covariance root of N(θ̂, Σ) times a centred normal prior, without inverting Σ."""
    gain = np.linalg.solve((covariance + np.diag(1 / penalty)).T, covariance.T).T  # Σ (Σ + P⁻¹)⁻¹
    posterior = covariance - gain @ covariance
    values, vectors = np.linalg.eigh((posterior + posterior.T) / 2)
    return theta - gain @ theta, vectors * np.sqrt(np.maximum(values, 0.0))


def _normal_draws(mean: np.ndarray, root: np.ndarray, degrees: float, engine: Engine, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = (engine.chains, engine.draws)
    deviation = generator.normal(size=(*shape, root.shape[1])) @ root.T
    if np.isfinite(degrees):
        deviation *= np.sqrt(degrees / generator.chisquare(degrees, size=shape))[..., None]
    return mean + deviation


def _penalty(blocks: Sequence[Block]) -> np.ndarray:
    """Prior precision of every parameter."""
    return np.concatenate([np.full(block.size, block.scale**-2.0) for block in blocks])


def _enough_batches(calibration: Calibration, n_params: int) -> bool:
    """Whether J, if it was used, may be inverted."""
    return not calibration.adjusted or calibration.score is None or calibration.score.batches >= 2 * n_params


@dataclass(frozen=True)
class _Spectrum:
    """Spectrum of the information scaled to a unit diagonal, and the leading parameter of every direction without any."""

    condition: float
    unidentified: list[str]


def _spectrum(bound: BoundCouplings, information: np.ndarray) -> _Spectrum:
    diagonal = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(diagonal, diagonal)
    values = np.linalg.eigvalsh(scaled)
    top, names = max(values.max(initial=0.0), 1e-300), []
    if values.min(initial=top) < 1e-9 * top:
        values, vectors = np.linalg.eigh(scaled)
        names = [bound.parameter_names[k] for k in leading(vectors[:, values < 1e-9 * top])]
    return _Spectrum(float(top / max(values.min(initial=top), 1e-300)), names)


def _undetermined(detectable: np.ndarray) -> tuple[Noted, ...]:
    """Below which strength couplings could exist without having been found, as a note of the verdict."""
    seen = detectable[np.isfinite(detectable)]
    if not len(seen):
        return ()
    return (Noted("weak couplings", "note", "identifiability", {"low": float(seen.min()), "high": float(seen.max())}),)


def _record(likelihood: Likelihood, centre: Optimum, calibration: Calibration, usable: bool, spectrum: _Spectrum) -> dict[str, Any]:
    score, bound = calibration.score, likelihood.bound
    independent = float(sum(part.size for part in likelihood.parts))
    worth, ratio = independent if score is None else score.ess, None
    if calibration.adjusted:
        naive = (calibration_room.inverse_root(calibration.information) ** 2).sum(1)
        ratio = float(np.median(np.sqrt((calibration.root**2).sum(1) / naive)))
    return {
        "optimum": {"converged": centre.converged, "steps": centre.steps, "finite": usable, "value": centre.value},
        "calibration": {
            "adjusted": calibration.adjusted,
            "basis": calibration.basis,
            "kind": None if score is None else score.kind,
            "batches": None if score is None else score.batches,
            "tau": 1.0 if score is None else score.tau,
            "ess": independent if score is None else score.ess,
            "chains_disagree": False if score is None else score.chains_disagree,
            "width_ratio": ratio,
        },
        "identifiability": {
            "condition": spectrum.condition,
            "unidentified": tuple(spectrum.unidentified),
            "data_per_parameter": worth * bound.lattice.n_sites / bound.n_params,
            "data_at_worst_site": worth / max(bound.heaviest_site(), 1e-12),
        },
    }
