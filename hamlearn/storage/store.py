"""A Zarr store that reads one version of a folder and nothing else, and compares what it reads with the manifest.

Zarr takes a missing chunk for one that holds its fill value; here it is an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import LocalStore, WrapperStore

from hamlearn.errors import HamlearnError
from hamlearn.storage.manifest import CHANGED, Damaged, Manifest, missing


def verified(target: Path, found: Manifest) -> WrapperStore[LocalStore]:
    """A read-only store of the version that a manifest names."""
    return _Verified(LocalStore(target / found.version, read_only=True), target, found)


_DESCRIPTIONS = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


class _Verified(WrapperStore[LocalStore]):
    def __init__(self, store: LocalStore, target: Path, found: Manifest, faults: list[HamlearnError] | None = None) -> None:
        super().__init__(store)
        self._target, self._found = target, found
        # Zarr reads descriptions in tasks that it forgets when one fails, and Python prints the tracebacks of the others. So faults of
        # descriptions are noted, and raised by whoever opens the folder.
        self.faults: list[HamlearnError] = [] if faults is None else faults

    def _with_store(self, store: LocalStore) -> _Verified:
        return type(self)(store, self._target, self._found, self.faults)

    _is_open = True  # files are opened one by one, so there is nothing else to open

    async def _open(self) -> None:
        pass

    async def _ensure_open(self) -> None:
        pass

    def _content(self, key: str) -> bytes | None:
        if key not in self._found.files:
            return None
        path = self._target / self._found.version / key
        size, digest = self._found.files[key]
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with open(handle, "rb") as file:
                content = file.read(size + 1)
        except OSError as error:
            raise missing(self._target, self._found) from error
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise Damaged(f"cannot read {self._target}: in it {key} is not what hamlearn wrote: {CHANGED}")
        return content

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        try:
            content = await asyncio.to_thread(self._content, key)
        except HamlearnError as fault:
            if key.rsplit("/", 1)[-1] not in _DESCRIPTIONS:
                raise
            self.faults.append(fault)
            content = None
        if content is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            content = content[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            content = content[byte_range.offset :]
        elif isinstance(byte_range, SuffixByteRequest):
            content = content[max(0, len(content) - byte_range.suffix) :]
        return prototype.buffer.from_bytes(content)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def _get_many(self, requests: Any) -> Any:
        for key, prototype, byte_range in requests:
            yield key, await self.get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        return key in self._found.files

    async def getsize(self, key: str) -> int:
        if key not in self._found.files:
            raise FileNotFoundError(key)
        return self._found.files[key][0]

    async def list(self) -> AsyncIterator[str]:
        for key in self._found.files:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self._found.files:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in dict.fromkeys(key[len(start) :].split("/")[0] for key in self._found.files if key.startswith(start)):
            yield name
