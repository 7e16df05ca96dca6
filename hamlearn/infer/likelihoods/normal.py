"""A likelihood that is known as a normal one: what an estimating equation without an objective is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings

if TYPE_CHECKING:
    from hamlearn.infer.calibrate import Calibration


class NormalLikelihood(Searched):
    """exp(−½ (θ − θ̂)ᵀ Σ⁻¹ (θ − θ̂)); see :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    θ̂ solves an equation for the data and Σ is the covariance of its solution, so its error bars are calibrated already.
    """

    composite = True

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str, centre: np.ndarray, known: Calibration) -> None:
        self.bound, self.parts, self.name, self.centre = bound, parts, name, centre
        self.calibration, self._precision = known, known.information

    @property
    def operations(self) -> float:
        """Of one value and gradient."""
        return 4.0 * len(self.centre) ** 2

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and gradient."""
        slope = self._precision @ (self.centre - theta)
        return -0.5 * float(slope @ (self.centre - theta)), slope

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Σ⁻¹."""
        return self._precision.copy()

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Refused: its rows have been summed up."""
        raise HamlearnError("a likelihood that is known as a normal one has no scores of single rows.")

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same for JAX."""
        return _log_density, (self.centre, self._precision)


def _log_density(theta: Any, arrays: Any) -> Any:
    centre, precision = arrays
    return -0.5 * (theta - centre) @ precision @ (theta - centre)
