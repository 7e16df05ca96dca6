"""The line from independent sites to a machine: its hidden units take hold little by little, as they would in cooling.

Machines that a training passes through would do as well where they are in equilibrium with the data (Béreux et al., ICLR 2025); those of a
training that hurries favour one mode after the other, and a line has half as many rungs.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from hamlearn.systems.hidden import HiddenLayer
from hamlearn.systems.sampling.block_gibbs import Layer, given_units
from hamlearn.systems.sampling.walkers import Walkers, free_energy, resampled, reweighted, swept

_STEP = 1.0  # standard deviation of ln w from one rung to the next, of which half of all exchanges succeed
_PILOT = 512  # walkers
_FIRST, _SHORTEST = 0.125, 2.0**-16  # step


@dataclass(frozen=True, eq=False)
class Line:
    """From independent sites to a machine.

    Attributes
    ----------
    alone : array (n, q − 1)
        b of independent sites, about as frequent in their values as those of the machine.
    visible, hidden, weights : arrays ``(n, q − 1)``, ``(m,)`` and ``(n, q − 1, m)``
        The machine that is meant.
    """

    alone: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray
    weights: np.ndarray

    def at(self, place: float) -> Layer:
        """The machine at a place between 0 and 1."""
        visible = (1 - place) * self.alone + place * self.visible
        parts = visible, place * self.hidden, place * self.weights.reshape(-1, len(self.hidden))
        return Layer(*(np.asarray(one, np.float32) for one in parts))

    def layer(self, beta: float) -> HiddenLayer:
        """The machine that is meant, in full precision."""
        return HiddenLayer(self.visible, self.hidden, self.weights, 0.0, beta)

    @property
    def first_log_z(self) -> float:
        """Log Z at place 0: of independent sites, and hidden units at even odds."""
        sites = logsumexp(np.concatenate([np.zeros((len(self.alone), 1)), self.alone], 1), axis=1).sum()
        return float(sites + len(self.hidden) * np.log(2.0))


def climb(line: Line, seed: np.random.SeedSequence, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places between 0 and 1 whose machines exchange microstates well, and some microstates for each.

    Walkers follow the line; a step is as long as their weights stay so even that about half of all exchanges will succeed.

    Returns
    -------
    places : array (rungs,)
    values : array of int8 (rungs, count, n)
        Microstates to start from: about those of the machine at each place.
    """
    walkers = _start(line, max(_PILOT, count), seed)
    places, step, kept = [0.0], _FIRST, [np.asarray(walkers.values[0, :count])]
    while places[-1] < 1.0:
        here = line.at(places[-1])
        while True:
            there = min(places[-1] + step, 1.0)
            spread = float(_spread(walkers, here, line.at(there)))
            if spread <= _STEP or step <= _SHORTEST:
                break
            step = max(step * float(np.clip(0.9 * _STEP / spread, 0.1, 0.9)), _SHORTEST)
        walkers = _stage(walkers, here, line.at(there))
        places.append(there)
        kept.append(np.asarray(walkers.values[0, :count]))
        step = float(step * np.clip(0.9 * _STEP / max(spread, 1e-9), 1.0, 2.0))
    return np.array(places), np.stack(kept)


def _start(line: Line, count: int, seed: np.random.SeedSequence) -> Walkers:
    """Independent draws of the first machine."""
    key, values = _first(seed.generate_state(2, np.uint32), np.zeros((count, len(line.hidden)), np.float32), line.at(0.0))
    return Walkers(key, values[None], jnp.zeros((1, count), jnp.float32), jnp.zeros(1, jnp.float32))


_first = jax.jit(given_units)


@jax.jit
def _stage(walkers: Walkers, here: Layer, there: Layer) -> Walkers:
    """One step of all walkers: weights, resampling where they are uneven, and a sweep of the new machine."""
    walkers = resampled(reweighted(walkers, here, there))
    key, values = swept(walkers.key, walkers.values[0], there, 1)
    return walkers._replace(key=key, values=values[None])


@jax.jit
def _spread(walkers: Walkers, here: Layer, there: Layer) -> jax.Array:
    return (free_energy(walkers.values, here) - free_energy(walkers.values, there)).std()
