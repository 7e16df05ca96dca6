"""Which likelihood and engine `auto` takes, and what they will cost: measured, never above two minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.large import LIMIT
from hamlearn.infer.likelihoods import ExactLikelihood, Likelihood, OneHotLikelihood, PatternLikelihood, composite
from hamlearn.infer.records import Part
from hamlearn.infer.settings import MAP, NUTS, Engine, Gibbs, LaplaceApproximation
from hamlearn.models import BoundCouplings, Horseshoe, Laplace, Normal, SpikeSlab
from hamlearn.systems import exact

AFFORDABLE = 120.0  # seconds
NUTS_PARAMETERS = 500  # beyond this the normal approximation is the better use of time
_STEPS = 16  # leapfrog steps a preconditioned NUTS draw takes, about
_COMPILING = 8.0  # seconds


@dataclass(frozen=True)
class Choice:
    """What will run, why, how long it should take, and whether the engine was left to us."""

    likelihood: Likelihood | OneHotLikelihood
    engine: Engine
    reasons: tuple[str, ...]
    seconds: float
    automatic: bool


def check_combination(bound: BoundCouplings, engine: Engine | None) -> None:
    """Refuse priors an engine cannot treat, by name."""
    prior = bound.model.prior
    if engine is None or engine.name == "mle":
        return
    if isinstance(prior, SpikeSlab) != (engine.name == "gibbs"):
        raise HamlearnError(
            f"engine {engine.name!r} does not go with prior {prior.name!r}: 'gibbs' samples spike-and-slab priors, and only those."
        )
    if engine.name in ("map", "laplace") and not isinstance(prior, Normal):
        reason = (
            "its mode depends on the parametrisation"
            if isinstance(prior, Horseshoe)
            else "its mode sits on kinks where a normal approximation means nothing"
        )
        raise HamlearnError(f"engine {engine.name!r} does not go with prior {prior.name!r}: {reason}. Use engine='nuts'.")


def choose(bound: BoundCouplings, parts: Sequence[Part], likelihood: str, engine: Engine | None) -> Choice:
    """Resolve "auto" for the likelihood and the engine."""
    reasons: list[str] = []
    check_combination(bound, engine)
    automatic = engine is None
    engine = engine or _engine(bound, reasons)
    if likelihood == "screening":
        likelihood = "rise"
    if likelihood == "exact":
        chosen: Likelihood | OneHotLikelihood = ExactLikelihood(bound, parts)
        seconds = _seconds(chosen, engine)
    elif likelihood == "auto":
        chosen, seconds = _auto_likelihood(bound, parts, engine, reasons)
    else:
        chosen = composite(bound, parts, likelihood)
        seconds = _seconds(chosen, engine)
    if automatic and isinstance(chosen, OneHotLikelihood) and isinstance(engine, NUTS | LaplaceApproximation):
        reasons.append(f"engine map with diagonal error bars: {bound.n_params} parameters on a dense graph, no Hessian")
        engine = MAP(draws=100)
        seconds = _seconds(chosen, engine)
    if (bound.n_params > LIMIT or isinstance(chosen, OneHotLikelihood)) and engine.name != "map":
        raise HamlearnError(f"{bound.n_params} parameters: only engine='map' (diagonal error bars) can treat so many; got {engine.name!r}.")
    if automatic and isinstance(engine, NUTS) and isinstance(bound.model.prior, Normal) and seconds > AFFORDABLE:
        reasons.append(f"engine laplace: nuts would take about {seconds:.0f} s, more than {AFFORDABLE:.0f} s")
        engine = LaplaceApproximation()
        seconds = _seconds(chosen, engine)
    return Choice(chosen, engine, tuple(reasons), seconds, automatic)


def _engine(bound: BoundCouplings, reasons: list[str]) -> Engine:
    prior, p = bound.model.prior, bound.n_params
    if isinstance(prior, SpikeSlab):
        reasons.append("engine gibbs: the prior is spike-and-slab")
        return Gibbs()
    if isinstance(prior, Horseshoe | Laplace):
        if p > NUTS_PARAMETERS:
            raise HamlearnError(
                f"{p} parameters are too many for NUTS with a {prior.name} prior; use 'spike_slab', or insist: engine=hl.infer.NUTS()."
            )
        reasons.append(f"engine nuts: the {prior.name} posterior is not normal")
        return NUTS()
    if p > LIMIT:
        reasons.append(f"engine map with diagonal error bars: {p} parameters, more than {LIMIT}")
        return MAP(draws=100)
    if p > NUTS_PARAMETERS:
        reasons.append(f"engine laplace: {p} parameters, more than {NUTS_PARAMETERS}")
        return LaplaceApproximation()
    reasons.append(f"engine nuts: {p} parameters")
    return NUTS()


def _auto_likelihood(
    bound: BoundCouplings, parts: Sequence[Part], engine: Engine, reasons: list[str]
) -> tuple[Likelihood | OneHotLikelihood, float]:
    method = exact.method(bound.system(np.zeros(bound.n_params)))
    if method in ("enumeration", "transfer") and _rough_seconds(bound, method, engine) < 5 * AFFORDABLE:
        candidate = ExactLikelihood(bound, parts)
        seconds = _seconds(candidate, engine)
        if seconds <= AFFORDABLE and (engine.name != "gibbs" or candidate.tabulated):
            reasons.append(f"likelihood exact ({method}): about {seconds:.0f} s, affordable")
            return candidate, seconds
        reasons.append(f"likelihood pseudo: exact ({method}) would take about {seconds:.0f} s, more than {AFFORDABLE:.0f} s")
    elif method in ("enumeration", "transfer"):
        reasons.append(f"likelihood pseudo: exact ({method}) would take many minutes")
    else:
        reasons.append("likelihood pseudo: no exact oracle for this graph")
    chosen = composite(bound, parts, "pseudo")
    return chosen, _seconds(chosen, engine)


def _rough_seconds(bound: BoundCouplings, method: str, engine: Engine) -> float:
    """From operation counts alone, before anything is compiled."""
    n, q = bound.lattice.n_sites, bound.space.q
    if method == "enumeration":
        gradient = 4.0 * float(q) ** n * bound.n_params / 2e9
    else:
        width = n / max(bound.lattice.shape)
        gradient = 6.0 * float(q) ** (3 * width) * max(bound.lattice.shape) / 3e10
    return gradient * _gradients(bound, engine) * (engine.chains if isinstance(engine, NUTS) else 1)


def _gradients(bound: BoundCouplings, engine: Engine) -> float:
    """Gradients an engine takes, of all its chains at once (a Hessian counts as two per parameter), about."""
    if isinstance(engine, NUTS):
        return float(_STEPS * (engine.draws + engine.warmup))
    return 10.0 + 2.0 * bound.n_params


def _seconds(likelihood: Likelihood | OneHotLikelihood, engine: Engine) -> float:
    bound = likelihood.bound
    if isinstance(likelihood, OneHotLikelihood) or bound.n_params > LIMIT:
        rows = sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts)
        return 100 * rows * bound.lattice.n_sites**2 * bound.space.q * 4 / 2e9
    if not isinstance(engine, NUTS):
        if isinstance(likelihood, ExactLikelihood) and not likelihood.tabulated:
            return _timed_gradient(likelihood) * _gradients(bound, engine)
        return _optimum_seconds(likelihood) + (_sweep_seconds(bound, engine) if isinstance(engine, Gibbs) else 0.0)
    return _COMPILING + _measured(likelihood, engine.chains) * _gradients(bound, engine)


def _optimum_seconds(likelihood: Likelihood) -> float:
    """Newton steps, a Hessian, scores of all rows and a few factorisations, from operation counts."""
    bound, p = likelihood.bound, likelihood.bound.n_params
    if isinstance(likelihood, ExactLikelihood):
        work = 10 * float(bound.space.q) ** bound.lattice.n_sites * p * p / 2
    else:
        rows = sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts)
        size = likelihood.counts.shape[1] if isinstance(likelihood, PatternLikelihood) else rows
        features = float(bound.lattice.degree.max(initial=0) + 1)
        work = size * bound.lattice.n_sites * (features**2 + 200 * features) + rows * p * min(p, 100)
    return work / 3e9 + p**3 / 1e9


def _sweep_seconds(bound: BoundCouplings, engine: Gibbs) -> float:
    return engine.chains * (engine.draws * engine.thin + engine.warmup) * bound.n_params * 4e-7


def _measured(likelihood: Likelihood, chains: int) -> float:
    from hamlearn.infer.engines.numpyro import seconds_per_gradient

    return seconds_per_gradient(likelihood, np.zeros((chains, likelihood.bound.n_params)))


def _timed_gradient(likelihood: ExactLikelihood) -> float:
    """Seconds of a gradient as Newton's method calls it: compiled once per family, not once more for the estimate."""
    zero = np.zeros(likelihood.bound.n_params)
    likelihood.value_and_gradient(zero)
    started = time.perf_counter()
    likelihood.value_and_gradient(zero)
    return time.perf_counter() - started
