"""Readout error rates that are not known where states are too many to be listed: the likelihood's equations, all averages being sampled.

The score of a row is what its completions, draws of the true values given what was read, are on average,

    g = (βE[T | reading] − β⟨T⟩, E[∂ log p(reading | x; f) | reading]),

of couplings θ and rates f, with ⟨T⟩ from chains of the model that begin at completed rows and go on from step to step (persistent ones:
Younes, Stochastics 65, 177 (1999)). In the second every cell stands as the probability, not the fact, that it was misread given the others
of its row. The pseudo-likelihood's equation of θ would do as well, but leaves rates twice as uncertain.

What g changes with is known from rows that the solution makes, A = −E[∂g] = Cov(g, g), each factor from completions of its own, whose noise
is then in no product; J, the scatter of the total score, is that of the data's rows, shrunk to that of these, and holds the noise of ⟨T⟩.
What the data say is the normal exp(−½ gᵀJ⁻¹g) with g linear in (θ, f): it says nothing where A is nothing, such as of the rate of a site
without bonds, and asks for no inverse of A. It is expanded where the mean of the posterior is, found by steps to the mean of draws,
shorter ones where they go back and forth. Of the rates it is the likelihood alone, along the couplings that are most probable with their
priors, as where states are listed (:mod:`hamlearn.infer.rates`): the priors' own slope, which wants small couplings, made rates of 6×6
spins two error bars too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.infer import augmented
from hamlearn.infer.calibrate import Calibration, inverse_root, require_batches, shrunk_to_even
from hamlearn.infer.completions import Completions
from hamlearn.infer.likelihoods.normal import NormalLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import normal_blocks, prior_terms
from hamlearn.infer.provenance import Basis
from hamlearn.infer.rates import declared, moments
from hamlearn.infer.rates_by_site import Expansion, WithRates
from hamlearn.infer.replicates import Free
from hamlearn.infer.scatter import ScoreCovariance, score_covariance
from hamlearn.models import BoundCouplings
from hamlearn.models.priors import Distribution
from hamlearn.progress import track

if TYPE_CHECKING:
    from hamlearn.infer.fit import Fit

_EACH = 2  # completions of a row, whose averages are known apart
_ROUNDS, _SWEEPS = 8, 4  # of the way to where steps begin, and sweeps of one of them
_STEPS, _SPENT = 24, 6000  # steps and sweeps, at most
_LEAST, _MOST = 1e-3, 0.45  # rates that equations are taken at
_FAR = 0.03  # way of a rate at once
_SETTLED, _NOISE = 0.3, 0.1  # squared length of a step for every parameter, and what share of J may be the noise of completions
_SLOWEST, _ALIGNED = 0.25, 0.3  # share of a step that is taken at least, and cosine of steps that hang together
_NEAR = 0.5  # standard deviations by which the mean of a rate may still move
_FEWEST, _MOST_SWEEPS = 16, 512  # that completions are averaged over
_MOST_MADE = 64  # of rows that a solution makes
_MADE, _FEWEST_MADE = 30, 2000  # rows made of a solution: for every parameter, and at least
_REMEMBERED = 0.25  # correlation of where chains are with where they began; chance alone makes 0.1 of hundreds of parameters
_STUCK = 0.7  # the same after three steps, beyond which more of them will not do
_NOT_FOUND = (
    "the readout error rate is not found: couplings and rates move with every step, as where rows hardly differ (few of them, or a low "
    "temperature). Give a prior on (0, 0.5) that says more, such as numpyro.distributions.Beta(2, 60), fewer bonds, more rows, or the "
    "rates, hl.microstates(..., flip=rate)."
)
_FLOOR = 1e-8  # of the scores' own scatter: directions that no row tells of
_WALKERS = 150, 1  # and draws of each, that say where the mean of the rates is


@dataclass(frozen=True, eq=False)
class Joint:
    """What the data say of couplings and rates, δ = (θ, f) − here: exp(slopeᵀδ − ½ δᵀ precision δ).

    Attributes
    ----------
    theta, rates : array (n_params,), array (rate,)
        Where.
    slope, precision : array (n_params + rate,), array (n_params + rate, n_params + rate)
    """

    theta: np.ndarray
    rates: np.ndarray
    slope: np.ndarray
    precision: np.ndarray

    def expansion(self, bound: BoundCouplings, *, flat: bool = False) -> Expansion:
        """Couplings integrated out, with normal priors (none if `flat`): the density of rates, and couplings at given ones."""
        p = len(self.theta)
        _, pull, stiff = prior_terms(bound, self.theta, None if flat else normal_blocks(bound))
        inner, cross = self.precision[:p, :p] + np.diag(stiff), self.precision[:p, p:]
        root = inverse_root(inner)
        solved = lambda right: root @ (root.T @ right)
        step, move = solved(self.slope[:p] + pull), -solved(cross)
        # Of the likelihood alone, along the maxima with priors, as in Expansion.of: the priors' own slope would be the evidence's.
        curvature = self.precision[p:, p:] + cross.T @ move - move.T @ (stiff[:, None] * move)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        curvature = vectors * np.maximum(values, 0) @ vectors.T
        slope = self.slope[p:] - cross.T @ step - move.T @ (pull - stiff * step)
        return Expansion(self.rates, slope, curvature, self.theta + step, move, root)


class NormalWithRates(NormalLikelihood):
    """The likelihood of couplings that :class:`Joint` leaves where rates are as probable as they turned out to be."""

    composite = False

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], centre: np.ndarray, known: Calibration, joint: Joint) -> None:
        super().__init__(bound, parts, "exact", centre, known)
        self.joint = joint


class AugmentedRates(WithRates):
    """Rates by the expansion that data augmentation found, their priors, and couplings given these."""

    def expansion(self, fit: Fit, rates: np.ndarray, start: np.ndarray) -> Expansion:
        """The same at all rates."""
        assert isinstance(fit.likelihood, NormalWithRates)
        return fit.likelihood.joint.expansion(fit.likelihood.bound)


def work(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """CPU seconds of one ordinary core that :func:`likelihood` takes, about (benchmarks/couplings/readout.py)."""
    rows, sites, rates = sum(part.weight.size for part in parts), bound.lattice.n_sites, len(bound.model.flip)
    made, near = max(_FEWEST_MADE, _MADE * (bound.n_params + rates)), 1 + 2 * bound.lattice.n_bonds / sites
    sweeps = _EACH * 50 * (rows + made) + 100 * max(rows, made)
    return 1.0 + (3 if rates == 1 else 7) * sweeps * sites * (2e-8 * near * bound.space.q + 4e-8)


def likelihood(bound: BoundCouplings, parts: Sequence[Observations], seed: int) -> NormalWithRates:
    """The solution of the averaged equations as a normal likelihood, with what it says of rates whose priors the model has.

    `parts` are declared to be misread at some rate, where the search begins.

    Raises
    ------
    HamlearnError
        If completed data have no finite maximum, or the equations' zero is not found.
    """
    priors = bound.model.flip
    rows, size = sum(part.weight.size for part in parts), bound.n_params + len(priors)
    count = max(_FEWEST_MADE, _MADE * size)
    memory.require(8 * 6 * (rows + count) * size, f"scores of {rows} rows for {size} parameters", "Take fewer bonds or rows.")
    theta, rates = np.zeros(bound.n_params), np.clip([moments(one)[0] for one in priors], _LEAST, _MOST)
    parts = declared(bound, parts, rates)
    drawn = [Completions(bound, part, _EACH, seed + number) for number, part in enumerate(parts)]
    prior = normal_blocks(bound)
    with track(_ROUNDS + _STEPS, "integrating over readout errors") as bar:
        for _ in range(_ROUNDS):
            theta = augmented.solved(bound, drawn, theta, prior)
            bar.advance()
            for one in drawn:
                one.sweep(theta, _SWEEPS)
        free = [Free(one, max(one.part.weight.size, _FEWEST_MADE, -(-count // len(drawn))), seed + k) for k, one in enumerate(drawn)]
        sweeps, sd = (_FEWEST, _FEWEST), np.full(len(rates), _FAR)
        least = np.minimum(_FAR / 4, [np.sqrt(moments(one)[1]) for one in priors])  # so narrow a prior has a grid of its own
        spent, pace, step = 0, 1.0, np.zeros(size)
        for number in range(_STEPS):
            drawn = [one.misread(part) for one, part in zip(drawn, declared(bound, parts, rates), strict=True)]
            joint, score, noise = _joint(drawn, free, theta, rates, sweeps, count, seed + number)
            found = joint.expansion(bound)
            wanted, sd, spread = _mean(found, priors, rates, np.maximum(sd, least), seed)
            far = np.maximum(_FAR, rates / 2)
            new = np.clip(np.clip(wanted, rates - far, rates + far), _LEAST, _MOST)
            step, before = np.concatenate([found.theta + found.move @ (new - found.rates) - theta, new - rates]), step
            bar.advance()
            if number == 2:
                _require_mixed(free, _STUCK)  # before minutes are spent on it
            near = step @ joint.precision @ step < _SETTLED * size and np.all(np.abs(wanted - rates) <= _NEAR * sd)
            if near and all(share < _NOISE or many == _MOST_SWEEPS for share, many in zip(noise, sweeps, strict=True)):
                break
            pace *= _pacing(step, before, joint.precision)
            pace = min(max(pace, _SLOWEST), 1.0)
            theta, rates = theta + pace * step[: bound.n_params], rates + pace * step[bound.n_params :]
            spent += sum(sweeps)
            if spent > _SPENT or number == _STEPS - 1:
                raise HamlearnError(_NOT_FOUND)
            first, second = (max(many, int(np.ceil(1.5 * many * share / _NOISE))) for many, share in zip(sweeps, noise, strict=True))
            sweeps = min(first, _MOST_SWEEPS), min(second, _MOST_SWEEPS)
    _require_mixed(free, _REMEMBERED)
    alone = joint.expansion(bound, flat=True)
    covariance = alone.root @ alone.root.T + alone.move @ spread @ alone.move.T
    covariance = (covariance + covariance.T) / 2
    basis = Basis("sandwich", {"batches": score.batches, "kind": score.kind, "composite": False, "tau": score.tau})
    known = Calibration(np.linalg.inv(covariance), np.linalg.cholesky(covariance), float(score.batches - 1), True, basis, score)
    return NormalWithRates(bound, [one.part for one in drawn], alone.theta + alone.move @ (wanted - alone.rates), known, joint)


def _pacing(step: np.ndarray, before: np.ndarray, precision: np.ndarray) -> float:
    """By what the share of a step that is taken changes: less where it goes back where the one before came from, more where it goes on."""
    cosine = step @ precision @ before / np.sqrt(max((before @ precision @ before) * (step @ precision @ step), 1e-300))
    return 1.0 if abs(cosine) < _ALIGNED else 1.5 if cosine > 0 else 0.5


def _require_mixed(free: Sequence[Free], most: float) -> None:
    """An error where chains remember where they began: ⟨T⟩ would then hold the noise of the data that it is compared with."""
    memory_left = max(float(one.memory.max()) for one in free)
    if memory_left > most:
        raise HamlearnError(
            "an unknown readout error rate needs averages of the model, and its chains still remember where they began (correlation "
            f"{memory_left:.2f}): it is too cold for moves of single sites. Learn from a higher temperature, or declare the rate, "
            "hl.microstates(..., flip=rate)."
        )


def _mean(
    found: Expansion, priors: Sequence[Distribution], at: np.ndarray, sd: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviations and covariance of the rates by an expansion and their priors."""
    for _ in range(2):  # grids around where they are
        drawn = found.sampled(priors, at, 8 * sd, *_WALKERS, seed).reshape(-1, len(at))
        at, sd = drawn.mean(0), drawn.std(0)
    return at, sd, np.atleast_2d(np.cov(drawn.T))


