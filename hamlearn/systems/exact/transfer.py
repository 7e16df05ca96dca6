r"""Transfer matrices: log Z, its gradients and exact samples of any lattice that can be cut into thin layers.

Z = tr T_0 T_1 … T_{n−1} on a ring of layers (1ᵀ w_0 T_0 … T_{n−2} 1 on an open strip), where
T_r[s, s'] = exp(Σ bonds between layer r in s and layer r + 1 in s' + bonds and fields inside layer r + 1 in s')
(Kramers and Wannier 1941; Onsager 1944). The matrices enter as log weights, β included, so couplings and fields
may be arbitrary, and everything is differentiable.

Two arithmetics. The linear one multiplies matrices and divides every row by its largest entry after each layer.
Let R_r be the sum over the Kronecker blocks of boundary r of (largest − smallest log kernel) and W_r the same range
of the log weights inside layer r. A normalised row after layer r lies in [exp(−R_{r−1} − W_r), 1], and while boundary
r is applied no entry falls below exp(−R_{r−1} − W_r − R_r); a cotangent is a probability over such an entry, so it
stays below the inverse. Hence nothing under- or overflows, in values, gradients and second derivatives, while

    :func:`energy_range` = max_r (R_{r−1} + W_r + R_r) < 600   (exp(−708) is the smallest normal double),

about β < 15 for a Gaussian glass on an 8×8 torus. Beyond it the log-domain arithmetic takes over: slower, no
limit. The bound does not grow with the number of layers.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import logsumexp

from hamlearn.spaces.extents import listed
from hamlearn.systems.exact.layers import Layers
from hamlearn.systems.exact.weights import log_kernel, log_weights, one_hot_states

LINEAR_RANGE = 600.0
"""Largest :func:`energy_range` that the linear arithmetic accepts."""
LINEAR_BLOCK_STATES = 32
"""Kronecker blocks are merged up to this many states: a few matrix products beat many, and one dense one."""
CHUNK = 2**21
"""Numbers (16 MB) that one temporary array of the log domain or of the sampler may hold."""


def layer_log_weights(layers: Layers, tables: jax.Array, fields: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log weights inside the layers, ``(n_layers, states)``, and couplings across the boundaries.

    The couplings have shape ``(n_boundaries, width, q, width, q)``; `tables` and `fields` include β.
    """
    n, m, q = layers.n_layers, layers.width, layers.q
    bond, layer, first, second = layers.inside.T
    pair = jnp.zeros((n, m, q, m, q), tables.dtype).at[layer, first, :, second, :].add(tables[bond])
    bond, boundary, first, second, reverse = layers.between.T
    oriented = jnp.where(reverse[:, None, None] == 1, tables[bond].swapaxes(-1, -2), tables[bond])
    cross = jnp.zeros((layers.n_boundaries, m, q, m, q), tables.dtype)
    cross = cross.at[boundary, first, :, second, :].add(oriented)
    return log_weights(pair, fields[layers.sites]), cross


def block_log_kernels(cross: jax.Array, widths: tuple[int, ...]) -> list[jax.Array]:
    """Kronecker factors of the transfer matrices in log form, each ``(n_boundaries, q**width, q**width)``."""
    starts = np.cumsum((0, *widths[:-1]))
    return [log_kernel(cross[:, a : a + w, :, a : a + w, :]) for a, w in zip(starts, widths, strict=True)]


def linear_widths(layers: Layers) -> tuple[int, ...]:
    """Blocks of the linear arithmetic."""
    return layers.merged_blocks(max(1, int(np.log(LINEAR_BLOCK_STATES) / np.log(layers.q) + 1e-9)))


def energy_range(layers: Layers, tables: jax.Array, fields: jax.Array) -> jax.Array:
    """Largest range of log weights that one step of the linear arithmetic spans (see the module); linear in β."""
    inner, cross = layer_log_weights(layers, tables, fields)
    widths = inner.max(-1) - inner.min(-1)
    if layers.n_boundaries == 0:
        return widths.max()
    kernels = block_log_kernels(cross, linear_widths(layers))
    steps = sum(k.max((-1, -2)) - k.min((-1, -2)) for k in kernels)
    if layers.cyclic:
        return jnp.max(jnp.roll(steps, 1) + widths + steps)
    return jnp.max(jnp.pad(steps, (1, 0)) + widths + jnp.pad(steps, (0, 1)))


def products(layers: Layers, tables: jax.Array, fields: jax.Array, *, linear: bool, keep: bool = False) -> tuple[jax.Array, jax.Array]:
    """The product of all transfer matrices in log form and, if `keep`, the partial products before it.

    Returns
    -------
    final : array (rows, states)
        Ring: log of T_0 … T_{n−1}. Open strip: log of w_0 T_0 … T_{n−2} (one row).
    partial : array (n_steps, rows, states)
        Products up to the last layer but one (ring: from layer 1 to n − 1; strip: from layer 0), each up to a
        constant per row; empty unless `keep`.
    """
    inner, cross = layer_log_weights(layers, tables, fields)
    if layers.cyclic:
        start = log_kernel(cross[0]) + inner[1]
        cross, inner = cross[1:], jnp.roll(inner, -2, 0)[:-1]
    else:
        start = inner[:1]
        inner = inner[1:]
    widths = linear_widths(layers) if linear else layers.blocks
    kernels = block_log_kernels(cross, widths)
    run = _linear_products if linear else _log_products
    return run(start, kernels, inner, keep)


