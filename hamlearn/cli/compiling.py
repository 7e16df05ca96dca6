"""Compiled code of JAX is kept between commands: every one is a process of its own, and would compile what the one before it had compiled.

Said to JAX by its environment variables, before anything imports it. A cache holds code that will be executed, so it lies where nobody
else can write; and it is a convenience, so a place that cannot be had costs compilations and a line, never a command.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hamlearn.folders import cache, private_folder, trusted

NAMED = "JAX_COMPILATION_CACHE_DIR"  # who has set it, if to nothing, has decided
_BOUND = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(256 * 2**20),  # bytes; what was not used for longest goes first
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",  # a command compiles dozens of functions that take less than JAX's one second
}


def keep() -> str:
    """Let JAX keep compiled code in this user's cache folder, or else in a private one for temporary files.

    Returns
    -------
    str
        Why it is not kept where it should be, and where instead; empty where all is well, or somebody has decided otherwise.
    """
    if NAMED in os.environ:
        return ""
    told = ""
    try:
        folder = cache() / "jax"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fault = "" if trusted(folder, Path(__file__)) and os.access(folder, os.W_OK) else "this user cannot write there, or others can"
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        fault, folder = getattr(error, "strerror", None) or str(error), Path("the user's cache folder")
    if fault:
        other = private_folder()
        instead = f"{other} is used instead" if other else "every command compiles anew"
        told = f"compiled code cannot be kept in {folder} ({fault}): {instead}. {NAMED}=FOLDER names another place."
        if other is None:
            return told
        folder = other
    os.environ[NAMED] = str(folder)
    for name, value in _BOUND.items():
        os.environ.setdefault(name, value)
    if all(os.environ[name] == value for name, value in _BOUND.items()):
        _drop_unfinished(folder)
    return told


def _drop_unfinished(folder: Path) -> None:
    """Delete what a killed command, or a full disk, left half-written: JAX would warn and compile at every command, and never replaces it.

    JAX writes the time of an entry after the entry, both under its lock: where the lock is free, one without time will not be finished.
    """

    def whole(entry: Path) -> bool:
        return entry.with_name(entry.name.removesuffix("cache") + "atime").exists()

    unfinished = [entry for entry in folder.glob("*-cache") if not whole(entry)]
    if not unfinished:
        return
    from filelock import FileLock, Timeout  # only now: it would double the time of ``hamlearn --help``

    with suppress(OSError, Timeout), FileLock(folder / ".lockfile", timeout=0):
        for entry in unfinished:
            if not whole(entry):
                entry.unlink(missing_ok=True)
