"""One self-contained HTML page about a posterior: the verdict first, then what it rests on."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from hamlearn import infer, plots, storage
from hamlearn.arguments import require_path
from hamlearn.diagnostics import Audit, arviz, claims, wording
from hamlearn.diagnostics.calibration import Ranks
from hamlearn.diagnostics.diagnose import diagnose
from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.diagnostics.identifiability import identifiability
from hamlearn.diagnostics.phases import Phases
from hamlearn.diagnostics.verdict import Verdict, verdict
from hamlearn.errors import HamlearnError
from hamlearn.infer import CriticalPoint, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.interrupts import uninterrupted
from hamlearn.page import audited, calibrated, forecast, frame, phased, population, result, sections, tables, transition, words
from hamlearn.plots.curves import drawn, require
from hamlearn.processes import alone, filtering, verb

Answered = CriticalPoint | Phases | Audit | Ranks
ANSWERS: dict[type, Callable[[Any], result.Answer]] = {
    CriticalPoint: transition.page,
    Phases: phased.page,
    Audit: audited.page,
    Ranks: calibrated.page,
}
"""What each result's page says."""
HEADLINES = {"believe": "Believe it", "caution": "Use it with caution", "do not believe": "Do not believe it"}


@verb
def report(
    post: xr.DataTree | Answered,
    path: str | os.PathLike[str],
    prediction: xr.Dataset | None = None,
    title: str | None = None,
    *,
    group: str | None = None,
    data: Any = None,
    questions: Sequence[str] | None = None,
) -> Path:
    """Write one self-contained HTML page that opens offline.

    The answer comes first: the verdict, the picture of the couplings, and the prediction. Then what to believe, what not, and what to
    do about it, every parameter with its error bar, predictions with bands, the comparison with held-out data in plain words,
    convergence, identifiability, and where everything came from.

    Parameters
    ----------
    post : DataTree, CriticalPoint, Phases, Audit or Ranks
        A posterior of :func:`hamlearn.learn`, fresh or loaded; or another answer, whose page has pictures and tables of its own: what
        :func:`hamlearn.critical_point` or a function of :mod:`hamlearn.diagnostics.phases` found, an audit of :func:`hamlearn.audit`, a
        calibration of :mod:`hamlearn.diagnostics.calibration`.
    path : path
        Where the page goes; it is written completely or not at all.
    prediction : Dataset, optional
        What :func:`hamlearn.predict` returned. By default energy and heat capacity (entropy and free energy as well
        where an oracle knows them) from a fifth to twice the observed β (of densities from 0.8 to 1.25 of it, of an
        extrapolated posterior from there to where it was carried), where that takes seconds.
    title : str, optional
        Title of the page.
    group : str, optional
        Of a posterior of groups: the one that the page is about; without a name it is about all of them, with their means and spreads.
    data : Dataset or list of Datasets, optional
        Of couplings between all pairs of spins: the microstates, which most of the questions below need.
    questions : sequence of str, optional
        Of such couplings: what is answered whatever it takes, of "pairs" (which are there), "entropy" (with the probability that K spins
        are up), "information" (how much of it is in pairs), "triplets" and "basins"; the others are where about two seconds are enough,
        and elsewhere the page says how to ask them.

    Returns
    -------
    Path
        Of the file written.

    Raises
    ------
    HamlearnError
        If it is no posterior, the prediction is none or one of other data, the title is no text, a question is none or of another kind
        of posterior, or the place cannot be written.

    Notes
    -----
    Whatever names and notes hold, they are shown as text: everything is escaped, pictures are copied shape by shape, and the page's
    content security policy forbids requests, forms, and every script and style but its own, which are known by their digests. The
    script sorts and copies tables; without it the page is whole. The numbers behind figures and tables are CSV files inside the page.

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
    page = render(post if group is None else infer.group(post, group), prediction, title, data, questions)  # type: ignore[arg-type]
    with uninterrupted():
        return storage.write_atomically(target, lambda temporary: _write(temporary, page))


def _write(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8", newline="\n")  # the policy holds the digest of these very bytes


@alone()
@filtering()
def render(
    post: xr.DataTree | Answered,
    prediction: xr.Dataset | None = None,
    title: str | None = None,
    data: Any = None,
    questions: Sequence[str] | None = None,
) -> str:
    """The page of :func:`report` as a string."""
    if title is not None and not isinstance(title, str):
        raise HamlearnError(f"the title of a page is a text; got {title!r}.")
    if isinstance(post, Answered):
        if not (prediction is data is questions is None):
            named = type(post).__name__
            raise HamlearnError(
                f"the page of {named} has pictures and tables of its own; prediction=, data= and questions= are for a posterior."
            )
        return result.render(ANSWERS[type(post)](post), title)
    if prediction is not None:
        require(prediction)
    admit_posterior(post)
    try:
        if posteriors.provenance_of(post).convergence is None:
            post = diagnose(post.copy(), check=False)  # the caller's posterior stays as it is
        return _render(post, prediction, title, population.parts(post, data, questions))
    except HamlearnError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise HamlearnError(
            f"cannot make the page: this posterior is not as hamlearn.learn wrote it ({readable(repr(error), 300)}). Learn it again, or "
            "take the file that hl.save wrote; if this is one, please report a bug."
        ) from error


def _render(post: xr.DataTree, prediction: xr.Dataset | None, title: str | None, asked: list[population.Part]) -> str:
    from importlib.metadata import version

    made, found, page = posteriors.provenance_of(post), verdict(post), sections.page(post)
    curves, prediction_lead = forecast.curves_of(post, prediction)
    # Weights of networks have no meaning one by one, and energies of states are no parameters: then there is no table of
    # directions that the data leave open.
    heading = claims.quantities(post)[0]
    weak = identifiability(post, directions=6) if heading == claims.PARAMETERS else None
    caption = "" if curves is None else forecast.caption(post, curves)
    template, parts = frame.template("report.html")
    audit = Audit.from_dataset(post["audit"].to_dataset()) if "audit" in post.children else None
    return str(
        template.render(
            **parts,
            title=title or page.title,
            subtitle=page.subtitle,
            contents=_contents(heading, audited=audit is not None, asked=bool(asked), determined=weak is not None),
            verdict=found,
            headline=HEADLINES[found.level],
            good=[reason for reason in found.reasons if reason.passed],
            notes=[reason for reason in found.reasons if reason.severity == "note" and not reason.passed and not reason.advice],
            bad=[reason for reason in found.reasons if reason.severity != "note"],
            advice=_advice(found),
            limits=words.limits(made, found),
            audit_lead="" if audit is None else f"{audit.summary[0].upper()}{audit.summary[1:]}. {audited.method(audit)}",
            audit=[] if audit is None else audited.tables(audit),
            first=None if page.first is None else frame.drawn(page.first),
            facts=claims.facts(post),
            figures=[frame.drawn(one) for one in page.others],
            summary_heading=heading,
            summary_lead=_summary_lead(post),
            parameters=tables.parameters(post),
            panels=[] if curves is None else [frame.drawn(one) for one in _panels(post, curves, caption)],
            panels_caption=caption,
            prediction_lead=prediction_lead,
            prediction_table=None if curves is None else tables.predictions(curves),
            measured=None if curves is None else tables.measured(post, curves),
            population=asked,
            check_lead=words.check_lead(post),
            checks=tables.checks(post),
            convergence_lead=words.convergence_lead(made),
            convergence=tables.convergence(made, found),
            trace=frame.drawn(_trace(post)) if made.convergence is not None and made.convergence.sampled else None,
            identifiability_lead="" if weak is None else words.identifiability_lead(weak),
            weak=None if weak is None else tables.weak(weak),
            provenance=words.provenance(post),
            reasons=[*made.reasons, wording.basis(made.calibration.basis)],
            version=version("hamlearn"),
        )
    )


def _contents(heading: str, *, audited: bool, asked: bool, determined: bool) -> list[tuple[str, str]]:
    """Ids and names of the parts of the page."""
    found = [("findings", "How far to trust it"), *([("audit", "Its audit")] if audited else [])]
    found += [("learned", heading), ("predictions", "Predictions")]
    found += [("population", "The spins together")] if asked else []
    found += [("comparison", "Is it like the data?"), ("convergence", "Convergence")]
    return found + ([("determined", "What the data determine")] if determined else []) + [("origin", "Where this comes from")]


def _advice(found: Verdict) -> list[str]:
    return list(dict.fromkeys(reason.advice for reason in found.reasons if reason.advice))


def _summary_lead(post: xr.DataTree) -> str:
    """What the columns of the tables of parameters are, and in which units."""
    count, noun = claims.draws(post)
    if count == 1:
        told = f"Of one {noun}, which has no spread: no standard deviation, no interval."
    else:
        measures = ", effective sample sizes and R-hat" if arviz.sampled(post) else ""
        told = (
            f"Mean, standard deviation and equal-tailed 90 % interval (grey where it contains zero){measures} of {claims.told_draws(post)}."
        )
    return f"{told} {claims.units(post)}".strip()


def _panels(post: xr.DataTree, curves: xr.Dataset, caption: str) -> list[sections.Section]:
    """One figure for every observable, so that a phone shows them below each other; the first one is part of the answer."""
    panels, measured = [], post["measured"].to_dataset() if "measured" in post else None
    for index, name in enumerate(drawn(curves)):  # numbered: names are the user's
        mean = curves[name].sel(quantity="mean").values
        ends = f"from {mean[0]:.3g} at beta {float(curves['beta'][0]):.3g} to {mean[-1]:.3g} at beta {float(curves['beta'][-1]):.3g}"
        what = readable(curves[name].attrs.get("long_name", name), NAME).split(",")[0]
        draw = functools.partial(plots.prediction, curves[[name]], measured=measured, legend=False)
        below = caption if index == 0 else ""
        panels.append(sections.Section(f"Predicted {what}", f"prediction-{index}", draw, below, f"Predicted {what}, {ends}.", 480))
    return panels


def _trace(post: xr.DataTree) -> sections.Section:
    caption = "The parameters whose chains differ most. Flat ranks: the chains sample the same distribution."
    alternative = "Traces and rank histograms of four parameters."
    return sections.Section(
        "", "trace", functools.partial(plots.trace, post), caption, alternative, 860, functools.partial(tables.traces, post)
    )
