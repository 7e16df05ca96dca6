"""Ensembles whose members see resampled data: their scatter is that of repeated experiments."""

from __future__ import annotations

import numpy as np

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.engines.neural.torch_batches import as_sample
from hamlearn.infer.training_data import resampled
from statistics_budget import assert_within

SEEDS = 400


def spread_of_mean(values, tau, weight=None, worth=None):
    """Standard deviation over resamplings of the weighted mean, and its own standard error."""
    sample = as_sample(values[:, None], None, weight)
    found = []
    for seed in range(SEEDS):
        drawn = resampled(sample, tau, len(values) / tau if worth is None else worth, seed)
        w = drawn.weight.double().numpy()
        assert abs(w.mean() - 1) < 1e-5
        found.append(w @ values / w.sum())
    return np.std(found), np.std(found) / np.sqrt(2 * SEEDS)


def test_independent_draws_scatter_like_a_mean():
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    spread, error = spread_of_mean(values, 1.0)
    assert_within(spread, values.std() / np.sqrt(len(values)), error + 0.02 * spread, "independent draws")


def test_autocorrelated_draws_scatter_more():
    rng, rho = np.random.default_rng(1), 0.8
    tau = (1 + rho) / (1 - rho)  # of an autoregressive process of first order, exactly
    values = [rng.normal()]
    for step in rng.normal(size=40_000 - 1) * np.sqrt(1 - rho**2):
        values.append(rho * values[-1] + step)
    spread, error = spread_of_mean(np.array(values, np.float32), tau)
    # Blocks of 3τ leave out part of the correlation: Var(block mean)·n_b/n = σ²τ/n · (1 − edge), edge from the geometric series.
    length = int(np.ceil(3 * tau))
    lags = np.arange(1, length)
    inside = 1 + 2 * ((1 - lags / length) * rho**lags).sum()
    assert_within(spread, np.sqrt(inside / len(values)), error + 0.05 * spread, "autocorrelated draws")
    assert inside > 0.7 * tau


def test_counts_scatter_like_the_rows_they_stand_for():
    rng = np.random.default_rng(2)
    values, count = rng.normal(size=50).astype(np.float32), rng.integers(5, 80, 50).astype(float)
    spread, error = spread_of_mean(values, 1.0, count, count.sum())
    share = count / count.sum()
    truth = np.sqrt(share @ (values - share @ values) ** 2 / count.sum())
    assert_within(spread, truth, error + 0.02 * spread, "counts")


def test_bands_of_an_ensemble_widen_where_draws_repeat():
    states = hl.simulate(hl.systems.Ising((2, 2)), beta=0.2, draws=150, chains=4, seed=0)["state"].values
    every = np.array([[[a, b], [c, d]] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for d in (-1, 1)])

    def band(repeats):
        rows = np.repeat(states, repeats, axis=1)
        data = hl.microstates(rows, "spins", 0.2, dims=("chain", "draw", "x", "y"))
        data.attrs["tau_int"] = float(repeats)
        settings = hl.infer.Training(epochs=max(1, 60 // repeats), patience=100, batch=50, threads=1)
        post = hl.infer.learn(data, hl.models.Autoregressive(hidden=8, members=8), engine=settings, seed=0)
        assert posteriors.provenance_of(post).training["resampled"]
        log_p = hl.log_prob(post, every).values
        return np.sqrt(((log_p - log_p.mean(0)) ** 2).mean())

    once, often = band(1), band(10)
    # The information is the same, so the bands should be too; counted as ten times the data they would be a third of it.
    assert 0.6 < often / once < 1.7


def test_data_worth_less_than_a_microstate_a_site_are_not_believed():
    data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.2, draws=150, chains=4, seed=0)
    levels = {}
    for tau in (1.0, 300.0):
        data.attrs |= {"tau_int": tau, "independent": 0}
        post = hl.infer.learn(data, hl.models.Autoregressive(hidden=8), engine=hl.infer.Training(epochs=3, threads=1), seed=0)
        found = [one for one in hl.verdict(post).reasons if one.topic == "data" and "worth" in one.what]
        levels[tau] = (found[0].severity, found[0].what)
    assert levels[1.0][0] != "serious" and levels[300.0][0] == "serious" and "fewer than its 4 sites" in levels[300.0][1]
