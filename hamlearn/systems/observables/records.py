"""Observables as records: one more is one record, known to predictions, reports and densities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.base import System
from hamlearn.systems.observables import disorder, population, rotors, spins
from hamlearn.systems.observables.observable import Means, Observable, everywhere


def order(states: np.ndarray, system: System) -> np.ndarray:
    """Order parameter per draw: signed of spins and fields, (q max − 1)/(q − 1) of q states, a modulus of angles and vectors."""
    space, flat = system.space, np.asarray(states).reshape(len(states), -1)
    if space.q and not space.binary:
        return np.asarray(spins.potts_order_parameter(states, space.q, system.lattice))
    return np.asarray(space.magnitude(flat) if space.period is not None or space.event_shape else flat.mean(1, dtype=float))


def _discrete(system: System) -> bool:
    return not system.space.continuous


def _spins(system: System) -> bool:
    return system.space.binary


def _of_energy(beta: float, n: int) -> float:
    return 1.0 / beta


def _of_entropy(beta: float, n: int) -> float:
    return 1.0


def _of_all_in_bits(beta: float, n: int) -> float:
    return n / population.BIT


def _to_random(system: System) -> tuple[float, float]:
    """Entropy per site, up to that of states that are all as probable; of continuous values it has no least one."""
    if system.space.continuous:
        return -np.inf, np.inf
    return 0.0, disorder.entropy(system)


def _to_random_in_bits(system: System) -> tuple[float, float]:
    return 0.0, _random_in_bits(system)


def _random_in_bits(system: System) -> float:
    return disorder.entropy(system) * system.lattice.n_sites / population.BIT


def _with_susceptibility(system: System) -> bool:
    return _discrete(system) or bool(system.space.event_shape)


def _reals(system: System) -> bool:
    return bool(system.space.unbounded)


def _line(system: System) -> bool:
    return _reals(system) and len(system.lattice.shape) == 1


def _field(system: System) -> bool:
    return _reals(system) and not _line(system)


def _path(system: System) -> bool:
    return system.nearest_path is not None


def _thermal(system: System) -> bool:
    """Whether it is a quantum field in imaginary time, whose energy is no average of one that β multiplies."""
    return bool(system.thermal_field)


def _ordered(system: System) -> bool:
    return not _line(system)


def _has_plaquettes(system: System) -> bool:
    flat = len(system.lattice.shape) == 2 and system.lattice.kind in ("hypercubic", "triangular")
    return system.space.period is not None and flat


def _thermal_energies(states: Any, system: System, beta: float) -> Any:
    """The estimator of U, its square and its slope, such that means are per site of space."""
    energy, slope = system.thermal(states, beta)
    energy, space = np.asarray(energy, float), system.lattice.n_sites // system.lattice.shape[0]
    return energy / space, energy**2 / space, np.broadcast_to(slope, energy.shape) / space, np.full(energy.shape, space)


def _thermal_capacity(means: Means, beta: float, n: int) -> Any:
    return beta**2 * (means[..., 1] - means[..., 3] * means[..., 0] ** 2 - means[..., 2])


def _rotors(system: System) -> bool:
    return system.directions is not None and system.space.period is not None


def _twisted(states: Any, system: System, beta: float) -> Any:
    cosine, sine = rotors.twist_response(states, system)
    return (cosine - beta * sine**2).mean(-1) / system.lattice.n_sites


def _energy(states: Any, system: System, beta: float) -> Any:
    return system.energy(states)


def _two_energies(states: Any, system: System, beta: float) -> Any:
    energy = np.asarray(system.energy(states), float)
    return energy, energy**2


def _two_orders(states: Any, system: System, beta: float) -> Any:
    m = np.abs(order(states, system))
    return m, m**2


def _correlation(states: Any, system: System, beta: float) -> Any:
    q = None if system.space.binary else system.space.q
    return np.asarray(spins.correlation(states, system.lattice, q), float).reshape(len(states), -1)


def _slices(system: System) -> np.ndarray:
    return np.arange(system.lattice.n_sites // 2 + 1, dtype=float)


def _susceptibility(means: Means, beta: float, n: int) -> Any:
    return beta * n * (means[..., 1] - means[..., 0] ** 2)


def _heat_capacity(means: Means, beta: float, n: int) -> Any:
    return beta**2 * (means[..., 1] - means[..., 0] ** 2) / n


def _free_energy(means: Means, beta: float, n: int, log_z: Any) -> Any:
    return -log_z / (beta * n)


def _entropy(means: Means, beta: float, n: int, log_z: Any) -> Any:
    return (log_z + beta * means[..., 0]) / n


def _entropy_bits(means: Means, beta: float, n: int, log_z: Any) -> Any:
    return (log_z + beta * means[..., 0]) / population.BIT


def _energy_and_up(states: Any, system: System, beta: float) -> Any:
    return np.column_stack([np.asarray(system.energy(states), float), population.up(states)])


def _multi_information(means: Means, beta: float, n: int, log_z: Any) -> Any:
    return population.independent_entropy(means[..., 1:]) / population.BIT - _entropy_bits(means, beta, n, log_z)


def _square(states: Any, system: System, beta: float) -> Any:
    return (np.asarray(states, float).reshape(len(states), -1) ** 2).mean(1)


def _fourth(states: Any, system: System, beta: float) -> Any:
    return (np.asarray(states, float).reshape(len(states), -1) ** 4).mean(1)


def _binder(means: Means, beta: float, n: int) -> Any:
    return 1 - means[..., 1] / (3 * means[..., 0] ** 2)


def _two_even_orders(states: Any, system: System, beta: float) -> Any:
    m = order(states, system)
    return m**2, m**4


OBSERVABLES: list[Observable] = [
    *(
        Observable(name, f"{words} of the particle", None, applies=_path, default=True)
        for name, words in (
            ("energy", "energy"),
            ("heat_capacity", "heat capacity"),
            ("entropy", "entropy"),
            ("free_energy", "free energy"),
        )
    ),
    Observable("energy", "energy per site of space", _thermal_energies, applies=_thermal, default=True),
    Observable("heat_capacity", "heat capacity per site of space", _thermal_energies, _thermal_capacity, _thermal, default=True),
    Observable(
        "energy",
        "energy per site",
        _energy,
        lambda means, beta, n: means[..., 0] / n,
        default=True,
        optimism=_of_energy,
        disordered=lambda system, beta: disorder.energy(system),
    ),
    Observable("heat_capacity", "heat capacity per site", _two_energies, _heat_capacity, default=True),
    *(
        record
        for applies, default in ((_discrete, True), (everywhere, False))  # of continuous systems few have it
        for record in (
            Observable(
                "entropy",
                "entropy per site, nats",
                _energy,
                _entropy,
                applies,
                needs_log_z=True,
                default=default,
                optimism=_of_entropy,
                disordered=lambda system, beta: disorder.entropy(system),
                possible=_to_random,
            ),
            Observable(
                "free_energy",
                "free energy per site",
                _energy,
                _free_energy,
                applies,
                needs_log_z=True,
                default=default,
                optimism=_of_energy,
                disordered=disorder.free_energy,
            ),
        )
    ),
    Observable(
        "entropy_bits",
        "entropy of all sites, bits",
        _energy,
        _entropy_bits,
        _discrete,
        needs_log_z=True,
        optimism=_of_all_in_bits,
        disordered=lambda system, beta: _random_in_bits(system),
        possible=_to_random_in_bits,
    ),
    Observable(
        "multi_information",
        "multi-information of all sites, bits",
        _energy_and_up,
        _multi_information,
        _spins,
        needs_log_z=True,
        optimism=_of_all_in_bits,
        disordered=lambda system, beta: 0.0,
        possible=_to_random_in_bits,
    ),
    Observable(
        "count_distribution",
        "probability that K sites are up",
        lambda states, system, beta: population.counts(states),
        lambda means, beta, n: means,
        _spins,
        True,
        separations=lambda system: np.arange(system.lattice.n_sites + 1),
        axis="up",
        possible=lambda system: (0.0, 1.0),
    ),
    Observable(
        "abs_magnetization",
        "mean absolute magnetization per site",
        lambda states, system, beta: np.abs(order(states, system)),
        applies=_ordered,
        of_states=True,
        default=True,
    ),
    Observable(
        "susceptibility",
        "susceptibility per site, beta N (<m^2> - <|m|>^2)",
        _two_orders,
        _susceptibility,
        _with_susceptibility,
        True,
        default=True,
    ),
    Observable(
        "correlation",
        "correlation of two sites a distance r apart",
        _correlation,
        lambda means, beta, n: means,
        _discrete,
        True,
        separations=lambda system: spins.separations(system.lattice),
    ),
    Observable("correlation", "mean of x_0 x_t", None, lambda means, beta, n: means, _path, True, separations=_slices),
    Observable("action", "mean action", lambda states, system, beta: system.action(states, beta), applies=_reals, default=True),
    Observable("gap", "gap ln(lambda0/lambda1)/a", None, applies=_path, default=True),
    Observable("squared_position", "mean square of x", _square, applies=_line, of_states=True, default=True),
    Observable("quartic_position", "mean fourth power of x", _fourth, applies=_line, of_states=True, default=True),
    Observable("squared_field", "mean square of the field", _square, applies=_field, of_states=True, default=True),
    Observable("quartic_field", "mean fourth power of the field", _fourth, applies=_field, of_states=True, default=True),
    Observable(
        "vortex_density",
        "vortices per site",
        lambda states, system, beta: rotors.vortex_density(states, system.lattice),
        applies=_has_plaquettes,
        of_states=True,
        default=True,
    ),
    Observable("helicity", "helicity modulus", _twisted, applies=_rotors, traceable=True, default=True),
    Observable("binder", "Binder cumulant 1 - <m^4>/(3 <m^2>^2)", _two_even_orders, _binder, _ordered, True),
]
"""What predictions know by name, in the order of results."""


def known(system: System) -> list[Observable]:
    """The observables that a system has, the first of every name.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> known(Ising((3, 3)))[:2]
    [<observable energy: energy per site>, <observable heat_capacity: heat capacity per site>]
    """
    found: dict[str, Observable] = {}
    for one in OBSERVABLES:
        if one.applies(system):
            found.setdefault(one.name, one)
    return list(found.values())


def register(observable: Observable) -> Observable:
    """Make an observable known by its name; the one that is asked for comes before one of the same name."""
    OBSERVABLES.insert(0, observable)
    return observable


def looked_up(wanted: Sequence[Any], system: System) -> list[Observable]:
    """Observables of a system by their names; records are taken as they are.

    Raises
    ------
    HamlearnError
        If a name is not known, a record does not apply, or two have one name.
    """
    names = {one.name: one for one in known(system)}
    found = []
    for one in wanted:
        if isinstance(one, Observable):
            if not one.applies(system):
                raise HamlearnError(f"the observable {one.name!r} does not apply to {system!r}.")
            found.append(one)
        else:
            found.append(names[choice(one, tuple(names), "observable")])
    if len({one.name for one in found}) < len(found):
        raise HamlearnError(f"observables must differ by name; got {[one.name for one in found]}.")
    return found
