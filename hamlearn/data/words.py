"""Words as states: which number the texts of a table stand for, told in one line and kept in the attribute ``codes``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hamlearn import spaces
from hamlearn.errors import HamlearnError
from hamlearn.spaces import BITS, SPINS, Space
from hamlearn.storage import Table
from hamlearn.storage.table import tell

PAIRS = (
    ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("down", "up"), ("-", "+"), ("−", "+"), ("off", "on"), ("absent", "present"),
    ("disagree", "agree"), ("nay", "yea"), ("against", "for"), ("reject", "accept"), ("negative", "positive"), ("fail", "pass"),
)  # fmt: skip
"""Words for down and up, in lower case; any other two are taken in alphabetical order."""


def numbered(table: Table, space: str | Space | None, order: Sequence[str] | None) -> tuple[Table, list[str] | None]:
    """A table whose words are numbers of `space`, and the words in the order of its states; tables of numbers as they are.

    Parameters
    ----------
    table : Table
        As it was read.
    space : str, Space or None
        Spins by default, which have two words.
    order : sequence of str, optional
        The words in the order of the states (of spins the one for −1 first), as the user wants it.

    Raises
    ------
    HamlearnError
        If columns of numbers stand beside words, spins have more than two words, or `order` lacks one.
    """
    name = space.name if isinstance(space, Space) else SPINS.name if space is None else space
    if table.where != Table.where and table.values.dtype.kind == "b" and name == SPINS.name:  # truth written out, in a file or columns
        width = int(np.prod(table.values.shape[1:]))
        table = replace(table, values=table.values.astype(np.int8), labels=(("False", "True"),) * width)
    if table.labels is None:
        if order is not None:
            raise HamlearnError("labels= orders the words of a table, and these states are numbers; leave it out.")
        return table, None
    discrete = name == BITS or (name in spaces.KINDS and spaces.KINDS[name].interaction in ("ising", "general"))
    if not discrete:
        return table, None  # refused as text where numbers are needed
    if None in table.labels:
        place, other = table.labels.index(None), next(place for place, words in enumerate(table.labels) if words)
        word = (table.labels[other] or ("",))[0][:40]
        raise HamlearnError(
            f"{table.where} holds text in column {table.column(other)}, {word!r}, and numbers in column {table.column(place)}: leave out "
            "the column that is no site (one that says to whom a row belongs is given as a coordinate, "
            "data.assign_coords(subject=(\"draw\", column)), at the shell as a file for each), say space='states' (--space states) where "
            "each column has states of its own, or write words (or numbers) everywhere."
        )
    two = name in (SPINS.name, BITS)
    words = _two(table, order) if two else _several(table, order)
    numbers = {"spins": (-1, 1), BITS: (0, 1)}.get(name, tuple(range(len(words))))
    _say(table, words, numbers)
    return replace(table, values=_values(table, words, numbers), labels=None), words


def worded(space: Space, words: Sequence[str], q: int | None) -> Space:
    """`space` with as many states as there are words; an error where another number was declared."""
    if not space.labelled:
        return space
    if q not in (None, len(words)) or len(words) > 127:
        raise HamlearnError(f"q={q}, but there are {len(words)} words: leave q out, or list all words of the states, labels=[...].")
    return spaces.states(max(2, len(words)))


def _met(table: Table) -> list[str]:
    """All words of all columns."""
    return sorted({word for words in table.labels or () for word in words or ()})


def _two(table: Table, order: Sequence[str] | None) -> list[str]:
    """The two words of spins, that for −1 first."""
    met = _met(table)
    if order is not None:
        return _ordered(met, order, 2)
    for pair in PAIRS:
        if {word.casefold() for word in met} <= set(pair):
            return [next((word for word in met if word.casefold() == one), one) for one in pair]
    if len(met) == 2:
        return met
    if len(met) == 1:
        raise HamlearnError(f"{table.where} holds nothing but {met[0][:40]!r}: nothing varies, and there is nothing to learn.")
    labels = table.labels or ()
    most = max(range(len(labels)), key=lambda place: len(labels[place] or ()))
    if len(labels[most] or ()) > 2:
        raise HamlearnError(
            f"column {table.column(most)} of {table.where} holds {_listed(labels[most])}: spins have two values. Declare space='states'."
        )
    other = next(place for place, words in enumerate(labels) if not set(words or ()) <= set(labels[most] or ()))
    raise HamlearnError(
        f"columns of {table.where} have different words: {table.column(most)} {_listed(labels[most])}, {table.column(other)} "
        f"{_listed(labels[other])}. Spins have one pair for all columns: write the same two words everywhere, or declare space='states'."
    )


def _several(table: Table, order: Sequence[str] | None) -> list[str]:
    """The words of q states, in alphabetical order unless another one is given."""
    met = _met(table)
    return met if order is None else _ordered(met, order, None)


def _ordered(met: Sequence[str], order: Sequence[str], count: int | None) -> list[str]:
    given = [] if isinstance(order, str) else [str(one).strip() for one in order]
    lacking = [word for word in met if word not in given]
    if not given or lacking or len(set(given)) < len(given) or (count is not None and len(given) != count):
        told = f"; {lacking[0][:40]!r} is not among them" if lacking else ""
        raise HamlearnError(
            f"labels= lists {'the two words of spins, that for −1 first' if count else 'all words in the order of the states'}, each once; "
            f"got {list(given)[:8]}{told}."
        )
    return given


def _values(table: Table, words: list[str], numbers: Sequence[int]) -> np.ndarray:
    """The numbers of all cells."""
    place = {word: number for word, number in zip(words, numbers, strict=False)}
    folded = {word.casefold(): number for word, number in place.items()}
    flat = table.values.reshape(len(table.values), -1).astype(np.intp)
    result = np.empty(flat.shape, np.int8)
    for k, column in enumerate(table.labels or ()):
        if not column:  # nothing is observed of it
            result[:, k] = numbers[0]
            continue
        values = np.array([place[word] if word in place else folded[word.casefold()] for word in column], np.int8)
        result[:, k] = values[np.clip(flat[:, k], 0, len(values) - 1)]
    return result.reshape(table.values.shape)


def _say(table: Table, words: list[str], numbers: Sequence[int]) -> None:
    signed = {-1: "−1", 1: "+1"} if numbers[0] < 0 else {}
    pairs = [f"{word[:40]!r} {'was read as' if k == 0 else 'as'} {signed.get(numbers[k], numbers[k])}" for k, word in enumerate(words[:8])]
    told = ", ".join(pairs)
    turned: Any = [word[:40] for word in words[::-1]] if len(words) == 2 else "[...]"
    tell(table.where, "%s%s (labels=%s orders them otherwise)", told, ", …" if len(words) > 8 else "", turned)


def _listed(words: Sequence[str] | None) -> str:
    met = list(words or ())
    return ", ".join(repr(word[:40]) for word in met[:4]) + (f" and {len(met) - 4} more" if len(met) > 4 else "")
