"""What a prediction costs, said before each part of it starts and added up: counted operations, the same on every machine.

Every way of getting columns counts its own work, where it knows what it will do; a run that is made longer because it was noisy
announces itself again. Constants are CPU seconds of one ordinary core, in operations (``benchmarks/couplings/predicted_work.py``
compares them with what happens, and names what they were measured on); compilations are counted once for each structure and told apart,
since a cache may hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hamlearn.infer.costs import Cost
from hamlearn.progress import logger
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

SECOND = OPERATIONS_PER_SECOND
CALL = 2e-3 * SECOND  # of one member at one temperature: an oracle or a simulation, its checks, its columns: "glass 4x4"
TRACING = 1.5 * SECOND  # what comes before a sampler of one structure is compiled, cache or not: "own family 8x8 with changes"
SAMPLER = 4.0 * SECOND  # to compile it: the same, and "Extensive(1, 2) 6x6"
TRANSFER = 2.5 * SECOND  # to compile a transfer matrix with two derivatives, or its samples: "glass 4x4", "glass 8x8"
HESSIAN = 4.0 * SECOND  # to compile one with its gradient and its Hessian: "glass 4x4"
CLUSTERS = 3.0 * SECOND  # to compile cluster moves: "ferromagnet 32x32"
PER_STATE = 1e3  # of a state at a temperature: its weight, and its part of every column: "own family 4x4"
PER_ENERGY = 0.5  # of an operation that JAX counts in an energy, of all members at once: "ferromagnet 32x32"
PER_COLUMN = 12.0  # energies that the columns of an exact sample are worth: "glass 4x4", "glass 8x8"


@dataclass
class Work:
    """What was announced so far.

    Attributes
    ----------
    operations : float
        Of everything that was announced.
    compiling : float
        Those among them that compile.

    Examples
    --------
    >>> work = Work()
    >>> work.announce("exact thermodynamics", 2e10, compiling=1e10)
    >>> work.operations, work.compiling
    (30000000000.0, 10000000000.0)
    """

    operations: float = 0.0
    compiling: float = 0.0

    def announce(self, what: str, operations: float, most: float = 0.0, compiling: float = 0.0) -> None:
        """Say what is to be done before it is, what compiles, and how much more may follow where it turns out too noisy."""
        self.operations += float(operations + compiling)
        self.compiling += float(compiling)
        longer = f", up to {most / SECOND:.2g} s more where it is too noisy" if most > 0 else ""
        logger.info("predicting: %s, %s%s", what, Cost((operations + compiling) / SECOND, compiling / SECOND), longer)


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
