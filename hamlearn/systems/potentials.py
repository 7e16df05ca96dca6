"""Potentials V(x) of a path: the double well, polynomials, and any function of the user's.

Formulas are written in array-API style, so NumPy, JAX and torch arrays all work and ``jax.grad`` differentiates them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.layers import UnitLayer
from hamlearn.systems.parametric import Parametric


@dataclass(frozen=True, eq=False)
class DoubleWell(Parametric):
    """Double well V(x) = (λ/4)(x² − μ²/λ)²: minima at ±μ/√λ, barrier V(0) = μ⁴/(4λ).

    Parameters
    ----------
    lam, mu : float
        λ > 0 and μ. The main case of the literature is λ = 4, μ = 2.8: minima at ±1.4, barrier 3.8416. A potential
        written λ'(x² − v²)² has λ = 4λ' and μ = v√λ.

    Raises
    ------
    HamlearnError
        If λ is not positive (nothing would confine the path) or a number is not finite.

    Examples
    --------
    >>> well = DoubleWell(4.0, 2.8)
    >>> float(well(np.array(0.0))), float(well(np.array(1.4)))
    (3.8416, 0.0)
    """

    lam: float
    mu: float

    def __post_init__(self) -> None:
        require_number(self.lam, "lam of a DoubleWell", above=0)
        require_number(self.mu, "mu of a DoubleWell")

    def __call__(self, x: Any) -> Any:
        """V at every x."""
        return 0.25 * self.lam * (x * x - self.mu**2 / self.lam) ** 2

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Coefficients of x⁰, x¹, … : μ⁴/(4λ), 0, −μ²/2, 0, λ/4."""
        return (self.mu**4 / (4 * self.lam), 0.0, -0.5 * self.mu**2, 0.0, 0.25 * self.lam)

    @property
    def minimum(self) -> float:
        """Position μ/√λ of the right-hand minimum."""
        return float(abs(self.mu) / np.sqrt(self.lam))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "double_well", "lam": float(self.lam), "mu": float(self.mu)}


@dataclass(frozen=True, eq=False, init=False)
class Polynomial(Parametric):
    """Polynomial potential V(x) = c₁ x + c₂ x² + …: the list starts at x¹, for a constant changes nothing.

    Parameters
    ----------
    c : sequence of float
        Coefficients of x, x², x³, …

    Raises
    ------
    HamlearnError
        If a coefficient is not finite, or the leading one is of odd power or not positive: the path would run away
        to infinity and there is no equilibrium to sample.

    Examples
    --------
    >>> harmonic = Polynomial([0, 0.5])
    >>> float(harmonic(np.array(2.0)))
    2.0
    """

    c: tuple[float, ...]

    def __init__(self, c: Any) -> None:
        try:
            values = np.asarray(c)
            if values.dtype.kind not in "iuf":
                raise TypeError
            values = values.astype(float)
        except (TypeError, ValueError) as error:
            raise HamlearnError(f"Polynomial needs a list of numbers, the coefficients of x, x², …; got {c!r}.") from error
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
            raise HamlearnError(f"Polynomial needs a list of finite numbers, the coefficients of x, x², …; got {c!r}.")
        powers = np.flatnonzero(values) + 1
        if not powers.size or powers[-1] % 2 or values[powers[-1] - 1] < 0:
            raise HamlearnError(
                f"Polynomial({values.tolist()}) does not confine: its leading term must be an even power with a positive coefficient "
                "(the list starts at x¹); otherwise paths run away and log Z is infinite."
            )
        object.__setattr__(self, "c", tuple(values.tolist()))

    def __call__(self, x: Any) -> Any:
        """V at every x, by Horner's rule."""
        value = 0.0 * x
        for coefficient in reversed(self.c):
            value = (value + coefficient) * x
        return value

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Coefficients of x⁰ (which is zero), x¹ and so on."""
        return (0.0, *self.c)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": "polynomial", "c": list(self.c)}


Potential = Callable[[Any], Any]
"""V(x) for arrays x of any shape, elementwise."""


def potential_to_dict(potential: Potential) -> dict[str, Any]:
    """JSON-ready description of a potential; of a function only its name, which says what it was and rebuilds nothing.

    Raises
    ------
    HamlearnError
        If it is a function without a name of its own (a lambda, a local function, one of ``__main__``).
    """
    if isinstance(potential, DoubleWell | Polynomial | UnitLayer):
        return potential.to_dict()
    module, name = getattr(potential, "__module__", None), getattr(potential, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise HamlearnError(
            f"the potential {potential_name(potential)!r} cannot be written down: it is a function without a name that can be found again. "
            "It simulates, but to save it define it at the top level of a module of your own, or use Polynomial([...])."
        )
    return {"kind": "callable", "name": f"{module}:{name}"}


def potential_from_dict(description: Mapping[str, Any], function: Potential | None = None) -> Potential:
    """The potential that :func:`potential_to_dict` described.

    A function is never looked up by the name in a description: whoever wrote the file would choose what is imported and
    called here. The caller gives it.
    """
    kind = choice(description.get("kind", ""), ("double_well", "polynomial", "unit_layer", "callable"), "kind of potential")
    if kind == "double_well":
        return DoubleWell(description["lam"], description["mu"])
    if kind == "polynomial":
        return Polynomial(description["c"])
    if kind == "unit_layer":
        return UnitLayer.from_dict(description)
    if function is None:
        raise HamlearnError(
            f"the potential was the function {str(description.get('name'))[:80]!r}; a file never makes hamlearn import or call code. "
            "Import that function yourself and give it: hl.systems.from_dict(description, potential=function)."
        )
    return function


def potential_name(potential: Potential) -> str:
    """What errors and `repr` call a potential."""
    if isinstance(potential, DoubleWell | Polynomial | UnitLayer):
        return repr(potential)
    return str(getattr(potential, "__qualname__", type(potential).__name__))
