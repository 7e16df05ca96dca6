"""A readout error rate that is not known: one for all sites, with a prior, learned with the couplings; other values are read alike.

What is integrated over is one number, so it is done on a line, u = log f/(½ − f): at every rate the posterior of θ is nearly normal, and
the largest likelihood there, L(θ̂(f); f), says how probable f is. Draws take f from the line and θ from the normal at f, so intervals of
couplings hold what is not known of the rate.

The likelihood, not the evidence ∫ L π dθ: wide priors of many couplings say that these are large, and large couplings are what a large rate
hides, so the evidence was three error bars too high (3×3 spins, 27 parameters of priors twice as wide as the strengths). With the prior of
θ that says nothing at any given rate, √det I(θ; f), both are the same to second order (Berger and Bernardo, Bayesian Statistics 4, 35,
1992).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.interpolate import CubicSpline

from hamlearn.data.readout import uniform
from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import inverse_root
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import maximise, normal_blocks, prior_terms
from hamlearn.infer.provenance import Noted
from hamlearn.infer.settings import Drawn, Engine, LaplaceApproximation
from hamlearn.models import BoundCouplings
from hamlearn.models.priors import Distribution
from hamlearn.progress import track

if TYPE_CHECKING:
    from hamlearn.infer.fit import Fit

_ENDS = 1e-4, 0.45  # rates that are looked at
_COARSE, _FINE, _DENSE = 10, 13, 2001  # points of the line: where the posterior is, the posterior, and its spline
_FAR = 9.0  # nats below the top that are negligible
DOMINATED = 0.5  # share of the prior's variance that is left, beyond which it is the prior that says what the rate is


def rate_of(u: np.ndarray) -> np.ndarray:
    """The rate at places of the line.

    Examples
    --------
    >>> rate_of(np.array([-50.0, 0.0])).round(3).tolist()
    [0.0, 0.25]
    """
    return np.asarray(0.5 / (1 + np.exp(-u)))


def declared(bound: BoundCouplings, parts: Sequence[Observations], rate: float) -> list[Observations]:
    """The data as if all sites were misread at this rate."""
    n_sites = bound.lattice.n_sites
    flip = uniform(np.full(n_sites, rate), bound.space.there(n_sites))
    return [replace(part, flip=flip) for part in parts]


def at_most_probable(bound: BoundCouplings, parts: Sequence[Observations], prior: Distribution) -> list[Observations]:
    """The data at about the most probable rate.

    Raises
    ------
    HamlearnError
        If they say rates themselves, or states are too many to be listed.
    """
    from hamlearn.infer import incomplete

    if any(part.flip is not None for part in parts):
        raise HamlearnError("the data say how often they are misread (flip), and the model asks for it: leave one of them out.")
    likelihood = incomplete.marginal(bound, declared(bound, parts, 0.01))
    if likelihood is None:
        raise HamlearnError(
            "an unknown readout error rate is learned where all states can be listed (some 16 spins, 10 sites of three states), and here "
            "they are too many: measure it and declare it with the data, hl.microstates(..., flip=rate)."
        )
    line = _Line.of(likelihood, prior, _everywhere())
    return declared(bound, parts, float(rate_of(line.u[line.log.argmax()])))


def noted(rate: np.ndarray, prior: Distribution) -> Noted:
    """What the verdict has to say of draws of the rate."""
    u = np.linspace(-25, 25, 20001)
    log = _log_prior(prior, u)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    f = rate_of(u)
    share = float(rate.var() / (weight @ f**2 - (weight @ f) ** 2))
    low, high = np.quantile(rate, (0.05, 0.95))
    numbers = {"mean": float(rate.mean()), "low": float(low), "high": float(high), "share": share}
    return Noted("readout rate", "caution" if share > DOMINATED else "note", "readout errors", numbers)


@dataclass(frozen=True)
class WithRate(LaplaceApproximation):
    """The normal approximation at every rate, the rates by their evidence."""

    prior: Distribution | None = None
    name: ClassVar[str] = "laplace"

    @classmethod
    def of(cls, engine: Engine | None, prior: Distribution) -> WithRate:
        """In place of an engine, which has to be the normal approximation, or nothing that was asked for."""
        if engine is not None and engine.name != "laplace":
            raise HamlearnError(
                f"an unknown readout error rate is integrated over with normal approximations: engine='laplace' or 'auto'; got "
                f"{engine.name!r}. With a rate that is declared, hl.microstates(..., flip=rate), every engine will do."
            )
        return cls(prior=prior) if engine is None else cls(engine.draws, engine.chains, prior)

    def described(self) -> dict[str, object]:
        """For the record: its settings."""
        return {"draws": self.draws, "chains": self.chains}

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of θ and of the rate, ``flip``; rows that hang together count for as many as they are worth."""
        assert isinstance(fit.likelihood, MarginalLikelihood) and self.prior is not None
        score, size = fit.calibration.score, sum(part.size for part in fit.likelihood.parts)
        worth = 1.0 if score is None or not fit.calibration.adjusted else min(1.0, score.ess / size)
        line = _Line.of(fit.likelihood, self.prior, _everywhere(), worth, fit.mean)
        line = _Line.of(fit.likelihood, self.prior, np.linspace(*line.ends, _FINE), worth, fit.mean)
        generator, shape = np.random.default_rng(seed), (self.chains, self.draws)
        dense = np.linspace(line.u[0], line.u[-1], _DENSE)
        log = CubicSpline(line.u, line.log)(dense)
        total = np.cumsum(np.exp(log - log.max()))
        u = np.interp(generator.random(shape), total / total[-1], dense)
        near = np.abs(u[..., None] - line.u).argmin(-1)
        theta = CubicSpline(line.u, line.theta)(u)
        noise = generator.normal(size=theta.shape)
        for number, root in enumerate(line.root):
            theta[near == number] += noise[near == number] @ root.T
        return Drawn(theta, own={"flip": rate_of(u)})


