"""A layer of hidden units, each independent of the others given the visible sites, which are so given them: what samplers and oracles use.

A system that has one says so by its property ``hidden_layer``. All is in units of kT at the temperature at which the system is the
marginal of the pair (the one that it was learned at), where alone this holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

MOST_SUMMED = 20  # hidden units whose 2^m states are summed over: a second
MOST_DRAWN = 16  # whose states are listed to draw from
_ROWS = 1 << 13


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """ln p(v, h) = Σ_i [b_i(v_i) + Σ_j h_j W_ij(v_i)] + Σ_j c_j h_j + constant, h_j in {0, 1}, at inverse temperature ``beta``.

    The first value of every site is the reference, b and W of which are zero.

    Attributes
    ----------
    visible : array (n_sites, q − 1)
        b of the other values.
    hidden : array (m,)
        c.
    weights : array (n_sites, q − 1, m)
        W of the other values.
    constant : float
        ln p of all sites at their first value and all hidden units at 0, before normalisation.
    beta : float
        Inverse temperature at which the marginal of this is the law of the system.
    """

    visible: np.ndarray
    hidden: np.ndarray
    weights: np.ndarray
    constant: float
    beta: float

    def of_hidden(self, units: np.ndarray) -> np.ndarray:
        """Ln Σ_v exp of the above for hidden units ``(count, m)``, shape ``(count,)``."""
        field = self._fields(units)
        one = logsumexp(np.concatenate([np.zeros((*field.shape[:-1], 1)), field], -1), axis=-1)
        return np.asarray(one.sum(-1) + units @ self.hidden + self.constant)

    def of_all_hidden(self) -> np.ndarray:
        """The same for all ``(2**m, )`` states of the hidden units, the first of which changes slowest."""
        count = 2 ** len(self.hidden)
        pieces = [self.of_hidden(self._listed(np.arange(start, min(start + _ROWS, count)))) for start in range(0, count, _ROWS)]
        return np.concatenate(pieces)

    def log_z(self) -> float:
        """Log Z, as a sum over all states of the hidden units."""
        return float(logsumexp(self.of_all_hidden()))

    def draws(self, count: int, seed: int) -> np.ndarray:
        """Independent states as value indices ``(count, n_sites)``: hidden units from their exact law, then the sites given them."""
        rng = np.random.default_rng(seed)
        log_p = self.of_all_hidden()
        cumulative = np.cumsum(np.exp(log_p - log_p.max()))
        rows = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
        units = self._listed(np.minimum(rows, len(log_p) - 1))
        found = [self._given(units[start : start + _ROWS], rng) for start in range(0, count, _ROWS)]
        return np.concatenate(found)

    def _fields(self, units: np.ndarray) -> np.ndarray:
        """Ln odds of all values but the first of every site, ``(count, n_sites, q − 1)``."""
        return self.visible + (units @ self.weights.reshape(-1, len(self.hidden)).T).reshape(len(units), *self.visible.shape)

    def _listed(self, codes: np.ndarray) -> np.ndarray:
        return (codes[:, None] >> np.arange(len(self.hidden))[::-1] & 1).astype(np.float64)

    def _given(self, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        field = self._fields(units)
        if field.shape[-1] == 1:
            return (rng.random(field.shape[:-1]) < expit(field[..., 0])).astype(np.int8)
        noisy = np.concatenate([np.zeros((*field.shape[:-1], 1)), field], -1)
        return np.asarray((noisy + rng.gumbel(size=noisy.shape)).argmax(-1), np.int8)
