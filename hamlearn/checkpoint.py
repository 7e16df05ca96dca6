"""Files from which an interrupted run continues: arrays and JSON, never pickle.

A checkpoint never ends a healthy run. A file that belongs to something else, or is damaged, is left alone with a warning, and
the run saves itself beside it; a save that fails (a full disk) is told once, and the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hamlearn import memory, storage
from hamlearn.errors import HamlearnError
from hamlearn.interrupts import opened, uninterrupted

logger = logging.getLogger("hamlearn")
Built = TypeVar("Built")

_FORMAT = 1
_HEADER = "checkpoint"  # the member that holds what the file is, as JSON
_LONGEST = 200  # characters of a field of the request that are kept; longer ones are told apart by their digest
_LONGEST_NAME = 240  # bytes of a file's name


class Checkpoint:
    """Where a run saves itself, and for which request.

    Parameters
    ----------
    path : path
        The file (NumPy's .npz format). It is written only by runs of this request: where it holds something else, this run
        uses a name beside it, with the request's fingerprint in it, which a repeated call finds.
    request : mapping of str to str
        Everything that determines the result, each by name; the library's version is added. A long value (a system as JSON) is
        kept by its first characters and its digest.
    of : str
        What runs: "simulation", "training", ….

    Raises
    ------
    HamlearnError
        If the folder does not exist or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> run = Checkpoint(folder.name + "/run.npz", {"seed": "1"}, of="simulation")
    >>> run.load() is None
    True
    >>> run.save({"draws": np.arange(3)})
    >>> Checkpoint(folder.name + "/run.npz", {"seed": "1"}, of="simulation").load()["draws"]
    array([0, 1, 2])
    >>> run.remove()
    >>> folder.cleanup()
    """

    def __init__(self, path: Any, request: Mapping[str, str], of: str) -> None:
        self.path, self.of = Path(path), of
        self.request = {name: _short(value) for name, value in {"hamlearn": metadata.version("hamlearn"), **request}.items()}
        self.fingerprint = hashlib.sha256(json.dumps([of, self.request], sort_keys=True).encode()).hexdigest()
        self.sibling = _beside(self.path, self.fingerprint[:12])
        self.at: Path | None = None  # the one of the two that this run reads and writes; None until it has looked
        self._told = False
        if not self.path.absolute().parent.is_dir():
            raise HamlearnError(f"cannot write checkpoints to {self.path}: its folder does not exist.")
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HamlearnError(f"cannot write checkpoints to {str(self.path)[:80]}…: {error.strerror}. Name another file.") from error
        storage.require_writable(self.sibling, (self.sibling.suffix,))
        opened(self)

    def load(self) -> dict[str, np.ndarray] | None:
        """What :meth:`save` was given last, or None if nothing is there that belongs to this run."""
        found: dict[str, np.ndarray] | None = None
        problem = ""
        self.at = self.path
        if _there(self.path):
            problem, found = self._read(self.path)
        if found is None and _there(self.sibling):
            damaged, found = self._read(self.sibling)
            if damaged:
                logger.warning("%s %s; it is not continued from.", self.sibling, damaged)
        if problem:
            self._step_aside(problem)
        elif found is not None and not _there(self.path):
            self.at = self.sibling
        if found is not None:
            logger.info("continuing from %s", self.at)
        return found

    def restore(self, build: Callable[[dict[str, np.ndarray]], Built]) -> Built | None:
        """What `build` makes of :meth:`load`; None, with a warning, where it can make nothing of it."""
        found = self.load()
        if found is None:
            return None
        try:
            return build(found)
        except Exception as error:  # a file that was made up
            self._step_aside(_unreadable(error))
            return None

    def save(self, arrays: Mapping[str, Any]) -> None:
        """Write `arrays`; the old file stays whole until the new one is. A signal that arrives meanwhile waits.

        Where that fails the run goes on: it is told once.
        """
        if self.at is None:
            self.load()
        if self.at == self.path and _there(self.path):
            problem = self._mismatch(self.path)  # another run may have come in between
            if problem:
                self._step_aside(problem)
        assert self.at is not None
        plain = {name: np.asarray(value) for name, value in arrays.items()}
        header = {"format": _FORMAT, "of": self.of, "request": self.request, "digest": _digest(self.of, self.request, plain)}

        def write(temporary: Path) -> None:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                for name, array in {_HEADER: np.asarray(json.dumps(header)), **plain}.items():
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)

        try:
            with uninterrupted():
                storage.write_atomically(self.at, write)
        except (HamlearnError, OSError, MemoryError) as error:
            if not self._told:
                cause = str(error.__cause__ or error) or type(error).__name__
                logger.warning(
                    "the checkpoint %s could not be saved (%s); the run goes on, but could not be continued from here.", self.at, cause
                )
            self._told = True

    def remove(self) -> None:
        """The result is safe: nothing is left to continue. Only a file of this request, and what a kill left of its writing, is removed."""
        if self.holds():
            assert self.at is not None
            self.at.unlink(missing_ok=True)
        if self.at is not None:
            storage.tidy(self.at)  # a run that was killed when it had just saved its last chunk is not written to again

    def holds(self) -> bool:
        """Whether a file of this request is there."""
        return self.at is not None and _there(self.at) and not self._mismatch(self.at)

    def _step_aside(self, problem: str) -> None:
        self.at = self.sibling
        logger.warning("%s %s. It is left alone, and this run saves itself to %s.", self.path, problem, self.sibling)

    def _mismatch(self, path: Path) -> str:
        """Why a file cannot be continued from, going by its header; nothing where it can."""
        try:
            with _opened(path) as archive:
                return self._differs(_header(archive))
        except Exception as error:  # whatever a damaged file makes of the readers of zip, NumPy and JSON
            return _unreadable(error)

    def _read(self, path: Path) -> tuple[str, dict[str, np.ndarray] | None]:
        """Why a file cannot be continued from, or its arrays."""
        try:
            with _opened(path) as archive:
                header = _header(archive)
                differs = self._differs(header)
                if differs:
                    return differs, None
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                arrays = {name: _array(archive, name) for name in names if name != _HEADER}
            if header["digest"] != _digest(self.of, self.request, arrays):
                return "is damaged: its content does not match its digest", None
        except Exception as error:
            return _unreadable(error), None
        return "", arrays

    def _differs(self, header: Mapping[str, Any]) -> str:
        """How another request differs from this one, in words."""
        if header["format"] != _FORMAT:
            return f"is a checkpoint in format {header['format']}, written by another version of hamlearn (this one writes {_FORMAT})"
        if header["of"] != self.of:
            return f"is the checkpoint of a {header['of']}, not of a {self.of}"
        theirs = dict(header["request"])
        names = [name for name in {**self.request, **theirs} if theirs.get(name) != self.request.get(name)]
        if not names:
            return ""
        told = "; ".join(f"{name}: {_clip(theirs.get(name))}, here {_clip(self.request.get(name))}" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"is the checkpoint of another {self.of} ({told}{more})"


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _beside(path: Path, mark: str) -> Path:
    """A name beside `path` with a mark in it, short enough for a file system."""
    tail = f".{mark}{path.suffix}"
    stem, room = path.stem, _LONGEST_NAME - len(os.fsencode(tail))
    while len(os.fsencode(stem)) > room:  # whole characters: half of one is a name that nothing can print
        stem = stem[:-1]
    return path.with_name(stem + tail)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():  # a folder; a pipe, which would be waited for
        raise ValueError("it is no ordinary file")
    memory.require(path.stat().st_size, f"the arrays of {path} would")
    with zipfile.ZipFile(path) as archive:
        if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in archive.infolist()):
            raise ValueError("its members are compressed, which hamlearn's never are")  # so nothing expands beyond the file's size
        yield archive


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One member, whose header may not claim more than is there."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        if dtype.hasobject or info.file_size - member.tell() != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} is not of the size that it claims")
    with archive.open(info) as member:
        found: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        return found


def _header(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    names = set(archive.namelist())
    if f"{_HEADER}.npy" not in names:
        old = {"fingerprint.npy", "plain.npy"} <= names or {"request.npy", "history.npy"} <= names
        raise ValueError("it was written by hamlearn 0.1.0 or older" if old else "it has no header")
    header = json.loads(str(_array(archive, _HEADER)))
    if not isinstance(header, dict) or not {"format", "of", "request", "digest"} <= set(header):
        raise ValueError("its header is incomplete")
    return header


def _digest(of: str, request: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of everything in a checkpoint."""
    digest = hashlib.sha256(json.dumps([_FORMAT, of, request], sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _unreadable(error: Exception) -> str:
    cause = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"is damaged, or no checkpoint ({cause.rstrip('.')})"


def _short(value: str) -> str:
    """A field as it is kept: whole, or its beginning and the digest of all of it."""
    return value if len(value) <= _LONGEST else f"{value[:80]}… (SHA-256 {hashlib.sha256(value.encode()).hexdigest()})"


def _clip(value: Any, limit: int = 100) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
