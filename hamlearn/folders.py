"""Folders of this user, for what is kept between runs: where they are, and whether what lies in them may be executed."""

from __future__ import annotations

import functools
import os
import stat
import sys
import tempfile
from pathlib import Path


def cache() -> Path:
    """The user's folder for what can be had again (fetched files, compiled code), as the operating system has it; it need not exist.

    Examples
    --------
    >>> cache().name
    'hamlearn'
    """
    if sys.platform == "win32":
        place = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        place = Path.home() / "Library" / "Caches"
    else:
        place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "hamlearn"


def trusted(folder: Path, source: Path) -> bool:
    """Whether what lies in a cache folder can come from nobody but this user, the system's administrator and the owner of the source code.

    Parameters
    ----------
    folder : Path
        Where compiled code would be read from.
    source : Path
        A file of the code that would read it: who owns it decides what is executed anyway.

    Examples
    --------
    >>> trusted(Path("/nowhere"), Path(__file__))
    False
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


__all__ = ["cache", "private_folder", "trusted"]
