"""Error bars against what estimates really do: analytic limits, and many independent replications."""

from __future__ import annotations

import numpy as np
import pytest
from infer import oracles
from scipy.stats import binomtest

from hamlearn.data import microstates
from hamlearn.diagnostics.wording import basis
from hamlearn.infer.calibrate import (
    Adjusted,
    calibrate,
    inverse_root,
    sandwich,
    steady_sandwich,
)
from hamlearn.infer.likelihoods import ExactLikelihood, composite
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.scatter import ScoreCovariance, score_covariance, score_rows
from hamlearn.models import Couplings
from statistics_budget import assert_within, spend

N = 4
PAIRS = np.stack(np.triu_indices(N, 1), 1)
J = np.array([0.5, -0.4, 0.3, 0.6, -0.2, 0.1])
H = np.array([0.2, -0.1, 0.0, 0.3])
MATRIX = np.zeros((N, N))
MATRIX[tuple(PAIRS.T)] = MATRIX.T[tuple(PAIRS.T)] = J
CHAINED = ("chain", "draw", "site")


def likelihood_of(data, name="pseudo", model=None):
    bound, parts, _ = bind(data, model or Couplings(None))
    return ExactLikelihood(bound, parts) if name == "exact" else composite(bound, parts, name)


def covariance_of(data, name, model=None):
    """Estimate and the calibrated covariance of it."""
    likelihood = likelihood_of(data, name, model)
    best = maximise(likelihood)
    assert best.converged
    return best.theta, calibrate(likelihood, best.theta, best.information)


# ------------------------------------------------------------------------------------------- analytic limits


@pytest.mark.parametrize(("name", "ratio"), [("pseudo", 2.0), ("rise", 2.0), ("exact", 1.0)])
def test_the_sandwich_without_coupling(name, ratio):
    """J → 0: every pair is counted by both of its conditionals, H⁻¹J = 2; an exact likelihood has H⁻¹J = 1."""
    data = microstates(oracles.all_spins(N), beta=0.7, counts=np.full(2**N, 50))
    likelihood = likelihood_of(data, name, Couplings(None, fields=None))
    zero = np.zeros(6)
    score = score_covariance(likelihood, zero)
    size = 50 * 2**N
    np.testing.assert_allclose(np.linalg.solve(likelihood.information(zero), score.J), ratio * size / (size - 1) * np.eye(6), atol=1e-10)
    root = sandwich(likelihood.information(zero), score)
    np.testing.assert_allclose(root @ root.T, np.eye(6) / (0.7**2 * (size - 1)), atol=1e-12)  # var J = 1/(β² M), Cramér–Rao


def scores_by_hand(data, theta):
    """Scores of all rows as finite differences of a plain-loop pseudo-likelihood, row by row."""
    bound, parts, _ = bind(data, Couplings(None))
    rows = parts[0].states.reshape(-1, N).tolist()
    beta = parts[0].beta
    return np.array(
        [oracles.numerical_gradient(lambda at: oracles.objective("pseudo", bound, [([row], [1.0], beta)], at), theta) for row in rows]
    )


def test_j_of_independent_rows_is_the_sum_of_outer_products():
    spins = oracles.exact_draws(PAIRS, J, H, 0.8, N, 30, seed=0)
    counts, weights = np.arange(1, 31), np.random.default_rng(1).random(30)
    theta = 0.3 * np.random.default_rng(2).normal(size=10)
    g = scores_by_hand(microstates(spins, beta=0.8), theta)
    plain = score_covariance(likelihood_of(microstates(spins, beta=0.8)), theta)
    assert (plain.kind, plain.tau, plain.batches, plain.chains_disagree) == ("rows", 1.0, 30, False)
    np.testing.assert_allclose(plain.J, 30 * np.cov(g.T), rtol=1e-5, atol=1e-6)
    counted = score_covariance(likelihood_of(microstates(spins, beta=0.8, counts=counts)), theta)
    np.testing.assert_allclose(counted.J, counts.sum() * np.cov(np.repeat(g, counts, 0).T), rtol=1e-5, atol=1e-6)
    assert counted.ess == counts.sum()
    weighted = score_covariance(likelihood_of(microstates(spins, beta=0.8, weights=weights)), theta)
    centred = g - weights @ g / weights.sum()
    expected = (centred * weights[:, None] ** 2).T @ centred * weights.sum() / max(weights.sum() - 1, 1)
    expected *= weights.sum() / (weights**2).sum()  # the sum says that rows share their weights of one
    np.testing.assert_allclose(weighted.J, expected, rtol=1e-5, atol=1e-6)
    assert weighted.ess == pytest.approx(weights.sum())
    assert score_covariance(likelihood_of(microstates(spins, beta=0.8, weights=9 * weights)), theta).ess == pytest.approx(
        weights.sum() ** 2 / (weights**2).sum()
    )


