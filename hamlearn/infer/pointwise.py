"""Pointwise log likelihoods: what every observation says of every draw, for ArviZ's ``loo`` and ``compare``.

By row where ln p of whole microstates is known (a normalised density; a system with an exact partition function), by row and site
otherwise: ln p(x_i | all other sites), which an energy gives for discrete sites without any partition function.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import scipy.sparse
import xarray as xr
from scipy.special import logsumexp

from hamlearn import data as microstate_data
from hamlearn.arguments import require_whole
from hamlearn.data import admit
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, labels, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.provenance import Provenance
from hamlearn.memory import words
from hamlearn.processes import verb
from hamlearn.progress import track
from hamlearn.systems import exact
from hamlearn.systems.base import System
from hamlearn.systems.pairs import Pairs, pairs_of

LIMIT = 1_000_000_000  # bytes; more is a file that nobody reads
_AT_ONCE = 1 << 22  # site values of states whose energies are asked for together
_STILL = 1e-12  # spread of what no draw changes, such as a site between opposite neighbours: ArviZ's loo refuses equal values
_TAIL = 25  # draws, a fifth of which are the tail of importance weights, which ArviZ asks five of
_DENSE = 0.1  # share of a matrix that is filled, from which on a dense product is the quicker one
_COMPOSITE = (
    "ln p(x_i | all other sites), for every row and site. Their sum is a pseudo-likelihood, not the likelihood of microstates: elpd "
    "ranks models by how well they predict a site from the others, and sites of one row are not independent, so standard errors by site "
    "are too small. Sum over sites before loo to leave out whole rows."
)
_CALIBRATED = (
    "The posterior was drawn from a calibrated likelihood, whose curvature is not that of these values: leaving one out by importance "
    "weights is approximate."
)


@verb
def log_likelihood(
    post: xr.DataTree,
    data: xr.Dataset | Iterable[xr.Dataset],
    likelihood: Literal["auto", "exact", "pseudo"] = "auto",
    draws: int | None = None,
) -> xr.DataTree:
    """The posterior with a group ``log_likelihood``: ln p of every observation under every draw.

    Parameters
    ----------
    post : DataTree
        A posterior of discrete microstates, or of a normalised density.
    data : Dataset or list of Datasets
        Microstates: those it was learned from (for ``arviz_stats.loo`` and ``compare``) or others (then the group holds the log
        predictive densities of new data, and there is nothing to leave out). A row that counts n times stands n times.
    likelihood : {"auto", "exact", "pseudo"}
        "exact" gives ln p of every row, "pseudo" ln p of every site given the others, "auto" what the posterior was learned by. Models
        that are compared need the same one.
    draws : int, optional
        How many draws of every chain to keep, evenly spaced, in all groups of the result. By default all.

    Returns
    -------
    DataTree
        A copy of `post`. The group's variable ``microstates`` has dims (chain, draw, row) or (chain, draw, row, site), rows in
        the order of the data, with β as a coordinate of rows. Its attributes say what it is, and what it cannot say.

    Raises
    ------
    HamlearnError
        If it would take more than 1 GB; rows have statistical weights, which are no observations; sites are continuous and the model has
        no normalised density; or "exact" is asked of a system that no oracle treats.

    Notes
    -----
    Leave-one-out by Pareto-smoothed importance sampling: Vehtari, Gelman & Gabry, Statistics and Computing 27, 1413 (2017). Draws of a
    Markov chain are not independent observations: leaving one out leaves its neighbours in, and standard errors are too small by
    about √τ. Thin the data (attribute ``tau`` says by how much) before comparing models.

    Examples
    --------
    >>> import arviz_stats, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=60, chains=1, seed=0, sampler="exact")
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((2, 2))), check=False, engine="laplace")
    >>> post = hl.infer.log_likelihood(post, data, draws=50)
    >>> dict(post["log_likelihood"]["microstates"].sizes)
    {'chain': 4, 'draw': 50, 'row': 60}
    >>> int(arviz_stats.loo(post).n_data_points)
    60
    """
    post = _thinned(admit_posterior(post), draws)
    family, record = families.of(post), posteriors.provenance_of(post)
    posteriors.require_readings(post, "pointwise likelihoods")
    density: Any = getattr(family, "evaluators", None)
    chains, kept = (int(post["posterior"].sizes[name]) for name in ("chain", "draw"))
    asked = choice(likelihood, ("auto", "exact", "pseudo"), "pointwise likelihood")
    whole = density is not None or asked == "exact" or (asked == "auto" and not record.composite)
    if density and asked == "pseudo":
        raise HamlearnError("a normalised density has ln p of whole rows: likelihood='exact' (or 'auto').")
    if not density and posteriors.space_of(post).continuous:
        raise HamlearnError(
            f"pointwise likelihoods of {posteriors.space_of(post).name} need a normalised density (hl.models.Flow, Autoregressive): the "
            "conditionals of continuous sites under an energy are not offered."
        )
    if not whole and (fixed := posteriors.space_of(post).constraint):
        raise HamlearnError(
            f"the {', '.join(fixed)} is fixed, so that a site follows from the others: its conditional says nothing. likelihood='exact' "
            "gives ln p of whole rows, where states can be listed (up to 16 sites)."
        )
    sets = microstate_data.split_by_beta(admit(data))
    rows, beta = _rows(post, sets)
    sites = math.prod(posteriors.site_shape(post))
    size = 8 * chains * kept * len(rows) * (1 if whole else sites)
    if size > LIMIT:
        raise HamlearnError(
            f"ln p of {len(rows)} rows{'' if whole else f' × {sites} sites'} under {chains} × {kept} draws are {words(size)}; at most "
            f"{words(LIMIT)} are kept. Ask for fewer draws (draws=), or give fewer rows."
        )
    if density:
        densities = density(post)
        if len(densities) != chains * kept:
            raise HamlearnError(
                f"the weights of {len(densities)} of {chains * kept} draws are kept: pointwise likelihoods need those of all. Their own: "
                "hl.log_prob(post, data)."
            )
        values = np.stack([one.log_prob(rows, beta if one.conditioned else None) for one in densities])
    else:
        values = _by_system(post, rows, beta, whole, chains * kept)
    still = np.ptp(values, axis=0) == 0
    values[:, still] += np.linspace(-_STILL, _STILL, len(values))[:, None]
    return _attached(post, values.reshape(chains, kept, *values.shape[1:]), beta, _attributes(record, whole, post, sets))


def _thinned(post: xr.DataTree, draws: int | None) -> xr.DataTree:
    """A copy with fewer draws in every group that has them."""
    total = int(post["posterior"].sizes["draw"])
    wanted = total if draws is None else require_whole(draws, "draws", most=total)
    kept, attrs = np.linspace(0, total - 1, wanted).round().astype(int), dict(post.attrs)
    groups = {name: child.to_dataset() for name, child in post.children.items() if name != "log_likelihood"}
    if wanted < total:
        groups = {name: one.isel(draw=kept) if one.sizes.get("draw") == total else one for name, one in groups.items()}
        groups = {name: one.isel(member=kept) if one.sizes.get("member") == total else one for name, one in groups.items()}
    found = xr.DataTree.from_dict(dict(groups))
    found.attrs = attrs
    return found


def _rows(post: xr.DataTree, sets: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Microstates ``(row, *sites)``, each as often as it counts, and their inverse temperatures."""
    space, shape = posteriors.space_of(post), posteriors.site_shape(post)
    rows, beta = [], []
    for part in (posteriors.numbered(post, one) for one in sets):
        if part.attrs["space"] != space.name or part["state"].shape[2:] != shape:
            raise HamlearnError(
                f"the posterior is one of {space.name} on sites {shape}; the data are {part.attrs['space']} on {part['state'].shape[2:]}."
            )
        own = microstate_data.space_of(part)
        if own != space:  # ln p would be normalised over states that the data cannot have
            raise HamlearnError(
                f"this posterior shares out probability among the states of {space!r}; the data are {own!r}. Compare models that were "
                "learned from data of one space."
            )
        weight, weighted = microstate_data.multiplicity(part)
        if weighted:
            raise HamlearnError(
                "rows with statistical weights are no observations, so there is nothing to leave out: give microstates with counts, or "
                "without."
            )
        times = np.rint(weight).astype(int).ravel()
        if not np.allclose(times, weight.ravel()):
            raise HamlearnError("counts of rows must be whole numbers here: a row that counts n times stands n times.")
        states = part["state"].values.reshape(-1, *shape)
        rows.append(np.repeat(states, times, 0))
        beta.append(np.full(len(rows[-1]), float(part["beta"])))
    return np.concatenate(rows), np.concatenate(beta)


