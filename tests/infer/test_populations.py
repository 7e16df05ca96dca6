"""What is asked of populations of spins, against plain sums over all states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.predictions import annealed, members, redrawn
from hamlearn.infer.predictions.work import Work
from hamlearn.models import Normal
from hamlearn.systems import SPINS, Pairwise, lattice
from hamlearn.systems.observables import looked_up
from statistics_budget import assert_within, spend, z_limit

NAMES = ["entropy_bits", "multi_information", "count_distribution"]


def neurons(n: int, seed: int) -> Pairwise:
    """All pairs, most spins down."""
    rng, graph = np.random.default_rng(seed), lattice.complete(n)
    return Pairwise(graph, rng.normal(0.05, 0.15, graph.n_bonds), rng.normal(-0.8, 0.3, n))


def listed(system: Pairwise, beta: float) -> dict[str, np.ndarray]:
    """The same by sums over all states, one after the other."""
    n, weights, up = system.lattice.n_sites, [], []
    for state in itertools.product([-1, 1], repeat=n):
        action = sum(J * state[i] * state[j] for J, (i, j) in zip(system.J, system.lattice.bonds, strict=True)) + np.dot(system.h, state)
        weights.append(beta * action)
        up.append([one > 0 for one in state])
    p, up = np.exp(weights), np.array(up, float)
    log_z, p = np.log(p.sum()), p / p.sum()
    entropy, mean = -(p * np.log2(p)).sum(), p @ up
    alone = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean)).sum()
    counts = np.array([p[up.sum(1) == k].sum() for k in range(n + 1)])
    return {"entropy_bits": entropy, "multi_information": alone - entropy, "count_distribution": counts, "log_z": log_z, "states": p}


def test_populations_are_those_of_a_plain_sum_over_states():
    system, betas = neurons(7, 0), np.array([0.5, 1.0])
    found = members.estimate([system], betas, looked_up(NAMES, system), 0)
    for k, beta in enumerate(betas):
        truth = listed(system, beta)
        for name in NAMES:
            np.testing.assert_allclose(found[name].values[0, k], truth[name], rtol=1e-9, atol=1e-12)
    assert found["multi_information"].method == "exact (enumeration)"


def test_annealed_walks_agree_with_it_within_their_errors():
    system, betas = neurons(9, 1), np.array([0.6, 1.0])
    found = annealed.from_walks([system], betas, looked_up([*NAMES, "free_energy"], system), 0, Work())
    assert found["free_energy"].method.startswith("estimated: 512 annealed walks")
    assert np.all(found["free_energy"].share > 0.9)
    for k, beta in enumerate(betas):
        truth = listed(system, beta)
        for name in NAMES[:2]:
            assert_within(found[name].values[0, k], truth[name], found[name].errors[0, k], name)
        assert_within(found["free_energy"].values[0, k], -truth["log_z"] / (9 * beta), found["free_energy"].errors[0, k], "free energy")
        likely = truth["count_distribution"] > 0.02
        here = (one[0, k][likely] for one in (found["count_distribution"].values, found["count_distribution"].errors))
        assert_within(next(here), truth["count_distribution"][likely], next(here), "P(K)")


def test_members_that_are_close_share_walks_and_others_have_their_own():
    for scatter, told in ((0.02, "reweighted to every member"), (0.6, "a member")):
        world = neurons(6, 2)
        systems = [Pairwise(world.lattice, world.J + shift * scatter, world.h) for shift in (0.0, 1.0, -1.0)]
        found = annealed.from_walks(systems, np.array([1.0]), looked_up(["entropy_bits"], systems[0]), 0, Work())["entropy_bits"]
        assert told in found.method
        shared = 0.0 if found.shared is None else found.shared[0]
        truth = [listed(one, 1.0)["entropy_bits"] for one in systems]
        assert_within(found.values[:, 0], truth, np.hypot(found.errors[:, 0], shared), f"entropy, {told}")


def test_a_posterior_of_many_neurons_has_an_entropy_with_its_error_and_share():
    graph = lattice.complete(22)
    rng = np.random.default_rng(5)
    world = Pairwise(graph, rng.normal(0.02, 0.06, graph.n_bonds), rng.normal(-0.9, 0.2, 22))
    data = hl.simulate(world, beta=1.0, draws=500, chains=4, seed=0)
    post = hl.infer.learn(data, hl.models.Couplings(None), likelihood="pseudo", engine="laplace")
    curve = hl.infer.predict(post, 1.0, observables=NAMES, draws=8)
    told = curve["entropy_bits"]
    assert told.attrs["method"].startswith("estimated") and float(told.sel(quantity="mc_error")[0]) > 0
    assert curve["count_distribution"].dims == ("beta", "quantity", "up") and float(curve["predicted_ess"][0]) > 0.5
    assert "warning" not in curve.attrs
    counted = hl.infer.measured(post, data, ["count_distribution"])["count_distribution"]
    direct = np.bincount((data["state"].values.reshape(-1, 22) > 0).sum(1), minlength=23) / 2000
    np.testing.assert_allclose(counted.sel(quantity="mean")[0], direct, atol=1e-12)


def test_glasses_that_walks_cannot_follow_say_so():
    graph = lattice.complete(24)
    cold = Pairwise(graph, np.random.default_rng(0).normal(size=graph.n_bonds) * 4.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annealed, "MOST_UPDATES", 1)  # no longer walks
        found = members.estimate([cold], np.array([1.0]), looked_up(["free_energy"], cold), 0)["free_energy"]
    assert found.share is not None and found.share[0] < 0.5


def test_pairs_that_never_fire_together_do_not_shift_what_is_told_of_the_population():
    """A prior decides their couplings, and normal draws around the mode make triples far too frequent: by 1.5 of their scatter."""
    n, count, sets, off, held = 8, 400, 16, [], []
    states = np.array(list(itertools.product([-1, 1], repeat=n)))
    for seed in range(sets):
        rng, graph = np.random.default_rng(seed), lattice.complete(n)
        world = Pairwise(graph, rng.normal(0.05, 0.15, graph.n_bonds), rng.normal(-1.1, 0.3, n))
        p = listed(world, 1.0)["states"]
        data = hl.microstates(states[rng.choice(len(p), count, p=p)], space="spins", independent=True)
        post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=seed)
        told, truth = hl.infer.predict(post, 1.0, observables=NAMES, draws=24, seed=seed).isel(beta=0), listed(world, 1.0)
        mean, low, high = (told["count_distribution"].sel(quantity=one).values for one in ("mean", "lower", "upper"))
        fired = truth["count_distribution"]
        off.append([*(float(told[name].sel(quantity="mean")) - truth[name] for name in NAMES[:2]), *(mean - fired)[2:4]])
        held.append(np.mean(((low <= fired) & (fired <= high))[count * fired >= 5]))
    assert_within(np.mean(off, 0), 0.0, np.std(off, 0, ddof=1) / np.sqrt(sets), "entropy, multi-information, P(2) and P(3)")
    spend()
    assert np.mean(held) > 0.9 - z_limit() * np.std(held, ddof=1) / np.sqrt(sets), "P(K)"


def test_entropies_by_the_pseudo_likelihood_are_centred_and_no_wider_than_they_scatter():
    """Of 36 parameters from 400 rows they are too low by 0.08 bits (p/M is 0.13), more than their scatter; half a band of 2p/M is 0.43."""
    n, count, sets, off, widths, held = 8, 400, 16, [], [], []
    states = np.array(list(itertools.product([-1, 1], repeat=n)))
    for seed in range(sets):
        rng, graph = np.random.default_rng(seed), lattice.complete(n)
        world = Pairwise(graph, rng.normal(0.0, 0.3, graph.n_bonds), rng.normal(0.0, 0.1, n))
        truth = listed(world, 1.0)
        data = hl.microstates(states[rng.choice(len(states), count, p=truth["states"])], space="spins", independent=True)
        post = hl.infer.learn(data, hl.models.Couplings(None), likelihood="pseudo", engine="laplace", seed=seed)
        told = hl.infer.predict(post, 1.0, observables=NAMES[:2], draws=24, seed=seed).isel(beta=0)
        assert told["entropy_bits"].attrs["centred"]
        ends = np.array([told[name].sel(quantity=["mean", "lower", "upper"]) - truth[name] for name in NAMES[:2]])
        off.append(ends[:, 0])
        widths.append(ends[:, 2] - ends[:, 1])
        held.append((ends[:, 1] <= 0) & (ends[:, 2] >= 0))
    scatter = np.std(off, 0, ddof=1)
    assert_within(np.mean(off, 0), 0.0, scatter / np.sqrt(sets), "entropy and multi-information")
    assert np.all(np.mean(widths, 0) < 0.6) and np.mean(held) > 0.8  # 0.9 and more by 2p/M


def test_refits_to_drawn_rows_without_noise_are_the_fit_and_noise_moves_them_as_data_would():
    """Second differences are wanted: what noise moves in the first order must cancel in a pair, and be as large as sampling's."""
    graph = lattice.complete(6)
    bound = hl.models.Couplings(graph).bind(SPINS, (6,))
    theta, rows = np.random.default_rng(0).normal(0.0, 0.2, bound.n_params), 1000
    (fit, pulled), pairs = redrawn.refitted(bound, theta, None, [1.0], [rows], 0.3, 8, 0)
    np.testing.assert_allclose(pulled, theta, atol=1e-7)
    np.testing.assert_array_equal(fit, theta)
    moved = np.array([(up - down) / 2 for up, down in pairs]) / 0.3
    bent = np.array([(up + down) / 2 - theta for up, down in pairs])
    states = np.array(list(itertools.product([-1, 1], repeat=6)))
    i, j = np.triu_indices(6, 1)
    features = np.concatenate([states[:, i] * states[:, j], states], 1)
    p = np.exp(features @ theta)
    p /= p.sum()
    centred = features - p @ features
    least = np.diag(np.linalg.inv((centred.T * p) @ centred)) / rows  # the Cramér–Rao bound
    ratio = (moved**2).mean(0) / least
    assert 0.8 < ratio.mean() < 1.4  # of 168 squares; pairs lose little against the bound here
    assert np.abs(bent).max() < 0.2 * np.abs(moved).max()
    (_, pulled), _ = redrawn.refitted(bound, theta, Normal(0.02), [1.0], [rows], 0.3, 1, 0)
    assert np.abs(pulled).sum() < 0.5 * np.abs(theta).sum()
