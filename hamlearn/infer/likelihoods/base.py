"""What every likelihood offers to the engines: value, gradient, information, scores, and the same for JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings


class Likelihood(Protocol):
    """The log likelihood (or composite log likelihood) of all the data, summed over microstates, as a function of θ.

    Attributes
    ----------
    bound : BoundCouplings
        The family.
    parts : list of Observations
        The data.
    name : str
        ``"exact"``, ``"pseudo"``, ``"rise"`` or ``"logrise"``.
    composite : bool
        True if it is not a likelihood of whole microstates: its curvature alone gives wrong error bars.
    """

    bound: BoundCouplings
    parts: Sequence[Observations]
    name: str
    composite: bool

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and its gradient ``(n_params,)``."""
        ...

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, shape ``(n_params, n_params)``; `rough` allows a sample of the data, for Newton steps."""
        ...

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """A function of (part, its rows' states) that gives the score of every row, shape ``(row, n_params)``."""
        ...

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """A JAX function ``f(theta, arrays)`` with the value of the objective, and the arrays (a pytree) it needs.

        The function is one object for all likelihoods of one structure and holds no data: what is compiled for it serves them all.
        Axes whose length follows from the data are :func:`padded`.
        """
        ...


def padded(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """`values` with zeros behind them along an axis, to one of few lengths (powers of two, and one between): for weights that count.

    Examples
    --------
    >>> [len(padded(np.ones(n))) for n in (3, 30, 33, 97)]
    [16, 32, 48, 128]
    """
    length = values.shape[axis]
    power = 16
    while power < length:
        power *= 2
    target = 3 * power // 4 if 16 < length <= 3 * power // 4 else power
    return np.pad(values, [(0, target - length if k == axis % values.ndim else 0) for k in range(values.ndim)])


TRANSCENDENTAL = 60.0  # operations of a logarithm, a sine or an exponential with its derivative, about


class Counted(Likelihood, Protocol):
    """A likelihood that knows its cost, so that `auto` chooses by counting.

    Attributes
    ----------
    operations : float
        Of one value and gradient at one point in compiled code, about; see :mod:`hamlearn.systems.exact.work` for the unit.
    """

    @property
    def operations(self) -> float:
        """Operations of one value and gradient."""
        ...
