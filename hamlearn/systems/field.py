"""Real fields with neighbour terms at any distances and any polynomial as local potential: one system for all of them.

:func:`ScalarField` (φ⁴ theory), :func:`PolynomialField` and :func:`RangedField` are ways of writing a :class:`Field`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, as_site_axes
from hamlearn.systems.confinement import COUPLINGS, lowest_curvature
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import ParametricSystem
from hamlearn.systems.path import Path
from hamlearn.systems.potentials import Polynomial

_MOST_SITES = 1024  # of a graph whose quadratic form is diagonalised; beyond, its spectrum is bounded


@dataclass(frozen=True, eq=False, init=False)
class Field(ParametricSystem, kind="field", structure=("coupling", "path")):
    """S = u Σ_r κ_r/2 Σ (φ_y − φ_x)² + v Σ_x V(φ_x), the first sum over all pairs x, y at distance r = 1 … R along an axis.

    With ``coupling="product"`` the neighbour terms are −κ_r φ_y φ_x. A field at β has u = v = β; an imaginary-time path u = 1/a and
    v = a, the width of a time slice. A path of several axes is a thermal field (:func:`ThermalField`): the first axis is imaginary
    time, and along the others, which are space, neighbour terms γ_r stand beside V, with v: S = K/β + βV with gradients in V.

    Parameters
    ----------
    shape : int, sequence of int or Lattice
        Extents of a hypercubic lattice, each at least 2R; or with one distance any lattice, whose bonds are the pairs.
    kinetic : float or sequence of float (R,)
        κ_1 … κ_R, of either sign.
    c : sequence of float, or Polynomial
        Coefficients of φ, φ², … in V; the leading one must confine the field.
    periodic : bool
        Wrap the boundaries around; for extents only.
    coupling : {"difference", "product"}
        As above. On an open lattice the two are different families: sites at the boundary have fewer neighbours.
    path : bool
        Whether the first axis is imaginary time.
    a : float, optional
        Width of a path's time slices; β/N_τ by default.
    gradient : float or sequence of float, optional
        γ_1, γ_2, …, of a path with axes of space.
    name : str
        What `repr` calls it.

    Raises
    ------
    HamlearnError
        If the field is not confined (the leading power is odd or its coefficient not positive, or it is the second and the quadratic
        form of all sites is not positive definite), axes are too short, or a path has axes of space without `gradient`.

    Notes
    -----
    log Z uses the plain measure Π dφ_x. Free fields on periodic lattices are solved in closed form, paths of one distance by
    the transfer operator; everything else is simulated by hybrid Monte Carlo.

    Examples
    --------
    >>> field = Field((6,), [1.0, -0.2], [0, 0.5])
    >>> float(field.action(np.array([1.0, 0, 0, 0, 0, 0]), 2.0))  # 2 (1 − 0.2 + 0.5)
    2.6
    """

    lattice: Lattice
    kinetic: np.ndarray
    potential: Polynomial
    coupling: str
    path: bool
    a: float | None
    gradient: np.ndarray
    name: str

    def __init__(
        self,
        shape: int | Sequence[int] | Lattice,
        kinetic: Any,
        c: Any,
        *,
        periodic: bool = True,
        coupling: str = "difference",
        path: bool = False,
        a: float | None = None,
        gradient: Any = None,
        name: str = "Field",
    ) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
        strengths = _strengths(kinetic, lattice)
        if (gradient is not None) != (bool(path) and len(lattice.shape) > 1) or (path and lattice.kind != "hypercubic"):
            raise HamlearnError(
                "a path has one axis of time slices, or with gradient= axes of space after it (a thermal field), all hypercubic; got "
                f"{lattice.kind} {lattice.shape}, path={path}, gradient={gradient!r}."
            )
        if a is not None and not (path and isinstance(a, int | float | np.number) and 0 < float(a) < np.inf):
            raise HamlearnError(f"a, the width of a time slice, is a number > 0 and for paths only; got a={a!r}, path={path}.")
        values: dict[str, Any] = {"lattice": lattice, "kinetic": strengths, "a": None if a is None else float(a), "path": bool(path)}
        values |= {"potential": c if isinstance(c, Polynomial) else Polynomial(c), "coupling": choice(coupling, COUPLINGS, "coupling")}
        values["gradient"] = np.zeros(0) if gradient is None else _strengths(gradient, lattice)
        for key, value in (values | {"name": name}).items():
            object.__setattr__(self, key, value)
        if not any(self.potential.c[2:]):
            self._require_positive_modes()

    @property
    def space(self) -> Space:
        """Real numbers."""
        return REALS

    @cached_property
    def even(self) -> bool:
        """Whether φ → −φ is a symmetry of the action."""
        return not any(self.potential.c[::2])

    @property
    def free(self) -> bool:
        """Whether the action is an even quadratic form: a Gaussian."""
        return not any(self.potential.c[2:]) and not self.potential.c[0]

    @property
    def lattice_field(self) -> Field:
        """Itself: what momenta are asked of."""
        return self

    @property
    def slice_width(self) -> float | None:
        """The width that was given."""
        return self.a

    @property
    def thermal_field(self) -> bool:
        """Whether it is a path with axes of space."""
        return len(self.gradient) > 0

    @property
    def nearest_path(self) -> Path | None:
        """The same path as a :class:`.Path`, where it is one and neighbours are one slice apart: what the transfer operator asks for."""
        if (
            not self.path
            or len(self.lattice.shape) > 1
            or len(self.kinetic) > 1
            or self.coupling != "difference"
            or self.kinetic[0] <= 0
            or self.lattice.kind != "hypercubic"
        ):
            return None
        return Path(self.lattice.n_sites, self.potential, float(self.kinetic[0]), self.a, self.lattice.periodic)

    def factors(self, beta: Any) -> tuple[Any, Any]:
        """The scales u and v at β."""
        if not self.path:
            return beta, beta
        width = beta / self.lattice.shape[0] if self.a is None else self.a
        return 1 / width, width

    def parts(self, states: Any) -> tuple[Any, Any]:
        """What u and v multiply, neighbour terms and potential energy, of fields ``(..., *lattice.shape)`` (or flat), each ``(...)``."""
        xp, real = as_reals(states)
        flat = as_site_axes(real, self.lattice.shape)
        pairs, gradients = self._neighbours(xp, flat)
        return pairs, xp.sum(self.potential(flat), axis=-1) + gradients

    def energy(self, states: Any) -> Any:
        """The action of a field at β = 1; of a path its potential energy, averaged over time, as for :class:`.Path`."""
        pairs, local = self.parts(states)
        return local / self.lattice.shape[0] if self.path else pairs + local

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """S of fields ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``) at β, shape ``(...)``."""
        pairs, local = self.parts(states)
        u, v = self.factors(beta)
        return u * pairs + v * local

    def thermal(self, states: Any, beta: float) -> tuple[Any, Any]:
        """Estimates of the thermal energy U of a path's particle or quantum field and of its slope, of every microstate ``(...)``.

        The mean of the first is U = −∂ ln Z/∂β with the factor (κ/2πa)^(N/2) of the path integral: ∂S/∂β + N/2β = (v V − u K + N/2)/β;
        ∂U/∂β = ⟨second⟩ − Var(first).
        """
        pairs, local = self.parts(states)
        u, v = self.factors(beta)
        half = self.lattice.n_sites / 2
        return (v * local - u * pairs + half) / beta, (2 * u * pairs - half) / beta**2

    @property
    def terms(self) -> tuple[tuple[np.ndarray, tuple[int, ...]], tuple[np.ndarray, tuple[int, ...]]]:
        """The strengths of the neighbour terms that u multiplies, and of those that v does, each with the axes that they go along."""
        axes = tuple(range(len(self.lattice.shape)))
        return (self.kinetic, axes[:1] if self.path else axes), (self.gradient, axes[1:])

    def _neighbours(self, xp: Any, flat: Any) -> tuple[Any, Any]:
        """The neighbour terms that u multiplies, and those that v does."""
        lattice = self.lattice
        if not self.path and (lattice.kind != "hypercubic" or (not lattice.periodic and len(self.kinetic) == 1)):
            ends = (xp.take(flat, xp.asarray(lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
            return self.kinetic[0] * xp.sum(self._pair(*ends), axis=-1), 0.0
        x = xp.reshape(flat, (*flat.shape[:-1], *lattice.shape))
        kinetic, gradient = (self._along(xp, x, *term) for term in self.terms)
        return kinetic, gradient

    def _along(self, xp: Any, x: Any, strengths: Any, axes: tuple[int, ...]) -> Any:
        """Σ_r κ_r Σ (the pair term) along some axes: rolls, which accelerators like."""
        shape, total = self.lattice.shape, 0.0
        sites = tuple(range(-len(shape), 0))
        for axis in axes:
            if shape[axis] == 1:
                continue  # no neighbours
            for r in range(1, len(strengths) + 1):
                pair = self._pair(x, xp.roll(x, -r, axis=axis - len(shape)))
                if not self.lattice.periodic:  # the last r sites have nobody ahead
                    pair = xp.moveaxis(pair, axis - len(shape), -1)[..., : shape[axis] - r]
                total = total + strengths[r - 1] * xp.sum(pair, axis=sites)
        return total

    def _pair(self, here: Any, there: Any) -> Any:
        return 0.5 * (there - here) ** 2 if self.coupling == "difference" else -here * there

    def quadratic_form(self, beta: float = 1.0) -> np.ndarray:
        """The matrix A of S = ½ φᵀAφ + (terms of other powers) at β, shape ``(n_sites, n_sites)``."""
        u, v = self.factors(beta)
        unit = np.eye(self.lattice.n_sites)
        pairs = lambda x: (both := self._neighbours(np, x))[0] * u + both[1] * v
        alone = np.asarray(pairs(unit))
        mixed = np.asarray(pairs((unit[:, None] + unit).reshape(-1, len(unit)))).reshape(len(unit), -1) - alone[:, None] - alone
        np.fill_diagonal(mixed, 2 * alone)  # a quadratic form by polarisation
        return mixed + v * 2 * _coefficient(self.potential, 2) * unit

    def _require_positive_modes(self) -> None:
        """A Gaussian with κ_r of either sign is confined only if every mode is."""
        lattice, curvature = self.lattice, 2 * _coefficient(self.potential, 2)
        if lattice.kind == "hypercubic":
            lowest, gradient = (
                float(lowest_curvature([lattice.shape[k] for k in axes], strengths, self.coupling, periodic=lattice.periodic))
                if len(strengths)
                else 0.0
                for strengths, axes in self.terms
            )
            curvature += gradient
        elif lattice.n_sites <= _MOST_SITES:
            lowest = float(np.linalg.eigvalsh(self.quadratic_form())[0]) - curvature
        else:  # Gershgorin
            own = self.kinetic[0] * lattice.degree if self.coupling == "difference" else np.zeros(lattice.n_sites)
            lowest = float((own - abs(self.kinetic[0]) * lattice.degree).min(initial=0.0))
        u, v = self.factors(1.0)
        if self.path and self.a is None:
            if lowest < -1e-12:  # u/v = 1/a² runs with β, so every mode must be confined by itself
                raise HamlearnError("a path with a quadratic potential and negative neighbour terms is confined at some beta only: give a.")
            u = 0.0
        if u * lowest + v * curvature <= 1e-12:
            raise HamlearnError(
                f"these neighbour terms {self.kinetic.tolist()} do not confine the field: a mode has curvature "
                f"{u * lowest + v * curvature:.4g} <= 0. Give a larger c of the second power, or a positive fourth one."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {**super().to_dict(), "potential": list(self.potential.c)}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Field:
        """The field that :meth:`to_dict` described."""
        names = ("coupling", "path", "a", "name")
        given = {name: description[name] for name in names} | {"gradient": description.get("gradient") or None}  # the first had none
        return cls(lattices.from_dict(description["lattice"]), description["kinetic"], description["potential"], **given)

    def __repr__(self) -> str:
        said = {"periodic": self.lattice.periodic, "coupling": self.coupling, "path": self.path, "a": self.a}
        said["gradient"] = self.gradient.tolist()
        plain = {"periodic": True, "coupling": "difference", "path": False, "a": None, "gradient": []}
        more = "".join(f", {key}={value!r}" for key, value in said.items() if value != plain[key])
        kinetic = self.kinetic[0] if len(self.kinetic) == 1 else self.kinetic.tolist()
        return f"{self.name}(shape={tuple(self.lattice.shape)}, kinetic={kinetic}, c={self.potential.c}{more})"


def _coefficient(potential: Polynomial, power: int) -> float:
    return potential.c[power - 1] if len(potential.c) >= power else 0.0


def _strengths(kinetic: Any, lattice: Lattice) -> np.ndarray:
    try:
        given = np.atleast_1d(np.asarray(kinetic))
        if given.dtype.kind not in "iuf":
            raise TypeError
        found = given.astype(float)
    except (TypeError, ValueError):
        raise HamlearnError(f"kinetic must be a finite number, or several; got {kinetic!r}.") from None
    if found.ndim != 1 or not found.size or not np.all(np.isfinite(found)):
        raise HamlearnError(f"kinetic must be a finite number, or one for every distance 1 … R; got {kinetic!r}.")
    if len(found) > 1 and (lattice.kind != "hypercubic" or min(lattice.shape) < 2 * len(found)):
        raise HamlearnError(
            f"kinetic for distances 1 … R needs a hypercubic lattice with 2R at most its shortest extent; got R = {len(found)} on "
            f"{lattice.kind} {tuple(lattice.shape)}."
        )
    found.setflags(write=False)
    return found


def ScalarField(shape: int | Sequence[int] | Lattice, m2: float, lam: float, periodic: bool = True, coupling: str = "difference") -> Field:
    """Scalar field theory, φ⁴ in any dimension: a :class:`Field` of one distance with κ = 1.

    * ``coupling="difference"``: S = Σ_x [½ Σ_μ (φ_{x+μ} − φ_x)² + ½ m² φ_x² + λ φ_x⁴];
    * ``coupling="product"``: S = Σ_x [−Σ_μ φ_{x+μ} φ_x + ½ m² φ_x² + λ φ_x⁴].

    On a periodic lattice of dimension d the two are the same action where m² of "product" is 2d larger.

    Parameters
    ----------
    shape : int, sequence of int or Lattice
        Extents of the hypercubic lattice (or the lattice itself: Σ_μ is then the sum over its bonds).
    m2 : float
        m², which may be negative where λ > 0.
    lam : float
        λ ≥ 0. Papers that leave out the halves, S = Σ [Σ_μ(Δφ)² + m²φ² + λφ⁴], have a field smaller by √2: their m²
        is ours, their λ is four times ours.
    periodic : bool
        Wrap the boundaries around.
    coupling : {"difference", "product"}
        As above.

    Raises
    ------
    HamlearnError
        If a number is not finite, λ < 0, or λ = 0 and the quadratic form is not positive: nothing confines the field.

    Notes
    -----
    ``action(states, beta)`` is βS; the field theory itself is β = 1.

    Examples
    --------
    >>> field = ScalarField((4, 4), m2=1.0, lam=0.5)
    >>> float(field.energy(np.ones((4, 4))))  # 16 (½ + ½)
    16.0
    """
    require_number(m2, "m2")
    require_number(lam, "lam")
    if lam < 0:
        raise HamlearnError(f"lam must be >= 0, otherwise the field runs away to infinity; got lam={lam!r}.")
    c = [0.0, 0.5 * float(m2), *([0.0, float(lam)] if lam else [])]
    try:
        return Field(shape, 1.0, c, periodic=periodic, coupling=coupling, name="ScalarField")
    except HamlearnError as error:
        if lam or "confine" not in str(error):
            raise
        raise HamlearnError(
            f"with lam=0 the quadratic form must be positive; {error} Give m2 > 0 (coupling='difference'), m2 > twice the dimension "
            "(coupling='product'), or lam > 0."
        ) from None


def PolynomialField(
    shape: int | Sequence[int] | Lattice, c: Any, kinetic: float = 1.0, *, periodic: bool = True, coupling: str = "difference"
) -> Field:
    """S = κ/2 Σ_⟨xy⟩ (φ_y − φ_x)² + Σ_x (c₁ φ_x + c₂ φ_x² + …): a :class:`Field` of one distance.

    Parameters, errors and forms of `coupling` are those of :class:`Field`; `kinetic` is one number of either sign.

    Examples
    --------
    >>> field = PolynomialField((4, 4), [0, 0.5, 0, 0.5])  # ScalarField((4, 4), m2=1.0, lam=0.5)
    >>> float(field.energy(np.ones((4, 4))))
    16.0
    """
    if not isinstance(kinetic, int | float | np.number) or not np.isfinite(kinetic):
        raise HamlearnError(f"kinetic must be a finite number; got {kinetic!r}.")
    return Field(shape, kinetic, c, periodic=periodic, coupling=coupling, name="PolynomialField")


def RangedField(
    shape: Sequence[int],
    kinetic: Sequence[float],
    c: Sequence[float],
    path: bool = False,
    a: float | None = None,
    periodic: bool = True,
    coupling: str = "difference",
) -> Field:
    """A :class:`Field` with neighbour terms at several distances along every axis; `path` makes it an imaginary-time path.

    Examples
    --------
    >>> RangedField((6,), [1.0, -0.2], [0, 0.5])
    RangedField(shape=(6,), kinetic=[1.0, -0.2], c=(0.0, 0.5))
    """
    return Field(shape, kinetic, c, periodic=periodic, coupling=coupling, path=path, a=a, name="RangedField")


def ThermalField(
    shape: Sequence[int], c: Sequence[float] | Polynomial, kinetic: Any = 1.0, gradient: Any = 1.0, *, a: float | None = None
) -> Field:
    """A quantum field at inverse temperature β on a ring of space, as its paths in imaginary time: S = K/β + βV.

    K = N_τ Σ κ/2 (φ_{t+1,x} − φ_{t,x})², V = (1/N_τ) Σ [γ/2 Σ_μ (φ_{t,x+μ} − φ_{t,x})² + c₁ φ + c₂ φ² + …], both free of β: learned at
    some temperatures, known at others (β/N_τ is the width of a time slice; keep it small).

    Parameters
    ----------
    shape : sequence of int
        Time slices N_τ first, then the extents of space; periodic.
    c : sequence of float, or Polynomial
        Coefficients of φ, φ², … in V.
    kinetic, gradient : float or sequence of float
        κ and γ, or one for every distance.
    a : float, optional
        Width of a time slice, where it is not β/N_τ.

    Examples
    --------
    >>> field = ThermalField((8, 4), [0, 0.5])
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> K, V = (float(part) for part in field.parts(x))  # what 1/a and a multiply
    >>> bool(np.isclose(field.action(x, 2.0), 8 * K / 2.0 + 2.0 * V / 8))
    True
    """
    return Field(shape, kinetic, c, path=True, a=a, gradient=gradient, name="ThermalField")


def _of_0_1(description: Mapping[str, Any]) -> Field:
    """Fields as files of 0.1 describe them, in three forms."""
    kind = description["kind"]
    if kind == "ranged_field":
        return RangedField(**{name: value for name, value in description.items() if name != "kind"})
    lattice = lattices.from_dict(description["lattice"])
    coupling = description.get("coupling", "difference")  # the earliest know differences only
    if kind == "scalar":
        return ScalarField(lattice, description["m2"], description["lam"], coupling=coupling)
    return PolynomialField(lattice, description["c"], description["kinetic"], coupling=coupling)


OF_0_1 = {"ranged_field": _of_0_1, "scalar": _of_0_1, "polynomial_field": _of_0_1}

__all__ = ["Field", "PolynomialField", "RangedField", "ScalarField", "ThermalField"]
