"""Metropolis for systems that are known only by their energies.

One site of every chain changes at a time; the actions of all chains are evaluated in one NumPy call. A sweep costs
n_sites calls, so this is the sampler of last resort, and the one that works for anything with an ``action``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hamlearn.systems.base import System


class State(NamedTuple):
    """What the next sweep needs: states as indices ``(chains, n_sites)``, and the seed and number of the sweep.

    The random numbers of a sweep depend on those two alone, so a run can be resumed from any sweep.
    """

    values: np.ndarray
    seed: np.ndarray
    sweep: np.ndarray


class Members(NamedTuple):
    """States of several black boxes: values ``(member, chains, n_sites)``, their seeds, and the number of the sweep."""

    values: np.ndarray
    seed: np.ndarray
    sweep: np.ndarray


class BlackBoxEngine:
    """All chains of a black-box system, as the loop steps them.

    Parameters
    ----------
    system : System
        Anything with ``action(states, beta)`` on states ``(..., *lattice.shape)``.
    beta : array (chains,)
        Inverse temperatures; chains at one temperature share a call.
    """

    capacity = 256

    def __init__(self, system: System, beta: np.ndarray) -> None:
        self.system = system
        self.space = system.space
        self.beta = beta
        self.lead = beta.shape
        self.n_sites = system.lattice.n_sites
        # A call costs about as much as a million jitted updates of one site (measured on small networks).
        self.updates_per_step = self.n_sites * 1_000_000
        self.groups = [(float(b), np.flatnonzero(beta == b)) for b in np.unique(beta)]

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(chains, n_sites)``."""
        return State(self.space.index(values).astype(np.int8), seed.generate_state(4, np.uint64), np.zeros((), np.int64))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, chains, n_sites)``, and sums over sweeps."""
        values, out = state.values.copy(), np.empty((draws, *state.values.shape), np.int8)
        action = self._action(values)
        accepted, sweep = 0.0, int(state.sweep)
        for draw in range(draws):
            for _ in range(thin):
                entropy = [*(int(word) for word in state.seed), sweep]
                values, action, moved = self._sweep(values, action, np.random.default_rng(entropy))
                accepted, sweep = accepted + moved, sweep + 1
            out[draw] = values
        new = State(values, state.seed, np.asarray(sweep))
        return new, self.space.from_index(out), {"acceptance": accepted}

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state

    def _sweep(self, values: np.ndarray, action: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """n_sites proposals to random sites of every chain; returns the fraction accepted last."""
        chains = np.arange(len(values))
        sites = rng.integers(self.n_sites, size=(self.n_sites, len(values)))
        shifts = rng.integers(1, self.space.q, size=sites.shape, dtype=np.int8)
        # 1 − u is in (0, 1]: its logarithm is finite, and a downhill move is always accepted.
        thresholds = np.log1p(-rng.random(sites.shape))
        moved = 0
        for site, shift, threshold in zip(sites, shifts, thresholds, strict=True):
            proposed = values.copy()
            proposed[chains, site] = (proposed[chains, site] + shift) % self.space.q
            cost = self._action(proposed)
            accept = threshold < action - cost
            values = np.where(accept[:, None], proposed, values)
            action = np.where(accept, cost, action)
            moved += int(accept.sum())
        return values, action, moved / sites.size

    def _action(self, values: np.ndarray) -> np.ndarray:
        states = self.space.from_index(values).reshape(len(values), *self.system.lattice.shape)
        result = np.empty(len(values))
        for beta, members in self.groups:
            result[members] = np.asarray(self.system.action(states[members], beta))
        return result


class BlackBoxMembers:
    """Several black boxes, each with its own chains: an engine with an axis of members, without exchanges.

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
            engine.advance(State(values, seed, state.sweep), draws, thin)
            for engine, values, seed in zip(self.engines, state.values, state.seed, strict=True)
        ]
        new = Members(np.stack([one.values for one, *_ in found]), state.seed, found[0][0].sweep)
        states = np.stack([states for _, states, _ in found], 1)
        return new, states.reshape(draws, *self.lead, -1), {"acceptance": float(np.mean([info["acceptance"] for *_, info in found]))}

    def tune(self, state: Members, info: dict[str, Any]) -> Members:
        """Nothing to tune."""
        return state
