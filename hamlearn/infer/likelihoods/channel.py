"""Readings of all states at once: p(reading) = Σ_σ Π_i C_i(reading_i | σ_i) p(σ), a product of one small matrix for every site.

Nothing is summed row by row: the vector of all states is multiplied by the matrix of one site after the other, N q^N operations for all
readings there may be, where sites have q values each. Sites that were not observed read one thing whatever they are (a row of ones), so
missing cells are readings too; rows with the same missing cells share their product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hamlearn.infer.likelihoods.base import padded
from hamlearn.infer.observations import Observations, channel
from hamlearn.spaces.extents import Extent, each, ranks, room, values_of

_LEAST = 1e-300  # probability of a reading, below which its logarithm is of no further use to a search


class Read(NamedTuple):
    """:class:`Readings` for JAX."""

    matrices: Any
    pattern: Any
    number: Any
    weight: Any

    def log_sum(self, log_weight: Any) -> Any:
        """Log of the sum over states times weights, summed over rows."""
        import jax
        import jax.numpy as jnp

        top = jax.lax.stop_gradient(log_weight.max())
        every = jax.lax.map(lambda one: multiplied(one, jnp.exp(log_weight - top)), self.matrices)
        return self.weight @ (top + jnp.log(jnp.maximum(every[self.pattern, self.number], _LEAST)))


@dataclass(frozen=True, eq=False)
class Readings:
    """Rows of one temperature that were read with errors.

    Attributes
    ----------
    part : int
        Which temperature.
    rows : array of int (row,)
        Their numbers among the states that they were made of.
    weight : array (row,)
    matrices : tuple of array (pattern, q, q)
        Of every site, by what is missing: the probability of every reading (first) given its value.
    pattern, number : array of int (row,)
        Which of these every row has, and which of all readings it is, in the order of :func:`hamlearn.systems.exact.all_states`.
    """

    part: int
    rows: np.ndarray
    weight: np.ndarray
    matrices: tuple[np.ndarray, ...]
    pattern: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, states: np.ndarray, weight: np.ndarray, source: Observations, extent: Extent, part: int = 0) -> Readings:
        """Of rows of value indices (below zero where they are missing), read as those of `source` are, of sites that have these values."""
        gone, sites = states < 0, values_of(extent, states.shape[1])
        which, pattern = np.unique(gone, axis=0, return_inverse=True)
        known = channel(source, room(extent) if source.flip is None else source.flip.shape[-1])
        matrices = tuple(
            np.where(none[:, None, None], _nothing(len(own)), one[np.ix_(own, own)])
            for none, one, own in zip(which.T, known, sites, strict=True)
        )
        number = np.where(gone, 0, ranks(states, extent)) @ places(each(extent, len(sites)))
        return cls(part, np.arange(len(states)), weight, matrices, pattern.reshape(-1), number)

    def misread_at(self, rates: np.ndarray, worth: float) -> Readings:
        """The same rows misread at other rates of the sites, as all other values alike; they count for that share."""
        found = []
        for matrix, rate in zip(self.matrices, rates, strict=True):
            q = matrix.shape[-1]
            gone = (matrix[:, :1] == 1).all(-1, keepdims=True)  # one reading, whatever the value
            found.append(np.where(gone, matrix, np.eye(q) * (1 - rate * q / (q - 1)) + rate / (q - 1)))
        return replace(self, matrices=tuple(found), weight=worth * self.weight)

    @property
    def size(self) -> float:
        """Multiplications of one value and gradient."""
        sizes = [float(one.shape[-1]) for one in self.matrices]
        return 3.0 * len(self.matrices[0]) * sum(sizes) * math.prod(sizes)

    @cached_property
    def _members(self) -> list[tuple[tuple[np.ndarray, ...], np.ndarray]]:
        """Of every pattern its matrices, and its rows."""
        order = np.argsort(self.pattern, kind="stable")
        rows = np.split(order, np.cumsum(np.bincount(self.pattern, minlength=len(self.matrices[0])))[:-1])
        return list(zip(zip(*self.matrices, strict=True), rows, strict=True))

    def conditional(self, log_weight: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Log of Σ_σ C(reading|σ) exp(log weight) ``(row,)``, and what the means of states given their readings are made of."""
        top = log_weight.max()
        weight, found = np.exp(log_weight - top), np.empty(len(self.number))
        for matrices, rows in self._members:
            found[rows] = multiplied(matrices, weight)[self.number[rows]]
        found = np.maximum(found, _LEAST)
        return top + np.log(found), (weight, found)

    def rate_slopes(self, log_weight: np.ndarray) -> np.ndarray:
        """Slopes ``(n_sites,)`` of Σ weight log p(reading) with the rates of sites at which all other values are read alike.

        The derivative of a site's matrix C with its rate is E C, E = (dC/df) C⁻¹, so that one product serves all sites.
        """
        (weight, found), result = self.conditional(log_weight)[1], np.zeros(len(self.matrices))
        for matrices, rows in self._members:
            every = multiplied(matrices, weight)
            ratio, left = np.bincount(self.number[rows], self.weight[rows] / found[rows], len(every)), 1
            for site, matrix in enumerate(matrices):
                q = len(matrix)
                if not (matrix[0] == 1).all():  # else it was not read, at any rate
                    paired = np.einsum("lar,lbr->ab", ratio.reshape(left, q, -1), every.reshape(left, q, -1))
                    change = (np.ones((q, q)) - q * np.eye(q)) / (q - 1)
                    result[site] += float((change @ np.linalg.inv(matrix) * paired).sum())
                left *= q
        return result

    def spread(self, share: Any, n_states: int) -> np.ndarray:
        """Weight of every state given the readings of all rows."""
        (weight, found), total = share, 0.0
        for matrices, rows in self._members:
            ratio = np.bincount(self.number[rows], self.weight[rows] / found[rows], n_states)
            total = total + multiplied([one.T for one in matrices], ratio)
        return np.asarray(weight * total)

    def means(self, share: Any, table: np.ndarray) -> np.ndarray:
        """Mean of a ``table`` ``(state, n)`` given the reading of every row, ``(row, n)``."""
        (weight, found), result = share, np.empty((len(self.number), table.shape[1]))
        weighted = table * weight[:, None]
        for matrices, rows in self._members:
            result[rows] = multiplied(matrices, weighted)[self.number[rows]]
        return np.asarray(result / found[:, None])

    @property
    def arrays(self) -> Read:
        """What its sum for JAX needs."""
        return Read(self.matrices, padded(self.pattern), padded(self.number), padded(self.weight))


