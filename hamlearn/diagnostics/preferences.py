"""What forbids to prefer one of several models: rows that were copied, and chains worth too few independent rows.

A copy of a held-out row is among those that were fitted, so that whoever remembers most predicts best. Looked for as the comparison of a
posterior with its data does (:mod:`~hamlearn.diagnostics.signals.coincidences`), by every model: one that lacks something finds its own
misfit in equal rows, but what copies do no model explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.data.codes import codes_of
from hamlearn.diagnostics import holdout
from hamlearn.diagnostics.signals import coincidences
from hamlearn.diagnostics.signals.view import Signal, views
from hamlearn.diagnostics.verdict import UNEVEN
from hamlearn.models import Model


def copies(posts: Iterable[xr.DataTree], sets: list[xr.Dataset]) -> tuple[float, str]:
    """How often rows were taken at one temperature, and a sentence; 1 and nothing where a model explains all equal rows.

    Parameters
    ----------
    posts : iterable of DataTree
        One of every model, that which predicts best first.
    sets : list of Datasets
        Rows at every temperature.
    """
    left, signals = set(range(len(sets))), dict[int, Signal]()
    for post in posts:
        if not left:
            break
        seen = list(views(post, sets))
        signals = {k: found[0] for k in left if (found := coincidences.find(seen[k])) and _copies(found[0])}
        left = set(signals)
    if not left:
        return 1.0, ""
    worst = max((signals[k] for k in left), key=lambda one: one.effect)
    numbers = worst.numbers
    told = worst.what or "{pairs:.0f} pairs of rows are equal{label}, where the models expect {expected:.0f}".format(**numbers)
    return worst.effect, (
        f"Rows seem to be copied, and none is to be preferred: {told}. Copies of held-out rows are among those that were fitted, so that "
        "models win which remember. Give every observation once."
    )


def _copies(found: Signal) -> bool:
    """Whether equal rows can be copies: each taken so often leaves room for no more than so many distinct ones."""
    numbers = found.numbers
    return found.code != "equal rows" or numbers["distinct"] <= UNEVEN * numbers["rows"] / numbers["copies"]


def slowest(posts: Iterable[xr.DataTree], sets: list[xr.Dataset]) -> list[float]:
    """Autocorrelation time of every set, of what the models see: a sign only where one of them sees it."""
    looks = [list(views(post, sets)) for post in posts]
    found = []
    for k, part in enumerate(sets):
        ordered = looks[0][k].ordered
        found.append(holdout.slowest_tau(part, symmetric=all(look[k].symmetric for look in looks)) if ordered else 1.0)
    return found


def worth(sets: list[xr.Dataset], taus: list[float]) -> float:
    """Independent rows of all sets."""
    return float(sum(np.prod(part["state"].shape[:2]) / tau for part, tau in zip(sets, taus, strict=True)))


def misordered(best: str, models: Mapping[str, Model], part: xr.Dataset) -> str:
    """A sentence where models of ordered states lose, and words of states stand in the order of the alphabet; empty elsewhere."""
    losers = [name for name, model in models.items() if model.ordered]
    codes: Any = codes_of(part)
    columns = [own for own in (codes if isinstance(codes[0], list | tuple) else [codes]) if len(own) > 2]
    words = [list(own) for own in columns if isinstance(own[0], str) and list(own) == sorted(own)]
    if not words or not losers or models[best].ordered:
        return ""
    return (
        f"{losers[0]!r} takes states to be ordered as their words were read, in alphabetical order ({', '.join(words[0][:6])}): if that is "
        "not theirs, say so with hl.microstates(..., labels=[...]) and rank again."
    )
