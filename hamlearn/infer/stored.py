"""How a posterior lies in a file: what is tied once, by parameter, with the index of the parameter of every bond and site.

A distance model of 2560 bonds has four parameters: its file holds four columns and not 2560. In memory the variables are over bonds and
sites, as users read them; where all share one parameter they are views of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.errors import HamlearnError

_NAMES = {"bond": ("coupling", "bond_coupling"), "site": ("field", "site_field")}  # dim → that of its parameters, their index


def folded(group: xr.Dataset, owners: Mapping[str, np.ndarray]) -> xr.Dataset:
    """`group` with every variable whose entries along a tied dim are those of their parameters held by parameter.

    Parameters
    ----------
    group : Dataset
        Variables of a posterior over ``bond`` and ``site``.
    owners : mapping
        Per dim, which parameter every entry uses; parameters are numbered from 0 without gaps.

    Returns
    -------
    Dataset
        What varies within a parameter (something that a user added) stays as it is.

    Examples
    --------
    >>> folded(xr.Dataset({"J": ("bond", [0.5, 0.5, 0.5])}), {"bond": np.zeros(3, int)}).sizes["coupling"]
    1
    """
    for dim, owner in owners.items():
        first = np.unique(owner, return_index=True)[1]
        if group.sizes.get(dim) != len(owner) or len(first) == len(owner):
            continue
        own, index = _NAMES[dim]
        tied = {}
        for name, found in group.data_vars.items():
            if dim in found.dims and spread(short := found.variable.isel({dim: first}), dim, owner).equals(found.variable):
                tied[name] = (tuple(own if one == dim else one for one in short.dims), short.values)
        if tied:
            group = group.assign(tied).assign_coords({index: (dim, owner)})
    return group


def unfolded(group: xr.Dataset, owners: Mapping[str, np.ndarray]) -> xr.Dataset:
    """`group` as it was before :func:`folded` with these `owners`, and unchanged if it was not.

    Raises
    ------
    HamlearnError
        If the index of a file names parameters that it does not have, or others than the model says, or what it spreads to is larger
        than memory.
    """
    for dim, wanted in owners.items():
        own, index = _NAMES[dim]
        tied = {name: found.variable for name, found in group.data_vars.items() if own in found.dims}
        if not tied or index not in group.coords:
            continue
        owner, size = group[index].values, group.sizes[own]
        if group[index].dims != (dim,) or owner.dtype.kind not in "iu" or not np.all((owner >= 0) & (owner < size)):
            raise HamlearnError(f"{index!r} should say for every {dim} which of {size} parameters it uses.")
        if not np.array_equal(owner, wanted):
            raise HamlearnError(f"{index!r} says of other {dim}s that they share a parameter than its model does ({len(wanted)} {dim}s).")
        memory.require(sum(one.nbytes for one in tied.values()) // size * len(owner), f"couplings and fields of {len(owner)} {dim}s would")
        short = {name: xr.Variable([dim if axis == own else axis for axis in one.dims], one.values) for name, one in tied.items()}
        wide = {name: spread(one, dim, owner) for name, one in short.items()}
        group = group.assign(wide).drop_vars(index)
    return group


def spread(values: xr.Variable, dim: str, owner: np.ndarray) -> xr.Variable:
    """`values` by parameter along a dim, by what uses them: a view where there is only one parameter."""
    if values.sizes[dim] > 1:
        return values.isel({dim: owner})
    shape = tuple(len(owner) if one == dim else size for one, size in values.sizes.items())
    return xr.Variable(values.dims, np.broadcast_to(values.values, shape), values.attrs)
