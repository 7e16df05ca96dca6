"""Simultaneous bands for ranks: what uniform ranks do at all places together, exactly.

Of n ranks 0 … K − 1 that are uniform and independent, how many lie below i is binomial at every i; a band that holds all of these
counts together with a given probability needs equal tails at every i, small enough for the whole. The counts form a Markov chain in
i, so the probability that they stay inside is a product of matrices: nothing is simulated.

Säilynoja, Bürkner and Vehtari, Statistics and Computing 32, 32 (2022).
"""

from __future__ import annotations

import numpy as np
import scipy.special
import scipy.stats

_ROUNDING = 1e-9  # tails that are equal but for rounding are equal
_ROUNDING_OF_SUMS = 1e-12  # below it a probability is known to be small, and no more
_HALVINGS = 40


def p_values(ranks: np.ndarray, values: int) -> np.ndarray:
    """How often uniform ranks stray so far, at the place where they stray most.

    Parameters
    ----------
    ranks : int array (n, parameter)
        Each from 0 to `values` − 1, independent along the first axis.
    values : int
        How many values a rank may have, at least 2.

    Returns
    -------
    array (parameter,)
        Exact p-values, down to 10⁻¹².

    Examples
    --------
    >>> p_values(np.arange(100)[:, None] % 10, 10)  # as even as can be
    array([1.])
    >>> bool(p_values(np.zeros((100, 1), int), 10)[0] < 1e-11)
    True
    """
    n = len(ranks)
    below, above = _tails(n, values)
    places = np.arange(values - 1)
    counts = np.stack([np.cumsum(np.bincount(column, minlength=values))[:-1] for column in np.asarray(ranks).T])
    least, which = np.unique(np.minimum(below[places, counts], above[places, counts]).min(1), return_inverse=True)
    return np.array([_leaves(below, above, tail * (1 + _ROUNDING), n, values) for tail in least])[which]


def band(n: int, values: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Between which shares of `n` uniform ranks lie below 1 … `values` − 1, at all of them together with probability `level` or more.

    Returns
    -------
    array (values − 1,), array (values − 1,)
        Least and largest share.

    Examples
    --------
    >>> low, high = band(200, 10)
    >>> bool(low[4] < 0.5 < high[4]), float(low[4])
    (True, 0.41)
    """
    below, above = _tails(n, values)
    small, large = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (small + large) / 2
        if _leaves(below, above, middle, n, values) <= 1 - level:
            small = middle
        else:
            large = middle
    low, high = _limits(below, above, small)
    return low / n, high / n


def _tails(n: int, values: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a count or a smaller one, and of it or a larger one, ``(place, count)``."""
    share, counts = np.arange(1, values)[:, None] / values, np.arange(n + 1)
    return scipy.stats.binom.cdf(counts, n, share), scipy.stats.binom.sf(counts - 1, n, share)


def _limits(below: np.ndarray, above: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest count at every place both of whose tails exceed `tail`; where none does the first exceeds the second."""
    return (below <= tail).sum(1), (above > tail).sum(1) - 1


def _leaves(below: np.ndarray, above: np.ndarray, tail: float, n: int, values: int) -> float:
    """Probability that at some place a tail of the count is at most `tail`."""
    low, high = _limits(below, above, tail)
    if np.any(low > high):
        return 1.0
    logs = scipy.special.gammaln(np.arange(n + 1) + 1.0)
    start, mass = 0, np.ones(1)
    for step in range(1, values):  # how many more lie below `step` than below the one before
        chance = 1 / (values - step + 1)
        now, before = np.arange(low[step - 1], high[step - 1] + 1), np.arange(start, start + len(mass))
        left = n - before
        more = now[:, None] - before
        possible = (more >= 0) & (more <= left)
        drawn = np.where(possible, more, 0)
        log = logs[left] - logs[drawn] - logs[left - drawn] + drawn * np.log(chance) + (left - drawn) * np.log1p(-chance)
        start, mass = int(low[step - 1]), np.where(possible, np.exp(log), 0.0) @ mass
    return float(np.clip(1 - mass.sum(), _ROUNDING_OF_SUMS, 1.0))
