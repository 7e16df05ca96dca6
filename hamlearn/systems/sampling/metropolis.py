"""Metropolis for any discrete system whose action JAX can trace: one site of every chain at a time, one compiled loop.

For systems that are known by their energy alone (learned networks, a user's own); those of pairs or tables have kernels that
look at neighbours only. With exchanges the temperatures are a ladder, as in :mod:`.hmc`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems.parametric import as_argument, from_argument
from hamlearn.systems.sampling import exchange, local
from hamlearn.systems.sampling.drawing import draw

_BUFFER = 1 << 24  # bytes of states that one compiled call may hold
_MOST_DRAWS = 256


class State(NamedTuple):
    """What the next sweep needs: a key, value indices ``(*lead, n_sites)``, the sweep's number, and where ladders head (:mod:`.hmc`)."""

    key: Any
    values: Any
    done: Any
    heading: Any


class Form(NamedTuple):
    """What is compiled in: whether the systems are stacked, and the temperatures a ladder."""

    stacked: bool
    ladder: bool


class MetropolisEngine:
    """All chains of one system, or of a stack of them, as the loop steps them.

    Parameters
    ----------
    system : System
        Discrete, with ``pure_jax``; or many of one structure (:func:`hamlearn.systems.parametric.stacked`).
    space : Space
        Of its sites.
    lattice : Lattice
        Its sites.
    betas : array (chains,); of a stack (member, replica) or, as ladders, (member, chain, rung)
        Inverse temperatures.
    stacked, ladder : bool
        Whether `system` is a stack, and whether rungs exchange their microstates.
    """

    def __init__(self, system: Any, betas: np.ndarray, space: Any, lattice: Any, *, stacked: bool = False, ladder: bool = False) -> None:
        self.system, self.space, self.shape = as_argument(system), space, lattice.shape
        self.betas = np.asarray(betas, np.float64)
        self.lead: tuple[int, ...] = self.betas.shape
        self.n_sites = lattice.n_sites
        self.form = Form(stacked, ladder)
        self.updates_per_step = self.betas.size * self.n_sites * max(8, self.n_sites)  # every proposal costs an energy
        self.capacity = int(np.clip(_BUFFER // (self.betas.size * self.n_sites), 1, _MOST_DRAWS))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(*lead, n_sites)``."""
        index = self.space.index(values).astype(np.int8)
        return State(seed.generate_state(2, np.uint32), index, np.int64(0), np.zeros(self.lead, np.int32))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, *lead, n_sites)``, and sums over sweeps."""
        with jax.enable_x64(True):
            options: dict[str, Any] = {"values": tuple(self.space.values.tolist()), "shape": tuple(self.shape)}
            new, total, buffer = _advance(state, self.system, self.betas, draws, thin, **options, form=self.form, capacity=self.capacity)
            info = {name: np.asarray(value) for name, value in total.items()}
            return State(*(np.asarray(leaf) for leaf in new)), self.space.from_index(np.asarray(buffer[:draws])), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state


@functools.partial(jax.jit, static_argnames=("values", "shape", "form", "capacity"))
def _advance(
    state: State,
    system: Any,
    betas: Any,
    draws: Any,
    thin: Any,
    *,
    values: tuple[int, ...],
    shape: tuple[int, ...],
    form: Form,
    capacity: int,
) -> Any:
    step = functools.partial(_sweep, system=from_argument(system), betas=betas, values=jnp.asarray(values), shape=shape, form=form)
    return draw(step, state, draws, thin, capacity)


def _sweep(state: State, *, system: Any, betas: Any, values: Any, shape: tuple[int, ...], form: Form) -> tuple[State, dict[str, Any]]:
    """As many proposals as there are sites, to random sites of every chain, and of a ladder one round of exchanges."""
    lead, (n, q) = betas.shape, (state.values.shape[-1], len(values))

    def action(index: Any, at: Any) -> Any:
        """Actions ``lead`` of value indices ``(*lead, n)`` at inverse temperatures ``lead``."""
        states = jnp.take(values, index.astype(jnp.int32)).reshape((*lead, *shape))
        if not form.stacked:
            return _each(system, states.reshape((-1, *shape)), at.reshape(-1)).reshape(lead)
        flat = states.reshape((lead[0], -1, *shape))
        return jax.vmap(_each)(system, flat, at.reshape(lead[0], -1)).reshape(lead)

    def propose(_: Any, carry: Any) -> Any:
        key, index, cost, moved = carry
        key, words = local.random_words(key, (3, *lead))
        uniform = local.uniform(words)  # in (0, 1]
        site = jnp.minimum((n * (1 - uniform[0])).astype(int), n - 1)[..., None]
        shift = 1 + jnp.minimum(((q - 1) * (1 - uniform[1])).astype(int), q - 2)
        old = jnp.take_along_axis(index, site, -1)
        proposed = jnp.put_along_axis(index, site, ((old + shift[..., None]) % q).astype(jnp.int8), -1, inplace=False)
        new = action(proposed, betas)
        accepted = jnp.log(uniform[2]) < cost - new
        return key, jnp.where(accepted[..., None], proposed, index), jnp.where(accepted, new, cost), moved + jnp.mean(accepted)

    start = (state.key, state.values, action(state.values, betas), jnp.zeros(()))
    key, index, _, moved = lax.fori_loop(0, n, propose, start)
    info, heading = {"acceptance": moved / n}, state.heading
    if form.ladder:
        key, words = local.random_words(key, (*lead[:-1], lead[-1] - 1))
        gained = exchange.gain(lambda one: action(one, betas), index)
        source, heading, swaps = exchange.swap(local.uniform(words), gained, heading, state.done)
        index = jnp.take_along_axis(index, source[..., None], -2)
        info |= exchange.means(swaps)
    return State(key, index, state.done + 1, heading), info


def _each(system: Any, states: Any, betas: Any) -> Any:
    return jax.vmap(lambda one, beta: system.action(one, beta))(states, betas)
