"""Worlds: what a microstate is, what it costs, how to draw one, what is known exactly.

Constructors of systems, lattices (:mod:`hamlearn.systems.lattice`), oracles with known answers
(:mod:`hamlearn.systems.exact`), observables and samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hamlearn.errors import choice
from hamlearn.systems import exact, lattice, observables, sampling
from hamlearn.systems.base import ANGLES, REALS, SPINS, Space, System, space_from_name, states
from hamlearn.systems.density import LearnedDensity, density_from_dict
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import EdwardsAnderson, Ising, Pairwise, SherringtonKirkpatrick, WeakStrong, pairwise_from_dict
from hamlearn.systems.path import Path, path_from_dict
from hamlearn.systems.polynomial import PolynomialField, polynomial_field_from_dict
from hamlearn.systems.potentials import DoubleWell, Polynomial
from hamlearn.systems.potts import Clock, Potts, QState, qstate_from_dict, zero_sum
from hamlearn.systems.ranged import RangedField, ranged_field_from_dict
from hamlearn.systems.scalar import ScalarField, scalar_from_dict
from hamlearn.systems.tiles import Tiles, tiles_from_dict
from hamlearn.systems.weighted import JoinedAction
from hamlearn.systems.xy import XY, xy_from_dict

_READERS: dict[str, Callable[[dict[str, Any]], System]] = {
    "density": density_from_dict,
    "pairwise": pairwise_from_dict,
    "joined_action": lambda found: JoinedAction([from_dict(part) for part in found["parts"]], found["betas"]),
    "path": path_from_dict,
    "polynomial_field": polynomial_field_from_dict,
    "qstate": qstate_from_dict,
    "ranged_field": ranged_field_from_dict,
    "scalar": scalar_from_dict,
    "tiles": tiles_from_dict,
    "xy": xy_from_dict,
}


def from_dict(description: dict[str, Any], *, potential: Callable[[Any], Any] | None = None) -> System:
    """The system that its ``to_dict`` described.

    Parameters
    ----------
    description : dict
        As read from JSON. Nothing in it is imported or called.
    potential : callable, optional
        V(x) of a :class:`Path` whose potential was a function: a description keeps only its name.

    Raises
    ------
    HamlearnError
        If the kind is not known, or a function is needed and not given.

    Examples
    --------
    >>> from_dict(Ising((2, 2)).to_dict())
    Ising(shape=(2, 2), 8 bonds)
    """
    kind = choice(description.get("kind", ""), _READERS, "kind of system")
    return path_from_dict(description, potential) if kind == "path" else _READERS[kind](description)


__all__ = [
    "ANGLES",
    "REALS",
    "SPINS",
    "XY",
    "Clock",
    "DoubleWell",
    "EdwardsAnderson",
    "Ising",
    "JoinedAction",
    "Lattice",
    "LearnedDensity",
    "Pairwise",
    "Path",
    "Polynomial",
    "PolynomialField",
    "Potts",
    "QState",
    "RangedField",
    "ScalarField",
    "SherringtonKirkpatrick",
    "Space",
    "System",
    "Tiles",
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
