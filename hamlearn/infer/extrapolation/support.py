"""How much of a target ensemble the data of other temperatures ever showed.

Outside of it a network is not wrong by its error bars but without meaning: nothing in training held it there. The local
states that decide are the links of a path (a fine lattice or a low temperature has longer ones) and how far it reaches out;
of a classical system it is the energy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hamlearn.systems.base import Space

Action = Callable[[np.ndarray], np.ndarray]

SHOWN = 0.99  # share of the observed states that a bound of what was seen encloses: the largest of all is one microstate's doing
_LEVELS, _MOVES = 16, 24  # of the annealing: rungs, and proposals on each


def longest_links(paths: np.ndarray) -> np.ndarray:
    """Longest link |x_{t+1} − x_t| of every path ``(..., n_tau)``, that from the last slice to the first included.

    Examples
    --------
    >>> longest_links(np.array([[0.0, 1.0, 3.0]]))
    array([3.])
    """
    return np.abs(np.roll(paths, -1, -1) - paths).max(-1)


def path_features(paths: np.ndarray) -> np.ndarray:
    """Longest link and largest distance from 0 of every path, ``(..., 2)``."""
    return np.stack([longest_links(paths), np.abs(paths).max(-1)], -1)


def unseen_share(target: np.ndarray, observed: np.ndarray, *, below: bool = False) -> float:
    """Share of the target's states that leave what almost all observed states showed.

    Parameters
    ----------
    target, observed : array (states, features)
        Features of states of either ensemble; a larger value is a local state further out.
    below : bool
        Whether small values are unusual too, as with energies.

    Returns
    -------
    float
        Share of target states with a feature beyond the 99 % quantile of the observed ones (and, with `below`, before the
        1 % quantile). Two samples of one ensemble give up to one hundredth for each bound; the quantile, unlike the largest value
        ever seen, does not grow with the amount of data.

    Examples
    --------
    >>> seen = np.arange(101.0)[:, None]
    >>> unseen_share(np.array([[50.0], [99.5], [200.0], [-3.0]]), seen), unseen_share(np.array([[-3.0]]), seen, below=True)
    (0.5, 1.0)
    """
    out = target > np.quantile(observed, SHOWN, axis=0)
    if below:
        out |= target < np.quantile(observed, 1 - SHOWN, axis=0)
    return float(out.any(-1).mean())


def annealed(states: np.ndarray, before: Action, after: Action, space: Space, seed: int) -> np.ndarray:
    """States of one ensemble carried to another: sequential Monte Carlo, resampled and moved while the action changes.

    Parameters
    ----------
    states : array (rows, *sites)
        Draws of exp(−before).
    before, after : callable
        Actions of batches of states.
    space : Space
        What a state may be.
    seed : int
        Seed of the proposals.

    Returns
    -------
    array (rows, *sites)
        Approximate draws of exp(−after): good enough to say where the ensemble lies, not for averages to many digits.

    Notes
    -----
    Actions are black boxes here and a call costs the same for one changed site as for all: a proposal changes a few sites of every
    state at once. Every other one of reals turns a stretch of sites around the centre, which adds kinks at no cost in potential.
    """
    generator = np.random.default_rng(seed)
    states = np.array(states)
    first, last = np.asarray(before(states), float), np.asarray(after(states), float)
    centre, width = (float(states.mean()), float(states.std())) if space.unbounded else (0.0, 1.0)
    for share in np.linspace(0, 1, _LEVELS + 1)[1:]:
        kept = _resampled((first - last) / _LEVELS, generator)
        states, first, last = states[kept], first[kept], last[kept]
        for step in range(_MOVES):
            moved = _proposal(states, space, generator, centre, width, bool(step % 2))
            a, b = np.asarray(before(moved), float), np.asarray(after(moved), float)
            with np.errstate(invalid="ignore"):  # a forbidden state has an infinite action
                gain = (1 - share) * (first - a) + share * (last - b)
            accept = np.log(generator.uniform(size=len(states))) < np.nan_to_num(gain, nan=-np.inf)
            states[accept], first[accept], last[accept] = moved[accept], a[accept], b[accept]
    return states


def _resampled(log_weight: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows drawn by their weights, each as often as its weight says to within one."""
    weight = np.exp(log_weight - log_weight.max())
    places = (np.arange(len(weight)) + generator.uniform()) / len(weight)
    return np.minimum(np.searchsorted(np.cumsum(weight) / weight.sum(), places), len(weight) - 1)


def _proposal(states: np.ndarray, space: Space, generator: np.random.Generator, centre: float, width: float, stretch: bool) -> np.ndarray:
    """States with a few sites changed, symmetrically: as likely back as forth."""
    rows, sites = len(states), states.reshape(len(states), -1)
    n = sites.shape[1]
    if space.unbounded and stretch:
        start, length = generator.integers(n, size=(rows, 1)), np.ceil((n / 2) ** generator.uniform(size=(rows, 1)))
        inside = (np.arange(n) - start) % n < length
        return np.where(inside, 2 * centre - sites, sites).reshape(states.shape)
    chosen = generator.uniform(size=(rows, n)) < generator.choice([1.0, 4.0], size=(rows, 1)) / n
    if space.q:
        other = space.from_index((space.index(sites) + generator.integers(1, space.q, size=sites.shape)) % space.q)
        return np.where(chosen, other, sites).reshape(states.shape)
    size = width * generator.choice([0.2, 0.5, 1.0], size=(rows, 1))
    moved = sites + chosen * size * generator.normal(size=sites.shape)
    return np.asarray(space.wrap(moved)).reshape(states.shape)
