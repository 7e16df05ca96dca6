"""Functions compiled by numba, and where their machine code is kept between runs.

The one file that asks numba for a cache. A cache holds code that will be executed, so it is kept only where nobody else can
write; and it is a convenience, so whatever is wrong with it (no home folder, a read-only package, a full disk, a damaged
file) costs a compilation, never a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from hamlearn.folders import private_folder, trusted

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


__all__ = ["compiled"]
