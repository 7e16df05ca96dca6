"""What ``learn`` says of couplings and of readings at the shell is what the model of the same words says in Python."""

from __future__ import annotations

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