def _by_system(post: xr.DataTree, rows: np.ndarray, beta: np.ndarray, whole: bool, count: int) -> np.ndarray:
    """Ln p of rows ``(draw, row)``, or of their sites ``(draw, row, site)``; equal rows are worked out once."""
    keys = np.column_stack([rows.reshape(len(rows), -1), beta])
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    states, at = rows[first], beta[first]
    of_one = _whole if whole else _sites
    found = []
    with track(count, "pointwise likelihoods") as bar:
        for system in _each(post):
            found.append(of_one(system, states, at))
            bar.advance()
    return np.stack(found)[:, inverse.ravel()]


def _each(post: xr.DataTree) -> Iterator[System]:
    """The system of every draw, in order."""
    family, groups = families.of(post), {name: child.to_dataset() for name, child in post.children.items()}
    chains, draws = (int(post["posterior"].sizes[name]) for name in ("chain", "draw"))
    members = {name: one for name, one in groups.items() if one.sizes.get("member") == chains * draws}
    single = xr.DataTree.from_dict(dict(groups))
    single.attrs = post.attrs
    for chain, draw in np.ndindex(chains, draws):
        single["posterior"].dataset = groups["posterior"].isel(chain=[chain], draw=[draw])
        for name, group in members.items():
            single[name].dataset = group.isel(member=[chain * draws + draw])
        yield family.draw_systems(single, 1, 0, None)[0]


