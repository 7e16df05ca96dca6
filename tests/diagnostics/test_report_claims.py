"""What a report says of a posterior of every kind, against what is known of how that posterior was made.

The expectations are written by hand, from the calls in ``families_of_posterior.py``; nothing of the report's own code makes them.
"""

from __future__ import annotations

import html
import re

import matplotlib as mpl
import numpy as np
import pytest
from families_of_posterior import KINDS, SLOW, posterior, well
from matplotlib.figure import Figure

import hamlearn as hl
from hamlearn import plots
from hamlearn.plots import prediction

# kind → observed β, members, parameters, likelihood, engine, whether compared with data
CLAIMS = {
    "NUTS": ("0.3", "200 draws", "1", "exact", "nuts", "no"),
    "sparse": ("0.5", "200 draws", "36", "pseudo", "gibbs", "no"),
    "without check and calibration": ("0.5", "4 000 draws", "27", "exact", "laplace", "no"),
    "two temperatures": ("0.5, 0.8", "4 000 draws", "27", "exact", "laplace", "yes"),
    "undeclared beta": ("not declared", "4 000 draws", "28", "pseudo", "mle", "yes"),
    "q states": ("0.6", "4 000 draws", "90", "pseudo", "laplace", "yes"),
    "rotors": ("0.7", "4 000 draws", "1", "pseudo", "laplace", "no"),
    "vectors": ("0.7", "4 000 draws", "1", "pseudo", "laplace", "no"),
    "cluster_expansion": ("0.3", "2 000 draws", "2 of 10 candidates", "exact", "gibbs", "no"),
    "local energy": ("0.3", "2 networks", "5", "pseudo", "lbfgs", "no"),
    "extensive": ("0.3", "1 network", "113", "regression", "training", "no"),
    "consistent": ("0.3", "4 energies", "10", "importance-weighted", "training", "no"),
    "one network": ("0.3", "1 network", "536", "exact", "training", "yes"),
    "two networks": ("0.3", "2 networks", "536", "exact", "training", "yes"),
    "networks of paths": ("5", "2 networks", "3 336", "exact", "training", "yes"),
    "flow": ("5", "1 network", "184", "exact", "training", "yes"),
    "trained on an action": ("0.3", "1 network", "536", "variational", "variational", "there are none"),
    "path": ("10", "4 000 draws", "3", "exact", "laplace", "yes"),
    "open field": ("1", "4 000 draws", "3", "pseudo", "laplace", "no"),
    "thermal field": ("2, 3", "4 000 draws", "3", "score", "laplace", "yes"),
    "nothing confines": ("1", "4 000 draws", "4", "score", "laplace", "undecided"),
    "a user's own": ("1", "4 000 draws", "3", "pseudo", "laplace", "no"),
    "a user's own of reals": ("1", "4 000 draws", "3", "score", "laplace", "yes"),
    "extrapolated action": ("10, 20", "4 000 draws", "3", "exact", "laplace", "yes"),
    "extrapolated couplings": ("0.3", "4 000 draws", "1", "exact", "laplace", "yes"),
    "joined networks": ("5, 10", "4 joined networks", "3 336", "exact (of the sources)", "identity", "yes"),
}
OF_BONDS = (
    "NUTS", "sparse", "without check and calibration", "two temperatures", "undeclared beta", "q states", "rotors", "vectors",
    "extrapolated couplings",
)  # fmt: skip
OF_NETWORKS = (
    "extensive", "consistent", "one network", "two networks", "networks of paths", "flow", "trained on an action", "joined networks",
)  # fmt: skip
EVERY = [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS]
NEVER = ("0 states", "check=True", "independent site observations", "1 parameters", "nan")


def claims_of(page: str) -> dict[str, str]:
    """Every element that is marked as a claim, as text."""
    found = re.findall(r'<(\w+)[^>]*data-claim="(\w+)"[^>]*>(.*?)</\1>', page, re.DOTALL)
    return {name: html.unescape(re.sub(r"<[^>]+>", " ", inside)).strip() for _, name, inside in found}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("pages"), {}

    def page(kind: str) -> str:
        if kind not in made:
            made[kind] = hl.report(posterior(kind), folder / f"{len(made)}.html").read_text(encoding="utf-8")
        return made[kind]

    return page


def test_every_kind_has_its_claims():
    assert set(CLAIMS) == set(KINDS)


def test_data_are_not_asked_for_longer_chains_where_the_model_has_no_equilibrium():
    (undecided,) = (one for one in hl.verdict(posterior("nothing confines")).reasons if one.code == "undecided")
    assert "lower largest power" in undecided.advice and "chains" not in undecided.advice


