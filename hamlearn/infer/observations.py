"""What the likelihoods read: microstates of each temperature as value indices, with their weights and origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.infer.constrained import require_kept
from hamlearn.infer.seen import only_seen
from hamlearn.systems.base import Space

ABSENT = -1  # index of the value of a cell that was not observed


@dataclass(frozen=True, eq=False)
class Observations:
    """Microstates at one temperature.

    Attributes
    ----------
    states : array, shape (chain, draw, n_sites)
        Index of every site's value in ``space.values`` (int8), below zero where it was not observed, or the value itself where it is
        continuous (float).
    weight : array, shape (chain, draw)
        How much every row counts.
    weighted : bool
        Whether these are statistical weights (the variance of a sum then goes with their squares), not repeat counts.
    beta : float
        Inverse temperature.
    independent : bool
        Whether the draws are known to be independent (exact samplers, histograms).
    flip : array (n_sites, q, q) or None
        The probability of every reading (last) of a site given its true value; None where states are what was read.
    """

    states: np.ndarray
    weight: np.ndarray
    weighted: bool
    beta: float
    independent: bool
    flip: np.ndarray | None = None

    @property
    def unsure(self) -> bool:
        """Whether the value of some cell is not known: cells are missing, or may be misread."""
        return self.gaps or self.flip is not None

    @cached_property
    def gaps(self) -> bool:
        """Whether cells are missing."""
        return bool(np.isnan(self.states).any() if self.states.dtype.kind == "f" else self.states.min(initial=0) < 0)

    @cached_property
    def wrong(self) -> np.ndarray:
        """How often every site is misread, ``(n_sites,)``, its values being as frequent as they are read."""
        result = np.zeros(self.states.shape[-1])
        if self.flip is not None:
            states, weight = self.gathered
            for value, right in enumerate(self.flip.diagonal(axis1=1, axis2=2).T):
                result += (1 - right) * (weight @ (states == value))
            result /= np.maximum(weight @ (states >= 0), 1e-300)
        return result

    @property
    def size(self) -> float:
        """Number of observations: total weight or count."""
        return float(self.weight.sum())

    @property
    def worth(self) -> float:
        """How many independent microstates they are worth, their autocorrelation apart (:func:`hamlearn.data.reading.worth`)."""
        return microstate_data.worth(self.weight, self.weighted)

    @cached_property
    def gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows ``(row, n_sites)`` that count and their weights, for sums over rows: each state once where there are more rows than states.

        A million rows of 16 spins are 65 536 states at most.
        """
        states, weight = flat(self)
        if states.dtype.kind == "f":
            return states, weight
        low = int(states.min(initial=0))  # below zero where cells are missing
        q, n = 1 + int(states.max(initial=1)) - low, states.shape[1]
        if n * np.log2(q) >= np.log2(max(len(states), 1)):
            return states, weight
        total = np.bincount(codes(states), weights=weight, minlength=q**n)
        seen = np.flatnonzero(total)
        return (seen[:, None] // q ** np.arange(n) % q + low).astype(states.dtype), total[seen]


def bind(data: xr.Dataset | Iterable[xr.Dataset], model: Any) -> tuple[Any, list[Observations], list[xr.Dataset]]:
    """The model on the sites of the data, and the data as the likelihoods read them."""
    sets = microstate_data.split_by_beta(data)
    kinds = {(part.attrs["space"], int(part.attrs["q"])) for part in sets}
    if len({name for name, _ in kinds}) > 1:
        raise HamlearnError(f"the data sets live in different spaces: {sorted(kinds)}.")
    shapes = {microstate_data.site_shape(part) for part in sets}
    if len({int(np.prod(shape)) for shape in shapes}) > 1:
        raise HamlearnError(f"the data sets have different site axes: {sorted(shapes)}.")
    space = microstate_data.space_of(sets)
    require_kept([space], model)
    if model.codes_are_angles and "codes" in sets[0].attrs:
        raise HamlearnError(
            f"a clock's states are angles, and the codes {microstate_data.codes_of(sets[0])} have gaps: declare how many states there are, "
            "hl.microstates(..., q=...), so that they keep their places."
        )
    model = model.on(microstate_data.names_of(sets[0])).at(mean_beta([float(part["beta"]) for part in sets]))  # priors in units of kT
    bound = _bound(model, space, sets[0])
    if (narrow := only_seen(sets, model)) is not sets:
        sets, space = narrow, microstate_data.space_of(narrow)
        bound = model.bind(space, microstate_data.site_shape(sets[0]))
    return bound, [as_observations(part, space) for part in sets], sets


def _bound(model: Any, space: Space, data: xr.Dataset) -> Any:
    """The model on the sites of the data; where only another order of their axes fits it, that is said."""
    shape = microstate_data.site_shape(data)
    try:
        return model.bind(space, shape)
    except HamlearnError as error:
        axes = (data.sizes["draw"], *shape) if data.sizes["chain"] == 1 else ()
        first = "states.T" if len(axes) == 2 else "np.moveaxis(states, -1, 0)"
        for fits, call in ((axes[:-1], first), (axes[2:], "states, dims=('chain', 'draw', ...)")):
            if not fits or fits == shape or not _binds(model, space, fits):
                continue
            if not _binds(model, space, (int(np.prod(fits)) + 1,)):  # it has sites of its own, and does not take any
                raise HamlearnError(
                    f"the model fits sites of shape {fits}, and the data were read as {axes[0]} microstates of shape {shape}: their axes "
                    f"have another order. Make them anew with hl.microstates({call}, ...)."
                ) from error
        raise


def _binds(model: Any, space: Space, shape: tuple[int, ...]) -> bool:
    try:
        model.bind(space, shape)
    except HamlearnError:
        return False
    return True


def mean_beta(betas: Sequence[float]) -> float:
    """The inverse temperature that a prior in units of kT refers to: the geometric mean (1 if there is none above zero)."""
    positive = [abs(beta) for beta in betas if beta != 0]
    return float(np.exp(np.mean(np.log(positive)))) if positive else 1.0


def as_observations(data: xr.Dataset, space: Space) -> Observations:
    """Microstates at one temperature as the likelihoods read them."""
    weight, weighted = microstate_data.multiplicity(data)
    values = microstate_data.rows(data)
    if space.continuous:
        states = values.astype(float)
    else:
        states = np.where(values == space.missing, ABSENT, space.index(values)).astype(np.int8)
    independent = bool(int(data.attrs.get("independent", 0)))
    return Observations(states, weight, weighted, float(data["beta"]), independent, microstate_data.flips(data, space.q))


def unknown(part: Observations) -> float:
    """How many cells' worth of values is not known: a missing cell counts as one, one that is misread as half of q at the rate f as 2f."""
    gone = part.states < 0
    return float(gone.sum() + 2 * part.wrong @ (~gone).sum((0, 1)))


def channel(part: Observations, q: int) -> np.ndarray:
    """The probability of every reading of a site given its value, ``(n_sites, reading, value)``; the last reading is that of no value.

    Index −1, which a missing cell has, finds it: it is the same whatever the value was.

    Examples
    --------
    >>> states, once = np.zeros((1, 1, 1), np.int8), np.ones((1, 1))
    >>> channel(Observations(states, once, False, 1.0, True, flip=np.array([[[0.9, 0.1], [0.2, 0.8]]])), 2).tolist()
    [[[0.9, 0.2], [0.1, 0.8], [1.0, 1.0]]]
    """
    found = np.ones((part.states.shape[-1], q + 1, q))
    found[:, :q] = np.eye(q) if part.flip is None else part.flip.swapaxes(1, 2)
    return found


def flat(part: Observations) -> tuple[np.ndarray, np.ndarray]:
    """States ``(row, n_sites)`` and weights ``(row,)`` of rows that count at all."""
    states, weight = part.states.reshape(-1, part.states.shape[-1]), part.weight.reshape(-1)
    return (states, weight) if np.all(weight > 0) else (states[weight > 0], weight[weight > 0])


def unique_rows(part: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Distinct states ``(row, n_sites)`` and their total weights."""
    states, weight = flat(part)
    _, first, inverse = np.unique(codes(states), return_index=True, return_inverse=True)
    return states[first], np.bincount(inverse, weights=weight)


def codes(rows: np.ndarray) -> np.ndarray:
    """What is the same for equal rows ``(row, n_sites)`` alone: an integer where the rows fit into 63 bits, else a view of their bytes.

    Examples
    --------
    >>> codes(np.array([[1, 1], [0, 1], [1, 1]])).tolist()
    [3, 2, 3]
    """
    low, high = (int(rows.min(initial=0)), int(rows.max(initial=1))) if rows.dtype.kind != "f" else (0, 0)
    if rows.dtype.kind != "f" and rows.shape[1] * np.log2(high - low + 1) < 63:
        found = np.zeros(len(rows), np.int64)
        for column in rows.T[::-1]:  # no copy of all rows as wide integers
            found *= high - low + 1
            found += column
            found -= low
        return found
    return np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _lowest(part: Observations) -> np.ndarray:
    """The lowest value of every site among those that were observed."""
    rows = part.gathered[0]
    return np.asarray((np.where(rows < 0, rows.max(0), rows) if part.gaps else rows).min(0))


def frozen_sites(parts: Sequence[Observations]) -> np.ndarray:
    """Sites that hold one value in all the data."""
    low = np.min([_lowest(part) for part in parts], axis=0)
    high = np.max([part.gathered[0].max(0) for part in parts], axis=0)
    return np.flatnonzero(low == high)
