"""Cells that were not observed: how they come in, what stands for them in microstates, and which data have too many.

In the variable ``state`` a missing cell is ``Space.missing`` (−128 in discrete spaces, NaN in continuous ones). It is no value of any
space, so what does not know of missing cells refuses them; nothing else says where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import spaces
from hamlearn.arguments import shown
from hamlearn.data.names import header
from hamlearn.errors import HamlearnError
from hamlearn.progress import logger
from hamlearn.spaces import Space
from hamlearn.storage.table import WORDS, Table, is_number, says_nothing

Codes = float | str | Sequence[float | str]

WAY_OUT = (
    "Only couplings of spins and states are learned from data with gaps (hl.models.Couplings); hl.data.complete_rows(data) keeps the "
    "microstates without."
)


def marks(array: np.ndarray) -> np.ndarray:
    """Which elements of text or objects say that they were not observed: None, NaN, pandas' NA, or one of `WORDS`.

    Examples
    --------
    >>> marks(np.array([["1", "?"], ["NA", "-1"]])).tolist()
    [[False, True], [True, False]]
    """
    if array.dtype.kind == "U":
        return np.isin(np.char.lower(np.char.strip(array)), list(WORDS))
    if array.dtype.kind != "O":
        return np.zeros(array.shape, bool)
    return np.reshape([_says_nothing(one) for one in array.ravel()], array.shape).astype(bool)


def _says_nothing(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return says_nothing(value) if isinstance(value, str) else isinstance(value, float | np.floating) and bool(np.isnan(value))


def as_floats(array: np.ndarray) -> np.ndarray:
    """Text or objects with missing elements as floats, NaN where they are missing; others as they are."""
    gone = marks(array)
    if not gone.any():
        return array
    try:
        return np.where(gone, "nan", array.astype(str)).astype(float)
    except ValueError:
        words = sorted({str(one) for one in array[~gone].ravel().tolist() if not is_number(one)})
        raise HamlearnError(f"states must be numbers (beside cells that are missing); found {', '.join(map(repr, words[:5]))}.") from None


def uncovered(source: Any) -> Any:
    """Masked arrays (and those in lists) as floats that are NaN where they are masked; as they are, without a mask, where nothing is."""
    if isinstance(source, list | tuple):
        return [uncovered(one) for one in source]
    if not isinstance(source, np.ma.MaskedArray) or source is np.ma.masked:
        return np.nan if source is np.ma.masked else source
    return np.ma.filled(source.astype(float), np.nan) if np.ma.is_masked(source) else source.data


def covered(array: np.ndarray, mask: Any) -> np.ndarray:
    """Numbers with NaN where a mask is true.

    Raises
    ------
    HamlearnError
        If the mask is none of Booleans, or of another shape.
    """
    return np.where(checked(mask, array.shape), np.nan, array)


def checked(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask as an array of Booleans."""
    given = np.asarray(mask)
    if given.dtype != bool:
        raise HamlearnError(f"mask= holds True where a cell was not observed, and False elsewhere; got dtype {given.dtype}.")
    if given.shape != shape:
        raise HamlearnError(f"mask= has the shape {given.shape}, and the states {shape}: give one value for every cell.")
    return given


