"""Whether rows that are declared independent follow from the rows before them: a time series, or rows of one subject that stand together.

Of such rows no drift is looked for, since people sort them, by a column or by something that was not kept. Rows that are sorted are like
all of their neighbourhood. Those of a series are like the row before them, and less like rows further off: this difference is tested.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.signals.timeseries import standardised
from hamlearn.diagnostics.signals.view import Signal, View

ALARM = 1e-6  # of one correlation as large, over all pairs of sites
FEWEST = 200  # rows, whose sums are nearly normal
FAR = 2, 5  # rows before, with which the row before is compared
EACH = 20  # rows that hold every value of a column that rows can be called sorted by


def find(view: View) -> list[Signal]:
    """A finding on the two sites whose correlation with the row before is the least probable."""
    chains, draws, _ = view.rows.shape
    if view.ordered or view.weighted or view.counts is not None or draws < FEWEST or _sorted(view):
        return []
    features, site = standardised(view)
    if not features.shape[-1]:
        return []
    z, correlation = compare(features)
    before, after = np.unravel_index(int(np.abs(z).argmax()), z.shape)
    p_value = float(min(1.0, z.size * 2 * scipy.stats.norm.sf(abs(z[before, after]))))
    if p_value > ALARM:
        return []
    effect, rows = float(correlation[before, after]), wording.count(chains * draws)
    own = site[before] == site[after]
    pair = f"with its own value there: {effect:.2g}" if own else f"with site {view.word(site[before])} there: {effect:.2g}"
    what = (
        f"rows that are declared independent follow from the row before{view.label}: site {view.word(site[after])} is correlated {pair}, "
        f"of {rows} rows, and less with rows further off, as in a time series or where several rows are of one subject"
    )
    advice = (
        "Leave independent=True (--independent) out where rows come in the order of time; say whose they are where rows of several "
        "subjects stand together, hl.models.Hierarchical(model, by=...)."
    )
    return [Signal("caution", "time series", what, advice, float(z[before, after]), p_value, effect)]


def compare(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many standard deviations correlations with the row before exceed those with rows further off, and these correlations.

    Parameters
    ----------
    features : array (chain, draw, k)
        Standardised.

    Returns
    -------
    array (k, k), array (k, k)
        Of feature i one row before and feature j.

    Notes
    -----
    Of independent rows x_j(t) [x_i(t − 1) − mean of x_i over rows further off] has mean zero given all rows before. Sums of it are divided
    by the root of the sum of squares, so that a coincidence of rare values, which is most of a sum, counts for one.
    """
    near, far = FAR
    total, square = np.zeros((2, features.shape[-1], features.shape[-1]))
    count = 0
    for chain in features:
        sums = np.concatenate([np.zeros((1, chain.shape[1])), np.cumsum(chain, 0)])
        now = chain[far:]
        further = (sums[far - near + 1 : len(chain) - near + 1] - sums[: len(chain) - far]) / (far - near + 1)
        contrast = chain[far - 1 : -1] - further
        total += contrast.T @ now
        square += (contrast**2).T @ now**2
        count += len(now)
    return total / np.sqrt(np.maximum(square, count)), total / count


def _sorted(view: View) -> bool:
    """Whether rows were sorted by a column: it changes as often as it has values less one. Within it they may be sorted by others."""
    if view.space.continuous:
        return False
    for column in view.rows.reshape(-1, view.rows.shape[-1]).T:
        counts = np.unique(column, return_counts=True)[1]
        if counts.min() >= EACH and np.count_nonzero(column[1:] != column[:-1]) == len(counts) - 1 > 0:
            return True
    return False
