"""One of the two samples that an audit compares: its rows, what moves slowly among them, and independent blocks of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import statistics
from hamlearn.diagnostics.holdout import BLOCK_TIMES, BLOCKS, FEWEST_DRAWS, MIN_BLOCKS, SIGNIFICANT
from hamlearn.errors import HamlearnError
from hamlearn.infer import slowness
from hamlearn.spaces import Space, require_scale

_ENOUGH = 32
MOST_ROWS = 32_768  # rows that are looked at: evenly spaced ones of more
_SLOW_VALUES = 4_000_000  # numbers among which slow directions are searched


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which block every row belongs to, −1 for none, ``(row,)``, and how many there are."""

    label: np.ndarray
    count: int

    @property
    def rows(self) -> int:
        """How many rows the smallest block has."""
        return int(np.bincount(self.label[self.label >= 0], minlength=self.count).min())

    def thinned(self, each: int) -> Blocks:
        """The same blocks with `each` rows of every one, evenly spaced."""
        return Blocks(np.where(np.isin(np.arange(len(self.label)), self.chosen(each)), self.label, -1), self.count)

    def chosen(self, each: int) -> np.ndarray:
        """At most `each` rows of every block, equally many and evenly spaced, ``(block, row)``."""
        order = np.argsort(self.label, kind="stable")
        order = order[self.label[order] >= 0]
        members = np.split(order, np.cumsum(np.bincount(self.label[order], minlength=self.count))[:-1])
        each = min(max(1, each), *map(len, members))
        return np.stack([one[np.linspace(0, len(one) - 1, each).round().astype(int)] for one in members])

    @property
    def second_half(self) -> Blocks:
        """The later half of the blocks: none of their rows lies in the first half of all."""
        first = -(-self.count // 2)
        return Blocks(np.where(self.label >= first, self.label - first, -1), self.count - first)

    def means(self, columns: np.ndarray) -> np.ndarray:
        """Means of columns ``(row, column)`` over every block, ``(block, column)``."""
        kept = self.label >= 0
        sums = np.zeros((self.count, columns.shape[1]))
        np.add.at(sums, self.label[kept], columns[kept])
        return sums / np.bincount(self.label[kept], minlength=self.count)[:, None]


@dataclass(frozen=True, eq=False)
class Side:
    """Microstates of one temperature as an audit reads them.

    Attributes
    ----------
    states : array (chain, draw, n_sites) or (chain, draw, n_sites · n)
        Values.
    space : Space
        What a site holds.
    shape : tuple of int
        Extents of the sites.
    independent : bool
        Whether rows are declared independent.
    name : str
        "the reference" or "the model".
    """

    states: np.ndarray
    space: Space
    shape: tuple[int, ...]
    independent: bool
    name: str

    @classmethod
    def of(cls, data: xr.Dataset, name: str, kept: np.ndarray | None = None) -> Side:
        """A side of microstates at one temperature; rows that were counted several times are repeated.

        Of rows that are `kept` ``(row,)`` alone, where this is given, one chain is made: what follows each other is still near.
        """
        states, (times, weighted) = microstates.rows(data), microstates.multiplicity(data)
        if weighted:
            raise HamlearnError(
                f"{name} has rows with statistical weights, which are no sample to compare with: give microstates with counts, or resample."
            )
        if (space := microstates.space_of(data)).unbounded:
            require_scale(states, name, 4)  # fourth powers are summed
        independent = bool(int(data.attrs.get("independent", 0)))
        if "count" in data:
            counts = np.rint(times).astype(int).ravel() * (1 if kept is None else kept)
            flat = np.repeat(states.reshape(-1, states.shape[-1]), counts, 0)
            # The order of a histogram means nothing: equal rows must not make a block.
            states, independent = np.random.default_rng(0).permutation(flat)[None], True
        elif kept is not None and not kept.all():
            states = states.reshape(-1, states.shape[-1])[kept][None]
        every = max(1, -(-states.shape[0] * states.shape[1] // MOST_ROWS))
        if states.shape[0] > MOST_ROWS:
            states = states[:: -(-states.shape[0] // MOST_ROWS)]
            every = max(1, -(-states.shape[0] * states.shape[1] // MOST_ROWS))
        return cls(states[:, ::every], space, microstates.site_shape(data), independent, name)

    @property
    def rows(self) -> np.ndarray:
        """All states, chain after chain, ``(row, ...)``."""
        return self.states.reshape(-1, self.states.shape[-1])

    @cached_property
    def slowest(self) -> float:
        """The longest autocorrelation time, in rows, of whatever moves slowly; 1 for independent rows."""
        chains, draws, _ = self.states.shape
        if self.independent or draws < FEWEST_DRAWS:
            return 1.0
        values = self.space.encode(self.states).reshape(chains, draws, -1)
        keep = int(min(draws, max(256, _SLOW_VALUES // (chains * values.shape[-1]))))
        return slowness.longest_autocorrelation(values[:, :keep])

    def time_of(self, columns: np.ndarray) -> float:
        """The longest autocorrelation time of columns ``(row, column)``, in rows; 1 where none stands out.

        Two of its standard errors are added: a test that is decided only where the time came out short would raise false alarms.
        """
        chains, draws, _ = self.states.shape
        if self.independent or draws < FEWEST_DRAWS:
            return 1.0
        series = columns.reshape(chains, draws, -1)
        found = statistics.integrated_autocorrelation(series)
        beside = statistics.autocorrelation(series)[1] > SIGNIFICANT / np.sqrt(chains * draws)
        seen = np.where(beside | (found.tau - 1 > SIGNIFICANT * found.standard_error), found.tau + 2 * found.standard_error, 1.0)
        return float(np.nanmax(seen, initial=1.0))

    def blocks(self, tau: float, most: int = BLOCKS) -> Blocks:
        """At most so many independent blocks of rows for what has an autocorrelation time of `tau` rows; as few as there are."""
        chains, draws, _ = self.states.shape
        total = chains * draws
        if tau <= 1:
            count = min(most, total)
            return Blocks(np.arange(total) * count // total, count)
        length = int(np.ceil(max(BLOCK_TIMES * tau, min(2 * BLOCK_TIMES * tau, total / _ENOUGH), total / most)))
        return self._cut(min(length, draws) if draws >= BLOCK_TIMES * tau else length, most)

    def _cut(self, length: int, most: int) -> Blocks:
        """Pieces of chains of `length` rows; the oldest rows that fill none are left out. Of many chains whole ones are joined."""
        chains, draws, _ = self.states.shape
        pieces = draws // length
        if pieces == 0:
            return Blocks(np.full(chains * draws, -1), 0)
        index = np.arange(draws) - (draws - pieces * length)
        within = np.where(index >= 0, index // length, -1)
        label = np.where(within >= 0, np.arange(chains)[:, None] * pieces + within, -1)
        count = chains * pieces
        if count > most:
            label = np.where(label >= 0, label * most // count, -1)
            count = most
        return Blocks(label.ravel(), count)

    @property
    def frozen(self) -> bool:
        """Whether all rows are the same microstate."""
        return len(self.rows) > 1 and bool(np.all(self.rows == self.rows[0]))

    def more(self, tau: float, has: int) -> int:
        """About how many more rows would make enough blocks, of `has` there are."""
        return max(1, int(np.ceil((MIN_BLOCKS - has) * BLOCK_TIMES * tau)))
