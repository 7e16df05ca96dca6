"""Fields with several neighbour terms against loops, Gaussian closed forms and quadrature."""

import itertools

import jax
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import Path, Polynomial, RangedField, ScalarField, from_dict
from hamlearn.systems.sampling import simulate
from statistics_budget import assert_within

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(7,), (4, 5)])
def test_action_is_the_sum_over_pairs(shape, periodic):
    kappa, c = (1.3, -0.4), (0.2, -0.5, 0.0, 0.7)
    field = RangedField(shape, kappa, c, periodic=periodic)
    x = RNG.normal(size=shape)
    total = (c[0] * x + c[1] * x**2 + c[3] * x**4).sum()
    for site in itertools.product(*map(range, shape)):
        for axis, r in itertools.product(range(len(shape)), (1, 2)):
            there = list(site)
            there[axis] += r
            if there[axis] >= shape[axis] and not periodic:
                continue
            there[axis] %= shape[axis]
            total += kappa[r - 1] / 2 * (x[tuple(there)] - x[site]) ** 2
    assert field.action(x[None], 1.5)[0] == pytest.approx(1.5 * total)
    assert field.energy(x) == pytest.approx(total)
    again = from_dict(field.to_dict())
    assert again.action(x, 0.3) == pytest.approx(0.3 * total)
    with jax.enable_x64(True):
        assert float(field.action(jax.numpy.asarray(x.ravel()), 1.5)) == pytest.approx(1.5 * total)


def test_one_distance_is_a_path_or_a_field():
    x = RNG.normal(size=(3, 8))
    path = Path(8, Polynomial([0.0, -1.0, 0.0, 1.0]), 1.2)
    ranged = RangedField((8,), [1.2], [0.0, -1.0, 0.0, 1.0], path=True)
    np.testing.assert_allclose(ranged.action(x, 3.0), path.action(x, 3.0))
    np.testing.assert_allclose(ranged.energy(x), path.energy(x))
    field = ScalarField((8,), m2=0.5, lam=0.3)
    np.testing.assert_allclose(RangedField((8,), [1.0], [0.0, 0.25, 0.0, 0.3]).action(x, 2.0), field.action(x, 2.0))


def test_a_learned_long_range_is_simulated_and_predicted():
    """Gaussian: every mode has its variance; the whole loop returns it."""
    true = RangedField((12,), [0.8, 0.5], [0.0, 0.4], path=True, a=0.5)
    wave = 2 * np.pi * np.arange(12) / 12
    curvature = (0.8 * 2 * (1 - np.cos(wave)) + 0.5 * 2 * (1 - np.cos(2 * wave))) / 0.5 + 2 * 0.5 * 0.4
    variance = np.mean(1 / curvature)
    data = simulate(true, 6.0, draws=600, chains=8, seed=1, thin=2)
    assert data.attrs["sampler"] == "hmc"
    square = (data.state.values**2).mean(-1)
    error = square.std() * np.sqrt(integrated_autocorrelation_time(square) / square.size)
    assert_within(square.mean(), variance, error, "variance of a Gaussian of range 2")
    post = hl.infer.learn(data, hl.models.PolynomialAction((2,), range=2, a=0.5))
    found = post["posterior"]["kinetic"]
    assert_within(found.mean(("chain", "draw")), [0.8, 0.5], found.std(("chain", "draw")), "neighbour terms")
    curve = hl.infer.predict(post, 6.0, observables=("squared_position",), draws=1)["squared_position"].isel(beta=0)
    assert float(curve.sel(quantity="mean")) == pytest.approx(variance, rel=0.1)


MISTAKES = {
    "short": (lambda: RangedField((3,), [1.0, 1.0], [0.0, 1.0]), "2R at most"),
    "two time axes": (lambda: RangedField((4, 4), [1.0], [0.0, 1.0], path=True), "one axis"),
    "width of a field": (lambda: RangedField((4,), [1.0], [0.0, 1.0], a=0.1), "for paths only"),
    "not confining": (lambda: RangedField((4,), [1.0], [0.0, -1.0]), "does not confine"),
    "a mode": (lambda: RangedField((8,), [-1.0], [0.0, 1.0]), "do not confine the field: a mode"),
    "at some beta": (lambda: RangedField((8,), [-1.0], [0.0, 1.0], path=True), "give a"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()
