"""Tests of whether two estimates differ, from the data alone.

A prior pulls two estimates together, or apart where one has fewer data, so it is taken out again (a normal prior out of a posterior that
is nearly normal) before they are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.infer import families, posteriors
from hamlearn.infer.fit import precisions
from hamlearn.infer.provenance import ErrorBars
from hamlearn.models import Normal

_PRIOR_MOST = 0.99  # of the precision along a direction that may be the prior's: what lies beyond says nothing of the data
_DRAWS = 5.0  # draws a parameter, for a covariance of all of them


@dataclass(frozen=True, eq=False)
class Alone:
    """What data say without a prior: an estimate, its covariance, on what that rests, and why there is none."""

    estimate: np.ndarray
    covariance: np.ndarray
    bars: ErrorBars
    lacking: str = ""

    @property
    def degrees(self) -> float:
        """Of freedom of the covariance: infinite where it is the curvature of an exact likelihood."""
        return float((self.bars.batches or 2) - 1) if self.bars.adjusted else np.inf

    def times(self, scale: float) -> Alone:
        """Of parameters in another unit."""
        return replace(self, estimate=scale * self.estimate, covariance=scale**2 * self.covariance)

    def only(self, wanted: list[int]) -> Alone:
        """Of these parameters, in this order."""
        return replace(self, estimate=self.estimate[wanted], covariance=self.covariance[np.ix_(wanted, wanted)])


def alone(post: xr.DataTree) -> Alone:
    """The likelihood behind a posterior: kept with a group, else its normal prior taken out of draws that are nearly normal."""
    made, (_, draws) = posteriors.provenance_of(post), families.of(post).parameters(post)
    p = draws.shape[-1]
    bars = made.calibration
    none = lambda why: Alone(np.full(p, np.nan), np.full((p, p), np.nan), bars, why)
    if not made.optimum.finite:
        return none("data of one side leave some parameters undetermined")
    if "alone" in post.children:
        kept = post["alone"].to_dataset()
        return Alone(kept["estimate"].values, kept["covariance"].values, bars)
    if "group_of" in post.attrs:
        return none("a group that was not observed has no data")
    blocks = posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post)).blocks
    flat = made.engine.name == "mle"
    if not flat and not all(isinstance(block.prior, Normal) for block in blocks):
        return none("a prior that is not normal cannot be taken out of draws")
    count = float(draws.shape[0] * draws.shape[1])
    if made.convergence is not None and made.convergence.min_ess_bulk is not None:
        count = min(count, made.convergence.min_ess_bulk)
    if count < _DRAWS * p:
        return none(f"{count:.0f} effective draws are too few for the covariances of {p} parameters")
    flattened = draws.reshape(-1, p)
    covariance = np.cov(flattened.T).reshape(p, p)
    found = Alone(flattened.mean(0), covariance, bars)
    if not made.engine.markov and 2 < found.degrees < np.inf:
        found = replace(found, covariance=covariance * (found.degrees - 2) / found.degrees)  # draws have the t tails of these degrees
    return found if flat else without_prior(found, precisions(blocks))


def without_prior(posterior: Alone, precision: np.ndarray) -> Alone:
    """The normal likelihood that with N(0, 1/precision) gives a normal posterior of this mean and covariance."""
    root = np.sqrt(precision)
    values, vectors = np.linalg.eigh(root[:, None] * posterior.covariance * root)
    share = np.clip(values, 0.0, _PRIOR_MOST)  # of the prior in the precision along every direction
    back = vectors / root[:, None]
    estimate = back @ ((vectors.T @ (root * posterior.estimate)) / (1 - share))
    return replace(posterior, estimate=estimate, covariance=(back * (share / (1 - share))) @ back.T)


@dataclass(frozen=True, eq=False)
class Tests:
    """Of every difference, and of all."""

    p_values: np.ndarray
    statistic: float
    degrees: float
    p_value: float
    unsaid: str = ""


def tested(first: Alone, second: Alone) -> Tests:
    """Wald's tests of two independent estimates; t and F know how well covariances are known, each weighed by its share (Satterthwaite)."""
    p = len(first.estimate)
    if lacking := first.lacking or second.lacking:
        return Tests(np.full(p, np.nan), np.nan, np.nan, np.nan, lacking)
    moved, covariance = first.estimate - second.estimate, first.covariance + second.covariance
    variances = np.diag(first.covariance), np.diag(second.covariance)
    each = _joined(variances[0], variances[1], first.degrees, second.degrees)
    p_values = 2 * scipy.stats.t.sf(np.abs(moved) / np.sqrt(sum(variances)), each)
    share = float(np.trace(np.linalg.solve(covariance, first.covariance)))
    degrees = float(_joined(np.array(share), np.array(p - share), first.degrees, second.degrees))
    statistic = float(moved @ np.linalg.solve(covariance, moved)) / p
    return Tests(np.asarray(p_values), statistic, degrees, float(scipy.stats.f.sf(statistic, p, min(degrees, 1e9))))


def _joined(first: np.ndarray, second: np.ndarray, one: float, other: float) -> np.ndarray:
    """Degrees of freedom of a sum of two variances."""
    inverse = (first**2 / one + second**2 / other) / (first + second) ** 2
    return np.divide(1.0, inverse, out=np.full(inverse.shape, np.inf), where=inverse > 0)


def discovery_rates(p_values: np.ndarray) -> np.ndarray:
    """For every p-value the smallest false-discovery rate at which it is a discovery (Benjamini & Hochberg 1995); nan stays, uncounted.

    Examples
    --------
    >>> discovery_rates(np.array([0.01, 0.5, 0.03, 0.04])).tolist()
    [0.04, 0.5, 0.05333333333333333, 0.05333333333333333]
    >>> discovery_rates(np.array([0.01, np.nan, 0.04])).tolist()
    [0.02, nan, 0.04]
    """
    known = np.flatnonzero(~np.isnan(p_values))
    order, n = known[np.argsort(p_values[known], kind="stable")], len(known)
    rates = np.minimum.accumulate((p_values[order] * n / np.arange(1, n + 1))[::-1])[::-1]
    found = np.full(len(p_values), np.nan)
    found[order] = np.minimum(rates, 1.0)
    return found


__all__ = ["Alone", "Tests", "alone", "discovery_rates", "tested", "without_prior"]
