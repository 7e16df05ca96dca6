"""Whether numbers are what they are declared to be: what all spaces share."""

from __future__ import annotations

import numpy as np

from hamlearn.arguments import require_whole
from hamlearn.errors import HamlearnError

_SLICE = 1 << 16  # values looked at together
_MANY = 1000  # different values after which no more are collected


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


def refuse_nan(array: np.ndarray) -> None:
    """An error if there is any."""
    if array.dtype.kind == "f" and (nan := int(np.isnan(array).sum())):
        raise HamlearnError(f"the states contain {nan} NaN ({where(np.isnan(array))}; remove those microstates first, or that column.")


def require_scale(array: np.ndarray, name: str, powers: int) -> None:
    """Refuse real values, of `name`, whose powers so high are no numbers, or nothing beside rounding."""
    if not array.size:
        return
    size, largest = max(-float(array.min()), float(array.max())), 10.0 ** (300 // powers)
    if size and not 1 / largest < size < largest:
        raise HamlearnError(
            f"{name} has values of size {size:.3g}, whose powers no number holds: give all data in other units, about 1 in size."
        )


def where(bad: np.ndarray) -> str:
    """In which row and column of ``(row, ..., site)`` the first is, and whether a column holds nothing else; closes a bracket."""
    bad = bad[0] if bad.ndim > 2 and len(bad) == 1 else bad  # one chain
    if bad.ndim != 2:
        return f"the first at index {tuple(int(one) for one in np.argwhere(bad)[0])}, counted from 0)"
    row, column = np.unravel_index(int(bad.argmax()), bad.shape)
    full = np.flatnonzero(bad.all(0))
    all_of = f"; all of column {', '.join(map(str, full[:5]))}" if len(full) and len(bad) > 1 else ""
    return f"the first in row {row}, column {column}, counted from 0{all_of})"


def check_q(q: int | None, space: str) -> None:
    """An error if a number of states does not go with a discrete space."""
    if q is None:
        return
    require_whole(q, "q")
    if not 2 <= q <= 127:
        raise HamlearnError(f"states need 2 <= q <= 127; got q={q}.")
    if space != "states" and q != 2:
        raise HamlearnError(f"space={space!r} has two values, so q={q} cannot be; leave it out, or use space='states'.")


def two_values(array: np.ndarray, space: str, allowed: tuple[int, int], q: int | None) -> np.ndarray:
    """Values of two as int8."""
    refuse_nan(array)
    check_q(q, space)
    found = distinct(array)
    if not np.isin(found, allowed).all():
        shown = ", ".join(str(value) for value in found[:5].tolist()) + (", …" if found.size > 5 else "")
        raise HamlearnError(f"space={space!r} allows the values {allowed[0]} and {allowed[1]}; found {shown}.{hint(found, space)}")
    return array.astype(np.int8, copy=False)


def floats(array: np.ndarray, space: str, q: int | None) -> np.ndarray:
    """Finite numbers as float32 or float64; continuous spaces have no q."""
    if q is not None:
        raise HamlearnError(f"q={q!r} counts the states of a discrete space; space={space!r} is continuous, so leave it out.")
    values = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not np.all(np.isfinite(values)):
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        raise HamlearnError(
            f"the states contain {nan} NaN and {infinite} infinite values ({where(~np.isfinite(values))}; remove those "
            "microstates first, or that column."
        )
    return values


def hint(found: np.ndarray, space: str) -> str:
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


def hint_of_codes(found: np.ndarray, q: int | None) -> str:
    """What to do about whole codes that are in 0 … q−1 only once they are renumbered; nothing for others."""
    if q is None or not 0 <= found[0] <= found[-1] <= 126 or len(found) > q or not np.all(found == np.floor(found)):
        return ""
    shift = ", or subtract 1 from them" if found[0] >= 1 and found[-1] == q else ""
    return f" Leave q={q} out (the codes that occur are then numbered from 0, in their order){shift}."
