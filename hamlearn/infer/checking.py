"""What the comparison with held-out data will cost, which :func:`hamlearn.learn` makes after learning: said before learning starts.

It decides nothing. Counts are of what :mod:`hamlearn.diagnostics` does; the seconds of each were measured on one ordinary core
(benchmarks/couplings/estimates.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings

MOST_WORK = 1e8  # values of test functions that score tests compute: about two seconds
MOST_PARAMETERS = 2500  # of a family that score tests are made of
_VALUE, _OBSERVED, _SPECTRUM, _SITE = 2e-8, 6e-7, 7e-8, 4e-3  # seconds


def check_seconds(sites: int, q: int, bonds: int, parameters: int, rows: int) -> float:
    """Seconds of one core that score tests and searches for repetition and drift take, about; a refit is not among them.

    Parameters
    ----------
    sites, q, bonds : int
        Of the lattice: sites, values of each, and bonds.
    parameters : int
        Of the family.
    rows : int
        Microstates.

    Examples
    --------
    >>> round(check_seconds(sites=64, q=2, bonds=128, parameters=192, rows=10_000), 1)
    3.7
    >>> round(check_seconds(sites=256, q=2, bonds=512, parameters=1, rows=4_000), 1)
    10.5
    """
    watched = _OBSERVED * rows * sites + _SITE * sites + 0.7  # and one simulation of the refitted model
    if parameters > MOST_PARAMETERS:
        return watched
    values = q * (32.0 * sites + 2500.0)  # of a row: at most some hundred terms of every kind, and those of every site
    spectra = float(sites) ** 3 + min(0.8 * bonds, 480.0) ** 3
    return watched + _VALUE * min(rows * values, MOST_WORK) + min(rows / 2000, 0.5) + _SPECTRUM * spectra


def check_seconds_of(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """The same of a family on its sites, and data."""
    rows = int(np.sum([part.states.shape[0] * part.states.shape[1] for part in parts]))
    return check_seconds(bound.lattice.n_sites, bound.space.q, bound.lattice.n_bonds, bound.n_params, rows)
