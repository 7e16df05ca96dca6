"""One self-contained HTML page about a posterior: the verdict first, then what it rests on."""

from __future__ import annotations

import functools
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from hamlearn import storage
from hamlearn.diagnostics import arviz, claims, forecast, pages, plots, tables
from hamlearn.diagnostics.attach import attach
from hamlearn.diagnostics.identifiability import identifiability
from hamlearn.diagnostics.verdict import Verdict, verdict
from hamlearn.errors import HamlearnError
from hamlearn.infer import tree

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

HEADLINES = {"believe": "Believe it", "caution": "Use it with caution", "do not believe": "Do not believe it"}


def report(post: xr.DataTree, path: str | os.PathLike[str], prediction: xr.Dataset | None = None, title: str | None = None) -> Path:
    """Write one self-contained HTML page that opens offline.

    The verdict comes first: what to believe, what not, and what to do about it. Then what was learned with its error
    bars (couplings also as a picture of the lattice), predictions with bands, the comparison with held-out data in plain words,
    convergence, identifiability, and where everything came from.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`, fresh or loaded.
    path : path
        Where the page goes; it is written completely or not at all.
    prediction : Dataset, optional
        What :func:`hamlearn.predict` returned. By default energy and heat capacity (entropy and free energy as well
        where an oracle knows them) from a fifth to twice the observed β (of densities from 0.8 to 1.25 of it, of an
        extrapolated posterior from there to where it was carried), where that takes seconds.
    title : str, optional
        Title of the page.

    Returns
    -------
    Path
        Of the file written.

    Raises
    ------
    HamlearnError
        If it is no posterior or the place cannot be written.

    Examples
    --------
    >>> import hamlearn as hl, tempfile
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hl.report(post, f"{folder}/report.html").stat().st_size > 10_000
    True
    """
    target = Path(path)
    if not target.parent.is_dir():  # before the work, not after it
        raise HamlearnError(f"cannot write {target}: the folder {target.parent} does not exist.")
    if "convergence" not in tree.record_of(post):
        post = attach(post.copy(), check=False)  # the caller's posterior stays as it is
    page = render(post, prediction, title)
    return storage.write_atomically(target, lambda temporary: _write(temporary, page))


