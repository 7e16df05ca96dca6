"""Scalar field theory on a periodic lattice: φ⁴ in any dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals
from hamlearn.systems.lattice import Lattice


@dataclass(frozen=True, eq=False, init=False)
class ScalarField:
    """Real field φ with nearest-neighbour coupling, mass term and λφ⁴.

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
    ``action(states, beta)`` is βS; the field theory itself is β = 1. log Z uses the plain measure Π dφ_x.

    Examples
    --------
    >>> field = ScalarField((4, 4), m2=1.0, lam=0.5)
    >>> float(field.energy(np.ones((4, 4))))  # 16 (½ + ½)
    16.0
    """

    lattice: Lattice
    m2: float
    lam: float
    coupling: str

    def __init__(
        self, shape: int | Sequence[int] | Lattice, m2: float, lam: float, periodic: bool = True, coupling: str = "difference"
    ) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
        choice(coupling, ("difference", "product"), "coupling")
        for name, value in (("m2", m2), ("lam", lam)):
            if not np.isscalar(value) or not np.isfinite(value):
                raise HamlearnError(f"{name} must be one finite number; got {value!r}.")
        for name, given in (("lattice", lattice), ("m2", float(m2)), ("lam", float(lam)), ("coupling", coupling)):
            object.__setattr__(self, name, given)
        if lam < 0:
            raise HamlearnError(f"lam must be >= 0, otherwise the field runs away to infinity; got lam={lam!r}.")
        if lam == 0:
            lowest = float(np.linalg.eigvalsh(self.quadratic_form())[0]) if lattice.n_sites <= 1024 else self._lowest_bound()
            if lowest <= 1e-12:
                raise HamlearnError(
                    f"with lam=0 the quadratic form must be positive; its lowest eigenvalue is {lowest:.3g}. Give m2 > 0 "
                    "(coupling='difference'), m2 > twice the dimension (coupling='product'), or lam > 0."
                )

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
        """φ → −φ is a symmetry of the action."""
        return True

    def quadratic_form(self) -> np.ndarray:
        """The matrix A of S = ½ φᵀAφ + λ Σ φ⁴, shape ``(n_sites, n_sites)``."""
        n, (first, second) = self.lattice.n_sites, self.lattice.bonds.T
        matrix = np.zeros((n, n))
        np.add.at(matrix, (first, second), -1.0)
        np.add.at(matrix, (second, first), -1.0)
        matrix[np.diag_indices(n)] += self.m2 + (self.lattice.degree if self.coupling == "difference" else 0)
        return matrix

    def _lowest_bound(self) -> float:
        """A lower bound of the quadratic form's spectrum (Gershgorin), exact on periodic lattices."""
        return self.m2 - (0 if self.coupling == "difference" else int(self.lattice.degree.max(initial=0)))

    def energy(self, states: Any) -> Any:
        """S of fields ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``."""
        xp, states = as_reals(states)
        shape, n = self.lattice.shape, self.lattice.n_sites
        if states.ndim >= 1 and states.shape[-1] == n and tuple(states.shape[-len(shape) :]) != tuple(shape):
            states = states.reshape((*states.shape[:-1], *shape))
        if tuple(states.shape[states.ndim - len(shape) :]) != tuple(shape):
            raise HamlearnError(f"expected fields with site axes {tuple(shape)} last (or {n} flat sites); got shape {tuple(states.shape)}.")
        axes = tuple(range(-len(shape), 0))
        square = states * states
        local = xp.sum(0.5 * self.m2 * square + self.lam * square * square, axis=axes)
        return local + self._neighbours(xp, states, axes)

    def _neighbours(self, xp: Any, states: Any, axes: tuple[int, ...]) -> Any:
        """The neighbour term: rolls on a periodic hypercubic lattice, which accelerators like, bonds otherwise."""
        total = 0.0
        if self.lattice.kind == "hypercubic" and self.lattice.periodic:
            for axis in axes:
                if self.lattice.shape[axis] > 1:
                    moved = xp.roll(states, -1, axis=axis)
                    pair = 0.5 * (moved - states) ** 2 if self.coupling == "difference" else -moved * states
                    total = total + xp.sum(pair, axis=axes)
            return total
        flat = states.reshape((*states.shape[: states.ndim - len(axes)], self.lattice.n_sites))
        here, there = (xp.take(flat, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        return xp.sum(0.5 * (there - here) ** 2 if self.coupling == "difference" else -here * there, axis=-1)

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """βS; the field theory is β = 1."""
        return beta * self.energy(states)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "kind": "scalar",
            "lattice": self.lattice.to_dict(),
            "m2": self.m2,
            "lam": self.lam,
            "coupling": self.coupling,
        }

    def __repr__(self) -> str:
        return f"ScalarField(shape={self.lattice.shape}, m2={self.m2}, lam={self.lam}, coupling={self.coupling!r})"


def scalar_from_dict(description: Mapping[str, Any]) -> ScalarField:
    """The field that :meth:`ScalarField.to_dict` described."""
    lattice = lattices.from_dict(description["lattice"])
    return ScalarField(lattice, description["m2"], description["lam"], coupling=description["coupling"])
