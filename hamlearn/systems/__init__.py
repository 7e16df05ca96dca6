"""Worlds: what a microstate is, what it costs, how to draw one, what is known exactly.

Constructors of systems, lattices (:mod:`hamlearn.systems.lattice`), oracles with known answers
(:mod:`hamlearn.systems.exact`), observables and samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems import exact, lattice, observables, sampling
from hamlearn.systems.base import ANGLES, REALS, SPINS, Space, System, space_from_name, states
from hamlearn.systems.density import LearnedDensity, density_from_dict
from hamlearn.systems.field import OF_0_1, Field, PolynomialField, RangedField, ScalarField, ThermalField
from hamlearn.systems.fixed_magnetization import FixedMagnetization
from hamlearn.systems.gaussian_machine import GaussianMachine
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.layers import UnitLayer
from hamlearn.systems.network_path import NetworkPath
from hamlearn.systems.pairwise import EdwardsAnderson, Ising, Pairwise, SherringtonKirkpatrick, WeakStrong
from hamlearn.systems.parametric import ParametricSystem
from hamlearn.systems.path import Path
from hamlearn.systems.potentials import DoubleWell, Polynomial
from hamlearn.systems.potts import Clock, Ordinal, Potts, QState, ordinal_scores, zero_sum
from hamlearn.systems.rbm import RestrictedBoltzmannMachine
from hamlearn.systems.sampling.sampler import Sampler
from hamlearn.systems.sampling.samplers import (
    HMC,
    SAMPLERS,
    BlockGibbs,
    Exact,
    HeatBath,
    Kawasaki,
    Kinks,
    Metropolis,
    Overrelaxation,
    Own,
    SwendsenWang,
    Tempering,
    Wolff,
)
from hamlearn.systems.vectors import Heisenberg, VectorSpins
from hamlearn.systems.weighted import JoinedAction
from hamlearn.systems.xy import XY

_READERS: dict[str, Callable[[dict[str, Any]], System]] = {
    "density": density_from_dict,
    **OF_0_1,
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
    if not isinstance(description, dict):
        raise HamlearnError(f"a system is described by a dictionary, as its to_dict() gives it; got {shown(description)}.")
    given = description.get("kind", "")
    kind = choice("interaction_tables" if given == "tiles" else given, (*_READERS, *ParametricSystem.kinds), "kind of system")
    try:
        return _read(kind, description, potential)
    except HamlearnError:
        raise
    except Exception as error:  # a description that was changed or damaged fails in as many ways as it has entries
        raise HamlearnError(f"this description of a system cannot be read ({type(error).__name__}: {error}).") from error


def _read(kind: str, description: dict[str, Any], potential: Callable[[Any], Any] | None) -> System:
    if kind in (Path.kind, NetworkPath.kind):
        return (Path if kind == Path.kind else NetworkPath).from_dict(description, potential)
    if kind == "joined_action":
        return JoinedAction([from_dict(part, potential=potential) for part in description["parts"]], description["betas"])
    if kind == FixedMagnetization.kind:
        return FixedMagnetization(from_dict(description["system"], potential=potential), description["magnetization"])
    if kind in _READERS:
        return _READERS[kind](description)
    return cast("System", ParametricSystem.kinds[kind].from_dict(description))


__all__ = [
    "ANGLES",
    "HMC",
    "REALS",
    "SAMPLERS",
    "SPINS",
    "XY",
    "BlockGibbs",
    "Clock",
    "DoubleWell",
    "EdwardsAnderson",
    "Exact",
    "Field",
    "FixedMagnetization",
    "GaussianMachine",
    "HeatBath",
    "Heisenberg",
    "InteractionTables",
    "Ising",
    "JoinedAction",
    "Kawasaki",
    "Kinks",
    "Lattice",
    "LearnedDensity",
    "Metropolis",
    "NetworkPath",
    "Ordinal",
    "Overrelaxation",
    "Own",
    "Pairwise",
    "ParametricSystem",
    "Path",
    "Polynomial",
    "PolynomialField",
    "Potts",
    "QState",
    "RangedField",
    "RestrictedBoltzmannMachine",
    "Sampler",
    "ScalarField",
    "SherringtonKirkpatrick",
    "Space",
    "SwendsenWang",
    "System",
    "Tempering",
    "ThermalField",
    "UnitLayer",
    "VectorSpins",
    "WeakStrong",
    "Wolff",
    "exact",
    "from_dict",
    "lattice",
    "observables",
    "ordinal_scores",
    "sampling",
    "space_from_name",
    "states",
    "zero_sum",
]


def __dir__() -> list[str]:
    return sorted(__all__)
