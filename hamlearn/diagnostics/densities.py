"""Judging neural densities: direct draws against held-out data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics import predictive_test
from hamlearn.diagnostics.holdout import BLOCKS, MIN_BLOCKS
from hamlearn.diagnostics.simulated import Statistics
from hamlearn.infer import families, posteriors, training_data
from hamlearn.progress import logger

if TYPE_CHECKING:
    from hamlearn.models.densities.evaluate import Evaluator

_DRAWS, _FEWEST_DRAWS = 40_000, 2000  # of all networks, per temperature, and held-out microstates, at most
_SECONDS = 10.0  # that draws with their probabilities are counted to take, at most: where one is dear, they are fewer


def most_draws(density: Evaluator) -> int:
    """Draws of all networks like `density` at one temperature: by what one costs, counted, not timed."""
    counted = getattr(density, "drawn_seconds", None)
    if counted is None:
        from hamlearn.infer.engines.neural import torch_cost  # loads torch

        counted = lambda count: torch_cost.drawn_seconds(density, count, 0)
    return int(np.clip(_DRAWS * _SECONDS / counted(_DRAWS), _FEWEST_DRAWS, _DRAWS))


def check(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], seed: int = 0) -> xr.Dataset:
    """Direct draws of the networks against the microstates that training held out, and against those that it did not.

    Nothing is refitted: the held-out ones decided only when to stop.

    Returns
    -------
    Dataset
        As :func:`hamlearn.diagnostics.check` returns it.
    """
    sets, rng = microstates.split_by_beta(microstates.admit(data)), np.random.default_rng(seed)
    share = float(posteriors.provenance_of(post).engine.settings["heldout"])
    densities, system = families.evaluators(post), families.of(post).draw_systems(post, 1, 0, None)[0]
    most = most_draws(densities[0])
    if most < _DRAWS:
        logger.info("comparing with %d draws in place of %d: one takes long", most, _DRAWS)
    rows: list[predictive_test.Row] = []
    fewest = BLOCKS
    for part in sets:
        rows_, _, weight, heldout, used, tau = training_data.split(part, system.space, share)
        values = (system.space.from_index(rows_) if system.space.q else rows_).reshape(-1, *system.lattice.shape)
        heldout = _last(heldout, most)
        blocks = int(min(BLOCKS, weight[heldout].sum() / (5 * tau if tau > 1 else 1)))
        if blocks < MIN_BLOCKS:
            what = f"the {int(heldout.sum())} held-out microstates make {blocks} independent blocks, fewer than {MIN_BLOCKS}"
            advice = "Give more microstates, or let training hold out a larger share of them: hl.infer.Training(heldout=...)."
            return predictive_test.undecided(predictive_test.LeftOut(what, advice))
        fewest, beta = min(fewest, blocks), float(part["beta"])
        functions = Statistics(system, values[used][:: max(1, int(used.sum()) // (most // 2))])
        # Every network is one group of blocks: their differences are part of the prediction's noise.
        count = most // len(densities)
        drawn = [functions(one.sample(count, int(rng.integers(2**32)), beta if one.conditioned else None)) for one in densities]
        means = np.stack([block.mean(0) for part_ in drawn for block in np.array_split(part_, max(2, BLOCKS // len(drawn)))])
        expected = means.mean(0)
        error = predictive_test.resampled((means - expected) / len(means), rng)
        if len(drawn) > 1:
            own = np.stack([part_.mean(0) for part_ in drawn])
            error = error - predictive_test.resampled((own - expected) / len(own), rng)
        # Rows that were trained on can only flatter a law: what differs from them is a misfit, seen with many times the rows.
        for chosen, of in ((heldout, ""), (_last(used, most), predictive_test.TRAINED)):
            count = int(min(BLOCKS, weight[chosen].sum() / (5 * tau if tau > 1 else 1)))
            observed, deviation = _observed(functions(values[chosen]), weight[chosen], count)
            noise = predictive_test.resampled(deviation, rng) - error
            label = of + (f" at beta = {beta:.4g}" if len(sets) > 1 else "")
            rows += predictive_test.judge(functions.list, observed, expected, noise, count, label)
    return predictive_test.table(rows, fewest, None)


def _last(chosen: np.ndarray, most: int) -> np.ndarray:
    """The last `most` of the rows that are chosen."""
    found = chosen.copy()
    found[np.flatnonzero(chosen)[:-most]] = False
    return found


def _observed(columns: np.ndarray, weight: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of columns ``(row, column)``, and every block's part of their deviation."""
    label = np.arange(len(columns)) * blocks // len(columns)
    sums = np.zeros((blocks, columns.shape[1]))
    np.add.at(sums, label, columns * weight[:, None])
    sizes = np.bincount(label, weights=weight, minlength=blocks)
    observed = sums.sum(0) / sizes.sum()
    return observed, (sums - sizes[:, None] * observed) / sizes.sum()
