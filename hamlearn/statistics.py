"""Statistics of correlated draws: autocorrelation, effective sample size, errors of means, block resampling.

Everything is NumPy. Arrays have axes ``(chain, draw, ...)``; a one-dimensional array is one chain. The integrated
autocorrelation time is τ = 1 + 2 Σ_t ρ(t): it is 1 for independent draws, the variance of a mean of N draws is
τ σ²/N, and N/τ is the effective sample size. (Sokal's own τ_int, ½ + Σρ, is half of it.)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hamlearn.errors import HamlearnError

LOG_LARGEST = math.log(sys.float_info.max)


class AutocorrelationTime(NamedTuple):
    """An integrated autocorrelation time and how far it can be trusted.

    Attributes
    ----------
    tau : array
        τ = 1 + 2 Σ ρ(t), in draws, at least 1; nan where the series is constant.
    standard_error : array
        Its statistical error (Wolff 2004, eq. 42), which grows with the window.
    window : array of int
        Number of lags summed. A window of half the chain means that the chain is too short to tell τ.
    """

    tau: np.ndarray
    standard_error: np.ndarray
    window: np.ndarray


class Jackknife(NamedTuple):
    """A bias-corrected estimate with its standard error and the bias that was removed."""

    estimate: np.ndarray
    standard_error: np.ndarray
    bias: np.ndarray


def autocorrelation(x: Any) -> np.ndarray:
    """Normalised autocorrelation function ρ(t), averaged over chains.

    ρ(t) = C(t)/C(0) with C(t) the mean over chains and start times of (x_s − x̄)(x_{s+t} − x̄). The mean x̄ is that
    of all chains together, so chains that disagree show up as correlation that never decays.

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series; trailing axes are treated separately.

    Returns
    -------
    array, shape (draw, ...)
        ρ at lags 0 … draw − 1; nan where the series is constant.

    Notes
    -----
    Computed by FFT, O(n log n). Source: Sokal, *Monte Carlo methods in statistical mechanics* (1997), section 3.

    Examples
    --------
    >>> rho = autocorrelation([1.0, -1.0, 1.0, -1.0])
    >>> rho.round(3)
    array([ 1., -1.,  1., -1.])
    """
    series = _as_chains(x)
    n = series.shape[1]
    centred = series - series.mean((0, 1))
    size = 1 << (2 * n - 1).bit_length()  # twice the length: without the padding the FFT would wrap around
    spectrum = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2
    covariance = np.fft.irfft(spectrum.mean(0), size, axis=0)[:n]
    covariance /= (n - np.arange(n)).reshape(-1, *(1,) * (series.ndim - 2))
    # Rounding of a constant series would otherwise be taken for a signal.
    constant = np.ptp(series, axis=(0, 1)) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(constant, np.nan, covariance / covariance[0])


def integrated_autocorrelation(x: Any, window: float = 5.0) -> AutocorrelationTime:
    """Integrated autocorrelation time with its standard error and summation window.

    The sum over lags stops at the first W with W ≥ `window` · τ(W)/2, which balances the bias of cutting the sum,
    of order exp(−`window`), against the noise of summing further.

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series; trailing axes are treated separately.
    window : float
        Length of the window in units of Sokal's τ_int = τ/2. Sokal recommends 4 to 10; 5 leaves a bias below 1 %.

    Returns
    -------
    AutocorrelationTime
        Arrays of the shape of the trailing axes.

    Notes
    -----
    Sources: Sokal (1997), eq. 3.19, for the window; Wolff, Comput. Phys. Commun. 156, 143 (2004), eqs. 42 and 49,
    for the error √(4 (W + ½ − τ/2)/N) τ and the correction 1 + (2W + 1)/N for the estimated mean.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = integrated_autocorrelation(rng.normal(size=(4, 5000)))
    >>> bool(abs(result.tau - 1) < 4 * result.standard_error)
    True
    """
    series = _as_chains(x)
    rho = autocorrelation(series)[: max(1, series.shape[1] // 2 + 1)]
    return summed(rho, series.shape[0] * series.shape[1], window)


def summed(rho: np.ndarray, n_total: int, window: float = 5.0) -> AutocorrelationTime:
    """The sum of an autocorrelation function ρ ``(lag, ...)`` of `n_total` draws, over a window that fits itself.

    See :func:`integrated_autocorrelation`, which is this for the ρ of a series.

    Examples
    --------
    >>> float(summed(0.5 ** np.arange(60.0), n_total=10**9).tau.round(2))  # (1 + ρ)/(1 − ρ), less what the window cuts off
    2.99
    """
    sums = 2 * np.cumsum(rho, axis=0) - 1
    enough = np.arange(len(rho)).reshape(-1, *(1,) * (rho.ndim - 1)) >= window * sums / 2
    enough[-1] = True
    width = np.argmax(enough, axis=0)
    tau = np.take_along_axis(sums, width[None], axis=0)[0]
    tau = tau * (1 + (2 * width + 1) / n_total)
    tau = np.where(np.isnan(tau), np.nan, np.maximum(tau, 1.0))
    error = tau * np.sqrt(4 * np.maximum(width + 0.5 - tau / 2, 0.5) / n_total)
    return AutocorrelationTime(tau, error, width)


def integrated_autocorrelation_time(x: Any, window: float = 5.0) -> np.ndarray:
    """τ = 1 + 2 Σ ρ(t) by automatic windowing: :func:`integrated_autocorrelation` without its error.

    It is 1 for independent draws, clipped from below at 1 (an anticorrelated chain is not credited with more draws
    than it has), and nan for a constant series, which says nothing about its own mobility.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise, x = rng.normal(size=100_000), np.zeros(100_000)
    >>> for t in range(1, len(x)):
    ...     x[t] = 0.8 * x[t - 1] + noise[t]
    >>> bool(abs(integrated_autocorrelation_time(x) - (1 + 0.8) / (1 - 0.8)) < 0.5)
    True
    """
    return integrated_autocorrelation(x, window).tau


def effective_sample_size(x: Any, window: float = 5.0) -> np.ndarray:
    """Number of independent draws that would determine the mean as well: chains · draws / τ.

    At most the number of draws; nan for a constant series.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(2, 1000))
    >>> bool(effective_sample_size(x) > 1600)
    True
    """
    series = _as_chains(x)
    return series.shape[0] * series.shape[1] / integrated_autocorrelation_time(series, window)


def standard_error(x: Any, window: float = 5.0) -> np.ndarray:
    """Standard error of the mean of correlated draws: √(τ s²/N).

    Zero for a constant series.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(4, 2500))
    >>> float(standard_error(x).round(2))
    0.01
    """
    series = _as_chains(x)
    error = np.sqrt(series.var((0, 1)) / effective_sample_size(series, window))
    return np.where(np.ptp(series, axis=(0, 1)) == 0, 0.0, error)


def blocks(x: Any, length: int) -> np.ndarray:
    """Contiguous blocks of draws, never across chains.

    Draws at the start of a chain that do not fill a block are dropped (the oldest remember their start best).

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series.
    length : int
        Draws per block; at least 5 τ makes blocks practically independent.

    Returns
    -------
    array, shape (n_blocks, length, ...)
        Chain by chain, in order of time.

    Raises
    ------
    HamlearnError
        If `length` is not between 1 and the number of draws.

    Examples
    --------
    >>> blocks([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], 2).tolist()
    [[1, 2], [3, 4], [6, 7], [8, 9]]
    """
    series = _as_chains(x, np.asarray(x).dtype)
    chains, draws, *rest = series.shape
    if int(length) != length or not 1 <= length <= draws:
        raise HamlearnError(f"a block must hold between 1 and {draws} draws (the length of a chain); got {length!r}.")
    length = int(length)
    count = draws // length
    return series[:, draws - count * length :].reshape(chains * count, length, *rest)


def batch_means_error(x: Any, n_batches: int = 64) -> np.ndarray:
    """Standard error of the mean from the scatter of block means.

    It needs no estimate of τ, but batches much longer than it.

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series.
    n_batches : int
        Batches in all chains together (fewer where the chains cannot be cut evenly); 64 give the error to 9 %.

    Returns
    -------
    array
        Shape of the trailing axes.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(4, 2560))
    >>> bool(abs(batch_means_error(x) - 0.01) < 0.003)
    True
    """
    series = _as_chains(x)
    per_chain = max(1, int(n_batches) // series.shape[0])
    means = blocks(series, max(1, series.shape[1] // per_chain)).mean(1)
    if len(means) < 2:
        raise HamlearnError("an error from batch means needs at least two batches; give more draws or chains.")
    return means.std(0, ddof=1) / np.sqrt(len(means))


def block_bootstrap(x: Any, statistic: Callable[[np.ndarray], Any], block: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap replicates of a statistic, resampling whole blocks so that correlations within them survive.

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series.
    statistic : callable
        Function of the pooled draws, an array ``(draws, ...)``.
    block : int
        Draws per block, at least 5 τ; blocks never span two chains.
    n : int
        Number of replicates.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (n, ...)
        The statistic of every replicate; their standard deviation is its standard error.

    Notes
    -----
    Source: Künsch, Ann. Statist. 17, 1217 (1989), with non-overlapping blocks (Carlstein 1986).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> replicates = block_bootstrap(rng.normal(size=(2, 1000)), np.mean, block=10, n=200, rng=rng)
    >>> bool(abs(replicates.std() - 1 / np.sqrt(2000)) < 0.005)
    True
    """
    pieces = blocks(x, block)
    draws = []
    for _ in range(int(n)):
        chosen = pieces[rng.integers(len(pieces), size=len(pieces))]
        draws.append(np.asarray(statistic(chosen.reshape(-1, *pieces.shape[2:]))))
    return np.stack(draws)


