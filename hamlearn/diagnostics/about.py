"""What a posterior is, in one line that its representation begins with: xarray's trees have no subclass of ours, and need none."""

from __future__ import annotations

import json
import math

import xarray as xr

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.verdict import verdict
from hamlearn.infer import families, posteriors
from hamlearn.infer.doubts import DOUBT


def about(post: xr.DataTree) -> str:
    """Verdict (first, for xarray cuts long lines), model, data, likelihood and engine in one line; nothing is decided by it.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=200, chains=2, seed=0, sampler="exact")
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> hl.learn(data, model, engine="laplace", check=False).attrs["about"]
    'caution: couplings, 9 sites of spins, 400 microstates at β = 0.3, exact likelihood, laplace'
    """
    made = posteriors.provenance_of(post)
    declared = int(post.attrs["beta_declared"])
    beta = ", ".join(f"{one:.4g}" for one in json.loads(post.attrs["beta"])) if declared else "not declared"
    sites = f"{math.prod(posteriors.site_shape(post))} sites of {posteriors.space_of(post).name}"
    seen = f"{wording.count(made.microstates)} microstates{wording.gaps(made)} at β = {beta}"
    way = f"{made.likelihood} likelihood, {made.engine.name}"
    return f"{verdict(post).level}: {families.traits(post).title}, {sites}, {seen}, {way}"


def introduced(post: xr.DataTree) -> xr.DataTree:
    """`post`, changed in place: its first attribute says what it is, another why it is not to be believed, where that is so."""
    doubt = verdict(post).doubt
    first = {"about": about(post)} | ({DOUBT: doubt} if doubt else {})
    post.attrs = first | {name: value for name, value in post.attrs.items() if name not in ("about", DOUBT)}
    return post


__all__ = ["about", "introduced"]
