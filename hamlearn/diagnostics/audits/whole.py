"""The whole distribution: energy distance and maximum mean discrepancy, with blocks exchanged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hamlearn.diagnostics.audits import apart as metric
from hamlearn.diagnostics.audits.permutations import exchanged_sums, upper_p

MOST_ROWS = 1024  # of a side whose distances are worked out


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    flat = np.concatenate([first.reshape(-1, first.shape[-1]), second.reshape(-1, second.shape[-1])])
    return metric.apart(flat, flat)


def _reduced(matrix: np.ndarray, count: int, first: int, second: int, blocks: int) -> np.ndarray:
    starts = np.concatenate([np.arange(blocks) * first, blocks * first + np.arange(count - blocks) * second])
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    sizes = np.concatenate([np.full(blocks, first), np.full(count - blocks, second)])
    return np.asarray(sums / np.outer(sizes, sizes))


def distances(
    first: np.ndarray, second: np.ndarray, apart: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict[str, tuple[float, float, float]]:
    """Energy distance and squared maximum mean discrepancy of two sides.

    Parameters
    ----------
    first, second : array (block, row, number)
        Rows of independent blocks.
    apart : callable, optional
        Distances between the rows of the second side → distance of every member of a posterior from all of them, ``(member,)``: how far a
        model that is right may be off. Roots of distances add up at most (the triangle inequality), and are added.

    Returns
    -------
    dict
        By name the unbiased statistic, its p-value from exchanging whole blocks, and the spread of these.

    Notes
    -----
    Energy distance 2E|x − y| − E|x − x'| − E|y − y'| (Székely and Rizzo, J. Stat. Plan. Inference 143, 1249 (2013)); maximum mean
    discrepancy (Gretton et al., J. Mach. Learn. Res. 13, 723 (2012)) with a normal kernel as wide as the median distance.
    """
    matrix = _distances(first, second)
    shape = (len(first) + len(second), first.shape[1], second.shape[1], len(first))
    width = float(np.median(matrix[:: max(1, len(matrix) // 512)])) or 1.0
    found = {}
    for name, values in (("energy distance", matrix), ("maximum mean discrepancy", -np.exp(-0.5 * (matrix / width) ** 2))):
        statistic, null = exchanged_sums(_reduced(values, *shape), len(first))
        if apart is not None:
            cut = first.shape[0] * first.shape[1]
            far = apart(values[cut:, cut:])
            far = far[np.random.default_rng(0).integers(len(far), size=len(null))]
            floor = null.min()  # an unbiased distance scatters about zero: it has no root
            null = null + far + 2 * np.sqrt((null - floor) * far)
        found[name] = (statistic, upper_p(statistic, null), float(null.std()))
    return found