def test_doubling_weights_is_not_doubling_the_data():
    """A row of weight 2 is one observation twice as important; a count of 2 is two observations."""
    spins = oracles.exact_draws(PAIRS, J, H, 0.8, N, 400, seed=0)
    theta = np.concatenate([J, H])
    once, weighted, counted = (
        score_covariance(likelihood_of(microstates(spins, beta=0.8, **options)), theta).J
        for options in ({}, {"weights": np.full(400, 2.0)}, {"counts": np.full(400, 2)})
    )
    np.testing.assert_allclose(weighted, 4 * once, rtol=0.01)
    np.testing.assert_allclose(counted, 2 * once, rtol=0.01)


def test_several_temperatures_add_up():
    sets = [microstates(oracles.exact_draws(PAIRS, J, H, beta, N, 300, seed=k), beta=beta) for k, beta in enumerate((0.5, 1.0))]
    theta = np.concatenate([J, H])
    joint = score_covariance(likelihood_of(sets), theta)
    parts = [score_covariance(likelihood_of(item), theta) for item in sets]
    np.testing.assert_allclose(joint.J, parts[0].J + parts[1].J, rtol=1e-12)
    assert joint.ess == parts[0].ess + parts[1].ess


# ------------------------------------------------------------------------------------- algebra of the adjustment


def random_positive(p, seed):
    root = np.random.default_rng(seed).normal(size=(p, p))
    return root @ root.T + np.eye(p)


def some_calibration(likelihood, theta):
    return calibrate(likelihood, theta, likelihood.information(theta))


def test_the_linear_map_turns_the_curvature_into_the_sandwich():
    likelihood = likelihood_of(microstates(oracles.exact_draws(PAIRS, J, H, 0.8, N, 500, seed=0), beta=0.8))
    best = maximise(likelihood)
    calibration = some_calibration(likelihood, best.theta)
    C = calibration.linear_map()
    wanted = np.linalg.inv(calibration.root @ calibration.root.T)
    np.testing.assert_allclose(C.T @ calibration.information @ C, wanted, rtol=1e-8)
    score = calibration.score
    information = calibration.information
    # Variances are those of the raw sandwich, or a little above; correlations are steadied.
    raw, kept = np.linalg.inv(information) @ score.J @ np.linalg.inv(information), np.linalg.inv(wanted)
    assert np.all(np.diag(kept) > 0.999 * np.diag(raw)) and np.all(np.diag(kept) < 1.15 * np.diag(raw))
    # The adjusted likelihood has its maximum where it was, and the curvature of the sandwich there.
    adjusted = Adjusted(likelihood, best.theta, C)
    assert adjusted.value_and_gradient(best.theta)[0] == best.value
    np.testing.assert_allclose(adjusted.information(best.theta), wanted, rtol=1e-6)
    point = best.theta + 0.1
    numerical = oracles.numerical_gradient(lambda at: adjusted.value_and_gradient(at)[0], point)
    np.testing.assert_allclose(adjusted.value_and_gradient(point)[1], numerical, rtol=1e-5, atol=1e-4)
    numerical = -oracles.numerical_gradient(lambda at: adjusted.value_and_gradient(at)[1], point)
    np.testing.assert_allclose(adjusted.information(point), numerical, rtol=1e-4, atol=1e-3)


def test_roots_of_covariances():
    information = random_positive(5, 0)
    root = inverse_root(information)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(information), rtol=1e-9)
    singular = inverse_root(np.diag([4.0, 0.0]))
    assert np.all(np.isfinite(singular)) and np.diag(singular @ singular.T)[1] > 1e9, "no information, large finite width"


