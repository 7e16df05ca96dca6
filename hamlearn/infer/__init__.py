"""Verbs: from a model and microstates to a posterior, and from a posterior to predictions."""

from __future__ import annotations

from hamlearn.infer import actions, couplings  # noqa: F401  (before the function `learn`, whose name a module also has)
from hamlearn.infer.approximate import approximate
from hamlearn.infer.comparisons import compare_actions, compare_powers
from hamlearn.infer.correct import correct
from hamlearn.infer.densities import log_prob, sample
from hamlearn.infer.estimate import estimate
from hamlearn.infer.extensive import distill, locality
from hamlearn.infer.extrapolate import extrapolate, identity_weights
from hamlearn.infer.kinds import learn
from hamlearn.infer.members import action, energy, members
from hamlearn.infer.overlap import overlap
from hamlearn.infer.predict import predict
from hamlearn.infer.settings import MAP, MLE, NUTS, Gibbs, LaplaceApproximation
from hamlearn.infer.strengths import interaction_strength
from hamlearn.infer.training import Bayesian, Training, Variational
from hamlearn.infer.tree import load, save

__all__ = [
    "MAP",
    "MLE",
    "NUTS",
    "Bayesian",
    "Gibbs",
    "LaplaceApproximation",
    "Training",
    "Variational",
    "action",
    "approximate",
    "compare_actions",
    "compare_powers",
    "correct",
    "distill",
    "energy",
    "estimate",
    "extrapolate",
    "identity_weights",
    "interaction_strength",
    "learn",
    "load",
    "locality",
    "log_prob",
    "members",
    "overlap",
    "predict",
    "sample",
    "save",
]
