"""Whether something never changes although the rows do: a fixed sum of spins, a number of sites in one state, a parity.

A model of free sites gives weight to microstates that can then not occur. Its couplings are those of no system, and rows
repeat more often than it can explain. The sites asked are all of them, every line along an axis, and the two sublattices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.signals.view import Signal, View

DISTINCT = 20  # different configurations of the sites that share it: cold rows show two or three
_CONSTANT = 1e-6  # of the scatter that the sum of as many independent sites has; what float32 leaves of a mean that was subtracted
_ROWS = 20_000


def find(view: View) -> list[Signal]:
    """A finding on the first quantity that is the same in all rows, of as many sites as possible; none where the space declares it."""
    if view.space.constraint or view.space.period is not None:
        return []
    rows = view.rows.reshape(-1, view.rows.shape[-1])
    rows = rows[view.counts.ravel() > 0] if view.counts is not None else rows
    rows = rows[:: -(-len(rows) // _ROWS)]
    for name, sites in _regions(view.system.lattice.shape):
        if len(sites) < 3:
            continue
        values = view.space.encode(view.space.pick(rows, sites))
        for quantity, value in _fixed(view, values):
            distinct = len(np.unique(values.reshape(len(rows), -1), axis=0))
            if distinct >= DISTINCT and _could_change(view, rows[:1], int(sites[0])):
                return [_signal(view, f"{quantity} {name}", value, distinct, whole=len(sites) == view.system.lattice.n_sites)]
    return []


def _regions(shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """All sites, the two sublattices, and the lines along every axis but one; named."""
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    yield "all sites", sites.ravel()
    if len(shape) < 2:
        return
    odd = np.indices(shape).sum(0) % 2 == 1
    yield "the sites of one sublattice", sites[odd]
    for axis in range(len(shape)):
        lines = np.moveaxis(sites, axis, -1).reshape(-1, shape[axis])
        for number, line in enumerate(lines):
            yield f"line {number} along axis {axis}", line


def _fixed(view: View, values: np.ndarray) -> Iterator[tuple[str, float]]:
    """What is the same in all rows of values ``(row, site, component)``, named, with its value."""
    total = values.sum(1)
    scatter = np.sqrt(values.var(0).sum(0))
    for component in np.flatnonzero((np.ptp(total, axis=0) <= _CONSTANT * scatter) & (scatter > 0)):
        name = f"the number of sites in state {component} among" if view.space.labelled else "the sum of"
        yield name, float(total[0, component])
    if view.space.binary:
        parity = values[..., 0].prod(1)
        if np.ptp(parity) == 0 and scatter[0] > 0:
            yield "the product of", float(parity[0])


def _could_change(view: View, row: np.ndarray, site: int) -> bool:
    """Whether the model gives weight to a row ``(1, n_sites)`` with another value at one site: a density may keep what is conserved."""
    if view.space.continuous:
        return True
    changed = np.repeat(row, view.space.q - 1, axis=0)
    changed[:, site] = view.space.values[view.space.values != row[0, site]]
    return bool(np.any(np.isfinite(view.action(changed))))


def _signal(view: View, quantity: str, value: float, distinct: int, *, whole: bool) -> Signal:
    what = (
        f"{quantity} never changes{view.label}: it is {value:.6g} in all rows, among {wording.count(distinct)} different configurations of "
        "these sites; the model gives weight to microstates in which it is another, so its strengths are of no system that was observed"
    )
    advice = "If it is conserved, the data are of a constrained system; if it was subtracted or prepared, give the data as they were."
    if view.space.binary and whole and quantity.startswith("the sum"):
        advice = (
            f"If it is conserved, declare it: hl.microstates(..., space=hl.spaces.Spins(magnetization={int(value)})), and learn a density "
            f"that keeps it, hl.models.Autoregressive(charge={int(value)})."
        )
    return Signal("serious" if whole else "caution", "conserved", what, advice, float(distinct), 0.0, value)
