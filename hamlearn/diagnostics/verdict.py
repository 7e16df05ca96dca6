"""Whether to believe a posterior: a pure function of the numbers recorded with it.

Nothing is computed from data here. `learn` records how the posterior was made, :func:`~hamlearn.diagnostics.diagnose`
how it converged and how it compares with held-out data; this file weighs these numbers and says what to do.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import scipy.stats
import xarray as xr

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.scores import words
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.processes import verb

LEVELS = ("believe", "caution", "do not believe")
RHAT, RHAT_SERIOUS = 1.01, 1.05  # Vehtari et al. 2021, see rhat_limit; beyond the second the chains sample different things
ESS, ESS_SERIOUS = 400.0, 100.0  # 400: R̂ and quantiles are themselves reliable (Vehtari et al. 2021)
DIVERGENT_SHARE = 0.01
PRIOR_SHARE = 0.3  # of a parameter's posterior precision that is the prior's
DATA_PER_PARAMETER, HOPELESS_DATA = 5.0, 1.0
MIN_BATCHES = 10  # intervals have t tails for their number; below ten they cover 0.86–0.88 for 0.90 (benchmarks/calibration/batches.py)
SEARCH_DATA = 50.0  # independent microstates a candidate term: 2 and 12 are too few (benchmarks/dcl/clusters_few_rows.py), 250 are enough
SITE_DATA, HOPELESS_SITE_DATA = 15.0, 3.0  # independent rows per parameter that one site bears (benchmarks/calibration/few_rows.py)
CHECK, CHECK_SERIOUS = 0.01, 0.001  # overall p-value of the predictive comparison
_SEVERITY = {"note": 0, "caution": 1, "serious": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    severity : {"note", "caution", "serious"}
        A note changes nothing; one serious finding is enough not to believe the result.
    topic : str
        One word or two: "convergence", "calibration", "autocorrelation", "prior", "identifiability", "temperature",
        "fit", "likelihood".
    what : str
        What was found, in a sentence.
    advice : str
        What to do about it; empty for notes that ask for nothing.
    passed : bool
        Whether this says that a test was passed. Only these carry a tick: other notes are facts and caveats.
    """

    severity: str
    topic: str
    what: str
    advice: str = ""
    passed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What to believe of a posterior, and why; true in a condition only where the level is "believe".

    Attributes
    ----------
    level : {"believe", "caution", "do not believe"}
    summary : str
        One sentence.
    reasons : tuple of Finding
        Everything that was weighed, the worst first.
    """

    level: str
    summary: str
    reasons: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return self.level == "believe"

    def __str__(self) -> str:
        marks = {"note": " ", "caution": "!", "serious": "x"}
        lines = [f"{self.level.upper()}: {self.summary}"]
        for found in self.reasons:
            lines.append(f"  {marks[found.severity]} {found.topic}: {found.what}")
            if found.advice:
                lines.append(f"      → {found.advice}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour = {"believe": "#1a7f4e", "caution": "#9a6700", "do not believe": "#b42318"}[self.level]
        rows = "".join(
            f"<li><b>{html.escape(found.topic)}</b>: {html.escape(found.what)}"
            + (f"<br><i>{html.escape(found.advice)}</i>" if found.advice else "")
            + "</li>"
            for found in self.reasons
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
    record, attrs = posteriors.record_of(post), post.attrs
    return judge_record(record, beta_declared=bool(int(attrs.get("beta_declared", 1))))


def judge_record(record: dict[str, Any], *, beta_declared: bool = True) -> Verdict:
    """The verdict on a record alone; :func:`verdict` is this for a posterior's."""
    judges: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
        _convergence,
        _prior,
        _likelihood,
        _autocorrelation,
        _identifiability,
        _signals,
        _fit,
        _recorded,
    )
    if "training" in record:  # a neural density: its weights have no error bars, it has a training instead
        from hamlearn.diagnostics import densities  # it makes findings itself: imported when both files are complete

        compared = "check" in record and not wording.without_data(record)
        judges = (densities.judge, _autocorrelation, _signals, *((_fit,) if compared else ()), _recorded)
    reasons = [found for judge in judges for found in judge(record)]
    if not beta_declared:
        reasons.append(
            Finding("note", "temperature", wording.undeclared(record), "Declare it with hl.microstates(..., beta=...) if it is known.")
        )
    reasons.sort(key=lambda found: -_SEVERITY[found.severity])
    level = LEVELS[max((_SEVERITY[found.severity] for found in reasons), default=0)]
    return Verdict(level, _summary(level, reasons, record), tuple(reasons))


