"""What moves slowly in a chain of microstates, whichever pattern it is: directions from the data, overlaps with later states."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn import statistics
from hamlearn.statistics import AutocorrelationTime


def slow_directions(values: Any, count: int = 4) -> np.ndarray:
    """Series that move as slowly as a chain of microstates does, whichever pattern is slow.

    A sum over sites sees a slow ferromagnet and is blind to a slow glass, which is the same chain with some sites' signs
    turned. Here directions come from the data: turned data give the same series, up to their sign.

    Parameters
    ----------
    values : array, shape (chain, draw, column)
        What every microstate shows: spins, one-hot states, cosines and sines of angles, reals.
    count : int
        Principal components kept: collective slow modes are those that scatter most.

    Returns
    -------
    array, shape (chain, draw, series)
        Projections on the leading principal components, their sizes, their sum weighted by variance (a stand-in for the energy),
        and the overlap of every microstate with the next one.

    Examples
    --------
    >>> spins = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, 300, 9))
    >>> turned = spins * np.array([1, -1, 1, 1, -1, 1, -1, -1, 1])
    >>> bool(np.allclose(np.abs(slow_directions(spins)), np.abs(slow_directions(turned))))
    True
    """
    series = np.asarray(values, float)
    deviation = series - series.mean((0, 1))
    flat = deviation.reshape(-1, deviation.shape[-1])
    strength, direction = np.linalg.eigh(flat.T @ flat / len(flat))
    leading = direction[:, ::-1][:, :count]
    projected = deviation @ leading
    energy = ((deviation @ direction) ** 2 @ strength)[..., None]
    beside = (deviation * np.roll(deviation, -1, 1)).mean(-1)[..., None]
    beside[:, -1] = beside[:, -2] if beside.shape[1] > 1 else 0.0  # the last microstate has no next one
    return np.concatenate([projected, np.abs(projected), energy, beside], -1)


def overlap_autocorrelation(values: Any) -> AutocorrelationTime:
    """Autocorrelation time of the overlap of a microstate with later ones, averaged over columns.

    q(t) = ⟨x(s) · x(s + t)⟩ of centred columns does not change when columns change sign, so a ferromagnet and the glass that
    it becomes by turning some of its spins have the same one. It averages over all modes; :func:`slow_directions` has the slowest.

    Parameters
    ----------
    values : array, shape (chain, draw, column)
        As in :func:`slow_directions`.

    Returns
    -------
    AutocorrelationTime
        Three numbers; nan where nothing moves.

    Examples
    --------
    >>> spins = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, 3000, 9))
    >>> bool(abs(overlap_autocorrelation(spins).tau - 1) < 0.1)
    True
    """
    series = np.asarray(values, float)
    deviation = series - series.mean((0, 1))
    chains, n, columns = series.shape
    size = 1 << (2 * n - 1).bit_length()
    covariance = np.zeros(n)
    for start in range(0, columns, 64):  # pieces of columns: the spectra of all of them together may be large
        spectrum = np.abs(np.fft.rfft(deviation[..., start : start + 64], size, axis=1)) ** 2
        covariance += np.fft.irfft(spectrum.sum((0, 2)), size)[:n]
    covariance /= n - np.arange(n)
    if covariance[0] <= 0:
        return AutocorrelationTime(np.array(np.nan), np.array(np.nan), np.array(0))
    tau, error, width = statistics.summed((covariance / covariance[0])[: max(1, n // 2 + 1)], chains * n)
    return AutocorrelationTime(tau, error, width)


def longest_autocorrelation(values: Any) -> float:
    """The longest autocorrelation time, in draws, of all that moves slowly in microstates; 1 for independent ones.

    Parameters
    ----------
    values : array, shape (chain, draw, column)
        As in :func:`slow_directions`.

    Returns
    -------
    float
        The longest τ of the slow directions and of the overlap that stands out of its own error. Of independent draws τ is 1
        give or take its error: only what stands out counts, or their number would be talked down. A τ so long that its own
        error is as large stands out by the correlation of neighbouring draws.

    Examples
    --------
    >>> longest_autocorrelation(np.random.default_rng(0).choice([-1.0, 1.0], size=(2, 3000, 9)))
    1.0
    """
    series = slow_directions(values)
    found, overlap = statistics.integrated_autocorrelation(series), overlap_autocorrelation(values)
    deviation = series - series.mean((0, 1))
    variance = (deviation**2).mean((0, 1))
    product = (deviation[:, 1:] * deviation[:, :-1]).mean((0, 1)) if series.shape[1] > 1 else np.zeros_like(variance)
    beside = np.divide(product, variance, out=np.zeros_like(product), where=variance > 0)
    # The overlap with the next one shares a microstate with its neighbour; of independent draws it is uncorrelated all the same.
    stands_out = (found.tau - 1 > 3 * found.standard_error) | (beside > 5 / np.sqrt(series[..., 0].size))
    seen = np.where(stands_out, found.tau, 1.0)
    whole = overlap.tau if overlap.tau - 1 > 3 * overlap.standard_error else 1.0
    return float(max(np.max(np.nan_to_num(seen, nan=1.0)), np.nan_to_num(whole, nan=1.0)))
