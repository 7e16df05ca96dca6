"""Learning sparse cluster expansions: likelihood against brute force, selection of the true terms, the closed loop."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.data import build
from hamlearn.errors import HamlearnError
from hamlearn.infer import observations, posteriors
from hamlearn.infer.families import terms
from hamlearn.infer.likelihoods.terms import TermLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.predictions import members, shared, simulated
from hamlearn.infer.predictions.work import Work
from hamlearn.models import ClusterExpansion
from hamlearn.systems import SPINS, InteractionTables, Ising, Pairwise, exact
from hamlearn.systems.observables import looked_up
from statistics_budget import assert_within

CASES = {
    "translation": (ClusterExpansion(window=2), (3, 4)),
    "3x3": (ClusterExpansion(window=3), (5, 5)),
    "site": (ClusterExpansion(window=2, tie="site"), (3, 3)),
    "chain": (ClusterExpansion(window=3), (5,)),
}


def some_part(shape, rows=40, beta=0.7, seed=0):
    generator = np.random.default_rng(seed)
    states = generator.integers(2, size=(2, rows // 2, int(np.prod(shape)))).astype(np.int8)
    weight = generator.integers(1, 4, size=states.shape[:2]).astype(float)
    return Observations(states, weight, False, beta, True)


def brute(bound, part, theta, sites):
    """Σ log p(σ_i | rest) from energy differences of the system itself."""
    system, total = bound.system(theta), 0.0
    spins = 2 * part.states.reshape(-1, bound.n_sites) - 1
    for row, weight in zip(spins, part.weight.ravel(), strict=True):
        for site in sites:
            flipped = row.copy()
            flipped[site] *= -1
            cost = float(system.energy(flipped) - system.energy(row))
            total -= weight * np.log1p(np.exp(-part.beta * cost))
    return total


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_objective_is_the_conditional_probability_of_energy_differences(name, compress):
    model, shape = CASES[name]
    bound, part = model.bind(SPINS, shape), some_part(shape)
    chosen = np.arange(0, bound.n_params, 1 if bound.n_params < 100 else 37)
    sites = np.array([0, bound.n_sites - 1, 2])
    likelihood = TermLikelihood(bound, [part], chosen, sites, compress=compress)
    theta = np.random.default_rng(1).normal(size=len(chosen)) / 3
    full = np.zeros(bound.n_params)
    full[chosen] = theta
    assert likelihood.value_and_gradient(theta)[0] == pytest.approx(brute(bound, part, full, sites), rel=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_finite_differences(name):
    model, shape = CASES[name]
    bound, parts = model.bind(SPINS, shape), [some_part(shape), some_part(shape, beta=0.4, seed=1)]
    chosen = np.arange(0, bound.n_params, 1 if bound.n_params < 40 else 11)
    likelihood = TermLikelihood(bound, parts, chosen, np.arange(bound.n_sites), compress=True)
    theta, p = np.random.default_rng(2).normal(size=len(chosen)) / 4, len(chosen)
    _, gradient, diagonal = likelihood.moments(theta)
    information = likelihood.information(theta)
    np.testing.assert_allclose(np.diag(information), diagonal, rtol=1e-9)
    np.testing.assert_allclose(
        likelihood.information(theta, columns=np.array([p - 1, 0])), information[:, [p - 1, 0]], rtol=1e-9, atol=1e-9
    )
    step = 1e-5
    for k in range(0, p, max(1, p // 5)):
        moved = [likelihood.value_and_gradient(theta + sign * step * np.eye(p)[k]) for sign in (1, -1)]
        assert gradient[k] == pytest.approx((moved[0][0] - moved[1][0]) / (2 * step), rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(-information[k], (moved[0][1] - moved[1][1]) / (2 * step), rtol=1e-5, atol=1e-4)
    scores = likelihood.row_scores(theta)
    total = sum(part.weight.ravel() @ scores(part, part.states.reshape(-1, bound.n_sites)) for part in parts)
    np.testing.assert_allclose(total, gradient, rtol=1e-9, atol=1e-9)


def test_a_restricted_likelihood_is_the_same_with_other_terms_absent():
    bound, part = CASES["3x3"][0].bind(SPINS, (5, 5)), some_part((5, 5))
    whole = TermLikelihood(bound, [part], np.arange(400), np.array([3, 7]), compress=False)
    active = np.array([2, 50, 399])
    small, theta = whole.restricted(active), np.array([0.3, -0.2, 0.1])
    full = np.zeros(400)
    full[active] = theta
    assert small.value_and_gradient(theta)[0] == pytest.approx(whole.value_and_gradient(full)[0])
    np.testing.assert_allclose(small.information(theta), whole.information(full)[np.ix_(active, active)], rtol=1e-5)
    rows = part.states.reshape(-1, 25)
    np.testing.assert_allclose(small.row_scores(theta)(part, rows), whole.row_scores(full)(part, rows)[:, active])


def exact_data(system, beta, draws, seed=0):
    states = exact.sample(system, beta, draws, seed=seed)
    return build(states[None], beta=beta, space=system.space, lattice=system.lattice, attrs={"independent": 1})


def selected(post):
    probability = post["posterior"]["included"].mean(("chain", "draw"))
    return {str(name) for name in probability["term"].values[probability.values > 0.5]}


NEAREST = {"σ(0,0)σ(0,1)", "σ(0,0)σ(1,0)"}


def test_exactly_the_two_true_terms_are_selected_out_of_400():
    data = hl.simulate(Ising((8, 8)), beta=0.4, draws=1500, chains=4, seed=1, sampler="swendsen_wang", thin=3)
    post = hl.learn(data, ClusterExpansion(window=3), likelihood="pseudo", seed=2, check=False)
    assert selected(post) == NEAREST
    K = post["posterior"]["K"].sel(term=sorted(NEAREST))
    assert_within(K.mean(("chain", "draw")), 1.0, K.std(("chain", "draw")), "strengths of the true terms")
    larger = hl.infer.families.of(post).draw_systems(post, 3, 0, (12, 16))
    assert all(one.lattice.shape == (12, 16) for one in larger)
    assert hl.energy(post, np.ones((2, 8, 8)), draws=4).shape == (4, 2)


def repeated(times, rows=600, seed=0):
    """Two chains of independent 5×5 states, every one of them observed `times` times in a row."""
    system = Ising((5, 5))
    states = exact.sample(system, 0.4, rows, seed=seed).reshape(2, rows // 2, 5, 5)
    return hl.microstates(np.repeat(states, times, axis=1), beta=0.4, dims=("chain", "draw", "x", "y"))


def test_the_search_counts_independent_microstates_only():
    """Each state fifty times over: as many observations as 30000 states, whose chance correlations would all be terms."""
    data = repeated(50)
    bound, parts, _ = observations.bind(data, ClusterExpansion(window=3))
    whole, sites = np.arange(bound.n_params), np.arange(0, 25, 7)
    likelihood = TermLikelihood(bound, parts, whole, sites, compress=True)
    naive, _ = terms.climb(likelihood, bound.log_odds, 1.0, whole[:0], most=16)
    tempered, steps = terms.tempered_climb(likelihood, bound.log_odds, 1.0, whole[:0])
    assert np.count_nonzero(naive) > 8
    assert set(np.flatnonzero(tempered)) == {1, 2}
    assert steps < 16


def test_repeated_draws_are_left_out_and_named():
    """What is left out says nothing: the posterior is that of the data without it, and knows what they are worth."""
    few, many = (hl.infer.learn(repeated(times), ClusterExpansion(window=2), likelihood="pseudo", seed=0) for times in (16, 64))
    assert selected(few) == selected(many)
    for one, times in ((few, 16), (many, 64)):
        record = posteriors.provenance_of(one)
        assert any("one draw in" in reason for reason in record.reasons)
        assert record.microstates == 600 * times
        assert record.calibration.ess == pytest.approx(600, rel=0.5)
        assert record.calibration.tau == pytest.approx(times, rel=0.5)
    widths = [float(one["posterior"]["K"].sel(term="σ(0,0)σ(0,1)").std()) for one in (few, many)]
    assert widths[0] == pytest.approx(widths[1], rel=0.3)


@pytest.mark.slow  # compiles the transfer matrix of 8×8 and its derivatives
def test_strengths_of_pairs_come_from_the_exact_likelihood():
    post = hl.learn(exact_data(Ising((8, 8)), 0.4407, 5000, seed=1), ClusterExpansion(window=3), seed=2, check=False)
    assert selected(post) == NEAREST
    assert any("exact likelihood (transfer)" in reason for reason in hl.infer.posteriors.provenance_of(post).reasons)
    K = post["posterior"]["K"].sel(term=sorted(NEAREST))
    spread = K.std(("chain", "draw"))
    assert_within(K.mean(("chain", "draw")), 1.0, spread, "strengths from the exact likelihood")
    rough = hl.learn(exact_data(Ising((8, 8)), 0.4407, 5000, seed=1), ClusterExpansion(window=3), likelihood="pseudo", seed=2, check=False)
    # The energy scale, their sum, is where the exact likelihood knows more.
    both = [one["posterior"]["K"].sel(term=sorted(NEAREST)).sum("term").std(("chain", "draw")) for one in (post, rough)]
    assert float(both[0]) < 0.9 * float(both[1])


def test_pairs_and_fields_are_refined_by_enumeration():
    data = exact_data(Ising((3, 3), h=0.3), 0.5, 4000, seed=4)
    post = hl.learn(data, ClusterExpansion(window=2), likelihood="exact", seed=1, check=False)
    assert selected(post) == {"σ(0,0)", *NEAREST}
    K = post["posterior"]["K"].sel(term=["σ(0,0)", *sorted(NEAREST)])
    assert_within(K.mean(("chain", "draw")), [0.3, 1.0, 1.0], K.std(("chain", "draw")), "strengths of pairs and a field")
    tied = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields="uniform")
    reference = hl.learn(data, tied, likelihood="exact", engine="mle", check=False)["point"]
    assert float(post["point"]["K"].sel(term=sorted(NEAREST)).mean()) == pytest.approx(float(reference["J"][0]), abs=3e-3)
    assert all(isinstance(one, Pairwise) for one in hl.draw_systems(post, 4)) or (post["posterior"]["included"].sum("term") > 3).any()


def _plaquette(shape, pair, four):
    bound = ClusterExpansion(window=2).bind(SPINS, shape)
    theta = np.zeros(bound.n_params)
    for name, value in (("σ(0,0)σ(0,1)", pair), ("σ(0,0)σ(0,1)σ(1,0)σ(1,1)", four)):
        theta[bound.parameter_names.index(name)] = value
    return bound.system(theta)


def test_a_four_spin_term_is_found_and_learned_without_pairs_in_disguise():
    system = _plaquette((4, 4), 0.4, 0.5)
    assert isinstance(system, InteractionTables)
    data = exact_data(system, 0.6, 4000, seed=3)
    post = hl.learn(data, ClusterExpansion(window=2), seed=1, check=False)
    assert selected(post) == {"σ(0,0)σ(0,1)", "σ(0,0)σ(0,1)σ(1,0)σ(1,1)"}
    K = post["posterior"]["K"].sel(term=["σ(0,0)σ(0,1)", "σ(0,0)σ(0,1)σ(1,0)σ(1,1)"])
    assert_within(K.mean(("chain", "draw")), [0.4, 0.5], K.std(("chain", "draw")), "strengths with a four-spin term")


def test_site_resolved_terms_follow_a_glass():
    system = hl.systems.EdwardsAnderson((3, 4), seed=2)
    post = hl.learn(exact_data(system, 0.6, 6000, seed=1), ClusterExpansion(window=2, tie="site"), seed=1, check=False)
    assert len(selected(post)) <= system.lattice.n_bonds + 1
    states = np.random.default_rng(0).choice([-1, 1], (200, 3, 4))
    learned = np.asarray(hl.energy(post, states, draws=64)).mean(0)
    truth = np.asarray(system.energy(states))
    error = (learned - learned.mean()) - (truth - truth.mean())
    assert np.sqrt((error**2).mean()) < 0.15 * truth.std()


def test_the_loop_with_a_four_spin_term(tmp_path):
    system = _plaquette((4, 4), 0.4, 0.5)
    data = hl.simulate(system, beta=0.6, draws=1500, chains=2, seed=1)
    post = hl.learn(data, ClusterExpansion(window=2), seed=2)
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    np.testing.assert_array_equal(loaded["posterior"]["K"], post["posterior"]["K"])
    assert str(hl.verdict(loaded)) == str(hl.verdict(post))
    member = hl.draw_systems(loaded, 2, seed=3)[0]
    assert isinstance(member, InteractionTables)
    assert hl.simulate(member, beta=0.5, draws=20, chains=2, seed=4)["state"].shape == (2, 20, 4, 4)
    curve = hl.predict(loaded, beta=[0.3, 0.6], draws=16, seed=5)
    known = exact.thermodynamics(system, [0.3, 0.6])["energy"].values
    energy = curve["energy"]
    width = np.hypot(energy.sel(quantity="sd"), energy.sel(quantity="mc_error"))
    assert_within(energy.sel(quantity="mean"), known, width, "energy predicted from tiles")
    elsewhere = hl.predict(loaded, beta=[0.4], shape=(6, 6), observables=["energy", "free_energy"], draws=4, seed=1)
    assert "tempering" in elsewhere["energy"].attrs["method"]
    assert "<html" in hl.report(loaded, tmp_path / "report.html", prediction=curve).read_text()


def test_too_little_data_and_wrong_kinds_are_refused():
    data = hl.microstates(np.random.default_rng(1).choice([-1, 1], (60, 8, 8)), beta=0.3)
    with pytest.raises(HamlearnError, match="cannot tell 400 candidate terms apart"):
        hl.learn(data.isel(draw=slice(0, 20)), ClusterExpansion(window=3))
    with pytest.raises(HamlearnError, match="spike-and-slab"):
        hl.learn(data, ClusterExpansion(window=2), engine="nuts")
    with pytest.raises(HamlearnError, match="likelihood of ClusterExpansion"):
        hl.learn(data, ClusterExpansion(window=2), likelihood="rise")
    generator = np.random.default_rng(0)
    square = hl.microstates(generator.choice([-1, 1], (200, 4, 4)), beta=0.3)
    with pytest.raises(HamlearnError, match="wrap around"):
        hl.learn(square, ClusterExpansion(window=3))
    with pytest.raises(HamlearnError, match="±1 spins"):
        hl.learn(hl.microstates(generator.integers(3, size=(200, 4, 4)), space="states", beta=0.3), ClusterExpansion(window=2))
    with pytest.raises(HamlearnError, match="open one"):
        hl.learn(square.assign_attrs(system=json.dumps(Ising((4, 4), periodic=False).to_dict())), ClusterExpansion(window=2))


@pytest.mark.parametrize("collapsed", [False, True])
def test_gibbs_follows_the_posterior_of_a_normal_surrogate(collapsed):
    """Two terms with a correlated likelihood: inclusion probabilities against the sum over the four models."""
    precision, linear, log_odds, tau = np.array([[6.0, 4.0], [4.0, 5.0]]), np.array([4.0, 2.5]), np.array([-1.0, -0.5]), 1.0
    weight = {}
    for model in ((), (0,), (1,), (0, 1)):
        index = list(model)
        Q, b = precision[np.ix_(index, index)] + tau * np.eye(len(index)), linear[index]
        log = log_odds[index].sum() + 0.5 * len(index) * np.log(tau) - 0.5 * np.linalg.slogdet(Q)[1] + 0.5 * b @ np.linalg.solve(Q, b)
        weight[model] = np.exp(log)
    total = sum(weight.values())
    expected = [sum(w for model, w in weight.items() if k in model) / total for k in range(2)]
    counts = (np.zeros(2), 40000, 100, 3)
    if collapsed:
        kept = terms._collapsed_sweeps(precision, linear, log_odds, tau, *counts, 1)
    else:
        kept = terms._sweeps(precision, linear, log_odds, tau, *counts, np.random.default_rng(1))
    found, blocks = (kept != 0).mean(0), (kept != 0).reshape(40, -1, 2).mean(1)
    assert_within(found, expected, blocks.std(0, ddof=1) / np.sqrt(40), "inclusion probabilities")


def test_members_of_several_kinds_are_predicted_together():
    ising, spins = Ising((3, 3), J=0.8), 2 * ((np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1) - 1
    tiles = InteractionTables((3, 3), 2, -0.9 * spins[:, 0] * (spins[:, 1] + spins[:, 2]))
    found = members.estimate([ising, tiles, Ising((3, 3), J=1.0)], np.array([0.3, 0.6]), looked_up(["energy", "entropy"], ising), seed=0)
    for row, J in enumerate((0.8, 0.9, 1.0)):
        known = exact.thermodynamics(Ising((3, 3), J=J), [0.3, 0.6])
        for name in ("energy", "entropy"):
            np.testing.assert_allclose(found[name].values[row], known[name], rtol=1e-9)
    assert "2 members" in found["energy"].method and "1 members" in found["energy"].method


def test_ferromagnets_are_simulated_by_clusters():
    system, betas = Ising((4, 4)), np.array([0.3, 0.44])
    names = ["energy", "heat_capacity", "abs_magnetization", "correlation"]
    found = simulated.from_clusters([system], betas, looked_up(names, system), seed=1, work=Work())
    known, moments = exact.thermodynamics(system, betas), exact.moments(system, betas)
    truth = [known["energy"].values, known["heat_capacity"].values, moments["absolute_magnetization"].values]
    values, errors = ([getattr(found[name], part)[0] for name in names[:3]] for part in ("values", "errors"))
    assert_within(np.array(values), np.array(truth), 1.5 * np.array(errors), "cluster predictions")  # errors of 8 chains: t tails
    assert found["correlation"].values.shape == (1, 2, 3)


def test_close_members_are_reweighted_from_one_simulation():
    couplings, betas = (0.99, 1.0, 1.015), np.array([0.3, 0.44])
    names = ["energy", "heat_capacity", "abs_magnetization", "susceptibility"]
    found = shared.reweighted([Ising((4, 4), J=J) for J in couplings], betas, looked_up(names, Ising((4, 4))), seed=1, work=Work())
    assert found is not None
    for name in names[:3]:
        truth = []
        for J in couplings:
            system = Ising((4, 4), J=J)
            known, moments = exact.thermodynamics(system, betas), exact.moments(system, betas)
            truth.append(moments["absolute_magnetization"].values if name == "abs_magnetization" else known[name].values)
        one, truth = found[name], np.array(truth)
        assert_within(one.values.mean(0), truth.mean(0), 1.5 * one.shared, f"{name} of all members")  # errors of 8 chains: t tails
        assert_within(one.values - one.values.mean(0), truth - truth.mean(0), 1.5 * one.errors + 1e-12, f"{name}: differences of members")
        assert np.all(one.errors < 0.3 * one.shared)
    assert shared.reweighted([Ising((8, 8), J=J) for J in (0.7, 1.3)], betas, looked_up(names, Ising((8, 8))), seed=1, work=Work()) is None
