"""The draws of one compiled call: what samplers written as one step of all their chains share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def draw(step: Callable[[Any], tuple[Any, Any]], state: Any, draws: Any, thin: Any, capacity: int) -> tuple[Any, Any, Any]:
    """`draws` ≤ `capacity` times `thin` steps: the new state, information summed over all steps, and the values after every draw.

    `step` takes a state with ``values`` to the next one and a dictionary of numbers; how many are asked for is traced, so that
    another number compiles nothing.
    """

    def one_step(_: Any, carry: Any) -> Any:
        state, total = carry
        state, info = step(state)
        return state, jax.tree.map(jnp.add, total, info)

    def one_draw(index: Any, carry: Any) -> Any:
        state, total, buffer = carry
        state, total = lax.fori_loop(0, thin, one_step, (state, total))
        return state, total, lax.dynamic_update_index_in_dim(buffer, state.values, index, 0)

    buffer = jnp.zeros((capacity, *state.values.shape), state.values.dtype)
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(step, state)[1])
    found: tuple[Any, Any, Any] = lax.fori_loop(0, draws, one_draw, (state, total, buffer))
    return found
