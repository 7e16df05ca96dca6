"""The two samples of one temperature beside each other, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics.audits import words
from hamlearn.diagnostics.audits.drawing import Drawn
from hamlearn.diagnostics.audits.measures import Ground, Measure, in_chunks, measures, pairs_told, quantities, require_finite
from hamlearn.diagnostics.audits.sides import Blocks, Side
from hamlearn.diagnostics.holdout import MIN_BLOCKS
from hamlearn.diagnostics.members import Members
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.sampling.energies import energies as system_energies

_POOLED = 4096  # rows of each side that label-free choices are made of
_UNLIKE = 1.5  # how many times more rows blocks of one side may be worth than those of the other
_NAMELESS = 32  # flat sites without a geometry up to which all pairs are looked at


@dataclass(frozen=True, eq=False)
class Case:
    """The two sides at one temperature.

    Attributes
    ----------
    reference, model : Side
        Whose rows are compared.
    ground : Ground
        What they share.
    values : dict of pairs of arrays (row,)
        Of every quantity, of both sides.
    measures : list of Measure
        What is compared.
    members : Members or None
        Of a posterior whose Hamiltonians differ.
    guessed : bool
        Whether nobody says if the lattice closes, so that it is taken for an open one.
    """

    reference: Side
    model: Side
    ground: Ground
    values: dict[str, tuple[np.ndarray, np.ndarray]]
    measures: list[Measure]
    members: Members | None
    guessed: bool = False

    @classmethod
    def of(cls, reference: xr.Dataset, model: xr.Dataset, drawn: Drawn, energies: Mapping[str, System]) -> Case:
        """Microstates at one temperature beside each other."""
        first, second = Side.of(reference, "the reference"), Side.of(model, "the model")
        size = min(len(first.rows), len(second.rows), _POOLED)
        pooled = [np.linspace(0, len(side.rows) - 1, size).round().astype(int) for side in (first, second)]
        rows = np.concatenate([first.rows[pooled[0]], second.rows[pooled[1]]])
        ground = Ground(first.space.free, _lattice(reference, model, drawn), {name: _of_rows(one) for name, one in energies.items()}, rows)
        known = quantities(ground)
        values = {name: (in_chunks(one.of, first.rows), in_chunks(one.of, second.rows)) for name, one in known.items()}
        for name in ground.energies:
            require_finite(name, values[name][0], first.rows, first.name)
            require_finite(name, values[name][1], second.rows, second.name)
        together = {name: np.concatenate([one[pooled[0]], other[pooled[1]]]) for name, (one, other) in values.items()}
        members = Members(drawn.members, second.rows, float(model["beta"])) if len(drawn.members) > 1 else None
        guessed = drawn.lattice is None and len(microstates.site_shape(reference)) > 1 and _closed(reference, model) is None
        return cls(first, second, ground, values, measures(ground, known, together), members, guessed)

    @property
    def sides(self) -> tuple[Side, Side]:
        """The reference and the model."""
        return self.reference, self.model

    @cached_property
    def renewed(self) -> tuple[float, float]:
        """Autocorrelation times of local quantities (energies, domain walls, squares) of both sides: how fast rows are made anew."""
        local = [*self.ground.energies, "the share of unlike neighbours", "the mean square"]
        pairs = [self.values[name] for name in local if name in self.values] or [next(iter(self.values.values()))]
        first, second = (max(side.time_of(pair[k][:, None]) for pair in pairs) for k, side in enumerate((self.reference, self.model)))
        return first, second

    def columns(self, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
        """The columns of a measure, of both sides."""
        if measure.quantity:
            first, second = self.values[measure.quantity]
            return measure.values(first), measure.values(second)
        return in_chunks(measure.values, self.reference.rows), in_chunks(measure.values, self.model.rows)

    def moved(self, columns: np.ndarray) -> np.ndarray | None:
        """How far members of the posterior lie from their mean in columns of the model, ``(member, column)``; None: it is one law."""
        return None if self.members is None else self.members.moved(columns)

    @property
    def cautions(self) -> list[str]:
        """What is to be said of a side that never changes."""
        return [words.constant(side.name, len(side.rows)) for side in self.sides if side.frozen]

    def told(self) -> dict[str, str]:
        """How many rows each side has, how many are worth an independent one, and which pairs of sites are looked at."""
        rows = {
            name: f"{len(side.rows)} rows" + (f", worth {len(side.rows) / side.slowest:.3g} independent ones" if side.slowest > 1 else "")
            for name, side in (("reference", self.reference), ("model's rows", self.model))
        }
        pairs = pairs_told(self.ground.lattice)
        return rows | ({"pairs": pairs} if pairs else {}) | ({"lattice": words.OPEN} if self.guessed else {})

    def blocks(self, first: float, second: float) -> tuple[Blocks, Blocks] | str:
        """Blocks of both sides for what has these autocorrelation times, equally many of each; or why there are too few."""
        return paired((self.reference, first), (self.model, second))


def paired(*sides: tuple[Side, float]) -> tuple[Blocks, Blocks] | str:
    """As many blocks of two sides, each with an autocorrelation time; or why there are too few.

    Where blocks of one side are worth many more rows than the other's, rows are left out: an event so rare that the smaller side cannot
    have seen it would speak against equal laws otherwise.
    """
    counts = [side.blocks(tau).count for side, tau in sides]
    for (side, tau), has in zip(sides, counts, strict=True):
        if has < MIN_BLOCKS:
            return words.undecided(side.name, has, MIN_BLOCKS, side.more(tau, has))
    found = [side.blocks(tau, min(counts)) for side, tau in sides]
    worth = [part.rows / max(tau, 1.0) for part, (_, tau) in zip(found, sides, strict=True)]
    if max(worth) > _UNLIKE * min(worth):
        # Rows at half an autocorrelation time say nearly all that those between them do.
        found = [
            part.thinned(min(part.rows, max(1, round(2 * min(worth) if tau > 1 else min(worth)))))
            for part, (_, tau) in zip(found, sides, strict=True)
        ]
    return found[0], found[1]


def _of_rows(system: System) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rows: np.asarray(system_energies(system, rows), float)


def _closed(*sides: xr.Dataset) -> bool | None:
    """Whether the lattice of the microstates closes, if any of them says so."""
    return next((told for one in sides if (told := microstates.periodic(one)) is not None), None)


def _lattice(reference: xr.Dataset, model: xr.Dataset, drawn: Drawn) -> Lattice:
    """The lattice of the model, or the one that the microstates declare."""
    shape = microstates.site_shape(reference)
    if drawn.lattice is not None and tuple(drawn.lattice.shape) == shape:
        return drawn.lattice
    closed = _closed(reference, model)
    if closed is None and len(shape) == 1 and 1 < shape[0] <= _NAMELESS:
        found = lattices.complete(shape[0])  # flat sites that declare no geometry are no chain: neurons, questions
    else:
        found = lattices.hypercubic(shape, periodic=bool(closed))
    names = microstates.names_of(reference)
    return found.called(names) if names else found


__all__ = ["Case", "paired"]
