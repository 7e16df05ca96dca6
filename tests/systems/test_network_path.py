"""Paths with any even kinetic term: against a plain loop, brute-force integrals and independent draws."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.systems import NetworkPath, Path, Polynomial, UnitLayer, exact
from hamlearn.systems.layers import columns
from statistics_budget import assert_within

LAYER = UnitLayer([0.1, 0.5], [0.3, -0.7], [-0.5, 0.8], 0.4)
FAST = NetworkPath(3, Polynomial([0.2, 0.5]), steps=lambda d: (1 + d * d) ** 0.5 - 1)


def plain(x, c, weights, centres, width):
    value = sum(one * x ** (k + 1) for k, one in enumerate(c))
    return value + sum(w * (np.tanh((x - m) / width) + np.tanh(m / width)) for w, m in zip(weights, centres, strict=True))


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.7])
def test_a_layer_is_its_formula_and_vanishes_at_zero(x):
    expected = plain(x, LAYER.c, LAYER.weights, LAYER.centres, 0.4)
    np.testing.assert_allclose(LAYER(np.array(x)), expected, rtol=1e-12, atol=1e-12)
    even = UnitLayer([0, 0.5], [0.3], [0.8], 0.4, even=True)
    mirrored = plain(x, [0, 0.25], [0.3], [0.8], 0.4) + plain(-x, [0, 0.25], [0.3], [0.8], 0.4)
    np.testing.assert_allclose(even(np.array(x)), mirrored, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("even", [False, True])
def test_columns_are_derivatives_of_the_layer(even):
    x, centres, eps = np.linspace(-2, 2, 9), np.array([0.4, 1.1]), 1e-4
    powers = (2, 4) if even else (1, 2, 3)
    theta = np.array([0.3, -0.2, 0.5, 0.7, -0.4])[-len(powers) - 2 :]
    c = np.zeros(powers[-1])
    c[np.array(powers) - 1] = theta[: len(powers)]
    layer = UnitLayer(c, theta[len(powers) :], centres, 0.6, even=even)
    at = lambda order: columns(x, powers, centres, 0.6, order, even=even) @ theta
    np.testing.assert_allclose(at(0), layer(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(at(1), (layer(x + eps) - layer(x - eps)) / (2 * eps), atol=1e-6)
    np.testing.assert_allclose(at(2), (layer(x + eps) - 2 * layer(x) + layer(x - eps)) / eps**2, atol=1e-5)


def test_the_action_is_a_sum_over_steps_and_values():
    x, beta, total = np.array([0.3, -1.2, 0.8]), 2.0, 0.0
    a = beta / 3
    for t in range(3):
        step = x[(t + 1) % 3] - x[t]
        total += (np.sqrt(1 + step**2) - 1) / a + a * (0.2 * x[t] + 0.5 * x[t] ** 2)
    np.testing.assert_allclose(FAST.action(x, beta), total, rtol=1e-12)
    np.testing.assert_allclose(NetworkPath(3, Polynomial([0, 0.5])).action(x, beta), Path(3, Polynomial([0, 0.5])).action(x, beta))


def test_log_z_and_the_mean_action_are_integrals_over_all_paths():
    grid = np.linspace(-9, 9, 121)
    mesh = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1)
    total = np.exp(-FAST.action(mesh, 2.0)).sum() * (grid[1] - grid[0]) ** 3
    np.testing.assert_allclose(exact.log_partition(FAST, 2.0), np.log(total), rtol=1e-6)
    weight = np.exp(-FAST.action(mesh, 2.0)) / np.exp(-FAST.action(mesh, 2.0)).sum()
    mean = (weight * FAST.action(mesh, 2.0)).sum()
    found = exact.thermodynamics(FAST, np.array([2.0]))
    np.testing.assert_allclose(found["action"].item(), mean, rtol=1e-6)
    np.testing.assert_allclose(found["action_variance"].item(), (weight * (FAST.action(mesh, 2.0) - mean) ** 2).sum(), rtol=1e-6)


def test_exact_draws_have_the_moments_of_the_integral():
    grid = np.linspace(-9, 9, 121)
    mesh = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1)
    weight = np.exp(-FAST.action(mesh, 2.0))
    step = np.abs(mesh[..., 1] - mesh[..., 0])
    paths = exact.sample(FAST, 2.0, 3000, seed=0)
    drawn = np.stack([np.abs(paths[:, 1] - paths[:, 0]), paths[:, 2] ** 2], 1)
    truth = [(weight * step).sum() / weight.sum(), (weight * mesh[..., 2] ** 2).sum() / weight.sum()]
    assert_within(drawn.mean(0), truth, drawn.std(0) / np.sqrt(len(drawn)), "steps and values of exact draws")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnitLayer([0, np.nan]), "finite"),
        (lambda: UnitLayer([0, 1.0], [1.0], []), "weight and a place"),
        (lambda: UnitLayer([1.0], even=True), "even powers"),
        (lambda: NetworkPath(4, Polynomial([0, 1.0]), steps=lambda d: d**2 + 0.1 * d), "even function"),
        (lambda: NetworkPath(4, Polynomial([0, 1.0]), steps=lambda d: d.nothing), "it failed"),
        (lambda: FAST.to_dict(), "only a UnitLayer"),
        (lambda: hl.simulate(FAST, beta=1.0, draws=10, sampler="kinks"), "quadratic"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(hl.HamlearnError, match=message):
        make()
