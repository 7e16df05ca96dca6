"""Enumeration: log Z of any graph of up to 2^20 states, by summing over all of them.

The sites are halved and halved again (:mod:`hamlearn.systems.exact.weights`), so the 2^20 log weights of 20
spins are one product of three small matrices plus two vectors, whatever the number of bonds: 8 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp

from hamlearn.errors import HamlearnError
from hamlearn.spaces.extents import Extent, count, each, listed
from hamlearn.systems.base import System, energies_of
from hamlearn.systems.exact.weights import log_weights
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs

_CHUNK = 2**21
MAX_STATES = 2**20
"""Largest number of states that is enumerated: 20 spins, 12 three-state sites."""


MOST_EVALUATED = 2**16
"""Largest number of states of a system that is known by its energies only: 16 spins, 4×4."""


def require_enumerable(lattice: Lattice, q: Extent) -> None:
    """Raise unless all states of `lattice` can be enumerated."""
    if count(q, lattice.n_sites) > MAX_STATES:
        most = max(each(q, lattice.n_sites))
        largest = int(np.log(MAX_STATES) / np.log(most) + 1e-9)
        raise HamlearnError(
            f"{power_text(q, lattice.n_sites)} states are too many to enumerate: at most 2**20 = 1.05e6, "
            f"that is {largest} sites with q={most}. log_partition, thermodynamics, expectations and sample also "
            "work by transfer matrix, on lattices that can be cut into layers of at most 512 states."
        )


def power_text(q: Extent, n_sites: int) -> str:
    """Text such as ``2**100 = 1.3e+30`` or ``2 · 5**9 = 3906250``, also where the number overflows a float."""
    sizes = each(q, n_sites)
    exponent = float(np.log10(sizes).sum())
    value = f"{10 ** (exponent % 1):.1f}e+{int(exponent)}" if exponent >= 7 else str(math.prod(sizes))
    power = lambda size, count: f"{size}**{count}" if count > 1 or len(set(sizes)) == 1 else f"{size}"
    return f"{' · '.join(power(size, sizes.count(size)) for size in sorted(set(sizes)))} = {value}"


def all_states(lattice: Lattice, q: int | Sequence[int | Sequence[int]] = 2) -> np.ndarray:
    """Every state of a lattice, as indices.

    Parameters
    ----------
    lattice : Lattice
        Gives the site axes; at most 2^20 states.
    q : int or sequence of int (n_sites,)
        Number of states per site (2: spins, index 0 is −1 and 1 is +1), or of every site its own: the number, or the states themselves.

    Returns
    -------
    array of int8, shape (q**n_sites, *lattice.shape)
        In C order: the last site changes fastest. ``space.from_index`` turns indices into values.

    Raises
    ------
    HamlearnError
        If there are more than 2^20 states.

    Examples
    --------
    >>> from hamlearn.systems import exact, lattice
    >>> exact.all_states(lattice.hypercubic(2), q=2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    extent = tuple(tuple(one) if isinstance(one, Sequence) else int(one) for one in q) if isinstance(q, Sequence) else int(q)
    require_enumerable(lattice, extent)
    return listed(extent, lattice.n_sites).reshape(-1, *lattice.shape)


def evaluate(system: System) -> np.ndarray:
    """Energy of every state in the order of :func:`all_states`, by evaluating the system's own ``energy``; ∞ where none is allowed."""
    space, lattice = system.space, system.lattice
    states = all_states(lattice, space.extent)
    size = max(1, _CHUNK // max(lattice.n_bonds, lattice.n_sites))
    pieces = (space.from_index(states[k : k + size]) for k in range(0, len(states), size))
    chunks = [np.where(space.allows(piece.reshape(len(piece), -1)), energies_of(system, piece), np.inf) for piece in pieces]
    return np.concatenate(chunks)


def possible(system: System) -> np.ndarray:
    """Energies of the states that are allowed."""
    energies = evaluate(system)
    return np.asarray(energies[np.isfinite(energies)])


def state_log_weights(lattice: Lattice, q: Extent, tables: jax.Array, fields: jax.Array) -> jax.Array:
    """Log weight of every state in the order of :func:`all_states`, from tables that include β; traceable."""
    (first, second), most = lattice.bonds.T, fields.shape[-1]
    pair = jnp.zeros((lattice.n_sites, most, lattice.n_sites, most), tables.dtype)
    sizes = q if isinstance(q, tuple) else ()
    fields = jnp.where(fields == -jnp.inf, 0.0, fields)  # of what is not there, and not listed: a product with zero has to be a number
    return log_weights(pair.at[first, :, second, :].add(tables), fields, sizes)


def log_partition(lattice: Lattice, q: Extent, tables: jax.Array, fields: jax.Array) -> jax.Array:
    """Log Z from tables that include β; traceable."""
    return logsumexp(state_log_weights(lattice, q, tables, fields))


def of_pairs(pairs: Pairs) -> np.ndarray:
    """Minus the energy of every state from tables without β; systems on one lattice share what is compiled."""
    with jax.enable_x64(True):
        return np.asarray(_compiled(pairs.lattice, pairs.extent)(pairs.tables, pairs.fields))


@lru_cache(maxsize=4)
def _compiled(lattice: Lattice, q: Extent) -> Callable[..., jax.Array]:
    return jax.jit(partial(state_log_weights, lattice, q))
