"""Exchanges of microstates between neighbouring temperatures of a ladder: one round, whatever steps the chains.

A pair of neighbours is swapped with probability min(1, exp(S_k(x_k) + S_{k+1}(x_{k+1}) − S_k(x_{k+1}) − S_{k+1}(x_k))), even and odd
pairs in turn. Sources: Hukushima and Nemoto, J. Phys. Soc. Japan 65, 1604 (1996); round trips as the measure of a ladder:
Katzgraber et al., J. Stat. Mech. (2006) P03018.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp


def gain(action: Callable[[Any], Any], values: Any, parity: Any) -> Any:
    """What swapping every pair of a parity gains, ``(..., rungs − 1)``, of values ``(..., rungs, n)`` with actions ``(..., rungs)``."""
    rung = jnp.arange(values.shape[-2])
    # The other rung of the pair; where there is none whatever follows is not offered.
    other = jnp.clip(jnp.where(rung % 2 == parity % 2, rung + 1, rung - 1), 0, len(rung) - 1)
    gained = action(values) - action(jnp.take(values, other, -2))
    return gained[..., :-1] + gained[..., 1:]


def swap(uniform: Any, gained: Any, heading: Any, parity: Any) -> tuple[Any, Any, dict[str, Any]]:
    """One round of the pairs of one parity.

    Parameters
    ----------
    uniform : array (..., rungs − 1)
        Random numbers in (0, 1].
    gained : array (..., rungs − 1)
        Logarithm of the ratio of weights.
    heading : int array (..., rungs)
        For the microstate on each rung: 1 if it was last on the first rung, −1 on the last, 0 on neither yet.
    parity : int
        Which pairs try.

    Returns
    -------
    source : int array (..., rungs)
        From which rung each rung's microstate comes.
    heading : int array (..., rungs)
    info : dict of arrays
        ``exchanged`` and ``offered`` ``(..., rungs − 1)``, and ``round_trips`` ``(...)``: microstates back from the other end.
    """
    rungs = heading.shape[-1]
    offered = jnp.broadcast_to(jnp.arange(rungs - 1) % 2 == parity % 2, gained.shape)
    swapped = offered & (uniform < jnp.exp(jnp.nan_to_num(gained, nan=-jnp.inf)))
    none = jnp.zeros((*swapped.shape[:-1], 1), bool)
    up, down = jnp.concatenate([swapped, none], -1), jnp.concatenate([none, swapped], -1)
    source = jnp.arange(rungs) + up.astype(jnp.int32) - down.astype(jnp.int32)
    heading = jnp.take_along_axis(heading, source, -1)
    returned = heading[..., 0] == -1
    heading = heading.at[..., 0].set(1)
    heading = heading.at[..., -1].set(jnp.where(heading[..., -1] == 1, -1, heading[..., -1]))
    real = gained.dtype
    return source, heading, {"exchanged": swapped.astype(real), "offered": offered.astype(real), "round_trips": returned.astype(real)}


def means(info: dict[str, Any]) -> dict[str, Any]:
    """Over all ladders: what a loop sums over steps."""
    found = {name: info[name].mean(tuple(range(info[name].ndim - 1))) for name in ("exchanged", "offered")}
    return {**found, "round_trips": info["round_trips"].mean()}
