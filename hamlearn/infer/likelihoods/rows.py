"""Composite likelihoods on dense graphs of ±1 spins, from the distinct microstates and their counts.

Where every site has many neighbours, local patterns are as many as microstates; the distinct rows are the compressed
data and all sites share one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hamlearn.infer.likelihoods import conditionals
from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, Searched, padded
from hamlearn.infer.observations import Observations, unique_rows
from hamlearn.models import BoundCouplings

_ROUGH_ROWS = 20_000


class RowLikelihood(Searched):
    """Pseudo-likelihood or screening of Ising couplings; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`."""

    composite = True

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name = bound, parts, name
        pairs = [unique_rows(part) for part in parts]
        self.spins = np.concatenate([2.0 * states - 1 for states, _ in pairs])
        self.counts = np.concatenate([counts for _, counts in pairs])
        self.beta = np.concatenate([np.full(len(counts), part.beta) for part, (_, counts) in zip(parts, pairs, strict=True)])
        self._first, self._second = bound.lattice.bonds.T
        n = bound.lattice.n_sites
        # Position in θ of (site, column): the coupling of the pair, on the diagonal the site's field; n_params if none.
        self.index = np.full((n, n), bound.n_params)
        self.index[self._first, self._second] = self.index[self._second, self._first] = bound.bond_group
        if len(bound.field_group):
            self.index[np.arange(n), np.arange(n)] = bound.n_coupling_params + bound.field_group
        self._local = [_local(row, bound.n_params) for row in self.index]

    @property
    def operations(self) -> float:
        """Operations of one value and gradient."""
        return self.spins.size * (TRANSCENDENTAL + 4.0 * self.spins.shape[1])

    def _matrix(self, theta: np.ndarray) -> np.ndarray:
        return np.append(theta, 0.0)[self.index]

    def _log_odds(self, theta: np.ndarray, spins: np.ndarray, beta: Any) -> np.ndarray:
        matrix = self._matrix(theta)
        field = np.diagonal(matrix).copy()
        np.fill_diagonal(matrix, 0.0)
        return spins * (spins @ matrix + field) * beta

    def _scatter(self, blocks: np.ndarray) -> np.ndarray:
        return np.bincount(self.index.ravel(), weights=blocks.ravel(), minlength=self.bound.n_params + 1)[: self.bound.n_params]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        z = self._log_odds(theta, self.spins, self.beta[:, None])
        value, first, _ = conditionals.binary(self.name, z)
        slope = first * self.spins * (self.counts * self.beta)[:, None]
        norm = np.ones(z.shape[1])
        total = float(self.counts @ value.sum(1))
        if self.name == "logrise":
            norm = -(self.counts @ value) / self.counts.sum()
            total = -float(self.counts.sum() * np.log(norm).sum())
        slope = slope / norm
        blocks = slope.T @ self.spins
        np.fill_diagonal(blocks, slope.sum(0))
        return total, self._scatter(blocks)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, assembled site by site from the parameters that act there.

        On a dense graph it costs n_sites times a gradient; a rough one takes a sample of the rows, which is enough to step with.
        """
        large = len(self.counts) > 2 * _ROUGH_ROWS
        # Single precision halves the time of large products; a Hessian good to 1e-6 loses nothing.
        spins, counts, beta = self.spins.astype(np.float32) if large else self.spins.copy(), self.counts, self.beta
        if rough and large:
            chosen = np.random.default_rng(0).choice(len(counts), _ROUGH_ROWS, p=counts / counts.sum())
            spins, beta, counts = spins[chosen], beta[chosen], np.full(_ROUGH_ROWS, counts.sum() / _ROUGH_ROWS)
        p = self.bound.n_params
        z = self._log_odds(theta, spins, beta[:, None])
        value, first, second = conditionals.binary(self.name, z)
        result = np.zeros((p, p))
        weight = (second * (counts * beta**2)[:, None]).astype(spins.dtype)
        for site, (columns, parameters, sums) in enumerate(self._local):
            column = spins[:, site].copy()
            spins[:, site] = 1.0  # the column of a site's own field
            seen = spins[:, columns] if sums is None else spins[:, columns] @ sums.astype(spins.dtype)
            block = seen.T @ (seen * weight[:, site, None])
            if self.name == "logrise":
                mean = -(counts @ value[:, site]) / counts.sum()
                slope = (first[:, site] * counts * beta * column) @ seen / mean
                block = block / mean - np.outer(slope, slope) / counts.sum()
            spins[:, site] = column
            result[np.ix_(parameters, parameters)] += block
        return result

    def diagonal(self, theta: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian of the pseudo-likelihood, where a Hessian would be too large."""
        second = conditionals.binary(self.name, self._log_odds(theta, self.spins, self.beta[:, None]))[2]
        total = (self.counts * self.beta**2) @ second
        blocks = np.repeat(total[:, None], len(total), 1)  # the information on (site, column) is the same for all columns
        return self._scatter(blocks)

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows."""
        norm: Any = 1.0
        if self.name == "logrise":
            value = conditionals.binary(self.name, self._log_odds(theta, self.spins, self.beta[:, None]))[0]
            norm = -(self.counts @ value) / self.counts.sum()
        bound = self.bound

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            spins = 2.0 * states - 1
            slope = conditionals.binary(self.name, self._log_odds(theta, spins, part.beta))[1] * spins * part.beta / norm
            pairs = slope[:, self._first] * spins[:, self._second] + slope[:, self._second] * spins[:, self._first]
            return np.concatenate(
                [_sum_groups(pairs, bound.bond_group), _sum_groups(slope[:, : len(bound.field_group)], bound.field_group)], 1
            )

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        return _log_density_of(self.name), (padded(self.spins), padded(self.counts), padded(self.beta), self.index)


def _local(row: np.ndarray, n_params: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Of one site's row of parameters: columns that have one, the parameters, and what sums columns that share one (None if none do)."""
    columns = np.flatnonzero(row < n_params)
    parameters, place = np.unique(row[columns], return_inverse=True)
    if len(parameters) == len(columns):
        return columns, row[columns], None
    return columns, parameters, np.eye(len(parameters))[place]


@lru_cache(maxsize=8)
def _log_density_of(name: str) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def log_density(theta: Any, arrays: Any) -> Any:
        spins, counts, beta, index = arrays
        matrix, diagonal = jnp.append(theta, 0.0)[index], np.arange(len(index))
        field = matrix[diagonal, diagonal]
        z = spins * (spins @ matrix.at[diagonal, diagonal].set(0.0) + field) * beta[:, None]
        if name == "pseudo":
            return (counts[:, None] * jax.nn.log_sigmoid(2 * z)).sum()
        total = counts @ jnp.exp(-z)
        return -total.sum() if name == "rise" else -(counts.sum() * jnp.log(total / counts.sum())).sum()

    return log_density


def _sum_groups(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum columns that share a parameter."""
    if not len(group):
        return values[:, :0]
    if len(np.unique(group)) == len(group):
        return values[:, np.argsort(group, kind="stable")]
    result = np.zeros((len(values), int(group.max()) + 1))
    np.add.at(result.T, group, values.T)
    return result
