"""Which couplings exist: Gibbs sampling of a spike-and-slab posterior on the adjusted normal surrogate.

The likelihood enters as N(θ̂ | θ, Q⁻¹) with Q = HJ⁻¹H, so that log Bayes factors are those of calibrated error bars
(an uncorrected pseudo-likelihood about doubles them). Every coupling is zero or drawn from the slab; inclusion
probability, slab width and a common magnitude are learned with them (George & McCulloch 1997 with a point mass;
half-Cauchy scales by the inverse-gamma mixture of Makalic & Schmidt 2016).

* `surrogate`: the normal likelihood;
* `search`: where to expand it and where the chains start;
* `threshold`: how strong a coupling has to be to be seen;
* `runs`: chains in chunks, and their checkpoint; `chain`: sweeps of one; `collapsed`: its moves that integrate the strengths out.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np

from hamlearn.infer.engines.gibbs.runs import Plan, opened, sample
from hamlearn.infer.engines.gibbs.search import search, spacing
from hamlearn.infer.engines.gibbs.surrogate import Surrogate, require_contributions, surrogate
from hamlearn.infer.engines.gibbs.threshold import detectable
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.provenance import Basis
from hamlearn.infer.scatter import ScoreCovariance
from hamlearn.models import SpikeSlab
from hamlearn.progress import track

__all__ = ["SpikeSlabDraws", "Surrogate", "require_contributions", "spike_slab", "surrogate"]


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
    basis : Basis
        What the width of the surrogate rests on.
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
    basis: Basis
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
    checkpoint: str | PathLike[str] | None = None,
) -> SpikeSlabDraws:
    """Draws from the spike-and-slab posterior; the surrogate is expanded around the graph of largest evidence.

    Expanding around the sparse estimate instead of the unpenalised one takes the noise of thousands of absent
    couplings out of H and J. Chains start at the graphs that a search found, as often as their evidence says.

    `checkpoint` is a file that the chains save themselves to; a run that continues from it repeats the search, which is found again.
    """
    found = search(likelihood, start, prior, calibrated=calibrated, seed=seed)
    modes = found.starts(chains, seed)
    begin = [(mode.theta, mode.hyper) for mode in modes]
    plan = Plan(draws, burn_in, thin, spacing(likelihood.bound.n_coupling_params))
    file = None if checkpoint is None else opened(checkpoint, found.normal, prior, likelihood, begin, plan, seed)
    seeds = [[seed, 0, chain] for chain in range(chains)]
    with track(chains, "sampling which bonds exist") as bar:
        runs = sample(likelihood, found.normal, prior, begin, plan, seeds, checkpoint=file, finished=bar.advance)
    theta, included, hyper = (np.stack(part) for part in zip(*[(run.theta, run.included, run.hyper) for run in runs], strict=True))
    evidence = np.array([found.evidence[found.modes.index(mode)] for mode in modes])
    normal = found.normal
    least = detectable(normal, included.mean((0, 1)), np.median(hyper, (0, 1)))
    return SpikeSlabDraws(theta, included, hyper, normal.score, normal.basis, found.rounds, found.found, evidence, least)
