"""Which multi-spin terms exist: a greedy climb on the pseudo-likelihood, then Gibbs sampling around where it ends.

In ordered data the products of spins are nearly collinear: first-order steps never converge, and an unpenalised optimum
means nothing. So only sparse models are ever expanded around. The climb adds the term with the largest Bayes factor
(score test), refits by Newton steps, and drops what no longer pays; the Gibbs sampler then moves on the calibrated
normal surrogate N(θ̂ | θ, (HJ⁻¹H)⁻¹) at the climb's end, with a prior probability of its own for every term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.infer.engines.gibbs import collapsed
from hamlearn.infer.engines.gibbs.surrogate import Surrogate, adjusted
from hamlearn.infer.likelihoods.terms import TermLikelihood
from hamlearn.infer.optimum import maximise
from hamlearn.infer.provenance import Basis
from hamlearn.infer.scatter import ScoreCovariance, score_covariance, score_rows
from hamlearn.infer.settings import Gibbs
from hamlearn.models import Normal
from hamlearn.models.base import Block
from hamlearn.statistics import descending, first_largest

_MOST_STEPS = 200  # of the climb: terms added and dropped
_FACTOR_TERMS = 24
_TRUSTED_STEPS = 8  # of the climb before it asks how many independent microstates the data are worth
WORTH = 2.0  # pseudo-likelihoods of independent microstates vary up to about so much more than their curvature says
_COLLAPSED = 64  # terms, up to which every sweep integrates the strengths out: its cost grows as their number cubed
_MOVES = 8  # changes of place after such a sweep
_ROW_VALUES = 8_000_000  # scores of rows that are kept, 64 MB
_INFORMED = 10.0  # rows that a direction needs before its own scatter counts as much as what is usual
_FLAT = 1e-10  # eigenvalues of H below this share of the largest: directions the data never visited


@dataclass(frozen=True)
class TermDraws:
    """Draws of a sparse posterior.

    Attributes
    ----------
    theta, included : array (chain, draw, n_params)
    score : ScoreCovariance or None
    basis : Basis
        How error bars were calibrated.
    steps : int
        Of the climb.
    factor : float
        By how much estimates vary more than the curvature says, on average over terms.
    informed : float
        Of the direction that the fewest rows inform, how many these are.
    best : array of int or None
        The most probable set of terms, where sets were compared.
    """

    theta: np.ndarray
    included: np.ndarray
    score: ScoreCovariance | None
    basis: Basis
    steps: int
    factor: float = 1.0
    informed: float = np.inf
    best: np.ndarray | None = None

    @property
    def selected(self) -> np.ndarray:
        """The most probable set; otherwise all that exist with a posterior probability above one half (the median probability model)."""
        if self.best is not None:
            return self.best
        return np.flatnonzero(self.included.mean((0, 1)) > 0.5)


def newton(likelihood: TermLikelihood, active: np.ndarray, slab: float, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of pseudo-likelihood times slab over the active parameters: θ (others zero), and the precision there."""
    slabs = (Block("K", 0, len(active), Normal(slab)),)
    smaller: Any = likelihood.restricted(active)  # its prior is given, so its bound is asked for nothing
    best = maximise(smaller, slabs, start=start[active], shown=False)
    theta = np.zeros(likelihood.n_params)
    theta[active] = best.theta
    return theta, best.information + np.diag(best.penalty)


