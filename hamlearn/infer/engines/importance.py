"""Independent proposals from the normal approximation, corrected to the posterior by Metropolis's rule; Pareto k̂ is the judge.

Where data are many a posterior is almost normal, and its normal approximation is known before anything is drawn. Proposals that do not
depend on where the chain is are made and evaluated all at once, in one vectorised call without gradients: some thousands of
likelihoods, where NUTS takes ten to a hundred thousand gradients one after the other. Accepting them by Metropolis's rule
(independence sampling: Tierney, Annals of Statistics 22, 1701 (1994), section 2.3.3) leaves chains whose R̂ and effective sample sizes mean
what they always mean. What such chains cannot see by themselves is a tail that no proposal reached. The shape k̂ of
the largest importance weights sees it (Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25, 72 (2024)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from scipy.special import gammaln

from hamlearn.errors import HamlearnError
from hamlearn.infer.engines.numpyro_model import Structure, as_jax, model
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.settings import Drawn, ImportanceSampling
from hamlearn.models.priors import NOT_DIRECT
from hamlearn.processes import alone
from hamlearn.statistics import pareto_k

_BURN_IN = 50  # proposals of every chain before the first that is kept: a chain forgets its start when it first moves
_PAIRS = 128  # of antithetic points, at which slopes are averaged: their odd noise cancels


def run(
    likelihood: Likelihood,
    centre: np.ndarray,
    transform: np.ndarray | None,
    settings: ImportanceSampling,
    seed: int,
    mean: np.ndarray,
    covariance: np.ndarray,
) -> Drawn:
    """Draws of the calibrated likelihood times the priors.

    Parameters
    ----------
    likelihood : Likelihood
    centre : array (n_params,)
        The maximum of the likelihood, around which it is adjusted.
    transform : array (n_params, n_params) or None
        C of the adjusted likelihood ℓ(centre + C(θ − centre)); None where it is right as it is.
    settings : ImportanceSampling
    seed : int
    mean, covariance : array (n_params,), array (n_params, n_params)
        Of the normal approximation of the posterior.

    Returns
    -------
    Drawn
        With ``acceptance_rate`` and ``lp`` of every draw, and ``pareto_k`` of all.

    Raises
    ------
    HamlearnError
        If a prior has bounds or parameters of its own, or no proposal has a finite density.
    """
    if indirect := [block.prior for block in likelihood.bound.blocks if not block.prior.direct]:
        raise HamlearnError(f"the prior {indirect[0]!r} {NOT_DIRECT}, and no normal approximation to propose from: use engine='nuts'.")
    generator, p = np.random.default_rng(seed), len(mean)
    steps = _BURN_IN + settings.draws * settings.thin
    factor = np.linalg.cholesky(covariance)
    with jax.enable_x64(True), alone():
        structure, arrays = model(likelihood, centre, transform)
        numbers = as_jax(arrays)
        mean = _centred(structure, likelihood.batch, numbers, mean, factor, generator)
        whitened, log_q = _proposals(generator, (settings.chains, steps), p)
        theta = mean + whitened @ factor.T
        log_p = np.asarray(_compiled(_densities, structure, likelihood.batch)(theta.reshape(-1, p), numbers)).reshape(theta.shape[:2])
    log_weight = np.where(np.isfinite(log_p), log_p - log_q, -np.inf)
    if not np.isfinite(log_weight).any():
        raise HamlearnError("no proposal of the normal approximation has a finite posterior density: use engine='nuts'.")
    kept, accepted = _metropolis(log_weight, np.log(generator.uniform(size=log_weight.shape)))
    kept, accepted = kept[:, _BURN_IN:], accepted[:, _BURN_IN:]
    every = slice(settings.thin - 1, None, settings.thin)
    rates = accepted.reshape(settings.chains, settings.draws, settings.thin).mean(2)
    chain = np.arange(settings.chains)[:, None]
    stats = {"acceptance_rate": rates, "lp": log_p[chain, kept[:, every]]}
    return Drawn(theta[chain, kept[:, every]], stats, pareto_k(log_weight.ravel()))


def _proposals(generator: np.random.Generator, shape: tuple[int, int], p: int) -> tuple[np.ndarray, np.ndarray]:
    """Whitened proposals ``(chain, step, p)`` and their log density: Student's t, whose weights stay bounded where the posterior is normal.

    Its degrees of freedom grow with p: proposals of fewer leave the shell in which a normal of many dimensions has its mass (128
    couplings, 10 000 rows: 79, 86, 93 and 97 of 100 are accepted with p, 2p, 5p and infinitely many).
    """
    degrees = 5.0 + 5.0 * p
    normal = generator.normal(size=(*shape, p))
    scale = np.sqrt(degrees / generator.chisquare(degrees, size=shape))
    found = normal * scale[..., None]
    squares = (found**2).sum(-1)
    constant = gammaln((degrees + p) / 2) - gammaln(degrees / 2) - p / 2 * np.log(degrees * np.pi)
    return found, constant - (degrees + p) / 2 * np.log1p(squares / degrees)


def _centred(
    structure: Structure, batch: int, numbers: Any, mode: np.ndarray, factor: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The mean of the normal that is closest to the posterior, from its mode: one step towards where slopes average to nothing.

    E_q[∇ log p] = 0 is what the normal q of the least Kullback–Leibler divergence obeys (Opper and Archambeau, Neural Computation 21, 786
    (2009)); the step is L Lᵀ E_q[∇ log p]. Of 128 couplings learned from 480 rows 79 instead of 60 of 100 proposals are then accepted.
    """
    half = generator.normal(size=(_PAIRS, len(mode)))
    slope = np.asarray(_compiled(_slopes, structure, batch)(mode + np.concatenate([half, -half]) @ factor.T, numbers)).mean(0)
    step = factor.T @ slope
    # A step beyond the shell of the normal itself says that this is no normal; the judge will see that at the mode as well.
    return mode + factor @ step if np.all(np.isfinite(step)) and step @ step < len(mode) else mode


