"""One self-contained HTML page about a posterior: the verdict first, then what it rests on."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from hamlearn import plots, storage
from hamlearn.arguments import require_path
from hamlearn.diagnostics import arviz, claims, wording
from hamlearn.diagnostics.diagnose import diagnose
from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.diagnostics.identifiability import identifiability
from hamlearn.diagnostics.verdict import Verdict, verdict
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.provenance import Provenance
from hamlearn.interrupts import uninterrupted
from hamlearn.page import forecast, sections, svg, tables
from hamlearn.plots.curves import drawn, require
from hamlearn.plots.style import LIGHT
from hamlearn.processes import alone, filtering, verb

if TYPE_CHECKING:
    from markupsafe import Markup

HEADLINES = {"believe": "Believe it", "caution": "Use it with caution", "do not believe": "Do not believe it"}
COLOURS = {LIGHT.ink: "currentColor", LIGHT.line: "var(--line)", LIGHT.ground: "var(--paper)"}
# Nothing runs, nothing is fetched, nothing is sent, and no style but the page's own sheet holds; pictures of pixels are in the page.
POLICY = "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'"


class Drawn(NamedTuple):
    """A figure of the page: what stands above it, its drawing, and what stands below it."""

    heading: str
    drawing: Markup
    caption: str


@verb
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
        If it is no posterior, the prediction is none or one of other data, the title is no text, or the place cannot be written.

    Notes
    -----
    Whatever names and notes hold, they are shown as text: everything is escaped, pictures are copied shape by shape, and the page's
    content security policy forbids scripts, requests, forms and every style but its own sheet.

    Examples
    --------
    >>> import hamlearn as hl, tempfile
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hl.report(post, f"{folder}/report.html").stat().st_size > 10_000
    True
    """
    if not isinstance(path, str | os.PathLike):
        raise HamlearnError(f"the page needs a path to be written to, such as 'report.html'; got {path!r}.")
    target = Path(require_path(path))
    if target.suffix.lower() not in (".html", ".htm"):
        raise HamlearnError(f"the path of a page ends in .html, such as {target.with_suffix('.html')}; got {target}.")
    storage.require_writable(target, (target.suffix,))  # before the work, not after it
    page = render(post, prediction, title)
    with uninterrupted():
        return storage.write_atomically(target, lambda temporary: _write(temporary, page))


