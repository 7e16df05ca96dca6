"""The posterior as a DataTree in ArviZ's schema: built here, read here, saved and loaded here.

Groups: ``posterior`` (J, h; inclusion of sparse posteriors), ``sample_stats``, ``point`` (the optimum), ``constant_data`` (the sites
that bonds join), ``observed_data`` (compressed statistics and a fingerprint, not the microstates), and whatever the judges record.
Attributes are strings and numbers, structured ones as one JSON string.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import models, spaces, storage
from hamlearn.arguments import require_path, require_whole
from hamlearn.data import codes_of, fingerprint, names_of, recoded, require_same
from hamlearn.data import site_shape as site_shape_of
from hamlearn.data import space_of as space_of_data
from hamlearn.data.codes import state_names
from hamlearn.errors import HamlearnError
from hamlearn.infer import labels, stored
from hamlearn.infer.accepted import SCHEMA, read_json, require_posterior
from hamlearn.infer.groups import by_temperature, sample_stats
from hamlearn.infer.observations import Observations, channel, flat
from hamlearn.infer.provenance import Provenance
from hamlearn.infer.seen import KEY, in_space, noted, of_codes
from hamlearn.infer.upgrades import names_in, read, without_never
from hamlearn.models import BoundCouplings
from hamlearn.spaces import States
from hamlearn.systems.base import Space


def build(
    bound: BoundCouplings,
    theta: np.ndarray,
    point: np.ndarray,
    *,
    stats: dict[str, np.ndarray] | None = None,
    included: np.ndarray | None = None,
    hyper: np.ndarray | None = None,
    provenance: Provenance,
    parts: list[Observations],
    sets: list[xr.Dataset],
) -> xr.DataTree:
    """A posterior from draws of θ ``(chain, draw, n_params)``, its optimum, and how it was made."""
    never = json.loads(sets[0].attrs.get(KEY, "[]"))
    provenance = replace(provenance, findings=(*provenance.findings, *noted(never)))
    posterior = variables(bound, theta, ("chain", "draw"))
    posterior = posterior.assign_coords(chain=np.arange(theta.shape[0]), draw=np.arange(theta.shape[1]))
    if included is not None:
        posterior["included"] = (("chain", "draw", "bond"), included[..., bound.bond_group].astype(np.int8))
    if hyper is not None:
        for index, name in enumerate(("inclusion_probability", "slab_width", "slab_magnitude")):
            posterior[name] = (("chain", "draw"), hyper[..., index])
    known = {"observed_data": _observed(bound, parts), "constant_data": labels.constant(bound.lattice)}
    groups = {"posterior": posterior, "point": variables(bound, point, ()), **known, **sample_stats(stats)}
    found = assemble(groups, model=bound.model, space=bound.space, provenance=provenance, sets=sets)
    found.attrs |= {KEY: json.dumps(never)} if never else {}
    return found


_TIED = {"posterior", "point"}  # groups with the variables of a model


def assemble(groups: dict[str, xr.Dataset], *, model: Any, space: Space, provenance: Provenance, sets: list[xr.Dataset]) -> xr.DataTree:
    """A posterior of any kind from its groups (at least ``posterior``), its model, and the microstates it was learned from.

    `model` has ``to_dict()`` with the entry ``kind``; `provenance` is what the verdict reads
    (see :func:`hamlearn.infer.provenance.new_provenance`).
    """
    tree = xr.DataTree.from_dict(dict(groups))
    provenance = replace(provenance, findings=(*provenance.findings, *of_codes(sets)))
    known = {"codes": json.dumps(codes_of(sets[0]))} if "codes" in sets[0].attrs or "codes" in sets[0].coords else {}
    if names := names_of(sets[0]):
        known["site_names"] = json.dumps(names)
    tree.attrs = {
        **known,
        "schema_version": SCHEMA,
        "hamlearn_version": metadata.version("hamlearn"),
        "model": json.dumps(model.to_dict()),
        **space.attrs,
        "site_shape": json.dumps(list(site_shape_of(sets[0]))),
        "beta": json.dumps([float(data["beta"]) for data in sets]),
        "beta_declared": int(all(int(data.attrs.get("beta_declared", 0)) for data in sets)),
        "fingerprint": fingerprint(sets),
        "provenance": provenance.to_json(),
    }
    return tree


def variables(bound: BoundCouplings, theta: np.ndarray, lead: tuple[str, ...]) -> xr.Dataset:
    """What a posterior of couplings reports of θ: J per bond and h per site."""
    J, h = bound.values(theta)
    J, h = _view(J, len(lead), bound.bond_group), _view(h, len(lead), bound.field_group)
    states = {"state_i": np.arange(bound.space.q), "state_j": np.arange(bound.space.q)} if bound.interaction == "general" else {}
    dataset = xr.Dataset({"J": ((*lead, "bond", *states), J)}, coords={"bond": labels.bonds(bound.lattice), **states})
    if bound.model.fields is not None:
        own = () if bound.interaction == "ising" else ("component",) if bound.space.event_shape else ("state",)
        dataset["h"] = ((*lead, "site", *own), h)
        sites = labels.sites(bound.lattice.names, bound.lattice.n_sites)
        dataset = dataset.assign_coords({"site": sites, **{one: np.arange(h.shape[-1]) for one in own}})
    return dataset


def _view(values: np.ndarray, axis: int, owner: np.ndarray) -> np.ndarray:
    """`values`, or a view of the first along an axis where all of them are one parameter."""
    values = np.asarray(values)
    return np.broadcast_to(values.take([0], axis), values.shape) if len(owner) > 1 and not owner.any() else values


def _observed(bound: BoundCouplings, parts: list[Observations]) -> xr.Dataset:
    """Per temperature: how many microstates, and the frequency of every value (pair of values) on every site (bond).

    Of what may have been misread they are estimates of true values, without bias, and so may be a little below zero.
    """
    q, bonds = bound.space.q, bound.lattice.bonds
    if bound.space.continuous:
        return _observed_directions(bound, parts)
    single = np.zeros((len(parts), bound.lattice.n_sites, q))
    pair = np.zeros((len(parts), len(bonds), q, q))
    for index, part in enumerate(parts):
        states, weight = part.gathered
        columns = states.T.astype(np.intp)  # what belongs to one site lies together
        single[index] = [np.bincount(column[column >= 0], weights=weight[column >= 0], minlength=q) for column in columns]
        if len(bonds) <= 4 * bound.lattice.n_sites:
            for bond, (i, j) in enumerate(bonds):
                both = slice(None) if not part.gaps else (columns[i] >= 0) & (columns[j] >= 0)
                code = q * columns[i][both] + columns[j][both]
                pair[index, bond] = np.bincount(code, weights=weight[both], minlength=q * q).reshape(q, q)
            continue
        for a in range(q):
            weighted = (states == a) * weight[:, None]
            for b in range(q):
                pair[index, :, a, b] = (weighted.T @ (states == b))[bonds[:, 0], bonds[:, 1]]
    for index, part in enumerate(parts):
        if part.flip is not None:
            inverse = np.linalg.inv(channel(part, q)[:, :q])
            single[index] = np.einsum("iab,ib->ia", inverse, single[index])
            pair[index] = inverse[bonds[:, 0]] @ pair[index] @ inverse[bonds[:, 1]].swapaxes(1, 2)
    by_site = ("temperature", "site", "state"), single / np.maximum(single.sum(-1, keepdims=True), 1e-300)  # of those that were observed
    by_bond = ("temperature", "bond", "state_a", "state_b"), pair / np.maximum(pair.sum((-2, -1), keepdims=True), 1e-300)
    return by_temperature(parts, {"site_frequency": by_site, "bond_frequency": by_bond})


def _observed_directions(bound: BoundCouplings, parts: list[Observations]) -> xr.Dataset:
    """Per temperature: how many microstates, and the mean cosine of the angle across every bond."""
    i, j = bound.lattice.bonds.T
    cosines = []
    for part in parts:
        states, weight = flat(part)
        s = bound.space.encode(states)
        cosines.append(weight @ (s[:, i] * s[:, j]).sum(-1) / weight.sum())
    return by_temperature(parts, {"bond_cosine": (("temperature", "bond"), np.array(cosines))})


def provenance_of(post: xr.DataTree) -> Provenance:
    """How a posterior was made and judged, as codes and numbers; of files of every version.

    Raises
    ------
    HamlearnError
        If `post` is no posterior, or what it says of itself cannot be read.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    >>> provenance_of(post).likelihood
    'exact'
    """
    return read(require_posterior(post).attrs)


def with_provenance(post: xr.DataTree, **changes: Any) -> xr.DataTree:
    """`post`, changed in place, with other entries in its provenance (fields of :class:`~hamlearn.infer.provenance.Provenance`)."""
    return recorded(post, replace(provenance_of(post), **changes))


def recorded(post: xr.DataTree, provenance: Provenance) -> xr.DataTree:
    """`post`, changed in place, with that provenance in place of its own."""
    post.attrs.pop("record", None)  # of files of earlier versions
    post.attrs |= {"provenance": provenance.to_json(), "schema_version": SCHEMA}
    return post


def model_of(post: xr.DataTree) -> Any:
    """The model a posterior belongs to."""
    return models.from_dict(read_json(require_posterior(post), "model", dict)).on(site_names(post))


def site_names(post: xr.DataTree) -> tuple[str, ...]:
    """What the sites are called; () where they are numbered."""
    return names_in(require_posterior(post).attrs)


def require_same_sites(post: xr.DataTree, data: xr.Dataset) -> None:
    """An error where microstates call their sites otherwise than those that a posterior was learned from."""
    require_same(site_names(post), names_of(data), "the posterior", "the microstates")


def space_of(post: xr.DataTree) -> Space:
    """The space of the microstates a posterior was learned from."""
    attrs = require_posterior(post).attrs
    return spaces.from_attrs(attrs)


def numbered(post: xr.DataTree, states: Any) -> Any:
    """Microstates in the posterior's space, with their states numbered as its are (see the attribute ``codes``); arrays as they are."""
    if isinstance(states, xr.Dataset):
        require_same_sites(post, states)
    if not isinstance(states, xr.Dataset) or not isinstance(space := space_of(post), States):
        return states
    found = recoded(states, codes_of(post))
    return found if space_of_data(found) == space else in_space(found, space)


