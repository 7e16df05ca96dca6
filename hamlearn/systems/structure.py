"""What algorithms ask of a system beyond its energy: pair tables, interaction tables, couplings of directions, a path.

A system has a structure if it has its members, whatever its class: samplers and oracles ask here, never for a class. (A system that
hides what it is made of is still sampled by its energy.)
"""

from __future__ import annotations

from typing import Any


def _has(system: Any, *names: str) -> bool:
    return all(hasattr(system, name) for name in names)


def unconstrained(system: Any) -> Any:
    """The system whose structure an algorithm may ask for that keeps the constraint itself: its ``free``, if it has one."""
    return getattr(system, "free", system) if system.space.constraint else system  # a field's ``free`` says that it is Gaussian


def has_pairs(system: Any) -> bool:
    """Whether −energies of bonds and sites can be had as tables: ``coupling_tables`` and ``field_tables``."""
    return not system.space.continuous and _has(system, "coupling_tables", "field_tables")


def is_ising(system: Any) -> bool:
    """Whether it is of ±1 spins with couplings ``J`` of bonds and fields ``h`` of sites."""
    return bool(system.space.binary) and has_pairs(system) and _has(system, "J", "h")


def has_tables(system: Any) -> bool:
    """Whether the energy is a sum of tables over windows of sites: ``tile_sites``, ``places`` and ``tables``."""
    return not system.space.continuous and _has(system, "tile_sites", "places", "tables")


def has_changes(system: Any) -> bool:
    """Whether it knows what a new value of one site changes its energy by: ``energy_change`` (:mod:`.sampling.changes`)."""
    return not system.space.continuous and _has(system, "energy_change")


def has_directions(system: Any) -> bool:
    """Whether it is of directions (angles, unit vectors) with couplings ``J`` of their scalar products and fields ``h``."""
    directed = system.space.period is not None or bool(system.space.event_shape)
    return directed and _has(system, "J", "h") and len(system.J) == system.lattice.n_bonds


def is_path(system: Any) -> bool:
    """Whether it is one particle's imaginary-time path: ``kinetic``, ``potential`` and ``spacing``."""
    return _has(system, "kinetic", "potential", "spacing", "periodic") and len(system.lattice.shape) == 1
