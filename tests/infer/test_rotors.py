"""Reweighted predictions of XY members, against quadrature over all angles of a small lattice."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.predictions import shared
from hamlearn.infer.predictions.work import Work
from hamlearn.systems import XY, lattice
from hamlearn.systems.observables import looked_up
from statistics_budget import assert_within

NAMES = ("energy", "heat_capacity", "abs_magnetization", "helicity")
OPEN = lattice.hypercubic((2, 2), periodic=False)
POINTS = 20


def members(spread, field=0.0, count=5):
    rng = np.random.default_rng(2)
    return [XY(OPEN, 1 + spread * rng.normal(size=4), field * rng.normal(size=4)) for _ in range(count)]


def by_quadrature(system, beta):
    """The observables on a grid of all four angles; a trapezoidal rule is exact for smooth periodic functions."""
    angle = np.arange(POINTS) * 2 * np.pi / POINTS
    phi = np.stack(np.meshgrid(*[angle] * 4, indexing="ij"), -1).reshape(-1, 4)
    energy = -(system.h * np.cos(phi)).sum(1)
    bend, twist = np.zeros((2, len(phi))), np.zeros((2, len(phi)))
    for (i, j), J in zip(OPEN.bonds, system.J, strict=True):
        energy -= J * np.cos(phi[:, i] - phi[:, j])
        axis = 0 if abs(i - j) == 2 else 1  # sites in rows: 0 1 / 2 3
        bend[axis] += J * np.cos(phi[:, i] - phi[:, j])
        twist[axis] += J * np.sin(phi[:, i] - phi[:, j])
    weight = np.exp(-beta * energy)
    weight /= weight.sum()
    mean = weight @ energy
    stiffness = (bend @ weight - beta * (twist**2 @ weight)).mean() / 4
    size = weight @ np.abs(np.exp(1j * phi).mean(1))
    return [mean / 4, beta**2 * (weight @ (energy - mean) ** 2) / 4, size, stiffness]


@pytest.mark.parametrize("field", [0.0, 0.05])
def test_every_member_has_its_own_averages(field):
    systems, betas = members(0.15, field), np.array([0.5, 1.2])
    found = shared.reweighted(systems, betas, looked_up(NAMES, systems[0]), seed=3, work=Work(), updates=1 << 18)
    exact = np.array([[by_quadrature(system, beta) for beta in betas] for system in systems])
    for k, name in enumerate(NAMES):
        one = found[name]
        assert one.values.shape == one.errors.shape == (5, 2)
        assert_within(one.values, exact[..., k], np.hypot(one.errors, one.shared), name)
        # What tells members apart is known better than what they share: the point of reweighting.
        apart = [values - values.mean(0) for values in (one.values, exact[..., k])]
        assert_within(apart[0], apart[1], one.errors + 1e-12, f"differences of {name}")
        assert np.mean(one.errors) < 0.7 * np.mean(one.shared)


def test_members_far_apart_are_left_to_their_own_simulations():
    systems = members(1.5)
    assert shared.reweighted(systems, np.array([1.5]), looked_up(["energy"], systems[0]), seed=0, work=Work(), updates=1 << 16) is None


def test_predictions_resolve_a_posterior_narrower_than_the_noise(monkeypatch):
    """The width of the band against what the fluctuations of a simulation say of dE/dJ."""
    monkeypatch.setattr(shared, "UPDATES", 1 << 20)
    data = hl.simulate(XY((5, 5)), beta=0.9, draws=250, chains=8, seed=0, thin=3)
    post = hl.infer.learn(data, hl.models.Couplings(lattice.hypercubic((5, 5)), tie="uniform", fields=None), engine="laplace")
    curve = hl.infer.predict(post, [0.8, 1.1], observables=("energy", "vortex_density", "helicity"), draws=24)
    assert "reweighted" in curve["energy"].attrs["method"]
    J = post["posterior"]["J"].values
    for k, beta in enumerate((0.8, 1.1)):
        # Of one J for all bonds E depends on beta J only, so that sd(E)/E is sd(J)/J (1 + d ln E / d ln beta).
        x = hl.simulate(XY((5, 5)), beta=beta, draws=500, chains=8, seed=9, thin=3)["state"].values
        energy = XY((5, 5)).energy(x) / 25
        slope = energy.mean() - beta * 25 * energy.var()
        assert float(curve["energy"].sel(quantity="sd")[k]) == pytest.approx(abs(slope) * J.std(), rel=0.5)
        assert float(curve["energy"].sel(quantity="mean")[k]) == pytest.approx(energy.mean(), abs=0.03)
