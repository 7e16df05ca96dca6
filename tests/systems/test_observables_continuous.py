"""Observables of angles and paths against loops, finite twists and quadrature."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hamlearn.errors import HamlearnError
from hamlearn.systems import XY, lattice, observables

RNG = np.random.default_rng(11)


def plain_winding(angles, corners):
    """Winding round a list of corners, with differences by complex arithmetic."""
    total = 0.0
    for k, corner in enumerate(corners):
        ahead = corners[(k + 1) % len(corners)]
        total += np.angle(np.exp(1j * (angles[ahead] - angles[corner])))
    return round(total / (2 * np.pi))


def plain_plaquettes(graph, r, c):
    """Corners of the plaquettes that start at a site, and whether they exist."""
    kinds = {
        "hypercubic": [[(r, c), (r + 1, c), (r + 1, c + 1), (r, c + 1)]],
        "triangular": [[(r, c), (r + 1, c), (r, c + 1)], [(r, c), (r + 1, c - 1), (r + 1, c)]],
    }[graph.kind]
    rows, columns = graph.shape
    for corners in kinds:
        inside = all(0 <= i < rows and 0 <= j < columns for i, j in corners)
        yield [(i % rows, j % columns) for i, j in corners], inside or graph.periodic


@pytest.mark.parametrize("make", [lattice.hypercubic, lattice.triangular])
@pytest.mark.parametrize("periodic", [True, False])
def test_vortices_are_windings(make, periodic):
    graph = make((4, 5), periodic=periodic)
    states = RNG.uniform(0, 2 * np.pi, (6, 4, 5))
    found = observables.vortices(states, graph)
    for n, r, c in itertools.product(range(6), range(4), range(5)):
        for kind, (corners, there) in enumerate(plain_plaquettes(graph, r, c)):
            assert found[n, kind, r, c] == (plain_winding(states[n], corners) if there else 0)
    assert np.abs(found).sum() > 20
    if periodic:
        np.testing.assert_array_equal(found.sum((-3, -2, -1)), 0)
    np.testing.assert_array_equal(observables.vortices(states + 2 * np.pi * RNG.integers(-2, 3, states.shape), graph), found)
    np.testing.assert_array_equal(observables.vortices(states.reshape(6, 20), graph), found)
    np.testing.assert_allclose(observables.vortex_density(states, graph), np.abs(found).sum((-3, -2, -1)) / 20)
    for xp in (jnp, torch):
        np.testing.assert_array_equal(np.asarray(observables.vortices(xp.asarray(states), graph)), found)


def test_smooth_fields_have_no_vortices_and_planted_ones_are_found():
    square = lattice.hypercubic((16, 16))
    rows, columns = np.indices((16, 16))
    wave = 1.5 * np.sin(2 * np.pi * rows / 16) + np.cos(2 * np.pi * columns / 16) + 2 * np.pi * columns / 16
    for state in (wave % (2 * np.pi), np.zeros((16, 16)), np.full((16, 16), 2 * np.pi - 1e-9)):
        assert not np.any(observables.vortices(state, square))
    # Differences of exactly π, where a reduction that is not odd makes vortices from nothing that do not cancel.
    checkerboard = np.pi * ((rows + columns) % 2)
    assert observables.vortices(checkerboard, square).sum() == 0
    pair = np.arctan2(rows - 7.5, columns - 4.5) - np.arctan2(rows - 7.5, columns - 10.5)
    found = observables.vortices(pair, lattice.hypercubic((16, 16), periodic=False))[0]
    # Rows come first, so the orientation of the plaquette is clockwise in (column, row).
    assert found[7, 4] == -1 and found[7, 10] == 1 and np.abs(found).sum() == 2


def twisted_energy(system, angles, steps, twist):
    """Energy with the angle twisted by `twist` per unit length along `steps`, bond by bond."""
    total = 0.0
    for (i, j), coupling, step in zip(system.lattice.bonds.tolist(), system.J, steps):
        total -= coupling * np.cos(angles[..., i] - angles[..., j] - twist * step)
    return total


GRID = XY((3, 4), J=RNG.normal(size=24))
TRIANGLES = XY(lattice.triangular((3, 3)), J=RNG.normal(size=27))
STEPS = {
    "square": (GRID, np.repeat([[1.0, 0.0], [0.0, 1.0]], 12, 0)),
    "triangular": (TRIANGLES, np.repeat([[0.5, np.sqrt(0.75)], [1.0, 0.0], [-0.5, np.sqrt(0.75)]], 9, 0)),
    "open": (XY((2, 3), J=RNG.normal(size=7), periodic=False), np.repeat([[1.0, 0.0], [0.0, 1.0]], [3, 4], 0)),
    "double bonds": (XY((2, 2), J=RNG.normal(size=8)), np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, 0)),
}


@pytest.mark.parametrize("case", STEPS)
def test_response_to_a_twist_is_the_derivative_of_the_energy(case):
    system, steps = STEPS[case]
    angles, t = RNG.uniform(0, 2 * np.pi, (5, system.lattice.n_sites)), 1e-4
    cosine, sine = observables.twist_response(angles, system)
    for axis in range(2):
        low, middle, high = (twisted_energy(system, angles, steps[:, axis], k * t) for k in (-1, 0, 1))
        np.testing.assert_allclose(sine[:, axis], (low - high) / (2 * t), atol=1e-6)
        np.testing.assert_allclose(cosine[:, axis], (low - 2 * middle + high) / t**2, atol=1e-5)


def test_helicity_modulus_is_the_stiffness_of_the_free_energy():
    system, steps = STEPS["double bonds"]
    beta, points, t = 0.8, 24, 1e-3
    grid = 2 * np.pi * np.arange(points) / points
    angles = np.array(list(itertools.product([0.0], grid, grid, grid)))

    def free_energy(twist):
        return -np.log(np.exp(-beta * twisted_energy(system, angles, steps[:, 0], twist)).mean()) / beta

    weights = np.exp(-beta * system.energy(angles.reshape(-1, 2, 2)))
    weights /= weights.sum()
    cosine, sine = observables.twist_response(angles, system)
    stiffness = (free_energy(t) - 2 * free_energy(0.0) + free_energy(-t)) / t**2 / 4
    assert (weights @ cosine[:, 0] - beta * weights @ sine[:, 0] ** 2) / 4 == pytest.approx(stiffness, rel=1e-5)
    # The function itself averages draws: repeating states in proportion to their weights makes its mean the exact one.
    draws = np.repeat(angles, np.round(weights * 4e5).astype(int), axis=0)
    assert observables.helicity_modulus(draws, system, beta)[0] == pytest.approx(stiffness, rel=5e-3)
    blocks = observables.helicity_modulus(draws[: 4 * 1000].reshape(4, 1000, 2, 2), system, beta, axis=1)
    assert blocks.shape == (4, 2)


def test_correlations_of_angles_and_of_paths():
    square = lattice.hypercubic((4, 6))
    states = RNG.uniform(0, 2 * np.pi, (3, 4, 6))
    found = observables.angle_correlation(states, square)
    for r in range(3):
        both = [np.cos(states - np.roll(states, -r, axis)).mean((1, 2)) for axis in (1, 2)]
        np.testing.assert_allclose(found[:, r], np.mean(both, 0), atol=1e-12)
    paths = RNG.normal(size=(3, 8))
    expected = [np.mean(paths * np.roll(paths, -t, 1), 1) for t in range(5)]
    np.testing.assert_allclose(observables.correlation(paths, lattice.hypercubic(8)), np.stack(expected, 1), atol=1e-12)


def plain_kinks(x, threshold, periodic):
    """Walk along the path and note when the other side is reached."""
    walk = [value for value in x if abs(value) > threshold]
    if periodic and walk:
        walk.append(walk[0])
    return sum(one * other < 0 for one, other in itertools.pairwise(walk))


@pytest.mark.parametrize("threshold", [0.0, 0.7, 5.0])
@pytest.mark.parametrize("periodic", [True, False])
def test_kinks(threshold, periodic):
    paths = RNG.normal(size=(4, 25, 9))
    found = observables.kinks(paths, threshold, periodic=periodic)
    expected = [[plain_kinks(x, threshold, periodic) for x in row] for row in paths]
    np.testing.assert_array_equal(found, expected)
    assert not periodic or np.all(found % 2 == 0)


def test_density_of_positions():
    paths, edges = RNG.normal(size=(50, 40)), np.array([-1.0, -0.2, 0.1, 2.0])
    found = observables.position_density(paths, edges)
    for low, high, density in zip(edges, edges[1:], found):
        assert density == pytest.approx(np.mean((paths >= low) & (paths < high)) / (high - low))


def test_mistakes_are_named():
    for mistake, message in (
        (lambda: observables.vortices(np.zeros((2, 2, 2)), lattice.hypercubic((2, 2, 2))), "square and triangular"),
        (lambda: observables.vortices(np.zeros(3), lattice.graph([[0, 1], [1, 2]])), "square and triangular"),
        (lambda: observables.helicity_modulus(np.zeros((1, 3)), XY([[0, 1], [1, 2]]), 1.0), "a twist needs"),
        (lambda: observables.kinks(np.zeros(4), -1.0), "threshold >= 0"),
        (lambda: observables.position_density(np.zeros(4), [1.0]), "two edges"),
    ):
        with pytest.raises(HamlearnError, match=message):
            mistake()
