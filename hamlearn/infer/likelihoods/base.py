"""What every likelihood offers to the engines: value, gradient, information, scores, and the same for JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from hamlearn.infer.newton import Products
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.models.base import Block

if TYPE_CHECKING:
    from hamlearn.infer.calibrate import Calibration

RUNAWAY = 30.0  # |β·J| beyond which e^(−2|βJ|) is zero in double precision: the data are separable
_SOME = 1e5
_WORK = 2e6  # operations of points that are evaluated at once: their arrays stay in the cache of a processor


class Searched:
    """Where the maximum of a likelihood is looked for, and what a look costs; what likelihoods derive from.

    Attributes
    ----------
    runaway : float
        The size of β·θ beyond which parameters have run off to infinity.
    calibration : Calibration or None
        Of one whose error bars are known with it; None where :func:`hamlearn.infer.calibrate.calibrate` has to find them.
    """

    runaway: float = RUNAWAY
    calibration: Calibration | None = None

    @property
    def origin(self) -> np.ndarray:
        """θ where the search starts, whose curvature tells when another has died away."""
        return np.zeros(cast("Likelihood", self).bound.n_params)

    def products(self, theta: np.ndarray) -> Products | None:
        """What multiplies a vector with minus the Hessian, and its diagonal, where that costs far less than a Hessian; else None."""
        return None

    @property
    def operations(self) -> float:
        """Of one value and gradient in compiled code, about: of a likelihood that does not count its own, some."""
        return _SOME

    @property
    def batch(self) -> int:
        """Points that are best evaluated at once: a power of two."""
        return batch_of(_WORK / self.operations)


def batch_of(points: float) -> int:
    """The power of two below `points`, from 1 to 256.

    Examples
    --------
    >>> batch_of(0.3), batch_of(40.0), batch_of(1e9)
    (1, 32, 256)
    """
    return int(np.clip(2 ** np.floor(np.log2(points)), 1, 256))


class Sized(Protocol):
    """The part of a bound family that error bars need."""

    @property
    def n_params(self) -> int:
        """Length of θ."""
        ...


class Bound(Sized, Protocol):
    """The part of a bound family that Newton's method needs."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The parameters with their priors."""
        ...


class Objective(Protocol):
    """The part of a likelihood that a search for its maximum needs."""

    @property
    def runaway(self) -> float:
        """The size of β·θ beyond which parameters have run off to infinity."""
        ...

    @property
    def origin(self) -> np.ndarray:
        """θ where the search starts, whose curvature tells when another has died away."""
        ...

    @property
    def bound(self) -> Bound:
        """The family."""
        ...

    @property
    def parts(self) -> Sequence[Observations]:
        """The data."""
        ...

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and its gradient ``(n_params,)``."""
        ...

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian, shape ``(n_params, n_params)``; `rough` allows a sample of the data, for Newton steps."""
        ...

    def products(self, theta: np.ndarray) -> Products | None:
        """As of :class:`Searched`."""
        ...


class Scored(Protocol):
    """The part of a likelihood that the covariance of its score needs."""

    @property
    def bound(self) -> Sized:
        """The family."""
        ...

    @property
    def parts(self) -> Sequence[Observations]:
        """The data."""
        ...

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """A function of (part, its rows' states) that gives the score of every row, shape ``(row, n_params)``."""
        ...


class Likelihood(Objective, Scored, Protocol):
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
    calibration : Calibration or None
        As of :class:`Searched`.
    """

    bound: BoundCouplings
    parts: Sequence[Observations]
    name: str
    composite: bool
    calibration: Calibration | None

    @property
    def operations(self) -> float:
        """As of :class:`Searched`."""
        ...

    @property
    def batch(self) -> int:
        """As of :class:`Searched`."""
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
