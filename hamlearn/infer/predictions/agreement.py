"""How far the members of an ensemble agree at a temperature nobody observed: predicted error and effective sample size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.systems.sampling import simulate

_MEMBERS, _CHAINS, _DRAWS = 16, 8, 64


def agreement(systems: Sequence[Any], betas: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted error of βH in nats, and predicted effective share, at every temperature; nan for a single member.

    With ε the deviation of a member's energy from the mean of all, the error is β sd(ε) over microstates of that
    temperature: an error of the energy grows in proportion to β. The share is exp(−Var(βε)), what reweighting from a
    member to another Hamiltonian as far away as the members are from each other would leave of the draws.

    Parameters
    ----------
    systems : sequence of System
        Members; up to 16 of them are compared.
    betas : array (beta,)
        Inverse temperatures.
    seed : int
        Of a short simulation of the first member, 8 chains × 64 draws, whose microstates the members are compared on.

    Returns
    -------
    error, share : array (beta,)

    Notes
    -----
    What all members get wrong together is not in their spread.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> error, share = agreement([Ising((4, 4), J=J) for J in (0.99, 1.01)], np.array([0.2, 0.4]), seed=0)
    >>> bool(error[1] > error[0]), bool(share[0] > 0.95)
    (True, True)
    """
    unknown = np.full(len(betas), np.nan)
    if len(systems) < 2:
        return unknown, unknown
    states = simulate(systems[0], betas, _DRAWS, _CHAINS, seed, progress=False)["state"].values
    rows = states.reshape(len(betas), _CHAINS * _DRAWS, *systems[0].lattice.shape)
    variance = scatter(np.stack([np.asarray(one.energy(rows), float) for one in systems[:_MEMBERS]]))
    if variance is None:
        return unknown, unknown
    return betas * np.sqrt(variance), np.exp(-(betas**2) * variance)


def scatter(values: np.ndarray) -> np.ndarray | None:
    """Variance over states of how far members deviate from their mean, ``(...)`` from ``(member, ..., state)``; None of one member."""
    values = np.unique(values.round(10), axis=0)  # an ensemble of a few networks repeats them
    if len(values) < 2:
        return None
    return np.asarray((values - values.mean(0)).var(-1).mean(0) * len(values) / (len(values) - 1))
