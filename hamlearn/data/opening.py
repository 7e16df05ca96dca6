"""What a user hands over, opened: a file, a table or an array as one :class:`hamlearn.storage.Table`, or microstates already made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import storage
from hamlearn.arguments import require_number, shown
from hamlearn.data.arrays import as_table, own_beta, own_dims
from hamlearn.data.names import header, own_names
from hamlearn.errors import HamlearnError, choice
from hamlearn.spaces import Space
from hamlearn.storage.table import Table, tell

_LONG = 4  # so much longer than others, the axis after the first counts microstates rather than sites
_WIDE = 5  # so many times more columns than rows say little of any site: rows are often the sites


def open_table(
    source: Any, dims: Sequence[str] | None, beta: Any, column: int | str | None, rules: Mapping[str, Any]
) -> xr.Dataset | Table:
    """A Dataset that says what it is, or what is in anything else; `dims` and `beta` are what is said by hand.

    Parameters
    ----------
    source : path, Dataset, DataArray, table or array
        As :func:`hamlearn.microstates` takes it.
    dims, beta : sequence of str, float
        Of the axes, and the temperatures; None where nothing is said.
    column : int or str, optional
        Which column of a table counts.
    rules : mapping
        ``gaps``, ``max_gaps`` and ``variable``: how a file is read.
    """
    loaded, file = source, isinstance(source, str | PathLike)
    if file:
        _require_rules(rules["gaps"], rules["max_gaps"])
        loaded = storage.read_states(fspath(source), column, **rules)
    elif any(rule is not None for rule in rules.values()):
        raise HamlearnError("gaps=, max_gaps= and variable= say how a file is read; leave them out with an array.")
    if isinstance(loaded, xr.Dataset) and len(only := _candidates(loaded)) == 1:
        loaded = loaded[only[0]]
    if isinstance(loaded, xr.Dataset):
        return loaded
    if isinstance(loaded, xr.DataArray):
        known = own_names(loaded)
        found = as_table(loaded.values)
        return replace(found, names=None if known is None else tuple(known), dims=own_dims(loaded, dims), beta=own_beta(loaded, beta))
    table = loaded if isinstance(loaded, Table) else as_table(loaded, column)
    if dims is None and table.dims is not None:
        tell(table.where, "of shape %s, the longer axis counts microstates (dims=('draw', 'site') if it does not)", table.values.shape)
    if file and dims is None and table.dims is None and table.values.ndim == 2 and len(table.values) == 1:
        raise HamlearnError(
            f"{table.where} holds one row of {table.values.size} columns, which is one microstate; more are needed. If its columns are "
            "microstates of one site, or it is a lattice written in a row, pass the array: hl.microstates(array, ...)."
        )
    return _with_dims(table, dims)


def _with_dims(table: Table, dims: Sequence[str] | None) -> Table:
    """A table with its axes named: where rows are the sites, what rows are called are the names."""
    if dims is not None:
        return _turned(replace(table, dims=dims)) if table.values.ndim == 2 and list(dims)[-1:] == ["draw"] else replace(table, dims=dims)
    if table.rows is None:
        return table
    if table.values.shape[0] < table.values.shape[1] and (header(table.names) is None or all(map(str.isdigit, table.names or ()))):
        raise HamlearnError(
            f"every row of {table.where} has a name ({', '.join(map(shown, table.rows[:3]))}, ...), and its columns have none: if rows are "
            f"sites, hl.microstates({_called(table)}, dims=('site', 'draw'), ...), at the shell --dims site,draw; if they are "
            "microstates, dims=('draw', 'site')."
        )
    return table


def _turned(table: Table) -> Table:
    """A table of sites times microstates as one of microstates times sites: what its rows are called are the names, a header is none."""
    missing = None if table.missing is None else table.missing.T
    if table.labels is None:
        return replace(table, values=table.values.T, missing=missing, names=table.rows, dims=list(table.dims or ())[::-1])
    # Beside columns of words numbers are words too: which a site has, its row says, and no column.
    texts = np.stack([_as_words(table.values[:, place], own) for place, own in enumerate(table.labels)])
    there = np.ones(texts.shape, bool) if missing is None else ~missing
    words = [np.unique(texts[there[:, site], site]) for site in range(texts.shape[1])]
    values = np.stack([np.searchsorted(own, texts[:, site]) for site, own in enumerate(words)], axis=1)
    labels = tuple(tuple(map(str, own)) for own in words)
    return replace(table, values=values, missing=missing, labels=labels, names=table.rows, dims=list(table.dims or ())[::-1])


def _as_words(column: np.ndarray, words: tuple[str, ...] | None) -> np.ndarray:
    """A column as texts: its words, or its numbers as they are written."""
    if words is None:
        return np.array([np.format_float_positional(number, trim="-") for number in column.astype(float)])
    return np.array(words or ("",))[np.clip(column, 0, max(len(words) - 1, 0)).astype(int)]


def with_said(table: Table, space: Any, beta: Any, counts: Any, weights: Any, q: Any) -> Table:
    """A table with its space, β, counts, weights and q as they are said by hand: that counts for more than what a file says."""
    column = isinstance(counts, int | str)
    if column and table.counts is None:
        raise HamlearnError(
            f"counts={counts!r} names a column of a table, and {table.where} has none; give the counts themselves, one per microstate."
        )
    said = lambda value, own: own if value is None else value
    space, q = said(space, table.space), said(q, table.q)
    return replace(
        table,
        space=space if space is None or isinstance(space, str | Space) else str(space),
        beta=said(beta, table.beta),
        counts=said(None if column else counts, table.counts),
        weights=said(weights, table.weights),
        q=int(q) if isinstance(q, np.generic | np.ndarray) and np.ndim(q) == 0 and np.asarray(q).dtype.kind in "iu" else q,
    )


def across(table: Table) -> str:
    """What to say of a table that looks as if it had one site a row, from which nothing is learned that means anything; "" of others."""
    if table.values.ndim != 2 or table.dims is not None or table.independent or table.counts is not None:
        return ""
    rows, columns = table.values.shape
    if not 1 < rows < columns / _WIDE:
        return ""
    return (
        f"Every row was read as one of {rows} microstates of {columns} sites: if rows are sites, "
        f"hl.microstates({_called(table)}, dims=('site', 'draw'), ...), at the shell --dims site,draw"
    )


def _called(table: Table) -> str:
    """What a call has in place of a table."""
    return {Table.where: "states", "the table": "table"}.get(table.where, repr(Path(table.where).name))


def refuse_unclear_axes(shape: tuple[int, ...]) -> None:
    """An error where ``(draw, *sites)`` looks like ``(chain, draw, *sites)``: few of the first, and the second unlike the others."""
    if len(shape) < 3 or shape[0] >= shape[1]:
        return
    rest = shape[2:]
    if shape[1] >= _LONG * max(rest) or (len(set(rest)) < len(rest) and shape[1] not in rest):
        axes = ", ".join(f"'{axis}'" for axis in "xyzuvw"[: len(rest)]) if len(rest) <= 6 else "..."
        raise HamlearnError(
            f"the axes {shape} are {shape[0]} chains of {shape[1]} microstates of shape {rest}, or {shape[0]} microstates of shape "
            f"{shape[1:]}: say which, dims=('chain', 'draw', {axes}) or dims=('draw', 't', {axes})."
        )


def _require_rules(gaps: Any, max_gaps: Any) -> None:
    """An error if what is said of the gaps of an alignment is no rule."""
    if gaps is not None:
        choice(gaps, ("state", "missing"), "gaps")
    if max_gaps is not None and require_number(max_gaps, "max_gaps (a share of gaps)", least=0) >= 1:
        raise HamlearnError(f"max_gaps is a share, at least 0 and below 1; got {max_gaps!r}.")


def _candidates(data: xr.Dataset) -> list[Any]:
    """The arrays that can be states in a Dataset that does not say so: of numbers, with two axes or more."""
    if "state" in data or "space" in data.attrs:
        return []
    return [name for name, array in data.data_vars.items() if array.ndim >= 2 and array.dtype.kind in "biuf"]
