"""Samplers of angles and real values against transfer operators, quadrature, and enumeration of signs."""

from __future__ import annotations

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import XY, DoubleWell, Ising, Path, Polynomial, ScalarField, System, exact, lattice
from hamlearn.systems.base import ANGLES, REALS
from hamlearn.systems.sampling import kinks, loop, rotors, simulate
from statistics_budget import assert_within


class BlackBox(System):
    """A continuous system that samplers know nothing about."""

    pure_jax = False

    def __init__(self, inner):
        self.lattice, self.space, self.inner = inner.lattice, inner.space, inner

    def energy(self, states):
        assert isinstance(states, np.ndarray) and states.shape[1:] == self.lattice.shape
        return self.inner.energy(states)

    def action(self, states, beta):
        return self.inner.action(states, beta)

    def to_dict(self):
        return {"kind": "black box", "inner": self.inner.to_dict()}


def mean_and_error(values):
    """Mean of a series (chain, draw, ...) and its standard error with τ."""
    tau = np.nan_to_num(integrated_autocorrelation_time(values), nan=1.0)
    return values.mean((0, 1)), values.std((0, 1)) * np.sqrt(tau / values[..., 0].size if values.ndim > 2 else tau / values.size)


# ---------------------------------------------------------------------- paths
TILTED = Path(10, Polynomial([0.4, -2.5, 0.0, 1.0]))
OPEN = Path(6, Polynomial([0.3, -1.5, 0.0, 0.8]), periodic=False)
PATHS = {
    "exact": (TILTED, 1000),
    "hmc": (TILTED, 1500),
    "kinks": (TILTED, 1200),
    "kinks, open": (OPEN, 1200),
    "metropolis": (TILTED, 600),
}


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if "open" in case else ()) for case in PATHS])
def test_paths_have_their_exact_action_and_distribution(case):
    path, draws = PATHS[case]
    betas = [3.0, 2.0]
    data = simulate(path, betas, draws=draws, chains=8, seed=4, sampler=case.split(",")[0])
    assert data.state.dims == ("beta", "chain", "draw", "site") and data.state.dtype == np.float64
    found, expected, errors = [], [], []
    known = exact.thermodynamics(path, betas)
    for at, beta in enumerate(betas):
        x = data.state.values[at]
        series = [path.action(x, beta)]
        expected.append(float(known.action[at]))
        if path.periodic:
            local = exact.expectations(path, beta)
            mean = float(local.density @ local.position) * float(local.position[1] - local.position[0])
            series += [(x**2).mean(-1), (x**4).mean(-1), x.mean(-1)]
            expected += [float(known.squared_position[at]), float(known.quartic_position[at]), mean]
        for one in series:
            mean, error = mean_and_error(one)
            found.append(mean)
            errors.append(error)
    assert_within(found, expected, errors, what=f"moments of paths by {case}")


def enumerate_signs(path, beta, magnitude):
    """Probability of every pattern of signs, by brute force."""
    patterns = np.array(list(itertools.product([-1.0, 1.0], repeat=len(magnitude))))
    weights = np.exp(-path.action(patterns * magnitude, beta))
    return patterns, weights / weights.sum()


SIGNED = [
    Path(5, TILTED.potential),
    Path(5, DoubleWell(4.0, 2.8), kinetic=0.7, a=0.3),
    Path(5, OPEN.potential, periodic=False),
]


@pytest.mark.parametrize("path", SIGNED, ids=["tilted", "even", "open"])
def test_signs_are_redrawn_from_their_exact_conditional(path):
    magnitude, beta, draws = np.array([0.4, 0.2, 0.9, 0.1, 0.6]), 2.0, 20_000
    patterns, probabilities = enumerate_signs(path, beta, magnitude)
    start = np.broadcast_to(magnitude, (1, draws, 5))
    with jax.enable_x64(True):
        redraw = jax.jit(lambda uniform, values: kinks.redraw_signs(uniform, values, jnp.asarray([beta]), path))
        new = np.asarray(redraw(np.random.default_rng(3).random(start.shape), jnp.asarray(start)))[0]
    np.testing.assert_allclose(np.abs(new), start[0])
    index = (new > 0) @ (2 ** np.arange(5)[::-1])
    frequencies = np.bincount(index, minlength=32) / draws
    np.testing.assert_array_equal(patterns[:, 0] > 0, np.arange(32) >= 16)
    keep = probabilities > 1e-3
    error = np.sqrt(probabilities * (1 - probabilities) / draws)
    assert_within(frequencies[keep], probabilities[keep], error[keep], what="frequencies of sign patterns")


