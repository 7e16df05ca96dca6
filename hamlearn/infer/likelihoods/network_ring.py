"""The exact likelihood of :class:`hamlearn.models.NetworkAction`: −ln p = S + ln Z of rings, by the transfer operator.

S is linear in θ, so that a few sums of terms are all that is asked of the data, the likelihood is concave, and its gradient and Hessian are
the mean and the covariance of the terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.newton import newton
from hamlearn.models.network_action import BoundNetworkAction
from hamlearn.systems.exact import transfer_operator
from hamlearn.systems.exact.path_terms import term_moments

PRECISE = 1e-7
"""Relative change of ln Z under refinement of the grid: of thousands of paths a thousandth of a nat, once the next refinement is made."""
MOST_POINTS = 1000
"""Of a grid; one that is finer or wider takes seconds, and score matching is left."""
_LEFT = 1e-4  # nats that a climb may leave
_STEPS = 25


@dataclass(frozen=True, eq=False)
class Rings:
    """ln Z of one form at several temperatures, with the means and the covariance of its terms; the last θ are kept.

    Attributes
    ----------
    bound : BoundNetworkAction
    betas : sequence of float
    """

    bound: BoundNetworkAction
    betas: Sequence[float]
    _known: dict[bytes, list[tuple[float, np.ndarray, np.ndarray]] | None] = field(default_factory=dict)

    def at(self, theta: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]] | None:
        """Ln Z, means ``(n_params,)`` and covariance ``(n_params, n_params)`` by temperature; None where θ holds no paths together."""
        key = theta.tobytes()
        if key not in self._known:
            if len(self._known) > 8:
                self._known.pop(next(iter(self._known)))
            try:
                self._known[key] = [self._moments(theta, beta) for beta in self.betas]
            except HamlearnError:
                self._known[key] = None
        return self._known[key]

    def _moments(self, theta: np.ndarray, beta: float) -> tuple[float, np.ndarray, np.ndarray]:
        one, a = transfer_operator(self.bound.system(theta), beta, PRECISE, MOST_POINTS), self.bound.width(beta)
        steps, values = self.bound.of_steps(one.h * np.arange(len(one.x)), 0) / a, a * self.bound.of_values(one.x, 0)
        return one.log_partition, *term_moments(one, steps, values)


@dataclass(frozen=True, eq=False)
class RingLikelihood:
    """Log likelihood of sums of terms under a normal prior about zero; what Newton's method climbs.

    Attributes
    ----------
    rings : Rings
    totals : sequence of array (n_params,)
        Σ T of every temperature's rows.
    sizes : sequence of float
        How many rows these are.
    penalty : array (n_params, n_params)
        Prior precision.
    held : float or None
        κ, where it is not free.
    """

    rings: Rings
    totals: Sequence[np.ndarray]
    sizes: Sequence[float]
    penalty: np.ndarray
    held: float | None = None

    def full(self, theta: np.ndarray) -> np.ndarray:
        """θ with the κ that is held."""
        return theta if self.held is None else np.r_[self.held, theta]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log posterior up to a constant, and gradient; minus infinity where θ holds no paths together."""
        full = self.full(theta)
        known = self.rings.at(full)
        if known is None:
            return -np.inf, np.zeros_like(theta)
        pull = self.penalty @ full
        value, slope = -0.5 * float(full @ pull), -pull
        for (log_z, means, _), total, size in zip(known, self.totals, self.sizes, strict=True):
            value -= float(total @ full) + size * log_z
            slope = slope + size * means - total
        return value, self.free(slope)

    def free(self, full: np.ndarray) -> np.ndarray:
        """What of θ is climbed in."""
        return full if self.held is None else full[1:]

    def information(self, full: np.ndarray) -> np.ndarray:
        """Minus the Hessian of the log likelihood, the prior left out, ``(n_params, n_params)``, of θ with κ."""
        known = self.rings.at(full)
        if known is None:
            raise HamlearnError("this action does not confine paths: its likelihood has no curvature.")
        found: np.ndarray = np.sum([size * covariance for (_, _, covariance), size in zip(known, self.sizes, strict=True)], axis=0)
        return found

    def curvature(self, theta: np.ndarray, *, rough: bool) -> np.ndarray:
        """Minus the Hessian of the log posterior."""
        skipped = 0 if self.held is None else 1
        return (self.information(self.full(theta)) + self.penalty)[skipped:, skipped:]

    def climbed(self, start: np.ndarray, most: int = _STEPS) -> tuple[np.ndarray, bool]:
        """θ of the maximum (or so many Newton steps towards it), with κ, and whether it was reached."""
        if self.rings.at(start) is None:
            return start, False
        found = newton(self, self.free(start), tolerance=2 * _LEFT, most=most)
        return self.full(found.theta), found.converged
