"""The shell among other programs: JSON and CSV, standard input and output, exit codes, completion."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import cli, data, storage
from hamlearn.cli import documents

LATTICE = ("--graph", "square", "--fields", "none", "--engine", "laplace", "--no-check")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with rows of spins in several formats, a posterior, and one that is not to be believed."""
    place = tmp_path_factory.mktemp("streams")
    states = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=200, chains=2, seed=0)
    storage.write_dataset(states, place / "d.nc")
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), fields=None)
    hl.save(hl.learn(states, model, engine="laplace", check=False), place / "p.nc")
    few = states.isel(draw=slice(3), chain=slice(1))
    hl.save(hl.learn(few, hl.models.Couplings(), engine="laplace", check=False), place / "few.nc")
    rows = states["state"].values.reshape(-1, 9)
    np.savetxt(place / "rows.csv", rows, fmt="%d", delimiter=",")
    np.savetxt(place / "rows.txt", rows, fmt="%2d", header="made by a program, version 2")
    np.save(place / "rows.npy", rows)
    return place


@pytest.fixture
def shell(folder, monkeypatch, capfdbinary):
    """``hamlearn arguments`` in the folder, with bytes on standard input: exit code, standard output and standard error."""

    def run(*arguments, given=b""):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        code = cli.run()
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


def test_a_verdict_for_readers_and_for_programs(shell, folder):
    found = hl.verdict(hl.load(folder / "few.nc"))
    code, out, _ = shell("verdict", "few.nc")
    assert (code, out.decode()) == (0, f"{found}\n")
    code, out, _ = shell("verdict", "few.nc", "--json")
    told = json.loads(out)
    assert code == 0 and out.count(b"\n") == 1 and told["schema"] == documents.VERDICT
    assert (told["level"], told["summary"]) == (found.level, found.summary)
    assert [one["code"] for one in told["reasons"]] == [one.code for one in found.reasons]


def test_who_asks_for_it_is_told_by_the_exit_code(shell, folder):
    believed = hl.verdict(hl.load(folder / "p.nc")).level
    assert believed == "caution" and hl.verdict(hl.load(folder / "few.nc")).level == "do not believe"
    assert [shell("verdict", name, "--strict")[0] for name in ("p.nc", "few.nc")] == [0, 3]
    assert shell("predict", "few.nc", "--draws", 4, "--observables", "energy", "--strict")[0] == 3
    code, _, err = shell("learn", "-", "--engine", "laplace", "--no-check", "--strict", "-o", "o.nc", given=b"1 -1 1\n-1 1 1\n1 1 -1\n")
    assert code == 3 and hl.load(folder / "o.nc")["posterior"].sizes["bond"] == 3, err


def test_a_report_is_written_before_the_code_says_what_it_says(shell):
    code, out, err = shell("report", "few.nc", "--strict", "-o", "-")
    assert code == 3 and out.startswith(b"<!"), err


def test_predictions_as_json_and_csv_are_the_file(shell, folder):
    common = ("predict", "p.nc", "--beta", "0.2,0.5", "--draws", 4, "--observables", "energy,correlation", "-o", "c.nc")
    code, out, _ = shell(*common, "--json")
    told, kept = json.loads(out), storage.read_dataset(folder / "c.nc")
    assert code == 0 and told["schema"] == documents.PREDICTION and told["beta"] == [0.2, 0.5] and told["hypothetical"] is False
    assert told["observables"]["correlation"]["dims"] == ["beta", "r"] and told["r"] == kept["r"].values.tolist()
    code, out, _ = shell(*common, "--csv")
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert code == 0 and len(rows) == 2 + 2 * kept.sizes["r"]
    for row in rows:
        at = {"beta": float(row["beta"])} | ({"r": float(row["r"])} if row["r"] else {})
        assert ("r" in at) == (row["observable"] == "correlation")
        for quantity in kept["quantity"].values:
            value = float(kept[row["observable"]].sel(quantity=quantity, **at))
            listed = told["observables"][row["observable"]][quantity][[0.2, 0.5].index(at["beta"])]
            assert float(row[quantity]) == value == (listed[told["r"].index(at["r"])] if "r" in at else listed)


def test_plans_as_sentences_and_as_json(shell, folder):
    asked = {"width": 0.3, "effect": 0.2, "beta": [0.2, 0.4]}
    found = hl.plan(hl.load(folder / "p.nc"), **asked)
    options = ("plan", "p.nc", "--width", 0.3, "--effect", 0.2, "--beta", "0.2,0.4")
    code, out, _ = shell(*options)
    assert (code, out.decode()) == (0, f"{found}\n")
    code, out, _ = shell(*options, "--json")
    told = json.loads(out)
    assert code == 0 and told["schema"] == documents.PLAN and told["best"] == found.beta and told["sentences"] == list(found.sentences)
    assert told["rows_needed"]["worst"] == found.to_dataset()["rows_needed"].sel(which="worst").values.tolist()
    code, _, err = shell("plan", "p.nc")
    assert code == 2 and "nothing is asked" in err


def test_parameters_as_a_table(shell, folder):
    draws = hl.load(folder / "p.nc")["posterior"]["J"]
    code, out, _ = shell("summary", "p.nc", "--csv")
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert code == 0 and [row["parameter"] for row in rows] == [f"J[{ends}]" for ends in draws["bond"].values]
    np.testing.assert_allclose([float(row["mean"]) for row in rows], draws.mean(("chain", "draw")), rtol=1e-12)
    np.testing.assert_allclose([float(row["eti_95%"]) for row in rows], draws.quantile(0.95, ("chain", "draw")), rtol=1e-12)
    assert rows[0]["r_hat"] == ""  # independent draws have none
    told = json.loads(shell("summary", "p.nc", "--json")[1])
    assert told["parameters"][0]["sd"] == float(rows[0]["sd"]) and told["parameters"][0]["r_hat"] is None
    assert b"J[0, 3]" in shell("summary", "p.nc")[1]


