"""The one way from a likelihood to a posterior: maximise → identify → calibrate → draw.

Every family with a θ takes it; a family supplies its likelihood and how its parameters are written down. What is known before
draws are made is a :class:`Fit`; an engine is an object that makes draws of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer import large
from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.choose import Choice
from hamlearn.infer.engines import gibbs
from hamlearn.infer.likelihoods import Counted, Likelihood, OneHotLikelihood, RowLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import Optimum, maximise, normal_blocks
from hamlearn.infer.provenance import Basis, Noted, Provenance, new_provenance
from hamlearn.infer.settings import MAP, NUTS, Drawn, External, Gibbs, ImportanceSampling, LaplaceApproximation
from hamlearn.models import BoundCouplings, Normal, SpikeSlab
from hamlearn.models.base import Block
from hamlearn.statistics import first_largest, leading, moved_together

PARETO_K = 0.7  # up to which averages of importance weights can be trusted (Vehtari et al., JMLR 25, 72 (2024))
ACCEPTED = 0.3  # share of proposals below which chains of independent ones stand still for too long

logger = logging.getLogger("hamlearn")


@dataclass(frozen=True, eq=False)
class Asked:
    """A question to data: what is unknown, and how it will be answered."""

    prepared: Choice
    parts: list[Observations]
    sets: list[xr.Dataset]
    frozen: np.ndarray
    stated: tuple[str, ...]
    started: float


@dataclass(frozen=True, eq=False)
class Fit:
    """What is known of a posterior before draws of it are made: what engines are given.

    Attributes
    ----------
    likelihood : Likelihood
        With ``bound``, the family on its sites, whose ``blocks`` are parameters with their priors.
    centre : array (n_params,)
        The maximum of the likelihood, around which it is calibrated.
    calibration : Calibration
    mean, root : array (n_params,), array (n_params, n_params)
        Of the normal approximation N(mean, root rootᵀ) of the posterior.
    """

    likelihood: Counted
    centre: np.ndarray
    calibration: Calibration
    mean: np.ndarray
    root: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Of the normal approximation."""
        return self.root @ self.root.T

    @property
    def transform(self) -> np.ndarray | None:
        """C of the calibrated likelihood ℓ(θ̂ + C(θ − θ̂)); None where it is right as it is."""
        return self.calibration.linear_map() if self.calibration.adjusted else None

    @property
    def enough_batches(self) -> bool:
        """Whether a calibrated likelihood may be multiplied by a prior: J, if it was used, is inverted."""
        return _enough_batches(self.calibration, len(self.mean))

    def require_batches(self, what: str) -> None:
        """An error unless there are enough of them."""
        score, p = self.calibration.score, len(self.mean)
        if score is not None and not self.enough_batches:
            raise HamlearnError(
                f"calibrated {what} needs at least {2 * p} independent batches for {p} parameters; the data give {score.batches} "
                f"(autocorrelation time {score.tau:.3g} draws). Use engine='laplace', tie parameters, or more data."
            )

    def normal(self, chains: int, draws: int, seed: int) -> Drawn:
        """Draws of the normal approximation, with the t tails of a covariance that is known from few batches."""
        return Drawn(_normal_draws(self.mean, self.root, self.calibration.degrees, chains, draws, seed))

    def nuts(self, settings: NUTS, seed: int, checkpoint: str | PathLike[str] | None) -> Any:
        """Draws by NumPyro's NUTS."""
        from hamlearn.infer.engines import numpyro

        self.require_batches("NUTS")
        return numpyro.run(self.likelihood, self.centre, self.transform, settings, seed, self.covariance, checkpoint)

    def importance(self, settings: ImportanceSampling, seed: int) -> Drawn:
        """Draws by independent proposals from the normal approximation."""
        from hamlearn.infer.engines import importance

        self.require_batches("importance sampling")
        return importance.run(self.likelihood, self.centre, self.transform, settings, seed, self.mean, self.covariance)

    def log_density(self) -> Callable[[Any], Any]:
        """θ ``(n_params,)`` → calibrated log-likelihood plus log prior, up to a constant: JAX, in double precision."""
        from hamlearn.infer.engines import numpyro_model

        self.require_batches("sampling")
        return numpyro_model.log_density(*numpyro_model.model(self.likelihood, self.centre, self.transform))


