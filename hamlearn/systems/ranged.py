"""Real fields and paths with neighbour terms at several distances along every axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, as_site_axes
from hamlearn.systems.confinement import COUPLINGS, lowest_curvature
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.polynomial import FieldStack, PolynomialField
from hamlearn.systems.potentials import Polynomial
from hamlearn.systems.scalar import ScalarField


@dataclass(frozen=True, eq=False)
class RangedField:
    """S = u Σ_r κ_r/2 Σ_μ Σ_x (φ_{x+rμ} − φ_x)² + v Σ_x (c₁ φ_x + c₂ φ_x² + …), with distances r = 1 … R.

    With ``coupling="product"`` the neighbour terms are −κ_r φ_{x+rμ} φ_x. A field at β has u = v = β; an
    imaginary-time path u = 1/a and v = a, the width of a time slice.

    Parameters
    ----------
    shape : tuple of int
        Extents of a hypercubic lattice, each at least 2R.
    kinetic : sequence of float (R,)
        κ_1 … κ_R, of either sign.
    c : sequence of float
        Coefficients of φ, φ², …; the leading one must confine the field.
    path : bool
        Whether it is an imaginary-time path (one axis).
    a : float, optional
        Width of a path's time slices; β/N_τ by default.
    periodic : bool
        Wrap the boundaries around.
    coupling : {"difference", "product"}
        The form of the neighbour terms.

    Raises
    ------
    HamlearnError
        If the field is not confined, axes are too short, or a path has more than one.

    Notes
    -----
    No oracle knows it, so it is simulated by hybrid Monte Carlo. It is what a learned
    ``PolynomialAction(range=R)`` becomes.

    Examples
    --------
    >>> field = RangedField((6,), [1.0, -0.2], [0, 0.5])
    >>> float(field.action(np.array([1.0, 0, 0, 0, 0, 0]), 2.0))  # 2 (1 - 0.2 + 0.5)
    2.6
    """

    shape: tuple[int, ...]
    kinetic: Sequence[float]
    c: Sequence[float]
    path: bool = False
    a: float | None = None
    periodic: bool = True
    coupling: str = "difference"

    def __post_init__(self) -> None:
        choice(self.coupling, COUPLINGS, "coupling")
        for name in ("kinetic", "c"):
            object.__setattr__(self, name, tuple(float(one) for one in getattr(self, name)))
        object.__setattr__(self, "shape", tuple(int(extent) for extent in self.shape))
        if min(self.shape) < 2 * len(self.kinetic) or not self.kinetic or not np.all(np.isfinite(self.kinetic)):
            raise HamlearnError(
                f"kinetic must hold finite numbers for distances 1 … R with 2R at most the shortest of {self.shape}; got {self.kinetic}."
            )
        if self.path and len(self.shape) != 1:
            raise HamlearnError(f"a path has one axis of time slices; got shape {self.shape}.")
        if self.a is not None and not (self.path and self.a > 0):
            raise HamlearnError(f"a, the width of a time slice, is a number > 0 and for paths only; got a={self.a!r}, path={self.path}.")
        if len(self.potential.c) <= 2 or not any(self.potential.c[2:]):
            self._require_positive_modes()

    def _require_positive_modes(self) -> None:
        """A Gaussian with κ_r of either sign is confined only if every mode is."""
        kinetic, curvature = np.array(self.kinetic), 2 * self.potential.c[1]
        if self.path and self.a is None:
            # u/v = 1/a² runs with β, so every mode must be confined by itself.
            if lowest_curvature(self.shape, kinetic, self.coupling, periodic=self.periodic) < -1e-12:
                raise HamlearnError("a path with a quadratic potential and negative neighbour terms is confined at some beta only: give a.")
            return
        u, v = (1 / self.a, self.a) if self.a is not None else (1.0, 1.0)
        lowest = u * float(lowest_curvature(self.shape, kinetic, self.coupling, periodic=self.periodic)) + v * curvature
        if lowest <= 0:
            raise HamlearnError(f"these neighbour terms {self.kinetic} do not confine the field: a mode has curvature {lowest:.4g} <= 0.")

    @cached_property
    def potential(self) -> Polynomial:
        """The polynomial of c."""
        return Polynomial(self.c)

    @cached_property
    def lattice(self) -> Lattice:
        """Sites and nearest neighbours."""
        return lattices.hypercubic(self.shape, periodic=self.periodic)

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
        return not any(self.c[::2])

    def _parts(self, states: Any) -> tuple[Any, Any]:
        """Σ_r κ_r/2 Σ (Δ_r φ)² and Σ V(φ), each ``(...)``."""
        xp, real = as_reals(states)
        flat = as_site_axes(real, self.lattice.shape)
        x = xp.reshape(flat, (*flat.shape[:-1], *self.shape))
        axes = tuple(range(-len(self.shape), 0))
        return _bent(xp, x, self.kinetic, len(axes), self.periodic, self.coupling), xp.sum(self.potential(x), axis=axes)

    def factors(self, beta: float) -> tuple[float, float]:
        """The scales u and v at β."""
        if not self.path:
            return beta, beta
        width = beta / self.shape[0] if self.a is None else self.a
        return 1 / width, width

    def energy(self, states: Any) -> Any:
        """The action of a field at β = 1; of a path its mean potential energy, as for :class:`.Path`."""
        bent, local = self._parts(states)
        return local / self.shape[0] if self.path else bent + local

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """S of states ``(..., *shape)`` (or flat) at β, shape ``(...)``."""
        bent, local = self._parts(states)
        u, v = self.factors(beta)
        return u * bent + v * local

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        names = ("shape", "kinetic", "c", "path", "a", "periodic", "coupling")
        return {
            "kind": "ranged_field",
            **{name: list(found) if isinstance(found := getattr(self, name), tuple) else found for name in names},
        }

    def __repr__(self) -> str:
        return f"RangedField(shape={self.shape}, kinetic={self.kinetic}, c={self.c})"


def _bent(xp: Any, x: Any, strengths: Any, axes: int, periodic: bool, coupling: str) -> Any:
    """Σ_r κ_r/2 Σ (Δ_r φ)², or −Σ_r κ_r Σ φ φ_r, of fields whose last axes are sites."""
    total: Any = 0.0
    for axis in range(-axes, 0):
        for r in range(1, len(strengths) + 1):
            ahead = xp.roll(x, -r, axis=axis)
            pair = 0.5 * (ahead - x) ** 2 if coupling == "difference" else -ahead * x
            if not periodic:  # the last r sites have nobody ahead
                pair = xp.moveaxis(pair, axis, -1)[..., : x.shape[axis] - r]
            total = total + strengths[r - 1] * xp.sum(pair, axis=tuple(range(-axes, 0)))
    return total


@dataclass(frozen=True, eq=False)
class RangedStack:
    """Many of them as one system, as :class:`.FieldStack` is for fields: ``action(states, k)`` is that of entry k − 1.

    Attributes
    ----------
    first : RangedField
        Its sites are those of all.
    kinetic, c : arrays (n, R), (n, powers)
        u κ and v c of every entry.
    """

    first: RangedField
    kinetic: np.ndarray
    c: np.ndarray
    space: Space = REALS
    pure_jax: bool = True

    @classmethod
    def of(cls, fields: Sequence[RangedField], betas: Sequence[float]) -> RangedStack:
        """Entry ``m * len(betas) + k`` is field m at ``betas[k]``."""
        pairs = [(field, *field.factors(beta)) for field in fields for beta in betas]
        kinetic = np.array([u * np.array(field.kinetic) for field, u, _ in pairs])
        return cls(fields[0], kinetic, np.array([v * np.array(field.c) for field, _, v in pairs]))

    @property
    def lattice(self) -> Lattice:
        """Sites of all."""
        return self.first.lattice

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
        value = 0.0 * flat
        for k in range(self.c.shape[1] - 1, -1, -1):
            value = (value + c[k]) * flat
        x = xp.reshape(flat, (*flat.shape[:-1], *self.first.shape))
        strengths = [kinetic[r] for r in range(self.kinetic.shape[1])]
        bent = _bent(xp, x, strengths, len(self.first.shape), self.first.periodic, self.first.coupling)
        return bent + xp.sum(value, axis=-1)

    def energy(self, states: Any) -> Any:
        """The action of the first entry; a stack has no energy of its own."""
        return self.action(states, 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "ranged_stack", "first": self.first.to_dict(), "kinetic": self.kinetic.tolist(), "c": self.c.tolist()}


def stack_of(systems: Sequence[Any], betas: Sequence[float]) -> FieldStack | RangedStack | None:
    """All systems at all temperatures as one that is compiled once; None where they are not fields of one kind."""
    if all(isinstance(system, PolynomialField | ScalarField) for system in systems):
        return FieldStack.of(systems, betas)
    if all(isinstance(system, RangedField) for system in systems):
        return RangedStack.of(systems, betas)
    return None


def ranged_field_from_dict(description: Mapping[str, Any]) -> RangedField:
    """The field that :meth:`RangedField.to_dict` described."""
    return RangedField(**{name: value for name, value in description.items() if name != "kind"})
