"""Pseudo-likelihood of general couplings between many q-state sites on dense graphs (protein families).

Tables of all patterns would not fit, so the microstates stay as rows, each a sparse one-hot vector; a gradient is two
sparse products (Ekeberg et al. 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import scipy.sparse

from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.observations import Observations, flat
from hamlearn.models import BoundCouplings

_BLOCK = 1024  # rows


class OneHotLikelihood(Searched):
    """Value, gradient and diagonal curvature; too many parameters for a Hessian.

    Only for untied general couplings. Rows of identical microstates are not merged (they hardly occur).
    """

    composite = True
    name = "pseudo"

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations]) -> None:
        self.bound, self.parts = bound, parts
        pairs = [flat(part) for part in parts]
        self.states = np.concatenate([states for states, _ in pairs]).astype(np.int64)
        self.weight = np.concatenate([weight for _, weight in pairs])
        self.beta = np.concatenate([np.full(len(weight), part.beta) for part, (_, weight) in zip(parts, pairs, strict=True)])

    @cached_property
    def _hot(self) -> list[tuple[slice, scipy.sparse.csr_matrix]]:
        """One-hot rows times β in blocks, each ``(row, n_sites · q)``: what a block needs stays in the cache."""
        n, q = self.bound.lattice.n_sites, self.bound.space.q
        blocks = []
        for start in range(0, len(self.states), _BLOCK):
            part = slice(start, min(start + _BLOCK, len(self.states)))
            states = self.states[part]
            columns = (states + q * np.arange(n)).ravel()
            values = np.repeat(self.beta[part], n).astype(np.float32)
            matrix = scipy.sparse.csr_matrix((values, columns, np.arange(0, len(states) * n + 1, n)), shape=(len(states), n * q))
            blocks.append((part, matrix))
        return blocks

    def _conditionals(self, theta: np.ndarray) -> Iterator[tuple[slice, scipy.sparse.csr_matrix, np.ndarray, np.ndarray]]:
        """Block by block: rows, one-hot rows, log probabilities of the observed values ``(row, site)``, conditionals ``(row, site, q)``."""
        (first, second), q, n = self.bound.lattice.bonds.T, self.bound.space.q, self.bound.lattice.n_sites
        tables, fields = self.bound.tables(theta)
        blocks = np.zeros((n, q, n, q), np.float32)
        blocks[second, :, first] = tables.transpose(0, 2, 1)
        blocks[first, :, second] = tables
        matrix = blocks.reshape(n * q, n * q)
        for part, hot in self._hot:
            logits = (hot @ matrix).reshape(-1, n, q)
            logits += (self.beta[part, None, None] * fields).astype(np.float32)
            logits -= logits.max(-1, keepdims=True)
            observed = np.take_along_axis(logits, self.states[part][..., None], 2)[..., 0]
            np.exp(logits, out=logits)
            total = logits.sum(-1, keepdims=True)
            observed -= np.log(total[..., 0])
            logits /= total
            yield part, hot, observed, logits

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        bound, n, q = self.bound, self.bound.lattice.n_sites, self.bound.space.q
        value, product, fields = 0.0, np.zeros((n * q, n * q)), np.zeros((n, q))
        for part, hot, observed, residual in self._conditionals(theta):
            weight = self.weight[part]
            value += float(weight @ observed.sum(1, dtype=np.float64))
            np.negative(residual, out=residual)
            states = self.states[part][..., None]
            np.put_along_axis(residual, states, np.take_along_axis(residual, states, 2) + 1, 2)
            residual *= weight[:, None, None].astype(np.float32)
            product += hot.T @ residual.reshape(-1, n * q)
            fields += np.einsum("r,rsa->sa", self.beta[part], residual, optimize=True)
        first, second = bound.lattice.bonds.T
        pairs = product.reshape(n, q, n, q)
        slopes = pairs[second, :, first].transpose(0, 2, 1) + pairs[first, :, second]
        return value, bound.mean_statistics(slopes[None], fields[None])[0]

    def diagonal(self, theta: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian: Σ β² w Var(u_k) v_l², for a coupling from both of its ends."""
        bound, n = self.bound, self.bound.lattice.n_sites
        vectors, sites, size = np.broadcast_to(bound.vectors, (n, bound.n_vectors, bound.space.q)), np.arange(n), bound.n_vectors
        product, fields = np.zeros((n * size, n * size)), np.zeros((n, size))
        for part, _, _, probability in self._conditionals(theta):
            mean = lambda values, probability=probability: np.einsum("rsa,sla->rsl", probability, values, optimize=True)
            spread = mean(vectors**2) - mean(vectors) ** 2
            spread *= (self.weight[part] * self.beta[part] ** 2)[:, None, None]
            squares = (vectors**2)[sites, :, self.states[part]]
            product += spread.reshape(-1, n * size).T @ squares.reshape(-1, n * size)
            fields += spread.sum(0)
        pairs = product.reshape(n, size, n, size)
        first, second = bound.lattice.bonds.T
        couplings = pairs[first, :, second] + pairs[second, :, first].transpose(0, 2, 1)
        found = np.zeros(bound.n_params + 1)  # the last is of what sites with fewer states lack
        np.add.at(found, bound.pair_index, couplings.reshape(bound.pair_index.shape))
        np.add.at(found, bound.field_index, fields[:, : bound.field_index.shape[1]])
        return found[:-1]
