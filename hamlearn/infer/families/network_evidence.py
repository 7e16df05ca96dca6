"""Which form a network action has: by the likelihood of held-out paths, among forms that the data do not contradict.

Score matching sees slopes. Of two wells that paths rarely pass between it hardly sees which one is deeper, so that its held-out loss can
prefer an action under which half of the paths would not be where they are, and as easily misses that one is. The transfer operator of a
path has log Z, so what the forms say of paths that took no part in the fit is compared by −ln p = S + ln Z, on one scale for all
temperatures. Forms that the loss of score matching puts far behind are not asked. Contradicted is a form under which temperatures have
different coefficients, and an even one where odd moments of the paths are not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.special
import scipy.stats
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer.families import network_selection
from hamlearn.infer.families.network_refinement import Refinement
from hamlearn.infer.families.network_selection import Choice, as_good, embedding, error
from hamlearn.infer.likelihoods.network_ring import MOST_POINTS, PRECISE
from hamlearn.infer.likelihoods.network_score import BLOCKS, Sums, TermSums
from hamlearn.models.network_action import BoundNetworkAction
from hamlearn.systems.exact import transfer_operator

UNLIKELY = 1e-3
"""P-value below which data contradict a form."""
POSSIBLE = 0.025
"""Belief in a form, against the best alone, from which on it may be the better one: two standard errors of normal blocks."""
MOVED = 0.05
"""Square of a learned less an observed mean, over the variance among paths: a quarter of a standard deviation, and some 3 % of a share."""
FAR = 5.0
"""Standard errors of held-out score behind the best form, beyond which a form is not asked for its likelihood."""
_NOTABLE = 0.05  # belief in a form, below which it is not spoken of
_CERTAIN = 5.0  # standard errors between a learned and an observed mean
_REPLICATES = 4000  # of the Bayesian bootstrap


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the data are, for every form: sums of score matching and of the terms themselves, temperature by temperature.

    Attributes
    ----------
    whole : BoundNetworkAction
        The largest form.
    betas : sequence of float
    quadratic : sequence of Sums
    terms : sequence of TermSums
    factors : sequence of float
        What makes the losses of the temperatures comparable.
    worth : sequence of float
        How many independent rows a row of each temperature is worth.
    """

    whole: BoundNetworkAction
    betas: Sequence[float]
    quadratic: Sequence[Sums]
    terms: Sequence[TermSums]
    factors: Sequence[float]
    worth: Sequence[float]

    @property
    def A(self) -> np.ndarray:
        """Curvatures of all temperatures together, ``(BLOCKS, n_whole, n_whole)``."""
        return np.sum([factor * part.A for factor, part in zip(self.factors, self.quadratic, strict=True)], axis=0)

    @property
    def b(self) -> np.ndarray:
        """The same of their linear parts, ``(BLOCKS, n_whole)``."""
        return np.sum([factor * part.b for factor, part in zip(self.factors, self.quadratic, strict=True)], axis=0)

    def by_temperature(self, one: Choice) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Curvatures and linear parts of one form's score-matching loss, temperature by temperature."""
        M = embedding(self.whole, one.bound.form)
        curvatures = [factor * (M.T @ part.A.sum(0) @ M) for factor, part in zip(self.factors, self.quadratic, strict=True)]
        return curvatures, [factor * (part.b.sum(0) @ M) for factor, part in zip(self.factors, self.quadratic, strict=True)]


