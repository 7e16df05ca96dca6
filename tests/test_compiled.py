"""Compiled code is kept where nobody else can write, and whatever is wrong with its place costs a compilation, never a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest

from hamlearn import compiled as room
from hamlearn.compiled import compiled
from hamlearn.folders import private_folder, trusted

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users and modes of POSIX")


def triple(x):
    return 3 * x


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder that numba is told to use, as NUMBA_CACHE_DIR does."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary files, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    private_folder.cache_clear()
    yield folder
    private_folder.cache_clear()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_code_is_kept_where_numba_is_told_to(cache):
    assert compiled()(triple)(2) == 6
    assert {path.suffix for path in files(cache)} == {".nbi", ".nbc"}
    again = compiled()(triple)
    assert again(2) == 6 and sum(again.stats.cache_hits.values()) == 1
    assert str(cache) == numba.config.CACHE_DIR  # and numba's own setting is as it was


@posix
def test_a_cache_that_others_can_write_is_passed_over_for_a_private_one(cache, temporary):
    cache.chmod(0o777)
    assert compiled()(triple)(2) == 6
    assert files(cache) == []
    (private,) = temporary.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700 and len(files(private)) == 2


@posix
def test_without_a_safe_place_nothing_is_kept(cache, temporary):
    cache.chmod(0o777)
    temporary.chmod(0o777)  # others can write, and no sticky bit keeps them from renaming what is in it
    function = compiled()(triple)
    assert function(2) == 6 and function.stats.cache_path is None
    assert files(cache) == files(temporary) == []


@posix
@pytest.mark.parametrize("plant", ["link", "open", "file", "foreign"])
def test_a_planted_private_folder_is_not_used(plant, temporary, tmp_path):
    place = temporary / f"hamlearn-compiled-{os.geteuid()}"
    if plant == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif plant == "file":
        place.touch(mode=0o700)
    else:
        place.mkdir(mode=0o700)
        if plant == "open":
            place.chmod(0o755)
        elif os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        else:
            pytest.skip("only root can give a folder to another user")
    assert private_folder() is None


@posix
def test_whose_folder_is_trusted(tmp_path):
    source, folder = Path(__file__), tmp_path / "folder"
    folder.mkdir(mode=0o755)
    assert trusted(folder, source) and not trusted(tmp_path / "nowhere", source)
    tmp_path.chmod(0o777)
    assert not trusted(folder, source)
    (folder / "deeper").mkdir(mode=0o755)
    assert not trusted(folder / "deeper", source)  # folders above it can be exchanged
    tmp_path.chmod(0o1777)
    assert trusted(folder, source) and trusted(folder / "deeper", source)
    folder.chmod(0o777)
    assert not trusted(folder, source)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        assert not trusted(folder, source)


def test_a_damaged_cache_costs_a_compilation(cache):
    compiled()(triple)(2)
    for path in files(cache):
        path.write_bytes(path.read_bytes()[:40])
    assert compiled()(triple)(2) == 6
    for path in files(cache):
        path.write_bytes(b"not a cache")
    assert compiled()(triple)(2) == 6


def test_a_full_disk_costs_the_cache_only(cache):
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root on Linux")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", cache], capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"this machine does not mount a tmpfs: {mount.stderr.strip()}")
    try:
        function = compiled()(triple)
        assert function.stats.cache_path is not None and function(2) == 6 and function(2.0) == 6.0
    finally:
        subprocess.run(["umount", cache], check=True)


def test_numbas_refusal_leads_to_the_private_folder(temporary):
    class Dispatcher:
        _cache = "none"
        __name__ = "planted"

        def enable_caching(self):
            if str(temporary) not in numba.config.CACHE_DIR:
                raise RuntimeError("cannot cache function 'planted': no locator available")
            self._cache = type("Kept", (), {"cache_path": numba.config.CACHE_DIR})()

    one = Dispatcher()
    room._keep(one, Path(__file__))
    assert Path(one._cache.cache_path).parent == temporary


def test_a_user_without_home_or_a_writable_package_can_work(tmp_path_factory):
    """A real other user; everything that is compiled on import is decorated, and one kernel runs."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("becoming another user needs root and setpriv")
    code = (
        "import hamlearn as hl; print(hl.simulate(hl.systems.Ising((4, 4)), 0.3, draws=3, chains=1, seed=0, sampler='wolff').sizes['draw'])"
    )
    kept = ("PATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"HOME": "/nonexistent", "PYTHONPATH": str(Path(room.__file__).parents[1])}
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    seen = subprocess.run(
        [*become, sys.executable, "-c", "import numba, numpy"], env=environment, capture_output=True, text=True, check=False, cwd="/"
    )
    if seen.returncode:
        pytest.skip(f"user 65534 cannot read this environment: {seen.stderr.strip().splitlines()[-1]}")
    run = subprocess.run([*become, sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert (run.returncode, run.stdout.strip()) == (0, "3"), run.stderr[-2000:]
