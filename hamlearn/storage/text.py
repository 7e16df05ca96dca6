"""Tables as text: what separates their columns is guessed and told; packed (.gz) or in an archive (.zip) too."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.storage.frames import is_complex, of_frame
from hamlearn.storage.table import WORDS, Table, says_nothing, tell

_PIECE = 1 << 20
_GROWTH = 8  # bytes in memory for one of text: "1," becomes a number of 8 bytes, beside the text itself
_LINES = 64  # are looked at to guess what separates columns
_WIDE = 100_000  # columns beyond which the reader of tables is slow: about 40 µs and 3 kB for each
_COLUMN_SECONDS, _COLUMN_BYTES = 4e-5, 3_000
_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars", " ": "blanks"}  # the first that cuts all lines alike
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_EXCEL = re.compile(rb"\A(\xef\xbb\xbf)?\"?sep=.\"?\r?\n")  # tells Excel what separates columns, which is seen here from them
_SURE = 5  # so many names 0, 1, 2, ... are no microstate
_MANY = 20  # rows among which every state of the first row should occur


def read_text(target: Path, count_column: int | str | None, *, plain: bool = False) -> Table:
    """States, counts, weights and times from a table with or without a header; counts also from the column that is named.

    `plain` are all columns states.
    """
    import pandas as pd

    text, where = _EXCEL.sub(b"", unpacked(target), count=1), str(target)
    try:
        lines = _first_lines(text)
        _require_narrow(lines, where)
        separator, rows = _cut(lines, where)
        decimal = _decimal(rows, separator)
        told = [] if separator == "," else [f"columns separated by {_SEPARATORS[separator]}"]
        told += ["decimal commas"] if decimal == "," else []
        if told:
            tell(where, "%s", ", ".join(told))
        named = _is_header(rows, decimal, where)
        options = {"sep": r"\s+" if separator == " " else separator, "decimal": decimal, "header": 0 if named else None}
        frame = _frame(text, options, whole=not _words(rows[named:], decimal))
    except pd.errors.EmptyDataError as error:
        raise HamlearnError(f"{target} is empty.") from error
    except pd.errors.ParserError as error:
        if "EOF inside string" in str(error):
            raise HamlearnError(f"{target} opens a quotation mark that is never closed; remove it.") from error
        raise HamlearnError(
            f"{target} is ragged: {str(error).strip().split('C error: ')[-1]}. Every line needs the same number of columns."
        ) from error
    if len(frame) and frame.iloc[:, -1].isna().any():  # the reader fills short lines up
        _require_whole_lines(text, separator, max(map(len, rows)), where)
    if frame.shape[1] < len(rows[-1]):
        frame = _without_row_names(frame, where)
    if named:
        frame.columns = rows[0]
    if len(frame) and frame.shape[1] > 1 and not any(row[-1] for row in rows) and frame.iloc[:, -1].isna().all():
        frame = frame.iloc[:, :-1]  # every line ends in a separator
    return of_frame(frame, where, count_column, named=named, plain=plain)


def _lines(text: bytes) -> Iterator[str]:
    """The lines that hold something, without remarks."""
    for line in io.TextIOWrapper(io.BytesIO(text), "utf-8-sig"):
        if content := line.split("#")[0].strip(" \r\n"):
            yield content


def _first_lines(text: bytes) -> list[str]:
    found: list[str] = []
    size = 0
    for line in _lines(text):
        found.append(line)
        size += len(line)
        if len(found) == _LINES or (size > _PIECE and len(found) > 1):
            break
    return found


def _require_narrow(lines: Sequence[str], where: str) -> None:
    """Refuse or tell what takes the reader of tables minutes: counted before anything is cut into cells."""
    longest = max(lines[:2], key=len, default="")
    if len(longest) <= 2 * _WIDE:
        return
    longest = re.sub(" +", " ", longest)
    columns = 1 + max(longest.count(separator) for separator in _SEPARATORS)
    if columns <= _WIDE:
        return
    if len(lines) == 1:
        raise HamlearnError(
            f"{where} holds one line of {columns} columns, which is one microstate; more are needed, one a line. "
            "If it is a series of one site, write one value a line; a large array is read at once from .npy."
        )
    memory.require(_COLUMN_BYTES * columns, f"{columns} columns of {where}, as text, would", "Write them as .npy.")
    tell(where, "%d columns as text, about %.0f s to read; .npy is read at once", columns, _COLUMN_SECONDS * columns)


def _require_whole_lines(text: bytes, separator: str, width: int, where: str) -> None:
    """An error if a line below the first is shorter than others: what it lacks may be anywhere in it."""
    for number, line in enumerate(_lines(text)):
        if number and (found := len(_cells([line], separator)[0])) != width:
            raise HamlearnError(f"{where} is ragged: a line has {found} columns instead of {width}: {line[:60]!r}. Mark what is missing.")


def _cut(lines: Sequence[str], where: str) -> tuple[str, list[list[str]]]:
    """What separates the columns of lines, and their cells: what cuts all of them into as many, or else most of them into several."""
    if not lines:
        raise HamlearnError(f"{where} is empty.")
    rows = {separator: _cells(lines, separator) for separator in _SEPARATORS}
    widths = {separator: [len(row) for row in found] for separator, found in rows.items()}
    # R writes names of rows, and none for their column: its header is shorter by one
    alike = lambda found: found[-1] > 1 and len(set(found[1:])) < 2 and found[-1] - found[0] in (0, 1)
    best = next((separator for separator, found in widths.items() if alike(found)), None)
    if best is None:
        cuts = {separator: sum(width > 1 for width in found) for separator, found in widths.items() if max(found) > 1}
        best = max(cuts, key=lambda separator: cuts[separator], default=",")
    if best == "," and alike(widths[" "]) and all(map(_DECIMAL_COMMA.fullmatch, rows[" "][-1])):
        raise HamlearnError(f"{where} has blanks between its columns and decimal commas in its numbers; write decimal points.")
    return best, rows[best]


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    plain = (re.sub(r"\s+", " ", line) for line in lines) if separator == " " else lines
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(plain, delimiter=separator, skipinitialspace=True)]
    except csv.Error:  # a cell longer than the module takes: the reader says what is wrong
        return [[line] for line in lines]


def _decimal(rows: Sequence[Sequence[str]], separator: str) -> str:
    """A comma where cells are written with one, and none with a point."""
    cells = [cell for row in rows for cell in row] if separator in ";\t" else []
    return "," if any(map(_DECIMAL_COMMA.fullmatch, cells)) and not any(re.fullmatch(r"[+-]?\d+\.\d+", cell) for cell in cells) else "."


def _words(rows: Sequence[Sequence[str]], decimal: str) -> set[str]:
    """The cells that are neither numbers nor missing."""
    return {cell for row in rows for cell in row if not says_nothing(cell) and _number(cell, decimal) is None}


def _number(cell: str, decimal: str) -> float | None:
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        return None


def _is_header(rows: Sequence[Sequence[str]], decimal: str, where: str) -> bool:
    """Whether the first row names the columns: in words that are no values, or by counting them."""
    first, below = rows[0], rows[1:]
    if words := _words([first], decimal):
        if any(map(is_complex, words)):
            raise HamlearnError(f"{where} holds complex numbers; states must be real.")
        if any(_number(cell, decimal) is not None for cell in first):  # names beside numbers: a microstate, where such words follow
            return not any(
                _words([[row[place]]], decimal) for row in below for place, cell in enumerate(first[: len(row)]) if cell in words
            )
        known = _words(below, decimal)
        again = {word for word in words if first.count(word) > 1}  # no two columns have one name, and a row of sites may begin with its own
        return not words <= known and not (again and again <= known)
    unnamed = says_nothing(first[0])  # as pandas writes them, with numbers of rows
    numbers = [_number(cell, decimal) for cell in first[unnamed:]]
    if len(numbers) < 3 or numbers[0] not in (0, 1) or any(one is None or one - numbers[0] != place for place, one in enumerate(numbers)):
        return False
    seen = {_number(cell, decimal) for row in below for cell in row}
    found = unnamed or len(numbers) >= _SURE or (len(below) >= _MANY and not set(numbers) <= seen)
    if found:
        tell(where, "the first row, %g, %g, %g, …, is read as the names of its columns", *numbers[:3])
    return found


def _frame(text: bytes, options: dict[str, Any], *, whole: bool) -> Any:
    """The table; read into small whole numbers at once where it may hold nothing else."""
    import pandas as pd

    read = lambda **kind: pd.read_csv(
        io.BytesIO(text), comment="#", skipinitialspace=True, na_values=[*WORDS, *map(str.upper, WORDS)], **options, **kind
    )
    if whole:
        try:
            return read(dtype=np.int8)
        except pd.errors.ParserError:
            raise
        except (ValueError, TypeError, OverflowError):  # fractions, large numbers, empty cells, words further down
            pass
    return read()


def _without_row_names(frame: Any, where: str) -> Any:
    """The table without the names of rows that R writes."""
    import pandas as pd

    if isinstance(frame.index, pd.MultiIndex) or not frame.index.is_unique or len(frame) < 2:
        raise HamlearnError(f"{where} is ragged: its rows have more columns than its header has names.")
    tell(where, "the first column, without a name, names the rows and is left out")
    return frame.reset_index(drop=True)


def unpacked(target: Path) -> bytes:
    """The bytes of a text, unpacked; an error if they are no text or more than memory holds."""
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
