"""Symmetry probes: whether a learned Hamiltonian is invariant, within its own errors, under flips and moves of the lattice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_seed
from hamlearn.data import admit_states
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families
from hamlearn.processes import verb
from hamlearn.systems.base import System, as_site_axes, axes_of

PROBES = ("z2", "internal", "translation", "rotation", "reflection", "mirror")
_MEMBERS = 64  # of a posterior: the error of their mean is an eighth of their scatter

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@verb
def symmetry(
    system_or_post: Any,
    states: Any,
    probes: Sequence[str] | None = None,
    *,
    draws: int = _MEMBERS,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> xr.Dataset:
    """Probe a Hamiltonian for symmetries: energies of states before and after a random element of each group.

    Parameters
    ----------
    system_or_post : System, sequence of System, or DataTree
        A Hamiltonian, an ensemble of them, or a posterior, of which `draws` are drawn.
    states : array ``(row, *sites)`` or Dataset
        Where to probe: microstates of the temperature that matters. A symmetry may hold on them and fail elsewhere.
    probes : sequence of {"z2", "internal", "mirror", "translation", "rotation", "reflection"}, optional
        All that the space and the lattice have by default: "z2" flips spins or the sign of reals, "internal" permutes
        states or rotates angles by a common one, "mirror" turns every angle the other way (both together are O(2)), the
        others move sites of a periodic lattice (rotation by a quarter turn and exchange of axes need equal extents).
    draws : int
        Draws of a posterior.
    tolerance : float
        For a single system, which has no errors of its own: violations below this share of the spread of its energies
        are rounding.
    seed : int
        Of group elements and of members.

    Returns
    -------
    Dataset
        Over ``probe``: ``violation``, the root mean square of E(gσ) − E(σ) of the mean Hamiltonian, in units of energy;
        ``relative``, over the standard deviation of E; ``expected``, the violation that the scatter of members explains;
        ``p_value``, of symmetry given that scatter (for a single system 1 or 0, by `tolerance`).

    Raises
    ------
    HamlearnError
        If a probe does not exist on this space or lattice, or states do not fit.

    Notes
    -----
    With K members, the violations d_k (one number per state) have a mean d̄ that is zero for a symmetric truth,
    if members scatter around the truth as the truth does around them. The statistic is ``|P d̄|²``, projected on the
    directions in which members scatter, as Hotelling's T² with as many directions as a quarter of the members;
    what lies outside of all of them is compared with their whole scatter. p-values of symmetric ensembles are uniform where
    a quarter of the members span the scatter, and lean to large values elsewhere (tested by simulation).

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.diagnostics.symmetry import symmetry
    >>> field = hl.systems.Ising((4, 4), h=0.1)
    >>> states = np.random.default_rng(0).choice([-1, 1], size=(50, 4, 4))
    >>> found = symmetry(field, states)
    >>> found["p_value"].sel(probe=["z2", "translation"]).values
    array([0., 1.])
    """
    seed, single = require_seed(seed), isinstance(system_or_post, System)
    if isinstance(system_or_post, xr.DataTree):
        systems: list[System] = families.of(system_or_post).draw_systems(system_or_post, draws, seed, None)
    else:
        systems = [system_or_post] if single else list(system_or_post)
    first = systems[0]
    given = admit_states(states, first.space)
    array = given["state"].values if isinstance(given, xr.Dataset) else given
    shape = axes_of(first)
    rows = as_site_axes(array, shape).reshape(-1, *shape)
    if len(rows) < 2:
        raise HamlearnError(f"symmetries are probed on several states; got {len(rows)}.")
    available = transforms(first)
    wanted = list(available) if probes is None else [choice(name, PROBES, "probe") for name in probes]
    missing = [name for name in wanted if name not in available]
    if missing:
        raise HamlearnError(
            f"{', '.join(missing)}: no such symmetry on a lattice of shape {shape} ({first.lattice.kind}) of {first.space.name}; "
            f"there are {', '.join(available)}."
        )
    before = np.stack([np.asarray(system.energy(rows), float) for system in systems])
    # An ensemble of few networks gives the same one several times: they count once.
    distinct = np.sort(np.unique(before, axis=0, return_index=True)[1])
    systems, before = [systems[index] for index in distinct], before[distinct]
    spread = float(before.mean(0).std()) or 1.0
    found = []
    for name in wanted:
        moved = available[name](rows, np.random.default_rng([seed, PROBES.index(name)]))
        found.append(_judge(np.stack([np.asarray(system.energy(moved), float) for system in systems]) - before, spread, tolerance))
    violation, expected, p_value = np.array(found).T
    values = {"violation": violation, "relative": violation / spread, "expected": expected, "p_value": p_value}
    result = xr.Dataset({key: ("probe", value) for key, value in values.items()}, coords={"probe": wanted})
    result.attrs = {"members": len(systems), "states": len(rows), "energy_spread": spread}
    return result


def transforms(system: System) -> dict[str, Transform]:
    """Random elements of the symmetry groups that a system's space and lattice have, by probe."""
    found = system.space.symmetries()
    lattice = system.lattice
    if lattice.kind != "hypercubic" or not lattice.periodic:
        return found
    shape, axes = tuple(lattice.shape), len(lattice.shape)

    def translated(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        while not np.any(shift := generator.integers(shape)):
            pass
        return np.roll(rows, tuple(int(one) for one in shift), tuple(range(1, 1 + axes)))

    def reflected(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.flip(rows, 1 + int(generator.integers(axes)))

    if max(shape) > 1:
        found["translation"] = _in_groups(translated)
    if max(shape) > 2:
        found["reflection"] = _in_groups(reflected)
    planes = [(a, b) for a in range(axes) for b in range(a) if shape[a] == shape[b] and shape[a] > 1]
    if planes:

        def rotated(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
            a, b = planes[int(generator.integers(len(planes)))]
            return np.rot90(rows, int(generator.choice([1, 3])), (1 + a, 1 + b))

        found["rotation"] = _in_groups(rotated)
    return found


def _in_groups(move: Transform) -> Transform:
    """A different element for each of up to 16 parts of the states."""

    def moved(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.concatenate([move(part, generator) for part in np.array_split(rows, min(16, len(rows)))])

    return moved


def _judge(violations: np.ndarray, spread: float, tolerance: float) -> tuple[float, float, float]:
    """Violation of the mean, what the scatter of members explains, and the p-value of none; from ``(member, row)``."""
    mean = violations.mean(0)
    size = float(np.sqrt((mean**2).mean()))
    if size <= tolerance * spread:
        return size, float("nan") if len(violations) < 2 else float(np.sqrt(violations.var(0, ddof=1).mean())), 1.0
    if len(violations) < 2:
        return size, float("nan"), 0.0
    scatter = violations - mean
    expected = float(np.sqrt(violations.var(0, ddof=1).mean()))
    if len(violations) < 8:  # no directions to be told apart: one ratio, F-distributed at worst with one degree above
        return size, expected, float(scipy.stats.f.sf((size / max(expected, 1e-300)) ** 2, 1, len(violations) - 1))
    count = max(1, len(violations) // 4)
    _, values, directions = np.linalg.svd(scatter, full_matrices=False)
    live = values > 1e-6 * tolerance * max(values[0], spread)
    directions = directions[:count][live[:count]]
    members, q = len(violations), len(directions)
    if not q:
        return size, expected, 0.0
    # The truth is one more draw about the mean of the members: Hotelling's T² in the leading directions of their scatter.
    projected = scatter @ directions.T
    covariance = projected.T @ projected / (members - 1)
    along = directions @ mean
    statistic = float(along @ np.linalg.solve(covariance, along)) * (members - q) / (q * (members - 1)) * members / (members + 1)
    inside = float(scipy.stats.f.sf(statistic, q, members - q))
    left = mean - along @ directions
    outside = float((left**2).sum() / max((scatter**2).sum() / (members - 1), 1e-300))
    if outside < 1e-9:
        return size, expected, inside
    beyond = float(scipy.stats.f.sf(outside, 1, members - 1))
    return size, expected, float(min(1.0, 2 * min(inside, beyond)))  # the smaller of two