def states_of(post: xr.DataTree) -> list[list[str]]:
    """What the states that every site has are called, by the words or the codes that they had where they came from."""
    lattice = bound_of(post).lattice
    every, there = state_names(post, lattice.n_sites), space_of(post).there(lattice.n_sites)
    return [[own[state] for state in np.flatnonzero(has)] for own, has in zip(every, there, strict=True)]


def same_states(post: xr.DataTree) -> bool:
    """Whether the states of all sites are the same things, even where some sites were not seen in all of them."""
    there = space_of(post).there(math.prod(site_shape(post)))
    for site, state in json.loads(post.attrs.get(KEY, "[]")):
        there[site, state] = True
    return bool(there.all())


def require_readings(post: xr.DataTree, what: str) -> None:
    """An error where the data of a posterior are misread at a rate that was learned, and `what` takes readings for true values."""
    if "flip" in post["posterior"]:
        raise HamlearnError(f"the data of this posterior are misread at a rate that was learned, and {what} need true values.")


def site_shape(post: xr.DataTree) -> tuple[int, ...]:
    """Extents of the site axes of the microstates a posterior was learned from."""
    return tuple(read_json(require_posterior(post), "site_shape", list))


def bound_of(post: xr.DataTree) -> BoundCouplings:
    """The couplings a posterior belongs to, on its sites; only for posteriors of that kind."""
    bound: BoundCouplings = model_of(post).bind(space_of(post), site_shape(post))
    return bound


