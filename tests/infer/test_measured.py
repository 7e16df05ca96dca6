"""What data say of observables: means from their definitions, and errors that know of autocorrelation and of counts."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.systems import exact, lattice
from statistics_budget import assert_within

SQUARE, BETA, ROWS = lattice.hypercubic((3, 3)), 0.3, 1600
TRUE = hl.systems.Ising(SQUARE)
MODEL = hl.models.Couplings(SQUARE, tie="uniform", fields=None)


@pytest.fixture(scope="module")
def states():
    return exact.sample(TRUE, BETA, ROWS, seed=0)


@pytest.fixture(scope="module")
def post(states):
    return hl.learn(as_data(states), MODEL, engine="laplace", check=False, seed=0)


def as_data(states, **more):
    return hl.microstates(states, space="spins", beta=BETA, **more)


def value(found, name, quantity="mean"):
    return float(found[name].sel(beta=BETA, quantity=quantity))


def test_means_are_those_of_the_definitions(post, states):
    found = hl.infer.measured(post, as_data(states), draws=1, seed=3)
    energy = hl.draw_systems(post, 1, seed=3)[0].energy(states)
    magnetization = states.mean((1, 2))
    assert value(found, "energy") == pytest.approx(energy.mean() / 9)
    assert value(found, "heat_capacity") == pytest.approx(BETA**2 * energy.var() / 9)
    assert value(found, "abs_magnetization") == pytest.approx(np.abs(magnetization).mean())
    assert value(found, "susceptibility") == pytest.approx(BETA * 9 * (np.mean(magnetization**2) - np.abs(magnetization).mean() ** 2))


def test_errors_are_those_of_independent_draws_and_grow_where_draws_repeat(post, states):
    """Of rows that stand eight times in a row an error is that of an eighth of them; a jackknife of 16 blocks knows it to 18 %."""
    spread = np.abs(states.mean((1, 2))).std()
    for repeats in (1, 8):
        data = as_data(np.repeat(states[: ROWS // repeats], repeats, axis=0))
        expected = spread / np.sqrt(ROWS / repeats)
        error = value(hl.infer.measured(post, data), "abs_magnetization", "error")
        assert_within(error, expected, expected / np.sqrt(2 * 15), f"the error of {repeats} copies of every row")


def test_counted_rows_are_the_rows_that_they_count(post, states):
    flat = states.reshape(len(states), -1)
    rows, counts = np.unique(flat, axis=0, return_counts=True)
    single, counted = (hl.infer.measured(post, data, seed=1) for data in (as_data(flat), as_data(rows, counts=counts)))
    np.testing.assert_allclose(counted.sel(quantity="mean").to_array(), single.sel(quantity="mean").to_array(), rtol=1e-12)
    expected = value(single, "abs_magnetization", "error")
    assert_within(value(counted, "abs_magnetization", "error"), expected, expected / np.sqrt(15), "the error of counted rows")


def test_every_temperature_is_a_point_and_what_has_no_average_is_refused(post, states):
    two = [as_data(states), hl.microstates(states[:200], space="spins", beta=0.5), hl.microstates(states[200:], space="spins", beta=0.5)]
    found = hl.infer.measured(post, two)
    assert found["beta"].values.tolist() == [BETA, 0.5]
    np.testing.assert_allclose(found["abs_magnetization"].sel(beta=0.5, quantity="mean"), value(found, "abs_magnetization"), rtol=1e-12)
    with pytest.raises(hl.HamlearnError, match="no 'entropy' that could be averaged"):
        hl.infer.measured(post, two, ["entropy"])


@pytest.mark.parametrize("whole", [0, 300])
def test_microstates_with_gaps_are_refused_with_the_averages_that_there_are(whole, post, states):
    gaps = states.astype(float)
    rows = np.arange(whole, ROWS)
    gaps[rows, rows % 3, rows // 3 % 3] = np.nan  # another site in every row
    data = as_data(gaps)
    with pytest.raises(hl.HamlearnError, match=f"{ROWS - whole} of {ROWS} have missing cells.*hl.predict") as told:
        hl.infer.measured(post, data)
    assert ("complete_rows" in str(told.value)) == bool(whole) and "\n" not in str(told.value)
    if whole:
        found = hl.infer.measured(post, hl.data.complete_rows(data))
        assert value(found, "abs_magnetization") == pytest.approx(np.abs(states[:whole].mean((1, 2))).mean())