def unanswered(table: Table, codes: Codes | Mapping[str, Codes]) -> np.ndarray:
    """Which cells of a table hold one of the `codes` that stand for no answer, in all columns or in those that are named.

    Raises
    ------
    HamlearnError
        If a code is neither a number nor a word, or a column is not there.

    Examples
    --------
    >>> table = Table(np.array([[1, 0], [99, 1]]), names=("age", "smoker"), labels=(None, ("99", "yes")))
    >>> unanswered(table, 99).tolist(), unanswered(table, {"smoker": ["99"]}).tolist()
    ([[False, True], [True, False]], [[False, True], [False, False]])
    """
    names = header(table.names)
    if not isinstance(codes, Mapping):
        wanted = dict.fromkeys(range(int(np.prod(table.values.shape[1:]))), _listed(codes))
    elif names is None:
        raise HamlearnError(f"missing= by column is of a table with a header, and {table.where} has none; give the codes alone.")
    elif strange := [name for name in codes if name not in names]:
        raise HamlearnError(f"missing= names the column {shown(strange[0])}, which {table.where} does not have: {', '.join(names[:8])}.")
    else:
        wanted = {names.index(name): _listed(own) for name, own in codes.items()}
    given = {str(code) for own in wanted.values() for code in own if not is_number(str(code))}
    if (first := given & set(names or ())) and any(map(is_number, names or ())):
        raise HamlearnError(
            f"the first line of {table.where} ({', '.join((names or [])[:4])}, ...) was read as the names of its columns, and missing= has "
            f"{shown(min(first))} among the codes for no answer: write a line of names above it."
        )
    values = table.values.reshape(len(table.values), -1)
    gone, met = np.zeros(values.shape, bool), set()
    for place, own in wanted.items():
        words = None if table.labels is None else table.labels[place]
        for code in own:
            # A word of a column is the number of its place among the words; 99 and 99.0 are one number, however they are written.
            same = [_number(code)] if words is None else [k for k, word in enumerate(words) if _same(code, word)]
            for here in (values[:, place] == one for one in same):
                gone[:, place] |= here
                met |= {code} if here.any() else set()
    if nowhere := list(dict.fromkeys(code for own in wanted.values() for code in own if code not in met)):
        told = ", ".join(map(shown, nowhere[:8])) + (f" and {len(nowhere) - 8} more" if len(nowhere) > 8 else "")
        if len(nowhere) == 1:
            logger.warning("missing=%s stands nowhere in %s: is it written so there?", told, table.where)
        else:
            logger.warning("of missing= %s stand nowhere in %s: are they written so there?", told, table.where)
    return gone.reshape(table.values.shape)


def _listed(codes: Codes) -> list[float | str]:
    """Codes for no answer, one or several, as a list."""
    given: list[Any] = [codes] if isinstance(codes, str | bytes) or not np.iterable(codes) else list(codes)
    if wrong := [one for one in given if isinstance(one, bool) or not isinstance(one, str | int | float | np.number)]:
        raise HamlearnError(f"missing= takes the numbers or words that stand for no answer, such as [99, -9]; got {shown(wrong[0])}.")
    return given


def _number(code: float | str) -> float:
    """A code as a number, NaN if it is none."""
    return float(code) if is_number(str(code)) else np.nan


def _same(code: float | str, word: str) -> bool:
    """Whether a code is a word of a table: the same text, or the same number."""
    return str(code).strip() == word or _number(code) == _number(word)


def hidden(table: Table, mask: Any) -> Table:
    """A table without the cells that a mask hides; a word that stands in hidden cells alone is none of its words.

    Raises
    ------
    HamlearnError
        If the mask is none of Booleans, or of another shape.

    Examples
    --------
    >>> table = Table(np.array([[0, 1], [2, 0]]), labels=(("no", "refused", "yes"), ("no", "yes")))
    >>> found = hidden(table, np.array([[False, True], [False, False]]))
    >>> found.labels, found.missing.tolist()
    ((('no', 'yes'), ('no',)), [[False, True], [False, False]])
    """
    gone = checked(mask, table.values.shape)
    gone = gone if table.missing is None else gone | table.missing
    if table.labels is None:
        return replace(table, missing=gone)
    values, there = table.values.reshape(len(table.values), -1).copy(), ~gone.reshape(len(gone), -1)
    labels = list(table.labels)
    for place, words in enumerate(table.labels):
        if words is not None:
            met = np.unique(values[there[:, place], place]).astype(int)
            labels[place] = tuple(words[one] for one in met)
            values[:, place] = np.searchsorted(met, values[:, place])
    return replace(table, values=values.reshape(table.values.shape), labels=tuple(labels), missing=gone)


