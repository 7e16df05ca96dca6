"""Composite likelihoods of XY couplings, H = −Σ J cos(φ_i − φ_j).

* "pseudo": given its neighbours an angle has a von Mises density, ln p = κ cos(φ_i − μ) − ln 2πI₀(κ) with
  κ e^{iμ} = β Σ_j J_ij e^{iφ_j} (Besag 1975); concave in J, evaluated with exponentially scaled Bessel functions.
* "score": score matching (Hyvärinen 2005) on the torus, where periodicity leaves no boundary term; one linear solve.

Both are consistent stand-ins for the likelihood, with error bars from the scatter of the rows' scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from hamlearn.infer.likelihoods.base import TRANSCENDENTAL
from hamlearn.infer.observations import Observations, flat
from hamlearn.models import BoundCouplings

NAMES = ("pseudo", "score")
_CHUNK_VALUES = 1 << 21


def bessel_ratios(kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ln I₀(κ), A(κ)/κ with A = I₁/I₀, and A'(κ), for κ ≥ 0 of any size."""
    small = kappa < 1e-4
    scaled = special.i0e(kappa)
    ratio = np.where(small, 0.5 - kappa**2 / 16, special.i1e(kappa) / scaled / np.where(small, 1.0, kappa))
    # A' = 1 − A/κ − A² loses its digits where A → 1; there A' = 1/(2κ²) + 1/(4κ³) + 3/(8κ⁴) + …
    large = kappa > 200.0
    slope = np.where(large, (0.5 + 0.25 / np.maximum(kappa, 1)) / np.maximum(kappa, 1) ** 2, 1 - ratio - (ratio * kappa) ** 2)
    return np.log(scaled) + kappa, ratio, slope


