"""Files from which an interrupted run continues: arrays and JSON, never pickle.

A checkpoint never ends a healthy run. A file that belongs to something else, or is damaged, is left alone with a warning, and
the run saves itself beside it; a save that fails (a full disk) is told once, and the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hamlearn import storage
from hamlearn.errors import HamlearnError
from hamlearn.interrupts import opened, uninterrupted
from hamlearn.progress import logger
from hamlearn.storage import archive

Built = TypeVar("Built")

_FORMAT = 3  # 1: one save and one digest; 2: what only grows was not told apart from what changes, and runs saved other arrays
_LEAST_DEAD = 1 << 20  # bytes of a file that may always be dead
_HEADER = "checkpoint"  # the member that holds what the file is, as JSON
_LONGEST = 200  # characters of a field of the request that are kept; longer ones are told apart by their digest
_LONGEST_NAME = 240  # bytes of a file's name


@dataclass(frozen=True)
class _Kept:
    """What this process knows of the file that it read or wrote last.

    Attributes
    ----------
    at : Path
        The file.
    identity : tuple
        What tells it from any other, and from itself with something added (:func:`.archive.identity`).
    dead : int
        Bytes of arrays that are no longer listed.
    pieces, parts : dict of int
        Of what only grows: pieces that are in it, and arrays that hold them.
    digests : dict of str
        Of every array.
    plain : tuple of str
        Arrays that change from save to save.
    """

    at: Path | None = None
    identity: archive.Identity = (0, 0, 0)
    dead: int = 0
    pieces: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()


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
        self.request, self.fingerprint = _kept_of(request), fingerprint(request, of)
        self.sibling = _beside(self.path, self.fingerprint[:12])
        self.at: Path | None = None  # the one of the two that this run reads and writes; None until it has looked
        self._told = False
        self._kept = _Kept()
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

    def load(self) -> dict[str, Any] | None:
        """What :meth:`save` was given last, or None if nothing is there that belongs to this run."""
        found: dict[str, Any] | None = None
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

    def restore(self, build: Callable[[dict[str, Any]], Built]) -> Built | None:
        """What `build` makes of :meth:`load`; None, with a warning, where it can make nothing of it."""
        found = self.load()
        if found is None:
            return None
        try:
            return build(found)
        except Exception as error:  # a file that was made up
            self._step_aside(_unreadable(error))
            return None

    def save(self, arrays: Mapping[str, Any], grown: Mapping[str, Sequence[np.ndarray]] | None = None) -> None:
        """Write `arrays`; the old file stays whole until the new one is. A signal that arrives meanwhile waits.

        Where that fails the run goes on: it is told once.

        Parameters
        ----------
        arrays : mapping
            What changes from save to save.
        grown : mapping to sequences of arrays, optional
            What only grows, the pieces in order: those that were saved before (or loaded) are not written again. :meth:`load` returns
            them as lists of arrays, which joined are the pieces joined.
        """
        if self.at is None:
            self.load()
        if self.at == self.path and _there(self.path):
            problem = self._mismatch(self.path)  # another run may have come in between
            if problem:
                self._step_aside(problem)
        plain = {name: np.asarray(value) for name, value in arrays.items()}
        grown = grown or {}
        try:
            with uninterrupted():
                if not self._append(plain, grown):
                    self._write(plain, grown)
        except (HamlearnError, OSError, MemoryError) as error:
            if not self._told:
                cause = str(error.__cause__ or error) or type(error).__name__
                logger.warning(
                    "the checkpoint %s could not be saved (%s); the run goes on, but could not be continued from here.", self.at, cause
                )
            self._told = True

    def _append(self, plain: Mapping[str, np.ndarray], grown: Mapping[str, Sequence[np.ndarray]]) -> bool:
        """Add what is new to the file of the last save; False where it is not there as it was, or would be mostly dead space."""
        kept, alive = self._kept, self._kept.identity[0] - self._kept.dead
        if kept.at != self.at or set(kept.pieces) != set(grown) or not grown or kept.dead > alive + _LEAST_DEAD:
            return False
        assert self.at is not None
        new = {name: pieces[kept.pieces[name] :] for name, pieces in grown.items()}
        pieces = {f"{name}/{kept.parts[name]}": np.concatenate(one) for name, one in new.items() if len(one)}
        parts = {name: count + (len(new[name]) > 0) for name, count in kept.parts.items()}
        digests = {name: _digest(array) for name, array in {**plain, **pieces}.items()}
        digests |= {name: digest for name, digest in kept.digests.items() if name not in kept.plain}
        header = self._header(digests, parts)
        try:
            now = archive.append(self.at, kept.identity, {**plain, **pieces, _HEADER: header}, [*kept.plain, _HEADER])
        except OSError:  # what it was is whole; a new file says why it cannot be written
            return False
        counts = {name: len(one) for name, one in grown.items()}
        dead = now[0] - alive - sum(array.nbytes for array in pieces.values())
        self._kept = replace(kept, identity=now, dead=dead, pieces=counts, parts=parts, digests=digests, plain=tuple(plain))
        return True

    def _write(self, plain: Mapping[str, np.ndarray], grown: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Write a new file with everything in it."""
        assert self.at is not None
        self._kept = _Kept()
        pieces = {f"{name}/0": np.concatenate(one) for name, one in grown.items() if len(one)}
        parts = {name: int(len(one) > 0) for name, one in grown.items()}
        digests = {name: _digest(array) for name, array in {**plain, **pieces}.items()}
        content = {**plain, **pieces, _HEADER: self._header(digests, parts)}
        storage.write_atomically(self.at, lambda temporary: archive.write(temporary, content))
        counts = {name: len(one) for name, one in grown.items()}
        self._kept = _Kept(self.at, archive.identity(os.stat(self.at)), 0, counts, parts, digests, tuple(plain))

    def _header(self, digests: Mapping[str, str], parts: Mapping[str, int]) -> np.ndarray:
        whole = _digest_of_all(self.of, self.request, digests, parts)
        return np.asarray(json.dumps({"format": _FORMAT, "of": self.of, "request": self.request, "grown": parts, "digest": whole}))

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
        found = self._kept
        with contextlib.suppress(OSError):
            if found.at == path and archive.identity(os.lstat(path)) == found.identity:
                return ""  # what this run wrote
        problem = ""
        for end in _ends(path):
            try:
                with archive.opened(path, end) as opened_:
                    return self._differs(_header(opened_))
            except Exception as error:  # whatever a damaged file makes of the readers of zip, NumPy and JSON
                problem = problem or _unreadable(error)
        return problem

    def _read(self, path: Path) -> tuple[str, dict[str, Any] | None]:
        """Why a file cannot be continued from, or its arrays: of its last save, or of one before where the end of the file is damaged."""
        problem = ""
        for end in _ends(path):
            told, found = self._read_to(path, end)
            if found is not None and problem:
                logger.warning("the end of %s %s; the save before it is whole.", path, problem)
            if found is not None or not told.startswith("is damaged"):
                return told, found
            problem = problem or told
        return problem, None

    def _read_to(self, path: Path, end: int | None) -> tuple[str, dict[str, Any] | None]:
        """The same of a file that ends there."""
        try:
            with archive.opened(path, end) as opened_:
                header = _header(opened_)
                differs = self._differs(header)
                if differs:
                    return differs, None
                names = [name.removesuffix(".npy") for name in opened_.namelist()]
                arrays = {name: archive.array_of(opened_, name) for name in names if name != _HEADER}
            digests = {name: _digest(array) for name, array in arrays.items()}
            parts = {str(name): int(count) for name, count in header["grown"].items()}
            if header["digest"] != _digest_of_all(self.of, self.request, digests, parts):
                return "is damaged: its content does not match its digest", None
            pieces = {name: [arrays.pop(f"{name}/{number}") for number in range(count)] for name, count in parts.items()}
            now = os.stat(path)
        except Exception as error:
            return _unreadable(error), None
        dead = now.st_size - sum(array.nbytes for one in ([*arrays.values()], *pieces.values()) for array in one)
        if end is None:
            self._kept = _Kept(path, archive.identity(now), dead, parts, parts, digests, tuple(arrays))
        return "", {**arrays, **pieces}

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