def test_a_deficient_j_is_never_inverted():
    """Fewer batches than parameters: the covariance is H⁻¹JH⁻¹ with J's own rank."""
    likelihood = likelihood_of(microstates(oracles.exact_draws(PAIRS, J, H, 0.8, N, 6, seed=0), beta=0.8))
    theta = np.concatenate([J, H])
    score = score_covariance(likelihood, theta)
    information = likelihood.information(theta) + np.eye(10)
    root = sandwich(information, score)
    inverse = np.linalg.inv(information)
    np.testing.assert_allclose(root @ root.T, inverse @ score.J @ inverse, atol=1e-9)
    assert np.linalg.matrix_rank(root @ root.T, tol=1e-9) <= 5


def test_a_steady_sandwich_of_few_rows():
    """Full rank, the raw variances or larger ones, residuals scaled for what the fit took out of them; many rows change nothing."""
    p, generator = 30, np.random.default_rng(0)
    information = random_positive(p, 1)
    rows = generator.normal(size=(12, p)) @ np.linalg.cholesky(information).T
    few = ScoreCovariance(rows.T @ rows, 12, 1.0, 12.0, "rows", False)
    inverse = np.linalg.inv(information)
    raw = np.diag(inverse @ few.J @ inverse)
    steady = steady_sandwich(information, few)
    covariance = steady @ steady.T
    assert np.linalg.matrix_rank(covariance) == p and np.all(np.diag(covariance) > raw * (1 - 1e-9))
    wider = steady_sandwich(information, few, leverage=0.2)
    np.testing.assert_allclose(wider @ wider.T, covariance / 0.64, rtol=1e-9)
    slow = steady_sandwich(information, ScoreCovariance(few.J, 12, 5.0, 12.0, "batches", False))
    np.testing.assert_allclose((slow**2).sum(1), raw, rtol=1e-9)  # of a chain's batches nothing but the raw variances
    J = random_positive(p, 3)
    many = steady_sandwich(information, ScoreCovariance(J, 10**9, 1.0, 1e9, "rows", False))
    np.testing.assert_allclose(many @ many.T, inverse @ J @ inverse, rtol=1e-4, atol=1e-6)


def test_score_rows_scatter_like_j():
    spins = oracles.exact_draws(PAIRS, J, H, 0.8, N, 3000, seed=0)
    theta = np.concatenate([J, H])
    for data in (microstates(spins, beta=0.8), microstates(spins, beta=0.8, counts=np.ones(3000))):
        likelihood = likelihood_of(data)
        rows, score = score_rows(likelihood, theta, minimum=20)
        exact = score_covariance(likelihood, theta).J
        np.testing.assert_allclose(rows.T @ rows, score.J)
        assert len(rows) >= 20 and np.linalg.norm(rows.T @ rows - exact) < 0.3 * np.linalg.norm(exact)


# ------------------------------------------------------------------------ against many independent replications


def replicated(estimates, covariances, what):
    """The claimed variances against the scatter of the estimates, each parameter and pooled."""
    estimates, claimed = np.array(estimates), np.mean([np.diag(item) for item in covariances], 0)
    count = len(estimates)
    actual = estimates.var(0, ddof=1)
    assert_within(claimed / actual, 1.0, np.full(len(actual), np.sqrt(2 / (count - 1))), f"{what}: variance of each parameter")
    # Pooled over parameters: the mean of z², whose error follows from its scatter over replications.
    z = ((estimates - estimates.mean(0)) ** 2 / claimed).mean(1) * count / (count - 1)
    return z.mean(), z.std(ddof=1) / np.sqrt(count)


@pytest.mark.parametrize(
    "name", ["pseudo", "exact", pytest.param("rise", marks=pytest.mark.slow), pytest.param("logrise", marks=pytest.mark.slow)]
)
def test_independent_draws(name):
    replications = [
        covariance_of(microstates(oracles.exact_draws(PAIRS, J, H, 0.8, N, 1000, seed=seed), beta=0.8), name) for seed in range(250)
    ]
    mean, error = replicated([theta for theta, _ in replications], [item.covariance for _, item in replications], name)
    assert_within(mean, 1.0, np.hypot(error, 0.02), f"{name}: pooled variance")  # 0.02: terms of order 1/M
    assert not any(item.score is not None and item.score.tau > 1 for _, item in replications)
    if name == "pseudo":
        naive = np.mean([np.diag(np.linalg.inv(item.information)) / np.diag(item.covariance) for _, item in replications])
        assert naive < 0.7, "uncorrected, a pseudo-likelihood claims too much"


