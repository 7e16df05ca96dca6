"""±1 spins with pair couplings and fields: Ising models, glasses, any graph.

H(σ) = −Σ_b J_b σ_i σ_j − Σ_i h_i σ_i, each bond b = (i, j) once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from array_api_compat import array_namespace

from hamlearn.arguments import require_seed
from hamlearn.errors import choice
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import SPINS, Space, as_site_axes, broadcast_parameter
from hamlearn.systems.fixed_magnetization import FixedMagnetization
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs
from hamlearn.systems.parametric import ParametricSystem, parameter


@dataclass(frozen=True, eq=False, init=False)
class Pairwise(ParametricSystem, kind="pairwise"):
    """Pairwise ±1 spins on any graph: H = −Σ J_ij σ_i σ_j − Σ h_i σ_i.

    Parameters
    ----------
    bonds : array of int (n_bonds, 2), or Lattice
        Which pairs interact; site indices from 0, each pair once.
    J : float or array (n_bonds,)
        Couplings in the order of ``bonds``; positive favours equal spins.
    h : float or array (n_sites,)
        Fields; positive favours spin up.
    n_sites : int, optional
        Number of sites, when the bonds do not reach the last one.
    name : str
        What `repr` and reports call the system.

    Raises
    ------
    HamlearnError
        If bonds are out of range, repeated or loops, or a parameter has the wrong shape or is not finite.

    Examples
    --------
    >>> from hamlearn.systems import Pairwise
    >>> triangle = Pairwise([[0, 1], [1, 2], [0, 2]], J=-1.0)
    >>> float(triangle.energy(np.array([1, 1, -1])))
    -1.0
    """

    lattice: Lattice
    J: np.ndarray
    h: np.ndarray
    name: str

    def __init__(self, bonds: Any, J: Any = 1.0, h: Any = 0.0, n_sites: int | None = None, *, name: str = "Pairwise") -> None:
        lattice = lattices.as_lattice(bonds, n_sites)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "J", broadcast_parameter(J, (lattice.n_bonds,), "J"))
        object.__setattr__(self, "h", broadcast_parameter(h, (lattice.n_sites,), "h", flat=True))
        object.__setattr__(self, "name", name)

    @property
    def space(self) -> Space:
        """±1 spins."""
        return SPINS

    def energy(self, states: Any) -> Any:
        """Energy of spins ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``.

        Written in the array-API style: NumPy, JAX and torch arrays all work.
        """
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        xp = array_namespace(states)
        spins = as_site_axes(states, self.lattice.shape)
        real = spins.dtype if xp.isdtype(spins.dtype, "real floating") else parameter(xp, self.J).dtype
        spins = xp.astype(spins, real)
        ends = [xp.take(spins, xp.asarray(self.lattice.bonds[:, end]), axis=-1) for end in (0, 1)]
        pairs = (ends[0] * ends[1]) @ parameter(xp, self.J, real)
        return -pairs - spins @ parameter(xp, self.h, real)

    @property
    def pairs(self) -> Pairs:
        """Tables over the bonds and sites of its lattice, states in the order −1, +1."""
        bonds = self.J[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
        return Pairs(self.lattice, 2, bonds, self.h[:, None] * np.array([-1.0, 1.0]))

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Pairwise:
        """The system that :meth:`to_dict` described."""
        return cls(lattices.from_dict(description["lattice"]), description["J"], description["h"], name=description["name"])

    def __repr__(self) -> str:
        return f"{self.name}(shape={self.lattice.shape}, {self.lattice.n_bonds} bonds)"


@overload
def Ising(
    shape: int | Sequence[int] | Lattice, J: Any = 1.0, h: Any = 0.0, *, periodic: bool = True, magnetization: None = None
) -> Pairwise: ...
@overload
def Ising(
    shape: int | Sequence[int] | Lattice, J: Any = 1.0, h: Any = 0.0, *, periodic: bool = True, magnetization: int
) -> FixedMagnetization: ...
def Ising(
    shape: int | Sequence[int] | Lattice, J: Any = 1.0, h: Any = 0.0, *, periodic: bool = True, magnetization: int | None = None
) -> Pairwise | FixedMagnetization:
    """Ising model on a hypercubic lattice (or any lattice given): H = −J Σ⟨ij⟩ σ_i σ_j − Σ h_i σ_i.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        Extents of the hypercubic lattice, or the lattice itself.
    J, h : float or array
        Coupling (one, or one per bond) and field (one, or one per site), in units of energy.
    periodic : bool
        Wrap the boundaries around.
    magnetization : int, optional
        Σσ of all microstates, where it is conserved: :class:`~hamlearn.systems.FixedMagnetization` of the same model.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> ising = Ising((4, 4))
    >>> float(ising.energy(np.ones((4, 4))))  # the ground state: −2J per spin
    -32.0
    >>> Ising((8, 8), magnetization=0)
    FixedMagnetization(Ising(shape=(8, 8), 128 bonds), 0)
    """
    lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
    free = Pairwise(lattice, J, h, name="Ising")
    return free if magnetization is None else FixedMagnetization(free, magnetization)


def EdwardsAnderson(
    shape: int | Sequence[int] | Lattice, seed: int = 0, *, disorder: str = "gaussian", h: Any = 0.0, periodic: bool = True
) -> Pairwise:
    """Edwards–Anderson spin glass: independent random nearest-neighbour couplings.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        Extents of the hypercubic lattice, or the lattice itself.
    seed : int
        Seed of the couplings.
    disorder : {"gaussian", "pm1"}
        J ~ N(0, 1), or ±1 with equal probability.
    h : float or array
        Fields.
    periodic : bool
        Wrap the boundaries around.
    """
    choice(disorder, ("gaussian", "pm1"), "disorder")
    lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
    generator = np.random.default_rng(require_seed(seed))
    J = generator.normal(size=lattice.n_bonds) if disorder == "gaussian" else generator.choice([-1.0, 1.0], lattice.n_bonds)
    return Pairwise(lattice, J, h, name="EdwardsAnderson")


def SherringtonKirkpatrick(n_sites: int, seed: int = 0, *, h: Any = 0.0) -> Pairwise:
    """Sherrington–Kirkpatrick glass: all pairs, J_ij ~ N(0, 1/n_sites)."""
    lattice = lattices.complete(n_sites)
    J = np.random.default_rng(require_seed(seed)).normal(size=lattice.n_bonds) / np.sqrt(n_sites)
    return Pairwise(lattice, J, h, name="SherringtonKirkpatrick")


def WeakStrong() -> Pairwise:
    """The weak–strong clusters of quantum annealing: two K4,4 cells, 16 spins, 36 bonds J = 1.

    The strong cell (sites 0–7) feels h = +1, the weak one (8–15) h = −0.44; four bonds join the cells' central
    nodes. Energies: −40.48 all up, −39.52 cells opposed (a deep local minimum), −31.52 all down.
    """
    cells = [[(cell + left, cell + 4 + right) for left in range(4) for right in range(4)] for cell in (0, 8)]
    bridge = [(4 + node, 8 + node) for node in range(4)]
    fields = np.repeat([1.0, -0.44], 8)
    return Pairwise(np.array(cells[0] + cells[1] + bridge), 1.0, fields, name="WeakStrong")