@pytest.mark.slow
def test_deep_wells_mix():
    path = Path(24, DoubleWell(4.0, 2.8))
    data = simulate(path, 8.0, draws=700, chains=8, seed=2, sampler="kinks", start=np.full(24, 1.4))
    assert data.attrs["tau_int_m"] < 2, "the mean of the path changes its sign all the time"
    crossings = (data.state.values * np.roll(data.state.values, -1, -1) < 0).sum(-1).astype(float)
    exactly = exact.sample(path, 8.0, 4000, seed=5)
    reference = (exactly * np.roll(exactly, -1, -1) < 0).sum(-1)
    mean, error = mean_and_error(crossings)
    assert_within(mean, reference.mean(), np.hypot(error, reference.std() / np.sqrt(4000)), what="sign changes per path")


# ---------------------------------------------------------------------- tempering
DEEP = Path(8, Polynomial([0.03, -6.0, 0.0, 1.0]))  # wells at ±1.73 of depth 9, the left one 1.5 times as likely at beta = 4


def test_a_ladder_of_paths_crosses_the_barrier():
    """All chains start in the less likely well: hmc stays, tempering finds the exact weight of both."""
    start = np.full(8, 1.73)
    options = {"beta": 4.0, "draws": 1500, "chains": 8, "seed": 1, "start": start}
    stuck = simulate(DEEP, sampler="hmc", **(options | {"draws": 200}))
    assert np.all(stuck.state.values.mean(-1) > 0)
    data = simulate(DEEP, sampler="tempering", **options)
    x = data.state.values
    known, local = exact.thermodynamics(DEEP, [4.0]), exact.expectations(DEEP, 4.0)
    step = float(local.position[1] - local.position[0])
    expected = [float(known.action[0]), float(local.density @ local.position) * step, float(known.quartic_position[0])]
    found = [mean_and_error(one) for one in (DEEP.action(x, 4.0), x.mean(-1), (x**4).mean(-1))]
    assert_within([one[0] for one in found], expected, [one[1] for one in found], what="tempered path")
    swaps, ladder = json.loads(data.attrs["swap_acceptance"]), json.loads(data.attrs["ladder"])
    assert len(ladder) == len(swaps) + 1 and ladder[0] == pytest.approx(0.125) and ladder[-1] == 4.0
    assert min(swaps) > 0.25
    assert data.attrs["round_trips"] > 20


def test_every_rung_of_a_ladder_has_its_own_distribution():
    """Temperatures in any order, angles whose rungs are all kept; energies against the transfer matrix."""
    rotor, betas = XY((3, 3), J=-1.0), [1.5, 0.4, 0.8]
    data = simulate(rotor, betas, draws=1500, chains=6, seed=2, sampler="tempering")
    pairs = [mean_and_error(rotor.energy(one) / 9) for one in data.state.values]
    known = exact.thermodynamics(rotor, betas).energy.values
    assert_within([mean for mean, _ in pairs], known, [error for _, error in pairs], what="energy on every rung")


# ---------------------------------------------------------------------- fields
FIELD = ScalarField(3, m2=-1.0, lam=0.5)  # one object and one number of chains: its trajectories are compiled once


def test_interacting_field_against_quadrature():
    field = FIELD
    grid = np.linspace(-4, 4, 61)
    every = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    weights = np.exp(-0.8 * field.energy(every))
    weights /= weights.sum()
    expected = [
        weights @ field.energy(every),
        weights @ every[:, 0] ** 2,
        weights @ (every[:, 0] * every[:, 1]),
        weights @ every[:, 2] ** 4,
    ]
    found = {}
    for system, sampler, draws in ((field, "hmc", 1500), (BlackBox(field), "metropolis", 1500)):
        data = simulate(system, 0.8, draws=draws, chains=8, seed=1, sampler=sampler)
        x = data.state.values
        series = np.stack([field.energy(x), x[..., 0] ** 2, x[..., 0] * x[..., 1], x[..., 2] ** 4], -1)
        found[sampler] = mean_and_error(series)
    means, errors = (np.stack([pair[k] for pair in found.values()]) for k in (0, 1))
    assert_within(means, np.broadcast_to(expected, means.shape), errors, what="moments of φ⁴ on three sites")


