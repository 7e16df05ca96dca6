"""Codes that stand far from the others of their column, as 99 among answers from 1 to 5: they often say that there was no answer.

Nothing is changed. What is found is said when data are read, and again by the verdict of what was learned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from hamlearn.data.codes import codes_of
from hamlearn.data.names import names_of, word
from hamlearn.data.reading import multiplicity, rows, site_shape
from hamlearn.spaces import BITS, SPINS, States, from_attrs

DECLARED = "declared"  # attribute of microstates: the sites whose codes were listed by hand, as JSON

NO_ANSWER = frozenset({9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 9999, -1, -7, -8, -9, -77, -88, -99, -999})
_RARE = 0.1  # of a column: a code of one digit that is seen more often is an answer
_TOLD = 3  # columns that are named
_ODD = 0.01  # of a column: one that is no usual code for no answer, and yet far off


class Stray(NamedTuple):
    """A code of a site that stands far from the others: how often it was seen, and between which the others lie."""

    site: int
    code: int
    times: float
    low: int
    high: int


def strays(sets: Sequence[xr.Dataset]) -> list[Stray]:
    """Codes of microstates (of one model, at all temperatures) that may say that there was no answer.

    Examples
    --------
    >>> import hamlearn as hl
    >>> answers = np.random.default_rng(0).integers(1, 6, (200, 2))
    >>> answers[7, 1] = 99
    >>> strays([hl.microstates(answers, space="states", independent=True)])
    [Stray(site=1, code=99, times=1.0, low=1, high=5)]
    """
    if not from_attrs(sets[0].attrs).labelled:
        return []
    sites = math.prod(site_shape(sets[0]))
    codes = codes_of(sets[0])
    own: Any = codes if codes and isinstance(codes[0], list) else [codes] * sites
    if all(list(one) == list(range(len(one))) for one in own) or any(isinstance(code, str) for code in codes):
        return []
    seen = [_counted(sets, site, one) for site, one in enumerate(own)]
    ordinary = [{code for code in one if code not in NO_ANSWER} for one in seen]
    every = set().union(*ordinary)
    names, declared = names_of(sets[0]), set(json.loads(sets[0].attrs.get(DECLARED, "[]")))
    found = []
    for site, counts in enumerate(seen):
        if word(names, site) in declared:
            continue
        others = every if len(own) > 1 and own[0] is own[-1] else ordinary[site]  # of sites that were read alike all together
        far = [code for code in counts if _stray(code, counts, others, every)]
        near = others - set(far)
        found += [Stray(site, code, counts[code], min(near), max(near)) for code in far]
    return found


def _counted(sets: Sequence[xr.Dataset], site: int, codes: Sequence[int]) -> dict[int, float]:
    """How often every code of a site was seen; nothing of words."""
    if any(isinstance(code, str) for code in codes):
        return {}
    counts = np.zeros(len(codes))
    for data in sets:
        column, weight = rows(data)[..., site], np.broadcast_to(multiplicity(data)[0], data["state"].shape[:2])
        counts += np.bincount(column[column >= 0], weight[column >= 0], len(codes))[: len(codes)]
    return {code: float(count) for code, count in zip(codes, counts, strict=True) if count > 0}


def _stray(code: int, counts: dict[int, float], others: set[int], every: set[int]) -> bool:
    """Whether a code stands far from the `others` of its column, none of which are usual codes for no answer.

    A code of two digits that repeats one is conspicuous wherever it stands far off. One of a single digit may as well be an answer: it has
    to be rare, and nothing near it seen in any column (`every`), as on a scale from 0 to 10 of which few have the upper end.
    """
    rest = np.array(sorted(others - {code}))
    if len(rest) < 2 or rest[0] <= code <= rest[-1]:
        return False
    step, wide = int(np.diff(rest).max()), int(rest[-1] - rest[0])
    gap, share = min(abs(code - int(rest[0])), abs(code - int(rest[-1]))), counts[code] / sum(counts.values())
    elsewhere = min(abs(code - one) for one in every - {code})
    if code in NO_ANSWER and abs(code) > 9:
        return gap >= 10 * step and gap > 2 * wide
    if code == -1:  # beside 0 it is the next step of a scale that has no other side
        return share <= _RARE and min(every) >= 0 and len(rest) >= 3 and (gap > step or wide >= 4)
    if code in NO_ANSWER:
        return share <= _RARE and min(gap, elsewhere) >= 3 * step
    return share <= _ODD and len(rest) >= 3 and min(gap, elsewhere) > 3 * wide


def told(strays: Sequence[Stray], names: Sequence[str]) -> str:
    """What is said of them, as the beginning of a sentence.

    Examples
    --------
    >>> told([Stray(1, 99, 3.0, 1, 5)], ("calm", "busy"))
    'busy holds 99 three times, far from its other codes (1 to 5)'
    """
    few = {1.0: "once", 2.0: "twice", 3.0: "three times"}
    each = [
        f"{names[one.site] if names else f'site {one.site}'} holds {one.code} {few.get(one.times, f'{one.times:.5g} times')}, "
        f"far from its other codes ({one.low} to {one.high})"
        for one in strays[:_TOLD]
    ]
    return "; ".join(each) + (f"; and {len(strays) - _TOLD} more" if len(strays) > _TOLD else "")


def way_out(codes: Sequence[int]) -> str:
    """What to do about codes.

    Examples
    --------
    >>> way_out([99, 98, 99])[:75]
    'If they say that there was no answer, missing=[98, 99] of hl.microstates (-'
    """
    return f"{left_out(codes)}. A state that it is may be declared, labels={{column: [...]}} (--labels)"


def left_out(codes: Sequence[int]) -> str:
    """How cells of codes are declared to be without an answer."""
    every = sorted(set(codes))
    given = f"missing={every[0]}" if len(every) == 1 else f"missing={every}"
    return (
        f"If {'it says' if len(every) == 1 else 'they say'} that there was no answer, {given} of hl.microstates "
        f"(--missing={','.join(map(str, every))} at the shell) leaves these cells out"
    )


def outside(array: np.ndarray, space: str, q: int | None, called: Sequence[str] | None) -> str:
    """What may be done about values that are none of `space`, as the end of a refusal: columns that are no sites, codes for no answer.

    Examples
    --------
    >>> outside(np.array([[-1, 2], [1, 3]]), "spins", None, ["anna", "subject"])[:54]
    ' Only column subject holds such values: is it a site? '
    >>> outside(np.array([[0, 1], [-9, 1]]), "bits", None, None)[:76]
    ' If it says that there was no answer, missing=-9 of hl.microstates (--missin'
    """
    kept = {SPINS.name: (-1, 1), BITS: (0, 1)}.get(space)
    if kept is None and space != States.name:
        return ""
    strange = ~np.isin(array, kept) if kept else (array < 0) | (array >= (np.inf if q is None else q))
    found = np.unique(array[strange])
    if found.size and all(float(value).is_integer() and int(value) in NO_ANSWER for value in found):
        return f" {left_out([int(value) for value in found])}."
    if called is None or len(called) < 2 or len(called) != array.shape[-1]:
        return ""
    columns = np.flatnonzero(strange.reshape(-1, len(called)).any(0))
    if len(columns) != 1:
        return ""
    return (
        f" Only column {called[columns[0]]} holds such values: is it a site? One that says to whom a row belongs is none: leave it out, "
        'and give it as a coordinate, data.assign_coords(subject=("draw", column)); at the shell write a file for each.'
    )
