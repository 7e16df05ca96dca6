"""XY rotors against plain loops, published values, and quadrature over the angles."""

from __future__ import annotations

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special

from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.systems import XY, System, exact, lattice

# A new lattice is one line.
SYSTEMS = {
    "square": lambda: XY((3, 4), J=0.7),
    "double bonds in a field": lambda: XY((2, 2), J=np.arange(8.0), h=[1, 2, 3, 4]),
    "open chain": lambda: XY(6, periodic=False, h=0.3),
    "triangular": lambda: XY(lattice.triangular((3, 3)), J=-1.0),
    "cubic": lambda: XY((2, 3, 2), J=1.3),
    "graph": lambda: XY([[0, 3], [3, 1]], J=[1.5, -0.5]),
}
every_system = pytest.mark.parametrize("system", [pytest.param(make, id=name) for name, make in SYSTEMS.items()])


def plain_energy(system, angles):
    """H = −Σ J cos(φ_i − φ_j) − Σ h cos φ_i, one term at a time."""
    angles, total = np.ravel(angles).tolist(), 0.0
    for (i, j), coupling in zip(system.lattice.bonds.tolist(), system.J.tolist(), strict=True):
        total -= coupling * np.cos(angles[i] - angles[j])
    return total - sum(field * np.cos(angles[i]) for i, field in enumerate(system.h.tolist()))


def some_angles(system, *lead, seed=0):
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (*lead, *system.lattice.shape))


@every_system
def test_energy_is_the_double_loop(system):
    system = system()
    angles = some_angles(system, 2, 5)
    expected = [[plain_energy(system, one) for one in row] for row in angles]
    np.testing.assert_allclose(system.energy(angles), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(system.energy(angles.reshape(2, 5, -1)), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(system.action(angles, 0.4), 0.4 * np.array(expected), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(system.energy(torch.as_tensor(angles)).numpy(), expected, rtol=1e-12, atol=1e-12)
    assert isinstance(system, System) and system.space.name == "angles" and system.pure_jax


@every_system
def test_gradient(system):
    system = system()
    angles = some_angles(system, seed=2).ravel()
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(system.energy)(jnp.asarray(angles)))
    for i in range(angles.size):
        step = 1e-5 * np.eye(angles.size)[i]
        slope = (plain_energy(system, angles + step) - plain_energy(system, angles - step)) / 2e-5
        assert gradient[i] == pytest.approx(slope, abs=1e-7)


@every_system
def test_round_trip_through_json(system):
    system = system()
    back = systems.from_dict(json.loads(json.dumps(system.to_dict())))
    assert repr(back) == repr(system)
    angles = some_angles(system, 3)
    np.testing.assert_array_equal(back.energy(angles), system.energy(angles))


def test_mistakes_are_named():
    for mistake, message in (
        (lambda: XY((2, 2), J=[1.0, 2.0]), "J must be"),
        (lambda: XY((2, 2), J=np.nan), "finite"),
        (lambda: XY((2, 0)), "positive integers"),
        (lambda: XY((3, 3)).energy(np.zeros(4)), "site axes"),
        (lambda: exact.log_partition(XY((5, 5)), 1.0), "XY lattices up to 4 wide"),
        (lambda: exact.log_partition(XY((2, 2), h=0.1), 1.0), "without field"),
        (lambda: exact.sample(XY((2, 2)), 1.0, 3, seed=0), "got XY"),
        (lambda: exact.log_partition(XY((4, 4)), 30.0), "lower beta"),
    ):
        with pytest.raises(HamlearnError, match=message):
            mistake()


# ---------------------------------------------------------------------- the character expansion
CHECKS = {(2, 1.0): 0.9238488, (3, 0.5): 0.1570418, (3, 1.0): 0.7295023, (4, 0.5): 0.1373275, (4, 1.0): 0.6654676}


@pytest.mark.parametrize("case", CHECKS)
def test_published_values_of_log_z_per_site(case):
    extent, beta = case
    assert exact.log_partition(XY((extent, extent)), beta) / extent**2 == pytest.approx(CHECKS[case], abs=6e-8)


def quadrature(system, beta, points=32):
    """Z and the moments of H over all angles of four sites on a grid; the first angle is fixed, by symmetry."""
    grid = 2 * np.pi * np.arange(points) / points
    angles = np.array(list(itertools.product(*[grid] * (system.lattice.n_sites - 1))))
    angles = np.concatenate([np.zeros((len(angles), 1)), angles], 1)
    energy = np.zeros(len(angles))
    for (i, j), coupling in zip(system.lattice.bonds, system.J):
        energy -= coupling * np.cos(angles[:, i] - angles[:, j])
    weights = np.exp(-beta * energy)
    return angles, energy, weights


@pytest.mark.parametrize("J", [1.0, [0.5, 1.2, -0.7, 0.3, 1.0, -0.4, 0.8, 0.6]])
def test_characters_agree_with_quadrature(J):
    system, beta = XY((2, 2), J=J), 0.9
    _, energy, weights = quadrature(system, beta)
    mean = (weights @ energy) / weights.sum()
    variance = (weights @ (energy - mean) ** 2) / weights.sum()
    assert exact.log_partition(system, beta) == pytest.approx(np.log(weights.mean()), abs=1e-9)
    found = exact.thermodynamics(system, beta).isel(beta=0)
    assert float(found.energy) == pytest.approx(mean / 4, abs=1e-9)
    assert float(found.heat_capacity) == pytest.approx(beta**2 * variance / 4, abs=1e-8)
    assert float(found.entropy) == pytest.approx((np.log(weights.mean()) + beta * mean) / 4, abs=1e-9)


def test_chains_and_narrow_lattices():
    J = np.array([0.5, -1.0, 0.8, 1.1, 0.3])
    n = np.arange(-60, 61)[:, None]
    characters = np.prod(special.iv(np.abs(n), 0.7 * np.abs(J)) * np.where((n % 2 == 1) & (J < 0), -1.0, 1.0), axis=1)
    assert exact.log_partition(XY(5, J=J), 0.7) == pytest.approx(np.log(characters.sum()), abs=1e-12)
    J = np.random.default_rng(1).normal(size=12)
    wide, tall = XY((2, 3), J=J), XY((3, 2), J=np.concatenate([J[6:].reshape(2, 3).T.ravel(), J[:6].reshape(2, 3).T.ravel()]))
    assert exact.log_partition(wide, 0.8) == pytest.approx(exact.log_partition(tall, 0.8), abs=1e-11)
    assert exact.method(wide) == "characters" and exact.method(XY((3, 5), periodic=False)) is None
