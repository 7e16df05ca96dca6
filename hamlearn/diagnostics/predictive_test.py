"""Observed against predicted: how far columns of statistics lie apart, given the noise of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.errors import HamlearnError, Undetermined

REPLICATES = 2000
NAMED_SHARE = 0.8  # of the false alarms that are the score tests' where both they and the comparison run
MORE_DATA = "Give more data in which everything varies, or tie or drop what they cannot tell apart: half of the rows must determine it too."
TRAINED = " (training rows)"  # of a statistic of the rows that a network was trained on
_FEW = 20  # replicates beyond the observed value below which a fitted tail is more exact than counting


@dataclass(frozen=True, eq=False)
class Statistic:
    """Columns that are tested together.

    Attributes
    ----------
    name : str
        Plain words, as in "pair correlation at distance 2".
    columns : int array
        Which columns belong to it.
    scatter : bool
        True: many components, tested by the sum of their squared deviations. False: one number.
    where : str
        Which sites it is about, where these were chosen from data.
    """

    name: str
    columns: np.ndarray
    scatter: bool
    where: str = ""


@dataclass(frozen=True)
class LeftOut:
    """What was not compared and why, in words for readers, and the way out."""

    what: str
    advice: str


@dataclass(frozen=True)
class Row:
    """One statistic: observed, predicted, the sd of their difference if the model is right, and how unlikely it is.

    A score test also says how strong what it found is: `effect` ± `effect_sd` in `unit`, and `where`; `weight` is its
    part of the score tests' false alarms.
    """

    name: str
    observed: float
    predicted: float
    sd: float
    z: float
    p_value: float
    scatter: bool
    effect: float = np.nan
    effect_sd: float = np.nan
    unit: str = ""
    where: str = ""
    weight: float = 1.0


def resampled(deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Errors of a mean from resampling whole blocks, with t tails: the scatter of few blocks is itself uncertain."""
    blocks = len(deviation)
    if blocks < 2:
        return np.zeros((REPLICATES, deviation.shape[1]))
    times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES) - 1.0
    tails = np.sqrt((blocks - 1) / rng.chisquare(blocks - 1, size=REPLICATES))
    return (times * (tails * np.sqrt(blocks / (blocks - 1)))[:, None]) @ deviation


def judge(
    statistics: Sequence[Statistic], observed: np.ndarray, expected: np.ndarray, noise: np.ndarray, blocks: int, label: str
) -> list[Row]:
    """A row for every statistic, from `noise` ``(replicate, column)``: what observed minus expected is if the model is right."""
    sd = noise.std(0)
    live = ~(sd <= 1e-12 * np.maximum(np.abs(expected), 1e-3))  # nan stays, and is said
    rows = []
    for statistic in statistics:
        columns = statistic.columns[live[statistic.columns]]
        if not len(columns):
            continue
        difference = (observed - expected)[columns]
        if not statistic.scatter:
            (column,) = columns
            z = difference[0] / sd[column]
            beyond = np.sum(np.abs(noise[:, column]) >= abs(difference[0]))
            p = (1 + beyond) / (1 + REPLICATES) if beyond >= _FEW else 2 * scipy.stats.t.sf(abs(z), blocks - 1)
            name, place = statistic.name + label, statistic.where
            rows.append(Row(name, observed[column], expected[column], sd[column], z, p, False, where=place))
            continue
        square = float(np.sum((difference / sd[columns]) ** 2))
        null = np.sum((noise[:, columns] / sd[columns]) ** 2, 1)
        beyond = np.sum(null >= square)
        p = (1 + beyond) / (1 + REPLICATES) if beyond >= _FEW else tail(null, square)
        rows.append(Row(statistic.name + label, square, null.mean(), null.std(), (square - null.mean()) / null.std(), p, True))
    return rows


def tail(null: np.ndarray, value: float) -> float:
    """P(X ≥ value) far out, from a log-normal through the upper part of the resampled values (heavier than χ²)."""
    logs = np.log(np.maximum(null, 1e-300))
    centre = np.median(logs)
    width = (np.quantile(logs, 0.99) - centre) / scipy.stats.norm.isf(0.01)
    return float(min(_FEW / len(null), scipy.stats.norm.sf((np.log(value) - centre) / max(width, 1e-12))))


