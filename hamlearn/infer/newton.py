"""Newton's method for concave objectives: the one loop that every family climbs by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, cg

MAX_STEPS = 100
_TOLERANCE = 1e-9  # Newton decrement (half of it bounds what is left to gain, in nats)
_SHORTEST = 1e-8  # of the whole step, where halving gives up
_APPROACHES, _PRODUCTS = 12, 40  # steps without a Hessian, and products with it in each: beyond them a Hessian is worth its time
_RESIDUAL = 1e-4  # of the equations of such a step

Evaluation = Callable[[np.ndarray], tuple[float, np.ndarray]]
Products = tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]  # what multiplies a vector with minus the Hessian, and its diagonal


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
        Minus the Hessian that the last step was made with.
    fresh : bool
        Whether that is the one at `theta`, of all the data.
    changed : float
        By what share the Hessian has changed since, about: what the last step with it has left of the one before; 1 if unknown.
    step : array (n_params,)
        The step that would have come next where it `stopped` for want of anything to gain; the last one otherwise.
    converged, stopped : bool
        Whether little is left to gain, and whether that is known by the decrement of a step.
    steps : int
    """

    theta: np.ndarray
    value: float
    curvature: np.ndarray
    fresh: bool
    changed: float
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
    rough: bool = False,
    curvature: np.ndarray | None = None,
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
    rough : bool
        Hessians far from the optimum may leave data out.
    curvature : array (n_params, n_params), optional
        Minus the Hessian at `start`, where it is known (with `reuse`).
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
    fresh, whole = curvature is None, not rough
    there = objective.curvature(theta, rough=rough) if curvature is None else curvature
    solve = solver(there, flat)
    stale, converged, stopped, previous = False, False, False, np.inf
    for steps in range(1, most + 1):  # noqa: B007 (reported after the loop)
        watch(theta)
        if stale and not fresh:
            there, fresh, whole = objective.curvature(theta, rough=rough), True, not rough
            solve = solver(there, flat)
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
        fresh = False
        if np.max(np.abs(theta), initial=0.0) > reach:
            break
    changed = np.sqrt(max(decrement, 0.0) / previous) if stopped else 1.0
    return Summit(theta, value, there, fresh and whole, float(changed), step, converged, stopped, steps)


def approached(evaluate: Evaluation, products: Callable[[np.ndarray], Products], start: np.ndarray) -> np.ndarray:
    """Close to the top of a concave objective without a Hessian: Newton steps whose equations conjugate gradients solve.

    Where a product with the Hessian costs as little as a gradient, some thirty of them take the place of several Hessians. What is
    returned is a place to start from, no worse than `start`: :func:`newton` says whether it is the top.

    Parameters
    ----------
    evaluate : function
        θ → value and gradient.
    products : function
        θ → what multiplies a vector with minus the Hessian there, and the diagonal of that.
    start : array (n_params,)

    Examples
    --------
    >>> scales = np.array([1.0, 100.0])
    >>> parabola = lambda theta: (-0.5 * float(scales @ theta**2), -scales * theta)
    >>> bool(np.abs(approached(parabola, lambda theta: (lambda v: scales * v, scales), np.array([3.0, -2.0]))).max() < 1e-6)
    True
    """
    theta = np.array(start, float)
    value, slope = evaluate(theta)
    for _ in range(_APPROACHES):
        step = conjugate_gradients(*products(theta), slope)
        decrement = float(slope @ step)
        if not decrement > 0.1 * _TOLERANCE or (moved := uphill(evaluate, theta, value, step, decrement)) is None:
            break
        theta, value, slope = moved
    return theta


def conjugate_gradients(multiply: Callable[[np.ndarray], np.ndarray], diagonal: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The solution of equations with a positive matrix that is known by its products, to a residual that serves a step."""
    root = 1 / np.sqrt(np.maximum(diagonal, max(1e-12 * diagonal.max(initial=0.0), 1e-300)))
    scaled = LinearOperator((len(slope),) * 2, lambda vector: root * multiply(root * vector), dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):  # a direction without any curvature makes no step, and is left to a Hessian
        return np.asarray(root * cg(scaled, root * slope, rtol=_RESIDUAL, maxiter=_PRODUCTS)[0])


def uphill(
    evaluate: Evaluation, theta: np.ndarray, value: float, step: np.ndarray, decrement: float, shortest: float = _SHORTEST
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The longest of θ + step, θ + step/2, ... that gains as a concave objective must, with value and gradient; None if none does."""
    length = 1.0
    while length >= shortest:
        trial = theta + length * step
        with np.errstate(over="ignore", invalid="ignore"):  # a trial that runs off is refused by its value
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
