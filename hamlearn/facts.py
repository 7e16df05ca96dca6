"""What something is, as a small table for notebooks: everything is escaped, for names in files are a stranger's."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import shown

_LISTED = 8  # values of a tuple that are named one by one


def table(title: str, rows: Mapping[str, str]) -> str:
    """HTML of a title and rows of a name and a value, which are text and nothing else.

    Examples
    --------
    >>> table("Ising", {"name": "<b>"})
    '<div><b>Ising</b><table><tr><th style="text-align:left">name</th><td style="text-align:left">&lt;b&gt;</td></tr></table></div>'
    """
    left = ' style="text-align:left"'
    cells = "".join(f"<tr><th{left}>{html.escape(name)}</th><td{left}>{html.escape(value)}</td></tr>" for name, value in rows.items())
    return f"<div><b>{html.escape(title)}</b><table>{cells}</table></div>"


def of_fields(one: Any) -> dict[str, str]:
    """The fields of a dataclass in words.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> of_fields(Ising((4, 4)))["J"]
    '32 numbers, all 1'
    """
    if not is_dataclass(one):
        return {}
    return {field.name: text for field in fields(one) if (text := told(getattr(one, field.name)))}


def told(value: Any) -> str:
    """A value in one line; of an array how many numbers there are, and between which they lie.

    Examples
    --------
    >>> told(np.array([0.5, -1.25, 2.0])), told("glass"), told(None)
    ('3 numbers, −1.25 to 2, mean 0.417', 'glass', '')
    >>> told(True), told((2, 4)), told(1.0)
    ('yes', '2, 4', '1')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, tuple) and len(value) <= _LISTED:
        return ", ".join(told(one) for one in value)
    if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "biuf":
        low, high = float(value.min()), float(value.max())
        said = f"all {low:.3g}" if low == high else f"{low:.3g} to {high:.3g}, mean {value.mean():.3g}"
        return f"{value.size} numbers, {said}".replace("-", "−")
    return shown(value)


__all__ = ["of_fields", "table", "told"]
