"""What a refitted model predicts for the statistics of a check, with its parameters' and the simulation's errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from hamlearn import infer
from hamlearn.diagnostics.features import Features
from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods.exact import statistics
from hamlearn.models import BoundCouplings, Couplings, Laplace, Normal, SpikeSlab
from hamlearn.systems import exact, sampling
from hamlearn.systems.base import space_from_name

_LISTED = 2e7  # numbers that tables over all states may hold
_DRAWS = (4_000, 24_000)  # exact or simulated microstates, at least and at most
_CHAINS = 64


@dataclass(frozen=True, eq=False)
class Prediction:
    """Expected columns at one temperature.

    Attributes
    ----------
    mean : array (column,)
        Expectation at the centre of the refitted parameters.
    variance : array (column,)
        Of one microstate.
    deviations : array (member, column)
        How the expectation moves with the parameters, over their posterior.
    batches : array (batch, column)
        Scatter of the simulation, as contributions to the error of `mean`; empty where there is none.
    """

    mean: np.ndarray
    variance: np.ndarray
    deviations: np.ndarray
    batches: np.ndarray


def refit(sets: list[xr.Dataset], model: Couplings, *, likelihood: str, members: int, seed: int) -> xr.DataTree:
    """The model fitted cheaply to half of the data."""
    bound = model.bind(space_from_name(sets[0].attrs["space"], int(sets[0].attrs["q"])), sets[0]["state"].shape[2:])
    if likelihood == "auto":
        likelihood = "exact" if _listable(bound) else "pseudo"
    if isinstance(model.prior, SpikeSlab) or (not isinstance(model.prior, Normal | Laplace)):
        prior = model.prior if isinstance(model.prior, SpikeSlab) else SpikeSlab()
        sparse = Couplings(model.graph, model.tie, model.fields, prior, field_prior=model.field_prior, interaction=model.interaction)
        try:
            return infer.learn(sets, sparse, likelihood, infer.Gibbs(draws=members, chains=1, warmup=200), seed=seed)
        except HamlearnError:  # too few independent batches for a sparse posterior
            pass
    try:
        return infer.learn(sets, model, likelihood, infer.MLE(draws=members, chains=1), seed=seed)
    except HamlearnError:  # no finite maximum: the prior has to hold what the data do not
        prior = model.prior if isinstance(model.prior, Normal) else Normal()
        held = Couplings(model.graph, model.tie, model.fields, prior, field_prior=model.field_prior, interaction=model.interaction)
        return infer.learn(sets, held, likelihood, infer.LaplaceApproximation(draws=members, chains=1), seed=seed)


def predicted(features: Features, theta: np.ndarray, beta: float, rows: int, fitted: np.ndarray, rng: np.random.Generator) -> Prediction:
    """Expectations of all columns under refitted parameters ``theta (member, n_params)``.

    By listing all states where there are few; else from microstates at the centre of the posterior (exact samples
    where an oracle draws them, a simulation started from data elsewhere), whose covariances with the sufficient
    statistics say how expectations move with the parameters: d⟨f⟩/dθ = β Cov(f, T).
    """
    if _listable(features.bound):
        return _listed(features, theta, beta)
    return _sampled(features, theta, beta, rows, fitted, rng)


def _listable(bound: BoundCouplings) -> bool:
    states = float(bound.space.q) ** bound.lattice.n_sites
    return states * (bound.n_params + 500) <= _LISTED


def _listed(features: Features, theta: np.ndarray, beta: float) -> Prediction:
    bound, centre = features.bound, theta.mean(0)
    states = exact.all_states(bound.lattice, bound.space.q).reshape(-1, bound.lattice.n_sites)
    sufficient = statistics(bound, states)
    weight = _boltzmann(beta * (sufficient @ centre))
    energy = float(weight @ features.energy(states))
    columns = features(states, energy)
    mean = weight @ columns
    members = theta[: max(2, int(2 * _LISTED // len(states)))]
    moved = _boltzmann(beta * (sufficient @ members.T)).T @ columns
    deviations = moved - moved.mean(0)
    spread = sufficient @ (members[:64] - centre).T
    optimism = beta * float(np.mean(weight @ spread**2 - (weight @ spread) ** 2))
    mean = mean + _optimism(features, optimism, len(mean))
    return Prediction(mean, weight @ (columns - mean) ** 2, deviations, np.zeros((0, len(mean))))


def _sampled(features: Features, theta: np.ndarray, beta: float, rows: int, fitted: np.ndarray, rng: np.random.Generator) -> Prediction:
    bound, centre = features.bound, theta.mean(0)
    system, seed = bound.system(centre), int(rng.integers(2**31))
    draws = int(np.clip(4 * rows, *_DRAWS))
    if exact.method(system) in ("enumeration", "transfer"):
        values = exact.sample(system, beta, draws, seed)
        label = np.arange(draws) % _CHAINS
    else:
        start = bound.space.from_index(fitted[rng.integers(len(fitted), size=_CHAINS)]).reshape(_CHAINS, *bound.lattice.shape)
        found = sampling.simulate(system, beta=beta, draws=-(-draws // _CHAINS), chains=_CHAINS, seed=seed, start=start, progress=False)
        values = found["state"].values
        label = np.repeat(np.arange(_CHAINS), values.shape[1])
    states = bound.space.index(values).reshape(-1, bound.lattice.n_sites).astype(np.int8)
    n, energy = len(states), float(features.energy(states).mean())
    pieces = np.array_split(np.arange(n), max(1, n * (bound.n_params + 500) // (1 << 23)))
    blocks = [features(states[piece], energy) for piece in pieces]
    columns = np.concatenate(blocks)
    mean = columns.mean(0)
    columns -= mean
    first, cross, spread = np.zeros(bound.n_params), np.zeros((columns.shape[1], bound.n_params)), np.zeros((2, min(64, len(theta))))
    for piece in pieces:
        sufficient = statistics(bound, states[piece])
        first += sufficient.sum(0)
        cross += columns[piece].T @ sufficient
        moved = sufficient @ (theta[:64] - centre).T
        spread += np.stack([moved.sum(0), (moved**2).sum(0)])
    deviations = beta * (theta - centre) @ (cross / n).T
    optimism = beta * float(np.mean(spread[1] / n - (spread[0] / n) ** 2))
    batches = np.zeros((_CHAINS, columns.shape[1]))
    np.add.at(batches, label, columns / n)
    return Prediction(mean + _optimism(features, optimism, len(mean)), columns.var(0), deviations, batches)


def _optimism(features: Features, amount: float, columns: int) -> np.ndarray:
    """Correction of the mean energy: the fitted Hamiltonian holds its own half's noise, so it likes that half too well."""
    shift = np.zeros(columns)
    for statistic in features.statistics:
        if statistic.name == "mean energy":
            shift[statistic.columns] = amount / features.bound.lattice.n_sites
    return shift


def _boltzmann(log_weight: np.ndarray) -> np.ndarray:
    weight = np.exp(log_weight - log_weight.max(0))
    return weight / weight.sum(0)
