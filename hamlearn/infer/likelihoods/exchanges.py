"""Composite likelihood of exchanges, for spins whose sum is fixed: two unlike spins given all others, and given their sum.

With the sum of all spins fixed a single spin follows from the others, so that its conditional says nothing. Two unlike spins i and j may
still have been the other way round: p(observed | observed or exchanged) = 1 / (1 + exp(−2z)) with 2z = β(E exchanged − E observed) =
2βθ·F. Of couplings F sums σ_i σ_k over the bonds of i and σ_j σ_k over those of j (but not the bond between the two, whose energy an
exchange leaves alone), of fields σ_i and σ_j. Consistent, as every conditional likelihood (Besag 1975); the moves are those of Kawasaki.

Which pairs are looked at is fixed before the data are: all of them where sites are few, else partners anywhere.
What a row says of a pair are a few small integers, so that the data are counted once, as in :mod:`.patterns`: pairs whose parameters
are the same share their counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import conditionals
from hamlearn.infer.likelihoods.patterns import PatternLikelihood
from hamlearn.infer.likelihoods.terms import distinct_rows
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings

WALKS = 8  # closed walks through all sites, whose steps are the pairs: every site then has 16 partners
FEW_PAIRS, MANY_PAIRS = 300, 2100  # so many are looked at in any case; of couplings that are tied, whose pairs share their counts
_MOST_NUMBERS = 1e8  # of all designs
_FROM_MEMORY = 16.0  # times as long as what stays in a cache, measured: 4×4 and 8×8, a coupling for every bond
_CHUNK = 1 << 22  # log-odds of pairs of rows at a time: bounds memory, not results


def partners(n: int, most: int) -> np.ndarray:
    """Pairs of `n` sites that are exchanged, ``(pair, 2)``: all, up to `most`, or the steps of random closed walks through all sites.

    Neighbours would do, but tell less: what is around them is much the same on both sides. On 8×8 spins with one coupling the error
    bars of all pairs are 0.58 (β = 0.3) to 0.27 (β = 1) of those of neighbours; eight walks give 0.60 to 0.36, and with a coupling for
    every bond 1.02 to 1.07 times those of all pairs (benchmarks/couplings/constrained.py).

    Examples
    --------
    >>> len(partners(64, FEW_PAIRS)), len(partners(64, MANY_PAIRS)), len(partners(144, MANY_PAIRS))
    (462, 2016, 1841)
    """
    if n * (n - 1) // 2 <= most:
        return np.column_stack(np.triu_indices(n, 1))
    rng = np.random.default_rng(0)  # any fixed choice will do: it may not depend on the data
    walks = [rng.permutation(n) for _ in range(max(2, MANY_PAIRS // n) if most == MANY_PAIRS else WALKS)]
    return np.unique(np.sort(np.concatenate([np.column_stack([walk, np.roll(walk, 1)]) for walk in walks]), 1), axis=0)


class ExchangeLikelihood(PatternLikelihood):
    """See :class:`~hamlearn.infer.likelihoods.base.Likelihood`; units are pairs of sites, or pairs that share all their parameters."""

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], pairs: np.ndarray | None = None) -> None:
        self.bound, self.parts, self.name, self.multiclass = bound, parts, "exchange", False
        self.pairs = (
            partners(bound.lattice.n_sites, MANY_PAIRS if bound.n_params < bound.lattice.n_sites / 2 else FEW_PAIRS)
            if pairs is None
            else np.asarray(pairs)
        )
        n, neighbours = bound.lattice.n_sites, conditionals.neighbour_lists(bound)
        self._around = [(there, bound.pair_index[bonds, 0]) for there, bonds, _ in neighbours]
        counted: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray, float]]] = {}
        for part in parts:
            states, weight = part.gathered
            spins = (2 * states - 1).astype(np.int8)
            for i, j in self.pairs.tolist():
                unlike = spins[:, i] != spins[:, j]
                index, features = self._features(spins[unlike], i, j)
                seen, counts = distinct_rows(features, weight[unlike])
                counted.setdefault(tuple(index.tolist()), []).append((seen, counts, part.beta))
        units = {index: _merged(pieces) for index, pieces in counted.items()}
        rows, width = max(len(counts) for _, counts in units.values()), max(map(len, units))
        if len(units) * rows * width > _MOST_NUMBERS:
            raise HamlearnError(
                f"exchanges of {len(self.pairs)} pairs whose sites have up to {width} couplings and fields need a table of "
                f"{len(units) * rows * width:.1e} numbers (at most {_MOST_NUMBERS:.0e}): use a sparser graph, tie couplings, or thin the "
                "data."
            )
        self.design, self.counts = np.zeros((len(units), rows, width)), np.zeros((len(units), rows))
        self.index = np.full((len(units), width), bound.n_params)
        for place, (parameters, (design, counts)) in enumerate(units.items()):
            self.design[place, : len(counts), : len(parameters)] = design
            self.counts[place, : len(counts)] = counts
            self.index[place, : len(parameters)] = parameters
        self.floor = np.zeros((len(units), 2))
        # What adds up slopes of pairs at their sites, and which of the bonds join a pair.
        rank = np.tile(np.arange(len(self.pairs)), 2)
        self._at_sites = scipy.sparse.csr_array((np.ones(len(rank)), (rank, self.pairs.T.ravel())), (len(self.pairs), n))
        self._statistics = scipy.sparse.csr_array(
            (np.ones(bound.lattice.n_bonds), (np.arange(bound.lattice.n_bonds), bound.bond_group)),
            (bound.lattice.n_bonds, bound.n_coupling_params),
        )

    @property
    def operations(self) -> float:
        """Operations of one value and gradient: tables of so many pairs lie in no cache, and are read from memory."""
        return _FROM_MEMORY * super().operations

    def _features(self, spins: np.ndarray, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Parameters that an exchange of i and j feels, and F ``(row, parameter)`` of rows in which the two are unlike."""
        columns, parameters = [], []
        for here, other in ((i, j), (j, i)):
            there, index = self._around[here]
            apart = there != other
            columns.append(spins[:, here, None] * spins[:, there[apart]])
            parameters.append(index[apart])
            columns.append(np.repeat(spins[:, here, None], self.bound.field_index.shape[1], 1))
            parameters.append(self.bound.field_index[here])
        every, found = np.concatenate(parameters), np.concatenate(columns, 1)
        kept, place = np.unique(every, return_inverse=True)
        summed = np.zeros((len(spins), len(kept)), np.int8)
        for k, column in enumerate(place.ravel()):
            summed[:, column] += found[:, k]
        real = kept < self.bound.n_params
        return kept[real], summed[:, real]

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows, from the states themselves."""
        bound, n = self.bound, self.bound.lattice.n_sites
        couplings, fields = (one[..., 0] for one in bound.coefficients(theta))
        first, second = bound.lattice.bonds.T
        matrix = np.zeros((n, n))
        np.add.at(matrix, (first, second), couplings)
        np.add.at(matrix, (second, first), couplings)
        i, j = self.pairs.T
        between = 2.0 * matrix[i, j]
        # A bond between two that are exchanged feels nothing: what the fields at both ends say of it is taken off again.
        joined = scipy.sparse.csr_array(_joins(self.pairs, bound.lattice.bonds, n))

        def some(spins: np.ndarray, beta: float) -> np.ndarray:
            local = spins * (spins @ matrix + fields)
            slope = beta * conditionals.binary("pseudo", beta * (local[:, i] + local[:, j] + between))[1]
            slope *= spins[:, i] != spins[:, j]
            pull = (slope @ self._at_sites) * spins
            found = pull[:, first] * spins[:, second] + pull[:, second] * spins[:, first] + 2.0 * (slope @ joined)
            found = found @ self._statistics
            if not bound.n_field_params:
                return np.asarray(found)
            summed = np.zeros((len(spins), bound.n_field_params + 1))
            np.add.at(summed.T, bound.field_group, pull.T)
            return np.concatenate([found, summed[:, :-1]], 1)

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            step = max(1, _CHUNK // len(self.pairs))
            pieces = [some(2.0 * states[k : k + step] - 1, part.beta) for k in range(0, len(states), step)]
            return np.concatenate(pieces) if pieces else np.zeros((0, bound.n_params))

        return scores


def _merged(pieces: list[tuple[np.ndarray, np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows β·F of pairs with the same parameters, and how much each counts."""
    designs, counts = [], []
    for beta in sorted({beta for *_, beta in pieces}):
        same = [piece for piece in pieces if piece[2] == beta]
        seen, total = distinct_rows(np.concatenate([one[0] for one in same]), np.concatenate([one[1] for one in same]))
        designs.append(beta * seen)
        counts.append(total)
    return np.concatenate(designs), np.concatenate(counts)


def _joins(pairs: np.ndarray, bonds: np.ndarray, n: int) -> scipy.sparse.coo_array:
    """Which bonds join the two sites of a pair, ``(pair, bond)``."""
    keys = {int(low) * n + int(high): place for place, (low, high) in enumerate(np.sort(pairs, 1).tolist())}
    found = [(keys[key], bond) for bond, key in enumerate((np.sort(bonds, 1) @ [n, 1]).tolist()) if key in keys]
    rows, columns = np.array(found, int).reshape(-1, 2).T
    return scipy.sparse.coo_array((np.ones(len(rows)), (rows, columns)), (len(pairs), len(bonds)))
