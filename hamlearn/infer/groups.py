"""Groups of a posterior that are the same for several kinds of models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer.observations import Observations, flat
from hamlearn.systems.base import Space


def drawn(theta: np.ndarray) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Leading dims of what is made of θ, ``(chain, draw, n_params)`` or one ``(n_params,)``, and their coordinates.

    Examples
    --------
    >>> drawn(np.zeros((2, 3, 7)))[0], drawn(np.zeros(7))
    (('chain', 'draw'), ((), {}))
    """
    lead = ("chain", "draw")[: theta.ndim - 1]
    return lead, {name: np.arange(size) for name, size in zip(lead, theta.shape, strict=False)}


def sample_stats(stats: Mapping[str, np.ndarray] | None) -> dict[str, xr.Dataset]:
    """Group ``sample_stats``: what is known of each draw, ``(chain, draw)`` by name; no group where nothing is."""
    return {"sample_stats": xr.Dataset({key: (("chain", "draw"), one) for key, one in stats.items() if one.ndim == 2})} if stats else {}


def by_temperature(parts: Sequence[Observations], values: Mapping[str, Any]) -> xr.Dataset:
    """Group ``observed_data``: how many microstates there are at every temperature, and `values`, variables of xarray, of them."""
    coordinates = {"temperature": np.arange(len(parts)), "beta": ("temperature", [part.beta for part in parts])}
    return xr.Dataset({**values, "size": ("temperature", [part.size for part in parts])}, coords=coordinates)


def site_means(parts: Sequence[Observations], space: Space) -> tuple[tuple[str, str], np.ndarray]:
    """The mean value of every site at every temperature, as a variable of xarray."""
    means = []
    for part in parts:
        states, weight = flat(part)
        means.append(weight @ (states if space.continuous else space.from_index(states)) / weight.sum())
    return ("temperature", "site"), np.array(means)


def members(networks: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    """Group ``weights``: arrays of all networks of an ensemble, with an axis ``member`` before their own."""
    stacked = {name: np.stack([np.asarray(one[name]) for one in networks]) for name in networks[0]}
    return xr.Dataset({name: (("member", *(f"{name}_{axis}" for axis in range(one.ndim - 1))), one) for name, one in stacked.items()})


def curves(histories: Mapping[str, Sequence[Sequence[float]]], long_name: str = "") -> xr.Dataset:
    """Losses of several trainings, by name, as ``(member, epoch)``; shorter ones end in nan."""
    longest, attrs = max(len(one) for rows in histories.values() for one in rows), {"long_name": long_name} if long_name else {}
    filled = lambda one: np.pad(np.asarray(one, float), (0, longest - len(one)), constant_values=np.nan)
    return xr.Dataset({name: (("member", "epoch"), np.array([filled(one) for one in rows]), attrs) for name, rows in histories.items()})


TAKEN = ("J", "h", "theta", "included", "chain", "draw", "bond", "site", "state", "state_i", "state_j", "component")  # by a posterior's own


def require_own(names: Iterable[str]) -> None:
    """Raise where a prior's own parameter has a name that posteriors have a meaning for."""
    if clash := sorted(set(names) & set(TAKEN)):
        raise HamlearnError(f"a parameter of a prior is called {clash[0]!r}, which posteriors have another meaning for; call it otherwise.")


def own_variables(own: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Parameters that priors have of their own ``(chain, draw, ...)``, as variables of xarray.

    Examples
    --------
    >>> own_variables({"width": np.zeros((4, 10)), "mixture": np.zeros((4, 10, 2))})["mixture"][0]
    ('chain', 'draw', 'mixture_dim_0')
    """
    dims = {name: tuple(f"{name}_dim_{axis}" for axis in range(value.ndim - 2)) for name, value in own.items()}
    return {name: (("chain", "draw", *dims[name]), value) for name, value in own.items()}


def with_own(post: xr.DataTree, own: Mapping[str, np.ndarray]) -> xr.DataTree:
    """`post`, changed in place, with parameters that its priors have of their own among its variables, and their names on record."""
    if own:  # those that a family has placed along its axes stay
        group = post["posterior"].to_dataset()
        post["posterior"].dataset = group.assign(own_variables({name: value for name, value in own.items() if name not in group}))
        post.attrs["prior_parameters"] = json.dumps(list(own))
    return post


def own_parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """What :func:`with_own` put there: what each number is called, and draws ``(chain, draw, number)``."""
    group, labels = post["posterior"].to_dataset(), list[str]()
    lead = tuple(group.sizes[name] for name in ("chain", "draw"))
    columns = [np.zeros((*lead, 0))]
    for name in json.loads(post.attrs.get("prior_parameters", "[]")):
        values = group[name].values
        labels += [f"{name}[{', '.join(map(str, at))}]" if at else name for at in np.ndindex(values.shape[2:])]
        columns.append(values.reshape(*lead, -1))
    return labels, np.concatenate(columns, -1)
