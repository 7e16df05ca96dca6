"""A .zarr folder is replaced in one move: readers see one version whole, kills leave one, and nobody else's folder is touched."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import storage
from hamlearn.errors import HamlearnError
from hamlearn.storage import chunked, manifest

ENDINGS = (".nc", ".zarr")


def constant(value, attrs=None):
    return xr.Dataset({"x": ("a", np.full(6, value)), "y": ("a", np.full(6, value))}, attrs={"value": value, **(attrs or {})})


def value_in(path):
    """The one value that everything in a file has; an error if it was mixed from two."""
    found = storage.read_dataset(path)
    values = {*found["x"].values.tolist(), *found["y"].values.tolist(), float(found.attrs["value"])}
    assert len(values) == 1, values
    return values.pop()


def versions(path):
    return sorted(entry.name for entry in Path(path).iterdir() if entry.name.startswith("v-"))


def test_the_version_before_stays_until_the_next_write(tmp_path):
    path = tmp_path / "data.zarr"
    seen = []
    for value in (1.0, 2.0, 3.0, 4.0):
        storage.write_dataset(constant(value), path)
        assert value_in(path) == value
        seen.append(versions(path))
    assert [len(names) for names in seen] == [1, 2, 2, 2]
    assert len(set(seen[2]) & set(seen[1])) == 1 and not set(seen[3]) & set(seen[1])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data.zarr"]


def test_a_reader_keeps_its_version_and_says_when_it_is_gone(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    with contextlib.closing(storage.open_dataset(path)) as opened:
        storage.write_dataset(constant(2.0), path)
        assert opened["x"][:3].values.tolist() == [1.0] * 3
        storage.write_dataset(constant(3.0), path)
        with pytest.raises(HamlearnError, match=r"data\.zarr: it was replaced while it was being read; read it again"):
            opened["x"][:3].load()


def test_whoever_reads_while_others_write_sees_one_version(tmp_path, monkeypatch):
    """Two versions are written between the manifest and the first chunk, three times: read anew, and whole."""
    path = storage.write_dataset(constant(0.0), tmp_path / "data.zarr")
    opened, values = xr.open_dataset, iter(range(1, 7))

    def slow(source, **options):
        for value in (next(values, None), next(values, None)):
            if value is not None:
                storage.write_dataset(constant(float(value)), path)
        return opened(source, **options)

    monkeypatch.setattr(xr, "open_dataset", slow)
    assert value_in(path) == 6.0


WRITER = """
import sys
import numpy as np, xarray as xr
from hamlearn import storage
start, step = float(sys.argv[2]), float(sys.argv[3])
print("ready", flush=True)
for count in range(10**6):
    value = start + step * count
    data = xr.Dataset({"x": ("a", np.full(6, value)), "y": ("a", np.full(6, value))}, attrs={"value": value})
    storage.write_dataset(data, sys.argv[1])
"""


def test_two_writers_and_a_reader_and_then_kills(tmp_path):
    path = tmp_path / "data.zarr"
    for round_ in range(2):
        command = [sys.executable, "-c", WRITER, str(path)]
        writers = [subprocess.Popen([*command, start, "2"], stdout=subprocess.PIPE) for start in ("0", "1")]
        try:
            for writer in writers:
                assert writer.stdout.readline() == b"ready\n"
            found = set()
            while len(found) < 8:
                if path.exists():
                    with contextlib.suppress(manifest.Replaced):  # said after five attempts: these writers do nothing else
                        found.add(value_in(path))
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
                writer.stdout.close()
        assert round_ + 1 and value_in(path) >= 0
    storage.write_dataset(constant(-1.0), path)
    assert value_in(path) == -1.0 and len(versions(path)) == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data.zarr"]


@pytest.mark.parametrize("at", ["version", "manifest", "first"])
def test_a_kill_between_two_moves_leaves_a_whole_version(tmp_path, monkeypatch, at):
    """The moves are stopped by an exit without any cleaning up, in a process of its own."""
    path = tmp_path / "data.zarr"
    if at != "first":
        storage.write_dataset(constant(1.0), path)
    code = f"""