@dataclass(frozen=True, eq=False)
class Opened:
    """A posterior before its draws are made, for whoever makes them elsewhere.

    Attributes
    ----------
    fit : Fit
    closed : callable
        ``closed(drawn, engine, findings)``: the posterior of draws, what made them, and what is to be said of them.
    """

    fit: Fit
    closed: Callable[[Drawn, External, tuple[Noted, ...]], xr.DataTree]


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


def answer(prepared: Choice, *, calibrate: bool, seed: int, frozen: np.ndarray, checkpoint: str | PathLike[str] | None) -> dict[str, Any]:
    """The answer of an engine."""
    engine = prepared.engine
    if isinstance(prepared.likelihood, OneHotLikelihood | RowLikelihood) and isinstance(engine, MAP):
        if isinstance(prepared.likelihood, OneHotLikelihood) or prepared.likelihood.bound.n_params > large.LIMIT:
            return large.infer(prepared.likelihood, engine, seed, float(sum(part.size for part in prepared.likelihood.parts)))
    assert not isinstance(prepared.likelihood, OneHotLikelihood)
    likelihood = prepared.likelihood
    if engine.sparse:
        best, spectrum, usable = _maximum(prepared, frozen)
        best = best if usable else maximise(likelihood, Normal())
        return _sparse(
            likelihood, best, cast(SpikeSlab, likelihood.bound.model.prior), cast(Gibbs, engine), calibrate, seed, spectrum, checkpoint
        )
    fit, record = fitted(prepared, calibrate=calibrate, frozen=frozen)
    bell = all(isinstance(block.prior, Normal) for block in likelihood.bound.blocks)  # what a normal posterior needs
    if not engine.bell and prepared.automatic and not fit.enough_batches and bell:
        engine = LaplaceApproximation(engine.draws, engine.chains)
        record["fallback"] = "engine laplace: too few independent batches of autocorrelated draws for a calibrated density"
    drawn = engine.draw(fit, seed=seed, checkpoint=checkpoint)
    if prepared.otherwise is not None and (why := not_normal(drawn)):
        engine = prepared.otherwise
        record["fallback"] = f"engine {engine.name} instead of importance: {why}"
        drawn = engine.draw(fit, seed=seed, checkpoint=checkpoint)
    if not engine.bell:
        return sampled(fit, drawn, engine, record)
    shares = () if engine.flat else tuple(((fit.root**2).sum(1) * _penalty(normal_blocks(likelihood.bound))).tolist())
    return {"theta": drawn.theta, "point": fit.mean, "record": {**record, "engine_used": engine, "prior_share": shares}}


def _maximum(prepared: Choice, frozen: np.ndarray) -> tuple[Optimum, _Spectrum, bool]:
    """The maximum of the likelihood alone, what the data identify there, and whether it is finite and unique."""
    likelihood, engine = prepared.likelihood, prepared.engine
    assert not isinstance(likelihood, OneHotLikelihood)
    best = maximise(likelihood)
    spectrum = _spectrum(likelihood.bound, best.information)
    loose = spectrum.unidentified
    usable = best.converged and not loose and not likelihood.bound.without_field(frozen).size
    if loose and best.converged and engine.flat:
        raise HamlearnError(
            f"the data cannot tell some parameters apart ({', '.join(spectrum.redundant[0][:6])}): maximum likelihood is not unique. "
            "Tie them, drop them, or use a proper prior with engine='map', 'laplace' or 'nuts'."
        )
    if not usable and engine.flat:
        worst = likelihood.bound.parameter_names[first_largest(np.abs(best.theta), tolerance=1e-3)]
        raise HamlearnError(
            f"the maximum-likelihood estimate runs off to infinity ({worst} leads): the data are separable, too few or too ordered. "
            "Use a proper prior with engine='map', 'laplace' or 'nuts', or more data."
        )
    return best, spectrum, usable


def fitted(prepared: Choice, *, calibrate: bool, frozen: np.ndarray) -> tuple[Fit, dict[str, Any]]:
    """What is known before draws are made, and the record of it."""
    likelihood, engine = prepared.likelihood, prepared.engine
    assert not isinstance(likelihood, OneHotLikelihood)
    best, spectrum, usable = _maximum(prepared, frozen)
    normal = normal_blocks(likelihood.bound)
    centre = best if usable else maximise(likelihood, normal)
    # Multiplying a calibrated likelihood by a prior inverts J, which takes two batches a parameter.
    minimum = 0 if engine.flat else 2 * likelihood.bound.n_params
    calibration = calibration_room.calibrate(likelihood, centre.theta, centre.information, wanted=calibrate, usable=usable, minimum=minimum)
    record = _record(likelihood, centre, calibration, usable, spectrum)
    mean, root = _normal(likelihood, centre, calibration, None if engine.flat else normal, usable)
    return Fit(likelihood, centre.theta, calibration, mean, root), record


