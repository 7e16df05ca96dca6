"""Missing and misread cells on any graph: the pseudo-likelihood's equations, averaged over what is not known.

The score s(x; θ) of the pseudo-likelihood has mean zero at the truth; so has its mean over what x may have been, given what
was read, E[s(x; θ) | x_obs; θ], where cells are missing at random and readings err as is said. Its zero is found by data augmentation: K
Gibbs completions of every row stand for that mean, and Newton steps alternate with sweeps. The derivative of the equation is the curvature
of completed data less what is missing,

    A = H − Cov(s, βT | x_obs),   T the statistics that θ multiplies,

and the solution scatters by A⁻¹JA⁻ᵀ, J from the scores of rows, each averaged over its completions: rows, not completions, are
independent, and J holds the noise of K completions as well. It is shrunk to the J of rows that the solution itself would make: a few rows
may hold none of the rare states that say how strong bonds are, and their own J is then far too small where their strengths are too large
(of 60 rows of three spins, 90 % intervals held 0.87 ± 0.02 of the couplings; now 0.93 ± 0.01, as those of complete rows do). Sources:
Louis, J. R. Stat. Soc. B 44, 226 (1982); Elashoff and Ryan, J. Comput. Graph. Stat. 13, 48 (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError, Undetermined
from hamlearn.infer.calibrate import Calibration, inverse_root, require_batches, steady_sandwich
from hamlearn.infer.completions import Completions
from hamlearn.infer.likelihoods import Likelihood, composite, takes_one_hot
from hamlearn.infer.likelihoods.normal import NormalLikelihood
from hamlearn.infer.observations import Observations, unknown
from hamlearn.infer.optimum import maximise, normal_blocks, prior_terms
from hamlearn.infer.provenance import Basis
from hamlearn.infer.replicates import replicated
from hamlearn.infer.scatter import ScoreCovariance, score_covariance
from hamlearn.models import BoundCouplings
from hamlearn.models.base import Block
from hamlearn.progress import track

FEWEST, MOST = 4, 16  # completions of a row: 16 of them widen error bars by less than 2 % where 40 % of the cells are missing
_WORK = 4e10  # multiplications of one matrix of what is missing, which decide how many
_ROUGH, _ROUNDS, _SWEEPS = (
    2,
    12,
    4,
)  # completions, rounds and sweeps of the way to the equation's zero, whose steps are those of complete data
_STEPS = 16  # at most, by the equation's own derivative
_KNOWN = 0.25  # standard error of the derivative, of its least share of that of completed data: error bars are then good to an eighth
_LEAST = 0.02  # such a share, below which a step is damped: the curvature of completed data, whose steps always climb, is added
_SETTLED, _NOISE = 0.1, 0.04  # squared length of a step for every parameter, and how much of that the noise of completions may be
_PASSES = 64  # at most, over which the equation is averaged
_FEWEST_MADE, _MADE = 1000, 20  # rows that are made of a solution, at least, and for every parameter: J is then known to 5 %
CHUNK = 1 << 22  # values of scores that are held at once


@dataclass(frozen=True, eq=False)
class _Equation:
    """The equation at one θ.

    Attributes
    ----------
    value, derivative, curvature : array
        The equation, its derivative, and that of completed data alone.
    scores : list of array
        Of rows, by temperature.
    noise : float
        What share of J is the noise of completions.
    known, error : float
        The least share of the completed data's derivative that is left by what is not known, and its standard error.
    """

    value: np.ndarray
    derivative: np.ndarray
    curvature: np.ndarray
    scores: list[np.ndarray]
    noise: float
    known: float = 1.0
    error: float = 0.0

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What is summed over rows."""
        return self.value, self.derivative, self.curvature


@dataclass(frozen=True)
class _Size:
    """How many components a score has."""

    n_params: int


