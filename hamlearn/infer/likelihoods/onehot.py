"""Pseudo-likelihood of general couplings between many q-state sites on dense graphs (protein families).

Tables of all patterns would not fit, so the microstates stay as rows, each a sparse one-hot vector; a gradient is two
sparse products (Ekeberg et al. 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import scipy.sparse

from hamlearn.infer.records import Part, flat
from hamlearn.models import BoundCouplings
from hamlearn.models.couplings import zero_sum_basis


class OneHotLikelihood:
    """Value, gradient and diagonal curvature; too many parameters for a Hessian.

    Only for untied general couplings. Rows of identical microstates are not merged (they hardly occur).
    """

    composite = True
    name = "pseudo"

    def __init__(self, bound: BoundCouplings, parts: Sequence[Part]) -> None:
        self.bound, self.parts = bound, parts
        pairs = [flat(part) for part in parts]
        self.states = np.concatenate([states for states, _ in pairs]).astype(np.int64)
        self.weight = np.concatenate([weight for _, weight in pairs])
        self.beta = np.concatenate([np.full(len(weight), part.beta) for part, (_, weight) in zip(parts, pairs, strict=True)])

    @cached_property
    def _hot(self) -> scipy.sparse.csr_matrix:
        """One-hot rows times β, shape ``(row, n_sites · q)``."""
        rows, n = self.states.shape
        columns = (self.states + self.bound.space.q * np.arange(n)).ravel()
        values = np.repeat(self.beta, n).astype(np.float32)
        return scipy.sparse.csr_matrix((values, columns, np.arange(0, rows * n + 1, n)), shape=(rows, n * self.bound.space.q))

    def _residual(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities of the observed values ``(row, site)`` and the conditionals ``(row, site, q)``."""
        (first, second), q, n = self.bound.lattice.bonds.T, self.bound.space.q, self.bound.lattice.n_sites
        tables, fields = self.bound.tables(theta)
        matrix = np.zeros((n, q, n, q), np.float32)
        matrix[second, :, first] = tables.transpose(0, 2, 1)
        matrix[first, :, second] = tables
        logits = (self._hot @ matrix.reshape(n * q, n * q)).reshape(-1, n, q)
        logits += (self.beta[:, None, None] * fields).astype(np.float32)
        logits -= logits.max(-1, keepdims=True)
        weights = np.exp(logits)
        total = weights.sum(-1, keepdims=True)
        observed = np.take_along_axis(logits, self.states[..., None], 2)[..., 0] - np.log(total[..., 0])
        weights /= total
        return observed, weights

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        bound, q, n = self.bound, self.bound.space.q, self.bound.lattice.n_sites
        observed, residual = self._residual(theta)
        value = float(self.weight @ observed.sum(1, dtype=np.float64))
        np.negative(residual, out=residual)
        np.put_along_axis(residual, self.states[..., None], np.take_along_axis(residual, self.states[..., None], 2) + 1, 2)
        residual *= self.weight[:, None, None].astype(np.float32)
        product = (self._hot.T @ residual.reshape(-1, n * q)).astype(np.float64).reshape(n, q, n, q)
        first, second = bound.lattice.bonds.T
        slopes = product[second, :, first].transpose(0, 2, 1) + product[first, :, second]
        vectors = zero_sum_basis(q)
        gradient = [np.einsum("ma,gab,nb->gmn", vectors, slopes, vectors, optimize=True).ravel()]
        if len(bound.field_group):
            fields = np.einsum("r,rsa->sa", self.beta, residual, optimize=True)
            gradient.append((np.add.reduceat(fields, [0]) if bound.model.fields == "uniform" else fields) @ vectors.T)
        return value, np.concatenate([part.ravel() for part in gradient])

    def diagonal(self, theta: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian: Σ β² w Var(u_k) v_l², for a coupling from both of its ends."""
        bound, n = self.bound, self.bound.lattice.n_sites
        vectors = zero_sum_basis(bound.space.q)
        _, probability = self._residual(theta)
        spread = probability @ (vectors**2).T - (probability @ vectors.T) ** 2
        scale = (self.weight * self.beta**2)[:, None, None]
        squares = (vectors**2).T[self.states]
        size = len(vectors)
        product = ((scale * spread).reshape(-1, n * size).T @ squares.reshape(-1, n * size)).reshape(n, size, n, size)
        first, second = bound.lattice.bonds.T
        couplings = product[first, :, second] + product[second, :, first].transpose(0, 2, 1)
        if not len(bound.field_group):
            return couplings.ravel()
        fields = (scale * spread).sum(0)
        return np.concatenate([couplings.ravel(), (fields.sum(0) if bound.model.fields == "uniform" else fields).ravel()])
