"""What a new value of one site changes the energy by, as a system says it: used by Metropolis, and never believed unseen.

A system known by its energy alone may offer ``energy_change(state, site, value)``: the energy of ``state`` ``(*lattice.shape)`` with
`value` on `site` (its number in C order), minus that of ``state``; for JAX to trace, as its energy is. A formula that looks at the
neighbours alone makes a sweep cost as much as a few energies instead of as many as there are sites. What it says is compared with
the energy itself: before a run, at every site of some microstates, and throughout it, for all that was accepted.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.parametric import from_argument

_STATES = 4  # at all of whose sites the change is compared with the energy
_TOLERANCE = 1e-6  # of the energies that are compared, far above rounding and far below what shifts a probability


def require_right(system: System, index: np.ndarray, values: np.ndarray, shape: tuple[int, ...], *, stacked: bool) -> None:
    """Raise unless the changes of single sites are those of the energy, for some of the microstates that a run starts from.

    Parameters
    ----------
    system : System
        With ``energy_change``; or many of one structure, of which the first is asked.
    index : int array (*lead, n_sites)
        Numbers of the values of the sites.
    values : array (q,)
        The values themselves.
    shape : tuple of int
        Extents of the lattice.
    stacked : bool
        Whether `system` is a stack, of members along the first axis of `index`.

    Raises
    ------
    HamlearnError
        With the first site where they differ.
    """
    n, q = index.shape[-1], len(values)
    rows = (index[0] if stacked else index).reshape(-1, n)[:_STATES]
    first = jax.tree.map(lambda leaf: leaf[0], system) if stacked else system
    site, shift = (one.ravel() for one in np.meshgrid(np.arange(n), np.arange(1, q), indexing="ij"))
    new = values[(rows[:, site] + shift) % q]
    told, true, scale = (np.asarray(one) for one in _compared(first, values[rows], site, new, shape))
    wrong = ~(np.abs(told - true) <= _TOLERANCE * np.maximum(scale[:, None], 1.0))
    if wrong.any():
        row, place = (int(one) for one in np.argwhere(wrong)[0])
        raise HamlearnError(
            f"energy_change of {type(from_argument(system)).__name__} is not the change of its energy: with the value "
            f"{new[row, place]} on site {site[place]} the energy changes by {true[row, place]:.6g}, and it says "
            f"{told[row, place]:.6g}. Return energy(new state) - energy(state), or leave it out: sampling is then right and slower."
        )


def require_sum(system: System, changed: np.ndarray, gone: np.ndarray) -> None:
    """Raise unless the accepted changes of a run came to the difference of the energies at its ends."""
    if np.all(np.abs(changed - gone) <= _TOLERANCE * np.maximum(np.abs(changed) + np.abs(gone), 1e3)):
        return
    worst = int(np.argmax(np.nan_to_num(np.abs(changed - gone), nan=np.inf)))
    raise HamlearnError(
        f"energy_change of {type(system).__name__} is not the change of its energy: what a run accepted came to "
        f"{changed.ravel()[worst]:.6g}, and the energy changed by {gone.ravel()[worst]:.6g}. "
        "Correct it, or leave it out: sampling is then right and slower."
    )


@functools.partial(jax.jit, static_argnames=("shape",))
def _compared(argument: Any, states: Any, site: Any, new: Any, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Told and true changes ``(state, change)``, and the size of the energies ``(state,)``."""
    system = from_argument(argument)
    energy = lambda state: system.energy(state.reshape(shape))

    def of_state(state: Any, values: Any) -> tuple[Any, Any, Any]:
        before = energy(state)
        told = jax.vmap(lambda at, value: system.energy_change(state.reshape(shape), at, value))(site, values)
        after = jax.vmap(lambda at, value: energy(state.at[at].set(value)))(site, values)
        return told, after - before, jnp.abs(before)

    return jax.vmap(of_state)(states, new)
