"""One rule for effective shares: how much of a set of draws counts after weighting, and whether what comes of them may be trusted.

The share is Kish's (1965), (Σ w)² / (n Σ w²). Of log-normal weights with variance s² of ln w it is exp(−s²), and its own relative variance,
estimated from n draws, is about share⁻⁴/n. From a few hundred draws a share of one half is therefore known to a fifth (share⁻⁴ = 16),
and error bars made from the same weights mean something; at one tenth they rest on the largest few weights (share⁻⁴ = 10⁴): the
Pareto tail of the weights (Vehtari et al. 2024) then has an index beyond 0.7 for sets of this size, and the error bar itself is not known.

Other quantities have other names: what remains of a simulation when it is reweighted instead of run anew (a choice of method, in
``predictions``), or the share of states that leave what was observed (``extrapolation.support``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

TRUSTED = 0.5  # known to a fifth from a few hundred draws
HANDFUL = 0.1  # below, a handful of draws decide


def trusted(share: Any) -> Any:
    """Whether an effective share of draws is large enough to trust what comes of them; False where it is not known (nan).

    Examples
    --------
    >>> trusted(0.6), trusted(0.3), trusted(float("nan"))
    (True, False, False)
    """
    found = np.asarray(share, float) >= TRUSTED
    return bool(found) if found.ndim == 0 else found


def severity(share: float | None) -> str:
    """What a verdict makes of a share: "note" where it is trusted, "serious" where a handful of draws decide, else "caution".

    Examples
    --------
    >>> severity(0.6), severity(0.3), severity(0.02), severity(None)
    ('note', 'caution', 'serious', 'caution')
    """
    if share is not None and share < HANDFUL:
        return "serious"
    return "note" if share is not None and trusted(share) else "caution"


def warning(betas: np.ndarray, share: np.ndarray) -> str:
    """What a prediction says of its temperatures; empty where all shares are trusted or not known."""
    few = share < HANDFUL
    some = (share < TRUSTED) & ~few
    told = []
    for where, lead, limit in ((few, "do not trust", HANDFUL), (some, "rely with caution on", TRUSTED)):
        if np.any(where):
            places = ", ".join(f"{beta:g}" for beta in betas[where])
            told.append(f"{lead} beta = {places}: the predicted effective share is below {limit:g}")
    return "; ".join(told)
