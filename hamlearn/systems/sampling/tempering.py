"""Parallel tempering: a ladder of temperatures whose neighbours exchange their microstates.

One chain is a whole ladder. A step is one heat-bath sweep of every rung and one round of exchanges, of even and odd
pairs in turn, accepted with min(1, exp((β_k − β_{k+1})(E_k − E_{k+1}))). Sources: Hukushima and Nemoto, J. Phys. Soc.
Japan 65, 1604 (1996); round trips as the measure of a ladder: Katzgraber et al., J. Stat. Mech. (2006) P03018.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn.systems.sampling import local
from hamlearn.systems.sampling.layout import Layout


class State(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    key : uint32 array (2,)
        Of the exchanges.
    keys : uint32 array (n_rungs, 2)
        Of the sweeps.
    values : array (n_rungs, n_colours, group)
        Microstates, rung 0 the hottest.
    parity : int
        Which pairs try to exchange next.
    heading : int array (n_rungs,)
        For the microstate on each rung: 1 if it was last at the hot end, −1 at the cold end, 0 at neither yet.
    """

    key: Any
    keys: Any
    values: Any
    parity: Any
    heading: Any


class Info(NamedTuple):
    """What a reader may want of a step.

    Attributes
    ----------
    acceptance : scalar
        Of the heat-bath sweeps, averaged over rungs.
    exchanged : array (n_rungs − 1,)
        1 where the pair exchanged.
    offered : array (n_rungs − 1,)
        1 where the pair tried.
    round_trips : scalar
        Microstates that came back to the hot end from the cold one.
    """

    acceptance: Any
    exchanged: Any
    offered: Any
    round_trips: Any


def init(keys: Any, values: Any, layout: Layout) -> State:
    """State from microstates ``(n_rungs, n_sites)``, and one key more than rungs, ``(n_rungs + 1, 2)``."""
    rungs = jax.vmap(lambda one: local.init(keys[0], one, layout).values)(values)
    return State(keys[0], keys[1:], rungs, jnp.int32(0), jnp.zeros(len(values), jnp.int32))


def step(state: State, betas: Any, problem: Any) -> tuple[State, Info]:
    """One sweep of every rung (`betas`, ascending) and one round of exchanges."""
    spins = isinstance(problem, local.Spins)
    sweep = local.heat_bath_spins if spins else local.heat_bath_tables
    swept, info = jax.vmap(sweep, in_axes=(0, 0, None))(local.State(state.keys, state.values), betas, problem)
    energy = jax.vmap(local.spin_energy if spins else local.table_energy, in_axes=(0, None))(swept.values, problem)

    rungs = betas.shape[0]
    key, words = local.random_words(state.key, (rungs - 1,))
    pair = jnp.arange(rungs - 1)
    offered = pair % 2 == state.parity
    # float32 energies of 1e4 sites are off by 1e-3, which changes an exchange's probability by less than 1e-3 · Δβ.
    gain = (betas[:-1] - betas[1:]) * (energy[:-1] - energy[1:])
    exchanged = offered & (local.uniform(words) < jnp.exp(gain))
    up, down = jnp.append(exchanged, False), jnp.append(jnp.zeros(1, bool), exchanged)
    source = jnp.arange(rungs) + up.astype(jnp.int32) - down.astype(jnp.int32)

    heading = state.heading[source]
    returned = (heading[0] == -1).astype(jnp.float32)
    heading = heading.at[0].set(1)
    heading = heading.at[-1].set(jnp.where(heading[-1] == 1, -1, heading[-1]))
    new = State(key, swept.key, swept.values[source], 1 - state.parity, heading)
    counts = (exchanged.astype(jnp.float32), offered.astype(jnp.float32))
    return new, Info(info.acceptance.mean(), *counts, returned)


def default_ladder(beta: float, variance: float, n_sites: int) -> np.ndarray:
    """Geometric ladder from a hot β, at which a sweep decorrelates everything, to `beta`.

    The hottest rung has β times the root-mean-square local field equal to ½. Two rungs differ by one standard
    deviation of the energy at infinite temperature, which makes about a third of the exchanges succeed there and more
    where the heat capacity is smaller.

    Parameters
    ----------
    beta : float
        The coldest rung.
    variance : float
        Variance of the energy at infinite temperature.
    n_sites : int
        Number of sites.
    """
    if variance <= 0:
        return np.array([beta / 2, beta])
    hot = min(beta / 2, 0.5 / np.sqrt(2 * variance / n_sites))
    ratio = 1 + 1.25 / (np.sqrt(variance) * hot)
    count = int(np.clip(1 + np.ceil(np.log(beta / hot) / np.log(ratio)), 2, 64))
    return np.geomspace(hot, beta, count)
