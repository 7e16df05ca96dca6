"""Real fields with a nearest-neighbour coupling of any strength and any polynomial as local potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, as_site_axes
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.potentials import Polynomial
from hamlearn.systems.scalar import ScalarField


@dataclass(frozen=True, eq=False, init=False)
class PolynomialField:
    """S = Σ_x [κ/2 Σ_μ (φ_{x+μ} − φ_x)² + c₁ φ_x + c₂ φ_x² + …] on a hypercubic lattice.

    Parameters
    ----------
    shape : int, sequence of int or Lattice
        Extents, or the lattice itself (Σ_μ is then the sum over its bonds).
    c : sequence of float
        Coefficients of φ, φ², …; the leading one must confine the field.
    kinetic : float
        κ ≥ 0.
    periodic : bool
        Wrap the boundaries around.

    Raises
    ------
    HamlearnError
        If the polynomial does not confine the field or κ is negative.

    Examples
    --------
    >>> field = PolynomialField((4, 4), [0, 0.5, 0, 0.5])  # ScalarField((4, 4), m2=1.0, lam=0.5)
    >>> float(field.energy(np.ones((4, 4))))
    16.0
    """

    lattice: Lattice
    potential: Polynomial
    kinetic: float

    def __init__(self, shape: int | Sequence[int] | Lattice, c: Any, kinetic: float = 1.0, *, periodic: bool = True) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
        if not isinstance(kinetic, int | float | np.number) or not np.isfinite(kinetic) or kinetic < 0:
            raise HamlearnError(f"kinetic must be a finite number >= 0; got {kinetic!r}.")
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "potential", Polynomial(c))
        object.__setattr__(self, "kinetic", float(kinetic))

    @property
    def space(self) -> Space:
        """Real numbers."""
        return REALS

    @property
    def pure_jax(self) -> bool:
        """The jitted samplers may step it."""
        return True

    @property
    def even(self) -> bool:
        """Whether φ → −φ is a symmetry of the action."""
        return not any(self.potential.c[::2])

    def energy(self, states: Any) -> Any:
        """S of fields ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``."""
        xp, states = as_reals(states)
        flat = as_site_axes(states, self.lattice.shape)
        here, there = (xp.take(flat, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        return 0.5 * self.kinetic * xp.sum((there - here) ** 2, axis=-1) + xp.sum(self.potential(flat), axis=-1)

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """βS."""
        return beta * self.energy(states)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "polynomial_field", "lattice": self.lattice.to_dict(), "c": list(self.potential.c), "kinetic": self.kinetic}

    def __repr__(self) -> str:
        return f"PolynomialField(shape={tuple(self.lattice.shape)}, c={self.potential.c}, kinetic={self.kinetic:g})"


def polynomial_field_from_dict(description: Mapping[str, Any]) -> PolynomialField:
    """The field that :meth:`PolynomialField.to_dict` described."""
    return PolynomialField(lattices.from_dict(description["lattice"]), description["c"], description["kinetic"])


@dataclass(frozen=True, eq=False)
class FieldStack:
    """Many polynomial fields as one system, so that the members of a posterior share one compiled simulation.

    ``action(states, k)`` is the action of entry k − 1: what is a temperature to a sampler is a number of an entry here.

    Attributes
    ----------
    lattice : Lattice
        Sites of all.
    kinetic : array (n,)
        β κ of every entry.
    c : array (n, powers)
        β c of every entry.
    """

    lattice: Lattice
    kinetic: np.ndarray
    c: np.ndarray
    space: Space = REALS
    pure_jax: bool = True

    @classmethod
    def of(cls, fields: Sequence[PolynomialField | ScalarField], betas: Sequence[float]) -> FieldStack:
        """Entry ``m * len(betas) + k`` is field m at ``betas[k]``."""
        rows, kinetic = [], []
        for field in fields:
            found = as_polynomial(field)
            for beta in betas:
                rows.append(beta * np.array(found.potential.c))
                kinetic.append(beta * found.kinetic)
        width = max(len(row) for row in rows)
        return cls(fields[0].lattice, np.array(kinetic), np.stack([np.pad(row, (0, width - len(row))) for row in rows]))

    @property
    def even(self) -> bool:
        """Whether φ → −φ is a symmetry of every entry."""
        return not np.any(self.c[:, ::2])

    def action(self, states: Any, beta: Any) -> Any:
        """Action of entry ``beta − 1``."""
        xp = array_namespace(states)
        entry = xp.astype(xp.asarray(beta), xp.asarray(0).dtype) - 1
        kinetic, c = xp.asarray(self.kinetic)[entry], xp.asarray(self.c)[entry]
        flat = as_site_axes(states, self.lattice.shape)
        here, there = (xp.take(flat, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        value = 0.0 * flat
        for k in range(self.c.shape[1] - 1, -1, -1):
            value = (value + c[k]) * flat
        return 0.5 * kinetic * xp.sum((there - here) ** 2, axis=-1) + xp.sum(value, axis=-1)

    def energy(self, states: Any) -> Any:
        """The action of the first entry; a stack has no energy of its own."""
        return self.action(states, 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "field_stack", "lattice": self.lattice.to_dict(), "kinetic": self.kinetic.tolist(), "c": self.c.tolist()}


def as_polynomial(field: PolynomialField | ScalarField) -> PolynomialField:
    """Any scalar field with a polynomial potential in the one form."""
    if isinstance(field, PolynomialField):
        return field
    degree = np.asarray(field.lattice.degree)
    shift = 0.0 if field.coupling == "difference" else -0.5 * float(degree[0])
    if shift and np.ptp(degree):
        raise HamlearnError("coupling='product' on an open lattice has no uniform local potential.")
    return PolynomialField(field.lattice, [0.0, 0.5 * field.m2 + shift, 0.0, field.lam][: 4 if field.lam else 2], 1.0)
