"""Polynomial actions with unknown coefficients: imaginary-time paths and scalar fields.

The family is linear in θ = (κ_1 … κ_R, c_p …): S = Σ_k θ_k T_k(x) with the neighbour terms T_r = u Σ (x_{i+r} − x_i)²/2 (or
−u Σ x_{i+r} x_i) and the powers T_p = v Σ x_i^p. For a path u = 1/a and v = a with a the width of a time slice; for a field u = v = β. A
thermal field has u at the neighbours in time, v at those in space and at the powers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.base import Block
from hamlearn.models.priors import Normal, prior_from_dict, prior_to_dict
from hamlearn.models.traits import Model, Traits
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System
from hamlearn.systems.confinement import COUPLINGS, lowest_curvature
from hamlearn.systems.field import Field
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.path import Path
from hamlearn.systems.potentials import Polynomial

FAMILIES = ("auto", "path", "field", "thermal")


@dataclass(frozen=True)
class Flat:
    """No prior information: the posterior is the (calibrated) likelihood itself."""

    sparse: ClassVar[bool] = False
    direct: ClassVar[bool] = True

    name: ClassVar[str] = "flat"
    words: ClassVar[str] = "flat"

    def sample(self, name: str, size: int) -> Any:
        """A NumPyro sample site of `size` unconstrained numbers, every value alike."""
        import numpyro
        import numpyro.distributions as dist

        return numpyro.sample(name, dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))

    def sites(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """Values of the sample sites at which the numbers are `values`."""
        return {name: values}

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """An error: nothing is drawn from what favours nothing."""
        raise HamlearnError("the prior is flat, and has no draws: give the model one that has, such as prior=hl.models.Normal(10.0).")


@dataclass(frozen=True)
class Scales:
    """How a temperature enters: S = u · (neighbour terms) + v · (potential); 1/a and a for what has imaginary time, β and β for a field."""

    u: float
    v: float


@dataclass(frozen=True, eq=False)
class PolynomialAction(Model):
    """A kinetic (neighbour) term and a polynomial potential, with unknown coefficients.

    * paths (one site axis): S = Σ [κ (x_{t+1} − x_t)²/(2a) + a Σ_p c_p x_t^p], a = β/N_τ unless `a` is given;
    * fields (more site axes): S = β Σ_x [κ/2 Σ_μ (φ_{x+μ} − φ_x)² + Σ_p c_p φ_x^p];
    * fields with ``neighbour="product"``: S = β Σ_x [−κ Σ_μ φ_{x+μ} φ_x + Σ_p c_p φ_x^p];
    * thermal fields, ``family="thermal"`` (the first axis is imaginary time, the others are space): S = K/β + βV with
      K = N_τ Σ κ/2 (Δ_t φ)² and V = (1/N_τ) Σ [γ/2 Σ_μ (Δ_μ φ)² + Σ_p c_p φ^p]; see :func:`~hamlearn.systems.ThermalField`.

    κ, γ and the c_p are free of β, so data at several temperatures determine them together.

    Parameters
    ----------
    powers : sequence of int
        Which powers of x the potential has; the largest must be even, or nothing would confine the field.
    kinetic : bool or float
        True: κ is unknown, and may come out with either sign (the default). A number: κ is known to be that (> 0 where it
        multiplies differences). False: no neighbour term.
    range : int
        Neighbour terms at distances 1 … `range` along every axis, each with its own κ_r; 1 is the usual kinetic term,
        more is a test of it.
    a : float, optional
        Width of a time slice, for paths whose spacing is not β/N_τ.
    prior : None, "flat", "normal" or Normal
        Prior of every coefficient; flat by default, for coefficients have no common scale.
    family : {"auto", "path", "field", "thermal"}
        What β means; "auto" takes one site axis for imaginary time and more for a field.
    periodic : bool
        Whether the boundaries wrap around.
    neighbour : {"difference", "product"}
        Form of the neighbour terms, with the signs of :func:`~hamlearn.systems.ScalarField`. On a periodic lattice the
        two are one family where 2 is among the powers. On an open one they are not: differences give sites at the
        boundary another φ², so where the on-site terms are the same everywhere take "product". Fields only; one site
        axis is then a chain of a field, not imaginary time.

    Raises
    ------
    HamlearnError
        If a power is repeated or not positive, the largest is odd, or an argument is out of range.

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.PolynomialAction(powers=(2, 4))
    PolynomialAction(powers=(2, 4), kinetic=True)
    """

    powers: tuple[int, ...]
    kinetic: bool | float
    range: int
    a: float | None
    prior: Flat | Normal
    family: str
    periodic: bool
    neighbour: str
    kind: ClassVar[str] = "polynomial_action"
    traits: ClassVar[Traits] = Traits("actions", "a polynomial action", spacing=True, zero="the polynomial vanishes at zero.")

    def __init__(
        self,
        powers: Sequence[int] = (2, 4),
        kinetic: bool | float = True,
        *,
        range: int = 1,
        a: float | None = None,
        prior: str | Flat | Normal | None = None,
        family: str = "auto",
        periodic: bool = True,
        neighbour: str = "difference",
    ) -> None:
        orders = _powers(powers)
        choice(neighbour, COUPLINGS, "neighbour")
        if neighbour == "product" and (a is not None or family == "path"):
            raise HamlearnError("a path's kinetic term is a difference: neighbour='product' is for fields, without a and family='path'.")
        if not isinstance(kinetic, bool) and not _known(kinetic, neighbour):
            sign = "> 0" if neighbour == "difference" else "other than 0"
            raise HamlearnError(f"kinetic is True (unknown), False (none), or its known value {sign}; got {kinetic!r}.")
        if not (isinstance(range, int | np.integer) and not isinstance(range, bool) and range >= 1):
            raise HamlearnError(f"range, the longest distance of a neighbour term, must be a whole number >= 1; got {range!r}.")
        if range > 1 and kinetic is not True:
            raise HamlearnError(f"range={range} has an unknown coefficient for every distance: leave kinetic=True; got {kinetic!r}.")
        if a is not None and not _positive(a):
            raise HamlearnError(f"a, the width of a time slice, must be a finite number > 0; got {a!r}.")
        choice(family, FAMILIES, "family")
        if a is not None and family in ("field", "thermal"):
            raise HamlearnError("a is the width of a path's time slice; a field has none, and a thermal one beta/N_tau, so leave it out.")
        if family == "thermal" and neighbour == "product":
            raise HamlearnError("a thermal field's kinetic and gradient terms are differences: leave out neighbour='product'.")
        if prior in (None, "flat"):
            prior = Flat()
        elif prior == "normal":
            prior = Normal()
        if not isinstance(prior, Flat | Normal):
            raise HamlearnError(f"prior must be None (flat), 'flat', 'normal' or hl.models.Normal(scale=...); got {prior!r}.")
        if isinstance(prior, Normal) and prior.unit != "energy":
            raise HamlearnError(f"an action's coefficients have priors in their own units, not in kT; got {prior!r}.")
        values: dict[str, Any] = {
            "powers": orders,
            "kinetic": kinetic if isinstance(kinetic, bool) else float(kinetic),
            "range": int(range),
        }
        values |= {"a": None if a is None else float(a), "prior": prior, "family": family, "periodic": bool(periodic)}
        values["neighbour"] = neighbour
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        more = "".join(f", {name}={value}" for name, value in (("range", self.range), ("a", self.a)) if value not in (1, None))
        more += f", neighbour={self.neighbour!r}" if self.neighbour != "difference" else ""
        return f"PolynomialAction(powers={self.powers}, kinetic={self.kinetic}{more})"

    def bind(self, space: Space, shape: tuple[int, ...]) -> BoundAction:
        """The family on sites of `shape`: what the likelihoods work with."""
        if not space.unbounded:
            raise HamlearnError(
                f"a polynomial action describes real numbers, the data are {space.name}: declare paths and fields with space='reals'."
            )
        automatic = "path" if (len(shape) == 1 or self.a is not None) and self.neighbour == "difference" else "field"
        family = automatic if self.family == "auto" else self.family
        if family == "path" and len(shape) != 1:
            raise HamlearnError(
                f"a path has one site axis, imaginary time; the data have {len(shape)}: {tuple(shape)}. Use family='field'."
            )
        if family == "thermal" and len(shape) < 2:
            raise HamlearnError(f"a thermal field has axes of space after that of time; the data have {tuple(shape)}. Use family='path'.")
        if min(shape) < 2 * self.range:
            raise HamlearnError(f"site axes {tuple(shape)} are too short for neighbour terms up to distance {self.range}.")
        return BoundAction(self, tuple(shape), space, family)

    @property
    def normal_prior(self) -> bool:
        """Whether the prior is normal."""
        return isinstance(self.prior, Normal)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`PolynomialAction.to_dict` described."""
        settings = {key: value for key, value in description.items() if key != "kind"}
        prior = settings.pop("prior")
        return cls(**settings, prior=Flat() if prior["name"] == "flat" else prior_from_dict(prior))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        prior = {"name": "flat"} if isinstance(self.prior, Flat) else prior_to_dict(self.prior)
        return {**super().to_dict(), "prior": prior}


