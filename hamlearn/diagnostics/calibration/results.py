"""What calibration found: coverage, ranks, and what they say."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.diagnostics.calibration import bands, bars
from hamlearn.diagnostics.calibration_sentences import BARS_ADVICE, bars_words
from hamlearn.diagnostics.findings import Finding

LEVELS = (0.5, 0.9)  # whose coverage is tested
GRID = np.round(np.linspace(0.05, 0.95, 19), 2)  # of the curve of all levels
REFUSED = 0.01  # p-value of all tests together
TELLING = 0.05  # error of a coverage beyond which nothing is decided
LOST = 0.1  # share of data sets that failed beyond which nothing is decided: they are no random ones
SLOW = 0.05  # share of data sets with slow chains beyond which that is said: single ones happen
BIASED = 0.2  # standard deviations that means are off by, below which that is not called a bias
TRUTHS = {
    "prior": "truths from the prior",
    "truth": "one truth",
    "posterior": "truths from the posterior",
    "joined": "truths from the posterior, learned with the data",
}


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth.

    Attributes
    ----------
    level : float
        The nominal probability.
    fractions : array (data set,)
        Fraction of covered parameters of every data set.
    mean : float
        Over data sets.
    standard_error : float
        Of the mean, from the scatter between data sets.
    positions : array (data set, parameter)
        Where truths stand among the draws, from 0 to 1: uniform where intervals of all levels cover.
    failures : tuple of str
        Data sets that could not be learned, and why; they are counted in nothing else.
    """

    level: float
    fractions: np.ndarray
    mean: float
    standard_error: float
    positions: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    failures: tuple[str, ...] = ()

    @property
    def z(self) -> float:
        """Deviation from the nominal level in standard errors."""
        return (
            (self.mean - self.level) / self.standard_error if self.standard_error > 0 else np.inf * np.sign(self.mean - self.level or 0.0)
        )

    def to_dataset(self) -> xr.Dataset:
        """Coverage at all levels, with its error, and what it was at the level asked for."""
        found = curve(self.positions, ("parameter",) * self.positions.shape[1]).isel(of=0, drop=True)
        return found.assign(fraction=("set", self.fractions)).assign_attrs(
            asked_level=self.level, mean=self.mean, standard_error=self.standard_error, failed=len(self.failures)
        )

    def __str__(self) -> str:
        sets, failed = len(self.fractions), f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.mean:.1%} ± {self.standard_error:.1%} of {self.level:.0%} intervals cover ({sets} data sets{failed})"


