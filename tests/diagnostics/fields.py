"""Every text that a posterior, a prediction or microstates hold, each as a field that can be given another text.

Attributes (their JSON leaf by leaf and key by key), values of texts, names of variables and of dimensions; numbers in attributes
too, for a file may hold a text where a number belongs. ``benchmarks/robustness`` runs through all of them; the suite through a sample.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import xarray as xr
from markup import HOSTILE, faults
from markupsafe import Markup

from hamlearn.diagnostics.foreign import readable
from hamlearn.errors import HamlearnError
from hamlearn.page import svg
from hamlearn.page.document import render


@dataclass(frozen=True)
class Field:
    """Where a text stands, a function of the whole and another text that gives a changed copy, and whether a number stood there."""

    where: str
    put: Callable[[Any, str], Any]
    number: bool = False


def fields_of(whole: xr.DataTree | xr.Dataset) -> list[Field]:
    """Every field of a posterior, a prediction or microstates."""
    if isinstance(whole, xr.Dataset):
        return list(_of_dataset(whole, "", lambda given, change: change(given)))
    found = list(_of_attrs(whole.attrs, "", _with_root_attrs))
    for group, node in whole.children.items():
        found += _of_dataset(node.to_dataset(), f"{group}: ", _in_group(group))
    return found


def _with_root_attrs(given: xr.DataTree, change: Callable[[dict], dict]) -> xr.DataTree:
    changed = given.copy()
    changed.attrs = change(dict(given.attrs))
    return changed


def _in_group(group: str) -> Callable[[Any, Callable], Any]:
    def put(given: xr.DataTree, change: Callable[[xr.Dataset], xr.Dataset]) -> xr.DataTree:
        changed = given.copy()
        changed[group] = xr.DataTree(change(given[group].to_dataset()))
        return changed

    return put


def _of_dataset(part: xr.Dataset, lead: str, into: Callable[[Any, Callable], Any]) -> Iterator[Field]:
    def at_attrs(given: Any, change: Callable[[dict], dict]) -> Any:
        return into(given, lambda one: _set_attrs(one, None, change))

    yield from _of_attrs(part.attrs, lead, at_attrs)
    legal = (lambda text: text.replace("/", "|")) if lead else str  # a tree allows no slash in names
    for name, values in part.variables.items():
        told = f"{lead}{name}"

        def at_variable(given: Any, change: Callable[[dict], dict], name: Any = name) -> Any:
            return into(given, lambda one: _set_attrs(one, name, change))

        yield from _of_attrs(values.attrs, f"{told}.", at_variable)
        yield Field(f"{told} (name)", lambda given, text, name=name: into(given, lambda one: one.rename({name: legal(text)})))
        if values.dtype.kind in "UOT":
            yield Field(f"{told} (values)", lambda given, text, name=name: into(given, lambda one: _set_text(one, name, text)))
    for dim in part.dims:
        if dim not in part.variables:
            yield Field(
                f"{lead}{dim} (dimension)", lambda given, text, dim=dim: into(given, lambda one: one.rename_dims({dim: legal(text)}))
            )


def _set_attrs(given: xr.Dataset, name: Any, change: Callable[[dict], dict]) -> xr.Dataset:
    changed = given.copy()
    owner = changed if name is None else changed[name]
    owner.attrs = change(dict(owner.attrs))
    return changed


def _set_text(given: xr.Dataset, name: Any, text: str) -> xr.Dataset:
    """The first of the variable's values replaced."""
    values = given[name].values.astype(object)
    values.flat[0] = text
    return (
        given.assign_coords({name: (given[name].dims, values)})
        if name in given.coords
        else given.assign({name: (given[name].dims, values)})
    )