def jackknife(x: Any, statistic: Callable[[np.ndarray], Any], block: int = 1) -> Jackknife:
    """Delete-one-block jackknife: bias and standard error of a smooth function of the draws.

    Parameters
    ----------
    x : array, shape (chain, draw, ...) or (draw,)
        Series.
    statistic : callable
        Function of the pooled draws, an array ``(draws, ...)``.
    block : int
        Draws deleted together, at least 5 τ for correlated draws.

    Returns
    -------
    Jackknife
        Bias-corrected estimate, standard error √((B − 1)/B Σ (θ_b − θ̄)²) over B blocks, and the bias removed.

    Notes
    -----
    Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 11.

    Examples
    --------
    >>> result = jackknife(np.arange(5.0), np.mean)
    >>> float(result.estimate), float(result.standard_error.round(6))  # s/√5 exactly
    (2.0, 0.707107)
    """
    pieces = blocks(x, block)
    count = len(pieces)
    if count < 2:
        raise HamlearnError("the jackknife needs at least two blocks; give more draws or shorter blocks.")
    pooled = pieces.reshape(-1, *pieces.shape[2:])
    whole = np.asarray(statistic(pooled))
    keep = np.repeat(np.arange(count), pieces.shape[1])
    left_out = np.stack([np.asarray(statistic(pooled[keep != index])) for index in range(count)])
    bias = (count - 1) * (left_out.mean(0) - whole)
    error = np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean(0)) ** 2, axis=0))
    return Jackknife(whole - bias, error, bias)


