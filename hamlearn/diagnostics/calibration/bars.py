"""Are the error bars of a posterior those that data like its own give? Refits say whether bars made so cover, not whether these were."""

from __future__ import annotations

import numpy as np
import scipy.stats
import xarray as xr

MARGIN = 1.2  # a ratio of widths below which nothing is said: how many independent rows the data are worth is itself an estimate
REFUSED = 0.01  # p-value, of all kinds together, and of all parameters together


def compare(
    saved: np.ndarray, spreads: np.ndarray, of: dict[str, np.ndarray], names: tuple[str, ...], between: tuple[float, float]
) -> xr.Dataset:
    """Standard deviations of a posterior as a multiple of those of the data sets that were learned alike.

    Parameters
    ----------
    saved : array (parameter,)
        Standard deviations of the draws of the posterior.
    spreads : array (data set, parameter)
        The same of every data set that was simulated.
    of : mapping of str to bool array (parameter,)
        Which parameters are of every kind.
    names : tuple of str
        Of the parameters.
    between : (float, float)
        Ratios that are as they should be.

    Returns
    -------
    Dataset
        Over ``of`` (kinds, then single parameters where there is more than one): ``ratio``; ``off``, whether it is neither chance nor
        within the margin.

    Notes
    -----
    Widths differ between data sets, and those at hand are one of them: the scatter of the data sets is that of the ratio. A ratio is off
    where that is so improbable, and where in none of the data sets the widths are as unlike those of the others.
    """
    usable = (saved > 0) & (spreads > 0)
    logs = np.log(np.where(usable, saved, 1.0)) - np.log(np.where(usable, spreads, 1.0))
    single = {name: np.arange(len(names)) == k for k, name in enumerate(names)} if len(names) > 1 else {}
    rows = [
        _ratio(logs[:, own], usable[:, own], between, tests)
        for group, tests in ((of, len(of)), (single, len(single)))
        for own in group.values()
    ]
    ratio, off = np.array(rows).T
    return xr.Dataset({"ratio": ("of", ratio), "off": ("of", off.astype(bool))}, coords={"of": [*of, *single]})


def _ratio(logs: np.ndarray, usable: np.ndarray, between: tuple[float, float], tests: int) -> tuple[float, bool]:
    """The ratio of some parameters, and whether it is off."""
    some = usable.any(1)
    if some.sum() < 2:
        return np.nan, False
    each = np.where(usable, logs, 0.0).sum(1)[some] / usable.sum(1)[some]
    middle, sets = float(each.mean()), len(each)
    low, high = np.log(between)
    away = max(middle - high, low - middle)
    alike = np.abs(each - middle)
    if away <= max(np.log(MARGIN), float(alike.max())):
        return float(np.exp(middle)), False
    error = float(each.std(ddof=1)) * np.sqrt(1 + 1 / sets)
    p_value = 2 * scipy.stats.t.sf(away / error, sets - 1) if error > 0 else 0.0
    return float(np.exp(middle)), bool(p_value * tests < REFUSED)


__all__ = ["compare"]
