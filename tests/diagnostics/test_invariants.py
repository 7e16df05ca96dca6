"""Diagnostics see what the model sees: a symmetric model's are unchanged when every draw is flipped or turned at random."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import holdout, invariants
from hamlearn.systems import ANGLES, SPINS, exact, lattice, states

GRID = lattice.hypercubic((4, 4))
STUCK = np.repeat(np.array([1, -1, 1, -1]), 1500)  # signs of a chain that stays long in each of two phases


def one_sided(seed: int = 0, draws: int = 6000) -> np.ndarray:
    """Exact draws of an ordered ferromagnet, turned so that long stretches have one sign of m: all else is independent."""
    rows = exact.sample(hl.systems.Ising(GRID, J=1.0), 0.5, draws, seed).reshape(draws, 16).astype(int)
    m = np.where(rows.sum(1) == 0, 1, np.sign(rows.sum(1)))
    return (rows * (m * STUCK[:draws])[:, None]).reshape(draws, 4, 4)


def test_the_sign_of_a_symmetric_model_is_not_slow():
    data = hl.microstates(one_sided(), beta=0.5)
    assert holdout.slowest_tau(data) > 100  # the raw sign hardly ever changes
    assert holdout.slowest_tau(data, symmetric=True) == 1.0  # nothing that a model without fields can see is correlated


def test_slow_patterns_are_seen_in_any_gauge():
    gauge = np.random.default_rng(3).choice([-1, 1], size=(4, 4))
    plain, twisted = hl.microstates(one_sided(), beta=0.5), hl.microstates(one_sided() * gauge, beta=0.5)
    # Neither the sum nor products of raster neighbours show a twisted order parameter: overlaps with states of the data do.
    series = [invariants.series(data["state"].values.reshape(1, -1, 16), SPINS, invariant=False)[..., -4:] for data in (plain, twisted)]
    assert np.allclose(series[0], series[1])


@pytest.mark.parametrize("fields, level", [(None, "believe"), ("uniform", "not believe")])
def test_a_chain_in_one_phase_at_a_time_is_judged_by_the_models_symmetry(fields, level):
    data = hl.microstates(one_sided(), beta=0.5)
    post = hl.learn(data, hl.models.Couplings(GRID, fields=fields), likelihood="pseudo", engine="laplace", seed=0)
    assert (hl.verdict(post).level == "believe") == (level == "believe")


def test_turning_every_draw_does_not_change_the_comparison():
    chain = one_sided()
    flips = np.random.default_rng(1).choice([-1, 1], size=(len(chain), 1, 1))
    model = hl.models.Couplings(GRID, fields=None)
    tables = [hl.diagnostics.check(hl.microstates(rows, beta=0.5), model, likelihood="pseudo", seed=0) for rows in (chain, chain * flips)]
    assert [table.attrs["decision"] for table in tables] == ["agrees", "agrees"]


@pytest.mark.parametrize("space", [SPINS, states(3), ANGLES], ids=["spins", "states", "angles"])
def test_invariant_series_do_not_change_when_rows_are_turned(space):
    rng = np.random.default_rng(0)
    rows = {
        "spins": lambda: rng.choice([-1, 1], size=(2, 50, 9)),
        "states": lambda: rng.integers(3, size=(2, 50, 9)),
        "angles": lambda: rng.uniform(0, 2 * np.pi, (2, 50, 9)),
    }[space.name]()
    data = hl.microstates(rows, space=space.name, q=space.q or None, dims=("chain", "draw", "site"), beta=1.0)
    turned = invariants.turned(data, np.random.default_rng(1))["state"].values
    assert not np.array_equal(turned, rows)
    before, after = (invariants.series(one, space, invariant=True) for one in (data["state"].values, turned))
    assert np.allclose(before[..., :-4], after[..., :-4])  # the overlaps' references are turned too:
    assert np.allclose(before[..., -4:], after[..., -4:])


@pytest.mark.parametrize(
    "system, expected",
    [
        (hl.systems.EdwardsAnderson((4, 4), seed=0), True),
        (hl.systems.Ising((4, 4), h=0.2), False),
        (hl.systems.Potts((4, 4), 3), True),
        (hl.systems.XY((4, 4)), True),
    ],
    ids=["glass", "field", "potts", "xy"],
)
def test_symmetry_is_asked_of_energies(system, expected):
    rows = hl.simulate(system, beta=0.5, draws=50, chains=1, seed=0, progress=False)["state"].values.reshape(50, 16)
    assert invariants.symmetric(system, rows) is expected


def test_rotors_are_judged_by_angles_between_them():
    rng = np.random.default_rng(0)
    drift = np.cumsum(rng.normal(size=4000)) * 0.05  # a common angle that wanders slowly, which the model cannot see
    angles = np.mod(0.3 * rng.normal(size=(4000, 4, 4)) + drift[:, None, None], 2 * np.pi)
    data = hl.microstates(angles, space="angles", beta=1.0)
    assert holdout.slowest_tau(data) > 100 and holdout.slowest_tau(data, symmetric=True) < 2
