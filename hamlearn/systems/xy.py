"""The XY model: planar rotors with pair couplings on any graph.

H(φ) = −Σ_b J_b cos(φ_i − φ_j) − Σ_i h_i cos φ_i, each bond b = (i, j) once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import ANGLES, Space, as_site_axes, broadcast_parameter
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Directions
from hamlearn.systems.parametric import ParametricSystem, parameter


@dataclass(frozen=True, eq=False, init=False)
class XY(ParametricSystem, kind="xy"):
    """XY model on a hypercubic lattice (or any lattice given): H = −Σ J cos(φ_i − φ_j) − Σ h cos φ_i.

    Parameters
    ----------
    shape : int, sequence of int, Lattice, or array of int (n_bonds, 2)
        Extents of the hypercubic lattice, a lattice (``lattice.triangular((6, 6))``), or the bonds of any graph.
    J : float or array (n_bonds,)
        Couplings in the order of ``lattice.bonds``; positive favours equal angles.
    h : float or array (n_sites,)
        Fields along φ = 0.
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
    >>> rotors = XY((4, 4))
    >>> float(rotors.energy(np.full((4, 4), 0.3)))  # the ground state: −2J per site
    -32.0
    """

    lattice: Lattice
    J: np.ndarray
    h: np.ndarray
    name: str

    def __init__(
        self, shape: int | Sequence[int] | Lattice | Any, J: Any = 1.0, h: Any = 0.0, periodic: bool = True, *, name: str = "XY"
    ) -> None:
        if isinstance(shape, Lattice):
            lattice = shape
        else:
            lattice = lattices.graph(shape) if _is_table(shape) else lattices.hypercubic(shape, periodic=periodic)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "J", broadcast_parameter(J, (lattice.n_bonds,), "J"))
        object.__setattr__(self, "h", broadcast_parameter(h, (lattice.n_sites,), "h", flat=True))
        object.__setattr__(self, "name", name)

    @property
    def space(self) -> Space:
        """Angles in [0, 2π)."""
        return ANGLES

    @property
    def directions(self) -> Directions:
        """Its couplings, and fields along the first of two components."""
        return Directions(self.J, array_namespace(self.h).stack([self.h, 0 * self.h], axis=-1))

    def energy(self, states: Any) -> Any:
        """Energy of angles ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``.

        Written in the array-API style: NumPy, JAX and torch arrays all work, and ``jax.grad`` differentiates it.
        """
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        xp = array_namespace(states)
        angles = as_site_axes(states, self.lattice.shape)
        real = angles.dtype if xp.isdtype(angles.dtype, "real floating") else parameter(xp, self.J).dtype
        angles = xp.astype(angles, real)
        ends = [xp.take(angles, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1)]
        pairs = xp.cos(ends[0] - ends[1]) @ parameter(xp, self.J, real)
        return -pairs - xp.cos(angles) @ parameter(xp, self.h, real)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> XY:
        """The system that :meth:`to_dict` described."""
        return cls(lattices.from_dict(description["lattice"]), description["J"], description["h"], name=description["name"])

    def __repr__(self) -> str:
        return f"{self.name}(shape={self.lattice.shape}, {self.lattice.n_bonds} bonds)"


def _is_table(bonds: Any) -> bool:
    """Whether it has the two axes of a list of bonds."""
    try:
        return np.ndim(bonds) == 2
    except ValueError:  # ragged: refused as extents
        return False
