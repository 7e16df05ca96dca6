"""Judging how neural densities were trained, and whether the data bear the networks: from recorded numbers alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hamlearn.diagnostics import training_sentences  # noqa: F401  (the sentences of these codes)
from hamlearn.diagnostics.findings import Finding, found
from hamlearn.infer import shares
from hamlearn.infer.provenance import Provenance

OVERFIT = 0.5  # nats per microstate between training and held-out data: the energies of new states are then off by about as much
DIFFERS = 2.6  # standard errors: one in a hundred by chance


def judge(made: Provenance) -> Iterator[Finding]:
    """Findings on a posterior of networks that were trained."""
    yield from _training(made) if made.likelihood == "exact" else _variational(made)


def _training(made: Provenance) -> Iterator[Finding]:
    seen: Mapping[str, Any] = made.training or {}
    for index, stopped in enumerate(seen["stopped"]):
        if stopped == "diverged":
            yield found("training diverged", "serious", "convergence", made, network=index)
        elif stopped == "seconds":
            yield found("training ended by the clock", "note", "convergence", made, network=index)
    if seen["stopped"] and "diverged" not in seen["stopped"]:  # weights may have been drawn elsewhere
        code = "training ended at its limit" if "epochs" in seen["stopped"] else "training stopped early"
        yield found(code, "note", "convergence", made)
    sites = made.identifiability.data_per_parameter * made.n_params / max(made.worth, 1)
    gaps = np.subtract(seen["heldout_nats_per_site"], seen["train_nats_per_site"]) * sites
    noise = 4 * np.sqrt(sites / max(seen["heldout"] / made.calibration.tau, 1))  # −ln p scatters by about √sites nats
    if float(gaps.max()) > OVERFIT + noise:
        yield found("overfitted", "caution", "fit", made, gap=float(gaps.max()))
    if made.worth < sites:  # not even the mean of every site is known
        yield found("fewer rows than sites", "serious", "data", made, sites=sites)
    elif made.worth < made.n_params / 10:
        yield found("fewer rows than weights", "caution", "data", made)
    else:
        yield found("rows and weights", "note", "data", made)
    if seen.get("overlap"):
        yield found("overlap", "note", "data", made)
    if seen.get("posterior"):
        yield found("drawn weights", "note", "uncertainty", made)
    else:
        yield found("one network" if len(seen["stopped"]) == 1 else "several networks", "note", "uncertainty", made)
    yield from _observed(made, seen)


def _observed(made: Provenance, training: Mapping[str, Any]) -> Iterator[Finding]:
    """Ln q of what was observed against the networks' own draws, and against a fit of another kind."""
    seen, topic = training.get("observed"), "fit"
    if seen is None:
        yield found("ln q not compared", "note", topic, made)
        return
    if seen["mean_z"] is None:
        yield found("ln q on too few rows", "note", topic, made)
        return
    off = abs(seen["mean_z"]) > DIFFERS
    beaten = seen["rival_z"] is not None and seen["rival_z"] > DIFFERS
    if off:
        yield found("ln q is off", "caution", topic, made)
    if beaten:
        yield found("another fit is better", "caution", topic, made)
    if not (off or beaten):
        yield found("ln q holds", "note", topic, made, passed=True)
    if seen["spread_z"] is not None and abs(seen["spread_z"]) > DIFFERS:
        yield found("ln q scatters", "note", topic, made)


def _variational(made: Provenance) -> Iterator[Finding]:
    worst = min((made.training or {})["ess_q"])
    severity = shares.severity(worst)
    code = "its own draws count" if severity == "note" else "few of its own draws count"
    yield found(code, severity, "convergence", made, share=worst)
    yield found("no data", "note", "likelihood", made)
