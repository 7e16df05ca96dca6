"""What observed microstates say about a learned density that its own draws cannot: the scale of ln q, recalibrated.

Networks of one ensemble share what early stopping and finite size leave wrong, and it lies mostly along ln q itself: their own
draws scatter more in ln q than microstates do. The density p ∝ exp(a ln q + b (ln q)²) whose first two moments of ln q are those
of the microstates takes that part away. What changes is an estimate of the shared error, and intervals hold both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hamlearn.infer.newton import newton

_STEPS, _TOLERANCE = 60, 1e-20  # Newton steps, and what is left to gain, per draw: as far as double precision goes


@dataclass(frozen=True, eq=False)
class Observed:
    """Moments of z = (ln q − location)/scale over observed microstates, for one network.

    Attributes
    ----------
    location, scale : float
        Mean and standard deviation of ln q over them, nats.
    moments : array (2,)
        Means of z and z² over new microstates: the optimism of those that were trained on is taken out.
    covariance : array (2, 2)
        Of the sampling error of the moments; networks learned from the same microstates share it.
    """

    location: float
    scale: float
    moments: np.ndarray
    covariance: np.ndarray

    def features(self, log_q: np.ndarray) -> np.ndarray:
        """Z and z² of log-densities ``(rows,)``, shape ``(rows, 2)``."""
        z = (log_q - self.location) / self.scale
        return np.stack([z, z**2], -1)

    def shifted(self) -> list[Observed]:
        """The same with the moments moved by one standard error along each principal direction of it."""
        values, vectors = np.linalg.eigh(self.covariance)
        # A direction is only known up to its sign: the first component decides, so that networks move the same way.
        signs = np.where(vectors[0] < 0, -1.0, 1.0)
        return [
            replace(self, moments=self.moments + np.sqrt(max(value, 0.0)) * sign * vector)
            for value, sign, vector in zip(values, signs, vectors.T, strict=True)
        ]


def recalibrated(log_q: np.ndarray, observed: Observed) -> np.ndarray:
    """Ln p of a density's own draws, with p ∝ exp(a ln q + b (ln q)²) normalised on them and of the observed moments.

    Parameters
    ----------
    log_q : array (draws,)
        Log-densities of independent draws of q.
    observed : Observed
        What p must agree with.

    Returns
    -------
    array (draws,)

    Examples
    --------
    >>> log_q = np.random.default_rng(0).normal(-5, 2, size=4000)
    >>> narrower = Observed(-5.0, 1.6, np.array([0.0, 1.0]), np.eye(2) / 1000)
    >>> weight = np.exp(recalibrated(log_q, narrower) - log_q)
    >>> bool(abs(np.average((log_q + 5) ** 2, weights=weight) - 1.6**2) < 0.02)
    True
    """
    return recalibration(log_q, observed)(log_q)


def recalibration(drawn: np.ndarray, observed: Observed) -> Callable[[np.ndarray], np.ndarray]:
    """The ln p of :func:`recalibrated` as a function of ln q, fitted and normalised on draws with ``ln q = drawn``."""
    columns = observed.features(drawn)
    ridge = 1e-3 * np.trace(observed.covariance)  # far below the error of the moments; holds what no weighting can reach
    strength = tilt(columns, observed.moments, ridge)
    exponent = columns @ strength
    top = exponent.max()
    log_z = top + np.log(np.exp(exponent - top).mean())
    return lambda log_q: log_q + observed.features(log_q) @ strength - log_z


def tilt(columns: np.ndarray, moments: np.ndarray, ridge: float) -> np.ndarray:
    """λ of the weights exp(λ · column) under which draws ``(rows, columns)`` have the given means: max λ·m − ln⟨exp(λ·c)⟩ − ridge λ²/2."""
    objective, start = _Tilted(columns, moments, ridge), np.zeros(columns.shape[1])
    return newton(objective, start, tolerance=_TOLERANCE, most=_STEPS, flat=1e-12).theta


@dataclass(frozen=True, eq=False)
class _Tilted:
    """What :func:`tilt` maximises."""

    columns: np.ndarray
    moments: np.ndarray
    ridge: float

    def _weighted(self, strength: np.ndarray) -> tuple[np.ndarray, float]:
        """Normalised weights of the draws, and ln⟨exp(λ·c)⟩."""
        exponent = self.columns @ strength
        top = exponent.max()
        weight = np.exp(exponent - top)
        return weight / weight.sum(), float(top + np.log(weight.mean()))

    def value_and_gradient(self, strength: np.ndarray) -> tuple[float, np.ndarray]:
        weight, log_z = self._weighted(strength)
        value = float(strength @ self.moments) - log_z - 0.5 * self.ridge * float(strength @ strength)
        return value, self.moments - weight @ self.columns - self.ridge * strength

    def curvature(self, strength: np.ndarray, *, rough: bool) -> np.ndarray:
        weight, _ = self._weighted(strength)
        mean = weight @ self.columns
        return (self.columns * weight[:, None]).T @ self.columns - np.outer(mean, mean) + self.ridge * np.eye(len(strength))
