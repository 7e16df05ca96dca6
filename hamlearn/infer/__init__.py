"""Verbs: from a model and microstates to a posterior, and from a posterior to predictions."""

from __future__ import annotations

from hamlearn.infer import couplings  # noqa: F401  (before the function `learn`, whose name a module also has)
from hamlearn.infer.kinds import learn
from hamlearn.infer.members import energy, members
from hamlearn.infer.predict import predict
from hamlearn.infer.settings import MAP, MLE, NUTS, Gibbs, LaplaceApproximation
from hamlearn.infer.strengths import interaction_strength
from hamlearn.infer.tree import load, save

__all__ = [
    "MAP",
    "MLE",
    "NUTS",
    "Gibbs",
    "LaplaceApproximation",
    "energy",
    "interaction_strength",
    "learn",
    "load",
    "members",
    "predict",
    "save",
]
