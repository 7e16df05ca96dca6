"""The shell: the verbs on files, and one line with exit code 2 for every user's mistake."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import cli, storage


def run(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of ``hamlearn arguments``, in this process."""
    monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, arguments)])
    code = cli.run()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_verbs_on_files(tmp_path, monkeypatch, capsys):
    data, post, curve, page = (tmp_path / name for name in ("data.nc", "post.nc", "curve.nc", "report.html"))
    code, out, _ = run(monkeypatch, capsys, "simulate", "edwards-anderson", "--shape", "3x3", "--beta", "0.5", "--draws", 500, "-o", data)
    assert code == 0
    assert "ess" in out
    assert hl.microstates(data)["state"].shape == (4, 500, 3, 3)
    code, out, err = run(
        monkeypatch, capsys, "learn", data, "--graph", "square", "--engine", "laplace", "--fields", "none", "--no-check", "-o", post
    )
    assert code == 0, err
    assert "site observations" in out
    code, out, err = run(monkeypatch, capsys, "predict", post, "--beta", "0.1:1.0:3", "--members", 8, "-o", curve)
    assert code == 0, err
    assert storage.read_dataset(curve)["energy"].shape == (3, 5)
    assert out.count("[") >= 9
    code, _, err = run(monkeypatch, capsys, "report", post, "--prediction", curve, "-o", page)
    assert code == 0, err
    assert page.stat().st_size > 10_000


def test_a_users_csv_without_a_model(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    spins = generator.choice([-1, 1], (400, 4))
    np.savetxt(tmp_path / "votes.csv", spins, fmt="%d", delimiter=",")
    code, _, err = run(
        monkeypatch,
        capsys,
        "learn",
        tmp_path / "votes.csv",
        "--space",
        "spins",
        "--beta",
        "1.0",
        "--engine",
        "mle",
        "-o",
        tmp_path / "p.nc",
    )
    assert code == 0, err
    assert hl.load(tmp_path / "p.nc")["posterior"].sizes["bond"] == 6


def test_neighbour_products_on_an_open_lattice(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "fields.npy", np.random.default_rng(0).normal(size=(500, 3, 3)))
    options = (
        "--space",
        "reals",
        "--beta",
        1,
        "--model",
        "polynomial-action",
        "--powers",
        2,
        "--open",
        "--neighbour",
        "product",
        "--no-check",
    )
    code, _, err = run(monkeypatch, capsys, "learn", tmp_path / "fields.npy", *options, "-o", tmp_path / "p.nc")
    assert code == 0, err
    member = hl.members(hl.load(tmp_path / "p.nc"), 1)[0]
    assert (member.coupling, member.lattice.periodic) == ("product", False)


@pytest.mark.parametrize(("shape", "bonds"), [("3x4", 24), ("12", 12)])
def test_flat_rows_on_a_named_lattice(shape, bonds, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).choice([-1, 1], (300, 12)))
    arguments = ("learn", tmp_path / "flat.npy", "--graph", "square", "--shape", shape, "--engine", "mle", "--no-check")
    code, _, err = run(monkeypatch, capsys, *arguments, "-o", tmp_path / "p.nc")
    assert code == 0, err
    assert hl.load(tmp_path / "p.nc")["posterior"].sizes["bond"] == bonds


