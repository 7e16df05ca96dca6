"""A readout error rate that is not known: one for all sites, with a prior, learned with the couplings; other values are read alike.

Rates of every site are in :mod:`hamlearn.infer.rates_by_site`.

What is integrated over is one number, so it is done on a line, u = log f/(½ − f): at every rate the posterior of θ is nearly normal, and
the largest likelihood there, L(θ̂(f); f), says how probable f is, modified as below. Draws take f from the line and θ from the normal at
f, so intervals of couplings hold what is not known of the rate.

The likelihood, not the evidence ∫ L π dθ: wide priors of many couplings say that these are large, and large couplings are what a large rate
hides, so the evidence was three error bars too high (3×3 spins, 27 parameters of priors twice as wide as the strengths). But the largest
likelihood takes for certain what the couplings fit of the noise: from 100 rows rates were too low by 0.6 of their error bars, and 0.78 of
90 % intervals held them. The modified profile likelihood of Barndorff-Nielsen (Biometrika 70, 343 (1983)) is right to the next order,
whatever the parameters are called; with covariances of scores at two points in place of derivatives by the data (Severini, Biometrika
86, 235 (1999)) it is

    log M(f) = log L(θ̂(f); f) + ½ log det j(f) − log det Σ_rows g(θ̂(f); f) g(θ̂(f₀); f₀)ᵀ,

j minus the Hessian, g scores of rows, f₀ where L is largest. What no row tells of is left to the priors of θ in both determinants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from hamlearn.data.readout import uniform
from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import inverse_root
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood
from hamlearn.infer.observations import Observations, unique_rows
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
_APART = 0.05  # beyond what is probable, so that a narrow posterior has a line too
_FAR = 9.0  # nats below the top that are negligible
_LEAST_INSIDE = 1e-3  # of a prior's probability that is of rates at all: a normal far from them would be cut at its tail
START = 0.01  # rate at which a search begins
LOOSE, SEEN = 0.4, 0.008  # of a rate and as such, beyond which a standard deviation is too much for what follows from it to be relied on
FEW_ROWS = 4.0  # for each parameter, below which a rate was seen five of its error bars off (300 rows, 108 parameters; none of 60 at 1000)
DOMINATED = 0.5  # share of the prior's variance that is left, beyond which it is the prior that says what the rate is


def rate_of(u: np.ndarray) -> np.ndarray:
    """The rate at places of the line.

    Examples
    --------
    >>> rate_of(np.array([-50.0, 0.0])).round(3).tolist()
    [0.0, 0.25]
    """
    return np.asarray(0.5 / (1 + np.exp(-u)))


def declared(bound: BoundCouplings, parts: Sequence[Observations], rate: float | np.ndarray) -> list[Observations]:
    """The data as if all sites were misread at this rate, or each at its own."""
    n_sites = bound.lattice.n_sites
    flip = uniform(np.broadcast_to(rate, n_sites), bound.space.there(n_sites))
    return [replace(part, flip=flip) for part in parts]


def require_unknown(bound: BoundCouplings, parts: Sequence[Observations], priors: Sequence[Distribution]) -> None:
    """An error if the data say rates themselves, or priors are of other sites."""
    if any(part.flip is not None for part in parts):
        raise HamlearnError("the data say how often they are misread (flip), and the model asks for it: leave one of them out.")
    if len(priors) not in (1, bound.lattice.n_sites):
        raise HamlearnError(
            f"flip= is one prior, of a rate of all sites, or a list with one for each; got {len(priors)} for {bound.lattice.n_sites} sites."
        )
    for one in priors:
        if (share := _inside(one)) < _LEAST_INSIDE:
            raise HamlearnError(
                f"the prior {one.text} of a readout error rate has {share:.1g} of its probability between 0 and 1/2, where rates are: give "
                "one on (0, 0.5), such as numpyro.distributions.Beta(2, 60)."
            )


def _inside(prior: Distribution) -> float:
    """How much of its probability a prior has between 0 and 1/2, about."""
    u = np.linspace(-25, 25, 20001)
    return float(np.exp(_log_prior([prior], u)).sum() * (u[1] - u[0]))


def at_most_probable(
    bound: BoundCouplings, parts: Sequence[Observations], likelihood: MarginalLikelihood, priors: Sequence[Distribution]
) -> list[Observations]:
    """The data at about the most probable rate, the same of all sites."""
    dense, log = _Line.of(likelihood, _everywhere()).posterior(priors)
    return declared(bound, parts, float(rate_of(dense[log.argmax()])))


def noted(rate: np.ndarray, priors: Sequence[Distribution], rows_each: float) -> Noted:
    """What the verdict has to say of draws of the rate ``(chain, draw)``, or of those of all sites ``(chain, draw, site)``.

    From so many rows for each parameter of the couplings.
    """
    drawn = rate.reshape(-1, len(priors))
    shares = [float(one.var() / moments(prior)[1]) for one, prior in zip(drawn.T, priors, strict=True)]
    few = rows_each < FEW_ROWS
    severity = "caution" if max(shares) > DOMINATED or few else "note"
    told = {"few": int(few), "rows_each": rows_each}
    if len(priors) == 1:
        low, high = np.quantile(drawn, (0.05, 0.95))
        mean, sd = float(drawn.mean()), float(drawn.std())
        rough = sd > max(LOOSE * mean, SEEN)
        numbers = {"mean": mean, "low": float(low), "high": float(high), "share": shares[0], "rough": int(rough)} | told
        severity = "caution" if rough else severity
        return Noted("readout rate", severity, "readout errors", numbers)
    means = drawn.mean(0)
    numbers = {"mean": float(means.mean()), "least": float(means.min()), "most": float(means.max()), "where": int(means.argmax())}
    loose = [site for site, share in enumerate(shares) if share > DOMINATED]
    of_sites = {"sites": len(shares), "loose": len(loose), "first": loose[:3]} | told
    return Noted("readout rates", severity, "readout errors", numbers | of_sites)


def moments(prior: Distribution) -> tuple[float, float]:
    """Mean and variance of a rate, between 0 and 1/2, by its prior."""
    u = np.linspace(-25, 25, 20001)
    log = _log_prior([prior], u)
    weight, f = np.exp(log - log.max()), rate_of(u)
    weight /= weight.sum()
    return float(weight @ f), float(weight @ f**2 - (weight @ f) ** 2)


@dataclass(frozen=True)
class WithRate(LaplaceApproximation):
    """The normal approximation at every rate, the rates by their modified profile likelihood."""

    prior: tuple[Distribution, ...] = ()
    name: ClassVar[str] = "laplace"

    @classmethod
    def of(cls, engine: Engine | None, prior: tuple[Distribution, ...]) -> WithRate:
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

    def worth(self, fit: Fit) -> float:
        """For what share of its independence a row counts."""
        score, size = fit.calibration.score, sum(part.size for part in fit.likelihood.parts)
        return 1.0 if score is None or not fit.calibration.adjusted else min(1.0, score.ess / size)

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of θ and of the rate, ``flip``; rows that hang together count for as many as they are worth."""
        assert isinstance(fit.likelihood, MarginalLikelihood)
        worth = self.worth(fit)
        dense, log = _Line.of(fit.likelihood, _everywhere(), worth, fit.mean).posterior(self.prior)
        there = dense[log > log.max() - _FAR]
        line = _Line.of(fit.likelihood, np.linspace(there[0] - _APART, there[-1] + _APART, _FINE), worth, fit.mean)
        generator, shape = np.random.default_rng(seed), (self.chains, self.draws)
        dense, log = line.posterior(self.prior)
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
    """The likelihood along the line: places, its logarithm there (modified), mean of θ and covariance root."""

    u: np.ndarray
    log: np.ndarray
    theta: np.ndarray
    root: np.ndarray

    @classmethod
    def of(
        cls,
        likelihood: MarginalLikelihood,
        places: np.ndarray,
        worth: float = 1.0,
        start: np.ndarray | None = None,
    ) -> _Line:
        """At these places; those without a maximum are left out."""
        blocks, found = normal_blocks(likelihood.bound), []
        with track(len(places), "integrating over readout errors") as bar:
            for u in places:
                rates = np.full(likelihood.bound.lattice.n_sites, rate_of(u))
                best = maximise(likelihood.misread_at(rates, worth), blocks, start=start, shown=False)
                information = best.information + np.diag(best.penalty)
                bar.advance()
                if not best.converged or np.linalg.eigvalsh(information)[0] <= 0:
                    continue
                start, root = best.theta, inverse_root(information)
                found.append((u, best.value - prior_terms(likelihood.bound, best.theta, blocks)[0], best.theta, root))
        if len(found) < 4:
            raise HamlearnError(
                "the readout error rate is not found: at hardly any rate are couplings well defined. Give a prior on "
                "(0, 0.5), such as numpyro.distributions.Beta(2, 60), priors of couplings that hold them, or more rows."
            )
        line = cls(*map(np.array, zip(*found, strict=True)))
        return replace(line, log=line.log + line.modification(likelihood, worth))

    def modification(self, likelihood: MarginalLikelihood, worth: float) -> np.ndarray:
        """What makes a modified profile likelihood of the largest likelihood at every place, in logarithms."""
        bound, blocks = likelihood.bound, normal_blocks(likelihood.bound)
        weight = worth * np.concatenate([unique_rows(part)[1] for part in likelihood.parts])[:, None]
        _, reference = self._scores(likelihood, int(self.log.argmax()), worth)
        found = []
        for place in range(len(self.u)):
            at, scores = self._scores(likelihood, place, worth)
            prior = np.diag(prior_terms(bound, self.theta[place], blocks)[2])
            spread = np.linalg.slogdet(at.information(self.theta[place]) + prior)[1]
            found.append(0.5 * spread - np.linalg.slogdet((weight * scores).T @ reference + prior)[1])
        return np.array(found)

    def _scores(self, likelihood: MarginalLikelihood, place: int, worth: float) -> tuple[MarginalLikelihood, np.ndarray]:
        """The likelihood at the rate of a place, and scores of distinct rows ``(row, n_params)``."""
        rates = np.full(likelihood.bound.lattice.n_sites, rate_of(self.u[place]))
        at = likelihood.misread_at(rates, worth)
        scores = at.row_scores(self.theta[place])
        read = declared(likelihood.bound, likelihood.parts, rates)
        return at, np.concatenate([scores(part, unique_rows(part)[0]) for part in read])

    def posterior(self, priors: Sequence[Distribution]) -> tuple[np.ndarray, np.ndarray]:
        """Places that are close to each other, and the log density there up to a constant."""
        dense = np.linspace(self.u[0], self.u[-1], _DENSE)
        return dense, CubicSpline(self.u, self.log)(dense) + _log_prior(priors, dense)


