"""Verbs: from a model and microstates to a posterior, and from a posterior to predictions."""

from __future__ import annotations

from hamlearn.infer.centralities import centrality
from hamlearn.infer.critical.critical_point import CriticalPoint, critical_point
from hamlearn.infer.densities.approximate import approximate
from hamlearn.infer.densities.correct import correct
from hamlearn.infer.densities.estimate import estimate
from hamlearn.infer.densities.overlap import overlap
from hamlearn.infer.densities.program import DensityProgram
from hamlearn.infer.densities.verbs import log_prob, sample
from hamlearn.infer.differences import Differences, compare
from hamlearn.infer.draw_systems import action, draw_systems, energy
from hamlearn.infer.entropies import information
from hamlearn.infer.extrapolation.comparisons import compare_actions, compare_powers
from hamlearn.infer.extrapolation.extrapolate import extrapolate, identity_weights
from hamlearn.infer.families import actions, couplings, learn  # noqa: F401  (before the function `learn`, whose name a module also has)
from hamlearn.infer.families.extensive import distill, locality
from hamlearn.infer.landscape import basins
from hamlearn.infer.one_group import group
from hamlearn.infer.planning import plan
from hamlearn.infer.plans import Plan
from hamlearn.infer.pointwise import log_likelihood
from hamlearn.infer.posteriors import load, save
from hamlearn.infer.posteriors import provenance_of as provenance
from hamlearn.infer.predictions.log_probs import log_prob_band
from hamlearn.infer.predictions.measured import measured
from hamlearn.infer.predictions.predict import predict
from hamlearn.infer.prior_draws import prior
from hamlearn.infer.program import Program, from_samples, program
from hamlearn.infer.settings import MAP, MLE, NUTS, ClosedForm, Gibbs, ImportanceSampling, LaplaceApproximation, Pooled
from hamlearn.infer.strengths import contacts, interaction_strength
from hamlearn.infer.training import Bayesian, Training, Variational

__all__ = [
    "MAP",
    "MLE",
    "NUTS",
    "Bayesian",
    "ClosedForm",
    "CriticalPoint",
    "DensityProgram",
    "Differences",
    "Gibbs",
    "ImportanceSampling",
    "LaplaceApproximation",
    "Plan",
    "Pooled",
    "Program",
    "Training",
    "Variational",
    "action",
    "approximate",
    "basins",
    "centrality",
    "compare",
    "compare_actions",
    "compare_powers",
    "contacts",
    "correct",
    "critical_point",
    "distill",
    "draw_systems",
    "energy",
    "estimate",
    "extrapolate",
    "from_samples",
    "group",
    "identity_weights",
    "information",
    "interaction_strength",
    "learn",
    "load",
    "locality",
    "log_likelihood",
    "log_prob",
    "log_prob_band",
    "measured",
    "overlap",
    "plan",
    "predict",
    "prior",
    "program",
    "provenance",
    "sample",
    "save",
]


def __dir__() -> list[str]:
    return sorted(__all__)
