"""Real fields with a nearest-neighbour coupling of any strength and sign, and any polynomial as local potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, as_site_axes
from hamlearn.systems.confinement import COUPLINGS
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.potentials import Polynomial
from hamlearn.systems.scalar import ScalarField


@dataclass(frozen=True, eq=False, init=False)
class PolynomialField:
    """S = Σ_x [κ/2 Σ_μ (φ_{x+μ} − φ_x)² + c₁ φ_x + c₂ φ_x² + …] on a hypercubic lattice.

    With ``coupling="product"`` the neighbour term is −κ Σ_μ φ_{x+μ} φ_x.

    Parameters
    ----------
    shape : int, sequence of int or Lattice
        Extents, or the lattice itself (Σ_μ is then the sum over its bonds).
    c : sequence of float
        Coefficients of φ, φ², …; the leading one must be of even power and positive.
    kinetic : float
        κ, of either sign.
    periodic : bool
        Wrap the boundaries around.
    coupling : {"difference", "product"}
        As for :class:`~hamlearn.systems.ScalarField`. On an open lattice the two are different families: sites at the
        boundary have fewer neighbours, so (φ_{x+μ} − φ_x)² gives them another φ².

    Raises
    ------
    HamlearnError
        If nothing confines the field: the leading power is odd or its coefficient not positive, or it is the second
        and the quadratic form of all sites is not positive definite.

    Examples
    --------
    >>> field = PolynomialField((4, 4), [0, 0.5, 0, 0.5])  # ScalarField((4, 4), m2=1.0, lam=0.5)
    >>> float(field.energy(np.ones((4, 4))))
    16.0
    """

    lattice: Lattice
    potential: Polynomial
    kinetic: float
    coupling: str

    def __init__(
        self,
        shape: int | Sequence[int] | Lattice,
        c: Any,
        kinetic: float = 1.0,
        *,
        periodic: bool = True,
        coupling: str = "difference",
    ) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
        if not isinstance(kinetic, int | float | np.number) or not np.isfinite(kinetic):
            raise HamlearnError(f"kinetic must be a finite number; got {kinetic!r}.")
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "potential", Polynomial(c))
        object.__setattr__(self, "kinetic", float(kinetic))
        object.__setattr__(self, "coupling", choice(coupling, COUPLINGS, "coupling"))
        if not any(self.potential.c[2:]) and (kinetic < 0 or coupling == "product"):
            lowest = self._lowest_mode()
            if lowest <= 1e-12:
                raise HamlearnError(
                    f"these coefficients do not confine the field: a mode has curvature {lowest:.4g} <= 0. "
                    "Give a larger c of the second power, or a positive fourth one."
                )

    def _lowest_mode(self) -> float:
        """Smallest eigenvalue of the quadratic form of all sites; beyond 1024 sites a lower bound of it (Gershgorin)."""
        n, (first, second), degree = self.lattice.n_sites, self.lattice.bonds.T, np.asarray(self.lattice.degree)
        own = self.kinetic * degree if self.coupling == "difference" else np.zeros(n)
        if n > 1024:
            return float((own - abs(self.kinetic) * degree).min() + 2 * self.potential.c[1])
        matrix = np.diag(own + 2 * self.potential.c[1])
        np.add.at(matrix, (first, second), -self.kinetic)
        np.add.at(matrix, (second, first), -self.kinetic)
        return float(np.linalg.eigvalsh(matrix)[0])

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
        return self.kinetic * xp.sum(_pairs(here, there, self.coupling), axis=-1) + xp.sum(self.potential(flat), axis=-1)

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """βS."""
        return beta * self.energy(states)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "kind": "polynomial_field",
            "lattice": self.lattice.to_dict(),
            "c": list(self.potential.c),
            "kinetic": self.kinetic,
            "coupling": self.coupling,
        }

    def __repr__(self) -> str:
        coupling = "" if self.coupling == "difference" else f", coupling={self.coupling!r}"
        return f"PolynomialField(shape={tuple(self.lattice.shape)}, c={self.potential.c}, kinetic={self.kinetic:g}{coupling})"


def polynomial_field_from_dict(description: Mapping[str, Any]) -> PolynomialField:
    """The field that :meth:`PolynomialField.to_dict` described."""
    coupling = description.get("coupling", "difference")  # files of earlier versions know differences only
    return PolynomialField(lattices.from_dict(description["lattice"]), description["c"], description["kinetic"], coupling=coupling)


def _pairs(here: Any, there: Any, coupling: str) -> Any:
    """What κ multiplies, for every bond."""
    return 0.5 * (there - here) ** 2 if coupling == "difference" else -here * there


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
    coupling : {"difference", "product"}
        Of all.
    """

    lattice: Lattice
    kinetic: np.ndarray
    c: np.ndarray
    coupling: str = "difference"
    space: Space = REALS
    pure_jax: bool = True

    @classmethod
    def of(cls, fields: Sequence[PolynomialField | ScalarField], betas: Sequence[float]) -> FieldStack:
        """Entry ``m * len(betas) + k`` is field m at ``betas[k]``."""
        rows, kinetic = [], []
        coupling = fields[0].coupling if len({field.coupling for field in fields}) == 1 else "difference"
        for field in fields:
            found = as_polynomial(field, coupling)
            for beta in betas:
                rows.append(beta * np.array(found.potential.c))
                kinetic.append(beta * found.kinetic)
        width = max(len(row) for row in rows)
        stacked = np.stack([np.pad(row, (0, width - len(row))) for row in rows])
        return cls(fields[0].lattice, np.array(kinetic), stacked, coupling)

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
        return kinetic * xp.sum(_pairs(here, there, self.coupling), axis=-1) + xp.sum(value, axis=-1)

    def energy(self, states: Any) -> Any:
        """The action of the first entry; a stack has no energy of its own."""
        return self.action(states, 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        lists = {"kinetic": self.kinetic.tolist(), "c": self.c.tolist(), "coupling": self.coupling}
        return {"kind": "field_stack", "lattice": self.lattice.to_dict(), **lists}


def as_polynomial(field: PolynomialField | ScalarField, coupling: str | None = None) -> PolynomialField:
    """Any scalar field with a polynomial potential in the one form; with another `coupling` where every site has as many neighbours."""
    if isinstance(field, ScalarField):
        c = [0.0, 0.5 * field.m2, 0.0, field.lam][: 4 if field.lam else 2]
        field = PolynomialField(field.lattice, c, 1.0, coupling=field.coupling)
    if coupling in (None, field.coupling):
        return field
    degree = np.asarray(field.lattice.degree)
    if np.ptp(degree):
        raise HamlearnError("on an open lattice differences and products of neighbours differ by more than a uniform potential.")
    c = [*field.potential.c, *[0.0] * (2 - len(field.potential.c))]
    c[1] += (0.5 if coupling == "product" else -0.5) * field.kinetic * float(degree[0])
    return PolynomialField(field.lattice, c, field.kinetic, coupling=str(coupling))