def percent(share: float) -> str:
    """A share of a posterior as a percentage that is rounded neither to nothing nor to all.

    Examples
    --------
    >>> percent(0.25), percent(1.0), percent(1e-5)
    ('25 %', '100 %', 'less than 0.1 %')
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return "more than 99.9 %" if 0.999 < share < 1 else f"{100 * share:.3g} %"


def _positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value)) and float(value) > 0


def _known(kinetic: Any, neighbour: str) -> bool:
    """Whether it can be a known κ."""
    if neighbour == "difference":
        return _positive(kinetic)
    return isinstance(kinetic, int | float | np.number) and bool(np.isfinite(kinetic)) and float(kinetic) != 0


HIGHEST_POWER = 32


def _powers(powers: Any) -> tuple[int, ...]:
    if not isinstance(powers, Sequence | np.ndarray) or isinstance(powers, str) or any(isinstance(one, bool) for one in powers):
        raise HamlearnError(f"powers must be whole numbers >= 1, such as (2, 4); got {shown(powers)}.")
    values = np.atleast_1d(powers)
    if values.ndim != 1 or not values.size or not np.issubdtype(values.dtype, np.integer) or np.any(values < 1):
        raise HamlearnError(f"powers must be whole numbers >= 1, such as (2, 4); got {powers!r}.")
    orders = tuple(sorted(int(value) for value in values))
    if len(set(orders)) < len(orders):
        raise HamlearnError(f"each of the powers may appear once; got {powers!r}.")
    if orders[-1] > HIGHEST_POWER:
        raise HamlearnError(f"powers go up to {HIGHEST_POWER}: higher ones of ordinary fields are beyond any float; got {powers!r}.")
    if orders[-1] % 2:
        raise HamlearnError(
            f"the largest of the powers must be even, or the field runs away to infinity; got {powers!r}. Add {orders[-1] + 1}."
        )
    return orders


@dataclass(frozen=True, eq=False)
class BoundAction:
    """:class:`PolynomialAction` on given sites: the terms T_k, their gradients, and θ ↔ coefficients.

    `full` coefficients are (κ_1 … κ_R, c_p …), of thermal fields with γ after the κ; θ are those of them that are unknown,
    ``full = offset + embedding @ θ``.
    """

    model: PolynomialAction
    shape: tuple[int, ...]
    space: Space
    family: str

    @property
    def axes(self) -> tuple[int, ...]:
        """The site axes, last."""
        return tuple(range(-len(self.shape), 0))

    @cached_property
    def lattice(self) -> Lattice:
        """Sites and nearest neighbours."""
        return lattices.hypercubic(self.shape, periodic=self.model.periodic)

    @cached_property
    def links(self) -> tuple[tuple[str, int, tuple[int, ...], bool], ...]:
        """The neighbour terms: the name of the coefficient, the distance, the site axes, and whether u multiplies it (else v does)."""
        names = [f"kinetic[{r}]" for r in range(1, self.model.range + 1)] if self.model.range > 1 else ["kinetic"]
        axes = self.axes[:1] if self.family == "thermal" else self.axes
        kinetic = tuple((name, r + 1, axes, True) for r, name in enumerate(names))
        return kinetic if self.family != "thermal" else (*kinetic, ("gradient", 1, self.axes[1:], False))

    @property
    def n_full(self) -> int:
        """Number of terms, known or unknown."""
        return len(self.links) + len(self.model.powers)

    @property
    def free(self) -> slice:
        """Which of the full coefficients are unknown."""
        return slice(0 if self.model.kinetic is True else self.model.range, None)

    @property
    def n_params(self) -> int:
        """Length of θ."""
        return self.n_full - (self.free.start or 0)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The coefficients under the names that a posterior gives them: ``kinetic`` (and ``gradient``) where unknown, and ``c``."""
        sizes = {"kinetic": self.model.range if self.model.kinetic is True else 0, "gradient": len(self.links) - self.model.range}
        stops = np.cumsum([0, *sizes.values(), len(self.model.powers)]).tolist()
        found = (Block(name, start, stop, self.model.prior) for name, start, stop in zip((*sizes, "c"), stops[:-1], stops[1:], strict=True))
        return tuple(block for block in found if block.size)

    @property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ."""
        return self.term_names[self.free]

    @property
    def term_names(self) -> list[str]:
        """A name for every full coefficient."""
        return [*(link[0] for link in self.links), *(f"c[{p}]" for p in self.model.powers)]

    def full(self, theta: Any) -> np.ndarray:
        """Full coefficients ``(..., n_full)`` of θ ``(..., n_params)``."""
        values = np.asarray(theta, float)
        known = self.n_full - self.n_params
        return np.concatenate([np.full((*values.shape[:-1], known), float(self.model.kinetic)), values], -1)

    def scales(self, beta: float, a: float | None = None) -> Scales:
        """How the terms are multiplied at β; `a` is the width of a time slice where it is not β/N_τ."""
        if self.family == "field":
            return Scales(beta, beta)
        width = a if a is not None else (self.model.a if self.model.a is not None else beta / self.shape[0])
        return Scales(1.0 / width, width)

    def terms(self, states: np.ndarray, scales: Scales) -> np.ndarray:
        """T_k of states ``(..., *shape)``, shape ``(..., n_full)``."""
        x = np.asarray(states, float)
        found = []
        for _, r, axes, kinetic in self.links:
            scale = scales.u if kinetic else scales.v
            if self.model.neighbour == "product":  # every pair is in the sums of both its sites
                found.append(-0.5 * scale * (x * self._others(x, r)).sum(self.axes))
                continue
            steps = sum((self._steps(x, r, axis) ** 2).sum(self.axes) for axis in axes)
            found.append(0.5 * scale * steps)
        for p in self.model.powers:
            found.append(scales.v * (x**p).sum(self.axes))
        return np.stack(found, -1)

    def _steps(self, x: np.ndarray, r: int, axis: int) -> np.ndarray:
        steps = np.roll(x, -r, axis) - x
        if self.model.periodic:
            return steps
        return np.moveaxis(np.moveaxis(steps, axis, -1)[..., : x.shape[axis] - r], -1, axis)

    def gradients(self, states: np.ndarray, scales: Scales) -> np.ndarray:
        """∂T_k/∂x of states ``(row, *shape)``, shape ``(n_full, row, *shape)``."""
        x = np.asarray(states, float)
        found = np.empty((self.n_full, *x.shape))
        for k, (_, r, axes, kinetic) in enumerate(self.links):
            pull = self._pull(x, r, axes) if self.model.neighbour == "difference" else -self._others(x, r)
            found[k] = (scales.u if kinetic else scales.v) * pull
        for k, p in enumerate(self.model.powers):
            found[len(self.links) + k] = scales.v * p * x ** (p - 1)
        return found

    def _pull(self, x: np.ndarray, r: int, axes: tuple[int, ...] | None = None) -> np.ndarray:
        """Σ over the neighbours at distance r along some axes of (x − neighbour)."""
        total = np.zeros_like(x)
        for axis in self.axes if axes is None else axes:
            if self.model.periodic:
                total += 2 * x - np.roll(x, r, axis) - np.roll(x, -r, axis)
                continue
            steps = self._steps(x, r, axis)
            moved, pulls = np.moveaxis(total, axis, -1), np.moveaxis(steps, axis, -1)  # views
            moved[..., : x.shape[axis] - r] -= pulls
            moved[..., r:] += pulls
        return total

    def _others(self, x: np.ndarray, r: int) -> np.ndarray:
        """Σ over the neighbours at distance r."""
        total = np.zeros_like(x)
        for axis in self.axes:
            if self.model.periodic:
                total += np.roll(x, r, axis) + np.roll(x, -r, axis)
                continue
            sums, values = np.moveaxis(total, axis, -1), np.moveaxis(x, axis, -1)  # views
            sums[..., r:] += values[..., : x.shape[axis] - r]
            sums[..., : x.shape[axis] - r] += values[..., r:]
        return total

    def laplacians(self, states: np.ndarray, scales: Scales) -> np.ndarray:
        """Σ_i ∂²T_k/∂x_i² of states ``(row, *shape)``, shape ``(row, n_full)``."""
        x = np.asarray(states, float)
        found = np.empty((len(x), self.n_full))
        for k, (_, r, axes, kinetic) in enumerate(self.links):
            bonds = sum(int(np.prod(self.shape)) * (1 if self.model.periodic else 1 - r / self.shape[axis]) for axis in axes)
            found[:, k] = 2 * (scales.u if kinetic else scales.v) * bonds if self.model.neighbour == "difference" else 0.0
        for k, p in enumerate(self.model.powers):
            found[:, len(self.links) + k] = scales.v * p * (p - 1) * (x ** max(p - 2, 0)).sum(self.axes)
        return found

    def action(self, theta: np.ndarray, states: np.ndarray, scales: Scales) -> np.ndarray:
        """S of states ``(..., *shape)`` under every θ ``(member, n_params)``, shape ``(member, ...)``."""
        return np.moveaxis(self.terms(states, scales) @ self.full(theta).T, -1, 0)

    def confining(self, theta: np.ndarray) -> np.ndarray:
        """Whether each θ ``(..., n_params)`` has an equilibrium that can be simulated.

        The leading coefficient must be positive. Above the second power it then wins against every quadratic form; a
        field whose leading power is the second needs a positive definite form of all its sites. Paths (and thermal fields) need a positive
        kinetic term besides: with a negative one they have no continuum limit and no transfer operator.
        """
        full, ranges = self.full(theta), self.model.range
        leading = full[..., -1] > 0
        if self.family != "field":
            leading = leading & (full[..., :ranges].sum(-1) >= 0 if self.model.kinetic is not False else True)
        if self.family == "path" or self.model.powers[-1] > 2:
            return np.asarray(leading)
        if self.family == "thermal":  # at every β: in time and in space by themselves
            along = lambda shape, part: lowest_curvature(shape, full[..., part], periodic=self.model.periodic)
            space = along(self.shape[1:], slice(ranges, ranges + 1)) + 2 * full[..., -1] > 0
            return np.asarray(leading & (along(self.shape[:1], slice(ranges)) >= -1e-12) & space)
        lowest = lowest_curvature(self.shape, full[..., :ranges], self.model.neighbour, periodic=self.model.periodic)
        return np.asarray(leading & (lowest + 2 * full[..., -1] > 0))

    @property
    def fault(self) -> str:
        """What is wrong with coefficients that are not :meth:`confining`, as a predicate."""
        if self.family != "field":
            return f"does not confine the {'path' if self.family == 'path' else 'field'}, or has a negative kinetic term"
        if self.model.powers[-1] > 2:
            return "does not confine the field (its leading coefficient is not positive)"
        return "does not confine the field (its quadratic form is not positive definite)"

    def system(self, theta: np.ndarray, shape: tuple[int, ...] | None = None, a: float | None = None) -> System:
        """The action with coefficients θ as a system that can be simulated, on sites of another `shape` if wanted.

        Raises
        ------
        HamlearnError
            If the coefficients do not confine the field, or no system has this form.
        """
        full, powers, model = self.full(theta), self.model.powers, self.model
        if not self.confining(theta):
            raise HamlearnError(
                f"these coefficients do not confine the field ({self.parameter_names} = {np.round(theta, 4).tolist()}): "
                "there is no equilibrium to simulate. Use more data, or a lower largest power."
            )
        extents = self.shape if shape is None else tuple(shape)
        coefficients = np.zeros(powers[-1])
        coefficients[np.array(powers) - 1] = full[len(self.links) :]
        path = self.family == "path"
        if self.family == "thermal":
            gradient = full[model.range : len(self.links)]
            return Field(extents, full[: model.range], coefficients, periodic=model.periodic, path=True, gradient=gradient, name="Learned")
        if path and model.range == 1:
            if model.kinetic is False:
                raise HamlearnError("a path without a kinetic term is a set of independent sites; it is evaluated, not simulated.")
            width = a if a is not None else model.a
            return Path(int(extents[0]), Polynomial(coefficients), float(full[0]), width, model.periodic)
        width = (a if a is not None else model.a) if path else None
        form: dict[str, Any] = {"periodic": model.periodic, "coupling": model.neighbour, "path": path, "a": width}
        return Field(extents, full[: model.range], coefficients, name="Learned", **form)

    def from_values(self, kinetic: np.ndarray | None, c: np.ndarray, gradient: np.ndarray | None = None) -> np.ndarray:
        """θ ``(..., n_params)`` from the variables of a posterior."""
        c = c if gradient is None else np.concatenate([gradient[..., None], c], -1)
        if self.model.kinetic is not True:
            return c
        assert kinetic is not None
        return np.concatenate([kinetic if self.model.range > 1 else kinetic[..., None], c], -1)
