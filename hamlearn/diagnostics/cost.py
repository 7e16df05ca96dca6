"""What the comparison of a posterior with its data will cost: CPU seconds of one ordinary core, said before it starts, counted from sizes.

It decides nothing. Constants were measured on the problems of benchmarks/couplings/estimates.py that are named beside them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from hamlearn import data as microstates
from hamlearn.diagnostics import densities
from hamlearn.diagnostics.comparison import MAX_PARAMETERS
from hamlearn.diagnostics.predictions import LISTED
from hamlearn.diagnostics.scores import MOST_CROWDED, MOST_PARAMETERS, MOST_WORK, crowding
from hamlearn.diagnostics.scores.listed import MOST_NUMBERS
from hamlearn.errors import HamlearnError
from hamlearn.infer import costs
from hamlearn.infer.costs import Cost
from hamlearn.infer.families import Counted, named
from hamlearn.models.traits import Model
from hamlearn.spaces import Space
from hamlearn.statistics import power
from hamlearn.systems.exact.enumeration import MOST_EVALUATED
from hamlearn.systems.sampling.samplers import SAMPLERS

if TYPE_CHECKING:
    from hamlearn.models.autoregressive import Autoregressive
    from hamlearn.models.flow import Flow

Known = Literal["terms", "formula", "energies"]

_VALUE = 2e-8  # of a value of a test function of score tests: "8x8 glass"
_OBSERVED = 6e-7  # of one site of one row in searches for repetition and drift: "4x4 glass, many rows"
_SPECTRUM = 1.3e-7  # of the cube of a side of the matrices of a spectrum: "8x8 glass"
_ENDS = 0.3  # most of it: of large matrices only the ends are looked for, and their terms are some hundred: "16x16, tied"
_SITE = 4e-3  # of one site in the simulation of the refitted model: "16x16, tied"
_SIMULATED = 1.3  # to trace and compile that simulation, unless all states are listed: "50 spins, all pairs"
_FIXED = 0.7  # of everything else
_REFIT = 0.8  # of all that learning half of the data compiles of small functions: "own family 4x4"
_STATISTIC = 3e-7  # of the statistics of one site of one of the microstates of all members: "own family 8x8"
_LISTED = 1e-6  # of one site of one of all states, whose weights all members have: "own family 4x4"
_SWEPT, _SWEPT_COMPILING = 0.055, 1.5  # of one site in all sweeps of all members, known by their energies alone: "hidden 6x6"
_DRAWN, _DRAWN_COMPILING = 0.008, 1.0  # of one site of all members that tables of neighbours know: "own family 8x8"
_TABLES_COMPILING = 4.0  # of the tables of energies whose terms are found: "own family 8x8"
_PAIRED = 1.5e-3  # of one bond of theirs: "scale of 60 spins, all pairs"
_MOVED, _FIELD_COMPILING = 0.07, 2.5  # of one site in all trajectories of all members: "scalar field 8x8"
_DRAWS = 24_576  # microstates of all members


def refitted(
    sites: int, q: int, bonds: int, neighbours: int, parameters: int, rows: int, *, states: float = 0.0, patterns: float = 0.0
) -> Cost:
    """What a check of couplings costs: score tests, searches, and a fit to half of the data that predicts the other half.

    Parameters
    ----------
    sites, q, bonds, neighbours : int
        Of the lattice: sites, most values of one, bonds, and most neighbours of a site.
    parameters : int
        Of the family.
    rows : int
        Microstates.
    states, patterns : float
        How many all sites have, and one with its neighbours at most, where some sites have fewer values than q.

    Examples
    --------
    >>> print(refitted(sites=64, q=2, bonds=128, neighbours=4, parameters=192, rows=10_000))
    about 4 s, and up to 1.3 s to compile what no cache holds yet
    """
    n, p, compiling = sites, parameters, 0.0
    states, patterns = states or power(q, n), patterns or power(q, neighbours + 1)
    counted = _OBSERVED * rows * n + _SITE * n + _FIXED
    if p <= MOST_PARAMETERS and crowding(p, rows, n) <= MOST_CROWDED:
        values = q * (32.0 * n + 2500.0)  # of a row: at most some hundred terms of every kind, and those of every site
        spectra = sum(min(_SPECTRUM * float(side) ** 3, _ENDS) for side in (n, bonds))
        if states * p <= MOST_NUMBERS:  # the exact likelihood is maximised for them as well
            counted += costs.optimum(n, neighbours, p, rows, rows, listed=states)
        counted += _VALUE * min(rows * values, MOST_WORK) + min(rows / 2000, 0.5) + spectra
    if p <= MAX_PARAMETERS:
        listed = states * (p + 500) <= LISTED
        counted += costs.optimum(n, neighbours, p, rows, int(min(rows, patterns)), listed=states if listed else 0.0)
        compiling = 0.0 if listed else _SIMULATED
    return Cost(counted + compiling, compiling)


def simulated(sites: int, q: int, rows: int, *, bonds: int = 0, known: Known = "terms") -> Cost:
    """What a check by simulation costs: a fit to half of the data, draws of some of its members, and their statistics.

    Parameters
    ----------
    sites, q : int
        Sites, and values of each; 0 where these are continuous.
    rows : int
        Microstates.
    bonds : int
        Pairs that interact, where they are known.
    known : {"terms", "formula", "energies"}
        How members are known: by terms of few sites, by a formula in which these are found, or by their energies alone, so that every
        proposal of a sampler is one.

    Examples
    --------
    >>> print(simulated(sites=64, q=2, rows=1000, known="energies"))
    about 7 s, and up to 2.3 s to compile what no cache holds yet
    >>> print(simulated(sites=64, q=2, rows=1000, bonds=128))
    about 1.9 s, and up to 1.8 s to compile what no cache holds yet
    """
    n = float(sites)
    counted, compiling = _OBSERVED * rows * n + _FIXED + _STATISTIC * (_DRAWS + rows) * n, _REFIT
    if not q:
        counted, compiling = counted + _MOVED * n, compiling + _FIELD_COMPILING
    elif power(q, sites) <= MOST_EVALUATED:  # exact draws, from the weights of all states
        counted += _LISTED * power(q, sites) * n
    elif known == "energies":  # each takes longer on a larger lattice
        counted, compiling = (
            counted + _SWEPT * n * (1 + n / 100),
            compiling + _SWEPT_COMPILING,
        )
    else:
        counted, compiling = counted + _DRAWN * n + _PAIRED * bonds, compiling + _DRAWN_COMPILING
        compiling += _TABLES_COMPILING if known == "formula" else 0.0
    return Cost(counted + compiling, compiling)


def drawn(model: Autoregressive | Flow, space: Space, shape: tuple[int, ...], rows: int, temperatures: int) -> Cost:
    """What a check of densities costs: their own draws with the probabilities of these, at every temperature, and those of the data.

    Counted from a few draws of networks that are not trained; rows are what was observed at all temperatures.
    """
    from hamlearn.infer.engines.neural import torch_cost  # loads torch

    one, n = torch_cost.fresh(model, space, shape), int(np.prod(shape))
    most = temperatures * densities.most_draws(one)
    seen = min(rows, most)
    return Cost(_FIXED + _OBSERVED * rows * n + _STATISTIC * (most + seen) * n + torch_cost.drawn_seconds(one, most, seen))


def of_check(data: Any, model: Model) -> Cost | None:
    """The check that :func:`hamlearn.learn` makes after learning; None of a kind of model whose check nobody has counted.

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
    >>> 0.5 < of_check(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))).seconds < 5
    True
    """
    compared = model.traits.compared
    if compared not in ("refit", "simulated", "held out"):
        return None
    sets = list(microstates.flattened(data))
    space, shape = microstates.space_of(sets), microstates.site_shape(sets[0])
    rows = sum(one["state"].size for one in sets) // int(np.prod((*shape, *space.event_shape)))
    if compared == "held out":
        count = getattr(named(model.traits), "cost_of_check", drawn)
        return cast("Cost | None", count(cast("Autoregressive | Flow", model), space, shape, rows, len(sets)))
    if compared == "simulated" or not space.q:
        bonds, known = _interacting(model, space, shape)
        trained = cast(Counted, named(model.traits)).seconds(model, space, shape, rows // 2) if model.traits.counted else 0.0
        found = simulated(int(np.prod(shape)), space.q, rows, bonds=bonds, known=known)
        return replace(found, seconds=found.seconds + trained)
    bound = cast(Any, model).bind(space, shape)
    lattice = bound.lattice
    sizes = {"states": bound.n_states, "patterns": bound.n_patterns}
    found = refitted(lattice.n_sites, space.q, lattice.n_bonds, int(lattice.degree.max(initial=0)), bound.n_params, rows, **sizes)
    return replace(found, once=costs.GIBBS_COMPILING if cast(Any, model).prior.sparse else 0.0)


def _interacting(model: Model, space: Space, shape: tuple[int, ...]) -> tuple[int, Known]:
    """Bonds of a family's systems where they are known, and how these are."""
    if model.programmed is not None:
        return model.programmed.lattice.n_bonds, "terms"
    if not (space.q and model.traits.opaque):
        return 0, "terms"
    bound = cast(Any, model).bind(space, shape)
    system = bound.system(bound.start)
    hidden = SAMPLERS["heat_bath"].refusal(system) is not None
    return bound.lattice.n_bonds, "energies" if hidden else "formula" if system.pairs is None and system.windows is None else "terms"


def told(data: Any, model: Any) -> str:
    """What the check will cost, in words; what is wrong with data or model, learning will say better."""
    with suppress(HamlearnError):
        if isinstance(model, Model) and (cost := of_check(data, model)) is not None:
            return f", {cost}"
    return ""
