"""The one exception a user's mistake raises, and helpers that make its message teach."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar

Word = TypeVar("Word", bound=str)


class HamlearnError(ValueError):
    """A mistake in what was asked for: the message says what happened, what was expected and what to do.

    It is a :class:`ValueError`, so code that knows nothing of hamlearn can still catch it; the shell prints its
    message on one line and exits with code 2.

    Examples
    --------
    >>> import hamlearn as hl
    >>> try:
    ...     hl.microstates([[0, 1], [1, 1]], space="spins")
    ... except hl.HamlearnError as error:
    ...     print("bits" in str(error))
    True
    """


class Undetermined(HamlearnError):
    """Data that leave parameters open: an estimate without a prior does not exist."""


def raised(error: Exception) -> str:
    r"""What a user's own function raised, in one line.

    Examples
    --------
    >>> raised(KeyError("a")), raised(ValueError("one\ntwo")), raised(AssertionError())
    ("KeyError: 'a'", 'ValueError: one', 'AssertionError')
    """
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def choice(value: str, allowed: Iterable[Word], what: str) -> Word:
    """Return `value` if it is one of `allowed`, else raise an error that names the nearest allowed word."""
    words = list(allowed)
    if isinstance(value, str) and value in words:
        return next(one for one in words if one == value)
    near = closest(str(value), words)
    hint = f" Did you mean {near!r}?" if near else ""
    raise HamlearnError(f"{what} must be one of {', '.join(map(repr, words))}; got {value!r}.{hint}")


def closest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` is a slip of, or None: a far suggestion misleads more than none.

    Examples
    --------
    >>> closest("pseud", ["exact", "pseudo"]), closest("--bogus", ["--counts", "--powers"])
    ('pseudo', None)
    """
    near = difflib.get_close_matches(word.lstrip("-"), [one.lstrip("-") for one in words], n=1, cutoff=_CLOSE)
    return next((one for one in words if one.lstrip("-") == near[0]), None) if near else None


_CLOSE = 0.7  # of difflib's ratio: one letter in four may be wrong