def _summary(level: str, reasons: list[Finding], record: dict[str, Any]) -> str:
    bad = [found for found in reasons if found.severity != "note"]
    if not bad and "training" in record:
        from hamlearn.diagnostics import densities

        return densities.summary(record)
    if not bad:
        size = f"{wording.size(record)} from {wording.count(record['microstates'])} microstates"
        sampled = ", the chains converged" if record.get("convergence", {}).get("sampled") else ""
        agree = f"held-out data{wording.where_compared(record)} agree with the model"
        tested = agree if record.get("check", {}).get("held_out", 1) else "score tests on all data find nothing"
        return f"{size} by {wording.by_what(record)}{sampled}, and {tested}."
    first = bad[0].what[0].upper() + bad[0].what[1:]
    more = f" {len(bad) - 1} more {'finding' if len(bad) == 2 else 'findings'} below." if len(bad) > 1 else ""
    return first + "." + more


def _convergence(record: dict[str, Any]) -> Iterator[Finding]:
    found = record.get("convergence")
    if found is None:
        yield Finding(
            "caution", "convergence", "convergence was not recorded", "Call hl.diagnostics.diagnose(post, data), or learn with hl.learn."
        )
        return
    optimum = record.get("optimum", {})
    if not found["sampled"]:
        if not optimum.get("converged", True):
            yield Finding(
                "serious", "convergence", "the optimiser did not converge", "Use a proper prior with engine='nuts', or more data."
            )
        yield Finding("note", "convergence", wording.not_sampled(record))
        return
    more = wording.sample_longer(record)
    clean = True
    limit = rhat_limit(found)
    if found.get("max_rhat", 1.0) > limit:
        clean, severity = False, "serious" if found["max_rhat"] > RHAT_SERIOUS else "caution"
        where = found.get("max_rhat_where", "")
        yield Finding(
            severity, "convergence", f"the chains have not mixed: R-hat is {found['max_rhat']:.3f} for {where}, above {limit:.3g}", more
        )
    ess = min(found.get("min_ess_bulk", ESS), found.get("min_ess_tail", ESS))
    if ess < ESS:
        clean, severity = False, "serious" if ess < ESS_SERIOUS else "caution"
        where = found["min_ess_bulk_where" if ess == found.get("min_ess_bulk") else "min_ess_tail_where"]
        yield Finding(severity, "convergence", f"the effective sample size is {ess:.0f} for {where}, below {ESS:.0f}", more)
    total = found["chains"] * found["draws"]
    if found.get("divergences", 0):
        clean, severity = False, "serious" if found["divergences"] > DIVERGENT_SHARE * total else "caution"
        advice = wording.smaller_steps(record)
        yield Finding(
            severity, "convergence", f"{found['divergences']} of {total} draws diverged: a part of the posterior is not reached", advice
        )
    if found.get("saturated", 0) > DIVERGENT_SHARE * total:
        clean = False
        yield Finding("caution", "convergence", f"{found['saturated']} of {total} trajectories were cut short at the depth limit", more)
    if clean:
        numbers = (
            f"R-hat at most {found['max_rhat']:.3f}, ESS at least {ess_of(found):.0f}" if "max_rhat" in found else "no parameter moved"
        )
        yield Finding("note", "convergence", f"the chains have converged ({numbers}, no divergences)", passed=True)


