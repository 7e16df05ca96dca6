"""Newton's method for concave objectives: the one loop that every family climbs by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg

MAX_STEPS = 100
_TOLERANCE = 1e-9  # Newton decrement (half of it bounds what is left to gain, in nats)
_SHORTEST = 1e-8  # of the whole step, where halving gives up

Evaluation = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Concave(Protocol):
    """What Newton's method asks of an objective."""

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient ``(n_params,)``; minus infinity where θ is not allowed."""
        ...

    def curvature(self, theta: np.ndarray, *, rough: bool) -> np.ndarray:
        """Minus the Hessian ``(n_params, n_params)``; a `rough` one may leave data out."""
        ...


@dataclass(frozen=True, eq=False)
class Summit:
    """Where Newton's method ended.

    Attributes
    ----------
    theta : array (n_params,)
    value : float
    curvature : array (n_params, n_params)
        Minus the Hessian that the last step was made with: that at `theta` where every step had its own and the method converged.
    step : array (n_params,)
        The step that would have come next where it `stopped` for want of anything to gain; the last one otherwise.
    converged, stopped : bool
        Whether little is left to gain, and whether that is known by the decrement of a step.
    steps : int
    """

    theta: np.ndarray
    value: float
    curvature: np.ndarray
    step: np.ndarray
    converged: bool
    stopped: bool
    steps: int


def newton(
    objective: Concave,
    start: np.ndarray,
    *,
    tolerance: float = _TOLERANCE,
    most: int = MAX_STEPS,
    reuse: bool = False,
    flat: float = 0.0,
    reach: float = np.inf,
    watch: Callable[[np.ndarray], None] = lambda theta: None,
) -> Summit:
    """Climb a concave objective by full Newton steps with halving.

    Parameters
    ----------
    objective : Concave
    start : array (n_params,)
    tolerance : float
        Decrement g·H⁻¹g below which the climb is over: twice what is left to gain, in units of the objective.
    most : int
        Steps.
    reuse : bool
        Keep the Hessian while steps go on to shrink the decrement tenfold: on large dense data it costs far more than a gradient.
        Far from the optimum it may then be a rough one.
    flat : float
        Eigenvalues below this share of the largest count as none: steps do not move along them. Zero gives a Hessian that is not
        positive the smallest ridge that helps.
    reach : float
        The largest size of an element of θ beyond which the climb is given up.
    watch : function
        Called with θ before every step.

    Examples
    --------
    >>> class Parabola:
    ...     def value_and_gradient(self, theta):
    ...         return -0.5 * float(theta @ theta), -theta
    ...
    ...     def curvature(self, theta, *, rough):
    ...         return np.eye(len(theta))
    >>> newton(Parabola(), np.array([3.0, -2.0])).theta
    array([0., 0.])
    """
    theta = np.array(start, float)
    value, slope = objective.value_and_gradient(theta)
    stale, rough, converged, stopped, previous = True, True, False, False, np.inf
    for steps in range(1, most + 1):  # noqa: B007 (reported after the loop)
        watch(theta)
        if fresh := stale:
            curvature = objective.curvature(theta, rough=rough and reuse)
            solve = solver(curvature, flat)
        step = solve(slope)
        decrement = float(slope @ step)
        if decrement < tolerance:
            converged = stopped = True
            break
        stale = not reuse or decrement > 0.1 * previous
        if stale and not fresh:
            continue  # the reused Hessian no longer serves: redo this step with a new one
        # Close to the optimum (less than about a nat a parameter away) a sample of the data may no longer serve either.
        rough = rough and not (fresh and decrement > 0.5 * previous and decrement < len(theta))
        previous = decrement
        moved = uphill(objective.value_and_gradient, theta, value, step, decrement)
        if moved is None:
            if fresh:
                converged = decrement < 1e-6 * max(1.0, abs(value) * 1e-6)
                break
            stale = True
            continue
        theta, value, slope = moved
        if np.max(np.abs(theta), initial=0.0) > reach:
            break
    return Summit(theta, value, curvature, step, converged, stopped, steps)


def uphill(
    evaluate: Evaluation, theta: np.ndarray, value: float, step: np.ndarray, decrement: float, shortest: float = _SHORTEST
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The longest of θ + step, θ + step/2, ... that gains as a concave objective must, with value and gradient; None if none does."""
    length = 1.0
    while length >= shortest:
        trial = theta + length * step
        reached, slope = evaluate(trial)
        if np.isfinite(reached) and reached >= value + 1e-4 * length * decrement - 1e-12 * abs(value):
            return trial, reached, slope
        length *= 0.5
    return None


def solver(matrix: np.ndarray, flat: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """What solves equations with a symmetric matrix; `flat` as of :func:`newton`."""
    if flat > 0:
        return lambda slope: np.asarray(np.linalg.lstsq(matrix, slope, rcond=flat)[0])
    factor = cholesky(matrix)
    return lambda slope: np.asarray(scipy.linalg.cho_solve(factor, slope))


def cholesky(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky factor, with a ridge just large enough where directions are not identified."""
    scale = max(float(np.trace(matrix)) / len(matrix), 1e-300)
    for ridge in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
        try:
            return scipy.linalg.cho_factor(matrix + ridge * scale * np.eye(len(matrix)), lower=True)
        except scipy.linalg.LinAlgError:
            continue
    return scipy.linalg.cho_factor(np.eye(len(matrix)) * scale, lower=True)
