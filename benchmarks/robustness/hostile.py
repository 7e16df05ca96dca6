"""Files that were made to do harm: none of them may be read, run, followed, expanded or waited for."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROW = "hostile files"
HUGE = 10**12


class Harm:
    """Unpickling it runs a command: a file called OWNED appears."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch OWNED",)


def microstates(path: Path) -> str:
    """Read as states."""
    import hamlearn as hl

    return str(hl.microstates(path))


def load(path: Path) -> str:
    """Read as a posterior."""
    import hamlearn as hl

    return str(hl.load(path))


def opened(path: Path) -> str:
    """Read piece by piece."""
    from hamlearn.data import open_microstates

    return str(open_microstates(path)["state"].values)


def _hdf5(folder: Path, kind: str, path: Path) -> None:
    import h5py

    (folder / "secret.bin").write_bytes(np.where(np.arange(4000) % 3 == 0, 1, -1).astype(np.int8).tobytes())
    with h5py.File(folder / "inner.h5", "w") as file:
        file["state"] = np.where(np.arange(4000).reshape(1000, 4) % 3 == 0, 1, -1).astype(np.int8)
    with h5py.File(path, "w") as file:
        if kind == "external storage":
            file.create_dataset("state", (1000, 4), np.int8, external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)])
        elif kind == "external link":
            file["state"] = h5py.ExternalLink(str(folder / "inner.h5"), "state")
        elif kind == "link to /etc/passwd":
            file.create_dataset("state", (10, 4), np.int8, external=[("/etc/passwd", 0, 40)])
        elif kind == "virtual data":
            layout = h5py.VirtualLayout((1000, 4), np.int8)
            layout[:] = h5py.VirtualSource(str(folder / "inner.h5"), "state", (1000, 4))
            file.create_virtual_dataset("state", layout)
        elif kind == "soft link that turns in a circle":
            file["state"] = h5py.SoftLink("/state")
        elif kind == "compressed bomb":
            file.create_dataset("state", (HUGE // 4, 4), np.int8, chunks=(1 << 18, 4), compression="gzip", fillvalue=1)
        elif kind == "huge and empty":
            file.create_dataset("state", (HUGE, 4), np.float64, chunks=(1024, 4))
        elif kind == "object dtype":
            file.create_dataset("state", (10, 4), h5py.string_dtype())
        elif kind == "references":
            file.create_dataset("state", (10, 4), h5py.ref_dtype)
        elif kind == "compound":
            file.create_dataset("state", (10, 4), np.dtype([("a", "i4"), ("b", "f8")]))
        else:
            file.create_group("state")


HDF5 = (
    "external storage", "external link", "link to /etc/passwd", "virtual data", "soft link that turns in a circle", "compressed bomb",
    "huge and empty", "object dtype", "references", "compound", "group in the place of an array",
)  # fmt: skip


def _npy(shape: tuple[int, ...], descr: str = "|i1", more: bytes = b"") -> bytes:
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + more


def _arrays(folder: Path) -> Iterator[tuple[str, Path]]:
    harm = np.array([[Harm()] * 2] * 2, dtype=object)
    np.save(folder / "pickled.npy", harm, allow_pickle=True)
    np.savez(folder / "pickled.npz", state=harm)
    (folder / "bare.npy").write_bytes(pickle.dumps(Harm()))
    (folder / "bare.nc").write_bytes(pickle.dumps(Harm()))
    (folder / "huge.npy").write_bytes(_npy((HUGE, 4)))
    (folder / "wraps.npy").write_bytes(_npy((2**62, 4)))
    (folder / "negative.npy").write_bytes(_npy((-4, 4), more=bytes(16)))
    (folder / "deep.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 60000)
    (folder / "words.npy").write_bytes(_npy((2, 2), "<U8", bytes(128)))
    (folder / "void.npy").write_bytes(_npy((2, 2), "|V8", bytes(32)))
    for name in ("pickled.npy", "pickled.npz", "bare.npy", "bare.nc", "huge.npy", "wraps.npy", "negative.npy", "deep.npy", "words.npy"):
        yield name, folder / name
    yield "void.npy", folder / "void.npy"
    with (
        zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("state.npy", "w", force_zip64=True) as file,
    ):
        file.write(_npy((40_000 << 16, 4)))
        for _ in range(1500):
            file.write(bytes(1 << 20))
    yield "bomb.npz", folder / "bomb.npz"


def _tables(folder: Path) -> Iterator[tuple[str, Path]]:
    with gzip.open(folder / "bomb.csv.gz", "wb", compresslevel=1) as file:
        line = b"1,-1,1,1\n" * 4096
        for _ in range(60_000):  # 2.2 GB of text, which would be tens of GB of numbers and strings
            file.write(line)
    texts = {
        "quote.csv": b'1,"-1\n1,1\n' * 50,
        "null.csv": b"1,\0,1\n" * 10,
        "binary.csv": bytes(range(256)) * 40,
        "utf16.csv": "1,-1\n1,1\n".encode("utf-16"),
        "latin.csv": b"\xe9,\xe8\n1,1\n-1,1\n",
        "infinite.csv": b"1e400,1\n1,1\n",
        "wide.csv": b",".join([b"1"] * 30_000) + b"\n1\n",
        "complex.csv": b"1+2j,1\n1,1\n",
        "twice.csv": b"a,a,count\n1,1,-5\n",
    }
    for name, raw in texts.items():
        (folder / name).write_bytes(raw)
        yield name, folder / name
    yield "bomb.csv.gz", folder / "bomb.csv.gz"
    with zipfile.ZipFile(folder / "several.zip", "w") as archive:
        archive.writestr("a.csv", "1,1\n")
        archive.writestr("b.csv", "-1,-1\n")
    yield "several.zip", folder / "several.zip"


def _devices(folder: Path) -> Iterator[tuple[str, Path]]:
    for ending in ("csv", "npy", "npz", "nc", "h5", "zarr", "csv.gz"):
        os.mkfifo(folder / f"pipe.{ending}")
        yield f"FIFO pipe.{ending}", folder / f"pipe.{ending}"
        for device in ("zero", "urandom", "stdin"):
            (path := folder / f"{device}.{ending}").symlink_to(f"/dev/{device}")
            yield f"{path.name} to /dev/{device}", path
    (folder / "round.npy").symlink_to(folder / "round.npy")
    yield "a symbolic link to itself", folder / "round.npy"
    (folder / "folder.npy").mkdir()
    yield "a folder called .npy", folder / "folder.npy"
    (folder / "folder.nc").mkdir()
    yield "a folder called .nc", folder / "folder.nc"
    (folder / "file.zarr").write_text("no folder")
    yield "a file called .zarr", folder / "file.zarr"


def _zarrs(folder: Path) -> Iterator[tuple[str, Path]]:
    def group(name: str, shape: list[int], **more: Any) -> Path:
        path = folder / name
        (path / "state").mkdir(parents=True)
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps({"space": "spins", "q": 2, "schema_version": 1}))
        meta = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|i1", "compressor": None, "fill_value": 1, "order": "C"}
        (path / "state" / ".zarray").write_text(json.dumps({**meta, "filters": None, **more}))
        (path / "state" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["chain", "draw", "site"][-len(shape) :]}))
        return path

    yield "Zarr of 10¹² draws", group("huge.zarr", [1, HUGE, 4])
    yield "Zarr of 10¹² draws in small chunks", group("huge_small.zarr", [1, HUGE, 4], chunks=[1, 1000, 4])
    yield "Zarr with a pickle codec", group("pickle.zarr", [1, 4, 4], dtype="|O", filters=[{"id": "pickle"}])
    yield "Zarr of negative extent", group("negative.zarr", [1, -4, 4])
    linked = group("linked.zarr", [1, 40, 4])
    (linked / "state" / "0.0.0").symlink_to("/etc/passwd")
    yield "Zarr with a link to /etc/passwd", linked
    (manifest := folder / "manifest.zarr").mkdir()
    for number, content in enumerate(('{"format": 1, "version": "../../etc", "files": {}}', "[" * 100_000, '{"format": 1e999}', "null")):
        (path := manifest.with_name(f"manifest{number}.zarr")).mkdir()
        (path / "hamlearn.json").write_text(content)
        yield f"Zarr with the manifest {content[:40]}", path


def files(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], str]]]:
    """Name, path and reader of every hostile file."""
    folder.mkdir()
    for kind in HDF5:
        for ending in ("h5", "nc"):
            path = folder / f"{kind.replace(' ', '_').replace('/', '_')}.{ending}"
            _hdf5(folder, kind, path)
            yield f"{kind} in .{ending}", path, microstates
            if ending == "nc":
                yield f"{kind} in .{ending}", path, load
                yield f"{kind} in .{ending}", path, opened
    for makers in (_arrays, _tables, _devices, _zarrs):
        for name, path in makers(folder):
            yield name, path, microstates
            if path.suffix in (".nc", ".zarr"):
                yield name, path, load
                yield name, path, opened
    for ending in ("nc", "zarr"):
        path = folder / f"owned.{ending}"
        path.mkdir() if ending == "zarr" else path.write_bytes(b"cos\nsystem\n(S'touch OWNED'\ntR.")
        yield f"a pickle called .{ending}", path, load
