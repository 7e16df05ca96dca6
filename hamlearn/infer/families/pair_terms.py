"""Fields and pair products within the tiles of an extensive network, as columns and as changes of its weights."""

from __future__ import annotations

import numpy as np

from hamlearn.models import dense
from hamlearn.models.extensive import BoundExtensive, Weights


def terms_of(bound: BoundExtensive) -> SharedTerms | SiteTerms:
    """Fields and pairs that are made consistent: of every place where the network knows it, else shared by all translations."""
    return SiteTerms(bound) if bound.model.site_aware else SharedTerms(bound)


class SiteTerms:
    """A field of every site and a product of every pair of sites that a tile holds, and how a network's weights hold them."""

    def __init__(self, bound: BoundExtensive) -> None:
        self.bound, self.components = bound, bound.space.q - 1
        fields: dict[int, tuple[int, int]] = {}  # site: the tile and the place in it that carry its field
        pairs: dict[tuple[int, int], tuple[int, int, int]] = {}
        for tile, sites in enumerate(bound.tile_sites.tolist()):
            for a, i in enumerate(sites):
                fields.setdefault(i, (tile, a))
                for b, j in enumerate(sites):
                    if i < j:
                        pairs.setdefault((i, j), (tile, a, b))
        self.fields, self.pairs = fields, pairs
        self.ends = np.array(list(pairs)).reshape(-1, 2)

    @property
    def count(self) -> int:
        """Number of terms."""
        return len(self.fields) * self.components + len(self.pairs) * self.components**2

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Values for states as value indices ``(row, n_sites)``, shape ``(row, n_terms)``."""
        shown = dense.contrasts(self.bound.space)[index].astype(np.float32)  # (row, site, component)
        fields = shown[:, list(self.fields)].reshape(len(index), -1)
        product = shown[:, self.ends[:, 0], :, None] * shown[:, self.ends[:, 1], None, :]
        return np.concatenate([fields, product.reshape(len(index), -1)], 1)

    def added(self, weights: Weights, strengths: np.ndarray) -> Weights:
        """`weights` of an energy to which the terms with these strengths were added."""
        pairs, field, k = np.array(weights["pairs"], float), np.array(weights["field"], float), self.components
        for (tile, a), one in zip(self.fields.values(), strengths.reshape(-1, k), strict=False):
            field[tile, a * k : (a + 1) * k, 0] += one
        blocks = strengths[len(self.fields) * k :].reshape(-1, k, k)
        for (tile, a, b), block in zip(self.pairs.values(), blocks, strict=True):
            pairs[tile, a * k : (a + 1) * k, b * k : (b + 1) * k, 0] += block
        return {**weights, "pairs": pairs, "field": field}


class SharedTerms:
    """Fields and pair products that all translations share, and how a network's weights hold them."""

    def __init__(self, bound: BoundExtensive) -> None:
        self.bound, self.components = bound, bound.space.q - 1
        reach = 2 * bound.model.context
        offsets = np.array(list(np.ndindex(*(2 * reach + 1,) * len(bound.shape)))) - reach
        found: dict[tuple[int, ...], tuple[int, ...]] = {}
        for offset in offsets:
            keys = [tuple(int(x) for x in sign * offset % bound.shape) for sign in (1, -1)]
            if any(keys[0]) and not set(keys) & set(found):
                found[keys[0]] = tuple(int(x) for x in offset)
        self.displacements = list(found.values())

    @property
    def count(self) -> int:
        """Number of terms."""
        return self.components + len(self.displacements) * self.components**2

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Sums over the lattice for states as value indices ``(row, n_sites)``, shape ``(row, n_terms)``."""
        shown = dense.contrasts(self.bound.space)[index].astype(np.float32).reshape(len(index), *self.bound.shape, self.components)
        axes = tuple(range(1, 1 + len(self.bound.shape)))
        columns = [shown.sum(axes)]
        for displacement in self.displacements:
            other = np.roll(shown, tuple(-x for x in displacement), axes).reshape(len(index), -1, self.components)
            product = np.einsum("nsa,nsb->nab", shown.reshape(other.shape), other, optimize=True)
            columns.append(product.reshape(len(index), -1))
        return np.concatenate(columns, 1).astype(float)

    def added(self, weights: Weights, strengths: np.ndarray) -> Weights:
        """`weights` of an energy to which the terms with these strengths were added.

        For every place of a site within a block of the focus, one place in the window that holds it and its partner.
        """
        model, window = self.bound.model, np.array(self.bound.window)
        pairs, field = np.array(weights["pairs"], float), np.array(weights["field"], float)
        k = self.components
        residues = np.array(list(np.ndindex(*self.bound.stride)))
        for residue in residues:
            place = int(np.ravel_multi_index(tuple(residue), tuple(window)))
            field[place * k : (place + 1) * k, 0] += strengths[:k]
        for number, displacement in enumerate(self.displacements):
            block = strengths[k + number * k * k : k + (number + 1) * k * k].reshape(k, k)
            for residue in residues:
                # The lowest place of this residue from which the partner is still in the window.
                low = np.maximum(-np.array(displacement), 0)
                first = residue + model.focus * np.ceil(np.maximum(low - residue, 0) / model.focus).astype(int)
                i, j = (int(np.ravel_multi_index(tuple(one), tuple(window))) for one in (first, first + displacement))
                pairs[i * k : (i + 1) * k, j * k : (j + 1) * k, 0] += block
        return {**weights, "pairs": pairs, "field": field}
