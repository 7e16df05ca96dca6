"""Which likelihood and engine `auto` takes, and what they will cost, counted. What is chosen takes about ten seconds' worth of operations.

Nothing is timed, so the same data get the same method on any machine and under any load. Seconds are those of one ordinary core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer import incomplete
from hamlearn.infer.constrained import require_able
from hamlearn.infer.costs import Cost, announced, gradients_alone, rows_of, work
from hamlearn.infer.large import LIMIT
from hamlearn.infer.likelihoods import ExactLikelihood, Likelihood, OneHotLikelihood, RowLikelihood, composite
from hamlearn.infer.observations import Observations
from hamlearn.infer.settings import MAP, NUTS, Engine, Gibbs, ImportanceSampling, LaplaceApproximation
from hamlearn.models import BoundCouplings, Horseshoe, Laplace, Normal, Prior, SpikeSlab
from hamlearn.progress import logger
from hamlearn.systems import exact

AFFORDABLE = 10.0  # seconds of counted work: a first answer comes soon, and says what more would buy
SECOND_ATTEMPT = 60.0  # the same of NUTS, where a posterior turns out not to be normal
NUTS_PARAMETERS = 500  # beyond this a normal approximation is the better use of time
IMPORTANCE_PARAMETERS = 1000  # beyond this so is it in place of its correction


@dataclass(frozen=True)
class Choice:
    """What will run, why, how long it should take, whether the engine was left to us, and which is taken where that one fails.

    `diagonal`: no Hessian is made; error bars neglect the correlations of parameters (:mod:`hamlearn.infer.large`). `start`: parameters
    close to the maximum, where they are known.
    """

    likelihood: Likelihood | OneHotLikelihood
    engine: Engine
    reasons: tuple[str, ...]
    cost: Cost
    automatic: bool
    otherwise: Engine | None = None
    diagonal: bool = False
    start: np.ndarray | None = None

    def announce(self) -> None:
        """Say so, before it starts."""
        told = "learning %d parameters: %s likelihood, engine %s, %s"
        logger.info(told, self.likelihood.bound.n_params, self.likelihood.name, self.engine.name, self.cost)


def check_priors(prior: Prior, engine: Engine | None) -> None:
    """Refuse priors an engine cannot treat, by name."""
    if engine is None or engine.flat:
        return
    if isinstance(prior, SpikeSlab) != engine.sparse:
        raise HamlearnError(
            f"engine {engine.name!r} does not go with prior {prior.name!r}: 'gibbs' samples spike-and-slab priors, and only those. Use "
            f"engine={'nuts' if engine.sparse else 'gibbs'!r}, or 'auto'."
        )
    if engine.bell and not isinstance(prior, Normal):
        reasons = {
            Horseshoe: "its mode depends on the parametrisation",
            Laplace: "its mode sits on kinks where a normal approximation means nothing",
        }
        reason = reasons.get(type(prior), "only NUTS asks nothing of a prior but its density")
        raise HamlearnError(f"engine {engine.name!r} does not go with prior {prior.name!r}: {reason}. Use engine='nuts', or 'auto'.")


def choose(bound: BoundCouplings, parts: Sequence[Observations], likelihood: str, engine: Engine | None, seed: int = 0) -> Choice:
    """Resolve "auto" for the likelihood and the engine; `seed` is that of what draws cells that are not known."""
    reasons: list[str] = []
    check_priors(bound.model.prior, engine)
    automatic = engine is None
    engine = engine or _engine(bound, reasons)
    require_able(likelihood, bound.stand_in, bound.space)
    if likelihood == "screening":
        likelihood = "rise"
    if any(part.unsure for part in parts):
        chosen: Likelihood | OneHotLikelihood = _incomplete(bound, parts, likelihood, engine, seed, reasons)
    elif likelihood == "exact" and not bound.space.continuous:  # of directions none is known, which `composite` says
        chosen = ExactLikelihood(bound, parts)
    elif likelihood == "auto":
        chosen = _auto_likelihood(bound, parts, engine, reasons)
    else:
        chosen = composite(bound, parts, likelihood)
    if automatic and isinstance(chosen, OneHotLikelihood) and not isinstance(engine, MAP):
        reasons.append(f"engine map with diagonal error bars: {bound.n_params} parameters on a dense graph, no Hessian")
        engine = MAP(draws=100)
    if (bound.n_params > LIMIT or isinstance(chosen, OneHotLikelihood)) and engine.name != "map":
        raise HamlearnError(f"{bound.n_params} parameters: only engine='map' (diagonal error bars) can treat so many; got {engine.name!r}.")
    otherwise = None
    if automatic and isinstance(engine, ImportanceSampling):
        seconds, nuts = work(chosen, engine), work(chosen, NUTS())
        otherwise = NUTS() if bound.n_params <= NUTS_PARAMETERS and nuts <= SECOND_ATTEMPT else LaplaceApproximation()
        if seconds > AFFORDABLE:
            limit = f"more than {AFFORDABLE:.0f} s; engine='importance' or 'nuts' buys skew and tails for them"
            reasons.append(f"engine laplace: importance sampling would take about {seconds:.0f} s of work, {limit}")
            engine, otherwise = LaplaceApproximation(), None
    scarce, dear = _hessian(chosen)
    if automatic and scarce and dear and engine.bell:
        limit = "engine='laplace' buys their correlations for minutes"
        reasons.append(f"engine map with diagonal error bars: fewer than two microstates for every parameter at a site; {limit}")
        engine, otherwise = MAP(draws=100), None
    diagonal = isinstance(engine, MAP) and (dear or isinstance(chosen, OneHotLikelihood))
    check_priors(bound.model.prior, engine)  # what was chosen here obeys what would be refused if it were asked for
    return Choice(chosen, engine, tuple(reasons), announced(chosen, engine, diagonal=diagonal), automatic, otherwise, diagonal)


def _hessian(likelihood: Likelihood | OneHotLikelihood) -> tuple[bool, bool]:
    """Whether rows are too few to tell what a Hessian of a dense graph of spins would say, and whether it costs more than it is worth.

    With fewer than two rows for every parameter at a site its correlations are mostly the prior's.
    """
    if not isinstance(likelihood, RowLikelihood):
        return False, False
    scarce = rows_of(likelihood.parts) < 2 * (int(likelihood.bound.lattice.degree.max(initial=0)) + 1)
    if likelihood.bound.n_params > LIMIT:
        return scarce, True
    seconds = announced(likelihood, LaplaceApproximation()).seconds
    return scarce, seconds > max(AFFORDABLE if scarce else SECOND_ATTEMPT, gradients_alone(likelihood))


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


def _incomplete(
    bound: BoundCouplings, parts: Sequence[Observations], likelihood: str, engine: Engine, seed: int, reasons: list[str]
) -> Likelihood:
    """The likelihood of data with missing or misread cells."""
    found = incomplete.marginal(bound, parts) if likelihood in ("auto", "exact") else None
    if likelihood == "exact" and found is None:
        raise HamlearnError(
            "the exact likelihood of data with missing or misread cells sums over all states and over what every row may have been, and "
            "they are too many here: leave likelihood='auto'."
        )
    if found is not None and (likelihood == "exact" or (seconds := work(found, LaplaceApproximation())) <= AFFORDABLE):
        told = f": about {seconds:.0f} s of work, affordable" if likelihood == "auto" else ""
        reasons.append(f"likelihood exact, summed over what every row may have been{told}")
        return found
    return incomplete.stand_in(bound, parts, "pseudo" if likelihood == "auto" else likelihood, seed, reasons, AFFORDABLE, flat=engine.flat)


def _auto_likelihood(
    bound: BoundCouplings, parts: Sequence[Observations], engine: Engine, reasons: list[str]
) -> Likelihood | OneHotLikelihood:
    method, stand_in = exact.method(bound.system(np.zeros(bound.n_params))), bound.stand_in
    if method in ("enumeration", "transfer"):
        candidate = ExactLikelihood(bound, parts)
        seconds = work(candidate, engine)
        if engine.name == "gibbs" and not candidate.tabulated:
            reasons.append(f"likelihood {stand_in}: gibbs with the exact one needs a table of all states, and they are too many")
        elif seconds > AFFORDABLE:
            limit = f"more than {AFFORDABLE:.0f} s; likelihood='exact' buys narrower error bars for them"
            reasons.append(f"likelihood {stand_in}: exact ({method}) would take about {seconds:.0f} s of work, {limit}")
        else:
            reasons.append(f"likelihood exact ({method}): about {seconds:.0f} s of work, affordable")
            return candidate
    else:
        reasons.append(f"likelihood {stand_in}: no exact oracle for this graph")
    return composite(bound, parts, stand_in)
