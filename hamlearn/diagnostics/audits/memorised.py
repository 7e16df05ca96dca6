"""Does the model repeat what it was trained on? Its rows lie as near to held-out rows as to training rows, unless it does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hamlearn.diagnostics.audits.apart import apart
from hamlearn.diagnostics.audits.permutations import exchanges, upper_p

MOST_DRAWN = 512  # rows of the model whose nearest neighbours are looked up
MOST_SEARCHED = 16_384  # training rows they are looked up among
_EXCHANGES = 999
_AT_ONCE = 1 << 24


class Memory(NamedTuple):
    """How much nearer to training rows than to held-out ones.

    Attributes
    ----------
    nearer : float
        How much nearer the nearest training row is than the nearest of as many held-out rows, (far − near)/(far + near) on average over
        the model's rows: 1 where all are copies, about 0 where none is.
    p_value : float
        One-sided; training and held-out blocks are exchanged.
    copies, chance : float
        Share of the model's rows that equal a training row, and that equal one of as many held-out rows.
    spread : float
        Of `nearer` where blocks are exchanged.
    """

    nearer: float
    p_value: float
    copies: float
    chance: float
    spread: float


def memory(drawn: np.ndarray, training: np.ndarray, held: np.ndarray) -> Memory:
    """Compare nearest neighbours.

    Parameters
    ----------
    drawn : array (row, number)
        Of the model.
    training, held : array (block, row, number)
        Rows of independent blocks, of one shape.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> training, held = rng.choice([-1.0, 1.0], size=(2, 20, 30, 25))
    >>> fresh = rng.choice([-1.0, 1.0], size=(200, 25))
    >>> memory(fresh, training, held).p_value > 0.01, memory(training[:, :5].reshape(-1, 25), training, held).p_value < 1e-6
    (True, True)
    """
    both = np.concatenate([training, held])
    blocks, each = both.shape[:2]
    nearest = np.empty((len(drawn), blocks))
    step = max(1, _AT_ONCE // (blocks * each))
    flat = both.reshape(blocks * each, -1)
    for start in range(0, len(drawn), step):
        found = apart(drawn[start : start + step], flat)
        nearest[start : start + step] = found.reshape(len(found), blocks, each).min(2)
    nearest = np.round(nearest, 9)
    as_they_are = np.zeros((1, blocks), bool)
    as_they_are[0, len(training) :] = True
    means = []
    for held_out in np.concatenate([as_they_are, exchanges(len(training), len(held), _EXCHANGES)]):
        near, far = nearest[:, ~held_out].min(1), nearest[:, held_out].min(1)
        means.append(float(((far - near) / np.maximum(far + near, 1e-300)).mean()))
    null = np.array(means[1:])
    copies, chance = (float((nearest[:, part].min(1) == 0).mean()) for part in (~as_they_are[0], as_they_are[0]))
    return Memory(means[0], upper_p(means[0], null), copies, chance, float(null.std()))
