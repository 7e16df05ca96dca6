"""``-`` where a file is expected: standard input is read through a file beside, and a result goes out through one."""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hamlearn import memory
from hamlearn.cli.signals import to_nowhere
from hamlearn.errors import HamlearnError, choice

KINDS = ("csv", "npy", "npz", "nc", "h5", "mat", "fasta", "sto", "csv.gz", "zip")
_NAME = "standard input"
_PIECE = 1 << 20
_BEGINNINGS = {
    b"\x89HDF": "nc (what hamlearn writes) or --format h5",
    b"\x93NUMPY": "npy",
    b">": "fasta",
    b"# STOCKHOLM": "sto",
    b"MATLAB": "mat",
    b"PK": "npz or --format zip",
    b"\x1f\x8b": "csv.gz",
}

Read = TypeVar("Read")


def is_stream(path: Path | None) -> bool:
    """Whether a file's name stands for standard input or output.

    Examples
    --------
    >>> is_stream(Path("-")), is_stream(Path("./data.csv")), is_stream(None)
    (True, False, False)
    """
    return path is not None and str(path) == "-"


def read_from(path: Path, read: Callable[[Path], Read], kind: str = "nc") -> Read:
    """What `read` makes of a file, or of standard input where the file is ``-``.

    Parameters
    ----------
    path : Path
        A file, or ``-``.
    read : callable
        Takes a path and loads all that it wants of it.
    kind : str
        What standard input holds: one of `KINDS`. Text is a table, whatever separates its columns.

    Raises
    ------
    HamlearnError
        What `read` raises, with standard input called so; if it is empty, binary where text was expected, or more than memory holds.
    """
    if not is_stream(path):
        return read(path)
    choice(kind, KINDS, "--format")
    with tempfile.TemporaryDirectory(prefix="hamlearn-") as folder:
        file = Path(folder) / f"{_NAME}.{kind}"
        content = _everything()
        file.write_bytes(_text(content) if kind == "csv" else content)
        del content
        try:
            return read(file)
        except HamlearnError as error:
            raise HamlearnError(str(error).replace(str(file), _NAME).replace(file.name, _NAME)) from error


def read_sets(files: list[Path], betas: list[float | None], kind: str, **rules: Any) -> list[Any]:
    """Microstates of every file, at its temperature; `rules` are further arguments of :func:`hamlearn.microstates`."""
    import hamlearn as hl

    read = lambda beta: lambda file: hl.microstates(file, beta=beta, **rules)
    return [read_from(file, read(beta), kind) for file, beta in zip(files, betas, strict=True)]


def _everything() -> bytes:
    pieces, size = [], 0
    while piece := sys.stdin.buffer.read(_PIECE):
        size += len(piece)
        memory.require(size, f"{_NAME}, of {memory.words(size)} and more, would", "Write it to a file and cut it into smaller ones.")
        pieces.append(piece)
    if not size:
        raise HamlearnError(f"{_NAME} is empty; it can be read once: give - for one file only, and pipe something into it.")
    return b"".join(pieces)


def _text(content: bytes) -> bytes:
    """What was read, unless it begins as other kinds of files do."""
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            raise HamlearnError(f"{_NAME} is no table; say what it is: --format {kind}.")
    return content


def require_no_terminal() -> None:
    """Raise where a result would go to somebody's screen."""
    if sys.stdout.isatty():
        raise HamlearnError("-o - writes a file to standard output, which is a terminal here; pipe it into a command, or name a file.")


def write_through(write: Callable[[Path], Any], ending: str) -> None:
    """Write a result to a file beside and send it to standard output; a reader that leaves is no fault.

    Raises
    ------
    HamlearnError
        If standard output takes no more for another reason.
    """
    with tempfile.TemporaryDirectory(prefix="hamlearn-") as folder:
        file = Path(folder) / f"result{ending}"
        write(file)
        try:
            with open(file, "rb") as source:
                shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except OSError as error:
            to_nowhere(1)
            if error.errno != errno.EPIPE:
                raise HamlearnError(f"standard output cannot be written ({error.strerror}).") from error
