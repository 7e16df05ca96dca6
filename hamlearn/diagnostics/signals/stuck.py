"""Whether a site was stuck for a while among rows whose order is declared to mean nothing: a channel that broke breaks in time.

Of such rows no drift is looked for, since people sort them. But a site that keeps one value for a stretch far longer than chance allows,
and changes in all other rows as if these were shuffled, while all other sites go on as before, was in no sorted column: there the other
rows would be in order, too, or other sites with it.
"""

from __future__ import annotations

import numpy as np

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.signals.view import Signal, View

ALARM = 1e-6  # of a stretch as long, over all sites
FEWEST = 100  # rows outside it, that say how a site changes
CHANGES = 20  # among these, which a sorted column does not have
SORTED = 4.0  # standard deviations by which neighbouring rows may agree more often than shuffled ones, and means of other sites differ


def find(view: View) -> list[Signal]:
    """A finding on the site whose longest stretch of one value is the least probable."""
    if view.ordered or view.weighted or view.counts is not None or view.space.continuous:
        return []
    least, worst, tried = float(np.log(ALARM)), None, np.log(view.rows.size)
    for rows in view.rows:
        for site in range(rows.shape[-1]):
            first, last = _longest(rows[:, site])
            log_p = tried + _log_chance(rows[:, site], first, last)
            if log_p < least and _others_go_on(rows, site, first, last):
                least, worst = log_p, (site, first, last)
    if worst is None:
        return []
    site, first, last = worst
    what = (
        f"site {view.word(site)} keeps one value{view.label} in {wording.count(last - first)} rows in a row (from row {first} on, counted "
        "from 0), and changes in all others as if by chance, while other sites go on as before: a channel that was stuck"
    )
    advice = (
        "Leave these rows out, or hide these cells (mask=). Where it is the order that rows were put into, shuffle them: "
        "data.isel(draw=np.random.default_rng(0).permutation(data.sizes['draw']))."
    )
    return [Signal("caution", "stationarity", what, advice, float(last - first), float(np.exp(least)), (last - first) / view.rows.shape[1])]


def _longest(column: np.ndarray) -> tuple[int, int]:
    """Where the longest stretch of equal values begins and ends.

    Examples
    --------
    >>> _longest(np.array([1, 2, 2, 2, 1]))
    (1, 4)
    """
    ends = np.concatenate([[0], np.flatnonzero(column[1:] != column[:-1]) + 1, [len(column)]])
    longest = int(np.diff(ends).argmax())
    return int(ends[longest]), int(ends[longest + 1])


def _others_go_on(rows: np.ndarray, site: int, first: int, last: int) -> bool:
    """Whether means of all other sites are inside a stretch what they are outside."""
    others = np.delete(rows, site, axis=1).astype(float)
    inside, outside = others[first:last], np.delete(others, slice(first, last), axis=0)
    error = np.sqrt(outside.var(0) * (1 / len(inside) + 1 / len(outside)))
    return bool((np.abs(inside.mean(0) - outside.mean(0)) <= SORTED * np.maximum(error, 1e-300)).all())


def _log_chance(column: np.ndarray, first: int, last: int) -> float:
    """Log probability that a stretch of one value goes on so long, by the rows outside it; 0 where these are few or in some order."""
    pieces = column[:first], column[last:]
    outside = np.concatenate(pieces)
    if len(outside) < FEWEST:
        return 0.0
    shares = np.unique(outside, return_counts=True)[1] / len(outside)
    agree = (shares**2).sum()
    spread = agree * (1 - agree) + 2 * ((shares**3).sum() - agree**2)  # of agreements of neighbours, which share rows
    pairs = np.concatenate([one[1:] == one[:-1] for one in pieces])
    if np.count_nonzero(~pairs) < CHANGES or pairs.sum() - agree * len(pairs) > SORTED * np.sqrt(max(spread, 1e-300) * len(pairs)):
        return 0.0
    chance = (np.count_nonzero(outside == column[first]) + 1) / (len(outside) + 2)
    return float((last - first - 1) * np.log(chance))
