"""Dataclasses from JSON, each entry of the type that its field has; errors name the entry."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError

AGAIN = "Load it from its file again, or learn it again."


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """What the fields of one of our own classes are; Python evaluates these texts, so once and not while a file is read."""
    return typing.get_type_hints(kind)


def typed(kind: Any, found: Any, where: str = "") -> Any:
    """A dataclass from a dictionary; every entry of the type that the field has."""
    if not isinstance(found, dict):
        what = "attribute 'provenance' is JSON of a dict" if not where else f"provenance has no entries under {where!r}"
        raise HamlearnError(f"the posterior's {what}; got {shown(found)}. {AGAIN}")
    hints, known = _hints(kind), {one.name: one for one in fields(kind)}
    if strange := [name for name in found if name not in known]:
        raise HamlearnError(f"the posterior's provenance holds {shown(strange[0])}{_of(where)}, which is not known. {AGAIN}")
    for name, one in known.items():
        if name not in found and one.default is MISSING and one.default_factory is MISSING:
            raise HamlearnError(
                f"the posterior's provenance lacks {name!r}{_of(where)}, so nothing can be said of how it was made. {AGAIN}"
            )
    return kind(**{name: _value(hints[name], value, f"{where}.{name}" if where else name) for name, value in found.items()})


def _of(where: str) -> str:
    return f" of {where!r}" if where else ""


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as a field's type hint asks for it."""
    if hint is Any:
        return value
    origin_, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin_ in (typing.Union, types.UnionType):
        if value is None and type(None) in inside:
            return None
        (hint,) = [one for one in inside if one is not type(None)]
        return _value(hint, value, where)
    if is_dataclass(hint):
        return typed(typing.cast("type[Any]", hint), value, where)
    if origin_ is tuple:
        if not isinstance(value, list | tuple):
            raise HamlearnError(f"the posterior's provenance needs a list under {where!r}; got {shown(value)}. {AGAIN}")
        if all(type(one) is inside[0] for one in value):  # names of thousands of parameters, read with every figure of a page
            return tuple(value)
        return tuple(_value(inside[0], one, where) for one in value)
    accepted: dict[Any, tuple[type[Any], ...]] = {float: (int, float), Mapping: (dict,), bool: (bool,), int: (int,), str: (str,)}
    wanted = Mapping if origin_ is not None else hint
    if not isinstance(value, accepted[wanted]) or (isinstance(value, bool) and wanted in (int, float)):
        what = {Mapping: "entries", float: "a number", int: "a whole number", bool: "true or false", str: "a text"}[wanted]
        raise HamlearnError(f"the posterior's provenance needs {what} under {where!r}; got {shown(value)}. {AGAIN}")
    return value
