"""The sentences of codes about audits; see ``sentences``."""

from __future__ import annotations

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.sentences import Numbers, Words, sentence
from hamlearn.infer.provenance import Provenance


@sentence("audit differs")
def _differs(n: Numbers, made: Provenance) -> Words:
    first = "; ".join(f"{name} ({wording.number(effect, sd, unit)})" for name, effect, sd, unit in n["first"])
    more = f"; and {n['flagged'] - len(n['first'])} more" if n["flagged"] > len(n["first"]) else ""
    what = f"an audit of its microstates found that they are not those of the reference: {n['flagged']} of {n['tested']} comparisons: "
    return f"{what}{first}{more}", "Use it for nothing that these depend on; another class of model, or more data, may do better."


@sentence("audit undecided")
def _undecided(n: Numbers, made: Provenance) -> Words:
    what = (
        f"an audit found nothing in {n['tested']} comparisons, but {n['undecided']} of them had too few independent rows: {n['names'][0]}"
    )
    return what, "Audit it beside more independent microstates: hl.audit(reference, post) says how many more."


@sentence("audit agrees")
def _agrees(n: Numbers, made: Provenance) -> Words:
    rows = f" beside {n['reference']}" if n["reference"] else ""
    return f"an audit of its microstates{rows} found nothing in {n['tested']} comparisons", ""
