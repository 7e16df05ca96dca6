"""Readout errors: how often a spin is read as the other one, and how the rates come in.

The variable ``flip`` of microstates has the site axes of ``state`` and an axis ``true`` of −1 and 1: the probability that a site whose
true value that is was read as the other. Readings are independent given the true microstate. A missing cell is one that says nothing, as
one with a rate of 1/2 would; both are cells whose value is not known, so what does not know of the one refuses the other too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number, shown
from hamlearn.data.missing import missing
from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space

_WANTED = (
    "flip=: a rate >= 0 and < 0.5, an array of one for every site, {name: rate}, or a tuple of two of these (of -1 read as 1, of 1 as -1)"
)
_TRUE = [-1, 1]


def with_flip(data: xr.Dataset, given: Any, space: Space, names: tuple[str, ...] = ()) -> xr.Dataset:
    """Microstates that say how often their sites are misread; as they are where no rate is above zero.

    Parameters
    ----------
    data : Dataset
        Microstates.
    given : float, array, mapping, or tuple of two of these
        See :func:`hamlearn.microstates`.
    space : Space
        Theirs.
    names : tuple of str
        What their sites are called.

    Raises
    ------
    HamlearnError
        If a rate is no number, below 0 or not below 1/2, rates have another shape than the sites or a name that no site has, the sites
        are no spins, or the data say other rates already.
    """
    require_flips(space)
    axes = [str(axis) for axis in data["state"].dims if axis not in ("beta", "chain", "draw")]
    shape = tuple(data.sizes[axis] for axis in axes)
    both = given if isinstance(given, tuple) and len(given) == 2 else (given, given)
    if (
        math.prod(shape) == 2
        and both is given
        and all(np.ndim(one) == 0 and not isinstance(one, Mapping) for one in both)
        and both[0] != both[1]
    ):
        a, b = (shown(one) for one in both)
        raise HamlearnError(
            f"flip=({a}, {b}) of two sites may be rates of the sites or of the directions: give flip=[{a}, {b}] (a list), one for every "
            f"site, or flip=([{a}, {a}], [{b}, {b}]) by direction; names say it too, name=rate at the shell."
        )
    rates = np.stack([_rates(one, shape, names) for one in both], -1)
    if "flip" in data and not np.array_equal(data["flip"].values, rates):
        raise HamlearnError("these microstates say already how often they are misread (the variable 'flip'), so flip= would be ignored.")
    if not rates.any():
        return data
    return data.assign(flip=((*axes, "true"), rates)).assign_coords(true=_TRUE)


def _rates(given: Any, shape: tuple[int, ...], names: tuple[str, ...]) -> np.ndarray:
    """One rate for every site."""
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:
            whose = f"they are {', '.join(map(str, names[:8]))}{', …' if len(names) > 8 else ''}" if names else "they have none"
            raise HamlearnError(f"flip= has a rate for {shown(unknown[0])}, which is no name of these sites: {whose}.")
        return np.array([_rate(given.get(name, 0.0)) for name in names])
    try:
        array = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise HamlearnError(f"{_WANTED}; got {shown(given)}.") from None
    if array.ndim == 0:
        return np.full(shape, _rate(given))
    if array.shape != shape and array.shape != (int(np.prod(shape)),):
        raise HamlearnError(f"{_WANTED}; the sites have the shape {shape}, and the rates {array.shape}.")
    for rate in array.ravel():
        _rate(float(rate))
    return array.reshape(shape)


def _rate(value: Any) -> float:
    return require_number(value, "flip (the rate at which a site is misread)", least=0, below=0.5)


def require_flips(space: Space) -> None:
    """An error where a value cannot be misread as the other one."""
    if not space.misread:
        why = f"{', '.join(space.constraint)} is fixed, so that no single site flips" if space.constraint else "only spins and bits flip"
        raise HamlearnError(f"flip= says how often a spin is read as the other one; these are {space}: {why}. Leave it out.")


def require_rates(data: xr.Dataset, space: Space) -> None:
    """An error if the variable ``flip`` of microstates is none that :func:`with_flip` makes."""
    if "flip" not in data:
        return
    require_flips(space)
    axes = tuple(axis for axis in data["state"].dims if axis not in ("beta", "chain", "draw"))
    if data["flip"].dims != (*axes, "true") or data.get("true", xr.DataArray(0)).values.tolist() != _TRUE:
        told = f"dims {(*axes, 'true')} with true = -1, 1; got {data['flip'].dims}"
        raise HamlearnError(f"'flip' needs {told}. Make the microstates anew with hl.microstates(array, flip=...).")
    rates = data["flip"].values
    if rates.dtype.kind != "f" or not np.all((rates >= 0) & (rates < 0.5)):
        raise HamlearnError("'flip' holds the rates at which sites are misread, numbers >= 0 and < 0.5; these are none.")


def refuse_misread(data: xr.Dataset) -> None:
    """An error if cells may be misread where true values are needed."""
    if "flip" in data:
        raise HamlearnError(
            f"these microstates are read with errors (flip, {data['flip'].values.mean():.2g} of the readings), and this needs true ones. "
            "Only couplings of spins are learned through readout errors (hl.models.Couplings); data.drop_vars('flip') takes what was read "
            "for true."
        )


def known(data: xr.Dataset) -> bool:
    """Whether the value of every cell of microstates is known: none is missing, and none may be misread.

    Examples
    --------
    >>> import hamlearn as hl
    >>> known(hl.microstates([[1, -1], [1, 1]])), known(hl.microstates([[1, -1], [1, 1]], flip=0.02))
    (True, False)
    """
    return "flip" not in data and not missing(data).any()


def flips(data: xr.Dataset) -> np.ndarray | None:
    """The rates of microstates by site and true value, ``(n_sites, 2)``; None where they are read without error."""
    return data["flip"].values.reshape(-1, 2) if "flip" in data else None
