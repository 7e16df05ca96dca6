"""Independent exact samples of L×L spin tori by the row transfer matrix, written apart from hamlearn and batched for millions."""

from __future__ import annotations

from typing import Any

import numpy as np


def torus_samples(system: Any, beta: float, draws: int, seed: int) -> np.ndarray:
    """Samples (draws, L, L) of ±1 as int8, for pair couplings without fields."""
    size = system.lattice.shape[0]
    rows = (1 - 2 * ((np.arange(2**size)[:, None] >> np.arange(size)) & 1)).astype(float)
    inside, between = np.zeros((size, len(rows))), np.zeros((size, len(rows), len(rows)))
    for (i, j), strength in zip(system.lattice.bonds, beta * system.J, strict=True):
        (a, x), (b, y) = divmod(int(i), size), divmod(int(j), size)
        if a == b:
            inside[a] += strength * rows[:, x] * rows[:, y]
        elif (a + 1) % size == b:
            between[a] += strength * np.outer(rows[:, x], rows[:, y])
        else:
            between[b] += strength * np.outer(rows[:, y], rows[:, x])
    weight = np.exp(between + inside[np.arange(size) - (size - 1)][:, None, :])  # T_r[s, s'] with the bonds inside row r + 1
    tail = [np.eye(len(rows))]  # T_r … T_{L−1}, scaled
    for matrix in weight[::-1]:
        product = matrix @ tail[0]
        tail.insert(0, product / product.max())
    generator = np.random.default_rng(seed)
    first = np.sort(generator.choice(len(rows), size=draws, p=np.diag(tail[0]) / np.trace(tail[0])))
    chosen = np.empty((draws, size), np.int64)
    chosen[:, 0] = first
    edges = np.searchsorted(first, np.arange(len(rows) + 1))
    for here in range(size - 1):
        for state in np.unique(first):
            chunk = slice(edges[state], edges[state + 1])
            previous, where = np.unique(chosen[chunk, here], return_inverse=True)
            cumulative = np.cumsum(weight[here][previous] * tail[here + 1][:, state], axis=1)
            cumulative /= cumulative[:, -1:]
            key = where + generator.uniform(size=len(where)) * (1 - 1e-12)
            found = np.searchsorted((cumulative + np.arange(len(previous))[:, None]).ravel(), key, side="right")
            chosen[chunk, here + 1] = np.minimum(found - where * len(rows), len(rows) - 1)
    return rows.astype(np.int8)[chosen[generator.permutation(draws)]]
