"""What contradicts a network action that the exact likelihood learned: temperatures that pull apart, and slopes that do not balance.

The maximum of the likelihood puts the mean of every term where it was observed, for all temperatures together, whatever the truth is.
What is left to judge it by: every temperature by itself, and the score-matching loss, another way to the same coefficients. Where the
action is the true one both end at the same place (Hausman, Econometrica 46, 1251, 1978); where it is not, they do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.stats

from hamlearn.infer.families.network_evidence import Evidence, disagreement
from hamlearn.infer.families.network_refinement import Refinement
from hamlearn.infer.families.network_selection import Choice, embedding
from hamlearn.infer.likelihoods.network_score import BLOCKS


def agreement(data: Evidence, found: Choice, scatter: Sequence[np.ndarray]) -> float:
    """P-value of all temperatures having the same coefficients of the polynomials, by the likelihood; nan for one.

    `scatter` is the covariance of every temperature's summed score.
    """
    if len(data.betas) < 2:
        return float("nan")
    refinement = Refinement(data.whole, data.betas, data.terms, data.worth, found)
    pulls = refinement.pulls(found.theta)
    slopes = [pull.sum(0) + curvature @ found.theta for pull, curvature in pulls]
    statistic, count = disagreement(found, [curvature for _, curvature in pulls], slopes, scatter)
    return float(scipy.stats.chi2.sf(statistic, count))


def balance(data: Evidence, found: Choice) -> float:
    """P-value of the score-matching loss being stationary, in the coefficients of the polynomials, where the likelihood has its maximum.

    By the scatter of blocks, which both of them share, and what the prior holds back.
    """
    M, free = embedding(data.whole, found.bound.form), np.arange(found.bound.n_params)
    if found.bound.form.steps and found.theta[0] <= found.floor * (1 + 1e-6):  # κ is held, and pulled at
        free = free[1:]
    kept = np.intersect1d(found.bound.linear, free)
    A = M.T @ data.A.sum(0) @ M
    scores = data.b @ M - data.A @ (M @ found.theta) @ M
    pull = np.sum([one for one, _ in Refinement(data.whole, data.betas, data.terms, data.worth, found).pulls(found.theta)], axis=0)
    response = np.zeros_like(A)
    response[np.ix_(free, free)] = np.linalg.inv((found.H + found.penalty)[np.ix_(free, free)])
    carried = scores - (pull - pull.mean(0)) @ response @ A
    covariance = BLOCKS * np.cov(carried.T) + A @ response @ found.penalty @ response @ A
    scale = np.sqrt(np.diag(covariance)[kept])
    left = scores.sum(0)[kept] / scale
    square = float(left @ np.linalg.pinv(covariance[np.ix_(kept, kept)] / np.outer(scale, scale), rcond=1e-12, hermitian=True) @ left)
    count, degrees = len(kept), BLOCKS - 1
    return float(scipy.stats.f.sf(square * (degrees - count + 1) / (degrees * count), count, degrees - count + 1))
