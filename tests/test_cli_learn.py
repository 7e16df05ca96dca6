"""What ``learn`` says of couplings and of readings at the shell is what the model of the same words says in Python."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import cli
from statistics_budget import assert_within

SIZES, NAMES = (2, 4, 3), ["smoker", "calm", "school"]
ENDS, STRENGTHS = [(0, 1), (1, 2), (0, 2)], [0.8, -0.9, 0.5]


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A table of 1500 answers: words of which the alphabet knows the order, and numbers from 1 to 4."""
    world = hl.systems.Ordinal(hl.systems.lattice.graph(ENDS, 3), SIZES, STRENGTHS)
    rows = hl.simulate(world, beta=1.0, draws=1500, chains=1, seed=3, sampler="exact")["state"].values[0]
    words = [["no", "yes"], ["1", "2", "3", "4"], ["long", "middle", "short"]]
    path = tmp_path_factory.mktemp("survey") / "survey.csv"
    path.write_text("\n".join([",".join(NAMES), *(",".join(w[s] for w, s in zip(words, row, strict=True)) for row in rows)]))
    return path


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """``learn`` with options on a file: exit code, standard error and where the posterior is."""

    def run(file, *options):
        post = tmp_path / "post.nc"
        given = ("learn", file, "--engine", "laplace", "--no-check", *options, "-o", post)
        monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, given)])
        code = cli.run()
        return code, capsys.readouterr().err, post

    return run


ORDERS = {
    "equal steps": ((), {}),
    "names": (("--scores", "calm=0,1,2,6;school=-1,0,3"), {"scores": [[], [0, 1, 2, 6], [-1, 0, 3]]}),
    "rows of sites": (("--scores", "0,1;0,1,2,6;-1,0,3"), {"scores": [[0, 1], [0, 1, 2, 6], [-1, 0, 3]]}),
    "a first number below zero": (("--scores", "-1,1;0,1,2,6;-1,0,3"), {"scores": [[-1, 1], [0, 1, 2, 6], [-1, 0, 3]]}),
}


@pytest.mark.parametrize("order", ORDERS)
def test_ordered_answers_have_one_coupling_a_pair(order, survey, shell):
    options, settings = ORDERS[order]
    states = ("--space", "states", "--independent", "--interaction", "ordinal")
    code, err, post = shell(survey, *states, *options)
    assert code == 0, err
    data = hl.microstates(survey, space="states", independent=True)
    expected = hl.learn(data, hl.models.Couplings(interaction="ordinal", **settings), engine="laplace", check=False)
    found = hl.load(post)["posterior"]["J"]
    np.testing.assert_allclose(found.values, expected["posterior"]["J"].values)
    assert found.sizes["bond"] == 3 and found.ndim == 3
    if not settings:
        draws, truth = ("chain", "draw"), np.array(STRENGTHS)[[0, 2, 1]]  # pairs in the order (0, 1), (0, 2), (1, 2)
        assert_within(found.mean(draws).values, truth, found.std(draws).values)


MISTAKES = {
    "an interaction that is none": (("--interaction", "ordinl"), "Did you mean 'ordinal'"),
    "an interaction of others": (("--interaction", "xy"), "interaction='xy' does not fit"),
    "scores of no order": (("--scores", "0,1"), "scores= are of ordered states, interaction='ordinal'"),
    "scores that are none": (("--interaction", "ordinal", "--scores", "low,high"), "--scores lists what states count, such as 0,1,3"),
    "scores of nobody": (("--interaction", "ordinal", "--scores", "=0,1;calm=0,1,2,3"), "--scores lists what states count"),
    "scores twice": (("--interaction", "ordinal", "--scores", "calm=0,1,2,3;calm=0,1,2,4"), "--scores lists what states count"),
    "scores of another column": (
        ("--interaction", "ordinal", "--scores", "clam=0,1,2,3"),
        "'clam', which is no column of these data: smoker",
    ),
    "scores of other numbers of states": (("--interaction", "ordinal", "--scores", "0,1,2"), "scores"),
    "scores as several arguments": (("--interaction", "ordinal", "--scores", "0", "1", "2"), "one argument here: --scores 0,1,2"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_and_exit_2(name, survey, shell):
    options, message = MISTAKES[name]
    code, err, post = shell(survey, "--space", "states", *options)
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and message in line and "Traceback" not in err and not post.exists(), line


def at_the_shell(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, arguments)])
    code = cli.run()
    return code, capsys.readouterr()


def test_machines_are_learned_and_audited(tmp_path, monkeypatch, capsys):
    """The machine of the same words in Python, with as many hidden units, of spins and of fields; one of spins is audited."""
    states = hl.systems.exact.sample(hl.systems.Ising((2, 2)), 0.4, 300, seed=0)
    spins, fields = tmp_path / "spins.npy", tmp_path / "fields.npy"
    np.save(spins, states)
    np.save(fields, np.random.default_rng(0).normal(size=(300, 3)))
    given = {"spins": (spins, "rbm", ("--beta", 0.4)), "reals": (fields, "gaussian-rbm", ())}
    models = {"spins": hl.models.RBM(hidden=3), "reals": hl.models.GaussianRBM(hidden=2)}
    for space, (file, name, more) in given.items():
        model, post = models[space], tmp_path / f"{name}.nc"
        options = ("--space", space, "--independent", "--no-check", "--model", name, "--hidden", model.hidden, *more, "-o", post)
        code, said = at_the_shell(monkeypatch, capsys, "learn", file, *options)
        assert code == 0, said.err
        data = hl.microstates(file, space=space, independent=True, **({"beta": 0.4} if more else {}))
        expected = hl.learn(data, model, check=False)
        found = hl.load(post)
        assert hl.models.from_dict(json.loads(found.attrs["model"])) == model
        shown = data["state"].values[0][:5]
        np.testing.assert_allclose(hl.log_prob(found, shown), hl.log_prob(expected, shown))
    audited = ("--reference", spins, "--space", "spins", "--independent", "--json", "--beta", 0.4)
    code, said = at_the_shell(monkeypatch, capsys, "audit", tmp_path / "rbm.nc", *audited)
    assert code == 0 and json.loads(said.out)["how"]["reference"] == "300 rows", said.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "rbn"), "--model must be one of"),
        (("--model", "rbm", "--hidden", "0"), "hidden"),
        (("--hidden", "4"), "--hidden describes rbm and gaussian-rbm"),
        (("--model", "rbm", "--hidden", "4", "--window", "2"), "--window describes"),
        (("--model", "rbm", "--no-calibrate"), "--calibrate describes"),
        (("--model", "rbm", "--engine", "gibbs"), "engine must be"),
        (("--model", "rbm", "--likelihood", "pseudo"), "likelihood"),
        (
            (
                "--model",
                "gaussian-rbm",
            ),
            "visible real numbers; got spins",
        ),
    ],
)
def test_what_is_no_machine_is_one_line(options, message, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "d.npy", np.random.default_rng(0).choice([-1, 1], size=(50, 3)))
    code, said = at_the_shell(monkeypatch, capsys, "learn", tmp_path / "d.npy", "--space", "spins", *options, "-o", tmp_path / "p.nc")
    assert code == 2 and message in said.err and "Traceback" not in said.err and not (tmp_path / "p.nc").exists()