def select(data: Evidence, *, exact: bool = True) -> tuple[Choice, xr.Dataset]:
    """The simplest form that may be as likely as the best (POSSIBLE), and a table of all that were tried.

    Contradicted forms give way: an even one of data that are not symmetric to any that is not even, one whose temperatures disagree
    to one that may be as likely. (One that is far less likely is wrong as well, though its temperatures agree.)
    """
    whole, A, b = data.whole, data.A, data.b
    tried = [network_selection.best_of(whole, form, A, b) for form in network_selection.forms(whole)]
    able = [k for k, one in enumerate(tried) if one.bound.confining(one.theta)] or list(range(len(tried)))
    leader = tried[min(able, key=lambda k: float(tried[k].held_out.sum()))]
    near = [k for k in able if as_good(tried[k].held_out - leader.held_out, FAR)]
    matched = list(tried)
    losses = _refine(data, tried, near) if exact else {}
    if not any(np.all(np.isfinite(one)) for one in losses.values()):
        tried, losses = matched, {k: held_out(data, matched[k]) for k in near}
    known = [k for k in near if np.all(np.isfinite(losses[k]))]
    if not known:  # an action that the transfer operator does not resolve
        known, losses = near, {k: tried[k].held_out for k in near}
    agreements = {k: agreement(data, matched[k]) for k in known}
    mirrored = symmetry(data)
    asked = [k for k in known if not (mirrored < UNLIKELY and tried[k].bound.form.even)] or known
    best = min(asked, key=lambda k: float(losses[k].sum()))
    possible = [k for k in asked if weights(np.stack([losses[k], losses[best]]))[0] >= POSSIBLE]
    asked = [k for k in possible if not agreements[k] < UNLIKELY] or possible
    which = asked[0]
    shares = dict(zip(asked, weights(np.stack([losses[k] for k in asked])), strict=True))
    chosen = network_selection.weaker(matched[which], whole, b)
    if tried[which].exact:
        chosen = replace(tried[which], matched=chosen, held_out=losses[which])
    gain = losses[which] - losses[best]
    told = (
        f"{network_selection.described(chosen)}; no other gains more than {gain.sum():.3g} ± {error(gain):.2g} nats of held-out likelihood"
    )
    every = range(len(tried))
    table = xr.Dataset(
        {
            "held_out": ("form", [float(one.held_out.sum() - leader.held_out.sum()) for one in tried]),
            "log_likelihood": ("form", [float(losses[best].sum() - losses[k].sum()) if k in losses else np.nan for k in every]),
            "agreement": ("form", [agreements.get(k, np.nan) for k in every]),
            "share": ("form", [shares.get(k, 0.0) for k in every]),
            "chosen": ("form", [int(k == which) for k in every]),
            "decay_steps": ("form", [one.decays[0] for one in tried]),
            "decay_values": ("form", [one.decays[1] for one in tried]),
            "theta": (("form", "term"), np.stack([embedding(whole, one.bound.form) @ one.theta for one in tried])),
        },
        coords={"form": [network_selection.described(one) for one in tried]},
        attrs={"symmetry": mirrored},
    )
    return replace(chosen, told=told), table


def _refine(data: Evidence, tried: list[Choice], near: Sequence[int]) -> dict[int, np.ndarray]:
    """What held-out paths say of the forms `near` under the exact likelihood, which are put in the place of those `tried`."""
    losses: dict[int, np.ndarray] = {}
    known: list[np.ndarray] = []  # θ of the largest form, of forms that are done
    for k in near:
        inverse = np.linalg.pinv(M := embedding(data.whole, tried[k].bound.form))
        starts = [theta for whole in known if np.allclose(M @ (theta := inverse @ whole), whole)]
        refinement = Refinement(data.whole, data.betas, data.terms, data.worth, tried[k])
        found = refinement.chosen(starts, free=data.whole.model.decay == "auto")
        losses[k] = np.full(BLOCKS, np.inf) if found is None else refinement.held_out(found)
        if found is not None:
            known.append(M @ found.theta)
            tried[k] = replace(found, held_out=tried[k].held_out, matched=tried[k])
    return losses


def rivals(table: xr.Dataset) -> list[tuple[np.ndarray, float]]:
    """Forms beside the chosen one that deserve belief: their θ of the largest form, and how much; of the table of :func:`select`."""
    if "theta" not in table:  # a file of before
        return []
    able = (table["share"].values > _NOTABLE) & (table["chosen"].values == 0)
    return [(table["theta"].values[k], float(table["share"].values[k])) for k in np.flatnonzero(able)]


def held_out(data: Evidence, one: Choice) -> np.ndarray:
    """−ln p of the paths of every block under the form learned without them, ``(BLOCKS,)``; infinite where that confines no paths."""
    M = embedding(data.whole, one.bound.form)
    A, b, found = M.T @ data.A @ M, data.b @ M, np.zeros(BLOCKS)
    for out in network_selection.folds():
        theta = one.solve(A[~out].sum(0), b[~out].sum(0))
        if not one.bound.confining(theta):
            return np.full(BLOCKS, np.inf)
        for beta, part in zip(data.betas, data.terms, strict=True):
            try:
                log_z = transfer_operator(one.bound.system(theta), beta, PRECISE, MOST_POINTS).log_partition
            except HamlearnError:
                return np.full(BLOCKS, np.inf)
            found[out] += part.terms[out] @ (M @ theta) + part.rows[out] * log_z
    return found


def weights(losses: np.ndarray) -> np.ndarray:
    """How much of the belief each of several forms ``(form, BLOCKS)`` has, given what it left held out.

    Pseudo-BMA with the Bayesian bootstrap over blocks (Yao, Vehtari, Simpson and Gelman, Bayesian Anal. 13, 917, 2018).
    """
    blocks = losses.shape[1]
    drawn = blocks * np.random.default_rng(0).dirichlet(np.ones(blocks), _REPLICATES)
    logits = -drawn @ losses.T
    found: np.ndarray = np.exp(logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)).mean(0)
    return found


