"""The conditional of one site given the others, and the objectives built from it.

With z the log-odds of the observed value (features · θ, β included):

* pseudo-likelihood (Besag 1975): Σ_i log p(s_i | rest);
* RISE, interaction screening (Vuffray et al. 2016): −Σ_i exp(−z_i), whose expectation is stationary at the truth;
* logRISE (Lokhov et al. 2018): −n Σ_i log mean exp(−z_i).

Features of q-state sites are taken relative to their mean over the states, so screening is defined in any gauge.
"""

from __future__ import annotations

import numpy as np

from hamlearn.models import BoundCouplings

LOGISTIC = ("pseudo", "exchange")  # objectives that are probabilities of one of two


def binary(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, first derivative and minus the second derivative of the objective of one observation at z."""
    if name in LOGISTIC:
        slope = np.tanh(z)
        return np.minimum(2 * z, 0.0) - np.log1p(np.exp(-2 * np.abs(z))), 1 - slope, 1 - slope**2
    with np.errstate(over="ignore"):
        decay = np.exp(-z)
    return -decay, decay, decay


def neighbour_lists(bound: BoundCouplings) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For every site: its neighbours, the bonds to them, and whether the site is the bond's first end."""
    sites, bonds = bound.lattice.neighbours
    lists = []
    for here in range(bound.lattice.n_sites):
        real = sites[here] >= 0
        there, bond = sites[here][real], bonds[here][real]
        lists.append((there, bond, bound.lattice.bonds[bond, 0] == here))
    return lists


def parameter_index(bound: BoundCouplings, site: int, bonds: np.ndarray) -> np.ndarray:
    """Position in θ of every feature of a site: its field's, then its bonds' one after the other."""
    found = np.concatenate([bound.field_index[site], bound.pair_index[bonds].ravel()])
    return found[found < bound.n_params]


def features(bound: BoundCouplings, site: int, bonds: np.ndarray, neighbour_states: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Features of every value a site can take, shape ``(row, q, n_features)``, given ``(row, degree)`` neighbours."""
    rows, degree = neighbour_states.shape
    q, m = bound.space.q, bound.n_tables
    pairs = np.empty((rows, q, degree, m))
    for k, bond in enumerate(bonds):
        oriented = bound.tables_of(bond) if first[k] else bound.tables_of(bond).transpose(0, 2, 1)
        pairs[:, :, k] = oriented[:, :, neighbour_states[:, k]].transpose(2, 1, 0)
    found = pairs.reshape(rows, q, degree * m)
    if len(bound.field_group):
        vectors = bound.vectors_of(site)
        found = np.concatenate([np.broadcast_to(vectors.T, (rows, q, len(vectors))), found], -1)
    kept = np.concatenate([bound.field_index[site], bound.pair_index[bonds].ravel()]) < bound.n_params
    return found if kept.all() else found[..., kept]


def centred(all_features: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Features of the observed value minus their mean over the values, shape ``(row, n_features)``."""
    return np.take_along_axis(all_features, observed[:, None, None], 1)[:, 0] - all_features.mean(1)