def climb(
    likelihood: TermLikelihood, log_odds: np.ndarray, slab: float, start: np.ndarray, most: int = _MOST_STEPS
) -> tuple[np.ndarray, int]:
    """A sparse θ that no addition or removal of one term improves (by Laplace Bayes factors), and the steps taken."""
    tau, active, theta = slab**-2.0, [int(k) for k in start], np.zeros(likelihood.n_params)
    seen: set[frozenset[int]] = set()
    for step in range(most):  # noqa: B007 (reported)
        here = np.array(sorted(active), int)
        if len(here):
            theta, precision = newton(likelihood, here, slab, theta)
            variance = np.diag(np.linalg.inv(precision))
            keep = log_odds[here] + 0.5 * theta[here] ** 2 / variance + 0.5 * np.log(tau * variance)
            if keep.min() < 0:
                worst = int(here[first_largest(-keep)])
                active.remove(worst)
                theta[worst] = 0.0
                continue
        else:
            theta, precision = np.zeros(likelihood.n_params), np.zeros((0, 0))
        if frozenset(active) in seen:
            break  # a cycle of equally good models
        seen.add(frozenset(active))
        gain = gains(likelihood, theta, precision, here, log_odds, tau)
        if gain.max(initial=-np.inf) <= 0:
            break
        # Placements that share no site hardly stand in for each other: a glass is not climbed bond by bond.
        best, taken = gain.max(), set[int]()
        for k in descending(gain):
            if gain[k] < max(0.2 * best, 1e-12) or (taken and likelihood.family.copies == 1):
                break
            sites = likelihood.placement(int(k))
            if not taken & sites:
                active.append(int(k))
                taken |= sites
    return theta, step + 1


def gains(
    likelihood: TermLikelihood, theta: np.ndarray, precision: np.ndarray, here: np.ndarray, log_odds: np.ndarray, tau: float
) -> np.ndarray:
    """By how much every term would raise the log evidence of the terms `here`, about: a score test, ``(n_params,)``; −∞ for those here."""
    _, gradient, width = likelihood.moments(theta)
    if len(here):
        cross = likelihood.information(theta, columns=here)
        width = width - np.einsum("pa,ap->p", cross, np.linalg.solve(precision, cross.T))
    width = np.maximum(width, 0.0) + tau
    gain = log_odds + 0.5 * gradient**2 / width + 0.5 * np.log(tau / width)
    gain[here] = -np.inf
    return np.asarray(gain)


def tempered_climb(
    likelihood: TermLikelihood, log_odds: np.ndarray, slab: float, start: np.ndarray, *, calibrated: bool = True
) -> tuple[np.ndarray, int]:
    """The climb with evidence counted in independent microstates.

    Successive microstates of a Markov chain repeat each other; Bayes factors that take them as independent add spurious
    terms without end. A climb that is not over after a few steps measures by how much its scores vary more than those of
    independent microstates would, and starts anew with every observation counted that much less.
    """
    theta, steps = climb(likelihood, log_odds, slab, start, _TRUSTED_STEPS)
    if steps < _TRUSTED_STEPS:
        return theta, steps
    factor = _factor(likelihood, theta)[0] if calibrated else 1.0
    begin = np.flatnonzero(theta) if factor <= WORTH else start
    found, more = climb(likelihood.weakened(max(factor, 1.0)), log_odds, slab, begin)
    return found, steps + more


def _factor(likelihood: TermLikelihood, theta: np.ndarray) -> tuple[float, ScoreCovariance, int]:
    """Mean of H⁻¹J over some of the terms, the covariance it was taken from, and how many terms these are."""
    p = likelihood.n_params
    some = np.union1d(np.flatnonzero(theta), np.linspace(0, p - 1, min(p, _FACTOR_TERMS)).astype(int))
    part = likelihood.restricted(some)
    score = score_covariance(part, theta[some])
    worth = float(np.trace(np.linalg.pinv(part.information(theta[some]), rcond=_FLAT, hermitian=True) @ score.J))
    return max(1.0, worth / len(some)), score, len(some)


def one_factor(factor: float, score: ScoreCovariance, count: int, p: int) -> Basis:
    """What the width rests on where every observation counts less by one factor, seen of `count` of `p` terms."""
    return Basis("factor", {"factor": factor, "batches": score.batches, "kind": score.kind, "count": count, "n_params": p})


