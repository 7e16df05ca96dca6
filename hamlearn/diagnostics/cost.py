"""What the comparison of a posterior with its data will cost: CPU seconds of one ordinary core, said before it starts, counted from sizes.

It decides nothing. Constants were measured on the problems of benchmarks/couplings/estimates.py that are named beside them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hamlearn import data as microstates
from hamlearn.diagnostics import densities
from hamlearn.diagnostics.comparison import MAX_PARAMETERS
from hamlearn.diagnostics.predictions import LISTED
from hamlearn.diagnostics.scores import MOST_CROWDED, MOST_PARAMETERS, MOST_WORK, crowding
from hamlearn.diagnostics.scores.listed import MOST_NUMBERS
from hamlearn.errors import HamlearnError
from hamlearn.infer import costs
from hamlearn.infer.families import Counted, named
from hamlearn.models.traits import Model
from hamlearn.spaces import Space
from hamlearn.statistics import power
from hamlearn.systems.exact.enumeration import MOST_EVALUATED
from hamlearn.systems.sampling.samplers import SAMPLERS

if TYPE_CHECKING:
    from hamlearn.models.autoregressive import Autoregressive
    from hamlearn.models.flow import Flow

_VALUE = 2e-8  # of a value of a test function of score tests: "8x8 glass"
_OBSERVED = 6e-7  # of one site of one row in searches for repetition and drift: "4x4 glass, many rows"
_SPECTRUM = 1.3e-7  # of the cube of a side of the matrices of a spectrum: "8x8 glass"
_ENDS = 0.3  # most of it: of large matrices only the ends are looked for, and their terms are some hundred: "16x16, tied"
_SITE = 4e-3  # of one site in the simulation of the refitted model: "16x16, tied"
_SIMULATED = 1.3  # to trace and compile that simulation, unless all states are listed: "50 spins, all pairs"
_FIXED = 0.7  # of everything else
_REFIT = 0.8  # of learning half of the data, and all that is compiled of small functions: "own family 4x4"
_STATISTIC = 6e-7  # of the statistics of one site of one of the microstates of all members: "own family 4x4"
_SWEPT, _SWEPT_COMPILING = 0.08, 2.5  # of one site in all sweeps of all members, known by their energies alone: "hidden 6x6"
_DRAWN, _DRAWN_COMPILING = 0.012, 1.0  # of one site of all members that tables of neighbours know: "cluster expansion 8x8"
_MOVED, _FIELD_COMPILING = 0.05, 2.5  # of one site in all trajectories of all members: "scalar field 6x6"
_DRAWS = 24_576  # microstates of all members


def refitted(sites: int, q: int, bonds: int, neighbours: int, parameters: int, rows: int) -> float:
    """Seconds of a check of couplings: score tests, searches, and a fit to half of the data that predicts the other half.

    Parameters
    ----------
    sites, q, bonds, neighbours : int
        Of the lattice: sites, values of each, bonds, and most neighbours of a site.
    parameters : int
        Of the family.
    rows : int
        Microstates.

    Examples
    --------
    >>> round(refitted(sites=64, q=2, bonds=128, neighbours=4, parameters=192, rows=10_000), 1)
    5.3
    """
    n, p = sites, parameters
    counted = _OBSERVED * rows * n + _SITE * n + _FIXED
    if p <= MOST_PARAMETERS and crowding(p, rows, n) <= MOST_CROWDED:
        values = q * (32.0 * n + 2500.0)  # of a row: at most some hundred terms of every kind, and those of every site
        spectra = sum(min(_SPECTRUM * float(side) ** 3, _ENDS) for side in (n, bonds))
        if power(q, n) * p <= MOST_NUMBERS:  # the exact likelihood is maximised for them as well
            counted += costs.optimum(n, q, neighbours, p, rows, rows, listed=True)
        counted += _VALUE * min(rows * values, MOST_WORK) + min(rows / 2000, 0.5) + spectra
    if p <= MAX_PARAMETERS:
        listed = power(q, n) * (p + 500) <= LISTED
        patterns = int(min(rows, power(q, neighbours + 1)))
        counted += costs.optimum(n, q, neighbours, p, rows, patterns, listed=listed) + (0.0 if listed else _SIMULATED)
    return counted


def simulated(sites: int, q: int, rows: int, *, opaque: bool) -> float:
    """Seconds of a check by simulation: a fit to half of the data, draws of some of its members, and their statistics.

    Parameters
    ----------
    sites, q : int
        Sites, and values of each; 0 where these are continuous.
    rows : int
        Microstates.
    opaque : bool
        Whether members are known by their energies alone and hide the terms of these, so that every proposal of a sampler is one.

    Examples
    --------
    >>> round(simulated(sites=64, q=2, rows=1000, opaque=True), 1)
    13.4
    >>> round(simulated(sites=64, q=2, rows=1000, opaque=False), 1)
    4.3
    """
    n = float(sites)
    counted = _OBSERVED * rows * n + _FIXED + _REFIT + _STATISTIC * (_DRAWS + rows) * n
    if not q:
        return counted + _FIELD_COMPILING + _MOVED * n
    if power(q, sites) <= MOST_EVALUATED:  # exact draws, from the weights of all states
        return counted
    if opaque:
        return counted + _SWEPT_COMPILING + _SWEPT * n * (1 + n / 100)  # an energy takes longer on a larger lattice
    return counted + _DRAWN_COMPILING + _DRAWN * n


def drawn(model: Autoregressive | Flow, space: Space, shape: tuple[int, ...], rows: int, temperatures: int) -> float:
    """Seconds of a check of densities: their own draws with the probabilities of these, at every temperature, and those of the data.

    Counted from a few draws of networks that are not trained; rows are what was observed at all temperatures.
    """
    from hamlearn.infer.engines.neural import torch_cost  # loads torch

    one, n = torch_cost.fresh(model, space, shape), int(np.prod(shape))
    most = temperatures * densities.most_draws(one.elements * model.members)
    seen = min(rows, most)
    return _FIXED + _OBSERVED * rows * n + _STATISTIC * (most + seen) * n + torch_cost.drawn_seconds(one, most, seen)


def check_seconds(data: Any, model: Model) -> float:
    """Seconds of the check that :func:`hamlearn.learn` makes after learning; nan of a kind of model whose check nobody has counted.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates.
    model : Model
        Of :mod:`hamlearn.models`.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> 0.5 < check_seconds(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))) < 5
    True
    """
    compared = model.traits.compared
    if compared not in ("refit", "simulated", "held out"):
        return float("nan")
    sets = list(microstates.flattened(data))
    space, shape = microstates.space_of(sets), microstates.site_shape(sets[0])
    rows = sum(one["state"].size for one in sets) // int(np.prod((*shape, *space.event_shape)))
    if compared == "held out":
        return drawn(cast("Autoregressive | Flow", model), space, shape, rows, len(sets))
    if compared == "simulated" or not space.q:
        hidden = bool(space.q) and model.traits.opaque and _hidden(model, space, shape)
        trained = cast(Counted, named(model.traits)).seconds(model, space, shape, rows // 2) if model.traits.counted else 0.0
        return trained + simulated(int(np.prod(shape)), space.q, rows, opaque=hidden)
    bound = cast(Any, model).bind(space, shape)
    lattice = bound.lattice
    return refitted(lattice.n_sites, space.q, lattice.n_bonds, int(lattice.degree.max(initial=0)), bound.n_params, rows)


def _hidden(model: Any, space: Space, shape: tuple[int, ...]) -> bool:
    """Whether an energy of a user's own hides its terms: of one that shows them tables are swept."""
    bound = model.bind(space, shape)
    return SAMPLERS["heat_bath"].refusal(bound.system(bound.start)) is not None


def told(data: Any, model: Any) -> str:
    """What the check will cost, in words; what is wrong with data or model, learning will say better."""
    with suppress(HamlearnError):
        seconds = check_seconds(data, model) if isinstance(model, Model) else np.nan
        if np.isfinite(seconds):
            return (
                f", {costs.Cost(seconds, once=costs.GIBBS_COMPILING if model.traits.compared == 'refit' and model.prior.sparse else 0.0)}"
            )
    return ""
