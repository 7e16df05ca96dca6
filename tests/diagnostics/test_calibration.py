"""Coverage and simulation-based calibration against models whose answer is known."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats

from hamlearn.diagnostics import coverage, sbc
from hamlearn.diagnostics.calibration import Ranks, bands
from hamlearn.diagnostics.calibration.scores import Kept
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


# Simultaneous bands, against simulation


def counts_below(ranks: np.ndarray, values: int) -> np.ndarray:
    """Of every row of ranks, how many lie below 1 … values − 1: a plain loop."""
    return np.stack([(ranks < place).sum(1) for place in range(1, values)], 1)


def test_bands_hold_whole_lines_of_uniform_ranks_as_often_as_they_say():
    n, values, lines = 60, 20, 4000
    low, high = bands.band(n, values, 0.9)
    share = counts_below(np.random.default_rng(0).integers(0, values, (lines, n)), values) / n
    inside = ((share >= low - 1e-12) & (share <= high + 1e-12)).all(1).mean()
    assert inside - 0.9 > -scipy.stats.norm.isf(spend()) * np.sqrt(0.09 / lines)  # or more: counts are whole numbers
    assert inside < 0.93


def test_p_values_are_the_share_of_uniform_ranks_that_stray_further():
    n, values, lines = 30, 10, 3000
    places = np.arange(1, values) / values

    def strayed(ranks):
        counts = counts_below(ranks, values)
        tails = np.minimum(scipy.stats.binom.cdf(counts, n, places), scipy.stats.binom.sf(counts - 1, n, places))
        return tails.min(1)

    some = np.random.default_rng(1).integers(0, values, (5, n)) * np.array([[1], [1], [1], [1], [0]])
    some[3, :9] = 9
    simulated = strayed(np.random.default_rng(2).integers(0, values, (lines, n)))
    by_hand = (simulated[None] <= strayed(some)[:, None] * (1 + 1e-9)).mean(1)
    found = bands.p_values(some.T, values)
    assert_within(found[:4], by_hand[:4], np.sqrt(np.maximum(by_hand[:4] * (1 - by_hand[:4]), 1 / lines) / lines), "p-values")
    assert found[4] == pytest.approx(1e-12)


# Nothing is lost


def fails_at_seven(seed: int):
    if seed % 7 == 0:
        raise ZeroDivisionError("planted")
    return normal_mean(1.0)(seed)


def test_data_sets_that_fail_are_counted_and_named():
    found = coverage(fails_at_seven, n=20)
    assert len(found.fractions) == 17 and [one.split(":")[0] for one in found.failures] == ["0", "7", "14"]
    assert "ZeroDivisionError: planted" in found.failures[0] and "test_calibration.py, line" in found.failures[0]
    assert "3 failed" in str(found)
    tried = []

    def never(seed: int):
        tried.append(seed)
        raise ZeroDivisionError("planted")

    with pytest.raises(HamlearnError, match=r"5 of 5 data sets failed; the first, 0: ZeroDivisionError"):
        coverage(never, n=50)
    assert len(tried) == 5


def test_a_machine_without_memory_fails_no_data_set(tmp_path):
    full = [True]

    def one(seed: int):
        if seed == 3 and full.pop():
            raise MemoryError
        return normal_mean(1.0)(seed)

    with pytest.raises(MemoryError):
        coverage(one, n=5, checkpoint=tmp_path / "run.npz")
    full.append(False)
    assert not coverage(one, n=5, checkpoint=tmp_path / "run.npz").failures


def _env(folder, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.pathsep.join(filter(None, sys.path))}", **more}


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """Twelve of fifty data sets are done when the process is killed; the rest is done by the next call, and the answer is the same."""
    (tmp_path / "job.py").write_text(
        textwrap.dedent(
            """
            import os, signal
            import numpy as np

            calls = []

            def draw(rng):
                return rng.normal(size=2)

            def observe(truth, seed):
                calls.append(seed)
                if len(calls) == 13 and os.environ.get("KILL"):
                    os.kill(os.getpid(), signal.SIGKILL)
                return truth + np.random.default_rng(seed).normal(size=2)

            def learn(data, seed):
                return data / 2 + np.sqrt(0.5) * np.random.default_rng(seed).normal(size=(99, 2))
            """
        )
    )
    code = "import job; from hamlearn.diagnostics import sbc; sbc(job.draw, job.observe, job.learn, 50, checkpoint='run.npz')"
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=_env(tmp_path, KILL="1"), capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        import job

        again = sbc(job.draw, job.observe, job.learn, 50, checkpoint=tmp_path / "run.npz")
        assert len(job.calls) == 38
        more = sbc(job.draw, job.observe, job.learn, 55, checkpoint=tmp_path / "run.npz")
        assert len(job.calls) == 43
        whole = sbc(job.draw, job.observe, job.learn, 55)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("job", None)
    np.testing.assert_array_equal(more.ranks, whole.ranks)
    np.testing.assert_array_equal(again.positions, whole.positions[:50])


def test_another_seed_does_not_continue_from_it(tmp_path, caplog):
    first = sbc(draw, observe, conjugate(1.0), 50, checkpoint=tmp_path / "run.npz")
    other = sbc(draw, observe, conjugate(1.0), 50, seed=1, checkpoint=tmp_path / "run.npz")
    assert "another calibration" in caplog.text and np.any(first.ranks != other.ranks)


def test_closures_are_refused_by_processes_with_a_way_out():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(HamlearnError, match="a file of its own"):
            coverage(normal_mean(1.0), n=5, executor=pool)


# Draws of chains are not independent


def correlated(rho: float):
    """Draws of the exact posterior by an AR(1) chain, which forgets in (1 + ρ)/(1 − ρ) draws."""

    def learn(data: np.ndarray, seed: int):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(2, 400, len(data)))
        for step in range(1, 400):
            noise[:, step] = rho * noise[:, step - 1] + np.sqrt(1 - rho**2) * noise[:, step]
        return data / 2 + np.sqrt(0.5) * noise

    return learn


def test_ranks_are_taken_among_as_many_draws_as_are_independent():
    fast, slow = (sbc(draw, observe, correlated(rho), n=80) for rho in (0.0, 0.9))
    assert (fast.draws, fast.slow) == (99, 0)
    assert slow.draws == 49  # 800 draws that are worth 42
    assert slow.overall_p > spend() and fast.overall_p > spend()
    # Among 99 the same chains pile up at the ends: what thinning is for.
    kept, rng = Kept(99, 10), np.random.default_rng(0)
    rows = np.stack([kept.score(correlated(0.999)(np.zeros(3), k), np.sqrt(0.5) * rng.normal(size=3), rng) for k in range(200)])
    assert bands.p_values(rows[..., 0].astype(int), 100).min() < 1e-4
    assert kept.read(rows).draws == 9 and kept.read(rows).slow > 100
    alike = np.stack([kept.score(rng.normal(size=(1, 99, 3)), rng.normal(size=3), rng) for _ in range(100)])
    assert kept.read(alike).slow <= 3  # estimates of so few draws scatter: one in a dozen has a parameter that looks like half of them


# Verdicts in words


@pytest.mark.parametrize(
    ("width", "shift", "decision", "words"),
    [
        (1.0, 0.0, "calibrated", "Nothing speaks against"),
        (1 / 1.5, 0.0, "not calibrated", "too narrow, errors are 1.[45]"),
        (1.5, 0.0, "not calibrated", "too wide"),
        (1.0, 0.5, "not calibrated", r"Means are off by \+0\.[67]"),
    ],
)
def test_the_decision_names_what_is_wrong(width, shift, decision, words):
    found = sbc(draw, observe, conjugate(width, shift), n=300)
    assert found.decision == decision
    assert re.search(words, found.summary), found.summary
    assert found.finding.what == found.summary and found.finding.passed == (decision == "calibrated")
    table = found.to_dataset()
    np.testing.assert_allclose(table["coverage"].sel(of="all", level=0.9), np.mean(np.abs(found.positions - 0.5) < 0.45))
    np.testing.assert_allclose(table["width"].sel(of="all"), np.sqrt(np.mean(found.errors**2)))


def test_honest_intervals_are_called_otherwise_once_in_a_hundred_times():
    """Also where parameters of a data set err together: 25 data sets of twenty, exact posteriors."""
    rng, times, names, wrong = np.random.default_rng(0), 300, tuple(map(str, range(20))), 0
    for _ in range(times):
        z = np.sqrt(0.97) * rng.normal(size=(25, 1)) + np.sqrt(0.03) * rng.normal(size=(25, 20))
        u = scipy.stats.norm.cdf(z)
        wrong += Ranks((100 * u).astype(int), 99, 10, u, -z, names, ("J",) * 20, truths="truth").decision == "not calibrated"
    assert scipy.stats.binom.sf(wrong - 1, times, 0.01) > spend(), wrong


def test_few_data_sets_are_undecided_and_say_how_many_more():
    found = sbc(lambda rng: rng.normal(size=1), observe_one, conjugate(1.0), n=20, bins=2, draws=99)
    assert found.decision == "undecided" and "needs about" in found.summary


def observe_one(truth: np.ndarray, seed: int):
    return truth + np.random.default_rng(seed).normal(size=1)
