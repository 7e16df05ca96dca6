"""How log p(data | θ) is evaluated, and which way is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.infer.likelihoods import directions
from hamlearn.infer.likelihoods.base import Likelihood
from hamlearn.infer.likelihoods.directions import DirectionLikelihood
from hamlearn.infer.likelihoods.exact import ExactLikelihood
from hamlearn.infer.likelihoods.exchanges import ExchangeLikelihood
from hamlearn.infer.likelihoods.onehot import OneHotLikelihood
from hamlearn.infer.likelihoods.patterns import PatternLikelihood
from hamlearn.infer.likelihoods.rows import RowLikelihood
from hamlearn.infer.likelihoods.tied import TiedLikelihood, counts_sums
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.models.couplings import pair_counts

MOST_PATTERNS = 2**62  # coded as one integer
NAMES = ("auto", "exact", "pseudo", "exchange", "screening", "rise", "logrise", "score")


def composite(bound: BoundCouplings, parts: Sequence[Observations], name: str) -> Likelihood | OneHotLikelihood:
    """Pseudo-likelihood or screening in the cheapest of its layouts.

    Local patterns where a site has few of them (sparse graphs); where it has many (dense graphs) sums of neighbours where couplings are
    tied to few numbers, and else distinct rows.
    """
    if bound.stand_in == "exchange":
        return ExchangeLikelihood(bound, parts)
    if bound.space.continuous:
        return DirectionLikelihood(bound, parts, choice(name, directions.NAMES, f"likelihood of {bound.space.name}"))
    if name == "score":
        raise HamlearnError("score matching is for continuous states (angles, reals); for discrete ones use 'pseudo' or 'screening'.")
    q, degree, patterns = bound.space.q, int(bound.lattice.degree.max(initial=0)), bound.n_patterns
    n_rows = sum(part.weight.size for part in parts)
    parallel = bool(np.any(pair_counts(bound.lattice) > 1))
    if bound.interaction == "ising" and not parallel and patterns > max(4096, n_rows / 2):
        return TiedLikelihood(bound, parts, name) if counts_sums(bound, parts, name) else RowLikelihood(bound, parts, name)
    size = _table_size(bound, n_rows, name)
    if takes_one_hot(bound, n_rows, name):
        return OneHotLikelihood(bound, parts)
    if patterns > MOST_PATTERNS or size > 2.5e8:
        raise HamlearnError(
            f"{name} with q={q} states and {degree} neighbours a site needs tables of {size:.1e} numbers (at most 2.5e8) or codes of "
            f"{patterns:.1e} patterns (at most {MOST_PATTERNS:.1e}); use a sparser graph, or thin the data; with interaction='general' "
            "and a table for every bond the pseudo-likelihood needs neither."
        )
    return PatternLikelihood(bound, parts, name)


def takes_one_hot(bound: BoundCouplings, n_rows: int, name: str) -> bool:
    """Whether :func:`composite` of so many rows is one that has no Hessian: a table for every bond of a dense graph of states."""
    if name != "pseudo" or bound.interaction != "general" or bound.model.tie != "bond":
        return False
    return max(bound.n_patterns / 1e7, _table_size(bound, n_rows, name) / 2.5e8) > 1


def _table_size(bound: BoundCouplings, n_rows: int, name: str) -> float:
    """Numbers in the tables of patterns of all sites."""
    n_features = bound.n_vectors + int(bound.lattice.degree.max(initial=0)) * bound.n_tables
    values = bound.space.q if name == "pseudo" and bound.space.q > 2 else 1
    return bound.lattice.n_sites * min(bound.n_patterns, n_rows) * n_features * values


__all__ = [
    "NAMES",
    "DirectionLikelihood",
    "ExactLikelihood",
    "ExchangeLikelihood",
    "Likelihood",
    "OneHotLikelihood",
    "PatternLikelihood",
    "RowLikelihood",
    "TiedLikelihood",
    "composite",
    "takes_one_hot",
]
