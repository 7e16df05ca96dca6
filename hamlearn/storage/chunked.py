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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.storage import manifest
from hamlearn.storage.bombs import GROWING, require_honest, require_packed_once
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
        put_in_place(new, version, target)
    return target


def put_in_place(new: Path, version: str, target: Path) -> None:
    """Make a whole version in a folder beside `target` the one in force there, in one move."""
    wanted = Manifest(version, manifest.described(new / version))
    sync(new / version)
    if not _first(new, wanted, target):
        _publish(new, wanted, target)
    sync_folder(target.parent)


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
            memory.require(path.stat().st_size, f"{target}: its file {path.name} would")
            if path.name in (".zarray", "zarr.json"):
                name = path.parent.relative_to(folder).as_posix()
                described = json.loads(manifest.text_of(path))
                size = _size(described, f"{target}: {name}", whole, name in without)
                if "shape" in described and name not in without:
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
        name = None if codec is None else _name(codec)
        if name is not None and name not in CODECS:
            raise HamlearnError(f"cannot read {where}: its codec {name!r} is not one that only packs bytes. Write it with another.")
    loaded = (whole or len(described["shape"]) < 2) and not skipped
    size = require_array(where, described["shape"], _itemsize(kind), _grid(described), whole=loaded)
    return size if loaded else 0


def _require_honest(folder: Path, described: dict[str, Any], where: str) -> None:
    """Raise if a chunk of an array holds more than it should, packed or not."""
    codecs = [*(described.get("filters") or []), described.get("compressor"), *(described.get("codecs") or [])]
    codecs = [{"name": codec} if isinstance(codec, str) else codec for codec in codecs if codec is not None]
    if "codecs" in described and str(codecs[-1].get("name")) == "crc32c":  # four bytes at the end
        codecs.pop()
    names = [_name(codec) for codec in codecs]
    grid, itemsize = _grid(described), _itemsize(described.get("dtype", described.get("data_type")))
    shards = [codec["configuration"] for codec in codecs if _name(codec) == "sharding_indexed"]
    require_packed_once([*names, *(_name(codec) for codec in _nested(codecs) if codec not in codecs)], where)
    if any(name in GROWING for name in names[:-1]) or (shards and len(codecs) > 1):
        raise HamlearnError(f"cannot read {where}: what it holds is packed, and then changed again ({', '.join(names)}); write it plainly.")
    nominal = math.prod(grid) * itemsize
    for path in _files(folder, folder):
        if path.name in _METADATA:
            continue
        require_honest(names[-1] if names else "", path.stat().st_size, partial(_beginning, path), nominal, where)
        if shards:
            _require_honest_shard(path.read_bytes(), shards[0], grid, itemsize, where)


def _beginning(path: Path, size: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(size)


def _require_honest_shard(content: bytes, shard: dict[str, Any], grid: list[int], itemsize: int, where: str) -> None:
    """:func:`_require_honest` for the chunks inside of a chunk, which an index at its end or beginning lists."""
    inner = shard["chunk_shape"]
    names = [codec if isinstance(codec, str) else codec["name"] for codec in shard["codecs"]]
    checked = [codec if isinstance(codec, str) else codec["name"] for codec in shard["index_codecs"]] == ["bytes", "crc32c"]
    if names[-1:] == ["crc32c"]:
        names.pop()
    if not checked or "sharding_indexed" in names or any(_plain(name) in GROWING for name in names[:-1]):
        raise HamlearnError(f"cannot read {where}: its shards are written in a way that is not known here; write it without shards.")
    count = math.prod(-(-outer // part) for outer, part in zip(grid, inner, strict=True))
    size = 16 * count + 4
    index = content[:size] if shard.get("index_location") == "start" else content[-size:]
    for start, length in np.frombuffer(index[: 16 * count], "<u8").reshape(-1, 2).tolist():
        if start < len(content):
            piece = content[start : start + length]
            read = lambda most, piece=piece: piece if most < 0 else piece[:most]
            require_honest(_plain(names[-1]), len(piece), read, math.prod(inner) * itemsize, where)


def _plain(name: Any) -> str:
    return str(name).removeprefix("numcodecs.")


def _name(codec: dict[str, Any]) -> str:
    return _plain(codec.get("id", codec.get("name")))


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
