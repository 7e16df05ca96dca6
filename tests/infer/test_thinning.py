"""Leaving out repeated draws: what is left as it is, how many are left out, and what must not be mistaken for repetition."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.observations import Observations
from hamlearn.infer.thinning import thinned


def part(states, *, independent=False, weighted=False):
    return Observations(states.astype(np.int8), np.ones(states.shape[:2]), weighted, 0.4, independent)


def independent_states(chains=2, draws=2000, sites=16, seed=0):
    return np.random.default_rng(seed).integers(0, 2, size=(chains, draws, sites))


@pytest.mark.parametrize(("times", "stride"), [(1, 1), (8, 1), (16, 2), (40, 4), (80, 8)])
def test_neighbouring_draws_differ_by_a_tenth_at_least(times, stride):
    """Of draws repeated n times, those a stride s apart differ with probability s / n of what independent ones do."""
    slow = np.repeat(independent_states(), times, axis=1)[:, : 2000 * min(times, 20)]
    (kept,), found = thinned([part(slow)])
    assert found == stride
    np.testing.assert_array_equal(kept.states, slow[:, ::stride])
    assert kept.weight.shape == kept.states.shape[:2]


def test_independent_and_weighted_ones_are_left_alone():
    slow = np.repeat(independent_states(), 40, axis=1)
    for one in (part(slow, independent=True), part(slow, weighted=True), part(0 * slow)):
        assert thinned([one]) == ([one], 1)


def test_an_ordered_phase_that_does_not_turn_over_is_no_repetition():
    """Nearly all spins agree for the whole run; what fluctuates is a few of them, anew at every sweep."""
    data = hl.simulate(hl.systems.Ising((6, 6)), beta=0.8, draws=2000, chains=2, seed=0, sampler="heat_bath", progress=False)
    index = (data["state"].values.reshape(2, 2000, 36) + 1) // 2
    assert thinned([part(index)])[1] == 1


def test_some_draws_are_always_kept():
    frozen = np.repeat(independent_states(draws=3), 1000, axis=1)
    (kept,), stride = thinned([part(frozen)])
    assert stride == 4  # the next would leave fewer than 500
    assert kept.states.shape[1] == 750
