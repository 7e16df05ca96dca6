"""Calibration of anything that learns: you give functions that simulate and learn.

Intervals of one data set are dependent: what is counted, and what errors come from, are data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from hamlearn.arguments import require_seed, require_whole
from hamlearn.diagnostics.calibration.results import Coverage, Ranks
from hamlearn.diagnostics.calibration.running import Run, run
from hamlearn.diagnostics.calibration.scores import Kept
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb


@verb
def coverage(
    simulate_and_learn: Callable[[int], tuple[Any, Any]],
    n: int,
    level: float = 0.9,
    *,
    executor: Executor | None = None,
    checkpoint: str | PathLike[str] | None = None,
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
    checkpoint : path, optional
        File that every data set is saved to as soon as it is done. The same call continues from it, also with a larger `n`. It knows your
        function by its name: give another file when you change it.

    Returns
    -------
    Coverage
        ``to_dataset()`` has the coverage of intervals of all levels.

    Raises
    ------
    HamlearnError
        If fewer than two data sets could be learned, or an argument is out of range. A data set that fails is counted in ``failures``.

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
    n = _at_least_two(n)
    request = {"coverage of": _named(simulate_and_learn), "level": repr(float(level))}
    found = run(
        partial(_covered, simulate_and_learn, level), n, executor=executor, checkpoint=checkpoint, request=request, label="coverage"
    )
    fractions = found.rows[:, 0].mean(1)
    error = float(fractions.std(ddof=1) / np.sqrt(len(fractions)))
    return Coverage(level, fractions, float(fractions.mean()), error, found.rows[:, 1], found.failures)


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
    checkpoint: str | PathLike[str] | None = None,
) -> Ranks:
    """Simulation-based calibration: with truths from the prior, ranks of truths among posterior draws are uniform.

    Parameters
    ----------
    draw_truth : callable
        Given a generator, parameters ``(parameter,)`` drawn from the prior.
    simulate : callable
        Given these parameters and a seed, data.
    learn : callable
        Given data and a seed, posterior draws ``([chain,] draw, parameter)``; they are thinned evenly to `draws`.
    n : int
        Number of data sets.
    draws : int
        Posterior draws compared with each truth; one less than a multiple of `bins` makes bins equal. Where chains are worth fewer
        independent draws, ranks are taken among 49, 19 or 9.
    bins : int
        Of the rank histogram; at least five data sets a bin are needed.
    seed : int
        Of everything.
    executor : concurrent.futures.Executor, optional
        Runs data sets in parallel; serial by default. Processes take top-level functions of a file, not lambdas.
    checkpoint : path, optional
        File that every data set is saved to as soon as it is done. The same call continues from it, also with a larger `n`, and gives
        what an uninterrupted one would have given. It knows your functions by their names: give another file when you change them.

    Returns
    -------
    Ranks

    Raises
    ------
    HamlearnError
        If fewer than two data sets could be learned, or an argument is out of range. A data set that fails is counted in ``failures``.

    Notes
    -----
    Talts et al., arXiv:1804.06788; simultaneous bands by Säilynoja, Bürkner and Vehtari, Statistics and Computing 32, 32 (2022). Parameters
    of one data set are dependent, so each is tested by itself over data sets and the smallest p-value is corrected for their number.

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
    n, seed = _at_least_two(n), require_seed(seed)
    if n < 5 * bins or (draws + 1) % bins:
        raise HamlearnError(f"{bins} bins need at least {5 * bins} data sets and draws + 1 divisible by {bins}; got n={n}, draws={draws}.")
    kept = Kept(draws, bins)
    request = {f"function {k}": _named(one) for k, one in enumerate((draw_truth, simulate, learn))}
    request |= {"draws": str(draws), "bins": str(bins), "seed": str(seed), "kept": kept.columns}
    job = partial(_ranked, draw_truth, simulate, learn, kept, seed)
    found = run(job, n, executor=executor, checkpoint=checkpoint, request=request, label="calibration")
    names = tuple(map(str, range(found.rows.shape[1])))
    return ranks_of(found, kept, names, ("parameter",) * len(names))


def ranks_of(found: Run, kept: Kept, names: tuple[str, ...], of: tuple[str, ...], **more: Any) -> Ranks:
    """The answer, of scores of all data sets."""
    read = kept.read(found.rows)
    scores = read.ranks, read.draws, kept.bins, read.positions, read.errors
    return Ranks(*scores, names, of, failures=found.failures, slow=read.slow, spreads=read.spreads, **more)


def _at_least_two(n: int) -> int:
    if not isinstance(n, bool | str) and np.ndim(n) == 0 and n < 2:
        raise HamlearnError(f"an error needs at least two data sets; got n={n!r}.")
    return require_whole(n, "n", 2)


def _named(function: Any) -> str:
    """What a checkpoint knows of a function."""
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _draws_of(values: Any, parameters: int) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim < 2 or array.shape[-1] != parameters:
        raise HamlearnError(f"posterior draws must have shape (..., {parameters}) like the true parameters; got {array.shape}.")
    return array


def _covered(simulate_and_learn: Callable[[int], tuple[Any, Any]], level: float, number: int) -> np.ndarray:
    """Whether the interval of every parameter holds the truth, and where the truth stands among all draws, ``(2, parameter)``."""
    posterior, truth = simulate_and_learn(number)
    true = np.atleast_1d(np.asarray(truth, float))
    flat = _draws_of(posterior, len(true)).reshape(-1, len(true))
    low, high = np.quantile(flat, [(1 - level) / 2, (1 + level) / 2], axis=0)
    rng = np.random.default_rng([1, number])
    ties = (flat == true).sum(0)
    position = ((flat < true).sum(0) + rng.random(len(true)) * (ties + 1)) / (len(flat) + 1)
    return np.stack([(low <= true) & (true <= high), position])


def _ranked(
    draw_truth: Callable[[np.random.Generator], Any],
    simulate: Callable[[Any, int], Any],
    learn: Callable[[Any, int], Any],
    kept: Kept,
    seed: int,
    number: int,
) -> np.ndarray:
    own, for_data, for_learning, ties = np.random.SeedSequence([seed, number]).spawn(4)
    true = np.atleast_1d(np.asarray(draw_truth(np.random.default_rng(own)), float))
    data = simulate(true, int(for_data.generate_state(1)[0]))
    found = _draws_of(learn(data, int(for_learning.generate_state(1)[0])), len(true))
    return kept.score(found, true, np.random.default_rng(ties))


__all__ = ["coverage", "sbc"]
