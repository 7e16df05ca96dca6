"""No text of a posterior, a prediction or a caller becomes markup, and the page forbids what would run if one did."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from functools import cache, partial

import numpy as np
import pytest
import xarray as xr
from fields import injections, injections_of_data, outcome, pictures_once
from markup import HOSTILE, Parsed, faults
from posteriors import SQUARE, glass

import hamlearn as hl
from hamlearn import plots
from hamlearn.diagnostics.foreign import drawable, readable
from hamlearn.errors import HamlearnError
from hamlearn.page import forecast, svg
from hamlearn.page.document import render
from hamlearn.plots.parameters import forest_of
from hamlearn.plots.style import LIGHT


@cache
def small() -> tuple[xr.DataTree, xr.Dataset]:
    """A posterior of couplings with its checks, and two curves of it."""
    post = hl.learn(glass(600), hl.models.Couplings(SQUARE), engine="laplace", seed=0)
    return post, hl.predict(post, beta=[0.3, 0.5], observables=["energy", "entropy"], draws=4)


@cache
def clean() -> str:
    return render(*small())


def everywhere() -> str:
    """A page with every text as the name or long name of a prediction's variable, as a statistic, and all of them as the title."""
    post, curves = small()
    post = post.copy()
    table = post["checks"].to_dataset()
    names = [*HOSTILE, *table["statistic"].values[len(HOSTILE) :]]
    post["checks"] = xr.DataTree(table.assign_coords(statistic=("statistic", np.array(names, object))))
    # A name is drawn where there is no long name.
    energy = {text: curves["energy"].drop_attrs().assign_attrs({} if k % 2 else {"long_name": text}) for k, text in enumerate(HOSTILE)}
    return render(post, curves.assign(energy), " ".join(HOSTILE))


def test_pictures_and_tables_of_hostile_names_are_pictures_and_tables():
    page = everywhere()
    assert faults(page, clean()) == []
    assert Parsed(page).elements["svg"] == Parsed(clean()).elements["svg"] + len(HOSTILE)
    assert HOSTILE[0] in "".join(Parsed(page).text)  # the text itself is there to read


def test_no_field_becomes_markup_or_ends_in_anything_but_a_page_or_a_sentence():
    post, curves = small()
    found, bad = Counter(), []
    with pictures_once():
        for one in injections(post, curves):
            told = outcome(one.make, clean())
            found[told] += 1
            bad += [f"{one.where}: {one.text[:30]!r}: {told}"] if told not in ("page", "refused") else []
    assert bad == []
    assert found["page"] > 100 and found["refused"] > 50 and found.total() > 250  # the walk reached what it should


def test_no_field_of_microstates_becomes_markup():
    learn = partial(hl.learn, model=hl.models.Couplings(SQUARE), engine="laplace", check=False, calibrate=False, seed=0)
    curves, bad = small()[1], []
    with pictures_once():
        plain = render(learn(glass(600)), curves)
        for one in injections_of_data(glass(600), learn, curves):
            told = outcome(one.make, plain)
            bad += [f"{one.where}: {one.text[:30]!r}: {told}"] if told not in ("page", "refused") else []
    assert bad == []


def test_the_fuzz_sees_what_it_looks_for():
    """Markup that came through, each kind in turn."""
    for planted, told in (
        ("<img src=x onerror=1>", "attribute onerror of img"),
        ("<script>1</script>", "2 of script"),
        ("<p style='color:red'>", "attribute style of p"),
        ("<a href='//e.invalid'>", "refers to //e.invalid"),
        ("<!-- note -->", "comment"),
        ("<p id='x\"y'>", "id x"),
        ("\u202e", "character 0x202e"),
        ("50337", "a template ran"),
    ):
        page = clean().replace("</header>", f"{planted}</header>")
        assert told in " ".join(faults(page, clean())), planted
    assert "svg" in " ".join(faults(re.sub(r"<figure>.*?</figure>", "", clean(), count=1, flags=re.DOTALL), clean()))


def test_the_page_allows_its_own_sheet_and_script_and_nothing_else():
    page = clean()
    parsed = Parsed(page)
    sheet, script = (re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1] for tag in ("style", "script"))
    digests = [base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode() for inside in (sheet, script)]
    rules = dict(rule.strip().split(" ", 1) for rule in parsed.policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digests[0]}'",
        "script-src": f"'sha256-{digests[1]}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.startswith("<!doctype html>") and page.index("Content-Security-Policy") < page.index("<style")
    assert not any(name == "style" or name.startswith("on") for _, name in parsed.attributes)
    assert parsed.elements["script"] == 1 and parsed.comments == [] and parsed.outside == []
    assert ("script", "src") not in parsed.attributes
    # The script makes no markup of texts, and asks nobody for anything.
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function|fetch|XMLHttp|import", script)


def test_pictures_keep_their_colours_without_inline_styles():
    drawn = str(svg.inline(lambda: forest_of(["a", "b"], np.array([[1.0, -1.0], [1.2, -0.8]])), "one", 'a "b"', 480))
    for colour in (LIGHT.red, LIGHT.blue, LIGHT.line):
        assert f'="{colour}"' in drawn
    assert 'aria-label="a &quot;b&quot;"' in drawn and "style" not in drawn and "metadata" not in drawn
    pointed, ids = set(re.findall(r"#(one-\d+)", drawn)), re.findall(r' id="([^"]+)"', drawn)
    assert pointed == set(ids) and len(ids) == len(set(ids)) > 5


def test_what_is_not_known_to_be_safe_is_left_out_of_a_picture_and_said(caplog):
    import matplotlib.figure

    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    axes.plot([0, 1], gid='"><script>', url="javascript:1")
    drawn = str(svg.inline(lambda: figure, "one", "", 480))
    assert "script" not in drawn and "element a" in caplog.text