@dataclass(frozen=True, eq=False)
class Ranks:
    """Simulation-based calibration: where true parameters stand among posterior draws. ``print`` it.

    Attributes
    ----------
    ranks : int array (data set, parameter)
        Number of posterior draws below the truth, 0 … draws.
    draws : int
        Posterior draws compared with each truth: those asked for, or fewer where chains are worth fewer independent ones.
    bins : int
        Of rank histograms; they divide draws + 1.
    positions : array (data set, parameter)
        Where the truth stands among all draws, from 0 to 1.
    errors : array (data set, parameter)
        Posterior mean minus truth, in posterior standard deviations.
    names : tuple of str
        Of the parameters.
    of : tuple of str
        What kind of parameter each is, such as "J" or "h": coverage is counted by kind.
    truths : {"prior", "truth", "posterior", "joined"}
        Where truths came from. Only of the first and the last are ranks uniform by Bayes' theorem alone.
    failures : tuple of str
        Data sets that could not be simulated or learned, and why; they are counted in nothing else.
    slow : int
        Data sets whose chains are worth less than a third as many independent draws as ranks need.
    notes : tuple of str
        What else to know.
    spreads : array (data set, parameter), optional
        The standard deviations of the posteriors.
    saved : array (parameter,), optional
        Of :func:`~hamlearn.diagnostics.calibration.local`: standard deviations of the draws of the posterior itself.
    between : (float, float)
        What they may be as a multiple of those of the data sets: 1 where the data are independent; from the root of what a row is worth
        where they are chains, since every parameter forgets at its own pace; 1 to 1.41 where the data were learned beside.
    posterior : DataTree or None
        Of :func:`~hamlearn.diagnostics.calibration.local`: a copy of the posterior that knows of this, whose verdict, and all that begins
        with it, weighs what was found.
    """

    ranks: np.ndarray
    draws: int
    bins: int
    positions: np.ndarray
    errors: np.ndarray
    names: tuple[str, ...]
    of: tuple[str, ...]
    truths: Literal["prior", "truth", "posterior", "joined"] = "prior"
    failures: tuple[str, ...] = ()
    slow: int = 0
    notes: tuple[str, ...] = ()
    spreads: np.ndarray | None = None
    saved: np.ndarray | None = None
    between: tuple[float, float] = (1.0, 1.0)
    posterior: xr.DataTree | None = None

    @cached_property
    def p_values(self) -> np.ndarray:
        """That ranks of a parameter are uniform over data sets: exact, from their simultaneous band. One per parameter."""
        return bands.p_values(self.ranks, self.draws + 1)

    @property
    def overall_p(self) -> float:
        """The smallest of them times their number (Bonferroni), at most 1: small means not calibrated."""
        return float(min(1.0, self.p_values.min() * len(self.p_values)))

    @cached_property
    def coverage(self) -> xr.Dataset:
        """Over kinds of parameters and levels 5 … 95 %: the share of intervals that hold the truth, and its error between data sets."""
        return curve(self.positions, self.of)

    @cached_property
    def kinds(self) -> xr.Dataset:
        """Over kinds of parameters (``of``; all together first): ``bias`` and ``width``, with errors, and coverage at 50 and 90 % with p.

        ``bias`` is the mean error of posterior means in standard deviations, ``width`` the root mean square of these errors: 1.5 where
        error bars are too small by that factor.
        """
        covered, tables = self.coverage.sel(level=list(LEVELS)), []
        for columns in _columns(self.of).values():
            errors = self.errors[:, columns]
            bias, square = _mean(errors), _mean(errors**2)
            width = np.sqrt(square[0])
            tables.append([*bias, width, square[1] / (2 * width) if width > 0 else np.nan])
        numbers = dict(zip(("bias", "bias_error", "width", "width_error"), np.array(tables).T, strict=True))
        found = covered.assign({name: ("of", values) for name, values in numbers.items()})
        z = (found["coverage"] - found["level"]) / found["error"]
        return found.assign(p_value=(z.dims, 2 * scipy.stats.t.sf(np.abs(z.values), len(self.ranks) - 1)))

    @cached_property
    def bars(self) -> xr.Dataset | None:
        """Over kinds and parameters (``of``): the posterior's own standard deviations beside those of the data sets learned.

        ``ratio``, 0.5 where its draws scatter half as much as data like its own allow; ``off``, whether that is more than chance
        makes and more than ``between`` allows. None where there is no posterior at hand.
        """
        if self.saved is None or self.spreads is None:
            return None
        return bars.compare(self.saved, self.spreads, _columns(self.of), self.names, self.between)

    @property
    def bars_off(self) -> tuple[str, float] | None:
        """The kind or parameter whose bars are furthest from those of the data sets, and the ratio; None where none are off."""
        if self.bars is None or not bool(self.bars["off"].any()):
            return None
        off = self.bars.where(self.bars["off"], drop=True)
        low, high = self.between
        away = np.maximum(np.log(off["ratio"].values / high), np.log(low / off["ratio"].values))
        worst = off.isel(of=int(away.argmax())) if "all" not in off["of"] else off.sel(of="all")
        return str(worst["of"].values), float(worst["ratio"])

    @property
    def p_value(self) -> float:
        """Of everything together: coverage at 50 and 90 % of all parameters and of each kind, and ranks where they should be uniform."""
        tests = self.kinds["p_value"].values
        least = min(1.0, float(tests.min()) * tests.size)
        return min(1.0, 2 * min(least, self.overall_p)) if self.truths in ("prior", "joined") else least

    @property
    def decision(self) -> Literal["calibrated", "not calibrated", "undecided"]:
        """What these data sets say; undecided where coverage is known to no better than 5 %, or one in ten data sets failed."""
        if len(self.failures) > LOST * (len(self.failures) + len(self.ranks)):
            return "undecided"
        if self.p_value < REFUSED or self.bars_off is not None:
            return "not calibrated"
        return "undecided" if self._error > TELLING else "calibrated"

    @property
    def _error(self) -> float:
        """Of the coverage of 90 % intervals of all parameters."""
        return float(self.kinds["error"].sel(level=0.9)[0])

    @property
    def summary(self) -> str:
        """What was found, in a few sentences."""
        told = [f"{len(self.ranks)} data sets, {TRUTHS[self.truths]}: {_covers(self.kinds, 0)}."]
        kinds = list(self.kinds["of"].values)
        if len(set(self.of)) > 1:
            most = self.kinds.sel(level=0.9)
            told.append(f"Of 90 % intervals, {', '.join(f'{kinds[k]}: {_percent(most.isel(of=k))}' for k in range(1, len(kinds)))}.")
        told.append({"calibrated": self._calibrated, "not calibrated": self._not_calibrated, "undecided": self._undecided}[self.decision]())
        if self.failures:
            told.append(f"{len(self.failures)} more failed and are not counted; the first, {self.failures[0]}")
        if self.slow > SLOW * len(self.ranks):
            told.append(
                f"Chains of {self.slow} data sets are worth fewer than a third as many independent draws as the {self.draws} that ranks "
                "are taken among: longer chains, or ranks pile up at the ends."
            )
        return " ".join([*told, *self.notes])

    def _calibrated(self) -> str:
        place = " Whether they stand in the right place is only seen with data=." if self.truths == "posterior" else ""
        return f"Nothing speaks against these error bars (p = {self.p_value:.2g}).{place}"

    def _not_calibrated(self) -> str:
        if self.bars_off is not None:
            also = (
                f" Nor do those of the data sets cover (p = {self.p_value:.2g})."
                if self.p_value < REFUSED and self.truths != "joined"
                else ""
            )
            return f"Not calibrated: {bars_words(*self.bars_off, self.between)}.{also}"
        worst = self.kinds.isel(of=int(self.kinds["p_value"].values.min(1).argmin()))
        level = worst.isel(level=int(worst["p_value"].values.argmin()))
        what, off = str(worst["of"].values), float(level["coverage"] - level["level"])
        told = f"Not calibrated (p = {self.p_value:.2g}): "
        if float(worst["p_value"].min()) > REFUSED:
            name = self.names[int(self.p_values.argmin())]
            return f"{told}intervals cover on average, but ranks of {name} are not uniform: its posterior has another shape, or leans."
        told += f"error bars of {what} are too {'narrow' if off < 0 else 'wide'}, errors are {float(worst['width']):.2f} times as large."
        bias = float(worst["bias"])
        return f"{told} Means are off by {bias:+.2f} ± {float(worst['bias_error']):.2f} of them." if abs(bias) > BIASED else told

    def _undecided(self) -> str:
        if len(self.failures) > LOST * (len(self.failures) + len(self.ranks)):
            return "Undecided: too many data sets failed, and those that do are no random ones."
        return f"Undecided: needs about {int(np.ceil(len(self.ranks) * (self._error / TELLING) ** 2)) - len(self.ranks)} more data sets."

    @property
    def finding(self) -> Finding:
        """The same as a finding, to be read beside those of a verdict; it changes none."""
        severity = {"calibrated": "note", "not calibrated": "serious", "undecided": "caution"}[self.decision]
        advice = "" if severity == "note" else ("More data sets (sets=)." if severity == "caution" else self._advice)
        return Finding(severity, "calibration", self.summary, advice, self.decision == "calibrated", "calibration on simulated data")

    @property
    def _advice(self) -> str:
        if self.bars_off is not None:
            return BARS_ADVICE
        if self.truths == "posterior" and abs(float(self.kinds["bias"][0])) > BIASED:
            return "Where the prior holds part of a parameter it pulls it, which is no fault: give data= for the check that is exact then."
        return "Do not take these intervals at their level: another likelihood or engine, or more data."

    def to_dataset(self) -> xr.Dataset:
        """Ranks, positions, errors and p-values by parameter; coverage, bias and width by kind of parameter."""
        each = ("set", "parameter")
        found = xr.Dataset(
            {
                "rank": (each, self.ranks),
                "position": (each, self.positions),
                "standardised_error": (each, self.errors),
                "p_value": ("parameter", self.p_values),
            },
            coords={"parameter": list(self.names), "kind": ("parameter", list(self.of))},
        )
        kinds = self.kinds.drop_vars("p_value").drop_dims("level")
        found = found.merge(self.coverage).merge(kinds)
        if self.bars is not None:
            found["bars"] = self.bars["ratio"].sel(of=found["of"].values)
        told = {"draws": self.draws, "truths": self.truths, "overall_p": self.overall_p, "combined_p": self.p_value}
        return found.assign_attrs(**told, decision=self.decision, failed=len(self.failures), slow=self.slow, summary=self.summary)

    def __str__(self) -> str:
        return f"{self.decision.upper()}: {self.summary}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<div><b>{html.escape(self.decision)}</b>: {html.escape(self.summary)}</div>"


