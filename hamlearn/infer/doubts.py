"""What an answer says of posteriors behind it that are not to be believed, in one way for all verbs.

The verdict is a room above this one. Where it is at hand it is asked; here its sentence is read from the posterior, where
:func:`hamlearn.diagnostics.diagnose` has recorded it.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import pandas as pd
import xarray as xr

DOUBT = "doubt"
"""Attribute of a posterior that is not to be believed: why, in a sentence."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def recorded(post: xr.DataTree) -> str:
    """Why a posterior is not to be believed, as it was found when it was judged; empty of others."""
    return str(post.attrs.get(DOUBT, ""))


def doubting(function: Callable[Asked, Answer], doubt_of: Callable[[xr.DataTree], str] = recorded) -> Callable[Asked, Answer]:
    """`function` of posteriors, whose answer says first which of them is not to be believed.

    Parameters
    ----------
    function : callable
        Its answer is a Dataset, a DataFrame, or has a method ``noted(notes)``.
    doubt_of : callable
        Why a posterior is not to be believed; empty where it may be.

    Examples
    --------
    >>> post = xr.DataTree(xr.Dataset(attrs={DOUBT: "The chains did not mix."}))
    >>> doubting(lambda post: xr.Dataset())(post).attrs["doubts"]
    'The posterior behind this is not to be believed: The chains did not mix.'
    """

    @functools.wraps(function)
    def judged(*args: Asked.args, **options: Asked.kwargs) -> Answer:
        result = function(*args, **options)
        posts = [one for one in (*args, *options.values()) if isinstance(one, xr.DataTree)]
        whose = ("first posterior", "second posterior") if len(posts) > 1 else ("posterior behind this",)
        found = [(name, doubt_of(one)) for name, one in zip(whose, posts, strict=False)]
        notes = tuple(f"The {name} is not to be believed: {doubt}" for name, doubt in found if doubt)
        return noted(result, notes) if notes else result

    return judged


@functools.singledispatch
def noted(answer: Any, notes: tuple[str, ...]) -> Any:
    """`answer` with these notes first: in attribute ``doubts`` of what has attributes, and in its representation."""
    return answer.noted(notes)


@noted.register
def _(answer: xr.Dataset, notes: tuple[str, ...]) -> xr.Dataset:
    made = answer.copy()
    made.attrs = {"doubts": "\n".join(notes), **answer.attrs}  # first, where the representation begins
    return made


@noted.register
def _(answer: pd.DataFrame, notes: tuple[str, ...]) -> pd.DataFrame:
    made = DoubtedTable(answer)
    made.attrs = {**answer.attrs, "doubts": "\n".join(notes)}
    return made


class DoubtedTable(pd.DataFrame):
    """A table whose representation begins with what ``attrs["doubts"]`` says; what is computed from it is an ordinary table."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.attrs.get('doubts', '')}\n{super().__repr__()}"

    def _repr_html_(self) -> str:
        told = "".join(f"<p>{html.escape(note)}</p>" for note in str(self.attrs.get("doubts", "")).splitlines())
        return f"<div>{told}{super()._repr_html_()}</div>"


__all__ = ["DOUBT", "doubting", "noted", "recorded"]