def agreement(data: Evidence, one: Choice) -> float:
    """P-value of one form having the same coefficients at all temperatures, from the scatter of blocks; nan for one temperature."""
    if len(data.betas) < 2:
        return float("nan")
    M, scatter = embedding(data.whole, one.bound.form), []
    for part, factor in zip(data.quadratic, data.factors, strict=True):
        scores = factor * (part.b - part.A @ (M @ one.theta)) @ M
        scatter.append(BLOCKS * np.cov(scores.T))
    statistic, count = disagreement(one, *data.by_temperature(one), scatter)
    free = BLOCKS - 1
    return float(scipy.stats.f.sf(statistic * (free - count + 1) / (free * count), count, free - count + 1))


def symmetry(data: Evidence) -> float:
    """P-value of x and −x being alike: of sums of x and x³ of paths having mean zero at every temperature; by the scatter of blocks."""
    _, powers, _ = data.whole.parts
    odd = [powers.start + k for k, power in enumerate(data.whole.form.powers) if power in (1, 3)]
    least, free = 1.0, BLOCKS - 1
    for part in data.terms:
        means = part.terms[:, odd] / part.rows[:, None]
        scale = np.maximum(means.std(0), 1e-300)
        mean, scatter = (means / scale).mean(0), np.atleast_2d(np.cov((means / scale).T))
        square = BLOCKS * mean @ np.linalg.pinv(scatter, hermitian=True) @ mean
        count = len(odd)
        least = min(least, float(scipy.stats.f.sf(square * (free - count + 1) / (free * count), count, free - count + 1)))
    return min(1.0, len(data.terms) * least)


@dataclass(frozen=True)
class Misplaced:
    """A mean of x^power at one temperature: as learned, as observed, the error of that, and their distance squared over the variance."""

    beta: float
    power: int
    learned: float
    observed: float
    error: float
    moved: float


def misplaced(data: Evidence, found: Choice) -> list[Misplaced]:
    """Where the learned action puts paths elsewhere than they are: its means of x and x² against those observed, by the transfer operator.

    The posterior of score matching may be wide enough to hold both; data that know better contradict it nevertheless.
    """
    told, start = [], data.whole.parts[1].start
    for beta, part in zip(data.betas, data.terms, strict=True):
        try:
            operator = transfer_operator(found.bound.system(found.theta), beta, PRECISE)
        except HamlearnError:  # nothing is simulated from it either
            return []
        density = operator.density() * operator.h
        for power in (1, 2):
            means = part.terms[:, start + power - 1] / part.rows / beta
            observed, spread = float(np.average(means, weights=part.rows)), float(means.std(ddof=1))
            learned = float(density @ operator.x**power)
            distance, fine = (learned - observed) ** 2, spread**2 / BLOCKS
            moved = distance / max(fine * float(part.rows.sum()), 1e-300)
            if distance > _CERTAIN**2 * fine and moved > MOVED:
                told.append(Misplaced(beta, power, learned, observed, float(np.sqrt(fine)), moved))
    return told


def disagreement(
    found: Choice, curvatures: Sequence[np.ndarray], slopes: Sequence[np.ndarray], scatter: Sequence[np.ndarray]
) -> tuple[float, int]:
    """Square of how far apart temperatures put the coefficients of the polynomials, in error bars, and how many differences that is.

    Each temperature's loss is ½ θᵀAθ − bᵀθ with A of `curvatures` and b of `slopes`; `scatter` is the covariance of its summed score.
    """
    L, p = found.bound.linear, found.bound.n_params
    size = p + len(L) * (len(curvatures) - 1)
    H, J, b = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size)
    for t, (curvature, slope, score) in enumerate(zip(curvatures, slopes, scatter, strict=True)):
        own = np.eye(size)[:p]  # from (θ, δ_2, δ_3 …) to the θ of this temperature
        if t:
            own[L, p + len(L) * (t - 1) + np.arange(len(L))] = 1.0
        H += own.T @ curvature @ own
        J += own.T @ score @ own
        b += slope @ own
    penalty, kept = np.zeros((size, size)), np.zeros((size, size))
    penalty[:p, :p], kept[:p, :p] = found.penalty, found.held_back(J[:p, :p])
    scale = np.sqrt(np.diag(H + penalty))
    inverse = np.linalg.pinv((H + penalty) / np.outer(scale, scale), rcond=1e-13, hermitian=True) / np.outer(scale, scale)
    shift, covariance = (inverse @ b)[p:], (inverse @ (J + kept) @ inverse)[p:, p:]
    return float(shift @ np.linalg.solve(covariance, shift)), len(shift)
