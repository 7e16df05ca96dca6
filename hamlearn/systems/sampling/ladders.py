"""Ladders of temperatures: where their rungs are, and engines whose last axis they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.systems.base import System
from hamlearn.systems.sampling import tempering
from hamlearn.systems.sampling.loop import Engine

_HOTTER = 32.0  # a default ladder of an action begins at this fraction of the wanted β: few barriers matter there
_STATES = 1024


def default_ladder(system: System, beta: float) -> np.ndarray:
    """Geometric ladder of a tempering run, up to `beta`.

    Discrete sites and directions: by the variance of the energy at infinite temperature. The action of n real numbers fluctuates by
    about √(n/2) (exactly so for free fields) when β enters as a factor, and so does the kinetic term of a path: rungs a factor
    1 + 1.25/√(n/2) apart exchange about half the time, from β/32 on.

    Examples
    --------
    >>> from hamlearn.systems import Path
    >>> default_ladder(Path(32, lambda x: x**2), 8.0).round(2)[[0, 1, -1]].tolist()
    [0.25, 0.33, 8.0]
    """
    n_sites = system.lattice.n_sites
    if system.space.unbounded:
        count = int(np.clip(1 + np.ceil(np.log(_HOTTER) / np.log1p(1.25 / np.sqrt(n_sites / 2))), 3, 64))
        return np.geomspace(beta / _HOTTER, beta, count)
    return tempering.default_ladder(beta, free_variance(system), n_sites)


def free_variance(system: System) -> float:
    """Variance of the energy at infinite temperature: of pair couplings exact, else from 1024 random states, enough to space a ladder."""
    if (vectors := system.directions) is not None:
        return float(np.sum(vectors.J**2) + np.sum(vectors.h**2)) / vectors.n
    if (pairs := system.pairs) is not None:
        tables, q = pairs.tables, pairs.q
        rows, columns, all_ = (tables.mean(axis, keepdims=True) for axis in (-1, -2, (-1, -2)))
        # Bond by bond: states of independent sites, so only what depends on both ends adds to the field's variance.
        variance = float(np.sum((tables - rows - columns + all_) ** 2) / q**2)
        return variance + float(np.sum(np.nanvar(pairs.known, axis=-1)))
    states = system.space.random(np.random.default_rng(0), (_STATES, system.lattice.n_sites))
    return float(np.var(np.asarray(system.energy(states.reshape(_STATES, *system.lattice.shape, *system.space.event_shape)))))


class BetaFirst:
    """An engine with axes (1, chain, rung) or (chain, rung), shown to the loop with axes (rung, chain)."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.lead: tuple[int, ...] = inner.lead[:-3:-1]
        self.capacity, self.updates_per_step = inner.capacity, inner.updates_per_step

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> Any:
        """State from values ``(rung, chain, n)``."""
        return self.inner.init(values.swapaxes(0, 1).reshape(*self.inner.lead, -1), seed)

    def advance(self, state: Any, draws: int, thin: int) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """As of the engine within, states ``(draws, rung, chain, n)``."""
        state, states, info = self.inner.advance(state, draws, thin)
        return state, states.reshape(draws, *self.lead[::-1], -1).swapaxes(1, 2), info

    def tune(self, state: Any, info: dict[str, Any]) -> Any:
        """As of the engine within."""
        return self.inner.tune(state, info)
