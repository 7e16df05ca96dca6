"""Observables of microstates.

States have the site axes last, whatever comes before them (chain, draw, …): with a `lattice` either its shape or flat
sites, without one flat sites. The formulas are written for NumPy, JAX and torch arrays alike, unless they say otherwise.
What is per site says so.

What predictions and reports call by name are records, :class:`Observable`: one more is one record.
"""

from hamlearn.systems.observables.observable import Observable
from hamlearn.systems.observables.paths import kinks, position_density
from hamlearn.systems.observables.records import OBSERVABLES, known, looked_up, order, register
from hamlearn.systems.observables.rotors import angle_correlation, helicity_modulus, twist_response, vortex_density, vortices
from hamlearn.systems.observables.spins import (
    correlation,
    energy_per_site,
    heat_capacity,
    magnetization,
    potts_order_parameter,
    separations,
    spins_up_distribution,
    staggered_magnetization,
    susceptibility,
)

__all__ = [
    "OBSERVABLES",
    "Observable",
    "angle_correlation",
    "correlation",
    "energy_per_site",
    "heat_capacity",
    "helicity_modulus",
    "kinks",
    "known",
    "looked_up",
    "magnetization",
    "order",
    "position_density",
    "potts_order_parameter",
    "register",
    "separations",
    "spins_up_distribution",
    "staggered_magnetization",
    "susceptibility",
    "twist_response",
    "vortex_density",
    "vortices",
]


def __dir__() -> list[str]:
    return sorted(__all__)
