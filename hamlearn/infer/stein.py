"""Whether draws that were made elsewhere are draws of the density they are said to be of: Stein's identities.

For draws u of a smooth density p on all reals E[∇ log p] = 0 and E[(u − E u) ∇ log pᵀ] = −1, whatever its form (Stein 1972; Gorham and
Mackey 2015 make measures of sample quality of it). In coordinates that the normal approximation makes independent and of unit width, the
first average is how many standard deviations draws lie off, and the second how many times too large their variance is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from hamlearn import statistics
from hamlearn.infer.provenance import Noted
from hamlearn.models.base import Block

OFF, OFF_SERIOUS = 0.3, 1.0  # standard deviations: beyond the first 90 % intervals cover less than 88 %, beyond the second less than 75 %
RATIO, RATIO_SERIOUS = 2.0, 4.0  # of variances, either way
_FALSE_ALARM = 1e-4  # of all directions together
_FEWEST, _MOST = 20, 1000  # draws: fewer tell nothing, more are thinned


def compared(
    log_density: Callable[[Any], Any], blocks: Sequence[Block], theta: np.ndarray, covariance: np.ndarray, *, sampled: bool
) -> tuple[Noted, ...]:
    """What Stein's identities say of draws θ ``(chain, draw, n_params)``; nothing where they agree with the density.

    Parameters
    ----------
    log_density : callable
        Of θ, by JAX.
    blocks : sequence of Block
        Whose priors say whether θ has a density on all reals.
    covariance : array (n_params, n_params)
        Of the normal approximation, whose directions are looked along.
    sampled : bool
        Whether a sampler ran on the program itself: then priors whose couplings have no density on all reals (parameters of their own,
        bounds), so that draws cannot be compared, are no reason for caution.
    """
    if any(not block.prior.direct for block in blocks):
        return (Noted("draws not compared", "note" if sampled else "caution", "convergence", {"sampled": sampled}),)
    if theta.shape[0] * theta.shape[1] < _FEWEST:
        return ()
    kept = theta[:, :: -(-theta.shape[0] * theta.shape[1] // _MOST)]
    with jax.enable_x64(True):
        flat = jnp.asarray(kept.reshape(-1, kept.shape[-1]))
        slopes = np.asarray(jax.jit(lambda all_: jax.lax.map(jax.grad(log_density), all_))(flat)).reshape(kept.shape)
    if not np.all(np.isfinite(slopes)):
        return (Noted("draws impossible", "serious", "convergence"),)
    values, vectors = np.linalg.eigh(covariance)
    width = np.sqrt(np.maximum(values, 1e-300))
    along = (kept - kept.mean((0, 1))) @ vectors / width
    pull = slopes @ vectors * width
    return _judged(-pull, -along * pull)


def _judged(off: np.ndarray, ratio: np.ndarray) -> tuple[Noted, ...]:
    """Findings from series ``(chain, draw, direction)`` whose means should be 0 and 1."""
    z = float(scipy.stats.norm.isf(_FALSE_ALARM / (4 * off.shape[-1])))
    error = lambda series: np.nan_to_num(statistics.standard_error(series), nan=0.0)  # of draws that are all alike
    shift, noise = np.abs(off.mean((0, 1))), error(off)
    wide, spread = ratio.mean((0, 1)), error(ratio)
    found = []
    sure = np.where(shift > z * noise, shift, 0.0)
    if sure.max() > OFF:
        severity = "serious" if sure.max() > OFF_SERIOUS else "caution"
        found.append(Noted("draws off", severity, "convergence", {"sd": float(sure.max())}))
    surely = np.where(np.abs(wide - 1) > z * spread, np.maximum(wide, 1e-6), 1.0)
    worst = float(surely[np.argmax(np.abs(np.log(surely)))])
    if max(worst, 1 / worst) > RATIO:
        severity = "serious" if max(worst, 1 / worst) > RATIO_SERIOUS else "caution"
        found.append(Noted("draws of another width", severity, "convergence", {"ratio": worst}))
    return tuple(found)
