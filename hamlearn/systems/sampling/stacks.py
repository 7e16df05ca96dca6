"""Many fields or rotors of one structure in one compiled run of hybrid Monte Carlo: the draws of a posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.parametric import stacked
from hamlearn.systems.sampling import loop
from hamlearn.systems.sampling.energies import of_finite
from hamlearn.systems.sampling.hmc import HMCEngine
from hamlearn.systems.sampling.request import check_integers
from hamlearn.systems.sampling.run import refuse_stuck


def stackable(systems: Sequence[System]) -> bool:
    """Whether :func:`simulate_stack` can draw from all of them: continuous, differentiable by JAX, of one structure."""
    first = systems[0]
    return first.space.continuous and all(one.pure_jax for one in systems) and stacked(systems) is not None


def simulate_stack(systems: Sequence[System], betas: Any, *, draws: int, chains: int, seed: int, thin: int = 1) -> np.ndarray:
    """Draw microstates of every system at every temperature, all in one compiled call.

    Parameters
    ----------
    systems : sequence of System
        Of one structure (:func:`stackable`): they differ in their parameters only.
    betas : float or array (n_beta,)
        Inverse temperatures of all of them.
    draws, chains, thin : int
        Draws of every chain, chains of every system and temperature, trajectories between draws.
    seed : int
        Same call and seed, same microstates.

    Returns
    -------
    array (system, beta, chain, draw, *lattice.shape)

    Raises
    ------
    HamlearnError
        If the systems cannot be stacked, or an argument is out of range.

    Notes
    -----
    Burn-in is that of :func:`hamlearn.simulate`: until 20 autocorrelation times of the slowest of all have passed.

    Examples
    --------
    >>> from hamlearn.systems import ScalarField
    >>> simulate_stack([ScalarField((3,), m2=m2, lam=0.5) for m2 in (0.5, 1.0)], [1.0], draws=4, chains=2, seed=0).shape
    (2, 1, 2, 4, 3)
    """
    if not stackable(systems):
        raise HamlearnError("only continuous systems of one structure are simulated together; use hl.simulate for each.")
    temperatures = np.atleast_1d(check_beta(betas))
    check_integers(draws=(draws, 1), chains=(chains, 1), thin=(thin, 1), seed=(seed, 0))
    entries = [system for system in systems for _ in temperatures]
    at = np.tile(temperatures, len(systems))
    starting, stepping = np.random.SeedSequence(int(seed)).spawn(2)
    values = systems[0].space.random(np.random.default_rng(starting), (len(at), chains, systems[0].lattice.n_sites))
    even = all(one.even for one in systems)
    engine = HMCEngine(stacked(entries), at, chains, 3 * loop.FIRST_STEPS // 4, even=even, stacked=True)
    shape = systems[0].lattice.shape

    def measure(states: np.ndarray) -> np.ndarray:
        """Series ``(steps, entry, chain, k)``: action and absolute order parameters."""
        actions = [
            np.asarray(one.action(states[:, k].reshape(*states.shape[::2], *shape), beta))
            for k, (one, beta) in enumerate(zip(entries, at, strict=True))
        ]
        return np.concatenate([np.stack(actions, 1)[..., None], np.abs(systems[0].space.order_parameters(states))], -1)

    plan = loop.Plan(draws, thin, None, measure)
    done = loop.run(engine, values, stepping, plan, label=f"simulating {len(at)} systems", progress=False)
    result = done.result()["states"]
    for k, one in enumerate(entries):
        refuse_stuck(one, of_finite(one, result[:, k]), float(done.means()["acceptance"]))
    return result.transpose(1, 2, 0, 3).reshape(len(systems), len(temperatures), chains, draws, *shape)