def test_fields_on_a_graph_without_fourier_modes():
    field = ScalarField(lattice.hypercubic((2, 3), periodic=False), m2=0.7, lam=0.0)
    covariance = np.linalg.inv(0.5 * field.quadratic_form())
    x = simulate(field, 0.5, draws=1500, chains=8, seed=3, sampler="hmc").state.values.reshape(8, 1500, 6)
    mean, error = mean_and_error(np.einsum("cdi,cdj->cdij", x, x).reshape(8, 1500, 36))
    assert_within(mean.reshape(6, 6), covariance, error.reshape(6, 6), what="covariance of a free field with open boundaries")


# ---------------------------------------------------------------------- rotors
GLASS = XY([[0, 1], [1, 2], [0, 2]], J=[1.0, -0.8, 0.6], h=[0.5, 0.0, -0.3])
GRID = XY((3, 3))


def quadrature(system, beta, points=48):
    """Means of H, cos φ_0, sin φ_1 and cos(φ_0 − φ_2) of three rotors."""
    grid = 2 * np.pi * np.arange(points) / points
    every = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    weights = np.exp(-beta * system.energy(every))
    return weights @ rotor_series(system, every) / weights.sum()


def rotor_series(system, angles):
    return np.stack([system.energy(angles), np.cos(angles[..., 0]), np.sin(angles[..., 1]), np.cos(angles[..., 0] - angles[..., 2])], -1)


@pytest.mark.parametrize("sampler", ["wolff", "overrelaxation", "heat_bath", "hmc", "metropolis"])
def test_rotors_have_their_exact_moments(sampler):
    data = simulate(GLASS, 1.3, draws=2000, chains=8, seed=2, sampler=sampler)
    angles = data.state.values
    assert angles.min() >= 0 and angles.max() < 2 * np.pi and data.attrs["space"] == "angles"
    mean, error = mean_and_error(rotor_series(GLASS, angles))
    expected = quadrature(GLASS, 1.3)
    if sampler != "hmc":
        betas = [0.5, 1.0]
        known = exact.thermodynamics(GRID, betas)
        grids = simulate(GRID, betas, draws=800, chains=8, seed=3, sampler=sampler).state.values
        for at in range(2):
            one, its_error = mean_and_error(GRID.energy(grids[at]))
            mean, error, expected = np.append(mean, one), np.append(error, its_error), np.append(expected, 9 * known.energy.values[at])
    assert_within(mean, expected, error, what=f"moments of rotors by {sampler}")


@pytest.mark.parametrize("strength", [1e-9, 0.3, 4.0, 1e4])
def test_von_mises_draws(strength):
    rng = np.random.SeedSequence(3).generate_state(4, np.uint64)
    draws = np.array([rotors._von_mises(strength, rng) for _ in range(20_000)])
    grid = np.linspace(-np.pi, np.pi, 400_001)
    weights = np.exp(strength * (np.cos(grid) - 1))
    expected = [weights @ f / weights.sum() for f in (np.cos(grid), np.sin(grid), np.cos(2 * grid))]
    series = np.stack([np.cos(draws), np.sin(draws), np.cos(2 * draws)], -1)
    assert_within(series.mean(0), expected, series.std(0) / np.sqrt(20_000), what=f"von Mises draws at {strength}")


