"""Words of tables are states: known pairs and any two words for spins, letters for q states, told and kept."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest

import hamlearn as hl
from hamlearn.data import codes_of, split_by_beta
from hamlearn.errors import HamlearnError

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 2, (40, 4))


def table(*words, names="abcd", values=BITS):
    return pd.DataFrame(np.array(words)[values], columns=list(names[: values.shape[1]]))


# word for −1, word for +1; see below for truth
PAIRS = [
    ("no", "yes"),
    ("N", "Y"),
    ("F", "T"),
    ("down", "up"),
    ("-", "+"),
    ("a", "b"),
    ("cat", "dog"),
    ("against", "for"),
]


@pytest.mark.parametrize(("low", "high"), PAIRS)
def test_two_words_are_spins_and_a_line_says_how(low, high, caplog, tmp_path):
    table(low, high).to_csv(tmp_path / "votes.csv", index=False)
    with caplog.at_level(logging.INFO, "hamlearn"):
        data = hl.microstates(tmp_path / "votes.csv")
    np.testing.assert_array_equal(data["state"].values[0], 2 * BITS - 1)
    assert data["state"].dtype == np.int8 and codes_of(data) == [low, high]
    assert f"{low!r} was read as −1, {high!r} as +1" in caplog.text
    bits = hl.microstates(table(low, high), space="bits")
    np.testing.assert_array_equal(bits["state"], data["state"])
    turned = hl.microstates(table(low, high), labels=[high, low])
    np.testing.assert_array_equal(turned["state"], -data["state"])


def test_truth_is_up(tmp_path):
    truth = BITS.astype(bool)
    table("false", "true").to_csv(tmp_path / "votes.csv", index=False)
    for source in pd.DataFrame(truth), tmp_path / "votes.csv":
        data = hl.microstates(source)
        np.testing.assert_array_equal(data["state"].values[0], 2 * BITS - 1)
        assert codes_of(data) == ["False", "True"]


def test_letters_are_states_in_their_order():
    letters = RNG.integers(0, 4, (60, 3))
    data = hl.microstates(table(*"ACGT", values=letters), space="states")
    np.testing.assert_array_equal(data["state"].values[0], letters)
    assert codes_of(data) == list("ACGT") and data.attrs["q"] == 4
    ordered = hl.microstates(table(*"ACGT", values=letters), space="states", labels=list("TGCA"))
    np.testing.assert_array_equal(ordered["state"].values[0], 3 - letters)


def test_files_that_lack_letters_get_those_of_all(tmp_path):
    first = hl.microstates(table(*"AC", values=BITS), space="states")
    second = hl.microstates(table(*"BC", values=BITS), space="states")
    joined = split_by_beta([hl.microstates(hl.save(first, tmp_path / "first.nc")), second])
    assert [codes_of(part) for part in joined] == [list("ABC")] * 2
    np.testing.assert_array_equal(joined[0]["state"].values[0], np.array([0, 2])[BITS])
    np.testing.assert_array_equal(joined[1]["state"].values[0], np.array([1, 2])[BITS])


MISTAKES = {
    "three words": (lambda: hl.microstates(table("a", "b", "c", values=RNG.integers(0, 3, (40, 4)))), "spins have two values"),
    "other columns": (
        lambda: hl.microstates(pd.concat([table("no", "yes"), table("up", "down", names="efgh")], axis=1)),
        r"columns of .* have different words: 'a' 'no', 'yes', 'e' 'down', 'up'",
    ),
    "numbers beside": (
        lambda: hl.microstates(table("no", "yes").assign(age=np.arange(40) % 7)),
        r"text in column 'a', 'no', and numbers in",
    ),
    "one word": (lambda: hl.microstates(table("x", "x")), "nothing but 'x'"),
    "order lacks one": (lambda: hl.microstates(table("no", "yes"), labels=["no", "maybe"]), "'yes' is not among them"),
    "order of numbers": (lambda: hl.microstates(2 * BITS - 1, labels=["no", "yes"]), "these states are numbers"),
    "truth of an array": (lambda: hl.microstates(BITS.astype(bool)), "space='bits'"),
    "bits undeclared": (lambda: hl.microstates(BITS), "space='bits'"),
    "sets of other words": (
        lambda: split_by_beta([hl.microstates(table("no", "yes")), hl.microstates(table("down", "up"))]),
        "different words: 'down', 'up' and 'no', 'yes'",
    ),
    "letters and numbers": (
        lambda: split_by_beta([hl.microstates(table(*"AC"), space="states"), hl.microstates(BITS, space="states")]),
        "different words",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    made, message = MISTAKES[mistake]
    with pytest.raises(HamlearnError, match=message):
        made()


def test_missing_cells_among_words():
    votes = table("no", "yes").astype(object)
    votes.iloc[3, 1] = None
    data = hl.microstates(votes)
    assert hl.data.missing(data).sum() == 1 and hl.data.missing(data)[0, 3, 1]


def test_verdict_and_page_speak_of_words(tmp_path):
    letters = RNG.integers(0, 3, (400, 3))
    letters[letters[:, 0] == 2, 0] = 1  # 'C' is never seen at the first site
    data = hl.microstates(table(*"ABC", names=["x", "y", "z"], values=letters), space="states", independent=True, labels=[*"ABC"])
    post = hl.learn(data, hl.models.Couplings([("x", "y"), ("y", "z")]), engine="laplace", seed=0)
    assert "'C' at site x" in str(hl.verdict(post))
    page = hl.report(post, tmp_path / "page.html").read_text()
    assert "3 states, 0 (A), 1 (B), 2 (C)" in page and "z, state C" in page and "y – z (B, C)" in page
    assert {"h[z](C)", "J[y, z](B, C)"} <= set(hl.diagnostics.summary(post).index)
    assert json.loads(post.attrs["codes"]) == list("ABC")