def test_numbers_that_json_has_no_word_for():
    assert json.loads(documents._json({"a": [1.5, float("nan")], "b": -float("inf")})) == {"a": [1.5, None], "b": None}


@pytest.mark.parametrize(("name", "told"), [("rows.csv", ()), ("rows.txt", ()), ("rows.npy", ("--format", "npy"))])
def test_rows_from_standard_input_are_those_of_the_file(name, told, shell, folder):
    arguments = ("learn", "-", "--shape", "3x3", *LATTICE, *told, "-o", "o.nc")
    code, _, err = shell(*arguments, given=(folder / name).read_bytes())
    assert code == 0, err
    assert hl.load(folder / "o.nc").attrs["fingerprint"] == _fingerprint(folder / "rows.npy")


def _fingerprint(file):
    return data.fingerprint([hl.microstates(file)])


def test_a_chain_of_commands_needs_no_file(shell):
    code, states, err = shell("simulate", "ising", "--shape", "3x3", "--draws", 50, "--beta", 0.4, "-o", "-")
    assert code == 0 and "ess" in err
    code, post, err = shell("learn", "-", "--format", "nc", *LATTICE, "-o", "-", given=states)
    assert code == 0 and "site observations" in err, err
    code, out, err = shell("predict", "-", "--draws", 4, "--beta", 0.4, "--observables", "energy", given=post)
    assert code == 0 and out.startswith(b"beta") and b"[" in out, err


REFUSED = {
    "nothing": (("learn", "-", "-o", "o.nc"), b"", "standard input is empty"),
    "the same twice": (("learn", "-", "-", "-o", "o.nc"), b"1 1\n", "given twice"),
    "two of one stream": (("report", "-", "--prediction", "-", "-o", "o.html"), b"", "standard input is empty; it can be read once"),
    "binary": (("learn", "-", "-o", "o.nc"), b"\x89HDF\r\n\x1a\n", "--format nc"),
    "ragged": (("learn", "-", "-o", "o.nc"), b"1 1 1\n1 1\n1 1 1 1\n", "standard input is ragged"),
    "words": (("learn", "-", "-o", "o.nc"), b"1 up\n1 down\n", "standard input holds text in column"),
    "not what was told": (("learn", "-", "--format", "npy", "-o", "o.nc"), b"1 1\n", "standard input"),
    "an unknown format": (("learn", "-", "--format", "npx", "-o", "o.nc"), b"1 1\n", "--format must be one of"),
    "a format of a file": (("learn", "rows.csv", "--format", "csv", "-o", "o.nc"), b"", "give - for a file"),
    "no posterior": (("verdict", "-"), b"1 1\n", "standard input"),
    "rows as a posterior": (("verdict", "d.nc"), b"", "posterior"),
    "two forms": (("predict", "p.nc", "--json", "--csv"), b"", "--json and --csv would both"),
    "two results": (("predict", "p.nc", "--json", "-o", "-"), b"", "--json and -o - would both"),
    "several temperatures": (("predict", "p.nc", "--beta", "0.3", "0.5"), b"", "--beta 0.3,0.5"),
    "several extents": (("simulate", "ising", "--shape", "8", "8", "-o", "o.nc"), b"", "--shape 8x8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line(name, shell):
    arguments, given, message = REFUSED[name]
    code, out, err = shell(*arguments, given=given)
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and out == b"" and message in line and "hamlearn-" not in line and "Traceback" not in err, err


def test_a_result_does_not_go_to_a_screen(monkeypatch, shell):
    monkeypatch.setattr(os, "isatty", lambda number: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, _, err = shell("simulate", "ising", "--shape", "3x3", "--draws", 5, "-o", "-")
    assert code == 2 and "terminal" in err


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
def test_a_reader_that_leaves_and_a_disk_that_is_full(folder, tmp_path):
    command = f'"{sys.executable}" -m hamlearn simulate ising --shape 3x3 --draws 5 -o -'
    script = f"{command} | true; echo ${{PIPESTATUS[0]}}\n{command} > /dev/full; echo $?"
    found = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert found.stdout.split() == ["0", "2"] and "Traceback" not in found.stderr, found
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("hamlearn:")]
    kept = Path(line.split("kept in ")[1].rstrip("."))
    assert kept.name == "result.nc" and hl.microstates(kept).sizes["draw"] == 5


@pytest.mark.parametrize(
    ("shell_name", "asked"),
    [
        ("bash", {"COMP_WORDS": "hamlearn learn --engine ", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "hamlearn learn --engine "}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "hamlearn learn --engine ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_complete_words(shell_name, asked, shell, monkeypatch):
    for name, value in {cli.COMPLETES: f"complete_{shell_name}", **asked}.items():
        monkeypatch.setenv(name, value)
    code, out, _ = shell()
    assert code == 0 and b"importance" in out and b"laplace" in out


def test_completion_is_installed_where_asked_and_a_place_that_takes_none_is_named(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    code, out, err = shell("--show-completion")
    assert code == 0 and b"_HAMLEARN_COMPLETE=complete_bash" in out, err
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    code, _, err = shell("--install-completion")
    assert code == 2 and "cannot be written" in err
