"""Sparse posteriors against the sum over all models: which couplings exist, by closed form and quadrature."""

from __future__ import annotations

import importlib
import itertools

import numba
import numpy as np
import pytest
import scipy.stats
from infer import oracles

from hamlearn.data import microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines import gibbs
from hamlearn.infer.engines.gibbs import collapsed
from hamlearn.infer.likelihoods import ExactLikelihood, composite
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.scatter import score_covariance
from hamlearn.models import Couplings, Normal, SpikeSlab
from hamlearn.systems import SPINS
from statistics_budget import assert_within

search = importlib.import_module("hamlearn.infer.engines.gibbs.search")  # the package shows its function of that name
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
    """P(γ_k = 1), E θ_k, E θ_k², E π, E s and P(μ > 0) over all models, with s (and μ) on grids of quantiles and π integrated."""
    n, p = likelihood.bound.n_coupling_params, likelihood.bound.n_params
    Q, b = likelihood.precision, likelihood.precision @ likelihood.centre
    field_precision = likelihood.bound.model.field_prior.scale**-2.0
    quantiles = (np.arange(points) + 0.5) / points
    widths = scipy.stats.halfcauchy.ppf(quantiles, scale=prior.slab)
    magnitudes = scipy.stats.halfnorm.ppf(quantiles, scale=10 * prior.slab)
    grids = [np.meshgrid(widths, np.zeros(1))] * (prior.common < 1) + [np.meshgrid(widths, magnitudes)] * (prior.common > 0)
    shares = [1.0 - prior.common] * (prior.common < 1) + [prior.common] * (prior.common > 0)
    s, mu = (np.concatenate([grid[k].ravel() for grid in grids]) for k in range(2))
    share = np.concatenate([np.full(grid[0].size, part / grid[0].size) for grid, part in zip(grids, shares, strict=True)])
    total, inclusion, first, second = 0.0, np.zeros(n), np.zeros(p), np.zeros(p)
    inclusion_mean = width_mean = common_mean = 0.0
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
        mass = weight * share * np.exp(log - 0.5 * b @ likelihood.centre)
        total += mass.sum()
        inclusion += mass.sum() * (signs != 0)
        first[live] += mass @ mean
        second[live] += mass @ (mean**2 + np.diagonal(covariance, axis1=1, axis2=2))
        inclusion_mean += mass.sum() * pi
        width_mean += mass @ np.minimum(s, 5.0)  # the mean of s itself has a heavy tail
        common_mean += mass @ (mu > 0)
    return inclusion / total, first / total, second / total, inclusion_mean / total, width_mean / total, common_mean / total


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
    "whether the magnitude is common, too": (None, SpikeSlab(0.1, None, common=0.3)),
}


@pytest.mark.parametrize(("fields", "prior"), SETTINGS.values(), ids=SETTINGS)
def test_sum_over_models(fields, prior):
    likelihood = problem(fields)
    inclusion, first, second, pi, width, common = by_enumeration(likelihood, prior)
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
    if prior.common in (0, 1):
        assert np.all((draws.hyper[..., 2] > 0) == prior.common)
    else:
        assert 0.1 < common < 0.9
        assert_within(*_with(monte_carlo(draws.hyper[..., 2] > 0), common, 2e-3), "whether the magnitude is common")


def _with(estimate, truth, grid=0.0):
    return estimate[0], truth, np.hypot(estimate[1], grid)


def log_evidence(Q, b, signs, tau, centre, odds, field_precision):
    """Log evidence of one assignment of signs, by the Gaussian integral."""
    n = len(signs)
    live = np.concatenate([np.flatnonzero(signs), np.arange(n, len(b))])
    coupling = live < n
    precision = np.where(coupling, tau, field_precision)
    middle = np.where(coupling, centre * np.append(signs, np.zeros(len(b) - n))[live], 0.0)
    A, linear = Q[np.ix_(live, live)] + np.diag(precision), b[live] + precision * middle
    log = 0.5 * (np.log(precision).sum() - np.linalg.slogdet(A)[1] + linear @ np.linalg.solve(A, linear) - precision @ middle**2)
    return log + np.abs(signs) @ (np.broadcast_to(odds, n) - np.log(2))


def test_pivots_are_the_inverse_and_the_schur_complement():
    root, generator = np.random.default_rng(1).normal(size=(6, 9)), np.random.default_rng(2)
    A, l = root @ root.T, generator.normal(size=6)
    matrix, vector = A.copy(), l.copy()
    for k, back in ((4, False), (0, False), (2, False), (4, True), (5, False)):
        collapsed.pivot(matrix, vector, k, back)
    inside, outside = [0, 2, 5], [1, 3, 4]
    inverse, across = np.linalg.inv(A[np.ix_(inside, inside)]), A[np.ix_(outside, inside)]
    np.testing.assert_allclose(-matrix[np.ix_(inside, inside)], inverse)
    np.testing.assert_allclose(matrix[np.ix_(outside, inside)], across @ inverse)
    np.testing.assert_allclose(matrix[np.ix_(outside, outside)], A[np.ix_(outside, outside)] - across @ inverse @ across.T)
    np.testing.assert_allclose(vector[inside], inverse @ l[inside])
    np.testing.assert_allclose(vector[outside], l[outside] - across @ inverse @ l[inside])


