"""Chunks that hold far more than they say: noticed by their size, what is written in them, or unpacking them only so far."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Sequence

from hamlearn.errors import HamlearnError

_RATIO = 1032  # what zlib can make of a byte at most
_HARMLESS = 1 << 28  # bytes that nobody misses for a moment

# How to unpack at most so many bytes.
_UNPACK: dict[str, Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor]] = {
    "zlib": lambda: zlib.decompressobj(47),  # with zlib's header or that of gzip
    "gzip": lambda: zlib.decompressobj(47),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


def _of_zstd(read: Callable[[int], bytes]) -> int:
    """Bytes that Zstandard data (RFC 8878) unpack to: as the first frame says; otherwise at most, block by block."""
    start, told = _zstd_frame(read(32))
    if told is not None:
        return told
    content, at, size = read(-1), 0, 0
    while at < len(content):
        if content[at + 1 : at + 4] == b"\x2a\x4d\x18":  # a frame that is skipped
            at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
            continue
        start, _ = _zstd_frame(content[at : at + 32])
        checked, at, last = content[at + 4] >> 2 & 1, at + start, 0
        while not last and at < len(content):
            block = int.from_bytes(content[at : at + 3], "little")
            last, kind, length = block & 1, block >> 1 & 3, block >> 3
            at += 3 + (1 if kind == 1 else length)
            size += 1 << 17 if kind == 2 else length
        at += 4 * checked
    return size


def _zstd_frame(head: bytes) -> tuple[int, int | None]:
    """Where the blocks of a frame begin, and what it says that it holds."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("a chunk of it is not packed as it says")
    flags = head[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 6 - single + (0, 1, 2, 4)[flags & 3]
    told = int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)
    return start + width, told if width else None


# How much is in there, as it says itself; not a byte more is unpacked.
_TOLD: dict[str, Callable[[Callable[[int], bytes]], int]] = {
    "zstd": _of_zstd,
    "blosc": lambda read: int.from_bytes(read(8)[4:], "little"),
    "lz4": lambda read: int.from_bytes(read(4), "little"),
}
GROWING = frozenset({*_UNPACK, *_TOLD})


def require_honest(codec: str, packed: int, read: Callable[[int], bytes], nominal: int, where: str) -> None:
    """Raise if a chunk holds much more than it should.

    Parameters
    ----------
    codec : str
        What it was packed by; others than those in `GROWING` cannot make more of it.
    packed, nominal : int
        Its bytes as they are stored, and as they should be.
    read : callable
        Gives so many of the stored bytes, or all for -1.
    where : str
        The file and the array.
    """
    most = max(2 * nominal + (1 << 16), _HARMLESS)  # filters below may add a little
    size = packed
    if packed <= most and codec in _TOLD:
        size = _TOLD[codec](read)
    elif packed <= most and codec in _UNPACK and (codec not in ("zlib", "gzip") or packed * _RATIO > most):
        size = len(_UNPACK[codec]().decompress(read(-1), most + 1))
    if size > most:
        raise HamlearnError(f"cannot read {where}: a chunk of it holds far more than the {nominal} bytes that it should.")


def require_packed_once(names: Sequence[str], where: str) -> None:
    """Raise if data were packed several times: what is packed twice can unpack to a million times its size."""
    if sum(name in GROWING for name in names) > 1:
        raise HamlearnError(f"cannot read {where}: it is packed more than once ({', '.join(names)}). Write it with one compression.")