@pytest.mark.parametrize("name", ["pseudo", "exact"])
def test_autocorrelated_draws(name):
    """Heat bath, a draw every other single-site update: Rows counted as independent would claim half the variance or less."""
    series = oracles.heat_bath(MATRIX, H, 0.8, 200, 4000, seed=5, sweeps=0.5)
    replications = [covariance_of(microstates(chain.reshape(2, 2000, N), beta=0.8, dims=CHAINED), name) for chain in series]
    taus = np.array([item.score.tau for _, item in replications])
    assert taus.min() > 2 and taus.max() < 30
    assert {item.score.kind for _, item in replications} == {"batches"}
    mean, error = replicated([theta for theta, _ in replications], [item.covariance for _, item in replications], name)
    # Batches of 20 τ lose the correlation across their ends: up to τ/20τ of the variance.
    assert_within(mean, 1.025, np.hypot(error, 0.025), f"{name}: pooled variance")
    ignoring = np.mean([np.diag(np.linalg.inv(item.information)) for _, item in replications], 0)
    scatter = np.var([theta for theta, _ in replications], 0, ddof=1)
    assert np.mean(ignoring / scatter) < 0.6, "counting rows as independent claims too much"


def test_the_effective_sample_size_counts_tau():
    data = microstates(oracles.heat_bath(MATRIX, H, 0.8, 4, 3000, seed=6, sweeps=0.5), beta=0.8, dims=CHAINED)
    score = score_covariance(likelihood_of(data), np.concatenate([J, H]))
    assert score.ess == pytest.approx(12000 / score.tau)


# ------------------------------------------------------------------------ the tests for autocorrelation themselves


@pytest.mark.parametrize(("chains", "draws", "field"), [(1, 400, 0.0), (4, 100, 0.0), (4, 250, 0.9), (20, 50, 0.0)])
def test_false_alarms_on_independent_draws(chains, draws, field):
    """At most 0.15 % by design (0.05 % autocorrelation, 0.1 % chains); strong fields make the scores skewed."""
    spins, probability = oracles.spin_weights(PAIRS, J, H + field, 0.8, N)
    generator, alarms, n = np.random.default_rng(17), 0, 400
    theta = np.concatenate([J, H + field])
    for _ in range(n):
        data = microstates(spins[generator.choice(len(spins), (chains, draws), p=probability)], beta=0.8, dims=CHAINED)
        score = score_covariance(likelihood_of(data), theta)
        alarms += score.tau > 1 or score.chains_disagree
    assert binomtest(int(alarms), n, 0.0015, "greater").pvalue > spend(), f"{alarms} false alarms in {n}"


@pytest.mark.parametrize("sweeps", [0.25, 1.0])
def test_autocorrelation_is_noticed(sweeps):
    for seed in range(5):
        data = microstates(oracles.heat_bath(MATRIX, H, 0.8, 4, 1000, seed=seed, sweeps=sweeps), beta=0.8, dims=CHAINED)
        score = score_covariance(likelihood_of(data), np.concatenate([J, H]))
        assert score.tau > 1 and score.ess < 4000


def test_slow_drift_is_noticed_though_neighbours_hardly_correlate():
    """Draws that are independent but whose distribution switches half-way: correlation at long lags only."""
    up = [oracles.exact_draws(PAIRS, J, H + shift, 0.8, N, 2000, seed=k) for k, shift in enumerate((0.25, -0.25))]
    score = score_covariance(likelihood_of(microstates(np.concatenate(up), beta=0.8)), np.concatenate([J, H]))
    assert score.tau > 2


