"""Likelihoods of microstates with missing cells, against sums over completions written out here."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import pytest
from infer import oracles
from infer.test_likelihoods import FAMILIES, data_sets
from scipy.stats import chisquare

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import augmented, incomplete, posteriors
from hamlearn.infer.completions import SWEEPS, Completions, completed
from hamlearn.infer.likelihoods import ExactLikelihood, PatternLikelihood
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood
from hamlearn.infer.observations import bind, frozen_sites
from hamlearn.infer.replicates import replicated
from hamlearn.models import Couplings
from hamlearn.spaces import MISSING
from hamlearn.systems import lattice
from statistics_budget import assert_within, spend

EVERY = pytest.mark.parametrize("family", ["spins, lattice", "spins, all pairs", "spins, tied", "clock", "potts", "general"])


def holed(data, share, seed=0):
    """Cells missing at random, never a whole row."""
    rng, state = np.random.default_rng(seed), data["state"].values.copy()
    gone = rng.random(state.shape) < share
    flat = gone.reshape(-1, int(np.prod(state.shape[2:])))
    flat[flat.all(1), 0] = False
    state[gone] = MISSING
    return data.assign(state=(data["state"].dims, state, data["state"].attrs))


def setting(family, share=0.35):
    make, shape, q = FAMILIES[family]
    bound, parts, _ = bind([holed(one, share, number) for number, one in enumerate(data_sets(shape, q))], make())
    return bound, parts, 0.4 * np.random.default_rng(1).normal(size=bound.n_params)


def fillings(state, q):
    """Every way to fill in what is missing of a row."""
    gone = [site for site, value in enumerate(state) if value < 0]
    for values in itertools.product(range(q), repeat=len(gone)):
        yield [values[gone.index(site)] if site in gone else value for site, value in enumerate(state)]


def rows_of(part):
    return zip(part.states.reshape(-1, part.states.shape[-1]).tolist(), part.weight.ravel().tolist(), strict=True)


def plain_marginal(bound, parts, theta):
    every = list(itertools.product(range(bound.space.q), repeat=bound.lattice.n_sites))
    total = 0.0
    for part in parts:
        log_z = math.log(sum(math.exp(part.beta * oracles.minus_energy(bound, theta, state)) for state in every))
        for state, weight in rows_of(part):
            terms = [math.exp(part.beta * oracles.minus_energy(bound, theta, one)) for one in fillings(state, bound.space.q)]
            total += weight * (math.log(sum(terms)) - log_z)
    return total


@EVERY
def test_the_exact_likelihood_sums_over_completions(family):
    bound, parts, theta = setting(family)
    found = MarginalLikelihood(bound, parts)
    value, gradient = found.value_and_gradient(theta)
    np.testing.assert_allclose(value, plain_marginal(bound, parts, theta), rtol=1e-10)
    np.testing.assert_allclose(gradient, oracles.numerical_gradient(lambda at: found.value_and_gradient(at)[0], theta), atol=2e-6)
    step = 1e-5 * np.eye(len(theta))
    slopes = [(found.value_and_gradient(theta + one)[1] - found.value_and_gradient(theta - one)[1]) / 2e-5 for one in step]
    np.testing.assert_allclose(found.information(theta), -np.array(slopes), atol=1e-5)
    scores = found.row_scores(theta)
    total = sum(part.weight.ravel() @ scores(part, part.states.reshape(-1, part.states.shape[-1])) for part in parts)
    np.testing.assert_allclose(total, gradient, atol=1e-9)
    with jax.enable_x64(True):
        function, arrays = found.jax_log_density()
        np.testing.assert_allclose(jax.jit(function)(theta, arrays), value, rtol=1e-12)


def test_complete_data_have_the_very_same_exact_likelihood():
    make, shape, q = FAMILIES["spins, all pairs"]
    bound, parts, _ = bind(data_sets(shape, q), make())
    theta = 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    exact, marginal = ExactLikelihood(bound, parts), MarginalLikelihood(bound, parts)
    np.testing.assert_allclose(marginal.value_and_gradient(theta)[1], exact.value_and_gradient(theta)[1], rtol=1e-13)
    np.testing.assert_array_equal(marginal.information(theta), exact.information(theta))


@EVERY
@pytest.mark.parametrize("name", ["pseudo", "rise", "logrise"])
def test_conditionals_are_those_of_sites_seen_with_all_their_neighbours(family, name):
    bound, parts, theta = setting(family, 0.2)
    J, h = bound.values(theta)
    near = [sorted({int(one) for bond in bound.lattice.bonds if site in bond for one in bond}) for site in range(bound.lattice.n_sites)]
    value, screened, size = 0.0, np.zeros(bound.lattice.n_sites), np.zeros(bound.lattice.n_sites)
    for part in parts:
        for state, weight in rows_of(part):
            for site in range(bound.lattice.n_sites):
                if min([state[one] for one in near[site]] + [state[site]]) < 0:
                    continue
                filled = [max(one, 0) for one in state]  # what else is missing has no bond to this site
                local = [part.beta * one for one in oracles.local_log_weights(bound, J, h, filled, site)]
                value += weight * (local[state[site]] - math.log(sum(map(math.exp, local))))
                screened[site] += weight * math.exp(-(local[state[site]] - sum(local) / len(local)))
                size[site] += weight
    expected = {"pseudo": value, "rise": -screened.sum(), "logrise": -(size * np.log(screened / size)).sum()}[name]
    found = PatternLikelihood(bound, parts, name)
    reached, gradient = found.value_and_gradient(theta)
    np.testing.assert_allclose(reached, expected, rtol=1e-10)
    scores = found.row_scores(theta)
    rows = [scores(part, part.states.reshape(-1, part.states.shape[-1])) for part in parts]
    if name != "logrise":  # whose sites are counted one by one
        np.testing.assert_allclose(sum(part.weight.ravel() @ one for part, one in zip(parts, rows, strict=True)), gradient, atol=1e-9)
    lone = [part.states.reshape(-1, part.states.shape[-1]) for part in parts]
    unseen = np.array([all(min(row[one] for one in [*near[site], site]) < 0 for site in range(len(row))) for row in lone[0]])
    assert not rows[0][unseen].any()


RING = lattice.hypercubic(5)


@pytest.mark.parametrize("q", [2, 3])
def test_completions_have_the_frequencies_of_their_conditional(q):
    state = np.array([[0, -1, 1, -1, -1]])
    values = np.random.default_rng(0).integers(0, q, (40, 5))
    values[0] = [0, 1 % q, 1, 0, q - 1]
    source = hl.microstates(values if q == 3 else 2 * values - 1, "states" if q == 3 else "spins", beta=0.8)
    bound, (part,), _ = bind(source, Couplings(RING))
    part.states[0, :1] = state
    found, theta = Completions(bound, part, 4000, 0), 0.7 * np.random.default_rng(2).normal(size=bound.n_params)
    found.sweep(theta, SWEEPS)
    drawn = found.states[0].astype(int) @ q ** np.arange(5)
    every = list(fillings(state[0].tolist(), q))
    weight = np.array([math.exp(0.8 * oracles.minus_energy(bound, theta, one)) for one in every])
    counts = np.array([(drawn == np.array(one) @ q ** np.arange(5)).sum() for one in every])
    assert counts.sum() == 4000 and found.states.shape == (1, 4000, 5)
    assert chisquare(counts, 4000 * weight / weight.sum()).pvalue > spend()


def averaged_score(bound, part, theta):
    """E[score of the pseudo-likelihood | what was observed], summed over rows, by enumeration; couplings of spins on all pairs."""
    J, h = bound.values(theta)
    matrix = np.zeros((bound.lattice.n_sites,) * 2)
    matrix[tuple(bound.lattice.bonds.T)] = J
    matrix += matrix.T
    total = np.zeros(bound.n_params)
    for state, weight in rows_of(part):
        every = 2.0 * np.array(list(fillings(state, 2))) - 1
        energy = part.beta * (0.5 * np.einsum("ki,ij,kj->k", every, matrix, every) + every @ h)
        share = np.exp(energy - energy.max())
        slope = part.beta * (every - np.tanh(part.beta * (every @ matrix + h)))  # of log p of every spin given the others
        first, second = bound.lattice.bonds.T
        pairs = slope[:, first] * every[:, second] + slope[:, second] * every[:, first]
        total += weight * (share / share.sum()) @ np.concatenate([pairs, slope], 1)
    return total


def test_augmentation_solves_the_averaged_equations():
    glass = hl.systems.SherringtonKirkpatrick(6, seed=3)
    data = holed(hl.simulate(glass, beta=0.6, draws=300, chains=1, seed=1, sampler="exact"), 0.25)
    bound, parts, _ = bind(data, Couplings())
    found = augmented.likelihood(bound, parts, 0)
    width = np.sqrt((found.calibration.root**2).sum(1))
    left = averaged_score(bound, parts[0], found.centre)
    slope = np.array([averaged_score(bound, parts[0], found.centre + one) - left for one in 1e-4 * np.eye(bound.n_params)]) / 1e-4
    away = np.linalg.solve(-slope.T, left)  # by Newton's method, with the derivative of sums that were written out
    assert_within(found.centre + away, found.centre, width * np.sqrt(augmented._NOISE * 2), "zero of the averaged equations")
    drawn = [Completions(bound, parts[0], 16, 5)]
    made = augmented._averaged(bound, drawn, found.centre, 24)
    np.testing.assert_allclose(made.derivative, -slope.T, atol=0.04 * np.abs(slope).max())


@pytest.mark.parametrize("flip", [None, 0.1])
def test_rows_that_are_made_are_read_as_those_of_the_data_were(flip):
    values = np.random.default_rng(0).choice([-1.0, 1.0], (200, 4))
    values[:100, 1] = values[100:, 3] = np.nan
    source = hl.microstates(values, beta=0.8, counts=np.repeat([3, 1], 100), flip=flip)
    bound, (part,), _ = bind(source, Couplings(lattice.hypercubic(4)))
    theta = 0.5 * np.random.default_rng(2).normal(size=bound.n_params)
    made = replicated(Completions(bound, part, 2, 0), theta, 4000, 3, 40, 1)
    assert made.states.shape[1:] == (3, 4) and made.part.size == pytest.approx(400)
    rows, lacking = made.part.states[0].astype(int), made.part.states[0, :, 1] < 0
    assert set(map(tuple, rows < 0)) == {(False, True, False, False), (False, False, False, True)}
    assert abs(lacking.mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 4000)
    every = np.array(list(itertools.product(range(2), repeat=4)))
    weight = np.array([math.exp(0.8 * oracles.minus_energy(bound, theta, one)) for one in every]).reshape(2, 2, 2, 2).sum(1)
    wrong = np.array([[0.9, 0.1], [0.1, 0.9]]) if flip else np.eye(2)
    expected = np.einsum("abc,ax,by,cz->xyz", weight / weight.sum(), wrong, wrong, wrong)
    counts = np.bincount(rows[lacking][:, [0, 2, 3]] @ [4, 2, 1], minlength=8)
    assert chisquare(counts, lacking.sum() * expected.ravel()).pvalue > spend()


def test_a_few_rows_without_rare_states_do_not_pass_for_certain():
    """No row contradicts the bonds of a frustrated triangle more than it must: scores hardly scatter."""
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    rows = np.repeat(every[every[:, 0] * every[:, 1] - every[:, 0] * every[:, 2] + every[:, 1] * every[:, 2] > 0], 10, 0)
    rows[np.arange(60) % 5 == 0, np.arange(12) % 3] = np.nan
    width = {}
    for name in ("exact", "pseudo"):
        post = hl.learn(hl.microstates(rows, independent=True), Couplings(), likelihood=name, engine="laplace", check=False)
        width[name] = post["posterior"]["J"].std(("chain", "draw")).values
    assert np.all(width["pseudo"] > 0.95 * width["exact"])  # 0.77 of them by the rows' own scatter alone


def test_every_way_finds_the_couplings_that_made_the_data():
    glass = hl.systems.SherringtonKirkpatrick(6, seed=3)
    data = holed(hl.simulate(glass, beta=0.6, draws=4000, chains=1, seed=1, sampler="exact"), 0.2)
    bound, _, _ = bind(data, Couplings())
    truth = bound.from_values(glass.J, np.zeros(6))
    exact = hl.learn(data, Couplings(), engine="laplace", check=False)
    pseudo = hl.learn(data, Couplings(), likelihood="pseudo", engine="laplace", check=False)
    widths = []
    for post, name in (exact, "exact"), (pseudo, "pseudo"):
        made = posteriors.provenance_of(post)
        assert made.likelihood == name
        draws = posteriors.theta_draws(post).reshape(-1, bound.n_params)
        assert_within(draws.mean(0), truth, draws.std(0), f"couplings by the {name} likelihood")
        widths.append(draws.std(0).mean())
    whole = hl.learn(hl.data.complete_rows(data), Couplings(), engine="laplace", check=False)
    assert widths[0] < posteriors.theta_draws(whole).std((0, 1)).mean()
    assert widths[0] < 1.1 * widths[1]


def test_what_is_filled_in_and_what_is_left_out_is_counted_beforehand():
    square = hl.systems.EdwardsAnderson((5, 5), seed=1)
    data = hl.simulate(square, beta=0.4, draws=500, chains=1, seed=0, sampler="exact")
    model = Couplings(square.lattice, fields=None)
    post = hl.learn(holed(data, 0.05), model, engine="laplace", check=False)
    assert any("data augmentation" in reason for reason in posteriors.provenance_of(post).reasons)
    bound, parts, _ = bind(holed(data, 0.05), model)
    assert 0.7 < incomplete.kept(bound, parts) < 0.8 and augmented.work(bound, parts) < 10
    reasons: list[str] = []
    left = incomplete.stand_in(bound, parts, "pseudo", 0, reasons, affordable=0.0)
    assert isinstance(left, PatternLikelihood) and "seen with all their neighbours, in 7" in reasons[0]
    bound, parts, _ = bind(holed(data, 0.3), model)  # too few rows are left to every site
    assert not isinstance(incomplete.stand_in(bound, parts, "pseudo", 0, reasons, affordable=0.0), PatternLikelihood)
    assert isinstance(incomplete.stand_in(bound, parts, "rise", 0, reasons), PatternLikelihood)


def test_a_bond_that_is_hardly_ever_broken_is_learned_with_its_prior():
    chain = lattice.hypercubic((6,), periodic=False)
    world = hl.systems.Ising(chain, J=np.array([2.6, 0.3, -0.4, 0.5, -0.3]))
    data = holed(hl.simulate(world, beta=1.0, draws=150, chains=1, seed=2, sampler="exact"), 0.3)
    model = Couplings(chain, fields=None)
    with pytest.raises(HamlearnError, match="no finite maximum"):
        hl.learn(data, model, likelihood="pseudo", engine="mle", check=False)
    post = hl.learn(data, model, likelihood="pseudo", engine="laplace", check=False)
    low, high = post["posterior"]["J"].quantile([0.001, 0.999], ("chain", "draw")).values
    assert np.all(low < world.J) and np.all(world.J < high) and high[0] < 10


def test_completed_data_keep_what_was_observed():
    data = holed(hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=50, chains=2, seed=0), 0.3)
    bound, _, _ = bind(data, Couplings(lattice.hypercubic((3, 3))))
    found = completed(data, bound, np.zeros(bound.n_params), 0)
    seen = data["state"].values != MISSING
    np.testing.assert_array_equal(found["state"].values[seen], data["state"].values[seen])
    assert set(np.unique(found["state"])) == {-1, 1} and found["state"].dtype == np.int8
    assert completed(found, bound, np.zeros(bound.n_params), 0) is found


def test_a_site_that_never_changes_is_frozen_whatever_is_missing():
    values = np.random.default_rng(0).choice([-1.0, 1.0], (30, 3))
    values[:, 1], values[3, 1], values[4, 0] = 1, np.nan, np.nan
    _, parts, _ = bind(hl.microstates(values), Couplings())
    assert frozen_sites(parts).tolist() == [1]


SMALL = holed(hl.simulate(hl.systems.SherringtonKirkpatrick(6, seed=3), beta=0.6, draws=200, chains=1, seed=1, sampler="exact"), 0.2)
REFUSED = {
    "uncalibrated": ({"likelihood": "pseudo", "calibrate": False}, "leave calibrate=True"),
    "angles": ({}, "missing cells of angles are not learned from"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_with_gaps_is_refused(name):
    options, message = REFUSED[name]
    data = hl.microstates(np.where(SMALL["state"].values[0] == MISSING, np.nan, 1.0), "angles") if name == "angles" else SMALL
    with pytest.raises(HamlearnError, match=message):
        hl.learn(data, Couplings(fields=None), check=False, **options)


def test_tables_of_a_dense_graph_are_refused_before_the_work(monkeypatch):
    """An alignment with gaps as missing cells was announced at minutes, and refused in the midst of them."""
    monkeypatch.setattr(augmented, "Completions", None)
    states = np.random.default_rng(0).integers(4, size=(800, 22)).astype(float)
    states[np.random.default_rng(1).random(states.shape) < 0.03] = np.nan
    data = hl.microstates(states, "states", q=4, independent=True)
    with pytest.raises(HamlearnError, match=r"too many parameters \(2145\): take fewer bonds"):
        hl.learn(data, Couplings(), check=False)
