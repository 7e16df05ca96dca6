"""Entropies of data and the share of pairs, against distributions that are summed over states; basins against plain descents."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.special

import hamlearn as hl
from hamlearn.infer.entropies import entropy_of_counts
from hamlearn.infer.landscape import descended
from hamlearn.systems import Pairwise, exact, lattice
from statistics_budget import assert_within

N = 9
STATES = np.array(list(itertools.product([-1, 1], repeat=N)))
PAIRS = [(i, j) for i in range(N) for j in range(i + 1, N)]


def bits(p: np.ndarray) -> float:
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def tripled(seed: int, K: float) -> np.ndarray:
    """Probabilities of all states of a random world with two three-spin terms."""
    rng = np.random.default_rng(seed)
    action = STATES @ rng.normal(-0.3, 0.3, N) + K * (
        STATES[:, 0] * STATES[:, 1] * STATES[:, 2] + STATES[:, 3] * STATES[:, 4] * STATES[:, 5]
    )
    for i, j in PAIRS:
        action = action + rng.normal(0.05, 0.2) * STATES[:, i] * STATES[:, j]
    return np.exp(action) / np.exp(action).sum()


def share_of_pairs(p: np.ndarray) -> float:
    """With the distribution of largest entropy that has the same means of spins and pairs, by its dual."""
    features = np.concatenate([STATES, [[s[i] * s[j] for i, j in PAIRS] for s in STATES]], 1)
    up, wanted = p @ (STATES > 0), p @ features

    def dual(theta):
        log_z = scipy.special.logsumexp(features @ theta)
        return log_z - theta @ wanted, np.exp(features @ theta - log_z) @ features - wanted

    entropy = scipy.optimize.minimize(dual, np.zeros(features.shape[1]), jac=True, tol=1e-9).fun / np.log(2)
    alone = sum(bits(np.array([one, 1 - one])) for one in up)
    return float((alone - entropy) / (alone - bits(p)))


def learned(p: np.ndarray, rows: int, seed: int):
    states = STATES[np.random.default_rng(seed).choice(len(STATES), rows, p=p)]
    data = hl.microstates(states, space="spins", independent=True)
    return hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=seed), data


@pytest.mark.parametrize("K", [0.0, 0.25])
def test_entropies_and_the_share_of_pairs_are_within_their_errors(K):
    z, inside = [], []
    for seed in range(12):
        p = tripled(seed, K)
        found = hl.infer.information(*learned(p, 1500, seed), seed=seed)
        truth = {"data_entropy": bits(p), "share": share_of_pairs(p)}
        # The share of pairs alone is one, where estimates end too.
        z.append([(float(found[name][0]) - one) / float(found[name][1]) for name, one in truth.items() if K or name != "share"])
        inside += [float(found[name][2]) <= one <= float(found[name][3]) + 1e-9 for name, one in truth.items()]
        assert float(found["share"].max()) <= 1 and all(float(found[name].min()) >= 0 for name in found)
    assert_within(np.mean(z, 0), 0.0, 1.3 / np.sqrt(12), "entropy of the data and share, in their errors")
    assert np.mean(inside) > 0.7


def test_what_fits_take_off_entropies_is_put_back():
    """Against the mean of −log₂ p of the same rows, p the truth: fits lower it by half a parameter a row, χ²/2M."""
    states, rng, rows, sets, off = np.array(list(itertools.product([-1, 1], repeat=5))), np.random.default_rng(3), 150, 16, []
    pairs = np.triu(rng.normal(0, 0.3, (5, 5)), 1)
    action = states @ rng.normal(-0.2, 0.2, 5) + ((states @ pairs) * states).sum(1)
    p = np.exp(action) / np.exp(action).sum()
    up = p @ (states > 0)
    alone = np.where(states > 0, up, 1 - up).prod(1)
    for seed in range(sets):
        drawn = np.random.default_rng(seed).choice(32, rows, p=p)
        data = hl.microstates(states[drawn], space="spins", independent=True)
        found = hl.infer.information(hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=seed), data)
        off.append(
            [
                float(found["model_entropy"][0]) + np.log2(p[drawn]).mean(),
                float(found["independent_entropy"][0]) + np.log2(alone[drawn]).mean(),
            ]
        )
    for mean, parameters, what in zip(np.mean(off, 0), (15, 5), ("pairs", "independent spins"), strict=True):
        assert_within(mean, 0.0, np.sqrt(2 * parameters / sets) / (2 * rows * np.log(2)), what)


def test_counted_rows_say_the_same_as_rows_and_errors_know_of_time():
    post, data = learned(tripled(0, 0.0), 2000, 0)
    distinct, times = np.unique(data["state"].values[0], axis=0, return_counts=True)
    counted = hl.microstates(distinct, space="spins", counts=times)
    one, other = (hl.infer.information(post, each) for each in (data, counted))
    for name in ("independent_entropy", "model_entropy", "data_entropy"):
        assert float(one[name][0]) == pytest.approx(float(other[name][0]), rel=1e-9)
        assert 0.4 < float(one[name][1]) / float(other[name][1]) < 2.5
    repeated = hl.microstates(np.repeat(data["state"].values[0][:200], 10, axis=0), space="spins")  # in order of time
    slow = hl.infer.information(post, repeated)
    assert float(slow["data_entropy"][1]) > 1.4 * float(one["data_entropy"][1])
    # What is taken off is the error of the same estimate on the model's own rows: here it is too small.
    assert -0.2 < one.attrs["bias"] < 0 and 0 < one.attrs["unseen"] < 0.1
    assert float(one["data_entropy"][0]) == pytest.approx(entropy_of_counts(times) / np.log(2) - one.attrs["bias"], rel=1e-9)


def test_what_data_cannot_tell_is_untold_and_the_rest_remains(caplog):
    states = np.random.default_rng(0).choice([-1, 1], size=(300, 12))
    data = hl.microstates(states, space="spins", independent=True)
    post = hl.infer.learn(data, hl.models.Couplings(None), engine="map")
    found = hl.infer.information(post, data)
    assert "entropy of the data cannot be told" in found.attrs["untold"] and found.attrs["untold"] in caplog.text
    untold = {name for name, values in found.items() if np.isnan(values).all()}
    assert untold == {"data_entropy", "multi_information", "share"} and np.isnan(found.attrs["bias"])
    every = np.array(list(itertools.product([-1, 1], repeat=12)))
    i, j = np.triu_indices(12, 1)
    log_p = every @ post["point"]["h"].values + (every[:, i] * every[:, j]) @ post["point"]["J"].values
    log_p -= scipy.special.logsumexp(log_p)
    listed = -(np.exp(log_p) @ log_p) / np.log(2)
    corrected = listed + (78 - sum(hl.infer.posteriors.provenance_of(post).prior_share)) / (2 * 300 * np.log(2))  # Miller's
    np.testing.assert_allclose(found["model_entropy"][0], corrected, atol=0.005)
    alone, pairs, between = (found[name].values for name in ("independent_entropy", "model_entropy", "pair_information"))
    assert between[0] == max(alone[0] - pairs[0], 0) and np.isfinite(between).all()
    assert hl.infer.information(*learned(tripled(0, 0.0), 2000, 0)).attrs["untold"] == ""
    with pytest.raises(hl.HamlearnError, match="no numbers of times"):
        hl.infer.information(post, hl.microstates(states, space="spins", weights=np.full(300, 0.5)))
    with pytest.raises(hl.HamlearnError, match="microstates of 11 sites"):
        hl.infer.basins(post, hl.microstates(states[:, 1:], space="spins"))


def test_entropy_of_counts_is_that_of_what_they_were_drawn_from():
    p = np.random.default_rng(0).dirichlet(np.full(500, 0.3))
    draws = [np.random.default_rng(seed).multinomial(800, p) for seed in range(40)]
    found = np.array([entropy_of_counts(one) for one in draws])
    truth = -(p * np.log(p)).sum()
    plain = np.mean([-(n[n > 0] / 800 * np.log(n[n > 0] / 800)).sum() for n in draws])
    assert abs(found.mean() - truth) < 0.2 * abs(plain - truth)  # what counted shares alone are off by
    assert entropy_of_counts([4, 4]) == pytest.approx(sum(1 / k for k in range(4, 8)), rel=1e-9)  # Σ n/M Σ_{k=n}^{M−1} 1/k


def test_descents_end_where_a_loop_ends():
    rng = np.random.default_rng(1)
    J = np.triu(rng.normal(size=(N, N)), 1)
    J, h = J + J.T, rng.normal(0, 0.3, N)
    energy = lambda s: -0.5 * s @ J @ s - h @ s
    for start, end in zip(STATES, descended(STATES, J, h), strict=True):
        state = start.astype(float)
        while True:
            flips = [np.where(np.arange(N) == k, -state, state) for k in range(N)]
            best = min(flips, key=energy)
            if energy(best) >= energy(state):
                break
            state = best
        assert state.tolist() == end.tolist()


def test_basins_of_planted_states_hold_the_rows_near_them():
    rng = np.random.default_rng(2)
    planted = rng.choice([-1, 1], size=(2, 12))
    graph = lattice.complete(12)
    i, j = graph.bonds.T
    world = Pairwise(graph, 0.15 * (planted[:, i] * planted[:, j]).sum(0), 0.0)
    data = hl.microstates(exact.sample(world, 1.0, 4000, seed=0), space="spins", independent=True, names=[*"abcdefghijkl"])
    found = hl.infer.basins(hl.infer.learn(data, hl.models.Couplings(None), engine="laplace"), data, draws=10)
    four = {tuple(sign * one) for one in planted for sign in (1, -1)}
    assert {tuple(one) for one in found["state"].values[:4]} == four and found["site"].values[0] == "a"
    assert found["weight"].sum() == pytest.approx(1) and np.all(np.diff(found["weight"]) <= 0)
    first = found.isel(basin=0)
    assert first["maximum"] == 1 and first["weight_lower"] <= first["weight"] <= first["weight_upper"]
    assert 0 < first["weight_error"] < 0.02
    states = found["state"].values[0]
    assert first["energy"] == pytest.approx(float(world.energy(states)), rel=0.1)


def test_one_state_that_was_seen_once_adds_no_warning():
    with np.errstate(divide="raise"):
        assert entropy_of_counts([50, 30, 1]) > 0