import os, sys
import numpy as np, xarray as xr
from pathlib import Path
from hamlearn import storage
replace = os.replace
def stopped(source, target):
    wanted = {{"version": Path(target).name.startswith("v-"), "manifest": Path(target).name == "hamlearn.json",
               "first": Path(target).name == "data.zarr"}}[{at!r}]
    if wanted and {at!r} != "version":
        os._exit(9)
    replace(source, target)
    if wanted:
        os._exit(9)
os.replace = stopped
storage.write_dataset(xr.Dataset({{"x": ("a", np.zeros(6))}}), {str(path)!r})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    if at == "first":
        assert not path.exists()
    else:
        assert value_in(path) == 1.0
    storage.require_writable(path, ENDINGS)
    storage.write_dataset(constant(2.0), path)
    assert value_in(path) == 2.0 and len(versions(path)) == (1 if at == "first" else 2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data.zarr"]


def _users(path):
    path.mkdir()
    (path / "thesis.tex").write_text("irreplaceable")


def _xarrays(path):
    constant(1.0).to_zarr(path, zarr_format=2, consolidated=False)


def _legacy_and_more(path):
    constant(1.0, {"schema_version": 1, "space": "spins"}).to_zarr(path, zarr_format=2, consolidated=False)
    (path / "notes").mkdir()


def _name_alone(path):
    path.mkdir()
    (path / "hamlearn.json").write_text("{}")


def _version_name(path):
    (path / "v-0123456789abcdef").mkdir(parents=True)
    (path / "thesis.tex").write_text("irreplaceable")


FOREIGN = {"a user's": _users, "of xarray": _xarrays, "ours and more": _legacy_and_more, "a manifest": _name_alone, "v-": _version_name}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_that_hamlearn_did_not_write_is_never_replaced(tmp_path, make):
    path = tmp_path / "data.zarr"
    make(path)
    before = {file: file.read_bytes() if file.is_file() else None for file in tmp_path.rglob("*")}
    for attempt in (lambda: storage.require_writable(path, ENDINGS), lambda: storage.write_dataset(constant(2.0), path)):
        with pytest.raises(HamlearnError, match=r"hamlearn did not write, and it is never replaced\. Remove it yourself"):
            attempt()
    assert {file: file.read_bytes() if file.is_file() else None for file in tmp_path.rglob("*")} == before


def test_an_empty_folder_and_a_link_to_a_folder_are_filled(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "elsewhere")
    for name in ("empty.zarr", "link.zarr"):
        for value in (1.0, 2.0):
            assert value_in(storage.write_dataset(constant(value), tmp_path / name)) == value
    assert (tmp_path / "link.zarr").is_symlink()


def test_what_a_user_puts_beside_stays(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    (path / "notes.txt").write_text("mine")
    for value in (2.0, 3.0):
        storage.write_dataset(constant(value), path)
    assert (path / "notes.txt").read_text() == "mine" and value_in(path) == 3.0


def test_folders_of_the_first_version_are_read_and_replaced(tmp_path):
    """hamlearn 0.1.0 wrote plain groups."""
    path = tmp_path / "data.zarr"
    data = hl.microstates(np.random.default_rng(0).choice([-1, 1], size=(20, 4)), beta=0.5)
    data.to_zarr(path, zarr_format=2, consolidated=False)
    assert hl.microstates(path).identical(data)
    storage.require_writable(path, ENDINGS)
    storage.write_dataset(data.isel(draw=slice(5)), path)
    assert hl.microstates(path).sizes["draw"] == 5
    assert sorted(entry.name for entry in path.iterdir()) == ["hamlearn.json", *versions(path)]


def test_a_replacement_of_a_first_version_that_was_killed_is_finished_by_the_next(tmp_path):
    path = storage.write_dataset(constant(2.0), tmp_path / "data.zarr")
    constant(1.0, {"schema_version": 1, "space": "spins"}).to_zarr(tmp_path / "old.zarr", zarr_format=2, consolidated=False)
    for entry in list((tmp_path / "old.zarr").iterdir()):
        entry.rename(path / entry.name)
    assert value_in(path) == 2.0
    storage.write_dataset(constant(3.0), path)
    assert sorted(entry.name for entry in path.iterdir()) == ["hamlearn.json", *versions(path)]


def edited(change, *, sealed=True):
    """A manifest that was changed, with a digest that fits or not."""

    def edit(path):
        file = path / manifest.NAME
        content = json.loads(file.read_text())
        digest = content.pop("hamlearn")
        change(content)
        file.write_text(json.dumps({"hamlearn": manifest._digest(content) if sealed else digest, **content}))

    return edit


def _escape(name):
    return lambda content: content["files"].update({name: [1, "0" * 64]})


HOSTILE = {
    "another version's name": edited(lambda content: content.update(version="../elsewhere")),
    "a file above": edited(_escape("../../secret")),
    "an absolute file": edited(_escape("/etc/passwd")),
    "a removal above": edited(lambda content: content.update(previous=["../elsewhere"])),
    "another digest": edited(lambda content: content.update(previous=[]) or content["files"].popitem(), sealed=False),
    "no files": edited(lambda content: content.update(files=[])),
    "no object": lambda path: (path / manifest.NAME).write_text("[1]"),
    "nothing": lambda path: (path / manifest.NAME).write_bytes(b""),
    "not text": lambda path: (path / manifest.NAME).write_bytes(b"\xff\xfe"),
    "deep": lambda path: (path / manifest.NAME).write_text("[" * 100_000),
    "newer": edited(lambda content: content.update(format=2)),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_manifest_that_was_changed_is_refused(tmp_path, change):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret").write_text("x")
    change(path)
    for reader in (storage.read_dataset, storage.open_dataset, storage.read_tree):
        with pytest.raises(HamlearnError, match=r"data\.zarr"):
            reader(path)
    if b'"format": 2' in (path / manifest.NAME).read_bytes():
        with pytest.raises(HamlearnError, match="written by a newer hamlearn"):
            storage.require_writable(path, ENDINGS)
    else:
        storage.write_dataset(constant(2.0), path)
        assert value_in(path) == 2.0 and len(versions(path)) == 2, "what was in force cannot be told, so it stays once more"
    assert (tmp_path / "elsewhere").exists() and (tmp_path / "secret").exists()


def test_a_manifest_that_is_a_link_is_not_followed(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    shutil.move(path / manifest.NAME, tmp_path / "away.json")
    (path / manifest.NAME).symlink_to(tmp_path / "away.json")
    with pytest.raises(HamlearnError, match="link"):
        storage.read_dataset(path)


def test_threads_that_write_one_folder_take_turns(tmp_path):
    path = tmp_path / "data.zarr"
    failed = []

    def write(value):
        try:
            storage.write_dataset(constant(value), path)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(float(value),)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and value_in(path) in range(6) and len(versions(path)) == 2


def test_the_codecs_of_other_programs_that_pack_bytes_are_allowed(tmp_path):
    described = {"shape": [4, 4], "data_type": "int8", "chunk_grid": {"configuration": {"chunk_shape": [2, 2]}}}
    sharded = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "bytes"}, {"name": "zstd"}], "index_codecs": ["crc32c"]}}
    assert chunked._size({**described, "codecs": [sharded]}, "x", True, False) == 16
    sharded["configuration"]["codecs"].append({"name": "numcodecs.pickle"})
    with pytest.raises(HamlearnError, match="codec 'pickle'"):
        chunked._size({**described, "codecs": [sharded]}, "x", True, False)


