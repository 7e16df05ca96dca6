"""What a .zarr folder of this library holds: ``hamlearn.json`` names its version and every file of it, with sizes and digests.

::

    x.zarr/
        hamlearn.json            the manifest; replaced in one move
        v-0123456789abcdef/      the version that it names, an ordinary Zarr group
        v-fedcba9876543210/      the one before, for readers that are still at it
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hamlearn import memory
from hamlearn.errors import HamlearnError

NAME = "hamlearn.json"
FORMAT = 1
_GROWTH = 16  # bytes in memory for one of JSON
CHANGED = "it was damaged, or changed by another program. Restore a copy."
VERSION = re.compile(r"v-[0-9a-f]{16}")
_LEGACY = {".zgroup", ".zattrs", ".zmetadata"}


class Damaged(HamlearnError):
    """A folder is not what its manifest says."""


class Replaced(HamlearnError):
    """A folder was written anew, twice, while it was read."""


@dataclass(frozen=True)
class Manifest:
    """The version in force, its files ``{name: (size, SHA-256)}``, and folders that are kept until the next write."""

    version: str
    files: Mapping[str, tuple[int, str]]
    previous: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """As text, with a digest of itself."""
        content = {"format": FORMAT, "version": self.version, "previous": list(self.previous), "files": dict(self.files)}
        return json.dumps({"hamlearn": _digest(content), **content})


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def described(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and digest of every file in a folder, by its name there; an error if a folder cannot be listed."""
    files = {}
    for here, _, names in os.walk(folder, onerror=raised):
        for name in names:
            path = Path(here) / name
            content = path.read_bytes()
            files[path.relative_to(folder).as_posix()] = (len(content), hashlib.sha256(content).hexdigest())
    return files


def raised(error: OSError) -> None:
    """For `os.walk`, which otherwise leaves out what it cannot list."""
    raise error


def read(folder: Path) -> Manifest | None:
    """The manifest of a .zarr folder; None if it has none, and so was not written by this version of this library.

    Raises
    ------
    Damaged
        If it is not what was written.
    HamlearnError
        If a newer version wrote it.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_file():
        raise Damaged(f"cannot read {folder}: its {NAME} is a link or no file.")
    try:
        found = json.loads(text_of(path))
        if int(found["format"]) > FORMAT:
            raise HamlearnError(f"{folder} was written by a newer hamlearn (format {found['format']}); upgrade hamlearn to read it.")
        if found.pop("hamlearn") != _digest(found):
            raise ValueError("its digest does not fit")
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in found["files"].items()}
        manifest = Manifest(found["version"], files, tuple(found["previous"]))
        names = [manifest.version, *manifest.previous]
        if not all(VERSION.fullmatch(name) for name in names) or not all(map(_inside, files)):
            raise ValueError("it names files outside the folder")
    except HamlearnError:
        raise
    except (OSError, ValueError, ArithmeticError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"cannot read {folder}: its {NAME} is damaged ({error}). Restore a copy of the folder.") from error
    return manifest


def text_of(path: Path) -> str:
    """A text that describes a folder; an error if it is so large (a file may claim any size and hold nothing) that memory ends first."""
    memory.require(_GROWTH * path.stat().st_size, f"the {path.name} in {path.parent} would")
    return path.read_text(encoding="utf-8")


def missing(target: Path, found: Manifest) -> HamlearnError:
    """What to say when a file of a version is not there."""
    now = read(target)
    if now is None or now.version != found.version:
        return Replaced(f"cannot read {target}: it was replaced while it was being read; read it again.")
    return Damaged(f"cannot read {target}: files of it are missing. Restore a copy.")


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def require_ours(target: Path) -> tuple[str, ...]:
    """Raise if there is a folder at `target` that this library did not write: it is never replaced.

    Returns the entries of a plain Zarr group that hamlearn 0.1.0 wrote there, which the next write removes.
    """
    if not os.path.isdir(target):
        return ()
    try:
        read(target)  # what a newer version wrote is not replaced
    except Damaged:
        pass
    try:
        names = sorted(os.listdir(target), reverse=True)
    except OSError as error:
        raise HamlearnError(f"cannot write {target}: the folder of that name cannot be looked into ({error.strerror}).") from error
    versions = [name for name in names if VERSION.fullmatch(name)]
    legacy = _legacy(target, names)
    if (NAME in names and versions) or set(names) in (set(versions), set(legacy)):  # only versions: a first write that was killed
        return legacy
    raise HamlearnError(
        f"cannot write {target}: a folder of that name is there that hamlearn did not write, and it is never replaced. "
        "Remove it yourself, or name another place."
    )


def _legacy(target: Path, names: list[str]) -> tuple[str, ...]:
    """Entries of a plain Zarr group whose root says that hamlearn wrote it; what says so comes last."""
    path = target / ".zattrs"
    if path.is_symlink() or not path.is_file():  # a pipe would be waited for
        return ()
    try:
        attributes = json.loads(text_of(path))
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(attributes, dict) or "schema_version" not in attributes or not {"space", "model"} & set(attributes):
        return ()
    member = lambda name: any(os.path.isfile(target / name / part) for part in (".zarray", ".zgroup"))
    return tuple(name for name in names if name in _LEGACY or (not VERSION.fullmatch(name) and member(name)))
