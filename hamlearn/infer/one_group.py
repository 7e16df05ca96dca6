"""One group of a posterior that has several: the only place where ``group=`` of a verb is understood."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import DOUBT
from hamlearn.infer.families import Open
from hamlearn.models import Hierarchical
from hamlearn.processes import verb

UNSEEN = "not observed"
"""What the attribute ``group`` of answers says where no group was named."""
_OF_ITS_DATA = ("alone", "checks", "measured")  # what a group's posterior has that is of no other group


def asked(post: Any, name: str | None) -> xr.DataTree:
    """The posterior that a verb answers from: `post`, checked, or one of its groups; without a name one that was not observed.

    Raises
    ------
    HamlearnError
        If it is no posterior, or has no group of this name.

    Examples
    --------
    >>> asked(None, "anna")
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: expected a posterior as hl.learn returns it ...; got a NoneType.
    """
    post = admit_posterior(post)
    return post if name is None and families.traits(post).compared != "by group" else group(post, name)


def told(post: xr.DataTree) -> dict[str, str]:
    """Of which group a posterior is, as an attribute of answers; nothing where there are no groups."""
    return {"group": str(post.attrs["group"])} if "group" in post.attrs else {}


def names(post: xr.DataTree) -> list[str]:
    """What the groups are called."""
    model = cast(Hierarchical, posteriors.model_of(post))
    return [str(name) for name in post["posterior"].to_dataset()[model.by].values]


@verb
def group(post: xr.DataTree, name: str | None = None) -> xr.DataTree:
    """The posterior of one group, as if it had been learned by itself from what all groups say: every verb takes it.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Hierarchical`.
    name : str, optional
        Of the group; of a group that was not observed, θ ~ N(μ, τ²), where none is given.

    Returns
    -------
    DataTree
        A posterior of the model of one group.

    Raises
    ------
    HamlearnError
        If the posterior has no groups, or none of this name.

    Examples
    --------
    >>> import hamlearn as hl
    >>> lattice = hl.systems.lattice.hypercubic(4)
    >>> data = {name: hl.simulate(hl.systems.Ising(lattice), beta=0.3, draws=200, seed=k) for k, name in enumerate(("anna", "ben"))}
    >>> post = hl.learn(data, hl.models.Hierarchical(hl.models.Couplings(lattice, tie="uniform", fields=None)), check=False)
    >>> hl.predict(hl.infer.group(post, "anna"), beta=0.3)["energy"].dims
    ('beta', 'quantity')
    """
    model = posteriors.model_of(post)
    if model.traits.compared != "by group":
        raise HamlearnError(f"this is a posterior of {type(model).__name__}, which has no groups: hl.models.Hierarchical has.")
    known = names(post)
    if name is None:
        return _unobserved(post)
    number = known.index(choice(str(name), known, model.by))
    held = _held(post, number)
    tree = xr.DataTree.from_dict({"posterior": _drawn(post, number), **{child: one.to_dataset() for child, one in held.children.items()}})
    tree.attrs = {**held.attrs, "group": known[number]}
    return tree


def _held(post: xr.DataTree, number: int) -> xr.DataTree:
    """What a posterior keeps of a group."""
    if (place := f"group_{number}") not in post.children:
        raise HamlearnError(f"this posterior lacks its group {place!r}. Load it from its file again, or learn it again.")
    return cast(xr.DataTree, post[place])


def _unobserved(post: xr.DataTree) -> xr.DataTree:
    """The posterior of a group that was not observed: its record, verdict and fingerprint are those of all groups together."""
    held, drawn = _held(post, 0), _new(post)
    own = {child: one.to_dataset() for child, one in held.children.items() if child not in ("posterior", *_OF_ITS_DATA)}
    tree = xr.DataTree.from_dict({"posterior": drawn, **own, "point": drawn.mean(("chain", "draw"))})
    level, _, about = str(post.attrs.get("about", "")).partition(": ")
    told = {"about": f"{level}: a group that was not observed, of {about}"} if about else {}
    spoken = {name: post.attrs[name] for name in ("provenance", "fingerprint", "beta", DOUBT) if name in post.attrs}
    tree.attrs = {**told, **{name: one for name, one in held.attrs.items() if name not in ("about", DOUBT)}, **spoken, "group": UNSEEN}
    return tree


def _drawn(post: xr.DataTree, number: int) -> xr.Dataset:
    """Draws of a group that was observed."""
    by, every = posteriors.model_of(post).by, post["posterior"].to_dataset()
    return every[[name for name, one in every.data_vars.items() if by in one.dims]].isel({by: number}, drop=True)


def _new(post: xr.DataTree) -> xr.Dataset:
    """Draws of one that was not."""
    model, theta = posteriors.model_of(post), post["theta"].to_dataset()
    generator = np.random.default_rng(0)
    drawn = theta["mean"].values + theta["spread"].values * generator.normal(size=theta["mean"].shape)
    bound = model.bind(posteriors.space_of(post), posteriors.site_shape(post))
    found = cast(Open, families.named(model.model.traits)).variables(bound, drawn)
    return found.assign_coords(chain=theta["chain"], draw=theta["draw"])


__all__ = ["UNSEEN", "asked", "group", "names", "told"]
