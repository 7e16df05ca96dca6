"""What a file or a table of a stranger holds, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.progress import logger

WORDS = frozenset({"", "?", ".", "na", "n/a", "nan", "none", "null", "<na>"})
"""Texts that say that a cell was not observed, in lower case."""


@dataclass(frozen=True)
class Table:
    """States as they were found, with what came with them; readers make it, and :func:`hamlearn.microstates` decides what it means.

    Attributes
    ----------
    values : array
        Numbers (or booleans), axis 0 the row. A column of words has the numbers of its words in `labels`; what stands in a cell that is
        missing means nothing.
    names : tuple of str or None
        What the columns are called; None where they have no names.
    rows : tuple of str or None
        What the rows are called, by the index of a DataFrame or by a first column that has another word in every row; such a column is none
        of `values`.
    labels : tuple or None
        For every column the words that its values count from 0, in their order, or None where it holds numbers; None where all do. A
        table of more axes than two has them flat.
    missing : bool array or None
        Of the shape of `values`: which cells hold nothing (empty, NA, ``?``, masked); None where none does.
    counts, weights, time : array or None
        One value a row: how often it was seen, what it weighs, when.
    beta, space, q : object
        What a file says of its states, None where it says nothing.
    dims : sequence of str or None
        What the axes are, where that is said or their order is another one.
    independent : bool
        Whether rows have no order, as sequences of an alignment have none.
    where : str
        What messages call it.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    labels: tuple[tuple[str, ...] | None, ...] | None = None
    missing: np.ndarray | None = None
    counts: np.ndarray | None = None
    weights: np.ndarray | None = None
    time: np.ndarray | None = None
    beta: Any = None
    space: Any = None
    q: Any = None
    dims: Sequence[str] | None = None
    independent: bool = False
    where: str = "the states"

    def column(self, number: int) -> str:
        """A column in words.

        Examples
        --------
        >>> Table(np.zeros((2, 2)), names=("a", "b")).column(1), Table(np.zeros((2, 2))).column(1)
        ("'b'", '1')
        """
        return column(self.names, number)


def column(names: Sequence[str] | None, number: int) -> str:
    """What messages call a column: its name in quotation marks, or its number, counted from 0."""
    return str(number) if names is None else repr(" ".join(names[number].split())[:40])  # an unclosed quote makes a name of many lines


def settled(table: Table) -> Table:
    """A table whose columns are numbers or words each: of words that are all numbers, the numbers.

    Raises
    ------
    HamlearnError
        If a column has words among numbers.

    Examples
    --------
    >>> settled(Table(np.array([[0], [1]]), labels=(("10", "9"),))).values.tolist()
    [[10.0], [9.0]]
    """
    if not any(is_number(word) for words in table.labels or () for word in words or ()):
        return table
    values, labels = table.values.reshape(len(table.values), -1).astype(float), list(table.labels or ())
    for place, words in enumerate(labels):
        kinds = [is_number(word) for word in words or ()]
        if not any(kinds) or words is None:
            continue
        if not all(kinds):
            word = words[kinds.index(False)][:40]
            raise HamlearnError(
                f"{table.where} holds text in column {table.column(place)}, {word!r}, among numbers; a column is numbers or words. If it "
                f"says that there was no answer, missing={word!r} of hl.microstates (--missing at the shell) leaves its cells out."
            )
        index = values[:, place].astype(int).clip(0, len(words) - 1)  # what stands in a missing cell may be no word
        values[:, place] = np.array([float(word) for word in words])[index]
        labels[place] = None
    return replace(table, values=values.reshape(table.values.shape), labels=None if labels.count(None) == len(labels) else tuple(labels))


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def says_nothing(word: str) -> bool:
    """Whether a text says that a cell was not observed."""
    return word.strip().lower() in WORDS


def tell(where: str, what: str, *values: Any) -> None:
    """One line on how a table is read."""
    logger.info(f"%s: {what}", Path(where).name, *values)