def theta_draws(post: xr.DataTree) -> np.ndarray:
    """Draws of θ, shape ``(chain, draw, n_params)``."""
    group = require_posterior(post)["posterior"].to_dataset()
    bound = bound_of(post)
    wanted = {"J": bound.lattice.n_bonds} | ({} if bound.model.fields is None else {"h": bound.lattice.n_sites})
    for name, size in wanted.items():
        if name not in group or group[name].ndim < 3 or group[name].shape[2] != size:
            found = f"of shape {group[name].shape}" if name in group else "missing"
            raise HamlearnError(f"{name!r} of the posterior should have {size} entries a draw, as its model has; it is {found}.")
    return bound.from_values(group["J"].values, group["h"].values if "h" in group else None)


def theta_point(post: xr.DataTree) -> np.ndarray:
    """θ at the optimum, shape ``(n_params,)``."""
    point = require_posterior(post)["point"].to_dataset()
    return bound_of(post).from_values(point["J"].values, point["h"].values if "h" in point else None)


def observed_betas(post: xr.DataTree) -> np.ndarray:
    """Inverse temperatures the posterior was learned at."""
    return np.array(read_json(require_posterior(post), "beta", list))


def trained_betas(post: xr.DataTree) -> np.ndarray:
    """Inverse temperatures of the data: those before it was carried to another one where it was extrapolated."""
    before = (provenance_of(post).extrapolation or {}).get("from_beta")
    return observed_betas(post) if before is None else np.array(before, float)