def _joint(
    drawn: Sequence[Completions], free: Sequence[Free], theta: np.ndarray, rates: np.ndarray, sweeps: tuple[int, int], count: int, seed: int
) -> tuple[Joint, ScoreCovariance, tuple[float, float]]:
    """What the data say near some couplings and rates, how their scores scatter, and what share of that is noise of completions."""
    p = len(theta)
    scores, value = [_scores(one, theta, rates, sweeps[0]) for one in drawn], np.zeros(p + len(rates))
    A, J, drawn_noise = np.zeros((3, len(value), len(value)))
    for number, (one, chains, found) in enumerate(zip(drawn, free, scores, strict=True)):
        part = one.part
        mean, scatter = _averages(chains.chains, theta, sweeps[1])
        value += part.weight.reshape(-1) @ found.mean(0)
        value[:p] -= part.size * part.beta * mean
        drawn_noise[:p, :p] += (part.size * part.beta) ** 2 * scatter
        made = _scores(chains.read(part, -(-count // len(drawn)), _EACH, seed + number), theta, rates, min(sweeps[0], _MOST_MADE))
        made -= made.mean(1, keepdims=True)
        cross = made[0].T @ made[1]
        A += part.size / made.shape[1] * (cross + cross.T) / 2
        J += part.size / made.shape[1] * made.mean(0).T @ made.mean(0)
    score = score_covariance(augmented.Numbered.of([one.part for one in drawn], [one.mean(0) for one in scores]), np.zeros(len(A)))
    require_batches(score)
    root = _floored_root(_shrunk(score, J) + drawn_noise)
    noise = _noise(scores, [one.part for one in drawn], root), _largest(root.T @ drawn_noise @ root)
    white = root.T @ A
    return Joint(theta, rates, white.T @ (root.T @ value), white.T @ white), score, noise


def _averages(free: Completions, theta: np.ndarray, sweeps: int) -> tuple[np.ndarray, np.ndarray]:
    """⟨T⟩ from chains, and the covariance of its noise: every chain counts as one, however its sweeps hang together."""
    found = np.concatenate([free.averages(theta, sweeps, rows)[0][:, 0] for rows in _pieces(free)])
    return found.mean(0), np.atleast_2d(np.cov(found.T)) / len(found)


def _pieces(one: Completions) -> list[slice]:
    """Rows whose averages are held at once."""
    each = max(1, augmented.CHUNK // (2 * (one.bound.n_params + one.bound.lattice.n_bonds * one.bound.space.q**2)))
    return [slice(start, start + each) for start in range(0, len(one.states), each)]


def _shrunk(score: ScoreCovariance, expected: np.ndarray) -> np.ndarray:
    """J, shrunk to a multiple of what is expected by as much as :func:`hamlearn.infer.calibrate.steady_sandwich` does."""
    half = _floored_root(expected)
    white = half.T @ ((score.J + score.J.T) / 2) @ half
    mean, shrinkage = shrunk_to_even(white, score.batches)
    return np.asarray((1 - shrinkage) * score.J + shrinkage * mean * expected)


def _floored_root(symmetric: np.ndarray) -> np.ndarray:
    """R with RRᵀ the inverse, in units of the diagonal; directions that no row tells of are as if rows told a little."""
    scale = np.sqrt(np.maximum(np.diag(symmetric), 1e-300))
    values, vectors = np.linalg.eigh(symmetric / np.outer(scale, scale))
    return np.asarray(vectors / np.sqrt(np.maximum(values, _FLOOR)) / scale[:, None])


def _noise(scores: Sequence[np.ndarray], parts: Sequence[Observations], root: np.ndarray) -> float:
    """What share of J is the noise of completions, in the direction where it is largest; root rootᵀ being the inverse of J."""
    apart = [np.sqrt(part.weight.reshape(-1, 1)) * (one[0] - one[1]) / 2 @ root for one, part in zip(scores, parts, strict=True)]
    return _largest(np.sum([one.T @ one for one in apart], 0))


def _largest(symmetric: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(symmetric)[-1])


def _scores(one: Completions, theta: np.ndarray, rates: np.ndarray, sweeps: int) -> np.ndarray:
    """Scores of all rows but for ⟨T⟩, ``(half, row, n_params + rate)``: averages over so many sweeps of either completion."""
    part, p = one.part, len(theta)
    result, per_site = np.zeros((2, len(one.states), p + len(rates))), np.broadcast_to(rates, part.states.shape[-1])
    read = part.states.reshape(len(one.states), -1) >= 0
    one.sweep(theta, _SWEEPS)
    for rows in _pieces(one):
        T, wrong = one.averages(theta, sweeps, rows)
        result[:, rows, :p] = part.beta * T.swapaxes(0, 1)
        slopes = np.where(read[rows, None], (wrong - per_site) / (per_site * (1 - per_site)), 0.0)
        result[:, rows, p:] = (slopes if len(rates) > 1 else slopes.sum(-1, keepdims=True)).swapaxes(0, 1)
    return result