def _of_attrs(attrs: dict, lead: str, put: Callable[[Any, Callable[[dict], dict]], Any]) -> Iterator[Field]:
    for key, value in attrs.items():
        yield Field(f"{lead}{key}", lambda given, text, key=key: put(given, lambda old: {**old, key: text}), not isinstance(value, str))
        structure = _json(value)
        for path in _paths(structure):
            yield Field(
                f"{lead}{key}{''.join(f'[{step!r}]' for step in path)}",
                lambda given, text, key=key, path=path: put(
                    given, lambda old: {**old, key: json.dumps(_replaced(json.loads(old[key]), path, text))}
                ),
            )
            if isinstance(path[-1], str):
                yield Field(
                    f"{lead}{key}{''.join(f'[{step!r}]' for step in path)} (key)",
                    lambda given, text, key=key, path=path: put(
                        given, lambda old: {**old, key: json.dumps(_renamed(json.loads(old[key]), path, text))}
                    ),
                )
    yield Field(f"{lead}(a new attribute)", lambda given, text: put(given, lambda old: {**old, text or "x": text}))


def _json(value: object) -> Any:
    if not isinstance(value, str):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def _paths(structure: Any, lead: tuple = ()) -> Iterator[tuple]:
    """To every entry of a dictionary, and to the first of a list, for the others are alike."""
    steps = structure.items() if isinstance(structure, dict) else list(enumerate(structure))[:1] if isinstance(structure, list) else ()
    for step, value in steps:
        yield (*lead, step)
        yield from _paths(value, (*lead, step))


def _replaced(structure: Any, path: tuple, text: str) -> Any:
    place = structure
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = text
    return structure


def _renamed(structure: Any, path: tuple, text: str) -> Any:
    place = structure
    for step in path[:-1]:
        place = place[step]
    place[text] = place.pop(path[-1])
    return structure


@dataclass(frozen=True)
class Injection:
    """One text in one field, and how the page is made then."""

    where: str
    text: str
    make: Callable[[], str]


def injections(post: xr.DataTree, prediction: xr.Dataset, texts: Sequence[str] = HOSTILE, *, every: bool = False) -> Iterator[Injection]:
    """Every field of a posterior and its prediction with a text, one at a time, and the title.

    Texts take turns over the fields; with `every` each field gets each of them.
    """
    several: list[tuple[str, Callable[[str], str]]] = [("title", partial(render, post, prediction))]
    several += [(f"posterior {one.where}", lambda text, one=one: render(one.put(post, text), prediction)) for one in fields_of(post)]
    several += [(f"prediction {one.where}", lambda text, one=one: render(post, one.put(prediction, text))) for one in fields_of(prediction)]
    return _in_turn(several, texts, every=every)


def injections_of_data(
    data: xr.Dataset,
    learn: Callable[[xr.Dataset], xr.DataTree],
    prediction: xr.Dataset,
    texts: Sequence[str] = HOSTILE,
    *,
    every: bool = False,
) -> Iterator[Injection]:
    """Every text of microstates with another one, one at a time, learned from anew."""
    texts_only = [one for one in fields_of(data) if not one.number]
    several = [(f"data {one.where}", lambda text, one=one: render(learn(one.put(data, text)), prediction)) for one in texts_only]
    return _in_turn(several, texts, every=every)


def _in_turn(several: list[tuple[str, Callable[[str], str]]], texts: Sequence[str], *, every: bool) -> Iterator[Injection]:
    for number, (where, make) in enumerate(several):
        for text in texts if every else (texts[number % len(texts)],):
            yield Injection(where, text, partial(make, text))


@contextlib.contextmanager
def pictures_once() -> Iterator[None]:
    """Draw each picture of a page once and use it again: what is looked at then is all of the page but the labels inside pictures."""
    draw, drawn = svg.inline, {}

    def again(figure, name, alternative, width):
        if name not in drawn:
            drawn[name] = draw(figure, name, "alternative", width)
        return drawn[name].replace('aria-label="alternative"', Markup('aria-label="{}"').format(readable(alternative)))

    with mock.patch.object(svg, "inline", again):
        yield


def outcome(make: Callable[[], str], clean: str) -> str:
    """Either "page" or "refused" (by a HamlearnError); anything else is a failure, in words."""
    try:
        page = make()
        page.encode()
    except HamlearnError:
        return "refused"
    except Exception as error:
        return f"raised {error!r:.200}"
    return "; ".join(faults(page, clean)[:4]) or "page"
