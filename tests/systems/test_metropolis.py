"""Metropolis of systems that are known by their energies: with and without what a change of one site costs."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import Lattice, ParametricSystem, Space, factors, states
from hamlearn.systems.base import as_reals, as_site_axes
from hamlearn.systems.sampling import exchanging, simulate_systems
from statistics_budget import assert_within

THREE = states(3)


@dataclass(frozen=True, eq=False)
class Cosines(ParametricSystem, kind="cosines of neighbours"):
    """H = −J Σ cos(a − b) over bonds + D Σ a²: no table says so."""

    lattice: Lattice
    J: float
    D: float
    space: Space = THREE

    def energy(self, states):
        xp, s = as_reals(states)
        s = as_site_axes(s, self.lattice.shape)
        a, b = (xp.take(s, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        return -self.J * xp.sum(xp.cos(a - b), axis=-1) + self.D * xp.sum(s**2, axis=-1)


@dataclass(frozen=True, eq=False)
class Quick(Cosines, kind="cosines, and their changes"):
    def energy_change(self, state, site, value):
        s = state.reshape(-1)
        near = s[jnp.asarray(self.lattice.neighbours[0])[site]]
        return -self.J * jnp.sum(jnp.cos(value - near) - jnp.cos(s[site] - near)) + self.D * (value**2 - s[site] ** 2)


@dataclass(frozen=True, eq=False)
class Forgetful(Quick, kind="cosines, their changes without the field"):
    def energy_change(self, state, site, value):
        s = state.reshape(-1)
        near = s[jnp.asarray(self.lattice.neighbours[0])[site]]
        return -self.J * jnp.sum(jnp.cos(value - near) - jnp.cos(s[site] - near))


@dataclass(frozen=True, eq=False)
class SeldomWrong(Quick, kind="cosines, their changes wrong where all sites but one are 0"):
    def energy_change(self, state, site, value):
        return super().energy_change(state, site, value) + 0.5 * (jnp.sum(state == 0) >= state.size - 1)


SQUARE = hl.systems.lattice.hypercubic((3, 3))


@pytest.fixture(autouse=True)
def no_tables(monkeypatch):
    """As of energies that are no sum of terms on few sites: those are sampled by heat bath."""
    monkeypatch.setattr(factors, "_plan_of", lambda system: None)


def test_changes_agree_with_enumeration():
    system, beta = Quick(SQUARE, 1.0, 0.2), 0.7
    every = np.stack(np.meshgrid(*[np.arange(3)] * 9, indexing="ij"), -1).reshape(-1, 9)
    energy = np.asarray(system.energy(every))
    weight = np.exp(-beta * (energy - energy.min()))
    exact = float(weight @ energy / weight.sum())
    data = hl.simulate(system, [0.4, beta], draws=4000, chains=4, seed=3, sampler="tempering", burn_in=200, thin=2, progress=False)
    found = np.asarray(system.energy(data["state"].sel(beta=beta).values))
    error = found.std() * np.sqrt(integrated_autocorrelation_time(found) / found.size)
    assert_within(found.mean(), exact, error)


@pytest.mark.parametrize("sampler", ["metropolis", "tempering"])
def test_the_same_draws_with_and_without_them(sampler):
    options = {"draws": 20, "chains": 2, "sampler": sampler, "burn_in": 30, "seed": 5, "progress": False}
    whole, quick = (simulate_systems([kind(SQUARE, J, 0.1) for J in (0.5, 1.5)], [0.3, 0.8, 1.2], **options) for kind in (Cosines, Quick))
    np.testing.assert_array_equal(whole, quick)
    assert len(np.unique(whole)) == 3


def test_wrong_changes_are_refused_before_anything_is_sampled():
    with pytest.raises(
        HamlearnError,
        match=r"energy_change of Forgetful is not the change of its energy: with the value [0-2] on site 0 the energy changes by",
    ):
        hl.simulate(Forgetful(SQUARE, 1.0, 0.2), 0.5, draws=5, chains=2, seed=0, progress=False)


@pytest.mark.parametrize("sampler", ["metropolis", "tempering"])
def test_changes_that_are_wrong_of_states_met_later_are_refused_then(sampler):
    with pytest.raises(HamlearnError, match="what a run accepted came to"):
        hl.simulate(SeldomWrong(SQUARE, 1.0, 0.5), [2.0, 3.0], draws=200, chains=2, seed=0, burn_in=50, sampler=sampler, progress=False)


@dataclass(frozen=True, eq=False)
class Untraced(Cosines, kind="cosines that JAX cannot trace"):
    """Whose energy is NumPy's."""

    pure_jax = False


@pytest.mark.parametrize("sampler", ["heat_bath", "tempering"])
def test_members_known_by_their_energies_refuse_moves_that_they_cannot_make(sampler):
    options = {"draws": 2, "progress": False}
    untraced, traced = ([kind(SQUARE, J, 0.0) for J in (1.0, 1.2)] for kind in (Untraced, Cosines))
    with pytest.raises(HamlearnError, match="metropolis"):
        simulate_systems(untraced, [0.3, 0.6], sampler=sampler, **options)
    assert exchanging(traced) and not exchanging(untraced)
    usual, asked = (simulate_systems(untraced, [0.3, 0.6], sampler=one, **options) for one in ("auto", "metropolis"))
    np.testing.assert_array_equal(usual, asked)


@pytest.mark.parametrize("sampler", ["metropolis", "tempering"])
def test_members_start_from_given_states(sampler):
    systems = [Cosines(SQUARE, 1.0, 0.0), Cosines(SQUARE, 1.2, 0.0)]
    start = np.broadcast_to(np.array([[0, 1], [2, 0]])[..., None, None], (2, 2, 3, 3))  # all sites alike: frozen at low temperature
    found = simulate_systems(systems, [50.0, 60.0], draws=2, chains=2, sampler=sampler, burn_in=0, start=start, progress=False)
    np.testing.assert_array_equal(found, np.broadcast_to(start[:, None, :, None], found.shape))
    with pytest.raises(HamlearnError, match="start must be states of shape"):
        simulate_systems(systems, [0.5], draws=2, chains=3, start=start)
