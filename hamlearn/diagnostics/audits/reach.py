"""At which temperatures data say anything: the effective number of rows that are left where they are weighted as another temperature's."""

from __future__ import annotations

import numpy as np

ENOUGH = 50.0  # effective rows: an average to 14 % of its spread


def effective(energies: np.ndarray, beta: float, wanted: np.ndarray, independent: float) -> np.ndarray:
    """Effective numbers of independent rows after reweighting from one inverse temperature to others.

    (Σw)²/Σw² of the weights exp(−(β' − β)E), as a share, of as many rows as are independent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> effective(rng.normal(size=100_000), 1.0, np.array([1.0, 2.0]), 1000.0).round(-1).tolist()  # 1000 e^{-1}
    [1000.0, 360.0]
    """
    logs = -np.outer(wanted - beta, energies - energies.mean())
    weights = np.exp(logs - logs.max(1, keepdims=True))
    shares = weights.sum(1) ** 2 / (weights**2).sum(1) / len(energies)
    return np.asarray(shares * independent)
