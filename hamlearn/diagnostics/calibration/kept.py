"""What calibration found here, as a part of the posterior that it is of: what the verdict reads, and the table that files keep."""

from __future__ import annotations

from typing import Any

import xarray as xr

from hamlearn.diagnostics.about import introduced
from hamlearn.diagnostics.calibration.results import BIASED, LEVELS, Ranks
from hamlearn.diagnostics.verdict import CHECK_SERIOUS
from hamlearn.infer import posteriors
from hamlearn.infer.provenance import Noted

GROUP = "calibration"
CODES = {"calibrated": "calibrated here", "not calibrated": "not calibrated here", "undecided": "calibration here undecided"}
BARS = "bars differ here"  # in place of "not calibrated here"
NARROW = 0.75  # times the bars that data sets have, below which that is serious: 90 % intervals are ones of 78 %


def recorded(post: xr.DataTree, found: Ranks) -> xr.DataTree:
    """A copy of a posterior that knows of its calibration, in the place of an earlier one."""
    kept = post.copy()
    kept[GROUP] = xr.DataTree(found.to_dataset())
    others = tuple(one for one in posteriors.provenance_of(post).findings if one.code not in (*CODES.values(), BARS))
    return introduced(posteriors.with_provenance(kept, findings=(*others, noted(found))))


def noted(found: Ranks) -> Noted:
    """What the verdict is to weigh.

    Intervals that do not cover are a caution, as a difference from the data is that chance makes once in a hundred times, and serious where
    it makes that once in a thousand; but never because a prior pulls, which without the data at hand looks alike. Draws of the posterior
    that scatter otherwise than those of the data sets are told as that.
    """
    whole = found.kinds.isel(of=0)
    pulled = found.truths == "posterior" and abs(float(whole["bias"])) > BIASED
    severity = {"calibrated": "note", "undecided": "caution", "not calibrated": "caution"}[found.decision]
    if found.decision == "not calibrated" and found.p_value < CHECK_SERIOUS and not pulled:
        severity = "serious"
    numbers: dict[str, Any] = {
        "sets": len(found.ranks),
        "failed": len(found.failures),
        "joined": found.truths == "joined",
        "pulled": pulled,
        "p": found.p_value,
        "width": float(whole["width"]),
        "bias": float(whole["bias"]),
    }
    for level in LEVELS:
        one = whole.sel(level=level)
        numbers[f"covered_{100 * level:.0f}"] = [float(one["coverage"]), float(one["error"])]
    if found.bars_off is not None:
        numbers["what"], numbers["ratio"] = found.bars_off
        numbers["between"] = list(found.between)
        refits = severity if found.truths == "posterior" else "caution"  # with the data beside, ranks are off because the bars are
        narrow = numbers["ratio"] < NARROW * found.between[0]
        return Noted(BARS, "serious" if narrow else refits, "calibration", numbers)
    return Noted(CODES[found.decision], severity, "calibration", numbers)


__all__ = ["BARS", "CODES", "GROUP", "noted", "recorded"]
