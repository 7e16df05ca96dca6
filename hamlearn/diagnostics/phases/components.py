"""Principal components: where the leading one fluctuates most, and finite-size scaling of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.diagnostics.phases import learned, samples
from hamlearn.diagnostics.phases.result import Phases, curve, estimate
from hamlearn.errors import HamlearnError
from hamlearn.infer.critical import crossings, scaling
from hamlearn.infer.critical.critical_point import of_histograms
from hamlearn.processes import verb


@verb
def pca(data: xr.Dataset | Iterable[xr.Dataset], *, level: float = 0.9, seed: int = 0) -> Phases:
    """A transition by principal components, without an order parameter and without the energy.

    The components of an ensemble that no translation changes are plane waves. The shell of wave vectors of largest variance is what may
    order: uniform in a ferromagnet, alternating in an antiferromagnet, stripes of the longest waves where the sum of spins is fixed.
    There is a transition if its share of the variance, λ₁/λ₂, rises with the size on the cold side and falls on the hot side.
    Then the cumulant of its amplitude and the correlation length from λ₁/λ₂ are fitted by the finite-size scaling of
    :func:`hamlearn.critical_point`; the energy by which temperatures are joined is learned from them.

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
        ``.estimates`` are the temperatures where the amplitude of the leading component fluctuates most; ``.temperature`` and ``.nu``
        are those of the infinite lattice.

    Raises
    ------
    HamlearnError
        If there are too few temperatures or independent blocks (with how many are missing), neighbouring temperatures share no energies, or
        sizes have different leading components.

    Notes
    -----
    Sources: Wang, PRB 94, 195105 (2016), for principal components of microstates. What the system must have: translation invariance, and
    an action βE. The error of the learned energy is not part of intervals; it only shifts microstates between neighbouring temperatures.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> temperatures = np.linspace(1.0, 2.5, 6)
    >>> chains = [hl.simulate(hl.systems.Ising((L,)), 1 / temperatures, draws=1000, sampler="wolff", seed=L) for L in (8, 32)]
    >>> hl.diagnostics.phases.pca(chains).verdict
    'none'
    """
    level, seed = require_number(level, "level", above=0, below=1), require_seed(seed)
    known = learned.learn(samples.admit(data))
    drawn, rows = [], []
    for one, curves in zip(known.histograms, learned.curves(known.histograms, seed), strict=True):
        values = curves.of("susceptibility")[0] / curves.betas
        drawn.append(curve(one.size, 1 / curves.betas, values, level))
        rows.append(estimate(one.size, 1 / crossings.peak(curves.betas, values), level))
    critical, verdict, why = None, known.order.verdict, known.order.why
    if verdict == "transition" and not known.notes:  # scaling takes energies for those of the temperatures that are declared
        try:
            critical = of_histograms(known.histograms, "second_order", np.ones(1), scaling.OMEGA, level, seed, [])
        except HamlearnError as error:  # curves of the sizes do not cross as those of a transition do
            verdict, why = "undecided", f"{why}, but {error}"
    waves = sorted({one.leading for one in known.spectra})
    leading = f"leading component: waves {', '.join(map(str, waves))} in 2π/L, and those like them"
    notes = (*known.notes, leading, *(critical.notes if critical else ()))
    where = (known.order.lower, known.order.upper)
    return Phases(
        "pca", "variance of the leading amplitude", pd.concat(drawn), pd.DataFrame(rows), verdict, why, where, critical, level, notes
    )