class AngleLikelihood:
    """Pseudo-likelihood or score matching of XY couplings; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`."""

    composite = True

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name = bound, parts, name
        sites, bonds = bound.lattice.neighbours
        self._there = np.where(sites >= 0, sites, 0)
        self._real = sites >= 0
        # Strength of every (site, neighbour); one place more than θ has for the padding.
        self._place = np.where(self._real, np.append(bound.bond_group, 0)[bonds], bound.n_params)
        self._data = [flat(part) for part in parts]

    @property
    def operations(self) -> float:
        """Operations of one value and gradient."""
        rows = sum(len(states) for states, _ in self._data)
        return 2 * TRANSCENDENTAL * rows * float(self._place.size)

    def _chunks(self, rows: int) -> list[slice]:
        size = max(16, _CHUNK_VALUES // max(self._place.size, 1))
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    def _fields(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors of the neighbours seen from each angle: cos and sin of φ_j − φ_i, ``(row, site, neighbour)``."""
        # Trigonometric functions of every angle once, not of every pair: three times faster, and they take half of a fit.
        x, y = np.cos(angles), np.sin(angles)
        there = np.take(x, self._there, axis=1), np.take(y, self._there, axis=1)
        cos, sin = there[0] * x[..., None], there[1] * x[..., None]
        cos += there[1] * y[..., None]
        sin -= there[0] * y[..., None]
        if not self._real.all():
            cos *= self._real
            sin *= self._real
        return cos, sin

    def _local(self, theta: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The local field along and across each angle, ``(row, site)``."""
        strength = np.append(theta, 0.0)[self._place]
        return np.einsum("rik,ik->ri", cos, strength), np.einsum("rik,ik->ri", sin, strength)

    def _slopes(self, theta: np.ndarray, beta: float, cos: np.ndarray, sin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value of every row ``(row,)`` and its derivative by (site, neighbour) strength ``(row, site, neighbour)``."""
        along, across = self._local(theta, cos, sin)
        if self.name == "score":
            slope = beta * cos - beta**2 * across[..., None] * sin
            return (beta * along - 0.5 * (beta * across) ** 2).sum(1), slope
        log_norm, ratio, _ = bessel_ratios(beta * np.hypot(along, across))
        pull = beta**2 * ratio[..., None]
        slope = beta * cos - pull * (along[..., None] * cos + across[..., None] * sin)
        return (beta * along - log_norm - np.log(2 * np.pi)).sum(1), slope

    def _scatter(self, values: np.ndarray) -> np.ndarray:
        n = self.bound.n_params
        return np.bincount(self._place.ravel(), weights=values.ravel(), minlength=n + 1)[:n]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        total, slope = 0.0, np.zeros(self._place.shape)
        for part, (states, weight) in zip(self.parts, self._data, strict=True):
            for chunk in self._chunks(len(states)):
                value, rows = self._slopes(theta, part.beta, *self._fields(states[chunk]))
                total += float(weight[chunk] @ value)
                slope += np.tensordot(weight[chunk], rows, 1)
        return total, self._scatter(slope)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, assembled from one block per site; a rough one takes a sample of the rows."""
        n, (sites, degree) = self.bound.n_params, self._place.shape
        blocks = np.zeros((sites, degree, degree))
        for part, (states, weight) in zip(self.parts, self._data, strict=True):
            if rough and len(states) > 4000:
                stride = len(states) // 2000
                states, weight = states[::stride], weight[::stride] * weight.sum() / weight[::stride].sum()
            for chunk in self._chunks(len(states)):
                cos, sin = self._fields(states[chunk])
                blocks += self._block(theta, part.beta, cos, sin, weight[chunk])
        result = np.zeros(((n + 1) ** 2,))
        place = self._place[:, :, None] * (n + 1) + self._place[:, None, :]
        np.add.at(result, place.ravel(), blocks.ravel())
        return result.reshape(n + 1, n + 1)[:n, :n]

    def _block(self, theta: np.ndarray, beta: float, cos: np.ndarray, sin: np.ndarray, weight: np.ndarray) -> np.ndarray:
        moved_sin = np.moveaxis(sin, 0, -1)  # (site, neighbour, row): one matrix product per site
        if self.name == "score":
            return beta**2 * (moved_sin * weight) @ moved_sin.transpose(0, 2, 1)
        moved_cos = np.moveaxis(cos, 0, -1)
        along, across = self._local(theta, cos, sin)
        kappa = beta * np.hypot(along, across)
        _, ratio, slope = bessel_ratios(kappa)
        size = np.maximum(np.hypot(along, across), 1e-300)
        unit = ((along / size).T[:, None] * moved_cos, (across / size).T[:, None] * moved_sin)
        parallel = unit[0] + unit[1]
        flat_part = (ratio.T * weight)[:, None]
        steep = ((slope - ratio).T * weight)[:, None]
        found = (flat_part * moved_cos) @ moved_cos.transpose(0, 2, 1) + (flat_part * moved_sin) @ moved_sin.transpose(0, 2, 1)
        return beta**2 * (found + (steep * parallel) @ parallel.transpose(0, 2, 1))

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
                slope = self._slopes(theta, part.beta, *self._fields(states[chunk]))[1]
                found[chunk][:, sorted_place[starts]] = np.add.reduceat(slope.reshape(len(slope), -1)[:, order], starts, axis=1)
            return found

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        import jax.numpy as jnp
        from jax.scipy.special import i0e

        name, there, place, real = self.name, self._there, self._place, self._real
        arrays = [(states, weight, part.beta) for part, (states, weight) in zip(self.parts, self._data, strict=True)]

        def log_density(theta: Any, data: Any) -> Any:
            strength, value = jnp.append(theta, 0.0)[place] * real, 0.0
            for states, weight, beta in data:
                turn = states[:, there] - states[:, :, None]
                along, across = (jnp.cos(turn) * strength).sum(-1), (jnp.sin(turn) * strength).sum(-1)
                if name == "score":
                    value += weight @ (beta * along - 0.5 * (beta * across) ** 2).sum(1)
                    continue
                kappa = beta * jnp.sqrt(along**2 + across**2 + 1e-24)  # smooth where a field vanishes
                value += weight @ (beta * along - jnp.log(i0e(kappa)) - kappa - jnp.log(2 * jnp.pi)).sum(1)
            return value

        return log_density, arrays
