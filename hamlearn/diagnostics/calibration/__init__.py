"""Do error bars cover? Truths that are known, data simulated from them, and where the truths stand in what is learned.

* of a posterior that you have: :func:`local`, at its strengths, with as many data;
* of a model, wherever its prior puts it: :func:`over_prior`; at one truth of yours: :func:`at_truth`;
* of anything that learns, by functions of your own: :func:`sbc` and :func:`coverage`.

All of them run in parallel through an ``Executor``, save themselves to a ``checkpoint``, and count data sets that fail.
"""

from __future__ import annotations

from hamlearn.diagnostics.calibration.results import Coverage, Ranks
from hamlearn.diagnostics.calibration.services import at_truth, local, over_prior
from hamlearn.diagnostics.calibration.user import coverage, sbc

__all__ = ["Coverage", "Ranks", "at_truth", "coverage", "local", "over_prior", "sbc"]


def __dir__() -> list[str]:
    return sorted(__all__)
