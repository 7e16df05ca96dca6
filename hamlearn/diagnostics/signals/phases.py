"""Broken symmetry: rows of one phase only, although the model that was learned from them expects its mirror image too.

In one phase a spontaneous magnetization and a field cannot be told apart by the sign of m. The learned model itself
says how much weight the flipped states have: p(−σ)/p(σ) = exp(S(σ) − S(−σ)), averaged over rows that are well inside the phase.
Where no row shows them, although the posterior makes that improbable, the chain never left its phase.
"""

from __future__ import annotations

import numpy as np
import scipy.special
import scipy.stats

from hamlearn.diagnostics.signals.view import Signal, View
from hamlearn.statistics import integrated_autocorrelation_time

ALARM = 0.02  # probability, over the posterior, that no row shows the other phase
APART = 2.0  # standard deviations of |m| between the phase and m = 0
MIRRORED = 0.5  # of the typical |m|: rows beyond it on the other side are of the other phase
MEMBERS = 64  # of the posterior: how well the field is known
_ROWS = 500


def find(view: View) -> list[Signal]:
    """A finding if all rows have one sign of m although the posterior gives the opposite sign a share that should have shown."""
    if not view.space.binary or view.symmetric:
        return []
    mean = view.rows.mean(-1)
    if np.ptp(mean) == 0:
        return []  # a fixed sum, or one state: neither is a phase
    typical = float(np.median(mean))
    # Excursions past m = 0 that turn back are of the same phase; the mirror image begins where m is as large on the other side.
    if np.min(mean * np.sign(typical)) < -MIRRORED * abs(typical) or abs(mean.mean()) < APART * mean.std():
        return []
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    some = flat[:: -(-len(flat) // _ROWS)]
    count, edge = len(some), MIRRORED * abs(typical)
    some = some[some.mean(-1) * np.sign(typical) >= edge]  # rows closer to m = 0 have mirror images that are of this phase as well
    differences = np.stack([view.action(some, one) - view.action(-some, one) for one in view.members(MEMBERS)])
    weights = scipy.special.logsumexp(differences, axis=1) - np.log(count)
    centre, width = weights.mean(), weights.std(ddof=1)
    worth = len(flat) if not view.ordered else len(flat) / max(1.0, float(np.nan_to_num(integrated_autocorrelation_time(mean), nan=1.0)))
    shares = scipy.special.expit(centre + width * scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000))
    p_value = float(np.mean(np.exp(worth * np.log1p(-np.minimum(shares, 1 - 1e-12)))))
    share, least = float(scipy.special.expit(centre)), float(scipy.special.expit(centre - 1.645 * width))
    if p_value > ALARM:
        return []
    what = (
        f"broken symmetry: one sign of m only{view.label} (m = {mean.mean():.2f} on average, no row in the phase of the other sign), "
        f"although the posterior gives the other sign a share of {share:.2g}, at least {least:.2g}: the rows hold one phase, in which a "
        "field and a spontaneous magnetization look alike"
    )
    other = "give chains started in both phases" if view.ordered else "observe both phases"
    advice = (
        f"Learn without a field if there is none (fields=None), or {other}; predictions that change sign with the field are those of this "
        "phase only."
    )
    return [Signal("caution", "phase", what, advice, float(worth * share), p_value, share)]
