"""``hamlearn calibrate``: a posterior comes back with what was found, a killed or repeated command continues, and mistakes are one line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import cli, storage

RING = hl.systems.Ising((4,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("calibrate")
    data = hl.simulate(RING, beta=0.4, draws=200, chains=1, seed=0, progress=False)
    storage.write_dataset(data, place / "data.nc")
    storage.write_dataset(data.isel(draw=slice(100)), place / "part.nc")
    model = hl.models.Couplings(RING.lattice, tie="uniform", fields=None)
    hl.save(hl.learn(data, model, engine="laplace", check=False, seed=0), place / "post.nc")
    return place


@pytest.fixture
def shell(folder, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hamlearn", "calibrate", *map(str, arguments)])
        code = cli.run()
        return code, *capsys.readouterr()

    return run


def test_a_posterior_comes_back_with_its_calibration(shell, folder):
    code, out, err = shell("post.nc", "--sets", 12, "-o", "kept.nc", "--seed", 3, "--threads", 2)
    assert code == 0 and "12 data sets" in out and not list(folder.glob("*.checkpoint.npz")), err
    asked = hl.diagnostics.calibration.local(hl.load(folder / "post.nc"), sets=12, seed=3)
    kept = hl.load(folder / "kept.nc")
    np.testing.assert_array_equal(kept["calibration"]["rank"], asked.ranks)
    assert hl.verdict(kept).reasons == hl.verdict(asked.posterior).reasons


def test_a_page_says_what_was_found(shell, folder):
    code, _, err = shell("post.nc", "--sets", 10, "-o", "page.html")
    page = (folder / "page.html").read_text(encoding="utf-8")
    asked = hl.diagnostics.calibration.local(hl.load(folder / "post.nc"), sets=10)
    assert code == 0 and "Do these error bars cover?" in page and "Ranks and coverage" in page, err
    assert f"<dd>{asked.p_value:.2g}</dd>" in page and page.count("<tr") == 2 + asked.kinds.sizes["of"] + len(asked.names)
    assert not list(folder.glob("*.checkpoint.npz"))


def test_documents_say_what_was_found(shell, folder):
    code, out, err = shell("post.nc", "--data", "data.nc", "--sets", 10, "--json", "--strict")
    told = json.loads(out)
    asked = hl.diagnostics.calibration.local(hl.load(folder / "post.nc"), hl.microstates(folder / "data.nc"), sets=10)
    assert (told["schema"], told["truths"], told["sets"]) == ("hamlearn.calibration/1", "joined", 10), err
    assert code == (3 if told["decision"] == "not calibrated" else 0)
    assert told["kinds"][0]["levels"][1]["coverage"] == pytest.approx(float(np.mean(np.abs(asked.positions - 0.5) < 0.45)))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.nc",), "no such file: none.nc"),
        (("data.nc",), "holds no hamlearn posterior"),
        (("post.nc", "--sets", "3"), "--sets"),
        (("post.nc", "--data", "part.nc"), "not the microstates that this posterior was learned from"),
        (("post.nc", "-o", "kept.csv"), "must end in"),
        (("post.nc", "-o", "post.nc"), "is both read and written"),
    ],
)
def test_mistakes_are_told_in_one_line(shell, arguments, told):
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "") and told in err and len(err.strip().splitlines()) == 1, err


def test_data_that_cannot_say_their_own_temperature_are_those_of_the_posterior(shell, folder):
    rows = hl.microstates(folder / "data.nc")["state"].values.reshape(-1, 4)
    np.savetxt(folder / "rows.csv", rows, fmt="%d", delimiter=",")
    data = hl.microstates(folder / "rows.csv", space="spins", beta=0.4)
    model = hl.models.Couplings(RING.lattice, tie="uniform", fields=None)
    hl.save(hl.learn(data, model, engine="laplace", check=False, seed=0), folder / "flat.nc")
    code, out, err = shell("flat.nc", "--data", "rows.csv", "--sets", 10)
    assert code == 0 and "learned with the data" in out, err
    code, _, err = shell("flat.nc", "--sets", 10, "--missing", "9")
    assert code == 2 and "give these too" in err
