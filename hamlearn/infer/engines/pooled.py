"""Draws of groups whose parameters share a mean and a spread: θ_g ~ N(μ, τ²), by Gibbs sampling with Metropolis's rule where it is needed.

The log-likelihood of every group is almost a parabola near where its parameters are, b·θ − θ·Hθ/2. For parabolas all conditionals are
known: θ_g given μ and τ is normal, μ given the rest is, and so are μ and τ together given z_g = (θ_g − μ)/τ. Draws are made from these, and
accepted by the ratio of the likelihood to its parabola: priors cancel, and what is sampled is the posterior of the likelihood itself.

Spreads that may be small make a funnel. Given the θ_g, τ moves freely where groups differ and hardly where they agree; given the z_g it
is the other way round. Every sweep does both (Yu & Meng, Journal of Computational and Graphical Statistics 20, 531 (2011)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hamlearn.infer.calibrate import Adjusted
from hamlearn.infer.fit import Fit
from hamlearn.infer.settings import Pooled
from hamlearn.progress import track

_STEP = 2.0  # of log τ, by which a slice is stepped out
_TOGETHER = 8  # groups whose likelihoods are compiled as one: a call costs more than they do, and compiling many takes long


@dataclass(frozen=True, eq=False)
class Parabolas:
    """Log-likelihoods of groups up to constants, b·θ − θ·Hθ/2.

    Attributes
    ----------
    slope : array (group, n_params)
        b.
    curvature : array (group, n_params, n_params)
        H, without negative directions.
    """

    slope: np.ndarray
    curvature: np.ndarray

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Values at θ ``(chain, group, n_params)``, shape ``(chain, group)``."""
        bent = np.einsum("gij,cgj->cgi", self.curvature, theta)
        return ((self.slope - 0.5 * bent) * theta).sum(-1)


