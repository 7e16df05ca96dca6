"""Slow modes of microstates, whatever signs the sites have, against plain sums and a known time."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn import statistics
from hamlearn.infer import slowness


def slow_ferromagnet(seed=0, draws=4000):
    """Spins that follow one hidden sign, which turns with probability 1/100 a draw, and are flipped by chance one in five times."""
    rng = np.random.default_rng(seed)
    sign = np.cumprod(np.where(rng.random((2, draws, 1)) < 0.01, -1, 1), 1)
    return sign * np.where(rng.random((2, draws, 16)) < 0.2, -1, 1)


def test_a_glass_is_as_slow_as_the_ferromagnet_that_it_was():
    """Turning some spins for good changes no dynamics; the sum over sites loses nearly all of it."""
    states = slow_ferromagnet()
    turned = states * np.array([1, -1] * 8)
    assert statistics.integrated_autocorrelation_time(turned.mean(-1)) < 3
    found = slowness.longest_autocorrelation(states)
    assert slowness.longest_autocorrelation(turned) == pytest.approx(found, rel=1e-9)
    assert slowness.overlap_autocorrelation(turned).tau == pytest.approx(slowness.overlap_autocorrelation(states).tau, rel=1e-9)
    # A sign that turns with probability f has ρ(t) = (1 − 2f)^t, so τ = (1 − f)/f.
    assert 0.5 * 99 < found < 2 * 99


def test_the_overlap_by_hand():
    x = np.random.default_rng(0).normal(size=(2, 30, 3)).cumsum(1)
    deviation = x - x.mean((0, 1))
    by_hand = [np.mean([np.sum(chain[: 30 - t] * chain[t:]) / (30 - t) for chain in deviation]) for t in range(30)]
    rho = np.array(by_hand) / by_hand[0]
    sums = 2 * np.cumsum(rho[:16]) - 1
    width = next(t for t in range(16) if t >= 2.5 * sums[t] or t == 15)
    found = slowness.overlap_autocorrelation(x)
    assert int(found.window) == width and float(found.tau) == pytest.approx(max(1.0, sums[width] * (1 + (2 * width + 1) / 60)))


def test_independent_microstates_are_not_talked_down():
    draws = [slowness.longest_autocorrelation(np.random.default_rng(seed).choice([-1.0, 1.0], size=(2, 500, 16))) for seed in range(60)]
    assert np.mean(np.array(draws) > 1) <= 0.1


def test_microstates_that_never_change_have_no_autocorrelation():
    assert slowness.longest_autocorrelation(np.ones((2, 50, 4))) == 1.0
    assert np.isnan(slowness.overlap_autocorrelation(np.ones((2, 50, 4))).tau)
