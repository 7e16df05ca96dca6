"""What a prediction costs, said before each part of it starts and added up: counted operations, the same on every machine.

Every way of getting columns counts its own work, where it knows what it will do; a run that is made longer because it was noisy
announces itself again. Constants are CPU seconds of one ordinary core, in operations (``benchmarks/couplings/predicted_work.py``
compares them with what happens); compilations are counted once for each structure, whether or not a cache holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hamlearn.progress import logger
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

SECOND = OPERATIONS_PER_SECOND
CALL = 3e-3 * SECOND  # of one member at one temperature: a call of an oracle or a simulation, its checks and its columns


@dataclass
class Work:
    """What was announced so far.

    Attributes
    ----------
    operations : float
        Of everything that was announced.

    Examples
    --------
    >>> work = Work()
    >>> work.announce("exact thermodynamics", 2e10)
    >>> work.operations
    20000000000.0
    """

    operations: float = 0.0

    def announce(self, what: str, operations: float, most: float = 0.0) -> None:
        """Say what is to be done before it is, and how much more may follow where it turns out too noisy."""
        self.operations += float(operations)
        longer = f", up to {most / SECOND:.2g} s more where it is too noisy" if most > 0 else ""
        logger.info("predicting: %s, about %.2g s of counted work%s", what, operations / SECOND, longer)


def of_energy(system: Any) -> float:
    """Operations of the energy of one microstate: those that JAX counts in it; ten a site of a system that it cannot trace."""
    n = system.lattice.n_sites
    if not system.pure_jax:
        return 10.0 * n
    with jax.enable_x64(True):
        state = jax.ShapeDtypeStruct((*system.lattice.shape, *system.space.event_shape), jnp.float64)
        counted = jax.jit(system.energy).lower(state).cost_analysis() or {}
    found = counted.get("flops", 0.0) + 40.0 * counted.get("transcendentals", 0.0)
    return max(float(found), float(n))


def longest(first: float, limit: float, factor: int = 4) -> float:
    """What a run may add in all if it is made `factor` times longer, again and again, up to `limit`; `first` as `limit`.

    Examples
    --------
    >>> longest(1.0, 20.0)
    20.0
    >>> longest(1.0, 3.0)
    0.0
    """
    total, now = 0.0, first
    while factor * now <= limit:
        now *= factor
        total += now
    return total
