"""Bars of a posterior beside those of the data sets that were learned alike."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from hamlearn.diagnostics.calibration import bars
from statistics_budget import spend

KINDS = {"all": np.ones(5, bool), "J": np.arange(5) < 3, "h": np.arange(5) >= 3}
NAMES = tuple("abcde")


def widths(rng: np.random.Generator, sets: int = 20) -> np.ndarray:
    """Those of data sets scatter by a third together and by a tenth each; the last row is the posterior at hand."""
    return np.exp(rng.normal(size=(sets + 1, 1)) / 3 + rng.normal(size=(sets + 1, 5)) / 10)


def test_chance_is_called_off_once_in_a_hundred_times_and_less():
    rng, times = np.random.default_rng(0), 500
    drawn = [widths(rng) for _ in range(times)]
    wrong = sum(bool(bars.compare(one[-1], one[:-1], KINDS, NAMES, (1.0, 1.0))["off"].any()) for one in drawn)
    assert scipy.stats.binom.sf(wrong - 1, times, 0.02) > spend(), wrong  # kinds and parameters, each at one in a hundred


@pytest.mark.parametrize(
    ("factors", "between", "off"),
    [
        ([0.3] * 5, (1.0, 1.0), {"all", "J", "h"}),
        ([4.0] * 5, (1.0, np.sqrt(2)), {"all", "J", "h"}),
        ([1, 1, 1, 0.2, 0.2], (1.0, 1.0), {"h"}),
        ([1.4] * 5, (1.0, np.sqrt(2)), set()),
        ([0.4] * 5, (0.3, 1.0), set()),
        ([1.15] * 5, (1.0, 1.0), set()),
        ([0.0] * 5, (1.0, 1.0), set()),
    ],
)
def test_what_is_off_is_named(factors, between, off):
    rng = np.random.default_rng(1)
    spreads = np.exp(rng.normal(size=(30, 1)) / 20 + rng.normal(size=(30, 5)) / 20)
    found = bars.compare(np.array(factors, float), spreads, KINDS, NAMES, between)
    told = set(found["of"].values[found["off"].values])
    assert told & set(KINDS) >= off and (bool(told) == bool(off))
