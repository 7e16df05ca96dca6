"""Sorting by labels: what is trained on the two ends of the temperatures, and where its output crosses over between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.diagnostics.phases import samples, spectrum
from hamlearn.diagnostics.phases.result import Phases, curve, estimate
from hamlearn.diagnostics.phases.samples import Sample, block_means
from hamlearn.errors import HamlearnError
from hamlearn.infer.critical import crossings
from hamlearn.infer.critical.columns import directions_at_sites

Sorter = Callable[[np.ndarray], np.ndarray]
Train = Callable[[np.ndarray, np.ndarray, int], Sorter]
"""Rows ``(end, chain, draw, *shape, component)`` in order of time, labels of the ends, and a seed → a function of rows."""

_REPLICATES = 200
_AT_ONCE = 2048  # rows that are sorted in one go


def crossing(
    method: str, data: xr.Dataset | Iterable[xr.Dataset], cold: float, hot: float, train: Train, half: float, level: float, seed: int
) -> Phases:
    """Where the mean output of what was trained on temperatures below `cold` (label 1) and above `hot` (label 0) crosses `half`.

    Every half of the chains is sorted by what was trained on the other half, and replicates are of both, so that intervals
    hold what one training differs from another.
    """
    level, seed = require_number(level, "level", above=0, below=1), require_seed(seed)
    cold, hot = require_number(cold, "cold", above=0), require_number(hot, "hot", above=0)
    if cold > hot:
        raise HamlearnError(f"labels are cold below cold= and hot above hot=, so that cold <= hot; got {cold:g} and {hot:g}.")
    given = samples.admit(data)
    order = spectrum.order(spectrum.of(given))
    rng, drawn, rows = np.random.default_rng(seed), [], []
    for sample in given:
        output = _sorted(sample, cold, hot, train, seed)
        length, places, replicates = _block(sample, output), [], []
        for which in (0, 1):
            own = output[:, sample.half(which)].reshape(len(output), *_part(sample, which))
            blocks = block_means(own, min(length, own.shape[2]))
            count = blocks.shape[1]
            taken = np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), _REPLICATES)]) / count
            replicates.append(taken @ blocks.T)
            places.append(1 / crossings.rising(sample.betas, replicates[-1] - half))
        mean = [np.mean([one[0] for one in both], 0) for both in (places, replicates)]
        drawn.append(curve(sample.size, 1 / sample.betas, np.concatenate([mean[1][None], *(one[1:] for one in replicates)]), level))
        rows.append(estimate(sample.size, np.concatenate([[mean[0]], *(one[1:] for one in places)]), level))
    where, told = (order.lower, order.upper), f"mean output of the {method}"
    estimates = pd.DataFrame(rows)
    return Phases(method, told, pd.concat(drawn), estimates, order.verdict, order.why, where, None, level, (_built_in(cold, hot),))


def _built_in(cold: float, hot: float) -> str:
    """What a crossing between labels rests on."""
    if cold == hot:
        return f"labels were cut at T = {cold:g}: the crossing follows the cut, whatever the system does, and shows no transition"
    return (
        f"labels are cold below T = {cold:g} and hot above {hot:g}: that the output crosses between them is built in; where is learned, "
        "and it sharpens as the root of the number of sites with a transition or without"
    )


def _block(sample: Sample, output: np.ndarray) -> int:
    """Draws of a block; what the trainings of both halves differ by is no memory of chains."""
    within = output.copy()
    for which in (0, 1):
        mask = sample.half(which)
        within[:, mask] -= within[:, mask].mean(1, keepdims=True)
    return sample.length(within, "the output")


def _part(sample: Sample, which: int) -> tuple[int, int]:
    """Chains and draws of one half."""
    mask = sample.half(which)
    return int(mask.any(1).sum()), int(mask.any(0).sum())


def _sorted(sample: Sample, cold: float, hot: float, train: Train, seed: int) -> np.ndarray:
    """The output of every microstate ``(k, chain, draw)``, by what was trained on the other half."""
    temperatures = 1 / sample.betas
    ends = np.flatnonzero((temperatures < cold) | (temperatures > hot))
    labels = (temperatures[ends] < cold).astype(int)
    if len(set(labels)) < 2:
        side = f"below cold={cold:g}" if not labels.any() else f"above hot={hot:g}"
        raise HamlearnError(
            f"size {sample.size} has no temperature {side}, which is what that label is learned from; its temperatures go from "
            f"{temperatures.min():.4g} to {temperatures.max():.4g}."
        )
    output = np.empty(sample.states.shape[:3])
    for which in (0, 1):
        seen = sample.half(which)
        chains, draws = _part(sample, which)
        states = sample.states[ends][:, seen]
        rows = _encoded(sample, states.reshape(-1, *states.shape[2:]))
        sorter = train(rows.reshape(len(ends), chains, draws, *rows.shape[1:]), labels, seed + which)
        other = sample.states[:, ~seen]
        flat = other.reshape(-1, *other.shape[2:])
        parts = [sorter(_encoded(sample, flat[k : k + _AT_ONCE])) for k in range(0, len(flat), _AT_ONCE)]
        output[:, ~seen] = np.concatenate(parts).reshape(other.shape[:2])
    return output


def _encoded(sample: Sample, states: np.ndarray) -> np.ndarray:
    return directions_at_sites(states, sample.space, sample.shape)
