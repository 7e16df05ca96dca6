"""How many sequences are near copies of each, compiled."""

from __future__ import annotations

import numpy as np

from hamlearn.compiled import compiled


@compiled(nogil=True)
def near(planes: np.ndarray, start: int, stop: int, allowed: int) -> tuple[np.ndarray, np.ndarray]:
    """Near copies of the rows from `start` to `stop`: how many later rows each has, and how many of these each row from `start` on has.

    Rows are near where at most `allowed` positions differ.
    """
    rows, words, bits = planes.shape
    stop = min(stop, rows)
    own, later = np.zeros(stop - start, np.int64), np.zeros(rows - start, np.int64)
    for second in range(start + 1, rows):
        for first in range(start, min(second, stop)):
            different = 0
            for word in range(words):
                x = np.uint64(0)
                for bit in range(bits):
                    x |= planes[first, word, bit] ^ planes[second, word, bit]
                x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
                x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
                x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                different += int((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
                if different > allowed:
                    break
            if different <= allowed:
                own[first - start] += 1
                later[second - start] += 1
    return own, later
