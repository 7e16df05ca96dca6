"""Score matching of :class:`hamlearn.models.NetworkAction`, whose loss is quadratic in the readout weights of its networks.

With S = Σ_k θ_k T_k the loss of one temperature is ½ θᵀAθ − bᵀθ, A = Σ ∇T ∇Tᵀ and b = Σ ∇²T over rows; a few dozen terms, so that
everything that is tried afterwards (forms, penalties, folds) costs a small solve and no further pass over the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hamlearn.infer.likelihoods.score import row_chunks
from hamlearn.infer.observations import Observations, flat
from hamlearn.models.network_action import BoundNetworkAction

BLOCKS = 40
"""Contiguous blocks of rows, which keep autocorrelated draws together; every fifth is held out at a time."""


@dataclass(frozen=True, eq=False)
class Sums:
    """A and b of blocks of one temperature's rows: ``(BLOCKS, p, p)`` and ``(BLOCKS, p)``."""

    A: np.ndarray
    b: np.ndarray


@dataclass(frozen=True, eq=False)
class TermSums:
    """Σ T and the number of rows of blocks of one temperature: ``(BLOCKS, p)`` and ``(BLOCKS,)``, what a likelihood with ln Z asks for."""

    terms: np.ndarray
    rows: np.ndarray


def sums(bound: BoundNetworkAction, part: Observations) -> Sums:
    """The quadratic of every block."""
    p = bound.n_params
    A, b = np.zeros((BLOCKS, p, p)), np.zeros((BLOCKS, p))
    for block, (rows, w) in enumerate(_blocks(part)):
        for chunk in row_chunks(len(rows), p * bound.shape[0]):
            slopes = bound.gradients(rows[chunk], part.beta).reshape(-1, p)
            A[block] += slopes.T @ (slopes * np.repeat(w[chunk], bound.shape[0])[:, None])
            b[block] += w[chunk] @ bound.laplacians(rows[chunk], part.beta)
    return Sums(A, b)


def term_sums(bound: BoundNetworkAction, part: Observations) -> TermSums:
    """The sufficient statistics of every block."""
    terms, count = np.zeros((BLOCKS, bound.n_params)), np.zeros(BLOCKS)
    for block, (rows, w) in enumerate(_blocks(part)):
        count[block] = w.sum()
        for chunk in row_chunks(len(rows), bound.n_params * bound.shape[0]):
            terms[block] += w[chunk] @ bound.terms(rows[chunk], part.beta)
    return TermSums(terms, count)


def _blocks(part: Observations) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and weights of every block."""
    states, weight = flat(part)
    edges = np.arange(BLOCKS + 1) * len(states) // BLOCKS
    for start, stop in pairwise(edges):
        yield states[start:stop], weight[start:stop]


@dataclass(frozen=True, eq=False)
class NetworkScores:
    """What the covariance of the score asks of a likelihood: scores of rows, each temperature's multiplied by its factor.

    Attributes
    ----------
    bound : BoundNetworkAction
    parts : sequence of Observations
    factors : mapping
        By inverse temperature.
    """

    bound: BoundNetworkAction
    parts: Sequence[Observations]
    factors: dict[float, float]

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores b_s − A_s θ of single rows, times their factor."""
        bound = self.bound

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            rows = states.reshape(-1, bound.shape[0])
            found = np.empty((len(rows), bound.n_params))
            for chunk in row_chunks(len(rows), bound.n_params * bound.shape[0]):
                slopes = bound.gradients(rows[chunk], part.beta)
                pull = slopes @ theta
                found[chunk] = bound.laplacians(rows[chunk], part.beta) - (pull[:, None, :] @ slopes)[:, 0]
            return found * self.factors[part.beta]

        return scores


@dataclass(frozen=True, eq=False)
class TermScores:
    """The same of the likelihood of rings, whose scores are expected less observed terms: rows differ by the observed ones alone.

    Attributes
    ----------
    bound : BoundNetworkAction
    parts : sequence of Observations
    factors : mapping
        By inverse temperature.
    """

    bound: BoundNetworkAction
    parts: Sequence[Observations]
    factors: dict[float, float]

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """−T of single rows, times their factor."""
        bound = self.bound

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            rows = states.reshape(-1, bound.shape[0])
            found = np.empty((len(rows), bound.n_params))
            for chunk in row_chunks(len(rows), bound.n_params * bound.shape[0]):
                found[chunk] = bound.terms(rows[chunk], part.beta)
            return -found * self.factors[part.beta]

        return scores
