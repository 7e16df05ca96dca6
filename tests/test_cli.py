"""The shell: the verbs on files, and one line with exit code 2 for every user's mistake."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import cli, storage
from hamlearn.cli.options import group_names
from hamlearn.infer import posteriors


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
    code, out, err = run(monkeypatch, capsys, "predict", post, "--beta", "0.1:1.0:3", "--draws", 8, "-o", curve)
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
    member = hl.draw_systems(hl.load(tmp_path / "p.nc"), 1)[0]
    assert (member.coupling, member.lattice.periodic) == ("product", False)


@pytest.mark.parametrize(("shape", "bonds"), [("3x4", 24), ("12", 12)])
def test_flat_rows_on_a_named_lattice(shape, bonds, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).choice([-1, 1], (300, 12)))
    arguments = ("learn", tmp_path / "flat.npy", "--graph", "square", "--shape", shape, "--engine", "mle", "--no-check")
    code, _, err = run(monkeypatch, capsys, *arguments, "-o", tmp_path / "p.nc")
    assert code == 0, err
    assert hl.load(tmp_path / "p.nc")["posterior"].sizes["bond"] == bonds


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with microstates, two posteriors and a prediction, small ones."""
    folder = tmp_path_factory.mktemp("files")
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=200, chains=2, seed=0)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    post = hl.learn(data, model, engine="laplace", check=False)
    hl.save(post, folder / "p.nc")
    storage.write_dataset(data, folder / "d.nc")
    storage.write_dataset(hl.predict(post, [0.2, 0.4], draws=4), folder / "c.nc")
    np.save(folder / "bonds.npy", np.array([[0, 1], [1, 2]]))
    np.save(folder / "far.npy", np.array([[0, 99]]))
    (folder / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00junk")
    (folder / "folder").mkdir()
    return folder


RESULTS = {
    "simulate": (("simulate", "ising", "--shape", "16x16", "--draws", "200", "--sampler", "heat_bath", "--beta", "0.3"), "o.nc"),
    "learn": (("learn", "d.nc", "--engine", "laplace", "--no-check"), "o.nc"),
    "predict": (("predict", "p.nc", "--draws", "4", "--beta", "0.1:0.5:400"), "o.nc"),
    "extrapolate": (("extrapolate", "p.nc", "--beta", "0.5"), "o.nc"),
    "report": (("report", "p.nc"), "o.html"),
}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A real disk with room for almost nothing."""
    place = tmp_path_factory.mktemp("disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(place)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this machine does not allow a small disk to be mounted: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("verb", RESULTS)
def test_a_full_disk_loses_no_result(verb, files, small_disk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(files)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for path in small_disk.iterdir():
        path.unlink()
    arguments, name = RESULTS[verb]
    code, _, err = run(monkeypatch, capsys, *arguments, "-o", small_disk / name)
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and "No space left" in line and "in memory" not in line
    kept = Path(line.split("kept in ")[1].rstrip("."))
    assert kept.parent.parent == tmp_path and kept.name == name
    if verb == "report":
        assert kept.read_text(encoding="utf-8").startswith("<!")
    else:
        whole = hl.load(kept) if verb in ("learn", "extrapolate") else storage.read_dataset(kept)
        assert len(whole.data_vars) or len(whole.children)
    assert [path.name for path in small_disk.iterdir() if "checkpoint" not in path.name] == []


def test_a_result_is_kept_in_the_next_place_that_takes_it(files, tmp_path, monkeypatch, capsys):
    whole = storage.write_dataset

    def full(data, path):
        if "here" not in str(path):
            raise hl.HamlearnError(f"cannot write {path}: No space left on device.")
        return whole(data, path)

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not"))
    monkeypatch.setattr(storage, "write_dataset", full)
    code, _, err = run(monkeypatch, capsys, "predict", files / "p.nc", "--draws", "4", "--beta", "0.3", "-o", tmp_path / "o.nc")
    assert code == 2 and f"It was kept in {tmp_path / 'here'}" in err
    assert storage.read_dataset(err.split("kept in ")[1].strip().rstrip("."))["energy"].shape == (1, 5)
    monkeypatch.setattr(storage, "write_dataset", lambda data, path: full(data, tmp_path / "o.nc"))
    code, _, err = run(monkeypatch, capsys, "predict", files / "p.nc", "--draws", "4", "--beta", "0.3", "-o", tmp_path / "o.nc")
    assert code == 2 and "No space left" in err and "kept in" not in err


TARGETS = {
    "simulate": ("simulate", "ising", "--shape", "3x3", "--draws", "5"),
    "learn": ("learn", "d.nc", "--engine", "laplace"),
    "predict": ("predict", "p.nc"),
    "extrapolate": ("extrapolate", "p.nc", "--beta", "0.5"),
    "report": ("report", "p.nc", "--prediction", "c.nc"),
    "demo": ("demo",),
}
BAD_TARGETS = ("", "nowhere/o.{}", "folder", ".{}", "{}", "o.txt", "n" * 300 + ".{}", "p.nc/o.{}")


@pytest.mark.parametrize("verb", TARGETS)
def test_targets_are_tried_before_any_work(verb, files, monkeypatch, capsys):
    """No verb loads anything before it knows that its result can be written: the worker functions are mines."""

    def mine(*_, **__):
        raise AssertionError("work began")

    for name in ("simulate", "learn", "predict", "extrapolate", "report", "load", "microstates"):
        monkeypatch.setattr(hl, name, mine, raising=False)
    monkeypatch.chdir(files)
    ending = "html" if verb == "report" else "nc"
    targets = ("", "p.nc", "p.nc/demo") if verb == "demo" else tuple(target.format(ending) for target in BAD_TARGETS)
    for target in targets:
        code, out, err = run(monkeypatch, capsys, *TARGETS[verb], "-o", target)
        assert code == 2 and out == "" and err.count("hamlearn: ") == 1, (target, err)
    for read in [word for word in TARGETS[verb] if word.endswith(".nc")]:
        if verb != "report":  # whose output cannot be called so
            code, _, err = run(monkeypatch, capsys, *TARGETS[verb], "-o", f"./folder/../{read}")
            assert code == 2 and "both read and written" in err


def test_the_demo_says_what_it_replaces_and_leaves_the_rest(tmp_path, monkeypatch, capsys):
    (tmp_path / "posterior.nc").write_text("somebody's")
    (tmp_path / "notes.txt").write_text("somebody's")
    monkeypatch.setattr(hl, "simulate", lambda *_, **__: (_ for _ in ()).throw(hl.HamlearnError("enough")))
    code, out, _ = run(monkeypatch, capsys, "demo", "-o", tmp_path)
    assert code == 2 and "replacing posterior.nc in" in out and "left alone" in out
    assert (tmp_path / "posterior.nc").read_text() == (tmp_path / "notes.txt").read_text() == "somebody's"


def test_a_checkpoint_goes_only_when_the_result_is_safe(tmp_path, monkeypatch, capsys, caplog):
    common = ("simulate", "ising", "--shape", "3x3", "--draws", "20", "--sampler", "heat_bath", "-o", tmp_path / "o.nc")
    whole = storage.write_dataset
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_dataset", lambda *_: (_ for _ in ()).throw(MemoryError))
        code, _, err = run(patch, capsys, *common)
        assert code == 2 and "out of memory" in err and [path.name for path in tmp_path.iterdir()] == ["o.nc.checkpoint.npz"]
    seen = []
    monkeypatch.setattr(storage, "write_dataset", lambda data, path: seen.append(len(list(tmp_path.glob("*.npz")))) or whole(data, path))
    code, _, err = run(monkeypatch, capsys, *common)
    assert code == 0 and seen == [1] and [path.name for path in tmp_path.iterdir()] == ["o.nc"] and "continuing from" in caplog.text


def test_a_training_at_the_shell_continues_from_its_checkpoint(files, tmp_path, monkeypatch, capsys, caplog):
    from hamlearn.infer.engines.neural import torch_training

    original, calls = torch_training._epoch, []

    def fails(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError
        return original(*arguments)

    small = hl.models.Autoregressive(hidden=4)
    monkeypatch.setattr(hl.models, "Autoregressive", lambda: small)
    monkeypatch.setattr(torch_training, "_epoch", fails)
    arguments = ("learn", files / "d.nc", "--model", "autoregressive", "--no-check", "-o", tmp_path / "o.nc")
    code, *_ = run(monkeypatch, capsys, *arguments)
    assert code == 2 and [path.name for path in tmp_path.iterdir()] == ["o.nc.checkpoint.npz"]
    code, *_ = run(monkeypatch, capsys, *arguments)
    assert code == 0 and "continuing from" in caplog.text and [path.name for path in tmp_path.iterdir()] == ["o.nc"]
    assert posteriors.provenance_of(hl.load(tmp_path / "o.nc")).engine.settings["checkpoint"] is None


# -- streams, and what should never happen --------------------------------------------------------------------------------


def test_files_are_groups(tmp_path, monkeypatch, capsys):
    """Called by their names, which are whole paths where they repeat."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("anna.csv", "ben.csv"):
        np.savetxt(name, generator.choice([-1, 1], (40, 2)), fmt="%d", delimiter=",")
    code, out, _ = run(
        monkeypatch, capsys, "learn", "anna.csv", "ben.csv", "--by", "subject", "--independent", "--no-check", "-o", "post.nc"
    )
    assert code == 0 and "groups: subject anna:" in out and "groups: subject ben:" in out
    assert hl.load("post.nc")["posterior"]["J"].dims == ("chain", "draw", "subject", "bond")
    assert group_names([Path("1/a.csv"), Path("2/a.csv")]) == [str(Path("1/a.csv")), str(Path("2/a.csv"))]


def shell(folder, script, **options):
    """A real shell, with ``hamlearn`` being this one."""
    command = f'hamlearn() {{ "{sys.executable}" -m hamlearn "$@"; }}\n{script}'
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
def test_streams_that_are_closed_or_full(files):
    script = (
        "hamlearn simulate --help | head -1; echo ${PIPESTATUS[0]}\n"  # a reader that leaves
        "hamlearn simulate --help > /dev/full; echo $?\n"
        "hamlearn simulate isng -o o.nc 2> /dev/full; echo $?\n"
        "hamlearn simulate isng -o o.nc <&- >&- 2>&-; echo $?\n"
        "hamlearn verdict - <&- 2>&1 | grep -c 'standard input is empty'\n"
    )
    found = shell(files, script)
    assert [line for line in found.stdout.splitlines() if line.isdigit()] == ["0", "2", "2", "2", "1"], found
    assert found.stderr.splitlines() == ["hamlearn: standard output cannot be written (No space left on device); files are complete."]


@pytest.mark.skipif(os.name != "posix", reason="file descriptors of POSIX systems")
def test_a_result_is_whole_though_nobody_reads_the_table_and_no_stream_is_open(files, tmp_path):
    found = shell(
        files,
        f"hamlearn predict p.nc --draws 4 --beta 0.1:0.4:4 -o {tmp_path}/o.nc | true; echo ${{PIPESTATUS[0]}}\n"
        f"hamlearn simulate ising --shape 3x3 --draws 5 -o $'{tmp_path}/\\xff.nc' <&- >&- 2>&-; echo $?\n",
    )
    assert found.stdout.split() == ["0", "0"] and "Traceback" not in found.stderr
    assert storage.read_dataset(tmp_path / "o.nc").sizes["beta"] == 4
    (other,) = [path for path in os.listdir(os.fsencode(tmp_path)) if path != b"o.nc"]
    assert other == b"\xff.nc" and hl.microstates(tmp_path / os.fsdecode(other)).sizes["draw"] == 5


def test_a_fault_of_our_own_is_one_line_and_its_traceback_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(hl, "simulate", lambda *_, **__: 1 / 0)
    code, _, err = run(monkeypatch, capsys, "simulate", "ising", "-o", tmp_path / "o.nc")
    (line,) = err.splitlines()
    assert code == 70 and line.startswith("hamlearn: internal error: ZeroDivisionError: division by zero. Please report it")
    (kept,) = tmp_path.glob("hamlearn-traceback-*.txt")
    assert str(kept) in line and "1 / 0" in kept.read_text(encoding="utf-8")


MISTAKES = {
    "a folder for a file": (["simulate", "ising", "-o", "d.nc/"], "names a folder"),
    "draws beyond any number": (["simulate", "ising", "--draws", "99999999999999999999", "-o", "d.nc"], "draws"),
    "the demo in no folder": (["demo", "-o", "no/where"], "cannot make the folder no/where"),
    "the demo in a file": (["demo", "-o", "bits.csv"], "It is a file: name another folder"),
    "the same data twice": (["learn", "bits.csv", "./bits.csv", "--space", "bits", "-o", "p.nc"], "given twice"),
    "no temperatures": (["predict", "bits.csv", "--beta", "0.1:1:0", "-o", "c.nc"], "count from 1"),
    "too many temperatures": (["predict", "bits.csv", "--beta", "0.1:1:1000000000", "-o", "c.nc"], "count from 1"),
    "beta that is no number": (["simulate", "ising", "--beta", "nan", "-o", "d.nc"], "finite number > 0"),
    "a range from nowhere": (["simulate", "ising", "--beta", "0.1:inf:3", "-o", "d.nc"], "finite number > 0"),
    "a seed of a float": (["simulate", "ising", "--seed", "1.5", "-o", "d.nc"], "seed"),
    "an empty argument": (["learn", "bits.csv", "--space", "", "-o", "p.nc"], "an argument is empty, after '--space'"),
    "an empty option": (["learn", "bits.csv", "--tie=", "-o", "p.nc"], "an argument is empty"),
    "no site": (["simulate", "ising", "--shape", "0x0", "-o", "d.nc"], "every extent at least 1"),
    "half a shape": (["simulate", "ising", "--shape", "8x", "-o", "d.nc"], "8x8"),
    "an extent below zero": (["simulate", "ising", "--shape", "-3", "-o", "d.nc"], "at least 1"),
    "a lattice beyond any memory": (["simulate", "ising", "--shape", "1000000x1000000", "-o", "d.nc"], "smaller shape"),
    "draws beyond any memory": (["simulate", "ising", "--draws", "1000000000000", "-o", "d.nc"], "memory"),
    "no draws": (["simulate", "ising", "--draws", "0", "-o", "d.nc"], "--draws"),
    "no chains": (["simulate", "ising", "--chains", "0", "-o", "d.nc"], "--chains"),
    "no members": (["predict", "bits.csv", "--draws", "0", "-o", "c.nc"], "--draws"),
    "too many members": (["predict", "bits.csv", "--draws", "1000000000", "-o", "c.nc"], "--draws"),
    "a level of all": (["predict", "bits.csv", "--level", "1", "-o", "c.nc"], "--level"),
    "a level that is no number": (["predict", "bits.csv", "--level", "nan", "-o", "c.nc"], "--level"),
    "no observable": (["predict", "bits.csv", "--observables", "energy,", "-o", "c.nc"], "--observables"),
    "an unknown observable": (["predict", "p.nc", "--observables", "enrgy", "-o", "c.nc"], "energy"),
    "one state": (["simulate", "potts", "--q", "1", "-o", "d.nc"], "q"),
    "a potential that is none": (["simulate", "double-well", "--mu", "nan", "-o", "d.nc"], "mu"),
    "a mass that is none": (["simulate", "scalar-field", "--m2", "nan", "-o", "d.nc"], "m2"),
    "states of a system without any": (["simulate", "ising", "--q", "3", "-o", "d.nc"], "--q describes clock and potts"),
    "a path with two extents": (["simulate", "double-well", "--shape", "8x9", "-o", "d.nc"], "--shape 8, not 8x9"),
    "a window of couplings": (["learn", "bits.csv", "--window", "2", "-o", "p.nc"], "--window describes cluster-expansion and local-i"),
    "a shape of every pair": (["learn", "bits.csv", "--shape", "3", "-o", "p.nc"], "--shape describes the lattice of --graph square"),
    "open boundaries of every pair": (["learn", "bits.csv", "--open", "-o", "p.nc"], "--open describes the lattice"),
    "no window": (["learn", "bits.csv", "--model", "cluster-expansion", "--window", "0", "-o", "p.nc"], "--window"),
    "an odd power": (
        ["learn", "bits.csv", "--space", "reals", "--model", "polynomial-action", "--powers", "3", "-o", "p.nc"],
        "must be even",
    ),
    "counts by a sign": (["learn", "bits.csv", "--space", "bits", "--counts", "--5", "-o", "p.nc"], "column"),
    "a folder as data": (["learn", "folder", "-o", "p.nc"], "folder"),
    "bonds out of range": (["learn", "d.nc", "--graph", "far.npy", "-o", "o.nc"], "99|site"),
    "damaged bonds": (["learn", "d.nc", "--graph", "damaged.npy", "-o", "o.nc"], "cannot read"),
    "a folder of bonds": (["learn", "d.nc", "--graph", "folder", "-o", "o.nc"], "folder|known endings"),
    "an unknown tie": (["learn", "d.nc", "--tie", "uniforn", "-o", "o.nc"], "uniform"),
    "a posterior as a prediction": (["report", "p.nc", "--prediction", "p.nc", "-o", "r.html"], "prediction"),
    "microstates as a prediction": (["report", "p.nc", "--prediction", "d.nc", "-o", "r.html"], "prediction"),
    "a table as a prediction": (["report", "p.nc", "--prediction", "bits.csv", "-o", "r.html"], "prediction|cannot read|\\.nc"),
    "what is read is written": (["predict", "p.nc", "-o", "p.nc"], "both read and written"),
    "a pipe as a target": (["predict", "p.nc", "-o", "pipe.nc"], "pipe"),
    "a temperature to extrapolate to": (["extrapolate", "p.nc", "--beta", "nan", "-o", "e.nc"], "--beta"),
    "what is fixed": (["extrapolate", "p.nc", "--beta", "0.5", "--fixed", "site", "-o", "e.nc"], "Did you mean 'sites'"),
    "one beta for two files": (
        ["learn", "bits.csv", "frozen.csv", "--space", "bits", "--beta", "0.3", "-o", "p.nc"],
        r"2 files need one beta each, in their order.*such as --beta 0\.2,0\.3; got 1",
    ),
    "two betas for one file": (["learn", "bits.csv", "--space", "bits", "--beta", "0.3,0.4", "-o", "p.nc"], "1 file need one beta"),
    "unknown model before its options": (
        ["learn", "nothing.csv", "--graph", "square", "--model", "boltzmann", "-o", "p.nc"],
        "--model must be one",
    ),
    "a single group": (["learn", "bits.csv", "--space", "bits", "--by", "subject", "-o", "p.nc"], "one subject only, 'bits'"),
    "groups of one table": (
        ["learn", "bits.csv", "--by", "subject", "-o", "p.nc"],
        r"A table with a column 'subject' is cut into one file for each, or learned in Python: .*drop\(columns='subject'\)",
    ),
    "groups called as a part of a posterior": (["learn", "bits.csv", "--space", "bits", "--by", "bond", "-o", "p.nc"], "by= is a word"),
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
        ["learn", "bits.csv", "--space", "bits", "--model", "local-interaction", "--window", "40", "-o", "p.nc"],
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
        ["learn", "bits.csv", "--space", "bits", "--model", "cluster-expansion", "--tie", "uniform", "-o", "p.nc"],
        "--tie describes couplings; leave it out with --model cluster-expansion",
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
def test_mistakes_are_one_line_and_exit_2(name, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for there in files.iterdir():
        (tmp_path / there.name).symlink_to(there)
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.nc")
    elif name == "a pipe as a target":
        pytest.skip("no named pipes on this system")
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
    assert "6 microstates of 40 sites" in caplog.text and "--dims site,draw" in caplog.text
    code, _, err = run(monkeypatch, capsys, *arguments, "--dims", "site,draw")
    assert code == 0, err
    assert hl.load(tmp_path / "p.nc")["posterior"].sizes["site"] == 6


def test_a_result_does_not_go_into_a_folder_that_is_read(tmp_path):
    from hamlearn.cli.keeping import require_target

    (tmp_path / "data.zarr").mkdir()
    with pytest.raises(hl.HamlearnError, match="both read and written"):
        require_target(tmp_path / "data.zarr" / "post.nc", inputs=[tmp_path / "data.zarr"])
