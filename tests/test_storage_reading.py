"""Files that strangers or accidents made: refused in a sentence that names them, or read as they are; nothing else is opened or run."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import subprocess
import sys
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import memory, storage
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.storage import bombs

STATES = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), size=(12, 4))


def refused(path, *said, reader=None):
    """The message with which a file is refused; an error if it is not, or a warning leaks."""
    with warnings.catch_warnings(), pytest.raises(HamlearnError) as found:
        warnings.simplefilter("error")
        (reader or (lambda file: hl.microstates(file)))(path)
    message = str(found.value)
    assert Path(path).name in message and "\n" not in message
    for part in said:
        assert part in message, message
    return message


# ------------------------------------------------------------------------------------------------- files that name others


def _external_storage(path):
    secret = path.with_name("secret")
    secret.write_bytes(STATES.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("state", shape=STATES.shape, dtype="i1", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def _external_link(path):
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = STATES
    with h5py.File(path, "w") as file:
        file["state"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/x")


def _hidden_link(path):
    """The link is in a group, and a soft link leads to it."""
    _external_link(path)
    with h5py.File(path, "w") as file:
        file.create_group("a/b")["c"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/x")
        file["state"] = h5py.SoftLink("/a/b/c")


def _virtual(path):
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = STATES
    layout = h5py.VirtualLayout(shape=STATES.shape, dtype="i1")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "x", shape=STATES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("state", layout)


LEADING = {"external storage": _external_storage, "a link": _external_link, "a link to a link": _hidden_link, "virtual": _virtual}


@pytest.mark.parametrize("ending", [".h5", ".hdf5", ".nc"])
@pytest.mark.parametrize("write", LEADING.values(), ids=LEADING)
def test_files_that_lead_to_other_files_are_not_followed(tmp_path, write, ending):
    path = tmp_path / f"data{ending}"
    write(path)
    refused(path, "not followed")


def test_a_file_that_hdf5_would_read_for_ever_is_refused(tmp_path):
    """Free space of size 0 in a heap: HDF5 2.0 never comes back, so it is another process that is asked."""
    path = tmp_path / "data.nc"
    with h5py.File(path, "w") as file:
        file["state"] = STATES
        file["names"] = ["a", "b"]
    content = bytearray(path.read_bytes())
    heap = at = content.index(b"GCOL")
    at += 16
    while content[at] or content[at + 1]:
        at += 16 + (int.from_bytes(content[at + 8 : at + 16], "little") + 7) // 8 * 8
    assert at - heap < 4096
    assert hl.microstates(path).sizes["draw"] == 12
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    code = "import sys, hamlearn as hl\ntry: hl.microstates(sys.argv[1])\nexcept hl.HamlearnError as error: print(error)"
    for ending in (".nc", ".h5"):
        path = path.replace(path.with_suffix(ending))
        result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
        assert "is damaged" in result.stdout, result


def test_groups_that_hold_each_other_and_links_inside_are_read(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["kept/x"] = STATES
        file["kept/round"] = file["/"]
        file["state"] = h5py.SoftLink("/kept/x")
    np.testing.assert_array_equal(hl.microstates(tmp_path / "data.h5")["state"].values[0], STATES)
    with h5py.File(tmp_path / "round.nc", "w") as file:
        file.create_group("a")["round"] = file["/"]
    refused(tmp_path / "round.nc")


def test_a_link_to_nowhere_is_refused_before_the_work(tmp_path):
    (tmp_path / "run.zarr").symlink_to(tmp_path / "gone" / "run.zarr")
    with pytest.raises(hl.HamlearnError, match=r"it is a link to .*run\.zarr, which is not there"):
        hl.simulate(hl.systems.Ising((2, 2)), 0.3, 10, 1, out=tmp_path / "run.zarr")


def test_links_and_special_files_in_a_zarr_folder_are_not_followed(tmp_path):
    for kind in ("link", "pipe"):
        path = tmp_path / f"{kind}.zarr"
        xr.Dataset({"state": (("draw", "site"), STATES)}).to_zarr(path, zarr_format=2, consolidated=False)
        assert hl.microstates(path).sizes["draw"] == 12
        chunk = path / "state" / "0.0"
        content = chunk.read_bytes()
        chunk.unlink()
        if kind == "link":
            (tmp_path / "chunk").write_bytes(content)
            chunk.symlink_to(tmp_path / "chunk")
        else:
            os.mkfifo(chunk)
        refused(path, "not followed")


@pytest.mark.parametrize("ending", storage.READABLE)
def test_pipes_devices_and_sockets_are_not_opened(tmp_path, ending, monkeypatch):
    pipe, device = tmp_path / f"pipe{ending}", tmp_path / f"device{ending}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        refused(path, "it is a pipe, a device or a socket")
        refused(path, "it is a pipe, a device or a socket", reader=hl.load)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"s{ending}")
        refused(Path(f"s{ending}"), "it is a pipe, a device or a socket")


@pytest.mark.parametrize("ending", [ending for ending in storage.READABLE if ending != ".zarr"])
def test_a_folder_is_no_file(tmp_path, ending):
    (tmp_path / f"folder{ending}").mkdir()
    refused(tmp_path / f"folder{ending}", "it is a folder")


# -------------------------------------------------------------------------------------------------------------------- sizes


@pytest.fixture
def little_memory(monkeypatch):
    """Memory for two megabytes: what is larger must be refused before it is there."""
    monkeypatch.setattr(memory, "available", lambda: 4_000_000)


def _npy_header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _huge_npz(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state.npy", _npy_header((10**6, 10**6)))


def _huge_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("state", shape=(10**12, 9), dtype="i1", chunks=(1000, 9), compression="gzip")


def _huge_zarr(path):
    xr.Dataset({"state": (("draw", "site"), STATES)}).to_zarr(path, zarr_format=2, consolidated=False)
    described = path / "state" / ".zarray"
    described.write_text(described.read_text().replace("12,", f"{10**12},"))


def _bomb_npz(path):
    np.savez_compressed(path, state=np.ones((3000, 1000), np.int8))


def _bomb_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("state", data=np.ones((3000, 1000), np.int8), compression="gzip")


def _bomb_gz(path):
    path.write_bytes(gzip.compress(b"1,-1\n" * 200_000))


def _bomb_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", b"1,-1\n" * 200_000)


LARGE = {
    "huge.npy": lambda path: path.write_bytes(_npy_header((10**6, 10**6))),
    "huge.npz": _huge_npz,
    "huge.h5": _huge_hdf5,
    "huge.nc": _huge_hdf5,
    "huge.zarr": _huge_zarr,
    "bomb.npz": _bomb_npz,
    "bomb.h5": _bomb_hdf5,
    "bomb.nc": _bomb_hdf5,
    "bomb.csv.gz": _bomb_gz,
    "bomb.zip": _bomb_zip,
    "plain.csv": lambda path: path.write_bytes(b"1,-1\n" * 200_000),
}


@pytest.mark.parametrize(("name", "write"), LARGE.items(), ids=LARGE)
def test_what_memory_cannot_hold_is_refused_before_it_is_there(tmp_path, little_memory, name, write):
    write(tmp_path / name)
    refused(tmp_path / name, "of memory")


def _packed(make, size):
    packer = make()
    return packer.compress(bytes(size)) + packer.flush()


@pytest.mark.parametrize("ending", [".h5", ".nc"])
def test_a_chunk_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(bombs, "_HARMLESS", 1 << 20)
    path = tmp_path / f"data{ending}"
    for size in (36, 3_000_000):
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("state", shape=(4, 9), dtype="i1", chunks=(4, 9), compression="gzip", shuffle=True)
            dataset.id.write_direct_chunk((0, 0), _packed(zlib.compressobj, size))
        if size == 36:
            assert not hl.microstates(path, space="reals")["state"].values.any()
        else:
            refused(path, "holds far more than the 36 bytes that it should")


@pytest.mark.parametrize(
    ("codec", "make"),
    {"zlib": zlib.compressobj, "gzip": partial(zlib.compressobj, wbits=31), "bz2": bz2.BZ2Compressor, "lzma": lzma.LZMACompressor}.items(),
)
def test_a_chunk_of_a_zarr_folder_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path, monkeypatch, codec, make):
    monkeypatch.setattr(bombs, "_HARMLESS", 1 << 20)
    path = tmp_path / "data.zarr"
    xr.Dataset({"state": (("draw", "site"), STATES)}).to_zarr(path, zarr_format=2, consolidated=False)
    described = path / "state" / ".zarray"
    described.write_text(json.dumps({**json.loads(described.read_text()), "compressor": {"id": codec}}))
    for size in (48, 3_000_000):
        (path / "state" / "0.0").write_bytes(_packed(make, size))
        if size == 48:
            assert not hl.microstates(path, space="reals")["state"].values.any()
        else:
            refused(path, "holds far more than the 48 bytes that it should")


def test_data_on_disk_may_be_larger_than_memory_but_not_their_chunks(tmp_path, little_memory):
    states = np.ones((1, 5000, 1000), np.int8)
    data = xr.Dataset({"state": (("chain", "draw", "site"), states)}, coords={"beta": 1.0}, attrs={"space": "spins", "q": 2})
    data.to_zarr(tmp_path / "small.zarr", zarr_format=2, consolidated=False, encoding={"state": {"chunks": (1, 100, 1000)}})
    with contextlib.closing(storage.open_dataset(tmp_path / "small.zarr")) as opened:
        assert opened["state"][0, 3:5].values.sum() == 2000
    data.to_zarr(tmp_path / "large.zarr", zarr_format=2, consolidated=False, encoding={"state": {"chunks": (1, 5000, 1000)}})
    refused(tmp_path / "large.zarr", "smaller chunks", reader=storage.open_dataset)


# --------------------------------------------------------------------------------------------- arrays and tables that are none


class Payload:
    """What a pickle would run."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_pickles_are_never_run(tmp_path):
    mark = tmp_path / "ran"
    np.save(tmp_path / "a.npy", np.array([[Payload(mark)]], object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", state=np.array([[Payload(mark)]], object), allow_pickle=True)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Payload(mark)))
    for codec in ({"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}):
        path = tmp_path / f"{next(iter(codec))}.zarr"
        xr.Dataset({"state": (("draw", "site"), STATES)}).to_zarr(path, zarr_format=2, consolidated=False)
        described = path / "state" / ".zarray"
        described.write_text(json.dumps({**json.loads(described.read_text()), "compressor": None, "filters": None, **codec}))
        (path / "state" / "0.0").write_bytes(pickle.dumps(Payload(mark)))
        refused(path, "codec 'pickle'")
    for name in ("a.npy", "b.npz"):
        refused(tmp_path / name, "pickle")
    refused(tmp_path / "c.npy")
    assert not mark.exists()


def _gz_of_gz(path):
    path.write_bytes(gzip.compress(gzip.compress(b"1,-1\n1,1\n")))


def _zip_of(*members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, "1,-1\n1,1\n")

    return write


def _twice(path):
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (1, -1):
            buffer = io.BytesIO()
            np.save(buffer, np.full((3, 3), value, np.int8))
            archive.writestr("state.npy", buffer.getvalue())


def _text(path):
    with h5py.File(path, "w") as file:
        file["state"] = [["a", "b"], ["c", "d"]]


def _references(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("state", (2, 2), dtype=h5py.vlen_dtype(np.int8))


def _surplus(path):
    with open(path, "wb") as file:
        np.save(file, STATES)
        np.save(file, STATES)


ODD = {
    "utf16.csv": (lambda path: path.write_bytes("1,-1\n1,1\n".encode("utf-16")), "UTF-16"),
    "utf16_without_mark.csv": (lambda path: path.write_bytes("1,-1\n1,1\n".encode("utf-16-le")), "bytes of value 0"),
    "latin1.csv": (lambda path: path.write_bytes("# température\n1,-1\n1,1\n".encode("latin-1")), "not text in UTF-8"),
    "quote.csv": (lambda path: path.write_text('1,-1\n"1,1\n1,1\n'), "quotation mark that is never closed"),
    "nul.csv": (lambda path: path.write_bytes(b"1,-1\n1,\0\n"), "bytes of value 0"),
    "names.csv": (lambda path: path.write_text("a,b,a\n1,-1,1\n1,1,1\n"), "two columns called 'a'"),
    "counts.csv": (lambda path: path.write_text("a,count,count\n1,1,1\n1,1,1\n"), "two columns called 'count'"),
    "complex.csv": (lambda path: path.write_text("1+2j,1\n1,1\n"), "complex"),
    "later.csv": (lambda path: path.write_text("1,1\n1,1\n1+2j,1\n"), "holds complex numbers in column 0"),
    "large.csv": (lambda path: path.write_text("1e400,1\n1,1\n"), "too large for a float"),
    "long.csv": (lambda path: path.write_text("1" * 400 + ",1\n1,1\n"), ""),
    "unnamed.csv": (lambda path: path.write_text("a,b\n1,1,-1\n1,-1,-1\n"), "more columns than its header has names"),
    "gz.csv.gz": (_gz_of_gz, "no text"),
    "cut.csv.gz": (lambda path: path.write_bytes(gzip.compress(b"1,-1\n" * 100)[:-9]), "cannot read"),
    "several.zip": (_zip_of("a.csv", "b.csv"), "it holds 2 files (a.csv, b.csv)"),
    "nothing.zip": (_zip_of(), "it holds 0 files"),
    "twice.npz": (_twice, "two of its arrays have the same name"),
    "text.h5": (_text, "not numbers"),
    "ragged.h5": (_references, "holds objects"),
    "more.npy": (_surplus, "the file is damaged"),
    "fewer.npy": (lambda path: path.write_bytes(_npy_header((10, 4)) + bytes(100)), "the file is damaged"),
    "negative.npy": (lambda path: path.write_bytes(_npy_header((-10, 4)) + bytes(100)), "its shape (-10, 4)"),
    "classic.nc": (lambda path: path.write_bytes(b"CDF\1" + bytes(100)), "old (classic) NetCDF"),
    "unmade.zarr": (lambda path: (path / "state").mkdir(parents=True), "no Zarr folder"),
}


@pytest.mark.parametrize(("name", "odd"), ODD.items(), ids=ODD)
def test_odd_files_are_a_sentence(tmp_path, name, odd):
    write, said = odd
    write(tmp_path / name)
    with warnings.catch_warnings(), pytest.raises(HamlearnError) as found:
        warnings.simplefilter("error")
        hl.microstates(tmp_path / name, space="reals")
    assert any(part in str(found.value) for part in said.split("|")), found.value


def test_a_name_without_a_place_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / ("n" * 300 + ".nc"), tmp_path / "file" / "x.nc", "nul\0.nc"):
        for reader in (hl.microstates, hl.load, storage.read_dataset, storage.open_dataset):
            with pytest.raises(HamlearnError, match=r"no such file|path of a file"):
                reader(path)


def test_whatever_a_library_raises_names_the_file_and_no_warning_leaks(tmp_path, monkeypatch):
    path = storage.write_dataset(xr.Dataset({"x": ("a", [1.0])}), tmp_path / "data.nc")
    for raised, said in {
        RuntimeError("Unspecified error in H5Dread\nand more lines"): "Unspecified error in H5Dread",
        AttributeError(): "AttributeError",
        KeyError("x"): "it has no 'x'",
        RecursionError("deep"): "deep",
        MemoryError(): "does not fit into memory",
    }.items():

        def broken(*_, error=raised, **__):
            warnings.warn("old file", stacklevel=1)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(xr, "open_dataset", broken)
            refused(path, f"cannot read {path}", said, reader=storage.read_dataset)
    with monkeypatch.context() as patch:
        patch.setattr(xr, "open_dataset", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            storage.read_dataset(path)


# ----------------------------------------------------------------------------------------------------------------- posteriors


@pytest.fixture(scope="module")
def post():
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=100, chains=2, seed=0)
    return hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", check=False, seed=0)


EDITED = {
    "provenance": ("{", "[]", "null", "{}"),
    "model": ("{", "{}", '{"kind": "nothing"}', '{"kind": "couplings"}', "null", "[" * 5000),
    "space": ("nothing",),
    "q": ("many",),
    "site_shape": ("[", "[-3, 3]", "[2, 2]", '["a"]', "3"),
    "beta": ("[", '["hot"]', "[NaN]", "3"),
    "schema_version": ("new", "99"),
    "never": ("[", "[1]"),
}


@pytest.mark.parametrize("name", EDITED)
def test_a_posterior_with_a_damaged_attribute_is_refused_when_it_is_loaded(post, tmp_path, monkeypatch, name):
    path = tmp_path / "post.nc"
    path.touch()
    for value in EDITED[name]:
        changed = post.copy()
        changed.attrs = {**post.attrs, name: value}
        monkeypatch.setattr(storage, "read_tree", lambda _, found=changed: found)
        refused(path, "cannot read", reader=hl.load)


def test_a_posterior_whose_draws_are_not_those_of_its_model_is_refused(post, tmp_path, monkeypatch):
    path = tmp_path / "post.nc"
    path.touch()
    for change in (
        lambda group: group.isel(bond=slice(3)),
        lambda group: group.rename(draw="sample"),
        lambda group: group.drop_vars("J"),
    ):
        changed = post.copy()
        changed["posterior"] = xr.DataTree(change(post["posterior"].to_dataset()))
        monkeypatch.setattr(storage, "read_tree", lambda _, found=changed: found)
        refused(path, "cannot read", reader=hl.load)
    monkeypatch.undo()
    post.to_netcdf(path, engine="h5netcdf")  # another program: no digest
    assert posteriors.load(path).equals(post)
