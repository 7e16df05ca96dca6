"""The one way from a likelihood to a posterior: maximise → identify → calibrate → draw.

Every family with a θ takes it; a family supplies its likelihood and how its parameters are written down. What is known before
draws are made is a :class:`Fit`; an engine is an object that makes draws of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, cast

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import xarray as xr

from hamlearn.errors import Undetermined
from hamlearn.infer import absences, groups, large
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.choose import Choice
from hamlearn.infer.costs import announced
from hamlearn.infer.engines import gibbs
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.fit import Fit, normal_approximation, precisions
from hamlearn.infer.likelihoods import Likelihood, OneHotLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import Optimum, maximise, normal_blocks
from hamlearn.infer.provenance import Basis, Noted, Provenance
from hamlearn.infer.scatter import ScoreCovariance, contributions
from hamlearn.infer.settings import MAP, Drawn, Engine, External, Gibbs, LaplaceApproximation
from hamlearn.models import BoundCouplings, Normal, SpikeSlab
from hamlearn.statistics import effective_sample_size, first_largest, leading, moved_together

PARETO_K = 0.7  # up to which averages of importance weights can be trusted (Vehtari et al., JMLR 25, 72 (2024))
ACCEPTED = 0.3  # share of proposals below which chains of independent ones stand still for too long
_SILENT = 1e-9  # of the largest eigenvalue of a scaled information: directions below it are not identified
_ROUNDING = 1e-32  # of the largest information: what cancels to less than its rounding error is none
_LANCZOS = 500  # parameters beyond which the ends of a spectrum cost much less than all of it
EFFECTIVE = 400.0  # draws behind the ends of a 90 % interval, below which one long stay at a state makes the interval


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


@dataclass(frozen=True, eq=False)
class Answer:
    """Draws of θ, the optimum, the engine, and what a family's posterior has besides.

    Attributes
    ----------
    theta, point : array (chain, draw, n_params), array (n_params,)
    engine : Engine or External
        What made the draws, which need not be what was asked for.
    record : dict
        Of how, as :func:`hamlearn.infer.provenance.new_provenance` takes it.
    stats : dict of array (chain, draw)
        What is known of each draw.
    sparse : dict
        Of a sparse posterior: which couplings are ``included``, and the prior's ``hyper`` parameters.
    own : dict of array (chain, draw, ...)
        Parameters that priors have of their own.
    """

    theta: np.ndarray
    point: np.ndarray
    engine: Engine | External
    record: dict[str, Any]
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    sparse: dict[str, np.ndarray] = field(default_factory=dict)
    own: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Asked:
    """A question of a family with a θ, and how it will be answered.

    Attributes
    ----------
    enquiry : Enquiry
    prepared : Choice
    parts : list of Observations
    frozen : array of int
        Sites that hold one value in all the data.
    calibrate : bool
    assemble : callable
        ``assemble(asked, answer)``: the family's tree.
    """

    enquiry: Enquiry
    prepared: Choice
    parts: list[Observations]
    frozen: np.ndarray
    calibrate: bool
    assemble: Callable[[Asked, Answer], xr.DataTree]

    def answered(self, checkpoint: str | PathLike[str] | None) -> xr.DataTree:
        """The posterior by the engine that was chosen."""
        return self._assembled(_answer(self, checkpoint))

    def opened(self) -> Opened:
        """The posterior before its draws."""
        fit, record = _fitted(self)
        closed = lambda drawn, engine, found: self._assembled(_sampled(fit, drawn, engine, {**record, "findings": found}))
        return Opened(fit, closed)

    def _assembled(self, answer: Answer) -> xr.DataTree:
        return groups.with_own(self.assemble(self, answer), answer.own)

    def provenance(self, answer: Answer) -> Provenance:
        """How an answer was made, and how it was asked for."""
        likelihood = self.prepared.likelihood
        return self.enquiry.provenance(
            **answer.record,
            likelihood=likelihood.name,
            composite=likelihood.composite,
            engine=answer.engine,
            estimated_seconds=self.prepared.cost.seconds,
            n_params=likelihood.bound.n_params,
            frozen_sites=tuple(self.frozen.tolist()),
            frozen_fields=tuple(likelihood.bound.without_field(self.frozen).tolist()),
        )


def _answer(asked: Asked, checkpoint: str | PathLike[str] | None) -> Answer:
    """The answer of an engine."""
    prepared, seed = asked.prepared, asked.enquiry.seed
    likelihood, engine = prepared.likelihood, prepared.engine
    if prepared.diagonal:
        held = cast(large.Diagonal, likelihood)
        used, drawn, point, record = large.infer(held, cast(MAP, engine), seed, float(sum(part.size for part in likelihood.parts)))
        return Answer(drawn.theta, point, used, record)
    assert not isinstance(likelihood, OneHotLikelihood)
    if engine.sparse:
        return _sparse(asked, likelihood, cast(Gibbs, engine), checkpoint)
    fit, record = _fitted(asked)
    if not engine.bell and prepared.automatic and not fit.enough_batches and normal_throughout(likelihood):
        engine = LaplaceApproximation(engine.draws, engine.chains)
        score = cast(ScoreCovariance, fit.calibration.score)
        of = "batches of autocorrelated draws" if score.tau > 1 else "microstates"
        asked.enquiry.say(f"engine laplace: too few independent {of} for a calibrated density")
    drawn = engine.draw(fit, seed=seed, checkpoint=checkpoint)
    if prepared.otherwise is not None and (why := not_normal(drawn)):
        engine = prepared.otherwise
        asked.enquiry.say(f"engine {engine.name} instead of importance, {announced(likelihood, engine)}: {why}")
        drawn = engine.draw(fit, seed=seed, checkpoint=checkpoint)
    if not engine.bell:
        return _sampled(fit, drawn, engine, record)
    shares = () if engine.flat else tuple(((fit.root**2).sum(1) * precisions(normal_blocks(likelihood.bound))).tolist())
    return Answer(drawn.theta, fit.mean, engine, {**record, "prior_share": shares}, own=drawn.own)


def normal_throughout(likelihood: Likelihood) -> bool:
    """Whether all its priors are normal, which a normal posterior needs."""
    return all(isinstance(block.prior, Normal) for block in likelihood.bound.blocks)


def _maximum(asked: Asked) -> tuple[Optimum, _Spectrum, bool]:
    """The maximum of the likelihood alone, what the data identify there, and whether it is finite and unique."""
    likelihood, engine = asked.prepared.likelihood, asked.prepared.engine
    assert not isinstance(likelihood, OneHotLikelihood)
    best = maximise(likelihood, start=asked.prepared.start)
    spectrum = _spectrum(likelihood.bound, best.information)
    loose = spectrum.unidentified
    usable = best.converged and not loose and not likelihood.bound.without_field(asked.frozen).size
    if loose and best.converged and engine.flat:
        raise Undetermined(
            f"the data cannot tell some parameters apart ({', '.join(spectrum.redundant[0][:6])}): maximum likelihood is not unique. "
            "Tie them, drop them, or use a proper prior with engine='map', 'laplace' or 'nuts'."
        )
    if not usable and engine.flat:
        worst = likelihood.bound.parameter_names[first_largest(np.abs(best.theta), tolerance=1e-3)]
        raise Undetermined(
            f"the maximum-likelihood estimate runs off to infinity ({worst} leads): the data are separable, too few or too ordered. "
            "Use a proper prior with engine='map', 'laplace' or 'nuts', or more data."
        )
    return best, spectrum, usable


def _fitted(asked: Asked) -> tuple[Fit, dict[str, Any]]:
    """What is known before draws are made, and the record of it."""
    likelihood, engine = asked.prepared.likelihood, asked.prepared.engine
    assert not isinstance(likelihood, OneHotLikelihood)
    best, spectrum, usable = _maximum(asked)
    normal = normal_blocks(likelihood.bound)
    centre = best if usable else maximise(likelihood, normal)
    # Multiplying a calibrated likelihood by a prior inverts J, which takes two batches a parameter.
    minimum = 0 if engine.flat else 2 * likelihood.bound.n_params
    wanted = asked.calibrate
    calibration = likelihood.calibration or calibration_room.calibrate(
        likelihood, centre.theta, centre.information, wanted=wanted, usable=usable, minimum=minimum
    )
    record = _record(likelihood, centre, calibration, usable, spectrum)
    mean, root = normal_approximation(likelihood, centre, calibration, None if engine.flat else normal, usable)
    return Fit(likelihood, centre.theta, calibration, mean, root), record


def not_normal(drawn: Drawn) -> str:
    """Why draws by importance sampling will not do, or nothing: weights without a mean, proposals that are seldom accepted, long stays."""
    if drawn.pareto_k is None:
        return ""
    accepted = float(drawn.stats["acceptance_rate"].mean())
    ends = np.quantile(drawn.theta, (0.05, 0.95), axis=(0, 1))
    effective = min(effective_sample_size(beyond).min() for beyond in (drawn.theta <= ends[0], drawn.theta >= ends[1]))
    if drawn.pareto_k <= PARETO_K and accepted >= ACCEPTED and effective >= EFFECTIVE:
        return ""
    numbers = f"Pareto k-hat {drawn.pareto_k:.2f}, {accepted:.0%} of the proposals accepted"
    return f"the posterior is not normal enough ({numbers}, {effective:.0f} effective draws at the ends of an interval)"


def _sampled(fit: Fit, drawn: Drawn, engine: Engine | External, record: dict[str, Any]) -> Answer:
    """Draws made by a sampler as an answer."""
    bound = fit.likelihood.bound
    p, scales = bound.n_params, np.concatenate([np.full(block.size, block.scale) for block in bound.blocks])
    shares = (drawn.theta.reshape(-1, p).std(0) / scales) ** 2
    record = {**record, "prior_share": tuple(shares.tolist()), "pareto_k": drawn.pareto_k}
    return Answer(drawn.theta, fit.centre, engine, record, drawn.stats, own=drawn.own)


def _sparse(asked: Asked, likelihood: Likelihood, engine: Gibbs, checkpoint: str | PathLike[str] | None) -> Answer:
    """Which couplings exist and how strong they are, by Gibbs sampling."""
    known, declared = likelihood.calibration, not likelihood.composite and all(part.independent for part in likelihood.parts)
    wanted = asked.calibrate and not declared and known is None
    if wanted:  # before any work: seen by the scores where there are no couplings
        p = likelihood.bound.n_params
        gibbs.require_contributions(likelihood, *contributions(likelihood, np.zeros(p), minimum=2 * p))
    best, spectrum, usable = _maximum(asked)
    best = best if usable else maximise(likelihood, Normal())
    prior = cast(SpikeSlab, likelihood.bound.model.prior)
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
        seed=asked.enquiry.seed,
        checkpoint=checkpoint,
    )
    basis = Basis("independent", {"tested": False}) if asked.calibrate and declared else draws.basis
    adjusted, root = basis.code == "surrogate", calibration_room.inverse_root(best.information)
    calibration = known or Calibration(best.information, root, np.inf, adjusted, basis, draws.score)
    record = _record(likelihood, best, calibration, True, spectrum)
    record["search"] = {"rounds": draws.rounds, "graphs": draws.graphs, "evidence_of_starts": draws.evidence.tolist()}
    there = draws.included.mean((0, 1))
    found, worth = record["identifiability"], record["calibration"]["ess"]
    found["n_effective"] = float(there.sum()) + likelihood.bound.n_field_params
    found["data_at_worst_site"] = worth / max(likelihood.bound.heaviest_site(there), 1e-12)
    record["findings"] = _undetermined(draws.detectable)
    mean = draws.theta.mean((0, 1))
    return Answer(draws.theta, mean, engine, record, sparse={"included": draws.included, "hyper": draws.hyper})


@dataclass(frozen=True)
class _Spectrum:
    """Spectrum of the information scaled to a unit diagonal, and the leading parameter of every direction without any."""

    condition: float
    unidentified: list[str]
    redundant: tuple[tuple[str, ...], ...] = ()


def _spectrum(bound: BoundCouplings, information: np.ndarray) -> _Spectrum:
    found = np.diag(information)
    diagonal = np.sqrt(np.maximum(found, max(1e-300, _ROUNDING * found.max())))
    scaled = information / np.outer(diagonal, diagonal)
    lowest, top = _ends(scaled)
    names, redundant = list[str](), tuple[tuple[str, ...], ...]()
    if lowest < _SILENT * top:
        values, vectors = np.linalg.eigh(scaled)
        silent = vectors[:, values < _SILENT * top]
        names = [bound.parameter_names[k] for k in leading(silent)]
        redundant = tuple(tuple(bound.parameter_names[k] for k in group) for group in moved_together(silent))
    return _Spectrum(float(top / max(lowest, 1e-300)), names, redundant)


def _ends(matrix: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of a symmetric matrix: of a large one by Lanczos's method, unless it is almost singular."""
    if len(matrix) > _LANCZOS:
        try:
            factor = scipy.linalg.cho_factor(matrix, lower=True)
        except scipy.linalg.LinAlgError:
            pass
        else:
            inverse = scipy.sparse.linalg.LinearOperator(matrix.shape, lambda vector: scipy.linalg.cho_solve(factor, vector))
            start = np.random.default_rng(0).normal(size=len(matrix))
            found = [scipy.sparse.linalg.eigsh(one, 1, v0=start, tol=1e-4, return_eigenvectors=False)[0] for one in (inverse, matrix)]
            if found[0] * found[1] < 1e-3 / _SILENT:
                return float(1 / found[0]), float(found[1])
    values = np.linalg.eigvalsh(matrix)
    return float(values[0]), float(max(values[-1], 1e-300))


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
    seen = worth * (1 - absences.share(likelihood.parts))  # as many rows without gaps
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
            "data_per_parameter": seen * bound.lattice.n_sites / bound.n_params,
            "data_at_worst_site": seen / max(bound.heaviest_site(), 1e-12),
        },
    }
