"""Convergence by ArviZ; the only file that knows it.

Everything is judged on θ, the free parameters: tied couplings count once, and gauge-fixed tables by their free part.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn.infer import families, labels, one_group, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.groups import own_parameters
from hamlearn.processes import filtering, verb
from hamlearn.statistics import first_largest

RARE = 0.01  # a bond in fewer draws than this is constant for all purposes of a mean
MEASURES = ("ess_bulk", "ess_tail", "r_hat")
TAILS = (0.05, 0.95)  # the quantiles whose effective sample size is the tail's
MAX_TREE_DEPTH = 10  # NumPyro's default: trajectories of 2**10 − 1 steps were cut short


@verb
def convergence(post: xr.DataTree) -> dict[str, Any]:
    """R̂, effective sample sizes, Monte Carlo errors, divergences and saturated trees of a posterior.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.

    Returns
    -------
    dict
        ``sampled`` says whether the draws came from Markov chains. If not (mle, map, laplace draw independently
        from a normal) there is nothing to converge, and that is all it holds besides ``draws``. Otherwise
        ``max_rhat``, ``min_ess_bulk``, ``min_ess_tail``, ``max_mcse_over_sd``, the names of the parameters where
        these are worst, ``divergences``, ``saturated`` (draws whose trajectory hit the depth limit), ``chains``,
        ``draws``, ``judged`` and ``constant`` (parameters that moved and that did not: frozen, or bonds that are
        practically never included).

    Notes
    -----
    Rank-normalised split R̂ and ESS of Vehtari et al., Bayesian Analysis 16, 667 (2021). The two halves of a single chain are
    taken for chains: their R̂ sees that it drifts or jumps, but not what no chain has reached.

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.diagnostics import convergence
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> convergence(hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace"))
    {'sampled': False, 'chains': 4, 'draws': 1000}
    """
    made, sizes = posteriors.provenance_of(post), post["posterior"].sizes
    chains, draws = sizes["chain"], sizes["draw"]
    if not made.engine.markov:  # before parameters are read: there may be hundreds of thousands
        return {"sampled": False, "chains": chains, "draws": draws}
    (labels, theta), (more, own) = families.of(post).parameters(post), own_parameters(post)
    if more:
        labels, theta = [*labels, *more], np.concatenate([theta, own], -1)
    from arviz_stats.base import array_stats  # here: it takes a second to import, and independent draws do without

    names = np.array(labels)
    moved = ~_constant(theta)
    result: dict[str, Any] = {"sampled": True, "chains": chains, "draws": draws}
    result |= {"judged": int(moved.sum()), "constant": int((~moved).sum())}
    if "sample_stats" in post:
        stats = post["sample_stats"]
        if "diverging" in stats:
            result["divergences"] = int(np.asarray(stats["diverging"]).sum())
        if "n_steps" in stats:
            result["saturated"] = int((np.asarray(stats["n_steps"]) >= 2**MAX_TREE_DEPTH - 1).sum())
    if not moved.any():
        return result
    values = np.moveaxis(theta[..., moved], -1, 0)
    with filtering():
        measures = {
            "max_rhat": _rhat(values),
            "min_ess_bulk": array_stats.ess(values, method="bulk"),
            "min_ess_tail": array_stats.ess(values, method="tail", prob=TAILS),
            "max_mcse_over_sd": array_stats.mcse(values, method="mean") / values.std((1, 2), ddof=1),
        }
    for key, found in measures.items():
        unknown = np.flatnonzero(np.isnan(found))  # worse than any number
        worst = int(unknown[0]) if len(unknown) else first_largest(-found if key.startswith("min") else found)
        result[key] = float(found[worst])
        result[f"{key}_where"] = str(names[moved][worst])
    return result


def sampled(post: xr.DataTree) -> bool:
    """Whether the draws of a posterior came from Markov chains."""
    return posteriors.provenance_of(post).engine.markov


@verb
def summary(post: xr.DataTree, round_to: int | None = 4, *, group: str | None = None) -> pd.DataFrame:
    """One row per coupling, field and parameter of a prior's own: mean, sd, equal-tailed 90 % interval, ESS, R̂.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    round_to : int, optional
        Decimals; None keeps all.
    group : str, optional
        Of a posterior of groups: the one whose couplings and fields are listed; means, spreads and all groups without a name.

    Returns
    -------
    pandas.DataFrame
        Index ``J[0, 1]`` (the sites a bond joins) and ``h[0]``; columns ``mean``, ``sd``, ``eti_5%``, ``eti_95%``,
        ``ess_bulk``, ``ess_tail``, ``r_hat``, and ``inclusion`` for sparse posteriors. The last diagnostics are nan
        where the draws are independent by construction or a parameter never moved.

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.diagnostics import summary
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> summary(hl.infer.learn(data, model, engine="laplace")).shape
    (18, 7)
    """
    post = admit_posterior(post if group is None else one_group.group(post, group))
    drawn = post["posterior"].to_dataset()
    if not families.traits(post).bonds:
        columns, drawn = _free_parameters(post)
    else:
        bound = posteriors.bound_of(post)
        columns = {"J": [f"J[{bond}]" for bond in labels.bonds(bound.lattice)]}
        if "h" in drawn:
            columns["h"] = [f"h[{site}]" for site in labels.sites(bound.lattice.names, bound.lattice.n_sites)]
    more, own = own_parameters(post)
    if more:
        columns, drawn = {**columns, "prior": more}, drawn.assign(prior=(("chain", "draw", "own"), own))
    sampled = posteriors.provenance_of(post).engine.markov
    tables = []
    for name, called in columns.items():
        values = np.asarray(drawn[name].values)
        extra = values.shape[3:]
        values = values.reshape((*values.shape[:2], -1))
        if len(extra) == {"J": 2, "h": 1}.get(name) and posteriors.space_of(post).labelled:
            called = [f"{label}({', '.join(word)})" for label, words in zip(called, _states(post, name), strict=True) for word in words]
            values = values[..., np.flatnonzero(posteriors.bound_of(post).entries(name))]
        elif extra:
            called = [f"{label}({', '.join(map(str, index))})" for label in called for index in np.ndindex(extra)]
        low, high = np.quantile(values, [0.05, 0.95], axis=(0, 1))
        numbers = {"mean": values.mean((0, 1)), "sd": values.std((0, 1), ddof=1), "eti_5%": low, "eti_95%": high}
        numbers |= mixing(values) if sampled else dict.fromkeys(MEASURES, np.nan)
        table = pd.DataFrame(numbers, index=called)
        if name == "J" and "included" in drawn:
            table["inclusion"] = drawn["included"].values.mean((0, 1)).repeat(int(np.prod(extra)))
        tables.append(table)
    result = pd.concat(tables)
    return result if round_to is None else result.round(round_to)


def _states(post: xr.DataTree, name: str) -> list[list[tuple[str, ...]]]:
    """What the states of every site are called, or the pairs of states of every bond."""
    each = posteriors.states_of(post)
    if name == "h":
        return [[(state,) for state in states] for states in each]
    return [list(itertools.product(each[i], each[j])) for i, j in posteriors.bound_of(post).lattice.bonds.tolist()]


def mixing(values: np.ndarray) -> dict[str, np.ndarray]:
    """Effective sample sizes and R̂ of chains ``(chain, draw, parameter)``, by :data:`MEASURES`; nan of what never moved."""
    from arviz_stats.base import array_stats

    moved = ~_constant(values)
    found = np.full((3, values.shape[-1]), np.nan)
    if moved.any():
        series = np.moveaxis(values[..., moved], -1, 0)
        with filtering():
            ess = array_stats.ess(series, method="bulk"), array_stats.ess(series, method="tail", prob=TAILS)
            found[:, moved] = np.array((*ess, _rhat(series)))
    return dict(zip(MEASURES, found, strict=True))


def _rhat(series: np.ndarray) -> np.ndarray:
    """Rank-normalised split R̂ of ``(parameter, chain, draw)``; of a single chain, that of its halves. nan of fewer than eight draws."""
    from arviz_stats.base import array_stats

    parameters, chains, draws = series.shape
    if chains == 1:
        series, draws = series[..., draws % 2 :].reshape(parameters, 2, draws // 2), draws // 2
    found: np.ndarray = array_stats.rhat(series) if draws >= 4 else np.full(parameters, np.nan)
    return found


def _free_parameters(post: xr.DataTree) -> tuple[dict[str, list[str]], xr.Dataset]:
    """The free parameters of any kind of posterior as one variable."""
    names, theta = families.of(post).parameters(post)
    return {"theta": names}, xr.Dataset({"theta": (("chain", "draw", "parameter"), theta)})


def _constant(theta: np.ndarray) -> np.ndarray:
    """Which parameters never move, or sit at one value in all but a rare draw; shape ``(n_params,)``."""
    flat = theta.reshape(-1, theta.shape[-1])
    still = np.isclose(flat, np.median(flat, axis=0), rtol=1e-12, atol=0.0).mean(0)
    return (np.ptp(flat, axis=0) <= 1e-12 * np.abs(flat).max(axis=0, initial=0.0)) | (still > 1 - RARE)
