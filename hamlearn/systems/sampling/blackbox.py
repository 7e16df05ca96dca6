"""Metropolis for systems that are known only by calling them, discrete or continuous.

One site of every chain is moved at a time, to what its space proposes; the actions of all chains at one temperature are evaluated in one
NumPy call. A sweep costs n_sites calls, so this is the sampler of last resort, and the one that works for anything with an ``action``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hamlearn.systems.base import System

TARGET = 0.44
"""Acceptance that the width of continuous steps is tuned to: the best for one normal coordinate (Roberts and Rosenthal 2001)."""


class State(NamedTuple):
    """What the next sweep needs: values ``(chains, n)``, seed and number of the sweep, log widths of the steps per temperature.

    The random numbers of a sweep depend on seed and number alone, so a run can be resumed from any sweep.
    """

    values: np.ndarray
    seed: np.ndarray
    sweep: np.ndarray
    log_width: np.ndarray


class BlackBoxEngine:
    """All chains of a black-box system, as the loop steps them.

    Parameters
    ----------
    system : System
        Anything with ``action(states, beta)`` on states ``(..., *lattice.shape)``.
    beta : array (chains,)
        Inverse temperatures; chains at one temperature share a call and the width of their steps.
    adapt : int
        Sweeps at the start in which the widths of continuous steps adapt.
    """

    capacity = 256

    def __init__(self, system: System, beta: np.ndarray, adapt: int = 0) -> None:
        self.system, self.space, self.beta, self.adapt = system, system.space, beta, int(adapt)
        self.lead = beta.shape
        self.n_sites = system.lattice.n_sites
        # A call costs about as much as a million jitted updates of one site (measured on small networks).
        self.updates_per_step = self.n_sites * 1_000_000
        temperatures, self.group = np.unique(beta, return_inverse=True)
        self.groups = [(float(b), np.flatnonzero(beta == b)) for b in temperatures]

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(chains, n)``."""
        stored = np.array(values, np.float64 if self.space.continuous else np.int8)
        return State(stored, seed.generate_state(4, np.uint64), np.zeros((), np.int64), np.zeros(len(self.groups)))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, chains, n)``, and sums over sweeps."""
        values, log_width, sweep = state.values.copy(), np.array(state.log_width), int(state.sweep)
        out, action, accepted = np.empty((draws, *values.shape), values.dtype), self._action(values), 0.0
        for draw in range(draws):
            for _ in range(thin):
                rng = np.random.default_rng([*(int(word) for word in state.seed), sweep])
                values, action, moved = self._sweep(values, action, np.exp(log_width)[self.group], rng)
                if sweep < self.adapt and self.space.continuous:
                    rates = np.array([moved[members].mean() for _, members in self.groups])
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
        chains, event = np.arange(len(values)), self.space.event_shape
        sites = rng.integers(self.n_sites, size=(self.n_sites, len(values)))
        # 1 − u is in (0, 1]: its logarithm is finite, and a downhill move is always accepted.
        thresholds = np.log1p(-rng.random(sites.shape))
        moved, steps = np.zeros(len(values)), width.reshape(-1, *(1 for _ in event))
        for site, threshold in zip(sites, thresholds, strict=True):
            proposed = values.reshape(len(values), self.n_sites, *event).copy()
            proposed[chains, site] = self.space.propose(rng, proposed[chains, site], steps)
            flat = proposed.reshape(len(values), -1)
            cost = self._action(flat)
            accept = threshold < action - cost
            values = np.where(accept[:, None], flat, values)
            action = np.where(accept, cost, action)
            moved += accept
        return values, action, moved / self.n_sites

    def _action(self, values: np.ndarray) -> np.ndarray:
        shaped = values.reshape(len(values), *self.system.lattice.shape, *self.space.event_shape)
        result = np.empty(len(values))
        for beta, members in self.groups:
            result[members] = np.asarray(self.system.action(shaped[members], beta))
        return result


class Members(NamedTuple):
    """States of several black boxes: values ``(member, chains, n_sites)``, their seeds, and the number of the sweep."""

    values: np.ndarray
    seed: np.ndarray
    sweep: np.ndarray


class BlackBoxMembers:
    """Several discrete black boxes, each with its own chains: an engine with an axis of members, without exchanges.

    Parameters
    ----------
    systems : sequence of System
    betas : array (member, ...)
        Inverse temperatures of the chains of every member.
    """

    capacity = 256

    def __init__(self, systems: Sequence[System], betas: np.ndarray) -> None:
        self.engines = [BlackBoxEngine(system, np.ravel(row)) for system, row in zip(systems, betas, strict=True)]
        self.lead = betas.shape
        self.updates_per_step = sum(engine.updates_per_step for engine in self.engines)

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> Members:
        """State from values ``(*lead, n_sites)``."""
        seeds = seed.spawn(len(self.engines))
        flat = values.reshape(self.lead[0], -1, values.shape[-1])
        states = [engine.init(one, own) for engine, one, own in zip(self.engines, flat, seeds, strict=True)]
        return Members(np.stack([one.values for one in states]), np.stack([one.seed for one in states]), states[0].sweep)

    def advance(self, state: Members, draws: int, thin: int) -> tuple[Members, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps of all: new state, states ``(draws, *lead, n_sites)``, and sums over sweeps."""
        found = [
            engine.advance(State(values, seed, state.sweep, np.zeros(len(engine.groups))), draws, thin)
            for engine, values, seed in zip(self.engines, state.values, state.seed, strict=True)
        ]
        new = Members(np.stack([one.values for one, *_ in found]), state.seed, found[0][0].sweep)
        states = np.stack([states for _, states, _ in found], 1)
        return new, states.reshape(draws, *self.lead, -1), {"acceptance": float(np.mean([info["acceptance"] for *_, info in found]))}

    def tune(self, state: Members, info: dict[str, Any]) -> Members:
        """Nothing to tune."""
        return state