def test_chunks_of_a_version_are_files_and_any_program_reads_it(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    with warnings.catch_warnings(), xr.open_zarr(f"{path}/{versions(path)[0]}", consolidated=False) as opened:
        assert opened["x"].values.tolist() == [1.0] * 6
    assert os.path.isfile(path / versions(path)[0] / "x" / "0")


@pytest.mark.parametrize("before", [False, True], ids=["first", "second"])
def test_a_folder_that_cannot_be_listed_is_an_error_and_not_an_empty_result(tmp_path, monkeypatch, before):
    path = tmp_path / "data.zarr"
    if before:
        storage.write_dataset(constant(1.0), path)
    real = os.scandir

    def full(folder="."):
        if os.path.basename(str(folder)) == "x":
            raise OSError(24, "Too many open files")
        return real(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", full)
        with pytest.raises(HamlearnError, match="Too many open files"):
            storage.write_dataset(constant(2.0), path)
    assert (value_in(path) == 1.0) if before else not path.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_an_interrupt_that_arrives_while_the_manifest_is_moved_leaves_what_it_names(tmp_path, monkeypatch, error):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    real = os.replace

    def moved(source, target):
        real(source, target)
        if os.path.basename(target) == manifest.NAME:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", moved)
        with pytest.raises((KeyboardInterrupt, HamlearnError)):
            storage.write_dataset(constant(2.0), path)
    assert value_in(path) == 2.0


def _endless_attributes(path):
    os.mkfifo(path / ".zattrs")


def _deep_attributes(path):
    (path / ".zattrs").write_text("[" * 100_000)


def _infinite_format(path):
    (path / manifest.NAME).write_text('{"format": Infinity}')


def _huge_manifest(path):
    (path / manifest.NAME).write_text("{")
    os.truncate(path / manifest.NAME, 1 << 42)


@pytest.mark.parametrize("make", [_endless_attributes, _deep_attributes, _infinite_format, _huge_manifest])
def test_a_strange_folder_in_the_way_is_refused_at_once_and_left_alone(tmp_path, make):
    path = tmp_path / "data.zarr"
    path.mkdir()
    make(path)
    names = os.listdir(path)
    for attempt in (lambda: storage.write_dataset(constant(1.0), path), lambda: storage.read_dataset(path)):
        with pytest.raises(HamlearnError, match=r"data\.zarr"):
            attempt()
    assert os.listdir(path) == names


def test_a_folder_in_the_way_that_cannot_be_looked_into_is_said(tmp_path, monkeypatch):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")

    def denied(folder):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", denied)
        with pytest.raises(HamlearnError, match="cannot be looked into"):
            storage.write_dataset(constant(2.0), path)
    assert value_in(path) == 1.0


def test_a_version_that_is_a_link_is_not_followed(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    (version,) = versions(path)
    os.rename(path / version, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path / version)
    with pytest.raises(HamlearnError, match="is a link: not followed"):
        storage.read_dataset(path)


def test_a_damaged_folder_is_one_error_and_no_traceback_of_a_task(tmp_path, caplog):
    data = xr.Dataset({f"x{number}": ("a", np.arange(3.0)) for number in range(12)})
    path = storage.write_dataset(data, tmp_path / "data.zarr")
    for file in path.rglob("x*/.zarray"):
        file.write_text(file.read_text().replace("<f8", "<f4"))
    for reader in (storage.read_dataset, storage.open_dataset, storage.read_tree):
        with pytest.raises(HamlearnError, match="is not what hamlearn wrote"):
            reader(path)
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_chunk_that_becomes_a_link_while_a_folder_is_open_is_not_followed(tmp_path):
    path = storage.write_dataset(constant(1.0), tmp_path / "data.zarr")
    (version,) = versions(path)
    with contextlib.closing(storage.open_dataset(path)) as opened:
        os.rename(path / version / "x" / "0", tmp_path / "elsewhere")
        os.symlink(tmp_path / "elsewhere", path / version / "x" / "0")
        with pytest.raises(HamlearnError, match="missing"):
            opened["x"].load()
