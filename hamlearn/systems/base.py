"""What a microstate is (spaces) and what every system offers (the protocol)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace

from hamlearn.arguments import require_beta, require_whole, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.lattice import Lattice


@dataclass(frozen=True)
class Space:
    """The values one site can take: ±1 spins, the states 0 … q−1, angles in [0, 2π), or real numbers.

    Attributes
    ----------
    name : str
        ``"spins"``, ``"states"``, ``"angles"`` or ``"reals"``.
    q : int
        Number of values; 0 where they are continuous (angles, reals).

    Examples
    --------
    >>> from hamlearn.systems import ANGLES, SPINS, states
    >>> SPINS.values
    array([-1,  1], dtype=int8)
    >>> states(3).values
    array([0, 1, 2], dtype=int8)
    >>> ANGLES.continuous
    True
    """

    name: str
    q: int

    @property
    def continuous(self) -> bool:
        """Whether a site takes real values (angles, reals): densities rather than probabilities."""
        return self.q == 0

    @property
    def values(self) -> np.ndarray:
        """The allowed values in ascending order, shape ``(q,)``.

        Raises
        ------
        HamlearnError
            If the space is continuous: its values cannot be listed.
        """
        self._require_discrete("a list of values")
        return np.array([-1, 1], np.int8) if self.name == "spins" else np.arange(self.q, dtype=np.int8)

    def index(self, states: Any) -> Any:
        """Index of each state in :attr:`values` (what tables are indexed with)."""
        self._require_discrete("indices into a table")
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        return (states + 1) // 2 if self.name == "spins" else states

    def from_index(self, index: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`index`."""
        return self.values[np.asarray(index)]

    def _require_discrete(self, what: str) -> None:
        if self.continuous:
            raise HamlearnError(f"the space of {self.name} is continuous and has no {what}; this needs spins or states 0 … q−1.")


SPINS = Space("spins", 2)
ANGLES = Space("angles", 0)
"""Angles in radians, in [0, 2π)."""
REALS = Space("reals", 0)
"""Real numbers: paths and fields."""


def states(q: int) -> Space:
    """The space {0 … q−1}."""
    if not 2 <= require_whole(q, "q") <= 127:
        raise HamlearnError(f"states need 2 <= q <= 127; got q={q}.")
    return Space("states", int(q))


def space_from_name(name: str, q: int | None = None) -> Space:
    """The space called `name`: ``"spins"``, ``"angles"``, ``"reals"``, or ``"states"`` with `q`."""
    named = {space.name: space for space in (SPINS, ANGLES, REALS)}
    choice(name, ("spins", "states", "angles", "reals"), "space")
    if name in named:
        return named[name]
    if q is None:
        raise HamlearnError("space='states' needs q, the number of states; for example q=3.")
    return states(q)


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


def as_site_axes(states: Any, shape: tuple[int, ...]) -> Any:
    """`states` ``(..., *shape)`` or ``(..., n_sites)`` with the sites flattened to one last axis."""
    n_sites = int(np.prod(shape))
    if tuple(states.shape[states.ndim - len(shape) :]) == tuple(shape) and states.ndim >= len(shape):
        return states.reshape((*states.shape[: states.ndim - len(shape)], n_sites))
    if states.ndim >= 1 and states.shape[-1] == n_sites:
        return states
    raise HamlearnError(f"expected states with site axes {tuple(shape)} last (or {n_sites} flat sites); got shape {tuple(states.shape)}.")
