"""A sampler and a system of a user's own, which derive from nothing of the package and are registered nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hamlearn.systems import Ising, System


class Held(NamedTuple):
    values: np.ndarray
    key: np.ndarray
    done: np.ndarray


@dataclass(frozen=True)
class Redraw:
    """Every spin of a system without couplings, drawn anew with probability `share`."""

    share: float = 1.0
    name = "redraw"
    capacity, updates_per_step = 50, 1 << 22

    def refusal(self, system):
        return "its spins are coupled" if np.any(system.J) else None

    def engine(self, system, betas, chains, adapt):
        object.__setattr__(self, "up", 1 / (1 + np.exp(-2 * betas[:, None, None] * system.h)))
        object.__setattr__(self, "lead", (len(betas), chains))
        return self

    def init(self, values, seed):
        return Held(values, seed.generate_state(2), np.zeros((), np.int64))

    def advance(self, state, draws, thin):
        rng = np.random.default_rng([*state.key.tolist(), int(state.done)])
        shape = (draws * thin, *state.values.shape)
        new = np.where(rng.random(shape) < self.up, 1, -1)
        values = np.where(rng.random(shape) < self.share, new, state.values)[thin - 1 :: thin].astype(np.int8)
        return Held(values[-1], state.key, state.done + 1), values, {"acceptance": draws * thin * self.share}

    def tune(self, state, info):
        return state


FREE = Ising((2, 3), J=0.0, h=[0.5, -0.3, 0.1, 0.0, 1.0, -2.0])


class Known(System):
    """Spins of which nothing but the energy is known; `spoil` makes it wrong."""

    pure_jax = False

    def __init__(self, inner, spoil=lambda energy: energy):
        self.inner, self.lattice, self.space, self.spoil = inner, inner.lattice, inner.space, spoil

    def energy(self, states):
        return self.spoil(self.inner.energy(states))

    def action(self, states, beta):
        return beta * self.energy(states)

    def to_dict(self):
        return {"kind": "known by its energy"}
