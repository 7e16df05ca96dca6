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
        """A JAX function ``f(theta, arrays)`` with the value of the objective, and the arrays (a pytree) it needs."""
        ...


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
