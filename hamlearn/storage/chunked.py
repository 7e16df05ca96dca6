"""Zarr folders: versions beside each other, of which a manifest names the one in force.

A reader reads the manifest once and then only what it names, so it never mixes two versions. A folder holds chunks as
files, which several writers can add to a version before its manifest is written.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.storage import manifest
from hamlearn.storage.bombs import GROWING, require_honest
from hamlearn.storage.guard import require_array
from hamlearn.storage.locks import locked
from hamlearn.storage.manifest import Manifest
from hamlearn.storage.writing import beside, failing, require_folder, sync, sync_folder

# Codecs that only turn bytes into bytes; others (pickle) could run what a file holds.
CODECS = frozenset(
    {"adler32", "astype", "base64", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32"}
    | {"gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose", "vlen-bytes"}
    | {"vlen-utf8", "zlib", "zstd"}
)
_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def write(data: xr.Dataset | xr.DataTree, target: Path) -> Path:
    """Write a Dataset or DataTree as a Zarr folder, whole or not at all; readers of the version before are not disturbed."""
    require_folder(target)
    manifest.require_ours(target)
    with failing(target), beside(target) as folder:
        new, version = folder / target.name, f"v-{secrets.token_hex(8)}"
        new.mkdir()
        data.to_zarr(new / version, zarr_format=2, consolidated=False)
        wanted = Manifest(version, manifest.described(new / version))
        sync(new / version)
        if not _first(new, wanted, target):
            _publish(new, wanted, target)
        sync_folder(target.parent)
    return target


def _first(new: Path, wanted: Manifest, target: Path) -> bool:
    """Move a whole new folder to where there is none; False if there is one."""
    if os.path.isdir(target):
        return False
    _write_text(new / manifest.NAME, wanted.to_json())
    sync_folder(new)
    try:
        os.replace(new, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False  # another writer was faster
    return True


def _publish(new: Path, wanted: Manifest, target: Path) -> None:
    """Add a version to a folder, then let its manifest name it; remove what no reader needs."""
    with locked(target, wait=True) as alone:
        legacy = manifest.require_ours(target)
        versions = [name for name in os.listdir(target) if manifest.VERSION.fullmatch(name)]
        try:
            old = manifest.read(target)
            kept = [] if old is None else [old.version]
        except manifest.Damaged:
            kept = versions  # which was in force is not known: all stay once more
        wanted = replace(wanted, previous=tuple(kept))
        os.replace(new / wanted.version, target / wanted.version)
        try:
            sync_folder(target)
            _write_text(new / manifest.NAME, wanted.to_json())
            os.replace(new / manifest.NAME, target / manifest.NAME)
        except BaseException:
            if not _may_be_in_force(target, wanted):  # an interrupt is raised after the move that it arrived in
                shutil.rmtree(target / wanted.version, ignore_errors=True)
            raise
        sync_folder(target)
        dead = [name for name in versions if name not in kept] if alone else []  # of killed writers, or before the one before
        for name in (*dead, *legacy):
            shutil.rmtree(target / name) if (target / name).is_dir() else (target / name).unlink(missing_ok=True)


def _may_be_in_force(target: Path, wanted: Manifest) -> bool:
    try:
        found = manifest.read(target)
    except HamlearnError:
        return True
    return found is not None and found.version == wanted.version


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    sync(path)


def check(target: Path, *, whole: bool = True, without: tuple[str, ...] = ()) -> Any:
    """What to give xarray to read the folder: a store that checks what it reads, or the name of a folder that others wrote.

    Parameters
    ----------
    target : path
        The folder.
    whole : bool
        Whether all arrays will be loaded; otherwise only those of one axis (coordinates) are.
    without : tuple of str
        Names of arrays that will not be read.

    Raises
    ------
    HamlearnError
        If it holds links, arrays larger than memory, codecs that could run programs, or no Zarr data at all.
    """
    found = manifest.read(target)
    folder = target if found is None else target / found.version
    if found is not None and folder.is_symlink():
        raise HamlearnError(f"cannot read {target}: its {found.version!r} is a link: not followed. Copy the data.")
    total = 0
    try:
        for path in _files(folder, target):
            if path.name in (".zarray", "zarr.json"):
                name = path.parent.relative_to(folder).as_posix()
                described = json.loads(path.read_text(encoding="utf-8"))
                size = _size(described, f"{target}: {name}", whole, name in without)
                if size:
                    _require_honest(path.parent, described, f"{target}: {name}")
                total += size
    except FileNotFoundError as error:
        raise error if found is None else manifest.missing(target, found) from error
    memory.require(total, f"the arrays of {target} would together", "Cut it into smaller folders.")
    if found is None:
        if not any((target / name).is_file() for name in (".zgroup", ".zarray", "zarr.json")):
            raise HamlearnError(f"cannot read {target}: it is no Zarr folder, or its {manifest.NAME} was removed.")
        return target
    from hamlearn.storage.store import verified

    return verified(target, found)


def _files(folder: Path, target: Path) -> Iterator[Path]:
    """All files in a folder; an error if something in it leads elsewhere."""
    for entry in os.scandir(folder):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise HamlearnError(f"cannot read {target}: its {entry.name!r} is a link or no file: not followed. Copy the data.")
        if entry.is_dir():
            yield from _files(Path(entry.path), target)
        else:
            yield Path(entry.path)


def _size(described: dict[str, Any], where: str, whole: bool, skipped: bool) -> int:
    """Bytes of an array from its description in Zarr's format 2 or 3, if they will be loaded; 0 for a group."""
    if "shape" not in described:
        return 0
    kind: Any = described.get("dtype", described.get("data_type"))
    codecs = [described.get("compressor"), *(described.get("filters") or []), *_nested(described.get("codecs") or [])]
    for codec in codecs:
        name = None if codec is None else str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
        if name is not None and name not in CODECS:
            raise HamlearnError(f"cannot read {where}: its codec {name!r} is not one that only packs bytes. Write it with another.")
    loaded = (whole or len(described["shape"]) < 2) and not skipped
    size = require_array(where, described["shape"], _itemsize(kind), _grid(described), whole=loaded)
    return size if loaded else 0


