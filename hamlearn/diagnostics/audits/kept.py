"""An audit as a part of the posterior that it is of: what the verdict reads, and the table that files keep."""

from __future__ import annotations

import math
from typing import Any

import xarray as xr

from hamlearn.diagnostics.about import introduced
from hamlearn.diagnostics.audits.result import Audit
from hamlearn.diagnostics.verdict import AUDIT, CHECK_SERIOUS
from hamlearn.infer import posteriors
from hamlearn.infer.provenance import Noted

GROUP = "audit"
_NAMED = 3  # findings that are said in the verdict


def recorded(post: xr.DataTree, audit: Audit) -> xr.DataTree:
    """A copy of a posterior that knows of its audit, in the place of an earlier one."""
    found = post.copy()
    found[GROUP] = xr.DataTree(audit.to_dataset())
    others = tuple(one for one in posteriors.provenance_of(post).findings if one.topic != AUDIT)
    return introduced(posteriors.with_provenance(found, findings=(*others, noted(audit))))


def noted(audit: Audit) -> Noted:
    """What the verdict is to weigh.

    A difference that chance makes once in a hundred honest audits is a caution, as it is in a comparison with held-out data; one that it
    makes once in a thousand is serious.
    """
    tested = int(sum(one.decided and math.isfinite(one.p_value) for one in audit.findings))
    numbers: dict[str, Any] = {"tested": tested, "reference": audit.how.get("reference", ""), "undecided": len(audit.undecided)}
    if audit.decision == "agrees":
        return Noted("audit agrees", "note", AUDIT, numbers)
    if audit.decision == "undecided":
        return Noted("audit undecided", "caution", AUDIT, {**numbers, "names": [one.name for one in audit.undecided]})
    against = [one for one in audit.flagged if one.section != "range"]
    sure = min((one.p_adjusted for one in against if math.isfinite(one.p_adjusted)), default=0.0) < CHECK_SERIOUS
    told = [[one.name, float(one.effect), float(one.effect_sd), one.unit] for one in against[:_NAMED]]
    return Noted("audit differs", "serious" if sure else "caution", AUDIT, {**numbers, "flagged": len(against), "first": told})
