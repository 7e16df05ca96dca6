"""Pictures of data, of posteriors and of what they predict, drawn with matplotlib.

Every function draws on the axes that it is given (``ax=``, or ``axes=`` where there are several panels) or on a figure of its own, and
returns the figure, which a notebook shows and ``figure.savefig`` keeps. Figures are made without pyplot: no backend is chosen, no
window opens, no setting changes. Colours follow the ground: ``with plt.style.context("dark_background")``, or axes with a dark face,
give pictures for dark pages; what is saved keeps its ground.
"""

from __future__ import annotations

from hamlearn.plots.audits import audit
from hamlearn.plots.bonds import contacts, couplings, matrix
from hamlearn.plots.calibrations import calibration
from hamlearn.plots.criticality import critical_point
from hamlearn.plots.parameters import forest, inclusion
from hamlearn.plots.paths import compare_paths
from hamlearn.plots.plans import plan
from hamlearn.plots.predictions import prediction
from hamlearn.plots.soundness import checks, trace, training
from hamlearn.plots.states import correlation, snapshots, vortices
from hamlearn.plots.transitions import phases

__all__ = [
    "audit",
    "calibration",
    "checks",
    "compare_paths",
    "contacts",
    "correlation",
    "couplings",
    "critical_point",
    "forest",
    "inclusion",
    "matrix",
    "phases",
    "plan",
    "prediction",
    "snapshots",
    "trace",
    "training",
    "vortices",
]


def __dir__() -> list[str]:
    return sorted(__all__)
