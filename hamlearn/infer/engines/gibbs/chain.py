"""One chain of the spike-and-slab posterior on a normal likelihood: couplings one by one, collapsed sweeps, hyperparameters."""

# ruff: noqa: NPY002 (compiled code: numba has its own generator behind np.random, seeded in chain.advance)
from __future__ import annotations

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.infer.engines.gibbs.collapsed import log_odds, sweep, three_ways

_MOVES = 8  # changes of place after a collapsed sweep; a few are as cheap as the sweep itself
_FREE = 160  # couplings a collapsed sweep may change: bounds its cost where thousands are candidates


@compiled()
def _log_slab(strengths, centre, width2, common, slab):  # type: ignore[no-untyped-def]
    """Log density of strengths and hyperparameters with the signs summed over, as a density in s² (and μ, if there is one)."""
    total = -np.log1p(width2 / slab**2) - 0.5 * np.log(width2) - np.log(np.pi * slab)
    if common:
        total += 0.5 * np.log(2 / np.pi) - np.log(10 * slab) - 0.5 * (centre / (10 * slab)) ** 2
    for t in strengths:
        total += -0.5 * np.log(2 * np.pi * width2) - 0.5 * (t - centre) ** 2 / width2
        total += np.log1p(np.exp(-2 * t * centre / width2)) - np.log(2.0)
    return total


@compiled()
def _log_normal(x, centre, width2):  # type: ignore[no-untyped-def]
    """Log density of |N(centre, width2)| at x."""
    return -0.5 * np.log(2 * np.pi * width2) - 0.5 * (x - centre) ** 2 / width2 + np.log1p(np.exp(-2 * x * centre / width2))


@compiled()
def _log_inverse_gamma(x, shape, scale):  # type: ignore[no-untyped-def]
    """Log density up to what depends on the shape only."""
    return shape * np.log(scale) - (shape + 1) * np.log(x) - scale / x


@compiled()
def switch(strengths, centre, width2, slab, odds):  # type: ignore[no-untyped-def]
    """Propose a common magnitude where there is none, and none where there is one; returns the new (μ, s²).

    The proposal is fitted to the strengths (k of them: the same before and after, so the step is a plain
    Metropolis–Hastings one); where they are too few to fit anything it is the prior.
    """
    k = len(strengths)
    was = centre > 0.0
    total, squares = 0.0, 0.0
    for t in strengths:
        total += t
        squares += t * t
    mean = total / max(k, 1)
    spread = max(squares - k * mean**2, 0.0)
    shape = 0.5 * (k + 1)
    wide, narrow = 0.5 * (squares + slab**2), 0.5 * (spread * (1 + 1 / max(k, 1)) + 1e-6 * slab**2)
    if k < 3:
        new2 = (slab * np.tan(0.5 * np.pi * np.random.random())) ** 2
        new = 0.0 if was else abs(10 * slab * np.random.normal())
    else:
        new2 = (wide if was else narrow) / np.random.gamma(shape)
        new = 0.0 if was else abs(mean + np.sqrt(new2 / k) * np.random.normal())
    if not 1e-8 * slab**2 < new2 < 1e6 * slab**2 or (not was and new == 0.0):
        return centre, width2
    ratio = (-odds if was else odds) + _log_slab(strengths, new, new2, not was, slab) - _log_slab(strengths, centre, width2, was, slab)
    if k < 3:
        nothing = strengths[:0]
        ratio += _log_slab(nothing, centre, width2, was, slab) - _log_slab(nothing, new, new2, not was, slab)
    elif was:
        ratio += _log_inverse_gamma(width2, shape, narrow) + _log_normal(centre, mean, width2 / k) - _log_inverse_gamma(new2, shape, wide)
    else:
        ratio += _log_inverse_gamma(width2, shape, wide) - _log_inverse_gamma(new2, shape, narrow) - _log_normal(new, mean, new2 / k)
    if np.log(np.random.random()) < ratio:
        return new, new2
    return centre, width2


@compiled()
def _one_by_one(precision, n_couplings, field_precision, tau, centre, odds, theta, sign, residual):  # type: ignore[no-untyped-def]
    """Every parameter anew given all others; θ, signs and the residual in place, so that a coupling that stays zero costs O(1)."""
    for k in range(len(theta)):
        q = precision[k, k]
        pull = residual[k] + q * theta[k]
        if k >= n_couplings:
            width = q + field_precision
            new = pull / width + np.random.normal() / np.sqrt(width)
        else:
            width = q + tau
            plus, minus = log_odds(pull, width, tau, centre, odds)
            sign[k] = three_ways(plus, minus)
            new = 0.0
            if sign[k] != 0.0:
                new = (pull + sign[k] * tau * centre) / width + np.random.normal() / np.sqrt(width)
        change = new - theta[k]
        if change != 0.0:
            residual -= precision[k] * change
            theta[k] = new


