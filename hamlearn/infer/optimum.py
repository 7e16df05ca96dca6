"""The maximum-likelihood or MAP point of a likelihood, and whether it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hamlearn.infer.likelihoods.base import Bound, Objective
from hamlearn.infer.newton import MAX_STEPS, Products, approached, newton
from hamlearn.models import Normal, Prior
from hamlearn.models.base import Block
from hamlearn.progress import track

_LONG_STEP = 1e-2  # in βJ: a Newton step this long that gains nothing means a likelihood that is flat out to infinity
_SAME = 1e-3  # a Hessian that changed by less on the way stands for the one at the end


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
    likelihood: Objective,
    prior: Prior | Sequence[Block] | None = None,
    start: np.ndarray | None = None,
    *,
    information: np.ndarray | None = None,
    shown: bool = True,
) -> Optimum:
    """Maximise the log likelihood plus the log of normal priors (or none): of all blocks, or one of the strengths.

    Where the likelihood offers products with its Hessian, they lead close to the maximum, and one Hessian there says that it is one. Else
    Hessians are reused while they serve, and rough ones taken far from the optimum (:func:`hamlearn.infer.newton.newton`). Where the
    `information` at `start` is known, steps are made with it; it stands for that at the maximum where it is the same to a thousandth.
    """
    with track(MAX_STEPS, "maximising", enabled=None if shown else False) as bar:
        return _climbed(likelihood, prior, start, information, bar)


def _climbed(
    likelihood: Objective, prior: Prior | Sequence[Block] | None, start: np.ndarray | None, known: np.ndarray | None, bar: track
) -> Optimum:
    begin, target = likelihood.origin if start is None else start, _Penalised(likelihood, prior)
    scale, limit = max((part.beta for part in likelihood.parts), default=1.0), likelihood.runaway
    reach = limit / scale if prior is None and scale > 0 else np.inf
    close = known is not None
    if not close and likelihood.products(begin) is not None:
        begin, close = approached(target.value_and_gradient, target.products, begin), True
    curvature = None if known is None else known + np.diag(prior_terms(likelihood.bound, begin, prior)[2])
    found = newton(target, begin, reuse=True, rough=not close, curvature=curvature, reach=reach, watch=lambda theta: bar.advance())
    runaway = found.stopped and prior is None and _runs_off(likelihood, scale * found.step)
    runaway = runaway or bool(np.max(np.abs(found.theta), initial=0.0) * scale > limit)
    penalty = prior_terms(likelihood.bound, found.theta, prior)[2]
    same = found.fresh or (known is not None and found.changed < _SAME)
    information = found.curvature - np.diag(penalty) if same else likelihood.information(found.theta)
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

    def products(self, theta: np.ndarray) -> Products:
        """Products with minus the Hessian, of a likelihood that offers them."""
        penalty, known = prior_terms(self.likelihood.bound, theta, self.prior)[2], self.likelihood.products(theta)
        assert known is not None
        multiply, diagonal = known
        return lambda vector: multiply(vector) + penalty * vector, diagonal + penalty