def _write(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8")


def render(post: xr.DataTree, prediction: xr.Dataset | None = None, title: str | None = None) -> str:
    """The page of :func:`report` as a string."""
    from importlib.metadata import version

    record, found, page = tree.record_of(post), verdict(post), pages.page(post)
    curves, prediction_lead = forecast.curves_of(post, prediction)
    columns = [[(one.heading, _draw(one)) for one in column] for column in (page.left, page.right)]
    checks = tables.checks(post)
    figures = {name: _draw(one) for name, one in _common(post, record, shown=bool(checks)).items()}
    panels = [] if curves is None else _panels(curves)
    # Weights of networks have no meaning one by one, and energies of states are no parameters: then there is no table of
    # directions that the data leave open.
    weak = identifiability(post, directions=6) if claims.quantities(post)[0] == claims.PARAMETERS else None
    summary = arviz.summary(post)
    summary = summary[["mean"]] if claims.draws(post)[0] == 1 else summary  # one member has no spread
    shown = summary if len(summary) <= 500 else summary.loc[summary["mean"].abs().sort_values(ascending=False).index[:500]]
    return _template().render(
        title=title or page.title,
        subtitle=page.subtitle,
        columns=columns,
        verdict=found,
        headline=HEADLINES[found.level],
        good=[reason for reason in found.reasons if reason.passed],
        notes=[reason for reason in found.reasons if reason.severity == "note" and not reason.passed and not reason.advice],
        bad=[reason for reason in found.reasons if reason.severity != "note"],
        advice=_advice(found),
        facts=claims.facts(post),
        limits=tables.limits(record, found),
        figures=figures,
        panels=panels,
        panels_caption="" if curves is None else forecast.caption(post, curves),
        prediction_lead=prediction_lead,
        prediction_table=None if curves is None else tables.predictions(curves),
        check_lead=tables.check_lead(post),
        checks=checks,
        strengths=any(row["strength"] for row in checks),
        convergence_lead=tables.convergence_lead(record),
        convergence=tables.convergence(record),
        identifiability_lead="" if weak is None else tables.identifiability_lead(weak),
        weak=[] if weak is None else tables.weak(weak),
        summary_heading=claims.quantities(post)[0],
        summary_lead=_summary_lead(post, len(summary), len(shown)),
        summary_table=tables.frame(shown),
        provenance=tables.provenance(post),
        reasons=[*record.get("reasons", []), record["calibration"]["note"]],
        version=version("hamlearn"),
    )


def _advice(found: Verdict) -> list[str]:
    return list(dict.fromkeys(reason.advice for reason in found.reasons if reason.advice))


def _summary_lead(post: xr.DataTree, total: int, shown: int) -> str:
    """What the columns of the table of parameters are."""
    if claims.draws(post)[0] == 1:
        columns = f"Of one {claims.draws(post)[1]}, which has no spread: no standard deviation, no interval."
    elif arviz.sampled(post):
        columns = f"Mean, standard deviation, equal-tailed 90 % interval, effective sample sizes and R-hat of {claims.told_draws(post)}."
    else:
        columns = f"Mean, standard deviation and equal-tailed 90 % interval of {claims.told_draws(post)}."
    less = "" if shown == total else f" Shown are the {shown} of {total} with the largest means."
    return columns + less


def _panels(curves: xr.Dataset) -> list[Markup]:
    """One figure for every observable, so that a phone shows them below each other."""
    panels = []
    for name in forecast.drawn(curves):
        mean = curves[name].sel(quantity="mean").values
        ends = f"from {mean[0]:.3g} at beta {float(curves['beta'][0]):.3g} to {mean[-1]:.3g} at beta {float(curves['beta'][-1]):.3g}"
        what = str(curves[name].attrs.get("long_name", name)).split(",")[0]
        panels.append(_figure(f"prediction-{name}", plots.prediction(curves[[name]], legend=False), "", f"Predicted {what}, {ends}.", 480))
    return panels


def _common(post: xr.DataTree, record: dict[str, Any], *, shown: bool) -> dict[str, pages.Section]:
    """Figures that every kind of posterior may have."""
    digest, found = record.get("check", {}), {}
    if shown:
        caption = "Statistics and data that were not fitted. Grey: within two standard deviations. Red: differs."
        words = f"Deviations of {digest.get('statistics', 0)} statistics in sd; overall p-value {digest.get('overall_p', 1):.2g}."
        found["checks"] = pages.Section("", "checks", lambda: plots.checks(post), caption, words, 640)
    if record["convergence"].get("sampled"):
        caption = "The parameters whose chains differ most. Flat ranks: the chains sample the same distribution."
        words = "Traces and rank histograms of four parameters."
        found["trace"] = pages.Section("", "trace", lambda: plots.trace(post), caption, words, 860)
    return found


def _draw(section: pages.Section) -> Markup:
    return _figure(section.name, section.draw(), section.caption, section.alternative, section.width)


def _figure(name: str, figure: Figure, caption: str, alternative: str, width: int) -> Markup:
    """Inline SVG in the page's own colours, with a text alternative."""
    import matplotlib as mpl
    from markupsafe import Markup, escape

    stream = io.StringIO()
    # Fixed ids: the same posterior gives the same page, and the figures of one page do not share clip paths.
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns:xlink="[^"]*"| xmlns="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = svg.replace(plots.INK, "currentColor").replace(plots.LINE, "var(--line)").replace(plots.GROUND, "var(--paper)")
    label = str(escape(alternative))
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}" style="--width: {width}px"', 1)
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup("<figure>{}{}</figure>").format(Markup(svg), below)


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader

    # Autoescape everything: titles, site names and file names are the user's.
    environment = Environment(loader=PackageLoader("hamlearn.diagnostics"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html")
