"""Which couplings are there, and which are not what was programmed: lists whose share of false entries is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_number
from hamlearn.diagnostics.evidence import bayes_factors
from hamlearn.diagnostics.verdict import judged
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.predictions.intervals import band
from hamlearn.infer.strengths import single_couplings
from hamlearn.models import BoundCouplings
from hamlearn.processes import verb
from hamlearn.systems.lattice import Lattice

FACTORS = ("bayes_factor", "bayes_factor_lower", "bayes_factor_upper")


@verb
@judged
def pairs(post: xr.DataTree, *, false_discovery_rate: float = 0.1, level: float = 0.9) -> pd.DataFrame:
    """Every coupling with its interval, and whether it belongs to a list in which a given share is false at most.

    Of a spike-and-slab posterior the list is as long as the mean probability that its entries do not exist is below the rate, of those
    more likely there than not (a dozen sure couplings would otherwise take one along that is surely none). Of other posteriors
    z = mean / sd stands for a test of every coupling for zero, and the list is that of Benjamini and Hochberg
    (J. R. Stat. Soc. B 57, 289 (1995)), of independent tests and such as depend positively; a prior that pulls towards zero makes it
    shorter, not longer. Horseshoe posteriors are no normal ones near zero: take their list as a ranking.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings, one number a bond.
    false_discovery_rate : float
        Largest expected share of couplings in the list that are zero in truth.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        A row for every coupling (tied ones once, by their first bond), those of the list first, the surest first: ``site_i``, ``site_j``,
        ``coupling`` (mean), ``sd``, ``lower``, ``upper``, ``q_value`` (the smallest rate at which it is in the list), ``found``, and of
        spike-and-slab posteriors ``probability`` to exist and ``bayes_factor``, posterior over prior odds of that: evidence for the
        coupling above 1, against it below. Its ends ``bayes_factor_lower`` and ``bayes_factor_upper`` are what the draws leave open; it is
        inf where no draw lacks the coupling, and the lower end is then what is known (about a third of the draws).

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, has tables of them, or a number is out of its range.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((5,), h=0.1), beta=0.6, draws=2000, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace")
    >>> table = hl.diagnostics.pairs(post, false_discovery_rate=0.01)
    >>> sorted(table[table["found"]][["site_i", "site_j"]].values.tolist())
    [['0', '1'], ['0', '4'], ['1', '2'], ['2', '3'], ['3', '4']]
    """
    post = admit_posterior(post)
    bound, draws, bonds = _couplings(post)
    included = post["posterior"].to_dataset().get("included")
    if included is None:
        return _table(bound.lattice, bonds, draws, false_discovery_rate, level, {})
    indicators, prior = included.values[..., bonds], bound.model.prior.existing
    columns = {"probability": indicators.mean((0, 1))}
    if prior < 1:
        columns |= dict(zip(FACTORS, bayes_factors(indicators, prior, level), strict=True))
    return _table(bound.lattice, bonds, draws, false_discovery_rate, level, columns)


@verb
@judged
def residuals(post: xr.DataTree, scaled: xr.DataTree, *, false_discovery_rate: float = 0.1, level: float = 0.9) -> pd.DataFrame:
    """What couplings that were learned freely have beyond those that were programmed, at the temperature that was learned.

    Crosstalk, leakage, and whatever a device adds to its programme: J − scale · J_programmed, with the errors of both. Where both come
    of the same data their errors agree in part, so that intervals are a little too wide.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Couplings`, between all pairs or wherever something may have been added.
    scaled : DataTree
        A posterior of :class:`hamlearn.models.Scale`, of the same sites.
    false_discovery_rate, level : float
        As of :func:`pairs`.

    Returns
    -------
    DataFrame
        As of :func:`pairs`, of the difference, with the column ``programmed`` (scale · J_programmed).

    Raises
    ------
    HamlearnError
        If `scaled` is of another model, or the two are of other sites or temperatures.

    Examples
    --------
    >>> import hamlearn as hl
    >>> chip = hl.systems.Pairwise([[0, 1], [1, 2], [2, 3]], J=[1.0, -1.0, 1.0])
    >>> real = hl.systems.Pairwise([[0, 1], [1, 2], [2, 3], [0, 3]], J=[0.6, -0.6, 0.6, 0.15])
    >>> data = hl.microstates(hl.systems.exact.sample(real, 1.0, 20_000, seed=0), space="spins", independent=True)
    >>> free, scaled = (hl.infer.learn(data, one, engine="laplace") for one in (hl.models.Couplings(None), hl.models.Scale(chip)))
    >>> hl.diagnostics.residuals(free, scaled)[["site_i", "site_j", "found"]].values[0].tolist()
    ['0', '3', True]
    """
    post, scaled = admit_posterior(post), admit_posterior(scaled)
    bound, draws, bonds = _couplings(post)
    model = posteriors.model_of(scaled)
    if model.programmed is None:
        raise HamlearnError(
            f"scaled must be a posterior of hl.models.Scale(system), which knows what was programmed; got {families.kind_of(scaled)}."
        )
    betas = [posteriors.observed_betas(one) for one in (post, scaled)]
    if bound.lattice.n_sites != model.programmed.lattice.n_sites or len(betas[0]) != len(betas[1]) or np.any(betas[0] != betas[1]):
        raise HamlearnError("post and scaled must be learned from microstates of the same sites at the same beta.")
    programmed = _on(model.system(model.programmed.lattice, 1.0), bound.lattice, bonds)
    scale = scaled["posterior"].to_dataset()["scale"].values.ravel()
    paired = np.random.default_rng(0).choice(scale, len(draws))
    beyond = draws - paired[:, None] * programmed
    return _table(bound.lattice, bonds, beyond, false_discovery_rate, level, {"programmed": scale.mean() * programmed})


def _couplings(post: xr.DataTree) -> tuple[BoundCouplings, np.ndarray, np.ndarray]:
    """The bound model, draws ``(draw, coupling)``, and the bond that each stands for."""
    bound, J = single_couplings(post, "a list of pairs is")
    bonds = np.unique(bound.bond_group, return_index=True)[1]
    return bound, J.reshape(-1, J.shape[2])[:, bonds], bonds


def _on(programmed: Any, lattice: Lattice, bonds: np.ndarray) -> np.ndarray:
    """Programmed couplings of these bonds of another graph, zero where none was programmed."""
    matrix = np.zeros((lattice.n_sites, lattice.n_sites))
    i, j = np.asarray(programmed.lattice.bonds).T
    np.add.at(matrix, (i, j), programmed.J)
    found = np.asarray(lattice.bonds)[bonds]
    return np.asarray((matrix + matrix.T)[tuple(found.T)])


def _table(
    lattice: Lattice,
    bonds: np.ndarray,
    draws: np.ndarray,
    rate: float,
    level: float,
    more: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """The list, of draws ``(draw, coupling)``, with `more` columns; one is the ``probability`` to exist, where that is known."""
    require_number(rate, "false_discovery_rate", above=0, below=1)
    require_number(level, "level", above=0, below=1)
    found, probability = band(draws, level), more.get("probability")
    if probability is None:
        p = 2 * scipy.stats.norm.sf(np.abs(found.mean) / np.maximum(found.sd, np.finfo(float).tiny))
        q_value, order = scipy.stats.false_discovery_control(p), np.lexsort((-np.abs(found.mean), p))
    else:
        order = np.argsort(-probability, kind="stable")
        q_value = np.empty(len(probability))
        q_value[order] = np.cumsum(1 - probability[order]) / np.arange(1, len(order) + 1)
    ends = np.asarray(lattice.bonds)[bonds]
    columns: dict[str, Any] = {"site_i": [lattice.word(i) for i in ends[:, 0]], "site_j": [lattice.word(j) for j in ends[:, 1]]}
    columns |= {"coupling": found.mean, "sd": found.sd, "lower": found.lower, "upper": found.upper}
    listed = (q_value <= rate) & (True if probability is None else probability > 0.5)
    table = pd.DataFrame({**columns, **more, "q_value": q_value, "found": listed})
    return table.iloc[order].reset_index(drop=True)