def test_pictures_of_their_own_make_no_formula_of_a_name(tmp_path):
    """Outside a page matplotlib's own settings hold, in which dollars begin a formula."""
    curves, text = small()[1], "$\\frac{$ \U0001f600\u4e2d"
    energy = curves["energy"].drop_attrs()
    for index, figure in enumerate(
        (
            plots.prediction(xr.Dataset({text: energy}, attrs=curves.attrs)),
            forest_of([text, "b"], np.array([[1.0, -1.0], [1.2, -0.8]])),
        )
    ):
        figure.savefig(tmp_path / f"{index}.png", dpi=30)


def test_a_session_that_wants_tex_or_a_dark_ground_gets_its_page_all_the_same():
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True, "figure.facecolor": "black"}):
        assert render(*small()) == clean()


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\x00b", "a\ufffdb"),
        ("a\u202eb\ud800", "a\ufffdb\ufffd"),
        ("one\ntwo", "one two"),
        ("βJ ≥ 0, naïve, 中", "βJ ≥ 0, naïve, 中"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_what_no_page_can_hold_is_shown_as_such(text, shown):
    assert readable(text) == shown


def test_labels_are_one_short_line_of_known_glyphs():
    assert drawable("a\n b") == "a b" and drawable("中β") == "?β"
    assert drawable("x" * 10_000, 10) == "x" * 9 + "…" and len(readable("x" * 10_000)) <= 4000
    assert drawable("$\\frac{$") == "$\\frac{$"  # whole: VERBATIM keeps it from becoming a formula


def wrong_predictions() -> dict[str, tuple[object, str]]:
    post, curves = small()
    nowhere = curves.copy(deep=True)
    nowhere["energy"][:] = np.nan
    words = xr.Dataset({"energy": (("beta", "quantity"), np.full((2, 5), "a"))}, curves.coords, curves.attrs)
    return {
        "a posterior": (post, "got a posterior"),
        "a DataTree": (xr.DataTree(), "got a DataTree"),
        "microstates": (glass(), "got microstates"),
        "an array": (np.zeros(3), "type ndarray"),
        "a path": ("prediction.nc", "type str"),
        "a Dataset of something": (xr.Dataset({"x": ("t", [1.0])}), "no observable over"),
        "dims in another order": (curves.transpose("quantity", "beta"), "no observable over"),
        "one temperature without its axis": (curves.isel(beta=0), "no observable over"),
        "no coordinates": (curves.drop_vars("beta"), "no coordinates"),
        "a quantity missing": (curves.sel(quantity=["mean", "sd"]), "each of mean"),
        "nan": (nowhere, "nowhere finite"),
        "infinite": (curves * np.inf, "somewhere infinite"),
        "texts": (words, "no real numbers"),
        "beta below zero": (curves.assign_coords(beta=[-1.0, 0.5]), "above zero"),
        "names that are numbers": (curves.rename({"energy": 3, "entropy": 4}), "with a name"),
        "too many": (curves[["energy"]].assign({f"e{k}": curves["energy"] for k in range(60)}), "at most 60"),
        "a level that is none": (curves.assign_attrs(level="<b>"), "level must be a number"),
        "a level beyond one": (curves.assign_attrs(level=3), "is a probability"),
        "observed nowhere": (curves.assign_attrs(observed_beta="{}"), "list of numbers"),
        "of other temperatures": (curves.assign_attrs(observed_beta="[0.7]"), "another posterior"),
        "of other data": (curves.assign_attrs(data_fingerprint="0"), "another posterior"),
    }


def test_a_prediction_that_is_none_is_said_to_be_none(tmp_path):
    post = small()[0]
    for case, (given, words) in wrong_predictions().items():
        with pytest.raises(HamlearnError, match=words) as raised:
            hl.report(post, tmp_path / "report.html", prediction=given)
        assert len(str(raised.value)) < 400 and not list(tmp_path.iterdir()), case


def test_titles_and_places_that_are_no_text_are_said(tmp_path):
    post, curves = small()
    for title in (3, b"x", ["x"], object()):
        with pytest.raises(HamlearnError, match="title of a page is a text"):
            hl.report(post, tmp_path / "report.html", curves, title=title)
    for place in (None, 3, b"report.html"):
        with pytest.raises(HamlearnError, match="needs a path"):
            hl.report(post, place, curves)
    with pytest.raises(HamlearnError, match="prediction"):
        plots.prediction(post)


def test_a_refused_default_prediction_leaves_the_rest_of_the_page(monkeypatch, caplog):
    post = small()[0]

    def refuse(*_, **__):
        raise HamlearnError("<i>not</i> here.")

    def fail(*_, **__):
        raise AttributeError("coupling_tables")

    for what, told in ((refuse, "Nothing is predicted: &lt;i&gt;not&lt;/i&gt; here."), (fail, "it failed with AttributeError")):
        monkeypatch.setattr(forecast.infer, "predict", what)
        page = render(post)
        assert told in page and "Couplings with their error bars" in page and "Predicted" not in page
    assert "the default prediction of the page failed" in caplog.text


def test_a_record_that_learn_did_not_write_is_one_sentence():
    post = small()[0].copy()
    for written in ("<b>", "[]", '{"likelihood": "exact"}'):
        post.attrs["provenance"] = written
        with pytest.raises(HamlearnError, match=r"the posterior.s (attribute|provenance)"):
            render(post)


def test_a_posterior_that_lost_a_variable_is_not_reported_without_it():
    post = small()[0].copy()
    post["posterior"] = xr.DataTree(post["posterior"].to_dataset().rename({"h": "<b>"}))
    with pytest.raises(HamlearnError, match="lost its variable 'h'"):
        render(post)
