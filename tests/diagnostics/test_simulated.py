"""The comparison by refitting and simulating: quiet for right models, loud for wrong ones, for every space."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.diagnostics import simulated
from statistics_budget import assert_within, spend

FREE = {"likelihood": "pseudo", "engine": "mle"}


def glass(seed, draws=1500):
    system = hl.systems.EdwardsAnderson((3, 3), seed=seed)
    return system, hl.simulate(system, beta=0.5, draws=draws, chains=2, seed=seed)


def test_a_right_model_is_seldom_accused():
    tables = []
    for seed in range(16):
        system, data = glass(seed)
        tables.append(simulated.check(data, hl.models.Couplings(system.lattice), seed=seed, **FREE))
    alarms = sum(table.attrs["decision"] == "differs" for table in tables)
    # Nominal 1 %; the scatter statistics reach 3 % when predictions rest on 48 members.
    assert scipy.stats.binom.sf(alarms - 1, len(tables), 0.03) > spend()
    # Neither too wide nor too narrow error bars: p-values of one number are uniform, with mean 1/2 in every data set.
    means = np.array([table["p_value"].values[table["scatter"].values == 0].mean() for table in tables])
    assert_within(means.mean(), 0.5, means.std(ddof=1) / np.sqrt(len(means)), "mean p-value")
    # What was fitted is as uncertain in the prediction as in the data: without the first part these would all be small.
    fitted = np.array([float(table["p_value"].sel(statistic="correlations at distance 1 along axis 0, site by site")) for table in tables])
    assert_within(fitted.mean(), 0.5, np.sqrt(1 / 12 / len(fitted)), "mean p-value of fitted correlations")


def test_a_wrong_model_is_accused_of_what_it_lacks():
    system, data = glass(3, draws=3000)
    table = simulated.check(data, hl.models.Couplings(system.lattice, tie="uniform"), seed=0, **FREE)
    assert table.attrs["decision"] == "differs" and table.attrs["overall_p"] < 1e-3
    assert "site by site" in table.attrs["reason"]


def test_what_cannot_be_compared_is_undecided():
    few = hl.microstates(np.random.default_rng(0).choice([-1, 1], (12, 3, 3)))
    table = simulated.check(few, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), **FREE)
    assert table.attrs["decision"] == "undecided" and table.attrs["reason"]


@pytest.mark.parametrize("space", ["spins", "states"])
def test_statistics_are_means_of_what_they_say(space):
    system = hl.systems.Ising((3, 4)) if space == "spins" else hl.systems.Potts((3, 4), q=3)
    states = hl.simulate(system, beta=0.3, draws=40, chains=2, seed=0)["state"].values.reshape(-1, 3, 4)
    functions = simulated.Statistics(system, states)
    columns = functions(states)
    named = {one.name: columns[:, one.columns] for one in functions.list}
    pairs = [(states[0, x, y], states[0, (x + 1) % 3, y]) for x in range(3) for y in range(4)]
    expected = np.mean([float(a) * b if space == "spins" else float(a == b) for a, b in pairs])
    assert named["correlation at distance 1 along axis 0"][0, 0] == pytest.approx(expected)
    np.testing.assert_allclose(named["histogram of the learned energy"].sum(1), 1.0)


@pytest.mark.parametrize("system", [hl.systems.SherringtonKirkpatrick(7, seed=1, h=0.3), hl.systems.Potts((2, 3), q=3, J=0.7)], ids=repr)
def test_actions_of_pairs_are_those_of_the_formula(system):
    states = system.space.random(np.random.default_rng(0), (50, system.lattice.n_sites)).reshape(50, *system.lattice.shape)
    np.testing.assert_allclose(simulated.actions(system, states, 0.6), system.action(states, 0.6), atol=1e-12)


def test_exact_paths_are_drawn_as_often_as_the_data_ask_and_are_the_paths_of_their_members():
    """Eight times the held-out rows of all members together; ⟨x²⟩ of harmonic paths of two stiffnesses against their propagator."""
    paths = [hl.systems.Path(6, hl.systems.Polynomial([0.0, c])) for c in (0.5, 2.0)]
    assert (
        simulated._enough(paths[0], 960) == 8 * 960 // 48 and simulated._enough(hl.systems.ScalarField((4, 4), m2=1.0, lam=1.0), 960) == 512
    )
    assert simulated._enough(paths[0], 1) == 64 and simulated._enough(paths[0], 10**6) == 512
    states = simulated.microstates_of(paths, 2.0, np.zeros((8, 6)), np.random.default_rng(0), 500)
    for c, found in zip((0.5, 2.0), states, strict=True):
        a, one = 2.0 / 6, np.eye(6)
        precision = (2 * one - np.roll(one, 1, 0) - np.roll(one, -1, 0)) / a + 2 * c * a * one
        squares = (found**2).mean(1)
        assert_within(squares.mean(), np.linalg.inv(precision)[0, 0], squares.std() / np.sqrt(len(squares)), f"mean square at c = {c}")


def test_members_of_an_ordered_phase_are_drawn_along_a_ladder_where_chains_from_the_data_stay():
    """Antiferromagnetic bonds keep cluster moves away; chains of either sign stay where they began."""
    square = hl.systems.lattice.hypercubic((6, 6))
    far = [[k, k + 15] for k in range(18)]
    member = hl.systems.Pairwise(hl.systems.lattice.graph(np.concatenate([square.bonds, far])), J=[1.0] * len(square.bonds) + [-0.1] * 18)
    assert not simulated.exact.oracle(member, "sample")
    data = np.repeat([[1], [-1]], 50, axis=0) * np.ones((100, 36), dtype=int)
    turned = {}
    for mixed in (False, True):
        rows = simulated.microstates_of([member], 0.7, data, np.random.default_rng(0), 160, mixed=mixed)[0]
        sign = np.sign(rows.reshape(8, 20, 36).sum(-1))
        turned[mixed] = (sign[:, 1:] * sign[:, :-1] < 0).any(1).mean()
    assert turned[False] == 0 and turned[True] > 0.7
    # Where chains reach each other nothing is changed.
    assert not simulated._stuck(member, 0.2, data, np.random.default_rng(0))


@pytest.mark.parametrize("second", [0.0, 0.4])
def test_steps_over_two_slices_are_seen_though_steps_over_one_were_fitted(second):
    """Gaussian rings, drawn from their covariance: with bonds between second neighbours an action of first ones misfits at distance 2."""
    n, beta = 8, 2.0
    turn = lambda step: np.roll(np.eye(n), step, 1)
    precision = n / beta * ((2 * np.eye(n) - turn(1) - turn(-1)) + second * (2 * np.eye(n) - turn(2) - turn(-2))) + beta / n * np.eye(n)
    paths = np.random.default_rng(3).multivariate_normal(np.zeros(n), np.linalg.inv(precision), size=1500)
    data = hl.microstates(paths, space="reals", beta=beta, independent=True)
    found = simulated.check(data, hl.models.PolynomialAction((2,)), seed=0)
    assert found.attrs["decision"] == ("differs" if second else "agrees")
    assert bool(second) == any("squared difference" in name for name in found.attrs["reason"].split(","))
