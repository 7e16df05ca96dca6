"""Likelihoods of microstates that are read with errors, against sums over all states written out here."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from infer import oracles
from infer.test_likelihoods import FAMILIES, data_sets
from infer.test_missing_cells import holed, rows_of
from scipy.optimize import minimize
from scipy.stats import chisquare

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import augmented, posteriors
from hamlearn.infer.completions import SWEEPS, Completions, completed
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood
from hamlearn.infer.observations import bind
from hamlearn.models import Couplings
from hamlearn.systems import lattice
from statistics_budget import assert_within, spend

GLASS = hl.systems.SherringtonKirkpatrick(6, seed=3)


def misread(data, rates, seed=0):
    """Every spin read as the other one at a rate of its site (one for down, one for up), and the rates declared."""
    rng, state = np.random.default_rng(seed), data["state"].values
    down, up = rates if isinstance(rates, tuple) else (rates, rates)
    rate = np.where(state < 0, np.broadcast_to(down, state.shape), np.broadcast_to(up, state.shape))
    read = np.where((rng.random(state.shape) < rate) & (state != hl.spaces.MISSING), -state, state).astype(np.int8)
    return hl.microstates(data.assign(state=(data["state"].dims, read, data["state"].attrs)), flip=rates)


def chance(part, reading, value, site):
    """Of a reading, given the value of its site."""
    return 1.0 if reading < 0 else part.flip[site, value, reading]


def plain(bound, parts, theta):
    every = list(itertools.product(*map(range, oracles.sizes(bound))))
    total = 0.0
    for part in parts:
        weights = [math.exp(part.beta * oracles.minus_energy(bound, theta, state)) for state in every]
        for row, count in rows_of(part):
            read = [math.prod(chance(part, *pair, site) for site, pair in enumerate(zip(row, state, strict=True))) for state in every]
            total += count * math.log(sum(map(math.prod, zip(weights, read, strict=True))) / sum(weights))
    return total


def matrices(n_sites, q, seed):
    """A channel of every site, with zeros here and there."""
    rng = np.random.default_rng(seed)
    found = 0.4 * rng.dirichlet(np.full(q, 0.5), (n_sites, q))
    return found + np.eye(q) * (1 - found.sum(-1, keepdims=True))


CHANNELS = {  # of two temperatures
    "spins, lattice": lambda k: tuple(0.3 * np.random.default_rng([k, way]).random((3, 2)) for way in range(2)),
    "spins, all pairs": lambda k: matrices(5, 2, k),
    "spins, tied": lambda k: (0.1, 0.2),
    "potts": lambda k: 0.1 + 0.1 * k,
    "general": lambda k: matrices(4, 3, k),
    "mixed, general": lambda k: 0.4 * np.random.default_rng(k).random(4),
}


@pytest.mark.parametrize("share", [0.0, 0.3], ids=["whole rows", "and gaps"])
@pytest.mark.parametrize("family", CHANNELS)
def test_the_exact_likelihood_sums_over_what_every_row_may_have_been(family, share):
    make, shape, q = FAMILIES[family]
    sets = [holed(one, share, k) if share else one for k, one in enumerate(data_sets(shape, q))]
    bound, parts, _ = bind([hl.microstates(one, flip=CHANNELS[family](k)) for k, one in enumerate(sets)], make())
    found, theta = MarginalLikelihood(bound, parts), 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    value, gradient = found.value_and_gradient(theta)
    np.testing.assert_allclose(value, plain(bound, parts, theta), rtol=1e-10)
    np.testing.assert_allclose(gradient, oracles.numerical_gradient(lambda at: found.value_and_gradient(at)[0], theta), atol=2e-6)
    slopes = [
        (found.value_and_gradient(theta + one)[1] - found.value_and_gradient(theta - one)[1]) / 2e-5 for one in 1e-5 * np.eye(len(theta))
    ]
    np.testing.assert_allclose(found.information(theta), -np.array(slopes), atol=1e-5)
    scores = found.row_scores(theta)
    total = sum(part.weight.ravel() @ scores(part, part.states.reshape(-1, part.states.shape[-1])) for part in parts)
    np.testing.assert_allclose(total, gradient, atol=1e-9)
    with jax.enable_x64(True):
        function, arrays = found.jax_log_density()
        np.testing.assert_allclose(jax.jit(function)(theta, arrays), value, rtol=1e-12)


THREE = [[0.85, 0.15, 0], [0.05, 0.9, 0.05], [0, 0.2, 0.8]]  # neighbours are mistaken for each other


def read_by(data, channel, seed=0):
    """Every state read as a row of its channel says, and the channel declared."""
    rng, state = np.random.default_rng(seed), data["state"].values
    read = (rng.random((*state.shape, 1)) > np.cumsum(np.asarray(channel)[state], -1)).sum(-1)
    return hl.microstates(data.assign(state=(data["state"].dims, read.astype(np.int8), data["state"].attrs)), flip=channel)


def test_the_posterior_of_states_is_that_of_all_true_values():
    world = hl.systems.Potts(lattice.hypercubic((5,)), 3, 0.9)
    data = read_by(hl.simulate(world, beta=1.0, draws=600, chains=1, seed=1, sampler="exact"), THREE)
    every = np.array(list(itertools.product(range(3), repeat=5)))
    bonds = (every == np.roll(every, 1, 1)).sum(1)
    rows, counts = np.unique(data["state"].values[0], axis=0, return_counts=True)
    chances = np.prod(np.array(THREE)[every[:, None], rows], -1)  # (true, read)
    J = np.linspace(0, 2, 401)
    weight = np.exp(np.outer(J, bonds))
    log = counts @ np.log(chances.T @ (weight / weight.sum(1, keepdims=True)).T) - J**2 / 2
    share = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    mean = share @ J
    sd = np.sqrt(share @ (J - mean) ** 2)
    model = Couplings(world.lattice, tie="uniform", fields=None, interaction="potts", prior=hl.models.Normal(1.0))
    found = hl.learn(data, model, engine="laplace", check=False)["posterior"]["J"].values[..., 0]
    assert_within(found.mean(), mean, np.hypot(sd / np.sqrt(found.size), 0.05 * sd), "coupling")  # of a normal one
    assert found.std() == pytest.approx(sd, rel=0.07) and abs(mean - 0.9) < 4 * sd


def test_true_values_are_drawn_with_the_frequencies_of_their_conditional():
    source = hl.microstates(
        np.random.default_rng(0).choice([-1, 1], (40, 5)), beta=0.8, flip=([0.3, 0, 0.2, 0.1, 0.4], [0.1, 0, 0.4, 0, 0.2])
    )
    bound, (part,), _ = bind(source, Couplings(lattice.hypercubic(5)))
    part.states[0, 0] = row = [0, 1, 1, -1, 1]
    found, theta = Completions(bound, part, 4000, 0), 0.7 * np.random.default_rng(2).normal(size=bound.n_params)
    found.sweep(theta, SWEEPS)
    every = list(itertools.product(range(2), repeat=5))
    weight = [
        math.exp(0.8 * oracles.minus_energy(bound, theta, one)) * math.prod(chance(part, row[k], one[k], k) for k in range(5))
        for one in every
    ]
    drawn = found.states[0].astype(int) @ 2 ** np.arange(4, -1, -1)
    counts, expected = np.bincount(drawn, minlength=32), 4000 * np.array(weight) / sum(weight)
    there = expected > 0
    assert not counts[~there].any() and there.sum() == 16  # site 1 is read without error
    assert chisquare(counts[there], expected[there]).pvalue > spend()


def test_augmentation_solves_the_averaged_equations():
    data = misread(hl.simulate(GLASS, beta=0.6, draws=300, chains=1, seed=1, sampler="exact"), 0.08)
    bound, parts, _ = bind(data, Couplings())

    def weighted(one, theta):  # the score of missing cells, with what was read as a field of each row's own
        every = 2.0 * np.array(list(itertools.product(range(2), repeat=6))) - 1
        J, h = bound.values(theta)
        matrix = np.zeros((6, 6))
        matrix[tuple(bound.lattice.bonds.T)] = J
        matrix += matrix.T
        energy = one.beta * (0.5 * np.einsum("ki,ij,kj->k", every, matrix, every) + every @ h)
        slope = one.beta * (every - np.tanh(one.beta * (every @ matrix + h)))
        first, second = bound.lattice.bonds.T
        score = np.concatenate([slope[:, first] * every[:, second] + slope[:, second] * every[:, first], slope], 1)
        read = 2.0 * one.states[0] - 1
        share = np.exp(energy + 0.5 * np.log(0.92 / 0.08) * read @ every.T)
        return (share / share.sum(1, keepdims=True)).sum(0) @ score

    found = augmented.likelihood(bound, parts, 0)
    width = np.sqrt((found.calibration.root**2).sum(1))
    left = weighted(parts[0], found.centre)
    slope = np.array([weighted(parts[0], found.centre + one) - left for one in 1e-4 * np.eye(bound.n_params)]) / 1e-4
    assert_within(
        found.centre + np.linalg.solve(-slope.T, left), found.centre, width * np.sqrt(augmented._NOISE * 2), "zero of the equations"
    )


def test_states_are_found_by_both_ways():
    graph = lattice.complete(5)
    world = hl.systems.Potts(graph, 3, np.random.default_rng(4).normal(0, 0.7, graph.n_bonds))
    data = read_by(hl.simulate(world, beta=0.8, draws=3000, chains=1, seed=2, sampler="exact"), THREE)
    for name in "exact", "pseudo":
        post = hl.learn(data, Couplings(interaction="potts"), likelihood=name, engine="laplace", check=False)
        J = post["posterior"]["J"].stack(every=("chain", "draw"))
        assert_within(J.mean("every"), world.J, J.std("every"), f"Potts couplings by the {name} likelihood")


def test_both_ways_find_the_couplings_that_were_misread():
    truth = hl.simulate(GLASS, beta=0.6, draws=4000, chains=1, seed=1, sampler="exact")
    data = misread(truth, 0.1)
    theta = bind(data, Couplings())[0].from_values(GLASS.J, np.zeros(6))
    widths = []
    for name in "exact", "pseudo":
        post = hl.learn(data, Couplings(), likelihood=name, engine="laplace", check=False)
        assert posteriors.provenance_of(post).likelihood == name
        draws = posteriors.theta_draws(post).reshape(-1, len(theta))
        assert_within(draws.mean(0), theta, draws.std(0), f"couplings by the {name} likelihood")
        widths.append(draws.std(0).mean())
    whole = posteriors.theta_draws(hl.learn(truth, Couplings(), engine="laplace", check=False))
    blind = posteriors.theta_draws(hl.learn(data.drop_vars("flip"), Couplings(), engine="laplace", check=False))
    assert 1.2 * whole.std((0, 1)).mean() < widths[0] < 1.1 * widths[1]
    assert abs(blind.mean((0, 1)) @ theta / (theta @ theta)) < 0.75


def test_what_is_recorded_of_the_data_is_of_true_values():
    truth = hl.simulate(GLASS, beta=0.6, draws=20000, chains=1, seed=1, sampler="exact")
    found = [hl.learn(one, Couplings(), engine="laplace", check=False)["observed_data"] for one in (truth, misread(truth, (0.05, 0.15)))]
    for name in "site_frequency", "bond_frequency":
        assert_within(found[1][name], found[0][name], 0.006, name)


def test_completed_data_are_known():
    data = misread(holed(hl.simulate(GLASS, beta=0.4, draws=50, chains=2, seed=0), 0.2), 0.1)
    bound, _, _ = bind(data, Couplings())
    found = completed(data, bound, np.zeros(bound.n_params), 0)
    assert hl.data.known(found) and not hl.data.known(data) and found["state"].shape == data["state"].shape


@pytest.mark.parametrize("name", ["rise", "logrise", "screening"])
def test_what_takes_readings_for_true_values_is_refused(name):
    data = hl.microstates(np.random.default_rng(0).choice([-1, 1], (100, 4)), flip=0.02)
    with pytest.raises(HamlearnError, match="takes readings for true values") as caught:
        hl.learn(data, Couplings(), likelihood=name, check=False)
    assert "'exact'" in str(caught.value) and "'pseudo'" in str(caught.value)


# A rate that is not known.
SQUARE = hl.systems.EdwardsAnderson((3, 3), seed=1)
ASKED = Couplings(SQUARE.lattice, flip=dist.Beta(1, 20))


def readings(rate, rows=2000, seed=0):
    data = hl.simulate(SQUARE, beta=0.5, draws=rows, chains=1, seed=seed, sampler="exact")
    return misread(data, rate, seed).drop_vars(["flip", "true", "read"])


def test_a_rate_is_drawn_by_the_likelihood_that_is_left_to_it():
    world = hl.systems.Ising((3, 3))
    data = misread(hl.simulate(world, beta=0.3, draws=400, chains=1, seed=1, sampler="exact"), 0.05).drop_vars(["flip", "true", "read"])
    model = Couplings(SQUARE.lattice, fields=None, tie="uniform", flip=dist.Beta(2, 30), prior=hl.models.Normal(50.0))
    post = hl.learn(data, model, check=False)
    _, parts, _ = bind(data, model)
    grid = np.linspace(0.001, 0.3, 60)
    J, values, peaks, scores = np.linspace(0.2, 4.0, 1901), [], [], []
    every = np.array(list(itertools.product((-1, 1), repeat=9)))
    bonds = (every[:, SQUARE.lattice.bonds[:, 0]] * every[:, SQUARE.lattice.bonds[:, 1]]).sum(1)
    rows, counts = np.unique(parts[0].states[0], axis=0, return_counts=True)
    wrong = ((2 * rows[:, None] - 1) != every).sum(-1)
    log_z = np.log(np.exp(0.3 * np.outer(J, bonds)).sum(1))
    for rate in grid:
        chances = (rate**wrong * (1 - rate) ** (9 - wrong)) @ np.exp(0.3 * np.outer(bonds, J))
        logs = np.log(chances) - log_z  # of a row, at every J
        peak = int((counts @ logs).argmax())
        values.append((counts @ logs)[peak])
        slopes = np.gradient(logs, J, axis=1)
        scores.append(slopes[:, peak])
        peaks.append(-counts @ np.gradient(slopes, J, axis=1)[:, peak])
    # Severini: half the log of the curvature, less that of the covariance of scores with those at the top
    log = np.array(values) + 0.5 * np.log(peaks) - np.log(np.array(scores) @ (counts * scores[int(np.argmax(values))]))
    log += np.asarray(dist.Beta(2, 30).log_prob(grid))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    found = post["posterior"]["flip"].values
    assert_within(found.mean(), mean, np.hypot(sd / np.sqrt(found.size), 0.02 * sd), "rate")
    assert found.std() == pytest.approx(sd, rel=0.1)


def test_the_likelihood_of_a_rate_is_modified_for_what_couplings_fit_of_the_noise():
    """Sixty rows, six couplings: the largest likelihood alone, log L(θ̂(f); f), has its mean a fifth of an error bar lower."""
    pairs = np.array(list(itertools.combinations(range(4), 2)))
    every = np.array(list(itertools.product((-1, 1), repeat=4)))
    T = every[:, pairs[:, 0]] * every[:, pairs[:, 1]]
    rng = np.random.default_rng(3)
    weight = np.exp(T @ np.array([0.7, -0.5, 0.6, 0.4, -0.7, 0.5]))
    read = every[rng.choice(16, 60, p=weight / weight.sum())] * np.where(rng.random((60, 4)) < 0.08, -1, 1)
    rows, counts = np.unique(read, axis=0, return_counts=True)
    wrong = (rows[:, None] != every).sum(-1)
    prior = dist.Beta(2, 20)
    post = hl.learn(
        hl.microstates(read, beta=1.0, independent=True), Couplings(fields=None, flip=prior, prior=hl.models.Normal(1.0)), check=False
    )

    def logs(theta, rate):  # of the distinct rows
        energy = T @ theta
        return np.log((rate**wrong * (1 - rate) ** (4 - wrong)) @ np.exp(energy)) - np.log(np.exp(energy).sum())

    def slopes(theta, rate, step=1e-4):
        return np.stack([(logs(theta + one, rate) - logs(theta - one, rate)) / (2 * step) for one in step * np.eye(6)], 1)

    grid, start, profile, best = np.linspace(0.002, 0.3, 60), np.zeros(6), [], []
    for rate in grid:
        start = minimize(lambda theta: 0.5 * theta @ theta - counts @ logs(theta, rate), start, tol=1e-8).x
        best.append(start)
        profile.append(counts @ logs(start, rate))
    top, modified = int(np.argmax(profile)), []
    for theta, rate, value in zip(best, grid, profile, strict=True):
        bent = -np.stack([counts @ (slopes(theta + one, rate) - slopes(theta - one, rate)) / 2e-3 for one in 1e-3 * np.eye(6)])
        crossed = (counts[:, None] * slopes(theta, rate)).T @ slopes(best[top], grid[top])
        modified.append(value + 0.5 * np.linalg.slogdet(bent + np.eye(6))[1] - np.linalg.slogdet(crossed + np.eye(6))[1])
    means = []
    for one in (modified, profile):
        log = np.array(one) + np.asarray(prior.log_prob(grid))
        share = np.exp(log - log.max())
        share /= share.sum()
        means.append(share @ grid)
        sd = np.sqrt(share @ (grid - means[-1]) ** 2)
    found = post["posterior"]["flip"].values
    assert means[0] - means[1] > 0.15 * sd
    assert_within(found.mean(), means[0], np.hypot(sd / np.sqrt(found.size), 0.02 * sd), "rate")


def test_rates_and_couplings_hold_the_truth(tmp_path):
    data = readings(0.05)
    post = hl.load(hl.save(hl.learn(data, ASKED, check=True), tmp_path / "post.nc"))
    draws = post["posterior"]["flip"].values
    assert_within(draws.mean(), 0.05, draws.std(), "rate")
    assert_within(post["posterior"]["J"].mean(("chain", "draw")), SQUARE.J, post["posterior"]["J"].std(("chain", "draw")), "couplings")
    known = hl.learn(hl.microstates(data, flip=0.05), Couplings(SQUARE.lattice), engine="laplace", check=False)
    assert (post["posterior"]["J"].std(("chain", "draw")) > 0.99 * known["posterior"]["J"].std(("chain", "draw"))).mean() > 0.5
    for ask in hl.infer.measured, hl.infer.log_likelihood, hl.diagnostics.posterior_predictive:
        with pytest.raises(HamlearnError, match="misread at a rate that was learned"):
            ask(post, data)
    made = posteriors.provenance_of(post)
    assert made.flip == pytest.approx(draws.mean()) and made.check.decision == "agrees"
    assert (
        "as was learned with the couplings" in str(hl.verdict(post))
        and posteriors.model_of(post).to_dict()["flip"] == ASKED.to_dict()["flip"]
    )


@pytest.mark.parametrize("kind", ["learned", "known", "missing"])
def test_bands_lie_where_the_draws_are(kind):
    """No refit to means of what was read, of which some is wrong or missing, says where the optimum is."""
    ring = hl.systems.Ising(lattice.hypercubic((5,)), J=0.6)
    data = hl.simulate(ring, beta=1.0, draws=1000, chains=1, seed=0, sampler="exact")
    data = holed(data, 0.4, seed=1) if kind == "missing" else misread(data, 0.08).drop_vars(["flip"] if kind == "learned" else [])
    model = Couplings(ring.lattice, fields=None, flip=dist.Beta(2, 30) if kind == "learned" else None)
    post = hl.learn(data, model, engine="laplace", check=False, seed=0)
    every = np.array(list(itertools.product((-1, 1), repeat=5)))
    energies = -post["posterior"]["J"].values.reshape(-1, 5) @ (every[:, ring.lattice.bonds[:, 0]] * every[:, ring.lattice.bonds[:, 1]]).T
    weights = np.exp(-(energies - energies.min(1, keepdims=True)))
    means = (weights * energies).sum(1) / weights.sum(1) / 5
    band = hl.predict(post, 1.0, observables=["energy"], seed=0)
    assert_within(band["energy"].sel(quantity="mean").item(), means.mean(), means.std() / np.sqrt(64), "energy")  # of 64 draws
    assert "missing or misread" in band.attrs["centring"]


def test_versions_that_knew_one_rate_wrote_its_prior_bare():
    model = Couplings(SQUARE.lattice, flip=dist.Beta(2, 60))
    older = model.to_dict()
    older["flip"] = older["flip"][0]
    assert Couplings.from_dict(older).to_dict() == model.to_dict()


@pytest.mark.parametrize("priors", [1, 9], ids=["a rate", "rates of sites"])
def test_what_the_data_do_not_tell_is_said(priors):
    data = hl.simulate(SQUARE, beta=0.02, draws=300, chains=1, seed=0, sampler="exact")  # nothing to see a rate by
    model = Couplings(SQUARE.lattice, flip=[dist.Beta(1, 20)] * priors)
    said = [one for one in hl.verdict(hl.learn(data, model, check=False)).reasons if one.topic == "readout errors"]
    assert [one.severity for one in said] == ["caution"]
    assert ("what its prior says" if priors == 1 else "at 9 of 9 (site 0, site 1, site 2, …) the data hardly say it") in said[0].what


def test_a_rate_of_states_is_learned():
    graph = lattice.complete(5)
    world = hl.systems.Potts(graph, 3, np.random.default_rng(4).normal(0, 0.7, graph.n_bonds))
    channel = 0.9 * np.eye(3) + 0.1 / 2 * (1 - np.eye(3))
    data = read_by(hl.simulate(world, beta=0.8, draws=2000, chains=1, seed=2, sampler="exact"), channel)
    model = Couplings(interaction="potts", flip=dist.Beta(1, 20))
    found = hl.learn(data.drop_vars(["flip", "true", "read"]), model, check=False)["posterior"].to_dataset().stack(every=("chain", "draw"))
    assert_within(found["flip"].mean(), 0.1, found["flip"].std(), "rate")
    assert_within(found["J"].mean("every"), world.J, found["J"].std("every"), "couplings")


def test_a_prior_ends_where_it_says():
    model = Couplings(SQUARE.lattice, flip=dist.Uniform(0.06, 0.1))
    drawn = hl.learn(readings(0.03), model, check=False)["posterior"]["flip"].values
    assert drawn.min() > 0.055 and drawn.max() < 0.105  # to the spacing of the line


# Rates of sites that are not known.
RATES = [0.01, 0.1, 0.03, 0.02, 0.05, 0.02, 0.12, 0.04, 0.02]


@pytest.mark.parametrize("family", ["spins, all pairs", "general", "mixed, general"])
def test_slopes_of_rates_are_those_of_the_likelihood(family):
    make, shape, q = FAMILIES[family]
    rates = 0.3 * np.random.default_rng(3).random(shape)
    bound, parts, _ = bind([hl.microstates(holed(one, 0.2, k), flip=rates) for k, one in enumerate(data_sets(shape, q))], make())
    found, theta = MarginalLikelihood(bound, parts), 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    value = lambda at: found.misread_at(at, 0.5).value_and_gradient(theta)[0]
    np.testing.assert_allclose(found.misread_at(rates, 1.0).value_and_gradient(theta)[0], plain(bound, parts, theta), rtol=1e-10)
    np.testing.assert_allclose(found.misread_at(rates, 0.5).rate_slopes(theta), oracles.numerical_gradient(value, rates), atol=1e-5)


def test_rates_of_sites_are_drawn_from_their_posterior():
    world = hl.systems.Ising((4,))
    true = hl.simulate(world, beta=0.7, draws=1500, chains=1, seed=1, sampler="exact")
    data = misread(true, np.array([0.01, 0.12, 0.05, 0.08])).drop_vars(["flip", "true", "read"])
    model = Couplings(world.lattice, fields=None, tie="uniform", flip=[dist.Beta(2, 20)] * 4, prior=hl.models.Normal(50.0))
    found = hl.learn(data, model, check=False)["posterior"]["flip"].values.reshape(-1, 4)
    every = np.array(list(itertools.product((-1, 1), repeat=4)))  # Metropolis walks over rates and the coupling, by sums over all states
    bonds = (every * np.roll(every, 1, 1)).sum(1)
    counts = np.bincount((data["state"].values[0] + 1) // 2 @ [8, 4, 2, 1], minlength=16)
    differ = every[:, None] != every
    rng, walkers = np.random.default_rng(0), 400

    def log(at):
        rates, J = at[:, None, None, :4], at[:, 4:]
        read = np.where(differ, rates, 1 - rates).prod(-1)
        weight = np.exp(0.7 * J * bonds)
        inside = ((at[:, :4] > 0) & (at[:, :4] < 0.5)).all(1)
        seen = np.einsum("wrs,ws->wr", read, weight / weight.sum(1, keepdims=True))
        prior = np.log(np.abs(at[:, :4])) + 19 * np.log(np.abs(1 - at[:, :4]))
        return np.where(inside, np.log(np.abs(seen)) @ counts + prior.sum(1), -np.inf)

    now, kept = np.tile([0.06] * 4 + [1.0], (walkers, 1)), []
    here = log(now)
    for step in range(1200):
        other = now + rng.normal(size=now.shape) * ([0.016] * 4 + [0.05])
        there = log(other)
        accepted = np.log(rng.random(walkers)) < there - here
        now, here = np.where(accepted[:, None], other, now), np.where(accepted, there, here)
        if step >= 400 and step % 20 == 0:
            kept.append(now[:, :4])
    drawn = np.concatenate(kept)
    assert_within(found.mean(0), drawn.mean(0), 0.08 * drawn.std(0), "rates of sites")
    np.testing.assert_allclose(found.std(0), drawn.std(0), rtol=0.12)


def test_rates_of_sites_and_couplings_hold_the_truth(tmp_path):
    true = hl.simulate(SQUARE, beta=0.5, draws=3000, chains=1, seed=5, sampler="exact")
    data = misread(true, np.reshape(RATES, (3, 3))).drop_vars(["flip", "true", "read"])
    post = hl.load(hl.save(hl.learn(data, Couplings(SQUARE.lattice, flip=[dist.Beta(1, 20)] * 9)), tmp_path / "post.nc"))
    found = post["posterior"].to_dataset()
    assert found["flip"].dims == ("chain", "draw", "site")
    assert_within(found["flip"].mean(("chain", "draw")), RATES, found["flip"].std(("chain", "draw")), "rates")
    assert_within(found["J"].mean(("chain", "draw")), SQUARE.J, found["J"].std(("chain", "draw")), "couplings")
    assert posteriors.provenance_of(post).check.decision == "agrees" and "a rate of every site" in str(hl.verdict(post))
    assert "at every site" in repr(posteriors.model_of(post))


LARGE = hl.microstates(np.random.default_rng(0).choice([-1, 1], (200, 30)))
WIDE = hl.microstates(np.random.default_rng(0).choice([-1, 1], (200, 120)))
SMALL = hl.microstates(np.random.default_rng(0).choice([-1, 1], (200, 4)), flip=0.1)
RATE = dist.Beta(1, 20)
HOW = {
    "too much work": (lambda: hl.learn(WIDE, Couplings(flip=RATE), check=False), "minutes of data augmentation: take fewer rows or bonds"),
    "said twice": (lambda: hl.learn(SMALL, Couplings(flip=RATE), check=False), "leave one of them out"),
    "another engine": (
        lambda: hl.learn(SMALL.drop_vars("flip"), Couplings(flip=RATE), engine="nuts", check=False),
        "engine='laplace' or 'auto'",
    ),
    "another likelihood": (lambda: hl.learn(SMALL, Couplings(flip=RATE), likelihood="pseudo", check=False), "readout error rate"),
    "groups": (
        lambda: hl.learn({"a": LARGE, "b": LARGE[{"draw": slice(9)}]}, hl.models.Hierarchical(Couplings(flip=RATE)), check=False),
        "one group of rows",
    ),
    "another prior": (
        lambda: hl.learn(SMALL.drop_vars("flip"), Couplings(flip=RATE, prior="spike_slab"), check=False),
        "normal priors of couplings",
    ),
    "no calibration": (lambda: hl.learn(LARGE, Couplings(flip=RATE), calibrate=False, check=False), "leave calibrate=True"),
    "a number": (lambda: Couplings(flip=0.02), "declared with the data"),
    "rates of other sites": (
        lambda: hl.learn(SMALL.drop_vars("flip"), Couplings(flip=[RATE] * 3), check=False),
        "a list with one for each; got 3 for 4 sites",
    ),
    "a list of numbers": (lambda: Couplings(flip=[0.02, 0.03]), "or a list of one for every site; got 0.02"),
    "beyond a half": (
        lambda: hl.learn(SMALL.drop_vars("flip"), Couplings(flip=dist.Uniform(0.6, 0.9)), check=False),
        r"prior Uniform\(low=0.6, high=0.9\) of a readout error rate allows none",
    ),
    "far from rates": (
        lambda: hl.learn(SMALL.drop_vars("flip"), Couplings(flip=dist.Normal(3, 0.1)), check=False),
        "of its probability between 0 and 1/2",
    ),
    "whole numbers": (lambda: Couplings(flip=dist.Poisson(0.1)), "a prior is of a real number; Poisson is a distribution of whole numbers"),
    "a normal": (lambda: Couplings(flip=hl.models.Normal()), "a distribution of NumPyro on"),
    "angles": (
        lambda: hl.learn(hl.microstates(np.eye(3), "angles"), Couplings(fields=None, flip=RATE), check=False),
        "only spins, bits and states",
    ),
}


@pytest.mark.parametrize("name", HOW)
def test_where_no_rate_can_be_learned_is_said(name):
    ask, message = HOW[name]
    with pytest.raises(HamlearnError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)
