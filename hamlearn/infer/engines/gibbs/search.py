"""Where the chains of a sparse posterior start: graphs found by short chains, compared by their evidence.

A sparse posterior of nearly frozen data has many modes, and the normal surrogate is right only near the point it was
expanded around. So: expand, run short chains from different places, refit the couplings of every graph found under the
likelihood itself, expand again around the graph with the largest Laplace evidence, until that graph stays the best one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.special

from hamlearn.infer.engines.gibbs.runs import Plan, sample
from hamlearn.infer.engines.gibbs.surrogate import Surrogate, surrogate
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.newton import uphill
from hamlearn.models import SpikeSlab
from hamlearn.progress import track
from hamlearn.statistics import descending

MAX_ROUNDS = 10
_PATIENCE = 2  # rounds without a better graph, each of twice as many sweeps, unless all chains agree at once
_AGREE = 3.0  # nats: chains whose graphs are this close have found the same or equally good ones
_CHAINS, _SWEEPS = 4, 100
_STEPS, _SHORTEST = 15, 1e-3  # of a refit, and the share of a step below which it ends
_CLOSE = 12.0  # nats: graphs further from the best one than e⁻¹² get no chain


@dataclass(frozen=True, eq=False)
class Mode:
    """A graph (the couplings that are not zero) with its strengths refitted under the likelihood.

    Attributes
    ----------
    theta : array (n_params,)
    value : float
        Log likelihood there.
    hyper : array (3,)
        π, s, μ as of :class:`~hamlearn.infer.engines.gibbs.SpikeSlabDraws`.
    """

    theta: np.ndarray
    value: float
    hyper: np.ndarray


@dataclass(frozen=True, eq=False)
class Search:
    """The surrogate around the best graph, the graphs within reach of it with their log evidence below it, and rounds taken."""

    normal: Surrogate
    modes: list[Mode]
    evidence: np.ndarray
    rounds: int
    found: int

    def starts(self, chains: int, seed: int) -> list[Mode]:
        """A mode for every chain, as often as its evidence says (systematic resampling)."""
        weight = np.exp(self.evidence - self.evidence.max())
        edges = np.cumsum(weight) / weight.sum()
        places = (np.random.default_rng(seed).uniform() + np.arange(chains)) / chains
        return [self.modes[min(int(k), len(self.modes) - 1)] for k in np.searchsorted(edges, places)]


def spacing(n_couplings: int) -> int:
    """Sweeps per collapsed one, so that neither kind dominates the cost."""
    return 5 * max(1, n_couplings // 100)


def search(likelihood: Likelihood, start: np.ndarray, prior: SpikeSlab, *, calibrated: bool, seed: int) -> Search:
    """The surrogate and the modes to sample from; `start` is the first point to expand around."""
    n = likelihood.bound.n_coupling_params
    empty = start.copy()
    empty[:n] = 0.0
    wide = np.array([0.5 if prior.inclusion is None else prior.inclusion, prior.slab, 0.0])
    modes: dict[bytes, Mode] = {}
    best: Mode | None = None
    waited, rounds, sweeps = 0, 0, _SWEEPS
    normal = surrogate(likelihood, start, calibrated=calibrated)

    def evidence(mode: Mode) -> float:
        return log_evidence(mode, likelihood, normal, prior)

    with track(MAX_ROUNDS, "searching for the graph") as bar:
        while rounds < MAX_ROUNDS and waited < _PATIENCE:
            worst = np.inf
            for chain in range(_CHAINS):
                theta = (start, empty)[chain % 2] if best is None or chain else best.theta
                plan = Plan(draws=sweeps, burn_in=sweeps, thin=1, every=max(1, spacing(n) // 5))
                found = sample(likelihood, normal, prior, [(theta, wide)], plan, [[seed, 1, rounds, chain]])[0]
                fitted = refit(likelihood, normal, prior, _median_graph(found.theta, found.included), found.hyper[-1])
                key = (fitted.theta[:n] != 0).tobytes()
                if key not in modes or evidence(fitted) > evidence(modes[key]):
                    modes[key] = fitted
                worst = min(worst, evidence(fitted))
            rounds += 1
            bar.advance()
            leader = max(modes.values(), key=evidence)
            if best is None or evidence(leader) > evidence(best) + 0.1:
                best, waited = leader, 0
                normal = surrogate(likelihood, best.theta, calibrated=calibrated)
            elif worst > evidence(best) - _AGREE:
                break
            else:
                waited, sweeps = waited + 1, 2 * sweeps
    return _finalists(likelihood, normal, prior, list(modes.values()), rounds)


def _median_graph(theta: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Mean strengths, zero where a coupling is absent more often than not."""
    mean = theta.mean(0)
    mean[: included.shape[1]][included.mean(0) <= 0.5] = 0.0
    return np.asarray(mean)


def _finalists(likelihood: Likelihood, normal: Surrogate, prior: SpikeSlab, modes: list[Mode], rounds: int) -> Search:
    rough = np.array([log_evidence(mode, likelihood, normal, prior) for mode in modes])
    order = [int(k) for k in descending(rough) if rough[k] > rough.max() - _CLOSE][:8]
    chosen = [modes[k] for k in order]
    if len(chosen) == 1:
        return Search(normal, chosen, np.zeros(1), rounds, len(modes))
    # Close ones are compared with the curvature at their own mode.
    fine = np.array([log_evidence(mode, likelihood, normal, prior, normal.weight * likelihood.information(mode.theta)) for mode in chosen])
    return Search(normal, chosen, fine - fine.max(), rounds, len(modes))


