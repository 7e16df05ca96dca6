"""Dense networks as plain arrays: the shared tile network of local energies and extensive networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn.systems.base import Space

ACTIVATIONS = {"silu": jax.nn.silu, "relu": jax.nn.relu, "tanh": jnp.tanh}

Weights = list[tuple[Any, Any]]
"""Matrices ``(in, out)`` and offsets ``(out,)``, layer by layer."""


def initial(sizes: Sequence[int], seed: int, last: float = 1.0) -> Weights:
    """Random weights of layers between `sizes`, with variance 2/fan-in (He et al. 2015); those of the last scaled by `last`."""
    generator = np.random.default_rng(seed)
    layers = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        scale = np.sqrt(2 / fan_in) * (last if index == len(sizes) - 2 else 1.0)
        layers.append((generator.normal(scale=scale, size=(fan_in, fan_out)), np.zeros(fan_out)))
    return layers


def evaluate(weights: Weights, inputs: Any, activation: str) -> Any:
    """Outputs ``(..., out)`` for inputs ``(..., in)``; the last layer is linear."""
    function, hidden = ACTIVATIONS[activation], inputs
    for matrix, offset in weights[:-1]:
        hidden = function(hidden @ matrix + offset)
    return hidden @ weights[-1][0] + weights[-1][1]


def contrasts(space: Space) -> np.ndarray:
    """How a network is shown the values of a site: orthogonal contrasts ``(q, q − 1)`` of mean 0 and mean square 1.

    Spins are shown as −1 and +1.

    Examples
    --------
    >>> from hamlearn.systems import SPINS
    >>> contrasts(SPINS).ravel()
    array([-1.,  1.])
    """
    q = space.q
    helmert = np.zeros((q, q - 1))
    for k in range(1, q):
        helmert[:k, k - 1], helmert[k, k - 1] = -1.0, k
        helmert[:, k - 1] *= np.sqrt(q / (k * (k + 1)))
    return helmert


def tile_codes(space: Space, n: int) -> np.ndarray:
    """Value indices of the `n` sites of a tile for every code, ``(q**n, n)``; the first site is the most significant digit."""
    places = space.q ** np.arange(n - 1, -1, -1, dtype=np.int64)
    return (np.arange(space.q**n)[:, None] // places) % space.q


def as_arrays(weights: Weights) -> dict[str, np.ndarray]:
    """Weights by name, as a posterior keeps them."""
    named = {}
    for index, (matrix, offset) in enumerate(weights):
        named[f"matrix_{index}"], named[f"offset_{index}"] = np.asarray(matrix), np.asarray(offset)
    return named


def from_names(named: Any) -> Weights:
    """Inverse of :func:`as_arrays`; the arrays stay what they are."""
    count = sum(str(name).startswith("matrix_") for name in named)
    return [(named[f"matrix_{index}"], named[f"offset_{index}"]) for index in range(count)]
