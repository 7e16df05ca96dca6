"""What other programs read: verdicts and predictions as JSON, predictions and parameters as CSV.

A document says in ``schema`` what it is. A number that is not finite is null, for JSON has no word for it; in CSV its cell is empty.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hamlearn.errors import HamlearnError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from hamlearn.diagnostics import Audit, Ranks
    from hamlearn.diagnostics.verdict import Verdict
    from hamlearn.infer import CriticalPoint, Plan

VERDICT, PREDICTION, SUMMARY, PLAN = "hamlearn.verdict/1", "hamlearn.prediction/1", "hamlearn.summary/1", "hamlearn.plan/1"
CRITICAL, AUDIT, CALIBRATION = "hamlearn.critical/1", "hamlearn.audit/1", "hamlearn.calibration/1"
_NEEDED = ("rows_needed", "rows_detected")
_STATED = ("level", "draws", "seed", "data_fingerprint", "verdict", "warning", "group")


def form(*, as_json: bool, as_csv: bool = False, streamed: bool = False) -> str:
    """How an answer is printed: "json", "csv" or "text".

    Raises
    ------
    HamlearnError
        If two things would share standard output.

    Examples
    --------
    >>> form(as_json=True), form(as_json=False)
    ('json', 'text')
    """
    asked = [word for word, given in (("--json", as_json), ("--csv", as_csv), ("-o -", streamed)) if given]
    if len(asked) > 1:
        raise HamlearnError(f"{' and '.join(asked)} would both go to standard output; ask for one of them.")
    return {"--json": "json", "--csv": "csv"}.get(asked[0], "text") if asked else "text"


def verdict_json(found: Verdict) -> str:
    """A verdict: level, summary and reasons."""
    return _json({"schema": VERDICT, "level": found.level, "summary": found.summary, "reasons": [asdict(one) for one in found.reasons]})


def prediction_text(result: xr.Dataset) -> str:
    """A prediction for reading: a line for every temperature, of the observables that depend on nothing else."""
    shown = [name for name in result.data_vars if result[name].ndim == 2]
    lines = ["beta     " + "".join(f"{name!s:>34}" for name in shown)]
    for index, value in enumerate(result["beta"].values):
        cells = [result[name].isel(beta=index).sel(quantity=["mean", "lower", "upper"]).values for name in shown]
        lines.append(f"{value:<9.4g}" + "".join(f"{f'{mean:.4f} [{low:.4f}, {high:.4f}]':>34}" for mean, low, high in cells))
    return "\n".join(lines)


def prediction_json(result: xr.Dataset) -> str:
    """A prediction: for every observable its quantities, nested as ``dims`` say."""
    observables = {}
    for name, band in result.data_vars.items():
        dims = [str(axis) for axis in band.dims if axis != "quantity"]
        told = {"long_name": band.attrs.get("long_name", str(name)), "method": band.attrs.get("method"), "dims": dims}
        observables[str(name)] = told | {str(one): band.sel(quantity=one).values.tolist() for one in band["quantity"].values}
    stated = {name: result.attrs.get(name) for name in _STATED} | {"hypothetical": bool(result.attrs["hypothetical"])}
    coordinates = {str(name): result[name].values.tolist() for name in result.dims if name != "quantity"}
    return _json({"schema": PREDICTION, **stated, **coordinates, "observables": observables})


def prediction_csv(result: xr.Dataset) -> str:
    """A prediction, one line for every observable at every temperature (and distance, or whatever else it depends on)."""
    import numpy as np

    axes = [str(axis) for axis in result.dims if axis != "quantity"]
    quantities = [str(one) for one in result["quantity"].values]
    rows = [["observable", *axes, *quantities]]
    for name, band in result.data_vars.items():
        own = [axis for axis in axes if axis in band.dims]
        values = band.transpose(*own, "quantity").values
        for index in np.ndindex(values.shape[:-1]):
            at = {axis: result[axis].values[k].item() for axis, k in zip(own, index, strict=True)}
            rows.append([str(name), *(at.get(axis, "") for axis in axes), *map(_cell, values[index])])
    return _csv(rows)


def summary_json(table: pd.DataFrame) -> str:
    """The parameters of a posterior: a list of records."""
    records = [{"parameter": str(label), **row} for label, row in zip(table.index, table.to_dict("records"), strict=True)]
    return _json({"schema": SUMMARY, "parameters": records})


def summary_csv(table: pd.DataFrame) -> str:
    """The parameters of a posterior, one line each."""
    cells = [[str(label), *map(_cell, row)] for label, row in zip(table.index, table.to_numpy(), strict=True)]
    return _csv([["parameter", *map(str, table.columns)], *cells])


def plan_json(found: Plan) -> str:
    """A plan: the best temperature, those that are as good, sentences, and the microstates needed at every temperature."""
    table = found.to_dataset()
    needed = {
        name: {str(one): table[name].sel(which=one).values.tolist() for one in table["which"].values} for name in _NEEDED if name in table
    }
    settings = {name: table.attrs.get(name) for name in ("width", "effect", "asked_power", "level", "tau", "likelihood")}
    betas = {"best": found.beta, "good": list(found.good), "beta": table["beta"].values.tolist()}
    return _json({"schema": PLAN, **betas, **needed, **settings, "sentences": list(found.sentences)})


def critical_json(found: CriticalPoint) -> str:
    """A critical point: every number that was found with its interval, the crossings and peaks behind it, and notes."""
    numbers = {"temperature": found.temperature, "beta_c": found.beta_c} | {
        name: getattr(found, name) for name in ("nu", "gamma_over_nu") if name in found.draws
    }
    tables = {name: table.to_dict("records") for name, table in (("crossings", found.crossings), ("peaks", found.peaks))}
    stated = {"transition": found.transition, "level": found.level, "sizes": found.curves["size"].values.tolist()}
    return _json(
        {"schema": CRITICAL, **{name: one._asdict() for name, one in numbers.items()}, **tables, **stated, "notes": list(found.notes)}
    )


def audit_json(found: Audit) -> str:
    """An audit: the decision, and every finding."""
    stated = {"decision": found.decision, "summary": found.summary, "level": found.level, "how": found.how}
    return _json({"schema": AUDIT, **stated, "findings": [asdict(one) for one in found.findings]})


def calibration_json(found: Ranks) -> str:
    """A calibration: the decision, and coverage, bias and width by kind of parameter."""
    stated = {"decision": found.decision, "summary": found.summary, "truths": found.truths, "p_value": found.p_value, "draws": found.draws}
    counts = {"sets": len(found.ranks), "failed": len(found.failures), "slow": found.slow}
    kinds = []
    for k, name in enumerate(found.kinds["of"].values):
        one = found.kinds.isel(of=k)
        numbers = {key: float(one[key]) for key in ("bias", "bias_error", "width", "width_error")}
        levels = [
            {"level": float(level), **{key: float(one[key].sel(level=level)) for key in ("coverage", "error", "p_value")}}
            for level in one["level"].values
        ]
        if found.bars is not None:
            numbers |= {"bars": float(found.bars["ratio"].sel(of=str(name))), "bars_off": bool(found.bars["off"].sel(of=str(name)))}
        kinds.append({"of": str(name), **numbers, "levels": levels})
    return _json({"schema": CALIBRATION, **stated, **counts, "kinds": kinds})


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    return float(value) if math.isfinite(value) else ""


def _json(document: Any) -> str:
    return json.dumps(_finite(document), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