def _linear_products(start: jax.Array, kernels: list[jax.Array], inner: jax.Array, keep: bool) -> tuple[jax.Array, jax.Array]:
    # Scales are constants of the arithmetic, not of the function: no gradient flows through them.
    largest = lax.stop_gradient(start.max(-1))
    tops = [lax.stop_gradient(k.max((-1, -2))) for k in kernels]
    top = lax.stop_gradient(inner.max(-1))
    factors = [jnp.exp(k - t[:, None, None]) for k, t in zip(kernels, tops, strict=True)]
    weights = jnp.exp(inner - top[:, None])

    def step(carry: tuple[jax.Array, jax.Array], layer: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        product, scale = carry
        blocks, weight, shift = layer
        kept = jnp.log(product) if keep else jnp.zeros(0)
        rows, states = product.shape
        # The last axis is contracted and moved to the front; after all blocks the order is the old one.
        for block in reversed(blocks):
            product = (product.reshape(-1, len(block)) @ block).reshape(rows, -1, len(block)).swapaxes(1, 2)
        product = product.reshape(rows, states) * weight
        norm = lax.stop_gradient(product.max(-1))
        return (product / norm[:, None], scale + jnp.log(norm) + shift), kept

    shifts = top + sum(tops) if tops else top
    carry = (jnp.exp(start - largest[:, None]), largest)
    (product, scale), partial = lax.scan(step, carry, (factors, weights, shifts))
    # log x at once would have 1/x² in its second derivative, which overflows where x is below 1e-154.
    logs = lax.stop_gradient(jnp.log(product))
    return jnp.log(product * jnp.exp(-logs)) + logs + scale[:, None], partial


def _log_products(start: jax.Array, kernels: list[jax.Array], inner: jax.Array, keep: bool) -> tuple[jax.Array, jax.Array]:
    def step(product: jax.Array, layer: Any) -> tuple[jax.Array, jax.Array]:
        blocks, weight = layer
        kept = product if keep else jnp.zeros(0)
        rows, states = product.shape
        for block in reversed(blocks):
            size = len(block)
            contract = jax.checkpoint(lambda row, block=block: logsumexp(row[..., :, None] + block, axis=-2))
            batch = max(1, CHUNK // (size * size))
            flat = product.reshape(-1, size)
            # A dense block (triangular lattice) would need rows x states x states numbers at once.
            flat = contract(flat) if len(flat) <= batch else lax.map(contract, flat, batch_size=batch)
            product = flat.reshape(rows, -1, size).swapaxes(1, 2)
        return product.reshape(rows, states) + weight, kept

    return lax.scan(step, start, (kernels, inner))


def log_partition(layers: Layers, tables: jax.Array, fields: jax.Array, *, linear: bool) -> jax.Array:
    """Log Z from log weights that include β."""
    final, _ = products(layers, tables, fields, linear=linear)
    return logsumexp(jnp.diagonal(final) if layers.cyclic else final)


def prefixes(layers: Layers, tables: jax.Array, fields: jax.Array, *, linear: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What :func:`sample` needs: the final and partial products and the couplings across boundaries."""
    final, partial = products(layers, tables, fields, linear=linear, keep=True)
    return final, partial, layer_log_weights(layers, tables, fields)[1]


def sample(
    layers: Layers,
    final: np.ndarray,
    partial: np.ndarray,
    cross: np.ndarray,
    draws: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Independent states (indices), int8 ``(draws, n_sites)``, layer by layer from exact conditionals.

    The partial products are prefixes, so layers are drawn backwards: on a ring layer 0 first, then n − 1 … 1.
    """
    cross = cross.reshape(-1, layers.width * layers.q, layers.width * layers.q)
    features, states = one_hot_states(layers.q, layers.width), listed(layers.q, layers.width)
    result = np.empty((draws, layers.sites.size), np.int8)
    size = max(1, CHUNK // layers.states)
    for begin in range(0, draws, size):
        out = result[begin : begin + size]
        count = len(out)
        if layers.cyclic:
            rows = _categorical(np.broadcast_to(np.diagonal(final), (count, layers.states)), generator)
            latest = rows
            out[:, layers.sites[0]] = states[rows]
        else:
            rows = np.zeros(count, int)
            latest = _categorical(np.broadcast_to(final[0], (count, layers.states)), generator)
            out[:, layers.sites[-1]] = states[latest]
        for r in range(len(partial) - 1, -1, -1):
            # Step r of a ring multiplies by boundary r + 1, whose lower layer is r + 1; of a strip, r and r.
            boundary = r + 1 if layers.cyclic else r
            logits = partial[r][rows] + (features[latest] @ cross[boundary].T) @ features.T
            latest = _categorical(logits, generator)
            out[:, layers.sites[boundary]] = states[latest]
    return result


def _categorical(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One index per row, by inverting the cumulative distribution."""
    cumulative = np.cumsum(np.exp(logits - logits.max(-1, keepdims=True)), -1)
    threshold = generator.random(len(logits)) * cumulative[:, -1]
    return np.minimum((cumulative <= threshold[:, None]).sum(-1), logits.shape[-1] - 1)
