"""Chunks that hold far more than they say, in every way in which HDF5 and Zarr can pack them: refused before they are unpacked."""

from __future__ import annotations

import json
import zipfile
import zlib

import h5py
import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

from hamlearn import memory, storage
from hamlearn.errors import HamlearnError
from hamlearn.storage import bombs

STATES = np.where(np.arange(64).reshape(8, 8) % 3, 1, -1).astype("i1")
BOMB = bytes(3_000_000)


@pytest.fixture(autouse=True)
def small_bound(monkeypatch):
    monkeypatch.setattr(bombs, "_HARMLESS", 1 << 17)


def refused(path, words):
    with pytest.raises(HamlearnError, match=words) as found:
        storage.read_states(str(path))
    assert str(path) in str(found.value)


def zarr_folder(path, chunk, **described):
    """A folder as other programs write it, with one chunk."""
    (path / "state").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / "state" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["draw", "site"]}')
    plain = {"zarr_format": 2, "shape": [8, 8], "chunks": [8, 8], "dtype": "|i1", "fill_value": None, "order": "C"}
    (path / "state" / ".zarray").write_text(json.dumps({**plain, "filters": None, "compressor": None, **described}))
    (path / "state" / "0.0").write_bytes(chunk)
    return path


def unsized(content):
    """Zstandard data that do not say how much they hold: one block of one repeated byte."""
    blocks = []
    for start in range(0, len(content), 1 << 17):
        length = min(1 << 17, len(content) - start)
        last = start + length == len(content)
        blocks.append((length << 3 | 1 << 1 | last).to_bytes(3, "little") + content[start : start + 1])
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


@pytest.mark.parametrize("codec", [numcodecs.Zstd(), numcodecs.Blosc(), numcodecs.LZ4(), numcodecs.BZ2(), numcodecs.LZMA()], ids=str)
def test_every_codec_is_looked_at(tmp_path, codec):
    config = codec.get_config()
    honest = zarr_folder(tmp_path / "honest.zarr", codec.encode(STATES), compressor=config)
    assert np.array_equal(storage.read_states(str(honest)).values, STATES)
    refused(zarr_folder(tmp_path / "bomb.zarr", codec.encode(BOMB), compressor=config), "holds far more than the 64 bytes")


def test_zstandard_without_a_size_is_bounded_by_its_blocks(tmp_path):
    config = {"id": "zstd", "level": 1}
    for number, content in enumerate((unsized(bytes(64)), unsized(bytes(30)) + b"\x50\x2a\x4d\x18\x02\0\0\0ab" + unsized(bytes(34)))):
        honest = zarr_folder(tmp_path / f"honest{number}.zarr", content, compressor=config)
        assert bombs._of_zstd(lambda most, content=content: content if most < 0 else content[:most]) == 64
        if number == 0:
            assert not storage.read_states(str(honest)).values.any()
    refused(zarr_folder(tmp_path / "bomb.zarr", unsized(BOMB), compressor=config), "holds far more than the 64 bytes")


def test_what_is_packed_twice_is_refused(tmp_path):
    twice = zlib.compress(zlib.compress(BOMB, 9), 9)
    config = {"id": "zlib", "level": 9}
    refused(zarr_folder(tmp_path / "bomb.zarr", twice, compressor=config, filters=[config]), "packed more than once")
    refused(zarr_folder(tmp_path / "hidden.zarr", twice, filters=[config, {"id": "crc32"}]), "packed, and then changed again")
    for ending in (".h5", ".nc"):
        with h5py.File(tmp_path / f"bomb{ending}", "w") as file:
            made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            made.set_chunk((8, 8))
            made.set_deflate(9)
            made.set_deflate(9)
            space = h5py.h5s.create_simple((8, 8))
            dataset = h5py.h5d.create(file.id, b"state", h5py.h5t.NATIVE_INT8, space, made)
            dataset.write_direct_chunk((0, 0), twice)
        refused(tmp_path / f"bomb{ending}", "packed more than once")


def test_a_chunk_that_is_not_packed_may_not_be_larger_than_it_says(tmp_path):
    refused(zarr_folder(tmp_path / "bomb.zarr", BOMB), "holds far more than the 64 bytes")


def test_a_description_that_claims_to_be_endless_is_not_read(tmp_path):
    path = zarr_folder(tmp_path / "data.zarr", STATES.tobytes())
    with open(path / "state" / ".zattrs", "r+b") as file:
        file.truncate(1 << 42)
    refused(path, "of memory")


@pytest.mark.parametrize("where", ["end", "start"])
def test_chunks_inside_of_chunks_are_looked_at(tmp_path, where):
    from zarr.codecs import BytesCodec, ShardingCodec, ZstdCodec

    path = tmp_path / "data.zarr"
    sharding = ShardingCodec(chunk_shape=(4, 8), codecs=[BytesCodec(), ZstdCodec()], index_location=where)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "state", shape=(8, 8), chunks=(8, 8), dtype="i1", serializer=sharding, compressors=None, dimension_names=["draw", "site"]
    )
    array[:] = STATES
    assert np.array_equal(storage.read_states(str(path)).values, STATES)
    chunk = next(file for file in (path / "state").rglob("*") if file.is_file() and file.name != "zarr.json")
    packed = numcodecs.Zstd().encode(BOMB)
    size = 2 * 16 + 4
    start = size if where == "start" else 0
    index = np.array([[start, len(packed)], [start, len(packed)]], "<u8").tobytes()
    index += b"sum "  # not looked at: what it lists is refused first
    chunk.write_bytes(index + packed if where == "start" else packed + index)
    refused(path, "holds far more than the 32 bytes")


def test_what_xarray_writes_by_default_is_read(tmp_path):
    for version in (2, 3):
        path = tmp_path / f"data{version}.zarr"
        xr.Dataset({"state": (("draw", "site"), STATES)}).to_zarr(path, zarr_format=version, consolidated=False)
        assert np.array_equal(storage.read_states(str(path)).values, STATES)


@pytest.mark.parametrize("ending", [".h5", ".nc"])
def test_texts_that_are_all_the_same_bytes_are_counted(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(memory, "available", lambda: 1 << 24)
    for count in (2, 600):
        path = tmp_path / f"{count}{ending}"
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("state", (count,), dtype=h5py.string_dtype(), chunks=(count,))
            dataset[0] = "x" * 100_000
            reference = dataset.id.read_direct_chunk((0,))[1][:16]
            dataset.id.write_direct_chunk((0,), reference * count)
            dataset.make_scale("state")
        if count == 2:
            assert ending != ".nc" or storage.read_dataset(path)["state"].shape == (2,)
        else:
            refused(path, "texts, would need .* of memory")


def test_texts_of_an_attribute_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1 << 24)
    path = tmp_path / "data.nc"
    with h5py.File(path, "w") as file:
        file["state"] = STATES
        file["state"].attrs["words"] = ["x" * 1000] * 200
    refused(path, "the attribute 'words' of /state would")


def test_the_header_of_an_array_is_not_unpacked_at_any_length(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state.npy", b"\x93NUMPY\x02\0" + len(BOMB).to_bytes(4, "little") + BOMB)
    refused(path, "its header is longer than that of any array")
