"""Packed chunks that unpack to far more than they say: noticed by unpacking them only as far as they may reach."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable

from hamlearn.errors import HamlearnError

_RATIO = 1032  # what zlib can make of a byte at most
_HARMLESS = 1 << 28  # bytes that nobody misses for a moment

# How to unpack at most so many bytes; other codecs write beforehand how much they hold, or cannot grow.
_UNPACK: dict[str, Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor]] = {
    "zlib": lambda: zlib.decompressobj(47),  # with zlib's header or that of gzip
    "gzip": lambda: zlib.decompressobj(47),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}
GROWING = frozenset(_UNPACK)


def require_honest(codec: str, packed: int, read: Callable[[], bytes], nominal: int, where: str) -> None:
    """Raise if a chunk unpacks to much more than it should hold.

    Parameters
    ----------
    codec : str
        What it was packed by; only those in `GROWING` are looked at.
    packed, nominal : int
        Its bytes as they are stored, and as they should be.
    read : callable
        Gives the stored bytes.
    where : str
        The file and the array.
    """
    if codec not in GROWING or (codec in ("zlib", "gzip") and packed * _RATIO <= _HARMLESS):
        return
    most = 2 * nominal + (1 << 16)  # filters below may add a little
    if len(_UNPACK[codec]().decompress(read(), most + 1)) > most:
        raise HamlearnError(f"cannot read {where}: a packed chunk of it holds far more than the {nominal} bytes that it should.")
