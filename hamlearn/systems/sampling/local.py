"""Single-site heat bath and Metropolis, one colour of sites at a time.

Pure functions for one chain at one temperature: a :class:`State`, the constants of the problem (`Spins` or
`Tables`), and ``step(state, beta, problem) -> (State, Info)``, one sweep over all sites. The loop maps them over
chains, temperatures and posterior members.

Arithmetic is float32: an error of 1e-7 in a transition probability is far below what any run resolves, it halves
the memory traffic, and it is what accelerators are built for. Rare events keep their probability all the same: every
comparison is of a uniform number made of 32 random bits with a probability of at most ½ (or exp(−βΔE)), which float32
resolves down to 2⁻³².
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems.sampling.layout import Layout, to_slots

UNROLL = 8  # colours; beyond that a loop compiles faster than it could gain
_BIT29 = 2.0**-29
_TURNS = (13, 15, 26, 6), (17, 29, 16, 24)  # bits that a round of Threefry turns a word by
_DENSE = 4  # a matrix row is read instead of a neighbour list where that is at most so many times longer
_DENSE_WIDE = 18  # the same of more than UNROLL neighbours: gathering the 20 of 16×16 spins takes three times as long as reading a row


class State(NamedTuple):
    """What the next sweep needs: a key (two uint32 words) and the values in slots ``(n_colours, group)``."""

    key: Any
    values: Any


class Info(NamedTuple):
    """What a reader may want of a sweep.

    Attributes
    ----------
    acceptance : scalar
        Fraction of the sites that changed (heat bath), or of the proposals that were accepted (Metropolis).
    """

    acceptance: Any


class Spins(NamedTuple):
    """Constants of ±1 spins: couplings by neighbour (or by matrix row), fields, and which slots are real."""

    neighbour: Any
    coupling: Any
    field: Any
    real: Any


class Tables(NamedTuple):
    """Constants of q-state sites: −energy by neighbour, [neighbour's state, own state]; fields; which slots are real."""

    neighbour: Any
    coupling: Any
    field: Any
    real: Any


def spins_problem(layout: Layout, J: Any, h: Any) -> Spins:
    """Constants of the spin kernels from ``J (n_bonds,)`` and ``h (n_sites,)``."""
    weight = jnp.append(jnp.asarray(J, jnp.float32), jnp.float32(0))[layout.bond]
    colours, group, width = layout.neighbour.shape
    if width * (_DENSE if width <= UNROLL else _DENSE_WIDE) >= colours * group:
        rows = jnp.arange(colours * group).reshape(colours, group, 1)
        matrix = jnp.zeros((colours * group,) * 2, jnp.float32).at[rows, layout.neighbour].add(weight)
        weight = matrix.reshape(colours, group, -1)
    return Spins(layout.neighbour, weight, to_slots(layout, jnp.asarray(h, jnp.float32), 0.0), _real(layout))


def tables_problem(layout: Layout, couplings: Any, fields: Any) -> Tables:
    """Constants of the q-state kernels from −energies ``(n_bonds, q, q)`` and ``(n_sites, q)``."""
    tables = jnp.asarray(couplings, jnp.float32)
    tables = jnp.concatenate([tables, jnp.zeros_like(tables[:1])])[layout.bond] if len(tables) else _no_bonds(layout, tables)
    oriented = jnp.where(layout.first[..., None, None], jnp.swapaxes(tables, -1, -2), tables)
    return Tables(layout.neighbour, oriented, to_slots(layout, jnp.asarray(fields, jnp.float32), 0.0), _real(layout))


def _no_bonds(layout: Layout, tables: Any) -> Any:
    return jnp.zeros((*layout.bond.shape, *tables.shape[1:]), jnp.float32)


def _real(layout: Layout) -> Any:
    return layout.site < layout.slot.shape[0]


def init(key: Any, values: Any, layout: Layout) -> State:
    """State from spins (float32) or state indices (int32) ``(n_sites,)``."""
    return State(key, to_slots(layout, values, 0))


def random_words(key: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A new key, and uint32 words of `shape`.

    One call of the Threefry cipher in counter mode makes the words and the next key: half the work of
    ``jax.random.split`` and ``bits``, which spend a whole cipher block on every 32 bits.
    """
    n = 1
    for extent in shape:
        n *= extent
    words = _threefry(key, n + 2 + n % 2)
    return words[-2:], words[:n].reshape(shape)


def _threefry(key: Any, count: int) -> Any:
    """Threefry-2x32 of the numbers 0 to `count` − 1 (Salmon, Moraes, Dror and Shaw, SC11), bit for bit ``jax.extend.random.threefry_2x32``.

    That one loops over its rounds on a CPU, each a pass through memory; written out, all rounds are one: an eighth of the time.
    """
    first = lax.iota(jnp.uint32, count // 2)
    keys = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    x, y = first + keys[0], first + np.uint32(count // 2) + keys[1]
    for block in range(5):
        for turn in _TURNS[block % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn)))
        x, y = x + keys[(block + 1) % 3], y + keys[(block + 2) % 3] + np.uint32(block + 1)
    return jnp.concatenate([x, y])


def uniform(words: Any) -> Any:
    """Uniform numbers in (0, 1] from uint32 words; small ones keep all their bits."""
    return (words.astype(jnp.float32) + 0.5) * jnp.float32(2**-32)


# ---------------------------------------------------------------------- ±1 spins
def spin_fields(problem: Spins, values: Any, colour: Any) -> Any:
    """Local field Σ_j J_ij σ_j + h_i of the sites of a colour, shape ``(group,)``."""
    flat = values.reshape(-1)
    coupling, field = problem.coupling[colour], problem.field[colour]
    if coupling.shape[-1] == flat.shape[0]:  # a matrix row; full precision, for accelerators round to 10 bits by default
        return jnp.matmul(coupling, flat, precision=lax.Precision.HIGHEST) + field
    neighbour = problem.neighbour[colour]
    for k in range(neighbour.shape[-1]):  # a sum of gathers: XLA fuses it, unlike a gather of all and a reduction
        field = field + coupling[:, k] * flat[neighbour[:, k]]
    return field


def spin_energy(values: Any, problem: Spins) -> Any:
    """Energy of a chain: half of every bond from each of its ends."""
    fields = lax.map(lambda colour: spin_fields(problem, values, colour), jnp.arange(values.shape[0]))
    return -0.5 * jnp.sum(jnp.where(problem.real, values * (fields + problem.field), 0.0))


def heat_bath_spins(state: State, beta: Any, problem: Spins) -> tuple[State, Info]:
    """One heat-bath sweep: every spin is drawn from its distribution given its neighbours, colour by colour."""

    def update(values: Any, colour: Any, words: Any) -> tuple[Any, Any, Any]:
        field = 2 * beta * spin_fields(problem, values, colour)
        # u < 1/(1 + exp|2βh|), the rarer of the two outcomes, without the division.
        against = uniform(words) * (1 + jnp.exp(jnp.abs(field))) < 1
        new = jnp.where((field >= 0) != against, 1.0, -1.0).astype(values.dtype)
        return new, new != values[colour], problem.real[colour]

    return _sweep(update, state)


def metropolis_spins(state: State, beta: Any, problem: Spins) -> tuple[State, Info]:
    """One Metropolis sweep: flips proposed to 7/8 of the spins, accepted with min(1, exp(−βΔE))."""

    def update(values: Any, colour: Any, words: Any) -> tuple[Any, Any, Any]:
        old = values[colour]
        cost = 2 * beta * old * spin_fields(problem, values, colour)
        attempted, bits = _attempt(words)
        accepted = attempted & ((bits.astype(jnp.float32) + 0.5) * jnp.float32(_BIT29) < jnp.exp(-cost))
        return jnp.where(accepted, -old, old), accepted, attempted & problem.real[colour]

    return _sweep(update, state)


# ---------------------------------------------------------------------- q states
def local_tables(problem: Tables, values: Any, colour: Any) -> Any:
    """−energy of every state of the sites of a colour given their neighbours, shape ``(group, q)``."""
    flat = values.reshape(-1)
    neighbour, coupling, total = problem.neighbour[colour], problem.coupling[colour], problem.field[colour]
    for k in range(neighbour.shape[-1]) if neighbour.shape[-1] <= UNROLL else ():
        total = total + _rows(coupling[:, k], flat[neighbour[:, k]])
    if neighbour.shape[-1] > UNROLL:
        total = total + _rows(coupling, flat[neighbour]).sum(1)
    return total


def _rows(tables: Any, states: Any) -> Any:
    return jnp.take_along_axis(tables, states[..., None, None], axis=-2)[..., 0, :]


def table_energy(values: Any, problem: Tables) -> Any:
    """Energy of a chain: half of every bond from each of its ends."""

    def of_colour(colour: Any) -> Any:
        own = values[colour][:, None]
        bonds = jnp.take_along_axis(local_tables(problem, values, colour) - problem.field[colour], own, 1)
        fields = jnp.take_along_axis(problem.field[colour], own, 1)
        return jnp.sum(jnp.where(problem.real[colour], (0.5 * bonds + fields)[:, 0], 0.0))

    return -jnp.sum(lax.map(of_colour, jnp.arange(values.shape[0])))


def heat_bath_tables(state: State, beta: Any, problem: Tables) -> tuple[State, Info]:
    """One heat-bath sweep of q-state sites."""

    def update(values: Any, colour: Any, words: Any) -> tuple[Any, Any, Any]:
        logits = beta * local_tables(problem, values, colour)
        best = jnp.argmax(logits, -1).astype(values.dtype)
        weights = jnp.exp(logits - jnp.max(logits, -1, keepdims=True))
        # The most probable state takes what is left over: rare states then keep their probability in float32.
        others = jnp.where(jnp.arange(weights.shape[-1]) == best[:, None], 0.0, weights)
        reached = uniform(words)[:, None] * weights.sum(-1, keepdims=True) < jnp.cumsum(others, -1)
        new = jnp.where(reached[:, -1], jnp.argmax(reached, -1).astype(values.dtype), best)
        return new, new != values[colour], problem.real[colour]

    return _sweep(update, state)


def metropolis_tables(state: State, beta: Any, problem: Tables) -> tuple[State, Info]:
    """One Metropolis sweep of q-state sites: another state, uniformly, is proposed to 7/8 of the sites."""

    def update(values: Any, colour: Any, words: Any) -> tuple[Any, Any, Any]:
        old = values[colour]
        local = local_tables(problem, values, colour)
        others = np.uint32(local.shape[-1] - 1)
        attempted, bits = _attempt(words)
        # One word holds the choice of the new state (the remainder) and the number to accept it with (the quotient).
        new = (old + 1 + (bits % others).astype(old.dtype)) % local.shape[-1]
        u = ((bits // others).astype(jnp.float32) + 0.5) * jnp.float32(float(others) * _BIT29)
        gain = beta * (_rows(local[:, :, None], new)[:, 0] - _rows(local[:, :, None], old)[:, 0])
        accepted = attempted & (u < jnp.exp(gain))
        return jnp.where(accepted, new, old), accepted, attempted & problem.real[colour]

    return _sweep(update, state)


# ---------------------------------------------------------------------- shared
def _attempt(words: Any) -> tuple[Any, Any]:
    """Which sites are proposed to (7 of 8), and 29 random bits for each.

    Proposing to all would, as β → 0, accept everything and flip all spins back and forth for ever.
    """
    return words >= np.uint32(1 << 29), words & np.uint32((1 << 29) - 1)


def _sweep(update: Callable[[Any, Any, Any], tuple[Any, Any, Any]], state: State) -> tuple[State, Info]:
    """Update the colours one after the other; acceptance is pooled over all sites."""
    key, words = random_words(state.key, state.values.shape)

    def one_colour(values: Any, item: tuple[Any, Any]) -> tuple[Any, Any]:
        colour, own_words = item
        new, moved, counted = update(values, colour, own_words)
        values = lax.dynamic_update_index_in_dim(values, new, colour, 0)
        return values, jnp.stack([jnp.sum(moved & counted, dtype=jnp.float32), jnp.sum(counted, dtype=jnp.float32)])

    colours = state.values.shape[0]
    if colours <= UNROLL:
        values, counts = state.values, []
        for colour in range(colours):
            values, count = one_colour(values, (colour, words[colour]))
            counts.append(count)
        total = sum(counts)
    else:
        values, stacked = lax.scan(one_colour, state.values, (jnp.arange(colours), words))
        total = stacked.sum(0)
    return State(key, values), Info(total[0] / total[1])
