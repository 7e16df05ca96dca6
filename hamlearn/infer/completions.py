"""Completions of rows with missing or misread cells: draws of the true values, given what was read and a Hamiltonian.

Gibbs sweeps over those cells alone whose value is not known, each weighted by the probability of its reading; K completions of a row are K
chains, which go on from where they were when θ moves on.
Sequential loops in numba.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from hamlearn.infer.observations import Observations, as_observations, channel
from hamlearn.models import BoundCouplings
from hamlearn.systems.sampling.kernels import generators, kernel, neighbour_lists, uniform

SWEEPS = 60  # of chains that begin at values drawn site by site


class Completions:
    """K completions of every row of one temperature that has cells whose value is not known.

    Attributes
    ----------
    part : Observations
        The data.
    rows : array of int (row,)
        Their numbers, counted over all chains.
    states : array of int8 (row, K, n_sites)
        Their completions as value indices; the first ones are true values `first` ``(row, n_sites)`` of all rows where they are given, else
        what was read, and drawn site by site where nothing was, from the frequencies of what was observed there.
    """

    def __init__(self, bound: BoundCouplings, part: Observations, each: int, seed: int, first: np.ndarray | None = None) -> None:
        self.bound, self.part = bound, part
        flat = part.states.reshape(-1, part.states.shape[-1])
        probabilities = channel(part, bound.space.q)
        open_cells = ((probabilities > 0).sum(-1) > 1)[np.arange(flat.shape[1]), flat]  # that several values may have been read as
        self.rows = np.flatnonzero(open_cells.any(1))
        holed, rng = flat[self.rows], np.random.default_rng(seed)
        where = np.nonzero(open_cells[self.rows])
        self._sites, self._start = where[1], np.searchsorted(where[0], np.arange(len(holed) + 1))
        self._readings = holed[where]
        with np.errstate(divide="ignore"):
            self._channel = np.log(probabilities)
        self.states = np.repeat((flat if first is None else first)[self.rows, None], each, 1)
        for site in np.flatnonzero((self.states < 0).any((0, 1))):
            column = flat[:, site]
            seen = np.bincount(column[column >= 0], minlength=bound.space.q) / np.count_nonzero(column >= 0)
            gone = holed[:, site] < 0
            self.states[gone, :, site] = rng.choice(bound.space.q, (int(gone.sum()), each), p=seen)
        self._rng = generators(np.random.SeedSequence(seed), 1)[0]
        self._lists = neighbour_lists(bound.lattice.bonds, bound.lattice.n_sites)

    def sweep(self, theta: np.ndarray, sweeps: int) -> None:
        """Move all completions on by so many Gibbs sweeps at θ."""
        tables, fields = self.bound.tables(theta)
        beta = self.part.beta
        cells = self._sites, self._readings, self._start, self._channel
        _sweeps(self.states, *cells, beta * fields, beta * tables, self.bound.lattice.bonds, *self._lists, sweeps, self._rng)

    def averages(self, theta: np.ndarray, sweeps: int, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Move the completions of some rows on, all of whose cells are open, and average over these sweeps.

        Returns
        -------
        array (row, K, n_params)
            T.
        array (row, K, n_sites)
            How often cells were misread; 0 where they were not read.

        Notes
        -----
        Every move of a site counts as the probabilities of its values given all others, not as the value that was drawn: averages are the
        same and scatter less (Gelfand and Smith, J. Am. Stat. Assoc. 85, 398 (1990)).
        """
        states, bonds, (tables, fields) = self.states[rows], self.bound.lattice.bonds, self.bound.tables(theta)
        q, beta = self.bound.space.q, self.part.beta
        pair, single = np.zeros((*states.shape[:2], len(bonds), q, q)), np.zeros((*states.shape, q))
        wrong = np.zeros(states.shape)
        cells = self._sites, self._readings, self._start[rows.start : rows.start + len(states) + 1], self._channel
        _averaged(pair, single, wrong, states, *cells, beta * fields, beta * tables, bonds, *self._lists, sweeps, self._rng)
        flat = lambda one: one.reshape(-1, *one.shape[2:]) / sweeps
        return self.bound.mean_statistics(flat(pair), flat(single)).reshape(*states.shape[:2], -1), wrong / sweeps

    def misread(self, part: Observations) -> Completions:
        """The same completions of the same rows, misread at other rates."""
        other = object.__new__(Completions)
        other.__dict__.update(self.__dict__, part=part)
        with np.errstate(divide="ignore"):
            other._channel = np.log(channel(part, self.bound.space.q))
        return other

    def only(self, each: int) -> Completions:
        """The first so many completions of every row (or those there are, repeated)."""
        other = object.__new__(Completions)
        other.__dict__.update(self.__dict__)
        other.states = np.ascontiguousarray(np.resize(self.states.swapaxes(0, 1), (each, *self.states[:, 0].shape)).swapaxes(0, 1))
        return other

    def observations(self) -> Observations:
        """The data with every row that is not known replaced by its completions, which share its weight: one chain of rows that count."""
        flat, weight = self.part.states.reshape(-1, self.part.states.shape[-1]), self.part.weight.reshape(-1)
        whole = np.ones(len(flat), bool)
        whole[self.rows] = False
        each = self.states.shape[1]
        states = np.concatenate([flat[whole], self.states.reshape(-1, flat.shape[1])])
        shares = np.concatenate([weight[whole], np.repeat(weight[self.rows] / each, each)])
        return replace(self.part, states=states[None], weight=shares[None], flip=None)


