"""The learned density's own Fisher information of β, without labels and without an order parameter."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.diagnostics.phases import learned, samples
from hamlearn.diagnostics.phases.result import Phases, curve, estimate
from hamlearn.infer.critical import crossings
from hamlearn.processes import verb


@verb
def fisher(data: xr.Dataset | Iterable[xr.Dataset], *, level: float = 0.9, seed: int = 0) -> Phases:
    """Where a microstate says most about its temperature: peaks of the Fisher information of β per site.

    Of a Boltzmann distribution it is the variance of the energy. The energy is learned: log-odds of neighbouring temperatures are
    −(β₂ − β₁)E, one function for all of them. Its variance at each temperature, joined between them by reweighting, is far less
    noisy than what differences of neighbours say, and needs no labels, no order parameter and no network.

    Parameters
    ----------
    data : Dataset, or Datasets
        Microstates of one system on periodic lattices, each at five temperatures or more; of several sizes if a transition
        is to be told from a crossover.
    level : float
        Of the intervals.
    seed : int
        Of everything random.

    Returns
    -------
    Phases
        ``.estimates`` are the temperatures of the peaks. A system without a transition may have a peak as well: ``.verdict`` is about
        that, and asks the leading component (:func:`pca`), whose finite-size scaling has the temperature of the infinite lattice.

    Raises
    ------
    HamlearnError
        As :func:`pca` does.

    Notes
    -----
    Energies are sought among sums over the lattice of fields, their squares and fourth powers, and products of sites at most two steps
    apart. Where an energy of this form contradicts the declared temperatures, a note says so.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> betas = 1 / np.linspace(1.9, 2.7, 9)
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), betas, draws=400, seed=0)
    >>> found = hl.diagnostics.phases.fisher(data)
    >>> found.verdict, found.estimates["temperature"].round(1).tolist()
    ('undecided', [2.5])
    """
    level, seed = require_number(level, "level", above=0, below=1), require_seed(seed)
    known = learned.learn(samples.admit(data))
    drawn, rows = [], []
    for one, curves in zip(known.histograms, learned.curves(known.histograms, seed), strict=True):
        values = curves.of("heat_capacity")[0] / curves.betas**2
        drawn.append(curve(one.size, 1 / curves.betas, values, level))
        rows.append(estimate(one.size, 1 / crossings.peak(curves.betas, values), level))
    order, where = known.order, (known.order.lower, known.order.upper)
    told = "Fisher information of β per site"
    return Phases("fisher", told, pd.concat(drawn), pd.DataFrame(rows), order.verdict, order.why, where, None, level, known.notes)
