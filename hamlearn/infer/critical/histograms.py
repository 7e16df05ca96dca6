"""Multi-histogram reweighting: microstates of several temperatures of one size, as averages at every temperature between them.

Every microstate has the weight exp(−βE)/Σ_k N_k exp(f_k − β_k E), and the free energies f_k are those that give back every temperature
its own N_k: one convex function of K numbers, minimised by Newton's method (Ferrenberg and Swendsen, PRL 63, 1195 (1989); Shirts and
Chodera, J. Chem. Phys. 129, 124105 (2008), where it is called MBAR). Microstates of one energy share their weight, so they are added up by
energy once, block by block; a resampled data set is then another sum of blocks, and its free energies cost three steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.critical.columns import COLUMNS, Series, block_length
from hamlearn.infer.critical.ratios import Ratio, Unit, ratios, unit

LEVELS = 2000  # of energies that are told apart; more are binned, and a bin stands at the mean of its energies
OVERLAP = 0.03  # of histograms of neighbouring temperatures: below it a few microstates join their free energies
_BINS = 50  # of these histograms
_STEPS, _TOLERANCE = 100, 1e-10
_AT_ONCE = 4_000_000  # numbers of one array of replicates


@dataclass(frozen=True, eq=False)
class Histograms:
    """Microstates of one size at several temperatures, added up by block and energy.

    Attributes
    ----------
    size : int
        L.
    n_sites : int
        N.
    betas : array (k,)
        Temperatures.
    worth : array (k,)
        N_k over the autocorrelation time: what each temperature counts.
    energies : array (levels,)
        Energies, from their mean.
    centre : float
        Their mean.
    sums : array (blocks, levels, 1 + columns)
        Counts, and sums of the columns, of every block of all temperatures: what ran side by side is resampled together.
    tau : array (k,)
        Autocorrelation times in draws.
    ratios : tuple of Ratio
        Every temperature compared with the next: are they those that were declared?
    unit : Unit
        All of them at once: is what they are multiples of the unit that was declared?
    """

    size: int
    n_sites: int
    betas: np.ndarray
    worth: np.ndarray
    energies: np.ndarray
    centre: float
    sums: np.ndarray
    tau: np.ndarray
    ratios: tuple[Ratio, ...]
    unit: Unit

    @classmethod
    def of(cls, series: list[Series], size: int, n_sites: int) -> Histograms:
        """From the series of every temperature, which have equally many chains and draws.

        Raises
        ------
        HamlearnError
            If two neighbouring temperatures have too few energies in common, or there are too few blocks.
        """
        series = sorted(series, key=lambda one: one.beta)
        length, per_chain = block_length(series, size)
        chains, draws = series[0].energy.shape
        last = slice(draws - length * per_chain, None)  # the oldest draws remember their start best
        energies = np.stack([one.energy[:, last] for one in series])
        _require_overlap(energies, [one.beta for one in series], size)
        levels, at = _levels(energies)
        owner = np.broadcast_to(np.repeat(np.arange(per_chain), length) + per_chain * np.arange(chains)[:, None], energies.shape[1:])
        sums = np.zeros((chains * per_chain, len(levels), 1 + len(COLUMNS)))
        for k, one in enumerate(series):
            rows = np.concatenate([np.ones((*one.energy.shape, 1)), one.columns], -1)[:, last] / one.tau
            where = (owner * len(levels) + at[k]).ravel()
            for column in range(rows.shape[-1]):
                sums[..., column] += np.bincount(where, rows[..., column].ravel(), sums[..., 0].size).reshape(sums.shape[:2])
        tau, centre = np.array([one.tau for one in series]), float(levels.mean())
        worth, betas = chains * per_chain * length / tau, np.array([one.beta for one in series])
        compared = betas, levels, at, owner, tau
        return cls(size, n_sites, betas, worth, levels - centre, centre, sums, tau, ratios(*compared), unit(*compared))

    @cached_property
    def free_energies(self) -> np.ndarray:
        """The f_k of all microstates, f_0 = 0."""
        counts = self.sums[..., 0].sum(0)
        f = self._start(counts)
        for _ in range(_STEPS):
            gradient, hessian = self._slopes(f[None], counts[None])
            step = _newton(gradient, hessian)[0]
            before, fraction = self._objective(f, counts), 1.0
            while self._objective(f - fraction * step, counts) > before + 1e-12 * abs(before) and fraction > 1e-6:
                fraction /= 2
            f = f - fraction * step
            if np.abs(step).max(initial=0.0) < _TOLERANCE:
                break
        return f

    def replicates(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums ``(replicate, levels, 1 + columns)`` and free energies ``(replicate, k)``; `draws` is how often each block is taken."""
        sums = np.tensordot(draws, self.sums, 1)
        f = np.repeat(self.free_energies[None], len(draws), 0)
        for _ in range(3):
            gradient, hessian = self._slopes(f, sums[..., 0])
            f = f - _newton(gradient, hessian)
        return sums, f

    def averages(self, betas: np.ndarray, sums: np.ndarray, f: np.ndarray) -> Averages:
        """Averages at inverse temperatures ``(beta,)`` of data sets ``(replicate, ...)``."""
        share = -self._log_mixture(self.free_energies[None])[0]  # of the data as they are; replicates differ by a factor near one
        log_weight = share - betas[:, None] * self.energies
        weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
        ratio = np.exp(-self._log_mixture(f) - share)
        counted = sums * ratio[..., None]
        moments = [np.moveaxis(np.tensordot(weight * self.energies**power, counted, (1, 1)), 0, 1) for power in (0, 1, 2)]
        total = moments[0][..., :1]
        return Averages(self, betas, *(moment / total for moment in moments))

    def effective(self, betas: np.ndarray) -> np.ndarray:
        """How many independent microstates an average at each temperature rests on: Kish's (Σw)²/Σw²."""
        counts = self.sums[..., 0].sum(0)
        log_weight = -self._log_mixture(self.free_energies[None])[0] - betas[:, None] * self.energies
        weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
        return np.asarray((weight @ counts) ** 2 / (weight**2 @ counts))

    def _log_mixture(self, f: np.ndarray) -> np.ndarray:
        """Log of Σ_k N_k exp(f_k − β_k E) ``(replicate, levels)``."""
        terms = (np.log(self.worth) + f)[:, None, :] - self.energies[:, None] * self.betas
        top = terms.max(-1)
        return np.asarray(top + np.log(np.exp(terms - top[..., None]).sum(-1)))

    def _slopes(self, f: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian of :meth:`_objective`, of every replicate."""
        gradients, hessians = [], []
        step = max(1, _AT_ONCE // (len(self.energies) * len(self.betas)))
        for k in range(0, len(f), step):
            own, number = f[k : k + step], counts[k : k + step]
            share = np.exp((np.log(self.worth) + own)[:, None, :] - self.energies[:, None] * self.betas - self._log_mixture(own)[..., None])
            taken = np.einsum("bl,blk->bk", number, share)
            gradients.append(taken - self.worth)
            inner = np.matmul((share * number[..., None]).swapaxes(1, 2), share)
            hessians.append(taken[:, :, None] * np.eye(len(self.betas)) - inner)
        return np.concatenate(gradients), np.concatenate(hessians)

    def _objective(self, f: np.ndarray, counts: np.ndarray) -> float:
        return float(counts @ self._log_mixture(f[None])[0] - self.worth @ f)

    def _start(self, counts: np.ndarray) -> np.ndarray:
        """Free energies after some steps of the plain iteration, which never fails; Newton's method is fast from there."""
        f = np.zeros(len(self.betas))
        for _ in range(20):
            share = -self._log_mixture(f[None])[0] + np.log(np.maximum(counts, 1e-300))
            terms = share[:, None] - self.energies[:, None] * self.betas
            top = terms.max(0)
            f = -(top + np.log(np.exp(terms - top).sum(0)))
            f = f - f[0]
        return f


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages of O, O·E and O·E² ``(replicate, beta, 1 + columns)``, E from the mean of the energies, and what is made of them."""

    of: Histograms
    betas: np.ndarray
    zeroth: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def mean(self, name: str) -> np.ndarray:
        """The average of a column ``(replicate, beta)``."""
        return np.asarray(self.zeroth[..., 1 + COLUMNS.index(name)])

    def slope(self, name: str) -> np.ndarray:
        """Its derivative with respect to β: −(⟨OE⟩ − ⟨O⟩⟨E⟩)."""
        return np.asarray(-(self.first[..., 1 + COLUMNS.index(name)] - self.mean(name) * self.first[..., 0]))

    @property
    def heat_capacity(self) -> np.ndarray:
        """Per site."""
        return np.asarray(self.betas**2 * (self.second[..., 0] - self.first[..., 0] ** 2) / self.of.n_sites)

    @property
    def susceptibility(self) -> np.ndarray:
        """Per site, of abs m."""
        return np.asarray(self.betas * self.of.n_sites * (self.mean("m2") - self.mean("abs_m") ** 2))

    @property
    def binder(self) -> tuple[np.ndarray, np.ndarray]:
        """U4 = 1 − ⟨m⁴⟩/(3⟨m²⟩²), and its slope in β."""
        m2, m4 = self.mean("m2"), self.mean("m4")
        ratio = m4 / (3 * m2**2)
        return 1 - ratio, -ratio * (self.slope("m4") / m4 - 2 * self.slope("m2") / m2)

    @property
    def length(self) -> tuple[np.ndarray, np.ndarray]:
        """The second-moment correlation length over L, √(⟨m²⟩/⟨m_k²⟩ − 1)/(2 L sin(π/L)), and its slope in β."""
        m2, wave, size = self.mean("m2"), self.mean("wave"), self.of.size
        inner = m2 / wave - 1
        scale = 1 / (2 * size * np.sin(np.pi / size))
        root = np.sqrt(np.maximum(inner, 1e-12))
        return scale * root, scale / (2 * root) * (m2 / wave) * (self.slope("m2") / m2 - self.slope("wave") / wave)

    @property
    def log_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Log of N⟨m²⟩, and its slope in β."""
        m2 = self.mean("m2")
        return np.log(self.of.n_sites * m2), self.slope("m2") / m2

    @property
    def helicity(self) -> np.ndarray:
        """Stiffness against a twist, of planar rotors."""
        return np.asarray(self.mean("stiff") - self.betas * self.mean("current2"))


def _require_overlap(energies: np.ndarray, betas: list[float], size: int) -> None:
    """An error that names the gap, where two neighbours ``(k, ...)`` have hardly an energy in common."""
    for k in range(len(betas) - 1):
        pair = energies[k : k + 2].reshape(2, -1)
        shares = [np.histogram(one, _BINS, (pair.min(), pair.max()))[0] / one.size for one in pair]
        if (overlap := float(np.minimum(*shares).sum())) < OVERLAP:
            low, high = betas[k : k + 2]
            raise HamlearnError(
                f"size {size}: microstates at beta={low:g} and beta={high:g} have energies that hardly overlap ({overlap:.2g}, at least "
                f"{OVERLAP} is needed): nothing joins them. Add microstates between, at beta={(low + high) / 2:.4g}."
            )


def _newton(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Newton's steps ``(replicate, k)`` that leave f_0 = 0: a constant added to all f changes nothing."""
    step = np.zeros_like(gradient)
    step[:, 1:] = np.linalg.solve(hessian[:, 1:, 1:], gradient[:, 1:, None])[..., 0]
    return step


def _levels(energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The energies that are told apart, and which of them every microstate has."""
    scale = np.abs(energies).max()
    levels, at = np.unique(np.round(energies / scale, 10), return_inverse=True)
    if len(levels) > LEVELS:
        low, width = energies.min(), np.ptp(energies) / LEVELS
        levels, at = np.unique(np.minimum((energies - low) // width, LEVELS - 1), return_inverse=True)
    at = at.reshape(energies.shape)
    return np.bincount(at.ravel(), energies.ravel()) / np.bincount(at.ravel()), at


__all__ = ["Averages", "Histograms"]


def __dir__() -> list[str]:
    return sorted(__all__)
