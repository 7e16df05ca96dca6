"""What is averaged over microstates to find a transition: energy, order parameter, its smallest wave, and the response to a twist."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hamlearn import statistics
from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space
from hamlearn.systems.base import System
from hamlearn.systems.observables.rotors import twist_response

BLOCKS = 128  # of all chains together, at most: their covariance is known to 12 %
FEWEST = 24  # blocks, below which a covariance of eight numbers is a guess
IN_BLOCK = 5.0  # autocorrelation times of a block at least
COLUMNS = ("m2", "m4", "abs_m", "wave", "stiff", "current2")


class Series(NamedTuple):
    """Columns of the microstates of one size at one temperature.

    Attributes
    ----------
    beta : float
        Inverse temperature.
    energy : array (chain, draw)
        E.
    columns : array (chain, draw, 6)
        m², m⁴, abs m, the mean of abs m_k² over the smallest waves k along the axes, and of planar rotors ΣJ cos and (ΣJ sin)² of bonds
        along an axis, averaged over axes, per site; 0 of others.
    tau : float
        The larger autocorrelation time of E and m², in draws.
    """

    beta: float
    energy: np.ndarray
    columns: np.ndarray
    tau: float


def directions_at_sites(states: np.ndarray, space: Space, shape: tuple[int, ...]) -> np.ndarray:
    """What orders at every site, ``(draws, *shape, k)``: the spin, the vector, the deviation of q states from equal shares.

    Examples
    --------
    >>> from hamlearn.spaces import SPINS, states
    >>> directions_at_sites(np.array([[1, -1]]), SPINS, (2,))[..., 0].tolist()
    [[1.0, -1.0]]
    >>> (directions_at_sites(np.array([[0, 2]]), states(3), (2,)) ** 2).sum(-1).round(6).tolist()
    [[1.0, 1.0]]
    """
    encoded = np.asarray(space.encode(states.reshape(len(states), -1)), np.float64).reshape(len(states), *shape, -1)
    if space.labelled:
        return (encoded - 1 / space.q) * math.sqrt(space.q / (space.q - 1))
    return encoded


def is_planar(system: System) -> bool:
    """Whether it is made of planar rotors on two axes, which have a stiffness and no ordered phase."""
    return system.directions is not None and system.space.period is not None and len(system.lattice.shape) == 2


def series_of(states: np.ndarray, system: System, beta: float) -> Series:
    """The columns of microstates ``(chain, draw, *sites)``.

    Raises
    ------
    HamlearnError
        If energy and order parameter never change.
    """
    chains, draws, shape, n = *states.shape[:2], system.lattice.shape, system.lattice.n_sites
    pieces = max(1, chains * draws * n // 4_000_000)  # a few hundred megabytes at once
    parts = [_columns(part, system) for part in np.array_split(states.reshape(chains * draws, *states.shape[2:]), pieces) if len(part)]
    energy = np.concatenate([one for one, _ in parts]).reshape(chains, draws)
    columns = np.concatenate([one for _, one in parts]).reshape(chains, draws, len(COLUMNS))
    times = statistics.integrated_autocorrelation_time(np.stack([energy, columns[..., 0]], -1))
    if not np.all(np.isfinite(times)):
        raise HamlearnError(
            f"the microstates of {shape} at beta={beta:g} have one energy or order parameter only: they tell no fluctuation."
        )
    return Series(beta, energy, columns, float(times.max()))


def _columns(states: np.ndarray, system: System) -> tuple[np.ndarray, np.ndarray]:
    shape, n = system.lattice.shape, system.lattice.n_sites
    field = directions_at_sites(states, system.space, shape)
    axes, found = tuple(range(1, len(shape) + 1)), np.zeros((len(states), len(COLUMNS)))
    m2 = (field.mean(axes) ** 2).sum(-1)
    waves = []
    for axis, extent in enumerate(shape):
        line = field.mean(tuple(one for one in axes if one != axis + 1))  # (draws, extent, k)
        angle = 2 * np.pi / extent * np.arange(extent)
        waves.append(sum((np.einsum("dxk,x->dk", line, one) ** 2).sum(-1) for one in (np.cos(angle), np.sin(angle))) / extent**2)
    found[:, :4] = np.stack([m2, m2**2, np.sqrt(m2), np.mean(waves, 0)], -1)
    if is_planar(system):
        cosine, sine = (np.asarray(one, float) for one in twist_response(states, system))
        found[:, 4], found[:, 5] = cosine.mean(-1) / n, (sine**2).mean(-1) / n
    return np.asarray(system.energy(states), float), found


def block_length(series: list[Series], size: int) -> tuple[int, int]:
    """Draws of a block and blocks of a chain that all temperatures of a size share.

    Raises
    ------
    HamlearnError
        If there are fewer than 24 blocks of five autocorrelation times.
    """
    chains, draws = series[0].energy.shape
    slowest = max(series, key=lambda one: one.tau)
    most = int(draws // max(1.0, IN_BLOCK * slowest.tau))
    if most * chains < FEWEST:
        needed = math.ceil(FEWEST / chains) * IN_BLOCK * slowest.tau
        raise HamlearnError(
            f"size {size}: at beta={slowest.beta:g} the autocorrelation time is {slowest.tau:.3g} draws, and {chains} chains of {draws} "
            f"hold {most * chains} blocks of {IN_BLOCK:g} such times; errors need {FEWEST}. Give chains of {needed:.0f} draws, "
            "more chains, or a sampler of shorter memory (clusters)."
        )
    count = max(1, min(most, BLOCKS // chains))
    return draws // count, count


__all__ = ["COLUMNS", "Series", "block_length", "directions_at_sites", "is_planar", "series_of"]


def __dir__() -> list[str]:
    return sorted(__all__)
