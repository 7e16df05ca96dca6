"""Curves made of log Z at few temperatures: against closed forms, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn.infer.predictions import members
from hamlearn.systems import EdwardsAnderson, Ising, exact
from hamlearn.systems.exact.curves import TOLERANCE, Curves
from hamlearn.systems.exact.discrete import Kaufman, Transfer
from hamlearn.systems.observables import looked_up

CURVE = np.linspace(0.1, 1.0, 13)


class Counted(Transfer):
    """Counts temperatures at which log Z and its derivatives are asked for."""

    def __init__(self):
        self.asked = {0: 0, 2: 0}

    def scaled(self, system, points, order, unit=1.0, zero=0.0):
        self.asked[order] += points.size
        return super().scaled(system, points, order, unit, zero)


@pytest.mark.parametrize(("shape", "betas"), [((6, 6), np.linspace(0.05, 0.35, 13)), ((4, 4), np.linspace(0.1, 1.0, 23))])
def test_a_curve_through_log_z_is_that_of_the_closed_form(shape, betas):
    system, oracle = Ising(shape), Counted()
    found, truth = Curves(oracle, betas).of(system), exact.thermodynamics(system, betas, oracle=Kaufman())
    assert oracle.asked[2] == 0 and found.attrs["method"] == "transfer"
    for name in ("energy", "heat_capacity", "entropy", "free_energy"):
        np.testing.assert_allclose(found[name], truth[name], rtol=0, atol=0.2 * TOLERANCE)


def test_it_asks_for_no_more_values_than_it_needs():
    glass, oracle = EdwardsAnderson((6, 6), seed=1), Counted()
    Curves(oracle, CURVE).of(glass)
    assert oracle.asked == {0: 25, 2: 0}  # thirteen that are not enough, and those between them


@pytest.mark.parametrize("betas", [[0.4], [0.4, 0.4], [0.2, 0.9], np.geomspace(0.01, 40.0, 13)], ids=["one", "equal", "two", "too wide"])
def test_where_it_gains_nothing_or_does_not_converge_the_oracle_answers_from_then_on(betas):
    glass, oracle = EdwardsAnderson((4, 4), seed=1), Counted()
    found = Curves(oracle, np.array(betas))
    assert found.of(glass).identical(oracle.thermodynamics(glass, np.array(betas)))
    tried = oracle.asked[0]
    assert tried <= oracle.values_per_point * len(betas) / 2
    found.of(glass)
    assert oracle.asked[0] == tried


def test_members_of_a_prediction_are_solved_so(monkeypatch):
    glasses, names = [EdwardsAnderson((6, 6), seed=seed) for seed in range(2)], ["energy", "heat_capacity", "entropy"]
    monkeypatch.setattr(Transfer, "values_per_point", 1.0)
    plain = members.estimate(glasses, CURVE, looked_up(names, glasses[0]), 0)
    monkeypatch.undo()
    monkeypatch.setattr(Transfer, "per_site", lambda *args: pytest.fail("derivatives of a curve"))
    found = members.estimate(glasses, CURVE, looked_up(names, glasses[0]), 0)
    for name in names:
        np.testing.assert_allclose(found[name].values, plain[name].values, rtol=0, atol=0.2 * TOLERANCE)
        assert found[name].method == plain[name].method == "exact (transfer)" and not found[name].errors.any()
