"""What SECURITY.md promises of files from strangers: nothing in them is executed, and nothing but them is read.

Three oracles: the source code (which names it uses), Python's own audit events (what is opened, imported, executed or
connected to while files are read), and programs hidden in files, which would leave a mark.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import hamlearn as hl
from fixtures import make
from hamlearn.errors import HamlearnError

PACKAGE = Path(hl.__file__).parent

ROOT = Path(__file__).parents[1]


def test_every_promise_names_tests_that_exist():
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 8
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row)
        assert named and all(list(ROOT.glob(pattern)) for pattern in named), row


# -- the source code -------------------------------------------------------------------------------------------------------

RUN = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml", "subprocess", "pty", "code", "runpy"}
CONNECT = {"socket", "urllib", "http", "requests", "ftplib", "smtplib", "webbrowser", "ssl"}
ASYNC = {f"asyncio.{name}" for name in ("open_connection", "open_unix_connection", "create_subprocess_exec", "create_subprocess_shell")}
CALLS = ASYNC | {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.execv",
    "torch.load",
    "pd.read_pickle",
    "pandas.read_pickle",
}
IMPORTERS = {  # which module is imported is decided by a dictionary in the same file, never by what is read
    "__init__.py",
    "infer/families/__init__.py",
}
# What fetches a public data set that the user asks for by name, and is compared with a checksum before anything reads it.
FETCHES = {"datasets/fetching.py": {"http", "urllib"}}
HARMLESS = {"urllib.parse"}  # text alone: nothing is opened


def dangers(tree: ast.AST) -> set[str]:
    """Names of what could execute or fetch something, in a piece of source code."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & (RUN | CONNECT)
        elif isinstance(node, ast.ImportFrom):
            found |= ({(node.module or "").split(".")[0]} & (RUN | CONNECT)) - ({"urllib"} if node.module in HARMLESS else set())
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found |= {name} & CALLS
            if name.endswith("import_module"):
                found.add("import_module")
            if any(key.arg == "allow_pickle" and ast.unparse(key.value) != "False" for key in node.keywords):
                found.add("allow_pickle")
            if name in ("np.load", "numpy.load") and not any(key.arg == "allow_pickle" for key in node.keywords):
                found.add("allow_pickle by default")
    return found


def test_no_module_uses_what_runs_or_fetches_something():
    sources = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    found = {name: dangers(tree) - ({"import_module"} if name in IMPORTERS else set()) for name, tree in sources.items()}
    assert len(found) > 100 and {name: one for name, one in found.items() if one} == FETCHES


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from urllib.request import urlopen", "eval('1')", "torch.load(x)", "np.load(x)", "np.load(x, allow_pickle=True)"],
)
def test_what_is_looked_for_is_found(line):
    assert dangers(ast.parse(line))


# -- what happens while files are read ---------------------------------------------------------------------------------------

WATCHED = """
import json, os, sys
from pathlib import Path
import hamlearn as hl

folder = Path(sys.argv[1]).resolve()
files = {path: hl.microstates if path.name.startswith("microstates") else hl.load for path in sorted(folder.iterdir())}
for path, read in files.items():  # everything is imported once
    read(path)
events, watching = [], False

def hook(event, arguments):
    if not watching:
        return
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        if not Path(os.path.realpath(os.fsdecode(arguments[0]))).is_relative_to(folder) or set(str(arguments[1])) & set("wax+"):
            events.append([event, os.fsdecode(arguments[0])])
    elif event.split(".")[0] in ("exec", "compile", "import", "pickle", "subprocess", "socket", "ctypes", "shutil") or event in (
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink"
    ):
        events.append([event, repr(arguments)[:200]])

sys.addaudithook(hook)
watching = True
for path, read in files.items():
    read(path)
watching = False
print(json.dumps([len(files), events]))
"""


def test_reading_opens_the_file_and_does_nothing_else(tmp_path):
    versions = sorted(make.HERE.glob("*/manifest.json"))
    for path in versions[-1].parent.glob("*.zip"):
        if path.name.startswith(("microstates", "couplings.", "cluster_expansion", "flow-affine", "extrapolated-networks")):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(tmp_path)
    done = subprocess.run([sys.executable, "-c", WATCHED, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files, events = json.loads(done.stdout.splitlines()[-1])
    assert files > 10 and events == []


# -- programs in files -------------------------------------------------------------------------------------------------------


class Program:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


def zarr_codecs(filters, compressor):
    def write(folder: Path, mark: Path) -> Path:
        path = folder / "states.zarr"
        (path / "state").mkdir(parents=True)
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps({"space": "spins", "q": 2, "schema_version": 1}))
        described = {"zarr_format": 2, "shape": [1, 2, 3], "chunks": [1, 2, 3], "dtype": "|O", "fill_value": None, "order": "C"}
        (path / "state" / ".zarray").write_text(json.dumps({**described, "filters": filters, "compressor": compressor}))
        (path / "state" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["chain", "draw", "site"]}')
        (path / "state" / "0.0.0").write_bytes(pickle.dumps(Program(mark)))
        return path

    return write


def numpy_file(folder: Path, mark: Path) -> Path:
    np.save(folder / "states.npy", np.array([[Program(mark)]], dtype=object), allow_pickle=True)
    return folder / "states.npy"


def numpy_archive(folder: Path, mark: Path) -> Path:
    np.savez(folder / "states.npz", state=np.array([[Program(mark)]], dtype=object))
    return folder / "states.npz"


def bare_pickle(ending: str):
    def write(folder: Path, mark: Path) -> Path:
        path = folder / f"states{ending}"
        path.write_bytes(pickle.dumps(Program(mark)))
        return path

    return write


PROGRAMS = {
    "an object array": numpy_file,
    "an object array in an archive": numpy_archive,
    **{f"a pickle called {ending}": bare_pickle(ending) for ending in (".npy", ".npz", ".nc", ".h5", ".csv", ".csv.gz", ".zip")},
    "a Zarr filter": zarr_codecs([{"id": "pickle"}], None),
    "a Zarr compressor": zarr_codecs(None, {"id": "pickle"}),
    "a Zarr filter behind another": zarr_codecs([{"id": "vlen-utf8"}, {"id": "pickle"}], None),
    "a Zarr compressor behind a filter": zarr_codecs([{"id": "vlen-utf8"}], {"id": "pickle"}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_in_a_file_does_not_run(name, tmp_path, monkeypatch):
    from numcodecs import pickles

    # numcodecs refuses by itself since 0.16.6 only; older ones do what this setting does.
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    mark = tmp_path / "was run"
    path = PROGRAMS[name](tmp_path, mark)
    with pytest.raises(HamlearnError):
        hl.microstates(path)
    if path.suffix in (".nc", ".zarr"):
        with pytest.raises(HamlearnError):
            hl.load(path)
    assert not mark.exists()


def test_a_program_in_a_checkpoint_does_not_run(tmp_path):
    mark, path = tmp_path / "was run", tmp_path / "run.npz"
    names = ("checkpoint", "request", "history", "fingerprint", "plain", "state_0")
    np.savez(path, **{name: np.array(Program(mark), dtype=object) for name in names})
    hl.simulate(hl.systems.Ising((2, 2)), 0.4, draws=5, sampler="heat_bath", checkpoint=path, progress=False)
    assert not mark.exists()


def test_the_mark_would_be_left(tmp_path):
    with open(numpy_file(tmp_path, tmp_path / "was run"), "rb") as file:
        np.load(file, allow_pickle=True)
    assert (tmp_path / "was run").exists()
