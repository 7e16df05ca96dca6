"""Tables with columns, of pandas and what resembles it: which columns are states, and which cells hold nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.storage.table import Table, column, is_number, says_nothing, tell

_NUMBERS_ROWS = ("", "nan", "index", "id", "row", "unnamed: 0")  # what a first column is called that is none
_TIMES = ("time", "t", "frame", "timestamp")
_NO_CHANCE = 10  # so many values 0, 1, 2, ... are not those of a site
_NARROW = 127  # what int8 holds either side of 0; -128 is left free


def of_frame(frame: Any, where: str, count_column: int | str | None = None, *, named: bool, plain: bool = False) -> Table:
    """The states in a pandas DataFrame: all of its columns that are no counts, weights, times or numbers of rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per microstate.
    where : str
        What messages call it.
    count_column : int or str, optional
        Which column says how often each row was seen; one called ``count`` is taken unasked.
    named : bool
        Whether its columns have names.
    plain : bool
        Whether all columns are states.

    Raises
    ------
    HamlearnError
        If two columns have one name, a column holds neither numbers nor words, or there is none to take counts from.
    """
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise HamlearnError(f"{where} is empty: it holds {'a header' if frame.shape[1] else 'nothing'} and no rows.")
    names = [str(name).strip() for name in frame.columns] if named else None
    if names is not None and (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise HamlearnError(f"{where} has two columns called {twice!r}; give every column a name of its own, or none.")
    aside = {} if plain else _set_aside(frame, names, count_column, where)
    numbering = None if plain else _numbering(frame, names, set(aside.values()), where)
    kept = [place for place in range(frame.shape[1]) if place not in aside.values() and place != numbering]
    if not kept:
        raise HamlearnError(f"{where} has no column of states.")
    values, labels, missing = _states(frame.iloc[:, kept], None if names is None else [names[place] for place in kept], where)
    rows = None
    if not plain and _names_rows(values, labels, missing):
        rows, kept = tuple(str(one).strip() for one in frame.iloc[:, kept[0]]), kept[1:]
        tell(where, "the first column, %s, ..., names the rows and is no site", ", ".join(map(repr, rows[:3])))
        values, labels, missing = _states(frame.iloc[:, kept], None if names is None else [names[place] for place in kept], where)
    return Table(
        values,
        names=None if names is None else tuple(names[place] for place in kept),
        rows=rows,
        labels=labels,
        missing=missing,
        where=where,
        **{what: _plain(frame.iloc[:, place], what) for what, place in aside.items()},
    )


def _set_aside(frame: Any, names: Sequence[str] | None, count_column: int | str | None, where: str) -> dict[str, int]:
    """Which columns are counts, weights and times."""
    found = {}
    lower = [] if names is None else [name.lower() for name in names]
    called = lambda *words: next((lower.index(word) for word in words if word in lower), None)
    width = frame.shape[1]
    if isinstance(count_column, str) and count_column in (names or ()):
        found["counts"] = (names or ()).index(count_column)
    elif isinstance(count_column, int) and -width <= count_column < width:
        found["counts"] = count_column % width
    elif count_column is not None:
        known = f" ({', '.join(names)[:200]})" if names else ""
        raise HamlearnError(f"{where} has no column {count_column!r} to take counts from; it has {width} columns{known}.")
    elif (place := called("count", "counts")) is not None:
        found["counts"] = place
    if (place := called("weight", "weights")) is not None:
        found["weights"] = place
    for word in _TIMES:
        if (place := called(word)) is not None and width > 1 and _rises(frame.iloc[:, place]):
            if gaps := int(np.isnan(_numbers(frame.iloc[:, place])).sum()):
                raise HamlearnError(
                    f"{where} has a column {names[place]!r} that rises from row to row as time does, and {gaps} of its cells "  # type: ignore[index]
                    f"{'hold' if gaps > 1 else 'holds'} no number: fill them, drop the column, or call it otherwise if it is a site."
                )
            tell(where, "column %r rises from row to row and is kept as the time of the draws, no site", names[place])  # type: ignore[index]
            found["time"] = place
            break
    return found


def _rises(series: Any) -> bool:
    """Whether the numbers of a column become larger from row to row."""
    numbers = _numbers(series)
    known = numbers[~np.isnan(numbers)]
    return len(known) > 2 and bool(np.all(np.diff(known) > 0))


def _plain(series: Any, what: str) -> Any:
    """A column that is none of the states as an array: of times numbers, though they were written as text."""
    import pandas as pd

    return (pd.to_numeric(series) if what == "time" else series).to_numpy()


def _numbers(series: Any) -> np.ndarray:
    """A column as floats, NaN where it holds no number: of dates, truth and the like everywhere."""
    import pandas as pd

    if not (series.dtype.kind in "iuf" or pd.api.types.is_object_dtype(series.dtype) or pd.api.types.is_string_dtype(series.dtype)):
        return np.full(len(series), np.nan)
    return np.asarray(pd.to_numeric(series, errors="coerce").to_numpy(float, na_value=np.nan))


def _numbering(frame: Any, names: Sequence[str] | None, taken: set[int], where: str) -> int | None:
    """0 where the first column counts rows from 0 or 1; in a short table of unknown columns that may be chance."""
    first, rows = frame.iloc[:, 0], len(frame)
    meant = names is not None and names[0].lower() in _NUMBERS_ROWS
    if 0 in taken or frame.shape[1] == 1 or first.dtype.kind not in "iuf" or not (meant or rows >= _NO_CHANCE):
        return None
    counted = first.to_numpy() - np.arange(rows)
    if not (np.all(counted == counted[0]) and counted[0] in (0, 1)):
        return None
    called = "the first column" if names is None or names[0] in ("", "nan") else f"the first column, {names[0][:40]!r},"
    tell(where, "%s numbers the rows and is left out; it is no site (pass an array if it is)", called)
    return 0


def _names_rows(values: np.ndarray, labels: tuple[tuple[str, ...] | None, ...] | None, missing: np.ndarray | None) -> bool:
    """Whether the first of several columns alone has another word in every row; in a short, narrow table that may be chance.

    Most of these are no numbers: a column of measurements with a word in one cell names nothing.
    """
    rows, width = values.shape
    if labels is None or labels[0] is None or width == 1 or not (1 < rows < width - 1 or rows >= _NO_CHANCE):
        return False
    naming = [words is not None and 2 * sum(map(is_number, words)) < len(words) == rows for words in labels]
    return naming[0] and not any(naming[1:]) and (missing is None or not missing[:, 0].any())


def _states(
    frame: Any, names: Sequence[str] | None, where: str
) -> tuple[np.ndarray, tuple[tuple[str, ...] | None, ...] | None, np.ndarray | None]:
    """Values, words of columns and missing cells of columns that are states."""
    kinds, words = set(frame.dtypes), list[tuple[str, ...] | None]([None])
    if len(kinds) == 1 and isinstance(kind := kinds.pop(), np.dtype) and kind.kind in "biuf":
        values, missing = frame.to_numpy(), np.isnan(frame.to_numpy()) if kind.kind == "f" else np.zeros((), bool)
    else:
        columns = [_column(frame.iloc[:, place], column(names, place), where) for place in range(frame.shape[1])]
        if not all(one[0].dtype.kind == "b" for one in columns):  # truth among numbers or words is a word too
            columns = [(one, ("False", "True"), gaps) if one.dtype.kind == "b" else (one, told, gaps) for one, told, gaps in columns]
        values = np.stack([one[0] for one in columns], axis=1)
        words, missing = [one[1] for one in columns], np.stack([one[2] for one in columns], axis=1)
    if values.dtype.kind == "f" and np.isinf(values).any():
        place = int(np.isinf(values).any(0).argmax())
        raise HamlearnError(f"{where} holds a number in column {column(names, place)} that is infinite, or too large for a float.")
    labels = tuple(words) if any(one is not None for one in words) else None
    return _narrow(values, missing), labels, missing if missing.any() else None


def _column(series: Any, told: str, where: str) -> tuple[np.ndarray, tuple[str, ...] | None, np.ndarray]:
    """Values, words and missing cells of one column."""
    import pandas as pd

    missing = series.isna().to_numpy()
    if isinstance(series.dtype, pd.CategoricalDtype):
        order = [str(one).strip() for one in series.cat.categories]
        return _words(series.cat.codes.to_numpy(), order, missing, told, where, ordered=True)
    if pd.api.types.is_bool_dtype(series.dtype):
        return series.fillna(False).to_numpy(bool), None, missing
    if pd.api.types.is_numeric_dtype(series.dtype):
        if series.dtype.kind == "c":
            raise HamlearnError(f"{where} holds complex numbers in column {told}; states must be real.")
        filled = series.to_numpy() if isinstance(series.dtype, np.dtype) else series.fillna(0).to_numpy(series.dtype.numpy_dtype)
        return filled, None, missing
    if series.dtype.kind in "mM":
        raise HamlearnError(f"{where} holds dates in column {told}, no states; drop it, or call it 'time' and write numbers.")
    try:
        codes, uniques = pd.factorize(series)
    except TypeError as error:
        raise HamlearnError(f"{where} holds objects in column {told}; states must be numbers or words.") from error
    return _words(codes, [str(one).strip() for one in uniques], missing, told, where)


def _words(
    codes: np.ndarray, found: list[str], missing: np.ndarray, told: str, where: str, *, ordered: bool = False
) -> tuple[np.ndarray, tuple[str, ...] | None, np.ndarray]:
    """A column whose cells are `found[code]`: numbers if all of them are, otherwise the numbers of its words, in their order or sorted.

    Of words among numbers those are words, too: :func:`hamlearn.storage.table.settled` refuses what is then left of them.
    """
    nothing = np.array([says_nothing(one) for one in found] + [True])
    missing = missing | nothing[codes]
    met = np.unique(codes[~missing])
    numbers = {int(code): float(found[code]) for code in met if is_number(found[code])}
    words = [found[code] for code in met if code not in numbers]
    if any(map(is_complex, words)):
        raise HamlearnError(f"{where} holds complex numbers in column {told}; states must be real.")
    if any(re.fullmatch(r"[+-]?\d+,\d+", word) for word in words):
        raise HamlearnError(f"{where} has decimal commas in column {told}, {words[0][:40]!r}; write decimal points.")
    if not words:
        table = np.array([numbers.get(code, 0.0) for code in range(len(found))] + [0.0])
        return table[codes], None, missing
    words = [found[code] for code in met]
    in_order = list(dict.fromkeys(words)) if ordered else sorted(set(words))
    place = {word: number for number, word in enumerate(in_order)}
    return np.array([place.get(one, 0) for one in found] + [0])[codes], tuple(in_order), missing


def _narrow(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Whole numbers that int8 holds as int8; floats among them only where cells are missing, for which pandas made floats of them."""
    if values.dtype == np.int8:  # of a file that was read at once
        return np.ascontiguousarray(values, np.int16 if values.min() < -_NARROW else np.int8)
    if values.dtype.kind == "f":
        if not missing.any():
            return values
        known = values[~missing]
        if not np.all(known == np.floor(known)):
            return values
        values = np.where(missing, 0, values)
    fits = values.dtype.kind in "iuf" and values.min() >= -_NARROW and values.max() <= _NARROW
    return np.ascontiguousarray(values, np.int8) if fits else values


def is_complex(word: str) -> bool:
    """Whether a word is a complex number."""
    try:
        complex(word)
    except ValueError:
        return False
    return True
