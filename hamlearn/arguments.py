"""Checks of numbers that a user gives: one function each, so that every verb and setting refuses the same things in the same words."""

from __future__ import annotations

import math
from numbers import Real
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
    hamlearn.errors.HamlearnError: draws must be a whole number of at least 1; got 1000.0.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise HamlearnError(f"{name} must be a whole number {bounds}{also}; got {shown(value)}.")
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


def shown(value: Any, length: int = 80) -> str:
    """A value in a message: its repr, cut where it is long, and one line; its type's name where even that fails."""
    try:
        text = " ".join(repr(value).split())
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
