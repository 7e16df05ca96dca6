"""Metropolis for any discrete system whose action JAX can trace: one site of every chain at a time, one compiled loop.

For systems that are known by their energy alone (learned networks, a user's own); those of pairs or tables have kernels that
look at neighbours only. A proposal costs the energy of the whole microstate, unless the system says what a change of one site
costs (``energy_change``, :mod:`.changes`). With exchanges the temperatures are a ladder, as in :mod:`.hmc`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems.base import System
from hamlearn.systems.parametric import as_argument, from_argument
from hamlearn.systems.sampling import changes, exchange, local
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
    """What is compiled in: whether the systems are stacked, the temperatures a ladder, and changes of one site known by themselves."""

    stacked: bool
    ladder: bool
    changes: bool


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

    def __init__(self, system: System, betas: np.ndarray, space: Any, lattice: Any, *, stacked: bool = False, ladder: bool = False) -> None:
        self.system, self.space, self.shape = as_argument(system), space, lattice.shape
        self.betas = np.asarray(betas, np.float64)
        self.lead: tuple[int, ...] = self.betas.shape
        self.n_sites = lattice.n_sites
        self.form = Form(stacked, ladder, system.energy_change is not None)
        # Every proposal costs an energy, or a change of one.
        self.updates_per_step = self.betas.size * self.n_sites * (8 if self.form.changes else max(8, self.n_sites))
        self.capacity = int(np.clip(_BUFFER // (self.betas.size * self.n_sites), 1, _MOST_DRAWS))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(*lead, n_sites)``."""
        index = self.space.index(values).astype(np.int8)
        if self.form.changes:
            with jax.enable_x64(True):
                changes.require_right(self.system, index, self.space.values, self.shape, stacked=self.form.stacked)
        return State(seed.generate_state(2, np.uint32), index, np.int64(0), np.zeros(self.lead, np.int32))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, *lead, n_sites)``, and sums over sweeps."""
        with jax.enable_x64(True):
            options: dict[str, Any] = {"values": tuple(self.space.values.tolist()), "shape": tuple(self.shape)}
            new, total, buffer = _advance(state, self.system, self.betas, draws, thin, **options, form=self.form, capacity=self.capacity)
            info = {name: np.asarray(value) for name, value in total.items()}
            if self.form.changes:
                changes.require_sum(from_argument(self.system), info.pop("changed"), info.pop("gone"))
            return State(*(np.asarray(leaf) for leaf in new)), self.space.from_index(np.asarray(buffer[:draws])), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state


@functools.partial(jax.jit, static_argnames=("values", "shape", "form", "capacity"))
def _advance(
    state: State,
    system: System,
    betas: Any,
    draws: Any,
    thin: Any,
    *,
    values: tuple[int, ...],
    shape: tuple[int, ...],
    form: Form,
    capacity: int,
) -> Any:
    known = from_argument(system)
    step = functools.partial(_sweep, system=known, betas=betas, values=jnp.asarray(values), shape=shape, form=form)
    new, total, buffer = draw(step, state, draws, thin, capacity)
    if form.changes:  # what all accepted changes came to, against the energies at both ends; exchanges keep the sum over a ladder
        one = jnp.ones_like(betas)
        gone = _costs(known, new.values, one, jnp.asarray(values), shape, form) - _costs(
            known, state.values, one, jnp.asarray(values), shape, form
        )
        whole = lambda each: each.sum(-1) if form.ladder else each
        total |= {"changed": whole(total["changed"]), "gone": whole(gone)}
    return new, total, buffer


def _sweep(state: State, *, system: System, betas: Any, values: Any, shape: tuple[int, ...], form: Form) -> tuple[State, dict[str, Any]]:
    """As many proposals as there are sites, to random sites of every chain, and of a ladder one round of exchanges."""
    lead, (n, q) = betas.shape, (state.values.shape[-1], len(values))
    rows = jnp.arange(betas.size)

    def placed(index: Any, site: Any, value: Any) -> Any:
        flat = index.reshape(-1, n).at[rows, site.reshape(-1)].set(value.reshape(-1).astype(jnp.int8))
        return flat.reshape(index.shape)

    def propose(_: Any, carry: Any) -> Any:
        key, index, cost, moved = carry
        key, words = local.random_words(key, (3, *lead))
        uniform = local.uniform(words)  # in (0, 1]
        site = jnp.minimum((n * (1 - uniform[0])).astype(int), n - 1)
        shift = 1 + jnp.minimum(((q - 1) * (1 - uniform[1])).astype(int), q - 2)
        old = jnp.take_along_axis(index, site[..., None], -1)[..., 0]
        new = (old + shift) % q
        if form.changes:  # of the energy; `cost` then counts what was accepted
            change = _changes(system, index, site, new, values, shape, form)
            accepted = jnp.log(uniform[2]) < -betas * change
            cost = cost + jnp.where(accepted, change, 0.0)
        else:
            proposed = _costs(system, placed(index, site, new), betas, values, shape, form)
            accepted = jnp.log(uniform[2]) < cost - proposed
            cost = jnp.where(accepted, proposed, cost)
        return key, placed(index, site, jnp.where(accepted, new, old)), cost, moved + jnp.mean(accepted)

    cost = jnp.zeros(lead) if form.changes else _costs(system, state.values, betas, values, shape, form)
    key, index, cost, moved = lax.fori_loop(0, n, propose, (state.key, state.values, cost, jnp.zeros(())))
    info, heading = {"acceptance": moved / n}, state.heading
    if form.changes:
        info |= {"changed": cost}
    if form.ladder:
        key, words = local.random_words(key, (*lead[:-1], lead[-1] - 1))
        gained = exchange.gain(lambda one: _costs(system, one, betas, values, shape, form), index, state.done)
        source, heading, swaps = exchange.swap(local.uniform(words), gained, heading, state.done)
        index = jnp.take_along_axis(index, source[..., None], -2)
        info |= exchange.means(swaps)
    return State(key, index, state.done + 1, heading), info


def _costs(system: System, index: Any, at: Any, values: Any, shape: tuple[int, ...], form: Form) -> Any:
    """Actions ``lead`` of value indices ``(*lead, n)`` at inverse temperatures ``lead``."""
    states = jnp.take(values, index.astype(jnp.int32))
    return _mapped(lambda one, state, beta: one.action(state.reshape(shape), beta), system, (states, at), at.shape, form)


def _changes(system: System, index: Any, site: Any, new: Any, values: Any, shape: tuple[int, ...], form: Form) -> Any:
    """What the energy changes by, ``lead``, where one site of every chain is given a new value."""
    one = lambda system, state, site, value: system.energy_change(jnp.take(values, state.astype(jnp.int32)).reshape(shape), site, value)
    return _mapped(one, system, (index, site, jnp.take(values, new)), site.shape, form)


def _mapped(function: Any, system: System, arguments: tuple[Any, ...], lead: tuple[int, ...], form: Form) -> Any:
    """`function` of the system and of every chain's arguments, ``lead``; each member of a stack has its own system."""
    if not form.stacked:
        flat = [one.reshape((-1, *one.shape[len(lead) :])) for one in arguments]
        return jax.vmap(functools.partial(function, system))(*flat).reshape(lead)
    flat = [one.reshape((lead[0], -1, *one.shape[len(lead) :])) for one in arguments]
    return jax.vmap(lambda system, *rows: jax.vmap(functools.partial(function, system))(*rows))(system, *flat).reshape(lead)
