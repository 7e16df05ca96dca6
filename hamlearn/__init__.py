"""hamlearn: the interactions behind observed states, with error bars that cover.

The verbs (:func:`simulate`, :func:`learn`, :func:`predict`, :func:`report`, …) and the rooms (``systems``,
``models``, ``infer``, ``diagnostics``, ``plots``). Everything is loaded on first use: importing hamlearn loads neither JAX nor
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_WHERE = {
    "HamlearnError": "hamlearn.errors",
    "microstates": "hamlearn.data",
    "simulate": "hamlearn.systems.sampling",
    "learn": "hamlearn.verbs",
    "predict": "hamlearn.verbs",
    "extrapolate": "hamlearn.verbs",
    "from_samples": "hamlearn.verbs",
    "critical_point": "hamlearn.verbs",
    "draw_systems": "hamlearn.infer",
    "energy": "hamlearn.infer",
    "action": "hamlearn.infer",
    "compare": "hamlearn.verbs",
    "plan": "hamlearn.verbs",
    "approximate": "hamlearn.infer",
    "estimate": "hamlearn.infer",
    "log_prob": "hamlearn.infer",
    "sample": "hamlearn.infer",
    "save": "hamlearn.infer",
    "load": "hamlearn.infer",
    "verdict": "hamlearn.diagnostics",
    "rank": "hamlearn.diagnostics",
    "audit": "hamlearn.diagnostics",
    "report": "hamlearn.page",
}
_ROOMS = ("systems", "models", "infer", "diagnostics", "plots", "statistics", "datasets")
_BESIDE = ("data", "spaces")  # what pages call on data and their spaces: found without another verb before it
__all__ = [*_WHERE, *_ROOMS, "__version__"]

if TYPE_CHECKING:
    from hamlearn import data, datasets, diagnostics, infer, models, plots, spaces, statistics, systems
    from hamlearn.data import microstates
    from hamlearn.diagnostics.audits import audit
    from hamlearn.diagnostics.ranking import rank
    from hamlearn.diagnostics.verdict import verdict
    from hamlearn.errors import HamlearnError
    from hamlearn.infer.densities.approximate import approximate
    from hamlearn.infer.densities.estimate import estimate
    from hamlearn.infer.densities.verbs import log_prob, sample
    from hamlearn.infer.draw_systems import action, draw_systems, energy
    from hamlearn.infer.posteriors import load, save
    from hamlearn.page.document import report
    from hamlearn.systems.sampling import simulate
    from hamlearn.verbs import compare, critical_point, extrapolate, from_samples, learn, plan, predict


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    elif name in _ROOMS or name in _BESIDE:
        value = importlib.import_module(f"hamlearn.{name}")
    else:
        raise AttributeError(f"module 'hamlearn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
