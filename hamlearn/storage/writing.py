"""Writing: into a hidden folder beside the target, onto the disk for good, then into place in one move."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hamlearn import extras
from hamlearn.errors import HamlearnError
from hamlearn.storage.locks import locked
from hamlearn.storage.manifest import raised, require_ours

LONGEST_NAME = 240  # bytes: file systems take 255, and a checkpoint's name is its result's and 15 more


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Call `write(temporary path)` in the target's folder, then move the file that it made onto `path`.

    The file is on the disk (fsync) before it is moved. What killed writers of the same target left behind is removed.

    Raises
    ------
    HamlearnError
        If the folder does not exist or cannot be written, or the disk is full; what is in memory is untouched and
        no partial file stays behind.
    """
    target = Path(path)
    require_folder(target)
    with failing(target), beside(target) as folder:
        temporary = folder / target.name
        write(temporary)
        sync(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    return target


@contextlib.contextmanager
def failing(target: Path) -> Iterator[None]:
    """What the operating system refuses while a result is written becomes one error that names the file."""
    try:
        yield
    except OSError as error:
        raise HamlearnError(
            f"cannot write {target}: {error.strerror or error}. The result in memory is intact: save it elsewhere."
        ) from error


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A hidden folder of our own beside `target`, locked while this process uses it, and removed afterwards."""
    prefix = _prefix(target)
    _remove_leftovers(target.parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        with locked(folder, wait=True):
            if not folder.exists():  # another writer took it for a leftover before it was locked
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


def tidy(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of `path` left beside it; a writer that lives keeps its own."""
    target = Path(path)
    _remove_leftovers(target.parent, _prefix(target))


def _prefix(target: Path) -> str:
    name = target.name
    if len(os.fsencode(name)) > 200:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]  # the folder's name must fit too
    return f".{name}.hamlearn-"


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove hidden folders of killed writers of the same target: ours by their name, and dead because nobody holds their lock."""
    ours = re.compile(re.escape(prefix) + "[a-z0-9_]{8}")
    with contextlib.suppress(OSError):  # a folder that cannot be listed can still be written to
        for entry in list(os.scandir(parent)):
            if ours.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with locked(Path(entry.path), wait=False) as dead:
                    if dead:
                        shutil.rmtree(entry.path, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or every file in a folder, is on the disk."""
    if not path.is_dir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        return
    for folder, _, names in os.walk(path, onerror=raised):
        for name in names:
            sync(Path(folder) / name)
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its file system and permissions let us ask for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # it may be written and not listed; Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def require_folder(target: Path) -> None:
    """Raise unless the folder in which `target` is to be written is there."""
    try:
        there = stat.S_ISDIR(os.stat(target.parent).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except (OSError, ValueError) as error:
        raise HamlearnError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}.") from error
    if os.path.isfile(target.parent):
        raise HamlearnError(f"cannot write {target}: {target.parent} is a file, not a folder.")
    if not there:
        raise HamlearnError(f"cannot write {target}: the folder {target.parent} does not exist.")


def require_writable(path: str | os.PathLike[str], endings: tuple[str, ...]) -> None:
    """Raise before long work starts if its result could not be written to `path` afterwards; `path` itself is not touched.

    It is tried: a small file is written beside the target and removed.
    """
    target = Path(path)
    if target.suffix not in endings:
        raise HamlearnError(f"the output must end in {' or '.join(endings)}; got {str(path)!r}.")
    length = len(os.fsencode(target.name))
    if length > LONGEST_NAME:
        raise HamlearnError(f"cannot write {target.name[:40]}…: its name has {length} bytes; at most {LONGEST_NAME} fit, so shorten it.")
    require_folder(target)
    require_kind(target)
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise HamlearnError(f"cannot write {target}: Permission denied (it is read-only).")
    try:
        for place in (target, target / "inside") if os.path.isdir(target) else (target,):
            with beside(place) as folder:
                (folder / "trial").write_bytes(bytes(1 << 14))
                sync(folder)
    except OSError as error:
        raise HamlearnError(f"cannot write {target}: {error.strerror or error}. Nothing was started: name another place.") from error


def require_kind(target: Path) -> None:
    """Raise if its ending needs what is not installed, or if what is at `target` is a folder where it is a file, or the other way round."""
    if target.suffix == ".zarr":
        extras.require("zarr")
    if target.suffix != ".zarr" and os.path.isdir(target):
        raise HamlearnError(f"cannot write {target}: it is a folder, and a {target.suffix} result is one file. Name another place.")
    if target.suffix == ".zarr" and os.path.islink(target) and not os.path.exists(target):
        raise HamlearnError(f"cannot write {target}: it is a link to {os.readlink(target)}, which is not there. Name another place.")
    if target.suffix == ".zarr" and os.path.exists(target) and not os.path.isdir(target):
        raise HamlearnError(f"cannot write {target}: it is a file, and a .zarr result is a folder. Name another place.")
    if target.suffix == ".zarr":
        require_ours(target)
