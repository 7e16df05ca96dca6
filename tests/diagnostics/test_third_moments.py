"""Triplets beyond pairs: z of worlds of pairs are normal, and planted three-spin terms are found with their strength."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import third_moments
from statistics_budget import assert_within

N = 7
STATES = np.array(list(itertools.product([-1, 1], repeat=N)))


def rows(seed: int, K: float, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    action = STATES @ rng.normal(-0.3, 0.3, N) + K * STATES[:, 1] * STATES[:, 2] * STATES[:, 5]
    for i, j in itertools.combinations(range(N), 2):
        action = action + rng.normal(0.1, 0.4) * STATES[:, i] * STATES[:, j]
    return STATES[rng.choice(len(STATES), count, p=np.exp(action) / np.exp(action).sum())]


def learned(states: np.ndarray):
    data = hl.microstates(states, space="spins", independent=True)
    return hl.infer.learn(data, hl.models.Couplings(None), engine="laplace"), data


@pytest.mark.parametrize("others", [False, True])
def test_z_of_worlds_of_pairs_is_standard_normal(others):
    squares = []
    for seed in range(20):
        states = rows(seed, 0.0, 3000)
        post, data = learned(states[:1500])
        other = hl.microstates(states[1500:], space="spins", independent=True)  # errors of the fit must not enter
        squares.append(np.mean(hl.diagnostics.triplets(post, other if others else data)["z"] ** 2))
    assert_within(np.mean(squares), 1.0, np.std(squares, ddof=1) / np.sqrt(20), "mean of z²")


def test_a_planted_triple_is_found_with_its_strength_and_its_moments():
    states = rows(0, 0.2, 4000)
    table = hl.diagnostics.triplets(*learned(states), false_discovery_rate=0.01)
    first = table.loc[0]
    assert first[["site_i", "site_j", "site_k"]].tolist() == ["1", "2", "5"] and first["found"]
    assert abs(first["strength"] - 0.2) < 5 * first["strength_error"]  # to first order
    centred = states - states.mean(0)
    assert first["observed"] == pytest.approx((centred[:, 1] * centred[:, 2] * centred[:, 5]).mean(), rel=1e-9)
    assert len(table) == 35 and table["q_value"].is_monotonic_increasing


def test_walks_say_the_same_as_all_states(monkeypatch):
    post, data = learned(rows(1, 0.2, 3000))
    listed = hl.diagnostics.triplets(post, data)
    monkeypatch.setattr(third_moments, "_LISTED", 0)
    walked = hl.diagnostics.triplets(post, data)
    key = ["site_i", "site_j", "site_k"]
    both = listed.merge(walked, on=key, suffixes=("", "_walked"))
    change = both["strength_walked"] - both["strength"]
    # What 20 000 walks leave open, beside 3000 rows.
    error = np.sqrt(both["strength_error_walked"] ** 2 - 0.9 * both["strength_error"] ** 2)
    assert_within(change, 0.0, error, "strengths of triples")


def test_other_sites_are_asked_for_by_name_and_nonsense_is_refused():
    states = rows(2, 0.0, 1000)
    data = hl.microstates(states, space="spins", independent=True, names=list("abcdefg"))
    post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace")
    table = hl.diagnostics.triplets(post, data, sites=["a", "c", "d", "g"])
    assert len(table) == 4 and set(table["site_i"]) <= {"a", "c"}
    for sites, told in (([0, 1], "no triple"), (["x", "a", "b"], "names or numbers")):
        with pytest.raises(hl.HamlearnError, match=told):
            hl.diagnostics.triplets(post, data, sites=sites)


def test_triples_that_hardly_any_row_would_tell_of_are_not_tested():
    rng = np.random.default_rng(0)
    states = np.where(rng.random((4000, 4)) < [0.5, 0.5, 0.01, 0.01], 1, -1)
    table = hl.diagnostics.triplets(*learned(states))
    rare = table[(table["site_j"] == "2") & (table["site_k"] == "3")]
    assert rare["z"].isna().all() and not rare["found"].any() and rare.index.tolist() == [2, 3]
    assert table["z"][:2].notna().all()


def test_strengths_are_those_of_a_regression_over_all_states():
    post, data = learned(rows(3, 0.1, 1500))
    table, point = hl.diagnostics.triplets(post, data), post["point"].to_dataset()
    pairs = np.array(list(itertools.combinations(range(N), 2)))
    features = np.column_stack([np.ones(len(STATES)), STATES, STATES[:, pairs[:, 0]] * STATES[:, pairs[:, 1]]])
    p = np.exp(features[:, 1:] @ np.concatenate([point["h"].values, point["J"].values]))
    p /= p.sum()
    states = data["state"].values[0]
    observed = np.mean([(STATES == one).all(1) for one in states], 0)
    for _, row in table.dropna().iloc[[0, 5, 10]].iterrows():
        product = (STATES - states.mean(0))[:, [int(row[f"site_{end}"]) for end in "ijk"]].prod(1)
        taken = np.linalg.lstsq(features * np.sqrt(p)[:, None], product * np.sqrt(p), rcond=None)[0]
        left = product - features @ taken
        assert row["strength"] == pytest.approx((observed - p) @ left / (p @ left**2), rel=1e-5)
        assert row["strength_error"] == pytest.approx((1500 * (p @ left**2)) ** -0.5, rel=1e-5)


def test_the_verdict_names_the_triple_and_the_list_of_triplets():
    data = hl.microstates(rows(0, 0.4, 2000), space="spins", independent=True, names=list("abcdefg"))
    post = hl.learn(data, hl.models.Couplings(None), engine="laplace", seed=0)
    misfit = next(one for one in hl.verdict(post).reasons if one.code == "misfit")
    first = hl.diagnostics.triplets(post, data).iloc[0]
    assert f"the product of sites {first['site_i']}, {first['site_j']}, {first['site_k']} in held-out data" in misfit.what, misfit
    assert misfit.advice.startswith("hl.diagnostics.triplets(post, data) says which three spins"), misfit
