"""Readout error rates that are not known, one of every site with a prior of its own, learned with the couplings.

The likelihood L(θ̂(f); f) that says how probable rates f are (:mod:`hamlearn.infer.rates`) has as many arguments as there are sites. It is
nearly normal in f itself, also where rates are close to zero, which is only where f ends: so it is expanded to second order, and rates are
drawn from that times their priors, whatever these are, between 0 and 1/2, by Gibbs sampling on grids. It is expanded anew at the mean of
the draws until that stays; couplings are drawn from the normal at θ̂(f), which moves with f.

What couplings leave unsaid of single rates is said by the priors: of a site with one bond, tanh J and the rate are one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import inverse_root
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood
from hamlearn.infer.optimum import maximise, normal_blocks, prior_terms
from hamlearn.infer.rates import WithRate, log_prior, moments
from hamlearn.infer.settings import Drawn
from hamlearn.models.priors import Distribution
from hamlearn.progress import track

if TYPE_CHECKING:
    from hamlearn.infer.fit import Fit

_ROUNDS = 20  # of expansions, at most
_SETTLED = 0.1  # standard deviations by which the mean of the rates may still move
_LONGEST = 0.05  # way of a rate at once
_STEP = 1e-4  # of rates, for second derivatives
_GRID = 200  # places of a rate
_ROUGH = 200, 1  # walkers, and draws of each, that find where to expand
_EACH, _APART, _BURN = 10, 4, 40  # draws of a walker in the end, sweeps between them, and before
_WIDE = 8.0  # standard deviations that grids reach


class WithRates(WithRate):
    """The normal approximation at rates of all sites, these by their likelihood and priors."""

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of θ and of the rates, ``flip`` ``(chain, draw, site)``; rows that hang together count for as many as they are worth."""
        at, start = np.array([moments(one)[0] for one in self.prior]), fit.mean
        sd = np.zeros(len(at))
        with track(_ROUNDS, "integrating over readout errors") as bar:
            for _ in range(_ROUNDS):
                found = self.expansion(fit, at, start)
                drawn = found.sampled(self.prior, at, np.maximum(_WIDE * sd, _LONGEST), *_ROUGH, seed).reshape(-1, len(at))
                mean, sd = drawn.mean(0), drawn.std(0)
                bar.advance()
                if np.all(np.abs(mean - at) <= _SETTLED * sd):
                    break
                at, start = at + np.clip(mean - at, -_LONGEST, _LONGEST), found.theta
            else:
                raise HamlearnError(
                    "the readout error rates of the sites are not found: what is probable moves with every step. Give narrower priors, "
                    "more rows, or one rate for all sites, hl.models.Couplings(..., flip=prior)."
                )
        shape = (self.chains, self.draws)
        walkers = -(-self.chains * self.draws // _EACH)
        rates = found.sampled(self.prior, mean, _WIDE * sd, walkers, _EACH, seed).reshape(-1, len(at))[: self.chains * self.draws]
        generator = np.random.default_rng(seed)
        rates = generator.permutation(rates).reshape(*shape, -1)
        theta = found.theta + (rates - found.rates) @ found.move.T
        return Drawn(theta + generator.normal(size=theta.shape) @ found.root.T, own={"flip": rates if len(at) > 1 else rates[..., 0]})

    def expansion(self, fit: Fit, rates: np.ndarray, start: np.ndarray) -> Expansion:
        """How probable rates near these are, and couplings at them, which are sought from `start` on."""
        assert isinstance(fit.likelihood, MarginalLikelihood)
        return Expansion.of(fit.likelihood, rates, self.worth(fit), start)


@dataclass(frozen=True, eq=False)
class Expansion:
    """Log L(θ̂(f); f) near some rates, to second order.

    Attributes
    ----------
    rates, slope, curvature : array (site,), (site,), (site, site)
        Where, its gradient, and minus its Hessian.
    theta, move, root : array (n_params,), (n_params, site), (n_params, n_params)
        θ̂ there, how it moves with the rates, and a root of the covariance of θ.
    """

    rates: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    theta: np.ndarray
    move: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, likelihood: MarginalLikelihood, rates: np.ndarray, worth: float, start: np.ndarray) -> Expansion:
        """At these rates; rows count for the share `worth`."""
        blocks, here = normal_blocks(likelihood.bound), likelihood.misread_at(rates, worth)
        best = maximise(here, blocks, start=start, shown=False)
        complete = best.information + np.diag(best.penalty)
        if not best.converged or np.linalg.eigvalsh(complete)[0] <= 0:
            raise HamlearnError(
                "the readout error rates of the sites are not found: couplings are not well defined at those that are probable. Give "
                "priors on (0, 0.5), such as numpyro.distributions.Beta(2, 60), priors of couplings that hold them, or more rows."
            )
        slopes = lambda at: (at.value_and_gradient(best.theta)[1], at.rate_slopes(best.theta))
        cross, second = np.empty((len(start), len(rates))), np.empty((len(rates), len(rates)))
        for site in range(len(rates)):
            step = np.where(np.arange(len(rates)) == site, np.minimum(_STEP, rates / 2), 0.0)
            up, down = (slopes(likelihood.misread_at(rates + side * step, worth)) for side in (1, -1))
            cross[:, site], second[:, site] = ((one - other) / (2 * step[site]) for one, other in zip(up, down, strict=True))
        move = np.linalg.solve(complete, cross)
        _, pull, stiff = prior_terms(likelihood.bound, best.theta, blocks)
        curvature = -second - cross.T @ move - move.T @ (stiff[:, None] * move)  # of the likelihood alone, along the maxima with priors
        slope = here.rate_slopes(best.theta) - pull @ move
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        curvature = vectors * np.maximum(values, 0) @ vectors.T  # far from where it is largest the likelihood need not be concave
        return cls(rates, slope, curvature, best.theta, move, inverse_root(complete))

    def sampled(
        self, priors: Sequence[Distribution], around: np.ndarray, reach: np.ndarray, walkers: int, each: int, seed: int
    ) -> np.ndarray:
        """Draws of the rates ``(draw of a walker, walker, site)``, times their priors, within `reach` of `around`."""
        low, high = np.maximum(0, around - reach), np.minimum(0.5, around + reach)
        generator, n_sites = np.random.default_rng(seed), len(self.rates)
        grid = np.linspace(low, high, _GRID + 1, axis=1)[:, :-1] + (high - low)[:, None] * 0.5 / _GRID  # middles of cells
        prior = np.stack([log_prior(one, row) for one, row in zip(priors, grid, strict=True)])
        own = prior - 0.5 * self.curvature.diagonal()[:, None] * (grid - self.rates[:, None]) ** 2
        off = self.curvature - np.diag(self.curvature.diagonal())
        now, found = np.repeat(np.clip(self.rates, low, high)[None], walkers, 0), []
        for sweep in range(_BURN + each * _APART):
            for site in range(n_sites):
                slope = self.slope[site] - (now - self.rates) @ off[site]
                log = own[site] + slope[:, None] * (grid[site] - self.rates[site])
                total = np.cumsum(np.exp(log - log.max(1, keepdims=True)), 1)
                cell = (total < generator.random((walkers, 1)) * total[:, -1:]).sum(1)
                now[:, site] = grid[site, cell] + (generator.random(walkers) - 0.5) * (high[site] - low[site]) / _GRID
            if sweep >= _BURN and (sweep - _BURN) % _APART == _APART - 1:
                found.append(now.copy())
        return np.array(found)
