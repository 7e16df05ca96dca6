"""Exact distributions over states, their moments, and independent samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.exact import enumeration
from hamlearn.systems.exact.oracle import BETA_ATTRIBUTES, Oracle
from hamlearn.systems.exact.registry import require_oracle
from hamlearn.systems.pairs import pairs_of


@verb
def state_energies(system: System) -> np.ndarray:
    """Energy of every state, shape ``(q**n_sites,)`` or the product of what every site has, in the order of :func:`all_states`.

    Parameters
    ----------
    system : System
        Any system of spins or q-state sites with at most 2^20 states; its own ``energy`` is evaluated.

    Raises
    ------
    HamlearnError
        If there are more than 2^20 states or the system has no discrete space.

    Examples
    --------
    >>> from hamlearn.systems import WeakStrong, exact
    >>> energies = exact.state_energies(WeakStrong())
    >>> len(energies), round(float(energies.min()), 6)
    (65536, -40.48)
    """
    if not isinstance(system, System) or system.space.continuous:
        raise HamlearnError(f"enumeration needs a system of spins or q-state sites; got {type(system).__name__}.")
    return enumeration.evaluate(system)


def state_log_weights(system: System) -> np.ndarray:
    """Minus the energy of every state, in the order of :func:`all_states`; of pair couplings by one compiled product of tables."""
    pairs = pairs_of(system)
    return -state_energies(system) if pairs is None else enumeration.of_pairs(pairs)


@verb
def distribution(system: System, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Every state and its exact probability.

    Parameters
    ----------
    system : System
        Any system of spins or q-state sites with at most 2^20 states.
    beta : float
        Inverse temperature, > 0.

    Returns
    -------
    states : array of int8 (q**n_sites, *lattice.shape)
        Values (±1 for spins, 0 … q−1 otherwise).
    probabilities : array (q**n_sites,)

    Raises
    ------
    HamlearnError
        If there are more than 2^20 states, the system has no discrete space or β is not one positive number.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> states, probabilities = exact.distribution(Ising(2, periodic=False), 1.0)
    >>> states[0].tolist(), round(float(probabilities[0]), 6)
    ([-1, -1], 0.440399)
    """
    energies = state_energies(system)
    weights = np.exp(-_one_beta(beta) * (energies - energies.min()))
    states = enumeration.all_states(system.lattice, system.space.extent)
    return system.space.from_index(states), weights / weights.sum()


@verb
def moments(system: System, beta: Any) -> xr.Dataset:
    """Exact moments of the magnetization per site m = Σ σ_i / N, by enumeration.

    Parameters
    ----------
    system : System
        At most 20 spins ±1. Larger lattices: average over :func:`sample`.
    beta : float or array (n,)
        Inverse temperatures, > 0.

    Returns
    -------
    xarray.Dataset
        Over dimension ``beta``: ``magnetization`` ⟨m⟩, ``absolute_magnetization`` ⟨abs m⟩,
        ``squared_magnetization`` ⟨m²⟩ and ``quartic_magnetization`` ⟨m⁴⟩.

    Raises
    ------
    HamlearnError
        If there are more than 2^20 states, the system has no ±1 spins or β is not positive.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> round(float(exact.moments(Ising((3, 3)), 0.4)["absolute_magnetization"][0]), 6)
    0.816861
    """
    energies, points = state_energies(system), np.atleast_1d(check_beta(beta)).ravel()
    if not system.space.binary:
        raise HamlearnError(f"exact.moments needs a system of ±1 spins; got {system!r}.")
    m = 2 * enumeration.all_states(system.lattice).reshape(len(energies), -1).mean(1) - 1
    columns = {
        "magnetization": (m, "magnetization per site"),
        "absolute_magnetization": (np.abs(m), "absolute magnetization per site"),
        "squared_magnetization": (m**2, "squared magnetization per site"),
        "quartic_magnetization": (m**4, "fourth power of the magnetization per site"),
    }
    powers = np.stack([column for column, _ in columns.values()], 1)
    means = np.empty((points.size, len(columns)))
    for k, beta_k in enumerate(points):
        weights = np.exp(-beta_k * (energies - energies.min()))
        means[k] = weights @ powers / weights.sum()
    data = {name: ("beta", means[:, k], {"long_name": text, "units": "1"}) for k, (name, (_, text)) in enumerate(columns.items())}
    return xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES)}, {"method": "enumeration"})


@verb
def sample(system: System, beta: float, draws: int, seed: int, *, oracle: Oracle | None = None) -> np.ndarray:
    """Independent samples from the exact Boltzmann distribution.

    By enumeration from the inverse cumulative distribution, otherwise layer by layer from the exact
    conditionals of the transfer matrix: no Markov chain, no autocorrelation. Paths are drawn slice by slice from
    p(x_t | x_{t−1}, x_0), which the transfer operator knows; free fields mode by mode.

    Parameters
    ----------
    system : System
        One small enough for enumeration or the transfer matrix, a path, or a periodic field with ``lam=0``.
    beta : float
        Inverse temperature, > 0.
    draws : int
        Number of samples.
    seed : int
        The same seed gives the same samples.
    oracle : Oracle, optional
        Who draws; by default the cheapest that can.

    Returns
    -------
    array, shape (draws, *lattice.shape)
        Values: int8 (±1 for spins, 0 … q−1 otherwise); float64 for paths and fields.

    Raises
    ------
    HamlearnError
        If the system is too large or of another kind, or β or `draws` is not positive.

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, exact
    >>> exact.sample(EdwardsAnderson((6, 6), seed=1), beta=1.0, draws=5, seed=0).shape
    (5, 6, 6)
    """
    value = _one_beta(beta)
    draws, seed = require_whole(draws, "draws"), require_seed(seed)
    sites = system.lattice.n_sites
    memory.require(16 * draws * sites, f"{draws} draws of {sites} sites", "Ask for fewer draws.")
    found = require_oracle(system, "sample", "exact samples", oracle)
    return found.sample(system, value, int(draws), np.random.default_rng(seed))


def _one_beta(beta: Any) -> float:
    if np.ndim(beta) != 0:
        raise HamlearnError(f"one beta is needed here; got shape {np.shape(beta)}: call once per temperature.")
    return float(check_beta(beta))
