"""The tables and sentences of the report, as plain strings; nothing is computed here, only worded."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn.diagnostics import claims, wording
from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.diagnostics.verdict import CHECK, DIVERGENT_SHARE, ESS, Verdict, rhat_limit
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.pipeline import PARETO_K
from hamlearn.infer.provenance import Comparison, Provenance
from hamlearn.models import BoundCouplings
from hamlearn.plots.curves import drawn

_LONG = re.compile(r"\d+\.\d{6,}(e-?\d+)?")


class Table(NamedTuple):
    """Numbers as they are shown: the heading of the names, those of the columns, and a name and its values for every row."""

    corner: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]


_SOURCE = {"tau_int": "autocorrelation time of the energy"}


def number(value: float, digits: int = 3) -> str:
    """A number as a reader wants it: three significant digits, thin spaces between thousands."""
    if not np.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.{digits}g}"
    return text.replace("-", "−")


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
    model, q = bound.model, bound.space.q
    named = {"ising": "±1 spins", "xy": "angles, interaction −J cos(difference)"}
    named["vectors"] = f"unit vectors of {bound.space.features} components"
    kind = named.get(bound.interaction, f"{q} states, {bound.interaction} interaction")
    known = {"bond": "a coupling for every bond", "uniform": "one coupling for all bonds", "distance": "one coupling for every distance"}
    tie = known[model.tie] if isinstance(model.tie, str) else f"couplings of {max(model.tie) + 1} groups of bonds"
    known = {"site": "a field for every site", "uniform": "one field", "": "no fields"}
    fields = f"fields of {max(model.fields) + 1} groups of sites" if isinstance(model.fields, tuple) else known[model.fields or ""]
    return f"{graph_name(bound)}: {kind}, {tie}, {fields}; prior {told(model.prior)}."


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


def checks(post: xr.DataTree) -> list[dict[str, Any]]:
    """A row for every statistic, with its verdict in plain words."""
    if "checks" in post and post["checks"].data_vars and "statistic" not in post["checks"].coords:
        raise HamlearnError("this posterior's group 'checks' has no statistics: make it anew with hl.diagnostics.diagnose(post, data).")
    if "checks" not in post or not post["checks"].sizes.get("statistic", 0):
        return []
    table = post["checks"].to_dataset()
    rows = []
    for index in range(table.sizes["statistic"]):
        one = {name: float(table[name].values[index]) for name in ("observed", "predicted", "sd", "z", "p_value", "p_adjusted")}
        scatter = bool(table["scatter"].values[index])
        rows.append(
            {
                "name": str(table["statistic"].values[index]) + _how(str(table["statistic"].values[index]), scatter),
                "words": _words(one, scatter),
                "bad": one["p_adjusted"] < CHECK,
                "z": f"{one['z']:+.1f}".replace("-", "−"),
                "observed": _beside(one["observed"], one["sd"]),
                "predicted": _beside(one["predicted"], one["sd"]),
                "sd": number(one["sd"], 2),
                "p": number(one["p_value"], 2),
                "adjusted": number(one["p_adjusted"], 2),
                "strength": _strength(table.isel(statistic=index)),
            }
        )
    return rows


def _how(name: str, scatter: bool) -> str:
    """What the numbers of a statistic with many components are."""
    if not scatter or "strongest" in name:
        return ""
    return " (largest eigenvalue)" if "common factor" in name else " (sum of squares)"


def _strength(row: xr.Dataset) -> str:
    """How strong a test found what it looks for, with its unit and place, where it estimates that."""
    if "effect" not in row or not np.isfinite(row["effect"]):
        return ""
    unit, where = (str(row[name].values) if name in row else "" for name in ("unit", "where"))
    if row["effect"] < 0 and unit in ("spread of beta", "share"):
        return "none"  # by chance below what a spread or a share can be
    told = f"{_beside(float(row['effect']), float(row['effect_sd']))} ± {number(float(row['effect_sd']), 2)} {unit}".strip()
    return told + (f" ({where})" if where else "")


def _beside(value: float, error: float) -> str:
    """A value to the second digit of its error."""
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 9)) if error > 0 else 3
    return f"{value:.{digits}f}".replace("-", "−")


def _words(one: dict[str, float], scatter: bool) -> str:
    if one["p_adjusted"] < CHECK:
        return (
            "differs: scatters more than the model allows" if scatter else f"differs: {'more' if one['z'] > 0 else 'less'} than predicted"
        )
    if one["p_value"] < 0.05:
        return "a little off, as chance allows among so many"
    return "as predicted"


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


def convergence(made: Provenance, verdict: Verdict) -> list[dict[str, Any]]:
    """Rows of the convergence table; red is what the verdict weighed as bad, and nothing else."""
    seen = made.convergence
    if seen is None or not seen.sampled:
        return []
    weighed = {reason.code for reason in verdict.reasons if reason.severity != "note"}
    few = "few effective draws" in weighed
    total = seen.chains * seen.draws
    wanted = [  # name, entry, what the verdict asks for, whether it found that wanting
        ("largest R-hat", "max_rhat", f"≤ {rhat_limit(seen):.3g}", "rhat" in weighed),
        ("smallest bulk ESS", "min_ess_bulk", f"≥ {ESS:.0f}", few and (seen.min_ess_bulk or 0) < ESS),
        ("smallest tail ESS", "min_ess_tail", f"≥ {ESS:.0f}", few and (seen.min_ess_tail or 0) < ESS),
        ("largest MCSE / sd", "max_mcse_over_sd", "weighed as ESS", False),
        ("divergences", "divergences", "0", "divergences" in weighed),
        ("saturated trajectories", "saturated", f"≤ {DIVERGENT_SHARE * total:.0f}", "depth limit" in weighed),
    ]
    rows = [
        {"name": name, "value": number(value, 4), "wanted": text, "where": getattr(seen, f"{key}_where", ""), "bad": bad}
        for name, key, text, bad in wanted
        if (value := getattr(seen, key)) is not None
    ]
    if made.pareto_k is not None:
        told = {"value": number(made.pareto_k, 4), "wanted": f"≤ {PARETO_K:g}", "where": "", "bad": "importance weights" in weighed}
        rows.append({"name": "Pareto k-hat of the weights", **told})
    return rows


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


def weak(table: xr.Dataset) -> list[dict[str, str]]:
    """Rows of the table of weak directions."""
    columns = (table["parameter"].values, table["share"].values, table["sd"].values)
    return [{"parameter": str(name), "share": f"{share:.0%}", "sd": number(sd)} for name, share, sd in zip(*columns, strict=True)]


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


def predictions(curves: xr.Dataset) -> Table:
    """Every observable at every β as a table; intervals and simulation errors where there are any."""
    columns, series = [], []  # no dictionary: two names may read alike
    for name in drawn(curves):
        told = {quantity: curves[name].sel(quantity=quantity).values for quantity in ("mean", "lower", "upper", "mc_error")}
        band, noisy = np.any(told["upper"] > told["lower"]), np.any(told["mc_error"] > 0)
        for quantity in ["mean", *(["lower", "upper"] if band else []), *(["mc_error"] if noisy else [])]:
            columns.append(f"{_column(name)}, {quantity.replace('_', ' ')}")
            series.append(told[quantity])
    rows = [(number(beta), [number(one[index], 4) for one in series]) for index, beta in enumerate(curves["beta"].values)]
    return Table("β", columns, rows)


def _column(name: str) -> str:
    unit = claims.unit(name)
    return readable(name, NAME - 40).replace("_", " ") + (f" ({unit})" if unit else "")


def frame(table: pd.DataFrame) -> Table:
    """A data frame as text."""
    rows = [(str(name), [number(value, 4) for value in values]) for name, values in zip(table.index, table.to_numpy(float), strict=True)]
    return Table(str(table.index.name or ""), [str(name) for name in table.columns], rows)
