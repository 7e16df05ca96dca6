"""Results never depend on the clock: the same call and seed give the same answer on any machine of one kind, under any load."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn.infer import tree

CLOCKS = ("perf_counter", "monotonic", "time", "process_time")


def wild(rate: float) -> Iterator[float]:
    """A clock that leaps: every look at it is a minute and more after the one before."""
    now = 0.0
    while True:
        now += rate * (1.0 + now % 7.0)
        yield now


@pytest.fixture(params=["stopped", "leaping"])
def clock(request, monkeypatch):
    """Every look at the clock finds the same time, or one far ahead."""
    ticks = wild(0.0 if request.param == "stopped" else 90.0)
    for name in CLOCKS:
        monkeypatch.setattr(time, name, lambda: next(ticks))


def rings(n_tau: int, beta: float, draws: int) -> xr.Dataset:
    return hl.simulate(hl.systems.Path(n_tau, hl.systems.Polynomial([0, 0.5])), beta=beta, draws=draws, seed=0)


@pytest.fixture(scope="module")
def path_posterior():
    return hl.learn(rings(8, 4.0, 400), hl.models.PolynomialAction(powers=(2,)), seed=0, check=False)


@pytest.fixture(scope="module")
def path_curve(path_posterior):
    return hl.predict(path_posterior, [2.0, 8.0], members=40, seed=0)


def test_predictions_take_as_many_draws_whatever_the_clock_says(path_posterior, path_curve, clock):
    found = hl.predict(path_posterior, [2.0, 8.0], members=40, seed=0)
    assert found["energy"].attrs["method"] == path_curve["energy"].attrs["method"] == "exact (operator)"
    xr.testing.assert_identical(found, path_curve)


def test_a_check_runs_however_long_learning_took(clock):
    post = hl.learn(rings(8, 4.0, 400), hl.models.PolynomialAction(powers=(2,)), seed=0)
    assert tree.record_of(post)["check"]["decision"] != "not run"
    assert np.isfinite(tree.record_of(post)["seconds"])
