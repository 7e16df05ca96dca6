"""Broken symmetry: rows of one phase only, although the model that was learned from them expects its mirror image too.

In one phase a spontaneous magnetization and a field cannot be told apart by the sign of m. The learned model itself
says how much weight the flipped states have: p(−σ)/p(σ) = exp(S(σ) − S(−σ)). Where that is not small and no row shows
them, the chain never left its phase.
"""

from __future__ import annotations

import numpy as np

from hamlearn.diagnostics.signals.view import Signal, View
from hamlearn.statistics import integrated_autocorrelation_time

ALARM = 1e-4
APART = 2.0  # standard deviations of |m| between the phase and m = 0
_ROWS = 20_000


def find(view: View) -> list[Signal]:
    """A finding if all rows have one sign of m and the learned model gives the opposite sign a share that should have shown."""
    if view.space.name != "spins" or view.symmetric:
        return []
    mean = view.rows.mean(-1)
    if np.ptp(np.sign(mean)) > 0 or abs(mean.mean()) < APART * mean.std():
        return []
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    some = flat[:: max(1, len(flat) // _ROWS)]
    odds = float(np.mean(np.exp(np.minimum(view.action(some) - view.action(-some), 50.0))))  # of the mirror image
    share = odds / (1 + odds)
    worth = len(flat) if not view.ordered else len(flat) / max(1.0, float(np.nan_to_num(integrated_autocorrelation_time(mean), nan=1.0)))
    p_value = float(np.exp(worth * np.log1p(-min(share, 1 - 1e-12))))
    if p_value > ALARM:
        return []
    what = (
        f"broken symmetry: one sign of m only{view.label} (mean m = {mean.mean():.2f} in every row), although the learned model gives the "
        f"opposite sign a share of {share:.2g}: the rows hold one phase, in which a field and a spontaneous magnetization look alike"
    )
    advice = (
        "Learn without a field if there is none (fields=None), or give chains started in both phases; predictions that change sign "
        "with the field are those of this phase only."
    )
    return [Signal("caution", "phase", what, advice, float(worth * share), p_value, share)]
