"""What a refitted model predicts for the statistics of a check, with its parameters' and the simulation's errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import infer
from hamlearn.diagnostics.features import Features
from hamlearn.errors import HamlearnError
from hamlearn.infer.asked import LikelihoodName
from hamlearn.models import BoundCouplings, Couplings, SpikeSlab
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import System, exact, sampling

LISTED = 2e7  # numbers that tables over all states may hold
_DRAWS = (4_000, 24_000)  # exact or simulated microstates, at least and at most
_CHAINS = 64
_UNCERTAIN = 0.5  # β times a parameter's sd beyond which expectations are not linear in it
_MEMBERS = 64
_BURN_IN, _TIMES = 200, 10.0  # sweeps before the first draw of chains from data, and how many of the slowest τ these must be


@dataclass(frozen=True, eq=False)
class Prediction:
    """Expected columns at one temperature.

    Attributes
    ----------
    mean : array (column,)
        Expectation under the refitted parameters.
    variance : array (column,)
        Of one microstate.
    deviations : array (member, column)
        How the expectation moves with the parameters, over their posterior.
    batches : array (batch, column)
        Scatter of the simulation, as contributions to the error of `mean`; empty where there is none.
    optimism : float
        By how much the fitted energies of other data lie above those of the fitted half.
    """

    mean: np.ndarray
    variance: np.ndarray
    deviations: np.ndarray
    batches: np.ndarray
    optimism: float


def refit(sets: list[xr.Dataset], model: Couplings, *, likelihood: LikelihoodName, draws: int, seed: int) -> xr.DataTree:
    """The model fitted cheaply to half of the data.

    Raises
    ------
    HamlearnError
        If there is no finite maximum of the likelihood, so that only the prior would hold some parameters.
    """
    space = microstates.space_of(sets)
    bound = model.bind(space, microstates.site_shape(sets[0]))
    if likelihood == "auto":
        oracle = exact.method(bound.system(np.zeros(bound.n_params)))
        likelihood = "exact" if oracle == "enumeration" and _listable(bound) else bound.stand_in
    if model.prior.sparse:
        prior = model.prior if isinstance(model.prior, SpikeSlab) else SpikeSlab()
        sparse = model.changed(prior=prior)
        try:
            return infer.learn(sets, sparse, likelihood, infer.Gibbs(draws=draws, chains=1, warmup=200), seed=seed)
        except HamlearnError:  # too few independent batches for a sparse posterior
            pass
    return infer.learn(sets, model, likelihood, infer.MLE(draws=draws, chains=1), seed=seed)


def predicted(
    features: Features, theta: np.ndarray, beta: float, rows: int, fitted: np.ndarray, rng: np.random.Generator
) -> Prediction | None:
    """Expectations of all columns under refitted parameters ``theta (member, n_params)``.

    By listing all states where there are few; else from microstates. Where parameters are certain to a fraction of
    the temperature these are drawn at their centre, and covariances with the sufficient statistics say how
    expectations move with them, d⟨f⟩/dθ = β Cov(f, T). Where they are not, members of the posterior are drawn from one
    by one, which needs an oracle; without one there is no prediction (None).
    """
    bound, centre = features.bound, theta.mean(0)
    if _listable(bound):
        return _listed(features, theta, beta)
    oracle = exact.oracle(bound.system(centre), "sample") is not None
    if beta * theta.std(0).max() > _UNCERTAIN:
        return _by_members(features, theta, beta, rng) if oracle else None
    return _linear(features, theta, beta, rows, fitted, rng, oracle)


def _listable(bound: BoundCouplings) -> bool:
    return bound.n_states * (bound.n_params + 500) <= LISTED


def _listed(features: Features, theta: np.ndarray, beta: float) -> Prediction:
    bound, centre = features.bound, theta.mean(0)
    states = bound.states()
    sufficient = bound.statistics(states)
    weight = _boltzmann(beta * (sufficient @ centre))
    columns = features(states, float(weight @ features.energy(states)))
    mean = weight @ columns
    members = theta[: max(2, int(LISTED // len(states)))]
    moved = _boltzmann(beta * (sufficient @ members.T)).T @ columns
    spread = sufficient @ (theta[:64] - centre).T
    optimism = beta * float(np.mean(weight @ spread**2 - (weight @ spread) ** 2))
    return Prediction(mean, weight @ (columns - mean) ** 2, moved - moved.mean(0), np.zeros((0, len(mean))), optimism)


def _linear(
    features: Features, theta: np.ndarray, beta: float, rows: int, fitted: np.ndarray, rng: np.random.Generator, oracle: bool
) -> Prediction:
    bound, centre = features.bound, theta.mean(0)
    states, label = _draw(bound, centre, beta, int(np.clip(4 * rows, *_DRAWS)), fitted, rng, oracle)
    n, energy = len(states), float(features.energy(states).mean())
    pieces = np.array_split(np.arange(n), max(1, n * (bound.n_params + 500) // (1 << 23)))
    columns = np.concatenate([features(states[piece], energy) for piece in pieces])
    mean = columns.mean(0)
    columns -= mean
    few = min(64, len(theta))
    cross, spread = np.zeros((columns.shape[1], bound.n_params)), np.zeros((2, few))
    for piece in pieces:
        sufficient = bound.statistics(states[piece])
        cross += columns[piece].T @ sufficient
        moved = sufficient @ (theta[:few] - centre).T
        spread += np.stack([moved.sum(0), (moved**2).sum(0)])
    optimism = beta * float(np.mean(spread[1] / n - (spread[0] / n) ** 2))
    batches = np.zeros((_CHAINS, columns.shape[1]))
    np.add.at(batches, label, columns / n)
    return Prediction(mean, columns.var(0), beta * (theta - centre) @ (cross / n).T, batches, optimism)


def _draw(
    bound: BoundCouplings, theta: np.ndarray, beta: float, draws: int, fitted: np.ndarray, rng: np.random.Generator, oracle: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Microstates of one member as value indices ``(row, n_sites)``, and the independent batch each belongs to."""
    system, seed = bound.system(theta), int(rng.integers(2**31))
    if oracle:
        values, label = exact.sample(system, beta, draws, seed), np.arange(draws) % _CHAINS
    else:
        start = bound.space.from_index(fitted[rng.integers(len(fitted), size=_CHAINS)]).reshape(_CHAINS, *bound.lattice.shape)
        found = _from_data(system, beta, draws, start, seed)
        values, label = found["state"].values, np.repeat(np.arange(_CHAINS), found.sizes["draw"])
    return bound.space.index(values).reshape(-1, bound.lattice.n_sites).astype(np.int8), label


