"""The family of pair couplings: what θ means, written out bond by bond in plain Python."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.optimize

import hamlearn as hl
from hamlearn import models
from hamlearn.errors import HamlearnError
from hamlearn.models import Couplings, Horseshoe, Laplace, Normal, SpikeSlab
from hamlearn.plots import layout
from hamlearn.spaces import States
from hamlearn.systems import SPINS, Pairwise, QState, lattice, states, zero_sum

TORUS = lattice.hypercubic((3, 3))
NEAR = lattice.hypercubic((4, 4)).pairs_within(1.5)
BONDS = np.array([[0, 1], [2, 1], [1, 3]])

# A new tie, field or interaction adds one line: (model, space, shape, number of coupling and of field parameters).
FAMILIES = {
    "bonds": (lambda: Couplings(TORUS), SPINS, (3, 3), 18, 9),
    "bonds, one field": (lambda: Couplings(TORUS, fields="uniform"), SPINS, (3, 3), 18, 1),
    "bonds, no field": (lambda: Couplings(TORUS, fields=None), SPINS, (3, 3), 18, 0),
    "one strength": (lambda: Couplings(TORUS, tie="uniform"), SPINS, (3, 3), 1, 9),
    "one strength, one field": (lambda: Couplings(TORUS, tie="uniform", fields="uniform"), SPINS, (3, 3), 1, 1),
    "one strength, no field": (lambda: Couplings(TORUS, tie="uniform", fields=None), SPINS, (3, 3), 1, 0),
    "by distance": (lambda: Couplings(NEAR, tie="distance"), SPINS, (4, 4), 2, 16),
    "double bonds": (lambda: Couplings(lattice.hypercubic((2, 2)), tie="uniform"), SPINS, (2, 2), 1, 4),
    "all pairs": (lambda: Couplings(), SPINS, (5,), 10, 5),
    "all pairs of a lattice": (lambda: Couplings(None), SPINS, (2, 3), 15, 6),
    "bond list": (lambda: Couplings(BONDS), SPINS, (4,), 3, 4),
    "bond list, lonely last sites": (lambda: Couplings(BONDS), SPINS, (6,), 3, 6),
    "clock": (lambda: Couplings(TORUS, interaction="clock"), states(3), (3, 3), 18, 18),
    "clock, tied": (lambda: Couplings(TORUS, "uniform", None, interaction="clock"), states(5), (3, 3), 1, 0),
    "potts": (lambda: Couplings(TORUS, interaction="potts"), states(3), (3, 3), 18, 18),
    "potts, one field": (lambda: Couplings(TORUS, "uniform", "uniform", interaction="potts"), states(4), (3, 3), 1, 3),
    "ordinal": (lambda: Couplings(BONDS, interaction="ordinal"), states(5), (4,), 3, 4 * 4),
    "ordinal, tied": (lambda: Couplings(TORUS, "uniform", "uniform", interaction="ordinal", scores=[1, 2, 5]), states(3), (3, 3), 1, 2),
    "general": (lambda: Couplings(BONDS), states(3), (4,), 3 * 4, 4 * 2),
    "general, all pairs": (lambda: Couplings(), states(2), (4,), 6, 4),
    "mixed, ordinal": (lambda: Couplings(BONDS, interaction="ordinal"), States((2, 5, 3, 2)), (4,), 3, 1 + 4 + 2 + 1),
    "mixed, general": (lambda: Couplings([[0, 1], [1, 2], [3, 2]]), States((2, 5, 3, 2)), (4,), 4 + 8 + 2, 1 + 4 + 2 + 1),
    "general, tied": (lambda: Couplings(TORUS, "uniform", "uniform"), states(3), (3, 3), 4, 2),
    "general, by distance": (lambda: Couplings(NEAR, "distance", None), states(3), (4, 4), 8, 0),
}
every_family = pytest.mark.parametrize("name", FAMILIES)


def family(name):
    make, space, shape, couplings, fields = FAMILIES[name]
    return make().bind(space, shape), couplings, fields


def some_theta(bound, *lead, seed=0):
    return np.random.default_rng(seed).normal(size=(*lead, bound.n_params))


@every_family
def test_parameters_are_counted(name):
    bound, couplings, fields = family(name)
    assert (bound.n_coupling_params, bound.n_field_params, bound.n_params) == (couplings, fields, couplings + fields)
    assert len(bound.parameter_names) == bound.n_params
    assert sum(label.startswith("J") for label in bound.parameter_names) == couplings


@every_family
def test_theta_to_values_and_back(name):
    bound, *_ = family(name)
    theta = some_theta(bound, 2, 3)
    J, h = bound.values(theta)
    tail = (bound.space.q,) * 2 if bound.interaction == "general" else ()
    assert J.shape == (2, 3, bound.lattice.n_bonds, *tail)
    assert h.shape == (2, 3, bound.lattice.n_sites, *(() if bound.interaction == "ising" else (bound.space.q,)))
    np.testing.assert_allclose(bound.from_values(J, h), theta, atol=1e-12)
    np.testing.assert_allclose(bound.from_values(J[1, 2], h[1, 2]), theta[1, 2], atol=1e-12)
    if bound.model.fields is None:
        assert not h.any()
        np.testing.assert_allclose(bound.from_values(J, None), theta, atol=1e-12)
    single = bound.values(theta[1, 0])
    np.testing.assert_array_equal(single[0], J[1, 0])


@every_family
def test_tied_parameters_are_equal_and_free_ones_are_not(name):
    bound, *_ = family(name)
    J, h = bound.values(some_theta(bound))
    kinds = len(np.unique(np.round(J.reshape(bound.lattice.n_bonds, -1), 9), axis=0))
    assert kinds == {"bond": bound.lattice.n_bonds, "uniform": 1, "distance": 2}[bound.model.tie]
    if bound.model.tie == "distance":
        for b, (i, j) in enumerate(bound.lattice.bonds):
            first = int(np.flatnonzero(np.isclose(bound.lattice.distances[tuple(bound.lattice.bonds.T)], bound.lattice.distances[i, j]))[0])
            np.testing.assert_array_equal(J[b], J[first])
    sites = len(np.unique(np.round(h.reshape(bound.lattice.n_sites, -1), 9), axis=0))
    assert sites == {"site": bound.lattice.n_sites, "uniform": 1, None: 1}[bound.model.fields]


def plain_energy(bound, J, h, state):
    """−Σ over bonds − Σ over sites, straight from the reported values; `state` holds values of the space."""
    total = 0.0
    for b, (i, j) in enumerate(bound.lattice.bonds.tolist()):
        a, c = int(state[i]), int(state[j])
        if bound.interaction == "ising":
            total -= J[b] * a * c
        elif bound.interaction == "clock":
            total -= J[b] * math.cos(2 * math.pi * (a - c) / bound.space.q)
        elif bound.interaction == "potts":
            total -= J[b] * (a == c)
        elif bound.interaction == "ordinal":
            sizes = bound.space.sizes or (bound.space.q,) * bound.lattice.n_sites
            u, v = (np.array(bound.model.scores or np.linspace(-1, 1, sizes[site])) for site in (i, j))
            total -= J[b] * (u[a] - u.mean()) * (v[c] - v.mean())
        else:
            total -= J[b, a, c]
    for i in range(bound.lattice.n_sites):
        total -= h[i] * state[i] if bound.interaction == "ising" else h[i, int(state[i])]
    return float(total)


@every_family
def test_the_system_has_the_reported_values(name):
    bound, *_ = family(name)
    theta = some_theta(bound)
    J, h = bound.values(theta)
    system = bound.system(theta)
    assert isinstance(system, Pairwise if bound.interaction == "ising" else QState)
    configurations = bound.space.random(np.random.default_rng(1), (8, bound.lattice.n_sites))
    expected = [plain_energy(bound, J, h, state) for state in configurations]
    np.testing.assert_allclose(system.energy(configurations), expected, atol=1e-10)
    tables, fields = bound.tables(theta)
    np.testing.assert_allclose(tables, system.pairs.tables, atol=1e-12)
    there = bound.space.there(bound.lattice.n_sites)
    np.testing.assert_allclose(fields[there], system.pairs.fields[there], atol=1e-12)
    assert (fields[~there] < -1000).all() and (system.pairs.fields[~there] < -1000).all()


@every_family
def test_theta_is_linear_and_identified(name):
    """Energies are linear in θ, and no direction of θ leaves all energy differences unchanged."""
    bound, *_ = family(name)
    generator = np.random.default_rng(2)
    configurations = bound.space.random(generator, (6 * bound.n_params + 40, bound.lattice.n_sites))
    energies = np.stack([bound.system(unit).energy(configurations) for unit in np.eye(bound.n_params)], 1)
    theta = some_theta(bound)
    np.testing.assert_allclose(bound.system(theta).energy(configurations), energies @ theta, atol=1e-10)
    if name == "double bonds":
        return
    assert np.linalg.matrix_rank(energies - energies.mean(0)) == bound.n_params


@every_family
def test_round_trip_through_json(name):
    make, space, shape, *_ = FAMILIES[name]
    model = make()
    back = models.from_dict(json.loads(json.dumps(model.to_dict())))
    assert repr(back) == repr(model)
    ours, theirs = model.bind(space, shape), back.bind(space, shape)
    theta = some_theta(ours)
    for left, right in zip(ours.values(theta), theirs.values(theta), strict=True):
        np.testing.assert_array_equal(left, right)
    assert theirs.interaction == ours.interaction


@pytest.mark.parametrize(
    "prior", [None, "normal", "laplace", "horseshoe", "spike_slab", "spike-slab", Normal(0.5), SpikeSlab(0.2, 0.1, False)]
)
def test_priors_survive_json(prior):
    model = Couplings(None, prior=prior, field_prior=Normal(0.3))
    back = models.from_dict(json.loads(json.dumps(model.to_dict())))
    assert back.prior == model.prior and back.field_prior == Normal(0.3)


def test_defaults_are_what_the_documentation_says():
    model = Couplings()
    assert (model.graph, model.tie, model.fields, model.interaction) == (None, "bond", "site", "auto")
    assert model.prior == Normal(1.0, "kT", widens=True) == model.field_prior == Couplings(prior="normal").prior
    assert model.at(0.5).prior == Normal(2.0, widens=True) == model.at(0.5).field_prior
    assert Couplings(prior=Normal(3.0)).at(0.5).prior == Normal(3.0)
    assert isinstance(Couplings(prior="horseshoe").prior, Horseshoe) and isinstance(Couplings(prior="laplace").prior, Laplace)
    assert model.bind(SPINS, (4,)).interaction == "ising" and model.bind(states(3), (4,)).interaction == "general"
    assert np.array_equal(model.bind(SPINS, (2, 3)).lattice.bonds.T, np.triu_indices(6, 1))


def test_general_tables_are_in_the_zero_sum_gauge():
    bound, *_ = family("general")
    J, h = bound.values(some_theta(bound))
    np.testing.assert_allclose(J, zero_sum(J), atol=1e-12)
    np.testing.assert_allclose(h.sum(-1), 0, atol=1e-12)
    # Any tables, gauged, are reached: their projection on the basis loses nothing.
    tables = zero_sum(np.random.default_rng(0).normal(size=J.shape))
    np.testing.assert_allclose(bound.values(bound.from_values(tables, h))[0], tables, atol=1e-12)


def test_names_of_parameters_say_where():
    bound, *_ = family("bond list")
    assert bound.parameter_names == ["J[0,1]", "J[2,1]", "J[1,3]", "h[0]", "h[1]", "h[2]", "h[3]"]
    tied, *_ = family("one strength, one field")
    assert tied.parameter_names == ["J[tied]", "h[tied]"]
    assert family("by distance")[0].parameter_names[:3] == ["J[distance 1]", "J[distance 1.414]", "h[0]"]
    for name in FAMILIES:
        names = family(name)[0].parameter_names
        assert len(set(names)) == len(names), names


@pytest.mark.parametrize("name", ["one strength, one field", "one strength, no field", "potts, one field", "general, tied", "clock, tied"])
def test_tied_parameters_go_to_another_size(name):
    bound, *_ = family(name)
    theta = some_theta(bound)
    larger = lattice.hypercubic((5, 4))
    system, small = bound.system(theta, larger), bound.system(theta)
    assert system.lattice is larger
    for b in (0, 17, 39):
        np.testing.assert_allclose(system.pairs.tables[b], small.pairs.tables[0], atol=1e-12)
    np.testing.assert_allclose(system.pairs.fields[19], small.pairs.fields[0], atol=1e-12)


@pytest.mark.parametrize("name", ["bonds", "one strength", "by distance"])
def test_free_parameters_do_not_go_to_another_size(name):
    bound, *_ = family(name)
    with pytest.raises(HamlearnError, match="another lattice size needs tied parameters"):
        bound.system(some_theta(bound), lattice.hypercubic((5, 5)))


MISTAKES = {
    "tie": (lambda: Couplings(tie="bonds"), "tie must be one of .* Did you mean 'bond'"),
    "a group with a number beyond memory": (lambda: Couplings(tie=np.array([0, 2**50])), "no one is of group 1"),
    "a group below 0": (lambda: Couplings(tie=np.array([-1, 0])), "the smallest is -1"),
    "fields": (lambda: Couplings(fields="sites"), r"fields \(or None\) must be one of .* Did you mean 'site'"),
    "interaction": (lambda: Couplings(interaction="isin"), "Did you mean 'ising'"),
    "prior": (lambda: Couplings(prior="horshoe"), "prior must be one of .* Did you mean 'horseshoe'"),
    "prior of another kind": (lambda: Couplings(prior=0.1), "prior must be None, one of .*; got 0.1"),
    "field prior": (lambda: Couplings(field_prior=Laplace()), "field_prior must be a Normal prior"),
    "repeated bond": (lambda: Couplings([[0, 1], [1, 0]]), "repeated"),
    "bond to itself": (lambda: Couplings([[1, 1]]), "to itself"),
    "another size": (lambda: Couplings(TORUS).bind(SPINS, (4, 4)), r"the model's graph has 9 sites \(3, 3\), the data 16 \(4, 4\)"),
    "too few sites": (lambda: Couplings(BONDS).bind(SPINS, (3,)), "the model's graph has 4 sites"),
    "ising for states": (
        lambda: Couplings(interaction="ising").bind(states(3), (4,)),
        "interaction='ising' does not fit data in space 'states'",
    ),
    "potts for spins": (lambda: Couplings(interaction="potts").bind(SPINS, (4,)), "interaction='potts' does not fit data in space 'spins'"),
    "distance without positions": (
        lambda: Couplings(None, tie="distance").bind(SPINS, (4,)).n_params,
        "tie='distance' needs sites with positions",
    ),
    "parallel tables": (
        lambda: Couplings(lattice.hypercubic((2, 2))).bind(states(3), (2, 2)),
        "parallel bonds .* are not identified one by one",
    ),
    "scores of other states": (
        lambda: Couplings(interaction="ordinal", scores=[0, 1]).bind(states(3), (4,)),
        r"one number for every state in their order: 3; got 2",
    ),
    "equal scores": (lambda: Couplings(interaction="ordinal", scores=[1, 1]).bind(states(2), (4,)), "finite numbers that differ"),
    "scores that are words": (lambda: Couplings(interaction="ordinal", scores=["a", "b"]), "a score"),
    "scores of a table": (lambda: Couplings(scores=[0, 1, 2]), "scores= are of ordered states"),
    "potts of mixed sites": (lambda: Couplings(interaction="potts").bind(States((2, 3)), (2,)), "sites that all have the same states"),
    "tables of two shapes as one": (
        lambda: Couplings([[0, 1], [1, 2]], tie="uniform").bind(States((2, 3, 3)), (3,)).n_params,
        "only alike ones can be tied",
    ),
    "mixed sites of another number": (lambda: Couplings().bind(States((2, 3)), (3,)).n_params, "these states are of 2 sites"),
    "unknown kind": (lambda: models.from_dict({"kind": "coupling"}), "Did you mean 'couplings'"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


RING = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [0, 2], [1, 3]]
GROUPS, SITES = [0, 1, 0, 1, 0, 2, 2], [0, 0, 1, 1, 0]


def test_groups_are_tied_as_by_hand(tmp_path):
    """All 32 states, written out: optimum and Fisher information of three strengths and two fields."""
    world = hl.systems.Pairwise(RING, J=np.array([0.8, -0.4, 0.3])[GROUPS], h=np.array([0.2, -0.3])[SITES])
    data = hl.simulate(world, beta=0.7, draws=2000, chains=1, seed=0, sampler="exact")
    every = 2 * ((np.arange(32)[:, None] >> np.arange(5)) & 1) - 1

    def terms(s):
        pairs = np.array([s[:, i] * s[:, j] for i, j in RING])
        strengths = [pairs[np.array(GROUPS) == g].sum(0) for g in range(3)]
        return np.stack(strengths + [s.T[np.array(SITES) == g].sum(0) for g in range(2)], -1)

    listed, seen = 0.7 * terms(every), 0.7 * terms(data["state"].values[0].astype(int)).sum(0)
    best = scipy.optimize.minimize(lambda k: 2000 * np.logaddexp.reduce(listed @ k) - seen @ k, np.zeros(5), tol=1e-12).x
    p = np.exp(listed @ best - np.logaddexp.reduce(listed @ best))
    covariance = np.linalg.inv(2000 * ((listed - p @ listed).T * p) @ (listed - p @ listed))

    model = Couplings(RING, tie=np.array(GROUPS), fields=SITES)
    post = hl.learn(data, model, likelihood="exact", engine="mle", check=False, seed=0)
    np.testing.assert_allclose(post["point"]["J"], best[:3][GROUPS], atol=1e-4)
    np.testing.assert_allclose(post["point"]["h"], best[3:][SITES], atol=1e-4)
    names, draws = hl.infer.families.of(post).parameters(post)
    assert names == ["J[group 0]", "J[group 1]", "J[group 2]", "h[group 0]", "h[group 1]"]
    np.testing.assert_allclose(draws.std((0, 1)), np.sqrt(np.diag(covariance)), rtol=0.08)
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert "groups" in repr(hl.infer.posteriors.model_of(loaded))
    page = hl.report(loaded, tmp_path / "page.html").read_text()
    assert "couplings of 3 groups of bonds, fields of 2 groups of sites" in page
    assert layout.rows(loaded)[0] == ["3 bonds of group 0", "2 bonds of group 1", "2 bonds of group 2"]


def test_groups_of_all_kinds_are_those_of_words():
    """Words are groups with names: the same θ, system and JSON."""
    square = lattice.hypercubic((3, 3)).pairs_within(2)
    distances = np.unique(np.round(square.distances[tuple(square.bonds.T)], 6), return_inverse=True)[1]
    sets = {"bond": np.arange(square.n_bonds), "uniform": np.zeros(square.n_bonds, int), "distance": distances}
    for word, groups in sets.items():
        named, numbered = (Couplings(square, tie=tie, fields="uniform").bind(SPINS, (3, 3)) for tie in (word, groups))
        np.testing.assert_array_equal(named.bond_group, numbered.bond_group)
        back = models.from_dict(json.loads(json.dumps(numbered.model.to_dict())))
        assert back.tie == tuple(groups.tolist()) and back.bind(SPINS, (3, 3)).n_params == named.n_params


def test_a_group_of_frozen_sites_has_no_maximum():
    rows = np.random.default_rng(0).choice([-1, 1], size=(200, 5))
    rows[:, [2, 3]] = 1
    data = hl.microstates(rows, space="spins", beta=1.0)
    with pytest.raises(hl.HamlearnError, match="sites 2, 3 never change in"):
        hl.learn(data, Couplings(RING, fields=SITES), engine="mle")
    assert not Couplings(RING, fields=[0, 1, 1, 0, 0]).bind(SPINS, (5,)).without_field(np.array([2, 3])).size


WRONG_GROUPS = {
    "length": ({"tie": [0, 1]}, "of which group 2 bonds are; there are 7"),
    "sites": ({"fields": [0, 1]}, "of which group 2 sites are; there are 5"),
    "gap": ({"tie": [0, 0, 0, 0, 0, 0, 2]}, "no one is of group 1"),
    "from one": ({"tie": [1] * 7}, "no one is of group 0"),
    "negative": ({"tie": [-1, 0, 0, 0, 0, 0, 0]}, "the smallest is -1"),
    "floats": ({"tie": np.zeros(7)}, "a row of whole numbers"),
    "matrix": ({"fields": np.zeros((5, 1), int)}, "a row of whole numbers"),
    "flags": ({"tie": [True] * 7}, "a row of whole numbers"),
    "empty": ({"tie": []}, "a row of whole numbers"),
}


@pytest.mark.parametrize("name", WRONG_GROUPS)
def test_wrong_groups_are_named(name):
    options, words = WRONG_GROUPS[name]
    with pytest.raises(hl.HamlearnError, match=words):
        Couplings(RING, **options).bind(SPINS, (5,))