def rhat_limit(found: dict[str, Any]) -> float:
    """1.01, or what independent draws reach by chance where the chains are short.

    Of m half chains of n independent draws each, 2n(m − 1)(R̂ − 1) is about χ² with m − 1 degrees of freedom; the
    largest of all parameters exceeds the limit in one run out of a thousand.
    """
    degrees = 2 * found["chains"] - 1
    chance = scipy.stats.chi2.isf(1e-3 / max(found.get("judged", 1), 1), degrees) / degrees
    return max(RHAT, 1 + float(chance) / max(found["draws"], 1))


def ess_of(found: dict[str, Any]) -> float:
    """The smaller of the bulk and tail effective sample sizes in a convergence record."""
    return min(found.get("min_ess_bulk", float("inf")), found.get("min_ess_tail", float("inf")))


def _likelihood(record: dict[str, Any]) -> Iterator[Finding]:
    calibration, name = record["calibration"], record["likelihood"]
    if record["composite"]:
        if calibration["adjusted"]:
            ratio = calibration.get("width_ratio")
            wide = f"; uncorrected ones would be {1 / ratio:.2f} × as wide" if ratio and abs(ratio - 1) > 0.02 else ""
            yield Finding(
                "note",
                "calibration",
                f"{name} is a stand-in for the exact likelihood; its error bars are calibrated ({calibration['note']}){wide}",
                passed=True,
            )
        elif "separable" in calibration["note"]:
            advice = "Use likelihood='exact' if the lattice allows, or more data at a higher temperature."
            if record.get("frozen_sites"):  # separable where nothing varies, ordinary elsewhere
                advice = "Leave out the sites that never change, or use likelihood='exact'; then error bars can be calibrated."
                yield Finding(
                    "caution",
                    "calibration",
                    f"frozen sites keep the {name} likelihood from being calibrated: error bars are too small, typically by 1.2 to 1.4",
                    advice,
                )
                return
            yield Finding(
                "serious",
                "calibration",
                f"the data are nearly separable, so the {name} likelihood cannot be calibrated and its error bars mean little",
                advice,
            )
        else:
            ratio = record.get("check", {}).get("width_ratio") or 1.4
            yield Finding("serious" if ratio > 2 else "caution", "calibration", *wording.uncalibrated(record, ratio))
        return
    if "separable" in calibration["note"]:
        advice = "Rely on nothing in the directions that the prior decides; collect data at a higher temperature."
        yield Finding(
            "caution", "calibration", "the data are nearly separable: without the prior some parameters would be infinite", advice
        )
    elif "calibrate=False" in calibration["note"] and any(float(source.get("tau_int", 2.0)) > 1 for source in record.get("source", [{}])):
        yield Finding(
            "caution",
            "calibration",
            "calibration was switched off: draws were taken as independent without a test",
            "Learn with calibrate=True.",
        )
    else:
        yield Finding("note", "likelihood", wording.exact_likelihood(record), passed=True)


def _autocorrelation(record: dict[str, Any]) -> Iterator[Finding]:
    found = record["calibration"]
    if found["chains_disagree"]:
        advice = "The chains are not samples of one distribution: run them longer, drop the burn-in, or learn each chain by itself."
        yield Finding("serious", "autocorrelation", "the chains of the data disagree by more than their own fluctuations", advice)
    size = record["microstates"]
    if found["tau"] > 1:
        worth = f"{wording.count(size)} microstates are worth {wording.count(found['ess'])} independent ones"
        longest = "longest autocorrelation time" if len(record.get("source", [])) > 1 else "autocorrelation time"
        worth += f" ({longest} {found['tau']:.3g} draws)"
        if found["kind"] == "too few batches" or (found["batches"] or MIN_BATCHES) < MIN_BATCHES:
            advice = "Run the chains longer, at least 50 autocorrelation times in all; until then error bars are themselves uncertain."
            yield Finding("caution", "autocorrelation", f"too few independent batches ({found['batches']}): {worth}", advice)
        else:
            drifts = any(signal["topic"] == "stationarity" for signal in record.get("signals", []))
            counted = "; this is their drift, which no error bar accounts for" if drifts else "; error bars account for it"
            yield Finding("note", "autocorrelation", f"{worth}{counted if found['adjusted'] else ''}")