def _from_data(system: System, beta: float, draws: int, start: np.ndarray, seed: int) -> xr.Dataset:
    """Microstates of chains that start from rows of the data.

    All that such a chain has to forget is what the model gets wrong (a right one is in equilibrium but for the error of its fit), not a
    random state: five τ leave e^-10 of it. So a few sweeps do, and the draws themselves say whether they were enough; where they
    were not, burn-in is found as for any start. Ten of the measured τ are asked for: a hundred draws a chain show half of a τ of fifty.
    """
    run = partial(sampling.simulate, system, beta, -(-draws // _CHAINS), _CHAINS, seed, start=start, progress=False)
    found = run(burn_in=_BURN_IN)
    order = np.abs(system.space.order_parameters(found["state"].values.reshape(*found["state"].shape[:2], -1)))
    slowest = max(found.attrs["tau_int"], float(np.nan_to_num(integrated_autocorrelation_time(order), nan=1.0).max()))
    return found if _TIMES * slowest <= _BURN_IN else run()


def _by_members(features: Features, theta: np.ndarray, beta: float, rng: np.random.Generator) -> Prediction:
    """Expectations of single members, whose scatter holds the simulation's error as well."""
    bound, some = features.bound, theta[:: max(1, len(theta) // _MEMBERS)][:_MEMBERS]
    states = [_draw(bound, one, beta, _DRAWS[0] // 8, np.zeros(0), rng, True)[0] for one in some]
    energy = float(np.mean([features.energy(part).mean() for part in states]))
    columns = np.stack([features(part, energy) for part in states])
    means = columns.mean(1)
    mean = means.mean(0)
    deviations = (means - mean) * np.sqrt((len(some) + 1) / (len(some) - 1))  # the mean of few members is uncertain too
    spread = [bound.statistics(part) @ (one - theta.mean(0)) for part, one in zip(states, some, strict=True)]
    optimism = beta * float(np.mean([np.var(values) for values in spread]))
    return Prediction(mean, columns.reshape(-1, len(mean)).var(0), deviations, np.zeros((0, len(mean))), optimism)


def _boltzmann(log_weight: np.ndarray) -> np.ndarray:
    weight = np.exp(log_weight - log_weight.max(0))
    return weight / weight.sum(0)
