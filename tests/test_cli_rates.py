"""Readout errors at the shell: what files of rates hold, and how priors of unknown rates are said."""

from __future__ import annotations

import sys

import numpy as np
import numpyro.distributions as dist
import pytest

import hamlearn as hl
from hamlearn import cli
from hamlearn.cli.rates import read_flip, read_flip_prior
from hamlearn.data import flips
from hamlearn.errors import HamlearnError

NAMES = ["anna", "ben", "eve"]
DATA = hl.microstates(np.random.default_rng(0).choice([-1, 1], (40, 3)), names=NAMES)
FILES = {  # what a file holds, and how often the lower and the upper value of every site are then misread
    "a rate": ("r.json", "0.1", [[0.1, 0.1]] * 3),
    "rates": ("r.json", "[0.1, 0, 0.2]", [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "rates by name": ("r.json", '{"eve": 0.2, "anna": 0.1}', [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "a matrix": ("r.json", "[[0.9, 0.1], [0.3, 0.7]]", [[0.1, 0.3]] * 3),
    "matrices by name": ("r.json", '{"ben": [[0.9, 0.1], [0.3, 0.7]], "eve": 0.2}', [[0, 0], [0.1, 0.3], [0.2, 0.2]]),
    "matrices": ("r.json", "[[[1, 0], [0.3, 0.7]], [[1, 0], [0, 1]], [[0.9, 0.1], [0, 1]]]", [[0, 0.3], [0, 0], [0.1, 0]]),
    "a table of a matrix": ("r.csv", "0.9,0.1\n0.3,0.7\n", [[0.1, 0.3]] * 3),
    "a table of rates": ("r.txt", "0.1\n0\n0.2\n", [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "a row of rates": ("r.csv", "0.1,0,0.2\n", [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "a table by name": ("r.csv", "site,rate\neve,0.2\nanna,0.1\n", [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "names without a header": ("r.tsv", "ben\t0.1\neve\t0.2\n", [[0, 0], [0.1, 0.1], [0.2, 0.2]]),
    "a continental table": ("r.csv", "site;rate\nben;0,1\neve;0,2\n", [[0, 0], [0.1, 0.1], [0.2, 0.2]]),
    "by direction": ("r.csv", "site,0 read 1,1 read 0\nben,0.1,0.3\neve,0,0.2\n", [[0, 0], [0.1, 0.3], [0, 0.2]]),
}


@pytest.mark.parametrize("what", FILES)
def test_files_hold_rates_and_matrices(what, tmp_path):
    name, text, expected = FILES[what]
    (tmp_path / name).write_text(text)
    found = flips(hl.microstates(DATA, flip=read_flip(str(tmp_path / name))))
    np.testing.assert_allclose(found[:, [0, 1], [1, 0]], expected, atol=1e-15)


def test_an_array_is_read_as_it_is(tmp_path):
    matrices = np.stack([np.eye(2), [[0.9, 0.1], [0.3, 0.7]], np.eye(2)])
    np.save(tmp_path / "r.npy", matrices)
    np.testing.assert_allclose(flips(hl.microstates(DATA, flip=read_flip(str(tmp_path / "r.npy")))), matrices)


def test_priors_are_distributions_of_numpyro():
    told = lambda found: [
        (type(one).__name__, float(one.concentration1), float(one.concentration0)) for one in (prior.distribution for prior in found)
    ]
    a, b, c = ("Beta", 1, 20), ("Beta", 2, 60), ("Beta", 1, 9)
    assert told([read_flip_prior("Beta(1, 20)", DATA)]) == [a]
    assert told([read_flip_prior("Beta(concentration0=20, concentration1=1)", DATA)]) == [a]
    assert told(read_flip_prior("Beta(1,20) per site", DATA)) == [a] * 3
    assert told(read_flip_prior("Beta(1,20); Beta(2,60); Beta(1,9)", DATA)) == [a, b, c]
    assert told(read_flip_prior("eve=Beta(1,9); ben = Beta(2,60); anna=Beta(1,20)", DATA)) == [a, b, c]
    assert told(read_flip_prior("eve=Beta(1,concentration0=9);ben=Beta(2,60);anna=Beta(1,20)", DATA)) == [a, b, c]
    assert float(read_flip_prior("HalfNormal(0.05)", DATA).distribution.scale) == pytest.approx(0.05)
    assert read_flip_prior(None, DATA) is None


PRIORS = {
    "a number": ("0.02", "such as 'Beta(1,20)'"),
    "a call of something": ("Beta(1,20).sample()", "such as 'Beta(1,20)'"),
    "words in it": ("Beta(a,b)", "such as 'Beta(1,20)'"),
    "an unknown one": ("Betta(1,20)", "NumPyro has no distribution 'Betta'. Did you mean Beta?"),
    "what is none of them": ("__import__(1)", "such as 'Beta(1,20)'"),
    "a module of NumPyro's": ("constraints(1)", "no distribution 'constraints'"),
    "numbers below zero": ("Beta(-1,20)", "Beta(-1, 20) is no distribution: Beta distribution got invalid concentration1"),
    "too few numbers": ("Beta(1)", "Beta(1) is no distribution: "),
    "another parameter": ("Beta(1,20,scale=2)", "is no distribution"),
    "a name of nobody": ("anna=Beta(1,20);bob=Beta(1,20)", "'bob' is in one of them alone"),
    "one of three": ("anna=Beta(1,20)", "'ben' is in one of them alone"),
    "a name twice": ("anna=Beta(1,20);anna=Beta(1,20)", "--flip-prior gives 'anna' more than one rate"),
    "nothing": ("", "such as 'Beta(1,20)'"),
}


@pytest.mark.parametrize("what", PRIORS)
def test_priors_that_are_none_are_refused_in_one_line(what):
    text, message = PRIORS[what]
    with pytest.raises(HamlearnError) as caught:
        read_flip_prior(text, DATA)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """``learn`` with options on 3×3 spins in ``spins.nc``: exit code, standard error and where the posterior is."""
    monkeypatch.chdir(tmp_path)
    world = hl.systems.EdwardsAnderson((3, 3), seed=1)
    hl.storage.write_dataset(hl.simulate(world, beta=0.6, draws=800, chains=1, seed=0, sampler="exact"), tmp_path / "spins.nc")

    def run(*options):
        post = tmp_path / "post.nc"
        given = ("learn", "spins.nc", "--graph", "square", "--no-check", *options, "-o", post)
        monkeypatch.setattr(sys, "argv", ["hamlearn", *map(str, given)])
        code = cli.run()
        return code, capsys.readouterr().err, post

    return run


@pytest.mark.parametrize(("option", "prior"), [("Beta(1,20)", dist.Beta(1, 20)), ("Beta(1,20) per site", [dist.Beta(1, 20)] * 9)])
def test_an_unknown_rate_is_learned_as_in_python(option, prior, shell):
    code, err, post = shell("--flip-prior", option)
    assert code == 0, err
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), flip=prior)
    expected = hl.learn(hl.microstates("spins.nc"), model, check=False)["posterior"]["flip"]
    found = hl.load(post)["posterior"]["flip"]
    assert found.dims == expected.dims
    np.testing.assert_allclose(found.values, expected.values)


MISTAKES = {
    "a prior that is none": (("--flip-prior", "0.02"), "--flip-prior is a distribution of NumPyro"),
    "whole numbers": (("--flip-prior", "Poisson(1)"), "a prior is of a real number; Poisson is a distribution of whole numbers"),
    "ends the other way round": (
        ("--flip-prior", "Uniform(0.2,0.1)"),
        "Uniform from 0.2 to 0.1 allows no number: give the lower end first",
    ),
    "other sites": (("--flip-prior", "Beta(1,20);Beta(1,20)"), "got 2 for 9 sites"),
    "both": (("--flip", "0.02", "--flip-prior", "Beta(1,20)"), "leave one of them out"),
    "no such file": (("--flip", "nothing.json"), "no such file: nothing.json"),
    "no JSON": (("--flip", "bad.json"), "bad.json is no JSON"),
    "words": (("--flip", "words.json"), "rates are numbers, lists of numbers"),
    "words in lists": (("--flip", "deep.json"), "got ['often'"),
    "a name twice": (("--flip", "twice.json"), "twice.json gives 'a' more than one rate"),
    "a bottomless list": (("--flip", "bottomless.json"), "cannot read bottomless.json"),
    "a header over numbers": (("--flip", "header.csv"), "this one has a header (site, rate) over numbers alone"),
    "empty cells": (("--flip", "gaps.csv"), "cells of this one are empty"),
    "four columns": (("--flip", "four.csv"), "the lines of this one are none of these"),
    "names of other sites": (("--flip", "names.csv"), "'anna', which is no name of these sites"),
    "a matrix of others": (("--flip", "four.npy"), "matrices of 4 values for sites that have 2"),
    "a folder": (("--flip", "folder.json"), "cannot read folder.json"),
    "an array that is none": (("--flip", "bad.npy"), "cannot read"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_one_line_and_exit_2(what, shell, tmp_path):
    files = {"bad.json": "{0.1", "words.json": '"often"', "deep.json": '["often", 0.1]', "twice.json": '{"a": 0.1, "a": 0.2}'}
    files |= {"bottomless.json": "[" * 100_000, "header.csv": "site,rate\n0,0.1\n1,0.1\n", "gaps.csv": "anna,0.1\nben,\n"}
    files |= {"four.csv": "anna,0.1,0.2,0.3\nben,0.1,0.2,0.3\n", "names.csv": "anna,0.1\nben,0.2\n", "bad.npy": "no array"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder.json").mkdir()
    np.save("four.npy", np.eye(4))
    options, message = MISTAKES[what]
    code, err, post = shell(*options)
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and message in line and "Traceback" not in err and not post.exists(), line


def test_a_file_of_rates_is_not_replaced_by_what_is_learned(shell, tmp_path):
    (tmp_path / "rates.json").write_text("0.02")
    (tmp_path / "post.nc").symlink_to(tmp_path / "rates.json")
    code, err, _ = shell("--flip", "rates.json")
    assert code == 2 and "both read and written" in err and (tmp_path / "rates.json").read_text() == "0.02"
