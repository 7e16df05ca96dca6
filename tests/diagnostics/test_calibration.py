"""Coverage and simulation-based calibration against models whose answer is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hamlearn.diagnostics import coverage, sbc
from hamlearn.errors import HamlearnError
from statistics_budget import assert_within, spend


def normal_mean(width: float):
    """Posterior of two means from 25 observations each, its standard deviation off by `width`."""

    def one(seed: int):
        rng = np.random.default_rng(seed)
        truth = np.array([1.0, -2.0])
        centre = truth + rng.normal(size=2) / 5
        return centre + width / 5 * rng.normal(size=(4, 500, 2)), truth

    return one


def test_right_intervals_cover_and_narrow_ones_do_not():
    right = coverage(normal_mean(1.0), n=300)
    assert_within(right.mean, 0.9, right.standard_error, "coverage")
    assert coverage(normal_mean(0.7), n=300).z < -4


def test_the_error_counts_data_sets_not_intervals():
    # Ten parameters that are one: the fraction of a data set is 0 or 1.
    def one(seed: int):
        posterior, truth = normal_mean(1.0)(seed)
        return np.repeat(posterior[..., :1], 10, -1), np.repeat(truth[:1], 10)

    found = coverage(one, n=100)
    assert set(found.fractions) == {0.0, 1.0}
    np.testing.assert_allclose(found.standard_error, np.sqrt(found.mean * (1 - found.mean) / 99))


def test_an_executor_changes_nothing():
    with ThreadPoolExecutor(2) as pool:
        parallel = coverage(normal_mean(1.0), n=20, executor=pool)
    np.testing.assert_array_equal(parallel.fractions, coverage(normal_mean(1.0), n=20).fractions)


def conjugate(width: float, shift: float = 0.0):
    def learn(data: np.ndarray, seed: int):
        rng = np.random.default_rng(seed)
        return data / 2 + shift + width * np.sqrt(0.5) * rng.normal(size=(99, len(data)))

    return learn


def draw(rng: np.random.Generator):
    return rng.normal(size=3)


def observe(truth: np.ndarray, seed: int):
    return truth + np.random.default_rng(seed).normal(size=3)


def test_sbc_accepts_the_exact_posterior_and_refuses_wrong_ones():
    assert sbc(draw, observe, conjugate(1.0), n=300).overall_p > spend()
    assert sbc(draw, observe, conjugate(0.6), n=300).overall_p < 1e-4  # too narrow: ranks pile up at the ends
    assert sbc(draw, observe, conjugate(1.0, 0.5), n=300).overall_p < 1e-4  # biased: ranks lean to one side


def test_ties_at_exact_zeros_keep_ranks_uniform():
    found = sbc(lambda rng: np.zeros(1), lambda truth, seed: None, lambda data, seed: np.zeros((99, 1)), n=400)
    assert found.overall_p > spend()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: coverage(normal_mean(1.0), n=1), "two data sets"),
        (lambda: coverage(normal_mean(1.0), n=5, level=1.5), "level"),
        (lambda: coverage(lambda seed: (np.zeros((10, 3)), [0.0]), n=3), r"shape \(..., 1\)"),
        (lambda: sbc(draw, observe, conjugate(1.0), n=20), "at least 50"),
        (lambda: sbc(draw, observe, lambda data, seed: np.zeros((5, 3)), n=50), "99 are needed"),
    ],
)
def test_bad_requests_are_refused(call, words):
    with pytest.raises(HamlearnError, match=words):
        call()
