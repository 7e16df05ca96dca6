"""The core without its extras: what does not need them works, and every door to them names the command that is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import hamlearn as hl
from hamlearn import extras

LINE = 'pip install "hamlearn[{0}]", or in a checkout pip install -c constraints.txt -e ".[{0}]"'
FIXTURES = Path(__file__).parent / "fixtures" / "0.2.0.dev0"
FOLDERS = ("hamlearn.models.densities", "hamlearn.infer.engines.neural")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("core")
    for name in ("autoregressive.nc", "microstates-spins.zarr"):
        zipfile.ZipFile(FIXTURES / f"{name}.zip").extractall(folder)
    script = Path(__file__).with_name("extras_core.py")
    result = subprocess.run([sys.executable, script, folder], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_couplings_clusters_and_actions_are_learned_without_torch(found):
    core = found["core"]
    assert all(core["verdicts"]) and core["page"] > 10_000
    assert core["energy"] < 0


def test_only_the_two_folders_of_networks_one_store_and_the_estimator_cannot_be_imported(found):
    assert set(found["refusals"]) == {*FOLDERS, "hamlearn.storage.store", "hamlearn.estimator"}  # and so nothing in the folders is reached
    for name in FOLDERS:
        assert LINE.format("neural") in found["refusals"][name]


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_every_door_names_the_command_in_one_line(extra, found):
    for door, said in found[extra].items():
        assert LINE.format(extra) in said and len(said.splitlines()) == 1, f"{door}: {said}"
    assert re.match("2 ", found[extra].get("the shell", "2 "))  # which no estimator is reached from


def test_what_is_missing_is_named_and_what_is_there_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyro", None)
    with pytest.raises(hl.HamlearnError, match=r"need (torch and )?pyro, not installed here: pip install \"hamlearn\[neural\]\""):
        extras.require("neural")
