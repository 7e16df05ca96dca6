"""Whether energies are those of the declared temperatures: uniform p-values where they are, of normal energies whose ratio is known."""

from __future__ import annotations

import numpy as np
import scipy.signal
import scipy.stats

from hamlearn.infer.critical.ratios import ratios, unit
from statistics_budget import spend, z_limit

BETAS, SPREAD, MEMORY, TAU = np.array([0.4, 0.5]), 8.0, 0.8, 9.0  # τ of this memory is (1 + 0.8)/(1 − 0.8)


def compared(rng: np.random.Generator, betas=BETAS, declared=BETAS, mean=0.0, by=ratios):
    """Energies N(−β s², s²), whose densities are a common one times exp(−βE), with a memory of some steps; 4 chains in 32 blocks."""
    noise = rng.normal(size=(len(betas), 4, 700))
    walk = scipy.signal.lfilter([np.sqrt(1 - MEMORY**2)], [1, -MEMORY], noise)[..., 60:]
    energies = SPREAD * walk - (SPREAD**2 * betas)[:, None, None] + mean
    levels, at = np.unique(energies.round(1), return_inverse=True)
    owner = np.repeat(np.arange(8), 80) + 8 * np.arange(4)[:, None]
    return by(declared, levels, at.reshape(energies.shape), owner, np.full(len(betas), TAU))


def test_p_values_are_uniform_where_temperatures_are_right():
    found = [compared(np.random.default_rng(seed))[0].p_value for seed in range(300)]
    assert scipy.stats.kstest(found, "uniform").pvalue > spend()


def test_a_step_that_is_declared_wrong_is_found_with_its_size():
    apparent, p_values = np.array([compared(np.random.default_rng(seed), declared=BETAS * 1.5)[0][2:] for seed in range(40)]).T
    assert abs(apparent.mean() - 0.1) < z_limit() * apparent.std(ddof=1) / np.sqrt(40) + 0.01  # to first order only
    assert np.median(p_values) < 0.01


def test_nothing_rests_on_where_energies_are_counted_from():
    here, there = (compared(np.random.default_rng(1), mean=mean)[0] for mean in (0.0, 5000.0))
    np.testing.assert_allclose(here, there, rtol=1e-6)


FIVE = np.linspace(0.4, 0.5, 5)


def test_the_common_factor_of_all_steps_is_standard_normal_where_it_is_one():
    found = [compared(np.random.default_rng(seed), FIVE, FIVE, by=unit) for seed in range(200)]
    z = np.array([one.score / np.sqrt(one.variance) for one in found])
    assert scipy.stats.kstest(z, scipy.stats.t(31).cdf).pvalue > spend()


def test_a_factor_that_no_two_neighbours_show_is_found_with_its_size():
    p_values, factors, found = [], [], []
    for seed in range(20):
        p_values += [one.p_value for one in compared(np.random.default_rng(seed), FIVE, FIVE * 1.4)]
        one = compared(np.random.default_rng(seed), FIVE, FIVE * 1.4, by=unit)
        factors.append(1 - one.score / one.information)
        found.append(abs(one.score) / np.sqrt(one.variance))
    assert abs(np.mean(factors) - 1 / 1.4) < z_limit() * np.std(factors, ddof=1) / np.sqrt(20) + 0.03  # to first order only
    assert np.median(found) > 3 and np.median(p_values) > 0.05
