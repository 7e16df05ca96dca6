"""Worlds: what a microstate is, what it costs, how to draw one, what is known exactly.

Constructors of systems, lattices (:mod:`hamlearn.systems.lattice`), oracles with known answers
(:mod:`hamlearn.systems.exact`), observables and samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hamlearn.errors import choice
from hamlearn.systems import exact, lattice, observables, sampling
from hamlearn.systems.base import SPINS, Space, System, space_from_name, states
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import EdwardsAnderson, Ising, Pairwise, SherringtonKirkpatrick, WeakStrong, pairwise_from_dict
from hamlearn.systems.potts import Clock, Potts, QState, qstate_from_dict, zero_sum

_READERS: dict[str, Callable[[dict[str, Any]], System]] = {"pairwise": pairwise_from_dict, "qstate": qstate_from_dict}


def from_dict(description: dict[str, Any]) -> System:
    """The system that its ``to_dict`` described."""
    return _READERS[choice(description.get("kind", ""), _READERS, "kind of system")](description)


__all__ = [
    "SPINS",
    "Clock",
    "EdwardsAnderson",
    "Ising",
    "Lattice",
    "Pairwise",
    "Potts",
    "QState",
    "SherringtonKirkpatrick",
    "Space",
    "System",
    "WeakStrong",
    "exact",
    "from_dict",
    "lattice",
    "observables",
    "sampling",
    "space_from_name",
    "states",
    "zero_sum",
]
