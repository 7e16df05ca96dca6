"""A support-vector machine between the two ends of the temperatures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hamlearn import extras
from hamlearn.diagnostics.phases.labelled import Sorter, crossing
from hamlearn.diagnostics.phases.result import Phases
from hamlearn.processes import verb

ROWS = 500  # of a label


@verb
def svm(data: xr.Dataset | Iterable[xr.Dataset], *, cold: float, hot: float, level: float = 0.9, seed: int = 0) -> Phases:
    """Where the decision function of a support-vector machine, trained on the two ends of the temperatures, changes its sign.

    The kernel is (1 + x·y/N)² of microstates as they are: its decision function is a quadratic form, so that it can learn squares of
    amplitudes (magnetization, stripes) and correlations, and no more.

    Parameters
    ----------
    data : Dataset, or Datasets
        Microstates of one system on periodic lattices, each at five temperatures or more; of several sizes if a transition
        is to be told from a crossover.
    cold, hot : float
        Temperatures below `cold` and above `hot` are what is trained on, half of the chains at a time. Leave a gap wide enough to hold
        any transition: where both are the same, the answer is that cut and nothing else.
    level : float
        Of the intervals.
    seed : int
        Of everything random.

    Returns
    -------
    Phases
        ``.estimates`` are the temperatures where the mean decision function of every size is 0. That it crosses somewhere between the
        labels is built in: ``.verdict`` is about the transition, and asks the leading component (:func:`pca`).

    Raises
    ------
    HamlearnError
        If scikit-learn is missing, a label has no temperature, or there are too few temperatures or independent blocks.

    Notes
    -----
    Source: Ponte and Melko, PRB 96, 205146 (2017), where the same kernel finds the transition at a fixed magnetization. At most 500
    microstates of a label are learned from, evenly over its temperatures, chains and time.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), 1 / np.linspace(1.6, 3.2, 9), draws=200, seed=0)
    >>> found = hl.diagnostics.phases.svm(data, cold=1.9, hot=2.9)
    >>> bool(1.9 < found.estimates["temperature"].item() < 2.9), found.verdict
    (True, 'undecided')
    """
    extras.require("sklearn")
    return crossing("support-vector machine", data, cold, hot, _train, 0.0, level, seed)


def _train(rows: np.ndarray, labels: np.ndarray, seed: int) -> Sorter:
    """The decision function, positive where it is cold."""
    from sklearn.svm import SVC

    chosen = []
    for label in (0, 1):
        own = rows[labels == label]
        flat = own.reshape(-1, own[0, 0, 0].size)
        chosen.append(flat[np.linspace(0, len(flat) - 1, min(ROWS, len(flat))).round().astype(int)])
    model = SVC(kernel="poly", degree=2, gamma=1 / np.prod(rows.shape[3:-1]), coef0=1.0, random_state=seed)
    model.fit(np.concatenate(chosen), np.repeat([0, 1], [len(one) for one in chosen]))
    return lambda states: np.asarray(model.decision_function(states.reshape(len(states), -1)))
