"""How much of what spins know of each other is in their pairs: entropies of the data, of the model, and of independent spins."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import doubting
from hamlearn.infer.predictions import members
from hamlearn.infer.predictions.estimator import error_of
from hamlearn.infer.spin_rows import BLOCKS, left_out, require_spins, spin_rows
from hamlearn.processes import verb
from hamlearn.progress import logger
from hamlearn.systems.observables import looked_up
from hamlearn.systems.observables.population import BIT, independent_entropy
from hamlearn.systems.sampling import simulate

MOST_UNSEEN = 0.1  # share of the probability in states that were never seen, beyond which no estimate is given
_SETS = 16  # of simulated rows, that tell a bias
_TERMS = 10_000_000


@verb
@doubting
def information(post: xr.DataTree, data: Any, *, level: float = 0.9, seed: int = 0) -> xr.Dataset:
    """Multi-information of spins, and the share of it that pairs explain, in bits.

    The entropy of the data themselves is estimated from how often states were seen, by the estimator of Chao, Wang and Jost, which adds
    what those seen once and twice say of the others; what bias it has on rows of the learned model is taken off. Where
    more than a tenth of the probability is in states that were never seen nobody can tell it, and nothing is returned.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings and fields of spins, learned from `data` (its entropy then is that of the model with the data's means).
    data : Dataset
        Microstates at one temperature, in rows or counts.
    level : float
        Probability of the intervals.
    seed : int
        Of simulated rows, and of how counts are divided.

    Returns
    -------
    Dataset
        Over ``quantity`` = mean, error, lower, upper, in bits: ``independent_entropy`` S₁, ``model_entropy`` S₂, ``data_entropy`` S,
        ``multi_information`` S₁ − S, ``pair_information`` S₁ − S₂, and ``share`` = (S₁ − S₂)/(S₁ − S), without a unit. Errors come from
        leaving out blocks of rows; since all three entropies move together, that of the share is much smaller than theirs would make it.
        Intervals end where values do, and estimates with them: nothing is below zero, and no share above one.
        Attributes: ``unseen``, the estimated probability of states that were not seen; ``bias``, what was taken off the entropy of the
        data, since the same estimate of as many rows of the model is off by that (NaN where it is untold); ``untold``, why the entropy
        of the data is NaN, empty where it is not; ``method``, how the model's entropy was found.

    Raises
    ------
    HamlearnError
        If the rows have weights or several temperatures, or the posterior is not of couplings of spins.

    Notes
    -----
    Chao, Wang and Jost, Methods Ecol. Evol. 4, 1091 (2013). The share: Schneidman, Still, Berry and Bialek, Phys. Rev. Lett. 91, 238701
    (2003). To first order a change of the data moves S₂, the largest entropy that their means allow, by the change of the mean of −ln p:
    so blocks need no fits of their own.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=20_000, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace")
    >>> found = hl.infer.information(post, data)
    >>> low, high = found["share"].sel(quantity=["lower", "upper"]).values
    >>> bool(0.9 < low < high == 1)  # all of it is in pairs
    True
    """
    post, seed = admit_posterior(post), require_seed(seed)
    require_number(level, "level", above=0, below=1)
    bound = require_spins(post, "shares of the information")
    betas = posteriors.observed_betas(post)
    if len(betas) > 1:
        raise HamlearnError(f"the information is of one temperature; this posterior was learned at {len(betas)}: learn from one of them.")
    rows = spin_rows(post, data, seed, counted=True)
    distinct, index = np.unique(rows.spins, axis=0, return_inverse=True)
    counts = np.bincount(index.ravel(), weights=rows.times)
    size, once = float(counts.sum()), float((counts == 1).sum())
    unseen = once / size
    untold = ""
    if unseen > MOST_UNSEEN:
        untold = (
            f"the entropy of the data cannot be told: {100 * unseen:.0f} % of the rows are states seen once, so about as much of "
            f"the probability was never seen (at most {100 * MOST_UNSEEN:.0f} %); fewer sites, or more rows, have a share"
        )
        logger.warning("%s; the entropies of pairs and of independent spins remain.", untold)
    beta, made = float(betas[0]), posteriors.provenance_of(post)
    system = bound.system(posteriors.theta_point(post))
    free = members.estimate([system], betas, looked_up(["free_energy"], system), seed)["free_energy"]
    log_z, noise = (float(one) * beta * bound.lattice.n_sites / BIT for one in (-free.values[0, 0], free.errors[0, 0]))
    energy = lambda spins: beta * np.asarray(system.energy(spins.reshape(-1, *bound.lattice.shape)), float) / BIT
    worth = size / max(made.calibration.tau, 1.0)
    bias, scatter = (np.nan, np.nan) if untold else _bias(system, beta, round(worth), energy, log_z, seed)
    up = (rows.spins > 0).astype(float)
    mean = np.tensordot(rows.times, up, (0, 0)) / size
    each = np.stack([_alone(up, mean), energy(distinct)[index.ravel()], -np.log2(counts / size)[index.ravel()]], 1)
    crossed = np.tensordot(rows.times, each, (0, 0)) / size
    # Of means and of an optimum the entropy is too small by half a parameter per row (Miller 1955). The mean of −ln p of the data
    # is least at that of all distributions of this form whose entropy is the largest; what a prior pulls is of second order in it.
    free_parameters = bound.n_params - sum(made.prior_share)
    alone = independent_entropy(mean) / BIT + bound.lattice.n_sites / (2 * worth * BIT)
    pairs = crossed[1] + log_z + free_parameters / (2 * worth * BIT)
    values = np.array([alone, pairs, entropy_of_counts(counts) / BIT - bias])
    blocks = values + left_out(each, rows) - crossed
    found = _told(values, blocks, np.array([0.0, noise, scatter]), level)
    return found.assign_attrs(unseen=unseen, bias=bias, untold=untold, method=free.method)


def _alone(up: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """−log₂ p of rows of independent spins ``(row,)``."""
    return np.asarray(-np.where(up > 0, np.log2(np.maximum(mean, 1e-300)), np.log2(np.maximum(1 - mean, 1e-300))).sum(1))


def _bias(system: Any, beta: float, rows: int, energy: Any, log_z: float, seed: int) -> tuple[float, float]:
    """By how much the estimate of the data's entropy is off for so many rows of `system`, bits, and how far that is not known.

    The mean of −log₂ p of the same rows, whose expectation is the entropy, takes most of the scatter out.
    """
    sets = simulate(system, beta, rows, _SETS, seed, progress=False)["state"].values.reshape(_SETS, rows, -1)
    found = [entropy_of_counts(np.unique(one, axis=0, return_counts=True)[1]) / BIT - energy(one).mean() - log_z for one in sets]
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(_SETS))


def _told(values: np.ndarray, blocks: np.ndarray, noise: np.ndarray, level: float) -> xr.Dataset:
    """Entropies and what is made of them, with errors, from the entropies S₁, S₂, S (which may be NaN) and their replicates."""
    made: dict[str, Any] = {
        "independent_entropy": lambda s: s[..., 0],
        "model_entropy": lambda s: s[..., 1],
        "data_entropy": lambda s: s[..., 2],
        "multi_information": lambda s: s[..., 0] - s[..., 2],
        "pair_information": lambda s: s[..., 0] - s[..., 1],
        "share": lambda s: (s[..., 0] - s[..., 1]) / (s[..., 0] - s[..., 2]),
    }
    reach, found = float(scipy.stats.t.ppf((1 + level) / 2, BLOCKS - 1)), {}
    for name, of in made.items():
        moved = (of(values + np.diag(noise)) - of(values - np.diag(noise))) / 2  # what the noise of each entropy does
        mean, error = float(of(values)), float(np.sqrt(error_of(of(blocks)) ** 2 + (moved**2).sum()))
        ends = np.clip([mean, mean - reach * error, mean + reach * error], 0.0, 1.0 if name == "share" else np.inf)
        found[name] = ("quantity", np.array([ends[0], error, *ends[1:]]))
    return xr.Dataset(found, coords={"quantity": ["mean", "error", "lower", "upper"]})


def entropy_of_counts(counts: np.ndarray) -> float:
    """Entropy in nats of what states were drawn from, from how often each was seen (Chao, Wang and Jost 2013).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = np.bincount(rng.integers(1000, size=2000))
    >>> round(entropy_of_counts(counts), 1), round(float(np.log(1000)), 1)  # counted shares alone: 6.6
    (6.9, 6.9)
    """
    counts = np.asarray(counts, float)
    counts = counts[counts > 0]
    size, once, twice = float(counts.sum()), int((counts == 1).sum()), int((counts == 2).sum())
    found = float((counts / size * (scipy.special.digamma(size) - scipy.special.digamma(counts))).sum())
    if not once:
        return found
    chance = 2 * twice / ((size - 1) * once + 2 * twice) if twice else 2 / ((size - 1) * (once - 1) + 2)
    k = np.arange(1, min(int(40 / chance) + 2, _TERMS))
    return found + once / size * float(((1 - chance) ** k / (size - 1 + k)).sum())
