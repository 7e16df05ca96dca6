"""O(n) vector spins: unit vectors with pair couplings on any graph; n = 3 is the Heisenberg model.

H(s) = −Σ_b J_b s_i·s_j − Σ_i h_i·s_i, each bond b = (i, j) once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError
from hamlearn.spaces import UnitVectors
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, as_reals, broadcast_parameter
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Directions
from hamlearn.systems.parametric import ParametricSystem, parameter


@dataclass(frozen=True, eq=False, init=False)
class VectorSpins(ParametricSystem, kind="vector_spins", structure=("n",)):
    """Unit vectors of n components on a hypercubic lattice (or any given): H = −Σ J s_i·s_j − Σ h_i·s_i.

    Parameters
    ----------
    shape : int, sequence of int, Lattice, or array of int (n_bonds, 2)
        Extents of the hypercubic lattice, a lattice (``lattice.triangular((6, 6))``), or the bonds of any graph.
    J : float or array (n_bonds,)
        Couplings in the order of ``lattice.bonds``; positive favours parallel vectors.
    h : float or array (n,) or (n_sites, n)
        Fields: the same vector everywhere, or one for every site.
    n : int
        Components, at least 2 (XY; Heisenberg is 3).
    periodic : bool
        Wrap the boundaries around; for extents only.
    name : str
        What `repr` and reports call the system.

    Raises
    ------
    HamlearnError
        If the lattice is not one, or a parameter has the wrong shape or is not finite.

    Examples
    --------
    States have a last axis of components:

    >>> up = np.broadcast_to([0.0, 0.0, 1.0], (4, 4, 3))
    >>> float(VectorSpins((4, 4)).energy(up))  # the ground state: −2J per site
    -32.0
    """

    lattice: Lattice
    n: int
    J: np.ndarray
    h: np.ndarray
    name: str

    def __init__(
        self,
        shape: int | Sequence[int] | Lattice | Any,
        J: Any = 1.0,
        h: Any = 0.0,
        n: int = 3,
        periodic: bool = True,
        *,
        name: str = "VectorSpins",
    ) -> None:
        lattice: Lattice = lattices.as_lattice(shape) if _is_graph(shape) else lattices.hypercubic(shape, periodic=periodic)  # type: ignore[arg-type]
        components = require_whole(n, "n, the number of components,", 2)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "n", components)
        object.__setattr__(self, "J", broadcast_parameter(J, (lattice.n_bonds,), "J"))
        object.__setattr__(self, "h", broadcast_parameter(h, (lattice.n_sites, components), "h"))
        object.__setattr__(self, "name", name)

    @property
    def space(self) -> Space:
        """Unit vectors of n components."""
        return UnitVectors(self.n)

    @property
    def directions(self) -> Directions:
        """Its couplings and fields."""
        return Directions(self.J, self.h)

    def energy(self, states: Any) -> Any:
        """Energy of unit vectors ``(..., *lattice.shape, n)`` (or flat, ``(..., n_sites · n)``), shape ``(...)``."""
        xp, states = as_reals(states)
        s = components_last(states, self.lattice.shape, self.n)
        first, second = (xp.take(s, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-2) for end in (0, 1))
        pairs = xp.sum(first * second, axis=-1) @ parameter(xp, self.J, s.dtype)
        return -pairs - xp.sum(s * parameter(xp, self.h, s.dtype), axis=(-2, -1))

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> VectorSpins:
        """The system that :meth:`to_dict` described."""
        given = {name: description[name] for name in ("J", "h", "n", "name")}
        return cls(lattices.from_dict(description["lattice"]), **given)

    def __repr__(self) -> str:
        return f"{self.name}(shape={self.lattice.shape}, n={self.n}, {self.lattice.n_bonds} bonds)"


def Heisenberg(shape: Any, J: Any = 1.0, h: Any = 0.0, periodic: bool = True) -> VectorSpins:
    """The classical Heisenberg model: :class:`VectorSpins` of three components.

    Examples
    --------
    >>> Heisenberg((4, 4))
    Heisenberg(shape=(4, 4), n=3, 32 bonds)
    """
    return VectorSpins(shape, J, h, 3, periodic, name="Heisenberg")


def components_last(states: Any, shape: tuple[int, ...], n: int) -> Any:
    """States ``(..., *shape, n)``, ``(..., n_sites, n)`` or ``(..., n_sites · n)`` as ``(..., n_sites, n)``."""
    n_sites, axes = int(np.prod(shape)), len(shape) + 1
    given = tuple(states.shape)
    if states.ndim >= axes and given[states.ndim - axes :] == (*shape, n):
        return states.reshape((*given[: states.ndim - axes], n_sites, n))
    if given[-2:] == (n_sites, n):
        return states
    if given[-1:] == (n_sites * n,):
        return states.reshape((*given[:-1], n_sites, n))
    raise HamlearnError(
        f"expected vectors of {n} components on sites {tuple(shape)}, shape (..., {', '.join(map(str, (*shape, n)))}); got shape {given}."
    )


def _is_graph(shape: Any) -> bool:
    """Whether it is a lattice or has the two axes of a list of bonds."""
    try:
        return isinstance(shape, Lattice) or np.ndim(shape) == 2
    except ValueError:  # ragged: refused as extents
        return False
