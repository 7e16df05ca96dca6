"""Whether to believe a posterior: a pure function of the codes and numbers recorded with it.

Nothing is computed from data here. `learn` records how the posterior was made, :func:`~hamlearn.diagnostics.diagnose`
how it converged and how it compares with held-out data; this file weighs these numbers, and
``sentences`` says in words what that means and what to do.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import scipy.stats
import xarray as xr

from hamlearn.diagnostics import action_sentences, audit_sentences, calibration_sentences, trainings, unmeasured, wording  # noqa: F401
from hamlearn.diagnostics.findings import Finding, found, told
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import Answer, Asked, doubting
from hamlearn.infer.pipeline import PARETO_K
from hamlearn.infer.provenance import Convergence, Provenance
from hamlearn.infer.scatter import FEWEST_BATCHES
from hamlearn.processes import verb

LEVELS = ("believe", "caution", "do not believe")
RHAT, RHAT_SERIOUS = 1.01, 1.05  # Vehtari et al. 2021, see rhat_limit; beyond the second the chains sample different things
ESS, ESS_SERIOUS = 400.0, 100.0  # 400: R̂ and quantiles are themselves reliable (Vehtari et al. 2021)
DIVERGENT_SHARE = 0.01
PARETO_K_SERIOUS = 1.0  # importance weights beyond it have no mean
PRIOR_SHARE = 0.3  # of a parameter's posterior precision that is the prior's
DATA_PER_PARAMETER, HOPELESS_DATA = 5.0, 1.0
SEARCH_DATA = 50.0  # independent microstates a candidate term: 2 and 12 are too few (benchmarks/dcl/clusters_few_rows.py), 250 are enough
SITE_DATA, HOPELESS_SITE_DATA = 15.0, 3.0  # independent rows per parameter that one site bears (benchmarks/calibration/few_rows.py)
GUESSED_RATIO = 1.4  # by how much error bars of a stand-in are too small where nothing measured it
CHECK, CHECK_SERIOUS = 0.01, 0.001  # overall p-value of the predictive comparison
DEFLATED = 4.0  # standard deviations of a statistic that copies do not explain: one in 16 000 by chance
UNEVEN = 1.5  # times as many distinct rows as even copies leave: resampling with replacement leaves 1.26 times
CAUSES = ("stray codes",)  # findings that all others may follow from: they are said first, however grave those are
AUDIT = "audit"  # of findings that are as grave, those of an audit are said first
_SEVERITY = {"note": 0, "caution": 1, "serious": 2}


@dataclass(frozen=True)
class Verdict:
    """What to believe of a posterior, and why; true in a condition only where the level is "believe".

    Attributes
    ----------
    level : {"believe", "caution", "do not believe"}
    summary : str
        One sentence.
    reasons : tuple of Finding
        Everything that was weighed: what all else may follow from, then the worst first.
    """

    level: str
    summary: str
    reasons: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return self.level == "believe"

    @property
    def doubt(self) -> str:
        """The summary of what is not to be believed; empty of others."""
        return self.summary if self.level == LEVELS[-1] else ""

    def __str__(self) -> str:
        marks = {"note": " ", "caution": "!", "serious": "x"}
        lines = [f"{self.level.upper()}: {self.summary}"]
        for one in self.reasons:
            lines.append(f"  {marks[one.severity]} {one.topic}: {one.what}")
            if one.advice:
                lines.append(f"      → {one.advice}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour = {"believe": "#1a7f4e", "caution": "#9a6700", "do not believe": "#b42318"}[self.level]
        rows = "".join(
            f"<li><b>{html.escape(one.topic)}</b>: {html.escape(one.what)}"
            + (f"<br><i>{html.escape(one.advice)}</i>" if one.advice else "")
            + "</li>"
            for one in self.reasons
        )
        return f'<div><b style="color:{colour}">{self.level.capitalize()}.</b> {html.escape(self.summary)}<ul>{rows}</ul></div>'


@verb
def verdict(post: xr.DataTree) -> Verdict:
    """Weigh what was recorded with a posterior.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn` (or one of :func:`hamlearn.infer.learn` after
        :func:`hamlearn.diagnostics.diagnose`), fresh or loaded from a file.

    Returns
    -------
    Verdict
        ``level``, ``summary`` and ``reasons``; printing it shows all.

    Notes
    -----
    A pure function of ``post.attrs``: the same file gives the same verdict. The thresholds are this module's constants;
    their false-alarm rate and power on planted defects are measured by ``benchmarks/verdict.py``.

    Examples
    --------
    >>> import hamlearn as hl
    >>> glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> data = hl.simulate(glass, beta=0.5, draws=2000, chains=2, seed=0)
    >>> hl.verdict(hl.learn(data, hl.models.Couplings(glass.lattice), engine="laplace", seed=0)).level
    'believe'
    """
    post = admit_posterior(post)
    return weigh(posteriors.provenance_of(post), beta_declared=bool(int(post.attrs.get("beta_declared", 1))))


def judged(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """`function` of posteriors, whose answer says first which of them this verdict does not believe."""
    return doubting(function, lambda post: verdict(post).doubt)


Judge = Callable[[Provenance], Iterator[Finding]]


def weigh(made: Provenance, *, beta_declared: bool = True) -> Verdict:
    """The verdict on a provenance alone; :func:`verdict` is this for a posterior's."""
    judges: tuple[Judge, ...] = (_convergence, _prior, _likelihood, _autocorrelation, _identifiability, _signals, _fit, _noted)
    if made.training is not None:  # a neural density: its weights have no error bars, it has a training instead
        compared = made.check is not None and not wording.without_data(made)
        judges = (trainings.judge, _autocorrelation, _signals, *((_fit,) if compared else ()), _noted)
    unknown = unmeasured.by_topic(made)
    reasons = [one for judge in judges for one in judge(made) if not (one.passed and one.topic in unknown)]
    reasons += [found("no number", "caution", topic, made, names=names) for topic, names in unknown.items()]
    if not beta_declared:
        reasons.append(found("undeclared temperature", "note", "temperature", made))
    reasons.sort(key=lambda one: (one.code not in CAUSES, -_SEVERITY[one.severity], one.topic != AUDIT))
    level = LEVELS[max((_SEVERITY[one.severity] for one in reasons), default=0)]
    return Verdict(level, _summary(reasons, made), tuple(reasons))


def _summary(reasons: list[Finding], made: Provenance) -> str:
    bad = [one for one in reasons if one.severity != "note"]
    if not bad:
        return " ".join([wording.nothing_wrong(made), *(one.sentence for one in reasons if one.topic == AUDIT)])
    more = f" {len(bad) - 1} more {'finding' if len(bad) == 2 else 'findings'} below." if len(bad) > 1 else ""
    return bad[0].sentence + more


def _convergence(made: Provenance) -> Iterator[Finding]:
    seen, topic = made.convergence, "convergence"
    if seen is None:
        yield found("convergence unknown", "caution", topic, made)
        return
    if not seen.sampled:
        if not made.optimum.converged:
            yield found("no optimum", "serious", topic, made)
        yield found("not sampled", "note", topic, made)
        return
    clean = True
    limit = rhat_limit(seen)
    if seen.max_rhat is not None and seen.max_rhat > limit:
        clean, severity = False, "serious" if seen.max_rhat > RHAT_SERIOUS else "caution"
        yield found("rhat", severity, topic, made, rhat=seen.max_rhat, where=seen.max_rhat_where, limit=limit)
    ess = ess_of(seen)
    if ess < ESS:
        clean, severity = False, "serious" if ess < ESS_SERIOUS else "caution"
        where = seen.min_ess_bulk_where if ess == seen.min_ess_bulk else seen.min_ess_tail_where
        yield found("few effective draws", severity, topic, made, ess=ess, where=where, least=ESS)
    total = seen.chains * seen.draws
    if seen.divergences:
        clean, severity = False, "serious" if seen.divergences > DIVERGENT_SHARE * total else "caution"
        yield found("divergences", severity, topic, made, count=seen.divergences, total=total)
    if (seen.saturated or 0) > DIVERGENT_SHARE * total:
        clean = False
        yield found("depth limit", "caution", topic, made, count=seen.saturated, total=total)
    if made.pareto_k is not None and made.pareto_k > PARETO_K:
        clean, severity = False, "serious" if made.pareto_k > PARETO_K_SERIOUS else "caution"
        yield found("importance weights", severity, topic, made, k=made.pareto_k, most=PARETO_K)
    if seen.chains == 1:
        clean = False
        yield found("one chain", "caution", topic, made)
    if clean:
        yield found("converged", "note", topic, made, passed=True, rhat=seen.max_rhat, ess=ess)


def rhat_limit(seen: Convergence) -> float:
    """1.01, or what independent draws reach by chance where the chains are short.

    Of m half chains of n independent draws each, 2n(m − 1)(R̂ − 1) is about χ² with m − 1 degrees of freedom; the
    largest of all parameters exceeds the limit in one run out of a thousand. One chain is judged as its two halves.
    """
    chains, draws = (2, seen.draws // 2) if seen.chains == 1 else (seen.chains, seen.draws)
    degrees = 2 * chains - 1
    chance = scipy.stats.chi2.isf(1e-3 / max(seen.judged, 1), degrees) / degrees
    return max(RHAT, 1 + float(chance) / max(draws, 1))


def ess_of(seen: Convergence) -> float:
    """The smaller of the bulk and tail effective sample sizes."""
    return min(float("inf") if one is None else one for one in (seen.min_ess_bulk, seen.min_ess_tail))


def _likelihood(made: Provenance) -> Iterator[Finding]:
    calibration, topic = made.calibration, "calibration"
    basis = calibration.basis.code
    if made.composite:
        if calibration.adjusted:
            yield found("calibrated", "note", topic, made, passed=True)
        elif basis == "separable" and made.frozen_sites:  # separable where nothing varies, ordinary elsewhere
            yield found("separable at frozen sites", "caution", topic, made)
        elif basis == "separable":
            yield found("separable, no error bars", "serious", topic, made)
        else:
            ratio = (made.check.width_ratio if made.check else None) or GUESSED_RATIO
            yield found("uncalibrated", "serious" if ratio > 2 else "caution", topic, made, ratio=ratio)
    elif basis == "separable":
        yield found("separable", "caution", topic, made)
    elif basis == "off" and not made.independent and any(float(source.get("tau_int", 2.0)) > 1 for source in made.source):
        yield found("independence untested", "caution", topic, made)
    else:
        yield found("true likelihood", "note", "likelihood", made, passed=True)


def _autocorrelation(made: Provenance) -> Iterator[Finding]:
    calibration, topic = made.calibration, "autocorrelation"
    if calibration.chains_disagree:
        yield found("chains disagree", "serious", topic, made)
    if calibration.tau <= 1:
        return
    if calibration.kind == "too few batches" or (calibration.batches or FEWEST_BATCHES) < FEWEST_BATCHES:
        yield found("few batches", "caution", topic, made)
    elif not calibration.adjusted:
        yield found("autocorrelated", "note", topic, made)
    else:
        drifts = any(signal.topic == "stationarity" for signal in made.signals)
        yield found("autocorrelated, drift" if drifts else "autocorrelated, counted", "note", topic, made)


def _prior(made: Provenance) -> Iterator[Finding]:
    dominated = [k for k, share in enumerate(made.prior_share) if share > PRIOR_SHARE]
    if dominated or made.frozen_fields:
        most = len(dominated) > 0.5 * max(len(made.prior_share), 1)
        yield found("prior decides", "serious" if most else "caution", "prior", made, dominated=dominated)


def _identifiability(made: Provenance) -> Iterator[Finding]:
    known, topic = made.identifiability, "identifiability"
    if known.unidentified:
        yield found("unidentified", "serious" if made.engine.name == "mle" else "caution", topic, made)
    yield from _few_rows(made)
    if made.candidates and made.worth < SEARCH_DATA * made.candidates:  # the choice among them is then in no interval
        yield found("few data for a search", "caution", topic, made, wanted=SEARCH_DATA * made.candidates)
    if known.data_at_worst_site is not None and known.data_at_worst_site < SITE_DATA:
        return  # said by _few_rows
    if known.data_per_parameter < DATA_PER_PARAMETER:
        yield found("few data", "serious" if known.data_per_parameter < HOPELESS_DATA else "caution", topic, made)
    else:
        yield found("enough data", "note", topic, made, passed=True)


def _few_rows(made: Provenance) -> Iterator[Finding]:
    """Independent rows against parameters: where one site has to bear many, and where all together outnumber the rows.

    A site's conditional is a regression on its own parameters, so the worst site decides. Totals such as energies feel all
    parameters at once: estimating p of them moves a total by about p/(Mβ), many of its own error bars where M < p.
    """
    known = made.identifiability
    p = made.n_params if known.n_effective is None else known.n_effective  # of a sparse posterior: those that exist
    worst, topic = known.data_at_worst_site, "identifiability"
    if worst is None:
        return
    if worst < SITE_DATA:
        yield found("few data at a site", "serious" if worst < HOPELESS_SITE_DATA else "caution", topic, made, parameters=p)
    elif made.worth < p:
        yield found("fewer rows than parameters", "caution", topic, made, parameters=p)


def _fit(made: Provenance) -> Iterator[Finding]:
    check, topic = made.check, "fit"
    if check is None or check.decision == "not run":
        yield found("not compared", "caution", topic, made)
        return
    if check.decision == "undecided" or check.overall_p is None:
        yield found("undecided", "caution", topic, made)
    elif check.overall_p < CHECK:
        yield found("misfit", "serious" if check.overall_p < CHECK_SERIOUS else "caution", topic, made)
    else:
        yield found("fits", "note", topic, made, passed=True)
    if check.skipped and check.decision != "undecided":
        yield found("left out", "note", topic, made)
    if check.isolated:
        yield found("isolated sites", "caution", topic, made)


def _noted(made: Provenance) -> Iterator[Finding]:
    """What a family noted while learning or extrapolating."""
    yield from (told(noted, made) for noted in made.findings)


def _signals(made: Provenance) -> Iterator[Finding]:
    """What was found in the data themselves; weighed before the fit, of whose failure it may be the cause.

    Equal rows may be its consequence: what a misfit makes too improbable repeats too often.
    """
    for noted in made.signals:
        if noted.code == "equal rows" and _misfits_without_copies(made, **noted.numbers):
            yield found("equal rows of a misfit", "caution", noted.topic, made, **noted.numbers)
        else:
            yield told(noted, made)


def _misfits_without_copies(made: Provenance, *, rows: float, distinct: int, copies: float, **_: Any) -> bool:
    """Whether copies of rows, as many as would explain the equal ones, do not explain the misfit, or cannot be.

    They inflate variances by their number. Every row copied so often leaves room for no more than `rows` / `copies` distinct ones.
    """
    check = made.check
    if check is None or check.overall_p is None or check.overall_p >= CHECK_SERIOUS:
        return False
    return check.largest_z > DEFLATED * copies**0.5 or distinct > UNEVEN * rows / copies
