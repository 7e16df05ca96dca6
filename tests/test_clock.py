"""Results never depend on the clock: the same call and seed give the same answer on any machine of one kind, under any load."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import statistics
from hamlearn.infer import posteriors
from hamlearn.infer.choose import choose
from hamlearn.infer.observations import bind

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
    return hl.predict(path_posterior, [2.0, 8.0], draws=40, seed=0)


def test_predictions_take_as_many_draws_whatever_the_clock_says(path_posterior, path_curve, clock):
    found = hl.predict(path_posterior, [2.0, 8.0], draws=40, seed=0)
    assert found["energy"].attrs["method"] == path_curve["energy"].attrs["method"] == "exact (operator)"
    xr.testing.assert_identical(found, path_curve)


def test_a_check_runs_however_long_learning_took(clock):
    post = hl.learn(rings(8, 4.0, 400), hl.models.PolynomialAction(powers=(2,)), seed=0)
    assert posteriors.provenance_of(post).check.decision != "not run"
    assert np.isfinite(posteriors.provenance_of(post).seconds)


PACKAGE = Path(hl.__file__).parent
LATTICE = hl.systems.lattice.hypercubic((3, 3))
CHOICES = {
    "one strength": hl.models.Couplings(LATTICE, tie="uniform", fields=None),
    "all pairs": hl.models.Couplings(None),
    "sparse": hl.models.Couplings(LATTICE, fields=None, prior="spike_slab"),
}


@pytest.fixture(scope="module")
def spins():
    return hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=200, chains=2, seed=0)


@pytest.mark.parametrize("model", CHOICES.values(), ids=CHOICES)
def test_likelihood_and_engine_are_chosen_by_counting(spins, model, monkeypatch):
    """The choice, its reasons and the cost it states are the same with the clock standing still and with it racing."""
    bound, parts, _ = bind(spins, model)
    found = []
    for rate in (0.0, 90.0):
        ticks = wild(rate)
        for name in CLOCKS:
            monkeypatch.setattr(time, name, lambda ticks=ticks: next(ticks))
        one = choose(bound, parts, "auto", None)
        found.append((one.likelihood.name, one.engine, one.reasons, one.cost))
    assert found[0] == found[1]


def test_a_posterior_and_its_predictions_do_not_feel_the_clock(spins):
    model = hl.models.Couplings(LATTICE, tie="uniform", fields=None)
    with pytest.MonkeyPatch.context() as patch:
        ticks = wild(90.0)
        for name in CLOCKS:
            patch.setattr(time, name, lambda: next(ticks))
        racing = hl.learn(spins, model, engine="laplace", seed=0)
        curve = hl.predict(racing, 0.5, draws=8, seed=0)
    calm = hl.learn(spins, model, engine="laplace", seed=0)
    np.testing.assert_array_equal(racing["posterior"]["J"], calm["posterior"]["J"])
    assert posteriors.provenance_of(racing).reasons == posteriors.provenance_of(calm).reasons
    assert hl.verdict(racing) == hl.verdict(calm)
    xr.testing.assert_identical(curve, hl.predict(calm, 0.5, draws=8, seed=0))


# What may look at the clock, and why: none of these decides a result.
MAY_READ_THE_CLOCK = {
    "progress.py": "when a bar appears",
    "cli/demo.py": "how long it took, said at its end",
    "cli/signals.py": "whether two signals are one",
    "systems/sampling/loop.py": "when a checkpoint is written",
    "infer/engines/numpyro.py": "when a checkpoint is written",
    "infer/engines/gibbs/runs.py": "when a checkpoint is written",
    "infer/enquiry.py": "seconds in the record",
    "infer/densities/program.py": "seconds in the record",
    "infer/engines/training_loop.py": "Training(seconds=...) and Variational(seconds=...), limits that the user set",
}


def test_only_named_files_read_the_clock():
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if {"time", "timeit", "datetime"} & set(names):
                found.add(file.relative_to(PACKAGE).as_posix())
    assert found == set(MAY_READ_THE_CLOCK), "work is counted, never timed; what only reports seconds is listed here with its reason"


def test_no_default_is_a_time_limit():
    assert hl.infer.Training().seconds is None and hl.infer.Variational().seconds is None


def test_what_is_called_with_seconds_is_recorded_only():
    """Files that record seconds compare no times: no `if` of theirs reads what the clock said."""
    recording = [name for name, why in MAY_READ_THE_CLOCK.items() if why == "seconds in the record"]
    for name in recording:
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            if isinstance(node, ast.If | ast.IfExp | ast.While):
                words = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
                assert not words & {"started", "time"}, name


def test_sorting_keeps_the_order_of_ties():
    """Without ``kind="stable"`` the order of equal values depends on the processor's vector instructions."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.argsort":
                stable = any(word.arg == "kind" and ast.unparse(word.value) == "'stable'" for word in node.keywords)
                assert stable, f"{file.name}: np.argsort(..., kind='stable'), or hamlearn.statistics.descending"


def test_the_directions_that_data_leave_open_have_the_same_leaders_in_any_basis():
    """A null space of three pairs of parallel bonds, spanned by random rotations of the same vectors: one leader a pair, the first."""
    pairs = np.zeros((8, 3))
    for k, (i, j) in enumerate(((0, 1), (2, 5), (3, 4))):
        pairs[[i, j], k] = np.sqrt(0.5), -np.sqrt(0.5)
    for seed in range(20):
        rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        assert statistics.leading(pairs @ rotation) == [0, 2, 3]


def test_equal_within_rounding_is_equal():
    values = np.array([0.3, 0.1 + 0.2, 0.2, 0.3 - 1e-15, np.nan])
    assert statistics.first_largest(values) == 0 and statistics.first_largest(-values) == 2
    assert statistics.descending(values).tolist() == [0, 1, 3, 2, 4]
    assert statistics.first_largest([np.nan, np.nan]) == 0 and statistics.first_largest([1.0, np.inf]) == 1
