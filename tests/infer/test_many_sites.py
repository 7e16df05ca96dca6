"""Sizes beyond any float: numbers of states are compared, never computed with."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import choose, posteriors
from hamlearn.infer.likelihoods import ExactLikelihood, RowLikelihood, composite
from hamlearn.infer.observations import bind
from hamlearn.infer.settings import as_engine
from hamlearn.statistics import power


def spins(draws, sites):
    return hl.microstates(np.random.default_rng(0).choice([-1, 1], (draws, sites)))


def chain(n):
    return np.column_stack([np.arange(n - 1), np.arange(1, n)])


def star(n):
    return np.column_stack([np.zeros(n - 1, int), np.arange(1, n)])


def test_powers_beyond_a_float_compare():
    assert power(3, 5) == 243.0 and power(2, 0) == 1.0
    assert power(2, 1023) == 2.0**1023 and power(2, 1024) == np.inf and power(21, 10**6) == np.inf


def test_a_chain_of_a_thousand_sites_is_learned_exactly():
    """One coupling: the exact posterior mode is artanh of the mean neighbour product, in closed form."""
    data = spins(64, 1030)
    post = hl.learn(data, hl.models.Couplings(chain(1030), tie="uniform", fields=None), engine="map", seed=0)
    assert posteriors.provenance_of(post).likelihood == "exact"
    states = data["state"].values[0].astype(float)
    assert float(post["point"]["J"][0]) == pytest.approx(np.arctanh((states[:, 1:] * states[:, :-1]).mean()), rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_the_information_of_a_long_chain_is_finite():
    """At zero coupling the products of neighbours are independent signs: their information is the identity times the rows."""
    bound, parts, _ = bind(spins(10, 1030), hl.models.Couplings(chain(1030), fields=None))
    found = ExactLikelihood(bound, parts).information(np.zeros(bound.n_params))
    np.testing.assert_allclose(found, 10 * np.eye(bound.n_params), atol=1e-9)


def test_a_site_with_more_neighbours_than_a_float_has_exponents():
    bound, parts, _ = bind(spins(20, 1200), hl.models.Couplings(star(1200), fields=None))
    assert isinstance(composite(bound, parts, "pseudo"), RowLikelihood)
    assert choose.choose(bound, parts, "auto", None).likelihood.name == "pseudo"
    assert len(set(bound.parameter_names)) == 1199


def test_q_states_with_too_many_neighbours_are_refused_in_one_sentence():
    data = hl.microstates(np.random.default_rng(0).integers(0, 21, (5, 400)), space="states", q=21)
    model = hl.models.Couplings(star(400), tie="uniform", fields=None)
    with pytest.raises(hl.HamlearnError, match=r"tables of .* numbers .*; use a sparser graph"):
        hl.learn(data, model, likelihood="pseudo", check=False)


def test_networks_on_windows_of_a_thousand_sites_know_that_they_are_too_many():
    bound = hl.models.Extensive(focus=1, context=20).bind(hl.systems.SPINS, (41, 41))
    assert bound.table_states == np.inf


def chosen(sites, rows, engine):
    bound, parts, _ = bind(spins(rows, sites), hl.models.Couplings(None, prior=hl.models.Normal(0.3)))
    return choose.choose(bound, parts, "pseudo", as_engine(engine))


@pytest.mark.parametrize("engine", ["map", "auto"])
def test_few_rows_of_many_sites_are_taken_without_a_hessian(engine):
    """What decides is counted work: 97 sites cost less than a Hessian of them, and no more than 104."""
    costs = [chosen(sites, 77, engine) for sites in (97, 104)]
    assert [one.diagonal for one in costs] == [True, True] and {one.engine.name for one in costs} == {"map"}
    assert costs[0].cost.seconds < costs[1].cost.seconds


def test_a_hessian_is_made_where_it_is_worth_its_time():
    assert not chosen(40, 77, "map").diagonal  # quick
    assert not chosen(97, 77, "laplace").diagonal  # asked for
    many = chosen(70, 500, "auto")
    assert many.engine.name == "laplace" and not many.diagonal
    assert chosen(97, 500, "map").diagonal and not chosen(70, 500, "map").diagonal


def test_no_cost_falls_by_much_where_sites_are_added():
    """A search without a Hessian takes over where the Hessian costs ten seconds of counted work: that is the highest step down."""
    seconds = [chosen(sites, 77, "map").cost.seconds for sites in range(10, 120, 10)]
    assert max(np.array(seconds[:-1]) - np.array(seconds[1:])) < 11.0
