"""A classifier two-sample test: whether rows of the two samples can be told apart by someone who has not seen them.

Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from scipy.stats import rankdata

from hamlearn.diagnostics.audits.permutations import difference

Moved = Callable[[np.ndarray, slice], np.ndarray]
MOST_ROWS = 2048  # of a side
LEAST = 64  # rows of a side and fold
_TREES = 60


def separation(first: np.ndarray, second: np.ndarray, seed: int, moved: Moved | None = None) -> tuple[float, float, float]:
    """How well a classifier tells rows of two sides apart that it was not trained on.

    Parameters
    ----------
    first, second : array (block, row, number)
        Features of rows of independent blocks.
    seed : int
        Of the classifier.
    moved : callable, optional
        Scores of rows of some blocks (a slice) of the second side → how far members of a posterior move their mean, ``(member, 1)``.

    Returns
    -------
    tuple of float
        The area under the curve, cross-validated in two folds of blocks (½: no better than guessing), its standard error, and the p-value:
        whole held-out blocks are exchanged, of each fold alone, and the smaller of the two p-values counts twice.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    halves = [(one[: len(one) // 2], one[len(one) // 2 :]) for one in (first, second)]
    areas, errors, p_values = [], [], []
    for fold in (0, 1):
        train = [half[1 - fold].reshape(-1, half[0].shape[-1]) for half in halves]
        size = min(map(len, train))  # as many of each: guessing is then one in two
        train = [one[np.linspace(0, len(one) - 1, size).round().astype(int)] for one in train]
        model = HistGradientBoostingClassifier(max_iter=_TREES, max_leaf_nodes=8, early_stopping=False, random_state=seed)
        model.fit(np.concatenate(train), np.repeat([0, 1], size))
        held = [half[fold] for half in halves]
        scores = [model.decision_function(one.reshape(-1, one.shape[-1])) for one in held]
        ranks = rankdata(np.round(np.concatenate(scores), 9)) / sum(map(len, scores))
        cut = len(scores[0])
        blocks = [part.reshape(one.shape[:2]).mean(1)[:, None] for part, one in zip((ranks[:cut], ranks[cut:]), held, strict=True)]
        shifts = None if moved is None else moved(ranks[cut:], slice(len(second) // 2) if fold == 0 else slice(len(second) // 2, None))
        found = difference(blocks[0], blocks[1], largest=True, moved=shifts)
        # The difference of mean ranks, of all rows as unit, is what the area is above one half.
        areas.append(0.5 + found.effect)
        errors.append(found.error)
        p = 1.0 if np.isnan(found.p_value) else found.p_value
        p_values.append(p / 2 if found.effect > 0 else 1 - p / 2)
    return float(np.mean(areas)), float(np.hypot(errors[0], errors[1]) / 2), float(min(1.0, 2 * min(p_values)))


def installed() -> bool:
    """Whether scikit-learn is there, which the extra ``sklearn`` brings."""
    return find_spec("sklearn") is not None


def enough(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether there are rows enough to train on."""
    return min(first[..., 0].size, second[..., 0].size) >= 2 * LEAST
