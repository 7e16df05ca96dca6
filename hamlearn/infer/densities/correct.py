"""Markov chains whose proposals come from a learned density: exact averages of a known action from an inexact density."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import memory, statistics
from hamlearn.arguments import require_seed, require_whole
from hamlearn.errors import choice
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.families import autoregressive
from hamlearn.processes import verb
from hamlearn.progress import track
from hamlearn.systems.base import System, one_beta
from hamlearn.systems.sampling.energies import energies

METHODS = ("independence", "suffix")
_BURN_IN = 10  # draws of every chain that are discarded: chains start from the density itself


@verb
def correct(
    post: xr.DataTree,
    system: System,
    beta: float | None = None,
    draws: int = 1000,
    chains: int = 16,
    method: str = "independence",
    seed: int = 0,
) -> xr.Dataset:
    """Microstates of a system by Metropolis–Hastings with proposals from a density.

    Parameters
    ----------
    post : DataTree
        A posterior of :class:`hamlearn.models.Autoregressive` on the sites of the system; its first network proposes.
    system : System
        The target.
    beta : float, optional
        Inverse temperature of the target; by default the one the density was learned at.
    draws, chains : int
        Kept draws per chain, chains.
    method : {"independence", "suffix"}
        "independence" proposes whole microstates: its acceptance falls with the density's error of the whole lattice.
        "suffix" redraws all sites from a random position of the order on, accepted with the exact ratio: more is
        accepted, less is renewed.
    seed : int
        Seed of everything random.

    Returns
    -------
    Dataset
        Microstates as :func:`hamlearn.simulate` returns them, with ``acceptance``, ``tau_int`` (of the energy, 1 for
        independent draws) and ``ess``.

    Raises
    ------
    HamlearnError
        If density and system live on different sites or in different spaces.

    Notes
    -----
    Acceptance min(1, w'/w) with w = exp(−action)/q; for a suffix the common prefix cancels from the ratio. Source:
    Nicoli et al., Phys. Rev. E 101, 023304 (2020), and Białas et al., Comput. Phys. Commun. 281, 108502 (2022).

    Examples
    --------
    >>> import hamlearn as hl
    >>> ising = hl.systems.Ising((3, 3))
    >>> post = hl.approximate(ising, 0.3, hl.models.Autoregressive(hidden=16), engine=hl.infer.Variational(steps=100, batch=100))
    >>> chain = hl.infer.correct(post, ising, draws=50, chains=4)
    >>> chain.state.shape, bool(chain.attrs["acceptance"] > 0.5)
    ((4, 50, 3, 3), True)
    """
    post = admit_posterior(post)
    one = families.evaluators(post)[0]
    autoregressive.require_same_sites(one, system)
    draws, chains, seed = require_whole(draws, "draws"), require_whole(chains, "chains"), require_seed(seed)
    cells = (draws + _BURN_IN) * chains * math.prod(one.shape)
    memory.require(8 * cells, f"{chains} chains of {draws} draws of {math.prod(one.shape)} sites", "Ask for fewer draws.")
    at = one_beta(one.beta if beta is None else beta)
    run = _independence if choice(method, METHODS, "method") == "independence" else _suffix
    states, acceptance = run(one, system, at, draws + _BURN_IN, chains, np.random.default_rng(seed))
    states = states[:, _BURN_IN:]
    series = energies(system, states.reshape(chains, draws, -1))
    tau = float(np.nan_to_num(statistics.integrated_autocorrelation_time(series), nan=float(draws)))
    attrs = {"sampler": f"autoregressive, {method}", "seed": int(seed), "acceptance": acceptance, "tau_int": tau, "independent": 0}
    attrs |= {"ess": chains * draws / tau, "burn_in": _BURN_IN, "sweeps_per_draw": 1, "system": json.dumps(system.to_dict())}
    return microstate_data.build(states, beta=at, space=system.space, lattice=system.lattice, attrs=attrs)


def _independence(one: Any, system: System, beta: float, draws: int, chains: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Every proposal is drawn at once; the chains then only choose between them."""
    proposals = one.sample(draws * chains, int(rng.integers(2**32)), beta if one.conditioned else None)
    log_w = -np.asarray(system.action(proposals, beta), float) - one.log_prob(proposals, beta)
    log_w = log_w.reshape(draws, chains)
    thresholds = np.log1p(-rng.random((draws, chains)))
    here, columns = np.zeros(chains, int), np.arange(chains)
    index, accepted = np.zeros((draws, chains), int), 0
    for step in range(1, draws):
        accept = thresholds[step] < log_w[step] - log_w[here, columns]
        here = np.where(accept, step, here)
        index[step], accepted = here, accepted + int(accept.sum())
    chosen = proposals.reshape(draws, chains, *proposals.shape[1:])[index, columns]
    return chosen.swapaxes(0, 1), accepted / max(1, (draws - 1) * chains)


def _suffix(one: Any, system: System, beta: float, draws: int, chains: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """One random position per step, the same for all chains: they are drawn together."""
    at = beta if one.conditioned else None
    n = int(np.prod(one.shape))
    states = one.complete(
        np.broadcast_to(one.sample(1, int(rng.integers(2**32)), at), (chains, *one.shape)), 0, int(rng.integers(2**32)), at
    )
    log_w = -np.asarray(system.action(states, beta), float) - one.base_log_prob(states, at)
    found, accepted = [states], 0
    with track(draws, "resampling suffixes") as bar:
        for _ in range(1, draws):
            proposed = one.complete(states, int(rng.integers(n)), int(rng.integers(2**32)), at)
            new = -np.asarray(system.action(proposed, beta), float) - one.base_log_prob(proposed, at)
            accept = np.log1p(-rng.random(chains)) < new - log_w
            states = np.where(accept.reshape(-1, *(1,) * len(one.shape)), proposed, states)
            log_w = np.where(accept, new, log_w)
            found.append(states)
            accepted += int(accept.sum())
            bar.advance(1)
    return np.stack(found, 1), accepted / max(1, (draws - 1) * chains)