def _require_honest(folder: Path, described: dict[str, Any], where: str) -> None:
    """Raise if a chunk of an array unpacks to more than it should hold."""
    outermost = described.get("compressor") or (described.get("codecs") or [None])[-1]
    if not isinstance(outermost, dict):
        return
    codec = str(outermost.get("id", outermost.get("name"))).removeprefix("numcodecs.")
    if codec not in GROWING:
        return
    nominal = math.prod(_grid(described)) * _itemsize(described.get("dtype", described.get("data_type")))
    for path in _files(folder, folder):
        if path.name not in _METADATA:
            require_honest(codec, path.stat().st_size, path.read_bytes, nominal, where)


def _grid(described: dict[str, Any]) -> list[int]:
    return described["chunks"] if "chunks" in described else described["chunk_grid"]["configuration"]["chunk_shape"]


def _nested(codecs: list[Any]) -> list[dict[str, Any]]:
    """Codecs, and those inside of sharded chunks."""
    found: list[dict[str, Any]] = []
    for codec in codecs:
        codec = {"name": codec} if isinstance(codec, str) else codec
        inside = codec.get("configuration") or {}
        found += [codec, *_nested([*inside.get("codecs", []), *inside.get("index_codecs", [])])]
    return found


def _itemsize(kind: Any) -> int:
    if isinstance(kind, dict):
        return int((kind.get("configuration") or {}).get("length_bytes", 8))
    try:
        return np.dtype(kind if isinstance(kind, str) else [tuple(part) for part in kind]).itemsize or 1
    except (TypeError, ValueError):
        return 8  # text of any length is kept as a reference to it
