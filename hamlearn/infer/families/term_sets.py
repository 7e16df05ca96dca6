"""Sets of multi-spin terms compared one by one, each at strengths of its own: for data that hardly tell terms apart.

In nearly frozen data few rows say which terms exist: of two neighbours that are turned together there may be four in all. The
likelihood is then far from normal in the strength of a term that a handful of rows tells from another, and a normal surrogate around
one set calls the others impossible. Here every set near the best one is refitted under the likelihood itself and weighed by its
Laplace evidence (Madigan and Raftery, J. Am. Stat. Assoc. 89, 1535 (1994): Occam's window); draws of the posterior are independent.

Conditionals of single spins do not see what a set leaves free as a whole: without a bond between two sublattices each may be turned, and
a row has them parallel with probability one half. The likelihood of a set loses what the rows say against that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hamlearn.infer.families import terms
from hamlearn.infer.likelihoods.terms import TermLikelihood
from hamlearn.infer.settings import Gibbs
from hamlearn.statistics import first_largest

_WINDOW = 6.0  # nats below the best set, within which the neighbours of a set are looked at
_SLACK = 4.0  # nats by which the score test of an addition may be too small
_MOST = 2000  # sets


@dataclass(frozen=True, eq=False)
class _Set:
    """Terms, the mode of their strengths (others zero), its precision among them, and the log evidence."""

    members: np.ndarray
    theta: np.ndarray
    precision: np.ndarray
    evidence: float


class _Sets:
    """All sets that were looked at."""

    def __init__(self, likelihood: TermLikelihood, log_odds: np.ndarray, slab: float, rows: float) -> None:
        self.likelihood, self.log_odds, self.slab, self.tau, self.rows = likelihood, log_odds, slab, slab**-2.0, rows
        self._against: dict[bytes, float] = {}
        self.known: dict[frozenset[int], _Set] = {}
        self._grown: set[frozenset[int]] = set()

    @property
    def best(self) -> float:
        """The largest log evidence."""
        return max(one.evidence for one in self.known.values())

    def fit(self, key: frozenset[int], guess: np.ndarray) -> None:
        """Refit a set, from `guess`, unless it is known."""
        if key in self.known:
            return
        members = np.array(sorted(key), int)
        theta, precision = np.zeros(len(self.log_odds)), np.zeros((0, 0))
        if len(members):
            theta, precision = terms.newton(self.likelihood, members, self.slab, guess)
        prior = self.log_odds[members].sum() + 0.5 * (len(members) * np.log(self.tau) - self.tau * (theta**2).sum())
        value = self.likelihood.value_and_gradient(theta)[0]
        evidence = float(value + prior - 0.5 * np.linalg.slogdet(precision)[1])
        if not self.known or evidence > self.best - _WINDOW - _SLACK:
            evidence -= max((self.against(flip) for flip in free_flips(self.likelihood, members)), default=0.0)
        self.known[key] = _Set(members, theta, precision, evidence)

    def against(self, flip: np.ndarray) -> float:
        """Nats that the rows say against a set by which these sites turn freely: they are then parallel to the rest by a coin's fall."""
        key = flip.tobytes()
        if key not in self._against:
            parallel, count = 0.0, 0.0
            for part in self.likelihood.parts:
                states, weight = part.gathered
                spins = np.where(states < 0, 0, 2 * np.asarray(states, np.int64) - 1)
                product = np.sign(spins[:, flip].sum(1)) * np.sign(spins[:, ~flip].sum(1))
                parallel += float(weight @ (product > 0) + 0.5 * (weight @ (product == 0)))
                count += float(weight.sum())
            share = parallel / count
            entropy = -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)
            self._against[key] = self.rows * (math.log(2) - entropy)
        return self._against[key]

    def grow(self, key: frozenset[int], floor: float) -> None:
        """Fit the sets with one term more whose evidence may reach the floor."""
        if key in self._grown:
            return
        self._grown.add(key)
        one = self.known[key]
        gain = terms.gains(self.likelihood, one.theta, one.precision, one.members, self.log_odds, self.tau)
        for k in np.flatnonzero(one.evidence + gain > floor):
            self.fit(key | {int(k)}, one.theta)

    def look_around(self, key: frozenset[int]) -> None:
        """Fit the sets with one term more, one fewer, and one exchanged, as far as they may be within the window."""
        floor = self.best - _WINDOW - _SLACK
        self.grow(key, floor)
        for k in sorted(key):
            smaller, guess = key - {k}, self.known[key].theta.copy()
            guess[k] = 0.0
            self.fit(smaller, guess)
            self.grow(smaller, floor)


