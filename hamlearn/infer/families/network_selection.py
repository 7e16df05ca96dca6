"""Which form a network action has, and with which penalties: by the score-matching loss of blocks that were held out.

Every form is a linear map of the largest one: fewer columns, or for an even potential each unit less its mirror image. So all forms
and penalties are tried on one pair of sums over the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import xarray as xr

from hamlearn.infer.likelihoods.network_score import BLOCKS, Sums
from hamlearn.models.network_action import BoundNetworkAction, Form, NetworkAction

DECAYS = tuple(10.0**power for power in range(5, -2, -1))
"""Penalties that "auto" tries: the weights of two units side by side differ by 1/√decay, a priori."""
WEAKER = 0.1
"""Share of the penalty that held-out loss chose, which is kept: what predicts best is held back by as much as it scatters, and a band
that is to cover needs the first to be less."""
LEVEL = 0.01
"""Share of the penalty that is on the weights themselves: their prior reaches over 1/√LEVEL units."""
_FOLDS, _LEAN = 5, 0.25  # how far the middle of the data may lie from zero, as a share of their range, for an even potential to be tried


@dataclass(frozen=True, eq=False)
class Choice:
    """A form with its penalties of k and v, the coefficients there, its loss on every block that was held out, and why."""

    bound: BoundNetworkAction
    decays: tuple[float, float]
    theta: np.ndarray
    H: np.ndarray
    held_out: np.ndarray
    told: str = ""

    @property
    def penalty(self) -> np.ndarray:
        """Prior precision of θ, ``(n_params, n_params)``: weights of units side by side differ little, and none is large."""
        found = np.zeros((self.bound.n_params,) * 2)
        for block, decay in zip(self.networks, self.decays, strict=True):
            count = block.stop - block.start
            apart = np.diff(np.eye(count), axis=0)
            found[block, block] = decay * (apart.T @ apart + LEVEL * np.eye(count))
        return found

    @property
    def networks(self) -> tuple[slice, slice]:
        """Where θ holds the readout weights of k and of v."""
        steps, _, values = self.bound.parts
        return steps, values


def largest(model: NetworkAction, bound: BoundNetworkAction, extent: tuple[float, float, float]) -> BoundNetworkAction:
    """The form that holds all that are tried; its units stand symmetrically about zero where an even potential is one of them."""
    longest, low, high = extent
    centred = abs(low + high) < 2 * _LEAN * (high - low)
    if model.even is True or (model.even == "auto" and centred):
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    degree = 4 if model.degree == "auto" else int(model.degree)
    networks = model.decay is not None
    return replace(bound, form=Form(tuple(range(1, degree + 1)), networks, networks), extent=(longest, low, high))


def forms(whole: BoundNetworkAction) -> Iterator[Form]:
    """Those to try, the simplest first: without networks, of low degree, even."""
    model, symmetric = whole.model, bool(np.isclose(whole.extent[1], -whole.extent[2]))
    degrees = [2, 4] if model.degree == "auto" else [int(model.degree)]
    even = [True, False] if model.even == "auto" and symmetric else [model.even is True]
    if model.decay is None:
        networks = [(False, False)]
    elif model.decay == "auto":
        networks = [(False, False), (False, True), (True, False), (True, True)]
    else:
        networks = [(True, True)]
    for (steps, values), degree, mirror in product(networks, degrees, even):
        yield Form(tuple(range(2, degree + 1, 2)) if mirror else tuple(range(1, degree + 1)), steps, values)


def embedding(whole: BoundNetworkAction, form: Form) -> np.ndarray:
    """The map from θ of a form to θ of the largest, ``(n_whole, n_form)``."""
    bound = replace(whole, form=form)
    found = np.zeros((whole.n_params, bound.n_params))
    (steps, powers, values), (own_steps, own_powers, own_values) = whole.parts, bound.parts
    found[0, 0] = 1.0
    if form.steps:
        found[steps, own_steps] = np.eye(steps.stop - steps.start)
    for column, power in zip(range(own_powers.start, own_powers.stop), form.powers, strict=True):
        found[powers.start + whole.form.powers.index(power), column] = 1.0
    if form.values and form.even:  # tanh((−x − m)/s) = −tanh((x + m)/s)
        half, count = own_values.stop - own_values.start, values.stop - values.start
        for k in range(half):
            found[values.start + count - half + k, own_values.start + k] = 1.0
            found[values.start + half - 1 - k, own_values.start + k] = -1.0
    elif form.values:
        found[values, own_values] = np.eye(values.stop - values.start)
    return found


def select(whole: BoundNetworkAction, parts: Sequence[Sums], factors: Sequence[float]) -> tuple[Choice, xr.Dataset]:
    """The simplest form that is not worse than the best by more than a standard error or a nat, and what all of them left held out."""
    A = sum(factor * part.A for factor, part in zip(factors, parts, strict=True))
    b = sum(factor * part.b for factor, part in zip(factors, parts, strict=True))
    tried = [best_of(whole, form, np.asarray(A), np.asarray(b)) for form in forms(whole)]
    able = [one for one in tried if one.bound.confining(one.theta)] or tried
    best = min(able, key=lambda one: float(one.held_out.sum()))
    behind = [one.held_out - best.held_out for one in able]
    close = [_as_good(one) for one in behind]
    chosen = able[close.index(True)]
    if whole.model.decay == "auto":
        weaker = replace(chosen, decays=(WEAKER * chosen.decays[0], WEAKER * chosen.decays[1]))
        theta = solved(weaker.H, embedding(whole, weaker.bound.form).T @ np.asarray(b).sum(0), weaker.penalty)
        chosen = replace(weaker, theta=theta) if weaker.bound.confining(theta) else chosen
    gain = able[0].held_out - best.held_out
    told = f"{described(chosen)}; at best, networks, degree and asymmetry gain {gain.sum():.3g} ± {_error(gain):.2g} nats of held-out score"
    table = xr.Dataset(
        {
            "held_out": ("form", [float(one.held_out.sum() - best.held_out.sum()) for one in tried]),
            "decay_steps": ("form", [one.decays[0] for one in tried]),
            "decay_values": ("form", [one.decays[1] for one in tried]),
        },
        coords={"form": [described(one) for one in tried]},
    )
    return replace(chosen, told=told), table


def described(one: Choice) -> str:
    """A form in words."""
    form, (steps, values) = one.bound.form, one.decays
    kinetic = f"quadratic and a network (decay {steps:g})" if form.steps else "quadratic"
    potential = f"powers {', '.join(map(str, form.powers))}" + (f" and a network (decay {values:g})" if form.values else "")
    return f"kinetic term {kinetic}; potential {'even, ' if form.even else ''}{potential}"


def best_of(whole: BoundNetworkAction, form: Form, A: np.ndarray, b: np.ndarray) -> Choice:
    """One form with the weakest penalties that are not worse than the best, held out, by more than a standard error or a nat.

    What a penalty holds back is in the error bars if weights are as small as it says; of several that predict alike the weakest says least.
    """
    M, bound = embedding(whole, form), replace(whole, form=form)
    A, b = M.T @ A @ M, b @ M
    asked = whole.model.decay
    some = DECAYS if asked == "auto" else (float(asked),) if asked is not None else (0.0,)
    held = [np.arange(BLOCKS) % _FOLDS == fold for fold in range(_FOLDS)]
    rest = [(A[~out].sum(0), b[~out].sum(0)) for out in held]
    tried = []
    for decays in product(some if form.steps else (0.0,), some if form.values else (0.0,)):
        one = Choice(bound, decays, np.zeros(bound.n_params), A.sum(0), np.zeros(BLOCKS))
        losses = np.zeros(BLOCKS)
        for out, (curvature, slope) in zip(held, rest, strict=True):
            theta = solved(curvature, slope, one.penalty)
            losses[out] = 0.5 * (A[out] @ theta) @ theta - b[out] @ theta
        tried.append(replace(one, held_out=losses))
    best = min(tried, key=lambda one: float(one.held_out.sum()))
    able = [one for one in tried if _as_good(one.held_out - best.held_out)]
    found = min(able, key=lambda one: float(np.prod(one.decays)))
    return replace(found, theta=solved(found.H, b.sum(0), found.penalty))


def solved(H: np.ndarray, b: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """(H + Λ)⁻¹ b, scaled so that powers of very different sizes do no harm."""
    whole = H + penalty
    scale = np.sqrt(np.maximum(np.diag(whole), 1e-300))
    found: np.ndarray = np.linalg.solve(whole / np.outer(scale, scale) + 1e-12 * np.eye(len(b)), b / scale) / scale
    return found


def _as_good(behind: np.ndarray) -> bool:
    """Whether losses of blocks are above those of the best by no more than a standard error or a nat."""
    return float(behind.sum()) <= max(1.0, _error(behind))


def _error(differences: np.ndarray) -> float:
    """Standard error of the sum of independent blocks."""
    return float(np.sqrt(len(differences)) * differences.std(ddof=1))
