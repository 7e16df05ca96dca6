"""Which exact method can treat which system."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import Space
from hamlearn.systems.exact import enumeration, free, kaufman, vectors, xy
from hamlearn.systems.exact.layers import MAX_BLOCK_STATES, Layers, cut
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.path import Path
from hamlearn.systems.potts import QState

Method = Literal["enumeration", "transfer", "kaufman", "operator", "characters", "gaussian", "tree"]
General = Literal["enumeration", "transfer"]
"""Methods that allow any couplings and fields."""

LatticeKey = tuple[tuple[int, ...], bytes]

ALWAYS_ENUMERATE = 2**12
"""Up to this many states enumeration is so cheap that it is not compared with the transfer matrix."""


def tables_of(system: Any) -> tuple[np.ndarray, np.ndarray]:
    """Coupling tables ``(n_bonds, q, q)`` and field tables ``(n_sites, q)`` of a system: minus energies."""
    if not isinstance(system, Pairwise | QState):
        raise HamlearnError(
            "this exact oracle treats discrete systems with pair couplings (Ising, EdwardsAnderson, Pairwise, Clock, Potts); "
            f"got {type(system).__name__}. Log Z and thermodynamics are also known of Path, of periodic XY lattices up to 4 wide "
            "without field, and of free fields (lam=0); sample any other system with hl.simulate."
        )
    return np.asarray(system.coupling_tables(), float), np.asarray(system.field_tables(), float)


def lattice_key(lattice: Lattice) -> LatticeKey:
    """A hashable stand-in for a lattice: equal lattices share their cuts and compiled functions."""
    return tuple(lattice.shape), np.asarray(lattice.bonds, np.int64).tobytes()


def lattice_from_key(key: LatticeKey) -> Lattice:
    """The sites and bonds behind a :func:`lattice_key`."""
    return Lattice(key[0], np.frombuffer(key[1], np.int64).reshape(-1, 2))


def layers_of(lattice: Lattice, q: int) -> Layers | None:
    """The cheapest cut of `lattice` into layers, or None; remembered."""
    return _layers(lattice_key(lattice), int(q))


@lru_cache(maxsize=256)
def _layers(key: LatticeKey, q: int) -> Layers | None:
    return cut(lattice_from_key(key), q)


def require_layers(lattice: Lattice, q: int) -> Layers:
    """Like :func:`layers_of`, or an error."""
    layers = layers_of(lattice, q)
    if layers is None:
        raise HamlearnError(_too_large(lattice, q, f"a lattice of shape {lattice.shape} ({lattice.kind})"))
    return layers


def lattice_method(lattice: Lattice, q: int) -> General | None:
    """The cheaper of the two methods that allow any couplings and fields, or None."""
    states, layers = enumeration.count_states(lattice, q), layers_of(lattice, q)
    limit = enumeration.MAX_STATES if layers is None else min(layers.cost, enumeration.MAX_STATES)
    if states <= max(limit, ALWAYS_ENUMERATE):
        return "enumeration"
    return None if layers is None else "transfer"


def method(system: Any) -> Method | None:
    """Which exact method can treat a system; the cheapest one.

    Parameters
    ----------
    system : Pairwise or QState
        The system; anything else gives None.

    Returns
    -------
    "enumeration", "transfer", "kaufman" or None
        Enumeration of up to 2^20 states on any graph; the transfer matrix where the lattice can be cut into
        layers of at most 512 states (9 spins; 16 spins where the layers form an open strip of a square
        lattice); Kaufman's solution for the uniform nearest-neighbour Ising model without field on a periodic
        square lattice of any size (an antiferromagnet on even extents).

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, Ising, exact
    >>> [exact.method(s) for s in (Ising((3, 3)), EdwardsAnderson((8, 8)), Ising((64, 64)), Ising((4, 4, 4)))]
    ['enumeration', 'transfer', 'kaufman', None]
    """
    if isinstance(system, Path):
        return "operator"
    if not isinstance(system, Pairwise | QState):
        if evaluated(system):
            return "enumeration"
        if vectors.applies(system):
            return "tree"
        return "characters" if xy.applies(system) else "gaussian" if free.applies(system) else None
    general = lattice_method(system.lattice, system.space.q)
    if general is None and kaufman.applies(system):
        return "kaufman"
    return general


def evaluated(system: Any) -> bool:
    """Whether a system of another kind than pair couplings has few enough states to evaluate its energy in all of them."""
    space, lattice = getattr(system, "space", None), getattr(system, "lattice", None)
    if not isinstance(space, Space) or space.continuous or not isinstance(lattice, Lattice):
        return False
    return not isinstance(system, Pairwise | QState) and enumeration.count_states(lattice, space.q) <= enumeration.MOST_EVALUATED


def require(system: Any) -> Method:
    """The exact method of `system` (see :func:`method`), or an error that says what is too large.

    Raises
    ------
    HamlearnError
        If no method can treat it.

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, exact
    >>> exact.require(EdwardsAnderson((4, 5)))
    'transfer'
    """
    found = method(system)
    if found is None:
        tables_of(system)
        raise HamlearnError(_too_large(system.lattice, system.space.q, repr(system)))
    return found


def require_general(system: Any, what: str) -> General:
    """Like :func:`require`, without Kaufman's solution, which has no local fields or couplings to vary."""
    if require(system) == "enumeration" and evaluated(system):
        return "enumeration"
    tables_of(system)
    found = lattice_method(system.lattice, system.space.q)
    if found is None:
        raise HamlearnError(
            f"{what}: Kaufman's solution gives log_partition and thermodynamics only, and "
            + _too_large(system.lattice, system.space.q, repr(system))
        )
    return found


def _too_large(lattice: Lattice, q: int, name: str) -> str:
    count = enumeration.power_text(q, lattice.n_sites)
    widest = int(np.log(MAX_BLOCK_STATES) / np.log(q) + 1e-9)
    return (
        f"no exact method for any couplings treats {name}: {count} states (enumeration stops at "
        f"2**20), and it cannot be cut along an axis into layers of at most {MAX_BLOCK_STATES} states ({widest} "
        f"sites with q={q}) with bonds only inside layers and between neighbouring ones. Use a smaller or "
        'narrower lattice, sample it with hl.simulate, or learn with likelihood="pseudo".'
    )