@pytest.mark.parametrize(("fields", "free", "moves"), [(None, (1, 1, 1), 0), ("uniform", (1, 1, 1), 3), (None, (1, 1, 0), 1)])
def test_collapsed_sweeps_visit_every_graph_as_often_as_its_evidence_says(fields, free, moves):
    likelihood = problem(fields, strength=0.4)
    Q, b = likelihood.precision, likelihood.precision @ likelihood.centre
    tau, centre, odds, field_precision = 8.0, 0.3, np.array([-0.4, 0.2, -1.1]), 0.25
    free = np.array(free, bool)
    theta, sign = np.zeros(len(b)), np.array([0.0, 0.0, 1.0])
    states = [signs for signs in itertools.product((-1, 0, 1), repeat=3) if np.all(free | (np.array(signs) == sign))]
    log = np.array([log_evidence(Q, b, np.array(signs), tau, centre, odds, field_precision) for signs in states])
    expected = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    seed_compiled_code(5)
    visits, strengths = np.zeros((40, 500, len(states))), np.zeros((40, 500))
    for at in np.ndindex(40, 500):
        collapsed.sweep(Q, b, 3, field_precision, tau, centre, odds, theta, sign, free, moves)
        visits[(*at, states.index(tuple(int(value) for value in sign)))] = 1.0
        strengths[at] = theta[0]
        assert np.all((theta[:3] != 0) == (sign != 0))
    means = visits.mean(1)
    assert np.sum(expected > 0.02) >= 5
    assert_within(means.mean(0), expected, means.std(0, ddof=1) / np.sqrt(40) + 1e-3, "graphs")
    mean = 0.0
    for weight, signs in zip(expected, states, strict=True):
        live = np.concatenate([np.flatnonzero(signs), np.arange(3, len(b))])
        added = np.where(live < 3, tau, field_precision)
        middle = np.where(live < 3, centre * np.append(signs, np.zeros(len(b) - 3))[live], 0.0)
        solved = np.linalg.solve(Q[np.ix_(live, live)] + np.diag(added), b[live] + added * middle)
        mean += weight * (solved[0] if signs[0] else 0.0)
    assert_within(strengths.mean(), mean, strengths.mean(1).std(ddof=1) / np.sqrt(40) + 1e-4, "strengths")


@numba.njit
def seed_compiled_code(seed):
    np.random.seed(seed)  # noqa: NPY002 (numba's own generator)


def test_laplace_evidence_of_a_normal_likelihood_is_its_integral():
    likelihood, prior = problem("uniform"), SpikeSlab(0.5, 0.3, common=False)
    normal = gibbs.surrogate(likelihood, np.zeros(4), calibrated=False)
    hyper, found = np.array([0.3, 0.4, 0.0]), []
    Q, b = likelihood.precision, likelihood.precision @ likelihood.centre
    for signs in ((1, 1, 0), (1, 0, 1)):
        members = [0, *np.flatnonzero(signs)[1:], 3]
        penalty = np.array([0.4**-2, 0.4**-2, 2.0**-2])
        theta = np.zeros(4)
        theta[members] = np.linalg.solve(Q[np.ix_(members, members)] + np.diag(penalty), b[members])
        mode = search.Mode(theta, likelihood.value_and_gradient(theta)[0], hyper)
        exact = log_evidence(Q, b, np.array(signs), 0.4**-2, 0.0, np.log(0.3 / 0.7), 2.0**-2)
        found.append(search.log_evidence(mode, likelihood, normal, prior) - exact)
    assert found[0] == pytest.approx(found[1], abs=1e-9)


def test_chains_start_where_the_evidence_is():
    modes = [search.Mode(np.full(3, k), 0.0, np.zeros(3)) for k in range(3)]
    found = search.Search(None, modes, np.log([0.5, 0.3, 0.2]), 1, 3)
    counts = np.zeros(3)
    for seed in range(50):
        for mode in found.starts(10, seed):
            counts[int(mode.theta[0])] += 1
    np.testing.assert_array_equal(counts, [250, 150, 100])


@pytest.mark.parametrize("seed", range(2))
def test_the_graph_of_a_nearly_frozen_glass(seed):
    """±J couplings on a 4×3 torus at βJ = 1.2: far from normal around the maximum of the likelihood, strongly correlated."""
    pairs = np.stack(np.triu_indices(12, 1), 1)
    (row, column), (first, second) = np.divmod(np.arange(12), 3), pairs.T
    down, across = np.abs(row[first] - row[second]), np.abs(column[first] - column[second])
    near = (np.isin(down, (1, 3)) & (across == 0)) | ((down == 0) & (across > 0))
    strengths = 1.2 * near * np.random.default_rng(20 + seed).choice([-1.0, 1.0], len(pairs))
    data = microstates(oracles.exact_draws(pairs, strengths, np.zeros(12), 1.0, 12, 3000, seed=seed), beta=1.0)
    bound, parts, _ = bind(data, Couplings(None, fields=None, prior="spike_slab"))
    objective = composite(bound, parts, "pseudo")
    start = maximise(objective, Normal(1.0)).theta
    draws = gibbs.spike_slab(objective, start, SpikeSlab(), calibrated=True, draws=200, chains=2, burn_in=200, seed=seed)
    inclusion = draws.included.mean((0, 1))
    assert inclusion[near].min() > 0.9 and inclusion[~near].max() < 0.1
    assert draws.rounds >= 2 and draws.evidence.shape == (2,) and draws.evidence.max() == 0.0


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
    assert 0 <= calibrated.basis.numbers["shrinkage"] < 1
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
