"""Chains of a layer of hidden units, and walkers that follow a machine which moves.

Walkers carry the weights that make them of the machine that has moved since (annealed importance sampling: Neal, Stat. Comput. 11, 125
(2001)), and are resampled where these have become uneven. Populations of walkers never meet.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems.sampling import local
from hamlearn.systems.sampling.block_gibbs import Layer, given_sites, given_units, one_hot

_UNEVEN = 0.5  # effective share of walkers below which they are resampled


class Walkers(NamedTuple):
    """A key, value indices ``(population, walker, n)``, their log-weights, and log Z of the steps before these began."""

    key: Any
    values: Any
    log_weights: Any
    log_z: Any


def swept(key: Any, values: Any, layer: Layer, sweeps: int) -> Any:
    """Sweeps of block Gibbs sampling of value indices ``(row, n)``: the key that comes next, and the values."""

    def one(_: Any, state: Any) -> Any:
        key, units = given_sites(state[0], one_hot(state[1], layer), layer)
        return given_units(key, units, layer)

    return lax.fori_loop(0, sweeps, one, (jnp.asarray(key, jnp.uint32), jnp.asarray(values, jnp.int8)))


def free_energy(values: Any, layer: Layer) -> Any:
    """−ln of the unnormalised probability of value indices ``(..., n)``, hidden units summed out."""
    shown = one_hot(values, layer)
    field = jnp.matmul(shown, layer.weights, precision=lax.Precision.HIGHEST) + layer.hidden
    return -(shown @ layer.visible.reshape(-1) + jax.nn.softplus(field).sum(-1))


def reweighted(walkers: Walkers, here: Layer, there: Layer) -> Walkers:
    """Walkers of one machine with the weights that make them of the next one."""
    return walkers._replace(log_weights=walkers.log_weights + free_energy(walkers.values, here) - free_energy(walkers.values, there))


def resampled(walkers: Walkers) -> Walkers:
    """Populations whose weights have become uneven drawn anew by these (systematically), each by itself."""
    log_weights = walkers.log_weights
    count = log_weights.shape[1]
    mean = jax.nn.logsumexp(log_weights, axis=1) - jnp.log(count)
    uneven = _effective(log_weights, jnp) < _UNEVEN
    key, words = local.random_words(walkers.key, (len(log_weights),))
    share = jnp.exp(log_weights - log_weights.max(1, keepdims=True))
    cumulative = jnp.cumsum(share, 1)
    points = (jnp.arange(count) + jnp.float32(1) - local.uniform(words)[:, None]) / count * cumulative[:, -1:]
    chosen = jnp.minimum(jax.vmap(jnp.searchsorted)(cumulative, points), count - 1)
    chosen = jnp.where(uneven[:, None], chosen, jnp.arange(count))
    return Walkers(
        key,
        jnp.take_along_axis(walkers.values, chosen[..., None], 1),
        jnp.where(uneven[:, None], jnp.float32(0), log_weights),
        walkers.log_z + jnp.where(uneven, mean, jnp.float32(0)),
    )


def _effective(log_weights: Any, xp: Any = np) -> Any:
    """Effective share of the walkers of every population."""
    share = xp.exp(log_weights - log_weights.max(1, keepdims=True))
    return share.sum(1) ** 2 / (share**2).sum(1) / share.shape[1]
