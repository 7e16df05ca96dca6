"""Sizes are estimated before anything is allocated: what cannot be held is refused while it is still a number."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path, PurePosixPath

from hamlearn.errors import HamlearnError


def require(size: int, what: str, advice: str = "") -> None:
    """Raise unless `size` bytes fit into half of the memory that this process may have.

    Half, because whoever works on an array makes another one of its size.

    Parameters
    ----------
    size : int
        Bytes, a Python integer (NumPy's overflow: multiply Python integers).
    what : str
        What would be that large, with the numbers that make it so: it begins the message.
    advice : str
        What to do instead; a sentence.

    Raises
    ------
    HamlearnError
        If it is more; the message names both sizes. Where the machine does not say how much it has, only what no machine has
        (2**50 bytes) is refused.

    Examples
    --------
    >>> require(1000, "states of 10 draws")
    >>> require(10**18, "states of 10**17 draws", "Ask for fewer draws.")
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: states of 10**17 draws need 888 PiB of memory; at most ... Ask for fewer draws.
    """
    bound = available() // 2
    if size > bound:
        told = f"{what} need {words(int(size))} of memory; at most {words(bound)} (half of this machine's) can be asked for at once."
        raise HamlearnError(f"{told} {advice}".rstrip())


@cache
def available() -> int:
    """Bytes that this process may use: the machine's memory, or the limit of the container (cgroup) that it runs in."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        physical = -1
    return min([physical if physical > 0 else 2**51, *_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def words(size: int) -> str:
    """A number of bytes in words.

    Examples
    --------
    >>> words(3 * 2**30), words(10**22), words(12)
    ('3.0 GiB', '8674 EiB', '12 bytes')
    """
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 6)
    value = size / 1024**power
    shown = f"{value:.1f}" if value < 100 else f"{value:.0f}" if value < 1e4 else f"{value:.2g}"
    return f"{shown} {('KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power - 1]}"


def _limits(membership: Path, root: Path) -> list[int]:
    """Memory limits of the control groups that a process is in, and of the groups around them (versions 1 and 2)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    files = [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]  # inside a container its own group is the root
    for line in lines:
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        at, name = (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
        if controllers and "memory" not in controllers.split(","):
            continue
        place = PurePosixPath(group.lstrip("/"))
        files += [at / one / name for one in (place, *place.parents)]
    return [limit for file in dict.fromkeys(files) if (limit := _number(file)) is not None]


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None  # "max": no limit
