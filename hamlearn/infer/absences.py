"""What missing and misread cells say of themselves: how many there are, and whether what is missing depends on what was observed elsewhere.

Likelihoods of data with gaps hold where cells are missing at random (Rubin 1976): given what was observed, whether a cell is missing does
not depend on its value. That cannot be seen. What can be seen is whether it depends on observed values of other sites; where it does, it
may well depend on its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.stats

from hamlearn.infer.observations import Observations
from hamlearn.infer.provenance import Noted

MUCH = 0.3  # share of missing cells beyond which the verdict is cautious
FALSE_DISCOVERIES = (
    0.01  # rate among pairs of sites (Benjamini and Hochberg 1995): of data whose gaps are independent, one in a hundred warns
)
_LEAST = 5.0  # expected cells of a table, for chi-square


def share(parts: Sequence[Observations]) -> float:
    """Of all cells that are missing."""
    return float(sum((part.states < 0).sum() for part in parts if part.gaps) / sum(part.states.size for part in parts))


def misread(parts: Sequence[Observations]) -> float:
    """Share of readings that are wrong, as the data declare."""
    return float(sum(part.size * part.wrong.mean() for part in parts) / sum(part.size for part in parts))


def errors(parts: Sequence[Observations]) -> tuple[Noted, ...]:
    """What the verdict has to say of readout errors; nothing where there are none."""
    if all(part.flip is None for part in parts):
        return ()
    most = np.max([part.wrong for part in parts], 0)
    numbers = {"share": misread(parts), "sites": int((most > 0).sum()), "most": float(most.max()), "where": int(most.argmax())}
    return (Noted("readout errors", "note", "readout errors", numbers),)


def noted(parts: Sequence[Observations], q: int, tau: float) -> tuple[Noted, ...]:
    """What the verdict has to say of missing cells; nothing where there are none.

    `tau` is the autocorrelation time in draws: so many fewer rows count in tests.
    """
    missing = share(parts)
    if not missing:
        return ()
    per_site = sum((part.states < 0).sum((0, 1)) for part in parts) / sum(part.weight.size for part in parts)
    numbers = {"share": missing, "sites": int((per_site > 0).sum()), "most": float(per_site.max()), "where": int(per_site.argmax())}
    found = [Noted("missing cells", "caution" if missing > MUCH else "note", "missing cells", numbers)]
    p_values, pairs = dependence(parts, q, tau)
    order = np.argsort(p_values, kind="stable")
    below = np.flatnonzero(p_values[order] <= FALSE_DISCOVERIES * np.arange(1, len(order) + 1) / max(len(order), 1))
    if len(below):
        first = [[int(one) for one in pairs[k]] for k in order[: min(len(below) and below[-1] + 1, 3)]]
        found.append(
            Noted(
                "missing depends", "caution", "missing cells", {"count": int(below[-1]) + 1, "first": first, "p": float(p_values[order[0]])}
            )
        )
    return tuple(found)


def dependence(parts: Sequence[Observations], q: int, tau: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Chi-square tests of whether a cell is missing against the value of another site, over rows where that was observed.

    Returns
    -------
    array (pair,), array of int (pair, 2)
        p-values, and the sites (missing, observed); pairs with too few rows for the test are left out.
    """
    n = parts[0].states.shape[-1]
    tables = np.zeros((n, n, 2, q))  # (missing site, observed site, missing?, value)
    for part in parts:
        states, weight = part.gathered
        gone = states < 0
        for value in range(q):
            there = (states == value) * weight[:, None]
            tables[:, :, 1, value] += gone.T @ there
            tables[:, :, 0, value] += (~gone).T @ there
    tables /= max(tau, 1.0)
    total = tables.sum((2, 3), keepdims=True)
    expected = tables.sum(2, keepdims=True) * tables.sum(3, keepdims=True) / np.maximum(total, 1e-300)
    seen = tables.sum(2) > 0  # values that occur
    enough = (np.where(seen[:, :, None], expected, np.inf).min((2, 3)) >= _LEAST) & (seen.sum(2) > 1)
    np.fill_diagonal(enough, False)
    statistic = np.divide((tables - expected) ** 2, expected, out=np.zeros_like(tables), where=expected > 0).sum((2, 3))
    pairs = np.argwhere(enough)
    at = tuple(pairs.T)
    return np.asarray(scipy.stats.chi2.sf(statistic[at], seen.sum(2)[at] - 1)), pairs
