"""Locality probe: how far the interactions of a Hamiltonian, known or learned, reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from hamlearn.arguments import require_seed
from hamlearn.data import admit_states
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.families import extensive
from hamlearn.infer.training import Training
from hamlearn.models.extensive import Extensive
from hamlearn.processes import verb
from hamlearn.systems.base import System, as_site_axes

_STATES = 4000  # least squares of the pairs of a 5×5 tile has some 300 unknowns
_MEMBERS = 16


@verb
def locality(
    system_or_post: Any,
    states: Any = None,
    contexts: Sequence[int] = (0, 1, 2),
    model: Extensive | None = None,
    engine: Literal["auto", "training"] | Training = "auto",
    *,
    draws: int = _MEMBERS,
    seed: int = 0,
) -> xr.Dataset:
    """Held-out error of extensive networks fitted to a Hamiltonian's energies, against the context that they see.

    A network that sees fewer sites around its focus than the interactions reach cannot represent them, however long it is
    trained: its error is that of what is cut off. The error falls where the context reaches the range, which is the locality
    length of the Hamiltonian; of a density's −ln p/β, which is not a sum of local terms, it falls slowly.

    Parameters
    ----------
    system_or_post : System or DataTree
        A Hamiltonian of discrete sites on a periodic lattice, or a posterior, the mean energy of whose members is probed.
    states : array ``(row, *sites)`` or Dataset, optional
        Where to probe. By default 4000 uniformly random states, on which all interactions weigh equally; give microstates
        for a learned Hamiltonian that is to be trusted only where there were data.
    contexts : sequence of int
        Contexts to try, in sites beyond the focus on each side.
    model : Extensive, optional
        The rest of the form. By default ``Extensive(focus=1, hidden=(64, 64))`` with its linear part, so that fields
        and pairs need no training.
    engine : "auto" or Training
        As for :func:`hamlearn.infer.distill`.
    draws : int
        Draws of a posterior.
    seed : int
        Of random states, members and networks.

    Returns
    -------
    Dataset
        Over ``context``: ``error``, the root mean square error of held-out energies, in units of energy, and
        ``relative_error``, over the standard deviation of the energies. Attribute ``scatter`` is the
        standard deviation between a posterior's members of the energy of a state (0 for a system): an error that is
        smaller says nothing about the truth.

    Raises
    ------
    HamlearnError
        If sites are continuous, states are fewer than 64, or a tile does not fit on the lattice.

    Notes
    -----
    Error against context as a diagnostic: Mills et al., Chem. Sci. 10, 4129 (2019).

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.diagnostics.locality import locality
    >>> found = locality(hl.systems.Ising((6, 6)), contexts=(0, 1))
    >>> (found["relative_error"].values > 0.01).tolist()
    [True, False]
    """
    seed = require_seed(seed)
    if isinstance(system_or_post, xr.DataTree):
        systems: list[System] = families.of(system_or_post).draw_systems(system_or_post, draws, seed, None)
    else:
        systems = [system_or_post]
    space, shape = systems[0].space, tuple(systems[0].lattice.shape)
    if space.continuous:
        raise HamlearnError(f"locality is probed with networks of discrete sites (spins, states); {space.name} are continuous.")
    if states is None:
        index = np.random.default_rng(seed).integers(space.q, size=(_STATES, *shape))
        rows = space.from_index(index)
    else:
        given = admit_states(states, space)
        array = given["state"].values if isinstance(given, xr.Dataset) else given
        rows = as_site_axes(array, shape).reshape(-1, *shape)
    energies = np.stack([np.asarray(system.energy(rows), float) for system in systems])
    energies -= energies.mean(1, keepdims=True)  # of each member up to a constant
    found = extensive.locality(_labelled(rows, space), energies.mean(0), contexts, model, engine, seed)
    found["error"].attrs["long_name"] = "held-out error of the energy"
    scatter = float(np.sqrt(energies.var(0, ddof=1).mean())) if len(systems) > 1 else 0.0
    found.attrs = {"states": len(rows), "energy_spread": float(energies.mean(0).std()), "scatter": scatter}
    return found


def _labelled(rows: np.ndarray, space: Any) -> xr.Dataset:
    from hamlearn import data

    return data.microstates(rows, space=space)
