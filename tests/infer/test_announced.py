"""What learning and its check are said to cost before they start: functions of sizes, never of time."""

import logging

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.checking import MOST_PARAMETERS, check_seconds
from hamlearn.infer.choose import choose
from hamlearn.infer.observations import bind

SIZES = {"sites": 36, "q": 2, "bonds": 72, "parameters": 108, "rows": 2000}


@pytest.mark.parametrize("name", ["sites", "q", "bonds", "rows"])
def test_the_check_of_more_costs_more(name):
    more = [check_seconds(**{**SIZES, name: factor * SIZES[name]}) for factor in (1, 2, 4)]
    assert more[0] < more[1] < more[2]


def test_score_tests_are_counted_where_they_are_made():
    made, not_made = (check_seconds(**{**SIZES, "parameters": p}) for p in (MOST_PARAMETERS, MOST_PARAMETERS + 1))
    assert made > not_made > 0


def learned_from(rows):
    states = np.random.default_rng(0).choice([-1, 1], size=(rows, 3, 3))
    return hl.microstates(states, space="spins", beta=1.0)


def test_the_choice_counts_the_check_and_neither_number_depends_on_what_was_done_before():
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))
    told = []
    for rows in (200, 200, 20_000):
        bound, parts, _ = bind([learned_from(rows)], model)
        choice = choose(bound, parts, "auto", None)
        told.append((choice.seconds, choice.check_seconds))
    assert told[0] == told[1]
    assert told[2][1] > told[0][1] > 0


def test_both_are_said_before_learning_and_the_record_holds_those_of_learning(caplog):
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))
    data = learned_from(200)
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        post = hl.infer.learn(data, model, engine="laplace", seed=0)
    bound, parts, _ = bind([data], model)
    choice = choose(bound, parts, "auto", hl.infer.LaplaceApproximation())
    assert f"about {choice.seconds:.3g} s, and about {choice.check_seconds:.3g} s more where it is checked" in caplog.messages[0]
    assert hl.infer.provenance(post).estimated_seconds == choice.seconds
