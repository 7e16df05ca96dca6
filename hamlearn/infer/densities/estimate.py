"""Estimates from a normalised density and a known action: entropy, free energy, log Z, and how far to trust them.

With q the density, p̃ = exp(−action) and w = p̃/q: E_q[w] = Z whatever q is, if only q is positive where p is. Draws of q
cannot see what q leaves out; draws of p can, and both together tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.special
import xarray as xr

from hamlearn import memory, statistics
from hamlearn.arguments import require_seed, require_whole
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors, slowness
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.draw_systems import site_states
from hamlearn.infer.families import autoregressive
from hamlearn.infer.training_data import shown
from hamlearn.processes import verb
from hamlearn.systems import exact
from hamlearn.systems.base import one_beta

_REPLICATES = 400  # bootstrap: an error to 4 %
_FEWEST = 20  # draws of a chain below which autocorrelation is not looked for

LONG_NAMES = {
    "entropy": "entropy of the density, -E_q[ln q], nats",
    "entropy_error": "standard error of it as the entropy of what was observed, nats",
    "entropy_sampling_error": "standard error of it from the density's own draws alone, nats",
    "free_energy": "variational free energy E_q[action + ln q] / beta, an upper bound of F",
    "log_partition": "importance-weighted log Z from draws of the density",
    "ess_q": "effective share of the density's draws, (sum w)^2 / (n sum w^2)",
    "log_partition_p": "log Z from draws of the target, -ln E_p[1/w]",
    "ess_p": "effective share from draws of the target, 1 / (E_p[w] E_p[1/w]); sees dropped modes",
    "mode_drop": "share of the target that the density reaches, Z from its draws over Z from the target's draws",
    "cross_entropy": "-<ln q> over draws of the target, nats: its entropy plus the relative entropy",
    "kl_pq": "relative entropy E_p[ln p - ln q], nats, with log Z from the target's draws",
}


@verb
def estimate(
    post: xr.DataTree,
    system: Any = None,
    beta: float | None = None,
    n: int = 10_000,
    states: Any = None,
    seed: int = 0,
    *,
    tau: float | None = None,
) -> xr.Dataset:
    """Entropy, free energy and log Z by direct sampling, with errors and effective sample sizes.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Autoregressive` or :class:`hamlearn.models.Flow`.
    system : System, optional
        The target p ∝ exp(−action); without it only the density's own entropy is estimated.
    beta : float, optional
        Inverse temperature of the target (and of a model with ``condition="beta"``); by default the learned one.
    n : int
        Draws per network.
    states : Dataset or array ``(draws, *sites)`` or ``(chain, draw, *sites)``, optional
        Microstates of the target; by default `n` are drawn where an oracle can (enumeration, transfer matrix). Data that the
        density was trained on flatter it. Draws are taken as a time series, unless a Dataset says that they are independent.
    seed : int
        Of all draws.
    tau : float, optional
        Autocorrelation time of `states` in draws, 1 for independent ones. By default the longest of what the Dataset names, of
        ln q along every chain, and of the slow directions of the states (:func:`hamlearn.infer.slowness.longest_autocorrelation`).

    Returns
    -------
    Dataset
        Over ``member``, totals (not per site): ``entropy``, ``free_energy`` (in units of energy), ``log_partition``
        and ``ess_q``, with standard errors ``<name>_error``. That of the entropy holds, for networks learned from data of one
        temperature, the spread between networks and what observed microstates show of the error they share;
        ``entropy_sampling_error`` is that of their own draws alone (``log_partition`` has a second one by bootstrap,
        ``log_partition_error_bootstrap``); from draws of the target ``cross_entropy`` (an upper bound of its entropy, needs
        no system), ``log_partition_p``, ``ess_p``, ``mode_drop`` and ``kl_pq``, absent where there are none.

    Raises
    ------
    HamlearnError
        If the density lives on other sites or in another space than the system, or `tau` is below 1.

    Notes
    -----
    The delta-method error of log Z is sd(w)/(w̄√n): with an effective share below about 0.1 it is too small, for the
    largest weights have not been seen. Sources: Nicoli et al., Phys. Rev. E 101, 023304 (2020); for draws of the target
    and dropped modes Nicoli et al., Phys. Rev. D 108, 114501 (2023).

    Examples
    --------
    >>> import hamlearn as hl
    >>> ising = hl.systems.Ising((3, 3))
    >>> data = hl.simulate(ising, beta=0.3, draws=1000, seed=0)
    >>> post = hl.learn(data, hl.models.Autoregressive(hidden=16), engine=hl.infer.Training(epochs=5), check=False)
    >>> found = hl.estimate(post, ising, n=2000)
    >>> z = (found["log_partition"] - hl.systems.exact.log_partition(ising, 0.3)) / found["log_partition_error"]
    >>> bool(abs(z[0]) < 4)
    True
    """
    post = admit_posterior(post)
    found = families.evaluators(post)
    at, n, seed = one_beta(found[0].beta if beta is None else beta), require_whole(n, "n, the number of draws,", 2), require_seed(seed)
    memory.require(8 * n * math.prod(found[0].shape), f"{n} draws of {math.prod(found[0].shape)} sites", "Ask for fewer draws, n=.")
    rng = np.random.default_rng(seed)
    seeds = rng.integers(2**32, size=len(found) + 1)
    target = _target(found[0], system, at, n, states, int(seeds[-1]), tau)
    rows, taus = [], []
    for one, start in zip(found, seeds, strict=False):
        drawn = one.sample(int(n), int(start), at if one.conditioned else None)
        log_q = one.log_prob(drawn, at)
        row = {"entropy": -log_q.mean(), "entropy_sampling_error": log_q.std(ddof=1) / np.sqrt(n)}
        if system is not None:
            action = np.asarray(system.action(drawn, at), float)
            row |= _from_density(action, log_q, at, rng)
        if target is not None:
            of_target = one.log_prob(target[0], at)
            slow = _slowest(of_target, target[2]) if tau is None else target[2]
            taus.append(slow)
            row |= _cross_entropy(of_target, slow)
            if system is not None:
                row |= _from_target(-target[1] - of_target, slow, (row["log_partition"], row["log_partition_error"]), rng)
        rows.append(row)
    result = xr.Dataset({name: ("member", np.array([row[name] for row in rows])) for name in rows[0]})
    result["entropy_error"] = "member", _whole_error(post, result["entropy"].values, result["entropy_sampling_error"].values)
    for name, text in LONG_NAMES.items():
        if name in result:
            result[name].attrs["long_name"] = text
    draws = 0 if target is None else int(np.prod(target[1].shape))
    result.attrs = {"beta": at, "n": int(n), "n_sites": int(np.prod(posteriors.site_shape(post))), "target_draws": draws, "seed": int(seed)}
    result.attrs |= {"target_tau": max(taus)} if taus else {}
    return result


def _whole_error(post: xr.DataTree, entropy: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """Standard errors of networks' entropies as estimates of that of the microstates' law.

    In squares: their own draws, the spread between networks, and what all share, which is how far they lie from what the observed
    microstates say, give or take the sampling of these.
    """
    seen = (posteriors.provenance_of(post).training or {}).get("observed")
    if seen is None:
        return sampling
    spread = entropy.var(ddof=1) if len(entropy) > 1 else 0.0
    shared = (entropy.mean() - seen["entropy_data"]) ** 2 + seen["entropy_data_error"] ** 2
    return np.sqrt(sampling**2 + spread + shared)


def _cross_entropy(log_q: np.ndarray, tau: float) -> dict[str, float]:
    """−⟨ln q⟩ over microstates of the target ``(chain, draw)``."""
    return {"cross_entropy": -log_q.mean(), "cross_entropy_error": log_q.std(ddof=1) * np.sqrt(tau / log_q.size)}


def _from_density(action: np.ndarray, log_q: np.ndarray, beta: float, rng: np.random.Generator) -> dict[str, float]:
    """Estimates from draws of q."""
    n, total = len(log_q), action + log_q
    log_w = -total
    top = log_w.max()
    w = np.exp(log_w - top)
    picks = np.stack([w[rng.integers(n, size=n)] for _ in range(_REPLICATES)])
    shares = picks.sum(1) ** 2 / (n * (picks**2).sum(1))
    return {
        "free_energy": total.mean() / beta,
        "free_energy_error": total.std(ddof=1) / np.sqrt(n) / beta,
        "log_partition": top + np.log(w.mean()),
        "log_partition_error": w.std(ddof=1) / w.mean() / np.sqrt(n),
        "log_partition_error_bootstrap": np.log(picks.mean(1)).std(ddof=1),
        "ess_q": w.sum() ** 2 / (n * (w**2).sum()),
        "ess_q_error": shares.std(ddof=1),
    }


def _from_target(log_w: np.ndarray, tau: float, log_z: tuple[float, float], rng: np.random.Generator) -> dict[str, float]:
    """Estimates from draws of p, ``log_w`` ``(chain, draw)``; blocks of five autocorrelation times are resampled."""
    block = int(min(np.ceil(5 * tau) if tau > 1 else 1, max(1, log_w.shape[1] // 5)))
    replicates = statistics.block_bootstrap(log_w, _from_p, block, _REPLICATES, rng)
    values = _from_p(log_w.ravel())
    errors = replicates.std(0, ddof=1)
    mode_drop = np.exp(log_z[0] - values[0])
    return {
        "log_partition_p": values[0],
        "log_partition_p_error": errors[0],
        "ess_p": values[1],
        "ess_p_error": errors[1],
        "mode_drop": mode_drop,
        "mode_drop_error": mode_drop * np.hypot(errors[0], log_z[1]),
        "kl_pq": values[2],
        "kl_pq_error": errors[2],
    }


def _from_p(log_w: np.ndarray) -> np.ndarray:
    """Log Z, effective share and relative entropy from ln w of draws of p."""
    n = np.log(len(log_w))
    inverse, direct = scipy.special.logsumexp(-log_w) - n, scipy.special.logsumexp(log_w) - n
    return np.array([-inverse, np.exp(-inverse - direct), log_w.mean() + inverse])


def _slowest(log_q: np.ndarray, tau: float) -> float:
    """The longer of a known τ and that of ln q ``(chain, draw)``; 0 stands for draws known to be independent."""
    if tau == 0 or log_q.shape[1] < _FEWEST:
        return max(1.0, tau)
    found = statistics.integrated_autocorrelation(log_q)
    stands_out = np.isfinite(found.tau) and found.tau - 1 > 3 * found.standard_error
    return max(1.0, tau, float(found.tau) if stands_out else 1.0)


def _target(
    one: Any, system: Any, beta: float, n: int, states: Any, seed: int, tau: float | None
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """States ``(chain, draw, *sites)`` of the target, their actions, and their autocorrelation time (0: known to be independent)."""
    if system is None:
        if states is None:
            return None
        system = autoregressive.density_of(one)
    autoregressive.require_same_sites(one, system)
    if tau is not None and not tau >= 1:
        raise HamlearnError(f"tau is an autocorrelation time in draws, 1 for independent ones; got {tau!r}.")
    if states is None:
        if exact.oracle(system, "sample") is None:
            return None
        array, found = exact.sample(system, beta, n, seed)[None], 0.0
    else:
        array, _ = site_states(system, states)
        array = array.reshape((*(array.shape[: -len(one.shape)] if array.ndim - len(one.shape) == 2 else (1, -1)), *one.shape))
        attrs = states.attrs if isinstance(states, xr.Dataset) else {}
        found = 0.0 if int(attrs.get("independent", 0)) else _tau_of(array, one, attrs)
    return array, np.asarray(system.action(array, beta), float), found if tau is None else float(tau)


def _tau_of(array: np.ndarray, one: Any, attrs: Mapping[Any, Any]) -> float:
    """The longest τ that is named with microstates ``(chain, draw, *sites)`` or seen in what they show."""
    named = [float(attrs[name]) for name in ("tau_int", "tau_int_m") if name in attrs and np.isfinite(float(attrs[name]))]
    flat = array.reshape(*array.shape[:2], -1)
    rows = one.space.index(flat) if one.space.q else flat
    seen = slowness.longest_autocorrelation(shown(rows, one.space)) if array.shape[1] >= _FEWEST else 1.0
    return max(1.0, seen, *named)
