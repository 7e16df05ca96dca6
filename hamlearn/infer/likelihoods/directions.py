"""Composite likelihoods of couplings of directions: angles and unit vectors of n components, H = −Σ J s_i·s_j − Σ h_i·s_i.

* "pseudo": given its neighbours a direction has a von Mises–Fisher density, ln p = β m·s − ln λ(β|m|) − ln area with the local field
  m = Σ_j J_ij s_j + h_i (Besag 1975; Mardia and Jupp, Directional Statistics, 2000); concave in J and h;
* "score": score matching (Hyvärinen 2005) on the sphere, which has no boundary; one linear solve. With the tangential
  part of the slope of ln p, β(m − (m·s)s), and its divergence −β(n − 1) m·s, the objective is β(n − 1) m·s − β²(|m|² − (m·s)²)/2.

Both are consistent stand-ins for the likelihood, with error bars from the scatter of the rows' scores. Angles are unit vectors of two
components here; a field is one more neighbour, that points along an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, Searched, padded
from hamlearn.infer.observations import Observations, flat
from hamlearn.models import BoundCouplings
from hamlearn.systems.spheres import jax_log_normaliser, log_area, log_normaliser

NAMES = ("pseudo", "score")
_CHUNK_VALUES = 1 << 21


class DirectionLikelihood(Searched):
    """Pseudo-likelihood or score matching of couplings of directions; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`."""

    composite = True

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name = bound, parts, name
        sites, bonds = bound.lattice.neighbours
        self._there = np.where(sites >= 0, sites, 0)
        self._real = sites >= 0
        # Strength of every (site, neighbour), and of every (site, axis) of the fields; one place more than θ has for the padding.
        places = np.where(self._real, np.append(bound.bond_group, 0)[bonds], bound.n_params)
        axes = len(bound.field_basis) if len(bound.field_group) else 0
        fields = bound.n_coupling_params + bound.field_group[:, None] * axes + np.arange(axes) if axes else np.zeros((len(places), 0), int)
        self._place = np.concatenate([places, fields], 1)
        self._data = [(self._components(states), weight) for states, weight in map(flat, parts)]
        self.n = len(self._data[0][0])
        self._axes = np.eye(self.n)[:, :axes]  # (component, axis)

    def _components(self, states: np.ndarray) -> np.ndarray:
        """Flat states ``(row, ...)`` as unit vectors by component, ``(n, row, site)``."""
        return np.ascontiguousarray(np.moveaxis(self.bound.space.encode(states), -1, 0))

    @property
    def operations(self) -> float:
        """Operations of one value and gradient."""
        rows = sum(states.shape[1] for states, _ in self._data)
        return 2 * TRANSCENDENTAL * rows * float(self._place.size)

    def _chunks(self, rows: int) -> list[slice]:
        size = max(16, _CHUNK_VALUES // max(self._place.size, 1))
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    def _neighbours(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours and axes of fields ``(component, row, site, neighbour)``, and each one's product with the vector at the site."""
        others = np.empty((*own.shape[:2], *self._place.shape))
        count = self._there.shape[1]
        others[..., :count] = np.take(own, self._there, axis=2)
        if not self._real.all():
            others[..., :count] *= self._real
        others[..., count:] = self._axes[:, None, None]
        return others, np.einsum("cri,crik->rik", own, others)

    def _local(self, theta: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The local field ``(component, row, site)``."""
        return np.einsum("crik,ik->cri", others, np.append(theta, 0.0)[self._place])

    def _slopes(self, theta: np.ndarray, beta: float, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value of every row ``(row,)`` and its derivative by (site, neighbour) strength ``(row, site, neighbour)``."""
        others, cos = self._neighbours(own)
        local = self._local(theta, others)
        along, pulled = (local * own).sum(0), np.einsum("cri,crik->rik", local, others)
        square = (local**2).sum(0)
        if self.name == "score":
            slope = beta * (self.n - 1) * cos - beta**2 * (pulled - along[..., None] * cos)
            return (beta * (self.n - 1) * along - 0.5 * beta**2 * (square - along**2)).sum(1), slope
        log_norm, ratio, _ = log_normaliser(beta * np.sqrt(square), self.n)
        return (beta * along - log_norm - log_area(self.n)).sum(1), beta * cos - beta**2 * ratio[..., None] * pulled

    def _scatter(self, values: np.ndarray) -> np.ndarray:
        n = self.bound.n_params
        return np.bincount(self._place.ravel(), weights=values.ravel(), minlength=n + 1)[:n]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        total, slope = 0.0, np.zeros(self._place.shape)
        for part, (states, weight) in zip(self.parts, self._data, strict=True):
            for chunk in self._chunks(len(weight)):
                value, rows = self._slopes(theta, part.beta, states[:, chunk])
                total += float(weight[chunk] @ value)
                slope += np.tensordot(weight[chunk], rows, 1)
        return total, self._scatter(slope)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, assembled from one block per site; a rough one takes a sample of the rows."""
        n, (sites, degree) = self.bound.n_params, self._place.shape
        blocks = np.zeros((sites, degree, degree))
        for part, (states, weight) in zip(self.parts, self._data, strict=True):
            if rough and len(weight) > 4000:
                stride = len(weight) // 2000
                states, weight = states[:, ::stride], weight[::stride] * weight.sum() / weight[::stride].sum()
            for chunk in self._chunks(len(weight)):
                blocks += self._block(theta, part.beta, states[:, chunk], weight[chunk])
        result = np.zeros(((n + 1) ** 2,))
        place = self._place[:, :, None] * (n + 1) + self._place[:, None, :]
        np.add.at(result, place.ravel(), blocks.ravel())
        return result.reshape(n + 1, n + 1)[:n, :n]

    def _block(self, theta: np.ndarray, beta: float, own: np.ndarray, weight: np.ndarray) -> np.ndarray:
        others, cos = self._neighbours(own)
        squares = lambda values, factor: (moved := np.moveaxis(values, 0, -1)) * factor @ moved.transpose(0, 2, 1)  # a product per site
        if self.name == "score":
            return beta**2 * (sum(squares(one, weight) for one in others) - squares(cos, weight))
        local = self._local(theta, others)
        size = np.sqrt((local**2).sum(0))
        _, ratio, slope = log_normaliser(beta * size, self.n)
        parallel = np.einsum("cri,crik->rik", local / np.maximum(size, 1e-300), others)
        found = sum(squares(one, (ratio.T * weight)[:, None]) for one in others)
        return beta**2 * (found + squares(parallel, ((slope - ratio).T * weight)[:, None]))

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows."""
        order = np.argsort(self._place.ravel(), kind="stable")
        sorted_place = self._place.ravel()[order]
        kept = sorted_place < self.bound.n_params
        order, sorted_place = order[kept], sorted_place[kept]
        starts = np.flatnonzero(np.diff(sorted_place, prepend=-1))

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            found = np.zeros((len(states), self.bound.n_params))
            for chunk in self._chunks(len(states)):
                slope = self._slopes(theta, part.beta, self._components(states[chunk]))[1]
                found[chunk][:, sorted_place[starts]] = np.add.reduceat(slope.reshape(len(slope), -1)[:, order], starts, axis=1)
            return found

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        data = [
            (padded(states, 1), padded(weight), np.float64(part.beta))
            for part, (states, weight) in zip(self.parts, self._data, strict=True)
        ]
        return _log_density_of(self.name, self.n), (data, self._place, self._there, self._axes)


@lru_cache(maxsize=8)
def _log_density_of(name: str, n: int) -> Callable[..., Any]:
    """Of directions of n components."""
    import jax.numpy as jnp

    area = log_area(n)

    def log_density(theta: Any, arrays: Any) -> Any:
        data, place, there, axes = arrays
        count = there.shape[1]
        strength, value = jnp.append(theta, 0.0)[place], 0.0  # the padding's is zero
        field = axes @ strength[:, count:].T  # (component, site)
        for states, weight, beta in data:
            local = (states[:, :, there] * strength[:, :count]).sum(-1) + field[:, None]
            along, square = (local * states).sum(0), (local**2).sum(0)
            if name == "score":
                value += weight @ (beta * (n - 1) * along - 0.5 * beta**2 * (square - along**2)).sum(1)
                continue
            log_norm = jax_log_normaliser(beta * jnp.sqrt(square + 1e-24), n)  # smooth where a field vanishes
            value += weight @ (beta * along - log_norm - area).sum(1)
        return value

    return log_density
