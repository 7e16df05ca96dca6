"""Unit vectors: the space, samplers against quadrature and closed forms written here, log Z of trees against quadrature."""

import numpy as np
import pytest
from scipy import special
from scipy.special import roots_legendre

import hamlearn as hl
from hamlearn.spaces import UnitVectors
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import Heisenberg, VectorSpins, exact, lattice
from hamlearn.systems.sampling import vectors
from hamlearn.systems.spheres import jax_log_normaliser, log_normaliser
from statistics_budget import assert_within

SAMPLERS = ("wolff", "overrelaxation", "heat_bath", "metropolis")
PAIR = VectorSpins([[0, 1]], J=[0.9], h=[[0.3, 0.0, 0.5], [0.0, -0.4, 0.2]])


def mean_and_error(series):
    """Mean of ``(chain, draw, k)`` and its standard error with τ."""
    tau = np.nan_to_num(integrated_autocorrelation_time(series), nan=1.0)
    return series.mean((0, 1)), series.std((0, 1)) * np.sqrt(tau / (series.shape[0] * series.shape[1]))


def weight_of_heights(n, points=4000):
    """Nodes of w = s·e on the sphere of n dimensions, w = cos of an angle, and their weights, which sum to one."""
    angle = (np.arange(points) + 0.5) * np.pi / points
    weight = np.sin(angle) ** (n - 2)
    return np.cos(angle), weight / weight.sum()


def test_normalisers_against_quadrature():
    strengths = np.array([1e-6, 0.005, 0.02, 0.5, 3.0, 40.0, 300.0])
    for n in (2, 3, 4, 7):
        w, weight = weight_of_heights(n, 200_000)
        value, ratio, slope = log_normaliser(strengths, n)
        for k, K in enumerate(strengths):
            density = weight * np.exp(K * (w - 1))
            mean = density @ w / density.sum()
            assert value[k] == pytest.approx(np.log(density.sum()) + K, rel=1e-6, abs=1e-12)
            assert ratio[k] * K == pytest.approx(mean, rel=1e-6, abs=1e-9)
            assert slope[k] == pytest.approx(density @ (w - mean) ** 2 / density.sum(), rel=1e-4)
        with hl.systems.parametric.jax.enable_x64(True):
            np.testing.assert_allclose(np.asarray(jax_log_normaliser(strengths, n)), value, rtol=1e-6, atol=1e-12)


def test_heat_bath_draws_are_von_mises_and_fisher():
    found, expected, errors = [], [], []
    for n in (2, 3, 5):
        for strength in (1e-9, 0.7, 30.0):
            rng = np.random.SeedSequence([n, 4]).generate_state(4, np.uint64)
            axis = np.random.default_rng(n).normal(size=n)
            axis /= np.linalg.norm(axis)
            site, work, draws = np.empty(n), np.empty(n), np.empty((20_000, n))
            for draw in range(len(draws)):
                vectors._von_mises_fisher(site, strength * axis, work, rng)
                draws[draw] = site
            np.testing.assert_allclose(np.linalg.norm(draws, axis=1), 1.0)
            across = np.eye(n)[0] - axis * axis[0]
            across /= np.linalg.norm(across)
            w, weight = weight_of_heights(n)
            density = weight * np.exp(strength * (w - 1))
            density /= density.sum()
            series = np.stack([draws @ axis, (draws @ axis) ** 2, draws @ across, (draws @ across) ** 2], 1)
            found.append(series.mean(0))
            errors.append(series.std(0) / np.sqrt(len(draws)))
            expected.append([density @ w, density @ w**2, 0.0, (1 - density @ w**2) / (n - 1)])
    assert_within(np.concatenate(found), np.concatenate(expected), np.concatenate(errors), "von Mises–Fisher draws")


def sphere(points=20):
    """Nodes ``(k, 3)`` and weights of a product rule on the sphere."""
    heights, weight = roots_legendre(points)
    angle = 2 * np.pi * np.arange(2 * points) / (2 * points)
    radius = np.sqrt(1 - heights**2)
    nodes = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.outer(heights, np.ones_like(angle))], -1)
    return nodes.reshape(-1, 3), np.repeat(weight / 2, 2 * points) / (2 * points)


