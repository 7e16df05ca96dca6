"""One number for how strongly two sites interact: for rankings of pairs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, labels, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.processes import verb
from hamlearn.systems.potts import zero_sum


@verb
def interaction_strength(post: xr.DataTree, *, ignore_state: int | None = None, average_product_correction: bool = False) -> xr.DataArray:
    """Strength of every bond at the optimum: abs J, or the Frobenius norm of a zero-sum coupling table.

    Parameters
    ----------
    post : DataTree
        A posterior.
    ignore_state : int, optional
        A state whose rows and columns are left out of the norm (the gap of an alignment).
    average_product_correction : bool
        Subtract the product of the sites' mean strengths over the overall mean, which takes out what a site shares
        with all others (Dunn, Wahl & Gloor 2008); needs all pairs.

    Returns
    -------
    DataArray
        Over ``bond``, with coordinates ``site_i`` and ``site_j``, the sites it joins.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, -1], [-1, -1, -1]])
    >>> hl.infer.interaction_strength(hl.infer.learn(data, hl.models.Couplings(None), engine="map")).dims
    ('bond',)
    """
    post = admit_posterior(post)
    J = post["point"].to_dataset().get("J")
    if J is None or not families.traits(post).bonds:
        raise HamlearnError("interaction strengths are those of couplings J; this posterior has none.")
    values, lattice = np.asarray(J.values), posteriors.bound_of(post).lattice
    if values.ndim == 3:
        kept = np.delete(np.arange(values.shape[1]), [] if ignore_state is None else [ignore_state])
        values = np.linalg.norm(zero_sum(values)[:, kept][:, :, kept], axis=(1, 2))
    else:
        values = np.abs(values)
    if average_product_correction:
        i, j = lattice.bonds.T
        n = int(max(i.max(), j.max())) + 1
        total = np.bincount(i, values, n) + np.bincount(j, values, n)
        mean = total / np.maximum(np.bincount(i, minlength=n) + np.bincount(j, minlength=n), 1)
        values = values - mean[i] * mean[j] / values.mean()
    ends = {name: ("bond", end) for name, end in zip(labels.ENDS, lattice.bonds.T.copy(), strict=True)}
    return xr.DataArray(values, dims="bond", coords={"bond": J["bond"], **ends}, name="interaction_strength")