def surrogate(likelihood: TermLikelihood, theta: np.ndarray, *, calibrated: bool, rough: bool = False) -> tuple[Surrogate, float]:
    """Normal surrogate exp(linear·θ − ½ θᵀ precision θ) of the calibrated pseudo-likelihood around `theta`.

    With it the number of rows that inform its least informed direction (∞ where nobody looked).

    With at least 4 independent batches a parameter, precision is HJ⁻¹H with J shrunk towards a multiple of H; with fewer
    it is H over the mean of H⁻¹J, a single factor. A `rough` one takes that factor from a few of the terms only.

    Of frozen spins, J in a direction that a handful of rows (or none) inform is no estimate: none by chance is a J of zero, a
    precision without bound. Every direction's J is that of the rows it has, as of (Σz²)²/Σz⁴, and of as many that scatter as
    pseudo-likelihoods do.
    """
    information = likelihood.information(theta)
    gradient = likelihood.value_and_gradient(theta)[1]
    if not calibrated:
        return Surrogate(information, information @ theta + gradient, 1.0, None, Basis("off", {"composite": True})), np.inf
    p = likelihood.n_params
    if rough and p > 2 * _FACTOR_TERMS:
        factor, score, count = _factor(likelihood, theta)
        basis = one_factor(factor, score, count, p)
        return Surrogate(information / factor, (information @ theta + gradient) / factor, factor, score, basis), np.inf
    rows, score = score_rows(likelihood, theta, minimum=4 * p, most=_ROW_VALUES // p)
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    known = values > _FLAT * values.max(initial=0.0)
    white = vectors[:, known] / np.sqrt(values[known])  # Wᵀ HW = 1
    scores = rows @ white
    squares = scores**2
    worth = squares.sum(0) ** 2 / np.maximum((squares**2).sum(0), 1e-300)
    trust = worth / (worth + _INFORMED)
    covariance = scores.T @ scores
    mean = max(float(trust @ np.diag(covariance) / trust.sum()) if trust.any() else WORTH, 1e-3)
    covariance *= np.sqrt(np.outer(trust, trust))
    covariance += np.diag((1 - trust) * max(mean, WORTH))
    if score.batches < 4 * p:
        basis = one_factor(mean, score, p, p)
        return Surrogate(information / mean, (information @ theta + gradient) / mean, mean, score, basis), float(worth.min(initial=np.inf))
    # The relative noise of J is of order p / batches (Ledoit & Wolf 2004, with a multiple of H as the target).
    shrink = min(1.0, 2 * p / score.batches)
    covariance = (1 - shrink) * covariance + shrink * mean * np.eye(len(covariance))
    precision, linear = adjusted(information @ white, covariance, theta, white.T @ gradient)
    basis = Basis("surrogate", {"batches": score.batches, "kind": score.kind, "shrinkage": shrink})
    return Surrogate(precision, linear, mean, score, basis), float(worth.min(initial=np.inf))


def detectable(
    likelihood: TermLikelihood, found: TermDraws, candidates: np.ndarray, log_odds: np.ndarray, slab: float, share: float = 1.0
) -> np.ndarray:
    """The strength at which a term would be selected in 19 of 20 data sets, for every term ``(n_params,)``; NaN for those selected.

    A term of variance v is selected where its estimate exceeds k √v, with prior odds · √(v/(v + slab²)) · e^(k²/2) = 1 (Laplace); an
    estimate scatters by √v, so k + 1.64 of these are needed. Below, its absence is undetermined.

    Parameters
    ----------
    likelihood : TermLikelihood
        Of all candidate terms, at a `share` of the sites.
    found, candidates : TermDraws, array
        The posterior, and the terms it is about.
    log_odds, slab : array (n_params,), float
        The prior.
    """
    theta = np.zeros(likelihood.n_params)
    selected = found.selected
    here = candidates[selected]
    count = found.included[..., selected].sum((0, 1))
    theta[here] = found.theta[..., selected].sum((0, 1)) / np.maximum(count, 1)
    width = likelihood.moments(theta)[2]
    if len(here):
        cross = likelihood.information(theta, columns=here)
        width = width - np.einsum("pa,ap->p", cross, np.linalg.pinv(cross[here], hermitian=True) @ cross.T)
    variance = found.factor * share / np.maximum(width, 1e-300)
    bits = np.maximum(np.log1p(slab**2 / variance) - 2 * log_odds, 0.0)
    result = np.sqrt(variance) * (np.sqrt(bits) + 1.645)
    result = np.where(width > 0, result, np.inf)
    result[here] = np.nan  # these were found
    return result


@compiled()
def _sweeps(precision, linear, log_odds, tau, theta, draws, burn_in, thin, rng):  # type: ignore[no-untyped-def]
    """One chain; θ and the residual linear − precision·θ are kept in step, so a term that stays zero costs O(1)."""
    p = len(theta)
    residual = linear - precision @ theta
    kept = np.zeros((draws, p))
    for sweep in range(burn_in + draws * thin):
        for k in range(p):
            q = precision[k, k]
            pull = residual[k] + q * theta[k]
            width = q + tau
            odds = log_odds[k] + 0.5 * np.log(tau / width) + 0.5 * pull**2 / width
            new = 0.0
            if odds > 30.0 or rng.random() * (1.0 + np.exp(-odds)) < 1.0:
                new = pull / width + rng.standard_normal() / np.sqrt(width)
            change = new - theta[k]
            if change != 0.0:
                residual -= precision[k] * change
                theta[k] = new
        # Swap a term that exists with one that does not: near-collinear terms stand in for each other.
        here, there = rng.integers(0, p), rng.integers(0, p)
        if theta[here] != 0.0 and theta[there] == 0.0:
            old = residual + precision[here] * theta[here]
            width_here, width_there = precision[here, here] + tau, precision[there, there] + tau
            gain = log_odds[there] - log_odds[here] + 0.5 * np.log(width_here / width_there)
            gain += 0.5 * old[there] ** 2 / width_there - 0.5 * old[here] ** 2 / width_here
            if np.log(rng.random()) < gain:
                new = old[there] / width_there + rng.standard_normal() / np.sqrt(width_there)
                theta[here] = 0.0
                theta[there] = new
                residual = old - precision[there] * new
        if sweep % 64 == 63:
            residual = linear - precision @ theta  # rounding of many small updates must not pile up
        if sweep >= burn_in and (sweep - burn_in) % thin == thin - 1:
            kept[(sweep - burn_in) // thin] = theta
    return kept


@compiled()
def _collapsed_sweeps(precision, linear, log_odds, tau, theta, draws, burn_in, thin, seed):  # type: ignore[no-untyped-def]
    """One chain that integrates the strengths out: where terms stand in for each other, :func:`_sweeps` never leaves a set of them."""
    np.random.seed(seed)  # noqa: NPY002 (numba's own generator of this thread, not NumPy's)
    p = len(theta)
    sign, free, kept = np.sign(theta), np.ones(p, np.bool_), np.zeros((draws, p))
    for step in range(burn_in + draws * thin):
        collapsed.sweep(precision, linear, p, 0.0, tau, 0.0, log_odds, theta, sign, free, _MOVES)
        if step >= burn_in and (step - burn_in) % thin == thin - 1:
            kept[(step - burn_in) // thin] = theta
    return kept


def sample(
    likelihood: TermLikelihood,
    log_odds: np.ndarray,
    slab: float,
    settings: Gibbs,
    *,
    calibrated: bool,
    seed: int,
    start: np.ndarray | None = None,
    rough: bool = False,
    rounds: int = 4,
) -> TermDraws:
    """Draws of which terms exist and how strong they are.

    The surrogate is expanded at the climb's end, and again at the refitted median probability model while the two differ
    (at most `rounds` times).
    """
    begin = np.zeros(0, int) if start is None else start
    theta, steps = tempered_climb(likelihood, log_odds, slab, begin, calibrated=calibrated)
    tau, result = slab**-2.0, None
    for round_ in range(rounds):
        normal, informed = surrogate(likelihood, theta, calibrated=calibrated, rough=rough)
        runs = []
        for chain in range(settings.chains):
            origin = theta.copy() if chain % 2 == 0 else np.zeros(len(theta))
            target, counts = (normal.precision, normal.linear, log_odds, tau), (settings.draws, settings.warmup, settings.thin)
            generator = np.random.default_rng([seed, round_, chain])
            if len(theta) <= _COLLAPSED:
                runs.append(_collapsed_sweeps(*target, origin, *counts, int(generator.integers(2**32))))
            else:
                runs.append(_sweeps(*target, origin, *counts, generator))
        stacked = np.stack(runs)
        result = TermDraws(stacked, stacked != 0, normal.score, normal.basis, steps, normal.factor, informed)
        if np.array_equal(result.selected, np.flatnonzero(theta)):
            break
        theta = newton(likelihood, result.selected, slab, stacked.mean((0, 1)))[0] if len(result.selected) else np.zeros(len(theta))
    assert result is not None
    return result
