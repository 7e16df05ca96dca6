"""Pictures of a posterior and what it predicts, as matplotlib figures that are returned, never shown.

Figures are made without pyplot, so no backend is chosen and no window opens; save them with ``figure.savefig`` or let
a notebook show them.
"""

from __future__ import annotations

from hamlearn.plots.couplings import forest, inclusion, lattice
from hamlearn.plots.paths import compare_paths
from hamlearn.plots.predictions import prediction
from hamlearn.plots.soundness import checks, trace, training

__all__ = ["checks", "compare_paths", "forest", "inclusion", "lattice", "prediction", "trace", "training"]
