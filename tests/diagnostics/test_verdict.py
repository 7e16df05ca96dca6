"""The verdict: every finding appears when its number is bad, and only then."""

from __future__ import annotations

import copy

import pytest
from posteriors import CASES, doctored, posterior, shares

import hamlearn as hl
from hamlearn.diagnostics.verdict import verdict, weigh
from hamlearn.infer import posteriors

OFF = {"code": "off", "numbers": {"composite": True}}

# change to a flawless record → level it leads to, words the finding must contain
FINDINGS = {
    "R-hat": ({"convergence__max_rhat": 1.02}, "caution", ("R-hat is 1.020", "J[0,1]")),
    "R-hat, badly": ({"convergence__max_rhat": 1.2}, "do not believe", ("R-hat is 1.200",)),
    "one chain": ({"convergence__chains": 1}, "caution", ("one chain (R-hat of its halves 1.002)", "another would find the same")),
    "bulk ESS": ({"convergence__min_ess_bulk": 300.0}, "caution", ("300", "J[0,1]")),
    "tail ESS": ({"convergence__min_ess_tail": 50.0}, "do not believe", ("50", "h[3]")),
    "a divergence": ({"convergence__divergences": 3}, "caution", ("3 of 4000",)),
    "divergences": ({"convergence__divergences": 400}, "do not believe", ("400 of 4000",)),
    "depth": ({"convergence__saturated": 100}, "caution", ("depth limit",)),
    "not recorded": ({"convergence": None}, "caution", ("convergence was not recorded",)),
    "no calibration": (
        {"calibration__adjusted": False, "calibration__basis": OFF, "calibration__width_ratio": None},
        "caution",
        ("too small by about 1.4",),
    ),
    "separable": (
        {"calibration__adjusted": False, "calibration__basis": {"code": "separable"}},
        "do not believe",
        ("separable",),
    ),
    "separable, exact": (
        {"composite": False, "calibration__adjusted": False, "calibration__basis": {"code": "separable"}},
        "caution",
        ("separable",),
    ),
    "exact, not calibrated": (
        {
            "composite": False,
            "calibration__adjusted": False,
            "calibration__basis": {"code": "off", "numbers": {"composite": False}},
            "source": [{"tau_int": 7.0}],
        },
        "caution",
        ("independent without a test",),
    ),
    "few batches": (
        {"calibration__tau": 30.0, "calibration__batches": 9, "calibration__kind": "too few batches", "calibration__ess": 160.0},
        "caution",
        ("9", "worth 160"),
    ),
    "chains disagree": ({"calibration__chains_disagree": True}, "do not believe", ("disagree",)),
    "prior, a site": ({"prior_share": shares(p18=0.5)}, "caution", ("prior-dominated: site 3",)),
    "prior, a bond": ({"prior_share": shares(p2=0.9)}, "caution", ("prior-dominated: bond 2–3",)),
    "prior, most": ({"prior_share": [0.9] * 20}, "do not believe", ("prior-dominated",)),
    "frozen site": ({"frozen_fields": [7]}, "caution", ("prior-dominated: site 7", "site 7 never changes")),
    "frozen sites": ({"frozen_fields": [3, 7]}, "caution", ("site 3, site 7 never change in",)),
    "unidentified": ({"identifiability__unidentified": ["J[0,1]"]}, "caution", ("not identified", "bond 0–1")),
    "redundant": (
        {"identifiability__unidentified": ["J[0,1]"], "identifiability__redundant": [["J[0,1]", "J[0,2]"]]},
        "caution",
        ("bond 0–1, bond 0–2 together",),
    ),
    "few data": ({"identifiability__data_per_parameter": 3.0}, "caution", ("few data",)),
    "no data": ({"identifiability__data_per_parameter": 0.3}, "do not believe", ("few data",)),
    "misfit": (
        {"check": {"decision": "differs", "reason": "", "overall_p": 1e-6, "statistics": 11, "failed": ["mean |m|"]}},
        "do not believe",
        ("does not fit", "mean |m|"),
    ),
    "slight misfit": (
        {"check": {"decision": "differs", "reason": "", "overall_p": 0.005, "statistics": 11, "failed": ["mean |m|"]}},
        "caution",
        ("does not fit",),
    ),
    "undecided": ({"check": {"decision": "undecided", "reason": "3 blocks", "advice": "More."}}, "caution", ("undecided: 3 blocks",)),
    "undecided in a file of before": ({"check": {"decision": "undecided", "reason": "3 blocks"}}, "caution", ("undecided: 3 blocks",)),
    "misfit beyond all numbers": (
        {"check": {"decision": "differs", "reason": "", "overall_p": 0.0, "statistics": 11, "failed": ["mean |m|"]}},
        "do not believe",
        ("p < 1e-300",),
    ),
    "not checked": ({"check": {"decision": "not run"}}, "caution", ("not compared",)),
}


