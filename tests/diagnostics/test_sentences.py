"""Codes are decided by, sentences are only shown: every code has one, and no judge reads any."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posteriors import doctored

import hamlearn as hl
from hamlearn.diagnostics import sentences
from hamlearn.diagnostics.verdict import weigh
from hamlearn.errors import HamlearnError
from hamlearn.infer import shares
from hamlearn.infer.provenance import BASES, Basis, Noted, Provenance
from hamlearn.infer.upgrades import upgraded
from hamlearn.page import tables

PACKAGE = Path(hl.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_every_code_that_is_used_has_a_sentence_and_every_sentence_a_code_that_is_used():
    named = {code for text in SOURCES.values() for code in re.findall(r'(?:\bfound|\bNoted)\(\s*"([^"]+)"', text)} - {"told"}
    judges = "".join(text for name, text in SOURCES.items() if not name.endswith("sentences.py"))
    assert named <= set(sentences.SENTENCES), named - set(sentences.SENTENCES)
    assert not [code for code in sentences.SENTENCES if f'"{code}"' not in judges]


def test_every_basis_has_words():
    from hamlearn.diagnostics.wording import basis

    numbers = {"batches": 9, "kind": "rows", "composite": True, "tau": 2.0, "shrinkage": 0.1, "factor": 1.5, "count": 2, "n_params": 3}
    numbers["worth"] = 60.0
    texts = [basis(Basis(code, numbers)) for code in BASES]
    assert len(set(texts)) == len(BASES) and all(text or code == "told" for code, text in zip(BASES, texts, strict=True))


def test_the_verdict_reads_no_sentence():
    """Severities are the same whatever the words are."""
    made = doctored(calibration__tau=4.0, calibration__ess=1250.0, calibration__kind="batches", calibration__batches=100)
    noted = Noted("told", "caution", "fit", what="nearly separable (calibrate=False): a stranger's words")
    reworded = replace(
        made, findings=(noted,), calibration=replace(made.calibration, basis=Basis("told", words="separable calibrate=False"))
    )
    plain = replace(made, findings=(replace(noted, what="x"),), calibration=replace(made.calibration, basis=Basis("told", words="y")))
    assert [(one.severity, one.code) for one in weigh(reworded).reasons] == [(one.severity, one.code) for one in weigh(plain).reasons]
    for name in ("diagnostics/verdict.py", "diagnostics/trainings.py"):
        assert not re.search(
            r"\.(startswith|endswith|find|split)\(|in str\(|\.what\b.*\bin\b|\bin\b.*\.(what|words|reason)\b", SOURCES[name]
        )


def test_provenance_is_the_same_through_json():
    made = doctored(check__width_ratio=1.5, convergence__divergences=3)
    assert repr(Provenance.from_json(made.to_json())) == repr(made)  # nan is not equal to itself


def test_what_an_earlier_version_decided_by_words_is_decided_by_codes():
    old = {
        "likelihood": "pseudo",
        "composite": True,
        "engine": {"name": "nuts", "draws": 10},
        "n_params": 3,
        "microstates": 100.0,
        "optimum": {"converged": True},
        "calibration": {"adjusted": False, "note": "not calibrated: the data are (nearly) separable", "tau": 1.0, "ess": 100.0},
        "identifiability": {"data_per_parameter": 50.0},
        "source": [{}],
        "reasons": [],
        "findings": [{"severity": "note", "topic": "fit", "what": "as it was said", "advice": ""}],
        "held_out_error": [0.1],
    }
    made = upgraded(old)
    assert made.calibration.basis.code == "separable" and made.engine.settings == {"draws": 10} and made.more == {"held_out_error": [0.1]}
    found = weigh(made)
    assert found.level == "do not believe" and "as it was said" in [one.what for one in found.reasons]
    off = upgraded({**old, "calibration": {**old["calibration"], "note": "not calibrated (calibrate=False)"}})
    assert off.calibration.basis.code == "off"


@pytest.mark.parametrize("change", [{"code": "nobody knows"}, {"numbers": {}}])
def test_a_finding_changed_by_hand_is_one_error(change):
    noted = replace(Noted("weak couplings", "note", "identifiability", {"low": 0.1, "high": 0.2}), **change)
    with pytest.raises(HamlearnError, match="finding"):
        weigh(replace(doctored(), findings=(noted,)))


@pytest.mark.parametrize(
    ("entries", "red"),
    [
        ({}, set()),
        ({"max_mcse_over_sd": 0.3, "saturated": 3}, set()),  # weighed as ESS, and too few to weigh
        ({"min_ess_tail": 50.0}, {"smallest tail ESS"}),
        ({"max_rhat": 1.2, "divergences": 5}, {"largest R-hat", "divergences"}),
        ({"saturated": 400}, {"saturated trajectories"}),
    ],
)
def test_the_page_is_red_only_where_the_verdict_weighed_something(entries, red):
    made = doctored(**{f"convergence__{name}": value for name, value in entries.items()})
    found = weigh(made)
    rows = list(tables.convergence(made, found).rows())
    assert {row.cells[0] for row in rows if row.bad} == red
    assert bool(red) == (found.level != "believe")


def test_one_rule_for_one_share():
    values = np.array([0.05, 0.3, 0.7, np.nan])
    assert shares.trusted(values).tolist() == [False, False, True, False]
    assert [shares.severity(float(value)) for value in values[:3]] == ["serious", "caution", "note"]
    told = shares.warning(np.array([1.0, 2.0, 3.0, 4.0]), values)
    assert told == (
        "do not trust beta = 1: the predicted effective share is below 0.1; "
        "rely with caution on beta = 2: the predicted effective share is below 0.5"
    )
    levels = [weigh(doctored(likelihood="variational", training={"ess_q": [share], "target": "x"})).level for share in (0.05, 0.3, 0.7)]
    assert levels == ["do not believe", "caution", "believe"]


def test_numbers_of_equal_rows_have_no_digits_of_nothing():
    few, some = (sentences._equal({"flips": 0, "pairs": 12.0, "expected": expected}) for expected in (4.55e-13, 3.2))
    assert few.endswith("expect fewer than 0.01") and some.endswith("expect 3.2")
