"""Kink moves: the signs of a path, redrawn all at once from their exact distribution given its magnitudes.

Given |x_i| the signs of a path are a one-dimensional Ising chain with couplings κ|x_i||x_{i+1}|/a and, where V is not
even, fields a(V(−|x_i|) − V(|x_i|))/2. A chain of two-state sites is sampled exactly by transfer matrices, so every segment
between two places where the path comes near zero is reflected or not in one step, and a global reflection is included:
the mean of a path in a deep double well changes its sign at once. What is left to slow dynamics is how the magnitudes
reach zero, which trajectories in between take care of. It generalises the embedded Ising variables of Brower and Tamayo,
Phys. Rev. Lett. 62, 1087 (1989), from clusters to the exact conditional.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

_SIGNS = (-1.0, 1.0)


def redraw_signs(uniform: Any, values: Any, betas: Any, path: Any) -> Any:
    """Paths ``(n_beta, chains, n_tau)`` with new signs, from uniform numbers of the same shape.

    `path` is a :class:`hamlearn.systems.Path` that JAX can trace.
    """
    n = values.shape[-1]
    width = jnp.broadcast_to(jnp.asarray(path.spacing(betas)), betas.shape)[:, None, None]
    signs = jnp.asarray(_SIGNS)
    magnitude = jnp.abs(values)
    coupling = path.kinetic * magnitude * jnp.roll(magnitude, -1, -1) / width
    # Logarithm of the weight of each sign of each site; only differences matter.
    local = -width[..., None] * path.potential(magnitude[..., None] * signs)
    local = local - jnp.max(local, -1, keepdims=True)
    local = jnp.where(jnp.isnan(local), 0.0, local)
    # weight[i][s, s'] of the link i → i+1 and the site it leads to; exp(K(ss' − 1)) ≤ 1.
    pair = coupling[..., None, None] * (signs[:, None] * signs - 1)
    weight = jnp.moveaxis(jnp.exp(pair + jnp.roll(local, -1, -2)[..., None, :]), -3, 0)
    start = jnp.eye(2) if path.periodic else jnp.ones((2, 2))
    links = weight if path.periodic else weight[:-1]

    def backward(after: Any, link: Any) -> tuple[Any, Any]:
        """Product of all links from here on."""
        product = link @ after
        return product / jnp.max(product, (-2, -1), keepdims=True), after

    lead = values.shape[:-1]
    whole, after = lax.scan(backward, jnp.broadcast_to(start, (*lead, 2, 2)), links, reverse=True)
    uniform = jnp.moveaxis(uniform, -1, 0)
    # Periodic: s_0 must come back to itself, and its own weight is that of the last link. Open: its own weight enters here.
    first = jnp.diagonal(whole, axis1=-2, axis2=-1) if path.periodic else whole[..., 0] * jnp.exp(local[..., 0, :])
    up = (uniform[0] * jnp.sum(first, -1) < first[..., 1]).astype(int)

    def forward(here: Any, item: Any) -> tuple[Any, Any]:
        link, beyond, u = item
        row = jnp.take_along_axis(link, here[..., None, None], -2)[..., 0, :]
        end = jnp.take_along_axis(beyond, up[..., None, None], -1)[..., 0]  # given where the ring must close
        chance = row * end
        new = (u * jnp.sum(chance, -1) < chance[..., 1]).astype(int)
        return new, new

    count = n - 1
    _, rest = lax.scan(forward, up, (links[:count], after[:count], uniform[1:]))
    chosen = jnp.moveaxis(jnp.concatenate([up[None], rest]), 0, -1)
    return magnitude * signs[chosen]