def completed(data: xr.Dataset, bound: BoundCouplings, theta: np.ndarray, seed: int) -> xr.Dataset:
    """Microstates of one temperature with every cell that is not known drawn given what was read of its row and strengths θ.

    One completion stands for the data in checks of a fit (Gelman et al. 2005): since the cells that were drawn follow the model, such
    checks see less than those of complete data, and never more.
    """
    part = as_observations(data, bound.space)
    if not part.unsure:
        return data
    found = Completions(bound, part, 1, seed)
    found.sweep(theta, SWEEPS)
    flat = part.states.reshape(-1, part.states.shape[-1]).copy()
    flat[found.rows] = found.states[:, 0]
    values = bound.space.from_index(flat).reshape(data["state"].shape).astype(data["state"].dtype)
    return data.drop_vars(["flip", "true", "read"], errors="ignore").assign(state=(data["state"].dims, values, data["state"].attrs))


@kernel
def _log_weights(
    weight: np.ndarray,
    site: int,
    read: int,
    states: np.ndarray,
    channel: np.ndarray,
    fields: np.ndarray,
    tables: np.ndarray,
    bonds: np.ndarray,
    first: np.ndarray,
    group: np.ndarray,
    place: np.ndarray,
) -> None:
    """Of every value of a site, given its reading and all others."""
    q = len(weight)
    for value in range(q):
        weight[value] = fields[site, value] + channel[site, read, value]
    for k in range(first[site], first[site + 1]):
        bond, end = group[k], place[k]
        there = states[bonds[bond, 1 - end]]
        for value in range(q):
            weight[value] += tables[bond, value, there] if end == 0 else tables[bond, there, value]


@kernel
def _sweeps(
    states: np.ndarray,
    sites: np.ndarray,
    readings: np.ndarray,
    start: np.ndarray,
    channel: np.ndarray,
    fields: np.ndarray,
    tables: np.ndarray,
    bonds: np.ndarray,
    first: np.ndarray,
    group: np.ndarray,
    place: np.ndarray,
    sweeps: int,
    rng: np.ndarray,
) -> None:
    q = fields.shape[1]
    weight = np.empty(q)
    for row in range(states.shape[0]):
        for copy in range(states.shape[1]):
            own = states[row, copy]
            for _ in range(sweeps):
                for cell in range(start[row], start[row + 1]):
                    site = sites[cell]
                    _log_weights(weight, site, readings[cell], own, channel, fields, tables, bonds, first, group, place)
                    top = weight.max()
                    total = 0.0
                    for value in range(q):
                        total += np.exp(weight[value] - top)
                        weight[value] = total
                    mark, chosen = uniform(rng) * total, 0
                    while chosen < q - 1 and weight[chosen] <= mark:
                        chosen += 1
                    own[site] = chosen


@kernel
def _averaged(
    pair: np.ndarray,
    single: np.ndarray,
    wrong: np.ndarray,
    states: np.ndarray,
    sites: np.ndarray,
    readings: np.ndarray,
    start: np.ndarray,
    channel: np.ndarray,
    fields: np.ndarray,
    tables: np.ndarray,
    bonds: np.ndarray,
    first: np.ndarray,
    group: np.ndarray,
    place: np.ndarray,
    sweeps: int,
    rng: np.ndarray,
) -> None:
    q = fields.shape[1]
    weight = np.empty(q)
    for row in range(states.shape[0]):
        for copy in range(states.shape[1]):
            own, pairs = states[row, copy], pair[row, copy]
            for _ in range(sweeps):
                for cell in range(start[row], start[row + 1]):
                    site, read = sites[cell], readings[cell]
                    _log_weights(weight, site, read, own, channel, fields, tables, bonds, first, group, place)
                    top = weight.max()
                    total = 0.0
                    for value in range(q):
                        weight[value] = np.exp(weight[value] - top)
                        total += weight[value]
                    for value in range(q):
                        weight[value] /= total
                        single[row, copy, site, value] += weight[value]
                    if read >= 0:
                        wrong[row, copy, site] += 1 - weight[read]
                    for k in range(first[site], first[site + 1]):
                        bond, end = group[k], place[k]
                        there = own[bonds[bond, 1 - end]]
                        for value in range(q):
                            if end == 0:
                                pairs[bond, value, there] += 0.5 * weight[value]
                            else:
                                pairs[bond, there, value] += 0.5 * weight[value]
                    mark, chosen = uniform(rng), 0
                    while chosen < q - 1 and weight[chosen] <= mark:
                        mark -= weight[chosen]
                        chosen += 1
                    own[site] = chosen
