"""Which forms a network action may have, and the penalties of each: by the score-matching loss of blocks that were held out.

Every form is a linear map of the largest one: fewer columns, or for an even potential each unit less its mirror image. So all forms
and penalties are tried on one pair of sums over the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hamlearn.infer.likelihoods.network_score import BLOCKS
from hamlearn.models.network_action import BoundNetworkAction, Form, NetworkAction

DECAYS = tuple(10.0**power for power in range(5, -2, -1))
"""Penalties that "auto" tries: the weights of two units side by side differ by 1/√decay, a priori."""
WEAKER = 0.1
"""Share of the penalty that held-out loss chose, which is kept: what predicts best is held back by as much as it scatters, and a band
that is to cover needs the first to be less."""
LEVEL = 0.01
"""Share of the penalty that is on the weights themselves: their prior reaches over 1/√LEVEL units."""
FLOOR = 0.01
"""Share of the κ without networks that k's parabola keeps beside one: long steps of a k that grows more slowly ask for none, and get it."""
_FOLDS, _LEAN = 5, 0.25  # how far the middle of the data may lie from zero, as a share of their range, for an even potential to be tried


@dataclass(frozen=True, eq=False)
class Choice:
    """A form with its penalties of k and v, the coefficients there, its loss on every block that was held out, its least κ, and why.

    Of the exact likelihood (`exact`), θ and the curvature `H` are the likelihood's, and `matched` is what score matching made of the form.
    """

    bound: BoundNetworkAction
    decays: tuple[float, float]
    theta: np.ndarray
    H: np.ndarray
    held_out: np.ndarray
    floor: float = 0.0
    told: str = ""
    matched: Choice | None = None

    @property
    def exact(self) -> bool:
        """Whether θ is that of the exact likelihood."""
        return self.matched is not None

    def solve(self, H: np.ndarray, b: np.ndarray) -> np.ndarray:
        """θ of data with this curvature and linear part; where they would have κ below the floor beside a network, that of κ there."""
        theta = solved(H, b, self.penalty)
        if not (self.bound.form.steps and theta[0] < self.floor):
            return theta
        rest = solved(H[1:, 1:], b[1:] - self.floor * H[1:, 0], self.penalty[1:, 1:])
        return np.r_[self.floor, rest]

    @property
    def penalty(self) -> np.ndarray:
        """Prior precision of θ, ``(n_params, n_params)``: weights of units side by side differ little, and none is large."""
        found = np.zeros((self.bound.n_params,) * 2)
        for block, decay in zip(self.networks, self.decays, strict=True):
            count = block.stop - block.start
            apart = np.diff(np.eye(count), axis=0)
            found[block, block] = decay * (apart.T @ apart + LEVEL * np.eye(count))
        return found

    def held_back(self, J: np.ndarray) -> np.ndarray:
        """Mean square of what the penalty takes out of the score: the penalty times the weights' prior covariance times the penalty.

        Held out, a penalty is best where it is the prior's precision times what the score, of covariance `J`, scatters over its
        curvature in these directions.
        """
        scatter = self.penalty.copy()
        for block in self.networks:
            scatter[block, block] *= max(np.trace(J[block, block]) / max(np.trace(self.H[block, block]), 1e-300), 1.0)
        return scatter

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
    return replace(bound, form=largest_form(model), extent=(longest, low, high))


def largest_form(model: NetworkAction) -> Form:
    """All powers, and both networks where the model has them."""
    degree = 4 if model.degree == "auto" else int(model.degree)
    networks = model.decay is not None
    return Form(tuple(range(1, degree + 1)), networks, networks)


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


def weaker(chosen: Choice, whole: BoundNetworkAction, b: np.ndarray) -> Choice:
    """The same form with the share WEAKER of its penalties, where "auto" chose them and paths are still confined."""
    if whole.model.decay != "auto":
        return chosen
    found = replace(chosen, decays=(WEAKER * chosen.decays[0], WEAKER * chosen.decays[1]))
    theta = found.solve(found.H, embedding(whole, found.bound.form).T @ b.sum(0))
    return replace(found, theta=theta) if found.bound.confining(theta) else chosen


def described(one: Choice) -> str:
    """A form in words."""
    form, (steps, values) = one.bound.form, one.decays
    kinetic = f"quadratic and a network (decay {steps:g})" if form.steps else "quadratic"
    potential = f"powers {', '.join(map(str, form.powers))}" + (f" and a network (decay {values:g})" if form.values else "")
    return f"kinetic term {kinetic}; potential {'even, ' if form.even else ''}{potential}"


def best_of(whole: BoundNetworkAction, form: Form, A: np.ndarray, b: np.ndarray) -> Choice:
    """One form with the weakest penalties that confine paths and are not worse than the best, held out, by more than an error or a nat.

    What a penalty holds back is in the error bars if weights are as small as it says; of several that predict alike the weakest says least.
    """
    M, bound = embedding(whole, form), replace(whole, form=form)
    A, b = M.T @ A @ M, b @ M
    asked = whole.model.decay
    some = DECAYS if asked == "auto" else (float(asked),) if asked is not None else (0.0,)
    plain = bound.linear
    floor = FLOOR * float(solved(A.sum(0)[np.ix_(plain, plain)], b.sum(0)[plain], np.zeros((len(plain),) * 2))[0])
    held = folds()
    rest = [(A[~out].sum(0), b[~out].sum(0)) for out in held]
    tried, firm = [], []
    for decays in product(some if form.steps else (0.0,), some if form.values else (0.0,)):
        one = Choice(bound, decays, np.zeros(bound.n_params), A.sum(0), np.zeros(BLOCKS), floor)
        thetas = np.stack([one.solve(curvature, slope) for curvature, slope in [*rest, (one.H, b.sum(0))]])
        losses = np.zeros(BLOCKS)
        for out, theta in zip(held, thetas, strict=False):
            losses[out] = 0.5 * (A[out] @ theta) @ theta - b[out] @ theta
        tried.append(replace(one, theta=thetas[-1], held_out=losses))
        firm.append((bool(bound.confining(thetas[-1])), bool(np.all(bound.confining(thetas)))))
    # Where data leave a tail open, a weak penalty may bend it the wrong way, and a stronger one that predicts as well does not.
    able = [one for one, found in zip(tried, firm, strict=True) if found == max(firm)]
    best = min(able, key=lambda one: float(one.held_out.sum()))
    return min((one for one in able if as_good(one.held_out - best.held_out)), key=lambda one: float(np.prod(one.decays)))


def folds() -> list[np.ndarray]:
    """Which blocks are held out at a time, ``(BLOCKS,)`` of bool each."""
    return [np.arange(BLOCKS) % _FOLDS == fold for fold in range(_FOLDS)]


def solved(H: np.ndarray, b: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """(H + Λ)⁻¹ b, scaled so that powers of very different sizes do no harm."""
    whole = H + penalty
    scale = np.sqrt(np.maximum(np.diag(whole), 1e-300))
    found: np.ndarray = np.linalg.solve(whole / np.outer(scale, scale) + 1e-12 * np.eye(len(b)), b / scale) / scale
    return found


def as_good(behind: np.ndarray, errors: float = 1.0) -> bool:
    """Whether losses of blocks are above those of the best by no more than so many standard errors, or as many nats."""
    return float(behind.sum()) <= errors * max(1.0, error(behind))


def error(differences: np.ndarray) -> float:
    """Standard error of the sum of independent blocks."""
    return float(np.sqrt(len(differences)) * differences.std(ddof=1))
