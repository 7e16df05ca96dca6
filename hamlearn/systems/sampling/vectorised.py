"""Chains, temperatures and posterior members as array axes of one compiled call.

The kernels (:mod:`.local`, :mod:`.tempering`) are pure functions for one chain; here they are mapped over
members × replicas and scanned over sweeps. The numbers of draws and of sweeps between them are dynamic and everything
about the system is an argument, so one compilation serves every call with the same shapes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.sampling import local, tempering
from hamlearn.systems.sampling.layout import Layout, layout_of, to_sites

_BUFFER = 1 << 23  # bytes of states that one compiled call may hold
_MOST_DRAWS = 256

_STEPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # of spins, of q states
    "heat_bath": (local.heat_bath_spins, local.heat_bath_tables),
    "metropolis": (local.metropolis_spins, local.metropolis_tables),
    "tempering": (tempering.step, tempering.step),
}


@functools.partial(jax.jit, static_argnames=("ladder", "spins"))
def _init(keys: Any, values: Any, layout: Layout, *, ladder: bool, spins: bool) -> Any:
    """States of all chains, from keys ``(..., 2)`` and values ``(..., n_sites)`` with axes (member, replica)."""
    values = values.astype(jnp.float32 if spins else jnp.int32)
    one = tempering.init if ladder else local.init
    return jax.vmap(jax.vmap(one, in_axes=(0, 0, None)), in_axes=(0, 0, None))(keys, values, layout)


@functools.partial(jax.jit, static_argnames=("step", "spins", "capacity"))
def _advance(
    state: Any, beta: Any, layout: Layout, parameters: Any, draws: Any, thin: Any, *, step: Any, spins: bool, capacity: int
) -> Any:
    """`draws` ≤ `capacity` draws, `thin` steps before each; state and beta have axes (member, replica, ...)."""
    kind, build = (local.Spins, local.spins_problem) if spins else (local.Tables, local.tables_problem)
    # Who is whose neighbour is the same for every member: left unmapped, gathers need no member index.
    axes: Any = kind(neighbour=None, coupling=0, field=0, real=None)
    problems = jax.vmap(build, in_axes=(None, 0, 0), out_axes=axes)(layout, *parameters)
    mapped = jax.vmap(jax.vmap(step, in_axes=(0, 0, None)), in_axes=(0, 0, axes))

    def one_step(_: Any, carry: Any) -> Any:
        state, total = carry
        state, info = mapped(state, beta, problems)
        return state, jax.tree.map(lambda sum_, now: sum_ + now.mean((0, 1)), total, info)

    def one_draw(index: Any, carry: Any) -> Any:
        state, total, buffer = carry
        state, total = lax.fori_loop(0, thin, one_step, (state, total))
        record = to_sites(layout, state.values).astype(jnp.int8)
        return state, total, lax.dynamic_update_index_in_dim(buffer, record, index, 0)

    info = jax.eval_shape(mapped, state, beta, problems)[1]
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], jnp.float32), info)
    buffer = jnp.zeros((capacity, *state.values.shape[:-2], layout.slot.shape[0]), jnp.int8)
    return lax.fori_loop(0, draws, one_draw, (state, total, buffer))


def parameters_of(systems: Sequence[System]) -> tuple[Lattice, bool, tuple[np.ndarray, np.ndarray]]:
    """Of systems of pairs on one lattice: this, whether they are of ±1 spins, and their couplings and fields, or tables, stacked."""
    spins, pairs = systems[0].space.binary, [one.pairs for one in systems if one.pairs is not None]
    if any(one.lattice != pairs[0].lattice for one in pairs):
        raise HamlearnError("members that are simulated together must have the same bonds.")
    each = [one.of_spins() if spins else (one.tables, one.fields) for one in pairs]
    return pairs[0].lattice, spins, (np.stack([first for first, _ in each]), np.stack([second for _, second in each]))


class JaxEngine:
    """All chains of a jitted sampler, as the loop steps them.

    Parameters
    ----------
    lattice : Lattice
        Sites and bonds.
    spins : bool
        ±1 spins with `parameters` = (J ``(member, n_bonds)``, h ``(member, n_sites)``), or q states with (couplings
        ``(member, n_bonds, q, q)``, fields ``(member, n_sites, q)``), both −energies.
    parameters : tuple of two arrays
        As above; the first axis is the member.
    beta : array (member, replica), or (member, replica, rung) for tempering
        Inverse temperatures.
    sampler : {"heat_bath", "metropolis", "tempering"}
        Which kernel.
    """

    def __init__(self, lattice: Lattice, spins: bool, parameters: tuple[Any, Any], beta: np.ndarray, sampler: str) -> None:
        self.layout = layout_of(lattice)
        self.spins = spins
        self.parameters = tuple(np.asarray(array, np.float32) for array in parameters)
        self.beta = np.asarray(beta, np.float32)
        self.sampler = sampler
        self.lead = self.beta.shape
        self.n_sites = lattice.n_sites
        self.updates_per_step = self.beta.size * lattice.n_sites
        self.capacity = int(np.clip(_BUFFER // self.updates_per_step, 1, _MOST_DRAWS))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> Any:
        """State from values ``(*lead, n_sites)``."""
        ladder = self.sampler == "tempering"
        shape = (*self.lead[:2], self.lead[2] + 1) if ladder else self.lead
        keys = seed.generate_state(2 * int(np.prod(shape)), np.uint32).reshape(*shape, 2)
        return _init(keys, values, self.layout, ladder=ladder, spins=self.spins)

    def advance(self, state: Any, draws: int, thin: int) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, *lead, n_sites)``, and sums over steps."""
        state, total, buffer = _advance(
            state,
            self.beta,
            self.layout,
            self.parameters,
            draws,
            thin,
            step=_STEPS[self.sampler][0 if self.spins else 1],
            spins=self.spins,
            capacity=self.capacity,
        )
        info = {name: np.asarray(value, np.float64) for name, value in total._asdict().items()}
        return state, np.asarray(buffer[:draws]), info

    def tune(self, state: Any, info: dict[str, Any]) -> Any:
        """Nothing to tune."""
        return state