def _prior(record: dict[str, Any]) -> Iterator[Finding]:
    shares, names = record.get("prior_share") or [], record.get("parameter_names") or []
    dominated = [_place(names[k] if k < len(names) else f"parameter {k}") for k, share in enumerate(shares) if share > PRIOR_SHARE]
    frozen = [f"site {site}" for site in record.get("frozen_sites", [])]
    places = list(dict.fromkeys([*frozen, *dominated]))
    if not places:
        return
    most = len(dominated) > 0.5 * max(len(shares), 1)
    advice = "What is said about them is the prior's: collect data in which they vary, tie parameters, or give a prior that you mean."
    still = f" ({', '.join(frozen[:3])} never changes in the data)" if frozen else ""
    yield Finding("serious" if most else "caution", "prior", f"prior-dominated: {_list(places)}{still}", advice)


def _identifiability(record: dict[str, Any]) -> Iterator[Finding]:
    found = record["identifiability"]
    if found["unidentified"]:
        severity = "serious" if record["engine"]["name"] == "mle" else "caution"
        advice = "The data say nothing about these combinations: tie or drop parameters, or fix them by a prior."
        yield Finding(
            severity, "identifiability", f"not identified by the data: {_list([_place(name) for name in found['unidentified']])}", advice
        )
    yield from _few_rows(record)
    yield from _searched(record)
    ratio = found["data_per_parameter"]
    if "data_at_worst_site" in found and found["data_at_worst_site"] < SITE_DATA:
        return  # said by _few_rows
    if ratio < DATA_PER_PARAMETER:
        severity = "serious" if ratio < HOPELESS_DATA else "caution"
        sparse = "" if record["engine"]["name"] == "gibbs" else "use a sparse prior (prior='spike_slab'), "
        advice = f"Tie parameters, {sparse}or collect more data."
        yield Finding(severity, "identifiability", f"few data: {wording.data_per_parameter(record, ratio)}", advice)
    else:
        yield Finding("note", "identifiability", wording.data_per_parameter(record, ratio), passed=True)


def _searched(record: dict[str, Any]) -> Iterator[Finding]:
    """Few rows for the number of terms that were searched: the choice among them is then in no interval."""
    worth, candidates = record["calibration"]["ess"], record.get("candidates", 0)
    if candidates and worth < SEARCH_DATA * candidates:
        what = (
            f"few data for a search: {wording.count(worth)} independent microstates for {wording.count(candidates)} candidates; intervals "
            "of the terms found, and predictions, hold less often than they say"
        )
        advice = f"Give at least {wording.count(SEARCH_DATA * candidates)} independent microstates, a smaller window= or order=."
        yield Finding("caution", "identifiability", what, advice)


def _few_rows(record: dict[str, Any]) -> Iterator[Finding]:
    """Independent rows against parameters: where one site has to bear many, and where all together outnumber the rows.

    A site's conditional is a regression on its own parameters, so the worst site decides. Totals such as energies feel all
    parameters at once: estimating p of them moves a total by about p/(Mβ), many of its own error bars where M < p.
    """
    found, rows = record["identifiability"], record["calibration"]["ess"]
    p = found.get("n_effective", record["n_params"])  # of a sparse posterior: those that exist
    worst = found.get("data_at_worst_site")
    if worst is None:
        return
    if worst < SITE_DATA:
        severity = "serious" if worst < HOPELESS_SITE_DATA else "caution"
        size = f"{wording.count(rows)} independent microstates for {wording.count(p)} parameters"
        what = f"few data: {size}, {worst:.2g} a parameter at the site with most"
        sparse = "" if record["engine"]["name"] == "gibbs" else "use a sparse prior (prior='spike_slab'), "
        yield Finding(severity, "identifiability", what, f"Tie parameters, {sparse}or collect more data.")
    elif rows < p:
        what = (
            f"fewer independent microstates ({wording.count(rows)}) than parameters ({wording.count(p)}): "
            "single strengths can be relied on, totals such as energies and free energies are shifted by all parameters together"
        )
        advice = "Do not rely on predicted totals: tie parameters, or collect more data."
        yield Finding("caution", "identifiability", what, advice)


