"""Energies known by a formula alone as tables over the few sites that its terms see."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import SPINS, Lattice, ParametricSystem, Space, factors, states
from hamlearn.systems.base import as_reals, as_site_axes
from hamlearn.systems.exact import all_states
from hamlearn.systems.sampling import simulate_systems
from statistics_budget import assert_within


@dataclass(frozen=True, eq=False)
class Mixed(ParametricSystem, kind="squares, bonds and fields of a test"):
    """Plaquettes, next neighbours through a table of indices, thresholds and fields, some of them not linear."""

    lattice: Lattice
    J: float
    K: float
    h: np.ndarray
    space: Space = SPINS

    def energy(self, states):
        xp, s = as_reals(states)
        s = as_site_axes(s, self.lattice.shape)
        a, b = (xp.take(s, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        total = xp.sum(self.h * s, axis=-1) - self.J * xp.sum(xp.where(a == b, 1.0, -0.5), axis=-1) / 2
        square = xp.reshape(s, (*s.shape[:-1], *self.lattice.shape))
        down = xp.roll(square, -1, axis=-2)
        corners = square + down + xp.roll(square + down, -1, axis=-1)
        return total - xp.sum(xp.sum(self.K * xp.cos(corners), axis=-1), axis=-1) + 3.0


@dataclass(frozen=True, eq=False)
class Global(Mixed, kind="the same and the magnetization"):
    """With a term that sees all sites."""

    def energy(self, states):
        xp, s = as_reals(states)
        return super().energy(states) + xp.tanh(xp.sum(as_site_axes(s, self.lattice.shape), axis=-1))


@dataclass(frozen=True, eq=False)
class Forbidden(Mixed, kind="the same, and neighbours that must differ"):
    """Some states have no energy."""

    def energy(self, states):
        xp, s = as_reals(states)
        s = as_site_axes(s, self.lattice.shape)
        return super().energy(states) + xp.sum(xp.where(s + xp.roll(s, -1, axis=-1) == 2.0, xp.inf, 0.0), axis=-1)


def _mixed(shape, kind=Mixed, J=0.7, space=SPINS):
    lattice = hl.systems.lattice.hypercubic(shape)
    return kind(lattice, J, 0.4, 0.3 * np.cos(np.arange(lattice.n_sites)), space)


@pytest.mark.parametrize(("shape", "space"), [((4, 4), SPINS), ((3, 5), SPINS), ((3, 3), states(3))])
def test_tables_are_the_energy_of_every_microstate(shape, space):
    systems = [_mixed(shape, J=J, space=space) for J in (0.7, -1.1)]
    rng = np.random.default_rng(0)
    index = rng.integers(space.q, size=(200, int(np.prod(shape))))
    for system, found in zip(systems, factors.tables_of(systems), strict=True):
        assert found.tile_sites.shape == (len(found.tables), 4)
        codes = index[:, found.tile_sites] @ found.places
        told = np.take_along_axis(found.tables[None], codes[..., None], -1).sum((1, 2)) + 3.0  # the constant is nobody's
        np.testing.assert_allclose(told, system.energy(space.values[index]), rtol=0, atol=1e-12)


ODD = {
    "an outer product": lambda s: -0.1 * jnp.sum(s[:, None] * s[None, :]),
    "rows times columns": lambda s: -0.1 * jnp.sum(s.reshape(3, 3) * s[:3, None] * s[None, 3:6]),
    "sums that keep their axis": lambda s: -0.1 * jnp.sum(s.reshape(3, 3) * s.reshape(3, 3).sum(1, keepdims=True)),
    "half of a whole number": lambda s: -0.7 * (jnp.sum(s.astype(int)) // 2),
    "a division that truncates": lambda s: -0.7 * lax.div(jnp.sum(s.astype(jnp.int32), dtype=jnp.int32), jnp.int32(4)),
    "a short integer that turns over": lambda s: 0.01 * (jnp.sum((s > 0).astype(jnp.uint8), dtype=jnp.uint8) - jnp.uint8(5)),
    "a square of a 32-bit sum": lambda s: -0.2 * jnp.sum(s.astype(jnp.int32), dtype=jnp.int32) ** 2,
    "seen in one state of 512": lambda s: -0.3 * jnp.sum(s) + jnp.where(jnp.sum(s) == 9, -3.0, 0.0),
    "a site that points at another": lambda s: -s[(s[0] > 0).astype(int) + 3] - 0.5 * s[8] * s[1],
    "a branch": lambda s: lax.cond(s[0] > 0, lambda: -jnp.sum(s[1:] * s[:-1]), lambda: jnp.sum(s)),
    "a mean and a variance": lambda s: jnp.var(s) - jnp.mean(s.reshape(3, 3), axis=0)[0],
}


@dataclass(frozen=True, eq=False)
class Odd(ParametricSystem, kind="odd formulas of a test"):
    """One of the formulas above."""

    lattice: Lattice
    formula: str
    space: Space = SPINS

    def energy(self, states):
        flat = jnp.reshape(jnp.asarray(states, float), (-1, self.lattice.n_sites))
        return jax.vmap(ODD[self.formula])(flat)


@pytest.mark.parametrize("formula", ODD)
def test_tables_of_odd_formulas_are_their_energies_in_every_state(formula):
    system = Odd(hl.systems.lattice.hypercubic((3, 3)), formula)
    every = SPINS.from_index(all_states(system.lattice)).reshape(-1, 9)
    (found,) = factors.tables_of([system])
    codes = SPINS.index(every)[:, found.tile_sites] @ found.places
    told = np.take_along_axis(found.tables[None], codes[..., None], -1).sum((1, 2))
    with jax.enable_x64(True):
        energy = np.asarray(jax.vmap(ODD[formula])(jnp.asarray(every, float)), float)
    np.testing.assert_allclose(told - told[0], energy - energy[0], rtol=0, atol=1e-6)


def test_what_sees_many_sites_is_in_no_table_of_few():
    assert factors.sites_of(_mixed((4, 4), Global)) is None
    assert factors.sites_of(_mixed((3, 3), Global)).shape == (1, 9)  # of few sites whatever the formula is
    assert factors.tables_of([_mixed((4, 4), Forbidden)]) is None


@pytest.mark.parametrize("sampler", ["heat_bath", "tempering"])
@pytest.mark.parametrize("kind", [Mixed, Global])
def test_draws_agree_with_enumeration(sampler, kind):
    system, beta = _mixed((3, 3), kind), 0.8
    every = SPINS.from_index(all_states(system.lattice)).reshape(-1, 9)
    energy = np.asarray(system.energy(every))
    weight = np.exp(-beta * (energy - energy.min()))
    found = simulate_systems([system], [0.4, beta], draws=4000, chains=4, seed=7, sampler=sampler, burn_in=200, thin=2)[0, 1].reshape(
        4, 4000, 9
    )
    for of in (system.energy, lambda flat: flat.sum(-1)):
        values = np.asarray(of(found), float)
        error = values.std() * np.sqrt(integrated_autocorrelation_time(values) / values.size)
        assert_within(values.mean(), float(weight @ np.asarray(of(every), float) / weight.sum()), error)


def test_auto_takes_heat_bath_and_metropolis_where_tables_do_not_hold():
    options = {"draws": 2, "chains": 2, "seed": 0, "burn_in": 2, "progress": False}
    assert hl.simulate(_mixed((6, 6)), 0.5, **options).attrs["sampler"] == "heat_bath"
    assert hl.simulate(_mixed((6, 6), Global), 0.5, **options).attrs["sampler"] == "metropolis"
    with pytest.raises(HamlearnError, match="sum of terms on few sites"):
        hl.simulate(_mixed((6, 6), Global), 0.5, sampler="heat_bath", **options)


def test_whom_a_formula_sees_is_read_from_its_program_and_not_from_values():
    from hamlearn.systems.terms import reach

    hidden = lambda x: jnp.where(x[:2] > 5.0, x[2:4], x[1:3])  # no state of spins shows the first branch
    assert reach(hidden, np.zeros(4)).toarray().astype(int).tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    moved = lambda x: jnp.max(jnp.pad(x.reshape(2, 2).T, 1)[1:3, ::2], axis=1)
    assert reach(moved, np.zeros(4)).toarray().astype(int).tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    assert reach(lambda x: jnp.cumsum(x), np.zeros(4)) is None
