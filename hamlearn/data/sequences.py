"""Weights of sequences: near copies share one, for they were not drawn independently of each other."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number
from hamlearn.data.arrays import as_numbers
from hamlearn.errors import HamlearnError

_BLOCK = 256  # rows compared by one thread with all later ones


def sequence_weights(states: Any, identity: float = 0.8) -> np.ndarray:
    """One over the number of sequences that agree with each in a share `identity` of their positions or more, itself among them.

    The usual weights of alignments; their sum is called the effective number of sequences. All pairs are compared, 64 positions at a
    time, until too many differ.

    Parameters
    ----------
    states : Dataset or array ``(sequence, *sites)``
        Microstates of states, or their numbers, −128 … 127 (a gap is a state, and so is what is missing).
    identity : float
        Which share of equal positions makes a near copy, in (0, 1].

    Returns
    -------
    array (n_sequences,)

    Raises
    ------
    HamlearnError
        If `identity` is out of its range, or the states are no rows of whole numbers.

    Examples
    --------
    >>> sequence_weights([[0, 1, 2, 3, 4], [0, 1, 2, 3, 5], [5, 5, 5, 5, 5]]).tolist()
    [0.5, 0.5, 1.0]
    """
    require_number(identity, "identity (the share of equal positions)", above=0)
    if identity > 1:
        raise HamlearnError(f"identity is a share of positions, above 0 and at most 1; got {identity!r}.")
    values = as_numbers(states["state"].values if isinstance(states, xr.Dataset) else states)
    lead = values.ndim - 1 if not isinstance(states, xr.Dataset) else states["state"].dims[::-1].index("draw")
    rows = values.reshape(math.prod(values.shape[: values.ndim - lead]), -1)
    if values.ndim < 2 or not np.all(rows == np.floor(rows)) or rows.min() < -128 or rows.max() > 127:
        raise HamlearnError(f"weights of sequences are those of rows of states, whole numbers from -128 to 127; got shape {values.shape}.")
    from hamlearn.data.near import near  # numba: too heavy for what never asks

    planes = _bit_planes(rows.astype(np.int8))
    allowed = rows.shape[1] - math.ceil(identity * rows.shape[1] - 1e-9)
    count = np.ones(len(rows), np.int64)
    blocks = range(0, len(rows), _BLOCK)
    compare = lambda start: near(planes, start, start + _BLOCK, allowed)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(blocks))) as threads:
        for start, (own, later) in zip(blocks, threads.map(compare, blocks), strict=True):
            count[start : start + _BLOCK] += own
            count[start:] += later
    return 1.0 / count


def _bit_planes(rows: np.ndarray) -> np.ndarray:
    """The bits that tell states apart, of 64 positions in a word: ``(row, word, bit)``."""
    found, codes = np.unique(rows, return_inverse=True)
    bits, width = max(1, int(len(found) - 1).bit_length()), -(-rows.shape[1] // 64)
    codes = codes.reshape(rows.shape).astype(np.uint8)
    planes = np.zeros((len(rows), width, bits), np.uint64)
    for bit in range(bits):
        packed = np.packbits(np.pad((codes >> bit) & 1, ((0, 0), (0, 64 * width - rows.shape[1]))), axis=1)
        planes[:, :, bit] = packed.view(np.uint64)
    return planes