def save(post: xr.DataTree | xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a posterior, microstates or a prediction to ``.nc`` (one NetCDF file) or ``.zarr``; complete or not at all.

    :func:`load` reads posteriors back, :func:`hamlearn.microstates` microstates, ``hamlearn.storage.read_dataset`` predictions.

    Raises
    ------
    HamlearnError
        If it is none of these, the ending is not known, or the place cannot be written; the posterior in memory
        survives and an existing file stays as it was.
    """
    require_path(path)
    if isinstance(post, xr.Dataset) and ("state" in post or "quantity" in post.dims):
        return storage.write_dataset(post, path)
    return storage.write_dataset(_folded(require_posterior(post)), path)


def _folded(post: xr.DataTree) -> xr.DataTree:
    """A posterior as its file holds it: what is tied by parameter; `post` is left as it is."""
    owners, post = _owners(post), post.copy()
    for name in _TIED & set(post.children):
        post[name] = xr.DataTree(stored.folded(post[name].to_dataset(), owners))
    return post


def _owners(post: xr.DataTree) -> dict[str, np.ndarray]:
    """Which parameter every bond and site uses; nothing of models without."""
    if not model_of(post).traits.bonds:
        return {}
    bound = bound_of(post)
    return {"bond": bound.bond_group, "site": bound.field_group}


def load(path: str | os.PathLike[str]) -> xr.DataTree:
    """A posterior from a file that :func:`save` wrote, able to predict.

    Raises
    ------
    HamlearnError
        If there is none, or it cannot be read, is damaged, or was written by a newer version.
    """
    target = storage.existing(require_path(path))
    if target.suffix not in (".nc", ".zarr"):
        raise HamlearnError(f"{path} holds no hamlearn posterior: those are .nc or .zarr files; make one with hl.learn and hl.save.")
    post = storage.read_tree(target)
    if "posterior" not in post or "model" not in post.attrs:
        other = {"state": "hl.microstates(path)", "quantity": "hamlearn.storage.read_dataset(path)"}  # microstates, predictions
        advice = next((f" Read it with {how}." for name, how in other.items() if name in post.variables), "")
        raise HamlearnError(f"{path} holds no hamlearn posterior; make one with hl.learn and hl.save.{advice}")
    with storage.readable(target):
        try:
            owners = _owners(post)
            for name in _TIED & set(post.children):
                post[name] = xr.DataTree(stored.unfolded(post[name].to_dataset(), owners))
            _relabel(post)
            _require_sound(post)
        except HamlearnError as error:
            raise HamlearnError(f"cannot read {target}: {error}") from error
    return post


def _relabel(post: xr.DataTree) -> None:
    """Names of bonds, in place, where an earlier version numbered them."""
    if int(post.attrs.get("schema_version", 0)) >= SCHEMA or not model_of(post).traits.bonds:
        return
    lattice = bound_of(post).lattice
    for name in _TIED & set(post.children):
        group = post[name].to_dataset()
        if group.sizes.get("bond") == lattice.n_bonds:  # another number is refused with its reason
            post[name] = xr.DataTree(labels.relabelled(group, lattice))
    post["constant_data"] = xr.DataTree(labels.constant(lattice))


def upgrade(post: xr.DataTree) -> None:
    """What an earlier version wrote of how a posterior was made (and those joined or grouped in it), as this one writes it."""
    recorded(post, read(post.attrs))
    without_never(post.attrs)
    for child in post.children.values():
        if "model" in child.attrs:
            upgrade(child)


def _require_sound(post: xr.DataTree) -> None:
    """Raise, whatever it takes, if what a posterior says of itself cannot be understood: here and not in the midst of a prediction."""
    require_posterior(post)
    sites, betas = site_shape(post), observed_betas(post)
    upgrade(post)
    require_whole(post.attrs["q"], "the posterior's attribute 'q'", 0)
    if not all(isinstance(extent, int) and extent > 0 for extent in sites) or betas.ndim != 1 or not np.all(np.isfinite(betas)):
        raise HamlearnError(f"its sites {sites} or temperatures {betas} are none.")
    model, draws = model_of(post), post["posterior"].to_dataset()
    space_of(post)
    if not {"chain", "draw"} <= set(draws.dims):
        raise HamlearnError(f"its draws have dims {tuple(draws.dims)}, without chain and draw.")
    if model.traits.bonds:
        expected, found = bound_of(post).lattice.n_bonds, draws["J"].sizes["bond"]
        if expected != found:
            raise HamlearnError(f"it has couplings of {found} bonds, and its model {expected}.")
