"""Which three and which four spins one half of the data binds most, beyond pairs: tested on the other half.

A sum over many triples drowns the one that interacts. The strongest of one half is one number in the other, which had no part in the
choice: its test needs no correction for the number of triples.
"""

from __future__ import annotations

import numpy as np

MOST_WORK = 5e9  # multiplications: about a quarter of a second
_ROWS = 100, 8192  # at least, for a choice to mean something; at most
_MOVING = 0.3  # standard deviation of a spin that hardly ever moves: its products are rare events


def strongest(spins: np.ndarray, order: int) -> np.ndarray:
    """The three or four sites with the largest connected moment, in units of their standard deviations.

    Parameters
    ----------
    spins : array (row, n_sites)
        ±1.
    order : {3, 4}
        How many sites.

    Returns
    -------
    int array
        In ascending order; empty where there are too few rows or moving sites, or too many sites for :data:`MOST_WORK`.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.diagnostics.strongest import strongest
    >>> spins = np.random.default_rng(0).choice([-1.0, 1.0], (2000, 6))
    >>> spins[:, 5] = spins[:, 0] * spins[:, 2]
    >>> strongest(spins, 3)
    array([0, 2, 5])
    """
    moving = np.flatnonzero(spins.std(0) > _MOVING)
    first, second = np.triu_indices(len(moving), 1)
    others = len(moving) if order == 3 else len(first)
    rows = min(len(spins), _ROWS[1], int(MOST_WORK / max(len(first) * others, 1)))
    if rows < _ROWS[0] or len(moving) < order:
        return np.zeros(0, int)
    kept = spins[np.linspace(0, len(spins) - 1, rows).round().astype(int)][:, moving]
    centred = ((kept - kept.mean(0)) / kept.std(0)).astype(np.float32)
    pairs = centred[:, first] * centred[:, second]
    if order == 3:
        size = np.abs(pairs.T @ centred) / rows
        size[np.arange(len(first)), first] = size[np.arange(len(first)), second] = 0.0
        pair, site = np.unravel_index(int(size.argmax()), size.shape)
        chosen = [first[pair], second[pair], site]
    else:
        chosen = _four(pairs, centred.T @ centred / rows, first, second)
    return np.sort(moving[chosen])


def _four(pairs: np.ndarray, correlation: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[int]:
    """The largest fourth cumulant of standardised spins, from the products of all pairs with all pairs."""
    one = correlation[first, second]
    size = pairs.T @ pairs / len(pairs) - np.outer(one, one)
    size -= correlation[np.ix_(first, first)] * correlation[np.ix_(second, second)]
    size -= correlation[np.ix_(first, second)] * correlation[np.ix_(second, first)]
    for left in (first, second):
        for right in (first, second):
            size[left[:, None] == right] = 0.0  # a site twice
    a, b = np.unravel_index(int(np.abs(size).argmax()), size.shape)
    return [first[a], second[a], first[b], second[b]]
