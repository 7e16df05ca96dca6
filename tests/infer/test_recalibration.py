"""Networks against the microstates they were learned from, judged by enumeration: intervals, alarms and the error of the entropy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.densities import observed, recalibration
from hamlearn.infer.predictions import densities
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.infer.predictions.widening import widened
from hamlearn.infer.predictions.work import Work
from hamlearn.systems.observables import looked_up

BETA = 0.44
CODES = (1 - 2 * ((np.arange(512)[:, None] >> np.arange(9)) & 1)).reshape(-1, 3, 3)
ENERGY = -(CODES * (np.roll(CODES, 1, 1) + np.roll(CODES, 1, 2))).sum((1, 2))


class Table:
    """A density of nine spins as a table: what the comparison asks of a network."""

    space, shape, elements = hl.systems.SPINS, (3, 3), 1

    def __init__(self, log_q):
        self.log_q = log_q - np.log(np.exp(log_q).sum())

    def log_prob(self, states, beta=None):
        return self.log_q[((1 - np.asarray(states).reshape(-1, 9)) // 2) @ 2 ** np.arange(9)]

    def sample(self, count, seed, beta=None):
        return CODES[np.random.default_rng(seed).choice(512, count, p=np.exp(self.log_q))]


def truth(beta=BETA):
    log_p = -beta * ENERGY
    return log_p - np.log(np.exp(log_p).sum())


def rows(count=6000, seed=0, bootstrap=None):
    states = CODES[np.random.default_rng(seed).choice(512, count, p=np.exp(truth()))]
    flat = (states.reshape(-1, 9) + 1) // 2
    heldout = np.arange(count) >= 0.8 * count
    columns = observed.columns_of(flat, hl.systems.SPINS)
    return observed.ObservedRows(states, columns, np.ones(count), heldout, bootstrap, float(count))


def test_the_truth_is_not_accused_and_a_cold_density_is():
    z = [observed.compare([Table(truth())] * 2, rows(seed=seed), seed)[1] for seed in range(12)]
    assert max(abs(one["mean_z"]) for one in z) < 4 and max(one["rival_z"] for one in z) < 2.6
    for log_q in (0.85 * truth(), 1.15 * truth()):  # a density at the wrong temperature: ln q itself differs
        found = observed.compare([Table(log_q)] * 2, rows(), 0)[1]
        assert abs(found["mean_z"]) > 2.6 and found["rival_z"] > 2.6
    twisted = truth() + 0.5 * (CODES[:, 0, 0] * CODES[:, 1, 2] * 1.0)  # one bond too many, the energy about right
    assert observed.compare([Table(twisted)] * 2, rows(), 0)[1]["rival_z"] > 2.6


def test_recalibration_gives_back_a_density_that_is_a_function_of_ln_q():
    """q of the wrong temperature, and of a wrong curvature in the energy, is repaired by two moments of ln q."""
    for log_q in (Table(0.8 * truth()).log_q, Table(truth() + 0.002 * ENERGY.astype(float) ** 2).log_q):
        network, p = Table(log_q), np.exp(truth())
        location, scale = p @ network.log_q, np.sqrt(p @ network.log_q**2 - (p @ network.log_q) ** 2)
        exact = recalibration.Observed(location, scale, np.array([0.0, 1.0]), np.eye(2) * 1e-6)
        drawn = network.log_prob(network.sample(200_000, 1))
        found = recalibration.recalibrated(drawn, exact)
        weight = np.exp(found - drawn)
        entropy = -np.average(found, weights=weight)
        assert entropy == pytest.approx(-(p @ truth()), abs=0.02)
        assert np.average((found + entropy) ** 2, weights=weight) == pytest.approx(p @ truth() ** 2 - (p @ truth()) ** 2, rel=0.03)


def test_optimism_is_what_a_weight_does_to_its_own_microstate():
    """Networks that add 0.3 · (weight − 1) to ln q of a microstate know what they saw better by 0.3, and no held-out mean could tell."""
    rng = np.random.default_rng(0)
    bootstrap = np.ones((4, 6000))
    bootstrap[:, :4800] = rng.exponential(size=(4, 4800))
    base, scatter = rng.normal(-5, 2, size=6000), rng.normal(0, 0.1, size=(4, 6000))
    log_q = base + scatter + 0.3 * (bootstrap - 1) * (np.arange(6000) < 4800)
    found = observed._moments(log_q, rows(bootstrap=bootstrap))
    assert found["optimism"] == pytest.approx(0.3, abs=0.02)


def test_the_interval_reaches_to_what_was_observed():
    values = np.array([[1.2], [1.3], [1.25], [1.25]])
    second = Estimates(values, np.zeros((4, 1)), "", shared=np.array([0.1]))
    mean, sd, lower, upper = widened((np.ones(1), np.full(1, 0.01), np.full(1, 0.97), np.full(1, 1.03)), second, 0.9)
    spread = values.std(ddof=1)
    half = np.hypot(2.3533634348018264 * spread * np.sqrt(1.25), 1.6448536269514722 * 0.1)  # t with 3 degrees of freedom
    assert mean == 1 and lower == 0.97 and upper == pytest.approx(1.25 + half)
    assert sd == pytest.approx(np.sqrt(0.01**2 + 0.25**2 + 0.1**2))


_made = {}


def ensemble():
    if not _made:
        choice = np.random.default_rng(5).choice(512, 4000, p=np.exp(truth()))
        data = hl.microstates(CODES[choice], space="spins", beta=BETA)
        settings = hl.infer.Training(epochs=12, batch=100, learning_rate=5e-3, threads=1)
        _made["post"] = hl.learn(data, hl.models.Autoregressive(hidden=32, members=4), engine=settings, seed=0)
    return _made["post"]


def test_bands_of_an_ensemble_hold_what_enumeration_says(tmp_path):
    post = hl.load(hl.save(ensemble(), tmp_path / "post.nc"))
    found = hl.predict(post, beta=[0.7 * BETA, BETA, 1.3 * BETA], observables=["energy", "heat_capacity", "entropy"], seed=1)
    for k, share in enumerate((0.7, 1.0, 1.3)):
        p = np.exp(truth(share * BETA))
        mean, variance = p @ ENERGY, p @ ENERGY**2 - (p @ ENERGY) ** 2
        zero = -(truth()[0] + BETA * ENERGY[0]) / BETA  # −ln p/β counts from the normalisation
        exact = {"energy": (mean + zero) / 9, "heat_capacity": (share * BETA) ** 2 * variance / 9, "entropy": -(p @ np.log(p)) / 9}
        for name, value in exact.items():
            _, sd, lower, upper, _ = found[name][k].values
            assert lower < value < upper and lower < upper and sd > 0, (share, name, value, found[name][k].values)
    assert "recalibrated on the observed microstates" in found["energy"].attrs["method"]


def test_the_error_of_the_entropy_holds_what_networks_share():
    found, p = hl.estimate(ensemble(), n=4000), np.exp(truth())
    seen = posteriors.provenance_of(ensemble()).training["observed"]
    assert np.all(found["entropy_error"] > seen["entropy_data_error"]) and np.all(found["entropy_error"] > found["entropy_sampling_error"])
    assert np.all(np.abs(found["entropy"] + p @ np.log(p)) < 3 * found["entropy_error"])


def test_the_verdict_reads_what_was_compared():
    post = ensemble().copy(deep=True)
    told = str(hl.verdict(post))
    assert "t intervals over 4 networks" in told and "ln q of held-out microstates is that of the networks' own draws" in told
    record = posteriors.provenance_of(post)
    for change, words in (
        ({"mean_z": -3.1}, "mean of ln q over held-out"),
        ({"rival_z": 2.7, "rival_gain": 0.02}, "a fit of pair products"),
    ):
        training = record.training | {"observed": record.training["observed"] | change}
        worse = hl.verdict(posteriors.with_provenance(post, training=training))
        assert worse.level != "believe" and any(words in one.what and one.severity == "caution" for one in worse.reasons)
    posteriors.with_provenance(post, training=record.training | {"observed": record.training["observed"] | {"mean_z": None}})
    assert "too few to compare" in str(hl.verdict(post))


class Normal:
    """Three independent normal reals of the wrong width, as a network."""

    conditioned, observed, shape = False, None, (3,)

    def __init__(self, width, beta):
        self.width, self.beta = width, beta

    def log_prob(self, states, beta=None):
        return -(np.asarray(states) ** 2).sum(-1) / (2 * self.width**2) - 3 * np.log(self.width) - 1.5 * np.log(2 * np.pi)

    def sample(self, count, seed, beta=None):
        return np.random.default_rng(seed).normal(scale=self.width, size=(count, 3))


def test_densities_of_reals_are_recalibrated_by_their_moments():
    """Microstates of width 1: their moments of ln q, in closed form, turn densities of width 1.1 into the truth."""
    networks = []
    for width in (1.1, 1.12):
        one = Normal(width, 2.0)
        location, scale = one.log_prob(np.ones(3)), np.sqrt(1.5) / width**2  # Var of x²/2w² summed over three is 3/(2w⁴)
        one.observed = recalibration.Observed(float(location), float(scale), np.array([0.0, 1.0]), np.diag([1e-4, 2e-4]))
        networks.append(hl.systems.LearnedDensity(hl.systems.lattice.hypercubic(3), hl.systems.REALS, 2.0, one.log_prob))
    records = looked_up(["energy", "heat_capacity", "squared_position"], networks[0])
    found, _ = densities.from_densities(networks * 3, np.array([2.0]), records, 0, Work())
    entropy = 1.5 * np.log(2 * np.pi * np.e)
    exact = {"energy": entropy / 2 / 3, "heat_capacity": 0.5, "squared_position": 1.0}
    for name, value in exact.items():
        second = found[name].recalibrated
        assert len(found[name].values) == 2, "every network counts once"
        error = np.sqrt(second.errors[:, 0] ** 2 + second.shared**2)
        np.testing.assert_allclose(second.values[:, 0], value, atol=4 * error.max())
    assert np.all(np.abs(found["squared_position"].values - 1) > 0.15)  # as they are: 1.21 and 1.25
    # d(entropy) = −d⟨ln p⟩ at first order: one standard error of the mean of z, 0.01, times the scale of ln p, per site and β.
    assert found["energy"].recalibrated.shared[0] == pytest.approx(0.01 * np.sqrt(1.5) / 6, rel=0.2)
    assert found["heat_capacity"].recalibrated.shared[0] > 0.5 * np.sqrt(2e-4)
    with pytest.raises(HamlearnError, match="a density of paths knows beta = 2 only"):
        densities.from_densities(networks, np.array([2.0, 3.0]), records, 0, Work())


@pytest.mark.parametrize("target", [0.7, 3.0, 60.0])
def test_moments_are_matched_as_far_as_the_ridge_lets_them(target):
    """60 is beyond what draws of z² can be weighted to within the ridge: the optimum is still found."""
    z, ridge = np.random.default_rng(5).normal(0, 3.5, size=3000), 1e-3
    columns, moments = np.stack([z, z**2], 1), np.array([0.0, target])

    def loss(strength):
        exponent = columns @ strength
        return scipy.special.logsumexp(exponent) - strength @ moments + 0.5 * ridge * strength @ strength

    theirs = scipy.optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000})
    np.testing.assert_allclose(recalibration.tilt(columns, moments, ridge), theirs.x, atol=1e-5)


def test_intervals_of_ln_p_hold_it():
    band = hl.infer.log_prob_band(ensemble(), CODES)
    inside = (band["lower"].values < truth()) & (truth() < band["upper"].values)
    assert np.exp(truth()) @ inside > 0.8 and np.all(band["sd"] > 0) and band["mean"].dims == ("axis_0",)
    own = hl.log_prob(ensemble(), CODES).values
    half = 2.3533634348018264 * own.std(0, ddof=1) * np.sqrt(1.25)
    assert np.all(band["lower"] <= own.mean(0) - half + 1e-9) and np.all(band["upper"] >= own.mean(0) + half - 1e-9)
    with pytest.raises(HamlearnError, match="level, the probability"):
        hl.infer.log_prob_band(ensemble(), CODES, level=1.0)
    data = hl.microstates(CODES[:40], space="spins", beta=BETA)
    alone = hl.infer.learn(data, hl.models.Autoregressive(hidden=8), engine=hl.infer.Training(epochs=1), seed=0)
    with pytest.raises(HamlearnError, match="needs an ensemble of networks"):
        hl.infer.log_prob_band(alone, CODES)
