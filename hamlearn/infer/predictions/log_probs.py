"""Intervals of ln p of given microstates, from an ensemble of networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.densities.recalibration import recalibration
from hamlearn.infer.draw_systems import site_states
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.infer.predictions.widening import widened
from hamlearn.processes import verb

_DRAWS = 8192  # of every network, that its recalibration is fitted and normalised on


@verb
def log_prob_band(post: xr.DataTree, states: Any, level: float = 0.9, seed: int = 0) -> xr.Dataset:
    """Ln p of microstates with an interval, from the networks of an ensemble.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Autoregressive` or :class:`hamlearn.models.Flow` with two or more members.
    states : array ``(..., *site axes)`` or Dataset of microstates
        The states.
    level : float
        Probability of the interval.
    seed : int
        Of the draws that recalibrate ln q.

    Returns
    -------
    Dataset
        ``mean``, ``sd``, ``lower``, ``upper`` over the leading axes of `states`, nats: t intervals over the networks which also
        hold ln q as the observed microstates recalibrate it.

    Raises
    ------
    HamlearnError
        If there is one network only (one has no spread), it knows several temperatures, or `level` is not between 0 and 1.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=400, seed=0)
    >>> model = hl.models.Autoregressive(hidden=8, members=2)
    >>> post = hl.learn(data, model, engine=hl.infer.Training(epochs=2), check=False)
    >>> band = hl.infer.log_prob_band(post, [[[1, 1], [1, 1]]])
    >>> bool((band["lower"] < band["upper"]).all())
    True
    """
    post = admit_posterior(post)
    seed = require_seed(seed)
    networks = families.evaluators(post)
    require_number(level, "level, the probability of the interval,", above=0, below=1)
    if len(networks) < 2 or networks[0].conditioned:
        raise HamlearnError(
            "an interval of ln p needs an ensemble of networks of one temperature, Autoregressive(..., members=4): "
            f"this posterior has {len(networks)}{', of several temperatures' if networks[0].conditioned else ''}."
        )
    array, dims = site_states(families.of(post).draw_systems(post, 1, 0, None)[0], states)
    values = np.stack([one.log_prob(array) for one in networks])
    m = len(values)
    mean, sd = values.mean(0), values.std(0, ddof=1)
    reach = scipy.stats.t.ppf((1 + level) / 2, m - 1) * sd * np.sqrt(1 + 1 / m)
    found = mean, sd, mean - reach, mean + reach
    if all(one.observed is not None for one in networks):
        starts = np.random.SeedSequence(seed).generate_state(m)
        drawn = [one.log_prob(one.sample(_DRAWS, int(start))) for one, start in zip(networks, starts, strict=True)]
        pairs = list(zip(networks, drawn, values, strict=True))
        second = np.stack([recalibration(own, one.observed)(value) for one, own, value in pairs])
        moved = [
            np.stack([recalibration(own, to)(value) for (_, own, value), to in zip(pairs, row, strict=True)]).mean(0) - second.mean(0)
            for row in zip(*(one.observed.shifted() for one in networks), strict=True)
        ]
        shared = np.sqrt(np.sum(np.square(moved), axis=0))
        found = widened(found, Estimates(second, np.zeros_like(second), "", shared=shared), level)
    names = ("mean", "sd", "lower", "upper")
    result = xr.Dataset({name: (dims, value) for name, value in zip(names, found, strict=True)})
    result.attrs = {"level": float(level), "networks": m, "units": "nats"}
    return result
