"""Lists of couplings: how many of them are false, over many data sets whose graphs are known."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
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
    chance = np.where(np.arange(28) < 7, 0.97, np.linspace(0.5, 0.05, 28))
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
