"""What statistical weights of rows mean: the sandwich of independent rows by hand, and intervals that cover."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import hamlearn as hl
from statistics_budget import spend

RING = hl.systems.lattice.hypercubic(5)
STATES = 2 * ((np.arange(32)[:, None] >> np.arange(5)) & 1) - 1
TRUTH = 0.6
TIED = hl.models.Couplings(RING, tie="uniform", fields=None, prior=hl.models.Normal(100.0))


def pairs(s):
    return (s * np.roll(s, -1, -1)).sum(-1)


def importance(rows, seed):
    """Rows of free spins, with weights that make them rows of the ring, up to a factor."""
    s = np.random.default_rng(seed).choice([-1, 1], size=(rows, 5))
    return s, np.exp(TRUTH * pairs(s))


def learned(s, weights, likelihood):
    data = hl.microstates(s, space="spins", beta=1.0, weights=weights)
    post = hl.learn(data, TIED, likelihood=likelihood, engine=hl.infer.LaplaceApproximation(draws=5000), check=False, seed=0)
    return float(post["point"]["J"][0]), float(post["posterior"]["J"][..., 0].std()), hl.infer.provenance(post)


def by_hand(s, weights, likelihood):
    """Optimum and sd = √(Σ w² g²) / Σ w h by a search in one dimension, no code of the library's inference."""
    if likelihood == "exact":
        every = pairs(STATES)

        def moments(J):
            p = np.exp(J * every)
            mean = p @ every / p.sum()
            return pairs(s) - mean, np.full(len(s), p @ every**2 / p.sum() - mean**2)
    else:
        near = np.roll(s, 1, -1) + np.roll(s, -1, -1)

        def moments(J):
            return (near * (s - np.tanh(J * near))).sum(-1), (near**2 / np.cosh(J * near) ** 2).sum(-1)

    J = scipy.optimize.brentq(lambda J: weights @ moments(J)[0], -3, 3, xtol=1e-13)
    g, h = moments(J)
    return J, np.sqrt(weights**2 @ g**2) / (weights @ h)


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_error_bars_are_the_sandwich_of_independent_rows_at_any_scale(likelihood):
    s, weights = importance(4000, 0)
    J, sd = by_hand(s, weights, likelihood)
    for scale in (1.0, 1e-3 * len(s) / weights.mean(), 1e4):
        found = learned(s, scale * weights, likelihood)
        assert found[0] == pytest.approx(J, abs=1e-4) and found[1] == pytest.approx(sd, rel=0.04)
        assert found[2].calibration.ess == pytest.approx(min(scale * weights.sum(), weights.sum() ** 2 / (weights**2).sum()), rel=1e-6)


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_copies_that_share_a_weight_of_one_are_one_row(likelihood):
    s = hl.systems.exact.sample(hl.systems.Ising(RING, J=TRUTH), 1.0, 600, seed=1)
    once = learned(s, None, likelihood)
    shared = learned(np.repeat(s, 7, 0), np.full(4200, 1 / 7), likelihood)
    assert shared[0] == pytest.approx(once[0], abs=1e-6) and shared[1] == pytest.approx(once[1], rel=0.08)


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_intervals_from_importance_weights_cover(likelihood):
    sets, level = 150, 0.9
    z = [(found[0] - TRUTH) / found[1] for found in (learned(*importance(400, seed + 10), likelihood) for seed in range(sets))]
    inside = int((np.abs(z) < scipy.stats.norm.ppf(0.5 + level / 2)).sum())
    assert scipy.stats.binomtest(inside, sets, level).pvalue > spend()


def test_weights_that_sum_to_one_say_that_there_is_one_row():
    s, weights = importance(400, 0)
    with pytest.raises(hl.HamlearnError, match=r"the weights sum to 1: .* counts="):
        learned(s, weights / weights.sum(), "pseudo")
