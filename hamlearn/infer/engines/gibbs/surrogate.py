"""The likelihood of a sparse posterior as a normal one, with calibrated width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import ScoreCovariance, score_rows
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.newton import cholesky


@dataclass(frozen=True)
class Surrogate:
    """The likelihood as N(centre | θ, precision⁻¹) around an expansion point, with what it took to make it.

    `weight` is the power of the likelihood that the correction amounts to on average over directions: about 1/2 for
    pseudo-likelihood, 1/τ for autocorrelated draws, 1 for an exact likelihood of independent ones.
    """

    centre: np.ndarray
    precision: np.ndarray
    weight: float
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
    factor = cholesky(information)
    centre = theta + scipy.linalg.cho_solve(factor, slope)
    if not calibrated:
        return Surrogate(centre, information, 1.0, None, 0.0)
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
    return Surrogate(centre, half.T @ half, 1.0 / mean, score, shrinkage)
