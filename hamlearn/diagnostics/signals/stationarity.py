"""Whether the rows come from one distribution from the first to the last: a drift is no autocorrelation.

The power of a series of draws is flat at frequencies far below 1/τ. A drift (a trend, a bend, a jump) puts its own into
the very lowest ones. The first three cosine components of every chain are compared, by an F test, with components a few
times faster, which are taken in quarters of the chain, without trends and without the one quarter that a jump may have
spoilt. Where the power still rises from fast to slow, the draws have slow modes of their own: the rise is continued to
the lowest frequencies before anything is called a drift, which leaves a chain of less than some 50 τ unjudged.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn.diagnostics.signals.view import Signal, View

ALARM, SERIOUS = 1e-5, 1e-8  # over all series
LOW = 3  # cosine components that a drift fills
QUARTERS = 4
MIDDLE, FAST = slice(2, 8), slice(8, 31)  # components of a quarter: 8–28 and 32–120 of the whole
_BIAS = 0.7900, 0.8947  # mean of the three smallest of four χ²/degrees, for 6 and 23 degrees
_DEGREES = 19.4  # of the middle band in one chain, after leaving one quarter out
RISE = 1.43  # ln(15/2)/ln(62/15): how far the rise from fast to middle goes on to the lowest components
FEWEST = 4 * 64  # draws
EVENTS = 150  # (Σx²)²/Σx⁴: a series of a few rare events (a frozen spin that turned thrice) is no noise to compare with
MAX_SERIES = 256
LEAST = 0.06  # standard deviations of a row that a drift must reach to be serious: a straight one of 0.1 from half to half
MEAN = "mean of all sites"
CROSSINGS = 100  # of the mean, in all chains, below which its phases have not alternated often enough to tell a drift from them
_VALUES = 10_000_000

Named = tuple[list[str], np.ndarray]


def find(view: View) -> list[Signal]:
    """A finding if any series of the data drifts along the rows."""
    if not view.ordered or view.rows.shape[1] < FEWEST:
        return []
    names, values = watched(view)
    p_values, ratios = drift(values)
    if not np.any(np.isfinite(p_values)):
        return []
    # Energy and order parameter stand for all sites: half of the level is theirs.
    few = sum(not name.startswith(("site", "pair")) for name in names)
    shares = np.where(np.arange(len(names)) < few, 2 * few, 2 * max(len(names) - few, 1))
    adjusted = np.where(np.isfinite(p_values), np.minimum(p_values * shares, 1.0), 1.0)
    worst = int(np.argmin(adjusted))
    if adjusted[worst] > ALARM:
        return []
    shift = _shift(values[..., worst])
    drifting = int(np.sum(adjusted < ALARM))
    also = f" ({drifting} of {len(names)} series do)" if drifting > 1 else ""
    moves = f"moves by {abs(shift):.2g} standard deviations from the first half of the rows to the second"
    what = f"the rows are not draws of one distribution{view.label}: the {names[worst]} {moves}, more than its fluctuations explain{also}"
    advice = (
        "Find what changed along the rows (temperature, burn-in, their order), then drop or split them; if nothing did, the chains are "
        "shorter than their slowest motion: run them longer."
    )
    severity = "serious" if _lasting(names, values, adjusted, shares) else "caution"
    return [Signal(severity, "stationarity", what, advice, float(ratios[worst]), float(adjusted[worst]), float(shift))]


def _lasting(names: list[str], values: np.ndarray, adjusted: np.ndarray, shares: np.ndarray) -> bool:
    """Whether the distribution changes: a sign of m that changes a few times is a chain too short for its phases."""
    for k in np.flatnonzero(adjusted < SERIOUS):
        if names[k].startswith("site") or _slow(values[..., k]) < LEAST:
            continue
        if names[k] == MEAN and crossings(values[..., k]) < CROSSINGS:
            continue
        if names[k] != MEAN or drift(_within_phases(values[..., k]))[0][0] * shares[k] < SERIOUS:
            return True
    return False


def _within_phases(series: np.ndarray) -> np.ndarray:
    """Deviations ``(chain, draw, 1)`` from the mean of the values on the same side of all: what is left where phases alone alternate.

    In either phase of a chain its mean stays where it is; where a field drifts, the mean of one side moves as well.
    """
    above = series > series.mean()
    inside = series - np.where(above, series[above].mean(), series[~above].mean())
    return np.asarray(inside[..., None])


def crossings(series: np.ndarray) -> int:
    """How often a series ``(chain, draw)`` goes from half a standard deviation on one side of its mean to as far on the other.

    Examples
    --------
    >>> crossings(np.array([[0.0, 0.0, 1.0, 0.9, 0.0, 1.0]]))
    3
    """
    scaled = (series - series.mean()) / max(series.std(), 1e-300)
    sides = [np.sign(chain[np.abs(chain) > 0.5]) for chain in scaled]
    return sum(int(np.count_nonzero(np.diff(one))) for one in sides)


def _slow(series: np.ndarray) -> float:
    """Root mean square of the components that a drift fills, in standard deviations of a row; from ``(chain, draw)``."""
    waves = _waves(series.shape[1], 1, LOW + 1) @ series[..., None]
    return float(np.sqrt((waves**2).sum(1).mean() / series.shape[1]) / max(series.std(), 1e-300))


def _waves(draws: int, first: int, stop: int, *, straightened: bool = False) -> np.ndarray:
    """Orthonormal cosines ``(stop - first, draws)`` of as many half waves, whose products with a series are its DCT's components.

    A handful of them costs a fraction of a transform of all frequencies. `straightened`: what they see of a series without its trend.
    """
    time = np.arange(draws) - (draws - 1) / 2
    waves = np.sqrt(2 / draws) * np.cos(np.pi * np.arange(first, stop)[:, None] * (np.arange(draws) + 0.5) / draws)
    return waves - np.outer(waves @ time / (time @ time), time) if straightened else waves


def drift(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p-values and F ratios ``(k,)`` of a drift in series ``(chain, draw, k)``; nan where too little happens to tell.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> still = rng.normal(size=(2, 1000, 1))
    >>> moving = still + np.linspace(0, 2, 1000)[:, None]
    >>> bool(drift(still)[0][0] > 1e-3), bool(drift(moving)[0][0] < 1e-9)
    (True, True)
    """
    chains = series.shape[0]
    low = ((_waves(series.shape[1], 1, LOW + 1) @ series) ** 2).mean((0, 1))
    middle, fast = _bands(series)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = middle * np.maximum(middle / fast, 1.0) ** RISE
        squares = (series - series.mean((0, 1))) ** 2
        events = squares.sum((0, 1)) ** 2 / np.einsum("cdk,cdk->k", squares, squares)
        ratios = np.where((middle > 0) & (events > EVENTS), low / noise, np.nan)
    return np.asarray(scipy.stats.f.sf(ratios, LOW * chains, _DEGREES * chains)), ratios