def curve(positions: np.ndarray, of: tuple[str, ...]) -> xr.Dataset:
    """Coverage of central intervals of every level of :data:`GRID`, by kind of parameter (all together first), and its error."""
    columns = _columns(of)
    found = np.zeros((2, len(columns), len(GRID)))
    away = np.abs(2 * positions - 1)
    for k, own in enumerate(columns.values()):
        worth = len(positions) * _independent(away[:, own])
        for j, level in enumerate(GRID):
            mean, error = _mean((away[:, own] < level).astype(float))
            # Where most data sets cover alike their scatter says too little: so many intervals of the nominal level scatter by so much.
            found[:, k, j] = mean, max(error, np.sqrt(level * (1 - level) / worth))
    names = {"of": list(columns), "level": GRID}
    return xr.Dataset({"coverage": (("of", "level"), found[0]), "error": (("of", "level"), found[1])}, coords=names)


def _independent(away: np.ndarray) -> float:
    """How many independent parameters those of a data set are worth: distances from the middle are uniform, each of variance 1/12."""
    count = away.shape[1]
    scatter = float(away.mean(1).var(ddof=1)) if len(away) > 1 else 0.0
    return float(np.clip(1 / (12 * scatter), 1, count)) if scatter > 0 else float(count)


def _columns(of: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Which parameters are of every kind; all together first."""
    kinds = np.array(of)
    return {"all": np.ones(len(kinds), bool), **({one: kinds == one for one in dict.fromkeys(of)} if len(set(of)) > 1 else {})}


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Mean of what parameters of data sets ``(data set, parameter)`` have, and its error: data sets are independent, parameters are not."""
    finite = np.isfinite(values)
    some = finite.any(1)
    means = np.where(finite, values, 0.0).sum(1)[some] / finite.sum(1)[some]
    return (float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))) if len(means) > 1 else (np.nan, np.nan)


def _covers(kinds: xr.Dataset, k: int) -> str:
    """Coverage of one kind at both levels, in words."""
    half, most = (_percent(kinds.isel(of=k).sel(level=level)) for level in LEVELS)
    return f"{most} of 90 % intervals and {half} of 50 % intervals hold the truth"


def _percent(one: xr.Dataset) -> str:
    return f"{100 * float(one['coverage']):.1f} ± {100 * float(one['error']):.1f} %"


__all__ = ["Coverage", "Ranks", "curve"]
