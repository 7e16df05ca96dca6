"""What a search for signals looks at: the rows of one temperature beside the Hamiltonian that was learned from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics import invariants
from hamlearn.infer import families, posteriors
from hamlearn.systems.base import Space, System, axes_of

_CHUNK = 1 << 14  # rows whose energies are computed at once


@dataclass(frozen=True)
class Signal:
    """One thing found in the data.

    Attributes
    ----------
    severity : {"note", "caution", "serious"}
    topic : str
        "stationarity", "time series", "conserved", "values", "repeated rows" or "phase".
    what, advice : str
        What was found and what to do, in sentences.
    statistic, p_value, effect : float
        The test statistic, the probability of one as large by chance, and the size of the effect in the units that `what` names.
    code, numbers : str, mapping
        Where the verdict words it: the code of the sentence and what that needs; `what` is then empty. "told" elsewhere.
    """

    severity: str
    topic: str
    what: str
    advice: str
    statistic: float
    p_value: float
    effect: float
    code: str = "told"
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For the record of a posterior."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class View:
    """Rows at one temperature.

    Attributes
    ----------
    data : Dataset
        Where the rows come from.
    rows : array (chain, draw, n_sites)
        Microstates.
    counts : array of int (chain, draw) or None
        Repeat counts of a histogram, whose order means nothing.
    ordered : bool
        Whether rows stand in the order in which they were drawn: neither a histogram nor weighted, nor declared independent.
    weighted : bool
        Whether rows have statistical weights, so that equal ones are no repeats.
    space : Space
        What a site holds.
    beta : float
        Inverse temperature.
    system : System
        The learned Hamiltonian (the mean of a posterior over couplings, one member of others).
    post : DataTree
        The posterior.
    label : str
        `` at beta = …`` where there are several temperatures.
    """

    data: xr.Dataset
    rows: np.ndarray
    counts: np.ndarray | None
    ordered: bool
    weighted: bool
    space: Space
    beta: float
    system: System
    post: xr.DataTree
    label: str

    def word(self, site: int) -> str:
        """What a site is called."""
        return microstates.word(microstates.names_of(self.data), site)

    @cached_property
    def symmetric(self) -> bool:
        """Whether the Hamiltonian is unchanged when all values are flipped or turned alike."""
        return invariants.symmetric(self.system, self.rows)

    def members(self, count: int) -> list[System]:
        """Hamiltonians drawn from the posterior, on as many sites as these rows have."""
        return list(families.of(self.post).draw_systems(self.post, count, 0, _other_shape(self.system, self.data)))

    def action(self, rows: np.ndarray, system: System | None = None) -> np.ndarray:
        """βH of rows ``(row, n_sites)``, of the learned Hamiltonian or of another one."""
        system = self.system if system is None else system
        shape = axes_of(system)
        pieces = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        return np.concatenate([np.asarray(system.action(piece.reshape(-1, *shape), self.beta), float) for piece in pieces])


def views(post: xr.DataTree, sets: list[xr.Dataset]) -> Iterator[View]:
    """The data sets as the searches see them."""
    space = posteriors.space_of(post)
    usual = _system(post)
    for data in sets:
        shape = _other_shape(usual, data)
        system = usual if shape is None else families.of(post).draw_systems(post, 1, 0, shape)[0]
        counts = data["count"].values.astype(np.int64) if "count" in data else None
        label = f" at beta = {float(data['beta']):.4g}" if len(sets) > 1 else ""
        ordered = not {"count", "weight"} & set(data) and not int(data.attrs.get("independent", 0))
        yield View(data, microstates.rows(data), counts, ordered, "weight" in data, space, float(data["beta"]), system, post, label)


def _other_shape(system: System, data: xr.Dataset) -> tuple[int, ...] | None:
    """The shape of the data where it is not that of the system (paths of several lengths), else None."""
    shape = microstates.site_shape(data)
    return None if int(np.prod(shape)) == system.lattice.n_sites else shape


def _system(post: xr.DataTree) -> System:
    if families.traits(post).bonds:
        theta = posteriors.theta_draws(post)
        return posteriors.bound_of(post).system(theta.reshape(-1, theta.shape[-1]).mean(0))
    return families.of(post).draw_systems(post, 1, 0, None)[0]
