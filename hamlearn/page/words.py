"""The sentences of the page about models, checks, convergence and origin, as plain strings; nothing is computed here, only worded."""

from __future__ import annotations

import json
import re

import numpy as np
import xarray as xr

from hamlearn.diagnostics import claims, wording
from hamlearn.diagnostics.verdict import CHECK, Verdict
from hamlearn.infer import posteriors
from hamlearn.infer.provenance import Comparison, Provenance
from hamlearn.models import BoundCouplings
from hamlearn.page.numbers import number

_LONG = re.compile(r"\d+\.\d{6,}(e-?\d+)?")
_SOURCE = {"tau_int": "autocorrelation time of the energy"}


def told(model: object) -> str:
    """What a model or a prior says of itself, its numbers to four digits."""
    return _LONG.sub(lambda found: f"{float(found[0]):.4g}", repr(model))


def graph_name(bound: BoundCouplings) -> str:
    """Such as "8 × 8 square lattice"."""
    lattice = bound.lattice
    extents = " × ".join(map(str, lattice.shape))
    named = {"hypercubic": {1: "chain", 2: "square lattice", 3: "cubic lattice"}.get(len(lattice.shape), "hypercubic lattice")}
    kind = named.get(lattice.kind, f"{lattice.kind} lattice")
    if lattice.kind in ("graph", "complete"):
        return f"{lattice.n_sites} sites, {'all pairs' if lattice.kind == 'complete' else 'a given graph'}"
    return f"{extents} {kind}, {'periodic' if lattice.periodic else 'open'}"


def model_name(bound: BoundCouplings) -> str:
    """The family in a sentence."""
    model = bound.model
    kind = claims.sites(bound.space) + {"ising": "", "vectors": "", "xy": ", interaction −J cos(difference)"}.get(
        bound.interaction, f", {bound.interaction} interaction"
    )
    known = {"bond": "a coupling for every bond", "uniform": "one coupling for all bonds", "distance": "one coupling for every distance"}
    tie = known[model.tie] if isinstance(model.tie, str) else f"couplings of {max(model.tie) + 1} groups of bonds"
    known = {"site": "a field for every site", "uniform": "one field", "": "no fields"}
    fields = f"fields of {max(model.fields) + 1} groups of sites" if isinstance(model.fields, tuple) else known[model.fields or ""]
    prior = f"prior of couplings {model.prior.words}"
    if bound.n_field_params and model.field_prior != model.prior:
        prior += f", of fields {model.field_prior.words}"
    return f"{graph_name(bound)}: {kind}, {tie}, {fields}; {prior}."


def limits(made: Provenance, verdict: Verdict) -> list[str]:
    """What the error bars never include, however good the verdict."""
    found = [reason.what[0].upper() + reason.what[1:] + "." for reason in verdict.reasons if reason.severity == "note" and reason.advice]
    found += ["Error bars and bands hold within this family of models; that another family is right, they do not include."]
    if made.engine.name in ("mle", "map", "laplace"):
        found.append("Draws come from a normal or Student t distribution: tails and skew beyond it are not shown.")
    return found


def check_lead(post: xr.DataTree) -> str:
    """What was compared, and the outcome."""
    made = posteriors.provenance_of(post)
    found = made.check or Comparison("not run")
    if wording.without_data(made):
        return "There are no data to compare with: it was trained on a known action. hl.estimate compares it with that action's own states."
    if found.decision == "not run":
        what, advice = wording.not_compared(made)
        return f"{what[0].upper()}{what[1:]}. {advice}"
    if found.decision == "undecided":
        return f"Undecided: {found.reason}."
    said = [f"Before the extrapolation, at {'an' if len(claims.observed(post)) > 1 else 'the'} observed temperature."]
    said = said if "from_beta" in (made.extrapolation or {}) else []
    named = int(post["checks"].attrs.get("named", 0)) if "checks" in post else len(found.named)
    rest = found.statistics - named
    if named:
        said.append(f"All data were put to {wording.several(named, 'score test')}, which name what a fitted model would lack.")
    if rest and made.training is not None:
        said.append(
            f"Draws of the density were compared with the microstates that training held out, on {wording.several(rest, 'statistic')}."
        )
    elif rest:
        fitted = wording.several(rest, "statistic")
        said.append(f"The model was refitted to half of the data, and {fitted} that it was not fitted to were compared on the other half.")
    if found.skipped:
        said.append(f"Left out: {found.skipped}.")
    p = 1.0 if found.overall_p is None else found.overall_p
    outcome = "They differ from it" if p < CHECK else "They agree with it"
    said.append(f"{outcome} ({wording.chance(p)}, the smallest one, corrected for the number of statistics).")
    return " ".join(said)


def convergence_lead(made: Provenance) -> str:
    """Whether there was anything to converge."""
    found = made.convergence
    if made.training is not None:
        if not made.training["stopped"]:
            return "Weights were drawn elsewhere; whether the density holds is weighed in the verdict."
        trained = wording.several(len(made.training["stopped"]), "network")
        return f"Trained: {trained}; how that went is weighed in the verdict."
    if found is None or not found.sampled:
        how = wording.not_sampled(made)
        return f"{how[0].upper()}{how[1:]}. There is nothing to converge."
    return f"{found.chains} chains of {found.draws} draws; {wording.several(found.judged, 'parameter')} judged" + (
        f", {found.constant} left out because they practically never move." if found.constant else "."
    )


def identifiability_lead(table: xr.Dataset) -> str:
    """Condition, data per parameter, gauge."""
    none = json.loads(table.attrs["unidentified"])
    silent = f" Without information: {', '.join(none[:6])}." if none else ""
    return (
        f"{wording.several(table.attrs['data_per_parameter'], 'site observation')} for every parameter{_condition(table)}. "
        f"Gauge: {table.attrs['gauge']}.{silent}"
    )


def _condition(table: xr.Dataset) -> str:
    """Only where it was computed."""
    value = float(table.attrs["condition"])
    return f"; condition number of the scaled information {number(value)}" if np.isfinite(value) else ""


def provenance(post: xr.DataTree) -> list[tuple[str, str]]:
    """Where the posterior came from, name by name."""
    made, attrs = posteriors.provenance_of(post), post.attrs
    engine = {key: value for key, value in made.engine.settings.items()}
    rows = [
        ("data fingerprint", f"sha3-256 {attrs['fingerprint']}"),
        ("model", told(posteriors.model_of(post))),
        ("likelihood", made.likelihood + (" (composite: a stand-in)" if made.composite else "")),
        ("engine", made.engine.name + " (" + ", ".join(f"{key} {value}" for key, value in engine.items()) + ")"),
        ("seed", str(made.seed)),
        ("time", _seconds(made)),
        ("hamlearn", str(attrs["hamlearn_version"])),
    ]
    for index, source in enumerate(made.source):
        words = ", ".join(
            f"{_SOURCE.get(key, key.replace('_', ' '))} {value:.4g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
            for key, value in source.items()
        )
        rows.append((f"data {index + 1}" if len(made.source) > 1 else "data", words or "an array"))
    return rows


def _seconds(made: Provenance) -> str:
    estimated = made.estimated_seconds
    return f"{made.seconds:.3g} s" + (f" (estimated {estimated:.3g} s)" if np.isfinite(estimated) else "")