def power(base: float, exponent: float) -> float:
    """``base ** exponent`` as a float, and inf where that is beyond any float: sizes are compared, never computed with.

    Parameters
    ----------
    base : float
        > 0; states of a site, for example.
    exponent : float
        For example a number of sites.

    Examples
    --------
    >>> power(2, 10), power(2, 1030)
    (1024.0, inf)
    """
    return float(base) ** exponent if exponent * math.log(base) < LOG_LARGEST else math.inf


def first_largest(values: Any, tolerance: float = 1e-9) -> int:
    """Index of the first of the values that are largest within rounding: the same on every machine.

    ``argmax`` lets the last bit decide between values that are equal by symmetry, and the last bit depends on the processor.

    Parameters
    ----------
    values : array
        One-dimensional. NaN counts as smallest.
    tolerance : float
        Relative to the largest magnitude: what rounding in a factorisation or a sum may move.

    Examples
    --------
    >>> first_largest([0.1, 0.7071067811865475, 0.7071067811865476])
    1
    """
    array = np.asarray(values, float)
    array = np.where(np.isnan(array), -np.inf, array)
    finite = array[np.isfinite(array)]
    slack = tolerance * np.abs(finite).max(initial=0.0)
    return int(np.argmax(array >= array.max() - slack))


def descending(values: Any, tolerance: float = 1e-9) -> np.ndarray:
    """Indices of the values from the largest down; those that are equal within rounding stay in their own order.

    See :func:`first_largest`, which is its first element.

    Examples
    --------
    >>> descending([0.1, 0.7071067811865475, 0.7071067811865476]).tolist()
    [1, 2, 0]
    """
    array = np.asarray(values, float)
    array = np.where(np.isnan(array), -np.inf, array)
    order = np.argsort(-array, kind="stable")
    slack = tolerance * np.abs(array[np.isfinite(array)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):  # −inf − (−inf): equal
        falls = np.nan_to_num(-np.diff(array[order], prepend=array[order[:1]]), nan=0.0, posinf=np.inf) > slack
    return order[np.lexsort((order, np.cumsum(falls)))]


def leading(vectors: np.ndarray) -> list[int]:
    """The coordinates that lead a subspace, one for each of the orthonormal columns ``(n, k)`` that span it.

    Any rotation of the columns spans the same space, and which one a factorisation returns is up to the processor; so the
    coordinates are picked from the projector, the largest diagonal element first, each then projected out.

    Examples
    --------
    >>> leading(np.sqrt(0.5) * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    [0, 2]
    """
    rest, found = np.array(vectors, float), list[int]()
    for _ in range(rest.shape[1]):
        k = first_largest((rest**2).sum(1))
        found.append(k)
        direction = rest[k] / max(np.linalg.norm(rest[k]), 1e-300)
        rest = rest - np.outer(rest @ direction, direction)
    return found


def moved_together(vectors: np.ndarray, tolerance: float = 1e-4) -> list[list[int]]:
    """The coordinates that a subspace moves, in groups: its projector joins those of a group, and none of different groups.

    Examples
    --------
    >>> moved_together(np.sqrt(0.5) * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    [[0, 1], [3, 4]]
    """
    joined = np.abs(vectors @ vectors.T) > tolerance
    groups: list[list[int]] = []
    for k in np.flatnonzero(np.diag(joined)):
        touched = [group for group in groups if joined[k, group].any()]
        groups = [group for group in groups if group not in touched] + [sorted([int(k), *(one for group in touched for one in group)])]
    return sorted(groups)


def _as_chains(x: Any, dtype: Any = np.float64) -> np.ndarray:
    """`x` with axes (chain, draw, ...)."""
    series = np.asarray(x, dtype=dtype)
    series = series[None] if series.ndim == 1 else series
    if series.ndim < 2 or series.shape[0] < 1 or series.shape[1] < 1:
        raise HamlearnError(f"expected a series with axes (chain, draw, ...) and at least one draw; got shape {np.shape(x)}.")
    return series


def pareto_k(log_weights: np.ndarray) -> float:
    """The shape k̂ of the tail of importance weights: averages of them converge up to 0.7, and they have no mean beyond 1.

    The generalised Pareto distribution is fitted to the largest weights as Zhang and Stephens do (Technometrics 51, 316 (2009)), with the
    tail's size and the weak prior at 0.5 of Vehtari, Simpson, Gelman, Yao and Gabry (JMLR 25, 72 (2024)).

    Parameters
    ----------
    log_weights : array
        Log weights of all draws, up to a constant; −∞ of impossible ones.

    Returns
    -------
    float
        Infinite where fewer than five draws stand out of the others' largest; 0 where none stands out by a tenth of the mean weight: what
        shape so low a tail has says nothing of averages.

    Examples
    --------
    >>> weights = (1 - np.random.default_rng(0).uniform(size=10_000)) ** -0.5  # a Pareto tail of shape 0.5
    >>> bool(abs(pareto_k(np.log(weights)) - 0.5) < 0.15)
    True
    """
    flat = np.sort(np.ravel(log_weights))
    n = math.ceil(min(0.2 * len(flat), 3 * math.sqrt(len(flat))))
    if n < 5 or not np.isfinite(flat[-n - 1]):
        return math.inf
    weights = np.exp(flat[-n - 1 :] - flat[-1])
    tail = weights[1:] - weights[0]
    tail = tail[tail > 0]
    if len(tail) < 5:
        return math.inf
    if tail[-1] < 0.1 * np.exp(flat - flat[-1]).mean():
        return 0.0
    n, m = len(tail), 30 + int(math.sqrt(len(tail)))
    quartile = tail[int(n / 4 + 0.5) - 1]
    theta = 1 / tail[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * quartile)
    shape = np.log1p(-theta[:, None] * tail).mean(1)
    likelihood = n * (np.log(-theta / shape) - shape - 1)
    mixed = np.exp(likelihood - likelihood.max())
    k = np.log1p(-(mixed @ theta / mixed.sum()) * tail).mean()
    return float((n * k + 10 * 0.5) / (n + 10))


# fmt: off
__all__ = [
    "AutocorrelationTime", "Jackknife", "autocorrelation", "batch_means_error", "block_bootstrap", "blocks",
    "descending", "effective_sample_size", "first_largest", "integrated_autocorrelation", "integrated_autocorrelation_time", "jackknife",
    "leading", "moved_together", "pareto_k", "power", "standard_error", "summed",
]
# fmt: on


def __dir__() -> list[str]:
    return sorted(__all__)