def _densities(structure: Structure, batch: int) -> Callable[[Any, Any], Any]:
    """The log density of many θ, compiled for a structure; it holds no data."""
    return jax.jit(lambda thetas, arrays: jax.lax.map(lambda theta: structure.log_density(theta, arrays), thetas, batch_size=batch))


def _slopes(structure: Structure, batch: int) -> Callable[[Any, Any], Any]:
    """Its gradients."""
    slope = jax.grad(structure.log_density)
    return jax.jit(lambda thetas, arrays: jax.lax.map(lambda theta: slope(theta, arrays), thetas, batch_size=batch))


def _compiled(make: Callable[[Structure, int], Any], structure: Structure, batch: int) -> Callable[[Any, Any], Any]:
    """What was made for this structure before, where it may serve again."""
    return _kept(make, structure, batch) if structure.reusable else make(structure, batch)


@lru_cache(maxsize=32)
def _kept(make: Callable[[Structure, int], Any], structure: Structure, batch: int) -> Callable[[Any, Any], Any]:
    return make(structure, batch)


def _metropolis(log_weight: np.ndarray, log_uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which proposal every chain is at after each step, and whether that was accepted, both ``(chain, step)``."""
    chains, steps = log_weight.shape
    at, here = np.zeros(chains, int), log_weight[:, 0].copy()
    place, accepted = np.zeros((chains, steps), int), np.zeros((chains, steps), bool)
    for step in range(1, steps):
        with np.errstate(invalid="ignore"):  # from nowhere to nowhere
            move = log_uniform[:, step] < log_weight[:, step] - here
        move |= np.isneginf(here)
        at, here = np.where(move, step, at), np.where(move, log_weight[:, step], here)
        place[:, step], accepted[:, step] = at, move
    return place, accepted


__all__ = ["run"]
