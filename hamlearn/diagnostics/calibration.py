"""Do error bars cover? Coverage at fixed truths, and simulation-based calibration with truths from the prior.

Intervals of one data set are dependent: what is counted, and what errors come from, are data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.stats

from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.progress import track


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth.

    Attributes
    ----------
    level : float
        The nominal probability.
    fractions : array (data set,)
        Fraction of covered parameters of every data set.
    mean : float
        Over data sets.
    standard_error : float
        Of the mean, from the scatter between data sets.
    """

    level: float
    fractions: np.ndarray
    mean: float
    standard_error: float

    @property
    def z(self) -> float:
        """Deviation from the nominal level in standard errors."""
        return (
            (self.mean - self.level) / self.standard_error if self.standard_error > 0 else np.inf * np.sign(self.mean - self.level or 0.0)
        )

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {self.standard_error:.1%} of {self.level:.0%} intervals cover ({len(self.fractions)} data sets)"


@dataclass(frozen=True)
class Ranks:
    """Simulation-based calibration: ranks of true parameters among posterior draws.

    Attributes
    ----------
    ranks : int array (data set, parameter)
        Number of posterior draws below the truth, 0 … draws.
    draws : int
        Posterior draws compared with each truth.
    p_values : array (parameter,)
        Of a χ² test that the ranks of one parameter are uniform over data sets.
    overall_p : float
        The smallest of them times their number (Bonferroni), at most 1: small means not calibrated.
    """

    ranks: np.ndarray
    draws: int
    p_values: np.ndarray
    overall_p: float

    def __str__(self) -> str:
        return f"SBC over {len(self.ranks)} data sets, {self.ranks.shape[1]} parameters: overall p = {self.overall_p:.3g}"


@verb
def coverage(
    simulate_and_learn: Callable[[int], tuple[Any, Any]], n: int, level: float = 0.9, *, executor: Executor | None = None
) -> Coverage:
    """Fraction of equal-tailed posterior intervals that hold the truth, over `n` data sets.

    Parameters
    ----------
    simulate_and_learn : callable
        Given the number of a data set (use it as seed), simulates and learns it; returns posterior draws
        ``(..., parameter)`` (leading axes are pooled) and the true parameters ``(parameter,)``. A top-level function
        where an executor of processes is used.
    n : int
        Number of data sets, at least 2.
    level : float
        Probability of the intervals.
    executor : concurrent.futures.Executor, optional
        Runs data sets in parallel; serial by default.

    Returns
    -------
    Coverage

    Examples
    --------
    >>> from hamlearn.diagnostics import coverage
    >>> def one(seed):
    ...     rng = np.random.default_rng(seed)
    ...     data = rng.normal(3.0, size=100)
    ...     return rng.normal(data.mean(), 0.1, size=(1000, 1)), [3.0]
    >>> result = coverage(one, n=200)
    >>> bool(abs(result.z) < 4)
    True
    """
    if not 0 < level < 1:
        raise HamlearnError(f"level is the probability of the intervals, between 0 and 1; got {level!r}.")
    _at_least_two(n)
    fractions = np.array(_run(partial(_covered, simulate_and_learn, level), n, executor, "coverage"))
    return Coverage(level, fractions, float(fractions.mean()), float(fractions.std(ddof=1) / np.sqrt(n)))