def test_a_flawless_record_is_believed():
    found = weigh(doctored())
    assert found.level == "believe" and found, found
    assert {reason.topic for reason in found.reasons if reason.passed} == {"convergence", "calibration", "identifiability", "fit"}
    assert {reason.severity for reason in found.reasons} == {"note"}
    assert "20 parameters from 5 000 microstates" in found.summary


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_appears_alone_with_its_advice(name):
    changes, level, words = FINDINGS[name]
    found = weigh(doctored(**changes))
    bad = [reason for reason in found.reasons if reason.severity != "note"]
    assert found.level == level and not found, found
    assert not any(reason.passed for reason in bad)
    assert len(bad) == 1 and bad[0].advice, found
    for word in words:
        assert word in bad[0].what, bad[0]
    assert found.summary.lower().startswith(bad[0].what[:20].lower())


def test_the_halves_of_one_chain_are_judged_and_called_what_they_are():
    found = weigh(doctored(convergence__chains=1, convergence__max_rhat=1.2))
    assert found.level == "do not believe" and found.reasons[0].what.startswith("the parts of the one chain differ: R-hat is 1.200")


NUMBERS = (  # every recorded one that a judge compares with a limit
    "convergence__max_rhat", "convergence__min_ess_bulk", "convergence__min_ess_tail", "pareto_k", "check__overall_p",
    "check__largest_z", "check__width_ratio", "calibration__tau", "calibration__ess", "calibration__width_ratio",
    "identifiability__data_per_parameter", "identifiability__data_at_worst_site", "identifiability__n_effective",
)  # fmt: skip


@pytest.mark.parametrize("name", (*NUMBERS, "prior_share"))
@pytest.mark.parametrize("composite", [True, False])
def test_nan_is_no_number_that_passes(name, composite):
    found = weigh(doctored(composite=composite, **{name: shares(p3=float("nan")) if name == "prior_share" else float("nan")}))
    said = [reason for reason in found.reasons if reason.code == "no number"]
    assert found.level != "believe" and len(said) == 1 and "nan" in said[0].what, found
    assert not any(reason.passed and (reason.topic == said[0].topic or "nan" in reason.what) for reason in found.reasons), found


NOT_ADVISED = {  # what is never said to someone who did it, or could not
    "compared": ({"check": {"decision": "agrees", "reason": "", "overall_p": 0.4, "statistics": 11, "failed": []}}, "diagnose(post"),
    "check=True, and not run": ({"check": {"decision": "not run", "reason": "its refit takes ten minutes"}}, "check=True"),
    "calibrate=True, and not possible": (
        {
            "calibration__adjusted": False,
            "calibration__basis": {"code": "diagonal", "numbers": {"n_params": 9000}},
        },
        "calibrate=True",
    ),
    "labels": ({"calibration__adjusted": False, "likelihood": "regression", "calibration__basis": {"code": "labels"}}, "calibrate"),
    "bonds of a network": (
        {"check": {"decision": "differs", "reason": "", "overall_p": 1e-6, "statistics": 2, "failed": ["m"]}, "likelihood": "regression"},
        "bonds",
    ),
    "a normal distribution of networks": ({"engine": {"name": "lbfgs"}, "convergence": {"sampled": False, "draws": 5}}, "normal"),
    "an exact likelihood of weighted draws": ({"composite": False, "likelihood": "importance-weighted"}, "likelihood is exact"),
    "as many draws as there were": ({"convergence__min_ess_bulk": 300.0, "convergence__draws": 4000}, "draws=4000"),
    "the step size it had": (
        {"convergence__divergences": 3, "engine": {"name": "nuts", "settings": {"target_accept": 0.95}}},
        "target_accept=0.95",
    ),
    "the prior it had": ({"identifiability__data_per_parameter": 3.0, "engine": {"name": "gibbs"}}, "spike_slab"),
    "a frozen site without a field": ({"frozen_sites": [7]}, "prior-dominated"),
    "Gibbs sampling for draws made elsewhere": (
        {"convergence__min_ess_bulk": 300.0, "engine": {"name": "external", "markov": True, "settings": {"sampler": "arrays"}}},
        "ample longer",
    ),
    "Gibbs sampling for an engine of one's own": (
        {"convergence__min_ess_bulk": 300.0, "engine": {"name": "mine", "markov": True}},
        "Gibbs",
    ),
    "independent sites": ({"calibration__tau": 97.0, "calibration__ess": 50.0}, "independent site observations"),
}