def _slab(likelihood: Likelihood, prior: SpikeSlab, theta: np.ndarray, hyper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters that are in, and mean and precision of their normal prior."""
    n = likelihood.bound.n_coupling_params
    members = np.concatenate([np.flatnonzero(theta[:n]), np.arange(n, len(theta))])
    coupling = members < n
    middle = np.where(coupling, np.sign(theta[members]) * hyper[2], 0.0)
    return members, middle, np.where(coupling, hyper[1] ** -2.0, likelihood.bound.model.field_prior.scale**-2.0)


@dataclass(eq=False)
class _Graph:
    """The likelihood of one graph's strengths, whose signs stay, times the slab; `raw` is the likelihood alone where last asked."""

    likelihood: Likelihood
    weight: float
    full: np.ndarray
    members: np.ndarray
    middle: np.ndarray
    penalty: np.ndarray
    raw: tuple[float, np.ndarray]

    def value_and_gradient(self, strengths: np.ndarray) -> tuple[float, np.ndarray]:
        n, theta = self.likelihood.bound.n_coupling_params, self.full.copy()
        theta[self.members] = strengths
        if np.any(np.sign(theta[:n]) != np.sign(self.full[:n])):
            return -np.inf, np.zeros(len(strengths))
        value, slope = self.likelihood.value_and_gradient(theta)
        self.raw = value, slope[self.members]
        return self.penalised(strengths)

    def penalised(self, strengths: np.ndarray) -> tuple[float, np.ndarray]:
        deviation, (value, slope) = strengths - self.middle, self.raw
        return self.weight * value - 0.5 * float(self.penalty @ deviation**2), self.weight * slope - self.penalty * deviation


def refit(likelihood: Likelihood, normal: Surrogate, prior: SpikeSlab, theta: np.ndarray, hyper: np.ndarray) -> Mode:
    """Mode of the strengths of one graph under the likelihood itself, with s and μ fitted along (EM).

    Newton steps with the surrogate's curvature: they cost a gradient each. The prior moves after every step, so these are steps of the
    one method (:func:`hamlearn.infer.newton.uphill`), not a run of it.
    """
    n = likelihood.bound.n_coupling_params
    theta, hyper = theta.copy(), np.array([hyper[0], max(hyper[1], 1e-3 * prior.slab), hyper[2]])
    value, slope = likelihood.value_and_gradient(theta)
    members = _slab(likelihood, prior, theta, hyper)[0]
    couplings, strengths = members < n, theta[members]
    graph = _Graph(likelihood, normal.weight, theta.copy(), members, strengths, strengths, (value, slope[members]))
    for _ in range(_STEPS if len(members) else 0):
        _, graph.middle, graph.penalty = _slab(likelihood, prior, theta, hyper)
        covariance = np.linalg.inv(normal.precision[np.ix_(members, members)] + np.diag(graph.penalty))
        here, gradient = graph.penalised(strengths)
        step = covariance @ gradient
        decrement, raw = float(gradient @ step), graph.raw
        moved = uphill(graph.value_and_gradient, strengths, here, step, decrement, _SHORTEST)
        if moved is None:
            graph.raw = raw
        else:
            strengths = theta[members] = moved[0]
        size, variance = np.abs(strengths[couplings]), np.diag(covariance)[couplings]
        if len(size):
            if hyper[2] > 0:
                hyper[2] = size.mean()
            hyper[1] = max(np.sqrt(np.mean((size - hyper[2]) ** 2 + variance)), 1e-3 * prior.slab)
        if decrement < 0.01 or moved is None:
            break
    return Mode(theta, graph.raw[0], hyper)


def log_evidence(mode: Mode, likelihood: Likelihood, normal: Surrogate, prior: SpikeSlab, curvature: np.ndarray | None = None) -> float:
    """Laplace's approximation to the log of likelihood × prior of one graph, over strengths, s and μ (π integrated exactly)."""
    n = likelihood.bound.n_coupling_params
    members, middle, penalty = _slab(likelihood, prior, mode.theta, mode.hyper)
    k = int(np.sum(members < n))
    if prior.inclusion is None:
        graph = scipy.special.betaln(1 + k, 1 + n - k)
    else:
        graph = k * np.log(prior.inclusion) + (n - k) * np.log1p(-prior.inclusion)
    _, s, magnitude = mode.hyper
    scale = max(k, 1)
    width = np.log(2 / np.pi / prior.slab) - np.log1p((s / prior.slab) ** 2) + 0.5 * np.log(np.pi * s**2 / scale)
    if magnitude > 0:
        width += np.log(2 / (10 * prior.slab)) - 0.5 * (magnitude / (10 * prior.slab)) ** 2 + 0.5 * np.log(s**2 / scale)
    if 0 < prior.common < 1:
        width += np.log(prior.common) if magnitude > 0 else np.log1p(-prior.common)
    result = normal.weight * mode.value + float(graph) - k * np.log(2) + float(width)
    if not len(members):
        return result
    matrix = (normal.precision if curvature is None else curvature)[np.ix_(members, members)] + np.diag(penalty)
    determinant = np.linalg.slogdet(matrix)[1]
    deviation = mode.theta[members] - middle
    return result + 0.5 * float(np.log(penalty).sum() - determinant - penalty @ deviation**2)
