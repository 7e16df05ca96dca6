"""Log weights of every state of a group of sites, by halving the group: the arithmetic all oracles share.

Couplings of a group of m sites are one array ``pair`` of shape ``(m, q, m, q)``: ``pair[i, a, j, b]`` is added
to the log weight when site i is in state a and site j in state b. A kernel between two groups is then a product
of three matrices (one-hot states, couplings, one-hot states), whose gradients are matrix products too: no
gathering of table entries, no scattering of their gradients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.spaces.extents import Extent, count, listed, room

Sizes = tuple[int | tuple[int, ...], ...]  # an extent, () where all sites have the same values
SMALL_GROUP = 64
"""Groups of up to this many states are not halved: a deep recursion costs more to compile than it saves."""


@lru_cache(maxsize=64)
def one_hot_states(q: Extent, n_sites: int, width: int | None = None) -> np.ndarray:
    """All states, listed, as 0/1 features, float64 ``(q**n_sites, n_sites * width)``; `width` is q by default."""
    states = listed(q, n_sites)
    features = np.eye(width or room(q))[states].reshape(len(states), -1)
    features.setflags(write=False)
    return features


def log_kernel(cross: jax.Array, first: Extent | None = None, second: Extent | None = None) -> jax.Array:
    """Coupling part of the log weight for every state of two groups.

    Parameters
    ----------
    cross : array (..., m, q, k, q)
        Couplings from the m sites of the first group to the k sites of the second.
    first, second : tuple, optional
        Where sites have fewer values than q: which, of both groups (:mod:`hamlearn.spaces.extents`).

    Returns
    -------
    array (..., q**m, q**k)
    """
    *batch, m, q, k, _ = cross.shape
    matrix = cross.reshape(*batch, m * q, k * q)
    return jnp.asarray(one_hot_states(first or q, m, q)) @ (matrix @ jnp.asarray(one_hot_states(second or q, k, q)).T)


def log_weights(pair: jax.Array, fields: jax.Array, sizes: Sizes = ()) -> jax.Array:
    """Log weight of every state of a group of sites.

    Parameters
    ----------
    pair : array (..., m, q, m, q)
        Couplings inside the group; each bond in one of its two orders.
    fields : array (..., m, q)
        Log weight of each state of each site.
    sizes : tuple
        Values of every site, where some have fewer than q.

    Returns
    -------
    array (..., q**m), or as many as `sizes` make
        In the order of :func:`hamlearn.spaces.extents.listed`.
    """
    m, q = fields.shape[-2:]
    if m == 1 or count(sizes or q, m) <= SMALL_GROUP:
        features = jnp.asarray(one_hot_states(sizes or q, m, q))
        field, coupling = fields.reshape(*fields.shape[:-2], m * q), pair.reshape(*pair.shape[:-4], m * q, m * q)
        return field @ features.T + jnp.sum((features @ coupling) * features, -1)
    half = m // 2
    left = log_weights(pair[..., :half, :, :half, :], fields[..., :half, :], sizes[:half])
    right = log_weights(pair[..., half:, :, half:, :], fields[..., half:, :], sizes[half:])
    back = jnp.moveaxis(pair[..., half:, :, :half, :], (-4, -3), (-2, -1))
    cross = log_kernel(pair[..., :half, :, half:, :] + back, sizes[:half], sizes[half:])
    total = left[..., :, None] + right[..., None, :] + cross
    return total.reshape(*total.shape[:-2], -1)


def require_double(array: Any) -> jax.Array:
    """`array` as a float64 JAX array; an error outside an x64 context, where it would become float32."""
    result = jnp.asarray(array, dtype=float)
    if result.dtype != np.float64:
        raise HamlearnError(
            "exact log Z needs double precision: call it, and what was made from it by jit, grad or vmap, "
            "inside `with jax.enable_x64(True):`."
        )
    return result
