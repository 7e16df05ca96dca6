"""Errors of correlated series against series whose autocorrelation is known."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn import statistics
from hamlearn.errors import HamlearnError
from statistics_budget import assert_within


def ar1(rho, chains, draws, seed):
    """A stationary first-order autoregression of unit variance: ρ(t) = ρ^t, τ = (1 + ρ)/(1 − ρ)."""
    noise = np.random.default_rng(seed).normal(size=(chains, draws))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return x


def test_autocorrelation_is_the_plain_sum():
    x = np.random.default_rng(0).normal(size=(3, 20))
    centred = x - x.mean()
    by_hand = [np.mean([np.mean(c[: 20 - t] * c[t:]) for c in centred]) for t in range(20)]
    np.testing.assert_allclose(statistics.autocorrelation(x), np.array(by_hand) / by_hand[0], atol=1e-12)


def test_tau_of_autoregressions_within_its_own_error():
    rhos = np.array([0.0, 0.3, 0.6, 0.9, 0.97])
    results = [statistics.integrated_autocorrelation(ar1(rho, 4, 50_000, seed)) for seed, rho in enumerate(rhos)]
    # Clipping at 1 makes half of the values at ρ = 0 exact, which only helps.
    truth = (1 + rhos) / (1 - rhos)
    # The window cuts e^-5 of the sum off: a known bias, below 1 %, that is no matter of chance.
    error = np.array([r.standard_error for r in results]) + 0.01 * truth
    assert_within([r.tau for r in results], truth, error, what="τ of AR(1)")
    sizes = [statistics.effective_sample_size(ar1(rho, 4, 50_000, seed)) for seed, rho in enumerate(rhos)]
    assert_within(sizes, 200_000 / truth, 200_000 / truth**2 * error, what="effective sample size of AR(1)")


def test_the_error_of_tau_is_the_scatter_of_tau():
    repeated = [statistics.integrated_autocorrelation(ar1(0.8, 2, 4000, seed)) for seed in range(200)]
    scatter = np.std([r.tau for r in repeated])
    claimed = np.mean([r.standard_error for r in repeated])
    assert 0.75 < claimed / scatter < 1.35


def test_standard_errors_cover():
    # 2000 data sets, each one mean: a 90 % interval from τ must hold the truth in 90 % of them.
    hits = {"τ": 0, "batch means": 0, "jackknife": 0}
    for seed in range(1000):
        x = ar1(0.7, 4, 1000, seed)
        errors = {
            "τ": statistics.standard_error(x),
            "batch means": statistics.batch_means_error(x, 64),
            "jackknife": statistics.jackknife(x, np.mean, block=50).standard_error,
        }
        for name, error in errors.items():
            hits[name] += abs(x.mean()) < 1.6449 * error
    found = np.array(list(hits.values())) / 1000
    # 64 and 80 blocks and a noisy τ cost about one per cent of coverage.
    assert_within(found, 0.89, np.sqrt(0.9 * 0.1 / 1000), what=f"coverage {hits}")


def test_many_observables_at_once_equal_one_by_one():
    x = np.stack([ar1(rho, 3, 500, 1) for rho in (0.1, 0.5, 0.9)], axis=-1)
    together = statistics.integrated_autocorrelation(x)
    for k in range(3):
        alone = statistics.integrated_autocorrelation(x[..., k])
        np.testing.assert_allclose([field[k] for field in together], alone)
    assert statistics.effective_sample_size(x.reshape(3, 500, 3, 1)).shape == (3, 1)


def test_chains_that_disagree_are_not_independent():
    stuck = np.repeat([[1.0], [-1.0]], 1000, axis=1) + 0.1 * np.random.default_rng(0).normal(size=(2, 1000))
    assert statistics.effective_sample_size(stuck) < 10


def test_series_that_say_nothing():
    frozen = np.ones((2, 100))
    assert np.isnan(statistics.integrated_autocorrelation_time(frozen)) and np.isnan(statistics.effective_sample_size(frozen))
    assert statistics.standard_error(frozen) == 0
    assert np.isnan(statistics.integrated_autocorrelation_time(np.full((1, 100), 0.1)))  # whose mean is not exactly 0.1
    alternating = np.tile([1.0, -1.0], 500)
    assert statistics.integrated_autocorrelation_time(alternating) == 1.0
    assert statistics.integrated_autocorrelation_time([1.0, 2.0]) >= 1.0
    assert np.isnan(statistics.integrated_autocorrelation_time([1.0]))


def test_bootstrap_keeps_blocks_whole_and_chains_apart():
    x = np.arange(12).reshape(2, 6)
    seen = []
    statistics.block_bootstrap(x, lambda draws: seen.append(draws.reshape(-1, 3)) or 0.0, 3, 50, np.random.default_rng(0))
    allowed = {(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)}
    assert {tuple(row) for draws in seen for row in draws.tolist()} == allowed
    assert all(len(draws) == 4 for draws in seen)


def test_bootstrap_error_counts_autocorrelation():
    x = ar1(0.8, 4, 20_000, 3)
    replicates = statistics.block_bootstrap(x, np.mean, 100, 400, np.random.default_rng(0))
    exact = np.sqrt((1 + 0.8) / (1 - 0.8) / x.size)
    # 5 % for the finite blocks (τ/block), 3.5 % for 400 replicates, 3 % for 800 blocks
    assert 0.85 < replicates.std() / exact < 1.1


def test_jackknife_removes_the_bias_of_a_variance():
    x = np.random.default_rng(0).normal(size=(1, 30))
    result = statistics.jackknife(x, np.var)
    assert result.estimate == pytest.approx(np.var(x, ddof=1), rel=1e-12)
    assert result.bias == pytest.approx(np.var(x) - np.var(x, ddof=1), rel=1e-9)


@pytest.mark.parametrize("length", [0, 11, 2.5])
def test_impossible_blocks(length):
    with pytest.raises(HamlearnError, match="between 1 and 10"):
        statistics.blocks(np.zeros((2, 10)), length)


def test_other_bad_input():
    with pytest.raises(HamlearnError, match="chain, draw"):
        statistics.autocorrelation(3.0)
    with pytest.raises(HamlearnError, match="chain, draw"):
        statistics.autocorrelation(np.zeros((2, 0)))
    with pytest.raises(HamlearnError, match="two blocks"):
        statistics.jackknife([1.0, 2.0], np.mean, block=2)
    with pytest.raises(HamlearnError, match="two batches"):
        statistics.batch_means_error([1.0, 2.0], 1)


@pytest.mark.parametrize("shape", [-0.5, 0.2, 0.7, 1.2])
def test_the_tail_of_weights_is_that_of_a_peer_and_of_the_law_they_were_drawn_from(shape):
    from arviz_stats.base import array_stats

    weights = (np.random.default_rng(1).uniform(size=8200) ** -shape - 1) / shape
    found = statistics.pareto_k(np.log(weights))
    assert found == pytest.approx(float(array_stats.psislw(-np.log(weights))[1]), abs=0.02)  # ArviZ takes what weights are inverse to
    assert found == pytest.approx(shape, abs=0.15)


def test_weights_without_a_tail_have_no_shape():
    assert statistics.pareto_k(np.zeros(1000)) == np.inf
    assert statistics.pareto_k(np.r_[0.0, np.full(999, -np.inf)]) == np.inf


def test_a_tail_that_hardly_rises_above_all_weights_has_no_say():
    """Bounded weights of two levels looked like a tail of shape 1.35, the largest 272 of 8200 within one part in eighty."""
    steep = (1 - np.random.default_rng(0).uniform(size=8000)) ** -1.5
    assert statistics.pareto_k(np.log(1 + 0.05 * steep / steep.max())) == 0.0
    assert statistics.pareto_k(np.log(1 + 1e-3 * steep)) > 0.7  # a few of these outweigh all others
