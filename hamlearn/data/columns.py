"""Columns of a table that are questions of their own: each has the states that were seen in it, whatever they were called.

What the states of every site were called is the coordinate ``codes`` of the site axis (JSON), how many there are the coordinate
``n_states`` (or which, of those that they were called, where some are none of its): both follow where sites are selected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import shown
from hamlearn.data.names import header, site_axis
from hamlearn.data.readout import refuse_renumbered
from hamlearn.errors import HamlearnError
from hamlearn.spaces import MISSING, Space, States, from_attrs
from hamlearn.storage.table import Table, tell

_NO_CHANCE = 10  # so many rows with a value each have not come to them as those of a site do

Codes = list[list[Any]]
Labels = Sequence[Any] | Mapping[str, Sequence[Any]]


def by_column(table: Table, space: Any, q: Any, labels: Labels | None) -> tuple[Table, Codes] | None:
    """A table with the values of every column numbered by themselves, and what they were; None where columns are to be read alike.

    Columns are questions of their own where they have names, they hold states, and nothing else is declared of them (`q`). `labels` are all
    states, in their order, of all columns or of those that are named; of others those that were seen, words in alphabetical order or in
    that of a frame's categories.

    Raises
    ------
    HamlearnError
        If a column holds one value only, values that are no whole numbers, or some that `labels` lack.
    """
    names = header(table.names)
    if space != States.name or q is not None or names is None or table.values.ndim != 2:
        if isinstance(labels, Mapping):
            raise HamlearnError("labels= by column are of a table with a header that holds states, space='states', and leave q= out.")
        return None
    known = labels if isinstance(labels, Mapping) else dict.fromkeys(names, labels)
    if strange := [name for name in known if name not in names]:
        raise HamlearnError(f"labels= names the column {shown(strange[0])}, which {table.where} does not have: {', '.join(names[:8])}.")
    values, codes = np.full(table.values.shape, np.nan), []
    for place, name in enumerate(names):
        column = table.values[:, place].astype(float)
        there = np.isfinite(column) if table.missing is None else ~table.missing[:, place] & np.isfinite(column)
        words = None if table.labels is None else table.labels[place]
        met = _met(table, place, column[there]) if words is None else [words[int(one)] for one in np.unique(column[there])]
        if known.get(name) is None and len(met) == there.sum() >= _NO_CHANCE:
            raise HamlearnError(
                f"column {table.column(place)} of {table.where} has another value in each of its {len(met)} rows: it tells rows apart and "
                f"is no site. Leave it out, table.drop(columns=[{table.column(place)}])."
            )
        own = _declared(table, place, met, known.get(name))
        index = {code: number for number, code in enumerate(own)}
        seen, where = np.unique(column[there], return_inverse=True)
        values[there, place] = np.array([index[int(one) if words is None else words[int(one)]] for one in seen])[where]
        codes.append(own)
    if all(own == codes[0] for own in codes) and table.labels is None and labels is None:
        return None  # read alike, and told so
    _say(table, names, codes)
    return replace(table, values=values, labels=None, missing=None), codes


def with_codes(data: xr.Dataset, codes: Codes) -> xr.Dataset:
    """Microstates that know what the states of every site were called."""
    sizes = [len(own) for own in codes]
    kept = {name: value for name, value in data.attrs.items() if name not in ("codes", "sizes")}
    if all(own == codes[0] for own in codes):
        found = data.drop_vars(["codes", "n_states"], errors="ignore")
        told = {} if codes[0] == list(range(len(codes[0]))) else {"codes": json.dumps(codes[0])}
        return _with_attrs(found, {**kept, "q": max(sizes), **told})
    axis = site_axis(data)
    found = _with_attrs(data.assign_coords(codes=(axis, np.array([json.dumps(own) for own in codes]))), kept)
    return with_space(found, States(sizes))  # type: ignore[arg-type]


def with_space(data: xr.Dataset, space: Space) -> xr.Dataset:
    """The same microstates as ones of `space`; which states every site has follows where sites are selected."""
    axis, found = site_axis(data), data.drop_vars("n_states", errors="ignore")
    if not space.uniform and axis is not None:
        found = found.assign_coords(n_states=(axis, np.array([json.dumps(one) for one in space.sizes])))
    return _with_attrs(found, {name: value for name, value in data.attrs.items() if name != "sizes"} | space.attrs)


def _with_attrs(data: xr.Dataset, attrs: Mapping[Any, Any]) -> xr.Dataset:
    found = data.copy()
    found.attrs = dict(attrs)
    return found


def own_space(data: xr.Dataset) -> Space:
    """The space of one Dataset: of sites with their own numbers of states that of the sites there are."""
    if "n_states" not in data.coords:
        return from_attrs(data.attrs)
    codes = column_codes(data)
    q = int(data.attrs["q"]) if codes is None else max(map(len, codes))
    return States(q, tuple(json.loads(str(one)) for one in np.atleast_1d(data["n_states"].values).tolist()))


def column_codes(data: xr.Dataset) -> Codes | None:
    """What the states of every site were called, where sites have their own; else None."""
    return [json.loads(str(own)) for own in data["codes"].values.tolist()] if "codes" in data.coords else None


def unions(given: Sequence[Codes]) -> Codes:
    """For every site all codes, or words, of several data sets, in their order."""
    if len({len(codes) for codes in given}) > 1:
        raise HamlearnError(f"the data sets have different site axes: {sorted({len(codes) for codes in given})} sites.")
    found: Codes = []
    for site, columns in enumerate(zip(*given, strict=True)):
        if len({type(code) for own in columns for code in own}) > 1:
            raise HamlearnError(f"site {site} has words in one data set and numbers in another: write the same ones.")
        alike = all(own == columns[0] for own in columns)
        found.append(list(columns[0]) if alike else sorted({code for own in columns for code in own}))
    return found


def recoded_columns(data: xr.Dataset, own: Codes, codes: Codes) -> xr.Dataset:
    """The same microstates with the states of every site numbered by `codes`, which must hold every code of theirs."""
    if own == codes:
        return data
    states = data["state"].values
    found = np.full(states.shape, MISSING, np.int8)
    for site, (old, new) in enumerate(zip(own, codes, strict=True)):
        if lacking := [code for code in old if code not in new]:
            raise HamlearnError(f"site {site} of the microstates holds the codes {lacking}, which are none of its states {new}.")
        place, column = np.array([new.index(code) for code in old], np.int8), states[..., site]
        found[..., site] = np.where(column == MISSING, MISSING, place[np.maximum(column, 0)])
    refuse_renumbered(data)
    return with_codes(data.assign(state=(data["state"].dims, found, data["state"].attrs)), codes)


def _met(table: Table, place: int, column: np.ndarray) -> list[int]:
    found = np.unique(column)
    if len(found) > 127 or np.any(found != np.floor(found)):
        told = "more than 127 values" if len(found) > 127 else f"{found[found != np.floor(found)][0]:g}"
        raise HamlearnError(
            f"column {table.column(place)} of {table.where} holds {told}: states "
            "are whole numbers or words. Leave out the column that is no site, or cut its values into classes."
        )
    return [int(one) for one in found]


def _declared(table: Table, place: int, met: list[Any], labels: Sequence[Any] | None) -> list[Any]:
    """All states of a column."""
    named = table.column(place)
    if labels is None:
        if len(met) < 2:
            only = shown(met[0]) if met else "none"
            raise HamlearnError(
                f"column {named} of {table.where} holds one value only, {only}: nothing is learned of it. Leave the "
                f"column out, or declare the states that it could have had, labels={{{named}: [...]}}."
            )
        return met  # numbers rise, words have the order of their table: that of the alphabet, or that of the categories of a frame
    given = list(labels) if not isinstance(labels, str) else []
    try:
        plain = [type(met[0])(one) if met else one for one in given]
    except (TypeError, ValueError):
        plain = given  # words of a column of numbers, which lack what is seen
    lacking = [one for one in met if one not in plain]
    if lacking or len(set(plain)) < max(len(plain), 2):
        told = f"{shown(lacking[0])} is seen and not among them" if lacking else "two at least, each once"
        raise HamlearnError(f"labels= lists all states of column {named} of {table.where} in their order; got {shown(given)}: {told}.")
    return plain


def _say(table: Table, names: Sequence[str], codes: Codes) -> None:
    short = [", ".join(map(str, own[:7])) + (", …" if len(own) > 7 else "") for own in codes[:6]]
    told = "; ".join(f"{name[:20]} {own}" for name, own in zip(names, short, strict=False))
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    tell(table.where, "every column has its own states: %s%s (labels={column: [...]} adds others, or orders them)", told, more)
