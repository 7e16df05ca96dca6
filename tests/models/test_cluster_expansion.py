"""Cluster expansions: which terms there are, and the Hamiltonians they mean, against explicit sums."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from hamlearn import models
from hamlearn.errors import HamlearnError
from hamlearn.models import ClusterExpansion
from hamlearn.systems import SPINS, InteractionTables, Ising, Pairwise, exact, states


def translates(window):
    """All sets of sites inside a window, up to translation, found by moving each to the origin."""
    found = set()
    for size in range(1, int(np.prod(window)) + 1):
        for sites in itertools.combinations(itertools.product(*map(range, window)), size):
            low = np.min(sites, 0)
            found.add(frozenset(tuple(int(x) for x in np.array(site) - low) for site in sites))
    return found


def plain_energy(bound, theta, state):
    """−Σ K Π σ over every placement, one after the other."""
    total = 0.0
    strengths = theta.reshape(bound.n_terms, bound.copies)
    for index, anchor in enumerate(np.ndindex(*bound.shape)):
        for term, sites in enumerate(bound.members):
            product = 1
            for site in sites:
                product *= int(state[tuple((np.array(anchor) + site) % bound.shape)])
            total -= strengths[term, index if bound.copies > 1 else 0] * product
    return total


@pytest.mark.parametrize(
    ("window", "shape", "count"), [(3, (8, 8), 400), (2, (4, 4), 10), (4, (8,), 8), (2, (3, 3, 3), 218), ((2, 3), (3, 5), None)]
)
def test_the_terms_are_all_inequivalent_sets_of_sites(window, shape, count):
    bound = ClusterExpansion(window=window).bind(SPINS, shape)
    expected = translates(bound.window)
    assert {frozenset(map(tuple, sites.tolist())) for sites in bound.members} == expected
    assert bound.n_params == len(expected) == (count or len(expected))
    assert len(set(bound.parameter_names)) == bound.n_params


def test_prior_odds_fall_with_order_and_range():
    bound = ClusterExpansion(window=3).bind(SPINS, (8, 8))
    probability = 1 / (1 + np.exp(-bound.log_odds))
    assert probability.sum() == pytest.approx(2 - 2.0**-8 - 0.5)  # one per order, halving; the single site's is capped at even odds
    pair = probability[bound.orders == 2]
    assert pair[0] == pair[1] == pair.max() and pair.min() < pair.max() / 4
    assert np.median(probability[bound.orders == 4]) < 2e-3
    assert ClusterExpansion(window=3, order=2).bind(SPINS, (8, 8)).n_params == 13


CASES = {
    "translation": (ClusterExpansion(window=2), (3, 4)),
    "3x3": (ClusterExpansion(window=3), (5, 5)),
    "site": (ClusterExpansion(window=2, tie="site"), (3, 3)),
    "chain": (ClusterExpansion(window=3), (6,)),
    "cubic, pairs": (ClusterExpansion(window=2, order=2), (3, 3, 3)),
    "pairs, site": (ClusterExpansion(window=2, order=2, tie="site"), (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_energy_is_the_sum_over_placements(name):
    model, shape = CASES[name]
    bound, generator = model.bind(SPINS, shape), np.random.default_rng(3)
    theta = generator.normal(size=bound.n_params)
    values = generator.choice([-1, 1], (4, *shape)).astype(np.int8)
    system = bound.system(theta)
    np.testing.assert_allclose(system.energy(values), [plain_energy(bound, theta, state) for state in values], atol=1e-9)
    assert isinstance(system, Pairwise if model.order == 2 else InteractionTables)


def test_pairs_are_pair_systems_that_oracles_know():
    bound = ClusterExpansion(window=3).bind(SPINS, (8, 8))
    theta = np.zeros(bound.n_params)
    theta[[1, 2]] = 1.0
    system = bound.system(theta, (24, 24))
    assert exact.method(system) == "kaufman"
    state = np.random.default_rng(0).choice([-1, 1], (24, 24))
    assert float(system.energy(state)) == pytest.approx(float(Ising((24, 24)).energy(state)))
    theta[bound.parameter_names.index("σ(0,1)σ(1,0)")] = -0.3
    assert exact.method(bound.system(theta)) == "transfer"
    everywhere = bound.system(np.zeros(bound.n_params), pairs=theta != 0)
    assert everywhere.lattice.n_bonds == 3 * 64 and not everywhere.J.any()


@pytest.mark.parametrize("name", CASES)
def test_json_round_trip(name):
    model, _ = CASES[name]
    again = models.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.to_dict() == model.to_dict() and repr(again) == repr(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClusterExpansion(window=0), "positive whole"),
        (lambda: ClusterExpansion(window=17), "at most 16 sites"),
        (lambda: ClusterExpansion(order=0), "order"),
        (lambda: ClusterExpansion(tie="none"), "tie"),
        (lambda: ClusterExpansion(prior="laplace"), "prior"),
        (lambda: ClusterExpansion(slab=-1.0), "slab"),
        (lambda: ClusterExpansion(window=3).bind(SPINS, (4, 8)), "wrap around"),
        (lambda: ClusterExpansion(window=3).bind(SPINS, (2, 2)), "wrap around"),
        (lambda: ClusterExpansion(window=3).bind(states(3), (8, 8)), "±1 spins"),
        (lambda: ClusterExpansion(window=(2, 2)).bind(SPINS, (8,)), "axes"),
        (lambda: ClusterExpansion(window=3).bind(SPINS, (8, 8, 8)), "more than 16 sites"),
        (lambda: ClusterExpansion(window=4).bind(SPINS, (8, 8)), "candidate terms"),
        (lambda: ClusterExpansion(window=2, tie="site").bind(SPINS, (4, 4)).system(np.ones(160), (6, 6)), "tied terms"),
        (lambda: ClusterExpansion(window=2).bind(SPINS, (4, 4)).system(np.ones(10), (2, 4)), "extents of at least"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(HamlearnError, match=message):
        make()
