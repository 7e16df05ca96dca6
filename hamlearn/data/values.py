"""What the values of microstates must be beyond lying in their space (:mod:`hamlearn.spaces`): no repeated end, one count a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.spaces.extents import Extent, rooms
from hamlearn.spaces.numbers import hint_of_codes


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


def require_varied(values: np.ndarray, gone: np.ndarray, names: Sequence[str], where: str, hint: str = "") -> None:
    """An error where a column ``(row, column)`` of a table holds one value only, whatever is missing (`gone`): nothing is learned of it.

    `hint` says what else may be the matter.
    """
    rows, missing = values.reshape(-1, len(names)), gone.reshape(-1, len(names))
    low = np.where(missing, 127, rows).min(0)
    alike = np.flatnonzero(np.where(missing, -128, rows).max(0) <= low)
    if len(rows) > 1 and len(alike):
        more = f", and so do {len(alike) - 1} more columns" if len(alike) > 1 else ""
        raise HamlearnError(
            f"column {names[alike[0]][:40]!r} of {where} holds one value only{more}: nothing is learned of it. Leave the column out, "
            f"table.drop(columns={[names[k] for k in alike[:4]]}).{f' {hint}.' if hint else ''}"
        )


def require_room(values: np.ndarray, q: Extent, names: Sequence[str], where: str) -> None:
    """An error where a column ``(row, column)`` of a table holds a whole number that `q`, its number of states, has no room for."""
    rows = values.reshape(-1, len(names))
    sizes = np.array(rooms(q, len(names)))
    most = np.where(np.isfinite(rows), rows, 0).max(0)
    over = np.flatnonzero((most >= sizes) & (most == np.floor(most)))
    if len(over):
        k, size = int(over[0]), int(sizes[over[0]])
        raise HamlearnError(
            f"column {names[k][:40]!r} of {where} holds {most[k]:g}, and q={size} says that its states are 0 … {size - 1}."
            f"{hint_of_codes(np.unique(rows[np.isfinite(rows)]), size) or f' Count all of them, or leave q={size} out.'}"
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
