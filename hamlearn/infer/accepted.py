"""The door for what was learned: a posterior is checked, whoever wrote or changed it.

:func:`require_posterior` asks for the layout and costs nothing; verbs that a user calls ask :func:`admit_posterior`, which reads every
number that something is computed from.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import models, spaces
from hamlearn.arguments import require_beta, require_whole, shown
from hamlearn.errors import HamlearnError
from hamlearn.infer.upgrades import read as read_provenance

SCHEMA = 4
"""Of a posterior. Before it: 1, provenance as free dictionaries, under "record"; 2, tied couplings and fields by bond and site in files,
too; 3, bonds numbered, with their ends as coordinates."""
_ATTRIBUTES = ("model", "space", "q", "site_shape", "beta", "beta_declared")
_READ = ("posterior", "point", "weights", "prior", "posterior_predictive")  # groups whose every number is used, here or by ArviZ
_AGAIN = "Load it from its file again, or learn it again."


def require_posterior(post: Any) -> xr.DataTree:
    """`post` if it has the layout of a posterior of this library and is not newer than it, else an error."""
    if not isinstance(post, xr.DataTree) or "posterior" not in post.children or "model" not in post.attrs:
        what = " without them" if isinstance(post, xr.DataTree) else ""
        raise HamlearnError(
            "expected a posterior as hl.learn returns it (a DataTree with a group 'posterior' and an attribute 'model'); "
            f"got a {type(post).__name__}{what}."
        )
    version = require_whole(post.attrs.get("schema_version", 0), "the posterior's attribute 'schema_version'", 0)
    if version > SCHEMA:
        raise HamlearnError(
            f"this posterior was written by a newer hamlearn (schema {version}, this reads {SCHEMA}); upgrade hamlearn to read it."
        )
    if missing := [name for name in _ATTRIBUTES if name not in post.attrs]:
        raise HamlearnError(f"this posterior lacks the attribute {missing[0]!r}. {_AGAIN}")
    sizes = post["posterior"].sizes
    if not (sizes.get("chain", 0) and sizes.get("draw", 0)):
        raise HamlearnError(f"the group 'posterior' needs dims chain and draw, with at least one of each; got {dict(sizes)}. {_AGAIN}")
    return post


def admit_posterior(post: Any) -> xr.DataTree:
    """`post` if it is a posterior that something can be computed from: layout, attributes, groups and all numbers.

    Raises
    ------
    HamlearnError
        Naming what is missing, not finite or of the wrong kind.

    Examples
    --------
    >>> admit_posterior(None)
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: expected a posterior as hl.learn returns it ...; got a NoneType.
    """
    attrs = require_posterior(post).attrs
    require_whole(attrs["q"], "the posterior's attribute 'q'", 0)
    spaces.from_attrs(attrs)
    if attrs["beta_declared"] not in (0, 1):
        raise HamlearnError(f"the posterior's attribute 'beta_declared' is 0 or 1; got {shown(attrs['beta_declared'])}.")
    for extent in read_json(post, "site_shape", list):
        require_whole(extent, "an extent of the posterior's attribute 'site_shape'")
    require_beta(read_json(post, "beta", list), "the posterior's attribute 'beta'")
    read_provenance(attrs)
    model = models.from_dict(read_json(post, "model", dict))
    kind = model.kind
    for name in model.traits.groups:
        if name not in post.children:
            raise HamlearnError(f"this posterior of {kind} lacks its group {name!r}. {_AGAIN}")
    for group in _READ:
        if group in post.children:
            _require_numbers(post[group].to_dataset(), group)
    _require_same_shapes(post)
    for name, child in post.children.items():
        if name.startswith("source_"):
            admit_posterior(child)
    return post


def read_json(post: xr.DataTree, name: str, kind: type[Any]) -> Any:
    """An attribute of a posterior that is JSON of a list or a dictionary."""
    try:
        found = json.loads(post.attrs[name])
    except (TypeError, ValueError, KeyError, RecursionError):
        raise HamlearnError(f"the posterior's attribute {name!r} cannot be read as JSON: {shown(post.attrs.get(name))}. {_AGAIN}") from None
    if not isinstance(found, kind):
        raise HamlearnError(f"the posterior's attribute {name!r} is JSON of a {kind.__name__}; got {shown(found)}. {_AGAIN}")
    return found


def _require_same_shapes(post: xr.DataTree) -> None:
    """An error where a draw of a variable has another shape than its value at the optimum."""
    point = post["point"].data_vars if "point" in post.children else {}
    draws = post["posterior"].data_vars
    for name, value in point.items():
        if name in draws and draws[name].shape[2:] != value.shape:
            shapes = f"{draws[name].shape[2:]}, but at the optimum (group 'point') {value.shape}"
            raise HamlearnError(f"{str(name)!r} of the posterior has a shape a draw of {shapes}. {_AGAIN}")


def _require_numbers(group: xr.Dataset, name: str) -> None:
    if not group.data_vars:
        raise HamlearnError(f"the posterior's group {name!r} is empty. {_AGAIN}")
    for variable, found in group.data_vars.items():
        what = f"{str(variable)!r} in the posterior's group {name!r}"
        if found.dtype.kind not in "biuf":
            if name == "posterior":
                raise HamlearnError(f"{what} holds no real numbers; got dtype {found.dtype}. {_AGAIN}")
            continue
        if name == "posterior" and found.dims[:2] != ("chain", "draw"):
            raise HamlearnError(f"{what} needs dims (chain, draw, ...); got {found.dims}. {_AGAIN}")
        if found.dtype.kind == "f" and not np.all(np.isfinite(found.values)):
            count = int(np.sum(~np.isfinite(found.values)))
            raise HamlearnError(f"{what} holds {count} values that are not finite, of {found.size}. {_AGAIN}")