def watched(view: View) -> Named:
    """Names and values ``(chain, draw, k)`` of what must not drift: only what the model's symmetry leaves unchanged."""
    chains, draws, n = view.rows.shape
    energy = view.action(view.rows.reshape(-1, n)).reshape(chains, draws)
    names, columns = ["energy"], [energy]
    pairs = _pairs(view)
    limit = max(8, int(_VALUES // (chains * draws)))
    pairs = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), MAX_SERIES, limit)).round().astype(int)] if len(pairs) else pairs
    order, magnitude = _order(view)
    names.append("order parameter")
    columns.append(magnitude)
    if not view.symmetric and order is not None:
        names.append(MEAN)
        columns.append(order)
    names += [f"pair {view.word(i)}–{view.word(j)}" for i, j in pairs]
    columns += [_product(view, int(i), int(j)) for i, j in pairs]
    if not view.symmetric and view.space.period is None:
        sites = np.linspace(0, n - 1, min(n, MAX_SERIES, limit)).round().astype(int)
        names += [f"site {view.word(site)}" for site in sites]
        columns += [view.rows[..., site].astype(float) for site in sites]
    return names, np.stack(columns, -1)


def _pairs(view: View) -> np.ndarray:
    bonds = np.asarray(view.system.lattice.bonds)
    n = view.system.lattice.n_sites
    if len(bonds) and len(bonds) <= 8 * MAX_SERIES:
        return bonds
    return np.stack([np.arange(n), np.roll(np.arange(n), -1)], 1) if n > 1 else np.zeros((0, 2), int)


def _product(view: View, i: int, j: int) -> np.ndarray:
    return np.asarray(view.space.alike(view.space.pick(view.rows, i), view.space.pick(view.rows, j)))


def _order(view: View) -> tuple[np.ndarray | None, np.ndarray]:
    """The order parameter ``(chain, draw)`` and its magnitude."""
    return view.rows.mean(-1) if view.space.signed else None, view.space.magnitude(view.rows)


def _bands(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power ``(k,)`` of the middle and the fast components in quarters of every chain, the strongest quarter left out."""
    chains, draws, count = series.shape
    length = draws // QUARTERS
    pieces = series[:, : length * QUARTERS].reshape(chains, QUARTERS, length, count)
    # Cosines of whole half waves see no constant; straightened they see no trend either.
    power = (_waves(length, 0, FAST.stop, straightened=True) @ pieces) ** 2
    bands = [np.sort(power[:, :, band].mean(2), axis=1)[:, :-1].mean((0, 1)) for band in (MIDDLE, FAST)]
    return bands[0] / _BIAS[0], bands[1] / _BIAS[1]


def _shift(series: np.ndarray) -> float:
    """Mean of the second half minus that of the first, in standard deviations of a row; from ``(chain, draw)``."""
    half = series.shape[1] // 2
    return float((series[:, half:].mean() - series[:, :half].mean()) / max(series.std(), 1e-300))
