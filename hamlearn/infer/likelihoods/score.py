"""Score matching of actions that are linear in their coefficients (Hyvärinen, J. Mach. Learn. Res. 6, 695 (2005)).

With S = Σ_k θ_k T_k the loss E[½ |∇S|² − ∇²S] is quadratic: A θ = b with A_kl = ⟨∇T_k·∇T_l⟩ and b_k = ⟨∇²T_k⟩, no
normaliser, no sampling. Valid for real fields whose density vanishes at infinity; consistent; a stand-in, not a likelihood.
The loss has no natural scale, so its curvature says nothing about error bars: they come from the scatter of the
rows' scores (:mod:`hamlearn.infer.calibrate`) alone. Once they have given it one it is sampled as any composite likelihood is
(Giummolè, Mameli, Ruli and Ventura, TEST 28, 728 (2019)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.observations import Observations
from hamlearn.models.actions import BoundAction, Scales

_CHUNK_VALUES = 1 << 22


def row_chunks(rows: int, values_per_row: int) -> list[slice]:
    """Slices of rows that fit into the cache."""
    size = max(16, _CHUNK_VALUES // max(values_per_row, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


class ScoreMatching(Searched):
    """The score-matching objective of one temperature: −(number of rows) · loss, as a concave function of θ.

    It has the members of :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    Attributes
    ----------
    A : array (n_full, n_full)
    b : array (n_full,)
        Sums over rows.
    """

    name = "score"
    composite = True

    def __init__(self, bound: BoundAction, parts: Sequence[Observations], scales: Scales) -> None:
        (part,) = parts
        self.bound, self.parts, self.scales = bound, parts, scales
        states, weight = part.states.reshape(-1, *bound.shape), part.weight.reshape(-1)
        n = bound.n_full
        self.A, self.b = np.zeros((n, n)), np.zeros(n)
        for chunk in row_chunks(len(states), n * int(np.prod(bound.shape))):
            x, w = states[chunk], weight[chunk]
            slopes = bound.gradients(x, scales).reshape(n, len(x), -1)
            self.A += (slopes * w[:, None]).reshape(n, -1) @ slopes.reshape(n, -1).T
            self.b += w @ bound.laplacians(x, scales)

    def _gradient(self, full: np.ndarray) -> np.ndarray:
        return (self.b - self.A @ full)[self.bound.free]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        full = self.bound.full(theta)
        return float(self.b @ full - 0.5 * full @ self.A @ full), self._gradient(full)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, which does not depend on θ."""
        free = self.bound.free
        return self.A[free, free]

    def solve(self) -> np.ndarray:
        """The optimum θ̂: one linear solve."""
        zero = np.zeros(self.bound.n_params)
        scale = np.sqrt(np.diag(self.information(zero)))
        scaled = self.information(zero) / np.outer(scale, scale)
        return np.linalg.solve(scaled, self._gradient(self.bound.full(zero)) / scale) / scale

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores b_s − A_s θ of single rows."""
        bound, full = self.bound, self.bound.full(theta)

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            x = states.reshape(-1, *bound.shape)
            found = np.empty((len(x), bound.n_full))
            for chunk in row_chunks(len(x), bound.n_full * states.shape[-1]):
                slopes = bound.gradients(x[chunk], self.scales).reshape(bound.n_full, len(x[chunk]), -1)
                pull = np.tensordot(full, slopes, 1)
                found[chunk] = bound.laplacians(x[chunk], self.scales) - np.einsum("krn,rn->rk", slopes, pull)
            return found[:, bound.free]

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        free, known = self.bound.free, self.bound.full(np.zeros(self.bound.n_params))
        A, b = self.A[free, free], (self.b - self.A @ known)[free]
        return _log_density, (A, b)


@dataclass(frozen=True, eq=False)
class PooledScores(Searched):
    """What several temperatures say together: −½ (θ − θ̂)ᵀ A (θ − θ̂), A the precision of the pooled estimate θ̂.

    Losses of different temperatures have different scales, so only their calibrated sum means anything.
    """

    bound: BoundAction
    parts: Sequence[Observations]
    theta: np.ndarray
    A: np.ndarray
    name: ClassVar[str] = "score"
    composite: ClassVar[bool] = True

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        pull = self.A @ (self.theta - theta)
        return float(-0.5 * (self.theta - theta) @ pull), pull

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, which does not depend on θ."""
        return self.A

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX, up to a constant."""
        return _log_density, (self.A, self.A @ self.theta)


def _log_density(theta: Any, arrays: Any) -> Any:
    return arrays[1] @ theta - 0.5 * theta @ arrays[0] @ theta
