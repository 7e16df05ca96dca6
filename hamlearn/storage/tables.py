"""Tables of numbers as text: .csv, packed (.csv.gz) or in an archive (.zip)."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError

_PIECE = 1 << 20
_NAMELESS = ("", "nan")  # a column's name that is none, as pandas reads it
_NO_CHANCE = 10  # so many values 0, 1, 2, ... are not those of a site
_GROWTH = 8  # bytes in memory for one of text: "1," becomes a number of 8 bytes, beside the text itself


def read_table(target: Path, count_column: int | str | None) -> dict[str, Any]:
    """States, counts and weights from a table with or without a header; counts also from the column that is named."""
    import pandas as pd

    text = _text(target)
    try:
        first = pd.read_csv(io.BytesIO(text), header=None, nrows=1, comment="#").iloc[0]
        header = 0 if any(isinstance(value, str) for value in first) else None
        table = pd.read_csv(io.BytesIO(text), header=header, comment="#")
    except pd.errors.EmptyDataError as error:
        raise HamlearnError(f"{target} is empty.") from error
    except pd.errors.ParserError as error:
        if "EOF inside string" in str(error):
            raise HamlearnError(f"{target} opens a quotation mark that is never closed; remove it.") from error
        raise HamlearnError(f"{target} is ragged: {str(error).strip()}. Every line needs the same number of columns.") from error
    if header is not None:
        names = [str(name).strip() for name in first]
        if any(isinstance(name, str) and _is_complex(name) for name in first):
            raise HamlearnError(f"{target} holds complex numbers; states must be real.")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise HamlearnError(f"{target} has two columns called {twice!r}; give every column a name of its own, or none.")
        if _is_row_numbers(table, names[0]):
            called = "without a name" if names[0] in _NAMELESS else f"called {names[0][:40]!r}"
            raise HamlearnError(
                f"{target} numbers its rows in a first column {called}, as pandas does; it would become a site. "
                "Write the table without: table.to_csv(path, index=False). If it is a site, pass the array to hl.microstates."
            )
    if table.empty:
        raise HamlearnError(f"{target} is empty: it holds a header and no rows.")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes columns without a name for labels of rows
        raise HamlearnError(f"{target} is ragged: its rows have more columns than its header has names.")
    return _numbers(table, target, count_column, named=header is not None)


def _numbers(table: Any, target: Path, count_column: int | str | None, *, named: bool) -> dict[str, Any]:
    """The states and counts of a table."""
    import pandas as pd

    missing = table.isna().to_numpy().any(1)
    if missing.any():
        row = int(missing.argmax())
        column = table.columns[int(table.iloc[row].isna().to_numpy().argmax())]
        where = f"row {row + 1} of {len(table)}, column {column!r}"
        raise HamlearnError(f"{target} is ragged or has missing values (first in {where}); every line needs a number in every column.")
    result: dict[str, Any] = {}
    if named:
        table.columns = [str(name).strip() for name in table.columns]
        count_column = _called(table, "count") if count_column is None else count_column
        weight_column = _called(table, "weight")
    if count_column is not None:
        number = isinstance(count_column, int)
        if (number and not -table.shape[1] <= count_column < table.shape[1]) or (not number and count_column not in table.columns):
            known = f" ({', '.join(table.columns)[:200]})" if named else ""
            raise HamlearnError(f"{target} has no column {count_column!r} to take counts from; it has {table.shape[1]} columns{known}.")
        column = table.columns[count_column] if number else count_column
        result["counts"] = table.pop(column).to_numpy()
    if named and weight_column is not None:
        result["weights"] = table.pop(weight_column).to_numpy()
    words = [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if words:
        column = table[words[0]]
        text = column[pd.to_numeric(column, errors="coerce").isna()]
        value = str((text if len(text) else column).iloc[0]).strip()
        name = " ".join(str(words[0]).split())[:40]  # an unterminated quote makes a name of many lines
        raise HamlearnError(f"{target} holds text in column {name}, {value[:40]!r}; states must be numbers.{_separator(value)}")
    states = table.to_numpy()
    if states.dtype.kind == "f" and np.isinf(states).any():
        column = table.columns[int(np.isinf(states).any(0).argmax())]
        raise HamlearnError(f"{target} holds a number in column {column} that is infinite, or too large for a float.")
    return {"state": states, **result} | ({"names": list(table.columns)} if named else {})


def _called(table: Any, what: str) -> str | None:
    """The column called so, in the singular or the plural, as the arrays of .npz and .h5 files may be."""
    return next((name for name in table.columns if name.lower() in (what, f"{what}s")), None)


def _is_row_numbers(table: Any, name: str) -> bool:
    """Whether the first column counts the rows from 0; in a short table with names that may be chance."""
    first = table.iloc[:, 0].to_numpy()
    return (name in _NAMELESS or len(first) >= _NO_CHANCE) and first.dtype.kind == "i" and np.array_equal(first, np.arange(len(first)))


def _is_complex(word: str) -> bool:
    try:
        complex(word)
    except ValueError:
        return False
    return True


def _separator(value: str) -> str:
    """A hint where a cell of text looks like several, separated by something else than commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), (" ", "blanks")):
        if sign in value:
            return f" Columns separated by {name}? Write commas, or pass np.loadtxt(path, delimiter={sign!r}) to hl.microstates."
    return ""


def _text(target: Path) -> bytes:
    """The bytes of a table, unpacked; an error if they are no text or more than memory holds."""
    name = target.name.lower()
    if name.endswith(".gz"):
        with gzip.open(target) as file:
            text = _all(file, target)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(target) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) != 1:
                shown = ", ".join(info.filename for info in members[:5]) or "nothing"
                raise HamlearnError(f"{target} must hold one table; it holds {len(members)} files ({shown[:200]}). Unpack one.")
            with archive.open(members[0]) as file:
                text = _all(file, target)
    else:
        with open(target, "rb") as file:
            text = _all(file, target)
    _require_text(text, target)
    return text


def _all(file: Any, target: Path) -> bytes:
    """Everything in `file`, unless it unpacks to more than memory holds: that is noticed on the way."""
    pieces, size = [], 0
    while piece := file.read(_PIECE):
        size += len(piece)
        memory.require(_GROWTH * size, f"{target}, of {memory.words(size)} and more of text, would", "Cut it into smaller files.")
        pieces.append(piece)
    return b"".join(pieces)


def _require_text(text: bytes, target: Path) -> None:
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise HamlearnError(f"cannot read {target}: it is text in UTF-16. Save it as UTF-8.")
    if b"\0" in text:
        raise HamlearnError(f"cannot read {target}: it holds bytes of value 0, so it is no text (or text in UTF-16: save it as UTF-8).")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(text), _PIECE):
            decoder.decode(text[start : start + _PIECE], final=start + _PIECE >= len(text))
    except UnicodeDecodeError as error:
        raise HamlearnError(f"cannot read {target}: it is not text in UTF-8 ({error.reason}). Save it as UTF-8.") from error
