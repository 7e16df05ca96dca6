"""Sparse posteriors against the sum over all models: which couplings exist, by closed form and quadrature."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from infer import oracles

from hamlearn.data import microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import score_covariance
from hamlearn.infer.engines import gibbs
from hamlearn.infer.likelihoods import ExactLikelihood, composite
from hamlearn.infer.optimum import maximise
from hamlearn.infer.records import bind
from hamlearn.models import Couplings, Normal, SpikeSlab
from hamlearn.systems import SPINS
from statistics_budget import assert_within

TRIANGLE = [[0, 1], [1, 2], [0, 2]]


class Gaussian:
    """A likelihood that *is* N(centre | θ, precision⁻¹)."""

    composite, name, parts = False, "gaussian", ()

    def __init__(self, bound, centre, precision):
        self.bound, self.centre, self.precision = bound, np.array(centre), np.array(precision)

    def value_and_gradient(self, theta):
        deviation = theta - self.centre
        return -0.5 * float(deviation @ self.precision @ deviation), -self.precision @ deviation

    def information(self, theta, *, rough=False):
        return self.precision


def problem(fields=None, strength=1.0, field_scale=2.0):
    bound = Couplings(TRIANGLE, fields=fields, field_prior=Normal(field_scale)).bind(SPINS, (3,))
    p = bound.n_params
    root = np.random.default_rng(8).normal(size=(p, p))
    precision = 40 * (np.eye(p) + 0.3 * (root + root.T) / 2 / np.sqrt(p))
    centre = strength * np.array([0.6, 0.25, 0.02, 0.4])[:p]
    return Gaussian(bound, centre, precision)


def by_enumeration(likelihood, prior, points=300):
    """P(γ_k = 1), E θ_k, E θ_k² and E s, E π over all models, with s (and μ) on grids of quantiles and π integrated."""
    n, p = likelihood.bound.n_coupling_params, likelihood.bound.n_params
    Q, b = likelihood.precision, likelihood.precision @ likelihood.centre
    field_precision = likelihood.bound.model.field_prior.scale**-2.0
    quantiles = (np.arange(points) + 0.5) / points
    widths = scipy.stats.halfcauchy.ppf(quantiles, scale=prior.slab)
    magnitudes = scipy.stats.halfnorm.ppf(quantiles, scale=10 * prior.slab) if prior.common else np.zeros(1)
    s, mu = (grid.ravel() for grid in np.meshgrid(widths, magnitudes, indexing="ij"))
    total, inclusion, first, second = 0.0, np.zeros(n), np.zeros(p), np.zeros(p)
    inclusion_mean = width_mean = 0.0
    for signs in itertools.product((-1, 0, 1), repeat=n):
        signs = np.array(signs)
        k = int(np.abs(signs).sum())
        if prior.inclusion is None:  # ∫ π^k (1 − π)^(n − k) dπ, and the mean of π under it
            weight, pi = scipy.special.beta(1 + k, 1 + n - k), (1 + k) / (2 + n)
        else:
            weight, pi = prior.inclusion**k * (1 - prior.inclusion) ** (n - k), prior.inclusion
        weight /= 2**k
        live = np.concatenate([np.flatnonzero(signs), np.arange(n, p)])
        added = np.concatenate([np.ones(k), np.zeros(p - n)])
        # Posterior precision A = Q + D and linear term b + D m on the live coordinates, for every grid point at once.
        D = added[None] / s[:, None] ** 2 + np.concatenate([np.zeros(k), np.full(p - n, field_precision)])[None]
        m = np.concatenate([signs[np.flatnonzero(signs)], np.zeros(p - n)])[None] * mu[:, None]
        A = Q[np.ix_(live, live)][None] + D[:, :, None] * np.eye(len(live))
        linear = b[live][None] + D * m
        mean = np.linalg.solve(A, linear[..., None])[..., 0]
        covariance = np.linalg.inv(A)
        log = 0.5 * (np.log(D).sum(1) - np.linalg.slogdet(A)[1] + (linear * mean).sum(1) - (D * m**2).sum(1))
        mass = weight * np.exp(log - 0.5 * b @ likelihood.centre)
        total += mass.sum()
        inclusion += mass.sum() * (signs != 0)
        first[live] += mass @ mean
        second[live] += mass @ (mean**2 + np.diagonal(covariance, axis1=1, axis2=2))
        inclusion_mean += mass.sum() * pi
        width_mean += mass @ np.minimum(s, 5.0)  # the mean of s itself has a heavy tail
    return inclusion / total, first / total, second / total, inclusion_mean / total, width_mean / total


def monte_carlo(series):
    """Mean and standard error over chains from 40 batch means a chain."""
    series = np.asarray(series, float)
    means = series.reshape(series.shape[0] * 40, -1, *series.shape[2:]).mean(1)
    return means.mean(0), means.std(0, ddof=1) / np.sqrt(len(means)) + 1e-12


def run(likelihood, prior, *, draws, burn_in=20, chains=4, seed=0):
    start = np.zeros(likelihood.bound.n_params)
    return gibbs.spike_slab(likelihood, start, prior, calibrated=False, draws=draws, chains=chains, burn_in=burn_in, seed=seed)


SETTINGS = {
    "fixed inclusion, ordinary slab": (None, SpikeSlab(0.5, 0.3, common=False)),
    "learned inclusion, ordinary slab": (None, SpikeSlab(0.5, None, common=False)),
    "fixed inclusion, common magnitude": (None, SpikeSlab(0.1, 0.3, common=True)),
    "everything learned": (None, SpikeSlab(0.1, None, common=True)),
    "everything learned, a field": ("uniform", SpikeSlab(0.1, None, common=True)),
}


@pytest.mark.parametrize(("fields", "prior"), SETTINGS.values(), ids=SETTINGS)
def test_sum_over_models(fields, prior):
    likelihood = problem(fields)
    inclusion, first, second, pi, width = by_enumeration(likelihood, prior)
    draws = run(likelihood, prior, draws=20_000, burn_in=1000, seed=3)
    assert draws.theta.shape == (4, 20_000, len(likelihood.centre)) and draws.included.shape == (4, 20_000, 3)
    np.testing.assert_array_equal(draws.included != 0, draws.theta[..., :3] != 0)
    assert 0.03 < inclusion.min() and inclusion[0] > 0.7, "a problem where something is undecided"
    for what, series, truth in (
        ("inclusion", draws.included, inclusion),
        ("mean", draws.theta, first),
        ("second moment", draws.theta**2, second),
    ):
        estimate, error = monte_carlo(series)
        assert_within(estimate, truth, np.hypot(error, 2e-4), what)  # 2e-4: the grid
    if prior.inclusion is None:
        assert_within(*_with(monte_carlo(draws.hyper[..., 0]), pi), "inclusion probability")
    else:
        assert np.all(draws.hyper[..., 0] == prior.inclusion)
    assert_within(*_with(monte_carlo(np.minimum(draws.hyper[..., 1], 5.0)), width, 2e-3), "slab width")
    if not prior.common:
        assert np.all(draws.hyper[..., 2] == 0)


def _with(estimate, truth, grid=0.0):
    return estimate[0], truth, np.hypot(estimate[1], grid)


def test_same_seed_same_draws():
    likelihood, prior = problem(), SpikeSlab(0.5)
    runs = [run(likelihood, prior, draws=50, chains=2, seed=seed).theta for seed in (1, 1, 2, 2**40 + 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2]) and not np.array_equal(runs[0][0], runs[0][1])
    assert not np.array_equal(runs[0], runs[3])


def test_neighbouring_seeds_share_no_chain():
    likelihood, prior = problem(), SpikeSlab(0.5)
    draws = [run(likelihood, prior, draws=20, seed=seed).theta for seed in range(6)]
    chains = np.concatenate(draws)
    assert len({chain.tobytes() for chain in chains}) == len(chains)


# ---------------------------------------------------------------------------------------------- the surrogate


def glass(rows, seed=0, n=6):
    pairs = np.stack(np.triu_indices(n, 1), 1)
    strengths = np.zeros(len(pairs))
    strengths[:3] = 0.5, -0.6, 0.4
    return microstates(oracles.exact_draws(pairs, strengths, np.zeros(n), 1.0, n, rows, seed=seed), beta=1.0), strengths


def test_the_surrogate_is_the_calibrated_normal():
    data, _ = glass(5000)
    bound, parts, _ = bind(data, Couplings(None, fields=None))
    likelihood = composite(bound, parts, "pseudo")
    best = maximise(likelihood)
    plain = gibbs.surrogate(likelihood, best.theta, calibrated=False)
    np.testing.assert_allclose(plain.centre, best.theta, atol=1e-6)
    np.testing.assert_allclose(plain.precision, best.information)
    calibrated = gibbs.surrogate(likelihood, best.theta)
    score = score_covariance(likelihood, best.theta)
    expected = best.information @ np.linalg.inv(score.J) @ best.information
    assert 0 <= calibrated.shrinkage < 1
    np.testing.assert_allclose(np.diag(calibrated.precision), np.diag(expected), rtol=0.1)
    assert np.linalg.norm(calibrated.precision - expected) < 0.1 * np.linalg.norm(expected)
    # One Newton step from elsewhere leads near the maximum.
    away = gibbs.surrogate(likelihood, best.theta + 0.05, calibrated=False)
    assert np.linalg.norm(away.centre - best.theta) < 0.2 * 0.05 * np.sqrt(15)


def test_too_few_batches_are_refused():
    spins = oracles.heat_bath(np.zeros((6, 6)), np.zeros(6), 1.0, 1, 150, seed=0, sweeps=0.3)
    bound, parts, _ = bind(microstates(spins, beta=1.0, dims=("chain", "draw", "site")), Couplings(None, fields=None))
    likelihood = composite(bound, parts, "pseudo")
    with pytest.raises(HamlearnError, match=r"of 15 parameters needs at least 30 independent batches of data; these give \d+"):
        gibbs.surrogate(likelihood, np.zeros(15))


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_absent_couplings_are_recognised(likelihood):
    data, strengths = glass(4000)
    bound, parts, _ = bind(data, Couplings(None, fields=None, prior="spike_slab"))
    objective = ExactLikelihood(bound, parts) if likelihood == "exact" else composite(bound, parts, likelihood)
    best = maximise(objective)
    options = {"draws": 1000, "chains": 2, "burn_in": 300, "seed": 0}
    draws = gibbs.spike_slab(objective, best.theta, SpikeSlab(), calibrated=likelihood == "pseudo", **options)
    inclusion = draws.included.mean((0, 1))
    assert inclusion[:3].min() > 0.99 and inclusion[3:].max() < 0.3
    error, flat = draws.theta.mean((0, 1)) - strengths, best.theta - strengths
    assert np.sqrt(np.mean(error**2)) < 0.7 * np.sqrt(np.mean(flat**2)), "knowing what is absent helps the rest"
