"""Which couplings exist: Gibbs sampling of a spike-and-slab posterior on the adjusted normal surrogate.

The likelihood enters as N(θ̂ | θ, Q⁻¹) with Q = HJ⁻¹H, so that log Bayes factors are those of calibrated error bars
(an uncorrected pseudo-likelihood about doubles them). Every coupling is zero or drawn from the slab; inclusion
probability, slab width and, on request, a common magnitude are learned with them (George & McCulloch 1997 with a
point mass; half-Cauchy scales by the inverse-gamma mixture of Makalic & Schmidt 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg

from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import ScoreCovariance, score_rows
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.optimum import _factor
from hamlearn.models import SpikeSlab
from hamlearn.progress import track


@dataclass(frozen=True)
class SpikeSlabDraws:
    """Draws of a sparse posterior.

    Attributes
    ----------
    theta : array (chain, draw, n_params)
    included : array (chain, draw, n_coupling_params)
        Which couplings exist.
    hyper : array (chain, draw, 3)
        Inclusion probability π, slab width s, slab magnitude μ.
    score : ScoreCovariance or None
    shrinkage : float
        Ledoit–Wolf intensity applied to J.
    """

    theta: np.ndarray
    included: np.ndarray
    hyper: np.ndarray
    score: ScoreCovariance | None
    shrinkage: float


@dataclass(frozen=True)
class Surrogate:
    """The likelihood as N(centre | θ, precision⁻¹) around an expansion point, with what it took to make it."""

    centre: np.ndarray
    precision: np.ndarray
    score: ScoreCovariance | None
    shrinkage: float


def surrogate(likelihood: Likelihood, theta: np.ndarray, *, calibrated: bool = True) -> Surrogate:
    """One Newton step from `theta` and the adjusted precision Q = HJ⁻¹H there.

    J is estimated in coordinates whitened by H, where it is close to a multiple of the identity (2 for weakly
    coupled pseudo-likelihood), and shrunk towards that with the optimal intensity of Ledoit & Wolf (2004): with p
    parameters and n rows its inverse would otherwise carry noise of relative size p/n.
    """
    information = likelihood.information(theta)
    _, slope = likelihood.value_and_gradient(theta)
    factor = _factor(information)
    centre = theta + scipy.linalg.cho_solve(factor, slope)
    if not calibrated:
        return Surrogate(centre, information, None, 0.0)
    rows, score = score_rows(likelihood, theta, minimum=2 * len(theta))
    if len(rows) < 2 * len(theta):
        raise HamlearnError(
            f"a calibrated sparse posterior of {len(theta)} parameters needs at least {2 * len(theta)} independent batches of data; "
            f"these give {len(rows)}. Use more data, fewer candidate bonds, or the default prior."
        )
    lower = np.tril(factor[0])
    white = scipy.linalg.solve_triangular(lower, rows.T, lower=True).T
    covariance = white.T @ white
    n, p = white.shape
    mean = np.trace(covariance) / p
    spread = ((covariance - mean * np.eye(p)) ** 2).sum()
    noise = ((white**2).sum(1) ** 2).sum() - (covariance**2).sum() / n
    shrinkage = float(np.clip(noise / max(spread, 1e-300), 0.0, 1.0))
    covariance = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(p)
    inner = np.linalg.cholesky((covariance + covariance.T) / 2)
    half = scipy.linalg.solve_triangular(inner, lower.T, lower=True)
    return Surrogate(centre, half.T @ half, score, shrinkage)


@numba.njit(cache=True)
def _sweeps(precision, linear, n_couplings, field_precision, slab, inclusion, common, theta, draws, burn_in, thin, seed):  # type: ignore[no-untyped-def]
    """One chain; θ and the residual linear − precision·θ are kept in step so that a coupling at zero costs O(1)."""
    np.random.seed(seed)  # numba's own generator, not NumPy's
    p = len(theta)
    residual = linear - precision @ theta
    kept = np.zeros((draws, p))
    signs = np.zeros((draws, n_couplings), np.int8)
    hyper = np.zeros((draws, 3))
    sign = np.sign(theta[:n_couplings])
    probability = 0.5 if inclusion < 0 else inclusion
    width2, auxiliary, centre = slab**2, 1.0, 0.0
    if common:
        centre = np.abs(theta[:n_couplings]).max()
    for sweep in range(burn_in + draws * thin):
        tau = 1.0 / width2
        odds = np.log(probability) - np.log1p(-probability)
        for k in range(p):
            q = precision[k, k]
            pull = residual[k] + q * theta[k]
            if k >= n_couplings:
                width = q + field_precision
                new = pull / width + np.random.normal() / np.sqrt(width)
            else:
                width = q + tau
                base = odds - np.log(2.0) + 0.5 * np.log(tau / width) - 0.5 * tau * centre**2
                plus = base + 0.5 * (pull + tau * centre) ** 2 / width
                minus = base + 0.5 * (pull - tau * centre) ** 2 / width
                top = max(plus, minus, 0.0)
                weights = np.exp(plus - top), np.exp(minus - top), np.exp(-top)
                u = np.random.random() * (weights[0] + weights[1] + weights[2])
                sign[k] = 1.0 if u < weights[0] else (-1.0 if u < weights[0] + weights[1] else 0.0)
                new = 0.0
                if sign[k] != 0.0:
                    new = (pull + sign[k] * tau * centre) / width + np.random.normal() / np.sqrt(width)
            change = new - theta[k]
            if change != 0.0:
                residual -= precision[k] * change
                theta[k] = new
        active = 0
        squares, aligned = 0.0, 0.0
        for k in range(n_couplings):
            if sign[k] != 0.0:
                active += 1
                squares += (theta[k] - sign[k] * centre) ** 2
                aligned += sign[k] * theta[k]
        if inclusion < 0:
            probability = min(max(np.random.beta(1.0 + active, 1.0 + n_couplings - active), 1e-12), 1 - 1e-12)
        width2 = (0.5 * squares + 1.0 / auxiliary) / np.random.gamma(0.5 * (active + 1))
        width2 = min(max(width2, 1e-8 * slab**2), 1e6 * slab**2)
        auxiliary = (1.0 / slab**2 + 1.0 / width2) / np.random.gamma(1.0)
        if common:
            weight = active / width2 + 1.0 / (10 * slab) ** 2
            centre = abs(aligned / width2 / weight + np.random.normal() / np.sqrt(weight))
        if sweep % 64 == 63:
            residual = linear - precision @ theta  # rounding of many small updates must not pile up
        if sweep >= burn_in and (sweep - burn_in) % thin == thin - 1:
            draw = (sweep - burn_in) // thin
            kept[draw] = theta
            for k in range(n_couplings):
                signs[draw, k] = sign[k] != 0.0
            hyper[draw] = probability, np.sqrt(width2), centre
    return kept, signs, hyper


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
    rounds: int = 2,
) -> SpikeSlabDraws:
    """Draws from the spike-and-slab posterior; the surrogate is re-expanded at the posterior mean `rounds` times.

    Expanding around the sparse estimate instead of the unpenalised one takes the noise of thousands of absent
    couplings out of H and J.
    """
    bound = likelihood.bound
    n = bound.n_coupling_params
    theta, result = start, None
    with track(rounds - 1 + chains, "sampling which bonds exist") as bar:
        for step in range(rounds):
            normal = surrogate(likelihood, theta, calibrated=calibrated)
            linear = normal.precision @ normal.centre
            last = step == rounds - 1
            runs = []
            for chain in range(chains if last else 1):
                bar.advance()
                begin = normal.centre.copy()
                if chain % 2:
                    begin[:n] = 0.0
                runs.append(
                    _sweeps(
                        normal.precision,
                        linear,
                        n,
                        bound.model.field_prior.scale**-2.0,
                        prior.slab,
                        -1.0 if prior.inclusion is None else prior.inclusion,
                        prior.common,
                        begin,
                        draws if last else max(200, draws // 4),
                        burn_in,
                        thin if last else 1,
                        int(np.random.SeedSequence([seed, step, chain]).generate_state(1)[0]),
                    )
                )
            stacked = [np.stack([run[part] for run in runs]) for part in range(3)]
            theta = stacked[0].mean((0, 1))
            result = SpikeSlabDraws(stacked[0], stacked[1], stacked[2], normal.score, normal.shrinkage)
    assert result is not None
    return result
