"""What to be careful with in a transition that was found, in words."""

from __future__ import annotations

import math
import sys

import numpy as np
import scipy.stats

from hamlearn.infer.critical.crossings import Curves
from hamlearn.infer.critical.histograms import Histograms
from hamlearn.infer.critical.ratios import Unit
from hamlearn.infer.critical.scaling import Scaled

_FEW = 0.1  # of the effective microstates of a size: below it a temperature is hardly covered
_UNLIKELY = 0.01  # of a form that is right


def of_scaling(fitted: Scaled, sizes: list[int], found: Curves) -> list[str]:
    """Of the fit of finite-size scaling."""
    notes = []
    if len(sizes) < 3:
        notes.append(
            f"two sizes ({sizes[0]}, {sizes[1]}) cannot tell corrections from exponents: their priors decide how wide intervals are"
        )
    if fitted.p_value < _UNLIKELY:
        notes.append(f"the form of finite-size scaling does not describe these sizes (p = {fitted.p_value:.1g}): leave out the smallest")
    if fitted.rhat > 1.05:
        notes.append(f"the chains of the fit disagree (R̂ = {fitted.rhat:.2f}): intervals may be too narrow")
    outside = np.mean((fitted.beta_c < found.betas[0]) | (fitted.beta_c > found.betas[-1]))
    if outside > 0.01:
        notes.append(f"{100 * outside:.0f} % of the draws of βc lie outside β = {found.betas[0]:.4g} to {found.betas[-1]:.4g}: widen it")
    return notes


def of_stiffness(p_value: float, sizes: list[int]) -> list[str]:
    """What a Kosterlitz–Thouless transition rests on."""
    if len(sizes) < 3:
        return [f"two sizes ({sizes[0]}, {sizes[1]}) fit any logarithmic correction: that the transition is of this kind is not tested"]
    if p_value < _UNLIKELY:
        return [
            f"the stiffness does not approach 2T/π as at a Kosterlitz–Thouless transition (p = {p_value:.1g}): leave out the smallest size"
        ]
    return []


def of_temperatures(found: list[Histograms]) -> list[str]:
    """Where energies contradict the temperatures that were declared, or the system whose energies they are."""
    what = contradiction(found)
    return [f"do not believe it: {what}, system= is another one, or chains have not forgotten their start"] if what else []


def contradiction(found: list[Histograms]) -> str | None:
    """How energies contradict the declared temperatures, in words; None if they do not."""
    every = [(one.size, ratio) for one in found for ratio in one.ratios]
    if not every:
        return None
    size, worst = min(every, key=lambda one: one[1].p_value)
    factor, error, p_value = _factor([one.unit for one in found])
    tests = len(every) + 1
    if min(worst.p_value, p_value) * tests >= _UNLIKELY:
        return None
    if p_value < worst.p_value:
        return (
            f"energies of all sizes are of temperatures whose differences are {factor:.3g} ± {error:.1g} times those declared "
            f"(p = {p_value * tests:.1g}): the unit of β is another one"
        )
    return (
        f"energies of size {size} at β = {worst.low:.4g} and {worst.high:.4g} are not of these temperatures (they "
        f"differ by about {worst.apparent:.2g} and not {worst.high - worst.low:.2g}; p = {worst.p_value * tests:.1g}): "
        "β is declared wrong"
    )


def _factor(units: list[Unit]) -> tuple[float, float, float]:
    """By what all steps between temperatures are to be multiplied, its error, and the p-value of one; by the fewest blocks of a size."""
    score, variance, information = (sum(getattr(one, name) for one in units) for name in ("score", "variance", "information"))
    error = max(math.sqrt(variance), sys.float_info.min)
    p_value = 2 * scipy.stats.t.sf(abs(score) / error, min(one.blocks for one in units) - 1)
    return 1 - score / information, error / information, float(p_value)


def of_coverage(found: Curves) -> list[str]:
    """Where few microstates stand for a temperature between those that were observed."""
    notes = []
    for one in found.averages:
        effective = one.of.effective(found.betas)
        if effective.min() < _FEW * effective.max():
            at = found.betas[effective.argmin()]
            notes.append(f"size {one.of.size}: at β = {at:.4g} only {effective.min():.0f} independent microstates stand for the average")
    return notes


__all__ = ["contradiction", "of_coverage", "of_scaling", "of_stiffness", "of_temperatures"]


def __dir__() -> list[str]:
    return sorted(__all__)
