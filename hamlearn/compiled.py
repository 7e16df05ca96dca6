"""Functions compiled by numba, and where their machine code is kept between runs.

The one file that asks numba for a cache. A cache holds code that will be executed, so it is kept only where nobody else can
write; and it is a convenience, so whatever is wrong with it (no home folder, a read-only package, a full disk, a damaged
file) costs a compilation, never a run.
"""

from __future__ import annotations

import functools
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

logger = logging.getLogger("hamlearn")
_CONFIG: Any = numba.config  # its settings are attributes that are set when it is loaded
_PLACING = threading.Lock()  # numba reads its cache folder from one process-wide place while a function is decorated


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator like ``numba.njit(**options)`` whose machine code is kept where that is possible and safe.

    The places, in this order: ``NUMBA_CACHE_DIR`` or numba's own choice (beside the package, or in the user's cache folder), a
    private folder in the system's folder for temporary files, none. A place that other users can write is passed over.

    Parameters
    ----------
    **options
        Of ``numba.njit``, such as ``nogil=True``.

    Examples
    --------
    >>> @compiled(nogil=True)
    ... def double(x):
    ...     return 2 * x
    >>> double(21)
    42
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        _keep(dispatcher, Path(function.__code__.co_filename))
        return dispatcher

    return decorate


def _keep(dispatcher: Any, source: Path) -> None:
    """Give a compiled function the first cache that can be written and is safe, or none."""
    usual, without = _CONFIG.CACHE_DIR, dispatcher._cache
    for choose in (lambda: usual, private_folder):
        with _PLACING:
            folder = choose()
            if folder is None:
                continue
            try:
                _CONFIG.CACHE_DIR = str(folder)
                dispatcher.enable_caching()
            except (RuntimeError, OSError) as error:  # numba: "cannot cache function ...: no locator available"
                logger.debug("%s: %s", dispatcher.__name__, error)
                continue
            finally:
                _CONFIG.CACHE_DIR = usual
        found = dispatcher._cache
        if trusted(Path(found.cache_path), source):
            dispatcher._cache = _Lenient(found)
            return
        dispatcher._cache = without
        logger.debug("%s: no compiled code is kept in %s, where others can write", dispatcher.__name__, found.cache_path)
    logger.debug("%s is compiled anew in every process: no folder can be written safely", dispatcher.__name__)


class _Lenient:
    """A cache of numba's whose faults cost a compilation and no more; numba itself lets a full disk end the call."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return self._cache.load_overload(*arguments)
        except Exception as error:  # a damaged pickle raises anything at all
            logger.debug("compiled code in %s cannot be read (%s): compiled anew", self._cache.cache_path, error)
            return None

    def save_overload(self, *arguments: Any) -> None:
        try:
            self._cache.save_overload(*arguments)
        except Exception as error:
            logger.debug("compiled code cannot be kept in %s: %s", self._cache.cache_path, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def trusted(folder: Path, source: Path) -> bool:
    """Whether what lies in a cache folder can come from nobody but this user, the system's administrator and the owner of the source code.

    Parameters
    ----------
    folder : Path
        Where compiled code would be read from.
    source : Path
        The file of the function: who owns it decides what is executed anyway.
    """
    if not hasattr(os, "geteuid"):  # Windows: folders of a user are private unless shared by hand
        return True
    owners = {os.geteuid(), 0}
    try:
        owners.add(source.stat().st_uid)
        own = folder.resolve(strict=True)
        found, above = own.stat(), [parent.stat().st_mode for parent in own.parents]
    except OSError:
        return False
    closed = not found.st_mode & stat.S_IWOTH
    above_closed = all(not mode & stat.S_IWOTH or mode & stat.S_ISVTX for mode in above)  # else it, or one above it, can be exchanged
    return found.st_uid in owners and closed and above_closed


@functools.cache
def private_folder() -> Path | None:
    """A folder for temporary files that only this user can read or write, or None where there is none."""
    if not hasattr(os, "geteuid"):
        return None
    try:
        folder = Path(tempfile.gettempdir(), f"hamlearn-compiled-{os.geteuid()}")
        above = folder.parent.stat()
        if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
            return None  # anyone could put another folder in its place
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        found = folder.lstat()  # a link is not followed
    except OSError:
        return None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if mine and os.access(folder, os.W_OK) else None


__all__ = ["compiled"]
