"""Judges: is it converged, is it calibrated, is it like the data, may it be trusted here."""

from __future__ import annotations

from hamlearn.diagnostics.arviz import convergence, summary
from hamlearn.diagnostics.calibration import coverage, sbc
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

__all__ = [
    "Finding",
    "Ranking",
    "Verdict",
    "check",
    "convergence",
    "coverage",
    "diagnose",
    "identifiability",
    "judge",
    "locality",
    "pairs",
    "posterior_predictive",
    "rank",
    "residuals",
    "sbc",
    "summary",
    "symmetry",
    "triplets",
    "verdict",
]


def __dir__() -> list[str]:
    return sorted(__all__)