def test_a_disk_that_fills_up_loses_nothing(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    np.savetxt(tmp_path / "votes.csv", generator.choice([-1, 1], (200, 3)), fmt="%d", delimiter=",")
    whole = storage.write_dataset

    def full(data, path):
        if str(path).startswith(str(tmp_path / "p.nc")):
            raise hl.HamlearnError(f"cannot write {path}: No space left on device.")
        return whole(data, path)

    monkeypatch.setattr(storage, "write_dataset", full)
    code, _, err = run(monkeypatch, capsys, "learn", tmp_path / "votes.csv", "--space", "spins", "--engine", "mle", "-o", tmp_path / "p.nc")
    assert code == 2
    kept = err.split("kept in ")[1].strip().rstrip(".")
    assert hl.load(kept)["posterior"].sizes["bond"] == 3


MISTAKES = {
    "one beta for two files": (
        ["learn", "bits.csv", "frozen.csv", "--space", "bits", "--beta", "0.3", "-o", "p.nc"],
        r"2 files need one beta each, in their order.*such as --beta 0\.2,0\.3; got 1",
    ),
    "two betas for one file": (["learn", "bits.csv", "--space", "bits", "--beta", "0.3,0.4", "-o", "p.nc"], "1 file need one beta"),
    "unknown model before its options": (
        ["learn", "nothing.csv", "--graph", "square", "--model", "rbm", "-o", "p.nc"],
        "--model must be one",
    ),
    "unknown option": (["learn", "bits.csv", "--bogus", "-o", "p.nc"], r"there is no option --bogus\. See --help"),
    "misspelt option": (["learn", "bits.csv", "--likelyhood", "exact", "-o", "p.nc"], "Did you mean --likelihood"),
    "a far word": (["learn", "bits.csv", "--space", "bits", "--engine", "anneal", "-o", "p.nc"], "got 'anneal'\\.$"),
    "no such column of counts": (["learn", "bits.npy", "--space", "bits", "--counts", "7", "-o", "p.nc"], "names a column of a table"),
    "a seed below zero": (["learn", "bits.csv", "--space", "bits", "--seed", "-1", "-o", "p.nc"], "seed"),
    "a seed beyond 32 bits": (["simulate", "ising", "--seed", "99999999999999999999", "-o", "d.nc"], "seed"),
    "a power beyond any float": (
        ["learn", "bits.csv", "--space", "reals", "--model", "polynomial-action", "--powers", "2,400", "-o", "p.nc"],
        "powers go up to 32",
    ),
    "no prediction": (["report", "bits.nc", "--prediction", "bits.nc", "-o", "r.html"], "holds no prediction"),
    "a window beyond the lattice": (
        ["learn", "bits.csv", "--space", "bits", "--model", "local-energy", "--window", "40", "-o", "p.nc"],
        "does not fit",
    ),
    "no such file": (["learn", "nothing.csv", "-o", "p.nc"], "no such file"),
    "no output": (["learn", "nothing.csv"], "Missing option"),
    "unknown verb": (["lern"], "No such command"),
    "0/1 as spins": (["learn", "bits.csv", "--space", "spins", "-o", "p.nc"], "space='bits'"),
    "beta below zero": (["learn", "bits.csv", "--space", "bits", "--beta", "-1", "-o", "p.nc"], "beta"),
    "beta not a number": (["predict", "bits.csv", "--beta", "hot", "-o", "c.nc"], "no hamlearn posterior|cannot read|beta"),
    "unknown engine": (["learn", "bits.csv", "--space", "bits", "--engine", "nut", "-o", "p.nc"], "Did you mean 'nuts'"),
    "unknown likelihood": (["learn", "bits.csv", "--space", "bits", "--likelihood", "psudo", "-o", "p.nc"], "Did you mean 'pseudo'"),
    "folder missing": (["learn", "bits.csv", "--space", "bits", "-o", "nowhere/p.nc"], "does not exist"),
    "wrong ending": (["learn", "bits.csv", "--space", "bits", "-o", "p.txt"], "must end in"),
    "a table for a posterior": (["report", "bits.csv", "-o", "r.html"], "those are .nc or .zarr files"),
    "not a posterior": (["report", "bits.nc", "-o", "r.html"], "no hamlearn posterior|cannot read"),
    "a frozen spin": (["learn", "frozen.csv", "--space", "bits", "--engine", "mle", "-o", "p.nc"], "site 1 never changes"),
    "ragged": (["learn", "ragged.csv", "-o", "p.nc"], "ragged"),
    "empty": (["learn", "empty.csv", "-o", "p.nc"], "is empty"),
    "unknown graph": (["learn", "bits.csv", "--space", "bits", "--graph", "cube", "-o", "p.nc"], "--graph"),
    "powers that are none": (
        ["learn", "bits.csv", "--space", "reals", "--model", "polynomial-action", "--powers", "a,b", "-o", "p.nc"],
        "powers are written",
    ),
    "options of another model": (
        ["learn", "bits.csv", "--space", "bits", "--model", "clusters", "--tie", "uniform", "-o", "p.nc"],
        "--tie describes couplings; leave it out with --model clusters",
    ),
    "neighbours of couplings": (
        ["learn", "bits.csv", "--space", "bits", "--neighbour", "product", "-o", "p.nc"],
        "describes polynomial-action",
    ),
    "a neighbour term that is none": (
        ["learn", "bits.csv", "--space", "reals", "--model", "polynomial-action", "--neighbour", "products", "-o", "p.nc"],
        "Did you mean 'product'",
    ),
    "a square lattice of flat rows": (
        ["learn", "flat.csv", "--graph", "square", "-o", "p.nc"],
        r"flat \(24 columns\): add --shape 4x6, or --shape 24 if the sites are a chain\.$",
    ),
    "a triangular lattice of flat rows": (["learn", "flat.csv", "--graph", "triangular", "-o", "p.nc"], r"add --shape 4x6\.$"),
    "a honeycomb of flat rows": (["learn", "flat.csv", "--graph", "honeycomb", "-o", "p.nc"], r"add --shape 3x4\.$"),
    "flat rows of a prime number": (
        ["learn", "bits.csv", "--space", "bits", "--graph", "square", "-o", "p.nc"],
        r"flat \(3 columns\): add --shape with rows x columns",
    ),
    "a shape that is none": (["simulate", "ising", "--shape", "8y8", "-o", "d.nc"], "8x8"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_and_exit_2(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bits = np.random.default_rng(1).integers(0, 2, (50, 3))
    np.savetxt("bits.csv", bits, fmt="%d", delimiter=",")
    np.save("bits.npy", bits)
    bits[:, 1] = 1
    np.savetxt("frozen.csv", bits, fmt="%d", delimiter=",")
    np.savetxt("flat.csv", np.random.default_rng(2).choice([-1, 1], (50, 24)), fmt="%d", delimiter=",")
    (tmp_path / "ragged.csv").write_text("1,-1\n1,-1,1\n1\n")
    (tmp_path / "empty.csv").write_text("")
    xr.Dataset({"x": ("t", [1.0])}).to_netcdf("bits.nc", engine="h5netcdf")
    arguments, message = MISTAKES[name]
    code, _, err = run(monkeypatch, capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2
    assert len(lines) == 1
    assert "Traceback" not in err
    import re

    assert re.search(message, lines[0]), lines[0]


def test_help_answers_without_frameworks():
    script = (
        "import sys\nsys.argv = ['hamlearn', '--help']\nfrom hamlearn.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    )
    script += "print(sorted({'jax', 'torch', 'numpyro', 'xarray', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "simulate" in result.stdout


def test_a_table_on_its_side_is_noticed(tmp_path, monkeypatch, capsys, caplog):
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).choice([-1, 1], (6, 40)))
    with caplog.at_level("WARNING", logger="hamlearn"):
        arguments = ["learn", tmp_path / "wide.npy", "--beta", "1", "--engine", "laplace", "--no-check", "-o", tmp_path / "p.nc"]
        code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 0, err
    assert "6 microstates of 40 sites" in caplog.text and "transpose" in caplog.text
