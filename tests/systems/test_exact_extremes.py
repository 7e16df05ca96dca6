"""Exact answers at temperatures and couplings far from one: what is left is the ground states, counted."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.systems import XY, EdwardsAnderson, Ising, Pairwise, Path, Potts, ScalarField, exact, potentials
from hamlearn.systems import lattice as lattices
from hamlearn.systems.exact.discrete import Enumeration, Transfer

TRIANGLE = lattices.Lattice((3,), np.array([[0, 1], [1, 2], [0, 2]]))
GROUND = {  # system, energy per site in units of J, number of ground states
    "enumerated ferromagnet": (lambda J: Ising((3, 3), J=J), -2.0, 2),
    "frustrated triangle": (lambda J: Pairwise(TRIANGLE, -J * np.ones(3)), -1 / 3, 6),
    "by transfer matrix": (lambda J: Ising((5, 6), J=J), -2.0, 2),
    "by Kaufman": (lambda J: Ising((32, 32), J=J), -2.0, 2),
    "three colours": (lambda J: Potts((3, 3), 3, J=J), -2.0, 3),
    "in a field": (lambda J: Ising((3, 3), J=J, h=J), -3.0, 1),
}
SIZES = {"beta 1e16": (1e16, 1.0), "beta 1e290": (1e290, 1.0), "J 1e16": (1.0, 1e16), "J 1e300": (1.0, 1e300), "J 1e-300": (1e290, 1e10)}


@pytest.mark.parametrize("make, energy, count", GROUND.values(), ids=GROUND)
@pytest.mark.parametrize("beta, J", SIZES.values(), ids=SIZES)
def test_only_ground_states_are_left(make, energy, count, beta, J):
    system = make(J)
    found = exact.thermodynamics(system, beta).isel(beta=0)
    n = system.lattice.n_sites
    assert float(found["energy"]) == pytest.approx(energy * J, rel=1e-9)
    assert float(found["entropy"]) == pytest.approx(np.log(count) / n, abs=1e-9)
    assert float(found["heat_capacity"]) == pytest.approx(0.0, abs=1e-9)
    assert float(found["free_energy"]) == pytest.approx(energy * J, rel=1e-9)


def test_a_close_pair_of_levels_is_told_apart_where_it_melts():
    """Two spins, J = 1 and a field of 1e-9 on one: at β = 1e9 the ground pair is a two-level system, in closed form."""
    system = Pairwise(lattices.Lattice((2,), np.array([[0, 1]])), np.ones(1), np.array([1e-9, 0.0]))
    found = exact.thermodynamics(system, 1e9).isel(beta=0)
    assert float(found["heat_capacity"]) == pytest.approx(0.5 / np.cosh(1.0) ** 2, rel=1e-4)
    assert float(found["entropy"]) == pytest.approx(0.5 * (np.log(2 * np.cosh(1.0)) - np.tanh(1.0)), abs=1e-6)


def test_heat_capacities_are_finite_up_to_the_end_of_the_linear_arithmetic():
    """Against enumeration, where weights of a layer are as small as e^-594: their squares, which a second derivative takes, are zero."""
    system = Ising((4, 4), J=-1.0, h=7.9)
    betas = np.array([0.45, 0.7, 0.99]) * 600 / exact.energy_range(system)
    here, there = (exact.thermodynamics(system, betas, oracle=oracle) for oracle in (Transfer(), Enumeration()))
    np.testing.assert_allclose(here["heat_capacity"], there["heat_capacity"], rtol=0, atol=1e-10)


def test_units_do_not_matter():
    """Couplings times 1e200 at β over 1e200 are the same distribution."""
    glass = EdwardsAnderson((3, 3), seed=3)
    scaled = Pairwise(glass.lattice, glass.J * 1e200)
    one, other = exact.thermodynamics(glass, [0.3, 2.0]), exact.thermodynamics(scaled, [0.3e-200, 2.0e-200])
    for name, size in (("energy", 1e200), ("free_energy", 1e200), ("entropy", 1.0), ("heat_capacity", 1.0)):
        np.testing.assert_allclose(other[name], one[name] * size, rtol=1e-11)


REFUSED = {
    "beta beyond a float's inverse": (lambda: exact.thermodynamics(Ising((3, 3)), 1e300), "must lie between 1e-290 and 1e"),
    "beta below": (lambda: hl.simulate(Ising((3, 3)), beta=1e-320), "must lie between"),
    "cold rotors": (lambda: exact.thermodynamics(XY((4, 4)), 1e16), "needs currents up to"),
    "a quartic term beyond floats": (
        lambda: hl.simulate(ScalarField((4, 4), m2=1.0, lam=1e300), beta=1.0, draws=20, chains=2, seed=0),
        "failed: .*choose units",
    ),
    "a well beyond floats": (
        lambda: hl.simulate(Path(8, potentials.Polynomial([0, 1e300])), beta=1.0, draws=20, chains=2, seed=0, sampler="hmc"),
        "failed: .*choose units|does not confine|converge",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_floats_cannot_hold_is_refused_in_one_sentence(call, message):
    with pytest.raises(hl.HamlearnError, match=message):
        call()
