"""Rows in independent blocks, as the score tests read them."""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn.diagnostics.scores.sums import Rows
from hamlearn.infer.observations import Observations, flat

MOST_BLOCKS = 2048
MIN_BLOCKS = 20
BLOCK_TIMES = 5.0  # autocorrelation times a block must last
MOST_ROWS = 200_000
_SIGNIFICANT = 0.01  # of the correlation of neighbouring blocks


def gathered(part: Observations, tau: float, most: int, several: int, rng: np.random.Generator) -> tuple[Rows, int]:
    """Rows of one data set, and how many of them stand for one (1: all are used).

    Parameters
    ----------
    part : Observations
        The data; a histogram's counts are spread out again, its rows are independent.
    tau : float
        Autocorrelation time in draws.
    most : int
        Rows that may be used; of more every k-th one is.
    several : int
        Number of data sets, which share the blocks.
    """
    counted = not part.weighted and np.any(part.weight != 1)
    blocks = max(MOST_BLOCKS // several, 2 * MIN_BLOCKS)
    if counted or part.weighted or part.independent:
        states, weight = flat(part)
        if counted:
            repeats = np.round(weight).astype(np.int64)
            if repeats.sum() > MOST_ROWS:
                repeats = rng.multivariate_hypergeometric(repeats, MOST_ROWS, method="marginals")
            states = np.repeat(states, repeats, axis=0)
            weight = np.ones(len(states))
        order = rng.permutation(len(states))[:most]
        every = max(1, -(-len(states) // most))
        blocks = min(blocks, len(order))
        return Rows(states[order], weight[order], np.arange(len(order)) * blocks // len(order), blocks, part.beta), every
    chains, draws, n_sites = part.states.shape
    every = max(1, -(-chains * draws // most))
    states = part.states[:, ::every]
    draws = states.shape[1]
    length = BLOCK_TIMES * tau / every if tau > 1 else 1.0
    each = int(max(1, min(draws // max(length, 1.0), blocks // chains)))
    if chains * draws < 2 * MIN_BLOCKS:
        each = draws
    label = np.arange(chains)[:, None] * each + (np.arange(draws) * each // draws)[None]
    rows = states.reshape(-1, n_sites)
    return Rows(rows, np.ones(len(rows)), label.ravel(), chains * each, part.beta), every


def merged(sums: np.ndarray, chains: int) -> np.ndarray | None:
    """Blocks ``(block, column)`` of contiguous draws, joined two by two until neighbours are uncorrelated; None if they stay so.

    Flyvbjerg & Petersen 1989. Whether neighbours are correlated is asked of the mean over all columns and of the worst one.
    """
    while True:
        each = len(sums) // chains
        if each < 2:
            return sums if len(sums) >= MIN_BLOCKS else None
        scaled = sums - sums.mean(0)
        variance = (scaled**2).sum(0)
        live = variance > 0
        series = (scaled[:, live] / np.sqrt(variance[live])).reshape(chains, each, -1)
        lagged = (series[:, 1:] * series[:, :-1]).sum((0, 1)) * np.sqrt(len(sums))
        worst_mean = scipy.stats.norm.isf(_SIGNIFICANT) / np.sqrt(max(lagged.size, 1))  # 0.5 where columns depend on each other
        worst = scipy.stats.norm.isf(_SIGNIFICANT / max(lagged.size, 1))
        if lagged.size == 0 or (lagged.max() < worst and lagged.mean() < max(0.5, worst_mean)):
            return sums if len(sums) >= MIN_BLOCKS else None
        if len(sums) < 2 * MIN_BLOCKS:
            return None
        sums = series_sum(sums.reshape(chains, each, -1), each // 2 * 2).reshape(-1, sums.shape[1])


def series_sum(series: np.ndarray, even: int) -> np.ndarray:
    """Sums of two neighbours along axis 1; a last odd one joins the pair before it."""
    pairs = series[:, 0:even:2] + series[:, 1:even:2]
    if even < series.shape[1]:
        pairs[:, -1] += series[:, -1]
    return np.asarray(pairs)


__all__ = ["MIN_BLOCKS", "gathered", "merged"]
