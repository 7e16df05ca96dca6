"""Parallel tempering: a ladder of temperatures whose neighbours exchange their microstates.

One chain is a whole ladder. A step is one heat-bath sweep of every rung and one round of exchanges, of even and odd
pairs in turn (:mod:`.exchange`), accepted with min(1, exp((β_k − β_{k+1})(E_k − E_{k+1}))).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn.systems.sampling import exchange, local
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

    key, words = local.random_words(state.key, (betas.shape[0] - 1,))
    # float32 energies of 1e4 sites are off by 1e-3, which changes an exchange's probability by less than 1e-3 · Δβ.
    gained = (betas[:-1] - betas[1:]) * (energy[:-1] - energy[1:])
    source, heading, found = exchange.swap(local.uniform(words), gained, state.heading, state.parity)
    new = State(key, swept.key, swept.values[source], 1 - state.parity, heading)
    return new, Info(info.acceptance.mean(), **found)


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
