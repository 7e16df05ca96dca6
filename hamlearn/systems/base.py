"""What every system offers (the protocol), and what systems share; the spaces of their sites are :mod:`hamlearn.spaces`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace

from hamlearn.arguments import require_beta, shown
from hamlearn.errors import HamlearnError
from hamlearn.spaces import ANGLES as ANGLES
from hamlearn.spaces import REALS as REALS
from hamlearn.spaces import SPINS as SPINS
from hamlearn.spaces import Space as Space
from hamlearn.spaces import space_from_name as space_from_name
from hamlearn.spaces import states as states
from hamlearn.systems.lattice import Lattice


@runtime_checkable
class System(Protocol):
    """A Hamiltonian on a lattice: what can be simulated, scored and learned.

    Anything with these members is a system; no base class is needed. States have the site axes last.

    Attributes
    ----------
    lattice : Lattice
        Sites (``lattice.shape``) and bonds.
    space : Space
        The values one site can take.
    pure_jax : bool
        True if the parameters are arrays that the jitted samplers may step directly; a system for which this is
        False (a black box) is stepped from Python with chain-batched calls of :meth:`energy`.
    """

    @property
    def lattice(self) -> Lattice: ...

    @property
    def space(self) -> Space: ...

    @property
    def pure_jax(self) -> bool: ...

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)``, shape ``(...)``."""
        ...

    def action(self, states: Any, beta: float) -> Any:
        """−ln of the unnormalised probability at inverse temperature `beta`; βH for classical systems."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description from which :func:`hamlearn.systems.from_dict` rebuilds the system."""
        ...


def energies_of(system: System, states: np.ndarray) -> np.ndarray:
    """Energies ``(n,)`` of states ``(n, *lattice.shape)``, by a system whose energy nobody has looked at.

    Raises
    ------
    HamlearnError
        If these are not n numbers.
    """
    found = np.asarray(system.energy(states))
    if found.shape != (len(states),) or found.dtype.kind not in "iuf":
        raise HamlearnError(
            f"the energy of {system!r} must be one number per state: of states {states.shape} an array ({len(states)},); "
            f"got {found.dtype} of shape {found.shape}. Sum over the site axes, the last {states.ndim - 1}, only."
        )
    return found.astype(np.float64, copy=False)


def broadcast_parameter(value: Any, shape: tuple[int, ...], what: str, *, flat: bool = False) -> np.ndarray:
    """`value` as a finite float64 array of `shape`, scalars broadcast; `flat`: of any axes, taken one after the other."""
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iuf" or np.ma.is_masked(value):
            raise TypeError
    except Exception:  # whatever a stranger's conversion raises: it is no number
        raise HamlearnError(f"{what} must be a number or an array of shape {shape}; got {shown(value)}.") from None
    try:
        array = np.broadcast_to((given.reshape(-1) if flat and given.ndim > 1 else given).astype(np.float64), shape).copy()
    except ValueError:
        raise HamlearnError(f"{what} must be a number or an array of shape {shape}; got shape {given.shape}.") from None
    if not np.all(np.isfinite(array)):
        raise HamlearnError(f"{what} must be finite; {np.sum(~np.isfinite(array))} of {array.size} values are not.")
    array.setflags(write=False)
    return array


def check_beta(beta: Any) -> np.ndarray:
    """`beta` as a float64 array, every value finite, positive and with an inverse that a float holds."""
    return require_beta(beta, axes=None)


def one_beta(beta: Any) -> float:
    """`beta` as one number, checked as :func:`check_beta` does it."""
    found = check_beta(beta)
    if found.ndim:
        raise HamlearnError(f"one beta at a time is asked for here; got {shown(beta)}.")
    return float(found)


def as_reals(states: Any) -> tuple[Any, Any]:
    """Array namespace, and `states` as floating-point numbers: as they are if they already are, else of the default precision."""
    states = np.asarray(states) if isinstance(states, list | tuple) else states
    xp = array_namespace(states)
    return xp, states if xp.isdtype(states.dtype, "real floating") else xp.astype(states, xp.asarray(1.0).dtype)


def axes_of(system: System) -> tuple[int, ...]:
    """The axes of one microstate: those of the sites, and after them those of one site (the components of vectors)."""
    return (*system.lattice.shape, *system.space.event_shape)


def as_site_axes(states: Any, shape: tuple[int, ...]) -> Any:
    """`states` ``(..., *shape)`` or ``(..., n_sites)`` with the sites flattened to one last axis."""
    n_sites = int(np.prod(shape))
    if tuple(states.shape[states.ndim - len(shape) :]) == tuple(shape) and states.ndim >= len(shape):
        return states.reshape((*states.shape[: states.ndim - len(shape)], n_sites))
    if states.ndim >= 1 and states.shape[-1] == n_sites:
        return states
    raise HamlearnError(f"expected states with site axes {tuple(shape)} last (or {n_sites} flat sites); got shape {tuple(states.shape)}.")
