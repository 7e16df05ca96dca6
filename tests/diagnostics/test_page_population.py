"""Questions of spins that all may interact, on the page: what is said and listed is what the data hold and what the verbs answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from markup import Tables
from test_report_claims import claims_of

import hamlearn as hl
from hamlearn.page import population
from statistics_budget import assert_within

FILES = {"pairs.csv", "entropy.csv", "counts.csv", "information.csv", "triplets.csv", "basins.csv"}
NAMES = ("ann", "ben", "eve", "joe", "kim", "lea")


@pytest.fixture(scope="module")
def data():
    """Six spins: two pairs that agree, and one that is mostly the product of two others, which is no matter of pairs."""
    rng = np.random.default_rng(0)
    states = rng.choice([-1, 1], size=(4000, 6))
    for to, of in ((1, states[:, 0]), (3, states[:, 2]), (5, states[:, 2] * states[:, 4])):
        states[:, to] = np.where(rng.random(4000) < 0.6, of, states[:, to])
    return hl.microstates(states, space="spins", beta=1.0, independent=True, names=NAMES)


@pytest.fixture(scope="module")
def post(data):
    return hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=0)


@pytest.fixture
def page(post, tmp_path):
    def made(**options):
        return hl.report(post, tmp_path / "page.html", **options).read_text(encoding="utf-8")

    return made


def numbers(rows: list[dict[str, str]], *names: str) -> np.ndarray:
    return np.array([[float(row[name]) for name in names] for row in rows])


def test_what_was_planted_is_on_the_page(page, data):
    text = page(data=data)
    files, claims = Tables(text).files, claims_of(text)
    assert FILES <= set(files) and '<a href="#population">' in text and '<section id="population">' in text
    pairs = {(row["site_i"], row["site_j"]) for row in files["pairs.csv"]}
    assert pairs == {("ann", "ben"), ("eve", "joe")} and claims["pairs"].startswith("2 of 15 couplings")
    assert [files["triplets.csv"][0][f"site_{end}"] for end in "ijk"] == ["eve", "kim", "lea"]
    assert claims["triplets"].startswith(f"{len(files['triplets.csv'])} of 20 triples") and "put to the test alone" in claims["triplets"]
    # Shares of numbers of spins up, and the entropy of the model's own probabilities, by hand.
    up = (data["state"].values[0] > 0).sum(1)
    np.testing.assert_allclose(numbers(files["counts.csv"], "data")[:, 0], np.bincount(up, minlength=7) / 4000, rtol=1e-6)
    told = {row["quantity"]: row for row in files["entropy.csv"]}
    (bits,), (nats,) = (numbers([told[f"entropy, {unit}"]], "mean", "lower", "upper") for unit in ("bits", "nats"))
    np.testing.assert_allclose(bits * np.log(2), nats, rtol=1e-6)
    assert_within(bits[0], entropy_of_pairs(), (bits[2] - bits[1]) / 3.29, "the entropy on the page")


def entropy_of_pairs() -> float:
    """Bits of four spins and two pairs of which one agrees with the other in 0.8 of the rows; the product of three is no pair."""
    return 4 + 2 * -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2))


def test_numbers_are_those_of_the_verbs(page, post, data):
    files = Tables(page(data=data)).files
    found = hl.infer.information(post, data)
    for row in files["information.csv"]:
        name = row["quantity"].split(",")[0].replace("-", "_").replace(" ", "_")
        np.testing.assert_allclose(numbers([row], "mean", "lower", "upper", "error")[0], found[name].values[[0, 2, 3, 1]], rtol=1e-6)
    pairs = hl.diagnostics.pairs(post).query("found")
    np.testing.assert_allclose(
        numbers(files["pairs.csv"], "coupling", "lower", "upper", "sd", "q_value"),
        pairs[["coupling", "lower", "upper", "sd", "q_value"]],
        rtol=1e-6,
    )
    triples = hl.diagnostics.triplets(post, data).query("found")
    np.testing.assert_allclose(numbers(files["triplets.csv"], "strength", "z"), triples[["strength", "z"]], rtol=1e-6)
    basins = hl.infer.basins(post, data)
    names = ("weight", "weight_error", "weight_lower", "weight_upper", "maximum", "energy")
    np.testing.assert_allclose(numbers(files["basins.csv"], *names), np.stack([basins[name] for name in names], 1), rtol=1e-6)
    ups = [", ".join(itertools.compress(NAMES, state > 0)) or "none" for state in basins["state"].values]
    assert [row["up"] for row in files["basins.csv"]] == ups


def test_without_data_there_is_what_the_posterior_knows(page):
    text = page()
    assert FILES & set(Tables(text).files) == {"pairs.csv", "entropy.csv", "counts.csv"}
    assert "data" not in Tables(text).files["counts.csv"][0] and "basins" not in claims_of(text)


def test_two_spins_have_one_pair_and_no_share_or_triple(tmp_path):
    """The page refused their data; shares of pairs and triples among pairs are no questions of two."""
    rng = np.random.default_rng(0)
    first = rng.choice([-1, 1], 400)
    states = np.stack([first, np.where(rng.random(400) < 0.7, first, rng.choice([-1, 1], 400))], 1)
    names = [f"I felt so restless that I could not sit still for more than a minute {k}" for k in range(2)]
    data = hl.microstates(states, independent=True, names=names)
    post = hl.infer.learn(data, hl.models.Couplings(), engine="laplace", seed=0)
    text = hl.report(post, tmp_path / "page.html", data=data, questions=["information"]).read_text(encoding="utf-8")
    claims, files = claims_of(text), Tables(text).files
    assert claims["pairs"].startswith("The one coupling is there") and "triplets" not in claims
    assert claims["information"] == "Not answered: it takes 3 spins, and there are 2."
    assert FILES & set(files) == {"pairs.csv", "entropy.csv", "counts.csv", "basins.csv"}
    np.testing.assert_allclose(numbers(files["counts.csv"], "data")[:, 0], np.bincount((states > 0).sum(1), minlength=3) / 400, rtol=1e-6)
    assert f'<th scope="row" class="words">{names[0]} – {names[1]}</th>' in text  # wraps: a phone is less wide


def test_what_takes_long_waits_to_be_asked(page, data, monkeypatch):
    for name in ("_LISTED", "_SUMMED", "_READ", "_RUN_DOWN"):
        monkeypatch.setattr(population, name, 0)
    text = page(data=data, questions=["basins"])
    assert FILES & set(Tables(text).files) == {"pairs.csv", "basins.csv"}
    claims = claims_of(text)
    for name, line in (
        ("entropy", "hl.predict(post"),
        ("information", "hl.infer.information(post, data)"),
        ("triplets", "triplets(post, data)"),
    ):
        assert line in claims[name] and f'data=data, questions=["{name}"]' in claims[name]


def test_what_cannot_be_told_is_said(page, data):
    text = page(data=data.isel(draw=slice(0, 40)))
    assert claims_of(text)["information"].startswith("The entropy of the data cannot be told")
    rows = {row["quantity"]: row["mean"] for row in Tables(text).files["information.csv"]}
    assert list(rows) == ["independent entropy, bits", "model entropy, bits", "pair information, bits"]
    assert np.isfinite([float(mean) for mean in rows.values()]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"questions": ["basin"]}, "Did you mean 'basins'"),
        ({"questions": "basins"}, r"a list of names, such as \['basins'\]"),
        ({"questions": ["basins"]}, "give the microstates, data="),
        ({"data": [[1, -1]]}, "microstates"),
    ],
)
def test_questions_that_are_none_are_refused(page, options, words):
    with pytest.raises(hl.HamlearnError, match=words):
        page(**options)


def test_a_lattice_has_no_such_section(tmp_path):
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=300, chains=2, seed=0, progress=False)
    post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    assert 'id="population"' not in hl.report(post, tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(hl.HamlearnError, match="between all pairs of spins"):
        hl.report(post, tmp_path / "page.html", data=data)
