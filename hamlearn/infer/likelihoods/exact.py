"""The exact likelihood: θ · T(data) − M log Z(θ), by enumeration or by the row transfer matrix.

For a family linear in θ the data enter only through their sufficient statistics T (mean pair and single-site
moments), however many microstates there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from hamlearn.infer.likelihoods.base import Searched, batch_of
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.systems import exact
from hamlearn.systems.exact.transfer import LINEAR_RANGE
from hamlearn.systems.exact.work import operations

_TABLE_LIMIT = 3e7  # elements of the statistics table of all states kept in memory (240 MB)
_LOG_WEIGHTS = 2**21  # of all states at points that are evaluated at once (16 MB)


class ExactLikelihood(Searched):
    """See :class:`~hamlearn.infer.likelihoods.base.Likelihood`; not composite."""

    composite = False
    name = "exact"

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations]) -> None:
        self.bound, self.parts = bound, parts
        self.method = exact.require(bound.system(np.zeros(bound.n_params)))
        self.totals = np.array([self._total(part) for part in parts])
        self.sizes = np.array([part.size for part in parts])
        self.betas = np.array([part.beta for part in parts])
        # Enumerable states are few: their number is asked for only there, for it may be beyond any float elsewhere.
        enumerable = self.method == "enumeration"
        self.tabulated = enumerable and bound.n_states * bound.n_params <= _TABLE_LIMIT

    def _total(self, part: Observations) -> np.ndarray:
        states, weight = part.gathered
        result = np.zeros(self.bound.n_params)
        for start in range(0, len(states), 1 << 16):
            result += weight[start : start + (1 << 16)] @ self.bound.statistics(states[start : start + (1 << 16)])
        return result

    @cached_property
    def _table(self) -> np.ndarray:
        return self.bound.statistics(self.bound.states())

    def _log_partition(self, beta: float, theta: np.ndarray, order: int) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Log Z, the mean of T and (for order 2) its covariance at one temperature."""
        if self.tabulated:
            log_weight = beta * (self._table @ theta)
            top = log_weight.max()
            weight = np.exp(log_weight - top)
            total = weight.sum()
            weight /= total
            mean = weight @ self._table
            covariance = (self._table * weight[:, None]).T @ self._table - np.outer(mean, mean) if order == 2 else None
            return float(top + np.log(total)), mean, covariance
        import jax

        beta = np.float64(beta)  # a Python number would be compiled for once more
        span = self._span(theta, beta)
        with jax.enable_x64(True):
            value, slope = _compiled(self._shape, _arithmetic(span))[0](theta, beta)
            # A second derivative meets the square of what the first one meets.
            curvature = _compiled(self._shape, _arithmetic(2 * span))[1](theta, beta) if order == 2 else None
        return float(value), np.asarray(slope) / beta, None if curvature is None else np.asarray(curvature) / beta**2

    @cached_property
    def _shape(self) -> _Shape:
        return _Shape(self.bound)

    def _span(self, theta: np.ndarray, beta: float) -> float:
        """What decides the arithmetic of the transfer matrix, here and not inside compiled code.

        There both would be compiled, and in a loop over tangents such a switch was seen to return NaN on a thousand layers.
        """
        return 0.0 if self.method == "enumeration" else beta * exact.energy_range(self.bound.system(theta))

    @property
    def operations(self) -> float:
        """Operations of one value and gradient in compiled code."""
        bound = self.bound
        if self.tabulated:
            return 3.0 * len(self.betas) * bound.n_states * bound.n_params
        return len(self.betas) * operations(bound.system(np.zeros(bound.n_params)), 1.0)

    @property
    def batch(self) -> int:
        """Points that are best evaluated at once.

        All of them share the table, which no cache holds: it is read once for many (136 parameters of 16 spins: 5.6 ms a value one by
        one, 0.9 ms by 32), as long as their log weights do not fill the memory in its place.
        """
        return batch_of(_LOG_WEIGHTS / self.bound.n_states) if self.tabulated else super().batch

    def moments(self, beta: float, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``(n_params,)`` and covariance ``(n_params, n_params)`` of T in one microstate."""
        _, mean, covariance = self._log_partition(beta, theta, 2)
        assert covariance is not None
        return mean, covariance

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log likelihood and gradient."""
        value, gradient = 0.0, np.zeros(self.bound.n_params)
        for beta, size, total in zip(self.betas, self.sizes, self.totals, strict=True):
            log_z, mean, _ = self._log_partition(beta, theta, 1)
            value += beta * float(theta @ total) - size * log_z
            gradient += beta * (total - size * mean)
        return value, gradient

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Fisher information of all the data."""
        result = np.zeros((self.bound.n_params,) * 2)
        for beta, size in zip(self.betas, self.sizes, strict=True):
            covariance = self._log_partition(beta, theta, 2)[2]
            assert covariance is not None
            result += size * beta**2 * covariance
        return result

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows: β (T − ⟨T⟩)."""
        means = {part.beta: self._log_partition(part.beta, theta, 1)[1] for part in self.parts}
        return lambda part, states: part.beta * (self.bound.statistics(states) - means[part.beta])

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same log likelihood for JAX."""
        if self.tabulated:
            return _log_density_of_table, (self._table, self.totals, self.sizes, self.betas)
        return _log_density_of(self._shape), (self.totals, self.sizes, self.betas)


def _log_density_of_table(theta: Any, arrays: Any) -> Any:
    import jax

    table, totals, sizes, betas = arrays
    log_z = jax.vmap(lambda beta: jax.nn.logsumexp(beta * (table @ theta)))(betas)
    return (betas * (totals @ theta) - sizes * log_z).sum()


@dataclass(frozen=True, eq=False)
class _Shape:
    """A family as a key: families on equal graphs with equal ties share their compiled log Z."""

    bound: BoundCouplings

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        bound = self.bound
        ties = bound.bond_group.tobytes(), bound.field_group.tobytes()
        return tuple(bound.lattice.shape), bound.lattice.bonds.tobytes(), bound.space, bound.interaction, bound.model.scores, ties

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._key == other._key


def _arithmetic(span: float) -> Literal["linear", "log"]:
    return "linear" if span < LINEAR_RANGE else "log"


@lru_cache(maxsize=16)
def _compiled(shape: _Shape, arithmetic: Literal["linear", "log"]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Log Z with its gradient, and its Hessian, as jitted functions of (θ, β)."""
    import jax
    import jax.numpy as jnp

    log_z = _log_partition_of(shape.bound, arithmetic)
    gradient = jax.grad(log_z)

    def hessian(theta: Any, beta: Any) -> Any:
        def column(direction: Any) -> Any:
            return jax.jvp(lambda at: gradient(at, beta), (theta,), (direction,))[1]

        # A few tangents at a time: all at once would hold n_params copies of every row matrix.
        return jax.lax.map(column, jnp.eye(shape.bound.n_params, dtype=theta.dtype), batch_size=8)

    return jax.jit(jax.value_and_grad(log_z)), jax.jit(hessian)


@lru_cache(maxsize=16)
def _log_density_of(shape: _Shape) -> Callable[..., Any]:
    """Of sums and sizes, by the transfer matrix."""
    import jax.numpy as jnp

    # Under vmap "auto" would run both arithmetics. "linear" gives NaN, never a wrong number, where β times the range
    # of energies is beyond it: a sampler rejects such points, and data there are frozen anyway.
    log_z = _log_partition_of(shape.bound, "linear" if shape.bound.space.uniform else "log")

    def log_density(theta: Any, arrays: Any) -> Any:
        totals, sizes, betas = arrays
        logs = jnp.stack([log_z(theta, beta) for beta in betas])
        return (betas * (totals @ theta) - sizes * logs).sum()

    return log_density


def _log_partition_of(bound: BoundCouplings, arithmetic: Literal["log", "linear"]) -> Callable[..., Any]:
    function = exact.log_partition_function(bound.lattice, bound.space.extent, arithmetic=arithmetic)

    def log_z(theta: Any, beta: Any) -> Any:
        tables, fields = bound.tables(theta)
        return function(beta * tables, beta * fields)

    return log_z
