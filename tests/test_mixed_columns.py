"""Sites that have numbers of states of their own: what never occurs, and what is known exactly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.spaces import States
from statistics_budget import assert_within

SIZES, BONDS = (2, 4, 3, 2), [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]
J, H = [0.8, -0.6, 0.5, 0.9, -0.4], [0.2, 0.1, -0.2, 0.3]


def system():
    return hl.systems.Ordinal(hl.systems.lattice.graph(BONDS, 4), SIZES, J, H)


def score(site, state):
    return 2 * state / (SIZES[site] - 1) - 1


def weights(beta):
    """Every state that there is, and its Boltzmann weight, by plain loops."""
    states = list(itertools.product(*map(range, SIZES)))
    energies = [-sum(J[b] * score(i, s[i]) * score(j, s[j]) for b, (i, j) in enumerate(BONDS)) - sum(H[a] for a in s) for s in states]
    found = np.exp(-beta * np.array(energies))
    return np.array(states), np.array(energies), found


@pytest.mark.parametrize("beta", [0.05, 0.7])
def test_exact_answers_know_only_the_states_that_there_are(beta):
    _, energies, weight = weights(beta)
    found = hl.systems.exact.thermodynamics(system(), beta)
    assert float(hl.systems.exact.log_partition(system(), beta)) == pytest.approx(math.log(weight.sum()), rel=1e-10)
    assert float(found["energy"].values.ravel()[0]) * 4 == pytest.approx(weight @ energies / weight.sum(), rel=1e-8)


@pytest.mark.parametrize("sampler", ["exact", "heat_bath", "metropolis", "tempering"])
def test_samplers_keep_to_the_states_that_there_are(sampler):
    drawn = hl.simulate(system(), beta=0.7, draws=400, chains=8, seed=3, sampler=sampler, **({} if sampler == "exact" else {"thin": 5}))
    states, _, weight = weights(0.7)
    rows = drawn["state"].values.reshape(-1, 4)
    assert (rows.max(0) < SIZES).all() and hl.data.space_of(drawn) == States(SIZES)
    for site in range(4):
        expected = weight @ states[:, site] / weight.sum()
        series = drawn["state"].values[..., site].mean(1)
        assert_within(rows[:, site].mean(), expected, max(series.std(ddof=1) / math.sqrt(8), 0.01), f"{sampler}, site {site}")


def test_spaces_say_what_sites_have(tmp_path):
    space = States(SIZES)
    assert (space.q, space.sizes, space.uniform) == (4, SIZES, False) and States((3, 3)) == States(3)
    assert hl.spaces.from_attrs(space.attrs) == space and hl.spaces.from_dict(space.to_dict()) == space
    assert (space.random(np.random.default_rng(0), (500, 4)).max(0) == np.array(SIZES) - 1).all()
    data = hl.microstates([[0, 3, 2, 1], [1, 0, 0, 0]], space="states", q=SIZES)
    hl.save(data, tmp_path / "mixed.nc")
    assert hl.data.space_of(hl.microstates(tmp_path / "mixed.nc")) == space


MISTAKES = {
    "a state that a site lacks": (lambda: hl.microstates([[0, 3], [2, 0]], space="states", q=(2, 4)), r"site 0 has the states 0 … 1"),
    "one state": (lambda: States((1, 3)), "2 <= q <= 127; got q=1"),
    "another number of sites": (lambda: hl.microstates([[0, 1, 1], [1, 0, 0]], space="states", q=(2, 3)), "of 2 sites, each with its own"),
    "spins": (lambda: hl.microstates([[1, -1]], q=(2, 3)), "counts the states of every site, of space='states'"),
    "networks": (
        lambda: hl.learn(hl.microstates(np.eye(4, dtype=int), space="states", q=(2, 3, 2, 2)), hl.models.Autoregressive()),
        "of sites that all have the same states",
    ),
    "one table": (lambda: hl.systems.InteractionTables((2,), 2, np.zeros(9), space=States((2, 3))), "all have the same states"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()
