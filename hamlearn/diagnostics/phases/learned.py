"""What was learned of all sizes without labels: spectrum, energy, and their histograms over temperatures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hamlearn.diagnostics.phases import energies, spectrum
from hamlearn.diagnostics.phases.samples import Sample
from hamlearn.diagnostics.phases.spectrum import Order, Spectrum
from hamlearn.infer.critical import crossings, doubts
from hamlearn.infer.critical.columns import COLUMNS, Series
from hamlearn.infer.critical.crossings import Curves
from hamlearn.infer.critical.histograms import Histograms


class Learned(NamedTuple):
    """Of all sizes."""

    spectra: list[Spectrum]
    order: Order
    histograms: list[Histograms]
    notes: tuple[str, ...]


def learn(samples: list[Sample]) -> Learned:
    """Spectrum, energy and histograms of every size.

    Raises
    ------
    HamlearnError
        If there are too few independent blocks, or neighbouring temperatures have no energies in common.
    """
    spectra, own = spectrum.of(samples), energies.learned(samples)
    histograms = [_histograms(one, energy) for one, energy in zip(spectra, own, strict=True)]
    what = doubts.contradiction(histograms)
    wrong = f"do not believe it: {what}, chains have not forgotten their start, or the energy has terms of other kinds than were sought"
    return Learned(spectra, spectrum.order(spectra), histograms, (wrong,) if what else ())


def curves(histograms: list[Histograms], seed: int) -> list[Curves]:
    """Curves of every size over its own range of temperatures."""
    return [crossings.curves([one], seed + k) for k, one in enumerate(histograms)]


def _histograms(one: Spectrum, energy: np.ndarray) -> Histograms:
    """The leading component in the place of the order parameter, the one beside it in that of the smallest wave."""
    sample = one.sample
    columns = np.zeros((*energy.shape, len(COLUMNS)))
    taken = {"m2": one.first, "m4": one.first**2, "abs_m": np.sqrt(one.first), "wave": one.second}
    for name, values in taken.items():
        columns[..., COLUMNS.index(name)] = values
    tau = sample.time(np.stack([energy, one.first], -1))
    series = [Series(float(beta), energy[k], columns[k], float(tau[k])) for k, beta in enumerate(sample.betas)]
    return Histograms.of(series, sample.size, sample.n_sites)
