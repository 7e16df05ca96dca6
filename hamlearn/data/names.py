"""What sites are called: columns have names, which microstates keep as the string coordinate of their one site axis.

Names are labels and no places: nothing is computed from them. This file is where a site's number becomes its word (:func:`word`), and
where two sets of names are found to be one or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError

_LEADING = ("beta", "chain", "draw")
_NAMELESS = ("Unnamed:", "column_")  # how pandas and polars number columns that came without a name


def word(names: Sequence[str], site: int) -> str:
    """What a site is called: its name, or its number where `names` is empty.

    Examples
    --------
    >>> word(("anna", "ben"), 1), word((), 1)
    ('ben', '1')
    """
    return names[site] if names else str(int(site))


def as_names(given: Any, n_sites: int, what: str = "names=") -> tuple[str, ...]:
    """One name for every site: text without line breaks, none empty, none twice; whole numbers become text.

    Raises
    ------
    HamlearnError
        Naming the name that is none.

    Examples
    --------
    >>> as_names(["anna", "ben "], 2)
    ('anna', 'ben')
    """
    wanted = f"{what}: a list with one name for every site, such as ['anna', 'ben', ...]"
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise HamlearnError(f"{wanted}; got {shown(given)}.")
    plain = given.tolist() if hasattr(given, "tolist") else list(given)
    if bad := [one for one in plain if isinstance(one, bool) or not isinstance(one, str | int | np.integer)]:
        raise HamlearnError(f"{wanted}, text or whole numbers; got {shown(bad[0])}.")
    found = tuple(" ".join(str(one).split()) for one in plain)
    if len(found) != n_sites:
        raise HamlearnError(f"{wanted}; there are {n_sites} sites and {len(found)} names.")
    for site, name in enumerate(found):
        if not name or not name.isprintable():
            raise HamlearnError(f"{wanted}; that of site {site}, {shown(plain[site])}, is {'not printable' if name else 'empty'}.")
    if len(set(found)) < len(found):
        twice = next(name for site, name in enumerate(found) if name in found[:site])
        raise HamlearnError(f"{wanted}; {shown(twice)} is the name of two.")
    return found


def own_names(source: Any) -> list[str] | None:
    """The names that the one site axis of a DataArray has; None where they are only counted, and of anything else."""
    if not isinstance(source, xr.DataArray):
        return None
    axes = [axis for axis in source.dims if axis not in _LEADING]
    known = source.coords[axes[-1]].values if len(axes) == 1 and axes[-1] in source.coords else np.arange(0)
    return list(map(str, known.tolist())) if known.dtype.kind in "UOT" else None


def header(columns: Sequence[Any] | None) -> list[str] | None:
    """The names of a table's columns; None where one of them was only counted by what read it."""
    if columns is None or any(str(one).startswith(_NAMELESS) or not str(one).strip() for one in columns):
        return None
    return list(map(str, columns))


def site_axis(data: xr.Dataset) -> str | None:
    """The one site axis, which may have names; None of lattices of several."""
    axes = [str(axis) for axis in data["state"].dims if axis not in (*_LEADING, "component")]
    return axes[0] if len(axes) == 1 else None


def names_of(data: xr.Dataset) -> tuple[str, ...]:
    """What the sites of microstates are called; () where they are numbered.

    Examples
    --------
    >>> import hamlearn as hl
    >>> names_of(hl.microstates([[1, -1], [1, 1]], names=["anna", "ben"])), names_of(hl.microstates([[1, -1], [1, 1]]))
    (('anna', 'ben'), ())
    """
    axis = site_axis(data)
    known = data.coords.get(axis) if axis else None
    return () if known is None or known.dtype.kind not in "UOT" else tuple(map(str, known.values.tolist()))


def with_names(data: xr.Dataset, given: Any, what: str = "names=") -> xr.Dataset:
    """`data` with its sites called so; an error where they are called otherwise already, or have several axes."""
    axis = site_axis(data)
    if axis is None:
        shape = tuple(data["state"].sizes[one] for one in data["state"].dims if one not in _LEADING)
        raise HamlearnError(f"{what} calls the sites of one axis; these have the axes {shape}, where sites are called by their places.")
    found, known = as_names(given, data.sizes[axis], what), names_of(data)
    if known and known != found:
        raise HamlearnError(f"these microstates name their sites already ({_first(known)}), so {what} would be ignored; leave it out.")
    return data.assign_coords({axis: np.array(found, dtype=str)})


def named(data: xr.Dataset) -> xr.Dataset:
    """`data` with its names looked at, as text of NumPy, which files do not give back."""
    axis = site_axis(data)
    if not (known := names_of(data)):
        return data
    found = as_names(known, len(known), f"the coordinate {axis!r}")
    return data if found == known and data[axis].dtype.kind == "U" else data.assign_coords({axis: np.array(found, dtype=str)})


def alike(parts: list[xr.Dataset]) -> list[xr.Dataset]:
    """Data sets of the same sites, all with the names that any of them has.

    Raises
    ------
    HamlearnError
        If two of them call their sites differently, or the same in another order: columns would be mistaken for each other.
    """
    named = [(number, found) for number, part in enumerate(parts) if (found := names_of(part))]
    for number, found in named[1:]:
        require_same(named[0][1], found, f"data set {named[0][0]}", f"data set {number}")
    if not named or len(named) == len(parts):
        return parts
    first = named[0][1]
    fits = lambda part: site_axis(part) is not None and part.sizes[site_axis(part)] == len(first) and not names_of(part)
    return [with_names(part, first) if fits(part) else part for part in parts]


def require_same(first: tuple[str, ...], second: tuple[str, ...], one: str, other: str) -> None:
    """An error where both have names that are not the same in the same order; `one` and `other` say whose they are."""
    if not first or not second or first == second:
        return
    if set(first) == set(second):
        order = f"data.sel(site={list(first)})" if len(first) <= 8 else "data.sel(site=first['site'].values)"
        raise HamlearnError(f"{one} and {other} have the same sites in another order: bring the second into that of the first, {order}.")
    only = [name for name in first if name not in second], [name for name in second if name not in first]
    told = " and ".join(f"only {whose} has {_first(tuple(these))}" for these, whose in zip(only, (one, other), strict=True) if these)
    raise HamlearnError(f"{one} and {other} are of different sites: {told}. Select the sites that both have, data.sel(site=[...]).")


def _first(names: tuple[str, ...]) -> str:
    return ", ".join(shown(name) for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
