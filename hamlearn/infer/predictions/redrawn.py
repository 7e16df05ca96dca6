"""Refits of the pseudo-likelihood to rows that are drawn from the fit: what centres bands where no oracle knows the means of a fit.

The exact likelihood knows its data by their means, and a fit to other means is a fit to other data. The pseudo-likelihood reads whole
rows, which a posterior does not keep. Rows are drawn from the fit instead, and how much each counts is shifted by a part of what sampling
shifts it. Only second differences are wanted: the score of the drawn rows at the fit, which is their noise, is taken out of every refit, so
that without a shift and without a prior the refit is the fit itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.infer.likelihoods import composite
from hamlearn.infer.likelihoods.base import RUNAWAY
from hamlearn.infer.newton import Summit, newton
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import prior_terms
from hamlearn.infer.predictions import annealed
from hamlearn.infer.predictions.work import SECOND
from hamlearn.infer.shares import trusted
from hamlearn.models import BoundCouplings, Prior

ROWS = 1 << 13  # drawn at every temperature: curvatures are then known to 1/sqrt(ROWS) each
MOST = 10 * SECOND  # operations; more is not spent on centring
_WALK = 1e4  # operations of a site of a walk
_STEPS, _HESSIANS = 8, 1.5  # gradients and Hessians of a refit, about


def operations(bound: BoundCouplings, betas: Sequence[float], pairs: int) -> float:
    """Of the walks that draw rows and of all refits, about: gradients, and Hessians that are worth half a product a site."""
    n = bound.lattice.n_sites
    return len(betas) * ROWS * n * (_WALK + (4.0 * n + 50.0) * 2 * pairs * (_STEPS + _HESSIANS * n / 4))


def refusal(bound: BoundCouplings, betas: Sequence[float], pairs: int) -> str | None:
    """Why rows are not drawn for this family, in a few words; None where they are."""
    if not bound.space.binary:
        return "they are no spins"
    reason = annealed.refusal([bound.system(np.zeros(bound.n_params))])
    return reason or ("too many sites" if operations(bound, betas, pairs) > MOST else None)


@dataclass(frozen=True, eq=False)
class _Tilted:
    """A likelihood times its priors, less a linear function of θ, as Newton's method asks for it."""

    likelihood: Any
    prior: Prior | None
    tilt: np.ndarray

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = self.likelihood.value_and_gradient(theta)
        extra, pull, _ = prior_terms(self.likelihood.bound, theta, self.prior)
        return value + extra - float(self.tilt @ theta), slope + pull - self.tilt

    def curvature(self, theta: np.ndarray, *, rough: bool) -> np.ndarray:
        found: np.ndarray = self.likelihood.information(theta) + np.diag(prior_terms(self.likelihood.bound, theta, self.prior)[2])
        return found


def refitted(
    bound: BoundCouplings,
    theta: np.ndarray,
    prior: Prior | None,
    betas: Sequence[float],
    sizes: Sequence[float],
    step: float,
    pairs: int,
    seed: int,
) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """The fit, its refit to rows without noise (a prior pulls once more), and pairs of refits to rows with opposite noise.

    Parameters
    ----------
    bound : BoundCouplings
    theta : array (n_params,)
        The fit.
    prior : Prior or None
        Of its strengths; flat if None.
    betas, sizes : sequence of float
        Temperatures of the data, and how many independent rows were seen at each.
    step : float
        Part of the sampling noise that is used.
    pairs, seed : int
        How many pairs, and the seed of rows and noise.

    Returns
    -------
    tuple of list
        Parameters of the first two, and of the pairs that converged; no pairs where walks do not reach the fit.
    """
    system, generator = bound.system(theta), np.random.default_rng(seed)
    rows, weights = [], []
    for k, (beta, size) in enumerate(zip(betas, sizes, strict=True)):
        states, weight, share = annealed.weighted_states(system, float(beta), ROWS, seed + k)
        if not trusted(share):
            return [theta, theta], []
        rows.append((states.reshape(1, ROWS, -1) > 0).astype(np.int8))
        weights.append(size * weight)

    def likelihood(sign: float, signs: Sequence[np.ndarray]) -> Any:
        # Of w rows expected √w are the noise; a row that counts little cannot count less than nothing.
        shifted = [w + sign * np.minimum(step * np.sqrt(w), 0.9 * w) * s for w, s in zip(weights, signs, strict=True)]
        parts = [Observations(one, w[None], True, float(beta), True) for one, w, beta in zip(rows, shifted, betas, strict=True)]
        return composite(bound, parts, "pseudo")

    drawn = likelihood(0.0, [np.zeros(ROWS) for _ in betas])
    tilt = drawn.value_and_gradient(theta)[1]
    reach = RUNAWAY / max(betas) if prior is None else np.inf

    def climbed(made: Any, start: np.ndarray, curvature: np.ndarray | None) -> Summit:
        return newton(_Tilted(made, prior, tilt), start, reuse=True, curvature=curvature, reach=reach)

    pulled = climbed(drawn, theta, None)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(pairs):
        signs = [generator.choice([-1.0, 1.0], ROWS) for _ in betas]
        both = [climbed(likelihood(sign, signs), pulled.theta, pulled.curvature) for sign in (1.0, -1.0)]
        if all(one.converged for one in both):
            found.append((both[0].theta, both[1].theta))
    return [theta, pulled.theta], found
