"""Lists of couplings: how many of them are false, over many data sets whose graphs are known."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn.diagnostics.evidence import bayes_factors
from hamlearn.page.sections import page
from hamlearn.systems import Pairwise, exact, lattice
from statistics_budget import assert_within

GRAPH = lattice.complete(8)


def world(seed: int) -> Pairwise:
    """Nine couplings of twenty-eight, and fields."""
    rng = np.random.default_rng(seed)
    J = np.where(rng.permutation(GRAPH.n_bonds) < 9, rng.choice([-0.25, 0.25], GRAPH.n_bonds), 0.0)
    return Pairwise(GRAPH, J, rng.normal(0.0, 0.3, 8))


def learned(system: Pairwise, rows: int, seed: int):
    data = hl.microstates(exact.sample(system, 1.0, rows, seed=seed), space="spins", independent=True)
    return hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=seed)


def test_false_pairs_are_as_few_as_asked_for_and_true_ones_are_found():
    false, power = [], []
    for seed in range(25):
        system = world(seed)
        table = hl.diagnostics.pairs(learned(system, 800, seed), false_discovery_rate=0.2)
        there = {(str(i), str(j)) for (i, j), J in zip(GRAPH.bonds.tolist(), system.J, strict=True) if J}
        found = [tuple(row) for row in table[table["found"]][["site_i", "site_j"]].values.tolist()]
        false.append(np.mean([one not in there for one in found]) if found else 0.0)
        power.append(np.mean([one in found for one in there]))
    # Benjamini and Hochberg: the rate times the share of couplings that are zero, 19 of 28.
    assert_within(np.mean(false), 0.2 * 19 / 28, np.std(false, ddof=1) / 5, "share of false pairs")
    assert np.mean(power) > 0.8


def test_q_values_are_those_of_a_loop():
    table = hl.diagnostics.pairs(learned(world(0), 500, 0), false_discovery_rate=0.1, level=0.8)
    z = (table["coupling"] / table["sd"]).abs().to_numpy()
    assert np.all(np.diff(z) <= 1e-9) and np.all(np.diff(table["q_value"]) >= 0)
    p, smallest = [erfc(one / sqrt(2)) for one in z], 1.0
    for k in range(len(p) - 1, -1, -1):
        smallest = min(smallest, p[k] * len(p) / (k + 1))
        assert table["q_value"][k] == pytest.approx(smallest, rel=1e-6, abs=1e-300)
    assert table["found"].tolist() == (table["q_value"] <= 0.1).tolist()
    inside = (table["upper"] - table["lower"]) / (2 * table["sd"])
    assert np.allclose(inside, 1.2816, rtol=0.08)


def test_probabilities_of_sparse_posteriors_are_what_they_are_listed_by():
    post, rng = learned(world(3), 500, 3), np.random.default_rng(0)
    posterior = post["posterior"].to_dataset()
    chance = np.where(np.arange(28) < 7, 0.97, np.linspace(0.8, 0.05, 28))
    posterior["included"] = (("chain", "draw", "bond"), (rng.random(posterior["J"].shape) < chance).astype(np.int8))
    post["posterior"] = xr.DataTree(posterior)
    table = hl.diagnostics.pairs(post)
    assert np.all(np.diff(table["probability"]) <= 0)
    count = int(table["found"].sum())
    assert 7 <= count < 28 and (1 - table["probability"][:count]).mean() <= 0.1 < (1 - table["probability"][: count + 1]).mean()
    assert {tuple(row) for row in table[["site_i", "site_j"]].values[:7].tolist()} == {("0", str(k)) for k in range(1, 8)}


def test_what_has_no_list_says_why():
    states = np.random.default_rng(0).integers(3, size=(500, 3))
    tables = hl.infer.learn(hl.microstates(states, space="states", q=3), hl.models.Couplings(None), engine="laplace")
    with pytest.raises(hl.HamlearnError, match=r"tables; hl\.infer\.contacts"):
        hl.diagnostics.pairs(tables)
    with pytest.raises(hl.HamlearnError, match="false_discovery_rate"):
        hl.diagnostics.pairs(learned(world(0), 200, 0), false_discovery_rate=1.5)


def sparse() -> xr.DataTree:
    """A posterior of four sites whose indicators are put there by hand: always, never, 900 of 1000 and 100 of 1000 draws, ..."""
    data = hl.microstates(
        exact.sample(Pairwise(lattice.complete(4), 0.3), 1.0, 300, seed=0), space="spins", independent=True, names=[*"abcd"]
    )
    model = hl.models.Couplings(prior=hl.models.SpikeSlab(inclusion=0.25))
    post = hl.infer.learn(data, model, engine=hl.infer.Gibbs(draws=250, chains=4), seed=0)
    posterior, rng = post["posterior"].to_dataset(), np.random.default_rng(1)
    columns = [rng.permutation(np.arange(1000) < count) for count in (1000, 0, 900, 100, 500, 500)]
    posterior["included"] = (("chain", "draw", "bond"), np.stack(columns, -1).reshape(4, 250, 6).astype(np.int8))
    posterior["J"] = posterior["included"] * rng.normal(0.5, 0.1, (4, 250, 6)) * [1.0, 1.0, -1.0, 1.0, 1.0, 1.0]
    post["posterior"] = xr.DataTree(posterior)
    return post


def test_bayes_factors_are_odds_over_odds_and_say_what_the_draws_leave_open():
    table = hl.diagnostics.pairs(sparse(), level=0.9).set_index(["site_i", "site_j"])
    factor = table[["bayes_factor", "bayes_factor_lower", "bayes_factor_upper"]]
    prior = 0.25 / 0.75
    assert factor.loc[("a", "d"), "bayes_factor"] == pytest.approx(9 / prior) and factor.loc[("b", "c"), "bayes_factor"] == pytest.approx(
        1 / 9 / prior
    )
    always, never = factor.loc[("a", "b")], factor.loc[("a", "c")]
    assert always["bayes_factor"] == always["bayes_factor_upper"] == np.inf and never["bayes_factor"] == never["bayes_factor_lower"] == 0
    # Of n draws all have what has a chance of p to be missing with probability (1 − p)ⁿ, which is 0.05 at the end.
    p = 1 - 0.05 ** (1 / 1000)
    assert always["bayes_factor_lower"] == pytest.approx((1 - p) / p / prior, rel=0.1)
    assert never["bayes_factor_upper"] == pytest.approx(p / (1 - p) / prior, rel=0.1)
    sd = sqrt(0.9 * 0.1 / 1000)  # of a share of independent draws
    for end, z in (("bayes_factor_lower", -1.645), ("bayes_factor_upper", 1.645)):
        share = 0.9 + z * sd
        assert factor.loc[("a", "d"), end] == pytest.approx(share / (1 - share) / prior, rel=0.08)


def test_draws_that_repeat_each_other_leave_more_open():
    rng = np.random.default_rng(0)
    fresh = (rng.random((4, 50, 1)) < 0.9).astype(float)
    slow = np.repeat(fresh, 20, axis=1)
    width = lambda found: np.diff(np.log(found[1:, 0]))[0]
    assert width(bayes_factors(slow, 0.5, 0.9)) == pytest.approx(width(bayes_factors(fresh, 0.5, 0.9)), rel=0.3)
    for existing, prior in ((0.5, hl.models.SpikeSlab()), (0.1, hl.models.SpikeSlab(inclusion=0.1)), (1.0, hl.models.Normal())):
        drawn = [np.mean(prior.draw(20, rng) != 0) for _ in range(400)]
        assert prior.existing == existing
        assert_within(np.mean(drawn), existing, max(np.std(drawn) / 20, 1e-9), "share of couplings that a prior makes")


def test_a_coupling_that_is_surely_none_is_in_no_list():
    assert bool(hl.diagnostics.pairs(sparse(), false_discovery_rate=0.9)["found"].sum() == 2)


def test_centralities_are_those_of_a_loop_over_draws_and_zeros_take_their_bias_away():
    post = sparse()
    found, J = hl.infer.centrality(post, level=0.8), post["posterior"]["J"].values.reshape(-1, 6)
    bonds = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert found["site"].values.tolist() == [*"abcd"] and "noise" not in found
    strength = np.array([[sum(abs(draw[k]) for k, pair in enumerate(bonds) if site in pair) for site in range(4)] for draw in J])
    influence = np.array([[sum(draw[k] for k, pair in enumerate(bonds) if site in pair) for site in range(4)] for draw in J])
    for name, draws in (("strength", strength), ("expected_influence", influence)):
        assert np.allclose(found[name].sel(quantity="mean"), draws.mean(0)) and np.allclose(
            found[name].sel(quantity="sd"), draws.std(0), rtol=1e-3
        )
        assert np.allclose(found[name].sel(quantity=["lower", "upper"]).T, np.quantile(draws, [0.1, 0.9], axis=0), atol=0.01)
    others = [np.delete(strength, site, axis=1).max(1) for site in range(4)]
    assert np.allclose(found["strongest"], [(strength[:, site] > others[site] + 1e-12).mean() for site in range(4)])
    none = hl.infer.centrality(learned(Pairwise(GRAPH, 0.0), 800, 5))  # nothing interacts: all of the strength is noise
    ratio = none["strength"].sel(quantity="mean") / none["noise"]
    assert bool((none["strength"].sel(quantity="lower") > 0).all()) and 1 < float(ratio.mean()) < 2
    assert bool((abs(none["expected_influence"].sel(quantity="mean")) < 4 * none["expected_influence"].sel(quantity="sd")).all())


def test_the_page_says_how_many_couplings_are_listed():
    post = learned(world(0), 800, 0)
    J = post["posterior"]["J"].values.reshape(-1, 28)
    p = np.sort([erfc(abs(one) / sqrt(2)) for one in J.mean(0) / J.std(0)])
    count = max(k + 1 for k in range(28) if p[k] <= 0.1 * (k + 1) / 28)
    assert f" {count} of 28 couplings are listed as there" in page(post).first.caption
    assert " 2 of 6 couplings are listed as there" in page(sparse()).first.caption