def _everywhere() -> np.ndarray:
    """Places between rates that are hardly any and hardly less than one half."""
    first, last = (float(np.log(f / (0.5 - f))) for f in _ENDS)
    return np.linspace(first, last, _COARSE)


def _log_prior(priors: Sequence[Distribution], u: np.ndarray) -> np.ndarray:
    """Log density along the line of a rate of any of these priors."""
    f = rate_of(u)
    with np.errstate(divide="ignore"):
        return np.asarray(logsumexp([log_prior(one, f) for one in priors], 0) + np.log(f) + np.log(1 - 2 * f))


def log_prior(prior: Distribution, rates: np.ndarray) -> np.ndarray:
    """Log density of a prior at rates.

    Raises
    ------
    HamlearnError
        If it allows none of them.
    """
    import jax

    with jax.enable_x64(True):
        inside, log = np.asarray(prior.distribution.support(rates)), np.full(len(rates), -np.inf)
        log[inside] = prior.distribution.log_prob(rates[inside])  # which NumPyro leaves to whoever asks: beyond it is any number
    log[np.isnan(log)] = -np.inf
    if not np.any(log > -np.inf):
        raise HamlearnError(
            f"the prior {prior.text} of a readout error rate allows none between {rates.min():.2g} and {rates.max():.2g}: give "
            "one on (0, 0.5), such as numpyro.distributions.Beta(2, 60); a rate that is known goes with the data, "
            "hl.microstates(..., flip=rate)."
        )
    return log
