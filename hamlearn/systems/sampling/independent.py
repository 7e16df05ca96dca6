"""Independent draws, block by block, as the loop takes those of chains."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_BLOCK = 1 << 26  # bytes drawn in one call of the sampler


class State(NamedTuple):
    """What the next block needs: a seed of every temperature, and how many blocks there were."""

    seeds: np.ndarray
    blocks: np.ndarray


class IndependentEngine:
    """A sampler with ``sample(system, beta, count, seed)``: nothing of a block depends on the one before.

    Parameters
    ----------
    sampler : Sampler
        One whose draws are independent.
    system : System
    betas : array (n_beta,)
        Inverse temperatures.
    chains : int
        Into how many chains the draws are dealt.
    """

    updates_per_step = 1

    def __init__(self, sampler: Any, system: Any, betas: np.ndarray, chains: int) -> None:
        self.sampler, self.system, self.betas = sampler, system, betas
        self.lead: tuple[int, ...] = (len(betas), chains)
        numbers = system.lattice.n_sites * int(np.prod(system.space.event_shape))
        self.capacity = max(1, _BLOCK // (len(betas) * chains * numbers * (8 if system.space.continuous else 1)))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """Seeds; draws that are independent start from nothing."""
        return State(seed.generate_state(len(self.betas), np.uint32), np.zeros((), np.int64))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """The next `draws`: new state, states ``(draws, beta, chain, n)``, and an acceptance of one."""
        block, chains, found = int(state.blocks), self.lead[1], []
        for beta, word in zip(self.betas, state.seeds.tolist(), strict=True):
            seed = word if block == 0 else int(np.random.SeedSequence([word, block]).generate_state(1)[0])
            states = np.asarray(self.sampler.sample(self.system, float(beta), chains * draws, int(seed)))
            found.append(states.reshape(chains, draws, -1))
        return State(state.seeds, state.blocks + 1), np.moveaxis(np.stack(found), 2, 0), {"acceptance": float(draws * thin)}

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state