@dataclass(frozen=True, eq=False)
class Numbered:
    """Scores of rows that are known by number, as :func:`~hamlearn.infer.scatter.score_covariance` asks for them."""

    bound: _Size
    parts: Sequence[Observations]
    scores: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Observations], scores: Sequence[np.ndarray]) -> Numbered:
        """Rows of all temperatures, numbered one after the other."""
        first = np.cumsum([0, *(part.weight.size for part in parts)])
        numbers = [start + np.arange(part.weight.size).reshape(*part.weight.shape, 1) for start, part in zip(first, parts, strict=False)]
        numbered = [replace(part, states=states) for part, states in zip(parts, numbers, strict=True)]
        return cls(_Size(scores[0].shape[1]), numbered, scores[0] if len(scores) == 1 else np.concatenate(scores))

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of rows by their numbers."""
        return lambda part, states: self.scores[states[:, 0]]


def work(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """CPU seconds of one ordinary core that :func:`likelihood` takes, about, counted from sizes (benchmarks/couplings/missing.py)."""
    p, share = bound.n_params, sum(unknown(part) for part in parts) / sum(part.states.size for part in parts)
    completions = _completions(bound, parts)
    return 0.4 + ((2 + 30 * share) * completions + 2 * FEWEST * _made(p)) * p * (3e-8 + 1.2e-10 * p)


def _completions(bound: BoundCouplings, parts: Sequence[Observations]) -> int:
    """How many rows there are when those whose values are not all known are completed."""
    rows = sum(part.weight.size for part in parts)
    holed = sum(part.weight.size if part.flip is not None else int((part.states < 0).any(2).sum()) for part in parts)
    return rows + holed * (_each(rows, bound.n_params) - 1)


def _each(rows: int, n_params: int) -> int:
    """How many completions of a row."""
    return int(np.clip(_WORK / max(rows * n_params**2, 1), FEWEST, MOST))


def _made(n_params: int) -> int:
    """How many rows are made of a solution."""
    return max(_FEWEST_MADE, _MADE * n_params)


def likelihood(bound: BoundCouplings, parts: Sequence[Observations], seed: int, *, flat: bool = False) -> NormalLikelihood:
    """The solution of the averaged equations as a normal likelihood, whose error bars are calibrated.

    The equations are expanded where they, with normal priors, are zero (without priors where these are `flat`): where a strong bond is
    hardly ever seen broken, so that no finite coupling is best, the derivative there still says how much is known of it.

    Raises
    ------
    HamlearnError
        If completed data have no finite maximum, or no Hessian of theirs can be made.
    """
    rows, p = sum(part.weight.size for part in parts), bound.n_params
    memory.require(8 * (rows + _made(p)) * p, f"scores of {rows} rows for {p} parameters", "Tie parameters, take fewer bonds or rows.")
    each = _each(rows, p)
    drawn = [Completions(bound, part, _ROUGH, seed + number) for number, part in enumerate(parts)]
    theta, prior = np.zeros(p), None if flat else normal_blocks(bound)
    with track(_ROUNDS + _STEPS, "completing") as bar:
        for _ in range(_ROUNDS):
            theta = solved(bound, drawn, theta, prior)
            bar.advance()
            for one in drawn:
                one.sweep(theta, _SWEEPS)
        drawn, passes = [one.only(each) for one in drawn], 2
        for number in range(_STEPS):
            equation = _averaged(bound, drawn, theta, passes)
            _, pull, stiff = prior_terms(bound, theta, prior)
            damped = max(_LEAST, 2 * equation.error) - equation.known
            slope = equation.derivative + np.diag(stiff) + max(damped, 0.0) * equation.curvature
            step = np.linalg.solve(slope, equation.value + pull)
            here, theta = theta, theta + step
            bar.advance()
            enough = equation.noise < 2 * _NOISE and equation.error < 2 * _KNOWN * equation.known
            if number and enough and damped <= 0:
                root, score = _error(bound, drawn, equation, here, seed)
                precision = np.linalg.inv(root @ root.T)
                if float(step @ precision @ step) < (_SETTLED + 3 * equation.noise) * p:
                    break
            wanted = max(equation.noise / _NOISE, (equation.error / (_KNOWN * max(equation.known, _LEAST))) ** 2)
            passes = int(np.clip(np.ceil(passes * wanted), 2, _PASSES))
        else:
            raise HamlearnError(
                "data augmentation does not settle: too much is missing or misread for so many couplings. Leave out sites or bonds, tie "
                "couplings, give more rows, or keep the rows without gaps (hl.data.complete_rows)."
            )
    basis = Basis("sandwich", {"batches": score.batches, "kind": score.kind, "composite": True, "tau": score.tau})
    known = Calibration((precision + precision.T) / 2, root, float(score.batches - 1), True, basis, score)
    centre = here + np.linalg.solve(equation.derivative, equation.value)
    return NormalLikelihood(bound, parts, "pseudo", centre, known)


def complete(bound: BoundCouplings, drawn: Sequence[Completions]) -> Likelihood:
    """The pseudo-likelihood of completed data."""
    return cast(Likelihood, composite(bound, [one.observations() for one in drawn], "pseudo"))  # of one hot they are refused before


def require_hessian(bound: BoundCouplings, parts: Sequence[Observations]) -> None:
    """An error where the likelihood of completed data has none, which the equations are solved with."""
    if takes_one_hot(bound, _completions(bound, parts), "pseudo"):
        raise HamlearnError(
            f"missing or misread cells of {bound.space.q} states on a graph this dense need a Hessian of too many parameters "
            f"({bound.n_params}): take fewer bonds, tie the couplings (interaction='potts'), or keep the rows without gaps "
            "(hl.data.complete_rows). Of an alignment a gap may be a state, gaps='state'."
        )


def solved(bound: BoundCouplings, drawn: Sequence[Completions], theta: np.ndarray, prior: Sequence[Block] | None) -> np.ndarray:
    """The maximum of completed data."""
    best = maximise(complete(bound, drawn), prior, start=theta, shown=False)
    if best.runaway or not best.converged:
        worst = bound.parameter_names[int(np.argmax(np.abs(best.theta)))]
        raise Undetermined(
            f"the pseudo-likelihood of completed data has no finite maximum ({worst} leads): the data are separable, too few or too "
            "ordered to be learned with gaps. Leave out sites that hardly vary, tie couplings, take fewer bonds, or keep the rows without "
            "gaps (hl.data.complete_rows)."
        )
    return best.theta


def _averaged(bound: BoundCouplings, drawn: Sequence[Completions], theta: np.ndarray, passes: int) -> _Equation:
    """The equation of all completions, of several made one after the other: at least two, whose difference says how well it is known."""
    mean = _equation(bound, drawn, theta)
    halves = [mean.derivative.copy(), np.zeros_like(mean.derivative)]
    for number in range(1, passes):
        other = _equation(bound, drawn, theta)
        halves[number % 2] += other.derivative
        for old, new in zip((*mean.arrays, *mean.scores), (*other.arrays, *other.scores), strict=True):
            old += (new - old) / (number + 1)
    white = inverse_root(mean.curvature)
    shares = lambda one: np.linalg.eigvalsh(white.T @ (one + one.T) @ white / 2)
    apart = halves[0] / ((passes + 1) // 2) - halves[1] / (passes // 2)
    error = 0.5 * float(np.abs(shares(apart)).max())
    return replace(mean, noise=mean.noise / passes, known=float(shares(mean.derivative)[0]), error=error)


def _equation(bound: BoundCouplings, drawn: Sequence[Completions], theta: np.ndarray) -> _Equation:
    """The equation at θ, with other completions than those there were."""
    for one in drawn:
        one.sweep(theta, 3 * _SWEEPS)
    completed = complete(bound, drawn)
    score_of, curvature = completed.row_scores(theta), completed.information(theta)
    value, lost, scores = np.zeros(len(theta)), np.zeros_like(curvature), []
    scatter, total_scatter = 0.0, 1e-300
    for one in drawn:
        part, flat = one.part, one.part.states.reshape(-1, one.part.states.shape[-1])
        weight, each, found = part.weight.reshape(-1), one.states.shape[1], np.empty((len(flat), len(theta)))
        whole = np.setdiff1d(np.arange(len(flat)), one.rows)
        for rows in pieces(whole, len(theta)):
            found[rows] = score_of(part, flat[rows])
        for place in pieces(np.arange(len(one.rows)), each * len(theta)):
            rows, states = one.rows[place], one.states[place].reshape(-1, flat.shape[1])
            score = score_of(part, states).reshape(len(rows), each, -1)
            found[rows] = score.mean(1)
            total = bound.statistics(states).reshape(score.shape)
            score -= found[rows][:, None]
            scatter += float(np.einsum("r,rkp,rkp->", weight[rows], score, score) / (each * (each - 1)))
            total = (total - total.mean(1, keepdims=True)) * (part.beta * weight[rows] / (each - 1))[:, None, None]
            lost += score.reshape(-1, len(theta)).T @ total.reshape(-1, len(theta))
        value += weight @ found
        total_scatter += float(np.einsum("r,rp,rp->", weight, found, found))
        scores.append(found)
    return _Equation(value, curvature - lost, curvature, scores, scatter / total_scatter)


def pieces(rows: np.ndarray, width: int) -> list[np.ndarray]:
    """Rows in pieces whose scores, `width` values each, are held at once."""
    return [rows[start : start + max(1, CHUNK // width)] for start in range(0, len(rows), max(1, CHUNK // width))]


def _error(
    bound: BoundCouplings, drawn: Sequence[Completions], equation: _Equation, theta: np.ndarray, seed: int
) -> tuple[np.ndarray, ScoreCovariance]:
    """A root of A⁻¹JA⁻ᵀ, and J."""
    parts = [one.part for one in drawn]
    score = score_covariance(cast(Any, Numbered.of(parts, equation.scores)), np.zeros(bound.n_params))
    require_batches(score)
    leverage = bound.n_params / (bound.lattice.n_sites * score.ess)
    expected = _expected(bound, drawn, theta, seed)
    return steady_sandwich(equation.curvature, score, leverage, slope=equation.derivative, expected=expected), score


def _expected(bound: BoundCouplings, drawn: Sequence[Completions], theta: np.ndarray, seed: int) -> np.ndarray:
    """J of rows that θ makes."""
    count = -(-_made(len(theta)) // len(drawn))
    made = [replicated(one, theta, count, FEWEST, 3 * _SWEEPS, seed + number) for number, one in enumerate(drawn)]
    scores = _equation(bound, made, theta).scores
    return np.asarray(sum(one.part.size * np.atleast_2d(np.cov(own.T, bias=True)) for one, own in zip(made, scores, strict=True)))
