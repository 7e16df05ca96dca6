"""Curves of every size, where those of two sizes cross, and where heat capacity and susceptibility peak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.critical.histograms import Averages, Histograms

REPLICATES = 200  # of blocks resampled: a standard deviation is known to 5 %
GRID = 81  # temperatures of a curve
NAMES = {"binder": "Binder cumulant U4", "length": "ξ/L", "stiffness": "βΥ·π/2", "heat_capacity": "heat capacity", "susceptibility": "χ"}
_ASIDE = 0.001  # relative: differences of slopes a little apart are further derivatives
_FAR = 1.9  # a pair of sizes is one and the first that is about twice as large: nearer ones cross under a small angle
_LOST = 0.05  # of the replicates may have no crossing, or a peak at the end


class Estimate(NamedTuple):
    """A number with its uncertainty: mean, standard deviation, and the ends of an equal-tailed interval."""

    mean: float
    sd: float
    lower: float
    upper: float

    @classmethod
    def of(cls, draws: np.ndarray, level: float) -> Estimate:
        """From draws; those that are nan are left out."""
        lower, upper = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return cls(float(np.nanmean(draws)), float(np.nanstd(draws, ddof=1)), float(lower), float(upper))

    def __str__(self) -> str:
        return f"{self.mean:.5g} ± {self.sd:.2g} ({self.lower:.5g} to {self.upper:.5g})"


class Curves(NamedTuple):
    """Averages of every size at common temperatures, the first replicate the data as they are."""

    betas: np.ndarray
    averages: list[Averages]
    resampled: list[tuple[np.ndarray, np.ndarray]]

    def of(self, name: str) -> list[np.ndarray]:
        """A quantity of every size, ``(replicate, beta)``."""
        take = {
            "binder": lambda one: one.binder[0],
            "length": lambda one: one.length[0],
            "stiffness": lambda one: np.pi / 2 * one.betas * one.helicity,
            "heat_capacity": lambda one: one.heat_capacity,
            "susceptibility": lambda one: one.susceptibility,
        }[name]
        return [take(one) for one in self.averages]

    def at(self, beta: float) -> list[Averages]:
        """Averages of every size at one temperature, and a little below and above it."""
        return [
            one.of.averages(beta * (1 + _ASIDE * np.array([-1, 0, 1])), *own)
            for one, own in zip(self.averages, self.resampled, strict=True)
        ]


def curves(histograms: Sequence[Histograms], seed: int) -> Curves:
    """Curves of all sizes between temperatures that all of them reach.

    Raises
    ------
    HamlearnError
        If there are none.
    """
    low, high = max(one.betas.min() for one in histograms), min(one.betas.max() for one in histograms)
    if not low < high:
        told = "; ".join(f"{one.size}: {one.betas.min():.4g} to {one.betas.max():.4g}" for one in histograms)
        raise HamlearnError(f"the sizes share no range of beta ({told}): give every size temperatures on both sides of the transition.")
    rng, grid, averages, resampled = np.random.default_rng(seed), np.linspace(low, high, GRID), [], []
    for one in histograms:
        blocks = len(one.sums)
        # A resampled variance of B blocks is too small by (B − 1)/B; their least number makes that 2 % of a standard deviation.
        draws = np.concatenate([np.ones((1, blocks)), rng.multinomial(blocks, np.full(blocks, 1 / blocks), REPLICATES)])
        resampled.append(one.replicates(draws))
        averages.append(one.averages(grid, *resampled[-1]))
    return Curves(grid, averages, resampled)


def pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Places of sizes that are compared: each with the first about twice as large, or neighbours where there is none.

    Examples
    --------
    >>> pairs([8, 12, 16, 24, 32]), pairs([8, 10])
    ([(0, 2), (1, 3), (2, 4)], [(0, 1)])
    """
    found = [(i, next((j for j in range(len(sizes)) if sizes[j] >= _FAR * sizes[i]), -1)) for i in range(len(sizes))]
    return [pair for pair in found if pair[1] > 0] or [(i, i + 1) for i in range(len(sizes) - 1)]


def crossing(found: Curves, name: str, pair: tuple[int, int]) -> np.ndarray:
    """Where the larger size's curve rises through the smaller one's, ``(replicate,)``.

    Raises
    ------
    HamlearnError
        If it does nowhere, or too near an end of the range.
    """
    small, large = (found.of(name)[k] for k in pair)
    sizes = [found.averages[k].of.size for k in pair]
    place = rising(found.betas, large - small)
    if np.isfinite(place[0]) and np.isnan(place).mean() <= _LOST:
        return place
    low, high = found.betas[[0, -1]]
    difference = (large - small)[0]
    side = "near an end" if np.isfinite(place[0]) else "nowhere"
    where = (
        "around its ends" if difference.min() < 0 < difference.max() else "to larger beta" if difference.mean() < 0 else "to smaller beta"
    )
    raise HamlearnError(
        f"{NAMES[name]} of sizes {sizes[0]} and {sizes[1]} cross {side} between beta={low:.4g} and {high:.4g}: widen the range {where}. (A "
        "system that does not order uniformly, an antiferromagnet or one in a field, has no crossing at all.)"
    )


def rising(betas: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where rows ``(replicate, beta)`` rise through zero: the one nearest to where the first row does; nan where they do not.

    Examples
    --------
    >>> rising(np.array([0.0, 1.0, 2.0]), np.array([[-1.0, 1.0, 2.0], [-3.0, -1.0, 1.0], [1.0, 2.0, 3.0]]))
    array([0.5, 1.5, nan])
    """
    found = np.full(len(values), np.nan)
    for k, row in enumerate(values):
        at = np.flatnonzero((row[:-1] < 0) & (row[1:] >= 0))
        if len(at):
            places = betas[at] - row[at] * (betas[at + 1] - betas[at]) / (row[at + 1] - row[at])
            # Of several zeros of the data as they are the steepest: far from the transition curves coincide and noise crosses.
            chosen = np.argmax(row[at + 1] - row[at]) if k == 0 or np.isnan(found[0]) else np.argmin(np.abs(places - found[0]))
            found[k] = places[chosen]
    return found


def peak(betas: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where curves ``(replicate, beta)`` are largest ``(replicate,)``; nan where that is an end of the range."""
    at = values.argmax(1)
    inside = (at > 0) & (at < len(betas) - 1)
    at, rows = np.clip(at, 1, len(betas) - 2), np.arange(len(values))
    left, top, right = values[rows, at - 1], values[rows, at], values[rows, at + 1]
    bend = left - 2 * top + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    return np.where(inside, betas[at] + shift * (betas[1] - betas[0]), np.nan)


__all__ = ["Curves", "Estimate", "crossing", "curves", "pairs", "peak", "rising"]


def __dir__() -> list[str]:
    return sorted(__all__)
