"""Which three and which four sites one half of the data binds most, beyond pairs: tested on the other half.

A sum over many triples drowns the one that interacts. The strongest of one half is one number in the other, which had no part in the
choice: its test needs no correction for the number of triples. What counts is a product of functions of one site each, its spin or a
combination of indicators of its states; which combination is chosen with the sites.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

MOST_WORK = 5e9  # multiplications: about a quarter of a second
_ROWS = 100, 8192  # at least, for a choice to mean something; at most
_MOVING = 0.15  # standard deviation of an indicator that hardly ever changes: its products are rare events


@dataclass(frozen=True, eq=False)
class Strongest:
    """A function of a few sites.

    Attributes
    ----------
    sites : int array (order,)
        In ascending order.
    table : array (q,) * order
        Its value for every combination of their states.
    """

    sites: np.ndarray
    table: np.ndarray

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Its values ``(row,)`` for rows of value indices ``(row, n_sites)``."""
        return np.asarray(self.table[tuple(index[:, self.sites].T)])


def strongest(index: np.ndarray, q: int, order: int) -> Strongest | None:
    """The three or four sites with the largest connected moment, of functions with unit variance and no mean.

    Parameters
    ----------
    index : array (row, n_sites)
        Value indices, 0 … q − 1.
    q : int
        How many states a site has.
    order : {3, 4}
        How many sites.

    Returns
    -------
    Strongest or None
        None where there are too few rows or moving sites, too many sites for :data:`MOST_WORK`, or where every moment is zero, as in
        a list of all states.

    Notes
    -----
    Every site has q − 1 functions, uncorrelated in these rows. Moments of three sites are then (q − 1)³ numbers, whose squares add up
    to what is compared between triples; as weights of the products they give the function that is one number elsewhere. Of two states
    there is one product, which keeps its own sign.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.diagnostics.strongest import strongest
    >>> index = np.random.default_rng(0).integers(3, size=(2000, 6))
    >>> index[:, 5] = (index[:, 0] + index[:, 2]) % 3
    >>> strongest(index, 3, 3).sites
    array([0, 2, 5])
    """
    functions = functions_of(np.stack([np.bincount(one, minlength=q) / len(index) for one in index.T]))
    moving = np.flatnonzero(functions.any((1, 2)))
    first, second = np.triu_indices(len(moving), 1)
    parts = functions.shape[2]
    columns = len(first) * parts**2
    rows = min(len(index), _ROWS[1], int(MOST_WORK / max(columns * (len(moving) * parts if order == 3 else columns), 1)))
    if rows < _ROWS[0] or len(moving) < order:
        return None
    kept = index[np.linspace(0, len(index) - 1, rows).round().astype(int)][:, moving]
    values = functions[moving][np.arange(len(moving)), kept].astype(np.float32)  # (row, site, component)
    pairs = (values[:, first, :, None] * values[:, second, None, :]).reshape(rows, -1)
    if order == 3:
        moments = (pairs.T @ values.reshape(rows, -1) / rows).reshape(len(first), parts**2, len(moving), parts)
        size = np.einsum("pasb,pasb->ps", moments, moments)
        for end in (first, second):
            size[np.arange(len(first)), end] = 0.0
        pair, other = np.unravel_index(int(size.argmax()), size.shape)
        chosen = [first[pair], second[pair], other]
    else:
        moments = _fourth(pairs, values, first, second)
        size = np.einsum("pasb,pasb->ps", moments, moments)
        for left in (first, second):
            for right in (first, second):
                size[left[:, None] == right] = 0.0  # a site twice
        pair, other = np.unravel_index(int(size.argmax()), size.shape)
        chosen = [first[pair], second[pair], first[other], second[other]]
    if not size[pair, other]:
        return None
    return _function(moving[chosen], moments[pair, :, other].reshape((parts,) * order), functions)


def functions_of(shares: np.ndarray) -> np.ndarray:
    """Functions ``(site, state, component)`` of sites whose states have these shares ``(site, state)``, as :func:`strongest` has them."""
    return np.stack([_functions(share) for share in shares])


def _functions(share: np.ndarray) -> np.ndarray:
    """Functions of a site's state, ``(state, component)``: no mean, unit variance, uncorrelated; zero of what hardly changes."""
    size, vectors = np.linalg.eigh(np.diag(share) - np.outer(share, share))
    size, vectors = size[1:], vectors[:, 1:]  # the first is that of all states together, which never changes
    vectors = np.where(vectors[-1] < 0, -vectors, vectors)  # growing with the last state: of spins, the spin itself
    moves = size > 2 * _MOVING**2
    return np.where(moves, (vectors - share @ vectors) / np.sqrt(np.where(moves, size, 1.0)), 0.0)


def _fourth(pairs: np.ndarray, values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fourth cumulants of the functions of all pairs of sites with all pairs, ``(pair, component², pair, component²)``."""
    (rows, sites, parts), n = values.shape, len(first)
    two = (values.reshape(rows, -1).T @ values.reshape(rows, -1) / rows).reshape(sites, parts, sites, parts)
    one = two[first, :, second].reshape(n * parts**2)
    found = (pairs.T @ pairs / rows - np.outer(one, one)).reshape(n, parts, parts, n, parts, parts)
    here, there = (end[:, None] for end in (first, second))
    found -= np.einsum("pqac,pqbd->pabqcd", two[here, :, first], two[there, :, second])
    found -= np.einsum("pqad,pqbc->pabqcd", two[here, :, second], two[there, :, first])
    return found.reshape(n, parts**2, n, parts**2)


def _function(sites: np.ndarray, weights: np.ndarray, functions: np.ndarray) -> Strongest:
    """The products of functions of `sites` with these weights, as a table over their states."""
    states, parts = string.ascii_uppercase[: len(sites)], string.ascii_lowercase[: len(sites)]
    terms = ",".join([parts, *(big + small for big, small in zip(states, parts, strict=True))])
    direction = weights / np.linalg.norm(weights) if weights.size > 1 else np.ones_like(weights)
    table = np.einsum(f"{terms}->{states}", direction, *functions[sites], optimize=True)
    order = np.argsort(sites, kind="stable")
    return Strongest(sites[order], table.transpose(order))
