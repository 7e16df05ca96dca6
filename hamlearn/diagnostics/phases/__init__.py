"""Transitions found without an order parameter, from microstates at many temperatures.

Every function returns :class:`Phases`: a temperature of every size, which any system has, and a verdict about whether there is a
transition, which is a question of how sizes differ.
"""

from __future__ import annotations

from hamlearn.diagnostics.phases.boundaries import confusion
from hamlearn.diagnostics.phases.components import pca
from hamlearn.diagnostics.phases.information import fisher
from hamlearn.diagnostics.phases.networks import classifier
from hamlearn.diagnostics.phases.result import Phases
from hamlearn.diagnostics.phases.vectors import svm

__all__ = ["Phases", "classifier", "confusion", "fisher", "pca", "svm"]


def __dir__() -> list[str]:
    return sorted(__all__)
