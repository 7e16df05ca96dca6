"""What an observable is: what is averaged over microstates, and what is made of the averages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System

Means = np.ndarray


def everywhere(system: System) -> bool:
    """Of every system."""
    return True


def _mean(means: Means, beta: float, n_sites: int) -> Any:
    return means[..., 0]


@dataclass(frozen=True, repr=False)
class Observable:
    """A number (or a function of the distance) of an ensemble: what is averaged over its microstates, and what is made of the averages.

    Parameters
    ----------
    name, long_name : str
        What results call it, and what it is in words.
    columns : callable, or None
        ``(states, system, beta)`` → what is averaged: one array ``(draws,)``, or several in a tuple, of states
        ``(draws, *lattice.shape)``. None of what exact methods know in closed form, and nobody else.
    combine : callable
        ``(means, beta, n_sites)`` → the observable, from the averages of the columns on the last axis (any axes before it); by default
        the average of the only column. Errors follow by leaving out blocks of draws.
    applies : callable
        Whether a system has it.
    of_states : bool
        Whether the columns depend on the states alone: then they are computed once for all draws of a posterior.
    traceable : bool
        Whether the columns may be traced by JAX, so that they are computed for all draws of a posterior in one compiled call: one array.
    needs_log_z : bool
        Whether `combine` is given log Z as a fourth argument: then only oracles, densities and temperature ladders know it.
    default : bool
        Whether it is predicted unasked.
    separations : callable, optional
        Of a function of the distance: ``(system)`` → the distances r; its columns are one array ``(draws, r)``, which `combine` is
        given as it is averaged.
    axis : str
        What the coordinate of a function is called in results, where it is no distance.
    optimism : callable, optional
        ``(beta, n_sites)`` → how far it is off at the temperature of the data where β times the energy per site is off by one. Fits
        of many parameters to few rows take energies for too low (:mod:`hamlearn.infer.predictions.centring`), and what is made of them.
    disordered : callable, optional
        ``(system, betas)`` → its values at all of them where all states are as probable, nan where that is not known: a fit that
        took noise for order is off by no more than it is away from this.
    possible : callable, optional
        ``(system)`` → the least and the greatest value that it can have, where that is known: intervals end there.

    Examples
    --------
    >>> import hamlearn as hl
    >>> squares = Observable("squares", "mean square of the magnetization", lambda states, system, beta: states.mean((-2, -1)) ** 2)
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> post = hl.learn(data, model, engine="laplace", check=False)
    >>> hl.predict(post, 0.4, observables=["energy", squares])["squares"].attrs["long_name"]
    'mean square of the magnetization'
    """

    name: str
    long_name: str
    columns: Callable[[Any, Any, float], Any] | None
    combine: Callable[..., Any] = _mean
    applies: Callable[[Any], bool] = everywhere
    of_states: bool = False
    traceable: bool = False
    needs_log_z: bool = False
    default: bool = False
    separations: Callable[[Any], np.ndarray] | None = None
    axis: str = "r"
    optimism: Callable[[float, int], float] | None = None
    disordered: Callable[[System, Any], Any] | None = None
    possible: Callable[[System], tuple[float, float]] | None = None

    def __repr__(self) -> str:
        return f"<observable {self.name}: {self.long_name}>"

    def of(self, states: np.ndarray, system: System, beta: float) -> np.ndarray:
        """The columns ``(draws, k)`` of states ``(draws, *lattice.shape)``."""
        if self.columns is None:
            raise HamlearnError(f"the observable {self.name!r} of {system!r} is known in closed form or not at all.")
        try:
            found = self.columns(states, system, beta)
        except HamlearnError:
            raise
        except Exception as error:  # whatever a stranger's formula raises
            raise HamlearnError(
                f"the observable {self.name!r} failed on states of shape {np.shape(states)} (draws, *sites): "
                f"{type(error).__name__}: {error}. Its columns(states, system, beta) are given all draws at once."
            ) from error
        array = np.stack([np.asarray(one, float) for one in found], -1) if isinstance(found, tuple) else np.asarray(found, float)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or len(array) != len(states):
            raise HamlearnError(
                f"columns of the observable {self.name!r} must have one number per draw ({len(states)}); got {array.shape}."
            )
        return array