@pytest.mark.parametrize("chains", [4, 10])
def test_chains_that_disagree_are_noticed(chains):
    """Every chain at a field of its own: within a chain the draws are independent."""
    fields = 0.4 * np.random.default_rng(3).normal(size=(chains, N))
    data = microstates(
        np.stack([oracles.exact_draws(PAIRS, J, H + f, 0.8, N, 500, seed=k) for k, f in enumerate(fields)]), beta=0.8, dims=CHAINED
    )
    likelihood = likelihood_of(data)
    theta = maximise(likelihood).theta
    score = score_covariance(likelihood, theta)
    assert score.chains_disagree
    if chains >= 8:
        assert (score.kind, score.batches) == ("chains", chains), "the chain is the batch"
    agreeing = microstates(oracles.exact_draws(PAIRS, J, H, 0.8, N, 500 * chains, seed=1).reshape(chains, 500, N), beta=0.8, dims=CHAINED)
    assert np.trace(score.J) > 3 * np.trace(score_covariance(likelihood_of(agreeing), theta).J)


def test_batches_do_not_cross_chains_and_are_long():
    data = microstates(oracles.heat_bath(MATRIX, H, 0.8, 3, 2000, seed=7, sweeps=0.5), beta=0.8, dims=CHAINED)
    likelihood = likelihood_of(data)
    theta = maximise(likelihood).theta
    score = score_covariance(likelihood, theta)
    per_chain = score.batches // 3
    length = 2000 // per_chain
    assert score.batches % 3 == 0 and length >= 5 * score.tau and score.batches >= 20
    # The same by hand: cut every chain, sum, take the scatter.
    scores = np.stack([scores_by_hand(microstates(chain, beta=0.8), theta) for chain in data["state"].values[:, :60]])
    ours = likelihood.row_scores(theta)
    part = likelihood.parts[0]
    rows = np.stack([ours(part, chain) for chain in part.states])
    np.testing.assert_allclose(rows[:, :60], scores, rtol=1e-4, atol=1e-6)
    matches = 0
    for candidate in range(2000 // (per_chain + 1) + 1, length + 1):  # every length that gives so many batches
        batches = rows[:, : per_chain * candidate].reshape(3 * per_chain, candidate, -1).sum(1)
        expected = np.cov(batches.T) * 6000 / candidate
        matches += np.allclose(score.J, expected, rtol=1e-8)
    assert matches == 1


def test_short_chains_leave_too_few_batches_and_say_so():
    data = microstates(oracles.heat_bath(MATRIX, H, 0.8, 2, 60, seed=7, sweeps=0.25), beta=0.8, dims=CHAINED)
    likelihood = likelihood_of(data)
    score = score_covariance(likelihood, np.concatenate([J, H]))
    assert score.kind == "too few batches" and score.batches < 20


# ------------------------------------------------------------------------------------------ what is done, and said


def test_what_is_adjusted_and_why():
    independent = oracles.exact_draws(PAIRS, J, H, 0.8, N, 2000, seed=0)
    slow = oracles.heat_bath(MATRIX, H, 0.8, 4, 1000, seed=0, sweeps=0.5)
    histogram = microstates(independent, beta=0.8, counts=np.ones(2000))
    rows, series = microstates(independent, beta=0.8), microstates(slow, beta=0.8, dims=CHAINED)
    cases = [
        (histogram, "exact", {}, False, "independent", "exact likelihood of independent draws"),
        (rows, "exact", {}, False, "independent", "no autocorrelation found"),
        (series, "exact", {}, True, "sandwich", "exact likelihood, autocorrelated draws"),
        (rows, "pseudo", {}, True, "sandwich", "composite likelihood"),
        (series, "pseudo", {}, True, "sandwich", "composite likelihood, autocorrelated draws"),
        (rows, "pseudo", {"wanted": False}, False, "off", "not calibrated (calibrate=False)"),
        (series, "exact", {"wanted": False}, False, "off", "draws assumed independent (calibrate=False)"),
        (rows, "pseudo", {"usable": False}, False, "separable", "separable"),
    ]
    for data, name, options, adjusted, code, note in cases:
        likelihood = likelihood_of(data, name)
        best = maximise(likelihood)
        found = calibrate(likelihood, best.theta, best.information, **options)
        assert found.adjusted == adjusted and found.basis.code == code, (name, options, found.basis)
        assert note in basis(found.basis)
        if not adjusted:
            np.testing.assert_allclose(found.covariance, np.linalg.inv(best.information), rtol=1e-6)
            assert np.isinf(found.degrees)
        else:
            assert found.degrees == found.score.batches - 1