def free_flips(likelihood: TermLikelihood, members: np.ndarray) -> list[np.ndarray]:
    """Sets of sites, bool ``(n_sites,)``, whose spins may be turned together without a change of any energy, but for all sites.

    A basis of the null space of the placements over the field of two elements: a flip changes no product that holds an even number of
    its sites.
    """
    family = likelihood.family
    sites = np.arange(family.n_sites).reshape(family.shape)
    axes = tuple(range(len(family.shape)))
    rows = np.zeros((len(members) * family.n_sites, family.n_sites), bool)
    for k, member in enumerate(members):
        for offset in family.members[int(likelihood.chosen[member])]:
            rows[k * family.n_sites + np.arange(family.n_sites), np.roll(sites, tuple(-offset), axes).ravel()] ^= True
    pivots: list[int] = []
    for column in range(family.n_sites):
        at = np.flatnonzero(rows[len(pivots) :, column])
        if not len(at):
            continue
        here = len(pivots)
        rows[[here, here + at[0]]] = rows[[here + at[0], here]]
        others = np.flatnonzero(rows[:, column])
        rows[others[others != here]] ^= rows[here]
        pivots.append(column)
    found = []
    for column in sorted(set(range(family.n_sites)) - set(pivots)):
        flip = np.zeros(family.n_sites, bool)
        flip[column] = True
        flip[np.array(pivots, int)[rows[: len(pivots), column]]] = True
        found.append(flip)
    return [flip for flip in found if not flip.all()]


def sample(
    likelihood: TermLikelihood,
    log_odds: np.ndarray,
    slab: float,
    settings: Gibbs,
    start: np.ndarray,
    refined: terms.TermDraws,
    *,
    seed: int,
) -> tuple[terms.TermDraws, int]:
    """Independent draws, and the number of sets that they are drawn from.

    Parameters
    ----------
    likelihood, log_odds, slab
        Of all candidate terms, and their prior.
    settings : Gibbs
        How many draws.
    start : array of int
        The set to begin with.
    refined : TermDraws
        By how much scores vary more than the curvature says. A row in which two spins are turned together is seen by the conditionals of
        both, so that they vary by a factor of two at least.
    seed : int
    """
    factor = 1.0 if refined.score is None else max(refined.factor, terms.WORTH if likelihood.composite else 1.0)
    rows = sum(part.size for part in likelihood.parts)
    sets = _Sets(likelihood.weakened(factor), log_odds, slab, rows if refined.score is None else min(rows, refined.score.ess))
    sets.fit(frozenset(int(k) for k in start), np.zeros(len(log_odds)))
    sets.fit(frozenset(), np.zeros(len(log_odds)))
    seen: set[frozenset[int]] = set()
    while len(sets.known) < _MOST:
        near = [key for key, one in sets.known.items() if key not in seen and one.evidence > sets.best - _WINDOW]
        if not near:
            break
        key = max(near, key=lambda one: sets.known[one].evidence)
        seen.add(key)
        sets.look_around(key)
    found = list(sets.known.values())
    evidence = np.array([one.evidence for one in found])
    weight = np.exp(evidence - evidence.max())
    rng = np.random.default_rng(seed)
    theta = np.zeros((settings.chains * settings.draws, len(log_odds)))
    for draw, k in enumerate(rng.choice(len(found), size=len(theta), p=weight / weight.sum())):
        one = found[k]
        noise = np.linalg.solve(np.linalg.cholesky(one.precision).T, rng.normal(size=len(one.members)))
        theta[draw, one.members] = one.theta[one.members] + noise
    drawn = theta.reshape(settings.chains, settings.draws, -1)
    basis = refined.basis if refined.score is None else terms.one_factor(factor, refined.score, len(log_odds), len(log_odds))
    best = found[first_largest(evidence)].members
    return terms.TermDraws(drawn, drawn != 0, refined.score, basis, refined.steps, factor, refined.informed, best), len(found)