@verb
def sbc(
    draw_truth: Callable[[np.random.Generator], Any],
    simulate: Callable[[Any, int], Any],
    learn: Callable[[Any, int], Any],
    n: int,
    *,
    draws: int = 99,
    bins: int = 10,
    seed: int = 0,
    executor: Executor | None = None,
) -> Ranks:
    """Simulation-based calibration: with truths from the prior, ranks of truths among posterior draws are uniform.

    Parameters
    ----------
    draw_truth : callable
        Given a generator, parameters ``(parameter,)`` drawn from the prior.
    simulate : callable
        Given these parameters and a seed, data.
    learn : callable
        Given data and a seed, posterior draws ``(..., parameter)``; they are thinned evenly to `draws`.
    n : int
        Number of data sets.
    draws : int
        Posterior draws compared with each truth; one less than a multiple of `bins` makes bins equal.
    bins : int
        Of the rank histogram; at least five data sets a bin are needed.
    seed : int
        Of everything.
    executor : concurrent.futures.Executor, optional
        Runs data sets in parallel; serial by default.

    Returns
    -------
    Ranks

    Notes
    -----
    Talts et al., arXiv:1804.06788. Parameters of one data set are dependent, so each is tested by itself over data
    sets and the smallest p-value is corrected for their number.

    Examples
    --------
    >>> from hamlearn.diagnostics import sbc
    >>> def learn(data, seed):
    ...     return np.random.default_rng(seed).normal(data / 2, np.sqrt(0.5), size=(99, 1))
    >>> simulate = lambda truth, seed: truth[0] + np.random.default_rng(seed).normal()
    >>> result = sbc(lambda rng: rng.normal(size=1), simulate, learn, n=200)
    >>> result.overall_p > 1e-3
    True
    """
    _at_least_two(n)
    if n < 5 * bins or (draws + 1) % bins:
        raise HamlearnError(f"{bins} bins need at least {5 * bins} data sets and draws + 1 divisible by {bins}; got n={n}, draws={draws}.")
    ranks = np.array(_run(partial(_ranked, draw_truth, simulate, learn, draws, seed), n, executor, "calibration"))
    # Ties (a truth that is exactly zero among exact zeros) were broken at random when ranking.
    counts = np.stack([np.bincount(column * bins // (draws + 1), minlength=bins) for column in ranks.T])
    statistic = ((counts - n / bins) ** 2 / (n / bins)).sum(1)
    p_values = scipy.stats.chi2.sf(statistic, bins - 1)
    return Ranks(ranks, draws, p_values, float(min(1.0, p_values.min() * len(p_values))))


def _at_least_two(n: int) -> None:
    if n < 2:
        raise HamlearnError(f"an error needs at least two data sets; got n={n!r}.")


def _run(job: Callable[[int], Any], n: int, executor: Executor | None, label: str) -> list[Any]:
    results: Iterable[Any] = map(job, range(n)) if executor is None else executor.map(job, range(n))
    found = []
    with track(n, f"{label}, {n} data sets") as bar:
        for result in results:
            found.append(result)
            bar.advance(1)
    return found


def _draws_of(values: Any, parameters: int) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim < 2 or array.shape[-1] != parameters:
        raise HamlearnError(f"posterior draws must have shape (..., {parameters}) like the true parameters; got {array.shape}.")
    return array.reshape(-1, parameters)


def _covered(simulate_and_learn: Callable[[int], tuple[Any, Any]], level: float, number: int) -> float:
    posterior, truth = simulate_and_learn(number)
    true = np.atleast_1d(np.asarray(truth, float))
    low, high = np.quantile(_draws_of(posterior, len(true)), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(np.mean((low <= true) & (true <= high)))


def _ranked(
    draw_truth: Callable[[np.random.Generator], Any],
    simulate: Callable[[Any, int], Any],
    learn: Callable[[Any, int], Any],
    draws: int,
    seed: int,
    number: int,
) -> np.ndarray:
    own, for_data, for_learning, ties = np.random.SeedSequence([seed, number]).spawn(4)
    true = np.atleast_1d(np.asarray(draw_truth(np.random.default_rng(own)), float))
    data = simulate(true, int(for_data.generate_state(1)[0]))
    found = _draws_of(learn(data, int(for_learning.generate_state(1)[0])), len(true))
    if len(found) < draws:
        raise HamlearnError(f"learn returned {len(found)} draws, {draws} are needed.")
    kept = found[np.linspace(0, len(found) - 1, draws).round().astype(int)]
    equal = (kept == true).sum(0)
    return (kept < true).sum(0) + np.random.default_rng(ties).integers(0, equal + 1)
