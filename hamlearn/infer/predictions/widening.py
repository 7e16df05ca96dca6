"""Intervals of networks that hold the error all of them share, as far as the observed microstates show it."""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn.infer.predictions.estimator import Estimates


def widened(
    found: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], recalibrated: Estimates, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sd, lower and upper such that the interval also holds what the recalibrated networks say.

    Parameters
    ----------
    found : tuple of array (beta, ...)
        Mean, sd, lower and upper of the networks as they are; nan where one network has no spread, and then it stays so.
    recalibrated : Estimates
        Of the same networks after recalibration, one value for each.
    level : float
        Probability of the interval.

    Returns
    -------
    tuple of array (beta, ...)
        The mean is unchanged. The interval reaches from the lower of the two lower ends to the upper of the two upper ends; the
        sd holds the spread, the difference of the two means and the sampling error of the microstates.

    Notes
    -----
    The second interval is t s √(1 + 1/m) over m networks and, in squares, the normal quantile times the error that all of them have
    in common (sampling of microstates, and of their own draws).

    Examples
    --------
    >>> values = np.array([[1.2], [1.3], [1.25]])
    >>> second = Estimates(values, np.zeros((3, 1)), "", shared=np.array([0.1]))
    >>> mean, sd, lower, upper = widened((np.ones(1), np.full(1, 0.01), np.full(1, 0.97), np.full(1, 1.03)), second, 0.9)
    >>> bool(lower[0] == 0.97), bool(upper[0] > 1.4), float(mean[0])
    (True, True, 1.0)
    """
    mean, sd, lower, upper = found
    values, m = recalibrated.values, len(recalibrated.values)
    if m < 2:
        return found
    centre, spread = values.mean(0), values.std(0, ddof=1)
    shared = np.zeros(()) if recalibrated.shared is None else recalibrated.shared
    error = np.sqrt((recalibrated.errors**2).mean(0) / m + shared**2)
    reach = scipy.stats.t.ppf((1 + level) / 2, m - 1) * spread * np.sqrt(1 + 1 / m)
    half = np.hypot(reach, scipy.stats.norm.ppf((1 + level) / 2) * error)
    return mean, np.sqrt(sd**2 + (centre - mean) ** 2 + error**2), np.minimum(lower, centre - half), np.maximum(upper, centre + half)
