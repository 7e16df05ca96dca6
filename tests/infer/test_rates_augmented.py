"""Readout error rates that are learned by drawing true values, against sums over all states written out here, and against the truth."""

from __future__ import annotations

import itertools

import numpy as np
import numpyro.distributions as dist
import pytest
from infer.test_missing_cells import holed
from infer.test_readout import GLASS, RATES, SQUARE, misread, read_by

import hamlearn as hl
from hamlearn.infer import posteriors, rates
from hamlearn.infer.likelihoods import marginal
from hamlearn.infer.rates_augmented import _NOISE
from hamlearn.models import Couplings
from hamlearn.systems import lattice
from statistics_budget import assert_within

LEFT = np.sqrt(_NOISE)  # standard deviations that the noise of what is drawn may move an estimate by


@pytest.fixture
def unlisted(monkeypatch):
    """As if states were too many to be listed."""
    monkeypatch.setattr(marginal, "MOST_STATES", 0)


def learned(data, model):
    post = hl.learn(data.drop_vars(["flip", "true", "read"], errors="ignore"), model, check=False, seed=0)
    assert any("averaged over drawn true values" in one for one in posteriors.provenance_of(post).reasons)
    return post["posterior"].to_dataset().stack(every=("chain", "draw"))


def seen(counts, rates, weight):
    """Log likelihood of counts of readings of 4 spins, given rates of sites and weights of states."""
    every = np.array(list(itertools.product((-1, 1), repeat=4)))
    read = np.where(every[:, None] != every, rates, 1 - rates).prod(-1)
    return counts @ np.log(read @ (weight / weight.sum()))