def _fit(record: dict[str, Any]) -> Iterator[Finding]:
    found = record.get("check")
    if found is None or found.get("decision") == "not run":
        yield Finding("caution", "fit", *wording.not_compared(record))
    elif found["decision"] == "undecided":
        yield Finding(
            "caution", "fit", f"the comparison with held-out data is undecided: {found['reason']}", "Give more, or longer, chains of data."
        )
    elif found["overall_p"] < CHECK:
        severity = "serious" if found["overall_p"] < CHECK_SERIOUS else "caution"
        advice = wording.misfit_advice(record)
        named = found.get("named", [])
        said = [words.sentence(one, place == 0) for place, one in enumerate(named)]
        others = [name for name in found["failed"] if name not in {one["name"] for one in named}]
        differ = "differs" if len(others) == 1 else "differ"
        begins = lambda text: text.split(",")[0].split(";")[0]
        parts = list({begins(text): text for text, _ in said[2::-1]}.values())[::-1]  # one sentence on a thing, of its strongest test
        if others:
            parts.append(f"{_list(others, 3)} of held-out data {differ} from its predictions")
        what = f"the model family does not fit: {'; '.join(parts)} (p = {found['overall_p']:.2g} over {found['statistics']} statistics)"
        yield Finding(severity, "fit", what, said[0][1] if said else advice)
    else:
        what = f"{found['statistics']} statistics that were not fitted agree with the data{wording.where_compared(record)}"
        what += f" (overall p = {found['overall_p']:.2g})"
        yield Finding("note", "fit", what, passed=True)
    if found and found.get("skipped") and found["decision"] != "undecided":
        yield Finding("note", "fit", f"left out: {found['skipped']}", "More, or longer, chains of data allow it.")
    if found and found.get("isolated"):
        places = _list([f"site {site}" for site in found["isolated"]])
        what = (
            f"{places}: all couplings are zero within error although the graph has bonds there (a column of noise, or in the wrong place)"
        )
        yield Finding("caution", "fit", what, "Check what was recorded in these columns and their order; leave them out if they are noise.")


def _recorded(record: dict[str, Any]) -> Iterator[Finding]:
    """What a kind of model found while learning or extrapolating, as it recorded it."""
    for found in record.get("findings", []):
        yield Finding(found["severity"], found["topic"], found["what"], found.get("advice", ""))


def _signals(record: dict[str, Any]) -> Iterator[Finding]:
    """What was found in the data themselves; weighed before the fit, of whose failure it may be the cause."""
    for found in record.get("signals", []):
        yield Finding(found["severity"], found["topic"], found["what"], found.get("advice", ""))


def _place(name: str) -> str:
    """``h[3]`` → site 3, ``J[0,1](2)`` → bond 0–1, a tied one by what it is."""
    kind, inside = name[0], name.split("]")[0][2:]
    if inside == "tied":
        return "the tied coupling" if kind == "J" else "the uniform field"
    return f"site {inside}" if kind == "h" else f"bond {inside.replace(',', '–')}" if kind == "J" else name


def _list(words: list[str], limit: int = 6) -> str:
    words = list(dict.fromkeys(words))
    return ", ".join(words[:limit]) + (f" and {len(words) - limit} more" if len(words) > limit else "")
