"""Metropolis for angles and real numbers of a system that is known only by calling it.

One site of every chain is moved at a time by a normal step; the actions of all chains at one temperature are evaluated in
one NumPy call. A sweep costs n_sites calls: the sampler of last resort, and the one that works for anything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hamlearn.systems.base import System

TARGET = 0.44
"""Acceptance that the width of the steps is tuned to: the best for one normal coordinate (Roberts and Rosenthal 2001)."""


class State(NamedTuple):
    """What the next sweep needs: values ``(chains, n_sites)``, seed and number of the sweep, log widths per temperature."""

    values: np.ndarray
    seed: np.ndarray
    sweep: np.ndarray
    log_width: np.ndarray


class WalkEngine:
    """All chains of a black-box system with a continuous space, as the loop steps them.

    Parameters
    ----------
    system : System
        Anything with ``action(states, beta)`` on states ``(..., *lattice.shape)``.
    beta : array (chains,)
        Inverse temperatures; chains at one temperature share a call and the width of their steps.
    adapt : int
        Sweeps at the start in which the widths adapt.
    """

    capacity = 256

    def __init__(self, system: System, beta: np.ndarray, adapt: int) -> None:
        self.system, self.beta, self.adapt = system, beta, int(adapt)
        self.lead = beta.shape
        self.n_sites = system.lattice.n_sites
        self.updates_per_step = self.n_sites * 1_000_000  # as for discrete black boxes
        temperatures, self.group = np.unique(beta, return_inverse=True)
        self.groups = [(float(b), np.flatnonzero(beta == b)) for b in temperatures]

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(chains, n_sites)``."""
        widths = np.zeros(len(self.groups))
        return State(np.array(values, np.float64), seed.generate_state(4, np.uint64), np.zeros((), np.int64), widths)

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, chains, n_sites)``, and sums over sweeps."""
        values, log_width, sweep = state.values.copy(), np.array(state.log_width), int(state.sweep)
        out, action, accepted = np.empty((draws, *values.shape)), self._action(values), 0.0
        for draw in range(draws):
            for _ in range(thin):
                rng = np.random.default_rng([*(int(word) for word in state.seed), sweep])
                values, action, moved = self._sweep(values, action, np.exp(log_width)[self.group], rng)
                rates = np.array([moved[members].mean() for _, members in self.groups])
                if sweep < self.adapt:
                    log_width = log_width + 3 / np.sqrt(sweep + 4) * (rates - TARGET)
                accepted, sweep = accepted + moved.mean(), sweep + 1
            out[draw] = values
        return State(values, state.seed, np.asarray(sweep), log_width), out, {"acceptance": accepted}

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Adaptation happens inside :meth:`advance`."""
        return state

    def _sweep(
        self, values: np.ndarray, action: np.ndarray, width: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n_sites proposals to random sites of every chain; the last result is the fraction accepted, per chain."""
        chains = np.arange(len(values))
        sites = rng.integers(self.n_sites, size=(self.n_sites, len(values)))
        steps = width * rng.normal(size=sites.shape)
        thresholds = np.log1p(-rng.random(sites.shape))  # finite: 1 − u is in (0, 1]
        moved = np.zeros(len(values))
        for site, step, threshold in zip(sites, steps, thresholds, strict=True):
            proposed = values.copy()
            proposed[chains, site] += step
            proposed = self.system.space.wrap(proposed)
            cost = self._action(proposed)
            accept = threshold < action - cost
            values = np.where(accept[:, None], proposed, values)
            action = np.where(accept, cost, action)
            moved += accept
        return values, action, moved / self.n_sites

    def _action(self, values: np.ndarray) -> np.ndarray:
        shaped = values.reshape(len(values), *self.system.lattice.shape)
        result = np.empty(len(values))
        for beta, members in self.groups:
            result[members] = np.asarray(self.system.action(shaped[members], beta))
        return result
