"""What stands in the cells of a table, as states of a space: words and columns numbered, values checked, and which cells hold nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hamlearn import spaces
from hamlearn.data.codes import several, without_gaps
from hamlearn.data.columns import Codes, Labels, by_column
from hamlearn.data.missing import filled, require_gaps
from hamlearn.data.names import header
from hamlearn.data.strays import outside
from hamlearn.data.values import require_room
from hamlearn.data.words import numbered, worded
from hamlearn.errors import HamlearnError, choice
from hamlearn.spaces import SPINS, Space, States
from hamlearn.storage import Table


@dataclass(frozen=True, eq=False)
class Numbers:
    """A table of numbers, and what is said of them.

    Attributes
    ----------
    table : Table
    name : str
        What space they are declared to be of.
    space : Space or None
        That space, where it is known whole and not by its name alone.
    q : int or None
        How many states there are, where that is said.
    words : list of str or None
        What the numbers stand for, in their order.
    columns : list or None
        What the states of every column were called, where each has its own.
    """

    table: Table
    name: str
    space: Space | None
    q: int | None
    words: list[str] | None
    columns: Codes | None

    @property
    def called(self) -> list[str] | None:
        """What columns are called, where they have names."""
        return header(self.table.names)


@dataclass(frozen=True, eq=False)
class Cells:
    """States that were checked; where nothing was observed (`gone`) stands one that was. `codes`: what states were called, if otherwise."""

    values: np.ndarray
    space: Space
    gone: np.ndarray
    codes: Sequence[Any] | None


def in_numbers(table: Table, labels: Labels | None) -> Numbers:
    """A table with its words, and columns that have states of their own, as numbers."""
    space, q = several(table.space, table.q)
    columns = by_column(table, space, q, labels)
    if columns is not None:
        table, labels = columns[0], None
        space, q = States([len(own) for own in columns[1]]), None  # type: ignore[arg-type]
    table, words = numbered(table, space, cast(Sequence[str] | None, labels))
    given = space if isinstance(space, Space) else None
    name = choice(SPINS.name if space is None else space, spaces.names(), "space") if given is None else given.name
    return Numbers(table, name, given, q, words, None if columns is None else columns[1])


def in_space(read: Numbers, array: np.ndarray, *, wrap: bool, site_axes: int) -> Cells:
    """The numbers of a table, an `array` with its site axes last, as states.

    Raises
    ------
    HamlearnError
        If a value is none of the space, or what is said of the space contradicts itself.
    """
    room = read.q if isinstance(read.q, int) else (read.space or SPINS).sizes
    if room and read.name == States.name and read.called is not None:
        require_room(array, room, read.called, read.table.where)
    kind = spaces.KINDS.get(read.name, type(SPINS)) if read.space is None else read.space
    if wrap and kind.period is None:
        raise HamlearnError(f"wrap=True reduces angles to [0, 2π); it means nothing for space={read.name!r}, so leave it out.")
    if read.space is not None and read.q is not None:
        raise HamlearnError(f"the space {read.space} says what q is, so q={read.q} would be ignored; leave it out.")
    gone = np.isnan(array) if array.dtype.kind == "f" and kind.gaps else np.zeros(array.shape, bool)
    seen = filled(array, gone) if gone.any() else array
    if read.space is None:
        try:
            values, found = spaces.received(seen, read.name, read.q, wrap=wrap)
        except HamlearnError as error:
            raise HamlearnError(f"{error}{outside(seen, read.name, read.q if isinstance(read.q, int) else None, read.called)}") from None
    else:
        require_gaps(read.space, gone)
        values, found = read.space.validate(seen, wrap=wrap, site_axes=site_axes), read.space
    if np.shares_memory(values, array):
        values = values.copy()  # a later change of the array is no change of the data
    if read.words is not None:
        return Cells(values, worded(found, read.words, read.q), gone, read.words)
    if read.q is None and read.space is None and found.labelled:
        values, codes = without_gaps(values)
        return Cells(values, found, gone, codes)
    return Cells(values, found, gone, None)
