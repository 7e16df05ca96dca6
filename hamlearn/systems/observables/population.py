"""What is asked of populations of spins (neurons, votes): how many are up at once, and how much they know of each other, in bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr

BIT = float(np.log(2.0))  # in nats


def up(states: Any) -> np.ndarray:
    """Which spins are up, 0 or 1: ``(draw, n_sites)`` of states ``(draw, *sites)``."""
    return (np.asarray(states).reshape(len(states), -1) > 0).astype(float)


def counts(states: Any) -> np.ndarray:
    """How many spins are up, as columns ``(draw, n_sites + 1)`` that are 1 where it is so many.

    Examples
    --------
    >>> counts(np.array([[1, -1], [1, 1]])).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    found = up(states)
    return np.eye(found.shape[1] + 1)[found.sum(1).astype(int)]


def independent_entropy(share: Any) -> Any:
    """Entropy in nats of independent spins that are up with these probabilities ``(..., n_sites)``.

    Examples
    --------
    >>> round(float(independent_entropy([0.5, 0.5, 1.0])), 4)
    1.3863
    """
    share = np.clip(np.asarray(share, float), 0.0, 1.0)
    return (entr(share) + entr(1.0 - share)).sum(-1)
