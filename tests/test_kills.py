"""A process that is killed while it writes a result leaves the old file or none; a folder that nobody may write is one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import hamlearn as hl
from hamlearn import storage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, limits and permissions of POSIX systems")

# The kernel ends the process at the first byte of the result beyond so many, whoever writes it and however: nothing is heard and nothing
# cleaned up, as of kill -9. The first folders beside a target are those of trials before the work.
KILLED = """
import os, resource, signal, sys
target, trials, room = sys.argv.pop(1), int(sys.argv.pop(1)), 4096
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
beside = []
def heard(event, arguments):
    name = os.path.basename(str(arguments[0])) if arguments else ""
    if event == "tempfile.mkdtemp" and name.startswith(f".{target}.hamlearn-"):
        beside.append(name)
    if event != "resource.setrlimit" and (len(beside) > trials or (event == "open" and name == target and str(arguments[1]) != "r")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
sys.addaudithook(heard)
from hamlearn.cli import main
main()
"""
RESULTS = {  # how often a target is tried, and what it is made by
    "page.html": (2, ("report", "p.nc")),
    "curve.nc": (1, ("predict", "p.nc", "--beta", "0.4", "--draws", "4")),
    "data.nc": (1, ("simulate", "ising", "--shape", "8x8", "--draws", "50", "--sampler", "heat_bath")),
}
OLD = b"an older result" * 9000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a posterior."""
    place = tmp_path_factory.mktemp("kills")
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=200, chains=2, seed=0)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    hl.save(hl.learn(data, model, engine="laplace", check=False), place / "p.nc")
    return place


def left(folder: Path, target: str) -> list[Path]:
    """Hidden folders beside a target."""
    return [one for one in folder.iterdir() if one.name.startswith(f".{target}.hamlearn-")]


@pytest.mark.parametrize(("target", "before"), [("page.html", None), *((target, OLD) for target in RESULTS)], ids=["none", *RESULTS])
def test_a_kill_in_the_midst_of_writing_leaves_the_old_file_or_none(target, before, folder):
    place, (trials, words) = folder / target, RESULTS[target]
    place.unlink(missing_ok=True)
    if before is not None:
        place.write_bytes(before)
    command = [sys.executable, "-c", KILLED, target, str(trials), *words, "-o", target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGXFSZ, (done.returncode, done.stderr[-600:])
    assert (place.read_bytes() if place.exists() else None) == before
    (half,) = left(folder, target)
    assert [one.stat().st_size for one in half.iterdir() if one.name == target] == [4096], "it was not killed in the midst of it"
    storage.write_atomically(place, lambda temporary: temporary.write_text("new"))
    assert place.read_text() == "new" and not left(folder, target)


@pytest.mark.parametrize("command", ["report p.nc --data d.csv -o page.html", "learn d.csv -o post.nc", "predict p.nc -o curve.nc"])
def test_a_folder_that_nobody_may_write_is_one_line_before_the_work(command):
    """Root may write anywhere, so it is tried by a user who may not; the files that are named are not there."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("becoming another user needs setpriv")
    anybody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups") if os.geteuid() == 0 else ()
    start = [*anybody, sys.executable, "-c", "from hamlearn.cli import main; main()"]
    if anybody and subprocess.run([*start, "--version"], cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("another user cannot read the installed packages here")
    with tempfile.TemporaryDirectory() as closed:  # what pytest makes is closed to other users
        Path(closed).chmod(0o555)
        *words, target = command.split()
        told = subprocess.run([*start, *words, f"{closed}/{target}"], cwd="/", capture_output=True, text=True, check=False)
        (line,) = [line for line in told.stderr.splitlines() if line.startswith("hamlearn:")]
        assert told.returncode == 2 and "Traceback" not in told.stderr and not list(Path(closed).iterdir())
    assert line == f"hamlearn: cannot write {closed}/{target}: Permission denied. Nothing was started: name another place."
