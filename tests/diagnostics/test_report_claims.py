"""What a report says of a posterior of every kind, against what is known of how that posterior was made.

The expectations are written by hand, from the calls in ``families_of_posterior.py``; nothing of the report's own code makes them.
"""

from __future__ import annotations

import html
import re

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from families_of_posterior import KINDS, SLOW, posterior, well
from markup import Tables
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
    "action of networks": ("2, 4", "1 000 draws", "7", "exact", "solve", "no"),
    "extensive": ("0.3", "1 network", "113", "regression", "training", "no"),
    "consistent": ("0.3", "4 energies", "10", "importance-weighted", "training", "no"),
    "one network": ("0.3", "1 network", "536", "exact", "training", "yes"),
    "two networks": ("0.3", "2 networks", "536", "exact", "training", "yes"),
    "machines": ("0.3", "2 networks", "67", "exact", "training", "yes"),
    "networks of paths": ("5", "2 networks", "3 336", "exact", "training", "yes"),
    "flow": ("5", "1 network", "184", "exact", "training", "yes"),
    "trained on an action": ("0.3", "1 network", "536", "variational", "variational", "there are none"),
    "path": ("10", "4 000 draws", "3", "exact", "laplace", "yes"),
    "open field": ("1", "4 000 draws", "3", "pseudo", "laplace", "no"),
    "thermal field": ("2, 3", "4 000 draws", "3", "score", "laplace", "yes"),
    "nothing confines": ("1", "4 000 draws", "4", "score", "laplace", "undecided"),
    "machine of reals": ("1", "1 000 draws", "16", "exact", "closed form", "yes"),
    "a user's own": ("1", "4 000 draws", "3", "pseudo", "laplace", "no"),
    "a user's own of reals": ("1", "4 000 draws", "3", "score", "laplace", "yes"),
    "scale of a known system": ("0.5", "4 000 draws", "1", "exact", "laplace", "yes"),
    "extrapolated action": ("10, 20", "4 000 draws", "3", "exact", "laplace", "yes"),
    "extrapolated couplings": ("0.3", "4 000 draws", "1", "exact", "laplace", "yes"),
    "groups": ("0.3", "2 000 draws", "4", "exact", "pooled", "yes"),
    "joined networks": ("5, 10", "3 joined networks", "3 336", "exact (of the sources)", "identity", "yes"),
}
OF_BONDS = (
    "NUTS", "sparse", "without check and calibration", "two temperatures", "undeclared beta", "q states", "rotors", "vectors",
    "extrapolated couplings",
)  # fmt: skip
OF_NETWORKS = (
    "extensive", "consistent", "one network", "two networks", "machines", "networks of paths", "flow", "trained on an action",
    "joined networks",
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
    claims, text = (
        claims_of(page),
        html.unescape(re.sub(r"<svg.*?</svg>|<style.*?</style>|<script.*?</script>|<[^>]+>", " ", page, flags=re.DOTALL)),
    )
    observed, members, parameters, likelihood, engine, compared = CLAIMS[kind]
    names = ("observed", "draws", "parameters", "likelihood", "engine", "checks")
    assert [claims[name] for name in names] == [observed, members, parameters, likelihood, engine, compared]
    assert not [words for words in NEVER if words in text]
    assert ("the likelihood is exact" in text) <= (likelihood == "exact")
    assert ("Student t" in text) == (engine in ("laplace", "mle"))
    assert ("bonds" in claims) == (kind in (*OF_BONDS, "groups"))
    assert ("not compared" in claims["comparison"]) == (compared == "no") == ("not compared with held-out data" in claims["verdict"])
    if compared == "yes":  # as many statistics as the table has, of either sort
        table, counts = (
            posterior(kind),
            [int(one.replace(" ", "")) for one in re.findall(r"([\d ]+) (?:statistic|score test)", claims["comparison"])],
        )
        assert "checks" not in table or sum(counts) == table["checks"].sizes["statistic"]
    assert ("networks" in claims["convergence"]) <= (
        members in claims["convergence"] or (members == "3 joined networks" and "3 networks" in claims["convergence"])
    )
    assert ("What the data determine" in text) == (kind not in OF_NETWORKS)
    assert ("All parameters" in text) == (kind not in OF_NETWORKS)  # energies of states and losses are none
    assert (">95 %</th>" in page) == (members != "1 network")
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
    banded = ">upper</th>" in page  # a table has intervals where there are any
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
    assert ("entropy (nats)" in page) == ("entropy" in page[page.index("Predictions</h2>") :].split("Is it like the data?")[0])


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
    assert not figure.axes[0].collections or all(one.get_label() != "90 % interval" for one in figure.axes[0].collections)


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
    compared = CLAIMS[kind][5] == "yes" and not kind.startswith(("extrapolated", "joined", "groups"))
    assert ("measured" in post) == compared  # the data's own values, beside what is predicted
    assert expected <= drawn <= expected | {"checks", "trace", "forest of fields"}, drawn


SPACES = {
    "machine of reals": "real numbers",
    "q states": "3 states, 0 to 2", "rotors": "angles", "vectors": "unit vectors of 3 components", "networks of paths": "real numbers",
    "flow": "real numbers", "path": "real numbers", "open field": "real numbers", "thermal field": "real numbers",
    "nothing confines": "real numbers", "a user's own of reals": "real numbers", "extrapolated action": "real numbers",
    "joined networks": "real numbers", "action of networks": "real numbers",
}  # fmt: skip


def known(kind: str) -> list[tuple[str, list[str], np.ndarray]]:
    """What the files of a page must hold: their names, what their rows are called, and draws ``(draw, row)``."""
    post = posterior(kind)
    if kind not in OF_BONDS:
        names, theta = hl.infer.families.of(post).parameters(post)
        return [("parameters.csv", list(names), theta.reshape(-1, len(names)))]
    group = post["posterior"].to_dataset()
    draws = {name: group[name].values.reshape(-1, *group[name].shape[2:]) for name in ("J", "h") if name in group}
    bonds = hl.infer.posteriors.bound_of(post).lattice.bonds
    pairs = [f"{i} – {j}" for i, j in bonds]
    if CLAIMS[kind][2] == "1":  # one coupling for all bonds
        return [("couplings.csv", ["all bonds"], draws["J"][:, :1])]
    if kind == "q states":
        potts = np.trace(draws["J"], axis1=-2, axis2=-1) / 2  # of three states: q / (q − 1) times the mean of the diagonal
        entries = [f"{pair} ({a}, {b})" for pair in pairs for a in range(3) for b in range(3)]
        states = [f"site {site}, state {a}" for site in range(9) for a in range(3)]
        flat = {name: values.reshape(len(values), -1) for name, values in draws.items()}
        return [("couplings.csv", pairs, potts), ("tables.csv", entries, flat["J"]), ("fields.csv", states, flat["h"])]
    found = [("couplings.csv", pairs, draws["J"])]
    return found + ([("fields.csv", [f"site {k}" for k in range(draws["h"].shape[1])], draws["h"])] if "h" in draws else [])


def as_number(text: str) -> float:
    return float(text.replace(" ", "").replace("−", "-")) if text not in ("–", "") else np.nan


def assert_rounded(shown: list[str], exact: list[str]) -> None:
    """Each text is the number of the file to the digits that it shows."""
    for text, number in zip(shown, exact, strict=True):
        mantissa = text.replace(" ", "").lower().split("e")
        step = 10.0 ** (int(mantissa[1].replace("−", "-")) if len(mantissa) > 1 else 0) / 10 ** len(mantissa[0].partition(".")[2])
        assert np.isnan(as_number(text)) == (number == ""), (text, number)
        assert number == "" or abs(as_number(text) - float(number)) <= 0.5001 * step + 1e-7 * abs(float(number)), (text, number)


@pytest.mark.parametrize("kind", EVERY)
def test_tables_and_files_of_parameters_are_the_posterior_s(kind, pages):
    found, single = Tables(pages(kind)), CLAIMS[kind][1] == "1 network"
    told = {name for name in found.files if name in ("couplings.csv", "tables.csv", "fields.csv", "parameters.csv")}
    assert told == {name for name, _, draws in known(kind) if draws.shape[1]}
    regions = [name for name, rows in found.tables.items() if rows and rows[0][1].startswith(("mean and 90 % interval", "value ("))]
    for region, (name, labels, draws) in zip(regions, known(kind), strict=True):
        rows = {row["parameter"]: row for row in found.files[name]}
        assert len(rows) == len(found.files[name]) and set(rows) == {one.lstrip() for one in labels}, name
        order = [labels.index(one) for one in rows]
        wanted = {"mean": draws.mean(0)}
        if not single:
            wanted |= {"sd": draws.std(0, ddof=1), "eti_5%": np.quantile(draws, 0.05, axis=0), "eti_95%": np.quantile(draws, 0.95, axis=0)}
        assert set(wanted) <= set(found.files[name][0]) and (single or "sd" in found.files[name][0])
        for key, values in wanted.items():
            np.testing.assert_allclose(
                [float(row[key]) for row in rows.values()], values[order], rtol=1e-6, atol=1e-9, err_msg=f"{name} {key}"
            )
            heading = {"mean": "value" if single else "mean", "eti_5%": "5 %", "eti_95%": "95 %"}.get(key, key)
            at = -1 if single else [one for one in found.tables[region][0]].index(heading)
            assert_rounded([row[at] for row in found.tables[region][1:]], [row[key] for row in rows.values()])
        assert [row[0] for row in found.tables[region][1:]] == list(rows)


@pytest.mark.parametrize("kind", EVERY)
def test_tables_and_files_of_predictions_and_checks_are_alike(kind, pages):
    found, claims, post = Tables(pages(kind)), claims_of(pages(kind)), posterior(kind)
    assert ("predictions.csv" in found.files) == ("panels" in claims)
    for row in found.files.get("predictions.csv", []):
        low, middle, high = (float(row[key] or "nan") for key in ("lower", "mean", "upper"))
        assert not (low > middle or middle > high), row
    measured = post["measured"].to_dataset() if "measured" in post else xr.Dataset()
    for row in found.files.get("measured.csv", []):
        there = measured[row["observable"].split(" (")[0].replace(" ", "_")].sel(beta=float(row["beta"]))
        for key in ("mean", "error"):
            np.testing.assert_allclose(float(row[key]), there.sel(quantity=key), rtol=1e-6)
    for said in ("what the data themselves say", "energies by the learned Hamiltonians"):  # data do not know their energy
        assert (said in claims.get("panels", "")) == ("measured.csv" in found.files)
    assert ("checks.csv" in found.files) == ("checks" in post and post["checks"].sizes.get("statistic", 0) > 0)
    if "checks.csv" in found.files:
        table = post["checks"].to_dataset()
        for name in ("observed", "predicted", "sd", "z", "p_value", "p_adjusted"):
            there = [float(row[name] or "nan") for row in found.files["checks.csv"]]
            np.testing.assert_allclose(there, table[name].values, rtol=1e-6, atol=1e-9, err_msg=name)
        differ = [words.startswith("differs") for words in found.column("Comparison with data", "verdict")]
        assert differ == (table["p_adjusted"].values < 0.01).tolist()
    for region, name, pairs in (
        (
            "Predictions",
            "predictions.csv",
            {"β": "beta", "mean": "mean", "lower": "lower", "upper": "upper", "simulation error": "mc_error"},
        ),
        ("Comparison with data", "checks.csv", {"observed": "observed", "±": "sd", "z": "z", "p": "p_value"}),
    ):
        if name in found.files:
            assert len(found.tables[region]) == len(found.files[name]) + 1
            for heading, key in pairs.items():
                if heading in found.tables[region][0]:
                    assert_rounded([one.replace("+", "") for one in found.column(region, heading)], [row[key] for row in found.files[name]])


@pytest.mark.parametrize("kind", EVERY)
def test_a_page_says_its_space_its_units_and_its_prior_in_words(kind, pages):
    page, post = pages(kind), posterior(kind)
    claims = claims_of(page)
    assert claims["space"] == SPACES.get(kind, "spins −1, 1")
    sizes = [size for dim, size in post["posterior"].sizes.items() if dim == "bond"]
    assert [int(claims["bonds"].replace(" ", ""))] == sizes if sizes else "bonds" not in claims
    assert "=" not in claims["model"] and "(scale" not in claims["model"]
    assert (claims["model"].count("prior of couplings") == 1) == (kind in OF_BONDS)
    assert ("without a unit" in claims["summary"]) == (kind == "undeclared beta")
    assert ("are energies, in the unit" in claims["summary"]) == (kind in OF_BONDS and kind != "undeclared beta")


def test_marks_say_under_the_pointer_what_they_are(pages):
    page, post = pages("two temperatures"), posterior("two temperatures")
    told = {html.unescape(one) for one in re.findall(r"<title>([^<]*)</title>", page[page.index("<svg") :])}
    J, bonds = post["posterior"]["J"].values.reshape(-1, 18), hl.infer.posteriors.bound_of(post).lattice.bonds
    assert {f"{i} – {j}: {one.mean():.3g} ± {one.std():.2g}" for (i, j), one in zip(bonds, J.T, strict=True)} <= told
    rows = [row for row in Tables(page).files["predictions.csv"] if row["observable"] == "energy"]
    assert rows and all(any(f"{float(row['mean']):.4g}" in one for one in told) for row in rows)


def test_every_one_of_128_couplings_is_on_a_page_below_two_megabytes(tmp_path):
    glass = hl.systems.EdwardsAnderson((8, 8), seed=1)
    data = hl.simulate(glass, beta=0.5, draws=100, chains=8, seed=0, progress=False)
    post = hl.learn(data, hl.models.Couplings(glass.lattice), engine="laplace", check=False, calibrate=False, seed=0)
    curves = hl.predict(post, [0.5], observables=["energy"], draws=4)
    page = hl.report(post, tmp_path / "page.html", prediction=curves)
    found = Tables(page.read_text(encoding="utf-8"))
    assert len(set(found.column("Couplings with their error bars", "coupling J"))) == 128
    assert len(found.tables["Fields with their error bars"]) == 65 and page.stat().st_size < 2e6
    assert [float(found.files["predictions.csv"][0][key]) for key in ("mean", "sd")] == pytest.approx(
        [float(curves["energy"].sel(quantity=key)[0]) for key in ("mean", "sd")], rel=1e-7
    )
