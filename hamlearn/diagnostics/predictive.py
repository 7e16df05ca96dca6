"""What the posterior says that data would look like, in ArviZ's groups: for ``arviz_plots.plot_ppc_dist`` and its kin."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import infer, memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.diagnostics.simulated import microstates_of
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, labels, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.draw_systems import distinct
from hamlearn.processes import verb
from hamlearn.spaces import Space


@verb
def posterior_predictive(
    post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], draws: int = 64, rows: int = 512, seed: int = 0
) -> xr.DataTree:
    """The posterior with a group ``posterior_predictive``, and the observed microstates beside it.

    Parameters
    ----------
    post : DataTree
        A posterior whose members are systems that can be simulated.
    data : Dataset or list of Datasets
        Microstates to compare with, as a rule those it was learned from; each temperature is simulated at its own.
    draws : int
        Members of the posterior, at most: an ensemble of fewer networks gives each of them once.
    rows : int
        Microstates of each member at each temperature, at most as many as were observed there.
    seed : int
        Of the members and the simulations.

    Returns
    -------
    DataTree
        A copy of `post`. Both groups have the variables ``microstates`` (..., row, site) and ``order`` (..., row), how ordered a row is
        (the size of its order parameter); in ``posterior_predictive`` after (chain, draw), one chain of independent members. Observed rows
        are taken evenly spaced, as many as are simulated; the coordinate ``beta`` says at which temperature a row is. Name the variables
        for pictures, ``var_names=["order"]``: ``observed_data`` holds compressed statistics, too.

    Raises
    ------
    HamlearnError
        If the data are of other sites or another space, rows are weighted, or members cannot be simulated.

    Examples
    --------
    >>> import arviz_plots, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=100, chains=2, seed=0, sampler="exact")
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), check=False, engine="laplace")
    >>> post = hl.diagnostics.posterior_predictive(post, data, draws=50)
    >>> post["posterior_predictive"]["microstates"].sizes["draw"], post["observed_data"]["order"].dims
    (50, ('row',))
    >>> _ = arviz_plots.plot_ppc_dist(post, var_names=["order"], kind="ecdf", backend="none")
    """
    post, generator = admit_posterior(post), np.random.default_rng(require_seed(seed))
    posteriors.require_readings(post, "predictive checks")
    sets = microstates.split_by_beta(microstates.admit(data))
    sets = [posteriors.numbered(post, one) for one in sets]
    space, shape = posteriors.space_of(post), posteriors.site_shape(post)
    if any(microstates.site_shape(one) != shape or microstates.space_of(one).name != space.name for one in sets):
        raise HamlearnError(f"the posterior is one of {space.name} on sites {shape}; the data are of others.")
    members, most = distinct(post, draws), require_whole(rows, "rows")
    systems = families.of(post).draw_systems(post, members, seed, None)
    density = families.traits(post).density and not families.traits(post).closed
    observed, simulated, beta = [], [], []
    for one in sets:
        seen, at = _rows(one), float(one["beta"])
        count = min(most, len(seen))
        size = 8 * count * members * math.prod(seen.shape[1:])
        memory.require(size, f"{count} microstates of each of {members} members", "Ask for fewer: rows=, draws=.")
        found = (
            infer.sample(post, count, seed)["state"].values if density else np.stack(microstates_of(systems, at, seen, generator, count))
        )
        observed.append(seen[np.linspace(0, len(seen) - 1, found.shape[1]).round().astype(int)])
        simulated.append(found)
        beta.append(np.full(found.shape[1], at))
    where, names = np.concatenate(beta), posteriors.site_names(post)
    drawn = {"chain": [0], "draw": np.arange(len(simulated[0])), "beta": ("row", where)}
    result = post.copy()
    predicted = _group(space, np.concatenate(simulated, 1)[None], ("chain", "draw"), len(shape), names).assign_coords(drawn)
    result["posterior_predictive"] = xr.DataTree(predicted)
    kept = result["observed_data"].to_dataset() if "observed_data" in result.children else xr.Dataset()
    kept = kept.drop_dims("row", errors="ignore")
    result["observed_data"] = xr.DataTree(kept.merge(_group(space, np.concatenate(observed), (), len(shape), names), join="outer"))
    return result


def _rows(data: xr.Dataset) -> np.ndarray:
    """Microstates of one temperature ``(row, *sites)``, each as often as it counts."""
    times, weighted = microstates.multiplicity(data)
    if weighted:
        raise HamlearnError("rows with statistical weights are no sample to compare with: give microstates with counts, or without.")
    return np.repeat(data["state"].values.reshape(-1, *data["state"].shape[2:]), np.rint(times).astype(int).ravel(), 0)


def _group(space: Space, states: np.ndarray, lead: tuple[str, ...], axes: int, names: tuple[str, ...]) -> xr.Dataset:
    """Microstates ``(*lead, row, *sites)`` and how ordered they are."""
    flat = states.reshape(*states.shape[: len(lead) + 1], -1, *states.shape[len(lead) + 1 + axes :])
    inner = ("site", "component")[: flat.ndim - len(lead) - 1]
    order = space.magnitude(flat.reshape(*flat.shape[: len(lead) + 1], -1))
    found = {"microstates": ((*lead, "row", *inner), flat), "order": ((*lead, "row"), np.asarray(order, float))}
    rows, sites = flat.shape[len(lead) : len(lead) + 2]
    return xr.Dataset(found, coords={"row": np.arange(rows), "site": labels.sites(names, sites)})


__all__ = ["posterior_predictive"]
