"""Every option of the shell belongs to what was named, or is refused: none is ignored."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import typer.main

import hamlearn as hl
from hamlearn import cli
from hamlearn.cli import learning, verbs
from hamlearn.systems import SAMPLERS

GENERAL = {
    "simulate": {"system", "output", "shape", "beta", "draws", "chains", "sampler", "seed"},
    "learn": {"by", "files", "output", "space", "beta", "likelihood", "engine", "check", "counts", "model", "strict", "stdin", "seed"}
    | {"variable", "dims", "weights", "gaps", "max_gaps", "independent", "flip", "labels", "missing"},
}
VALUES = {  # two values of every option that simulate has of its own
    "q": (4, 5),
    "coupling": (0.5, 0.7),
    "field": (0.1, 0.2),
    "disorder": (1, 2),
    "lam": (3.0, 5.0),
    "mu": (2.0, 2.5),
    "m2": (-2.0, -3.0),
}
OF_LEARN = {"open_boundaries": "--open", "calibrate": "--no-calibrate", "graph": "square", "shape": "3", "tie": "uniform", "fields": "none"}
OF_LEARN |= {
    "prior": "normal",
    "hidden": "2",
    "epochs": "2",
    "window": "2",
    "powers": "2",
    "neighbour": "product",
    "interaction": "ordinal",
    "scores": "0,1",
    "flip_prior": "Beta(1,20)",
}


def parameters(command: str) -> dict[str, str]:
    """How every parameter of a command is spelled."""
    found = typer.main.get_command(verbs.app).commands[command]
    return {one.name: one.opts[0] for one in found.params}


def run(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, arguments)])
    return cli.run(), capsys.readouterr().err


@pytest.mark.parametrize(("command", "owners"), [("simulate", verbs.OF_SYSTEMS), ("learn", learning.OF_MODELS)])
def test_every_option_is_general_or_has_owners(command, owners):
    names = set(parameters(command)) - {"context", "help"}
    assert names == GENERAL[command] | set(owners)


@pytest.mark.parametrize("system", verbs.SYSTEMS)
def test_what_a_system_does_not_have_is_refused_and_what_it_has_is_used(system, tmp_path, monkeypatch, capsys):
    spelled = parameters("simulate")
    shape = "4" if system == "double-well" else "3x3"
    for name, owners in verbs.OF_SYSTEMS.items():
        told = []
        for index, value in enumerate(VALUES[name]):
            target = tmp_path / f"{name}{index}.nc"
            options = ("--shape", shape, "--draws", 4, "--chains", 1, "--beta", 1, spelled[name], value, "-o", target)
            code, err = run(monkeypatch, capsys, "simulate", system, *options)
            if system not in owners:
                assert code == 2 and f"{spelled[name]} describes" in err and not target.exists()
            else:
                assert code == 0, err
                told.append(hl.microstates(target).attrs["system"])
        assert len(set(told)) == len(told)


@pytest.mark.parametrize("model", learning.MODELS)
def test_what_a_model_does_not_have_is_refused(model, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "d.npy", np.random.default_rng(0).choice([-1, 1], size=(50, 3)))
    spelled = parameters("learn")
    for name, owners in learning.OF_MODELS.items():
        if model in owners:
            continue
        option = (OF_LEARN[name],) if OF_LEARN[name].startswith("--") else (spelled[name], OF_LEARN[name])
        code, err = run(monkeypatch, capsys, "learn", tmp_path / "d.npy", "--model", model, *option, "-o", tmp_path / "p.nc")
        assert code == 2 and f"{spelled[name]} describes" in err, (name, err)


def test_the_help_names_every_sampler():
    assert tuple(SAMPLERS) == verbs.SAMPLERS


def test_states_of_columns_are_listed_at_the_shell(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    lines = [f"{rng.choice(['yes', 'no'])},{rng.choice([1, 2, 4])}" for _ in range(60)]
    (tmp_path / "survey.csv").write_text("\n".join(["answer,calm", *lines]))
    learn = ("learn", tmp_path / "survey.csv", "--space", "states", "--no-check", "--engine", "laplace", "-o", tmp_path / "post.nc")
    assert run(monkeypatch, capsys, *learn, "--labels", "answer=yes, no; calm=1,2,3,4")[0] == 0
    assert hl.data.codes_of(hl.load(tmp_path / "post.nc")) == [["yes", "no"], [1, 2, 3, 4]]
    told = {
        "answer=yes,no;1,2": "--labels lists states in their order",
        "yes;no": "--labels lists states in their order",
        "yes,,no": "--labels lists states in their order",
        "calm=low,high": "1 is seen and not among them",
        "lazy=1,2": "names the column 'lazy'",
    }
    for given, message in told.items():
        code, err = run(monkeypatch, capsys, *learn, "--labels", given)
        assert code == 2 and message in err


def test_codes_for_no_answer_are_said_at_the_shell(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    cells = np.where(rng.random((80, 3)) < 0.1, "99", rng.choice(["1", "2", "3"], (80, 3))).astype(object)
    cells[4, 2], cells[5, 1] = "-9", "refused"
    (tmp_path / "survey.csv").write_text("\n".join(["calm,busy,tired", *map(",".join, cells)]))
    learn = ("learn", tmp_path / "survey.csv", "--space", "states", "--no-check", "--engine", "laplace", "-o", tmp_path / "post.nc")
    assert run(monkeypatch, capsys, *learn, "--missing", "calm=99;busy=99,refused;tired=-9,99")[0] == 0
    assert hl.data.codes_of(hl.load(tmp_path / "post.nc")) == [1, 2, 3]
    for given, message in {"99": "'refused', among numbers", "calm=": "--missing lists codes", "lazy=9": "names the column 'lazy'"}.items():
        code, err = run(monkeypatch, capsys, *learn, "--missing", given)
        assert code == 2 and message in err
