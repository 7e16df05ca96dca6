"""What draws of a posterior say about a number: mean, spread and an interval that holds as often as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

QUIET = 0.1  # share of the spread's square that the simulation's may be, to be taken out of it


@dataclass(frozen=True)
class Band:
    """Mean, standard deviation and interval over draws.

    Attributes
    ----------
    mean, sd, lower, upper : array (...)
        sd and interval are nan of fewer than two draws: one value has no spread.
    kind : str
        How the interval was made, in words.
    """

    mean: np.ndarray
    sd: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    kind: str


def fewest(level: float) -> int:
    """Draws below which the quantiles of an interval are beyond the smallest and the largest draw.

    Examples
    --------
    >>> fewest(0.9), fewest(0.99)
    (19, 199)
    """
    return int(np.ceil(2 / (1 - level) - 1 - 1e-9))


def band(values: np.ndarray, level: float, *, noise: Any = 0.0, error: Any = 0.0, independent: int | None = None) -> Band:
    """Mean and an interval that a further draw falls into with probability `level`, however few draws there are.

    With enough draws from their quantiles at the Weibull positions k/(n + 1); with fewer a t interval, mean ± t s √(1 + 1/n),
    exact for normal draws. A cap at the smallest and the largest draw would be an interval of less than `level`.

    Parameters
    ----------
    values : array (draw, ...)
        Estimates, one for each draw.
    level : float
        Probability of the interval.
    noise : array (...)
        Mean square simulation error of one value, independent between draws. A small part of the square of the spread is taken
        out of it. A larger one cannot be: what is left would be undetermined, so the spread is kept as it is, which is wider.
    error : array (...)
        Standard error of the centre, common to all draws; it widens the interval.
    independent : int, optional
        How many of the draws are independent, where they repeat each other (a few networks); all by default.

    Returns
    -------
    Band

    Notes
    -----
    Weibull positions: Hyndman and Fan, Am. Stat. 50, 361 (1996). The interval for a further draw of a normal distribution:
    Fisher (1935).

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 1))
    >>> band(draws, 0.9).kind
    't interval over 4 draws'
    >>> bool(np.isnan(band(draws[:1], 0.9).lower[0]))
    True
    """
    n = len(values) if independent is None else min(int(independent), len(values))
    mean = values.mean(0)
    if n < 2:
        unknown = np.full(mean.shape, np.nan)
        return Band(mean, unknown, unknown, unknown, "none: one draw has no spread")
    spread = np.sqrt(values.var(0) * n / (n - 1))
    share = np.divide(noise, spread**2, out=np.zeros_like(mean), where=spread > 0)
    loud = share > QUIET
    kept = np.where(loud, 1.0, np.sqrt(1 - np.minimum(share, QUIET)))
    sd = spread * kept
    # The error of the centre adds to the spread in squares.
    wider = np.sqrt(1 + np.divide(np.square(error), sd**2, out=np.zeros_like(mean), where=sd > 0))
    if n == len(values) and n >= fewest(level):
        below, above = np.quantile(values - mean, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull") * kept * wider
        kind = f"quantiles of {n} draws"
    else:
        reach = scipy.stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt(1 + 1 / n)
        above = reach * sd * wider
        below, kind = -above, f"t interval over {n} draws"
    flat = np.where(sd > 0, 0.0, scipy.stats.t.ppf((1 + level) / 2, n - 1) * np.asarray(error, float))
    if np.any(loud):
        kind += "; holds the simulation's noise, which is no small part of the spread"
    return Band(mean, sd, mean + below - flat, mean + above + flat, kind)
