"""Newton's method for concave objectives: the maximum-likelihood or MAP point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import scipy.linalg

from hamlearn.infer.observations import Observations
from hamlearn.models import Normal, Prior
from hamlearn.models.base import Block
from hamlearn.progress import track

MAX_STEPS = 100
_TOLERANCE = 1e-9  # Newton decrement (half of it bounds what is left to gain, in nats)
_LONG_STEP = 1e-2  # in βJ: a Newton step this long that gains nothing means a likelihood that is flat out to infinity
RUNAWAY = 30.0  # |β·J| beyond which e^(−2|βJ|) is zero in double precision: the data are separable


class Bound(Protocol):
    """The part of a bound family that Newton's method needs."""

    @property
    def n_params(self) -> int:
        """Length of θ."""
        ...

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The parameters with their priors."""
        ...


class Objective(Protocol):
    """The part of a likelihood that Newton's method needs.

    It may have two more attributes: ``runaway``, the |β·θ| beyond which parameters have run off to infinity, and ``origin``, the θ
    where the search starts, whose curvature tells when another has died away; 30 and zero where it has none.
    """

    @property
    def bound(self) -> Bound:
        """The family."""
        ...

    @property
    def parts(self) -> Sequence[Observations]:
        """The data."""
        ...

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        ...

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian."""
        ...


@dataclass(frozen=True)
class Optimum:
    """Where the objective is largest, and whether that is a real maximum.

    Attributes
    ----------
    theta : array (n_params,)
    value : float
    information : array (n_params, n_params)
        Minus the Hessian of the data term there (without prior).
    penalty : array (n_params,)
        Minus the diagonal Hessian of the log prior (zero for maximum likelihood).
    converged : bool
    runaway : bool
        True if parameters ran off to infinity: the data are (almost) separable and have no finite optimum.
    steps : int
    """

    theta: np.ndarray
    value: float
    information: np.ndarray
    penalty: np.ndarray
    converged: bool
    runaway: bool
    steps: int


def normal_blocks(bound: Bound, otherwise: Prior | None = None) -> tuple[Block, ...]:
    """The blocks of a family with normal priors: `otherwise` (or N(0, 10²)) in place of those of strengths that are not."""
    keep = lambda block: isinstance(block.prior, Normal)
    return tuple(block if keep(block) else replace(block, prior=otherwise or Normal()) for block in bound.blocks)


def prior_terms(bound: Bound, theta: np.ndarray, prior: Prior | Sequence[Block] | None) -> tuple[float, np.ndarray, np.ndarray]:
    """Log prior, its gradient and minus its diagonal Hessian; zeros for a flat prior (None).

    A single prior is that of the strengths; what else there is (fields) keeps its own.
    """
    value, slope, penalty = 0.0, np.zeros(len(theta)), np.zeros(len(theta))
    if prior is None:
        return value, slope, penalty
    if not isinstance(prior, Sequence):
        prior = [replace(block, prior=prior) if block.strengths else block for block in bound.blocks]
    for block in prior:
        assert isinstance(block.prior, Normal)
        part, slope[block.where], penalty[block.where] = block.prior.derivatives(theta[block.where])
        value += part
    return value, slope, penalty


def maximise(
    likelihood: Objective, prior: Prior | Sequence[Block] | None = None, start: np.ndarray | None = None, *, shown: bool = True
) -> Optimum:
    """Maximise the log likelihood plus the log of normal priors (or none): of all blocks, or one of the strengths.

    Full Newton steps with halving. The Hessian is reused while steps keep shrinking the Newton decrement tenfold:
    on large dense data it costs far more than a gradient.
    """
    with track(MAX_STEPS, "maximising", enabled=None if shown else False) as bar:
        return _newton(likelihood, prior, start, bar)


def _newton(likelihood: Objective, prior: Prior | Sequence[Block] | None, start: np.ndarray | None, bar: track) -> Optimum:
    theta = np.array(_origin(likelihood) if start is None else start, float)
    value, slope, penalty = _penalised(likelihood, prior, theta)
    factor, information, stale = None, np.zeros((0, 0)), True
    previous, converged, runaway, rough = np.inf, False, False, True
    scale, limit = max((part.beta for part in likelihood.parts), default=1.0), float(getattr(likelihood, "runaway", RUNAWAY))
    for step_count in range(1, MAX_STEPS + 1):  # noqa: B007 (reported after the loop)
        bar.advance()
        if stale or factor is None:
            information = likelihood.information(theta, rough=rough)
            factor = _factor(information + np.diag(penalty))
            fresh = True
        else:
            fresh = False
        step = scipy.linalg.cho_solve(factor, slope)
        decrement = float(slope @ step)
        if decrement < _TOLERANCE:
            runaway = prior is None and _runs_off(likelihood, scale * step)
            converged = not runaway
            break
        stale = decrement > 0.1 * previous
        if stale and not fresh:
            continue  # the reused Hessian no longer serves: redo this step with a new one
        # Close to the optimum (less than about a nat a parameter away) a sample of the data may no longer serve either.
        rough = rough and not (fresh and decrement > 0.5 * previous and decrement < len(theta))
        previous = decrement
        length = 1.0
        while True:
            trial = _penalised(likelihood, prior, theta + length * step)
            if np.isfinite(trial[0]) and trial[0] >= value + 1e-4 * length * decrement - 1e-12 * abs(value):
                break
            length *= 0.5
            if length < 1e-8:
                break
        if length < 1e-8:
            if fresh:
                converged = decrement < 1e-6 * max(1.0, abs(value) * 1e-6)
                break
            stale = True
            continue
        theta = theta + length * step
        value, slope, penalty = trial
        if prior is None and np.max(np.abs(theta)) * scale > limit:
            break
    runaway = runaway or bool(np.max(np.abs(theta), initial=0.0) * scale > limit)
    return Optimum(theta, value, likelihood.information(theta), penalty, converged and not runaway, runaway, step_count)


def _origin(likelihood: Objective) -> np.ndarray:
    return np.array(getattr(likelihood, "origin", np.zeros(likelihood.bound.n_params)), float)


def _runs_off(likelihood: Objective, step: np.ndarray) -> bool:
    """Whether a last step is long because the curvature has died away: separable data, not an unidentified direction."""
    if np.max(np.abs(step)) < _LONG_STEP:
        return False
    start, direction = likelihood.information(_origin(likelihood)), step / np.linalg.norm(step)
    return bool(direction @ start @ direction > 1e-9 * np.trace(start) / len(step))


def _penalised(likelihood: Objective, prior: Prior | Sequence[Block] | None, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    value, slope = likelihood.value_and_gradient(theta)
    extra, extra_slope, penalty = prior_terms(likelihood.bound, theta, prior)
    return value + extra, slope + extra_slope, penalty


def _factor(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky factor, with a ridge just large enough where directions are not identified."""
    scale = max(float(np.trace(matrix)) / len(matrix), 1e-300)
    for ridge in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
        try:
            return scipy.linalg.cho_factor(matrix + ridge * scale * np.eye(len(matrix)), lower=True)
        except scipy.linalg.LinAlgError:
            continue
    return scipy.linalg.cho_factor(np.eye(len(matrix)) * scale, lower=True)
