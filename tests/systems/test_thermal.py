"""Thermal fields: the action by plain loops, and the closed form of free ones against determinants and differences."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.systems import ThermalField, exact, from_dict
from statistics_budget import assert_within

QUARTIC = ThermalField((4, 3, 2), [0.1, 0.5, 0.0, 0.2], kinetic=1.2, gradient=0.7)
FREE = ThermalField((6, 4), [0.0, 0.4], kinetic=1.3, gradient=[0.6, 0.1])


def test_kinetic_and_potential_part_by_plain_loops():
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    K, V = 0.0, 0.0
    for t, i, j in np.ndindex(4, 3, 2):
        K += 4 * 1.2 / 2 * (x[(t + 1) % 4, i, j] - x[t, i, j]) ** 2
        V += 0.7 / 2 * ((x[t, (i + 1) % 3, j] - x[t, i, j]) ** 2 + (x[t, i, (j + 1) % 2] - x[t, i, j]) ** 2) / 4
        V += (0.1 * x[t, i, j] + 0.5 * x[t, i, j] ** 2 + 0.2 * x[t, i, j] ** 4) / 4
    for beta in (0.5, 3.0):
        assert float(QUARTIC.action(x, beta)) == pytest.approx(K / beta + beta * V)
    assert float(QUARTIC.energy(x)) == pytest.approx(V)
    given = ThermalField((4, 3, 2), [0.1, 0.5, 0.0, 0.2], 1.2, 0.7, a=0.25)
    assert float(given.action(x, 9.0)) == pytest.approx(K + V), "with a width of its own it is that of beta = 4a"


def log_z(field, beta):
    """Log Z with the factors of the path integral, by the determinant of an explicit matrix."""
    times, n = field.lattice.shape[0], field.lattice.n_sites
    unit = np.eye(n).reshape(n, *field.lattice.shape)
    pairs = np.array([[float(field.action(a + b, beta) - field.action(a, beta) - field.action(b, beta)) for a in unit] for b in unit])
    return 0.5 * (n * np.log(field.kinetic[0] * times / beta) - np.linalg.slogdet(pairs)[1]), np.linalg.inv(pairs)


def test_free_thermal_fields_in_closed_form():
    beta, step, space = 1.7, 1e-3, 4
    below, (here, covariance), above = log_z(FREE, beta - step), log_z(FREE, beta), log_z(FREE, beta + step)
    energy, bend = -(above[0] - below[0]) / (2 * step), (above[0] - 2 * here + below[0]) / step**2
    known = exact.thermodynamics(FREE, [beta]).isel(beta=0)
    assert exact.method(FREE) == "gaussian"
    assert float(known.energy) == pytest.approx(energy / space, rel=1e-6)
    assert float(known.heat_capacity) == pytest.approx(beta**2 * bend / space, rel=1e-4)
    assert float(known.free_energy) == pytest.approx(-here / beta / space)
    assert float(known.entropy) == pytest.approx((here + beta * energy) / space, rel=1e-6)
    assert float(known.squared_field) == pytest.approx(covariance[0, 0])
    np.testing.assert_allclose(exact.free.propagator(FREE, beta).ravel(), covariance[0], rtol=1e-10)
    np.testing.assert_allclose(np.linalg.inv(FREE.quadratic_form(beta)), covariance, rtol=1e-8)


def test_one_site_of_space_is_a_path():
    """The closed form against the transfer operator: other code."""
    path, field = hl.systems.Path(12, hl.systems.Polynomial([0, 0.5]), 1.3), ThermalField((12, 1), [0, 0.5], 1.3)
    known, found = (exact.thermodynamics(system, [2.0, 3.0]) for system in (path, field))
    for name in ("energy", "heat_capacity", "entropy", "free_energy", "action"):
        np.testing.assert_allclose(found[name].values, known[name].values, rtol=1e-7)
    np.testing.assert_allclose(found["squared_field"].values, known["squared_position"].values, rtol=1e-7)


def test_older_files_and_mistakes():
    description = hl.systems.RangedField((8,), [1.0, 0.3], [0, 0.5, 0, 0.1], path=True).to_dict()
    del description["gradient"]
    assert from_dict(description).to_dict()["gradient"] == []
    for wrong in ({"path": True}, {"gradient": 1.0}, {"path": True, "gradient": 1.0, "a": -1.0}):
        with pytest.raises(hl.HamlearnError, match="path"):
            hl.systems.Field((4, 4), 1.0, [0, 0.5], **wrong)
    with pytest.raises(hl.HamlearnError, match="do not confine"):
        ThermalField((4, 4), [0, 0.5], gradient=-1.0)


def test_thermal_energies_of_microstates_average_to_the_closed_form():
    field, beta = ThermalField((6, 4), [0.0, 0.4], kinetic=1.3, gradient=0.6), 1.7
    energy, slope = field.thermal(exact.sample(field, beta, 40_000, seed=2), beta)
    known = exact.thermodynamics(field, [beta]).isel(beta=0)
    squares = beta**2 * ((energy - energy.mean()) ** 2 - slope) / 4
    found, expected = [energy.mean() / 4, squares.mean()], [float(known["energy"]), float(known["heat_capacity"])]
    assert_within(found, expected, [energy.std() / 4 / 200, squares.std() / 200], "thermal energy and heat capacity")
