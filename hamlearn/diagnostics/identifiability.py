"""What the data determine and what they do not: the spectrum of the posterior, gauge directions, data per parameter."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.processes import verb
from hamlearn.statistics import descending, first_largest

MOST_DIRECTIONS = 1000  # parameters; the axes of more cost their cube (7500: minutes), and four draws for each do not show them


@verb
def identifiability(post: xr.DataTree, directions: int = 10) -> xr.Dataset:
    """The least and best determined directions of a posterior, and what no data could determine.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    directions : int
        How many of the least determined directions to name.

    Returns
    -------
    Dataset
        ``information`` over ``direction``: the spectrum of the inverse posterior covariance of θ, ascending (the Fisher
        information of the data where the prior is flat); where error bars hold no correlations, and of more than a
        thousand parameters, whose axes thousands of draws do not show, of the parameters themselves. For the `directions` weakest,
        over ``weak``: ``sd``, the posterior standard deviation along it,
        ``parameter``, the parameter with the largest share, and ``share``.
        Attributes: ``condition`` (largest over smallest of the likelihood's own scaled spectrum, from the made),
        ``data_per_parameter``, ``unidentified`` (JSON list of parameters that lead directions without information)
        and ``gauge``, in words, how many directions of the model no data can determine and how they were fixed.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    >>> table = hl.diagnostics.identifiability(post)
    >>> table.sizes["direction"], table.attrs["gauge"]
    (27, 'none: every parameter of the family changes the distribution')
    """
    post = admit_posterior(post)
    (labels, theta), made = families.of(post).parameters(post), posteriors.provenance_of(post)
    n_params = len(labels)
    flat = theta.reshape(-1, n_params)
    # Error bars without correlations: those that many draws of many parameters seem to have are noise.
    single = made.calibration.basis.code == "diagonal" or n_params > MOST_DIRECTIONS
    spectrum = _of_each_parameter if single else _of_draws
    variance, leaders, share = spectrum(flat, directions)
    with np.errstate(divide="ignore"):
        information = np.where(variance > 0, 1 / np.maximum(variance, 1e-300), np.inf)
    table = xr.Dataset(
        {
            "information": ("direction", information),
            "sd": ("weak", np.sqrt(variance[: len(leaders)])),
            "parameter": ("weak", np.array([labels[k] for k in leaders])),
            "share": ("weak", share),
        }
    )
    found = made.identifiability
    table.attrs = {
        "condition": float(found.condition),
        "data_per_parameter": float(found.data_per_parameter),
        "unidentified": json.dumps(list(found.unidentified)),
        "gauge": _gauge(post),
    }
    return table


def _of_each_parameter(flat: np.ndarray, directions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of the parameters by size, which parameters the first of them are, and that they are nothing else."""
    variance = flat.var(0, ddof=1)
    order = descending(variance)
    return variance[order], order[:directions], np.ones(len(order[:directions]))


def _of_draws(flat: np.ndarray, directions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances along the principal axes of draws, the parameters that lead the first of them, and their shares."""
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(flat.T)))
    # With no more draws than parameters the last directions are not seen at all.
    order = descending(variance)[: max(1, min(flat.shape[1], len(flat) - 1))]
    variance, axes = np.maximum(variance[order], 0.0), axes[:, order]
    weak = np.arange(min(directions, len(order)))
    leaders = np.array([first_largest(np.abs(axes[:, k])) for k in weak])
    return variance, leaders, axes[leaders, weak] ** 2


def _gauge(post: xr.DataTree) -> str:
    if not families.traits(post).bonds:
        return "an additive constant of the energy, which no data determine"
    bound = posteriors.bound_of(post)
    interaction, q, n_bonds, n_sites = bound.interaction, bound.space.q, bound.lattice.n_bonds, bound.lattice.n_sites
    if interaction == "ising":
        return "none: every parameter of the family changes the distribution"
    if interaction == "general":
        return (
            f"every table has {2 * q - 1} directions that its sites' fields or a constant absorb ({n_bonds * (2 * q - 1)} in all), "
            "and every field one; fixed by the zero-sum gauge"
        )
    return f"a constant added to a site's field changes nothing ({n_sites} directions); fixed by fields that sum to zero"