def filled(states: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """States with the least that was observed, which every site may have, in place of those that were not: what checks of values look at.

    Raises
    ------
    HamlearnError
        If none was observed.
    """
    if gone.all():
        raise HamlearnError("all cells of the states are missing (NaN): nothing was observed.")
    result = states.copy()
    result[gone] = states[~gone].min()
    return result


def require_observed(gone: np.ndarray, names: Sequence[str], called: Sequence[str] = ()) -> None:
    """An error if a microstate or a site has nothing that was observed, or a site more missing cells than observed ones.

    `gone` has the axes `names`: those before and with "draw" count microstates, the others sites, which may be `called` by names.
    """
    lead = list(names).index("draw") + 1
    flat = gone.reshape(int(np.prod(gone.shape[:lead])), -1)
    if len(empty := np.flatnonzero(flat.all(1))):
        raise HamlearnError(
            f"nothing is observed in row {empty[0]} (counted from 0){_and_more(len(empty), 'rows')}: a microstate without any cell says "
            "nothing. Leave out what is empty."
        )
    share = flat.mean(0)
    if len(poor := np.flatnonzero(share > 0.5)):
        place = repr(called[poor[0]]) if called else f"{poor[0]} (counted from 0)"
        raise HamlearnError(
            f"site {place} has more missing cells than observed ones ({share[poor[0]]:.0%} are missing)"
            f"{_and_more(len(poor), 'sites')}: its couplings would be guesses. Leave such sites out."
        )


def _and_more(count: int, what: str) -> str:
    return f", and in {count - 1} more {what}" if count > 1 else ""


def refuse(gone: np.ndarray, what: str = "this") -> None:
    """An error if there are missing cells where complete microstates are needed."""
    if gone.any():
        raise HamlearnError(f"{told(gone)}, and {what} needs complete microstates. {WAY_OUT}")


def require_gaps(space: Space, gone: np.ndarray) -> None:
    """An error if there are missing cells in a space where the others would say what they are, or that keeps vectors together."""
    if gone.any() and (space.constraint or not space.gaps):
        why = f"{', '.join(space.constraint)} is fixed, so that they follow from the others" if space.constraint else "vectors have no gaps"
        raise HamlearnError(f"{told(gone)}, and microstates of {space} have none: {why}. Leave those rows out.")


def told(gone: np.ndarray) -> str:
    """How many cells are missing, as the beginning of a sentence.

    Examples
    --------
    >>> told(np.array([[True, False], [False, False]]))
    '1 of 4 cells (25 %) are missing'
    """
    return f"{int(gone.sum())} of {gone.size} cells ({100 * gone.mean():.2g} %) are missing"


def say(gone: np.ndarray) -> None:
    """Log how many cells are missing, if any are."""
    if gone.any():
        logger.info("%s; they are kept as missing", told(gone))


def missing(data: xr.Dataset) -> np.ndarray:
    """Which cells of microstates were not observed.

    Parameters
    ----------
    data : Dataset
        Microstates of :func:`hamlearn.microstates`.

    Returns
    -------
    array of bool
        In the shape of ``data["state"]``.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, -1, np.nan], [1, 1, 1]], space="spins")
    >>> missing(data).sum(), data["state"].dtype
    (np.int64(1), dtype('int8'))
    """
    return space_missing(spaces.from_attrs(data.attrs), data["state"].values)


def complete_rows(data: xr.Dataset) -> xr.Dataset:
    """The microstates of which every cell was observed (at all temperatures), as one chain.

    Where cells are missing at random these are fewer data and no other ones; else they are a choice among the data.

    Raises
    ------
    HamlearnError
        If there are none.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, -1, np.nan], [1, 1, 1]], space="spins")
    >>> complete_rows(data)["state"].values.tolist()
    [[[1, 1, 1]]]
    """
    gone, names = missing(data), data["state"].dims
    lead = [axis for axis, name in enumerate(names) if name in ("chain", "draw")]
    kept: np.ndarray = np.all(~np.moveaxis(gone, lead, (0, 1)).reshape(*(gone.shape[axis] for axis in lead), -1), axis=-1)
    if not kept.any():
        raise HamlearnError(f"{told(gone)}: every microstate misses one.")
    chains = [data.isel(chain=[chain], draw=np.flatnonzero(kept[chain])) for chain in range(len(kept)) if kept[chain].any()]
    chains = [one.drop_vars(["chain", "draw"], errors="ignore") for one in chains]
    whole = xr.concat(chains, "draw", data_vars="minimal", coords="minimal", compat="override")
    return whole.assign_coords(chain=[0], draw=np.arange(whole.sizes["draw"])).assign_attrs(data.attrs)


def space_missing(space: Space, states: np.ndarray) -> np.ndarray:
    """Which cells of an array of states are missing: marked as such, or NaN (whole floats of a discrete space)."""
    return np.isnan(states) if states.dtype.kind == "f" else np.asarray(states == space.missing)
