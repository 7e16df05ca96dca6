"""Which likelihood and engine `auto` takes, and what they will cost: measured, never above two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import ExactLikelihood, Likelihood, composite
from hamlearn.infer.records import Part
from hamlearn.infer.settings import NUTS, Engine, Gibbs, LaplaceApproximation
from hamlearn.models import BoundCouplings, Horseshoe, Laplace, Normal, SpikeSlab
from hamlearn.systems import exact

AFFORDABLE = 120.0  # seconds
NUTS_PARAMETERS = 500  # beyond this the normal approximation is the better use of time
_STEPS = 8  # leapfrog steps a preconditioned NUTS draw takes, about


@dataclass(frozen=True)
class Choice:
    """What will run, why, and how long it should take."""

    likelihood: Likelihood
    engine: Engine
    reasons: tuple[str, ...]
    seconds: float


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
    engine = engine or _engine(bound, reasons)
    if likelihood == "screening":
        likelihood = "rise"
    if likelihood == "exact":
        chosen: Likelihood = ExactLikelihood(bound, parts)
        seconds = _seconds(chosen, engine)
    elif likelihood == "auto":
        chosen, seconds = _auto_likelihood(bound, parts, engine, reasons)
    else:
        chosen = composite(bound, parts, likelihood)
        seconds = _seconds(chosen, engine)
    return Choice(chosen, engine, tuple(reasons), seconds)


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
    if p > NUTS_PARAMETERS:
        reasons.append(f"engine laplace: {p} parameters, more than {NUTS_PARAMETERS}")
        return LaplaceApproximation()
    reasons.append(f"engine nuts: {p} parameters")
    return NUTS()


def _auto_likelihood(bound: BoundCouplings, parts: Sequence[Part], engine: Engine, reasons: list[str]) -> tuple[Likelihood, float]:
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
    return gradient * _gradients(bound, engine)


def _gradients(bound: BoundCouplings, engine: Engine) -> float:
    """Gradient evaluations an engine takes, about (a Hessian counts as one per parameter and as two)."""
    if isinstance(engine, NUTS):
        return _STEPS * engine.chains * (engine.draws + engine.warmup)
    return 10.0 + 2.0 * bound.n_params


def _seconds(likelihood: Likelihood, engine: Engine) -> float:
    bound = likelihood.bound
    if not isinstance(engine, NUTS):
        if isinstance(likelihood, ExactLikelihood) and not likelihood.tabulated:
            return _measured(likelihood) * _gradients(bound, engine)
        states = float(bound.space.q) ** bound.lattice.n_sites if isinstance(likelihood, ExactLikelihood) else _observations(likelihood)
        sweeps = engine.chains * (engine.draws + engine.warmup) * bound.n_params * 2e-7 if isinstance(engine, Gibbs) else 0.0
        return states * bound.n_params * min(bound.n_params, 2000) / 5e9 + bound.n_params**3 / 1e10 + sweeps
    return _measured(likelihood) * _gradients(bound, engine)


def _observations(likelihood: Likelihood) -> float:
    return float(sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts))


def _measured(likelihood: Likelihood) -> float:
    from hamlearn.infer.engines.numpyro import seconds_per_gradient

    return seconds_per_gradient(likelihood, np.zeros(likelihood.bound.n_params))
