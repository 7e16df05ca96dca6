"""A system of ±1 spins whose magnetization is fixed: alloys, lattice gases, binary mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hamlearn.errors import HamlearnError
from hamlearn.spaces import Spins
from hamlearn.systems.base import Space, System
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs
from hamlearn.systems.parametric import ParametricSystem


@dataclass(frozen=True, eq=False)
class FixedMagnetization(ParametricSystem, kind="fixed_magnetization", structure=("magnetization",)):
    """Another system of ±1 spins, restricted to the states with one sum of spins.

    Energies are those of the other system; its space says what is fixed, and whoever draws, starts, checks or counts states asks it.
    Its tables are those of the other system too; what sums over all states asks the space first.
    "auto" draws exactly where the energy is known as tables and at most 2**16 states of free sites (4×4) have to be listed, and by
    Kawasaki exchange otherwise (:class:`hamlearn.systems.sampling.kawasaki.Kawasaki`).

    Parameters
    ----------
    system : System
        Of ±1 spins: pair couplings, tables, or anything with an energy.
    magnetization : int
        Σσ of every state.

    Raises
    ------
    HamlearnError
        If the sites are no spins, their sum is fixed already, or no state has this one.

    Examples
    --------
    >>> import hamlearn as hl
    >>> mixture = hl.systems.FixedMagnetization(hl.systems.Ising((8, 8)), 0)
    >>> data = hl.simulate(mixture, beta=0.5, draws=5, chains=2, burn_in=20)
    >>> data.attrs["sampler"], data.attrs["magnetization"], int(abs(data.state.sum(("x0", "x1"))).max())
    ('kawasaki', 0, 0)
    """

    system: System
    magnetization: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.system, System) or not self.system.space.binary or self.system.space.constraint:
            raise HamlearnError(f"FixedMagnetization restricts a system of ±1 spins whose sum is free; got {self.system!r}.")
        space = Spins(magnetization=self.magnetization)
        space.ups(self.system.lattice.n_sites)
        object.__setattr__(self, "magnetization", space.magnetization)

    @property
    def lattice(self) -> Lattice:
        """Its sites and bonds."""
        return self.system.lattice

    @property
    def space(self) -> Space:
        """±1 spins with a fixed sum."""
        return Spins(magnetization=self.magnetization)

    @property
    def pure_jax(self) -> bool:
        """As of the system within."""
        return self.system.pure_jax

    def energy(self, states: Any) -> Any:
        """Energy of spins ``(..., *lattice.shape)``; that they have the right sum is for the space to check."""
        return self.system.energy(states)

    def action(self, states: Any, beta: float) -> Any:
        """As of the system within."""
        return self.system.action(states, beta)

    @property
    def pairs(self) -> Pairs | None:
        """As of the system within."""
        return self.system.pairs

    @property
    def windows(self) -> InteractionTables | None:
        """As of the system within."""
        return self.system.windows

    def __repr__(self) -> str:
        return f"FixedMagnetization({self.system!r}, {self.magnetization})"