# ---------------------------------------------------------------------- the loop
def test_auto_says_what_it_chose():
    numpy_only = Path(4, lambda x: np.asarray(np.cosh(x)))
    chosen = {
        "exact": [TILTED, numpy_only, ScalarField((3, 3), m2=1.0, lam=0.0)],
        "hmc": [FIELD],
        "wolff": [XY((3, 3))],
        "overrelaxation": [GLASS],
        "metropolis": [BlackBox(XY((2, 2)))],
    }
    for name, members in chosen.items():
        for system in members:
            data = simulate(system, 0.8, draws=5, chains=8, burn_in=5)
            assert data.attrs["sampler"] == name and data.attrs["sampler_choice"].startswith("auto: ")
            assert data.attrs["q"] == 0 and data.attrs["space"] in ("angles", "reals")
            assert all(isinstance(value, str | int | float) for value in data.attrs.values())
            if system is numpy_only:
                assert "lambda" in json.loads(data.attrs["system"])["why"]


def test_seeds_and_starts():
    options = {"draws": 5, "chains": 8, "burn_in": 4}
    for system, sampler in ((GLASS, "overrelaxation"), (FIELD, "hmc")):
        first, again, other = (simulate(system, 0.8, seed=seed, sampler=sampler, **options) for seed in (1, 1, 2))
        assert first.identical(again) and not np.array_equal(first.state, other.state)
        assert len(np.unique(first.state.values)) > 0.7 * first.state.size  # continuous, and not one chain twice
    cold = simulate(XY((3, 3)), 1e6, sampler="heat_bath", start="cold", burn_in=0, draws=2, chains=2)
    assert np.cos(cold.state.values).min() > 0.999
    given = simulate(XY((3, 3)), 1e6, sampler="heat_bath", start=np.full((3, 3), 2.0), burn_in=0, draws=2, chains=2)
    assert np.abs(given.state.values - 2.0).max() < 0.05


MISTAKES = {
    "hmc of spins": (Ising((2, 2)), {"sampler": "hmc"}, "is for angles and real values"),
    "clusters of paths": (TILTED, {"sampler": "wolff"}, "does not apply .* 'exact', 'kinks', 'hmc', 'tempering', 'metropolis'"),
    "kinks of fields": (FIELD, {"sampler": "kinks"}, "does not apply"),
    "exact rotors": (XY((3, 3)), {"sampler": "exact"}, "does not apply"),
    "hmc of a black box": (BlackBox(TILTED), {"sampler": "hmc"}, "'metropolis'"),
    "no equilibrium": (Path(4, lambda x: -(x**2)), {}, "does not confine"),
    "angles out of range": (XY((3, 3)), {"start": np.full((3, 3), 7.0)}, "outside the space angles"),
    "a start of another shape": (TILTED, {"start": np.zeros(3), "sampler": "hmc"}, r"shape \(10,\)"),
    "a warm start": (TILTED, {"start": "warm", "sampler": "hmc"}, "start"),
}


@pytest.mark.parametrize(("system", "options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(system, options, message):
    with pytest.raises(HamlearnError, match=message):
        simulate(system, 1.0, draws=5, **options)


class Killed(Exception):
    pass


RESUMED = {"hmc": FIELD, "wolff": GLASS, "metropolis": BlackBox(GLASS)}


@pytest.mark.parametrize(("sampler", "system"), RESUMED.items(), ids=RESUMED)
def test_an_interrupted_run_continues_as_if_nothing_had_happened(sampler, system, tmp_path, monkeypatch):
    options = {"draws": 300, "chains": 8, "seed": 4, "sampler": sampler, "burn_in": 40}
    whole = simulate(system, 0.8, **options)
    chunk, calls, path = loop._chunk, [], tmp_path / "run.npz"

    def dies(*arguments):
        if len(calls) == 5:
            raise Killed
        calls.append(1)
        return chunk(*arguments)

    monkeypatch.setattr(loop, "_SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(loop, "_chunk", dies)
    with pytest.raises(Killed):
        simulate(system, 0.8, **options, checkpoint=path)
    monkeypatch.setattr(loop, "_chunk", chunk)
    assert path.exists()
    assert whole.identical(simulate(system, 0.8, **options, checkpoint=path))


def test_spaces():
    assert ANGLES.continuous and REALS.continuous and ANGLES.q == 0
    for use in (lambda: ANGLES.values, lambda: REALS.index(np.zeros(3))):
        with pytest.raises(HamlearnError, match="continuous"):
            use()
