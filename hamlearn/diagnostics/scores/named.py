"""The named directions of a pair model: which columns a test reads, and what its size means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.stats

from hamlearn.diagnostics import predictive_test
from hamlearn.diagnostics.scores import terms as lists
from hamlearn.diagnostics.scores.sums import Sums
from hamlearn.diagnostics.scores.terms import Terms
from hamlearn.models import BoundCouplings
from hamlearn.systems import lattice as lattices

_REPLICATES, _SPECTRA = 2000, 500
_CONTRIBUTING = 30.0  # blocks that must share the variance of a sum, for normal tails to hold
_FEW = 20
_DENSE = 160  # rows of a matrix up to which its whole spectrum is as quick as the ends of it
_STEPS = 64  # of Lanczos: the ends to 2e-5 (512 pairs)
_ONE_NUMBER = 4.0  # weight of a test of one direction: what is looked for by name weighs more than sums over many


@dataclass(frozen=True, eq=False)
class Named:
    """One test.

    Attributes
    ----------
    name : str
        Plain words.
    columns : int array
        The columns of the residual scores that it reads.
    how : {"one", "all", "strongest", "chosen", "common factor"}
        One number; the sum of squares; the largest of all; the largest of those that were chosen `among` so many; the largest
        eigenvalue of the matrix of `pairs`.
    unit : str
        What one unit of the direction is: "K", "J", "h", "spread of beta", "share", "beta factor"; empty where there is no one size.
    labels : tuple of str
        What to call every column where the strongest is named.
    pairs : int array (column, 2), optional
        Place of every column in a symmetric matrix.
    among : int
        How many the columns are the largest of.
    degrees : int array (column,), optional
        Dimensions of the space in which the direction of every column was chosen.
    """

    name: str
    columns: np.ndarray
    how: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    pairs: np.ndarray | None = None
    among: int = 0
    degrees: np.ndarray | None = None


def directions(bound: BoundCouplings) -> tuple[list[Terms], np.ndarray, list[Named]]:
    """Terms, the totals ``(total, term)`` of some of them, and the tests, for a family of pair couplings on its graph."""
    lattice, spins = bound.lattice, bound.space.q == 2
    pairs, free = lists.bond_pairs(lattice), lists.unbonded(lattice)
    found = [
        Terms(_squares(bound.space.q), lists.some(lists.plaquettes(lattice))),
        Terms("products of two bonds", lattice.bonds[pairs].reshape(-1, 4)),
        Terms("pairs without a bond", free),
    ]
    if spins:
        found.append(Terms("three-spin products", lists.triples(lattice)))
    if bound.model.tie != "bond" or bound.interaction in ("clock", "ordinal"):
        found.append(Terms("single bonds", lists.some(lattice.bonds)))
    if spins and bound.model.fields != "site":
        found.append(Terms("single sites", lists.some(np.arange(lattice.n_sites)[:, None])))
    found = [one for one in found if len(one)]
    totals, tests, where = _common(found, lattice.n_sites)
    tests += [Named(f"{one.name}, one by one", where[one.name], "all") for one in found]
    if len(free):
        names = tuple(f"{lattice.word(i)}–{lattice.word(j)}" for i, j in free.tolist())
        tests.append(Named("pairs without a bond, the strongest", where["pairs without a bond"], "strongest", "J", names))
        tests.append(Named("pairs without a bond, common factor", where["pairs without a bond"], "common factor", pairs=free))
    if len(pairs) > 2:
        tests.append(Named("products of two bonds, common factor", where["products of two bonds"], "common factor", pairs=pairs))
    return found, totals, tests


def generic(shape: tuple[int, ...], q: int) -> tuple[list[Terms], np.ndarray, list[Named]]:
    """What can be asked of any discrete system on a grid: squares, energy dispersion, misread values."""
    squares = lists.some(lists.plaquettes(lattices.hypercubic(shape))) if len(shape) > 1 and min(shape) > 2 else np.zeros((0, 4), int)
    found = [Terms(_squares(q), squares)] if len(squares) else []
    totals, tests, where = _common(found, int(np.prod(shape)))
    return found, totals, tests + [Named(f"{one.name}, one by one", where[one.name], "all") for one in found]


def _squares(q: int) -> str:
    return "four-spin plaquettes" if q == 2 else "four-site plaquettes"


def _common(found: Sequence[Terms], n_sites: int) -> tuple[np.ndarray, list[Named], dict[str, np.ndarray]]:
    """Totals, the tests of them and of what needs no terms, and the columns of every kind of terms."""
    stops = np.cumsum([len(one) for one in found])
    n = int(stops[-1]) if len(stops) else 0
    where = {one.name: np.arange(stop - len(one), stop) for one, stop in zip(found, stops, strict=True)}
    summed = [name for name in (_squares(2), _squares(3), "single sites") if len(where.get(name, ())) > 1]
    totals = np.array([np.isin(np.arange(n), where[name]) for name in summed], float).reshape(len(summed), n)
    tests = [Named(f"{name}, sum", np.array([n + k]), "one", "h" if name == "single sites" else "K") for k, name in enumerate(summed)]
    dispersion = n + len(totals)
    tests.append(Named("energy dispersion", np.array([dispersion]), "one", "spread of beta"))
    sites = np.arange(dispersion + 1, dispersion + 1 + n_sites)
    tests.append(Named("misread values, common share", sites[-1:] + 1, "one", "share"))
    tests.append(Named("misread values, site by site", sites, "all"))
    return totals, tests, where


def judge(tests: Sequence[Named], sums: Sums, rng: np.random.Generator, *, known: bool = False) -> list[predictive_test.Row]:
    """A row for every test: blocks are resampled with normal weights, which keeps what columns have in common.

    `known`: the information is that of the exact likelihood and rows are independent, so it is the variance of the sums. It
    does not grow with the misfit, as the scatter of rows does.
    """
    blocks = len(sums.blocks)
    total = sums.blocks.sum(0)
    centred = (sums.blocks - sums.blocks.mean(0)) * np.sqrt(blocks / (blocks - 1))
    scatter = (centred**2).sum(0)
    contributing = scatter**2 / np.maximum((centred**4).sum(0), 1e-300)
    enough = min(_CONTRIBUTING, 0.2 * blocks)
    alive = sums.alive & (scatter > 0) & (contributing > enough) & (sums.contributions > enough)
    sd = np.sqrt(np.where(alive, sums.information if known else scatter, 1.0))
    z = np.where(alive, total / sd, 0.0)
    tails = np.sqrt((blocks - 1) / rng.chisquare(blocks - 1, size=(_REPLICATES, 1)))
    noise = tails * (rng.standard_normal((_REPLICATES, blocks)) @ (centred / sd))
    rows = []
    for test in tests:
        kept = alive[test.columns]
        columns = test.columns[kept]
        if not len(columns):
            continue
        strength, error = total[columns] / sums.information[columns], sd[columns] / sums.information[columns]
        if test.how == "one":
            p = (
                scipy.stats.t.sf(z[columns[0]], blocks - 1)
                if test.unit == "share"
                else 2 * scipy.stats.t.sf(abs(z[columns[0]]), blocks - 1)
            )
            size, size_sd = _sized(test.unit, float(strength[0]), float(error[0]))
            observed, expected, spread, name = float(strength[0]), 0.0, float(error[0]), test.name
            rows.append(
                predictive_test.Row(
                    name, observed, expected, spread, float(z[columns[0]]), float(p), False, size, size_sd, test.unit, "", _ONE_NUMBER
                )
            )
            continue
        if test.how == "chosen":
            if (row := _chosen(test, kept, z[columns], strength, error, blocks)) is not None:
                rows.append(row)
            continue
        size, size_sd, unit, where, weight = np.nan, np.nan, "", "", 1.0
        if test.how == "all":
            value, null = float((z[columns] ** 2).sum()), (noise[:, columns] ** 2).sum(1)
        elif test.how == "strongest":
            value, null = float(np.abs(z[columns]).max()), np.abs(noise[:, columns]).max(1)
            k = int(np.argmax(np.abs(z[columns])))
            size, size_sd, unit = float(strength[k]), float(error[k]), test.unit
            where = test.labels[int(np.flatnonzero(kept)[k])]
            weight = _ONE_NUMBER * (len(columns) if test.unit == "beta factor" else 1)  # every label is a direction of its own
        else:
            assert test.pairs is not None
            value = float(_largest(z[None, columns], test.pairs[kept])[0])
            null = _largest(noise[:_SPECTRA, columns], test.pairs[kept])
        p = _tail(value, null)
        if test.how == "strongest":
            p = min(p, len(columns) * 2 * float(scipy.stats.t.sf(value, blocks - 1)))
        z_value = (value - float(null.mean())) / float(null.std())
        rows.append(
            predictive_test.Row(
                test.name, value, float(null.mean()), float(null.std()), z_value, p, True, size, size_sd, unit, where, weight
            )
        )
    return rows


def _chosen(
    test: Named, kept: np.ndarray, z: np.ndarray, strength: np.ndarray, error: np.ndarray, blocks: int
) -> predictive_test.Row | None:
    """The most unlikely of some columns, as it is of all that they were chosen among (Bonferroni).

    No direction that a score itself chose is larger than the sum of squares over all directions of its space (Hotelling's T²).
    """
    assert test.degrees is not None
    degrees = test.degrees[kept]
    if (tested := degrees < blocks).sum() == 0:
        return None
    p = np.ones(len(z))
    d = degrees[tested]
    p[tested] = scipy.stats.f.sf(z[tested] ** 2 * (blocks - d) / (d * (blocks - 1)), d, blocks - d)
    k = int(np.argmin(p))
    whole, spread = float(np.sqrt(degrees[k])), float(np.sqrt(0.5))
    value, where = float(abs(z[k])), test.labels[int(np.flatnonzero(kept)[k])]
    size = (float(strength[k]), float(error[k])) if test.unit else (np.nan, np.nan)
    return predictive_test.Row(
        test.name, value, whole, spread, (value - whole) / spread, min(1.0, test.among * float(p[k])), True, *size, test.unit, where,
        _ONE_NUMBER,
    )  # fmt: skip


def _tail(value: float, null: np.ndarray) -> float:
    beyond = int((null >= value).sum())
    return (1 + beyond) / (1 + len(null)) if beyond >= _FEW else predictive_test.tail(null, value)


def _sized(unit: str, strength: float, error: float) -> tuple[float, float]:
    """What a unit stands for: the spread of beta is the root of a variance."""
    if unit != "spread of beta":
        return strength, error
    root = float(np.sqrt(abs(strength)))
    return float(np.sign(strength)) * root, error / (2 * max(root, np.sqrt(error) / 2, 1e-300))


def _largest(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Largest eigenvalue, of either sign, of the symmetric matrices with `values` ``(matrix, pair)`` at `pairs`.

    Large ones have few entries that are not zero: the ends of their spectra come from products with all of them at once (Lanczos; an end
    that has converged is found again and not moved by the loss of orthogonality). Of small ones, one is made at a time.
    """
    used, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    if len(used) > _DENSE:
        return _ends(values, first, second, len(used))
    source = np.full((len(used), len(used)), len(pairs))  # a zero behind the values is read where there is no pair
    source[first, second] = source[second, first] = np.arange(len(pairs))
    return np.array([np.abs(np.linalg.eigvalsh(np.append(one, 0.0)[source])).max() for one in values])


def _ends(values: np.ndarray, first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """The same of sparse matrices of `size` rows, all at once: one after the other (SciPy's ``eigsh``) they take longer.

    Five hundred matrices of 512 pairs, on 256 to 881 rows: 0.14 to 0.32 s instead of 0.45 to 0.52.
    """
    count = len(values)
    corner = size * np.arange(count)[:, None]
    places = (corner + np.r_[first, second]).ravel(), (corner + np.r_[second, first]).ravel()
    together = scipy.sparse.csr_matrix((np.hstack([values, values]).ravel(), places), (count * size,) * 2)
    vector = np.tile(np.random.default_rng(0).standard_normal(size), (count, 1))
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    before, step = np.zeros_like(vector), np.zeros((count, 1))
    middle, beside = np.zeros((count, _STEPS)), np.zeros((count, _STEPS))
    for k in range(_STEPS):
        after = (together @ vector.ravel()).reshape(count, size) - step * before
        middle[:, k] = (after * vector).sum(1)
        after -= middle[:, k, None] * vector
        step = np.linalg.norm(after, axis=1, keepdims=True)
        beside[:, k] = step[:, 0]
        before, vector = vector, np.divide(after, step, out=np.zeros_like(after), where=step > 0)
    return np.array([np.abs(scipy.linalg.eigvalsh_tridiagonal(a, b[:-1])).max() for a, b in zip(middle, beside, strict=True)])
