"""Pseudo-likelihood of multi-spin terms: every spin given all others, with any subset of the terms of a cluster expansion.

The log-odds of the observed spin at site i are 2z, z = β Σ_c K_c f_c(i), f_c(i) the sum over placements of term c that
hold site i of the product of their spins (Besag 1975 for the objective). Features are small integers: a tile's spins are
one code, and a product of spins the parity of the code under the term's mask.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.infer.likelihoods import conditionals
from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundClusterExpansion
from hamlearn.systems.interaction_tables import tile_sites

_CHUNK = 16384  # observations converted to floating point at a time: 25 MB for 400 features


@compiled(nogil=True)
def _codes(states, sites):  # type: ignore[no-untyped-def]
    """Code of every tile of every row of states (0/1), the first site of a tile most significant."""
    result = np.empty((states.shape[0], sites.shape[0]), np.uint16)
    for row in range(states.shape[0]):
        for tile in range(sites.shape[0]):
            code = 0
            for k in range(sites.shape[1]):
                code = 2 * code + states[row, sites[tile, k]]
            result[row, tile] = code
    return result


@compiled(nogil=True)
def _features(codes, anchors, place, mask, column, width, sign):  # type: ignore[no-untyped-def]
    """Features ``(row, width)`` of one site; entry e adds the product `mask[e]` of the tile in whose place[e] the site is."""
    result = np.zeros((codes.shape[0], width), np.int8)
    for row in range(codes.shape[0]):
        for e in range(len(place)):
            down = ~codes[row, anchors[place[e]]] & mask[e]
            result[row, column[e]] += sign[down]
    return result


@compiled(nogil=True)
def _moments(features, first, second, gradient, diagonal):  # type: ignore[no-untyped-def]
    """Add Σ first·f and Σ second·f² over observations, without turning the small integers into an array of doubles."""
    for row in range(features.shape[0]):
        a, b = first[row], second[row]
        for k in range(features.shape[1]):
            f = float(features[row, k])
            gradient[k] += a * f
            diagonal[k] += b * f * f


@dataclass(frozen=True)
class _Block:
    """Observations that share their parameters: integer features, what they count, and which parameters they multiply."""

    features: np.ndarray
    counts: np.ndarray
    beta: np.ndarray
    index: np.ndarray


class TermLikelihood(Searched):
    """Pseudo-likelihood of chosen terms at chosen sites of all rows; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    Parameters
    ----------
    bound : BoundClusterExpansion
        All candidate terms.
    parts : sequence of Observations
        Microstates.
    chosen : int array
        Elements of the full θ that are free here (θ below has one element for each); the others are zero.
    sites : int array
        Sites whose conditionals are used.
    compress : bool
        Gather equal observations: for few terms the data shrink to a table, whatever their number.
    """

    composite = True
    name = "pseudo"

    def __init__(
        self, bound: BoundClusterExpansion, parts: Sequence[Observations], chosen: np.ndarray, sites: np.ndarray, *, compress: bool
    ) -> None:
        self.family, self.parts, self.chosen, self.sites = bound, parts, np.asarray(chosen, np.int64), np.asarray(sites)
        window = len(bound.offsets)
        self._tiles = tile_sites(bound.shape, bound.window, (1,) * len(bound.shape))
        self._sign = np.array([1 - 2 * (int(code).bit_count() & 1) for code in range(2**window)], np.int8)
        # The tile in whose a-th place a site is: anchored that offset before it.
        grid = np.arange(bound.n_sites).reshape(bound.shape)
        axes = tuple(range(len(bound.shape)))
        self._anchors = np.stack([np.roll(grid, tuple(offset), axes).ravel() for offset in bound.offsets], 1)
        self._entries = [self._entries_of(unit) for unit in self._units()]
        self.blocks = self._blocks(compress)

    def _units(self) -> range:
        """What has entries of its own: every site, or the first for all where they are alike."""
        return range(self.family.n_sites if self.family.copies > 1 else 1)

    def counted(self, codes: np.ndarray, site: int, weight: np.ndarray) -> np.ndarray:
        """How much rows count at a site: all as they do."""
        return weight

    @property
    def bound(self) -> TermLikelihood:
        """What the calibration asks for the number of parameters."""
        return self

    @property
    def n_params(self) -> int:
        """Number of free terms."""
        return len(self.chosen)

    def placement(self, k: int) -> set[int]:
        """Flat sites of the k-th chosen term at its anchor (at the origin for terms tied by translation)."""
        term, anchor = divmod(int(self.chosen[k]), self.family.copies)
        where = (self.family.members[term] + np.array(np.unravel_index(anchor, self.family.shape))) % self.family.shape
        return {int(site) for site in np.ravel_multi_index(tuple(where.T), self.family.shape)}

    def _entries_of(self, site: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Places, masks and feature columns of every placement through a site, and the parameter of every column."""
        bound, places, masks, columns = self.family, [], [], []
        index: list[int] = []
        position = {int(parameter): k for k, parameter in enumerate(self.chosen)}
        bits = 1 << np.arange(len(bound.offsets) - 1, -1, -1)
        for c, mask in enumerate(bound.masks):
            for place in np.flatnonzero(mask & bits):
                parameter = c if bound.copies == 1 else c * bound.copies + int(self._anchors[site, place])
                if parameter not in position:
                    continue
                if bound.copies == 1:
                    column = position[parameter]
                else:
                    column = len(index)
                    index.append(position[parameter])
                places.append(place)
                masks.append(mask)
                columns.append(column)
        parameters = np.arange(len(self.chosen)) if bound.copies == 1 else np.array(index, np.int64)
        return np.array(places, np.int64), np.array(masks, np.uint16), np.array(columns, np.int64), parameters

    def features(self, codes: np.ndarray, site: int) -> tuple[np.ndarray, np.ndarray]:
        """Features f ``(row, k)`` (times the observed spin) of one site from tile codes, and the parameters they multiply."""
        places, masks, columns, index = self._entries[site if self.family.copies > 1 else 0]
        return _features(codes, self._anchors[site], places, masks, columns, len(index), self._sign), index

    def codes(self, states: np.ndarray) -> np.ndarray:
        """Codes of all tiles of rows of states ``(row, n_sites)``."""
        return _codes(np.ascontiguousarray(states), self._tiles)

    def _blocks(self, compress: bool) -> list[_Block]:
        gathered: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        for part in self.parts:
            states, weight = part.states.reshape(-1, part.states.shape[-1]), part.weight.reshape(-1)
            codes = self.codes(states)
            for site in self.sites:
                features, _ = self.features(codes, site)
                counts = self.counted(codes, int(site), weight)
                if compress:
                    features, counts = distinct_rows(features, counts)
                gathered.setdefault(int(site) if self.family.copies > 1 else 0, []).append(
                    (features, counts, np.full(len(counts), part.beta))
                )
        blocks = []
        for site, pieces in gathered.items():
            features, counts, beta = (np.concatenate(column) for column in zip(*pieces, strict=True))
            if compress:
                merged = []
                for one in np.unique(beta):
                    same = beta == one
                    distinct, total = distinct_rows(features[same], counts[same])
                    merged.append((distinct, total, np.full(len(total), one)))
                features, counts, beta = (np.concatenate(column) for column in zip(*merged, strict=True))
            blocks.append(_Block(features, counts.astype(float), beta, self._entries[site][3]))
        return blocks

    def log_odds(self, block: _Block, theta: np.ndarray) -> np.ndarray:
        """Half the log-odds z of every observation of a block."""
        local = theta[block.index]
        active = np.flatnonzero(local)  # while searching nearly all are zero
        if 4 * len(active) < len(local):
            return block.beta * (block.features[:, active].astype(float) @ local[active])
        z = [block.features[start : start + _CHUNK] @ local for start in range(0, len(block.features), _CHUNK)]
        return block.beta * np.concatenate(z)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        value, gradient, _ = self.moments(theta)
        return value, gradient

    def moments(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Objective, gradient, and the diagonal of minus the Hessian, in one pass."""
        total, gradient, diagonal = 0.0, np.zeros(self.n_params), np.zeros(self.n_params)
        for block in self.blocks:
            value, first, second = conditionals.binary(self.name, self.log_odds(block, theta))
            total += float(block.counts @ value)
            slope, curvature = np.zeros((2, len(block.index)))
            _moments(block.features, first * block.counts * block.beta, second * block.counts * block.beta**2, slope, curvature)
            gradient[block.index] += slope
            diagonal[block.index] += curvature
        return total, gradient, diagonal

    def restricted(self, active: np.ndarray) -> TermLikelihood:
        """The same observations with the parameters `active` only, compressed: what a refit of a sparse model needs."""
        smaller = copy.copy(self)
        smaller.chosen = self.chosen[active]
        smaller._entries, position = [], {int(one): k for k, one in enumerate(active)}
        smaller._entries = [smaller._entries_of(site) for site in range(len(self._entries))]
        smaller.blocks = []
        for block in self.blocks:
            kept = np.array([k for k, one in enumerate(block.index) if int(one) in position], int)
            index = np.array([position[int(block.index[k])] for k in kept], int)
            for beta in np.unique(block.beta):
                same = block.beta == beta
                features, counts = distinct_rows(block.features[np.ix_(same, kept)], block.counts[same])
                smaller.blocks.append(_Block(features, counts, np.full(len(counts), beta), index))
        return smaller

    def weakened(self, factor: float) -> TermLikelihood:
        """The same observations, each counted 1/factor times: what correlated ones are worth."""
        weaker = copy.copy(self)
        weaker.blocks = [replace(block, counts=block.counts / factor) for block in self.blocks]
        return weaker

    def information(self, theta: np.ndarray, *, rough: bool = False, columns: np.ndarray | None = None) -> np.ndarray:
        """Minus the Hessian ``(n_params, n_params)``, or its `columns` ``(n_params, len(columns))``."""
        kept = np.arange(self.n_params) if columns is None else np.asarray(columns)
        result = np.zeros((self.n_params, self.n_params if columns is None else len(kept)))
        for block in self.blocks:
            second = conditionals.binary(self.name, self.log_odds(block, theta))[2]
            # Single precision: chunks of some ten thousand small integers, summed in double.
            weight = np.sqrt(second * block.counts * block.beta**2).astype(np.float32 if len(block.counts) > _CHUNK else float)
            where = {int(parameter): k for k, parameter in enumerate(block.index)}
            local = np.array([where[int(one)] for one in kept if int(one) in where], int)
            place = np.array([k for k, one in enumerate(kept) if int(one) in where], int)
            for start in range(0, len(weight), _CHUNK):
                rows = slice(start, start + _CHUNK)
                scaled = block.features[rows].astype(weight.dtype) * weight[rows, None]
                right = scaled if columns is None else scaled[:, local]
                result[np.ix_(block.index, block.index if columns is None else place)] += scaled.T @ right
        return result

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows, from the states themselves."""

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            result, codes = np.zeros((len(states), self.n_params)), self.codes(states)
            for site in self.sites:
                features, index = self.features(codes, site)
                slope = part.beta * conditionals.binary(self.name, part.beta * (features @ theta[index]))[1]
                result[:, index] += features * slope[:, None]
            return result

        return scores


class ExchangeTerms(TermLikelihood):
    """The same of exchanges of two unlike spins, where the sum of all spins is fixed (:mod:`.exchanges`): `sites` are pairs of sites.

    2z is what the exchange would cost: f(i) + f(j) without the placements that hold both, whose products an exchange leaves alone. Rows
    in which the two are alike count nothing.
    """

    name = "exchange"

    def __init__(
        self, bound: BoundClusterExpansion, parts: Sequence[Observations], chosen: np.ndarray, pairs: np.ndarray, *, compress: bool
    ) -> None:
        self.pairs = np.asarray(pairs, np.int64)
        super().__init__(bound, parts, chosen, np.arange(len(self.pairs)), compress=compress)

    def _units(self) -> range:
        return range(len(self.pairs))

    def _entries_of(self, site: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Tiles, masks and feature columns of every placement through one of the two, and the parameter of every column."""
        ends, tiles, kept = self.pairs[site].tolist(), [], []
        bits = 1 << np.arange(len(self.family.offsets) - 1, -1, -1)
        found = [super(ExchangeTerms, self)._entries_of(end) for end in ends]
        for (places, masks, *_), here, other in zip(found, ends, ends[::-1], strict=True):
            anchors = self._anchors[here, places]
            both = (self._anchors[other] == anchors[:, None]) & ((masks[:, None] & bits) > 0)
            tiles.append(anchors)
            kept.append(~both.any(1))
        parameters = [entry[3][entry[2]] for entry in found]  # of every entry, before columns that both ends share are one
        chosen = np.concatenate(kept)
        index, column = np.unique(np.concatenate(parameters)[chosen], return_inverse=True)
        if self.family.copies == 1:
            index, column = np.arange(self.n_params), np.concatenate(parameters)[chosen]
        masks = np.concatenate([entry[1] for entry in found])[chosen]
        return np.concatenate(tiles)[chosen], masks, column.ravel(), index

    def _unlike(self, codes: np.ndarray, site: int) -> np.ndarray:
        """Rows in which the two differ: the first place of a tile is the site that it is called by."""
        top = len(self.family.offsets) - 1
        i, j = self.pairs[site]
        return np.asarray((codes[:, i] ^ codes[:, j]) >> top & 1, np.int8)

    def counted(self, codes: np.ndarray, site: int, weight: np.ndarray) -> np.ndarray:
        """Rows in which the two are unlike."""
        return weight * self._unlike(codes, site)

    def features(self, codes: np.ndarray, site: int) -> tuple[np.ndarray, np.ndarray]:
        """Features of an exchange, zero where the two are alike, and the parameters they multiply."""
        tiles, masks, columns, index = self._entries[site]
        found = _features(codes, tiles, np.arange(len(tiles)), masks, columns, len(index), self._sign)
        return found * self._unlike(codes, site)[:, None], index


def distinct_rows(features: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of small integers and how much each counts."""
    reach = int(np.abs(features).max(initial=0))
    base, width = 2 * reach + 1, features.shape[1]
    if width == 0:
        return features[:1], np.array([counts.sum()])
    if width * np.log2(max(base, 2)) < 63:
        key: np.ndarray = (features.astype(np.int64) + reach) @ (base ** np.arange(width, dtype=np.int64))
    else:
        key = np.ascontiguousarray(features).view(np.dtype((np.void, width))).ravel()
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return features[first], np.bincount(inverse, weights=counts)