@pytest.mark.parametrize("kind", EVERY)
def test_a_report_says_of_a_posterior_what_is_true(kind, pages):
    page = pages(kind)
    claims, text = claims_of(page), html.unescape(re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    observed, members, parameters, likelihood, engine, compared = CLAIMS[kind]
    names = ("observed", "draws", "parameters", "likelihood", "engine", "checks")
    assert [claims[name] for name in names] == [observed, members, parameters, likelihood, engine, compared]
    assert not [words for words in NEVER if words in text]
    assert ("the likelihood is exact" in text) <= (likelihood == "exact")
    assert ("Student t" in text) == (engine in ("laplace", "mle"))
    assert ("bonds" in claims) == (kind in OF_BONDS)
    assert ("not compared" in claims["comparison"]) == (compared == "no") == ("not compared with held-out data" in claims["verdict"])
    if compared == "yes":  # as many statistics as the table has, of either sort
        table, counts = (
            posterior(kind),
            [int(one.replace(" ", "")) for one in re.findall(r"([\d ]+) (?:statistic|score test)", claims["comparison"])],
        )
        assert "checks" not in table or sum(counts) == table["checks"].sizes["statistic"]
    assert ("networks" in claims["convergence"]) <= (
        members in claims["convergence"] or (members == "4 joined networks" and "4 networks" in claims["convergence"])
    )
    assert ("What the data determine" in text) == (kind not in OF_NETWORKS)
    assert ("All parameters" in text) == (kind not in OF_NETWORKS)  # energies of states and losses are none
    assert ("eti_95%" in page) == (members != "1 network")
    assert ("more bonds" in claims["verdict"]) <= (kind in OF_BONDS)  # advice names what the model has


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_said_of_predictions_is_what_is_drawn(kind, pages):
    page = pages(kind)
    claims, observed, members = claims_of(page), CLAIMS[kind][0], CLAIMS[kind][1]
    lead = claims["prediction"]
    if "panels" not in claims:
        assert "nothing is predicted" in lead.lower() or "knows its own temperature" in lead
        return
    caption = claims["panels"]
    assert f"of {members}" in lead or f"from {members}" in lead
    drawn = re.search(r"from ([\d ]+) of ([\d ]+) draws", lead)
    assert drawn is None or int(drawn[1].replace(" ", "")) < int(drawn[2].replace(" ", ""))
    banded = "energy, upper" in page  # a table has intervals where there are any
    assert ("Band:" in caption) == ("the band is" in lead.lower()) == banded
    assert ("without bands" in lead) != banded and (banded or members == "1 network")
    assert (
        ("One network has no spread" in lead)
        == (members == "1 network")
        == (f"mean over {re.sub(r'^[0-9 ]+', '', members)}." not in caption)
    )
    where = {"not declared": "a β that was not declared"}.get(observed, f"β = {observed}.")
    assert f"trained at {where}" in caption if kind == "trained on an action" else where in caption.split("Dashed:")[1]
    assert ("observed" in caption) == (observed != "not declared" and kind != "trained on an action")
    assert "up to a constant" in lead
    assert ("entropy (nats), mean" in page) == ("entropy" in page[page.index("Predictions</h2>") :].split("Is it like the data?")[0])


@pytest.mark.parametrize("kind", EVERY)
def test_only_passed_tests_carry_a_tick(kind, pages):
    page = pages(kind)
    ticked = [re.sub(r"<[^>]+>", "", one) for one in re.findall(r'<li class="passed">(.*?)</li>', page, re.DOTALL)]
    assert all(one.split(".")[0] in ("Convergence", "Calibration", "Likelihood", "Identifiability", "Fit") for one in ticked), ticked
    for words in ("no error bar", "not sampled", "outside the observed", "early stopping", "not compared", "no data"):
        assert not [one for one in ticked if words in one]
    found = hl.verdict(posterior(kind)) if "trained" not in kind else None
    assert found is None or bool(found) == (found.level == "believe")


def test_bands_without_a_width_are_not_drawn():
    curve = hl.predict(posterior("one network"), [0.25, 0.3], observables=["energy"], draws=4)
    curve["energy"].loc[{"quantity": ["lower", "upper"]}] = np.nan  # no band is known
    figure = prediction(curve)
    assert not figure.axes[0].collections or all(one.get_label() != "90% interval" for one in figure.axes[0].collections)


def test_a_prediction_carries_what_it_says_of_itself_to_the_page(tmp_path):
    curve = hl.predict(well(10.0), [10.0, 12.0], observables=["energy"], draws=8)
    curve.attrs |= {"warning": "<few> draws", "verdict": "caution"}
    curve["energy"].attrs |= {"draws_used": 8, "interval": "quantiles of 8 draws"}
    page = hl.report(well(10.0), tmp_path / "page.html", prediction=curve).read_text(encoding="utf-8")
    lead = claims_of(page)["prediction"]
    assert "from 8 of 4 000 draws" in lead and "Warning: <few> draws." in lead and "verdict on the posterior behind them: caution" in lead
    assert "Interval: quantiles of 8 draws." in lead
    assert "<few>" not in page
    both = hl.predict(well(10.0), [10.0, 12.0], observables=["energy", "heat_capacity"], draws=8)
    both["energy"].attrs["interval"], both["heat_capacity"].attrs["interval"] = "one way", "another way"
    lead = claims_of(hl.report(well(10.0), tmp_path / "page.html", prediction=both).read_text(encoding="utf-8"))["prediction"]
    assert "Interval: energy: one way; heat capacity: another way." in lead


PICTURES = {
    "checks": plots.checks,
    "contacts": lambda post, ax: plots.contacts(post, [[0, 1]], separation=1, ax=ax),
    "couplings": plots.couplings,
    "forest": plots.forest,
    "forest of fields": lambda post, ax: plots.forest(post, "h", ax=ax),
    "inclusion": plots.inclusion,
    "matrix": plots.matrix,
    "training": plots.training,
    "trace": lambda post, ax: plots.trace(post, 1, axes=ax.figure.subplots(1, 2)),
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_picture_is_drawn_on_given_axes_or_refused_in_one_line(kind):
    post, settings, drawn = posterior(kind), dict(mpl.rcParams), set()
    for name, draw in PICTURES.items():
        ax = Figure().subplots()
        try:
            assert draw(post, ax=ax) is ax.figure
            drawn.add(name)
        except hl.HamlearnError as error:
            assert "\n" not in str(error) and len(str(error)) < 300, (name, error)
    assert dict(mpl.rcParams) == settings
    expected = {"forest"} | ({"couplings", "matrix", "contacts"} if kind in OF_BONDS else set())
    expected |= {"training"} if "training" in post else set()
    expected |= {"inclusion"} if "included" in post["posterior"] else set()
    assert expected <= drawn <= expected | {"checks", "trace", "forest of fields"}, drawn
