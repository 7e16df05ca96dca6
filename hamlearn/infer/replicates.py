"""Rows that a Hamiltonian makes in place of the data: read as these were, with the same cells missing and misread as often.

What of a few rows happened to be in none of them, such as the rare states that say how strong a bond is, is in enough of these.
Source: Gelman, Meng and Stern, Statistica Sinica 6, 733 (1996).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hamlearn.infer.completions import Completions
from hamlearn.infer.observations import ABSENT, channel


def replicated(data: Completions, theta: np.ndarray, count: int, each: int, sweeps: int, seed: int) -> Completions:
    """So many rows at θ, `each` of their completions begun at what they truly are; together they weigh as much as the data.

    Chains begin at completed rows of the data, drawn by their weights, and end after so many Gibbs sweeps over all sites. Which cells a row
    misses is kept, whatever its values have become, which is right where cells are missing completely at random.
    """
    part, bound, rng = data.part, data.bound, np.random.default_rng(seed)
    known, weight = part.states.reshape(-1, part.states.shape[-1]).copy(), part.weight.reshape(-1)
    gone = known < 0
    known[data.rows] = data.states[:, 0]
    chosen = rng.choice(len(known), count, p=weight / weight.sum())
    shares = np.full((1, count), part.size / count)
    blank = replace(part, states=np.full((1, count, known.shape[1]), ABSENT, np.int8), weight=shares, weighted=False, flip=None)
    free = Completions(bound, blank, 1, seed, known[chosen])
    free.sweep(theta, sweeps)
    true = free.states[:, 0]
    chances = channel(part, bound.space.q)[:, :-1].swapaxes(1, 2)[np.arange(true.shape[1]), true]
    read = (rng.random((*true.shape, 1)) > chances.cumsum(-1)[..., :-1]).sum(-1).astype(np.int8)
    read[gone[chosen]] = ABSENT
    return Completions(bound, replace(blank, states=read[None], flip=part.flip), each, seed, true)
