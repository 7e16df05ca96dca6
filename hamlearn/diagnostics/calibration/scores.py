"""What is kept of a data set: where the truths stand among the draws of its posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.statistics import effective_sample_size

_THINNED = (49, 19, 9)  # draws that ranks may be taken among where chains are worth fewer than were asked for
_ENOUGH = 0.8  # independent draws for each that is kept: their number is itself an estimate
_SLOW = 0.3  # below so many a data set is slow: 99 independent draws hardly ever look like so few, like half of them they do


@dataclass(frozen=True)
class Kept:
    """Among how many draws truths are ranked: as many as were asked for, or fewer where chains are slow.

    Attributes
    ----------
    draws : int
        Asked for.
    bins : int
        Of rank histograms, which divide every number of values that a rank may have.
    """

    draws: int
    bins: int

    @property
    def columns(self) -> str:
        """What is kept of a parameter, for a checkpoint."""
        return f"ranks among {', '.join(map(str, self.choices))}; position, error, spread, worth"

    @property
    def choices(self) -> tuple[int, ...]:
        """From the number asked for downwards."""
        return (self.draws, *(fewer for fewer in _THINNED if fewer < self.draws and (fewer + 1) % self.bins == 0))

    def score(self, draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator, *, independent: bool = False) -> np.ndarray:
        """Numbers of a data set ``(parameter, len(choices) + 4)``, from draws ``([chain,] draw, parameter)``.

        The rank of the truth among so many evenly spaced draws, for each of the choices; its position among all draws, from 0 to 1; the
        error of their mean in standard deviations; that standard deviation; how many independent draws they are worth. Ties (exact zeros)
        are broken at random.
        """
        series = draws.reshape(-1, *draws.shape[-2:])
        flat = series.reshape(-1, len(truth))
        if len(flat) < self.draws:
            raise HamlearnError(f"learn returned {len(flat)} draws, {self.draws} are needed.")
        if not np.all(np.isfinite(flat)):
            raise HamlearnError("some posterior draws are not finite.")
        columns = [_rank(flat[np.linspace(0, len(flat) - 1, kept).round().astype(int)], truth, rng) for kept in self.choices]
        columns.append((_rank(flat, truth, rng) + rng.random(len(truth))) / (len(flat) + 1))
        spread = flat.std(0, ddof=1)
        columns.append(np.divide(flat.mean(0) - truth, spread, out=np.full(len(truth), np.nan), where=spread > 0))
        columns.append(spread)
        worth = np.full(len(truth), float(len(flat)))
        if not independent:
            found = effective_sample_size(series)
            worth = np.where(np.isfinite(found), found, worth)  # what never moves has no time to forget
        return np.stack([*columns, worth], -1)

    def read(self, rows: np.ndarray) -> Scores:
        """Scores of all data sets ``(data set, parameter, len(choices) + 4)``, with ranks among as many draws as their chains are worth."""
        worth = rows[..., -1]
        least = float(np.median(worth, 0).min())
        place = next((k for k, kept in enumerate(self.choices) if least >= _ENOUGH * kept), len(self.choices) - 1)
        slow = int((worth.min(1) < _SLOW * self.choices[place]).sum())
        return Scores(rows[..., place].astype(int), self.choices[place], rows[..., -4], rows[..., -3], rows[..., -2], slow)


@dataclass(frozen=True, eq=False)
class Scores:
    """Ranks among `draws` draws, positions among all, errors of means in standard deviations, and these, each ``(data set, parameter)``.

    `slow` data sets have chains that are worth less than a third as many independent draws.
    """

    ranks: np.ndarray
    draws: int
    positions: np.ndarray
    errors: np.ndarray
    spreads: np.ndarray
    slow: int


def _rank(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many draws lie below the truth."""
    found: np.ndarray = (draws < truth).sum(0) + rng.integers(0, (draws == truth).sum(0) + 1)
    return found


__all__ = ["Kept", "Scores"]
