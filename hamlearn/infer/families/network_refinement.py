"""From score matching to the exact likelihood: a few Newton steps on −ln p of rings, and penalties by the evidence.

Score matching solves for θ at once and starts the climb. The penalty is then a prior in the likelihood's own units, and how strong it is
follows from the evidence, the likelihood integrated over θ (a normal integral about the maximum; MacKay, Neural Comput. 4, 415, 1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.families.network_selection import DECAYS, Choice, embedding, folds, solved
from hamlearn.infer.likelihoods.network_ring import RingLikelihood, Rings
from hamlearn.infer.likelihoods.network_score import BLOCKS, TermSums
from hamlearn.models.network_action import BoundNetworkAction

_AT = 1 + 1e-6  # times the floor of κ: at it
_ROUNDS = 3  # of penalties by the evidence and the climb under them


class Refinement:
    """One form under the exact likelihood of blocks of rows.

    Parameters
    ----------
    whole : BoundNetworkAction
        The largest form, of which the sums are.
    betas, terms, worth
        By temperature: β, sums of terms of blocks, and how many independent rows a row is worth.
    one : Choice
        What score matching made of the form.
    """

    def __init__(
        self, whole: BoundNetworkAction, betas: Sequence[float], terms: Sequence[TermSums], worth: Sequence[float], one: Choice
    ) -> None:
        M = embedding(whole, one.bound.form)
        self.one, self.rings = one, Rings(one.bound, betas)
        self.terms, self.rows, self.worth = [part.terms @ M for part in terms], [part.rows for part in terms], worth

    def likelihood(self, kept: np.ndarray, one: Choice, *, prior: bool = True, free: bool = False) -> RingLikelihood:
        """That of the blocks `kept`, with the penalty of a choice as its prior; κ at its floor is held there unless all of θ is `free`."""
        totals = [worth * terms[kept].sum(0) for worth, terms in zip(self.worth, self.terms, strict=True)]
        sizes = [worth * float(rows[kept].sum()) for worth, rows in zip(self.worth, self.rows, strict=True)]
        held = one.floor if one.bound.form.steps and not free and one.theta[0] <= one.floor * _AT else None
        return RingLikelihood(self.rings, totals, sizes, one.penalty if prior else 0 * one.penalty, held)

    def chosen(self, starts: Iterable[np.ndarray] = (), *, free: bool) -> Choice | None:
        """θ at the maximum, with penalties by the evidence where they are `free`; None where the climb does not end.

        It begins where the likelihood is largest: at score matching's θ or one of `starts`, of forms that this one holds.
        """
        every = np.ones(BLOCKS, bool)
        plain = self.likelihood(every, self.one, prior=False, free=True)
        values = [(plain.value_and_gradient(theta)[0], k, theta) for k, theta in enumerate((self.one.theta, *starts))]
        value, _, theta = max(values, key=lambda one: one[:2])
        if not np.isfinite(value):
            return None
        now, best = replace(self.one, theta=theta), None
        for _ in range(_ROUNDS):
            decays = self._likeliest(every, now) if free else now.decays
            if best is not None and decays == best.decays:
                break
            climbed = self._climbed(every, replace(now, decays=decays))
            if climbed is None:
                break
            now = best = climbed
        return best

    def _climbed(self, kept: np.ndarray, one: Choice) -> Choice | None:
        """The maximum with κ free, or at its floor where that is below; None where the climb does not end."""
        below = replace(one, theta=np.r_[one.floor, one.theta[1:]])
        if one.bound.form.steps and self._falls(kept, one):  # a free climb would crowd against κ = 0, where ln Z is dear
            theta, reached = self.likelihood(kept, below).climbed(below.theta)
            one = replace(one, theta=theta)
            if reached and self._falls(kept, one):
                return self._there(kept, one)
        theta, reached = self.likelihood(kept, one, free=True).climbed(one.theta)
        if one.bound.form.steps and theta[0] < one.floor:
            theta, reached = self.likelihood(kept, below).climbed(np.r_[one.floor, theta[1:]])
        return self._there(kept, replace(one, theta=theta)) if reached else None

    def _falls(self, kept: np.ndarray, one: Choice) -> bool:
        """Whether a Newton step with all of θ leads to a κ below its floor."""
        free = self.likelihood(kept, one, free=True)
        _, slope = free.value_and_gradient(one.theta)
        return bool(one.theta[0] + solved(free.information(one.theta), slope, one.penalty)[0] < one.floor)

    def _there(self, kept: np.ndarray, one: Choice) -> Choice:
        return replace(one, H=self.likelihood(kept, one).information(one.theta))

    def _likeliest(self, kept: np.ndarray, one: Choice) -> tuple[float, float]:
        """The penalties whose evidence is largest, by the parabola of the likelihood at θ."""
        plain = self.likelihood(kept, one, prior=False, free=True)
        H, slope = plain.information(one.theta), plain.value_and_gradient(one.theta)[1]
        steps, values = (DECAYS if some else (0.0,) for some in (one.bound.form.steps, one.bound.form.values))
        able = product(steps, values)
        return max(able, key=lambda decays: evidence(H, H @ one.theta + slope, replace(one, decays=decays)))

    def pulls(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Slopes of the log likelihood of blocks ``(BLOCKS, n_params)`` and its curvature ``(n_params, n_params)``, by temperature."""
        known = self.rings.at(theta)
        if known is None:
            raise HamlearnError("this action does not confine paths: its likelihood has no slope.")
        return [
            (worth * (rows[:, None] * means - terms), worth * float(rows.sum()) * covariance)
            for worth, rows, terms, (_, means, covariance) in zip(self.worth, self.rows, self.terms, known, strict=True)
        ]

    def held_out(self, one: Choice) -> np.ndarray:
        """−ln p of every block under a Newton step from θ on the others, ``(BLOCKS,)``; infinite where that confines no paths."""
        found = np.full(BLOCKS, np.inf)
        for out in folds():
            theta, _ = self.likelihood(~out, one).climbed(one.theta, most=1)
            known = self.rings.at(theta)
            if known is None:
                return np.full(BLOCKS, np.inf)
            found[out] = 0.0
            for (log_z, _, _), terms, rows in zip(known, self.terms, self.rows, strict=True):
                found[out] += terms[out] @ theta + rows[out] * log_z
        return found


def evidence(H: np.ndarray, b: np.ndarray, one: Choice) -> float:
    """Logarithm of ∫ exp(b·θ − ½ θᵀHθ) p(θ) dθ under the prior of a choice's penalties, up to what penalties do not change."""
    whole = H + one.penalty
    scale = np.sqrt(np.diag(whole))
    volume = 0.5 * float(np.linalg.slogdet(whole / np.outer(scale, scale))[1]) + float(np.log(scale).sum())
    found = 0.5 * float(b @ solved(H, b, one.penalty)) - volume
    for block in one.networks:
        found += 0.5 * float(np.linalg.slogdet(one.penalty[block, block])[1])
    return found
