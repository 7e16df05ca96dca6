"""``hamlearn audit``: a posterior or microstates beside a reference, and what comes out in every form."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import cli, storage

ISING = hl.systems.Ising((3, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("audit")
    made = lambda seed, J=1.0: hl.simulate(hl.systems.Ising((3, 3), J=J), beta=0.4, draws=200, chains=4, seed=seed, progress=False)
    data = made(0)
    for name, one in {"data": data, "reference": made(1), "other": made(2, 0.7)}.items():
        storage.write_dataset(one, place / f"{name}.nc")
        np.savetxt(place / f"{name}.csv", one["state"].values.reshape(-1, 9), fmt="%d", delimiter=",")
    hl.save(hl.learn(data, hl.models.Couplings(ISING.lattice, fields=None), engine="laplace", check=False, seed=0), place / "post.nc")
    return place


@pytest.fixture
def shell(folder, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hamlearn", "audit", *map(str, arguments)])
        code = cli.run()
        return code, *capsys.readouterr()

    return run


def test_a_posterior_comes_back_with_its_audit(shell, folder):
    code, out, err = shell("post.nc", "--reference", "reference.nc", "--draws", 2048, "-o", "audited.nc", "--seed", 3)
    assert (code, "differs" in out) == (0, False), err
    asked = hl.audit(hl.microstates(folder / "reference.nc"), hl.load(folder / "post.nc"), 2048, 3)
    audited = hl.load(folder / "audited.nc")
    assert str(hl.diagnostics.Audit.from_dataset(audited["audit"].to_dataset())) == str(asked)
    assert hl.verdict(audited).reasons == hl.verdict(asked.posterior).reasons
    assert "audit agrees" in {one.code for one in hl.verdict(audited).reasons}


def test_flat_rows_of_a_table_are_those_of_the_lattice(shell):
    code, out, err = shell("other.csv", "--space", "spins", "--reference", "reference.nc", "--training", "data.nc", "--json", "--strict")
    told = json.loads(out)
    assert (code, told["schema"], told["decision"]) == (3, "hamlearn.audit/1", "differs"), err
    found = {one["name"]: one for one in told["findings"]}
    assert found["correlations along the axes"]["flagged"] and found["correlations along the axes"]["effect"] < 0


def test_a_page_is_written(shell, folder):
    code, out, _ = shell("other.csv", "--space", "spins", "--beta", 0.4, "--reference", "reference.csv", "-o", "audit.html")
    assert code == 0 and "differs" in out
    assert "The model differs" in (folder / "audit.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("post.nc",), "--reference"),
        (("none.nc", "--reference", "reference.nc"), "no such file: none.nc"),
        (("reference.nc", "--reference", "reference.nc"), "given twice"),
        (("other.nc", "--reference", "reference.nc", "-o", "a.nc"), "must end in .html"),
        (("other.nc", "--reference", "reference.nc", "--draws", "9"), "--draws describes a posterior"),
        (("post.nc", "other.nc", "--reference", "reference.nc"), "holds a posterior, not microstates"),
        (("other.nc", "--reference", "post.nc"), "holds a posterior, not microstates"),
        (("post.nc", "--reference", "reference.nc", "--training", "reference.nc"), "given twice"),
        (("other.csv", "--beta", "0.3", "--space", "spins", "--reference", "reference.nc"), "already say what they are"),
        (("post.nc", "--reference", "reference.nc", "--level", "2"), "level"),
        (("post.nc", "--reference", "reference.nc", "--used-at", "x"), "beta is a number"),
        (("post.nc", "--reference", "reference.nc", "-o", "post.nc"), "is both read and written"),
    ],
)
def test_mistakes_are_told_in_one_line(shell, arguments, told):
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "") and told in err and len(err.strip().splitlines()) == 1, err
