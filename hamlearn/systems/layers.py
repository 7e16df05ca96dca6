"""Functions of one number as networks: a polynomial and a layer of saturating units beside it.

f(x) = Σ_p c_p x^p + Σ_j w_j [tanh((x − m_j)/s) + tanh(m_j/s)], zero at zero. Every unit is constant far from its place, so beyond the
outermost ones f is its polynomial, up to a constant: a learned function has known tails where no data held it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.systems.base import as_reals
from hamlearn.systems.parametric import Parametric, parameter


@dataclass(frozen=True, eq=False, init=False)
class UnitLayer(Parametric, structure=("even",)):
    """f(x) = Σ_p c_p x^p + Σ_j w_j [tanh((x − m_j)/s) + tanh(m_j/s)], with ``even`` every unit together with its mirror image.

    Parameters
    ----------
    c : sequence of float
        Coefficients of x, x², …
    weights, centres : sequence of float (n,)
        w_j and m_j; none for a polynomial.
    width : float
        s > 0.
    even : bool
        Whether a unit is tanh((x − m)/s) + tanh((−x − m)/s); odd powers then have to be zero.

    Raises
    ------
    HamlearnError
        If a number is not finite, the units do not match, or an even layer has an odd power.

    Examples
    --------
    >>> layer = UnitLayer([0, 0.5], [1.0], [2.0], 0.5, even=True)
    >>> bool(np.isclose(layer(np.array(0.3)), layer(np.array(-0.3))))
    True
    """

    c: np.ndarray
    weights: np.ndarray
    centres: np.ndarray
    width: float
    even: bool

    def __init__(self, c: Any, weights: Any = (), centres: Any = (), width: float = 1.0, even: bool = False) -> None:
        arrays = {name: np.asarray(one, float) for name, one in (("c", c), ("weights", weights), ("centres", centres))}
        for name, one in arrays.items():
            if one.ndim != 1 or not np.all(np.isfinite(one)):
                raise HamlearnError(f"{name} of a UnitLayer must be a list of finite numbers; got {one!r}.")
        if len(arrays["weights"]) != len(arrays["centres"]):
            raise HamlearnError(f"every unit has a weight and a place; got {len(arrays['weights'])} and {len(arrays['centres'])}.")
        if even and np.any(arrays["c"][::2]):
            raise HamlearnError(f"an even layer has even powers only; got c = {arrays['c'].tolist()} (the list starts at x).")
        for name, value in (arrays | {"width": require_number(width, "width of a UnitLayer", above=0), "even": bool(even)}).items():
            object.__setattr__(self, name, value)

    def __call__(self, x: Any) -> Any:
        """The value at every x."""
        xp, x = as_reals(x)
        value, c = 0.0 * x, parameter(xp, self.c, x.dtype)
        for power in range(self.c.shape[-1], 0, -1):
            value = (value + c[power - 1]) * x
        if self.weights.shape[-1] and isinstance(x, np.ndarray) and isinstance(self.weights, np.ndarray) and x.dtype == np.float64:
            return value + self._quick(x)
        if self.weights.shape[-1]:
            weights, centres = parameter(xp, self.weights, x.dtype), parameter(xp, self.centres, x.dtype)
            signs = (1.0, -1.0) if self.even else (1.0,)
            units = sum(xp.tanh((sign * x[..., None] - centres) / self.width) + xp.tanh(centres / self.width) for sign in signs)
            value = value + xp.sum(units * weights, axis=-1)
        return value

    def _quick(self, x: np.ndarray) -> np.ndarray:
        """The units by one exponential of every value, tanh(z) = 1 − 2/(1 + e^2z): oracles ask for millions of them."""
        places, grown = self.centres / self.width, np.exp(np.clip(2 * x / self.width, -600, 600))[..., None]
        with np.errstate(over="ignore"):  # beyond any float a unit is 1
            units = 1 - 2 / (1 + grown * np.exp(-2 * places))
            if self.even:  # tanh(−x − m) = −tanh(x + m)
                units -= 1 - 2 / (1 + grown * np.exp(2 * places))
        found: np.ndarray = units @ self.weights + (2 if self.even else 1) * float(np.tanh(places) @ self.weights)
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        arrays = {name: np.asarray(getattr(self, name)).tolist() for name in ("c", "weights", "centres")}
        return {"kind": "unit_layer", **arrays, "width": float(self.width), "even": self.even}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> UnitLayer:
        """The layer that :meth:`to_dict` described."""
        return cls(**{name: value for name, value in description.items() if name != "kind"})

    def __repr__(self) -> str:
        return f"UnitLayer(c={np.round(np.asarray(self.c), 4).tolist()}, {np.shape(self.weights)[-1]} units)"


def columns(x: np.ndarray, powers: Sequence[int], centres: np.ndarray, width: float, order: int, *, even: bool) -> np.ndarray:
    """What the coefficients multiply in the derivative of an `order` (0, 1 or 2) of a :class:`UnitLayer`, ``(..., powers + units)``.

    Examples
    --------
    >>> columns(np.array([2.0]), (2, 4), np.zeros(0), 1.0, 1, even=True).tolist()
    [[4.0, 32.0]]
    """
    found = np.empty((*np.shape(x), len(powers) + len(centres)))
    for k, power in enumerate(powers):
        factor = float(np.prod([power - step for step in range(order)]))
        found[..., k] = factor * x ** max(power - order, 0)
    for k, centre in enumerate(centres, len(powers)):
        found[..., k] = _unit((x - centre) / width, order)
        if even:  # the mirror image changes the sign of an odd derivative
            found[..., k] += (-1) ** order * _unit((-x - centre) / width, order)
        found[..., k] = found[..., k] / width**order if order else found[..., k] + (2 if even else 1) * np.tanh(centre / width)
    return found


def _unit(z: np.ndarray, order: int) -> np.ndarray:
    value = np.tanh(z)
    if order == 0:
        return value
    slope = 1 - value**2
    return slope if order == 1 else -2 * value * slope
