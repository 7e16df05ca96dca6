"""Files of public data sets: from a folder of the user's, from the cache, or from their owner, and always by their checksum."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

from hamlearn import storage
from hamlearn.datasets.sources import SOURCES, File, Source
from hamlearn.errors import HamlearnError, choice
from hamlearn.folders import cache
from hamlearn.progress import logger

_TIMEOUT_S = 30.0  # without a byte


def path(name: str, file: str, *, download: bool = True) -> Path:
    """Where a file of a public data set lies, after its checksum was compared; fetched from its owner if it lies nowhere.

    Looked for in the folder that the environment variable ``HAMLEARN_DATA`` names, then in the cache (``hamlearn`` in the user's folder
    for caches), then fetched into the cache.

    Parameters
    ----------
    name : {"annealer", "atoms", "neurons", "protein"}
        The data set.
    file : str
        One of its files, see :data:`hamlearn.datasets.SOURCES`.
    download : bool
        Whether it may be fetched.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    HamlearnError
        If there is no such set or file, ``HAMLEARN_DATA`` names no folder, a file there has another content, or it cannot be fetched:
        the message says where it comes from, where to put it, and its checksum.

    Examples
    --------
    >>> path("neurons", "example15.mat").name  # doctest: +SKIP
    'example15.mat'
    """
    source = SOURCES[choice(name, SOURCES, "the data set")]
    files = {one.name: one for one in source.files}
    wanted = files[choice(file, files, f"a file of the data set {name!r}")]
    own = _own_folder()
    if own is not None and (found := own / source.folder / wanted.name).exists():
        if problem := _problem(storage.existing(found), wanted):
            raise HamlearnError(f"{found} is not the file that it should be: {problem}. Remove it, or get it anew from {wanted.url}.")
        return found
    cached = cache() / source.folder / wanted.name
    if cached.is_file() and not _problem(cached, wanted):
        return cached
    if not download:
        raise HamlearnError(f"{_lies_nowhere(source, wanted, cached)}.")
    return _fetch(source, wanted, cached)


def available(name: str) -> bool:
    """Whether all files of a public data set are at hand, without fetching anything.

    Parameters
    ----------
    name : {"annealer", "atoms", "neurons", "protein"}
        The data set.

    Examples
    --------
    >>> available("neurons") in (True, False)
    True
    """
    source = SOURCES[choice(name, SOURCES, "the data set")]
    try:
        return all(path(name, file.name, download=False) for file in source.files)
    except HamlearnError:
        return False


def _own_folder() -> Path | None:
    named = os.environ.get("HAMLEARN_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise HamlearnError(f"the environment variable HAMLEARN_DATA names {named!r}, which is no folder: mend or unset it.")
    return Path(named)


def _problem(found: Path, wanted: File) -> str:
    """What is wrong with a file that should be `wanted`, or ""."""
    try:
        size = found.stat().st_size
        if size != wanted.size:
            return f"it has {size} bytes, and not {wanted.size}"
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "" if digest == wanted.sha256 else f"its SHA-256 is {digest}, and not {wanted.sha256}"


def _fetch(source: Source, wanted: File, target: Path) -> Path:
    logger.info("fetching %s (%.1f MB, %s) from %s", wanted.name, wanted.size / 1e6, source.licence, wanted.url)
    try:
        with urllib.request.urlopen(wanted.url, timeout=_TIMEOUT_S) as answer:
            content = answer.read(wanted.size + 1)  # never more, whatever the server sends
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise HamlearnError(f"{_lies_nowhere(source, wanted, target)}; it could not be fetched: {reason}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != wanted.size or digest != wanted.sha256:
        sent = f"{len(content)} bytes of SHA-256 {digest}" if len(content) <= wanted.size else "more than that"
        raise HamlearnError(f"{_lies_nowhere(source, wanted, target)}; what was sent instead is another file: {sent}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HamlearnError(f"cannot keep {wanted.name}: {target.parent} cannot be made ({error.strerror}). Set HAMLEARN_DATA.") from error

    def write(place: Path) -> None:
        place.write_bytes(content)

    return storage.write_atomically(target, write)


def _lies_nowhere(source: Source, wanted: File, cached: Path) -> str:
    """Where a file comes from and where to put it, without the full stop."""
    return (
        f"the data set {source.name!r} needs {wanted.name}, which is not on this machine. It comes from {wanted.url} ({wanted.size} bytes, "
        f"licence {source.licence}, SHA-256 {wanted.sha256}): put it at {cached}, or at {source.folder}/{wanted.name} in a folder that the "
        "environment variable HAMLEARN_DATA names"
    )
