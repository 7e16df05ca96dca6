"""Checks of numbers that a user gives: one function each, so that every verb and setting refuses the same things in the same words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError

LARGEST_SEED = 2**63 - 1  # what a file keeps: a 64-bit integer


def require_seed(seed: Any, name: str = "seed") -> int:
    """`seed` as a Python integer.

    Parameters
    ----------
    seed : int
        From 0 to 2**63 − 1; NumPy's integers too.
    name : str
        What the message calls it.

    Raises
    ------
    HamlearnError
        If it is anything else: a truth value, a float, None, negative, or too large for a file to keep.

    Examples
    --------
    >>> require_seed(3)
    3
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise HamlearnError(f"{name} must be a whole number from 0 to 2**63 - 1; got {shown(seed)}.")
    return int(seed)


def require_whole(value: Any, name: str, least: int = 1, most: int | None = None, also: str = "") -> int:
    """`value` as a Python integer of at least `least` and at most `most`.

    Parameters
    ----------
    value : int
        NumPy's integers too; not truth values, nor floats that are whole: 1e3 is more often a slip than meant.
    name : str
        What the message calls it.
    least, most : int
        Bounds, both allowed themselves.
    also : str
        What else is allowed, for the message, such as ``", or 'auto'"``.

    Raises
    ------
    HamlearnError
        If it is no such number.

    Examples
    --------
    >>> require_whole(3, "draws")
    3
    >>> require_whole(1e3, "draws")
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: draws must be a positive whole number; got 1000.0.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least or (most is not None and value > most):
        kind = "positive whole number" if least == 1 and most is None else "whole number"
        bounds = "" if kind != "whole number" else f" of at least {least}" if most is None else f" from {least} to {most}"
        raise HamlearnError(f"{name} must be a {kind}{bounds}{also}; got {shown(value)}.")
    return int(value)


def require_number(
    value: Any, name: str, *, above: float | None = None, least: float | None = None, below: float | None = None, also: str = ""
) -> float:
    """`value` as a finite Python float within its bounds.

    Parameters
    ----------
    value : float
        Any real number, NumPy's too; not truth values or text.
    name : str
        What the message calls it.
    above, least, below : float, optional
        Bounds: exclusive below, inclusive below, exclusive above.
    also : str
        What else is allowed, for the message, such as ``", or None"``.

    Raises
    ------
    HamlearnError
        If it is no such number.

    Examples
    --------
    >>> require_number(2, "scale", above=0)
    2.0
    >>> require_number(float("nan"), "scale", above=0)
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: scale must be a finite number > 0; got nan.
    """
    number = _finite(value)
    inside = (above is None or number > above) and (least is None or number >= least) and (below is None or number < below)
    if not (math.isfinite(number) and inside):
        bounds = [f"{sign} {bound:g}" for sign, bound in ((">", above), (">=", least), ("<", below)) if bound is not None]
        raise HamlearnError(f"{name} must be a finite number{' ' * bool(bounds)}{' and '.join(bounds)}{also}; got {shown(value)}.")
    return number


LARGEST_BETA = 1e290  # beyond it (and below its inverse) temperatures, or energies times β, leave the range of a float


def require_beta(beta: Any, name: str = "beta", axes: int | None = 1) -> np.ndarray:
    """Inverse temperatures as a float64 array, without axes or with one unless more are meant.

    Parameters
    ----------
    beta : float or array (n_beta,)
        Real numbers; text, truth values and missing ones are none.
    name : str
        What the message calls it.
    axes : int or None
        Most axes; None: any.

    Raises
    ------
    HamlearnError
        If there is none, they have more axes, or one is not a finite number above zero whose inverse a float holds.

    Examples
    --------
    >>> require_beta([0.5, 1])
    array([0.5, 1. ])
    """
    what = f"{name} (inverse temperature 1/T)"
    try:
        given = np.asarray(beta)
        if given.dtype.kind not in "iuf" or np.ma.is_masked(beta):
            raise TypeError
        array = given.astype(np.float64)
    except Exception:  # whatever a stranger's conversion raises: it is no number
        raise HamlearnError(f"{what} must be a number or a list of numbers; got {shown(beta)}.") from None
    if axes is not None and array.ndim > axes:
        raise HamlearnError(f"{what} must be a number or a one-dimensional array; got shape {array.shape}.")
    if array.size == 0 or not np.all(np.isfinite(array)) or np.any(array <= 0):
        raise HamlearnError(f"{what} must be finite and > 0; got {shown(beta)}.")
    if np.any(array < 1 / LARGEST_BETA) or np.any(array > LARGEST_BETA):
        raise HamlearnError(f"{what} must lie between {1 / LARGEST_BETA:g} and {LARGEST_BETA:g}; got {shown(beta)}.")
    return array


def require_words(value: Any, name: str) -> tuple[Any, ...]:
    """One word or several, as a tuple; which words are allowed is asked by whoever knows them.

    Examples
    --------
    >>> require_words("z2", "symmetry"), require_words(["z2", "point"], "symmetry")
    (('z2',), ('z2', 'point'))
    """
    return (value,) if isinstance(value, str) else sequence_of(value, name)


def sequence_of(value: Any, name: str) -> tuple[Any, ...]:
    """The items of a sequence; an error for text, numbers, mappings and whatever else is none.

    Examples
    --------
    >>> sequence_of([4, 4], "hidden")
    (4, 4)
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise HamlearnError(f"{name} must be a sequence; got {shown(value)}.")
    return tuple(value)


def require_path(value: Any, name: str = "path") -> str | PathLike[str]:
    """`value` if it can name a file: text or a path.

    Examples
    --------
    >>> require_path("post.nc")
    'post.nc'
    """
    text = fspath(value) if isinstance(value, str | PathLike) else None
    if not isinstance(text, str) or not Path(text).name or "\0" in text:
        raise HamlearnError(f"{name} must be the path of a file, as text or a pathlib.Path; got {shown(value)}.")
    return value


def require_flag(value: Any, name: str) -> bool:
    """`value` if it is True or False: text such as "no" would count as true.

    Raises
    ------
    HamlearnError
        If it is anything else.

    Examples
    --------
    >>> require_flag(False, "check")
    False
    """
    if not isinstance(value, bool | np.bool_):
        raise HamlearnError(f"{name} must be True or False; got {shown(value)}.")
    return bool(value)


def shown(value: Any, length: int = 80) -> str:
    """A value in a message: its repr, cut where it is long, and one line; its type's name where even that fails."""
    try:
        plain = value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value
        text = " ".join(repr(plain).split())
    except Exception:  # whatever a stranger's repr raises, the message about its argument must come
        return f"a {type(value).__name__}"
    return text if len(text) <= length else f"{text[: length - 1]}… (a {type(value).__name__})"


def _finite(value: Any) -> float:
    """A float, or nan for what is no finite real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
