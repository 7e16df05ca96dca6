"""The exact likelihood of what was observed of microstates: Σ log Σ_σ p(row | σ) exp(β θ·T(σ)) − M log Z(θ), all states being listed.

A true likelihood where cells are missing at random: what is missing may depend on what was observed, not on what was not. Rows are
grouped by what was observed of them; those that miss m cells have q^m completions each, so that they fill arrays without padding. Rows that
were read with errors may be any state, and are summed by products over sites (:mod:`hamlearn.infer.likelihoods.channel`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse

from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, padded
from hamlearn.infer.likelihoods.channel import Readings, places
from hamlearn.infer.likelihoods.exact import ExactLikelihood
from hamlearn.infer.observations import Observations, unique_rows
from hamlearn.models import BoundCouplings
from hamlearn.spaces.extents import each, ranks
from hamlearn.systems.base import Space

MOST_COMPLETIONS = 2e7  # of all distinct rows, whose numbers are held in memory (160 MB)
MOST_STATES = 2e7  # of all states for every pattern of missing cells, where rows are misread


class Listed(NamedTuple):
    """A :class:`Group` for JAX."""

    index: Any
    weight: Any

    def log_sum(self, log_weight: Any) -> Any:
        """Log of the sum over completions times weights, summed over rows."""
        import jax

        return self.weight @ jax.nn.logsumexp(log_weight[self.index], -1)


@dataclass(frozen=True, eq=False)
class Group:
    """Distinct rows of one temperature that miss equally many cells, of as many values.

    Attributes
    ----------
    part : int
        Which temperature.
    rows : array of int (row,)
        Their numbers among the states that they were made of.
    index : array of int (row, q^m), or as many as their sites have values
        Their completions as numbers of states, in the order of :func:`hamlearn.systems.exact.all_states`.
    weight : array (row,)
    """

    part: int
    rows: np.ndarray
    index: np.ndarray
    weight: np.ndarray

    @property
    def arrays(self) -> Listed:
        """What its sum for JAX needs."""
        return Listed(padded(self.index), padded(self.weight))

    @property
    def size(self) -> float:
        """Operations of one value and gradient."""
        return TRANSCENDENTAL * self.index.size

    def conditional(self, log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of the sum over completions ``(row,)``, and the probability of each ``(row, completion)``."""
        found = log_weight[self.index]
        top = found.max(1, keepdims=True)
        found = np.exp(found - top)
        total = found.sum(1, keepdims=True)
        return (top + np.log(total))[:, 0], found / total

    def spread(self, share: Any, n_states: int) -> np.ndarray:
        """Weight of every state among the completions."""
        return np.bincount(self.index.ravel(), (share * self.weight[:, None]).ravel(), n_states)

    def means(self, share: Any, table: np.ndarray) -> np.ndarray:
        """Mean of a ``table`` ``(state, n)`` over every row's completions, ``(row, n)``."""
        rows, each = self.index.shape
        matrix = scipy.sparse.csr_matrix((share.ravel(), self.index.ravel(), np.arange(0, rows * each + 1, each)), (rows, len(table)))
        return np.asarray(matrix @ table)


def grouped(part: Observations, states: np.ndarray, weight: np.ndarray, space: Space, number: int = 0) -> Iterator[Group | Readings]:
    """Rows that are read as those of a part are, in groups that are summed together."""
    sizes = each(space.extent, states.shape[1])
    if part.flip is None:
        return groups(ranks(states, space.extent), weight, np.array(sizes), number)
    return iter([Readings.of(states, weight, part, space.extent, number)])


def groups(states: np.ndarray, weight: np.ndarray, sizes: np.ndarray, part: int = 0) -> Iterator[Group]:
    """Rows of value indices (ranks among those that a site has) with missing cells (below zero), by how many of `sizes` these may have."""
    place = places(sizes)
    gone = states < 0
    base, count = np.where(gone, 0, states) @ place, gone.sum(1)
    for m in np.unique(count):
        alike = np.flatnonzero(count == m)
        sites = np.nonzero(gone[alike])[1].reshape(len(alike), m)
        kinds, kind = np.unique(sizes[sites], axis=0, return_inverse=True)
        for k, extents in enumerate(kinds.tolist()):
            own = kind.reshape(-1) == k
            every = np.indices(extents).reshape(m, math.prod(extents))  # values of the missing cells, (m, their number)
            yield Group(part, alike[own], base[alike[own], None] + place[sites[own]] @ every, weight[alike[own]])


