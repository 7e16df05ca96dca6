"""What earlier versions wrote of how a posterior was made (0.1 and 0.2.0.dev0), read as it is kept now."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from hamlearn.arguments import shown
from hamlearn.data.codes import words_in
from hamlearn.errors import HamlearnError
from hamlearn.infer.provenance import Provenance
from hamlearn.infer.seen import KEY
from hamlearn.infer.typed import AGAIN
from hamlearn.spaces import from_attrs

_NOTES: tuple[tuple[Callable[[str], bool], str], ...] = (  # the sentences that these versions decided by
    (lambda note: "separable" in note, "separable"),
    (lambda note: "calibrate=False" in note, "off"),
)


def upgraded(record: Any) -> Provenance:
    """What earlier versions wrote under ``record``, with sentences in it, as it is kept now.

    This is the only place that reads sentences: the two that those versions' own verdict read. All others are kept as they were.
    """
    if not isinstance(record, dict):
        raise HamlearnError(f"the posterior's attribute 'record' is JSON of a dict; got {shown(record)}. {AGAIN}")
    old = dict(record)
    for name in ("engine", "calibration"):
        if name in old and not isinstance(old[name], dict):
            raise HamlearnError(f"the posterior's record has no entries under {name!r}; got {shown(old[name])}. {AGAIN}")
    if "engine" in old:
        settings = dict(old["engine"])
        name = settings.pop("name", "")
        old["engine"] = {"name": name, "settings": settings, "markov": name in ("nuts", "gibbs")}  # what there was
    if "calibration" in old:
        facts = dict(old["calibration"])
        note = str(facts.pop("note", ""))
        code = next((code for fits, code in _NOTES if fits(note)), "told")
        numbers = {"composite": bool(old.get("composite"))} if code == "off" else {}
        old["calibration"] = {**facts, "basis": {"code": code, "numbers": numbers, "words": note}}
    for name in ("findings", "signals"):
        if name in old:
            old[name] = [_told(one, name) for one in old[name]]
    old["frozen_fields"] = old.get("frozen_sites") or []  # what these versions judged
    old["prior_share"] = old.get("prior_share") or []
    known = {one.name for one in fields(Provenance)}
    own = {name: old.pop(name) for name in list(old) if name not in known}
    return Provenance.from_dict({**old, "more": own})


def _told(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise HamlearnError(f"the posterior's record has no entries under {where!r}; got {shown(found)}. {AGAIN}")
    numbers = {key: value for key, value in found.items() if key not in ("severity", "topic", "what", "advice")}
    kept = {key: found.get(key, "") for key in ("severity", "topic", "what", "advice")}
    return {"code": "told", **kept, "numbers": numbers}


def without_never(attrs: dict[Any, Any]) -> None:
    """Attributes of a posterior, changed in place: states never seen, which were listed apart, are none of its space."""
    if "never" in attrs:
        space = from_attrs(attrs)
        there = np.ones((math.prod(json.loads(attrs["site_shape"])), space.q), bool)
        there[tuple(np.array(json.loads(attrs["never"])).T)] = False
        attrs[KEY] = attrs.pop("never")
        attrs |= space.only(there).attrs  # type: ignore[attr-defined]


def names_in(attrs: Mapping[Any, Any]) -> tuple[str, ...]:
    """What the attributes of a posterior call its sites; () where they are numbered."""
    try:
        return tuple(map(str, json.loads(attrs.get("site_names", "[]"))))
    except (TypeError, ValueError, RecursionError):
        raise HamlearnError(f"the attribute 'site_names' is not the JSON of a list of names: {shown(attrs['site_names'])}.") from None


def read(attrs: Mapping[Any, Any]) -> Provenance:
    """From the attributes of a posterior, whichever version wrote them."""
    if "provenance" in attrs:
        return replace(Provenance.from_json(attrs["provenance"]), sites=names_in(attrs), words=words_in(attrs))
    try:
        record = json.loads(attrs["record"])
    except KeyError:
        raise HamlearnError(f"this posterior lacks the attribute 'provenance'. {AGAIN}") from None
    except (TypeError, ValueError, RecursionError):
        raise HamlearnError(f"the posterior's attribute 'record' cannot be read as JSON: {shown(attrs['record'])}. {AGAIN}") from None
    return upgraded(record)