@dataclass(frozen=True, eq=False)
class _Line:
    """The posterior along the line: places, log density there (up to a constant), mean of θ and covariance root."""

    u: np.ndarray
    log: np.ndarray
    theta: np.ndarray
    root: np.ndarray

    @classmethod
    def of(
        cls,
        likelihood: MarginalLikelihood,
        prior: Distribution,
        places: np.ndarray,
        worth: float = 1.0,
        start: np.ndarray | None = None,
    ) -> _Line:
        """At these places; those without a maximum are left out."""
        blocks, found = normal_blocks(likelihood.bound), []
        with track(len(places), "integrating over readout errors") as bar:
            for u, log in zip(places, _log_prior(prior, places), strict=True):
                rates = np.full(likelihood.bound.lattice.n_sites, rate_of(u))
                best = maximise(likelihood.misread_at(rates, worth), blocks, start=start, shown=False)
                information = best.information + np.diag(best.penalty)
                bar.advance()
                if not best.converged or not np.isfinite(log) or np.linalg.eigvalsh(information)[0] <= 0:
                    continue
                start, root = best.theta, inverse_root(information)
                found.append((u, best.value - prior_terms(likelihood.bound, best.theta, blocks)[0] + log, best.theta, root))
        if len(found) < 4:
            raise HamlearnError(
                "the readout error rate is not found: at hardly any rate that its prior allows are couplings well defined. Give a prior on "
                "(0, 0.5), such as numpyro.distributions.Beta(2, 60), priors of couplings that hold them, or more rows."
            )
        return cls(*map(np.array, zip(*found, strict=True)))

    @property
    def ends(self) -> tuple[float, float]:
        """Between which the posterior lies."""
        dense = np.linspace(self.u[0], self.u[-1], _DENSE)
        log = CubicSpline(self.u, self.log)(dense)
        there = dense[log > log.max() - _FAR]
        return float(there[0]), float(there[-1])


def _everywhere() -> np.ndarray:
    """Places between rates that are hardly any and hardly less than one half."""
    first, last = (float(np.log(f / (0.5 - f))) for f in _ENDS)
    return np.linspace(first, last, _COARSE)


def _log_prior(prior: Distribution, u: np.ndarray) -> np.ndarray:
    """Log density of the prior along the line."""
    import jax

    f = rate_of(u)
    with jax.enable_x64(True):
        log = np.asarray(prior.distribution.log_prob(f), float)
    with np.errstate(divide="ignore"):
        return np.where(np.isnan(log), -np.inf, log + np.log(f) + np.log(1 - 2 * f))
