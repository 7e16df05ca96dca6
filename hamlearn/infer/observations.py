"""What the likelihoods read: microstates of each temperature as value indices, with their weights and origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.infer.constrained import require_kept
from hamlearn.systems.base import Space


@dataclass(frozen=True, eq=False)
class Observations:
    """Microstates at one temperature.

    Attributes
    ----------
    states : array, shape (chain, draw, n_sites)
        Index of every site's value in ``space.values`` (int8), or the value itself where it is continuous (float).
    weight : array, shape (chain, draw)
        How much every row counts.
    weighted : bool
        Whether these are statistical weights (the variance of a sum then goes with their squares), not repeat counts.
    beta : float
        Inverse temperature.
    independent : bool
        Whether the draws are known to be independent (exact samplers, histograms).
    """

    states: np.ndarray
    weight: np.ndarray
    weighted: bool
    beta: float
    independent: bool

    @property
    def size(self) -> float:
        """Number of observations: total weight or count."""
        return float(self.weight.sum())

    @property
    def worth(self) -> float:
        """How many independent microstates they are worth, their autocorrelation apart (:func:`hamlearn.data.reading.worth`)."""
        return microstate_data.worth(self.weight, self.weighted)


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
    bound = model.bind(space, microstate_data.site_shape(sets[0]))
    parts = []
    for part in sets:
        parts.append(as_observations(part, space))
    return bound, parts, sets


def mean_beta(betas: Sequence[float]) -> float:
    """The inverse temperature that a prior in units of kT refers to: the geometric mean (1 if there is none above zero)."""
    positive = [abs(beta) for beta in betas if beta != 0]
    return float(np.exp(np.mean(np.log(positive)))) if positive else 1.0


def as_observations(data: xr.Dataset, space: Space) -> Observations:
    """Microstates at one temperature as the likelihoods read them."""
    weight, weighted = microstate_data.multiplicity(data)
    values = microstate_data.rows(data)
    states = values.astype(float) if space.continuous else space.index(values).astype(np.int8)
    return Observations(states, weight, weighted, float(data["beta"]), bool(int(data.attrs.get("independent", 0))))


def flat(part: Observations) -> tuple[np.ndarray, np.ndarray]:
    """States ``(row, n_sites)`` and weights ``(row,)`` of rows that count at all."""
    states, weight = part.states.reshape(-1, part.states.shape[-1]), part.weight.reshape(-1)
    return (states, weight) if np.all(weight > 0) else (states[weight > 0], weight[weight > 0])


def unique_rows(part: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Distinct states ``(row, n_sites)`` and their total weights."""
    states, weight = flat(part)
    packed = _codes(states)
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return states[first], np.bincount(inverse, weights=weight)


def _codes(states: np.ndarray) -> np.ndarray:
    """One integer per row where the states fit into 63 bits, else a void view of the bytes."""
    q = int(states.max(initial=1)) + 1
    if states.shape[1] * np.log2(max(q, 2)) < 63:
        return states @ (q ** np.arange(states.shape[1], dtype=np.int64))
    return np.ascontiguousarray(states).view(np.dtype((np.void, states.shape[1]))).ravel()


def frozen_sites(parts: Sequence[Observations]) -> np.ndarray:
    """Sites that hold one value in all the data."""
    low = np.min([flat(part)[0].min(0) for part in parts], axis=0)
    high = np.max([flat(part)[0].max(0) for part in parts], axis=0)
    return np.flatnonzero(low == high)
