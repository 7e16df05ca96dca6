"""Scalar fields against plain loops and Gaussian algebra."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.systems import ScalarField, System, exact, lattice
from statistics_budget import assert_within

# A new kind of field is one line.
FIELDS = {
    "square": lambda: ScalarField((3, 4), m2=-1.0, lam=0.5),
    "double bonds": lambda: ScalarField((2, 2), m2=0.5, lam=0.1, coupling="product"),
    "open": lambda: ScalarField((3, 3), m2=0.5, lam=0.1, periodic=False),
    "triangular": lambda: ScalarField(lattice.triangular((3, 3)), m2=-1.0, lam=1.0, coupling="product"),
    "cubic": lambda: ScalarField((2, 3, 2), m2=1.0, lam=0.0),
    "slab": lambda: ScalarField((4, 1), m2=1.0, lam=0.2),
}
every_field = pytest.mark.parametrize("field", [pytest.param(make, id=name) for name, make in FIELDS.items()])


def _quartic(field):
    return field.potential.c[3] if len(field.potential.c) > 3 else 0.0


def plain_action(field, values):
    """Bond by bond and site by site."""
    phi, total = np.ravel(values).tolist(), 0.0
    for i, j in field.lattice.bonds.tolist():
        total += 0.5 * (phi[i] - phi[j]) ** 2 if field.coupling == "difference" else -phi[i] * phi[j]
    return total + sum(0.5 * (2 * field.potential.c[1]) * one**2 + _quartic(field) * one**4 for one in phi)


@every_field
def test_action_is_the_sum_over_bonds_and_sites(field):
    field = field()
    values = np.random.default_rng(0).normal(size=(2, 3, *field.lattice.shape))
    expected = np.array([[plain_action(field, one) for one in row] for row in values])
    np.testing.assert_allclose(field.energy(values), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(field.energy(values.reshape(2, 3, -1)), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(field.action(values, 0.3), 0.3 * expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(field.energy(torch.as_tensor(values)).numpy(), expected, rtol=1e-12, atol=1e-12)
    flat = values[0, 0].ravel()
    form = field.quadratic_form()
    assert 0.5 * flat @ form @ flat + _quartic(field) * (flat**4).sum() == pytest.approx(expected[0, 0])
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(field.energy)(jnp.asarray(flat)))
    np.testing.assert_allclose(gradient, form @ flat + 4 * _quartic(field) * flat**3, rtol=1e-10, atol=1e-12)
    assert isinstance(field, System) and field.space.name == "reals"


@every_field
def test_round_trip_through_json(field):
    field = field()
    back = systems.from_dict(json.loads(json.dumps(field.to_dict())))
    assert repr(back) == repr(field)
    values = np.random.default_rng(1).normal(size=(3, *field.lattice.shape))
    np.testing.assert_array_equal(back.energy(values), field.energy(values))


def test_difference_and_product_are_one_action():
    values = np.random.default_rng(2).normal(size=(5, 3, 4))
    difference = ScalarField((3, 4), m2=-1.0, lam=0.5).energy(values)
    np.testing.assert_allclose(ScalarField((3, 4), m2=3.0, lam=0.5, coupling="product").energy(values), difference)


@pytest.mark.parametrize("coupling", ["difference", "product"])
def test_the_free_field_is_gaussian(coupling):
    field, beta = ScalarField((3, 4), m2=0.6 if coupling == "difference" else 4.6, lam=0.0, coupling=coupling), 1.7
    form = beta * field.quadratic_form()
    covariance = np.linalg.inv(form)
    log_z = 6 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(form)[1]
    assert exact.log_partition(field, beta) == pytest.approx(log_z, abs=1e-12)
    np.testing.assert_allclose(exact.propagator(field, beta).ravel(), covariance[0], atol=1e-12)
    found = exact.thermodynamics(field, [beta, 1.0]).isel(beta=0)
    assert float(found.squared_field) == pytest.approx(covariance[0, 0])
    assert float(found.energy) * beta == 0.5 and float(found.entropy) == pytest.approx(log_z / 12 + 0.5)
    draws = exact.sample(field, beta, 5000, seed=1).reshape(5000, 12)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 5000)
    assert_within(draws.T @ draws / 5000, covariance, error, what="covariance of a free field's exact samples")


def test_mistakes_are_named():
    for mistake, message in (
        (lambda: ScalarField((4, 4), m2=1.0, lam=-0.1), "lam must be >= 0"),
        (lambda: ScalarField((4, 4), m2=0.0, lam=0.0), "quadratic form must be positive"),
        (lambda: ScalarField((40, 40), m2=0.0, lam=0.0), "quadratic form must be positive"),
        (lambda: ScalarField((4, 4), m2=np.inf, lam=1.0), "m2 must be a finite number"),
        (lambda: ScalarField((4, 4), m2=1.0, lam=1.0, coupling="diference"), "Did you mean 'difference'"),
        (lambda: ScalarField((4, 4), m2=1.0, lam=1.0).energy(np.zeros(5)), "site axes"),
        (lambda: exact.propagator(ScalarField((4, 4), m2=1.0, lam=1.0)), "free field"),
        (lambda: exact.log_partition(ScalarField((4, 4), m2=1.0, lam=1.0), 1.0), "lam=0"),
    ):
        with pytest.raises(HamlearnError, match=message):
            mistake()
