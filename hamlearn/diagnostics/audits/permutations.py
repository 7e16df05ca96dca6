"""Two samples of blocks: how far the means of their columns lie apart, against what exchanging whole blocks gives.

Blocks are independent where single rows are not, so they are what is permuted. Differences are studentised, which keeps the test of
blocks right where the two samples scatter differently or have different numbers of blocks (Janssen, Statist. Probab. Lett. 36, 9 (1997);
Chung and Romano, Ann. Statist. 41, 484 (2013)).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import scipy.special

PERMUTATIONS = 9999  # p-values down to 1e-4: a hundredth of what one of a hundred tests is allowed at 1 %
_SEED = 20120527  # of the permutations: the same for every test, so that a result is one of the data alone
_AT_ONCE = 1 << 22  # numbers of one piece of work
_SURE = 1e-6  # standard error of a column of unit spread, at least


class Difference(NamedTuple):
    """Of two samples of blocks: a statistic, how often exchanged blocks reach it, and the column that differs most.

    Attributes
    ----------
    statistic : float
        The largest |t| of all columns, or the sum of t².
    p_value : float
        nan where no column varies.
    column : int
        That of the largest |t|.
    effect, error : float
        Second mean minus first of this column, and its standard error.
    """

    statistic: float
    p_value: float
    column: int
    effect: float
    error: float


@functools.lru_cache(maxsize=8)
def exchanges(first: int, second: int, count: int = PERMUTATIONS) -> np.ndarray:
    """Which blocks are taken for the second sample, ``(count, first + second)`` of booleans, `second` of them in every row."""
    rng = np.random.default_rng((_SEED, first, second))
    ranks = rng.random((count, first + second)).argsort(1)
    return ranks < second


def difference(first: np.ndarray, second: np.ndarray, *, largest: bool, moved: np.ndarray | None = None) -> Difference:
    """Compare the means of two samples of blocks.

    Parameters
    ----------
    first, second : array (block, column)
        Means of blocks.
    largest : bool
        Whether the statistic is the largest |t| of the columns, or the sum of t².
    moved : array (member, column), optional
        By how much the second mean of every column is off for each of several members of a posterior: what the scatter of blocks does not
        hold. Its variance is added to that of the difference, and exchanged blocks are moved by one of the members, to either side.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> same, moved = rng.normal(size=(2, 40, 5)), np.array([0, 0, 0, 2.0, 0])
    >>> difference(same[0], same[1], largest=True).p_value > 0.01, difference(same[0], same[1] + moved, largest=True).p_value < 0.001
    (True, True)
    >>> difference(same[0], same[1] + moved, largest=True).column
    3
    """
    blocks = np.concatenate([first, second])
    live = np.flatnonzero(np.ptp(blocks, axis=0) > 1e-12 * np.maximum(np.abs(blocks).max(0), 1e-300))
    if not len(live):
        return Difference(0.0, np.nan, -1, 0.0, 0.0)
    blocks = (blocks - blocks.mean(0))[:, live]
    scale = blocks.std(0)
    blocks = blocks / scale
    shifts = np.zeros((1, len(live))) if moved is None else moved[:, live] / scale
    extra = (shifts**2).sum(0) / max(len(shifts) - 1, 1)
    observed = np.zeros((1, len(blocks)), bool)
    observed[0, len(first) :] = True
    t, gap, error = _studentised(observed, blocks, extra, 0.0)
    column = int(np.argmax(np.abs(t[0])))
    combine = (lambda values: np.abs(values).max(1)) if largest else (lambda values: (values**2).sum(1))
    statistic = float(combine(t)[0])
    assigned = exchanges(len(first), len(second))
    step, reached = max(1, _AT_ONCE // len(live)), 0
    rng = np.random.default_rng(_SEED)
    for start in range(0, len(assigned), step):
        part = assigned[start : start + step]
        chosen = shifts[rng.integers(len(shifts), size=len(part))] * rng.choice([-1.0, 1.0], size=(len(part), 1))
        reached += int(np.sum(combine(_studentised(part, blocks, extra, chosen)[0]) >= statistic * (1 - 1e-9)))
    own = scale[column]
    sure = error[0, column] <= _SURE  # neither side varies
    return Difference(
        statistic,
        (1 + reached) / (1 + len(assigned)),
        int(live[column]),
        float(gap[0, column] * own),
        0.0 if sure else float(error[0, column] * own),
    )


def _studentised(
    assigned: np.ndarray, blocks: np.ndarray, extra: np.ndarray, shift: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t, difference of means and its standard error, each ``(assignment, column)``, of columns of unit spread about zero."""
    second = int(assigned[0].sum())
    first = len(blocks) - second
    chosen = assigned.astype(float)
    total, square = blocks.sum(0), (blocks**2).sum(0)
    sums, squares = chosen @ blocks, chosen @ blocks**2
    rest, rest_squares = total - sums, square - squares
    variance = lambda s, q, n: np.maximum(q - s**2 / n, 0.0) / max(n - 1, 1) / n
    gap = sums / second - rest / first + shift
    # Where one side does not vary at all its share is zero; where neither does, the difference of a constant is as sure as can be.
    error = np.sqrt(np.maximum(variance(sums, squares, second) + variance(rest, rest_squares, first), _SURE**2) + extra)
    return gap / error, gap, error


def exchanged_sums(weights: np.ndarray, first: int, count: int = 999) -> tuple[float, np.ndarray]:
    """Energy-like distances of a matrix of mean distances between blocks, as they are and with blocks exchanged.

    Parameters
    ----------
    weights : array (block, block)
        Mean of a symmetric function of two rows over pairs of rows of two blocks; those of the first sample come first. The diagonal
        is left out: rows of one block are not independent.
    first : int
        Blocks of the first sample.
    count : int
        Exchanges.

    Returns
    -------
    tuple
        2 ⟨d⟩ between the samples minus ⟨d⟩ within each; and the same of every exchange.
    """
    whole, n = weights - np.diag(np.diagonal(weights)), len(weights)
    second = n - first
    observed = np.zeros((1, n), bool)
    observed[0, first:] = True
    chosen = np.concatenate([observed, exchanges(first, second, count)]).astype(float)
    inside = np.einsum("pi,pi->p", chosen @ whole, chosen)
    rest = np.einsum("pi,pi->p", (1 - chosen) @ whole, 1 - chosen)
    across = (whole.sum() - inside - rest) / 2
    found = 2 * across / (first * second) - inside / (second * (second - 1)) - rest / (first * (first - 1))
    return float(found[0]), found[1:]


def upper_p(value: float, null: np.ndarray) -> float:
    """The share of exchanges that reach `value`, the observed one counted; far out from a Gamma law of the same mean and variance and skew.

    Counting ends at one in so many; beyond, the tail is fitted (Pearson's type III, as Josse, Pagès and Husson 2008 do for permutations).
    """
    reached = int(np.sum(null >= value - 1e-12 * abs(value)))
    counted = (1 + reached) / (1 + len(null))
    if reached >= 10:
        return counted
    spread = null.std()
    skew = float(((null - null.mean()) ** 3).mean() / max(spread, 1e-300) ** 3)
    skew = max(skew, 0.2)
    shape = 4 / skew**2
    z = (value - null.mean()) / max(spread, 1e-300)
    fitted = float(scipy.special.gammaincc(shape, max(shape + z * np.sqrt(shape), 0.0)))
    return min(counted, max(fitted, 1e-12))
