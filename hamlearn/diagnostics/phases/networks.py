"""A convolutional classifier between the two ends of the temperatures, or cut at a boundary."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hamlearn.diagnostics.phases.labelled import Sorter, crossing
from hamlearn.diagnostics.phases.result import Phases
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb

ROWS = 2000  # of a label, to train on
_HELD = 5  # one row in so many stops the training


@verb
def classifier(data: xr.Dataset | Iterable[xr.Dataset], *, cold: float, hot: float, level: float = 0.9, seed: int = 0) -> Phases:
    """Where the output of a network, trained to tell cold from hot, crosses one half.

    Two blocks of convolution (periodic) and pooling, a dense layer and a softmax, as published; a network of its own for every size.
    Labels that are cut at a temperature (``cold`` = ``hot``) build the answer in: the output crosses one half where the labels
    were cut, at a transition or anywhere else. With a gap between the labels, that it crosses inside is built in, and where is learned.

    Parameters
    ----------
    data : Dataset, or Datasets
        Microstates of one system on periodic lattices of at most three axes, each at five temperatures or more; of several sizes
        if a transition is to be told from a crossover.
    cold, hot : float
        Temperatures below `cold` are labelled 1 and those above `hot` 0; those between are not trained on.
    level : float
        Of the intervals.
    seed : int
        Of everything random.

    Returns
    -------
    Phases
        ``.curves`` are mean outputs, ``.estimates`` the temperatures where they are one half. Outputs of sums over many sites sharpen as
        the root of their number with a transition or without (in two dimensions as ν = 1 would have it): ``.verdict`` is about the
        transition, and asks the leading component (:func:`pca`).

    Raises
    ------
    HamlearnError
        If torch is missing, a label has no temperature, there are more than three axes, or too few temperatures or independent blocks.

    Notes
    -----
    Source: Carrasquilla and Melko, Nature Physics 13, 431 (2017). Chains are never divided between training and trial: networks trained on
    every other chain sort the rest, both ways, so that intervals hold what two trainings differ by. A fifth of the chains that are
    trained on (of a single one, the last fifth) stops the training, three epochs after its loss was least. At most 2000 rows of a label.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), 1 / np.linspace(1.6, 3.2, 5), draws=60, seed=0)
    >>> found = hl.diagnostics.phases.classifier(data, cold=1.9, hot=2.9)
    >>> bool(1.9 < found.estimates["temperature"].item() < 2.9), found.verdict
    (True, 'undecided')
    """
    return crossing("classifier", data, cold, hot, _train, 0.5, level, seed)


def _train(rows: np.ndarray, labels: np.ndarray, seed: int) -> Sorter:
    """The probability of being cold."""
    from hamlearn.infer.engines.neural import torch_sorting  # asks for the extra

    if rows.ndim > 7:
        raise HamlearnError(f"the classifier convolves over at most three axes; these microstates have {rows.ndim - 4}.")
    chains, draws = rows.shape[1:3]
    if chains > 1:
        count = max(1, chains // _HELD)
        train, held = rows[:, :-count], rows[:, -count:]
    else:
        count = max(1, draws // _HELD)
        train, held = rows[:, :, :-count], rows[:, :, -count:]
    (given, wanted), (kept, kept_wanted) = (_taken(part, labels, most) for part, most in ((train, ROWS), (held, ROWS // 4)))
    return torch_sorting.fit(given, wanted, kept, kept_wanted, seed)


def _taken(rows: np.ndarray, labels: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many rows of each label, evenly over temperatures, chains and time, and their labels."""
    sides = [rows[labels == label].reshape(-1, *rows.shape[3:]) for label in (0, 1)]
    size = min(most, *map(len, sides))  # as many of each: guessing is then one in two
    chosen = [one[np.linspace(0, len(one) - 1, size).round().astype(int)] for one in sides]
    return np.concatenate(chosen), np.repeat([0, 1], size)
