"""Which likelihood and engine `auto` takes, and what they will cost, counted. What is chosen takes about ten seconds' worth of operations.

Nothing is timed, so the same data get the same method on any machine and under any load. Seconds are those of one ordinary core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.checking import check_seconds_of
from hamlearn.infer.large import LIMIT
from hamlearn.infer.likelihoods import Counted, ExactLikelihood, OneHotLikelihood, PatternLikelihood, composite
from hamlearn.infer.observations import Observations
from hamlearn.infer.settings import MAP, NUTS, Engine, Gibbs, ImportanceSampling, LaplaceApproximation
from hamlearn.models import BoundCouplings, Horseshoe, Laplace, Normal, Prior, SpikeSlab
from hamlearn.systems import exact
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

AFFORDABLE = 10.0  # seconds of OPERATIONS_PER_SECOND: a first answer comes soon, and says what more would buy
SECOND_ATTEMPT = 60.0  # the same of NUTS, where a posterior turns out not to be normal
NUTS_PARAMETERS = 500  # beyond this a normal approximation is the better use of time
IMPORTANCE_PARAMETERS = 1000  # beyond this so is it in place of its correction
_STEPS = 16  # leapfrog steps a preconditioned NUTS draw takes, about
_COMPILING = 8.0  # seconds
_VALUE_COMPILING = 1.0  # seconds
_OVERHEAD, _GRADIENT_COMPILING, _TABLE_COMPILING, _TRANSFER_COMPILING = 0.25, 5.0, 4.0, 20.0  # seconds
_ROW_SUM = 8e-8  # seconds of one statistic of one row: its sum, and its scores for the calibration
_EAGER = 6.0  # times the cost of a gradient inside NUTS, where one compiled loop holds all of them


@dataclass(frozen=True)
class Choice:
    """What will run, why, how long it should take, whether the engine was left to us, and which is taken where that one fails.

    `check_seconds` are those of the comparison with held-out data that :func:`hamlearn.learn` makes after it; 0 where nobody counted.
    """

    likelihood: Counted | OneHotLikelihood
    engine: Engine
    reasons: tuple[str, ...]
    seconds: float
    automatic: bool
    otherwise: Engine | None = None
    check_seconds: float = 0.0


def check_priors(prior: Prior, engine: Engine | None) -> None:
    """Refuse priors an engine cannot treat, by name."""
    if engine is None or engine.flat:
        return
    if isinstance(prior, SpikeSlab) != engine.sparse:
        raise HamlearnError(
            f"engine {engine.name!r} does not go with prior {prior.name!r}: 'gibbs' samples spike-and-slab priors, and only those."
        )
    if engine.bell and not isinstance(prior, Normal):
        reasons = {
            Horseshoe: "its mode depends on the parametrisation",
            Laplace: "its mode sits on kinks where a normal approximation means nothing",
        }
        reason = reasons.get(type(prior), "only NUTS asks nothing of a prior but its density")
        raise HamlearnError(f"engine {engine.name!r} does not go with prior {prior.name!r}: {reason}. Use engine='nuts'.")


def choose(bound: BoundCouplings, parts: Sequence[Observations], likelihood: str, engine: Engine | None) -> Choice:
    """Resolve "auto" for the likelihood and the engine."""
    reasons: list[str] = []
    check_priors(bound.model.prior, engine)
    automatic = engine is None
    engine = engine or _engine(bound, reasons)
    if likelihood == "screening":
        likelihood = "rise"
    if likelihood == "exact":
        chosen: Counted | OneHotLikelihood = ExactLikelihood(bound, parts)
        seconds = _seconds(chosen, engine)
    elif likelihood == "auto":
        chosen, seconds = _auto_likelihood(bound, parts, engine, reasons)
    else:
        chosen = composite(bound, parts, likelihood)
        seconds = _seconds(chosen, engine)
    if automatic and isinstance(chosen, OneHotLikelihood) and not isinstance(engine, MAP):
        reasons.append(f"engine map with diagonal error bars: {bound.n_params} parameters on a dense graph, no Hessian")
        engine = MAP(draws=100)
        seconds = _seconds(chosen, engine)
    if (bound.n_params > LIMIT or isinstance(chosen, OneHotLikelihood)) and engine.name != "map":
        raise HamlearnError(f"{bound.n_params} parameters: only engine='map' (diagonal error bars) can treat so many; got {engine.name!r}.")
    otherwise = None
    if automatic and isinstance(engine, ImportanceSampling):
        nuts = _seconds(chosen, NUTS())
        otherwise = NUTS() if bound.n_params <= NUTS_PARAMETERS and nuts <= SECOND_ATTEMPT else LaplaceApproximation()
        if seconds > AFFORDABLE:
            limit = f"more than {AFFORDABLE:.0f} s; engine='importance' or 'nuts' buys skew and tails for them"
            reasons.append(f"engine laplace: importance sampling would take about {seconds:.0f} s of work, {limit}")
            engine, otherwise = LaplaceApproximation(), None
            seconds = _seconds(chosen, engine)
    check_priors(bound.model.prior, engine)  # what was chosen here obeys what would be refused if it were asked for
    checking = check_seconds_of(bound, parts) + _refit_seconds(chosen)
    return Choice(chosen, engine, tuple(reasons), seconds + _besides(chosen, engine), automatic, otherwise, checking)


def _engine(bound: BoundCouplings, reasons: list[str]) -> Engine:
    prior, p = bound.model.prior, bound.n_params
    if isinstance(prior, SpikeSlab):
        reasons.append("engine gibbs: the prior is spike-and-slab")
        return Gibbs()
    if not isinstance(prior, Normal):
        if p > NUTS_PARAMETERS:
            raise HamlearnError(
                f"{p} parameters are too many for NUTS with a {prior.name} prior; use 'spike_slab', or insist: engine=hl.infer.NUTS()."
            )
        reasons.append(f"engine nuts: the {prior.name} posterior is not normal")
        return NUTS()
    if p > LIMIT:
        reasons.append(f"engine map with diagonal error bars: {p} parameters, more than {LIMIT}")
        return MAP(draws=100)
    if p > IMPORTANCE_PARAMETERS:
        limit = f"more than {IMPORTANCE_PARAMETERS}; engine='importance' or 'nuts' buys skew and tails for more time"
        reasons.append(f"engine laplace: {p} parameters, {limit}")
        return LaplaceApproximation()
    reasons.append(f"engine importance: {p} parameters with normal priors, whose posterior is almost normal where data are many")
    return ImportanceSampling()


def _auto_likelihood(
    bound: BoundCouplings, parts: Sequence[Observations], engine: Engine, reasons: list[str]
) -> tuple[Counted | OneHotLikelihood, float]:
    method = exact.method(bound.system(np.zeros(bound.n_params)))
    if method in ("enumeration", "transfer"):
        candidate = ExactLikelihood(bound, parts)
        seconds = _seconds(candidate, engine)
        if engine.name == "gibbs" and not candidate.tabulated:
            reasons.append("likelihood pseudo: gibbs with the exact one needs a table of all states, and they are too many")
        elif seconds > AFFORDABLE:
            limit = f"more than {AFFORDABLE:.0f} s; likelihood='exact' buys narrower error bars for them"
            reasons.append(f"likelihood pseudo: exact ({method}) would take about {seconds:.0f} s of work, {limit}")
        else:
            reasons.append(f"likelihood exact ({method}): about {seconds:.0f} s of work, affordable")
            return candidate, seconds
    else:
        reasons.append("likelihood pseudo: no exact oracle for this graph")
    chosen = composite(bound, parts, "pseudo")
    return chosen, _seconds(chosen, engine)


def _besides(likelihood: Counted | OneHotLikelihood, engine: Engine) -> float:
    """What is compiled beyond NUTS and done besides the counted work (benchmarks/couplings/estimates.py); it decides nothing."""
    if not isinstance(likelihood, ExactLikelihood):
        return _OVERHEAD
    sums = _ROW_SUM * likelihood.bound.n_params * sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts)
    if not isinstance(engine, NUTS):
        return sums + (_OVERHEAD if likelihood.tabulated else _GRADIENT_COMPILING)
    return sums + (_TABLE_COMPILING if likelihood.tabulated else _TRANSFER_COMPILING)


def _gradients(bound: BoundCouplings, engine: Engine) -> float:
    """Gradients an engine takes, of all its chains at once (a Hessian counts as two per parameter), about."""
    if isinstance(engine, NUTS):
        return float(_STEPS * (engine.draws + engine.warmup))
    if isinstance(engine, ImportanceSampling):  # values alone, each less than half of a gradient, and a few gradients
        return 0.4 * engine.thin * engine.draws + 256 / engine.chains
    return 10.0 + 2.0 * bound.n_params


def _seconds(likelihood: Counted | OneHotLikelihood, engine: Engine) -> float:
    bound = likelihood.bound
    if isinstance(likelihood, OneHotLikelihood) or bound.n_params > LIMIT:
        rows = sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts)
        return 100.0 * rows * bound.lattice.n_sites**2 * bound.space.q * 4 / 2e9
    if isinstance(engine, ImportanceSampling):
        sampling = engine.chains * likelihood.operations * _gradients(bound, engine) / OPERATIONS_PER_SECOND
        return _seconds(likelihood, LaplaceApproximation()) + _VALUE_COMPILING + sampling
    if isinstance(engine, NUTS):
        return _COMPILING + engine.chains * likelihood.operations * _gradients(bound, engine) / OPERATIONS_PER_SECOND
    if isinstance(likelihood, ExactLikelihood) and not likelihood.tabulated:
        return _EAGER * likelihood.operations * _gradients(bound, engine) / OPERATIONS_PER_SECOND
    return _optimum_seconds(likelihood) + (_sweep_seconds(bound, engine) if isinstance(engine, Gibbs) else 0.0)


def _optimum_seconds(likelihood: Counted) -> float:
    """Newton steps, a Hessian, scores of all rows and a few factorisations, from operation counts."""
    bound, p = likelihood.bound, likelihood.bound.n_params
    if isinstance(likelihood, ExactLikelihood):
        work = 5.0 * bound.space.q**bound.lattice.n_sites * p * p
    else:
        rows = sum(part.states.shape[0] * part.states.shape[1] for part in likelihood.parts)
        size = likelihood.counts.shape[1] if isinstance(likelihood, PatternLikelihood) else rows
        features = float(bound.lattice.degree.max(initial=0) + 1)
        work = size * bound.lattice.n_sites * (features**2 + 200 * features) + rows * p * min(p, 100)
    return float(work / 3e9 + p**3 / 1e9)


def _refit_seconds(likelihood: Counted | OneHotLikelihood) -> float:
    """Of the fit to half of the data that a check makes; it lists all states or looks at sites one by one, and takes no transfer matrix."""
    if isinstance(likelihood, OneHotLikelihood) or (isinstance(likelihood, ExactLikelihood) and not likelihood.tabulated):
        return 0.0
    return _optimum_seconds(likelihood) if likelihood.bound.n_params <= LIMIT else 0.0


def _sweep_seconds(bound: BoundCouplings, engine: Gibbs) -> float:
    return engine.chains * (engine.draws * engine.thin + engine.warmup) * bound.n_params * 4e-7