@pytest.mark.parametrize("case", NOT_ADVISED)
def test_what_would_be_untrue_is_not_said(case):
    changes, words = NOT_ADVISED[case]
    assert words not in str(weigh(doctored(**changes)))


def test_what_was_not_run_says_why_and_how_to_get_it():
    found = weigh(doctored(check={"decision": "not run", "reason": "its refit takes ten minutes"}))
    assert "not compared with held-out data: its refit takes ten minutes" in str(found) and "hl.diagnostics.diagnose(post, data)" in str(
        found
    )


def test_numbers_are_named_for_what_they_count():
    assert "2 terms selected among 400 candidates" in weigh(doctored(n_params=2, candidates=400, calibration__ess=1e5)).summary
    assert "1 parameter from" in weigh(doctored(n_params=1)).summary


def test_a_search_among_many_terms_needs_many_rows():
    few, many = (weigh(doctored(n_params=4, candidates=400, calibration__ess=worth)) for worth in (5000.0, 1e5))
    assert few.level == "caution" and "few data for a search: 5 000 independent microstates for 400 candidates" in str(few)
    assert many.level == "believe"


def test_autocorrelation_that_is_accounted_for_is_a_note():
    found = weigh(doctored(calibration__tau=4.0, calibration__ess=1250.0, calibration__kind="batches", calibration__batches=100))
    assert found.level == "believe" and "worth 1 250 independent" in str(found)


def test_the_measured_width_ratio_replaces_the_guess():
    record = doctored(calibration__adjusted=False, calibration__basis=OFF, check__width_ratio=1.77)
    assert "too small by about 1.8" in str(weigh(record))


def test_an_undeclared_temperature_is_said():
    assert "hypothetical" in str(weigh(doctored(), beta_declared=False))


def test_the_worst_comes_first_and_html_is_escaped():
    record = doctored(convergence__max_rhat=1.02, calibration__chains_disagree=True, convergence__max_rhat_where="<b>")
    found = weigh(record)
    assert found.reasons[0].severity == "serious" and found.level == "do not believe"
    assert "&lt;b&gt;" in found._repr_html_() and "<b>," not in found._repr_html_()


def test_it_is_a_pure_function_of_what_was_recorded(tmp_path):
    post = posterior("pseudo, NUTS")
    before = copy.deepcopy(post.attrs)
    first = verdict(post)
    hl.save(post, tmp_path / "post.nc")
    assert verdict(hl.load(tmp_path / "post.nc")) == first
    assert post.attrs == before


EXPECTED = {
    "exact, NUTS": ("the likelihood is exact", "converged"),
    "pseudo, NUTS": ("calibrated (sandwich", "converged"),
    "maximum likelihood": ("not sampled",),
    "tied": ("not sampled",),
    "sparse": ("sandwich surrogate",),
    "q states": ("not sampled",),
    "prior-dominated": ("prior-dominated: site 4",),
    "undeclared beta": ("β was not declared",),
}


@pytest.mark.parametrize("case", CASES)
def test_real_posteriors_get_the_findings_they_deserve(case):
    found = verdict(posterior(case))
    for words in EXPECTED[case]:
        assert words in str(found), found
    assert found.level != "do not believe", found
    assert (found.level == "caution") or case not in ("prior-dominated",)


def test_short_chains_are_not_blamed_for_chance():
    assert weigh(doctored(convergence__max_rhat=1.015)).level == "caution"
    assert weigh(doctored(convergence__max_rhat=1.015, convergence__draws=200)).level == "believe"


def test_no_calibration_is_objected_to_with_the_measured_ratio():
    from posteriors import COUPLINGS, SQUARE, glass

    post = hl.learn(glass(), COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", calibrate=False, seed=0)
    assert "was not calibrated: error bars are too small by about 1." in str(verdict(post))


def test_a_bare_posterior_says_that_it_was_not_judged():
    from posteriors import COUPLINGS, SQUARE, glass

    post = hl.infer.learn(glass(), COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", seed=0)
    assert verdict(post).level == "caution"
    assert hl.diagnostics.judge(post, glass()).level == "believe"
    assert posteriors.provenance_of(post).check is not None and "checks" in post
