"""Judges: is it converged, is it calibrated, is it like the data, may it be trusted here."""

from __future__ import annotations

from hamlearn.diagnostics import phases
from hamlearn.diagnostics.arviz import convergence, summary
from hamlearn.diagnostics.audits import Audit, AuditFinding, audit
from hamlearn.diagnostics.calibration import Coverage, Ranks, coverage, sbc
from hamlearn.diagnostics.comparison import check
from hamlearn.diagnostics.diagnose import diagnose, judge
from hamlearn.diagnostics.discoveries import pairs, residuals
from hamlearn.diagnostics.identifiability import identifiability
from hamlearn.diagnostics.locality import locality
from hamlearn.diagnostics.predictive import posterior_predictive
from hamlearn.diagnostics.ranking import rank
from hamlearn.diagnostics.rankings import Ranking
from hamlearn.diagnostics.symmetry import symmetry
from hamlearn.diagnostics.third_moments import triplets
from hamlearn.diagnostics.verdict import Finding, Verdict, verdict
from hamlearn.diagnostics.windows import support

__all__ = [
    "Audit",
    "AuditFinding",
    "Coverage",
    "Finding",
    "Ranking",
    "Ranks",
    "Verdict",
    "audit",
    "check",
    "convergence",
    "coverage",
    "diagnose",
    "identifiability",
    "judge",
    "locality",
    "pairs",
    "phases",
    "posterior_predictive",
    "rank",
    "residuals",
    "sbc",
    "summary",
    "support",
    "symmetry",
    "triplets",
    "verdict",
]


def __dir__() -> list[str]:
    return sorted(__all__)
