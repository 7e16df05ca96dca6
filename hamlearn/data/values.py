"""Whether numbers lie in the space that they are said to come from; the same for arrays, tables, files and Datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError

SPACES = ("spins", "bits", "states", "angles", "reals")
CONTINUOUS = ("angles", "reals")
TURN = 2 * np.pi
_SLICE = 1 << 16  # values looked at together
_MANY = 1000  # different values after which no more are collected


def to_stored(array: np.ndarray, space: str, q: int | None, *, wrap: bool = False) -> tuple[np.ndarray, str, int]:
    """Values of a space as they are stored, checked.

    Parameters
    ----------
    array : array
        Numbers of any shape.
    space : {"spins", "bits", "states", "angles", "reals"}
        Where they are said to lie.
    q : int or None
        Number of states; None: as many as occur.
    wrap : bool
        Reduce angles to [0, 2π) instead of refusing others.

    Returns
    -------
    values, space, q
        int8, or float32 and float64 where values are continuous; the array itself where it is that already. Floats and wider
        integers that hold whole values of a discrete space become int8: nothing is lost by it.

    Raises
    ------
    HamlearnError
        If a value is NaN, infinite or outside the space, `q` does not go with the space, or the numbers are complex, dates or objects.
    """
    require_numbers(array)
    return _to_reals(array, space, q, wrap) if space in CONTINUOUS else _to_discrete(array, space, q)


def require_numbers(array: np.ndarray) -> None:
    """An error if the elements of an array are no real numbers."""
    kind = array.dtype.kind
    if kind == "O":
        raise HamlearnError(
            "the states are ragged or not numbers: every microstate must be numbers, the same count in each. Objects that stand for "
            "numbers (Decimal, Fraction, pandas' own types) are converted by np.asarray(states, dtype=float)."
        )
    if kind not in "biuf":
        hint = " Convert them with .astype(np.float32)." if "float" in array.dtype.name else ""
        raise HamlearnError(f"states must be numbers; got dtype {array.dtype}.{hint}")


def distinct(array: np.ndarray) -> np.ndarray:
    """The different values of an array in ascending order; of more than a thousand, some and the extremes. NaN counts as one, last."""
    flat = array.reshape(-1)
    found = flat[:0]
    for start in range(0, flat.size, _SLICE):
        piece = flat[start : start + _SLICE]
        if piece.dtype.itemsize == 1:
            here = np.flatnonzero(np.bincount(piece.view(np.uint8), minlength=256)).astype(np.uint8).view(piece.dtype)
        else:
            here = np.unique(piece)
        found = np.unique(np.concatenate([found, here]))
        if found.size > _MANY:
            return np.unique(np.concatenate([found[:_MANY], np.array([flat.min(), flat.max()], flat.dtype)]))
    return found


def _to_discrete(array: np.ndarray, space: str, q: int | None) -> tuple[np.ndarray, str, int]:
    """Validated int8 values with the name and size of the space they are stored in."""
    if array.dtype.kind == "f" and (nan := int(np.isnan(array).sum())):
        raise HamlearnError(f"the states contain {nan} NaN; remove those microstates first.")
    if q is not None:
        require_whole(q, "q")
        if not 2 <= q <= 127:
            raise HamlearnError(f"states need 2 <= q <= 127; got q={q}.")
        if space != "states" and q != 2:
            raise HamlearnError(f"space={space!r} has two values, so q={q} cannot be; leave it out, or use space='states'.")
    found = distinct(array)
    if space == "states":
        if found[0] < 0 or found[-1] > 126 or not np.all(found == np.floor(found)) or (q is not None and found[-1] >= q):
            top = "q−1" if q is None else str(q - 1)
            raise HamlearnError(
                f"space='states' holds the integers 0 … {top}; found values from {found[0]} to {found[-1]}.{_hint_of_codes(found, q)}"
            )
        return array.astype(np.int8, copy=False), "states", max(2, len(found)) if q is None else int(q)
    allowed = (-1, 1) if space == "spins" else (0, 1)
    if not np.isin(found, allowed).all():
        shown = ", ".join(str(value) for value in found[:5].tolist()) + (", …" if found.size > 5 else "")
        raise HamlearnError(f"space={space!r} allows the values {allowed[0]} and {allowed[1]}; found {shown}.{_hint(found, space)}")
    values = array.astype(np.int8, copy=False)
    return (values if space == "spins" else 2 * values - 1), "spins", 2


def _hint(found: np.ndarray, space: str) -> str:
    """What values that are no spins or bits look like."""
    if space == "spins" and np.isin(found, (0, 1)).all():
        return " These look like 0/1 data: declare them with space='bits'."
    if space == "bits" and np.isin(found, (-1, 1)).all():
        return " These look like ±1 data: declare them with space='spins'."
    if found.dtype.kind == "u" and np.isin(found, (1, np.iinfo(found.dtype).max)).all():
        return f" {np.iinfo(found.dtype).max} is −1 in unsigned integers: convert them with states.view(np.int{8 * found.dtype.itemsize})."
    if np.all(found == np.floor(found)) and found[0] >= 0:
        return " For states 0 … q−1 use space='states'."
    return " For continuous values use space='angles' (radians) or space='reals'." if found.size > 5 else ""


def _hint_of_codes(found: np.ndarray, q: int | None) -> str:
    """What to do about whole codes that are in 0 … q−1 only once they are renumbered; nothing for others."""
    if q is None or not 0 <= found[0] <= found[-1] <= 126 or len(found) > q or not np.all(found == np.floor(found)):
        return ""
    shift = ", or subtract 1 from them" if found[0] >= 1 and found[-1] == q else ""
    return f" Leave q={q} out (the codes that occur are then numbered from 0, in their order){shift}."


def _to_reals(array: np.ndarray, space: str, q: int | None, wrap: bool) -> tuple[np.ndarray, str, int]:
    """Validated float values with the name of their space; continuous spaces have q = 0."""
    if q is not None:
        raise HamlearnError(f"q={q!r} counts the states of a discrete space; space={space!r} is continuous, so leave it out.")
    values = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not np.all(np.isfinite(values)):
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        raise HamlearnError(f"the states contain {nan} NaN and {infinite} infinite values; remove those microstates first.")
    if space == "reals":
        return values, space, 0
    if np.any(values == values.dtype.type(TURN)) and values.dtype == np.float32:
        values = np.where(values == np.float32(TURN), np.float32(0), values)  # what an angle just below 2π rounds to
    low, high = float(values.min()), float(values.max())
    if not wrap and (low < 0 or high >= TURN):
        found = f"space='angles' holds radians in [0, 2π); found values from {low:.6g} to {high:.6g}."
        if high - low > 1.5 * TURN and low >= -180 and high <= 360:
            raise HamlearnError(f"{found} These look like degrees: convert them with np.deg2rad(angles) % (2 * np.pi).")
        centred = " They look like angles in (−π, π]." if low >= -np.pi * 1.000001 and high <= np.pi * 1.000001 else ""
        raise HamlearnError(f"{found}{centred} If these are radians, declare wrap=True to reduce them.")
    if wrap:
        values = np.mod(values, values.dtype.type(TURN))
        values[values >= TURN] = 0  # the remainder of a tiny negative angle rounds up to the full turn
    return values, space, 0


def refuse_repeated_end(values: np.ndarray, axes: list[int]) -> None:
    """An error if the last slice repeats the first in every microstate: a closed path written out with its end.

    Values that never change (ends held fixed) are no sign of it.
    """
    for axis in axes:
        first, last = values.take(0, axis), values.take(-1, axis)
        if values.shape[axis] >= 3 and np.array_equal(first, last) and len(np.unique(first)) > 1:
            raise HamlearnError(
                f"the first and the last slice along site axis {axis - axes[0]} are identical in all microstates: the end point of a "
                "periodic path is repeated. Periodic boundaries already join the last slice to the first: drop the last, "
                f"states[..., :{values.shape[axis] - 1}]."
            )


def per_row(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Counts or weights, one for every microstate, checked and in the shape of the leading axes."""
    if np.ma.is_masked(values):
        raise HamlearnError(f"{what} have masked (missing) values; give 0 for microstates that do not count.")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = array.astype(float)
    except (TypeError, ValueError):
        raise HamlearnError(f"{what} must be numbers, one per microstate, shape {shape}; got a {type(values).__name__}.") from None
    plain = tuple(size for size in shape if size > 1)
    if array.size != np.prod(shape) or (array.ndim > 1 and tuple(size for size in array.shape if size > 1) != plain):
        raise HamlearnError(f"{what} must have one value per microstate, shape {shape}; got shape {array.shape}.")
    if not np.all(np.isfinite(array)) or np.any(array < 0) or not 0 < array.sum() < np.inf:
        raise HamlearnError(f"{what} must be finite, not negative, and not all zero.")
    if what == "counts" and not np.all(array == np.floor(array)):
        raise HamlearnError("counts must be whole numbers; fractional multiplicities are weights=.")
    return array.reshape(shape)