def _write(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8", newline="\n")  # the policy holds the digest of these very bytes


@alone()
@filtering()
def render(post: xr.DataTree, prediction: xr.Dataset | None = None, title: str | None = None) -> str:
    """The page of :func:`report` as a string."""
    if title is not None and not isinstance(title, str):
        raise HamlearnError(f"the title of a page is a text; got {title!r}.")
    if prediction is not None:
        require(prediction)
    admit_posterior(post)
    try:
        if posteriors.provenance_of(post).convergence is None:
            post = diagnose(post.copy(), check=False)  # the caller's posterior stays as it is
        return _render(post, prediction, title)
    except HamlearnError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise HamlearnError(
            f"cannot make the page: this posterior is not as hamlearn.learn wrote it ({readable(repr(error), 300)}). Learn it again, or "
            "take the file that hl.save wrote; if this is one, please report a bug."
        ) from error


def _render(post: xr.DataTree, prediction: xr.Dataset | None, title: str | None) -> str:
    from importlib.metadata import version

    made, found, page = posteriors.provenance_of(post), verdict(post), sections.page(post)
    curves, prediction_lead = forecast.curves_of(post, prediction)
    columns = [[_drawn(one) for one in column] for column in (page.left, page.right)]
    checks = tables.checks(post)
    figures = {name: _drawn(one) for name, one in _common(post, made, shown=bool(checks)).items()}
    panels = [] if curves is None else [_drawn(one) for one in _panels(post, curves)]
    # Weights of networks have no meaning one by one, and energies of states are no parameters: then there is no table of
    # directions that the data leave open.
    weak = identifiability(post, directions=6) if claims.quantities(post)[0] == claims.PARAMETERS else None
    summary = arviz.summary(post)
    summary = summary[["mean"]] if claims.draws(post)[0] == 1 else summary  # one member has no spread
    shown = summary if len(summary) <= 500 else summary.loc[summary["mean"].abs().sort_values(ascending=False).index[:500]]
    template, style, policy = _template()
    return str(
        template.render(
            style=style,
            policy=policy,
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
            limits=tables.limits(made, found),
            figures=figures,
            panels=panels,
            panels_caption="" if curves is None else forecast.caption(post, curves),
            prediction_lead=prediction_lead,
            prediction_table=None if curves is None else tables.predictions(curves),
            check_lead=tables.check_lead(post),
            checks=checks,
            strengths=any(row["strength"] for row in checks),
            convergence_lead=tables.convergence_lead(made),
            convergence=tables.convergence(made, found),
            identifiability_lead="" if weak is None else tables.identifiability_lead(weak),
            weak=[] if weak is None else tables.weak(weak),
            summary_heading=claims.quantities(post)[0],
            summary_lead=_summary_lead(post, len(summary), len(shown)),
            summary_table=tables.frame(shown),
            provenance=tables.provenance(post),
            reasons=[*made.reasons, wording.basis(made.calibration.basis)],
            version=version("hamlearn"),
        )
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


def _panels(post: xr.DataTree, curves: xr.Dataset) -> list[sections.Section]:
    """One figure for every observable, so that a phone shows them below each other."""
    panels, measured = [], post["measured"].to_dataset() if "measured" in post else None
    for index, name in enumerate(drawn(curves)):  # numbered: names are the user's
        mean = curves[name].sel(quantity="mean").values
        ends = f"from {mean[0]:.3g} at beta {float(curves['beta'][0]):.3g} to {mean[-1]:.3g} at beta {float(curves['beta'][-1]):.3g}"
        what = readable(curves[name].attrs.get("long_name", name), NAME).split(",")[0]
        draw = functools.partial(plots.prediction, curves[[name]], measured=measured, legend=False)
        panels.append(sections.Section("", f"prediction-{index}", draw, "", f"Predicted {what}, {ends}.", 480))
    return panels


def _common(post: xr.DataTree, made: Provenance, *, shown: bool) -> dict[str, sections.Section]:
    """Figures that every kind of posterior may have."""
    found = {}
    if shown:
        caption = "Statistics and data that were not fitted. Grey: within two standard deviations. Red: differs."
        count, p = (made.check.statistics, made.check.overall_p) if made.check else (0, None)
        words = f"Deviations of {count} statistics in sd; overall {wording.chance(1.0 if p is None else p)}."
        found["checks"] = sections.Section("", "checks", lambda: plots.checks(post), caption, words, 640)
    if made.convergence is not None and made.convergence.sampled:
        caption = "The parameters whose chains differ most. Flat ranks: the chains sample the same distribution."
        words = "Traces and rank histograms of four parameters."
        found["trace"] = sections.Section("", "trace", lambda: plots.trace(post), caption, words, 860)
    return found


def _drawn(section: sections.Section) -> Drawn:
    drawing = svg.inline(section.draw, section.name, section.alternative, section.width, COLOURS)
    return Drawn(section.heading, drawing, section.caption)


@functools.cache
def _template() -> tuple[Any, Markup, Markup]:
    """The template, its style sheet, and the policy that allows nothing else."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    # Everything is escaped: titles, names and notes are the user's, or a stranger's whose file was loaded.
    environment = Environment(
        loader=PackageLoader("hamlearn.page"), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_readable
    )
    environment.filters["short"] = functools.partial(readable, limit=NAME)
    style = Markup((Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html"), style, Markup(POLICY.format(digest))


def _readable(value: object) -> object:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else readable(value)