def fingerprint(request: Mapping[str, str], of: str) -> str:
    """What tells a request, and the version of this library, from any other: SHA-256, as a hexadecimal string."""
    return hashlib.sha256(json.dumps([of, _kept_of(request)], sort_keys=True).encode()).hexdigest()


def _kept_of(request: Mapping[str, str]) -> dict[str, str]:
    return {name: _short(value) for name, value in {"hamlearn": metadata.version("hamlearn"), **request}.items()}


def _ends(path: Path) -> Iterator[int | None]:
    """Where a file may end: where it does, and where it did before what was added last."""
    yield None
    if path.is_file():
        with contextlib.suppress(OSError):
            yield from archive.ends(path)


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _beside(path: Path, mark: str) -> Path:
    """A name beside `path` with a mark in it, short enough for a file system."""
    tail = f".{mark}{path.suffix}"
    stem, room = path.stem, _LONGEST_NAME - len(os.fsencode(tail))
    while len(os.fsencode(stem)) > room:  # whole characters: half of one is a name that nothing can print
        stem = stem[:-1]
    return path.with_name(stem + tail)


def _header(opened_: zipfile.ZipFile) -> Mapping[str, Any]:
    names = set(opened_.namelist())
    if f"{_HEADER}.npy" not in names:
        old = {"fingerprint.npy", "plain.npy"} <= names or {"request.npy", "history.npy"} <= names
        raise ValueError("it was written by hamlearn 0.1.0 or older" if old else "it has no header")
    header = json.loads(str(archive.array_of(opened_, _HEADER)))
    if not isinstance(header, dict) or not {"format", "of", "request", "digest"} <= set(header):
        raise ValueError("its header is incomplete")
    return header


def _digest(array: np.ndarray) -> str:
    """SHA-256 of an array, its type and its shape."""
    digest = hashlib.sha256(json.dumps([array.dtype.str, array.shape]).encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _digest_of_all(of: str, request: Mapping[str, str], digests: Mapping[str, str], parts: Mapping[str, int]) -> str:
    """SHA-256 of everything in a checkpoint."""
    return hashlib.sha256(json.dumps([_FORMAT, of, request, digests, parts], sort_keys=True).encode()).hexdigest()


def _unreadable(error: Exception) -> str:
    cause = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"is damaged, or no checkpoint ({cause.rstrip('.')})"


def _short(value: str) -> str:
    """A field as it is kept: whole, or its beginning and the digest of all of it."""
    return value if len(value) <= _LONGEST else f"{value[:80]}… (SHA-256 {hashlib.sha256(value.encode()).hexdigest()})"


def _clip(value: Any, limit: int = 100) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