def pair_series(states):
    first, second = states[..., 0, :], states[..., 1, :]
    return np.concatenate([(first * second).sum(-1)[..., None], first, second, second**2], -1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_spins_in_fields_and_rings_have_their_exact_moments(sampler):
    beta, (nodes, weight) = 1.4, sphere()
    both = np.stack(np.broadcast_arrays(nodes[:, None], nodes), -2)  # (k, l, site, component)
    minus_energy = 0.9 * (both[..., 0, :] * both[..., 1, :]).sum(-1) + (both * np.asarray(PAIR.h)).sum((-2, -1))
    density = weight[:, None] * weight * np.exp(beta * minus_energy)
    expected = np.einsum("kl,klm->m", density / density.sum(), pair_series(both))
    data = hl.simulate(PAIR, beta, draws=2000, chains=4, seed=5, sampler=sampler)
    assert data["state"].dims == ("chain", "draw", "site", "component") and data.attrs["space"] == "vectors"
    mean, error = mean_and_error(pair_series(data["state"].values))
    # Rings of four: Z = Σ_l (2l + 1) (i_l(K))⁴ with modified spherical Bessel functions (Joyce, Phys. Rev. 155, 478, 1967); either sign.
    for J in (1.0, -1.0):
        logs = [np.log(sum((2 * l + 1) * special.spherical_in(l, K) ** 4 for l in range(12))) for K in (beta - 1e-4, beta + 1e-4)]
        series = Heisenberg(4, J=J).energy(hl.simulate(Heisenberg(4, J=J), beta, 2000, 4, seed=6, sampler=sampler)["state"].values)
        found, its_error = mean_and_error(series[..., None])
        mean, error = np.append(mean, found), np.append(error, its_error)
        expected = np.append(expected, -(logs[1] - logs[0]) / 2e-4)
    assert_within(mean, expected, error, f"two spins and rings by {sampler}")


def test_trees_are_products_of_their_bonds():
    J, beta = np.array([0.7, -1.2, 0.4]), 1.3
    for n, system in ((3, VectorSpins([[0, 1], [1, 2], [1, 3]], J)), (4, VectorSpins(lattice.hypercubic(4, periodic=False), J, n=4))):
        w, weight = weight_of_heights(n)
        factors = [np.log(weight @ np.exp(beta * K * w)) for K in J]
        means = [weight @ (w * np.exp(beta * K * w)) / np.exp(factor) for K, factor in zip(J, factors, strict=True)]
        known = exact.thermodynamics(system, [beta]).isel(beta=0)
        assert exact.log_partition(system, beta) == pytest.approx(sum(factors), rel=1e-6)
        assert float(known["energy"]) == pytest.approx(-np.dot(J, means) / 4, rel=1e-6)
        step = 1e-4
        above, below = (exact.thermodynamics(system, beta + sign * step)["energy"].item() for sign in (1, -1))
        assert float(known["heat_capacity"]) == pytest.approx(-(beta**2) * (above - below) / (2 * step), rel=1e-5)
    assert exact.method(Heisenberg(4)) is None and exact.method(Heisenberg(4, h=[0, 0, 1.0], periodic=False)) is None


def test_components_of_two_are_angles():
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, (5, 3, 3))
    J, field = np.random.default_rng(1).normal(size=18), 0.4
    states = np.stack([np.cos(angles), np.sin(angles)], -1)
    system = VectorSpins((3, 3), J, [field, 0.0], n=2)
    np.testing.assert_allclose(system.energy(states), hl.systems.XY((3, 3), J, field).energy(angles))


def test_auto_and_starts():
    assert hl.simulate(Heisenberg((3, 3)), 0.5, 5, 1, seed=0).attrs["sampler"] == "wolff"
    assert hl.simulate(Heisenberg((3, 3), J=-1.0), 0.5, 5, 1, seed=0).attrs["sampler"] == "overrelaxation"
    start = UnitVectors(3).random(np.random.default_rng(0), (2, 3))
    data = hl.simulate(Heisenberg(3), 2.0, 3, 2, seed=0, start=start, burn_in=0)
    np.testing.assert_allclose(np.linalg.norm(data["state"].values, axis=-1), 1.0)
    for sampler in ("hmc", "exact"):
        with pytest.raises(hl.HamlearnError, match="wolff"):
            hl.simulate(Heisenberg(3), 1.0, 5, 1, sampler=sampler)


def test_data_are_validated(tmp_path):
    states = UnitVectors(3).random(np.random.default_rng(0), (20, 4, 4))
    data = hl.microstates(states, space="vectors", beta=0.5)
    assert data["state"].dims == ("chain", "draw", "x0", "x1", "component") and data.attrs["n"] == 3
    rounded = hl.microstates(states.round(4), space="vectors")["state"].values
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=-1), 1.0, rtol=1e-12)
    hl.save(data, tmp_path / "data.nc")
    again = hl.microstates(tmp_path / "data.nc")
    np.testing.assert_array_equal(again["state"].values, data["state"].values)
    np.savez(tmp_path / "data.npz", state=states, space="vectors", beta=0.5)
    assert hl.microstates(tmp_path / "data.npz").attrs["n"] == 3
    wrong = states.copy()
    wrong[3, 1, 2] *= 2
    for given, message in ((wrong, "1 of 320 are not"), (states * 2, "divide by the lengths"), (states[..., 0], "are not")):
        with pytest.raises(hl.HamlearnError, match=message):
            hl.microstates(given, space="vectors")
    with pytest.raises(hl.HamlearnError, match="components"):
        hl.microstates(states[:, 0, 0], space="vectors")
    with pytest.raises(hl.HamlearnError, match="components"):
        VectorSpins((4, 4)).energy(np.zeros((3, 5)))
