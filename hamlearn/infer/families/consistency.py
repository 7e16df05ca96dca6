"""The last step of :class:`hamlearn.models.DCL`: strengths of fields and pairs as the data have them, from weighted draws of a density."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import statistics
from hamlearn.infer import posteriors
from hamlearn.infer.families.pair_terms import SharedTerms, SiteTerms, terms_of
from hamlearn.infer.newton import newton
from hamlearn.infer.relevance import relevance, relevant
from hamlearn.models.extensive import BoundExtensive, Weights

if TYPE_CHECKING:
    from hamlearn.infer.engines.jax_training import Regression
    from hamlearn.models.densities.evaluate import Evaluator

ATTEMPTED = 0.02  # of tens of thousands of draws, what weights must leave or there are too few for moments: a number, not a trust
_STEPS, _TOLERANCE = 20, 1e-18  # of Newton's method, and what is left to gain of a microstate: data may be millions
_MANY, _SWEEPS = 100, 2  # strengths, beyond which a member's prior widths take so many sweeps from those of the data
_CHUNK = 8192  # rows of terms in double precision: 55 MB for the 832 of a glass of 8×8


@dataclass(frozen=True, eq=False)
class Seen:
    """The data: values ``(row, site)``, what each counts, β, τ, and the terms of autocorrelated rows."""

    values: np.ndarray
    weight: np.ndarray
    beta: float
    tau: float
    series: np.ndarray | None

    @classmethod
    def of(cls, bound: BoundExtensive, sets: list[xr.Dataset], density: xr.DataTree) -> Seen:
        """The data of one temperature, as the density saw them."""
        values = microstate_data.rows(sets[0]).reshape(-1, int(np.prod(bound.shape)))
        tau = posteriors.provenance_of(density).calibration.tau
        series = _series(terms_of(bound), bound.space.index(values), sets[0]["state"].shape[:2], tau)
        return cls(values, microstate_data.multiplicity(sets[0])[0].reshape(-1), float(sets[0]["beta"]), tau, series)


def labels_of(evaluator: Evaluator, states: np.ndarray, beta: float) -> np.ndarray:
    """Energies −ln p/β that a density gives to states."""
    return -np.concatenate([evaluator.log_prob(states[start : start + 8192]) for start in range(0, len(states), 8192)]) / beta


@dataclass(frozen=True, eq=False)
class Matched:
    """An extensive energy made consistent with the data: strengths of translation-tied fields and pairs, and their errors."""

    bound: BoundExtensive
    terms: SharedTerms | SiteTerms
    weights: Weights
    base: np.ndarray  # strengths that the distilled energy has
    strengths: np.ndarray  # those of the data
    covariance: np.ndarray
    ess: float
    network: bool
    told: str

    def member(self, generator: np.random.Generator) -> Weights:
        """Weights with strengths as a repeated experiment might have given them."""
        if self.ess <= ATTEMPTED:
            return self.weights
        shaken = generator.multivariate_normal(self.strengths, self.covariance, method="eigh")
        again = (self._widths, _SWEEPS) if self.terms.count > _MANY else ()
        return self.terms.added(self.weights, relevant(shaken, self.covariance, *again) - self.base)

    @cached_property
    def _widths(self) -> np.ndarray:
        """Prior variances of the strengths that the data ask for."""
        return relevance(self.strengths, self.covariance)


def _series(terms: SharedTerms | SiteTerms, index: np.ndarray, shape: tuple[int, ...], tau: float) -> np.ndarray | None:
    """Terms of autocorrelated data ``(chain, draw, term)``; None of independent ones, and where they are too many."""
    if tau <= 1 or terms.count > _MANY:
        return None
    return np.concatenate([terms(index[start : start + _CHUNK]) for start in range(0, len(index), _CHUNK)]).reshape(*shape, -1)


def of_the_mean(covariance: np.ndarray, size: float, series: np.ndarray | None) -> np.ndarray:
    """Covariance of the mean of `size` rows of terms that have this covariance, with an autocorrelation time of every direction.

    A chain of single flips turns the magnetization over a hundred times more slowly than the energy, and neighbouring pairs
    together much more slowly than one kind of pair against another: times are of the principal components.
    """
    if series is None:
        return covariance / size
    values, vectors = np.linalg.eigh(covariance)
    found = statistics.integrated_autocorrelation_time(series @ vectors)
    times = np.maximum(np.nan_to_num(found, nan=1.0), 1.0)
    return np.asarray((vectors * (np.maximum(values, 0.0) * times)) @ vectors.T / size)


def consistent(bound: BoundExtensive, fit: Regression, evaluator: Evaluator, drawn: np.ndarray, seen: Seen) -> Matched:
    """Maximum likelihood of fields and pairs, its partition function from weighted draws of the density."""
    values, weight, beta, tau, series = seen.values, seen.weight, seen.beta, seen.tau, seen.series
    terms, rows = terms_of(bound), bound.space.index(drawn).reshape(len(drawn), -1)
    log_q = -beta * labels_of(evaluator, drawn, beta)
    index = bound.space.index(values)
    pieces = [slice(start, start + _CHUNK) for start in range(0, len(index), _CHUNK)]
    random = np.random.default_rng(0).integers(bound.space.q, size=(max(4000, 5 * terms.count), rows.shape[1]))
    mean = np.sum([weight[piece] @ terms(index[piece]) for piece in pieces], 0) / weight.sum()
    size = weight.sum() ** 2 / (weight**2).sum()
    worth = size / tau
    sampled = terms(rows)
    silent = {**fit.weights, f"matrix_{len(bound.model.hidden)}": 0 * fit.weights[f"matrix_{len(bound.model.hidden)}"]}
    found = []
    for weights in [silent, fit.weights] if fit.network else [silent]:
        system = bound.system(weights)
        energy = np.asarray(system.energy(drawn), float)
        change, covariance, share, log_z = maximum(energy, sampled, log_q, mean, beta, worth if series is None else size, series)
        design = np.column_stack([terms(random), np.ones(len(random))])
        here = np.asarray(system.energy(bound.space.from_index(random).reshape(-1, *bound.shape)), float)
        base = np.linalg.lstsq(design, here, rcond=1e-10)[0][:-1]
        data_energy = np.asarray(system.energy(values.reshape(-1, *bound.shape)), float)
        data_energy += np.concatenate([terms(index[piece]) @ change for piece in pieces])
        found.append((weights, base, change, covariance, share, -beta * data_energy - log_z))
    # The network was fitted to the density, which errs: it stays only if the data are clearly more likely with it.
    network = False
    if len(found) == 2:
        difference = found[1][5] - found[0][5]
        gain = float(weight @ difference / weight.sum())
        noise = 1 / np.sqrt(worth) + 1 / np.sqrt(len(drawn) * max(min(found[0][4], found[1][4]), 1e-9))
        network = found[1][4] > ATTEMPTED and gain > 3 * float(difference.std()) * noise
    weights, base, change, covariance, share, _ = found[1 if network else 0]
    if share <= ATTEMPTED:
        told = (
            f"consistency not possible: weighted draws of the density are worth {share:.2g} of their number; train it longer "
            "(engine=hl.infer.Training(epochs=...)), or use more data"
        )
        return Matched(bound, terms, fit.weights, base, base, covariance, share, fit.network, told)
    kept = "network kept" if network else "pairs are enough"
    told = f"consistent with the data by weighted draws worth {share:.2g} of their number; {kept}"
    return Matched(bound, terms, weights, base, base + change, covariance, share, network, told)


def maximum(
    energy: np.ndarray,
    terms: np.ndarray,
    log_q: np.ndarray,
    mean: np.ndarray,
    beta: float,
    size: float,
    series: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Change of the strengths that matches ⟨terms⟩ to `mean`; its covariance; worth of the weights; ln Z.

    Newton's method on the concave likelihood −β⟨E⟩ − ln Z with Z = mean of exp(−βE)/q over draws from q. `mean` is of
    `size` microstates, independent unless `series` holds their terms.
    """
    likelihood = _Weighted(energy, terms, log_q, mean, beta)
    best = newton(likelihood, np.zeros(terms.shape[1]), tolerance=_TOLERANCE, most=_STEPS, flat=1e-10)
    weight, log_z = likelihood.weights(best.theta)
    curvature = best.curvature if best.converged else likelihood.curvature(best.theta)
    covariance = curvature / beta**2
    inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) / beta**2
    # Both means fluctuate: that of the data, and the weighted one (with the weights' own covariance).
    scatter = _scatter(terms, weight @ terms, weight**2)
    data = of_the_mean(covariance, size, series)
    share = float(1 / (weight**2).sum() / len(weight))
    return best.theta, beta**2 * inverse @ (data + scatter) @ inverse, share, log_z


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The log likelihood of a microstate as a function of the change of strengths, from weighted draws."""

    energy: np.ndarray
    terms: np.ndarray
    log_q: np.ndarray
    mean: np.ndarray
    beta: float

    def weights(self, change: np.ndarray) -> tuple[np.ndarray, float]:
        """Normalised weights of the draws, and ln Z."""
        log_weight = -self.beta * (self.energy + self.terms @ change) - self.log_q
        top = log_weight.max()
        weight = np.exp(log_weight - top)
        return weight / weight.sum(), float(top + np.log(weight.mean()))

    def value_and_gradient(self, change: np.ndarray) -> tuple[float, np.ndarray]:
        weight, log_z = self.weights(change)
        return -self.beta * float(self.mean @ change) - log_z, self.beta * (weight @ self.terms - self.mean)

    def curvature(self, change: np.ndarray, *, rough: bool = False) -> np.ndarray:
        weight, _ = self.weights(change)
        return self.beta**2 * _scatter(self.terms, weight @ self.terms, weight)


def _scatter(terms: np.ndarray, centre: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ weight (terms − centre)(terms − centre)ᵀ over rows, some at a time."""
    result = np.zeros((len(centre),) * 2)
    for start in range(0, len(terms), _CHUNK):
        deviation = terms[start : start + _CHUNK] - centre
        result += (deviation * weight[start : start + _CHUNK, None]).T @ deviation
    return result
