"""Principal components of a periodic lattice, and whether the leading one orders with size.

An ensemble that no translation changes has a covariance that plane waves diagonalise: its principal components are waves, their variances
the structure factor S(k), and nothing has to be diagonalised. Components that a symmetry of the lattice turns into each other (a shell of
wave vectors) have one variance. The leading shell is uniform in a ferromagnet, alternating in an antiferromagnet, and of the longest
waves, stripes, where the sum of spins is fixed.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import scipy.stats

from hamlearn.diagnostics.phases.samples import Sample, block_means
from hamlearn.errors import HamlearnError

LEVEL = 1e-3  # of saying "transition" or "none" where neither is true: two-sided, all temperatures together

Shell = tuple[int, ...]


class Spectrum(NamedTuple):
    """Of one size: how much of every microstate lies in the leading shell and in the one beside it.

    Attributes
    ----------
    sample : Sample
    leading, beside : tuple of int
        Their wave vectors, in 2π/L.
    first, second : array (k, chain, draw)
        Squared amplitude of a wave of each, averaged over the shell: m² where the leading shell is uniform.
    leaning : array (k, chain, part)
        The amplitude itself, averaged over every chain: real and imaginary parts of all waves of the leading shell.
    """

    sample: Sample
    leading: Shell
    beside: Shell
    first: np.ndarray
    second: np.ndarray
    leaning: np.ndarray


class Order(NamedTuple):
    """What sizes say, compared: whether there is a transition between two temperatures, and why it is said."""

    verdict: Literal["transition", "none", "undecided"]
    why: str
    lower: float
    upper: float


def of(samples: list[Sample]) -> list[Spectrum]:
    """Spectra of every size, of the same shells.

    Raises
    ------
    HamlearnError
        If sizes have different leading waves.
    """
    found = [_of(one) for one in samples]
    if len({(_name(one.leading, one.sample.size), _name(one.beside, one.sample.size)) for one in found}) > 1:
        told = "; ".join(f"L = {one.sample.size}: {one.leading} beside {one.beside}" for one in found)
        raise HamlearnError(
            f"undecided: sizes have different leading components (waves in 2π/L: {told}), so that nothing of one can be compared with "
            "another. Give more microstates, or extents that the order fits into; where there is no order, they are noise and stay unlike."
        )
    return found


def _of(sample: Sample) -> Spectrum:
    size, shells, axes = sample.size, _shells(sample.size, len(sample.shape)), tuple(range(1, len(sample.shape) + 1))
    names = sorted(set(map(tuple, shells.reshape(-1, shells.shape[-1]).tolist())))
    owner = np.array([names.index(tuple(one)) for one in shells.reshape(-1, shells.shape[-1]).tolist()])
    degree, rows = np.bincount(owner), []
    for field in sample.fields():
        power = (np.abs(np.fft.fftn(field, axes=axes)) ** 2).sum(-1).reshape(len(field), -1) / sample.n_sites**2
        rows.append(np.stack([np.bincount(owner, one, len(names)) for one in power]) / degree)
    powers = np.concatenate(rows).reshape(*sample.states.shape[:3], len(names))
    variance = powers.mean((0, 1, 2))
    first = int(np.argmax(variance))
    distance = [math.dist(one, names[first]) for one in names]
    alive = [k for k in range(len(names)) if k != first and variance[k] > 1e-12 * variance[first]]
    if not alive:
        raise HamlearnError(f"size {size}: microstates hold one wave only, {names[first]} in 2π/L: there is nothing to compare it with.")
    second = min(alive, key=lambda k: (round(distance[k], 9), -variance[k]))
    leaning = _amplitudes(sample, np.argwhere((shells == names[first]).all(-1)))
    return Spectrum(sample, names[first], names[second], powers[..., first], powers[..., second], leaning)


def _amplitudes(sample: Sample, waves: np.ndarray) -> np.ndarray:
    """Amplitudes of waves ``(wave, dimension)`` in 2π/L, averaged over every chain ``(k, chain, part)``."""
    phase = 2 * np.pi / sample.size * np.tensordot(waves, np.indices(sample.shape), 1).reshape(len(waves), -1)
    parts = np.concatenate([np.cos(phase), np.sin(phase)]) / sample.n_sites
    rows = [np.einsum("pn,dnc->dpc", parts, one.reshape(len(one), sample.n_sites, -1)).reshape(len(one), -1) for one in sample.fields()]
    return np.concatenate(rows).reshape(*sample.states.shape[:3], -1).mean(2)


def _shells(size: int, dimension: int) -> np.ndarray:
    """Every wave vector in 2π/L ``(*shape, dimension)``, as the one of its shell that is not negative and rises."""
    steps = np.minimum(np.arange(size), size - np.arange(size))
    return np.sort(np.stack(np.meshgrid(*dimension * [steps], indexing="ij"), -1), -1)


def _name(shell: Shell, size: int) -> tuple[tuple[str, int], ...]:
    """A shell as lattices of several sizes share it: steps from 0 or from π."""
    return tuple(("π", size // 2 - one) if 4 * one > size else ("0", one) for one in shell)


def order(spectra: list[Spectrum]) -> Order:
    """Whether the leading component orders: the smallest and the largest size compared, temperature by temperature.

    R = λ₁/λ₂, the variance of the leading component over that of the one beside it, rises with the size where there is long-range order,
    falls (or stays, λ₁ falling as 1/N) where there is none, and crosses at a transition. Both must be seen, order on the colder side.
    Nothing here looks at how fast a curve changes: whatever sums over many sites tells temperatures apart better the more
    there are, with a transition or without.

    Raises
    ------
    HamlearnError
        If there are too few independent blocks.
    """
    small, large = spectra[0], spectra[-1]
    if len(spectra) < 2:
        return Order("undecided", "one size shows no transition: nothing can be seen to sharpen. Give two sizes or more", np.nan, np.nan)
    betas = small.sample.betas[(small.sample.betas >= large.sample.betas[0]) & (small.sample.betas <= large.sample.betas[-1])]
    if len(betas) < 2:
        return Order("undecided", "sizes share no two temperatures to compare", np.nan, np.nan)
    (ratio, ratio_error, few), (power, power_error, _) = (_change(small, large, betas, which) for which in ("ratio", "first"))
    growth, dimension = math.log(large.sample.size / small.sample.size), len(small.sample.shape)
    limit = float(scipy.stats.t.isf(LEVEL / 2 / len(betas), few))
    rises, falls = ratio > limit * ratio_error, ratio < -limit * ratio_error
    gone = falls | (~rises & (power + dimension / 2 * growth < -limit * power_error))
    sizes = f"{small.sample.size} and {large.sample.size}"
    cold, hot = 1 / betas[-1], 1 / betas[0]
    if rises.any() and (leans := _leans(large, float(betas[rises].min()))):
        return Order("undecided", leans, np.nan, np.nan)
    if rises.any() and gone.any() and betas[rises].min() > betas[gone].max():
        lower, upper = 1 / betas[rises].min(), 1 / betas[gone].max()
        return Order(
            "transition",
            f"the leading component outgrows the one beside it with the size up to T = {lower:.4g}, and dies out from T = {upper:.4g} "
            f"(sizes {sizes})",
            lower,
            upper,
        )
    if not rises.any() and falls[-1]:
        why = f"at no temperature from {cold:.4g} to {hot:.4g} does a component grow into order with the size (sizes {sizes})"
        return Order("none", why, np.nan, np.nan)
    if rises.any() and not gone.any():
        why = f"the leading component is in order at all temperatures from {cold:.4g} to {hot:.4g}: give higher ones (sizes {sizes})"
    elif rises.any():
        why = f"where the leading component grows with the size and where it dies out are not two sides of one temperature (sizes {sizes})"
    else:
        # Perfect order looks alike at all sizes, and so does a critical line, below a Kosterlitz–Thouless transition.
        last = f"no component grows into order from T = {1 / betas[falls].max():.4g} up, but below it " if falls.any() else ""
        why = (
            f"{last}sizes {sizes} look alike: give more microstates, other temperatures, or sizes further apart (or it is a critical line)"
        )
    return Order("undecided", why, np.nan, np.nan)


def _leans(one: Spectrum, beta: float) -> str | None:
    """Why growing order is no spontaneous one: from `beta` on, its chains all lean to one side."""
    means = one.leaning[one.sample.betas >= beta - 1e-12].reshape(-1, one.leaning.shape[-1])
    if len(means) < 3:
        return "the order of two chains may be spontaneous or that of a field: give four chains or more"
    spread = means.std(0, ddof=1) / math.sqrt(len(means)) + 1e-12
    if np.abs(means.mean(0) / spread).max() < scipy.stats.t.isf(LEVEL / 2 / means.shape[-1], len(means) - 1):
        return None
    return (
        f"from T = {1 / beta:.4g} down all chains of size {one.sample.size} lean to one side: a field does that without a transition, and "
        "so do chains that never left the phase they were started in; give chains that were started at random, or remove the field"
    )


def _change(small: Spectrum, large: Spectrum, betas: np.ndarray, which: str) -> tuple[np.ndarray, np.ndarray, int]:
    """By how much a logarithm grows with the size at temperatures of the small one, its error, and degrees of freedom."""
    values, variances, fewest = [], [], []
    for one in (small, large):
        both = np.stack([one.first, one.second], -1)
        parts = block_means(both, one.sample.length(both, "the leading component"))  # (k, block, 2)
        means = parts.mean(1)
        sides = np.array([1.0, -1.0 if which == "ratio" else 0.0])
        seen = (means > 0).all(1)  # perfect order has one wave only, and says nothing of a ratio
        means = np.where(seen[:, None], means, 1.0)
        error = ((parts / means[:, None]) @ sides).var(1, ddof=1) / parts.shape[1]
        values.append(np.interp(betas, one.sample.betas, np.log(means) @ sides))
        known = np.interp(betas, one.sample.betas, seen.astype(float)) > 1 - 1e-9
        variances.append(np.where(known, np.interp(betas, one.sample.betas, error), np.inf))
        fewest.append(parts.shape[1] - 1)
    return values[1] - values[0], np.sqrt(variances[0] + variances[1]), min(fewest)
