"""Thermal fields learned at two temperatures: the terms by differences, the coefficients and a third temperature against the truth."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.models.actions import Scales
from hamlearn.systems import REALS, ThermalField, exact
from statistics_budget import assert_within

MODEL = hl.models.PolynomialAction((2, 4), family="thermal")
FREE = ThermalField((8, 4), [0.0, 0.5], kinetic=1.2, gradient=0.7)


def test_terms_are_those_of_the_system_and_have_their_derivatives():
    bound, scales = MODEL.bind(REALS, (4, 3)), Scales(2.0, 0.5)
    x, theta = np.random.default_rng(0).normal(size=(5, 4, 3)), np.array([1.2, 0.7, 0.5, 0.2])
    assert bound.parameter_names == ["kinetic", "gradient", "c[2]", "c[4]"]
    system = bound.system(theta)
    np.testing.assert_allclose(bound.action(theta, x, bound.scales(2.0)), system.action(x, 2.0))
    unit = 1e-4 * np.eye(12).reshape(12, 1, 4, 3)
    up, here, down = (bound.terms(x + sign * unit, scales) for sign in (1, 0, -1))  # (site, row, term)
    slopes = bound.gradients(x, scales).reshape(4, 5, 12)
    np.testing.assert_allclose(np.moveaxis(up - down, 0, -1) / 2e-4, np.moveaxis(slopes, 0, 1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(((up - 2 * here + down) / 1e-8).sum(0), bound.laplacians(x, scales), rtol=1e-4)


def test_two_temperatures_predict_a_third():
    sets = [hl.microstates(exact.sample(FREE, beta, 1000, seed=k), space="reals", beta=beta) for k, beta in enumerate((2.0, 4.0))]
    post = hl.learn(sets, hl.models.PolynomialAction((2,), family="thermal"), seed=0, check=False)
    found = post["posterior"].to_dataset()
    theta = np.stack([found["kinetic"].values, found["gradient"].values, found["c"].values[..., 0]], -1).reshape(-1, 3)
    assert_within(theta.mean(0), [1.2, 0.7, 0.5], theta.std(0), "coefficients of a thermal field")
    curve = hl.predict(post, [3.0], observables=["energy", "squared_field"], seed=0).isel(beta=0)
    known = exact.thermodynamics(FREE, [3.0])
    names = ("energy", "squared_field")
    at = lambda quantity: np.array([float(curve[name].sel(quantity=quantity)) for name in names])
    truth = [float(known[name].item()) for name in names]
    assert_within(at("mean"), truth, np.hypot(at("sd"), at("mc_error")), "a third temperature")
    assert np.all(at("upper") - at("lower") < 0.1 * np.array(truth)), "and the bands say something"


@pytest.mark.slow
def test_a_quartic_field_is_predicted_at_a_third_temperature():
    """In no closed form: against a fresh, longer simulation of the truth."""
    truth = ThermalField((8, 4), [0.0, -0.5, 0.0, 0.5], kinetic=1.2, gradient=0.7)
    sets = [hl.simulate(truth, beta, draws=1500, chains=4, seed=k, thin=2, progress=False) for k, beta in enumerate((1.5, 3.0))]
    post = hl.learn(sets, MODEL, seed=0)
    assert hl.verdict(post).level == "believe"
    found = post["posterior"].to_dataset()
    theta = np.concatenate([found["kinetic"].values[..., None], found["gradient"].values[..., None], found["c"].values], -1).reshape(-1, 4)
    assert_within(theta.mean(0), [1.2, 0.7, -0.5, 0.5], theta.std(0), "coefficients of a quartic thermal field")
    names = ["energy", "heat_capacity", "squared_field", "quartic_field"]
    curve = hl.predict(post, [2.2], observables=names, seed=1).isel(beta=0)
    x = hl.simulate(truth, 2.2, draws=6000, chains=8, seed=9, thin=2, progress=False)["state"].values
    energy, slope = (np.asarray(one) for one in truth.thermal(x, 2.2))
    series = [energy / 4, 2.2**2 * ((energy - energy.mean()) ** 2 - slope) / 4, (x**2).mean((-2, -1)), (x**4).mean((-2, -1))]
    fresh = np.array([one.mean() for one in series])
    noise = np.array([one.mean(1).std(ddof=1) / np.sqrt(8) for one in series])
    at = lambda quantity: np.array([float(curve[name].sel(quantity=quantity)) for name in names])
    assert_within(at("mean"), fresh, np.sqrt(at("sd") ** 2 + at("mc_error") ** 2 + 4 * noise**2), "a quartic field at a third temperature")


MISTAKES = {
    "one axis": (lambda: MODEL.bind(REALS, (8,)), "axes of space"),
    "a width": (lambda: hl.models.PolynomialAction(family="thermal", a=0.1), "beta/N_tau"),
    "products": (lambda: hl.models.PolynomialAction(family="thermal", neighbour="product"), "differences"),
    "pseudo": (
        lambda: hl.infer.learn(hl.microstates(exact.sample(FREE, 2.0, 200, seed=0), space="reals", beta=2.0), MODEL, likelihood="pseudo"),
        "likelihood='score'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()
