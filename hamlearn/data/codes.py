"""States that had other codes where they came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import shown
from hamlearn.data.columns import Codes, column_codes, recoded_columns, unions
from hamlearn.data.readout import refuse_renumbered
from hamlearn.errors import HamlearnError
from hamlearn.progress import logger
from hamlearn.spaces import MISSING, States, from_attrs


def several(space: Any, q: Any) -> tuple[Any, int | None]:
    """The space of as many states as every site is said to have, where `q` is a row of numbers; else both as they are."""
    if not isinstance(q, Sequence | np.ndarray) or isinstance(q, str) or np.ndim(q) == 0:
        return space, q
    if space != States.name:
        raise HamlearnError(f"q={shown(q)} counts the states of every site, of space='states'; got space={shown(space)}.")
    return States(tuple(q)), None  # type: ignore[arg-type]


def without_gaps(values: np.ndarray) -> tuple[np.ndarray, list[int] | None]:
    """States numbered without gaps, and the codes they had; None where nothing was to do."""
    found = np.unique(values)
    if found[-1] == len(found) - 1:
        return values, None
    logger.info(
        "codes %s were read as states 0 … %d: a code that never occurs is no state (declare q= if it is one)",
        ", ".join(map(str, found[:12].tolist())) + (", …" if len(found) > 12 else ""),
        len(found) - 1,
    )
    return np.searchsorted(found, values).astype(np.int8), [int(code) for code in found]


def codes_of(data: xr.Dataset | xr.DataTree) -> list[int] | list[str] | Codes:
    """The code, or the word, that every state of microstates (or of their posterior) had where they came from, in their order.

    Where sites have states of their own, a list for each.
    """
    if isinstance(data, xr.Dataset) and (own := column_codes(data)) is not None:
        return own
    return list(json.loads(data.attrs["codes"])) if "codes" in data.attrs else list(range(int(data.attrs["q"])))


def words_in(attrs: Mapping[Any, Any]) -> tuple[Any, ...]:
    """The words that states were read from, in their order, of columns with states of their own a tuple for each; () of numbers."""
    codes = json.loads(attrs["codes"]) if "codes" in attrs else []
    if codes and isinstance(codes[0], list):
        return tuple(map(tuple, codes))
    return tuple(codes) if codes and isinstance(codes[0], str) else ()


def state_names(data: xr.Dataset | xr.DataTree, n_sites: int) -> list[list[str]]:
    """What the states of every site are called: by the words, or the codes, that they had where they came from."""
    return [list(map(str, own)) for own in _by_site(codes_of(data), n_sites)]


def joined(parts: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Microstates whose states are numbered alike: by all codes (or words) that occur in any of them.

    Raises
    ------
    HamlearnError
        If some were read from words and others from numbers, or two words of spins are others elsewhere.
    """
    if any(column_codes(part) is not None for part in parts):
        own = [_by_site(codes_of(part), math.prod(part["state"].shape[part["state"].dims.index("draw") + 1 :])) for part in parts]
        return [recoded_columns(part, one, unions(own)) for part, one in zip(parts, own, strict=True)]
    labelled = [part for part in parts if from_attrs(part.attrs).labelled]
    worded = {words for part in parts if (words := words_in(part.attrs)) or from_attrs(part.attrs).labelled}
    if len(worded) > 1 and (() in worded or len(labelled) < len(parts)):
        told = " and ".join(", ".join(map(repr, words[:4])) or "numbers" for words in sorted(worded))
        raise HamlearnError(f"the data sets hold different words: {told}. Write the same ones, or order them alike by labels=[...].")
    if not labelled or not any("codes" in part.attrs for part in parts):
        return list(parts)
    codes: Any = sorted({code for part in labelled for code in codes_of(part)}) if len(worded) > 1 or () in worded else list(*worded)
    return [recoded(part, codes) for part in parts]


def recoded(data: xr.Dataset, codes: Sequence[Any]) -> xr.Dataset:
    """The same microstates with their states numbered by `codes`, which must hold every code of theirs."""
    own: list[Any] = list(codes_of(data))
    if any(isinstance(one, list) for one in (*own, *codes)):
        n_sites = data["state"].shape[-1]
        return recoded_columns(data, _by_site(own, n_sites), _by_site(codes, n_sites))
    if not from_attrs(data.attrs).labelled or own == list(codes):
        return data
    missing = [code for code in own if code not in codes]
    if missing:
        raise HamlearnError(f"the microstates hold the codes {missing}, which are none of the states {list(codes)}.")
    place = np.array([list(codes).index(code) for code in own], np.int8)
    states = data["state"].values
    found = np.where(states == MISSING, MISSING, place[np.maximum(states, 0)]).astype(np.int8)
    refuse_renumbered(data)
    result = data.assign(state=(data["state"].dims, found, data["state"].attrs))
    result.attrs = {**data.attrs, "q": max(2, len(codes)), "codes": json.dumps(list(codes))}
    return result


def _by_site(codes: Sequence[Any], n_sites: int) -> Codes:
    """Codes of every site, where all have the same too."""
    return [list(own) for own in codes] if codes and isinstance(codes[0], list) else [list(codes) for _ in range(n_sites)]
