"""Regions of states: pooled rows divided along their leading directions, so that separate modes fall into separate regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

_DEPTH = 3  # divisions: at most eight regions
_FEWEST = 40  # rows of a region that is divided
_DIRECTION_ROWS = 2048


@dataclass(frozen=True, eq=False)
class Regions:
    """A tree of divisions by the sign of projections.

    Attributes
    ----------
    direction, offset : array (node, number), (node,)
        Of every inner node; children of node i are 2i + 1 and 2i + 2.
    divided : bool array (node,)
        Whether a node is divided.
    leaves : int array
        Nodes that are not: the regions.
    """

    direction: np.ndarray
    offset: np.ndarray
    divided: np.ndarray
    leaves: np.ndarray

    @property
    def count(self) -> int:
        """How many regions there are."""
        return len(self.leaves)

    def cell(self, values: np.ndarray) -> np.ndarray:
        """The region of every row of numbers ``(row, number)``."""
        node = np.zeros(len(values), int)
        for _ in range(_DEPTH):
            inner = np.flatnonzero(self.divided)
            for one in inner:
                here = np.flatnonzero(node == one)
                node[here] = 2 * one + 1 + (values[here] @ self.direction[one] > self.offset[one])
        return np.searchsorted(self.leaves, node)


def _leading(centred: np.ndarray) -> np.ndarray:
    """The direction in which rows ``(row, number)`` about their mean vary most: one eigenvector, not all singular ones."""
    tall = centred.shape[0] >= centred.shape[1]
    square = centred.T @ centred if tall else centred @ centred.T
    vector = scipy.linalg.eigh(square, subset_by_index=[len(square) - 1] * 2)[1][:, 0]
    direction = vector if tall else centred.T @ vector
    return np.asarray(direction / np.linalg.norm(direction))


def of(values: np.ndarray) -> Regions | None:
    """Regions of rows of numbers ``(row, number)``; None where rows are too few or too alike to be divided.

    Every region is divided at its mean along its leading principal direction (principal direction divisive partitioning; Boley, Data Min.
    Knowl. Discov. 2, 325 (1998)): of two modes each falls to one side.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> modes = np.repeat([[-1.0] * 16, [1.0] * 16], 200, axis=0) + 0.1 * rng.normal(size=(400, 16))
    >>> found = of(modes)
    >>> cells = found.cell(modes)
    >>> found.count, set(cells[:200]) & set(cells[200:])
    (8, set())
    """
    nodes = 2 ** (_DEPTH + 1) - 1
    direction, offset = np.zeros((nodes, values.shape[1])), np.zeros(nodes)
    divided = np.zeros(nodes, bool)
    here = {0: np.arange(len(values))}
    for node in range(2**_DEPTH - 1):
        members = here.get(node)
        if members is None or len(members) < _FEWEST:
            continue
        some = values[members[:: max(1, len(members) // _DIRECTION_ROWS)]]
        centred = some - some.mean(0)
        if not np.any(np.abs(centred) > 1e-9):
            continue
        leading = _leading(centred)
        leading = leading * (1 if leading[np.argmax(np.abs(leading) > 0.5 * np.abs(leading).max())] > 0 else -1)
        along = values[members] @ leading
        # Between two values, never on one: rounding must not choose the side.
        levels = np.unique(np.round(along, 6))
        above = int(np.searchsorted(levels, along.mean()))
        if not 0 < above < len(levels):
            continue
        direction[node], offset[node], divided[node] = leading, (levels[above - 1] + levels[above]) / 2, True
        side = along > offset[node]
        here[2 * node + 1], here[2 * node + 2] = members[~side], members[side]
    leaves = np.array([node for node in sorted({0, *here}) if not divided[node]])
    return Regions(direction, offset, divided, leaves) if divided.any() else None
