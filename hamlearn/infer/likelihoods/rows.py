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
from hamlearn.infer.newton import Products
from hamlearn.infer.observations import Observations, unique_rows
from hamlearn.models import BoundCouplings


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
        return total, self._scatter(self._blocks(slope / norm))

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, assembled site by site from the parameters that act there: as dear as half a product a site."""
        p = self.bound.n_params
        value, first, second = conditionals.binary(self.name, self._log_odds(theta, self.spins, self.beta[:, None]))
        result, spins = np.zeros((p, p)), self.spins.copy()
        root = np.sqrt(second) * (np.sqrt(self.counts) * self.beta)[:, None]
        for site, (columns, parameters, sums) in enumerate(self._local):
            column = spins[:, site].copy()
            spins[:, site] = 1.0  # the column of a site's own field
            seen = spins if len(columns) == spins.shape[1] else spins[:, columns]
            seen = seen if sums is None else seen @ sums
            scaled = seen * root[:, site, None]
            block = scaled.T @ scaled
            if self.name == "logrise":
                mean = -(self.counts @ value[:, site]) / self.counts.sum()
                slope = (first[:, site] * self.counts * self.beta * column) @ seen / mean
                block = block / mean - np.outer(slope, slope) / self.counts.sum()
            spins[:, site] = column
            result[np.ix_(parameters, parameters)] += block
        return result

    def products(self, theta: np.ndarray) -> Products:
        """In single precision: what steps are solved by needs no more."""
        spins, counts = self.spins.astype(np.float32), self.counts.sum()
        value, first, second = conditionals.binary(self.name, self._log_odds(theta, self.spins, self.beta[:, None]))
        weight = second * (self.counts * self.beta**2)[:, None]
        slopes, means = np.zeros((spins.shape[1],) * 2), np.ones(spins.shape[1])
        if self.name == "logrise":
            means = -(self.counts @ value) / counts
            slopes = self._blocks(first * self.spins * (self.counts * self.beta)[:, None]) / means[:, None]
        total = weight.sum(0) / means
        single = (weight / means).astype(np.float32)

        def multiply(vector: np.ndarray) -> np.ndarray:
            matrix = self._matrix(vector)
            field = np.diagonal(matrix).copy()
            along = (slopes * matrix).sum(1, keepdims=True)
            np.fill_diagonal(matrix, 0.0)
            moved = (spins @ matrix.astype(np.float32) + field.astype(np.float32)) * single
            return self._scatter(self._blocks(moved, spins) - slopes * along / counts)

        return multiply, self._scatter(np.repeat(total[:, None], len(total), 1) - slopes**2 / counts)

    def _blocks(self, slope: np.ndarray, spins: np.ndarray | None = None) -> np.ndarray:
        """Slopes of every site's conditional summed with what each of its parameters multiplies, ``(site, column)``."""
        blocks = np.asarray(slope.T @ (self.spins if spins is None else spins), float)
        np.fill_diagonal(blocks, slope.sum(0))
        return blocks

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
            slope, spins = slope.T.copy(), spins.T.copy()  # what belongs to one site lies together
            pairs = slope[self._first] * spins[self._second]
            pairs += slope[self._second] * spins[self._first]
            fields = _sum_groups(slope[: len(bound.field_group)], bound.field_group)
            return np.concatenate([_sum_groups(pairs, bound.bond_group), fields]).T

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
    import jax.numpy as jnp

    def log_density(theta: Any, arrays: Any) -> Any:
        spins, counts, beta, index = arrays
        matrix, diagonal = jnp.append(theta, 0.0)[index], np.arange(len(index))
        field = matrix[diagonal, diagonal]
        z = spins * (spins @ matrix.at[diagonal, diagonal].set(0.0) + field) * beta[:, None]
        if name == "pseudo":
            return counts @ (jnp.minimum(2 * z, 0.0).sum(1) - _log_products(1 + jnp.exp(-2 * jnp.abs(z))))
        total = counts @ jnp.exp(-z)
        return -total.sum() if name == "rise" else -(counts.sum() * jnp.log(total / counts.sum())).sum()

    return log_density


def _log_products(factors: Any) -> Any:
    """Log of the product of every row of factors between 1 and 2, in JAX: of eight at a time, as a logarithm costs what ten products do."""
    import jax.numpy as jnp

    width = -(-factors.shape[1] // 8)
    factors = jnp.pad(factors, ((0, 0), (0, 8 * width - factors.shape[1])), constant_values=1.0)
    for half in (4 * width, 2 * width, width):
        factors = factors[:, :half] * factors[:, half:]
    return jnp.log(factors).sum(1)


def _sum_groups(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum rows that share a parameter."""
    if np.array_equal(group, np.arange(len(values))):
        return values
    result = np.zeros((int(group.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(result, group, values)
    return result