def places(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """By how much the number of a state goes on with the value of every site, in the order of :func:`hamlearn.systems.exact.all_states`.

    Examples
    --------
    >>> places([2, 3, 4]).tolist()
    [12, 4, 1]
    """
    return np.append(np.cumprod(sizes[:0:-1], dtype=np.int64)[::-1], 1)


def _nothing(q: int) -> np.ndarray:
    """The matrix of a cell that was not observed."""
    found = np.zeros((q, q))
    found[0] = 1.0
    return found


def multiplied(matrices: Any, vector: Any) -> Any:
    """The product of a matrix ``(q, q)`` for every site with a vector of all states ``(Π q, ...)``; any array library.

    The first site's axis is multiplied and goes behind the others, so that after N steps the order is the old one.

    Examples
    --------
    >>> flip = np.array([[0.9, 0.2], [0.1, 0.8]])
    >>> multiplied(np.stack([flip, np.eye(2)]), np.array([1.0, 0.0, 0.0, 0.0])).tolist()
    [0.9, 0.0, 0.1, 0.0]
    """
    shape = vector.shape
    for matrix in matrices:
        q = matrix.shape[-1]
        vector = matrix @ vector.reshape(q, -1)
        vector = vector.reshape(q, shape[0] // q, -1).swapaxes(0, 1)
    return vector.reshape(shape)
