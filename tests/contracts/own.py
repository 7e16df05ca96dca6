"""Systems and families of a user's own, twenty lines each, which the package knows nothing of: they go through every verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hamlearn as hl
from hamlearn.systems import REALS, SPINS, Lattice, ParametricSystem, Space
from hamlearn.systems.base import as_reals, as_site_axes


@dataclass(frozen=True, eq=False)
class Corners(ParametricSystem, kind="corners of a test"):
    """Pairs, and three spins around a corner, of a periodic square: H = −Σ (J σ (σ_right + σ_down) + K σ σ_right σ_down + h σ)."""

    lattice: Lattice
    J: float
    K: float
    h: float
    space: Space = SPINS

    def energy(self, states: Any) -> Any:
        xp, s = as_reals(states)
        s = as_site_axes(s, self.lattice.shape)
        s = xp.reshape(s, (*s.shape[:-1], *self.lattice.shape))
        right, down = xp.roll(s, -1, axis=-1), xp.roll(s, -1, axis=-2)
        return -xp.sum(self.J * s * (right + down) + self.K * s * right * down + self.h * s, axis=(-2, -1))


@dataclass(frozen=True, eq=False, repr=False)
class CornerFamily(hl.models.Family, kind="corners of a test"):
    """The unknowns of :class:`Corners`, whose triple term may be known."""

    known: float | None = None

    def system(self, lattice: Lattice, J: Any, h: Any, K: Any) -> Corners:
        return Corners(lattice, J, K if self.known is None else self.known, h)


@dataclass(frozen=True, eq=False)
class Washboard(ParametricSystem, kind="washboard of a test"):
    """A chain of reals, S = Σ ½ (φ' − φ)² + ½ m φ² + g cos(k φ), in which the wave number is no strength."""

    lattice: Lattice
    m: float
    g: float
    k: float
    space: Space = REALS

    def energy(self, states: Any) -> Any:
        xp, phi = as_reals(states)
        step = xp.roll(phi, -1, axis=-1) - phi
        return xp.sum(0.5 * step**2 + 0.5 * self.m * phi**2 + self.g * xp.cos(self.k * phi), axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class WashboardFamily(hl.models.Family, kind="washboard of a test"):
    """Two strengths and a wave number."""

    def system(self, lattice: Lattice, m: Any, g: Any, k: Any) -> Washboard:
        return Washboard(lattice, m, g, k)

    def start(self, lattice: Lattice) -> dict[str, float]:
        return {"m": 1.0, "g": 0.5, "k": 2.0}
