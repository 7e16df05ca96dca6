"""Learning by confusion: how well two sides of a trial boundary can be told apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.diagnostics.phases import energies, samples, spectrum
from hamlearn.diagnostics.phases.result import Phases, curve, estimate
from hamlearn.diagnostics.phases.samples import Sample, block_means
from hamlearn.processes import verb

_REPLICATES = 200
_CANDIDATES = 400  # thresholds that are tried


@verb
def confusion(data: xr.Dataset | Iterable[xr.Dataset], *, level: float = 0.9, seed: int = 0) -> Phases:
    """A transition by confusion: the accuracy of a classifier against the boundary that its labels were cut at.

    For every boundary between two temperatures, microstates below are called cold, those above hot, and a classifier is trained on
    half of the chains and tried on the other half, both ways. Accuracy is high at both ends, where almost all have one label, and where the
    boundary is a true change: a W. Between sets of temperatures of one system no classifier beats a threshold of the energy (its likelihood
    ratio rises with E), so the classifier is that: an energy learned from the half, and the threshold that is best on it.

    Parameters
    ----------
    data : Dataset, or Datasets
        Microstates of one system on periodic lattices, each at five temperatures or more, in order and about equally spaced; of
        several sizes if a transition is to be told from a crossover.
    level : float
        Of the intervals.
    seed : int
        Of everything random.

    Returns
    -------
    Phases
        ``.estimates`` are the temperatures of the middle peak of the W. It depends on how temperatures are spaced, and a system without a
        transition can have one: ``.verdict`` is about that, and asks the leading component (:func:`pca`).

    Raises
    ------
    HamlearnError
        If there are too few temperatures or independent blocks, with how many are missing.

    Notes
    -----
    Source: van Nieuwenburg, Liu and Huber, Nature Physics 13, 435 (2017).

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), 1 / np.linspace(1.6, 3.2, 9), draws=400, seed=0)
    >>> found = hl.diagnostics.phases.confusion(data)
    >>> found.verdict, len(found.curves)
    ('undecided', 8)
    """
    level, seed = require_number(level, "level", above=0, below=1), require_seed(seed)
    given = samples.admit(data)
    order = spectrum.order(spectrum.of(given))
    energy, right = _tried(given)
    rng, drawn, rows, notes = np.random.default_rng(seed), [], [], []
    for sample, each, own in zip(given, energy, right, strict=True):
        length = sample.length(each, "the energy")
        blocks = np.stack([block_means(one, length) for one in own])  # (boundary, k, block)
        count = blocks.shape[-1]
        taken = np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), _REPLICATES)]) / count
        accuracy = np.einsum("bkn,rn->rb", blocks, taken) / blocks.shape[1]
        middles = (1 / sample.betas[1:] + 1 / sample.betas[:-1]) / 2
        drawn.append(curve(sample.size, middles, accuracy, level))
        rows.append(estimate(sample.size, np.array([_middle(middles, one) for one in accuracy]), level))
        if accuracy[0].min() > 0.995:
            notes.append(f"L = {sample.size}: neighbours are told apart without error, and all boundaries are alike: give closer ones")
    told = "accuracy of telling cold from hot"
    where = (order.lower, order.upper)
    return Phases("confusion", told, pd.concat(drawn), pd.DataFrame(rows), order.verdict, order.why, where, None, level, tuple(notes))


def _tried(given: list[Sample]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of every size: the energy, and whether a microstate is called right by who has not seen its chain ``(boundary, k, chain, draw)``."""
    found = [np.empty((len(one.betas) - 1, *one.states.shape[:3])) for one in given]
    for half in (0, 1):
        scores = energies.learned(given, [one.half(half) for one in given])
        for sample, energy, right in zip(given, scores, found, strict=True):
            seen, k = sample.half(half), np.arange(len(sample.betas))[:, None]
            for boundary in range(len(sample.betas) - 1):
                cold = np.broadcast_to(k > boundary, (len(k), int(seen.sum())))
                cut = _threshold(energy[:, seen], cold)
                called = energy[:, ~seen] < cut
                right[boundary][:, ~seen] = called == (k > boundary)
    return scores, found


def _threshold(energy: np.ndarray, cold: np.ndarray) -> float:
    """The energy below which a microstate is called cold with the fewest errors."""
    cuts = np.quantile(energy, np.linspace(0, 1, _CANDIDATES))
    inside = [np.searchsorted(np.sort(energy[side]), cuts) for side in (cold, ~cold)]
    best = inside[0] - inside[1]
    return float(np.mean(cuts[best == best.max()]))


def _middle(temperatures: np.ndarray, accuracy: np.ndarray) -> float:
    """The middle peak of a W: the local maximum that stands highest above the deeper parts on both sides; nan if there is none.

    Examples
    --------
    >>> _middle(np.arange(5.0), np.array([0.9, 0.7, 0.8, 0.7, 0.9]))
    2.0
    >>> _middle(np.arange(5.0), np.array([0.9, 0.7, 0.6, 0.7, 0.9]))
    nan
    """
    best, place = 0.0, np.nan
    for k in range(1, len(accuracy) - 1):
        left, top, right = accuracy[k - 1 : k + 2]
        height = top - max(accuracy[:k].min(), accuracy[k + 1 :].min())
        if top >= max(left, right) and height > best:
            bend = left - 2 * top + right
            shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
            step = (temperatures[k + 1] - temperatures[k - 1]) / 2
            best, place = float(height), float(temperatures[k] + shift * step)
    return place