def listable(bound: BoundCouplings, parts: Sequence[Observations]) -> bool:
    """Whether what rows may have been is little enough to be summed over."""
    completions, states = 0.0, 0.0
    for part in parts:
        gone = unique_rows(part)[0] < 0
        if part.flip is not None:
            states += len(np.unique(gone, axis=0)) * bound.n_states
        else:
            sizes = np.array(each(bound.space.extent, gone.shape[1]), float)
            completions += float(np.where(gone, sizes, 1.0).prod(1)[gone.any(1)].sum())
    return completions <= MOST_COMPLETIONS and states <= MOST_STATES


class MarginalLikelihood(ExactLikelihood):
    """See :class:`~hamlearn.infer.likelihoods.base.Likelihood`; not composite. Rows that are known whole enter by their sums, as ever."""

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations]) -> None:
        super().__init__(bound, parts)
        self.groups: list[Group | Readings] = []
        for number, part in enumerate(parts):
            states, weight = unique_rows(part)
            unsure = (states < 0).any(1) | (part.flip is not None)
            self.groups += grouped(part, states[unsure], weight[unsure], bound.space, number)

    def _total(self, part: Observations) -> np.ndarray:
        """Of rows that are known whole."""
        states, weight = unique_rows(part)
        whole = (states >= 0).all(1) & (part.flip is None)
        return weight[whole] @ self.bound.statistics(states[whole]) if whole.any() else np.zeros(self.bound.n_params)

    def misread_at(self, rates: np.ndarray, worth: float) -> MarginalLikelihood:
        """The likelihood of the same rows if sites were misread at these rates; rows count for the share `worth`."""
        other = copy.copy(self)
        other.__dict__["_table"] = self._table  # made once for all rates
        other.groups = [cast(Readings, one).misread_at(rates, worth) for one in self.groups]
        other.sizes = worth * self.sizes
        return other

    def rate_slopes(self, theta: np.ndarray) -> np.ndarray:
        """Slopes of the log likelihood ``(n_sites,)`` with the rates at which sites are misread, as all other values alike."""
        energies = self._table @ theta
        return np.sum([cast(Readings, one).rate_slopes(self.betas[one.part] * energies) for one in self.groups], 0)

    @property
    def operations(self) -> float:
        """Of one value and gradient in compiled code."""
        return super().operations + sum(group.size for group in self.groups)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log likelihood and gradient."""
        value, gradient = super().value_and_gradient(theta)
        energies = self._table @ theta
        for group in self.groups:
            beta = self.betas[group.part]
            logs, share = group.conditional(beta * energies)
            value += float(group.weight @ logs)
            gradient += beta * group.spread(share, len(energies)) @ self._table
        return value, gradient

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian: information of complete data less what is missing; a rough one that is always positive where this is not."""
        complete, energies = super().information(theta), self._table @ theta
        lost = np.zeros_like(complete)
        for group in self.groups:
            beta = self.betas[group.part]
            share = group.conditional(beta * energies)[1]
            means = group.means(share, self._table)
            second = (self._table * group.spread(share, len(energies))[:, None]).T @ self._table
            lost += beta**2 * (second - (means * group.weight[:, None]).T @ means)
        observed = complete - lost
        if not rough:
            return observed
        # Far from the maximum the likelihood need not be concave; steps by the complete data's information always climb (they are EM's).
        return observed if np.linalg.eigvalsh(observed)[0] > 0 else complete

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows: β (⟨T⟩ of its completions − ⟨T⟩)."""
        energies = self._table @ theta
        means = {part.beta: self._log_partition(part.beta, theta, 1)[1] for part in self.parts}

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            found, ones = np.empty((len(states), self.bound.n_params)), np.ones(len(states))
            for group in grouped(part, states, ones, self.bound.space):
                found[group.rows] = group.means(group.conditional(part.beta * energies)[1], self._table)
            return np.asarray(part.beta * (found - means[part.beta]))

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same log likelihood for JAX."""
        sums = [(self.betas[one.part], one.arrays) for one in self.groups]
        return _log_density, (self._table, self.totals, self.sizes, self.betas, sums)


def _log_density(theta: Any, arrays: Any) -> Any:
    import jax

    table, totals, sizes, betas, sums = arrays
    energies = table @ theta
    log_z = jax.vmap(lambda beta: jax.nn.logsumexp(beta * energies))(betas)
    value = (betas * (totals @ theta) - sizes * log_z).sum()
    for beta, one in sums:
        value += one.log_sum(beta * energies)
    return value
