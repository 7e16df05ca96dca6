"""The door: what comes in as microstates is checked, whoever wrote or changed it.

Every verb that takes microstates calls :func:`admit` (or :func:`admit_states`, where bare arrays are allowed) once, which looks at all
values. Inside, :func:`validate` asks only for the layout: it is called wherever data are split.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import spaces
from hamlearn.arguments import require_beta, require_whole, shown
from hamlearn.data.arrays import as_numbers
from hamlearn.data.columns import own_space
from hamlearn.data.geometry import require_geometry, with_geometry
from hamlearn.data.missing import filled, refuse, require_gaps, require_observed, space_missing
from hamlearn.data.names import named, names_of
from hamlearn.data.readout import refuse_misread, require_rates
from hamlearn.data.values import per_row, refuse_repeated_end
from hamlearn.errors import HamlearnError, choice
from hamlearn.spaces import Space, require_numbers

SCHEMA = 1
PIECE = 1 << 24  # bytes looked at together
_MAKE = "make them with hl.microstates(array, space=..., beta=...)"


def admit(data: xr.Dataset | Iterable[xr.Dataset], *, missing: bool = False) -> list[xr.Dataset]:
    """Microstates of one Dataset or of many, with all values checked as those of arrays are.

    What lies on disk is read once for it, piece by piece.

    Parameters
    ----------
    data : Dataset, or an iterable of Datasets
        Made by this library, read from a file, or put together or changed by hand.
    missing : bool
        Whether cells may be missing (:mod:`hamlearn.data.missing`) or misread (:mod:`hamlearn.data.readout`): whoever asks knows of them.

    Returns
    -------
    list of Dataset
        The same objects, except that whole floats or wider integers of a discrete space are now int8.

    Raises
    ------
    HamlearnError
        If anything is no microstates, a value is missing, may be misread, or lies outside the space that is named, a temperature, count,
        weight or attribute makes no sense, or chains or whole sets are copies of each other.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, -1, 1], [1, 1, 1]], space="spins", beta=0.5)
    >>> admit(data)[0] is data
    True
    >>> admit(data.assign(state=0 * data["state"]))
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: space='spins' allows the values -1 and 1; found 0. ...
    """
    sets = [with_geometry(_checked(one, missing)) for one in flattened(data)]
    refuse_copied_chains(sets)
    return sets


def admit_one(data: xr.Dataset, *, missing: bool = False) -> xr.Dataset:
    """:func:`admit` of a single Dataset."""
    return admit(data, missing=missing)[0]


def admit_states(states: Any, space: Any) -> Any:
    """States that a verb is asked about, checked: a Dataset as :func:`admit` does it, anything else as an array of values of `space`.

    Parameters
    ----------
    states : Dataset or array ``(..., *site axes)``
        One microstate is enough, without an axis of draws.
    space : Space
        With a `name` and a `q`.
    """
    if isinstance(states, xr.Dataset):
        found = admit_one(states)
        if space_of(found).name != space.name:
            raise HamlearnError(f"these microstates are {found.attrs['space']}, but {space.name} are asked for here.")
        return found
    if isinstance(states, xr.DataTree):
        raise HamlearnError("this is a posterior or another tree of results; states are an array or a Dataset of microstates.")
    array = as_numbers(states)
    if array.size == 0:
        raise HamlearnError(f"no states were given: the array has shape {array.shape}.")
    return space.validate(array)


def space_of(data: xr.Dataset | Iterable[xr.Dataset]) -> Space:
    """The space of microstates, or of many: that of the most states where some have seen fewer.

    Raises
    ------
    HamlearnError
        If they are of different kinds, or differ in what is fixed.
    """
    found = [own_space(one) for one in flattened(data)]
    if len({(space.name, *space.constraint.items(), *space.event_shape) for space in found}) > 1:
        raise HamlearnError(f"the microstates are of different spaces: {', '.join(sorted({str(space) for space in found}))}.")
    return max(found, key=lambda space: space.q)


def flattened(data: Any) -> Iterator[xr.Dataset]:
    """The Datasets of one or of (nested) many; an error for what is none."""
    if isinstance(data, xr.Dataset):
        yield data
        return
    if isinstance(data, xr.DataTree):
        raise HamlearnError("this is a posterior or another tree of results, not microstates: give the data that it was learned from.")
    if not isinstance(data, Iterable) or isinstance(data, str | bytes | Mapping | np.ndarray | xr.DataArray) or hasattr(data, "__array__"):
        raise HamlearnError(
            f"microstates or a list of them are expected; got a {type(data).__name__}. Make them from an array or a file: "
            "hl.microstates(array, space='spins', beta=...)."
        )
    empty = True
    for item in data:
        empty = False
        yield from flattened(item)
    if empty:
        raise HamlearnError("no microstates given: the list is empty.")


def validate(data: xr.Dataset) -> xr.Dataset:
    """`data` unchanged if its layout is that of microstates, else an error that says what is wrong; values are not looked at."""
    if "state" not in data:
        raise HamlearnError(f"microstates need a variable 'state'; this Dataset holds {sorted(map(str, data.data_vars))}.")
    state = data["state"]
    lead = [str(name) for name in state.dims if name in ("beta", "chain", "draw")]
    if lead not in (["chain", "draw"], ["beta", "chain", "draw"]) or list(map(str, state.dims[: len(lead)])) != lead:
        raise HamlearnError(
            f"'state' needs dims (chain, draw, *sites) or (beta, chain, draw, *sites); got {state.dims}. "
            "Where nothing else is known of them, give the array alone: hl.microstates(dataset['state'], ...)."
        )
    missing = [key for key in ("space", "q") if key not in data.attrs]
    if missing or "beta" not in data.coords:
        raise HamlearnError(f"microstates need attributes 'space', 'q' and a coordinate 'beta'; {_MAKE}.")
    if state.ndim == len(lead) or not state.size:
        raise HamlearnError(f"'state' has no sites or no draws: {dict(state.sizes)}; {_MAKE}.")
    _require_attributes(data.attrs)
    expected = ("beta",) if "beta" in lead else ()
    if data["beta"].dims != expected:
        raise HamlearnError(f"the coordinate 'beta' needs dims {expected}, as 'state' has; got {data['beta'].dims}.")
    require_beta(data["beta"].values)
    if {"count", "weight"} <= set(data.data_vars):
        raise HamlearnError("microstates have either 'count' (how often a row was seen) or 'weight', not both.")
    for name in ("count", "weight"):
        if name in data and data[name].dims != tuple(lead):
            raise HamlearnError(f"'{name}' needs one value per microstate, dims {tuple(lead)}; got {data[name].dims}.")
    return data


def _require_attributes(attrs: Mapping[Any, Any]) -> None:
    """An error if what microstates say of themselves is not of the type that is read later."""
    schema = attrs.get("schema_version", SCHEMA)
    if require_whole(schema, "the attribute 'schema_version'", 0) > SCHEMA:
        raise HamlearnError(f"written by a newer hamlearn (schema {schema}, this reads {SCHEMA}); upgrade hamlearn to read it.")
    choice(attrs["space"], tuple(spaces.KINDS), "the attribute 'space'")
    q = require_whole(attrs["q"], "the attribute 'q'", 0)
    if "q" in (field.name for field in fields(spaces.KINDS[attrs["space"]])) and not 2 <= q <= 127:  # a number of its own
        raise HamlearnError(f"the attribute 'q' of {attrs['space']} is 2 to 127; got {q}.")
    if (own := spaces.from_attrs(attrs)).q != q:
        raise HamlearnError(f"the attribute 'q' of {own.name} is {own.q}; got {q}.")
    if "source_space" in attrs:
        choice(attrs["source_space"], spaces.names(), "the attribute 'source_space'")
    for name in ("beta_declared", "independent"):
        if name in attrs and attrs[name] not in (0, 1):
            raise HamlearnError(f"the attribute {name!r} is 0 or 1; got {shown(attrs[name])}.")
    for name in ("tau_int", "tau_int_m", "ess"):
        if name in attrs and not _positive_or_nan(attrs[name]):
            raise HamlearnError(f"the attribute {name!r} is a number > 0 (or nan); got {shown(attrs[name])}.")
    require_geometry(attrs)
    if "system" in attrs and not isinstance(_parsed(attrs, "system"), dict):
        raise HamlearnError("the attribute 'system' is the JSON of a description, {...}; remove it or write it anew.")
    if "codes" in attrs:
        codes = _parsed(attrs, "codes")
        kinds = {type(code) for code in codes} if isinstance(codes, list) else {None}
        plain = kinds == {int} and codes == sorted(set(codes))
        worded = kinds == {str} and len(set(codes)) == len(codes)
        if not (plain or worded) or max(2, len(codes)) != q:
            told = f"the JSON of q = {q} ascending whole numbers, or of as many words"
            raise HamlearnError(f"the attribute 'codes' is {told}; got {shown(attrs['codes'])}.")


def _positive_or_nan(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isnan(number) or number > 0


def _parsed(attrs: Mapping[Any, Any], name: str) -> Any:
    try:
        return json.loads(attrs[name])
    except (TypeError, ValueError, RecursionError):
        raise HamlearnError(f"the attribute {name!r} is not JSON: {shown(attrs[name])}.") from None


def _checked(data: xr.Dataset, missing: bool) -> xr.Dataset:
    """One Dataset with all its values looked at, in the types that are stored."""
    data = named(validate(data))
    for name in ("count", "weight"):
        if name in data:
            per_row(data[name].values, data[name].shape, name + "s")
    space, state = own_space(data), data["state"]
    require_rates(data, space)
    if not missing:
        refuse_misread(data)
    lead = 3 if "beta" in state.dims else 2
    site_axes = state.ndim - lead - len(space.event_shape)
    if not state.variable._in_memory:
        for piece in pieces(state):
            if _checked_values(space, piece, site_axes, missing).dtype != piece.dtype:
                told = (
                    f"{space.name} on disk are stored as int8, floats of continuous spaces as float32 or float64; these are {piece.dtype}."
                )
                raise HamlearnError(f"{told} Load them with hl.microstates(path) and save them anew.")
        return data
    array = state.values
    if np.ma.is_masked(state.variable._data):
        raise HamlearnError(
            "the states hold masked values: make the microstates anew, hl.microstates(array, ...), which keeps them as missing."
        )
    values = _checked_values(space, array, site_axes, missing)
    if missing:
        require_observed(space_missing(space, values), [str(name) for name in state.dims], names_of(data))
    if space.continuous:
        refuse_repeated_end(values, list(range(lead, lead + site_axes)))
    return data if values is array else data.assign(state=(state.dims, values, state.attrs))


def _checked_values(space: Space, array: np.ndarray, site_axes: int, missing: bool) -> np.ndarray:
    """States in the type that is stored; missing cells among them only where they may be."""
    require_numbers(array)
    gone = space_missing(space, array)
    if not gone.any():
        return space.validate(array, site_axes=site_axes)
    require_gaps(space, gone)
    if not missing:
        refuse(gone)
    checked = space.validate(filled(array, gone), site_axes=site_axes)
    if checked.dtype == array.dtype:
        return array
    checked[gone] = space.missing
    return checked


def pieces(array: xr.DataArray) -> Iterator[np.ndarray]:
    """The values of an array with leading axes chain and draw (after one of temperatures), read in pieces of some megabytes."""
    for part in (array,) if array.dims[:1] != ("beta",) else (array[index] for index in range(array.sizes["beta"])):
        chains, draws = part.shape[:2]
        rows = max(1, PIECE * chains * draws // max(part.nbytes, 1))
        for chain in range(chains):
            for start in range(0, draws, rows):
                yield part[chain, start : start + rows].values


def refuse_copied_chains(sets: Iterable[xr.Dataset]) -> None:
    """An error where a chain repeats another, of any temperature and any set; frozen chains may, varied ones not."""
    seen: dict[bytes, str] = {}
    several = len(sets := list(sets)) > 1
    for number, data in enumerate(sets):
        state = data["state"]
        if not state.variable._in_memory:
            continue
        draws = state.sizes["draw"]
        values = state.values.reshape(-1, draws, math.prod(state.shape[state.dims.index("draw") + 1 :]))
        counted = next((data[name].values.reshape(-1, draws) for name in ("count", "weight") if name in data), None)
        for chain, rows in enumerate(values):
            digest = hashlib.blake2b(np.ascontiguousarray(rows).tobytes())
            digest.update(b"" if counted is None else counted[chain].tobytes())  # lists of all states differ in how often they were seen
            name = f"{chain} of set {number}" if several else str(chain)
            first = seen.setdefault(digest.digest(), name)
            if first != name and draws >= 10 and len(np.unique(rows, axis=0)) >= 5:
                raise HamlearnError(
                    f"chains {first} and {name} are identical copies; counting them twice would make every error bar too small. Keep one."
                )
