"""What learning costs, counted from sizes: CPU seconds of one ordinary core, said before it starts.

Nothing is timed, so the same data get the same numbers on any machine and under any load. :func:`work` is what
:mod:`hamlearn.infer.choose` decides by; :func:`announced` adds what is the same whatever is chosen, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hamlearn.infer.large import LIMIT
from hamlearn.infer.likelihoods import ExactLikelihood, ExchangeLikelihood, Likelihood, OneHotLikelihood, PatternLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.settings import NUTS, Engine, Gibbs, ImportanceSampling, LaplaceApproximation
from hamlearn.models import BoundCouplings
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

# Seconds, and the problem of benchmarks/couplings/estimates.py that each was measured on. Compilations are counted in full, whether or
# not a cache holds them: no count of sizes knows. Those of numba lie with the package once for all, and are not counted.
_OVERHEAD = 0.25  # of what is neither compiled nor counted: "16 spins, all pairs"
_NUTS_COMPILING = 8.0  # "9 spins, horseshoe"
_VALUE_COMPILING = 1.0  # of values without gradients: "8x8 glass"
_EXACT_COMPILING = {  # beside the above, (inside NUTS, from a table of all states): "9 spins, horseshoe", "4x4 glass"
    (True, True): 4.0,
    (True, False): 20.0,
    (False, True): 0.0,
    (False, False): 8.0,
}
_TRACED = 0.25  # of a compilation: what comes before it, which no cache spares: "4x4 glass, few rows"
_ROW_SUM = 8e-8  # of one statistic of one row, its sum and its scores for the calibration: "4x4 glass, many rows"
_SITE_OF_ROW = 1.2e-6  # of a site of a row where conditionals are compressed to patterns: "16x16, tied"
_PAIR_OF_ROW = 2e-7  # of an exchange of two sites of a row: "8x8, fixed magnetization"
_NORMAL = 2.5e-7  # of the square of how many parameters there are: draws: "50 spins, all pairs"
_GIBBS = 3.0  # times what the choice counts of sweeps: "12 spins, spike and slab"
GIBBS_COMPILING = 15.0  # of the loops of Gibbs sampling, by numba: "9 spins, horseshoe" in a new environment, whose check samples so
_SWEPT = 4e-7  # of one parameter in a sweep of Gibbs sampling: "12 spins, spike and slab"

_STEPS = 16  # leapfrog steps a preconditioned NUTS draw takes, about
_EAGER = 6.0  # times the cost of a gradient inside NUTS, where one compiled loop holds all of them


@dataclass(frozen=True)
class Cost:
    """CPU seconds, how many of them a cache of compiled code may spare, and what is compiled once for all on a machine, beside them.

    Examples
    --------
    >>> print(Cost(6.0, 4.5))
    about 1.5 s, and up to 4.5 s to compile what no cache holds yet
    >>> print(Cost(6.0))
    about 6 s
    >>> print(Cost(6.0, once=15.0))
    about 6 s, and up to 15 s to compile what no cache holds yet
    """

    seconds: float
    compiling: float = 0.0
    once: float = 0.0

    def __str__(self) -> str:
        compiling = self.compiling + self.once
        cached = f", and up to {compiling:.2g} s to compile what no cache holds yet" if compiling > 0 else ""
        return f"about {self.seconds - self.compiling:.2g} s{cached}"


def compiled(counted: float, compiling: float) -> Cost:
    """Of work and what is compiled for it: a part of this comes before any cache is asked.

    Examples
    --------
    >>> print(compiled(1.0, 8.0))
    about 3 s, and up to 6 s to compile what no cache holds yet
    """
    return Cost(counted + compiling, (1 - _TRACED) * compiling)


def rows_of(parts: Sequence[Observations]) -> int:
    """Rows of all data sets."""
    return sum(part.states.shape[0] * part.states.shape[1] for part in parts)


def announced(likelihood: Likelihood | OneHotLikelihood, engine: Engine, *, diagonal: bool = False) -> Cost:
    """Of learning, with all that is the same whatever is chosen; `diagonal` as of :class:`hamlearn.infer.choose.Choice`."""
    sampled = isinstance(engine, NUTS)
    compiling = _NUTS_COMPILING if sampled else _VALUE_COMPILING if isinstance(engine, ImportanceSampling) else 0.0
    counted = (gradients_alone(likelihood) if diagonal else work(likelihood, engine)) - compiling + _OVERHEAD
    if likelihood.bound.n_params <= LIMIT and not diagonal:
        counted += _NORMAL * likelihood.bound.n_params**2
    if isinstance(engine, Gibbs):
        counted += (_GIBBS - 1) * sweeps(likelihood.bound.n_params, engine)
    if isinstance(likelihood, ExactLikelihood):
        counted += _ROW_SUM * likelihood.bound.n_params * rows_of(likelihood.parts)
        compiling += _EXACT_COMPILING[sampled, likelihood.tabulated]
    elif isinstance(likelihood, ExchangeLikelihood):
        counted += _PAIR_OF_ROW * rows_of(likelihood.parts) * len(likelihood.pairs)
    else:
        counted += _SITE_OF_ROW * rows_of(likelihood.parts) * likelihood.bound.lattice.n_sites
    return compiled(counted, compiling)


def work(likelihood: Likelihood | OneHotLikelihood, engine: Engine) -> float:
    """Seconds of what an engine does with a likelihood."""
    bound = likelihood.bound
    if isinstance(likelihood, OneHotLikelihood) or bound.n_params > LIMIT:
        return gradients_alone(likelihood)
    gradients = likelihood.operations * _gradients(bound, engine) / OPERATIONS_PER_SECOND  # of one chain
    if isinstance(engine, ImportanceSampling):
        return work(likelihood, LaplaceApproximation()) + _VALUE_COMPILING + engine.chains * gradients
    if isinstance(engine, NUTS):
        return _NUTS_COMPILING + engine.chains * gradients
    if isinstance(likelihood, ExactLikelihood) and not likelihood.tabulated:
        return _EAGER * gradients
    return _optimum(likelihood) + (sweeps(bound.n_params, engine) if isinstance(engine, Gibbs) else 0.0)


def gradients_alone(likelihood: Likelihood | OneHotLikelihood) -> float:
    """Seconds of a search without a Hessian, on a dense graph."""
    bound = likelihood.bound
    return 100.0 * rows_of(likelihood.parts) * bound.lattice.n_sites**2 * bound.space.q * 4 / 2e9


def _gradients(bound: BoundCouplings, engine: Engine) -> float:
    """Gradients an engine takes, of all its chains at once (a Hessian counts as two per parameter), about."""
    if isinstance(engine, NUTS):
        return float(_STEPS * (engine.draws + engine.warmup))
    if isinstance(engine, ImportanceSampling):  # values alone, each less than half of a gradient, and a few gradients
        return 0.4 * engine.thin * engine.draws + 256 / engine.chains
    return 10.0 + 2.0 * bound.n_params


def _optimum(likelihood: Likelihood) -> float:
    """Of a likelihood that lists all states or sites."""
    bound, rows = likelihood.bound, rows_of(likelihood.parts)
    sites, size = likelihood.counts.shape if isinstance(likelihood, PatternLikelihood) else (bound.lattice.n_sites, rows)
    neighbours = int(bound.lattice.degree.max(initial=0))
    listed = isinstance(likelihood, ExactLikelihood)
    return optimum(sites, neighbours, bound.n_params, rows, size, listed=bound.n_states if listed else 0.0)


def optimum(sites: int, neighbours: int, parameters: int, rows: int, size: int, *, listed: float = 0.0) -> float:
    """Seconds of Newton steps, a Hessian, scores of all rows and a few factorisations.

    Parameters
    ----------
    sites, neighbours : int
        Of the lattice: sites, and most neighbours of one.
    parameters : int
        Of the family.
    rows : int
        Microstates.
    size : int
        What conditionals of a site are summed over: rows, or distinct patterns of its neighbours.
    listed : float
        How many states are listed, where that takes the place of looking at sites one by one.

    Examples
    --------
    >>> round(optimum(256, 4, 1, 4000, 32), 3)
    0.003
    """
    features, factorisations = neighbours + 1.0, parameters**3 / 2e9
    if listed:
        return 5.0 * listed * parameters**2 / 3e9 + factorisations
    if size < rows:
        counted = size * sites * (features**2 + 200 * features) + rows * parameters * min(parameters, 100)
        return counted / 3e9 + factorisations
    # Of rows: gradients and products with the Hessian, two Hessians, scores, and their covariance.
    climbed = size * sites * (1e-6 + 1e-8 * features + 8e-11 * features**2)
    return climbed + rows * parameters * (4e-8 + 2.5e-11 * min(parameters, 5000)) + factorisations


def sweeps(parameters: int, engine: Gibbs) -> float:
    """Seconds of Gibbs sampling of so many parameters."""
    return engine.chains * (engine.draws * engine.thin + engine.warmup) * parameters * _SWEPT
