"""The report and its pictures, over every kind of posterior; convergence and identifiability behind them."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from posteriors import CASES, posterior

import hamlearn as hl
from hamlearn import plots
from hamlearn.diagnostics import convergence, identifiability, summary
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.page.document import render
from hamlearn.plots import layout
from hamlearn.systems import lattice

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags must nest; what could load something from outside is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset") and not (value or "").startswith(
                ("#", "data:image/png;", "data:text/csv;")
            ):
                self.outside.append(f"{tag} {name}={value}")
        if tag in ("iframe", "object", "link"):
            self.outside.append(tag)
        if tag == "svg":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-5:])
        self.open.pop()


@pytest.mark.parametrize("case", CASES)
def test_the_report_is_one_whole_page_that_loads_nothing(case, tmp_path):
    post = posterior(case)
    curve = hl.predict(post, beta=[0.4, 0.6], observables=["energy", "heat_capacity"], draws=4)
    path = hl.report(post, tmp_path / "report.html", prediction=curve)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == [] and page.outside == []
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids))
    pictures = [one for one in page.images if one.get("aria-hidden") != "true"]  # bars stand beside their numbers
    assert pictures and all(one.get("role") == "img" and one.get("aria-label") for one in pictures)
    assert text.index('class="verdict') < text.index("<svg")
    found = hl.verdict(post)
    for words in (f"verdict {found.level.replace(' ', '-')}", "What not to believe", post.attrs["fingerprint"], "Predictions"):
        assert words in text


def test_the_report_makes_its_own_prediction_and_is_reproducible():
    post = posterior("tied")
    first = render(post)
    assert first == render(post) and "Predicted energy per site" in first


def test_user_text_is_escaped():
    text = render(posterior("tied"), title="<script>alert(1)</script>")
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_an_unwritable_place_is_said_before_any_work(tmp_path):
    with pytest.raises(HamlearnError, match="does not exist"):
        hl.report(posterior("tied"), tmp_path / "nowhere" / "report.html")
    with pytest.raises(HamlearnError, match="expected a posterior"):
        hl.report("post.nc", tmp_path / "report.html")


def test_a_bare_posterior_is_reported_and_left_alone(tmp_path):
    from posteriors import COUPLINGS, SQUARE, glass

    post = hl.infer.learn(glass(), COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", seed=0)
    before = post.attrs["provenance"]
    hl.report(post, tmp_path / "report.html")
    assert post.attrs["provenance"] == before and "checks" not in post


@pytest.mark.parametrize("case", CASES)
def test_every_picture_can_be_drawn(case, tmp_path):
    post = posterior(case)
    figures = [plots.couplings(post), plots.forest(post), plots.trace(post)]
    if post["checks"].sizes.get("statistic", 0):
        figures.append(plots.checks(post))
    if "included" in post["posterior"]:
        figures.append(plots.inclusion(post))
    for number, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{number}.png", dpi=30)


def test_pictures_that_have_nothing_to_show_say_so():
    with pytest.raises(HamlearnError, match="spike_slab"):
        plots.inclusion(posterior("tied"))
    with pytest.raises(HamlearnError, match="no 'h'"):
        plots.forest(posterior("tied"), "h")


@pytest.mark.parametrize("shape", [(4, 4), (2, 3), (2, 2)])
def test_bonds_are_drawn_once_and_wrapping_ones_as_two_stubs(shape):
    torus = lattice.hypercubic(shape)
    owners, lines = layout.segments(torus, layout.positions(torus))
    pieces = np.bincount(owners, minlength=torus.n_bonds)
    rows, columns = shape
    assert pieces.min() == 1 and (pieces == 2).sum() == rows + columns
    lengths = np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1)
    np.testing.assert_allclose(lengths, np.where(pieces[owners] == 2, 0.5, 1.0))


@pytest.mark.parametrize(
    "graph", [lattice.triangular((3, 4)), lattice.honeycomb((3, 3)), lattice.hypercubic((3, 3, 3)), lattice.hypercubic(7)]
)
def test_every_lattice_has_a_place_for_every_site(graph):
    places = layout.positions(graph)
    assert places.shape == (graph.n_sites, 2)
    assert len(np.unique(places.round(6), axis=0)) == graph.n_sites
    owners, _ = layout.segments(graph, places)
    assert set(owners) == set(range(graph.n_bonds))


def split_rhat(values: np.ndarray) -> float:
    """Rank-normalised split R̂ from its definition (Vehtari et al. 2021)."""
    ranks = scipy.stats.rankdata(values).reshape(values.shape)
    split = scipy.stats.norm.ppf((ranks - 0.375) / (values.size + 0.25)).reshape(2 * len(values), -1)
    within, between = split.var(1, ddof=1).mean(), split.mean(1).var(ddof=1)
    return float(np.sqrt(1 - 1 / split.shape[1] + between / within))


def test_convergence_agrees_with_its_definition():
    post = posterior("exact, NUTS")
    found = convergence(post)
    theta = posteriors.theta_draws(post)
    assert found["sampled"] and found["judged"] == theta.shape[-1] and found["divergences"] == 0
    k = posteriors.bound_of(post).parameter_names.index(found["max_rhat_where"])
    values = theta[..., k]
    plain = max(split_rhat(values), split_rhat(np.abs(values - np.median(values))))
    assert abs(plain - found["max_rhat"]) < 1e-6


def test_one_chain_is_judged_by_its_halves_and_never_believed():
    """An R̂ of nan said that all was well."""
    post = posterior("exact, NUTS").isel(chain=[0])
    found = convergence(post)
    theta = posteriors.theta_draws(post)
    k = posteriors.bound_of(post).parameter_names.index(found["max_rhat_where"])
    values = theta[0, theta.shape[1] % 2 :, k].reshape(2, -1)
    assert abs(max(split_rhat(values), split_rhat(np.abs(values - np.median(values)))) - found["max_rhat"]) < 1e-6
    assert np.isfinite(summary(post)["r_hat"]).all()
    told = hl.verdict(hl.diagnostics.diagnose(post))
    assert told.level != "believe" and "one chain" in str(told) and "nan" not in str(told)


def test_independent_draws_do_not_wait_for_arviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)  # an import of it fails
    assert convergence(posterior("maximum likelihood"))["sampled"] is False


def test_directions_of_very_many_parameters_are_the_parameters(monkeypatch):
    """Principal axes of 7500 parameters held a page up for minutes, and were the noise of its draws."""
    post = posterior("exact, NUTS")
    module = sys.modules["hamlearn.diagnostics.identifiability"]
    monkeypatch.setattr(module, "MOST_DIRECTIONS", 3)
    monkeypatch.setattr(np.linalg, "eigh", None)
    found, theta = identifiability(post), posteriors.theta_draws(post)
    sd = np.sort(theta.reshape(-1, theta.shape[-1]).std(0, ddof=1))[::-1]
    np.testing.assert_allclose(found["sd"], sd[: found.sizes["weak"]])


def test_convergence_sees_chains_that_differ():
    post = posterior("exact, NUTS").copy(deep=True)
    draws = post["posterior"].to_dataset()
    J = draws["J"].values.copy()
    J[0] += 1.0
    post["posterior"] = xr.DataTree(draws.assign(J=(draws["J"].dims, J)))
    assert convergence(post)["max_rhat"] > 1.1


def test_parameters_that_never_move_are_left_out():
    post = posterior("sparse").copy(deep=True)
    draws = post["posterior"].to_dataset()
    J = draws["J"].values.copy()
    J[..., 5] = 0.0
    J[..., 6] = 0.0
    J[0, 0, 6] = 0.3  # in one draw of thousands
    post["posterior"] = xr.DataTree(draws.assign(J=(draws["J"].dims, J)))
    found, before = convergence(post), convergence(posterior("sparse"))
    assert found["constant"] >= 2 and found["judged"] + found["constant"] == posteriors.bound_of(post).n_params
    assert found["judged"] < before["judged"] and np.isfinite(found["max_rhat"])


@pytest.mark.parametrize("case", CASES)
def test_the_summary_is_numpy_s(case):
    post = posterior(case)
    table, group = summary(post, round_to=None), post["posterior"].to_dataset()
    J = group["J"].values.reshape(-1, int(np.prod(group["J"].shape[2:])))
    np.testing.assert_allclose(table["mean"].values[: J.shape[1]], J.mean(0))
    np.testing.assert_allclose(table["eti_95%"].values[: J.shape[1]], np.quantile(J, 0.95, axis=0))
    assert table.index.is_unique


def test_identifiability_finds_the_loose_direction():
    post = posterior("prior-dominated")
    table = identifiability(post)
    assert str(table["parameter"].values[0]) == "h[4]" or "4" in str(table["parameter"].values[0])
    flat = posteriors.theta_draws(post).reshape(-1, posteriors.bound_of(post).n_params)
    np.testing.assert_allclose(1 / table["information"].values, np.sort(np.linalg.eigvalsh(np.cov(flat.T)))[::-1], rtol=1e-6)
    assert "zero-sum" in identifiability(posterior("q states")).attrs["gauge"]
