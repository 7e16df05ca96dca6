"""Public data sets as microstates."""

from __future__ import annotations

import gzip

import numpy as np
import xarray as xr

from hamlearn.data import microstates
from hamlearn.datasets.fetching import path
from hamlearn.datasets.sources import SOURCES
from hamlearn.errors import HamlearnError

_DEAD_QUBITS = (10, 11, 20, 25, 30, 32, 34, 35, 39, 60)  # of the 72 of nine unit cells


def annealer() -> xr.Dataset:
    """Readouts of a quantum annealer: 62 spins, a histogram of 500 000 (252 310 different ones).

    The couplings that were programmed are not published; the wiring is known (:func:`annealer_wiring`). Of A. Y. Lokhov, M. Vuffray,
    S. Misra and M. Chertkov, *Science Advances* 4, e1700791 (2018); :data:`SOURCES` holds source and licence.

    Returns
    -------
    Dataset
        Microstates with ``count``; no temperature is declared.

    Raises
    ------
    HamlearnError
        If the file is not at hand and cannot be fetched; see :func:`path`.

    Examples
    --------
    >>> int(annealer()["count"].sum())  # doctest: +SKIP
    500000
    """
    return _told(microstates(path("annealer", "dwave_samples.zip"), space="spins", counts=0), "annealer")


def annealer_wiring() -> np.ndarray:
    """The pairs of qubits that the annealer's wiring connects, as columns of :func:`annealer`.

    Deduced from the rule of the Chimera graph, three by three unit cells without ten dead qubits; the readouts' owners give none.

    Returns
    -------
    array (142, 2)
        Smaller number first, sorted.

    Examples
    --------
    >>> annealer_wiring().shape, annealer_wiring()[0].tolist()
    ((142, 2), [0, 4])
    """
    wired = []
    for cell in range(9):
        upright, level = range(8 * cell, 8 * cell + 4), range(8 * cell + 4, 8 * cell + 8)
        wired += [(a, b) for a in upright for b in level]
        wired += [(a, a + 24) for a in upright if cell < 6]
        wired += [(b, b + 8) for b in level if cell % 3 < 2]
    column = {qubit: index for index, qubit in enumerate(one for one in range(72) if one not in _DEAD_QUBITS)}
    return np.array(sorted((column[a], column[b]) for a, b in wired if a in column and b in column))


def atoms(rate: int = 21, step: int = 23) -> xr.Dataset:
    """Snapshots of 16 × 16 Rydberg atoms at one detuning of a sweep: 500 shots, excited is up.

    Of S. Ebadi et al., *Nature* 595, 227 (2021), and M. S. Moss et al., *Physical Review A* 109, 032410 (2024); :data:`SOURCES` holds
    source and licence.

    Parameters
    ----------
    rate : {21, 120}
        Of the sweep, in MHz/µs.
    step : int
        Which of the 24 detunings, 0 (disorder) to 23 (checkerboard).

    Returns
    -------
    Dataset
        Microstates of open boundaries; the attribute ``detuning`` is Δ/Ω. No temperature is declared: what is learned are effective
        couplings, not the quantum Hamiltonian.

    Raises
    ------
    HamlearnError
        If there is no such sweep or step, or the file is not at hand and cannot be fetched; see :func:`path`.

    Examples
    --------
    >>> atoms(rate=21, step=0).attrs["detuning"]  # doctest: +SKIP
    -1.78
    """
    if rate not in (21, 120) or step not in range(24):
        raise HamlearnError(f"there are sweeps at rate 21 and 120 with steps 0 to 23; got rate={rate!r}, step={step!r}.")
    with np.load(path("atoms", f"KZ_data_16x16_{rate}_MHz_per_us.npz"), allow_pickle=False) as archive:
        shots, detuning = archive["rydberg_data"][:, :, step].transpose(2, 0, 1), float(archive["params"][step])
    data = _told(microstates(shots, space="bits", periodic=False), "atoms")
    return data.assign_attrs(detuning=round(detuning, 2))


def neurons() -> xr.Dataset:
    """Spikes of 15 neurons: 40 000 time bins, a spike is up.

    Of O. Maoz and E. Schneidman, doi:10.5281/zenodo.191625; :data:`SOURCES` holds source and licence.

    Returns
    -------
    Dataset
        Microstates of 15 spins, no temperature declared.

    Raises
    ------
    HamlearnError
        If the file is not at hand and cannot be fetched; see :func:`path`.

    Examples
    --------
    >>> neurons()["state"].shape  # doctest: +SKIP
    (1, 40000, 15)
    """
    return _told(microstates(path("neurons", "example15.mat"), space="bits"), "neurons")


def protein() -> xr.Dataset:
    """A protein family: 13 600 aligned sequences of 53 positions in 21 states (0 is a gap), each with its weight.

    Of J. Trinquier et al., *Nature Communications* 12, 5800 (2021); :data:`SOURCES` holds source and licence. Weights are the
    owners': near copies share one.

    Returns
    -------
    Dataset
        Microstates with ``weight``.

    Raises
    ------
    HamlearnError
        If a file is not at hand and cannot be fetched; see :func:`path`.

    Examples
    --------
    >>> protein()["state"].shape  # doctest: +SKIP
    (1, 13600, 53)
    """
    with gzip.open(path("protein", "weights_14.gz"), "rt") as file:
        weights = np.loadtxt(file)
    return _told(microstates(path("protein", "PF00014_mgap6.fasta.gz"), weights=weights), "protein")


def protein_distances() -> np.ndarray:
    """Known distances between positions of the protein, in Å: what touches, for judging what was learned.

    Returns
    -------
    array (53, 53)
        Symmetric; NaN where no distance is known, and on the diagonal.

    Raises
    ------
    HamlearnError
        If the file is not at hand and cannot be fetched; see :func:`path`.

    Examples
    --------
    >>> protein_distances().shape  # doctest: +SKIP
    (53, 53)
    """
    table = np.loadtxt(path("protein", "tab_cont"))
    i, j = table[:, :2].astype(int).T - 1
    distance = np.full((53, 53), np.nan)
    distance[i, j] = distance[j, i] = table[:, 3]
    return distance


def _told(data: xr.Dataset, name: str) -> xr.Dataset:
    """With where the data are from, which posteriors and files keep."""
    source = SOURCES[name]
    return data.assign_attrs(title=source.title, source=source.home, licence=source.licence, cite=source.cite)
