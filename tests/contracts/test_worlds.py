"""What every system promises, asked of all of them: shapes, frameworks, JSON, gradients, temperature, samplers.

Adding a system is one line in ``worlds.py``; nothing here names a class.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from contracts.worlds import NOT_WRITTEN, NUMPY_ONLY, SYSTEMS, microstates_of

import hamlearn as hl
from hamlearn import statistics
from hamlearn.systems import System, from_dict
from hamlearn.systems.sampling import exchanging, simulate_systems
from statistics_budget import assert_within

WRITTEN = [name for name in SYSTEMS if name not in NOT_WRITTEN]
EVERYWHERE = [name for name in SYSTEMS if name not in NUMPY_ONLY]
CONTINUOUS = [name for name in EVERYWHERE if SYSTEMS[name]().space.continuous]


@pytest.mark.parametrize("name", SYSTEMS)
def test_shapes_flat_states_and_lists(name):
    system = SYSTEMS[name]()
    assert isinstance(system, System)
    states = microstates_of(system, 6)
    energies = np.asarray(system.energy(states))
    assert energies.shape == (6,) and np.all(np.isfinite(energies))
    assert np.std(energies) > 0
    assert np.shape(system.energy(states[0])) == ()
    np.testing.assert_allclose(system.energy(states.reshape(2, 3, *states.shape[1:])).ravel(), energies, rtol=1e-5)
    np.testing.assert_allclose(system.energy(states.reshape(6, -1)), energies, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(system.energy(states.tolist())), energies, rtol=1e-5)
    assert repr(system)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_numpy_jax_and_torch_agree(name):
    system = SYSTEMS[name]()
    states = microstates_of(system, 5)
    expected = np.asarray(system.action(states, 0.7))
    with jax.enable_x64(True):
        np.testing.assert_allclose(np.asarray(system.action(jnp.asarray(states), 0.7)), expected, rtol=1e-12, atol=1e-12)
        traced = jax.jit(lambda x, beta: system.action(x, beta))(jnp.asarray(states), 0.7)
        np.testing.assert_allclose(np.asarray(traced), expected, rtol=1e-11, atol=1e-11)
    found = system.action(torch.as_tensor(states), 0.7)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WRITTEN)
def test_json_round_trip(name):
    system = SYSTEMS[name]()
    text = json.dumps(system.to_dict(), allow_nan=False)
    again = from_dict(json.loads(text))
    assert type(again) is type(system)
    states = microstates_of(system, 4)
    np.testing.assert_allclose(np.asarray(again.action(states, 1.3)), np.asarray(system.action(states, 1.3)), rtol=1e-6)
    assert json.dumps(again.to_dict()) == text


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradient_is_that_of_finite_differences(name):
    system = SYSTEMS[name]()
    state = microstates_of(system, 1)[0].ravel()
    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(lambda x: system.action(x, 0.7))(jnp.asarray(state)))
    step = 1e-5 * np.eye(len(state))
    up, down = (np.asarray(system.action(state + sign * step, 0.7)) for sign in (1, -1))
    np.testing.assert_allclose(slope, (up - down) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", SYSTEMS)
def test_temperature_stands_outside_the_energy_where_it_is_classical(name):
    system = SYSTEMS[name]()
    states = microstates_of(system, 4)
    if "path" in name:  # the kinetic term of a path goes as 1/β
        apart = np.asarray(system.action(states, 1.0)) - np.asarray(system.energy(states))
        assert np.ptp(apart) > 0
        return
    for beta in (0.3, 1.7):
        np.testing.assert_allclose(np.asarray(system.action(states, beta)), beta * np.asarray(system.energy(states)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_sampler_agrees_with_what_is_known_exactly(name):
    """Markov chains against the oracle (independent code), or against identities of Schwinger and Dyson: ⟨x S'⟩ = 1, ⟨S'² − S''⟩ = 0."""
    system, beta = SYSTEMS[name](), 0.6
    oracle = hl.systems.exact.method(system)
    sampler = "heat_bath" if system.space.event_shape else "hmc" if system.space.continuous and system.pure_jax else "metropolis"
    data = hl.simulate(system, beta, draws=600, chains=8, seed=4, thin=2, sampler=sampler)
    states = data["state"].values
    if system.space.name == "reals" and system.pure_jax:
        with jax.enable_x64(True):
            slope = np.asarray(jax.vmap(jax.vmap(jax.grad(lambda x: system.action(x, beta))))(jnp.asarray(states)))
        series, truth = (states * slope).reshape(*states.shape[:2], -1).mean(-1), 1.0
    elif system.space.event_shape:  # S is linear in every vector: ⟨|∇S|² − ΔS⟩ = 0 on the sphere
        with jax.enable_x64(True):
            slope = np.asarray(jax.vmap(jax.vmap(jax.grad(lambda x: system.action(x, beta))))(jnp.asarray(states)))
        along = (slope * states).sum(-1)
        local = (slope**2).sum(-1) - along**2 + (states.shape[-1] - 1) * along
        series, truth = local.reshape(*states.shape[:2], -1).mean(-1), 0.0
    elif system.space.name == "angles":
        with jax.enable_x64(True):
            flat = jnp.asarray(states.reshape(-1, system.lattice.n_sites))
            slope = jax.vmap(jax.grad(lambda x: system.action(x, beta)))(flat)
            bend = jax.vmap(lambda x: jnp.diag(jax.hessian(lambda y: system.action(y, beta))(x)))(flat)
        series, truth = np.asarray(slope**2 - bend).mean(-1).reshape(states.shape[:2]), 0.0
    elif system.space.continuous:
        series, truth = (states**2).reshape(*states.shape[:2], -1).mean(-1), 0.5 / beta  # ln p = −x²/2 was learned at β = 0.5
    else:
        series = np.asarray(system.energy(states)) / system.lattice.n_sites
        truth = _known(system, beta) if oracle is None else hl.systems.exact.thermodynamics(system, np.array([beta]))["energy"].item()
    ess = series.size / max(1.0, float(np.max(statistics.integrated_autocorrelation_time(series))))
    error = series.std() / np.sqrt(ess)
    assert_within(series.mean(), truth, error, name)


@pytest.mark.parametrize("name", ["extensive energy", "a user's own", "interaction_tables"])
def test_members_known_by_their_energies_are_simulated_together(name):
    """Two members, two temperatures, exchanges where JAX can trace them: each against all states."""
    system, betas = SYSTEMS[name](), np.array([0.3, 0.6])
    sampler = "tempering" if exchanging([system]) else "metropolis"
    states = simulate_systems([system, system], betas, draws=400, chains=2, seed=3, sampler=sampler, burn_in=100, thin=2)
    assert states.shape == (2, 2, 2, 400, *system.lattice.shape)
    energy = np.asarray(system.energy(states.reshape(-1, *system.lattice.shape)), float).reshape(states.shape[:4])
    for k, beta in enumerate(betas):
        series = energy[:, k].reshape(4, -1) / system.lattice.n_sites
        ess = series.size / max(1.0, float(np.max(statistics.integrated_autocorrelation_time(series))))
        assert_within(series.mean(), _known(system, beta), series.std() / np.sqrt(ess), f"{name} at {beta}")


def _known(system, beta):
    """⟨E⟩ per site of spins that no oracle knows: from all states, or from so many random ones that their noise is small."""
    n = system.lattice.n_sites
    if n <= 14:
        states = 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) - 1
    else:
        states = np.random.default_rng(9).choice([-1, 1], size=(100_000, n))
    energy = np.asarray(system.energy(states.reshape(-1, *system.lattice.shape)), float)
    weight = np.exp(-beta * (energy - energy.min()))
    return float((weight * energy).sum() / weight.sum()) / n
