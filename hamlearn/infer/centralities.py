"""How central every site is in the network of couplings that was learned."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number
from hamlearn.infer import labels
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import doubting
from hamlearn.infer.predictions.intervals import band
from hamlearn.infer.strengths import single_couplings
from hamlearn.processes import verb


@verb
@doubting
def centrality(post: xr.DataTree, *, level: float = 0.9) -> xr.Dataset:
    """Strength and expected influence of every site, with intervals from the draws of the posterior.

    The strength of a site is the sum of ``|J|`` over its bonds, its expected influence the sum of J. A coupling that is zero in truth adds
    to the strength by its error alone: ``|J|`` is never negative, so strengths of posteriors without exact zeros are too large, the more
    the more sites there are, and their intervals do not hold. ``noise`` says by how much at most. A spike-and-slab prior has zeros:
    ``hl.models.Couplings(prior="spike_slab")``. Of eight sites 95 ± 2 of 100 intervals of 90 % held with it and 21 ± 3 without
    (``benchmarks/couplings/results/centrality.md``). Expected influence has no such bias.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings, one number a bond.
    level : float
        Of the intervals.

    Returns
    -------
    Dataset
        ``strength`` and ``expected_influence`` over ``(site, quantity)``, quantity = mean, sd, lower, upper; ``strongest`` ``(site,)``, the
        share of draws in which no other site is as strong. Where no coupling is exactly zero also ``noise`` ``(site,)``, the strength that
        couplings with these errors would have if all of them were zero, Σ sd √(2/π).

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, has tables of them, or `level` is no probability.

    Notes
    -----
    Strength: Barrat et al., Proc. Natl. Acad. Sci. 101, 3747 (2004); expected influence: Robinaugh, Millner and McNally, J. Abnorm.
    Psychol. 125, 747 (2016).

    Examples
    --------
    >>> import hamlearn as hl
    >>> star = hl.systems.Pairwise([[0, 1], [0, 2], [0, 3]], J=[0.5, 0.5, -0.5])
    >>> data = hl.microstates(hl.systems.exact.sample(star, 1.0, 2000, seed=0), space="spins", independent=True, names=[*"abcd"])
    >>> post = hl.infer.learn(data, hl.models.Couplings(prior="spike_slab"), seed=0)
    >>> found = hl.infer.centrality(post)
    >>> found["site"].values[found["strongest"] > 0.9].tolist(), found["strength"].sel(site="a", quantity="mean").round(1).item()
    (['a'], 1.5)
    """
    post = admit_posterior(post)
    require_number(level, "level", above=0, below=1)
    bound, J = single_couplings(post, "centralities are")
    ends, n = np.asarray(bound.lattice.bonds), bound.lattice.n_sites
    joins = np.zeros((len(ends), n))
    for end in ends.T:
        joins[np.arange(len(ends)), end] = 1.0
    flat = J.reshape(-1, len(ends))
    made = {"strength": np.abs(flat) @ joins, "expected_influence": flat @ joins}
    found = xr.Dataset(coords={"site": labels.sites(bound.lattice.names, n), "quantity": ["mean", "sd", "lower", "upper"]})
    for name, draws in made.items():
        told = band(draws, level)
        found[name] = (("site", "quantity"), np.stack([told.mean, told.sd, told.lower, told.upper], 1))
    strength = made["strength"]
    largest = strength == strength.max(1, keepdims=True)
    found["strongest"] = ("site", (largest & (largest.sum(1, keepdims=True) == 1)).mean(0))
    if "included" not in post["posterior"]:
        found["noise"] = ("site", np.sqrt(2 / np.pi) * flat.std(0) @ joins)
    return found.assign_attrs(level=level)


__all__ = ["centrality"]