@dataclass
class Chains:
    """Where all chains are: θ ``(chain, group, n_params)``, μ and τ ``(chain, n_params)``.

    `excess` is what :class:`Pooling` has found there, ``(chain, group)``; None before the first sweep, and where parabolas were laid anew.
    """

    theta: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    excess: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Pooling:
    """The posterior of groups.

    Attributes
    ----------
    parabolas : Parabolas
    excess : callable or None
        Log-likelihoods minus parabolas ``(chain, group)`` of θ ``(chain, group, n_params)``; None where parabolas are what is sampled.
    prior, widths : array (n_params,)
        Standard deviations of the normal priors of μ, and of the half-normal ones of τ.
    """

    parabolas: Parabolas
    excess: Callable[[np.ndarray], np.ndarray] | None
    prior: np.ndarray
    widths: np.ndarray

    def sweep(self, at: Chains, generator: np.random.Generator) -> np.ndarray:
        """Move all chains, in place; the share of groups that moved alone, ``(chain,)``."""
        here = self._excess(at.theta) if at.excess is None else at.excess
        proposed = self._groups(at, generator)
        there = self._excess(proposed)
        move = self._accepted(there - here, generator)
        at.theta = np.where(move[..., None], proposed, at.theta)
        here = np.where(move, there, here)
        self._top(at, generator)
        self._together(at, here, generator)
        return np.asarray(move.mean(1))

    def _excess(self, theta: np.ndarray) -> np.ndarray:
        return np.zeros(theta.shape[:2]) if self.excess is None else self.excess(theta)

    def _accepted(self, gain: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.asarray(np.log(generator.uniform(size=gain.shape)) < gain)  # nan, of no finite likelihood, is no gain

    def _groups(self, at: Chains, generator: np.random.Generator) -> np.ndarray:
        """θ of every group given mean and spread: μ + τu, whose precision is the identity and more however small τ is."""
        slope, H = self.parabolas.slope, self.parabolas.curvature
        tau, p = at.spread[:, None, :], at.mean.shape[-1]
        precision = np.eye(p) + tau[..., :, None] * H * tau[..., None, :]
        pull = tau * (slope - np.einsum("gij,cj->cgi", H, at.mean))
        return at.mean[:, None] + tau * _normal(precision, pull, generator)

    def _top(self, at: Chains, generator: np.random.Generator) -> None:
        """Mean, then spread, given the θ of all groups."""
        count = at.theta.shape[1]
        precision = count / at.spread**2 + self.prior**-2.0
        at.mean = at.theta.sum(1) / at.spread**2 / precision + generator.normal(size=at.mean.shape) / np.sqrt(precision)
        squares = ((at.theta - at.mean[:, None]) ** 2).sum(1)
        density = lambda x: (1 - count) * x - 0.5 * squares * np.exp(-2 * x) - 0.5 * np.exp(2 * x) / self.widths**2
        at.spread = np.exp(_slice(density, np.log(at.spread), generator))

    def _together(self, at: Chains, here: np.ndarray, generator: np.random.Generator) -> None:
        """Mean and spread given z = (θ − μ)/τ, which the θ of all groups follow; the sign of τ is that of z."""
        H, slope, p = self.parabolas.curvature, self.parabolas.slope, at.mean.shape[-1]
        z = (at.theta - at.mean[:, None]) / at.spread[:, None]
        precision = np.empty((len(z), 2 * p, 2 * p))
        precision[:, :p, :p] = H.sum(0) + np.diag(self.prior**-2.0)
        precision[:, :p, p:] = np.einsum("gij,cgj->cij", H, z)
        precision[:, p:, :p] = precision[:, :p, p:].swapaxes(1, 2)
        precision[:, p:, p:] = np.einsum("cgi,cgij->cij", z, H * z[:, :, None]) + np.diag(self.widths**-2.0)
        pull = np.concatenate([np.broadcast_to(slope.sum(0), at.mean.shape), (z * slope).sum(1)], -1)
        drawn = _normal(precision, pull, generator)
        mean, spread = drawn[:, :p], drawn[:, p:]
        theta = mean[:, None] + spread[:, None] * z
        there = self._excess(theta)
        move = self._accepted((there - here).sum(1), generator)[:, None]
        at.excess = np.where(move, there, here)
        at.mean, at.spread = np.where(move, mean, at.mean), np.where(move, np.abs(spread), at.spread)
        at.theta = np.where(move[..., None], theta, at.theta)


def _normal(precision: np.ndarray, pull: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws of N(A⁻¹b, A⁻¹) of precisions A ``(..., p, p)`` and b ``(..., p)``."""
    upper = np.linalg.cholesky(precision).swapaxes(-1, -2)
    noise = np.linalg.solve(upper, generator.normal(size=(*pull.shape, 1)))
    return np.asarray((np.linalg.solve(precision, pull[..., None]) + noise)[..., 0])


def _slice(density: Callable[[np.ndarray], np.ndarray], x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One step of slice sampling of every element of x, each of a concave log density (Neal, Annals of Statistics 31, 705 (2003))."""
    level = density(x) - generator.exponential(size=x.shape)
    low = x - _STEP * generator.uniform(size=x.shape)
    high = low + _STEP
    while (out := density(low) > level).any():
        low = np.where(out, low - _STEP, low)
    while (out := density(high) > level).any():
        high = np.where(out, high + _STEP, high)
    found, open_ = x.copy(), np.ones(x.shape, bool)
    while open_.any():
        tried = generator.uniform(low, high)
        good = open_ & (density(tried) > level)
        found, open_ = np.where(good, tried, found), open_ & ~good
        low, high = np.where(open_ & (tried < x), tried, low), np.where(open_ & (tried >= x), tried, high)
    return found


def started(prior: np.ndarray, widths: np.ndarray, centres: np.ndarray, chains: int, generator: np.random.Generator) -> Chains:
    """Chains around the modes of the groups, with spreads between a tenth of their prior's width and all of it."""
    spread = widths * 10.0 ** -generator.uniform(size=(chains, len(prior)))
    theta = centres + 0.1 * spread[:, None] * generator.normal(size=(chains, *centres.shape))
    return Chains(theta, theta.mean(1), spread)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of θ of every group ``(chain, draw, group, n_params)``, of means and spreads ``(chain, draw, n_params)``, and of each draw."""

    theta: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    stats: dict[str, np.ndarray]
    prior: np.ndarray


def run(fits: Sequence[Fit], spread: float, settings: Pooled, seed: int) -> Draws:
    """Warm up around the modes, lay the parabolas anew, and draw."""
    generator, p = np.random.default_rng(seed), len(fits[0].mean)
    blocks = zip(*(fit.likelihood.bound.blocks for fit in fits), strict=True)
    prior = np.concatenate([np.full(same[0].size, max(block.scale for block in same)) for same in blocks])  # widened by any is by all
    widths, centres = np.full(p, spread), np.stack([fit.mean for fit in fits])
    pooling = Pooling(parabolas := _parabolas(fits, centres), _excess(fits, parabolas, settings.exact), prior, widths)
    at = started(prior, widths, centres, settings.chains, generator)
    kept, rates, near, pilot = list[tuple[np.ndarray, ...]](), list[np.ndarray](), np.zeros_like(centres), settings.warmup // 2
    with track(settings.sweeps, "sampling groups") as bar:
        for sweep in range(settings.sweeps):
            moved = pooling.sweep(at, generator)
            if pilot // 2 <= sweep < pilot:
                near += at.theta.mean(0) / (pilot - pilot // 2)
            if sweep + 1 == pilot:
                parabolas = _parabolas(fits, near)
                pooling, at.excess = replace(pooling, parabolas=parabolas, excess=_excess(fits, parabolas, settings.exact)), None
            if sweep >= settings.warmup and (sweep - settings.warmup + 1) % settings.thin == 0:
                kept.append((at.theta, at.mean, at.spread))
                rates.append(moved)
            bar.advance(1)
    theta, mean, spreads = (np.stack(one, 1) for one in zip(*kept, strict=True))
    stats = {"acceptance_rate": np.stack(rates, 1)} if settings.exact else {}
    return Draws(theta, mean, spreads, stats, prior)


def _parabolas(fits: Sequence[Fit], centres: np.ndarray) -> Parabolas:
    """Those that touch the calibrated log-likelihoods at these parameters ``(group, n_params)``."""
    slopes, curvatures = [], []
    for fit, theta in zip(fits, centres, strict=True):
        target: Any = fit.likelihood
        if fit.calibration.adjusted:
            target = Adjusted(fit.likelihood, fit.centre, fit.calibration.linear_map())
        gradient, information = target.value_and_gradient(theta)[1], target.information(theta)
        values, vectors = np.linalg.eigh((information + information.T) / 2)
        curvatures.append((vectors * np.maximum(values, 0.0)) @ vectors.T)
        slopes.append(gradient + curvatures[-1] @ theta)
    return Parabolas(np.stack(slopes), np.stack(curvatures))


def _excess(fits: Sequence[Fit], parabolas: Parabolas, exact: bool | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """How much more the log-likelihoods are than their parabolas; None where these stand for them."""
    if not exact:
        return None
    import jax

    from hamlearn.infer.engines import numpyro_model

    likelihoods = [numpyro_model.model(fit.likelihood, fit.centre, fit.transform)[1]["likelihood"] for fit in fits]
    with jax.enable_x64(True):
        held = [tuple(map(numpyro_model.as_jax, likelihoods[k : k + _TOGETHER])) for k in range(0, len(likelihoods), _TOGETHER)]

    def excess(theta: np.ndarray) -> np.ndarray:
        parts = np.array_split(theta, range(_TOGETHER, len(fits), _TOGETHER), axis=1)
        with jax.enable_x64(True):
            found = [numpyro_model.of_groups(some, own) for some, own in zip(held, parts, strict=True)]
            return np.concatenate(found, -1) - parabolas(theta)

    return excess


__all__ = ["Chains", "Draws", "Parabolas", "Pooling", "run", "started"]
