"""Exact answers: enumeration, transfer matrices and operators, character expansions, closed forms.

These are the oracles that samplers, likelihoods and predictions are judged by; exact likelihoods are built from
:func:`log_partition_function`. Everything is computed in double precision (inside ``jax.enable_x64(True)``,
never global) and comes back as NumPy or xarray.

* *enumeration*: any graph of at most 2^20 states (2^16 of a system that shows nothing but its energy); gives everything.
* *transfer*: any couplings and fields on lattices that can be cut into layers of at most 512 states (chains, 9×L
  tori, 3×3×L) or open square strips up to 16 wide; gives log Z, thermodynamics, expectations, and samples.
* *kaufman*: the uniform Ising model without field on a periodic square lattice of any size; gives log Z and
  thermodynamics.
* *operator*: imaginary-time paths in any confining potential, by their transfer operator on a quadrature grid; gives
  log Z, thermodynamics, expectations, and samples. :func:`schroedinger` is the continuum limit by other means.
* *characters*: periodic XY chains and square lattices up to 4 wide without field, any couplings; gives log Z (measure
  dφ/2π) and thermodynamics.
* *gaussian*: free fields (λ = 0), of any size on periodic hypercubic lattices, elsewhere up to 2048 sites; gives log Z,
  thermodynamics, the propagator, and samples.

* *hidden units*: sites that are independent given at most 20 binary hidden units (restricted Boltzmann machines), any number of
  them; gives log Z at the system's own temperature.

Every method is an :class:`Oracle`, an object that asks for the structure of a system (tables over pairs, a quadratic form, a path of
neighbouring slices) and never for its class. A further one is passed, ``thermodynamics(system, beta, oracle=mine)``, or made known to
samplers, predictions and reports: ``register(mine)``.
"""

from __future__ import annotations

from hamlearn.systems.exact.averages import expectations, log_partition, thermodynamics
from hamlearn.systems.exact.enumeration import all_states
from hamlearn.systems.exact.free import modes, propagator
from hamlearn.systems.exact.oracle import Oracle
from hamlearn.systems.exact.partition import energy_range, log_partition_function
from hamlearn.systems.exact.path import TransferOperator, transfer_operator
from hamlearn.systems.exact.registry import ORACLES, method, oracle, register, require, unregister
from hamlearn.systems.exact.schroedinger import schroedinger
from hamlearn.systems.exact.states import distribution, moments, sample, state_energies, state_log_weights

__all__ = [
    "ORACLES",
    "Oracle",
    "TransferOperator",
    "all_states",
    "distribution",
    "energy_range",
    "expectations",
    "log_partition",
    "log_partition_function",
    "method",
    "modes",
    "moments",
    "oracle",
    "propagator",
    "register",
    "require",
    "sample",
    "schroedinger",
    "state_energies",
    "state_log_weights",
    "thermodynamics",
    "transfer_operator",
    "unregister",
]


def __dir__() -> list[str]:
    return sorted(__all__)
