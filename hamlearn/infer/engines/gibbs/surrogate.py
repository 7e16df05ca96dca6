"""The likelihood of a sparse posterior as a normal one, with calibrated width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.newton import cholesky
from hamlearn.infer.provenance import Basis
from hamlearn.infer.scatter import ScoreCovariance, score_rows


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The likelihood near a point as exp(linear·θ − ½ θᵀ precision θ): what a sparse prior of any kind is multiplied with.

    Attributes
    ----------
    precision : array (n_params, n_params)
    linear : array (n_params,)
    factor : float
        By how much estimates vary more than the curvature says, on average over directions: about 2 for pseudo-likelihood, τ for
        autocorrelated draws, 1 for an exact likelihood of independent ones.
    score : ScoreCovariance or None
    basis : Basis
        What its width rests on.
    """

    precision: np.ndarray
    linear: np.ndarray
    factor: float
    score: ScoreCovariance | None
    basis: Basis

    @property
    def weight(self) -> float:
        """The power of the likelihood that the correction amounts to."""
        return 1.0 / self.factor

    @property
    def centre(self) -> np.ndarray:
        """Its mean."""
        return np.linalg.solve(self.precision, self.linear)


def adjusted(back: np.ndarray, covariance: np.ndarray, theta: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision HJ⁻¹H and linear term of a surrogate around θ, from white coordinates.

    Parameters
    ----------
    back : array (n_params, k)
        HW, with WᵀHW = 1: k of the directions, or all.
    covariance : array (k, k)
        WᵀJW, regular.
    theta : array (n_params,)
    slope : array (k,)
        Wᵀ times the gradient at θ.
    """
    inner = np.linalg.cholesky((covariance + covariance.T) / 2)
    half = scipy.linalg.solve_triangular(inner, back.T, lower=True)
    precision = half.T @ half
    return precision, precision @ theta + half.T @ scipy.linalg.solve_triangular(inner, slope, lower=True)


def require_contributions(likelihood: Likelihood, count: int, tau: float) -> None:
    """An error where too few independent contributions of the data say how wide a likelihood is.

    Autocorrelated draws need two batches a parameter, for their correlations differ from direction to direction. Independent rows of a
    stand-in need one each: what their covariance does not tell is shrunk to one factor
    (benchmarks/calibration/few_rows_sparse.py). An exact likelihood of independent rows has its width from its curvature.
    """
    p = likelihood.bound.n_params
    wanted = 2 * p if tau > 1.0 else p if likelihood.composite else 0
    if count >= wanted:
        return
    of = "batches of data" if tau > 1.0 else "microstates"
    other = (
        "the default prior; rows that are no chain are declared by hl.microstates(..., independent=True)"
        if tau > 1.0
        else "the default prior; likelihood='exact' needs none where there are few enough sites (some twenty)"
    )
    raise HamlearnError(
        f"a calibrated sparse posterior of {p} parameters needs at least {wanted} independent {of}; these give {count}. Use more data, "
        f"fewer candidate bonds, or {other}."
    )


def surrogate(likelihood: Likelihood, theta: np.ndarray, *, calibrated: bool = True) -> Surrogate:
    """One Newton step from `theta` and the adjusted precision Q = HJ⁻¹H there.

    J is estimated in coordinates whitened by H, where it is close to a multiple of the identity (2 for weakly
    coupled pseudo-likelihood), and shrunk towards that with the optimal intensity of Ledoit & Wolf (2004): with p
    parameters and n rows its inverse would otherwise carry noise of relative size p/n.
    """
    information = likelihood.information(theta)
    _, slope = likelihood.value_and_gradient(theta)
    if not calibrated:
        return Surrogate(information, information @ theta + slope, 1.0, None, Basis("off", {"composite": likelihood.composite}))
    rows, score = score_rows(likelihood, theta, minimum=2 * len(theta))
    require_contributions(likelihood, len(rows), score.tau)
    if not likelihood.composite and score.tau == 1.0 and not score.chains_disagree and not any(part.weighted for part in likelihood.parts):
        return Surrogate(information, information @ theta + slope, 1.0, score, Basis("independent", {"tested": True}))
    lower = np.tril(cholesky(information)[0])
    white = scipy.linalg.solve_triangular(lower, rows.T, lower=True).T
    covariance = white.T @ white
    n, p = white.shape
    mean = np.trace(covariance) / p
    spread = ((covariance - mean * np.eye(p)) ** 2).sum()
    noise = ((white**2).sum(1) ** 2).sum() - (covariance**2).sum() / n
    shrinkage = float(np.clip(noise / max(spread, 1e-300), 0.0, 1.0))
    covariance = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(p)
    precision, linear = adjusted(lower, covariance, theta, scipy.linalg.solve_triangular(lower, slope, lower=True))
    basis = Basis("surrogate", {"batches": score.batches, "kind": score.kind, "shrinkage": shrinkage})
    return Surrogate(precision, linear, mean, score, basis)
