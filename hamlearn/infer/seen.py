"""A state that was never seen at a site is not a state of it, where nothing but a prior would say how rare it is.

Where every state of every site has energies of its own, no other state says anything of one that was never seen: its energies would be
drawn from their prior into predictions. Microstates are then learned in the space of the states that were seen. Scores of ordered
states, Potts couplings and shared parameters do say what an unseen state costs, and keep it.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.data import multiplicity, names_of, rows, site_shape, space_of
from hamlearn.data.columns import with_space
from hamlearn.data.strays import strays
from hamlearn.infer.provenance import Noted
from hamlearn.spaces import States

LIMIT = 5000  # parameters; beyond it only a tight prior makes sense (large alignments), and it says what was never seen
KEY = "never_seen"  # attribute of microstates whose space holds what was seen, and of what was learned: (site, state) of what is not in it


def in_space(data: xr.Dataset, space: States, never: np.ndarray | None = None) -> xr.Dataset:
    """The same microstates as ones of `space`, which has all of their states; parts of them stay in it.

    Raises
    ------
    HamlearnError
        If they hold a state that it lacks.
    """
    space.require_own(data["state"].values, len(site_shape(data)))
    return with_space(data, space).assign_attrs({KEY: json.dumps([] if never is None else never.tolist())})


def only_seen(sets: list[xr.Dataset], model: Any) -> list[xr.Dataset]:
    """The microstates of all temperatures in the space of the states that occur in them, where `model` asks for that; else as they are.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[0, 2], [1, 0], [0, 0]], space="states", q=3)
    >>> hl.data.space_of(only_seen([data], hl.models.Couplings()))
    States(q=3, sizes=(2, (0, 2)))
    >>> hl.data.space_of(only_seen([data], hl.models.Couplings(interaction="ordinal")))
    States(q=3, sizes=())
    """
    space = space_of(sets)
    if KEY in sets[0].attrs or not model.states_apart or not isinstance(space, States):
        return sets
    if model.on(names_of(sets[0])).bind(space, site_shape(sets[0])).n_params > LIMIT:
        return sets
    there = space.there(math.prod(site_shape(sets[0])))
    seen = np.zeros_like(there)
    for data in sets:
        values = rows(data)[multiplicity(data)[0] > 0]
        for state in range(space.q):
            seen[:, state] |= (values == state).any(0)
    never = np.argwhere(there & ~seen)
    return [in_space(data, space.only(seen), never) for data in sets] if len(never) else sets


def noted(never: list[list[int]]) -> tuple[Noted, ...]:
    """What a posterior says of states ``[site, state]`` that were never seen."""
    return (Noted("states never seen", "note", "states", {"count": len(never), "first": never[:4]}),) if never else ()


def of_codes(sets: list[xr.Dataset]) -> tuple[Noted, ...]:
    """What a posterior says of codes that stand far from the others of their column: each was taken for a state like any other."""
    found = strays(sets)
    numbers = {"count": len(found), "first": [[one.site, one.code, one.times, one.low, one.high] for one in found[:4]]}
    return (Noted("stray codes", "caution", "states", numbers),) if found else ()
