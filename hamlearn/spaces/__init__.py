"""Spaces: what one site of a microstate can be, as objects that are asked for what they can do.

Nothing outside this folder decides by a space's name: it asks for a capability (a list of values, a sign, a period, an order
parameter). A space is a frozen dataclass whose fields are what files keep of it: a new one is one file here, and one line below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.spaces.angles import TURN, Angles
from hamlearn.spaces.base import MISSING, Space, Symmetry
from hamlearn.spaces.numbers import distinct, require_numbers, require_scale, two_values
from hamlearn.spaces.reals import Reals
from hamlearn.spaces.spins import Spins
from hamlearn.spaces.states import States
from hamlearn.spaces.vectors import UnitVectors

__all__ = [
    "ANGLES",
    "BITS",
    "KINDS",
    "MISSING",
    "REALS",
    "SPINS",
    "TURN",
    "Angles",
    "Reals",
    "Space",
    "Spins",
    "States",
    "Symmetry",
    "UnitVectors",
    "distinct",
    "from_attrs",
    "from_dict",
    "names",
    "received",
    "require_numbers",
    "require_scale",
    "space_from_name",
    "states",
    "vectors",
]

SPINS, ANGLES, REALS = Spins(), Angles(), Reals()
BITS = "bits"  # how spins may be declared: 0 and 1


SpaceName = Literal["spins", "bits", "states", "angles", "reals", "vectors"]
KINDS: dict[str, type[Space]] = {kind.name: kind for kind in (Spins, States, Angles, Reals, UnitVectors)}
"""Every kind of space by its name: what files may name."""


def names() -> tuple[str, ...]:
    """What microstates can be declared to be."""
    first, *others = KINDS
    return (first, BITS, *others)


def states(q: int) -> Space:
    """The space {0 … q−1}."""
    return States(q)


def vectors(n: int) -> Space:
    """The space of unit vectors of n components."""
    return UnitVectors(n)


def space_from_name(name: str, q: int | None = None) -> Space:
    """The space called `name`: ``"spins"``, ``"angles"``, ``"reals"``, or ``"states"`` with `q`."""
    kind = KINDS[choice(name, tuple(KINDS), "space")]
    if not any(field.name == "q" for field in fields(kind)):
        return kind()
    if q is None:
        raise HamlearnError(f"space={name!r} needs q, the number of states; for example q=3.")
    return kind(q)  # type: ignore[call-arg]


def from_attrs(attrs: Mapping[Any, Any]) -> Space:
    """The space that data, files and descriptions say they are of: what :attr:`Space.attrs` gave them."""
    kind = KINDS[choice(attrs["space"], tuple(KINDS), "space")]
    return kind(**{field.name: attrs[field.name] for field in fields(kind) if field.name in attrs})


def from_dict(description: Mapping[str, Any]) -> Space:
    """The space that :meth:`Space.to_dict` described."""
    return from_attrs({"space": description["name"], **description})


def received(array: np.ndarray, declared: str, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
    """Numbers that are declared to be of a space (:func:`names`), as they are stored, and that space.

    Raises
    ------
    HamlearnError
        If a value is NaN, infinite or outside the space, `q` does not go with the space, or the numbers are complex, dates or objects.
    """
    require_numbers(array)
    if declared == BITS:
        return 2 * two_values(array, BITS, (0, 1), q) - 1, SPINS
    return KINDS[declared].declared(array, q, wrap=wrap)