@compiled()
def _hyper(theta, sign, strengths, numbers, slab, inclusion, common):  # type: ignore[no-untyped-def]
    """Numbers π, s² and μ anew given the couplings, in place, and signs given them; `strengths` is room for as many as there are."""
    probability, width2, centre = numbers
    n_couplings, active = len(sign), 0
    for k in range(n_couplings):
        if sign[k] != 0.0:
            strengths[active] = abs(theta[k])
            active += 1
    if inclusion < 0:
        probability = min(max(np.random.beta(1.0 + active, 1.0 + n_couplings - active), 1e-12), 1 - 1e-12)
    if 0.0 < common < 1.0:
        new_centre, width2 = switch(strengths[:active], centre, width2, slab, np.log(common) - np.log1p(-common))
        if new_centre != centre:
            centre = new_centre
            for k in range(n_couplings):
                if sign[k] != 0.0:
                    sign[k] = 1.0 if np.random.random() < 1 / (1 + np.exp(-2 * theta[k] * centre / width2)) else -1.0
    auxiliary = (1.0 / slab**2 + 1.0 / width2) / np.random.gamma(1.0)
    squares, aligned = 0.0, 0.0
    for k in range(n_couplings):
        if sign[k] != 0.0:
            squares += (theta[k] - sign[k] * centre) ** 2
            aligned += sign[k] * theta[k]
    width2 = (0.5 * squares + 1.0 / auxiliary) / np.random.gamma(0.5 * (active + 1))
    width2 = min(max(width2, 1e-8 * slab**2), 1e6 * slab**2)
    if centre > 0.0:
        weight = active / width2 + 1.0 / (10 * slab) ** 2
        centre = aligned / width2 / weight + np.random.normal() / np.sqrt(weight)
        if centre < 0.0:  # (μ, all signs) and (−μ, all signs flipped) are one state
            centre = -centre
            for k in range(n_couplings):
                sign[k] = -sign[k]
    numbers[0], numbers[1], numbers[2] = probability, width2, centre


@compiled()
def advance(  # type: ignore[no-untyped-def]
    precision, linear, n_couplings, field_precision, slab, inclusion, common, theta, sign, numbers, first, last, burn_in, thin, every, seed
):
    """Sweeps `first` to `last` of one chain from θ, signs and `numbers` (π, s², μ); every so many sweeps a collapsed one.

    θ and the residual linear − precision·θ are kept in step. Returns the new θ, signs and numbers, and of every draw θ, what is in, and
    π, s, μ.
    """
    np.random.seed(seed)  # numba's own generator of this thread, not NumPy's
    theta, sign, numbers = theta.copy(), sign.copy(), numbers.copy()
    residual = linear - precision @ theta
    before = max(first - burn_in, 0) // thin
    draws = max(last - burn_in, 0) // thin - before
    kept, signs, hyper = np.zeros((draws, len(theta))), np.zeros((draws, n_couplings), np.int8), np.zeros((draws, 3))
    strengths, free = np.zeros(n_couplings), np.ones(n_couplings, np.bool_)
    for step in range(first, last):
        tau, centre = 1.0 / numbers[1], numbers[2]
        odds = np.log(numbers[0]) - np.log1p(-numbers[0])
        _one_by_one(precision, n_couplings, field_precision, tau, centre, odds, theta, sign, residual)
        if step % every == every - 1:
            if n_couplings > _FREE:
                free[:] = False
                free[np.random.permutation(n_couplings)[:_FREE]] = True
            each = np.full(n_couplings, odds)
            sweep(precision, linear, n_couplings, field_precision, tau, centre, each, theta, sign, free, _MOVES)
            residual = linear - precision @ theta
        _hyper(theta, sign, strengths, numbers, slab, inclusion, common)
        if step % 64 == 63:
            residual = linear - precision @ theta  # rounding of many small updates must not pile up
        if step >= burn_in and (step - burn_in) % thin == thin - 1:
            draw = (step - burn_in) // thin - before
            kept[draw] = theta
            for k in range(n_couplings):
                signs[draw, k] = sign[k] != 0.0
            hyper[draw] = numbers[0], np.sqrt(numbers[1]), numbers[2]
    return theta, sign, numbers, kept, signs, hyper
