"""One more observable is one record: known to predictions of couplings, densities and rotors, with its error, and to the page."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer.predictions import members
from hamlearn.systems import XY, Ising, exact, lattice
from hamlearn.systems.observables import Observable, looked_up
from statistics_budget import assert_within


def alike(states, system, beta):
    """A stranger's own: how much the first two sites agree."""
    first, second = states.reshape(len(states), -1)[:, :2].T
    return np.cos(first - second) if system.space.continuous else first * second


ALIKE = Observable("alike", "mean of s_0 s_1", alike)


def couplings_post():
    data = hl.simulate(Ising((3, 3)), beta=0.3, draws=800, chains=2, seed=0)
    return hl.learn(data, hl.models.Couplings(lattice.hypercubic((3, 3)), tie="uniform", fields=None), engine="laplace", check=False)


def test_binder_cumulants_are_those_of_a_plain_sum_over_states():
    system, betas = Ising((3, 3), J=0.9, h=0.1), np.array([0.2, 0.6])
    found = members.estimate([system], betas, looked_up(["binder"], system), 0)["binder"]
    for k, beta in enumerate(betas):
        total = square = fourth = 0.0
        for state in itertools.product([-1, 1], repeat=9):
            weight, m = np.exp(-beta * float(system.energy(np.array(state)))), sum(state) / 9
            total, square, fourth = total + weight, square + weight * m**2, fourth + weight * m**4
        assert found.values[0, k] == pytest.approx(1 - (fourth / total) / (3 * (square / total) ** 2), rel=1e-9)
    assert not found.errors.any() and found.method == "exact (enumeration)"


def test_a_record_of_ones_own_is_predicted_from_couplings(tmp_path):
    post = couplings_post()
    curve = hl.predict(post, [0.2, 0.4], observables=["energy", ALIKE, "binder"], draws=20)
    assert curve["alike"].attrs["long_name"] == "mean of s_0 s_1" and curve.attrs["operations"] > 0
    J = hl.draw_systems(post, 20)[0].J[0]
    known = exact.expectations(Ising((3, 3), J=J), [0.2, 0.4])["correlation"].values[:, 0]
    assert np.all(np.abs(curve["alike"].sel(quantity="mean") - known) < 5 * curve["alike"].sel(quantity="sd"))
    hl.report(post, tmp_path / "page.html", prediction=curve)  # a page shows what it does not know
    with pytest.raises(HamlearnError, match="must differ by name"):
        hl.predict(post, 0.2, observables=[ALIKE, ALIKE])
    with pytest.raises(HamlearnError, match="one number per draw"):
        hl.predict(post, 0.2, observables=[Observable("bad", "wrong", lambda states, system, beta: 1.0)])


def test_and_from_a_learned_density():
    data = hl.simulate(Ising((3, 3)), beta=0.3, draws=1000, seed=0)
    post = hl.learn(data, hl.models.Autoregressive(hidden=8, members=2), engine=hl.infer.Training(epochs=3), check=False)
    curve = hl.predict(post, [0.25, 0.3], observables=[ALIKE, "binder"])
    states = exact.distribution(Ising((3, 3)), 0.3)[0]
    first = states.reshape(512, -1)[:, 0] * states.reshape(512, -1)[:, 1]
    for k, beta in enumerate((0.25, 0.3)):
        weight = [np.exp(beta / 0.3 * np.asarray(one.log_prob(states))) for one in hl.draw_systems(post, 2)]
        truth = np.mean([w @ first / w.sum() for w in weight])
        assert_within(float(curve["alike"][k, 0]), truth, float(curve["alike"][k, 4]), "a stranger's observable of densities")


def test_and_from_rotors_whose_members_share_their_microstates():
    systems, beta = [XY((2, 2), J=J) for J in (0.95, 1.0, 1.05)], 0.7
    found = members.estimate(systems, np.array([beta]), looked_up([ALIKE, "binder"], systems[0]), seed=1)["alike"]
    assert "reweighted" in found.method
    angle = 2 * np.pi * np.arange(48) / 48
    phi = np.stack(np.meshgrid(angle, angle, angle, indexing="ij"), -1).reshape(-1, 3)
    phi = np.concatenate([np.zeros((len(phi), 1)), phi], 1)  # one angle is free
    truth = []
    for system in systems:
        weight = np.exp(-beta * np.asarray(system.energy(phi.reshape(-1, 2, 2))))
        truth.append(weight @ np.cos(phi[:, 0] - phi[:, 1]) / weight.sum())
    assert_within(found.values[:, 0], np.array(truth), np.hypot(found.errors[:, 0], found.shared[0]), "a stranger's observable")


@pytest.mark.parametrize("method", ["exact (enumeration)", "simulated"])
def test_a_record_may_ask_for_the_energy_of_other_states(method, monkeypatch):
    """What flipping all spins costs: 2 h Σσ."""
    if method == "simulated":
        monkeypatch.setattr(members.exact, "oracle", lambda *arguments, **options: None)
    system = Ising((3, 3), J=0.2, h=0.3)
    flip = Observable("flip", "E(-s) - E(s)", lambda states, system, beta: system.energy(-states) - system.energy(states))
    found = members.estimate([system], np.array([0.4]), (flip,), 0)["flip"]
    states, p = exact.distribution(system, 0.4)
    truth = 2 * 0.3 * p @ states.reshape(len(states), -1).sum(1)
    assert found.method.startswith(method)
    assert abs(found.values[0, 0] - truth) <= 5 * found.errors[0, 0] + 1e-9
