"""The exact likelihood of microstates with missing cells: Σ log Σ_completions exp(β θ·T) − M log Z(θ), all states being listed.

A true likelihood where cells are missing at random: what is missing may depend on what was observed, not on what was not. Rows are
grouped by what was observed of them; those that miss m cells have q^m completions each, so that they fill arrays without padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, padded
from hamlearn.infer.likelihoods.exact import ExactLikelihood, statistics
from hamlearn.infer.observations import Observations, unique_rows
from hamlearn.models import BoundCouplings

MOST_COMPLETIONS = 2e7  # of all distinct rows, whose numbers are held in memory (160 MB)


@dataclass(frozen=True, eq=False)
class Group:
    """Distinct rows of one temperature that miss equally many cells.

    Attributes
    ----------
    part : int
        Which temperature.
    rows : array of int (row,)
        Their numbers among the states that they were made of.
    index : array of int (row, q^m)
        Their completions as numbers of states, in the order of :func:`hamlearn.systems.exact.all_states`.
    weight : array (row,)
    """

    part: int
    rows: np.ndarray
    index: np.ndarray
    weight: np.ndarray


def groups(states: np.ndarray, weight: np.ndarray, q: int, part: int = 0) -> Iterator[Group]:
    """Rows of value indices with missing cells (below zero) by how many these are."""
    n_sites = states.shape[1]
    place = q ** np.arange(n_sites - 1, -1, -1, dtype=np.int64)
    gone = states < 0
    base, count = np.where(gone, 0, states) @ place, gone.sum(1)
    for m in np.unique(count):
        rows = np.flatnonzero(count == m)
        sites = np.nonzero(gone[rows])[1].reshape(len(rows), m)
        every = np.indices((q,) * m).reshape(m, q**m)  # values of the missing cells, (m, q^m)
        yield Group(part, rows, base[rows, None] + place[sites] @ every, weight[rows])


def n_completions(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """How many completions all distinct rows with missing cells have."""
    counts = [(states < 0).sum(1) for states, _ in map(unique_rows, parts)]
    return float(sum((float(bound.space.q) ** one[one > 0]).sum() for one in counts))


class MarginalLikelihood(ExactLikelihood):
    """See :class:`~hamlearn.infer.likelihoods.base.Likelihood`; not composite. Complete rows enter by their sums, as ever."""

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations]) -> None:
        super().__init__(bound, parts)
        self.groups: list[Group] = []
        for number, part in enumerate(parts):
            states, weight = unique_rows(part)
            holed = (states < 0).any(1)
            self.groups += groups(states[holed], weight[holed], bound.space.q, number)

    def _total(self, part: Observations) -> np.ndarray:
        """Of complete rows alone."""
        states, weight = unique_rows(part)
        whole = (states >= 0).all(1)
        return weight[whole] @ statistics(self.bound, states[whole]) if whole.any() else np.zeros(self.bound.n_params)

    @property
    def operations(self) -> float:
        """Of one value and gradient in compiled code."""
        return super().operations + TRANSCENDENTAL * sum(group.index.size for group in self.groups)

    def _conditional(self, group: Group, log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of the sum over completions ``(row,)``, and the probability of each ``(row, completion)``."""
        found = log_weight[group.index]
        top = found.max(1, keepdims=True)
        found = np.exp(found - top)
        total = found.sum(1, keepdims=True)
        return (top + np.log(total))[:, 0], found / total

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log likelihood and gradient."""
        value, gradient = super().value_and_gradient(theta)
        energies = self._table @ theta
        for group in self.groups:
            beta = self.betas[group.part]
            logs, share = self._conditional(group, beta * energies)
            value += float(group.weight @ logs)
            gradient += beta * self._spread(group, share) @ self._table
        return value, gradient

    def _spread(self, group: Group, share: np.ndarray) -> np.ndarray:
        """Weight of every state among the completions."""
        return np.bincount(group.index.ravel(), (share * group.weight[:, None]).ravel(), len(self._table))

    def _means(self, group: Group, share: np.ndarray) -> np.ndarray:
        """Mean statistics of every row's completions, ``(row, n_params)``."""
        rows, each = group.index.shape
        matrix = scipy.sparse.csr_matrix(
            (share.ravel(), group.index.ravel(), np.arange(0, rows * each + 1, each)), (rows, len(self._table))
        )
        return np.asarray(matrix @ self._table)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian: information of complete data less what is missing; a rough one that is always positive where this is not."""
        complete, energies = super().information(theta), self._table @ theta
        lost = np.zeros_like(complete)
        for group in self.groups:
            beta = self.betas[group.part]
            share = self._conditional(group, beta * energies)[1]
            means = self._means(group, share)
            second = (self._table * self._spread(group, share)[:, None]).T @ self._table
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
            found = np.empty((len(states), self.bound.n_params))
            for group in groups(states, np.ones(len(states)), self.bound.space.q):
                found[group.rows] = self._means(group, self._conditional(group, part.beta * energies)[1])
            return np.asarray(part.beta * (found - means[part.beta]))

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same log likelihood for JAX."""
        gaps = [(self.betas[one.part], padded(one.index), padded(one.weight)) for one in self.groups]
        return _log_density, (self._table, self.totals, self.sizes, self.betas, gaps)


def _log_density(theta: Any, arrays: Any) -> Any:
    import jax

    table, totals, sizes, betas, gaps = arrays
    energies = table @ theta
    log_z = jax.vmap(lambda beta: jax.nn.logsumexp(beta * energies))(betas)
    value = (betas * (totals @ theta) - sizes * log_z).sum()
    for beta, index, weight in gaps:
        value += weight @ jax.nn.logsumexp(beta * energies[index], -1)
    return value