def _whole(system: System, states: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Ln p of whole rows."""
    exact.require(system)
    found = np.empty(len(states))
    for at in np.unique(beta):
        here, log_z = beta == at, np.ravel(exact.log_partition(system, float(at)))[0]
        found[here] = -np.asarray(system.action(states[here], float(at)), float) - log_z
    return found


def _sites(system: System, states: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Ln p of every site given the others: the energies of all rows with one site changed."""
    shape, values = states.shape[1:], np.asarray(system.space.values)
    n = math.prod(shape)
    flat, found = states.reshape(-1, n), np.empty((len(states), n))
    if (pairs := pairs_of(system)) is not None:
        return _sites_of_pairs(pairs, np.searchsorted(values, flat), beta)
    step = max(1, _AT_ONCE // (n * n * len(values)))
    site = np.arange(n)
    for start in range(0, len(states), step):
        chunk = slice(start, start + step)
        changed = np.repeat(np.repeat(flat[chunk, None, None], n, 1), len(values), 2)
        changed[:, site, :, site] = values
        for at in np.unique(beta[chunk]):
            here = beta[chunk] == at
            log_weight = -np.asarray(system.action(changed[here].reshape(-1, *shape), float(at)), float).reshape(-1, n, len(values))
            own = np.take_along_axis(log_weight, np.searchsorted(values, flat[chunk][here])[..., None], -1)[..., 0]
            found[chunk][here] = own - logsumexp(log_weight, axis=-1)
    return found


def _sites_of_pairs(pairs: Pairs, index: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The same of a sum over pairs, from the indices of states ``(row, site)``: what all sites see is one product of matrices."""
    (rows, n), q = index.shape, pairs.q
    first, second = np.asarray(pairs.lattice.bonds).T[..., None, None] * q
    mine, other = np.broadcast_arrays(first + np.arange(q)[:, None], second + np.arange(q))
    tables = np.asarray(pairs.tables, float).ravel()
    ends = np.concatenate([mine.ravel(), other.ravel()]), np.concatenate([other.ravel(), mine.ravel()])
    seen = scipy.sparse.csr_array((np.concatenate([tables, tables]), ends), shape=(n * q, n * q))
    acts: Any = seen.toarray() if seen.nnz > _DENSE * (n * q) ** 2 else seen
    found, step = np.empty((rows, n)), max(1, _AT_ONCE // (n * q))
    for start in range(0, rows, step):
        some = index[start : start + step]
        there = np.eye(q)[some].reshape(len(some), n * q)
        log_weight = beta[start : start + step, None, None] * ((there @ acts).reshape(-1, n, q) + np.asarray(pairs.fields, float))
        own = np.take_along_axis(log_weight, some[..., None], -1)[..., 0]
        found[start : start + step] = own - np.logaddexp.reduce(log_weight, axis=-1)
    return found


def _attributes(record: Provenance, whole: bool, post: xr.DataTree, sets: list[xr.Dataset]) -> dict[str, Any]:
    tau = float(record.calibration.tau or 1.0)
    same = microstate_data.fingerprint(sets) == post.attrs["fingerprint"]
    told = {
        "likelihood": "exact" if whole else "pseudo",
        "what": "ln p of every row" if whole else _COMPOSITE,
        "tau": tau,
        "learned_from": int(same),
    }
    caveats = []
    if record.calibration.adjusted:
        caveats.append(_CALIBRATED)
    if tau > 1:
        caveats.append(
            f"Draws are autocorrelated (tau {tau:.3g}): rows are not independent, and standard errors are too small by about √tau."
        )
    if (count := math.prod(post["posterior"].sizes[name] for name in ("chain", "draw"))) < _TAIL:
        caveats.append(f"{count} draws have no tail of importance weights to smooth: loo needs {_TAIL} at least, and fails with an error.")
    if not same:
        caveats.append("Not the data that the posterior was learned from: these are predictive densities, and loo would leave out nothing.")
    return told | ({"caveat": " ".join(caveats)} if caveats else {})


def _attached(post: xr.DataTree, values: np.ndarray, beta: np.ndarray, attrs: dict[str, Any]) -> xr.DataTree:
    dims = ("chain", "draw", "row", "site")[: values.ndim]
    coords: dict[str, Any] = {name: post["posterior"][name].values for name in ("chain", "draw")}
    coords |= {"row": np.arange(len(beta)), "beta": ("row", beta)} | (
        {"site": labels.sites(posteriors.site_names(post), values.shape[3])} if values.ndim == 4 else {}
    )
    group = xr.Dataset({"microstates": (dims, values, {"long_name": "ln p, nats"})}, coords=coords, attrs=attrs)
    post["log_likelihood"] = xr.DataTree(group)
    return post