def test_information_and_optimum_are_those_of_the_likelihood(unlisted):
    """Of one coupling and four rates: second differences of a sum over all states."""
    world = hl.systems.Ising((4,))
    true = hl.simulate(world, beta=0.7, draws=6000, chains=1, seed=1, sampler="exact")
    data = misread(true, np.array([0.05, 0.12, 0.08, 0.1]))
    every = np.array(list(itertools.product((-1, 1), repeat=4)))
    bonds = (every * np.roll(every, 1, 1)).sum(1)
    counts = np.bincount((data["state"].values[0] + 1) // 2 @ [8, 4, 2, 1], minlength=16)
    log = lambda at: seen(counts, at[1:], np.exp(0.7 * at[0] * bonds)) + 60 * np.log(at[1:]).sum() + 600 * np.log1p(-at[1:]).sum()
    at, unit = np.array([1.0, 0.09, 0.09, 0.09, 0.09]), 1e-4 * np.eye(5)
    for _ in range(8):
        slope = np.array([log(at + one) - log(at - one) for one in unit]) / 2e-4
        second = np.array([[log(at + i + j) - log(at + i - j) - log(at - i + j) + log(at - i - j) for i in unit] for j in unit]) / 4e-8
        at = at - np.linalg.solve(second, slope)
    sd = np.sqrt(np.diag(np.linalg.inv(-second)))
    model = Couplings(world.lattice, fields=None, tie="uniform", flip=[dist.Beta(61, 601)] * 4, prior=hl.models.Normal(50.0))
    found = learned(data, model)
    drawn = np.concatenate([found["J"].values[:1], found["flip"].values])
    assert_within(drawn.mean(1), at, (LEFT + 0.1) * sd, "mode")
    np.testing.assert_allclose(drawn.std(1), sd, rtol=0.12)


@pytest.mark.parametrize("scale", [50.0, 0.1])
def test_a_rate_is_drawn_by_the_likelihood_that_is_left_to_it(unlisted, scale):
    """That of the couplings most probable at each rate, whose prior, narrow or wide, moves these and says nothing of the rate by itself."""
    world = hl.systems.Ising((3, 3))
    data = misread(hl.simulate(world, beta=0.3, draws=1500, chains=1, seed=1, sampler="exact"), 0.05)
    every = np.array(list(itertools.product((-1, 1), repeat=9)))
    bonds = (every[:, SQUARE.lattice.bonds[:, 0]] * every[:, SQUARE.lattice.bonds[:, 1]]).sum(1)
    rows, counts = np.unique(data["state"].values[0].reshape(-1, 9), axis=0, return_counts=True)
    wrong = (rows[:, None] != every).sum(-1)
    J, grid, values = np.linspace(0.4, 2.0, 1601), np.linspace(0.001, 0.3, 100), []
    log_z = np.log(np.exp(0.3 * np.outer(J, bonds)).sum(1))
    for rate in grid:
        chances = (rate**wrong * (1 - rate) ** (9 - wrong)) @ np.exp(0.3 * np.outer(bonds, J))
        log = counts @ np.log(chances) - 1500 * log_z
        values.append(log[(log - 0.5 * (J / scale) ** 2).argmax()])
    log = np.array(values) + np.asarray(dist.Beta(2, 30).log_prob(grid))
    weight = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    model = Couplings(SQUARE.lattice, fields=None, tie="uniform", flip=dist.Beta(2, 30), prior=hl.models.Normal(scale))
    found = learned(data, model)["flip"].values
    assert_within(found.mean(), mean, LEFT * sd, "rate")
    assert found.std() == pytest.approx(sd, rel=0.15)


WORLDS = {
    "spins": (GLASS, {}, 0.6),
    "potts": (hl.systems.Potts(lattice.complete(5), 3, np.random.default_rng(4).normal(0, 0.9, 10)), {"interaction": "potts"}, 0.8),
}


@pytest.mark.parametrize(("world", "gaps"), [("spins", 0.1), ("potts", 0.0), pytest.param("potts", 0.1, marks=pytest.mark.slow)])
def test_a_rate_and_couplings_hold_the_truth(unlisted, world, gaps):
    system, options, beta = WORLDS[world]
    data = hl.simulate(system, beta=beta, draws=2000, chains=1, seed=2, sampler="exact")
    read = misread(data, 0.08) if world == "spins" else read_by(data, 0.92 * np.eye(3) + 0.04 * (1 - np.eye(3)))
    found = learned(holed(read, gaps, 1) if gaps else read, Couplings(flip=dist.Beta(1, 20), **options))
    assert_within(found["flip"].mean(), 0.08, found["flip"].std(), "rate")
    assert_within(found["J"].mean("every"), system.J, found["J"].std("every"), "couplings")


def test_a_rate_far_from_its_prior_is_reached(monkeypatch):
    """The search ended while rates were still on their way: 0.2 where 0.05 was expected left couplings a third too weak."""
    world = hl.systems.EdwardsAnderson((3, 3), seed=2)
    data = misread(hl.simulate(world, beta=0.5, draws=4000, chains=1, seed=2, sampler="exact"), 0.18).drop_vars(["flip", "true", "read"])
    model = Couplings(world.lattice, fields=None, flip=dist.Beta(1, 20))
    listed = hl.learn(data, model, check=False)["posterior"]["flip"].values
    monkeypatch.setattr(marginal, "MOST_STATES", 0)
    found = learned(data, model)["flip"].values
    assert_within(found.mean(), listed.mean(), LEFT * listed.std(), "rate")


@pytest.mark.slow
def test_rates_of_sites_are_those_of_all_states_listed(monkeypatch):
    true = hl.simulate(SQUARE, beta=0.5, draws=3000, chains=1, seed=5, sampler="exact")
    data = misread(true, np.reshape(RATES, (3, 3))).drop_vars(["flip", "true", "read"])
    model = Couplings(SQUARE.lattice, flip=[dist.Beta(1, 20)] * 9)
    listed = hl.learn(data, model, check=False)["posterior"]["flip"].values.reshape(-1, 9)
    monkeypatch.setattr(marginal, "MOST_STATES", 0)
    found = learned(data, model)["flip"].values.T
    assert_within(found.mean(0), listed.mean(0), LEFT * listed.std(0), "rates of sites")
    np.testing.assert_allclose(found.std(0), listed.std(0), rtol=0.2)


@pytest.mark.parametrize("priors", [1, pytest.param(9, marks=pytest.mark.slow)], ids=["a rate", "rates of sites"])
def test_what_the_data_do_not_tell_is_said(unlisted, priors):
    data = hl.simulate(SQUARE, beta=0.02, draws=300, chains=1, seed=0, sampler="exact")  # nothing to see a rate by
    post = hl.learn(data, Couplings(SQUARE.lattice, flip=[dist.Beta(1, 20)] * priors), check=False)
    said = [one for one in hl.verdict(post).reasons if one.topic == "readout errors"]
    assert [one.severity for one in said] == ["caution"]


def test_a_rate_that_few_rows_say_roughly_is_no_ground_for_belief(unlisted):
    data = misread(hl.simulate(SQUARE, beta=0.6, draws=150, chains=1, seed=31, sampler="exact"), 0.05)
    post = hl.learn(data.drop_vars(["flip", "true", "read"]), Couplings(SQUARE.lattice, fields=None, flip=dist.Beta(1, 20)), seed=0)
    verdict = hl.verdict(post)
    said = [one for one in verdict.reasons if one.topic == "readout errors"]
    assert [one.severity for one in said] == ["caution"] and "too little" in said[0].what and verdict.level != "believe"


@pytest.mark.slow
def test_many_spins_are_judged_and_predicted(tmp_path):
    world = hl.systems.EdwardsAnderson((5, 5), seed=2)
    data = misread(hl.simulate(world, beta=0.5, draws=1500, chains=1, seed=2, sampler="exact"), 0.05)
    asked = Couplings(world.lattice, flip=dist.Beta(1, 20))
    post = hl.load(hl.save(hl.learn(data.drop_vars(["flip", "true", "read"]), asked, seed=0), tmp_path / "post.nc"))
    made, found = posteriors.provenance_of(post), post["posterior"].to_dataset()
    assert made.likelihood == "exact" and not made.composite and made.check.decision == "agrees"
    assert_within(found["flip"].mean(), 0.05, found["flip"].std(), "rate")
    assert_within(found["J"].mean(("chain", "draw")), world.J, found["J"].std(("chain", "draw")), "couplings")
    band = hl.predict(post, 0.5, observables=["energy"])["energy"]
    true = hl.systems.exact.thermodynamics(world, 0.5)["energy"].item()
    assert_within(band.sel(quantity="mean").item(), true, band.sel(quantity="sd").item(), "energy")
    assert "as was learned with the couplings" in str(hl.verdict(post))


@pytest.mark.parametrize("sites", [1, 3])
def test_a_rate_from_few_rows_for_every_parameter_is_a_caution(sites):
    """Of 300 rows for 108 parameters one rate of 59 was five error bars off, and believed."""
    priors = [hl.models.Distribution(dist.Beta(1, 20))] * sites
    drawn = np.random.default_rng(0).normal(0.03, 0.002, (4, 100, sites))
    drawn = drawn[..., 0] if sites == 1 else drawn
    assert [rates.noted(drawn, priors, each).severity for each in (2.8, 9.0)] == ["caution", "note"]


def test_few_rows_for_every_parameter_are_said(unlisted):
    data = misread(hl.simulate(SQUARE, beta=0.5, draws=90, chains=1, seed=1, sampler="exact"), 0.05)
    post = hl.learn(data.drop_vars(["flip", "true", "read"]), Couplings(SQUARE.lattice, flip=dist.Beta(1, 20)), seed=0, check=False)
    said = [one for one in hl.verdict(post).reasons if one.topic == "readout errors"]
    assert [one.severity for one in said] == ["caution"] and "3.3 rows for every parameter" in said[0].what
