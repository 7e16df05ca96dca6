"""The same scores from a list of all states, where there are few: no conditionals, and the whole power of the likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.stats

from hamlearn.diagnostics.scores.sums import Collected, Rows
from hamlearn.models import BoundCouplings
from hamlearn.spaces.extents import each, ranks

MOST_NUMBERS = 2e7  # states times parameters
MOST_STATES = 4096  # for whole microstates, one by one: more are never seen often enough
_LEAST_EXPECTED = 5.0  # rows in a cell


def applies(bound: BoundCouplings) -> bool:
    """Whether all states can be listed with their sufficient statistics."""
    return bound.n_states * bound.n_params <= MOST_NUMBERS


@dataclass(eq=False)
class Listed:
    """All states of a family of pair couplings with their statistics T; −H = θ · T."""

    bound: BoundCouplings

    def __post_init__(self) -> None:
        self.states = self.bound.states()
        self.table = self.bound.statistics(self.states)

    def probability(self, theta: np.ndarray, beta: float) -> np.ndarray:
        """Boltzmann weights ``(state,)``."""
        weight = beta * (self.table @ theta)
        weight = np.exp(weight - weight.max())
        return np.asarray(weight / weight.sum())

    def collect(self, theta: np.ndarray, rows: Rows) -> Collected:
        """Scores of the parameters, and of the dispersion of the energy as the one further direction."""
        p, beta, size = self.probability(theta, rows.beta), rows.beta, rows.weight.sum()
        mean = p @ self.table
        centred = beta * (self.table - mean)
        H = size * (centred.T * p) @ centred
        energy = centred @ theta
        square = energy**2 / 2
        G = size * ((p * (square - p @ square)) @ centred)[None]
        variance = np.array([size * (p @ (square - p @ square) ** 2)])
        own = beta * (self.bound.statistics(rows.index) - mean)
        scatter = (own @ theta) ** 2 / 2 - p @ square
        table = scipy.sparse.csr_matrix((rows.weight, (rows.label, np.arange(len(own)))), shape=(rows.blocks, len(own)))
        return Collected(table @ scatter[:, None], table @ own, G, H, variance)

    def whole(self, theta: np.ndarray, rows: Rows) -> tuple[float, int, float] | None:
        """Pearson's sum over whole microstates, its degrees of freedom and p-value; None where there are too few rows.

        States that the model expects fewer than five times are gathered, the most probable ones first. Parameters
        fitted to the ungathered rows take up between none and all of their number in degrees of freedom
        (Chernoff & Lehmann 1954): none are taken off.
        """
        if len(self.states) > MOST_STATES or np.any(rows.weight != 1):
            return None
        expected = len(rows.index) * self.probability(theta, rows.beta)
        extent = self.bound.space.extent
        number = np.ravel_multi_index(tuple(ranks(rows.index, extent).T), each(extent, rows.index.shape[1]))
        seen = np.bincount(number, minlength=len(self.states))
        order = np.argsort(-expected, kind="stable")
        rare = expected[order] < _LEAST_EXPECTED
        gathered = np.floor(np.cumsum(np.where(rare, expected[order], 0.0)) / _LEAST_EXPECTED).astype(int)
        gathered = np.minimum(gathered, max(int(gathered[-1]) - 1, 0))  # the last one is not full
        _, cell = np.unique(np.where(rare, len(order) + gathered, np.arange(len(order))), return_inverse=True)
        wanted, found = np.bincount(cell, weights=expected[order]), np.bincount(cell, weights=seen[order])
        degrees = len(wanted) - 1
        if degrees < 8:
            return None
        value = float(np.sum((found - wanted) ** 2 / np.maximum(wanted, 1e-300)))
        return value, degrees, float(scipy.stats.chi2.sf(value, degrees))
