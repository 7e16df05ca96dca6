"""The maximum-likelihood or MAP point of a likelihood, and whether it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hamlearn.infer.likelihoods.base import Bound, Objective
from hamlearn.infer.newton import MAX_STEPS, newton
from hamlearn.models import Normal, Prior
from hamlearn.models.base import Block
from hamlearn.progress import track

_LONG_STEP = 1e-2  # in βJ: a Newton step this long that gains nothing means a likelihood that is flat out to infinity


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

    The Hessian is reused while it serves, and a rough one taken far from the optimum (:func:`hamlearn.infer.newton.newton`).
    """
    with track(MAX_STEPS, "maximising", enabled=None if shown else False) as bar:
        return _climbed(likelihood, prior, start, bar)


def _climbed(likelihood: Objective, prior: Prior | Sequence[Block] | None, start: np.ndarray | None, bar: track) -> Optimum:
    begin = likelihood.origin if start is None else start
    scale, limit = max((part.beta for part in likelihood.parts), default=1.0), likelihood.runaway
    reach = limit / scale if prior is None and scale > 0 else np.inf
    found = newton(_Penalised(likelihood, prior), begin, reuse=True, reach=reach, watch=lambda theta: bar.advance())
    runaway = found.stopped and prior is None and _runs_off(likelihood, scale * found.step)
    runaway = runaway or bool(np.max(np.abs(found.theta), initial=0.0) * scale > limit)
    penalty = prior_terms(likelihood.bound, found.theta, prior)[2]
    information = likelihood.information(found.theta)
    return Optimum(found.theta, found.value, information, penalty, found.converged and not runaway, runaway, found.steps)


def _runs_off(likelihood: Objective, step: np.ndarray) -> bool:
    """Whether a last step is long because the curvature has died away: separable data, not an unidentified direction."""
    if np.max(np.abs(step)) < _LONG_STEP:
        return False
    start, direction = likelihood.information(likelihood.origin), step / np.linalg.norm(step)
    return bool(direction @ start @ direction > 1e-9 * np.trace(start) / len(step))


@dataclass(frozen=True, eq=False)
class _Penalised:
    """A likelihood times its priors, as Newton's method asks for it."""

    likelihood: Objective
    prior: Prior | Sequence[Block] | None

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = self.likelihood.value_and_gradient(theta)
        extra, extra_slope, _ = prior_terms(self.likelihood.bound, theta, self.prior)
        return value + extra, slope + extra_slope

    def curvature(self, theta: np.ndarray, *, rough: bool) -> np.ndarray:
        penalty = prior_terms(self.likelihood.bound, theta, self.prior)[2]
        return self.likelihood.information(theta, rough=rough) + np.diag(penalty)
