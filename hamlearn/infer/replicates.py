"""Rows that a Hamiltonian makes in place of the data: read as these were, with the same cells missing and misread as often.

What of a few rows happened to be in none of them, such as the rare states that say how strong a bond is, is in enough of these.
Source: Gelman, Meng and Stern, Statistica Sinica 6, 733 (1996).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hamlearn.infer.completions import Completions
from hamlearn.infer.observations import ABSENT, Observations, channel

_REMEMBERING = 4000  # chains, of which that is asked


def replicated(data: Completions, theta: np.ndarray, count: int, each: int, sweeps: int, seed: int) -> Completions:
    """So many rows at θ, `each` of their completions begun at what they truly are; together they weigh as much as the data.

    Chains begin at completed rows of the data, drawn by their weights, and end after so many Gibbs sweeps over all sites. Which cells a row
    misses is kept, whatever its values have become, which is right where cells are missing completely at random.
    """
    free = Free(data, count, seed)
    free.chains.sweep(theta, sweeps)
    return free.read(data.part, count, each, seed)


class Free:
    """Chains of true states, which begin at completed rows of the data, drawn by their weights, and go on from where they were.

    Attributes
    ----------
    chains : Completions
        One of every row.
    gone : array of bool (row, n_sites)
        Which cells the row misses that a chain began at.
    """

    def __init__(self, data: Completions, count: int, seed: int) -> None:
        part, rng = data.part, np.random.default_rng(seed)
        known, weight = part.states.reshape(-1, part.states.shape[-1]).copy(), part.weight.reshape(-1)
        gone = known < 0
        known[data.rows] = data.states[:, 0]
        chosen = rng.choice(len(known), count, p=weight / weight.sum())
        shares = np.full((1, count), part.size / count)
        blank = replace(part, states=np.full((1, count, known.shape[1]), ABSENT, np.int8), weight=shares, weighted=False, flip=None)
        self.chains, self.gone, self._first = Completions(data.bound, blank, 1, seed, known[chosen]), gone[chosen], known[chosen]

    @property
    def states(self) -> np.ndarray:
        """Value indices ``(row, n_sites)``."""
        return self.chains.states[:, 0]

    @property
    def memory(self) -> np.ndarray:
        """Correlation ``(n_params,)`` of T where chains are with T where they began, over chains; 0 of what does not vary."""
        first, now = (self.chains.bound.statistics(one[:_REMEMBERING]) for one in (self._first, self.states))
        first, now = first - first.mean(0), now - now.mean(0)
        both = np.sqrt((first**2).mean(0) * (now**2).mean(0))
        return np.divide((first * now).mean(0), both, out=np.zeros(len(both)), where=both > 0)

    def read(self, part: Observations, count: int, each: int, seed: int) -> Completions:
        """The first so many, read as rows of a part are."""
        bound, rng, true = self.chains.bound, np.random.default_rng(seed), self.states[:count]
        chances = channel(part, bound.space.q)[:, :-1].swapaxes(1, 2)[np.arange(true.shape[1]), true]
        read = (rng.random((*true.shape, 1)) > chances.cumsum(-1)[..., :-1]).sum(-1).astype(np.int8)
        read[self.gone[:count]] = ABSENT
        weight = np.full((1, len(true)), part.size / len(true))
        return Completions(bound, replace(part, states=read[None], weight=weight, weighted=False), each, seed, true)
