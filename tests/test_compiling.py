"""The shell keeps JAX's compiled code in a folder of the user's own, and a place that cannot be had costs a line and no command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import filelock
import pytest

import hamlearn
from hamlearn.cli import compiling
from hamlearn.folders import private_folder

TOLD = (compiling.NAMED, "JAX_COMPILATION_CACHE_MAX_SIZE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without any settings, whose folder for caches is a test's; what is set inside is unset behind it."""
    for name in TOLD:
        monkeypatch.setenv(name, "")  # that it is put back whatever becomes of it
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    private_folder.cache_clear()
    yield tmp_path
    private_folder.cache_clear()


def test_code_is_kept_in_the_users_cache_and_its_size_is_bounded(home):
    assert compiling.keep() == ""
    folder = home / "cache" / "hamlearn" / "jax"
    assert os.environ[compiling.NAMED] == str(folder) and folder.is_dir()
    assert 0 < int(os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"]) < 2**30


@pytest.mark.parametrize("written", ["being written", "left by a kill"])
def test_half_an_entry_goes_unless_somebody_is_writing_it(home, written):
    """JAX never replaces an entry: half a one would warn and be compiled anew at every command."""
    folder = home / "cache" / "hamlearn" / "jax"
    folder.mkdir(mode=0o700, parents=True)
    for name in ("whole-cache", "whole-atime", "half-cache"):
        (folder / name).write_bytes(b"code")
    with filelock.FileLock(folder / ".lockfile") if written == "being written" else nullcontext():
        assert compiling.keep() == ""
    kept = {path.name for path in folder.iterdir()} - {".lockfile"}
    assert kept == {"whole-cache", "whole-atime"} | ({"half-cache"} if written == "being written" else set())


def test_entries_are_kept_where_nobody_notes_their_time(home, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "-1")  # without a bound JAX writes no times
    folder = home / "cache" / "hamlearn" / "jax"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "whole-cache").write_bytes(b"code")
    assert compiling.keep() == "" and (folder / "whole-cache").exists()


@pytest.mark.parametrize("named", ["", "/elsewhere"])
def test_who_has_named_a_place_or_none_has_decided(home, monkeypatch, named):
    monkeypatch.setenv(compiling.NAMED, named)
    assert compiling.keep() == "" and os.environ[compiling.NAMED] == named
    assert not any(name in os.environ for name in TOLD[1:]) and not (home / "cache").exists()


def in_the_way(home, monkeypatch):
    (home / "cache").write_text("no folder")


def open_to_others(home, monkeypatch):
    (home / "cache" / "hamlearn" / "jax").mkdir(parents=True)
    (home / "cache" / "hamlearn" / "jax").chmod(0o777)


def homeless(home, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users and modes of POSIX")
@pytest.mark.parametrize("fault", [in_the_way, open_to_others, homeless])
def test_a_place_that_cannot_be_had_is_one_line_and_another_place(home, monkeypatch, fault):
    fault(home, monkeypatch)
    told = compiling.keep()
    private = home / f"hamlearn-compiled-{os.geteuid()}"
    assert os.environ[compiling.NAMED] == str(private) and private.is_dir()
    assert str(private) in told and compiling.NAMED in told and "\n" not in told


def test_without_any_place_every_command_compiles_anew_and_says_so(home, monkeypatch):
    in_the_way(home, monkeypatch)
    monkeypatch.setattr(compiling, "private_folder", lambda: None)
    assert "anew" in compiling.keep() and not any(name in os.environ for name in TOLD)


def test_jax_does_as_it_is_told(home):
    code = (
        "from hamlearn.cli import compiling\nassert compiling.keep() == ''\n"
        "import jax\nprint(jax.jit(lambda x: x + 1)(1))\nprint(jax.config.jax_compilation_cache_max_size)"
    )
    environment = {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(hamlearn.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ["2", str(256 * 2**20)], done.stderr
    assert list((home / "cache" / "hamlearn" / "jax").glob("*-cache")), done.stderr