def not_normal(drawn: Drawn) -> str:
    """Why draws by importance sampling will not do, or nothing: weights without a mean, or proposals that are seldom accepted."""
    if drawn.pareto_k is None:
        return ""
    accepted = float(drawn.stats["acceptance_rate"].mean())
    if drawn.pareto_k <= PARETO_K and accepted >= ACCEPTED:
        return ""
    return f"the posterior is not normal enough (Pareto k-hat {drawn.pareto_k:.2f}, {accepted:.0%} of the proposals accepted)"


def sampled(fit: Fit, samples: Any, engine: Any, record: dict[str, Any], findings: tuple[Noted, ...] = ()) -> dict[str, Any]:
    """Draws made by a sampler as an answer."""
    bound = fit.likelihood.bound
    p, scales = bound.n_params, np.concatenate([np.full(block.size, block.scale) for block in bound.blocks])
    shares = (samples.theta.reshape(-1, p).std(0) / scales) ** 2
    record = {**record, "prior_share": tuple(shares.tolist()), "engine_used": engine, "findings": findings}
    if samples.pareto_k is not None:
        record["pareto_k"] = samples.pareto_k
    return {"theta": samples.theta, "point": fit.centre, "stats": samples.stats, "record": record}


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
    basis = Basis("independent", {"tested": False}) if calibrate and not wanted else draws.basis
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


def _normal_draws(mean: np.ndarray, root: np.ndarray, degrees: float, chains: int, draws: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = (chains, draws)
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
    redundant: tuple[tuple[str, ...], ...] = ()


def _spectrum(bound: BoundCouplings, information: np.ndarray) -> _Spectrum:
    diagonal = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(diagonal, diagonal)
    values = np.linalg.eigvalsh(scaled)
    top, names = max(values.max(initial=0.0), 1e-300), list[str]()
    redundant: tuple[tuple[str, ...], ...] = ()
    if values.min(initial=top) < 1e-9 * top:
        values, vectors = np.linalg.eigh(scaled)
        silent = vectors[:, values < 1e-9 * top]
        names = [bound.parameter_names[k] for k in leading(silent)]
        redundant = tuple(tuple(bound.parameter_names[k] for k in group) for group in moved_together(silent))
    return _Spectrum(float(top / max(values.min(initial=top), 1e-300)), names, redundant)


def _undetermined(detectable: np.ndarray) -> tuple[Noted, ...]:
    """Below which strength couplings could exist without having been found, as a note of the verdict."""
    seen = detectable[np.isfinite(detectable)]
    if not len(seen):
        return ()
    return (Noted("weak couplings", "note", "identifiability", {"low": float(seen.min()), "high": float(seen.max())}),)


def _record(likelihood: Likelihood, centre: Optimum, calibration: Calibration, usable: bool, spectrum: _Spectrum) -> dict[str, Any]:
    score, bound = calibration.score, likelihood.bound
    independent = sum(part.worth for part in likelihood.parts)
    worth, ratio = independent if score is None else score.ess, None
    if calibration.adjusted:
        naive = (calibration_room.inverse_root(calibration.information) ** 2).sum(1)
        ratio = float(np.median(np.sqrt((calibration.root**2).sum(1) / naive)))
    return {
        "optimum": {"converged": centre.converged, "steps": centre.steps, "finite": usable, "value": centre.value},
        "calibration": {
            "adjusted": calibration.adjusted,
            "basis": calibration.basis,
            "tau": 1.0 if score is None else score.tau,
            "ess": worth,
            "width_ratio": ratio,
            **({} if score is None else score.told),
        },
        "identifiability": {
            "condition": spectrum.condition,
            "unidentified": tuple(spectrum.unidentified),
            "redundant": spectrum.redundant,
            "data_per_parameter": worth * bound.lattice.n_sites / bound.n_params,
            "data_at_worst_site": worth / max(bound.heaviest_site(), 1e-12),
        },
    }
