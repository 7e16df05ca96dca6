"""States that had other codes where they came from."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.progress import logger
from hamlearn.spaces import MISSING, from_attrs


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


def codes_of(data: xr.Dataset | xr.DataTree) -> list[int]:
    """The code that every state of q-state microstates (or of their posterior) had where they came from, in the order of the states."""
    return list(json.loads(data.attrs["codes"])) if "codes" in data.attrs else list(range(int(data.attrs["q"])))


def recoded(data: xr.Dataset, codes: Sequence[int]) -> xr.Dataset:
    """The same microstates with their states numbered by `codes`, which must hold every code of theirs."""
    own = codes_of(data)
    if not from_attrs(data.attrs).labelled or own == list(codes):
        return data
    missing = sorted(set(own) - set(codes))
    if missing:
        raise HamlearnError(f"the microstates hold the codes {missing}, which are none of the states {list(codes)}.")
    place = np.searchsorted(codes, own).astype(np.int8)
    states = data["state"].values
    found = np.where(states == MISSING, MISSING, place[np.maximum(states, 0)]).astype(np.int8)
    result = data.assign(state=(data["state"].dims, found, data["state"].attrs))
    result.attrs = {**data.attrs, "q": max(2, len(codes)), "codes": json.dumps(list(codes))}
    return result
