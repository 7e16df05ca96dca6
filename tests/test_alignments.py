"""Alignments: what letters become, what is left out and told, and how near copies share a weight."""

from __future__ import annotations

import gzip
import logging

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import storage
from hamlearn.errors import HamlearnError

PROTEIN = ">one\nACDEFGH-IK\n>two some words\nACDEF\nGHYIK\n\n>three\nacdxfgh-ib\n"
STOCKHOLM = """# STOCKHOLM 1.0
#=GF ID hairpin
a/1-8   GG.CAAu
b/2-9   GC.CAAa
#=GC SS (..)

a/1-8   C-
b/2-9   CN
//
"""


def read(tmp_path, name, text, **rules):
    (tmp_path / name).write_text(text)
    return storage.read_states(str(tmp_path / name), **rules)


def test_letters_of_proteins_become_states_in_a_fixed_order(tmp_path, caplog):
    caplog.set_level(logging.INFO, "hamlearn")
    found = read(tmp_path, "a.fasta", PROTEIN)
    order = "-ACDEFGHIKLMNPQRSTVWY"
    rows = ["ACDEFGH-IK", "ACDEFGHYIK", "ACD-FGH-I-"]
    assert found.values.tolist() == [[order.index(letter) for letter in row] for row in rows]
    assert (found.q, found.space, found.names) == (21, "states", tuple(str(k) for k in range(1, 11)))
    assert "2 letters that stand for several or rare ones (XB) are read as gaps" in caplog.text
    assert "3 sequences of protein, 10 columns" in caplog.text
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(PROTEIN.encode()))
    data = hl.microstates(tmp_path / "a.fa.gz")
    assert np.array_equal(data["state"].values[0], found.values) and data.attrs["q"] == 21 and "codes" not in data.attrs
    assert data.attrs["independent"] == 1, "sequences have no order"


def test_gaps_are_a_state_or_missing_and_columns_of_many_are_left_out(tmp_path):
    found = read(tmp_path, "a.fasta", PROTEIN, gaps="missing", max_gaps=0.5)
    assert found.names == ("1", "2", "3", "4", "5", "6", "7", "9", "10") and found.q == 20
    assert found.missing.tolist() == [[False] * 9, [False] * 9, [False, False, False, True, False, False, False, False, True]]
    assert found.values[0].tolist() == ["ACDEFGHIKLMNPQRSTVWY".index(letter) for letter in "ACDEFGHIK"]
    data = hl.microstates(tmp_path / "a.fasta", gaps="missing", max_gaps=0.5)
    assert int(hl.data.missing(data).sum()) == 2 and data["site"].values.tolist()[-2:] == ["9", "10"]


def test_stockholm_blocks_are_joined_and_nucleic_letters_guessed(tmp_path, caplog):
    caplog.set_level(logging.INFO, "hamlearn")
    found = read(tmp_path, "a.sto", STOCKHOLM)
    assert found.values.tolist() == [["-ACGU".index(letter) for letter in row] for row in ("GGCAAC-", "GCCAAC-")] and found.q == 5
    assert found.names == ("1", "2", "4", "5", "6", "8", "9")
    assert "2 of 9 columns are insertions" in caplog.text and "sequences of RNA" in caplog.text
    dna = read(tmp_path, "d.fasta", ">a\nACGT\n>b\nAC-T\n")
    assert dna.values.tolist() == [[1, 2, 3, 4], [1, 2, 0, 4]]


def test_insertions_of_a3m_are_left_out(tmp_path):
    found = read(tmp_path, "a.a3m", ">a\nACDWYab\n>b\nA-cDWY\n>c\nACDWY\n")
    assert found.values.shape == (3, 5) and found.values[1].tolist() == ["-ACDEFGHIKLMNPQRSTVWY".index(letter) for letter in "A-DWY"]


MISTAKES = {
    "ragged": ("a.fasta", ">a\nACDW\n>b\nACD\n>c\nACDW\n", "is ragged: sequence 2, 'b', has 3 letters, and most have 4"),
    "empty": ("a.fasta", ">a\n>b\n", "holds names and no sequences"),
    "nothing": ("a.fasta", "", "is empty"),
    "a table": ("a.fasta", "1,2\n", "is no FASTA file"),
    "odd letters": ("a.fasta", ">a\nACW1\n>b\nACWW\n", "holds '1' in sequence 1, 'a', column 4"),
    "no Stockholm": ("a.sto", "a ACGU\n", "is no Stockholm file"),
    "only headers": ("a.sto", "# STOCKHOLM 1.0\n//\n", "holds no sequences"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_no_alignment_is_a_sentence(tmp_path, name):
    file, text, message = MISTAKES[name]
    (tmp_path / file).write_text(text)
    with pytest.raises(HamlearnError, match=message):
        hl.microstates(tmp_path / file)


def test_rules_of_gaps_are_those_of_alignments(tmp_path):
    (tmp_path / "a.fasta").write_text(PROTEIN)
    (tmp_path / "a.csv").write_text("1,-1\n1,1\n")
    for source, options, message in (
        (tmp_path / "a.csv", {"gaps": "missing"}, "are of alignments"),
        ([[1, -1]], {"max_gaps": 0.5}, "leave them out with an array"),
        (tmp_path / "a.fasta", {"gaps": "states"}, "gaps must be one of 'state', 'missing'"),
        (tmp_path / "a.fasta", {"max_gaps": 2}, "max_gaps is a share"),
        (tmp_path / "a.fasta", {"max_gaps": 0.0, "weights": "likeness"}, "must be one of 'identity'"),
    ):
        with pytest.raises(HamlearnError, match=message):
            hl.microstates(source, **options)


@pytest.mark.parametrize(("sites", "q", "identity"), [(7, 2, 0.8), (64, 21, 0.8), (130, 5, 0.6), (10, 3, 1.0), (5, 3, 0.8)])
def test_near_copies_share_a_weight(sites, q, identity):
    rng = np.random.default_rng(sites)
    rows = rng.integers(0, q, (40, sites))[rng.integers(0, 40, 600)]
    rows = np.where(rng.random(rows.shape) < 0.1, rng.integers(0, q, rows.shape), rows)
    equal = (rows[:, None] == rows[None]).sum(-1)
    expected = 1 / (equal >= identity * sites - 1e-12).sum(1)
    assert np.array_equal(hl.data.sequence_weights(rows, identity), expected) and 1 < expected.sum() < 600
    if identity == 0.8:
        data = hl.microstates(rows, "states", q=q, weights="identity")
        np.testing.assert_allclose(data["weight"].values[0], expected)


def test_a_share_of_positions_is_one():
    for identity in (0, 1.5, "high"):
        with pytest.raises(HamlearnError, match="identity"):
            hl.data.sequence_weights([[1, 0]], identity)
    with pytest.raises(HamlearnError, match="whole numbers"):
        hl.data.sequence_weights([[0.5, 1.0]])


@pytest.mark.skipif(not hl.datasets.available("protein"), reason="the protein family is not at hand")
def test_weights_of_a_protein_family_are_the_published_ones():
    data = hl.datasets.protein()
    assert round(hl.data.sequence_weights(data).sum()) == 4364
    # its owners count copies that differ in fewer than 10 positions: 44 of 53 agree
    np.testing.assert_allclose(hl.data.sequence_weights(data, 44 / 53), data["weight"].values[0], rtol=1e-12)
