"""Which couplings exist: Gibbs sampling of a spike-and-slab posterior on the adjusted normal surrogate.

The likelihood enters as N(θ̂ | θ, Q⁻¹) with Q = HJ⁻¹H, so that log Bayes factors are those of calibrated error bars
(an uncorrected pseudo-likelihood about doubles them). Every coupling is zero or drawn from the slab; inclusion
probability, slab width and a common magnitude are learned with them (George & McCulloch 1997 with a point mass;
half-Cauchy scales by the inverse-gamma mixture of Makalic & Schmidt 2016).

* `surrogate`: the normal likelihood;
* `search`: where to expand it and where the chains start;
* `threshold`: how strong a coupling has to be to be seen;
* `chain`: one chain; `collapsed`: its moves that integrate the strengths out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hamlearn.infer.calibrate import ScoreCovariance
from hamlearn.infer.engines.gibbs.search import run_chain, search, spacing
from hamlearn.infer.engines.gibbs.surrogate import Surrogate, surrogate
from hamlearn.infer.engines.gibbs.threshold import detectable
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.models import SpikeSlab
from hamlearn.progress import track

__all__ = ["SpikeSlabDraws", "Surrogate", "spike_slab", "surrogate"]


@dataclass(frozen=True)
class SpikeSlabDraws:
    """Draws of a sparse posterior.

    Attributes
    ----------
    theta : array (chain, draw, n_params)
    included : array (chain, draw, n_coupling_params)
        Which couplings exist.
    hyper : array (chain, draw, 3)
        Inclusion probability π, slab width s, slab magnitude μ (0: none).
    score : ScoreCovariance or None
    shrinkage : float
        Ledoit–Wolf intensity applied to J.
    rounds : int
        Times the surrogate was expanded in the search for the best graph.
    graphs : int
        Different graphs the search came across.
    evidence : array
        Log evidence, below the best one's, of the graph that each chain started from.
    detectable : array (n_coupling_params,)
        Strength at which a coupling that is absent would have been seen; NaN for those that exist.
    """

    theta: np.ndarray
    included: np.ndarray
    hyper: np.ndarray
    score: ScoreCovariance | None
    shrinkage: float
    rounds: int
    graphs: int
    evidence: np.ndarray
    detectable: np.ndarray


def spike_slab(
    likelihood: Likelihood,
    start: np.ndarray,
    prior: SpikeSlab,
    *,
    calibrated: bool,
    draws: int,
    chains: int,
    burn_in: int,
    seed: int,
    thin: int = 1,
) -> SpikeSlabDraws:
    """Draws from the spike-and-slab posterior; the surrogate is expanded around the graph of largest evidence.

    Expanding around the sparse estimate instead of the unpenalised one takes the noise of thousands of absent
    couplings out of H and J. Chains start at the graphs that a search found, as often as their evidence says.
    """
    found = search(likelihood, start, prior, calibrated=calibrated, seed=seed)
    every = spacing(likelihood.bound.n_coupling_params)
    settings = {"draws": draws, "burn_in": burn_in, "thin": thin, "every": every}
    begin, runs = found.starts(chains, seed), []
    with track(chains, "sampling which bonds exist") as bar:
        for chain, mode in enumerate(begin):
            runs.append(run_chain(likelihood, found.normal, prior, mode.theta, mode.hyper, seed=[seed, 0, chain], **settings))
            bar.advance()
    theta, included, hyper = (np.stack([run[part] for run in runs]) for part in range(3))
    evidence = np.array([found.evidence[found.modes.index(mode)] for mode in begin])
    normal = found.normal
    least = detectable(normal, included.mean((0, 1)), np.median(hyper, (0, 1)))
    return SpikeSlabDraws(theta, included, hyper, normal.score, normal.shrinkage, found.rounds, found.found, evidence, least)