def table(
    rows: list[Row], blocks: int, width_ratio: float | None, *, named: Sequence[Row] = (), skipped: Sequence[LeftOut] = ()
) -> xr.Dataset:
    """All rows with p-values corrected for their number, and the decision in the attributes.

    Parameters
    ----------
    rows : list of Row
        Of the comparison with held-out data; none if it was skipped.
    blocks : int
        Independent blocks behind them.
    width_ratio : float or None
        Calibrated over naive error bars of the refit.
    named : sequence of Row
        Score tests. They share the false alarms with `rows`: four fifths are theirs (Holm with weights, see `NAMED_SHARE`
        and `ONE_NUMBER`): they are few and on all rows.
    skipped : sequence of LeftOut
    """
    every = [*named, *rows]
    p = np.array([row.p_value for row in every])
    first = np.array([row.weight for row in named])
    share = (NAMED_SHARE if rows else 1.0) if named else 0.0
    weight = np.r_[share * first / max(first.sum(), 1.0), np.full(len(rows), (1 - share) / max(len(rows), 1))]
    holm = weighted_holm(p, weight)
    order = np.argsort(p / weight, kind="stable")
    found = xr.Dataset(
        {
            key: ("statistic", np.array([getattr(row, key) for row in every], float))
            for key in ("observed", "predicted", "sd", "z", "p_value")
        },
        coords={"statistic": np.array([row.name for row in every])},
    )
    found["p_adjusted"] = ("statistic", holm)
    found["scatter"] = ("statistic", np.array([row.scatter for row in every], np.int8))
    for key in ("effect", "effect_sd"):
        found[key] = ("statistic", np.array([getattr(row, key) for row in every], float))
    for key in ("unit", "where"):
        found[key] = ("statistic", np.array([getattr(row, key) for row in every], "U"))
    failed = [called(every[k].name, every[k].where if k >= len(named) else "") for k in order if holm[k] < 0.01]
    overall = float(np.nanmin(holm) if failed else holm.min())  # nan is a reason not to agree, and no excuse for what differs
    reason = f"data differ in {', '.join(failed)}" if failed else "the data agree with the model's predictions"
    found.attrs = {"decision": "differs" if failed else "agrees", "reason": reason, "overall_p": overall, "blocks": blocks}
    found.attrs |= {"width_ratio": float(width_ratio or 0.0), "named": len(named), "held_out": len(rows)}
    found.attrs |= {"skipped": "; ".join(one.what for one in skipped), "advice": _advice(skipped)}
    return found


def called(name: str, where: str) -> str:
    """A statistic of the comparison by its name, and which sites it is about where these were chosen from data."""
    return name + (f" ({where})" if where else "")


def _advice(skipped: Sequence[LeftOut]) -> str:
    """Every way out once."""
    return " ".join(dict.fromkeys(one.advice for one in skipped))


def refused(what: str, error: HamlearnError) -> LeftOut:
    """`what` with the cause, which is an error's first sentence; the others are the way out.

    Examples
    --------
    >>> refused("no fit to half of the data", HamlearnError("tables of 1e+11 numbers do not fit. Thin the data."))
    LeftOut(what='no fit to half of the data (tables of 1e+11 numbers do not fit)', advice='Thin the data.')
    """
    cause, _, advice = str(error).partition(". ")
    return LeftOut(f"{what} ({cause.removesuffix('.')})", MORE_DATA if isinstance(error, Undetermined) or not advice else advice)


def without_held_out(why: LeftOut, named: Sequence[Row], blocks: int, left_out: Sequence[LeftOut]) -> xr.Dataset:
    """The table where nothing was compared with held-out data: that of the score tests, if any ran."""
    if not named:
        return undecided(why)
    held_out = LeftOut(f"the comparison with held-out data ({why.what})", why.advice)
    return table([], blocks, None, named=named, skipped=[held_out, *left_out])


def weighted_holm(p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """p-values corrected for their number, where some hold a larger share of the false alarms (Holm 1979, section 4)."""
    order = np.argsort(p / weight, kind="stable")
    left = np.cumsum(weight[order][::-1])[::-1]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] / weight[order] * left), 1.0)
    return adjusted


def undecided(why: LeftOut) -> xr.Dataset:
    """An empty table that says why nothing was compared, and what to do about it."""
    empty = np.zeros(0)
    names = ("observed", "predicted", "sd", "z", "p_value", "p_adjusted")
    found = xr.Dataset({name: ("statistic", empty) for name in names}, coords={"statistic": np.zeros(0, "U1")})
    found.attrs = {"decision": "undecided", "reason": why.what, "advice": why.advice}
    found.attrs |= {"overall_p": 1.0, "blocks": 0, "width_ratio": 0.0, "named": 0}
    return found
