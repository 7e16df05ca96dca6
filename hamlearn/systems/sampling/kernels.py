"""What sequential kernels share: random numbers, neighbour lists, and threads over chains.

Every chain has a generator of its own (xoshiro256++, four words), so that results do not depend on the number of threads.
Source: Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hamlearn.compiled import compiled

kernel = compiled(nogil=True)
"""Compiles a kernel that threads run at the same time."""


@kernel
def word(rng: np.ndarray) -> np.uint64:
    """Next 64 random bits of xoshiro256++; advances `rng` (4 words)."""
    s0, s1, s2, s3 = rng[0], rng[1], rng[2], rng[3]
    total = s0 + s3
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    rng[0], rng[1], rng[2], rng[3] = s0, s1, s2, s3
    return result


@kernel
def uniform(rng: np.ndarray) -> float:
    """The next uniform number in [0, 1)."""
    return float(word(rng) >> np.uint64(11)) * 1.1102230246251565e-16  # 2⁻⁵³


def generators(seed: np.random.SeedSequence, chains: int) -> np.ndarray:
    """Generators of all chains, ``(chains, 4)``."""
    return seed.generate_state(4 * chains, np.uint64).reshape(-1, 4)


def neighbour_lists(groups: np.ndarray, n_sites: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which groups of sites ``(n_groups, k)`` hold each site: ``start``, ``group`` and ``place``.

    Site i is in the groups ``group[start[i]:start[i + 1]]``, in their ``place[...]``-th place. Of bonds (k = 2) the neighbour is
    ``bonds[group, 1 − place]``.

    Examples
    --------
    >>> start, group, place = neighbour_lists(np.array([[0, 1], [1, 2]]), 3)
    >>> start.tolist(), group.tolist(), place.tolist()
    ([0, 1, 3, 4], [0, 0, 1, 1], [0, 1, 0, 1])
    """
    flat = np.asarray(groups, np.int64)
    order = np.argsort(flat.ravel(), kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(flat.ravel(), minlength=n_sites))])
    size = flat.shape[1]
    return start, order // size, order % size


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """`function` of all items, in order, in as many threads as this process may use processors."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    processors = os.cpu_count() if affinity is None else len(affinity(0))
    with ThreadPoolExecutor(max_workers=processors) as threads:
        return list(threads.map(function, items))
