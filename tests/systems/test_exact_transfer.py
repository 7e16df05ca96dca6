"""The transfer matrix beyond enumeration: other axes, plain NumPy products, extreme temperatures, samples."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import pytest
from exact_oracles import SYSTEMS, BruteForce, evaluate, glass, random

from hamlearn.systems import Clock, EdwardsAnderson, Ising, Pairwise, Potts, exact, lattice
from hamlearn.systems.exact import transfer
from hamlearn.systems.exact.layers import cut_along
from statistics_budget import assert_within


def by_transfer(system, beta, axis, linear):
    """Log Z by the cut along one given axis."""
    layers = cut_along(system.lattice, system.space.q, axis)
    with jax.enable_x64(True):
        run = jax.jit(lambda t, f: transfer.log_partition(layers, t, f, linear=linear))
        return float(run(beta * system.pairs.tables, beta * system.pairs.fields))


def test_all_axes_give_one_answer_in_both_arithmetics():
    cases = [
        EdwardsAnderson((3, 3, 3), seed=2, h=random(27)),
        glass(lattice.triangular((4, 6))),
        glass(lattice.honeycomb((4, 3))),
        Clock((3, 4), 3, J=random(24), h=random(12, 3)),
    ]
    for system in cases:
        values = [by_transfer(system, 0.8, axis, linear=axis == 0) for axis in (0, 1)]
        assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_cubic_layers_of_nine_match_enumeration():
    system = EdwardsAnderson((2, 3, 3), seed=4, h=0.2)
    assert cut_along(system.lattice, 2, 0).width == 9
    value, pair, site = evaluate(system, 0.6, "enumeration")
    for arithmetic in ("linear", "log"):
        other, pairs, sites = evaluate(system, 0.6, "transfer", arithmetic)
        assert other == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(pairs, pair, atol=1e-11)
        np.testing.assert_allclose(sites, site, atol=1e-11)


def test_three_cubed_matches_a_dense_numpy_product():
    system, beta = EdwardsAnderson((3, 3, 3), seed=5), 0.9
    rows = np.array(list(itertools.product([-1, 1], repeat=9)))
    product = None
    for layer in range(3):
        matrix = np.zeros((512, 512))
        for bond, (i, j) in enumerate(system.lattice.bonds.tolist()):
            if i // 9 == layer and j // 9 == (layer + 1) % 3:
                matrix += beta * system.J[bond] * np.outer(rows[:, i % 9], rows[:, j % 9])
            elif i // 9 == layer and j // 9 == layer:
                matrix += beta * (system.J[bond] * rows[:, i % 9] * rows[:, j % 9])[:, None]
        matrix = np.exp(matrix)
        product = matrix if product is None else product @ matrix
    assert exact.log_partition(system, beta) == pytest.approx(math.log(np.trace(product)), rel=1e-12)


def test_open_strip_sixteen_wide():
    # Layers of 2^16 states: the two directions of a 16×5 open glass are different products.
    system = glass(lattice.hypercubic((5, 16), periodic=False))
    np.testing.assert_allclose(by_transfer(system, 0.5, 0, linear=True), by_transfer(system, 0.5, 1, linear=True), rtol=1e-12)


def test_long_chain_in_closed_form():
    beta, n = 0.7, 500
    truth = n * math.log(2 * math.cosh(beta)) + math.log1p(math.tanh(beta) ** n)
    assert exact.log_partition(Ising(n), beta) == pytest.approx(truth, rel=1e-12)


def test_gradient_matches_finite_differences():
    system, step = EdwardsAnderson((4, 6), seed=1, h=random(24)), 1e-5
    log_z = exact.log_partition_function(system.lattice)
    _, pairs, sites = evaluate(system, 1.0, None)
    with jax.enable_x64(True):
        run = jax.jit(log_z)
        for which, gradient in enumerate((pairs, sites)):
            for index in [(0, 0, 1), (17, 1, 0), (40, 1, 1)] if which == 0 else [(3, 0), (20, 1)]:
                values = []
                for sign in (1, -1):
                    arguments = [system.pairs.tables, system.pairs.fields]
                    arguments[which][index] += sign * step
                    values.append(float(run(*arguments)))
                assert gradient[index] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-8)


def test_jit_grad_vmap_and_hessian():
    system = EdwardsAnderson((3, 5), seed=1)
    log_z = exact.log_partition_function(system.lattice, 2, "transfer", arithmetic="linear")
    tables, fields = system.pairs.tables, system.pairs.fields
    betas = np.array([0.2, 0.5, 0.9])
    with jax.enable_x64(True):
        batch = np.asarray(jax.jit(jax.vmap(lambda b: log_z(b * tables, b * fields)))(betas))
        curvature = float(jax.jit(jax.hessian(lambda b: log_z(b * tables, b * fields)))(0.5))
    np.testing.assert_allclose(batch, exact.log_partition(system, betas), rtol=1e-12)
    heat = float(exact.thermodynamics(system, 0.5).heat_capacity[0])
    assert 0.25 * curvature / system.lattice.n_sites == pytest.approx(heat, rel=1e-10)


def ground_energy(system, width):
    """Ground-state energy of a torus of rows by a max-plus product in NumPy; bonds one by one."""
    rows, n_rows = np.array(list(itertools.product([-1.0, 1.0], repeat=width))), system.lattice.shape[0]
    product = None
    for r in range(n_rows):
        matrix = np.zeros((len(rows), len(rows)))
        for bond, (i, j) in enumerate(system.lattice.bonds.tolist()):
            (row_i, a), (row_j, b) = divmod(i, width), divmod(j, width)
            if row_i == r and row_j == r:
                matrix += (system.J[bond] * rows[:, a] * rows[:, b])[:, None]
            elif row_i == r:
                matrix += system.J[bond] * np.outer(rows[:, a], rows[:, b])
        product = matrix if product is None else np.array([(line[:, None] + matrix).max(0) for line in product])
    return -float(np.diagonal(product).max())


def test_zero_temperature_limit_and_the_switch_of_arithmetic():
    system = SYSTEMS["torus 3x3"]()
    ground = min(BruteForce(system, 1.0).energies)
    for method, arithmetic in (("enumeration", "auto"), ("transfer", "log"), ("transfer", "auto")):
        value, _, sites = evaluate(system, 1000.0, method, arithmetic)
        assert -value / 1000.0 == pytest.approx(ground, rel=1e-10)
        np.testing.assert_allclose(sites.sum(-1), 1, atol=1e-9)
    # Below the bound the switch takes the linear side: the same number to the last digits.
    assert evaluate(system, 0.7, "transfer")[0] == pytest.approx(evaluate(system, 0.7, "transfer", "linear")[0], rel=1e-14)


def test_glass_8x8_at_beta_100():
    system = EdwardsAnderson((8, 8), seed=7)
    assert exact.energy_range(system) * 100 > transfer.LINEAR_RANGE
    ground = ground_energy(system, 8)
    log_z = exact.log_partition(system, 100.0)
    # Without field the ground state is double: −ln Z/β = E_0 − ln 2/β up to excitations.
    assert -log_z / 100 == pytest.approx(ground - math.log(2) / 100, abs=1e-3)
    assert -log_z / 100 <= ground - math.log(2) / 100 + 1e-9
    result = exact.expectations(system, 100.0)
    assert np.all(np.isfinite(result.correlation)) and np.abs(result.correlation).max() <= 1 + 1e-12
    np.testing.assert_allclose(result.magnetization, 0, atol=1e-9)
    samples = exact.sample(system, 100.0, 20, seed=0)
    np.testing.assert_allclose(system.energy(samples), ground, atol=0.3)


def test_glass_9x9_at_beta_100_is_finite_and_below_its_samples():
    system = EdwardsAnderson((9, 9), seed=8)
    log_z = exact.log_partition(system, 100.0)
    samples = exact.sample(system, 100.0, 8, seed=0)
    assert -log_z / 100 == pytest.approx(system.energy(samples).min(), abs=0.1)


def test_linear_arithmetic_holds_up_to_its_bound_and_refuses_beyond():
    hard = Pairwise(lattice.hypercubic((4, 5)), random(40, seed=3), 4 * random(20, seed=4))
    potts = Potts((3, 4), 3, J=random(24, 3, 3), h=3 * random(12, 3))
    for system in (hard, potts):
        beta = 0.999 * transfer.LINEAR_RANGE / exact.energy_range(system)
        linear, log = (evaluate(system, beta, "transfer", arithmetic) for arithmetic in ("linear", "log"))
        for a, b in zip(linear, log, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
        assert math.isnan(evaluate(system, 1.01 * beta, "transfer", "linear")[0])


def test_samples_of_8x8_have_the_exact_energy_and_magnetization():
    system, beta, draws = EdwardsAnderson((8, 8), seed=1, h=0.1), 0.8, 4000
    samples = exact.sample(system, beta, draws, seed=5)
    energies = system.energy(samples)
    truth = exact.thermodynamics(system, beta).isel(beta=0)
    assert_within(energies.mean() / 64, float(truth.energy), energies.std() / 64 / math.sqrt(draws), "energy")
    variance = float(truth.heat_capacity) * 64 / beta**2
    centred = (energies - 64 * float(truth.energy)) ** 2
    assert_within(centred.mean(), variance, centred.std() / math.sqrt(draws), "energy variance")
    local = exact.expectations(system, beta)
    m = local.magnetization.values
    assert_within(samples.reshape(draws, -1).mean(0), m, np.sqrt((1 - m**2) / draws), "magnetization")
    i, j = system.lattice.bonds.T
    flat, c = samples.reshape(draws, -1).astype(float), local.correlation.values
    assert_within((flat[:, i] * flat[:, j]).mean(0), c, np.sqrt((1 - c**2) / draws), "correlations")
    np.testing.assert_array_equal(samples, exact.sample(system, beta, draws, seed=5))
