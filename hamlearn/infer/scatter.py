"""How much scores scatter: the covariance J of the total score, from rows or from batches of draws long compared with the slowest score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.stats

from hamlearn.infer.likelihoods.base import Scored
from hamlearn.infer.observations import Observations
from hamlearn.progress import track
from hamlearn.statistics import integrated_autocorrelation_time

MIN_BATCHES, MAX_BATCHES = 64, 256
FEWEST_BATCHES = 10  # intervals with t tails cover 0.90–0.92 from 10–19 batches of 5τ, 0.86–0.88 below (benchmarks/calibration/batches.py)
_SIGNIFICANCE = 1e-3  # of the tests for autocorrelation and for disagreeing chains, over all score components
_ROW_BUDGET = 2e11  # multiplications that per-row score covariances may cost (seconds)
_SERIES_LIMIT = 5e6  # score values kept for the autocorrelation tests
_CHUNK_VALUES = 1 << 23

RowScores = Callable[[Observations, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ScoreCovariance:
    """Covariance J of the total score, and how it was estimated.

    Attributes
    ----------
    J : array (n_params, n_params)
    batches : int
        Number of independent batches (rows, for independent data); B − 1 are its degrees of freedom.
    tau : float
        Integrated autocorrelation time of the slowest score, in draws (1: independent).
    ess : float
        Number of independent microstates the data are worth for that score.
    kind : {"rows", "batches", "random batches", "chains", "too few batches"}
    chains_disagree : bool
        Whether chain means of the score differ by more than their own scatter explains.
    """

    J: np.ndarray
    batches: int
    tau: float
    ess: float
    kind: str
    chains_disagree: bool

    @property
    def unit(self) -> str:
        """What its contributions are of."""
        return "microstates" if self.tau == 1.0 else "batches of draws"

    @property
    def told(self) -> dict[str, Any]:
        """For the record: how independent contributions were made (entries of :class:`hamlearn.infer.provenance.ErrorBars`)."""
        return {"kind": self.kind, "batches": int(self.batches), "chains_disagree": self.chains_disagree}


def score_covariance(likelihood: Scored, theta: np.ndarray, *, minimum: int = 0) -> ScoreCovariance:
    """J at θ, from the scores of rows (independent data) or of batches of contiguous draws (autocorrelated data).

    `minimum` batches are made where they can still be 5 autocorrelation times long (2 n_params for what inverts J).
    """
    scores, p = likelihood.row_scores(theta), likelihood.bound.n_params
    plans = [_plan(scores, part, p, -(-minimum // len(likelihood.parts))) for part in likelihood.parts]
    J = np.zeros((p, p))
    for part, plan in zip(likelihood.parts, plans, strict=True):
        if plan.kind == "rows":
            J += _by_rows(scores, part, p)
        else:
            batches = _by_batch(scores, part, p, plan)
            J += batches.T @ batches
    return _summary(plans, J)


def score_rows(likelihood: Scored, theta: np.ndarray, *, minimum: int, most: int = 20_000) -> tuple[np.ndarray, ScoreCovariance]:
    """Independent contributions to the total score, shape ``(n, n_params)``, whose scatter is J.

    Rows of independent data (or, of more than `most` and of 4 `minimum`, batches of them), batches otherwise.
    """
    scores, p = likelihood.row_scores(theta), likelihood.bound.n_params
    plans = [_plan(scores, part, p, -(-minimum // len(likelihood.parts))) for part in likelihood.parts]
    pieces = []
    for part, plan in zip(likelihood.parts, plans, strict=True):
        n_rows = part.states.shape[0] * part.states.shape[1]
        if plan.kind == "rows" and (np.all(part.weight == 1) and n_rows <= max(4 * minimum, most)):
            plan = replace(plan, label=np.arange(n_rows), batches=n_rows)
        elif plan.kind == "rows":
            plan = _random_batches(part, plan, max(MAX_BATCHES, 2 * minimum))
        pieces.append(_by_batch(scores, part, p, plan))
    rows = np.concatenate(pieces)
    return rows, _summary(plans, rows.T @ rows)


def contributions(likelihood: Scored, theta: np.ndarray, *, minimum: int) -> tuple[int, float]:
    """How many independent contributions to the score there are, and their autocorrelation time in draws: known before any fit."""
    scores, p = likelihood.row_scores(theta), likelihood.bound.n_params
    found = _summary([_plan(scores, part, p, -(-minimum // len(likelihood.parts))) for part in likelihood.parts], np.zeros((0, 0)))
    return found.batches, found.tau


@dataclass(frozen=True)
class _Plan:
    """How the rows of one data set are gathered into independent contributions."""

    kind: str
    label: np.ndarray
    batches: int
    tau: float
    ess: float
    disagree: bool


def _summary(plans: list[_Plan], J: np.ndarray) -> ScoreCovariance:
    weakest = min(plans, key=lambda plan: plan.batches)
    return ScoreCovariance(
        J,
        sum(plan.batches for plan in plans),
        max(plan.tau for plan in plans),
        sum(plan.ess for plan in plans),
        weakest.kind,
        any(plan.disagree for plan in plans),
    )


def _plan(scores: RowScores, part: Observations, p: int, minimum: int) -> _Plan:
    chains, draws, _ = part.states.shape
    tau, disagree = (1.0, False) if part.independent or part.weighted else _autocorrelation(scores, part, p)
    rows = chains * draws
    ess = part.worth / tau
    if disagree and chains >= 8:
        return _Plan("chains", np.repeat(np.arange(chains), draws), chains, tau, ess, True)
    if tau == 1.0:
        plan = _Plan("rows", np.zeros(0, int), int(min(part.worth, 2**31)), 1.0, ess, disagree)
        return plan if rows * p * p <= _ROW_BUDGET else _random_batches(part, plan, max(MAX_BATCHES, minimum))
    # Long batches (20τ) where the data allow as many as are needed of them; never shorter than 5τ.
    count = int(np.clip(rows / (20 * tau), max(MIN_BATCHES, minimum), max(MAX_BATCHES, minimum)))
    length = max(int(np.ceil(rows / count)), int(np.ceil(5 * tau)))
    per_chain = max(draws // length, 1)
    length = min(length, draws)
    label = np.full((chains, draws), -1)
    for chain in range(chains):
        label[chain, : per_chain * length] = chain * per_chain + np.repeat(np.arange(per_chain), length)
    count = chains * per_chain
    kind = "batches" if count >= FEWEST_BATCHES and length >= 5 * tau else "too few batches"
    return _Plan(kind, label.ravel(), count, tau, ess, disagree)


def _random_batches(part: Observations, plan: _Plan, count: int) -> _Plan:
    rows = part.states.shape[0] * part.states.shape[1]
    count = min(rows, count)
    label = np.random.default_rng(0).permutation(rows) % count  # i.i.d. rows: any fixed assignment will do
    return replace(plan, kind="random batches", label=label, batches=count)


def _row_chunks(part: Observations, p: int) -> list[slice]:
    rows = part.states.shape[0] * part.states.shape[1]
    size = max(64, _CHUNK_VALUES // max(p, part.states.shape[2]))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _by_rows(scores: RowScores, part: Observations, p: int) -> np.ndarray:
    """Σ w² (g − ḡ)(g − ḡ)ᵀ for weights (times how many rows share a weight of one), Σ n (g − ḡ)(g − ḡ)ᵀ for repeat counts.

    ḡ is the mean by weight or count, which an optimum makes zero; that by w² it does not, where weights go with scores.
    """
    given = part  # which a likelihood knows as its own
    if not part.weighted:  # counts of equal rows add up
        states, weight = part.gathered
        part = replace(part, states=states[None], weight=weight[None])
    states, weight = part.states.reshape(-1, part.states.shape[2]), part.weight.reshape(-1)
    second, total, first = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    factor = weight**2 if part.weighted else weight
    chunks = _row_chunks(part, p)
    with track(len(chunks), "scores") as bar:
        for chunk in chunks:
            rows = scores(given, states[chunk])
            first += factor[chunk] @ rows
            total += weight[chunk] @ rows
            if not np.all(factor[chunk] == 1):
                rows = rows * np.sqrt(factor[chunk])[:, None]
            second += rows.T @ rows  # of one array with itself: half of the multiplications
            bar.advance()
    mean = total / part.size
    cross = np.outer(first, mean)
    centred = second - cross - cross.T + factor.sum() * np.outer(mean, mean)
    return _shared(part) * part.worth / max(part.worth - 1, 1) * centred


def _shared(part: Observations) -> float:
    """How many rows share a weight of one: by how much J is larger than that of as many independent rows."""
    return part.size**2 / float((part.weight**2).sum()) / part.worth if part.weighted else 1.0


def _by_batch(scores: RowScores, part: Observations, p: int, plan: _Plan) -> np.ndarray:
    """Deviations of batch sums of the score, scaled so that their scatter is J.

    Rows with label −1 (left over at the end of a chain) are scaled for.
    """
    states, weight = part.states.reshape(-1, part.states.shape[2]), part.weight.reshape(-1)
    sums, sizes = np.zeros((plan.batches, p)), np.zeros(plan.batches)
    for chunk in _row_chunks(part, p):
        keep = plan.label[chunk] >= 0
        rows = scores(part, states[chunk][keep]) * weight[chunk][keep, None]
        where = plan.label[chunk][keep]
        order = np.argsort(where, kind="stable")
        starts = np.flatnonzero(np.diff(where[order], prepend=-1))
        if len(order):
            sums[where[order][starts]] += np.add.reduceat(rows[order], starts, axis=0)
        sizes += np.bincount(where, weights=weight[chunk][keep], minlength=plan.batches)
    deviation = sums - sizes[:, None] * (sums.sum(0) / sizes.sum())
    count = plan.batches
    return deviation * np.sqrt(_shared(part) * count / max(count - 1, 1) * part.size / sizes.sum())


def _autocorrelation(scores: RowScores, part: Observations, p: int) -> tuple[float, bool]:
    """τ of the slowest score component (1 where no component is significantly autocorrelated) and whether chains disagree."""
    chains, draws, _ = part.states.shape
    if draws < 20:
        return 1.0, False
    kept = int(min(draws, max(200, _SERIES_LIMIT // (chains * p))))
    series = np.empty((chains, kept, p))
    for chain in range(chains):
        for start in range(0, kept, 4096):
            stop = min(start + 4096, kept)
            series[chain, start:stop] = scores(part, part.states[chain, start:stop])
    series -= series.mean((0, 1))
    variance = (series**2).mean((0, 1))
    live = variance > 1e-14 * variance.max(initial=1e-300)
    series, variance = series[..., live], variance[live]
    n = chains * kept
    lagged = (series[:, 1:] * series[:, :-1]).sum((0, 1)) / (variance * chains * (kept - 1))
    limit = scipy.stats.norm.isf(_SIGNIFICANCE / 4 / len(variance)) / np.sqrt(n)
    blocks = max(4, min(64 // chains, kept // 8)) if chains < 64 else 1
    length = kept // blocks
    means = series[:, : blocks * length].reshape(chains, blocks, length, -1).mean(2)
    ratio = (means**2).mean((0, 1)) * length / variance
    degrees = chains * blocks - 1
    slow = ratio > scipy.stats.chi2.isf(_SIGNIFICANCE / 4 / len(variance), degrees) / degrees
    tau = 1.0
    if np.any(lagged > limit) or np.any(slow):
        times = np.asarray(integrated_autocorrelation_time(series))
        tau = float(max(1.0, np.nanmax(times, initial=1.0), np.max(ratio[slow], initial=1.0)))
        tau = max(tau, 1.0 + 1e-9)
    disagree = False
    if chains > 1 and blocks > 1:
        between = means.mean(1).var(0, ddof=1) * blocks
        within = means.var(1, ddof=1).mean(0)
        f_ratio = np.divide(between, within, out=np.zeros_like(between), where=within > 0)
        disagree = bool(np.max(f_ratio) > scipy.stats.f.isf(_SIGNIFICANCE / len(variance), chains - 1, chains * (blocks - 1)))
    return tau, disagree
