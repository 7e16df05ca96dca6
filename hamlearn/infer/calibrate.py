"""Error bars that cover: the sandwich correction of composite likelihoods and of autocorrelated data.

The curvature H of an objective gives right error bars only if it is the log likelihood of independent microstates.
Otherwise the estimate scatters with covariance H⁻¹JH⁻¹, J the covariance of the total score (Godambe information is
its inverse; Ribatet, Cooley & Davison 2012; Shaby 2014). J is estimated in :mod:`hamlearn.infer.scatter`; the *likelihood*
is then adjusted, ℓ_adj(θ) = ℓ(θ̂ + C(θ − θ̂)) with CᵀHC = HJ⁻¹H, and multiplied by
the prior. Draws of a posterior are never rotated: that would inflate its prior too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.linalg

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.likelihoods.base import Scored
from hamlearn.infer.observations import Observations
from hamlearn.infer.provenance import Basis
from hamlearn.infer.scatter import ScoreCovariance, score_covariance
from hamlearn.models import BoundCouplings

MOST_LEVERAGE = 0.5  # beyond it error bars mean nothing, and the verdict says so


class Composite(Scored, Protocol):
    """The part of a likelihood that its error bars need."""

    @property
    def composite(self) -> bool:
        """Whether it is no likelihood of whole microstates."""
        ...


@dataclass(frozen=True)
class Calibration:
    """The adjusted normal summary of a likelihood around its optimum.

    Attributes
    ----------
    information : array (n_params, n_params)
        H, the curvature of the objective.
    root : array (n_params, n_params)
        A root R of the estimate's covariance, RRᵀ = H⁻¹JH⁻¹ (or H⁻¹ when not adjusted): draws are θ̂ + Rε.
    degrees : float
        Degrees of freedom of the t tails of draws (infinite when J is known well).
    adjusted : bool
    basis : Basis
        Why it was adjusted or not, for the verdict.
    score : ScoreCovariance or None
    """

    information: np.ndarray
    root: np.ndarray
    degrees: float
    adjusted: bool
    basis: Basis
    score: ScoreCovariance | None

    @property
    def covariance(self) -> np.ndarray:
        """RRᵀ."""
        return self.root @ self.root.T

    @cached_property
    def precision_root(self) -> np.ndarray:
        """An upper triangle P with PᵀP = (RRᵀ)⁻¹: the inverse of U, where the covariance is U Uᵀ."""
        return _triangular_inverse(np.linalg.cholesky(self.covariance[::-1, ::-1]))[::-1, ::-1]

    def linear_map(self) -> np.ndarray:
        """C with CᵀHC = (RRᵀ)⁻¹, so that ℓ(θ̂ + C(θ − θ̂)) has the adjusted curvature."""
        return scipy.linalg.solve_triangular(np.linalg.cholesky(self.information).T, self.precision_root)


@dataclass(frozen=True, eq=False)
class Adjusted:
    """A likelihood seen through ℓ(θ̂ + C(θ − θ̂)): what priors are multiplied with."""

    likelihood: Likelihood
    centre: np.ndarray
    transform: np.ndarray

    @property
    def bound(self) -> BoundCouplings:
        """The family."""
        return self.likelihood.bound

    @property
    def parts(self) -> Sequence[Observations]:
        """The data."""
        return self.likelihood.parts

    @property
    def runaway(self) -> float:
        """As of the likelihood."""
        return self.likelihood.runaway

    @property
    def origin(self) -> np.ndarray:
        """As of the likelihood."""
        return self.likelihood.origin

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Adjusted objective and gradient."""
        value, gradient = self.likelihood.value_and_gradient(self.centre + self.transform @ (theta - self.centre))
        return value, self.transform.T @ gradient

    def products(self, theta: np.ndarray) -> None:
        """None: what a search starts from has a known Hessian."""

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian of the adjusted objective."""
        inner = self.likelihood.information(self.centre + self.transform @ (theta - self.centre), rough=rough)
        return self.transform.T @ inner @ self.transform


_LEAST = 1e-100  # information: of less, where an optimum has run off, products of roots are beyond any float


def inverse_root(information: np.ndarray) -> np.ndarray:
    """R with RRᵀ = information⁻¹; directions that carry no information get a large finite width."""
    symmetric = (information + information.T) / 2
    try:
        lower = np.linalg.cholesky(symmetric)
        if np.min(np.diag(lower)) ** 2 > 1e-12 * max(np.max(np.diag(symmetric)), _LEAST):
            return _triangular_inverse(lower).T
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(symmetric)
    floor = max(values.max(initial=0.0), _LEAST) * 1e-12
    return vectors / np.sqrt(np.maximum(values, floor))


def _triangular_inverse(lower: np.ndarray) -> np.ndarray:
    """Of a lower triangle without zeros on its diagonal."""
    return np.asarray(scipy.linalg.lapack.dtrtri(lower, lower=1)[0])


def sandwich(information: np.ndarray, score: ScoreCovariance) -> np.ndarray:
    """R with RRᵀ = H⁻¹JH⁻¹, through a root of J: no inverse of J, which may be of deficient rank."""
    half = inverse_root(information)
    return half @ (half.T @ _root((score.J + score.J.T) / 2))


def _root(symmetric: np.ndarray) -> np.ndarray:
    """R with RRᵀ a matrix that has no negative directions but by rounding."""
    try:
        return np.linalg.cholesky(symmetric)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(symmetric)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def steady_sandwich(
    information: np.ndarray,
    score: ScoreCovariance,
    leverage: float = 0.0,
    *,
    slope: np.ndarray | None = None,
    expected: np.ndarray | None = None,
) -> np.ndarray:
    """A root of A⁻¹JA⁻ᵀ that serves where batches are not many times as many as parameters.

    Parameters
    ----------
    information : array (n_params, n_params)
        H.
    score : ScoreCovariance
        J, from independent contributions.
    leverage : float
        Share of its own noise that the fit takes out of the scores of a composite likelihood, p / (sites × rows).
    slope : array (n_params, n_params), optional
        A, the derivative of an equation that is no gradient; H unless given, and then `expected` is too.
    expected : array (n_params, n_params), optional
        J as the fitted model has it, up to a factor; H unless given.

    Returns
    -------
    array (n_params, n_params)
        A root of full rank.

    Notes
    -----
    Correlations are those of J shrunk towards a multiple of what is expected, with the intensity of Ledoit & Wolf (2004): a raw J of n
    contributions has rank n − 1, and a prior multiplied with it would decide the directions that it lacks. Variances are the raw ones (of
    independent rows the larger of raw and shrunk ones: a few rows often miss the one in which a spin disagrees with a strong field), over
    (1 − leverage)² as scores at the optimum are residuals (HC3 of MacKinnon & White 1985).
    """
    target = information if expected is None else expected
    half = inverse_root(target)
    outer = half if slope is None else np.linalg.solve(slope, target @ half)
    white = half.T @ ((score.J + score.J.T) / 2) @ half
    mean, shrinkage = shrunk_to_even(white, score.batches)
    if mean <= 0:
        return sandwich(information, score)
    root = outer @ _root((1 - shrinkage) * white + shrinkage * mean * np.eye(len(white)))
    shrunk, raw = (root**2).sum(1), ((outer @ white) * outer).sum(1)
    wanted = np.maximum(raw, shrunk) if score.tau == 1.0 and not score.chains_disagree else raw
    wanted = wanted / (1 - min(leverage, MOST_LEVERAGE)) ** 2
    return root * np.sqrt(np.divide(wanted, shrunk, out=np.ones_like(shrunk), where=shrunk > 0))[:, None]


def shrunk_to_even(white: np.ndarray, batches: int) -> tuple[float, float]:
    """The mean variance of a covariance of independent batches, and the intensity with which it is shrunk to that in all directions.

    Ledoit & Wolf (2004): the noise of the entries over how far they are from even.
    """
    p, n = len(white), max(batches, 2)
    mean = float(np.trace(white)) / p
    noise, spread = ((mean * p) ** 2 + float((white**2).sum())) / n, float(((white - mean * np.eye(p)) ** 2).sum())
    return mean, min(1.0, noise / spread) if spread > 0 else 1.0


def require_batches(score: ScoreCovariance, *, insist: str = "") -> None:
    """An error where fewer than three independent batches are to say how estimates scatter; `insist` is how it is done without."""
    if score.batches >= 3:
        return
    otherwise = f", or insist with {insist}" if insist else ""
    if score.tau == 1.0:
        raise HamlearnError(
            f"the number of independent microstates is {score.batches}, which cannot say how estimates scatter: give three or more"
            f"{otherwise}."
        )
    raise HamlearnError(
        f"the draws are so strongly autocorrelated (autocorrelation time {score.tau:.3g} draws) that they hold only {score.batches} "
        "independent batch(es), or their distribution changes along the rows (compare the first half with the second): no error bar "
        f"can be estimated. Run longer or more chains, split what changed{otherwise}; rows that are no chain are declared by "
        "hl.microstates(..., independent=True)."
    )


def calibrate(
    likelihood: Composite, theta: np.ndarray, information: np.ndarray, *, wanted: bool = True, usable: bool = True, minimum: int = 0
) -> Calibration:
    """Adjust (or say why not) the curvature of a likelihood at its optimum."""
    as_it_is = lambda basis, score=None: Calibration(information, inverse_root(information), np.inf, False, basis, score)
    independent = all(part.independent for part in likelihood.parts)
    if not wanted:
        return as_it_is(Basis("off", {"composite": likelihood.composite}))
    if not usable:
        return as_it_is(Basis("separable"))
    if not likelihood.composite and independent:
        return as_it_is(Basis("independent", {"tested": False}))
    if light := [part for part in likelihood.parts if part.weighted and part.worth < 3]:
        raise HamlearnError(
            f"the weights sum to {light[0].size:.3g}: they say that the rows are worth {light[0].worth:.3g} independent ones, and no error "
            "bar can be estimated. Multiply them so that they sum to what the rows are worth (w * len(w) / w.sum() of independent rows), "
            "or give counts=, how often every row was seen."
        )
    score = score_covariance(likelihood, theta, minimum=minimum)
    require_batches(score, insist="calibrate=False")
    weighted = any(part.weighted for part in likelihood.parts)
    if not likelihood.composite and score.tau == 1.0 and not score.chains_disagree and not weighted:
        return as_it_is(Basis("independent", {"tested": True}), score)
    basis = Basis("sandwich", {"batches": score.batches, "kind": score.kind, "composite": likelihood.composite, "tau": score.tau})
    # An exact likelihood's scores are sufficient statistics minus their mean: the fit takes no more noise out of them than that mean.
    leverage = len(theta) / (likelihood.parts[0].states.shape[-1] * score.ess) if likelihood.composite else 0.0
    return Calibration(information, steady_sandwich(information, score, leverage), float(score.batches - 1), True, basis, score)
