"""What a user has in hand, as an array with named axes: nothing that it says of itself is dropped without a word."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import shown
from hamlearn.data.missing import as_floats, covered, uncovered
from hamlearn.errors import HamlearnError
from hamlearn.processes import filtering
from hamlearn.spaces import require_numbers
from hamlearn.storage import Table
from hamlearn.storage.frames import of_frame

LEADING = ("beta", "chain", "draw")


def as_table(source: Any, count_column: int | str | None = None) -> Table:
    """What an array, a tensor, a table with columns, or nested lists hold.

    Raises
    ------
    HamlearnError
        If lists are ragged, there are fewer than two axes or no values, or it is something else altogether.
    """
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):  # a DataFrame, of pandas or polars
        return _of_frame(source, count_column)
    return Table(as_numbers(source))


def plain(table: Table) -> np.ndarray:
    """The numbers of a table of at least two axes, NaN where cells are missing; an error where there are words."""
    values = table.values if table.missing is None else covered(table.values, table.missing)
    if values.ndim < 2 or values.size == 0:
        raise HamlearnError(f"states need at least two axes, (draw, site), and may not be empty; got shape {values.shape}.")
    if table.labels is not None:
        place = next(place for place, words in enumerate(table.labels) if words is not None)
        word = (table.labels[place] or ("",))[0][:40]
        raise HamlearnError(f"{table.where} holds text in column {table.column(place)}, {word!r}; states must be numbers.")
    require_numbers(values)
    return values


def as_numbers(source: Any) -> np.ndarray:
    """Numbers of any shape from an array, a tensor, a table, or nested lists; NaN where cells are missing."""
    _refuse_what_is_none(source)
    source = [uncovered(one) for one in source] if isinstance(source, list | tuple) else uncovered(source)
    if hasattr(source, "detach") and hasattr(source, "cpu"):  # a torch tensor: its numbers, wherever they lie and whatever follows them
        source = _of_tensor(source)
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        source = plain(_of_frame(source, None))
    try:
        with filtering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's remarks on what lists of odd things become: they are refused below
            array = as_floats(np.asarray(source))
    except HamlearnError:
        raise
    except ValueError as error:
        raise HamlearnError("the states are ragged: every microstate must have the same number of sites.") from error
    except Exception as error:
        raise HamlearnError(f"a {type(source).__name__} cannot be read as an array of states ({error}); give a NumPy array.") from error
    require_numbers(array)
    return array


def own_dims(source: xr.DataArray, dims: Sequence[str] | None) -> list[str] | None:
    """The names of the axes of a DataArray, unless `dims` gives others; None where xarray numbered them (``dim_0``)."""
    names = [str(name) for name in source.dims]
    unnamed = names == [f"dim_{axis}" for axis in range(len(names))]
    if dims is not None:
        given = list(dims)
        if not unnamed and given != names and set(given) == set(names):
            raise HamlearnError(f"the DataArray's axes are {tuple(names)}, but dims={tuple(given)} orders them otherwise; leave dims= out.")
        return given
    if unnamed:
        return None
    if "draw" not in names:
        raise HamlearnError(
            f"a DataArray with dims {tuple(names)} does not say which axis counts microstates: name it 'draw' "
            "(array.rename(old='draw')), or give all names in their order, dims=('draw', 'site')."
        )
    return names


def own_beta(source: xr.DataArray, beta: Any) -> Any:
    """The temperatures of a DataArray's coordinate ``beta``, unless `beta` is given; both must agree."""
    if "beta" not in source.coords:
        return beta
    known = source["beta"].values
    if beta is not None and not np.array_equal(np.asarray(beta), known):
        raise HamlearnError(f"the DataArray's coordinate beta is {known.tolist()}, but beta={shown(beta)} was given; leave it out.")
    return known if known.ndim else known.item()


def name_axes(array: np.ndarray, dims: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Move the leading axes to (beta,) chain, draw and return the array with the names of all its axes."""
    if isinstance(dims, str) or not (dims is None or (isinstance(dims, Iterable) and all(isinstance(name, str) for name in dims))):
        raise HamlearnError(f"dims must be a sequence of names, one per axis, such as ('chain', 'draw', 'site'); got {shown(dims)}.")
    names = ["draw", *(f"x{axis}" for axis in range(array.ndim - 1))] if dims is None else list(dims)
    if len(names) != array.ndim or len(set(names)) != len(names):
        raise HamlearnError(f"dims must name each of the {array.ndim} axes once; got {tuple(names)} for shape {array.shape}.")
    if "draw" not in names:
        raise HamlearnError(f"dims must contain 'draw'; got {tuple(names)}.")
    if all(name in LEADING for name in names):
        raise HamlearnError(f"dims must name at least one site axis; got {tuple(names)}.")
    if reserved := [name for name in names if name in ("state", "count", "weight")]:
        raise HamlearnError(f"an axis may not be called {reserved[0]!r}, which is a variable of microstates; rename it in dims=.")
    if "chain" not in names:
        array, names = array[None], ["chain", *names]
    lead = [name for name in LEADING if name in names]
    order = [names.index(name) for name in lead] + [axis for axis, name in enumerate(names) if name not in lead]
    return array.transpose(order), [names[axis] for axis in order]


def _refuse_what_is_none(source: Any) -> None:
    """An error for what is no array of states, in words that its owner understands."""
    if isinstance(source, list | tuple) and any(isinstance(item, xr.Dataset) for item in source):
        raise HamlearnError("this is a list of microstates already; give it to hl.learn as it is.")
    if isinstance(source, Mapping):
        raise HamlearnError(f"states are an array or a file; got a {type(source).__name__}. Give the array that it holds.")
    if isinstance(source, Iterator | set | frozenset):
        raise HamlearnError(
            f"states are an array or a file; got a {type(source).__name__}, which has no order or shape: make a list of it."
        )
    if hasattr(source, "collect") and not hasattr(source, "__array__"):
        raise HamlearnError(f"a {type(source).__name__} has not been computed: give source.collect().")
    if source is None or isinstance(source, type) or callable(source):
        raise HamlearnError(f"states are an array or a file; got {shown(source)}.")
    if hasattr(source, "todense") or hasattr(source, "toarray"):
        raise HamlearnError(
            f"the states are a sparse matrix ({type(source).__name__}): give states.toarray(); no site of a microstate is empty."
        )


def _of_tensor(source: Any) -> np.ndarray:
    """The numbers of a tensor: states are observations, so a gradient that follows them is no part of them."""
    try:
        plain = source.detach().cpu()
        return np.asarray(plain.float().numpy() if "bfloat16" in str(plain.dtype) else plain.numpy())
    except Exception as error:
        raise HamlearnError(
            f"a {type(source).__name__} cannot be read as an array of states ({error}); give tensor.detach().cpu().numpy()."
        ) from error


def _of_frame(source: Any, count_column: int | str | None) -> Table:
    """The states in a DataFrame of pandas, or of a library whose columns become arrays as its columns do (polars)."""
    import pandas as pd

    if not isinstance(source, pd.DataFrame):
        source = pd.DataFrame({name: source[name].to_numpy() for name in source.columns})
    named = not hasattr(source.columns, "step")  # a RangeIndex has a step: it counts
    found = of_frame(source, "the table", count_column, named=named)
    index = source.index  # words, one for every row, are names
    return replace(found, rows=tuple(index)) if found.rows is None and index.is_unique and index.inferred_type == "string" else found
