"""The exact likelihood of periodic paths, by the transfer operator on a quadrature grid.

Z(θ) = Tr T^N with T(x, y) = exp(−κu(x − y)²/2 − v(V(x) + V(y))/2) dx (Montroll and Ward; for paths Creutz and Freedman 1981); on
a uniform grid the trapezoidal rule converges exponentially. The data enter through the sums of the terms alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.observations import Observations
from hamlearn.models.actions import BoundAction, Scales

_PER_WIDTH = 4.0  # grid points per width 1/√(κu) of the kinetic term
_MOST_POINTS = 700
_NEGLIGIBLE = 25.0  # nats
_STEP = 1e-4  # relative, of the finite differences of the information


@dataclass(frozen=True, eq=False)
class Ring:
    """One temperature: grid, terms between neighbouring slices ``(n_full, point, point)``, and the data's sums."""

    grid: np.ndarray
    terms: np.ndarray
    slices: int
    total: np.ndarray
    size: float


class RingLikelihood(Searched):
    """Exact likelihood of a polynomial action of periodic paths; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`."""

    name = "exact"
    composite = False
    runaway = np.inf  # coefficients may be of any size

    def __init__(self, bound: BoundAction, parts: Sequence[Observations], scales: Sequence[Scales], guess: np.ndarray) -> None:
        model = bound.model
        if bound.family != "path" or model.range > 1 or not model.periodic or model.kinetic is False:
            raise HamlearnError(
                "the exact likelihood is the transfer operator's, for periodic paths with a nearest-neighbour kinetic term; "
                "use likelihood='score' or 'pseudo'."
            )
        self.bound, self.parts, self.scales = bound, parts, list(scales)
        self.rings = [self._ring(part, scale, bound.full(guess)) for part, scale in zip(parts, self.scales, strict=True)]

    def _ring(self, part: Observations, scales: Scales, full: np.ndarray) -> Ring:
        states, weight = part.states.reshape(-1, part.states.shape[-1]).astype(float), part.weight.reshape(-1)
        low, high = float(states.min()), float(states.max())
        margin = _margin(self.bound.model.powers, full, scales, low, high)
        step = min(1.0 / np.sqrt(max(full[0], 1e-12) * scales.u), 0.2 * (high - low)) / _PER_WIDTH
        points = int(np.ceil((high - low + 2 * margin) / step))
        if points > _MOST_POINTS:
            raise HamlearnError(f"the transfer operator needs {points} grid points at this spacing; use likelihood='pseudo'.")
        grid = np.linspace(low - margin, high + margin, points + 1)
        square = 0.5 * scales.u * (grid[:, None] - grid) ** 2
        powers = [0.5 * scales.v * (grid[:, None] ** p + grid**p) for p in self.bound.model.powers]
        total = weight @ self.bound.terms(states, scales)
        return Ring(grid, np.stack([square, *powers]), states.shape[1], total, part.size)

    @staticmethod
    def _solve(ring: Ring, full: np.ndarray) -> tuple[float, np.ndarray]:
        """Ln Z and the expected terms."""
        exponent = -np.tensordot(full, ring.terms, 1)
        top = exponent.max()
        kernel = np.exp(exponent - top)
        values, vectors = np.linalg.eigh(kernel)
        ratio = values / values[-1]
        weight = ratio**ring.slices
        norm = weight.sum()
        log_z = ring.slices * (top + np.log(values[-1]) + np.log(ring.grid[1] - ring.grid[0])) + np.log(norm)
        # ∂ ln Z/∂θ = N Σ_i w_i/λ_i v_iᵀ (∂T/∂θ) v_i; w/λ written so that vanishing eigenvalues do no harm.
        pair = (vectors * (ratio ** (ring.slices - 1) / (norm * values[-1]))) @ vectors.T
        return float(log_z), ring.slices * np.einsum("kxy,xy->k", ring.terms, kernel * pair)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log likelihood and gradient."""
        full, value, slope = self.bound.full(theta), 0.0, np.zeros(self.bound.n_full)
        for ring in self.rings:
            log_z, expected = self._solve(ring, full)
            value -= ring.total @ full + ring.size * log_z
            slope += ring.size * expected - ring.total
        return float(value), slope[self.bound.free]

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, from central differences of the exact gradient."""
        p = self.bound.n_params
        found = np.empty((p, p))
        for k in range(p):
            step = np.zeros(p)
            step[k] = _STEP * max(abs(theta[k]), 0.1)
            up, down = (self.value_and_gradient(theta + sign * step)[1] for sign in (1.0, -1.0))
            found[k] = (down - up) / (2 * step[k])
        return (found + found.T) / 2

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows: expected minus observed terms."""
        full = self.bound.full(theta)
        expected = [self._solve(ring, full)[1] for ring in self.rings]

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            index = next(k for k, known in enumerate(self.parts) if known is part)
            terms = self.bound.terms(states.reshape(-1, *self.bound.shape), self.scales[index])
            return (expected[index] - terms)[:, self.bound.free]

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same log likelihood for JAX."""
        known = self.bound.full(np.zeros(self.bound.n_params))
        rings = [(ring.terms, ring.total, ring.size, ring.slices) for ring in self.rings]
        return _log_density, (known, rings)


def _log_density(theta: Any, arrays: Any) -> Any:
    import jax.numpy as jnp

    known, rings = arrays
    full, value = jnp.concatenate([known[: len(known) - len(theta)], theta]), 0.0  # the unknown coefficients are the last ones
    for terms, total, size, count in rings:
        exponent = -jnp.tensordot(full, terms, 1)
        top = exponent.max()
        values = jnp.linalg.eigvalsh(jnp.exp(exponent - top))
        log_z = count * (top + jnp.log(values[-1])) + jnp.log(((values / values[-1]) ** count).sum())
        value -= total @ full + size * log_z
    return value


def _margin(powers: tuple[int, ...], full: np.ndarray, scales: Scales, low: float, high: float) -> float:
    """How far beyond the data the grid goes: to where the potential term of one slice is negligible, within bounds."""
    extent = high - low
    beyond = np.linspace(0.35, 1.5, 24) * extent
    inside = np.linspace(low, high, 101)
    c = full[len(full) - len(powers) :]
    V = lambda x: sum(k * x**p for p, k in zip(powers, c, strict=True))
    excess = scales.v * (np.minimum(V(high + beyond), V(low - beyond)) - V(inside).min())
    return float(beyond[np.argmax(excess > _NEGLIGIBLE)] if np.any(excess > _NEGLIGIBLE) else beyond[-1])
