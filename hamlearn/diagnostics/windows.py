"""Where a learned operator is used beyond what it was trained on: local windows that its training data never showed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from hamlearn import data as microstates
from hamlearn.arguments import require_seed, require_whole, sequence_of
from hamlearn.diagnostics import simulated
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.processes import verb
from hamlearn.systems import sampling
from hamlearn.systems.base import Space, check_beta

_EXTENTS = (9, 3, 2)  # of a window, by dimension: about as many sites in each
_WINDOWS = 400_000  # of either half of the training data, and of what is looked at, at most
_POINTS, _QUERIES = 20_000, 8000  # the same of continuous values, whose nearest neighbours are searched
_QUANTILE = 0.99  # of distances of held-out windows, beyond which one is outside
_MEMBERS, _CHAINS, _DRAWS = 4, 8, 64
_PIECES = 16
_SURE = 3.0  # standard errors


@verb
def support(
    training: xr.Dataset | Iterable[xr.Dataset],
    elsewhere: xr.Dataset | Iterable[xr.Dataset] | xr.DataTree,
    window: int | Sequence[int] | None = None,
    *,
    beta: Any = None,
    shape: Sequence[int] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """How much of what a local operator meets elsewhere its training data never showed.

    An energy that is a sum over windows of sites (couplings, clusters, extensive networks) is interpolated where its windows occurred in
    the training data and extrapolated where they did not, whatever the size and the temperature. Hot data show nearly all windows that
    cold ones have; cold data do not show those of hot ones.

    Parameters
    ----------
    training : Dataset or list of Datasets
        The microstates that the model was trained on.
    elsewhere : microstates or posterior
        Microstates of where it is used, of any size; or the posterior itself, which is simulated at `beta` and `shape`.
    window : int or sequence of int, optional
        Extents of a window in sites: the reach of the operator, focus and context together. By default 9, 3×3 or 2×2×2.
    beta : float or sequence of float
        Of a posterior: inverse temperatures at which it is going to be used.
    shape : sequence of int, optional
        Of a posterior: the lattice on which it is going to be used, its own by default.
    seed : int
        Of the draws.

    Returns
    -------
    Dataset
        Over ``beta``: ``unseen``, the share of windows outside the support of one half of the training data (discrete values: that never
        occur in it; continuous ones: whose nearest neighbour in it is farther than that of 99 % of held-out windows), its standard error
        ``unseen_error``, ``held_out``, the same share of windows of the other half, which is what the support's own law has, its error, and
        ``outside``, whether the first exceeds twice the second by more than three standard errors. ``attrs["summary"]`` says it.

    Raises
    ------
    HamlearnError
        If the two are of different spaces or dimensions, the window is larger than a lattice, or a temperature is missing.

    Examples
    --------
    >>> import hamlearn as hl
    >>> cold = hl.simulate(hl.systems.Ising((8, 8)), beta=0.6, draws=50, chains=8, seed=0)
    >>> used = hl.simulate(hl.systems.Ising((16, 16)), beta=[0.2, 0.6], draws=25, chains=8, seed=1)
    >>> hl.diagnostics.support(cold, used)["outside"].values.tolist()
    [1, 0]
    """
    seed = require_seed(seed)
    trained = microstates.split_by_beta(microstates.admit(training))
    sets = _used(trained, elsewhere, beta, shape, seed)
    space, extents = microstates.space_of(trained[0]).free, _extents(window, [*trained, *sets])
    seen, held = (_windows_of(trained, extents, space, half) for half in (0, 1))
    judge = _Judge(np.concatenate(seen), space, np.random.default_rng(seed))
    own = judge.share(held, calibrate=True)
    rows = [(float(one["beta"]), *judge.share(_windows_of([one], extents, space)), *own) for one in sets]
    columns = np.array(rows, float).reshape(-1, 5).T
    outside = (columns[1] - 2 * columns[3] > _SURE * np.hypot(columns[2], 2 * columns[4])).astype(np.int8)
    names = ("unseen", "unseen_error", "held_out", "held_out_error")
    found = xr.Dataset({name: ("beta", values) for name, values in zip(names, columns[1:], strict=True)}, coords={"beta": columns[0]})
    found["outside"] = ("beta", outside)
    found.attrs = {"window": "×".join(map(str, extents)), "summary": _summary(found, "×".join(map(str, extents)))}
    return found


def _summary(found: xr.Dataset, window: str) -> str:
    out = found["outside"].values.astype(bool)
    if not out.any():
        return f"windows of {window} sites are those of the training data wherever it was looked at"
    worst = int(np.argmax(np.where(out, found["unseen"].values, -1.0)))
    where = ", ".join(f"{one:.4g}" for one in found["beta"].values[out])
    share = f"{found['unseen'].values[worst]:.2g} of windows of {window} sites, {found['held_out'].values[worst]:.2g} of held-out ones"
    return f"at β = {where} a local operator is extrapolated: up to {share}, are outside of what the training data showed"


def _used(trained: list[xr.Dataset], elsewhere: Any, beta: Any, shape: Any, seed: int) -> list[xr.Dataset]:
    """Microstates of where the model is used, one temperature each."""
    if not isinstance(elsewhere, xr.DataTree):
        if beta is not None or shape is not None:
            raise HamlearnError("beta= and shape= are for a posterior, which is simulated; microstates have their own.")
        sets = microstates.split_by_beta(microstates.admit(elsewhere))
        for one in sets:
            if microstates.space_of(one).free != microstates.space_of(trained[0]).free:
                raise HamlearnError(
                    f"the training data are of {microstates.space_of(trained[0]).free}, the others of {microstates.space_of(one).free}: "
                    "only windows of one space can be compared."
                )
        return sets
    post = admit_posterior(elsewhere)
    if beta is None:
        raise HamlearnError("a posterior is simulated where it is going to be used: give beta=, the inverse temperatures.")
    extents = None if shape is None else tuple(require_whole(one, "shape") for one in sequence_of(shape, "shape"))
    systems = families.of(post).draw_systems(post, _MEMBERS, seed, extents)
    return [_simulated(systems, one, seed) for one in np.atleast_1d(check_beta(beta)).tolist()]


def _simulated(systems: list[Any], beta: float, seed: int) -> xr.Dataset:
    """Microstates of some members at one temperature, their chains beside each other."""
    size: dict[str, Any] = {"draws": _DRAWS, "chains": _CHAINS, "thin": 5, "progress": False}
    runs = [sampling.simulate(one, beta, seed=seed + k, **{**size, **simulated.conserving(one)}) for k, one in enumerate(systems)]
    return xr.concat([one.drop_vars("chain", errors="ignore") for one in runs], "chain", combine_attrs="override")


def _extents(window: Any, sets: list[xr.Dataset]) -> tuple[int, ...]:
    shapes = [microstates.site_shape(one) for one in sets]
    dimension = len(shapes[0])
    if any(len(one) != dimension for one in shapes):
        raise HamlearnError(f"the training data have sites {shapes[0]}, the others {shapes[-1]}: windows need as many axes of both.")
    if window is None:
        window = min(_EXTENTS[min(dimension, 3) - 1], *(min(one) for one in shapes))
    given = [window] * dimension if np.ndim(window) == 0 else list(sequence_of(window, "window"))
    extents = tuple(require_whole(one, "window") for one in given)
    if len(extents) != dimension or any(extent > size for one in shapes for extent, size in zip(extents, one, strict=True)):
        raise HamlearnError(f"a window of {extents} sites does not fit lattices of {sorted(set(shapes))}: give one extent for every axis.")
    return extents


def _windows_of(sets: list[xr.Dataset], extents: tuple[int, ...], space: Space, half: int | None = None) -> list[np.ndarray]:
    """Windows ``(n, value)`` in pieces: chains, or stretches of few ones; of one half of the draws if asked for."""
    pieces = []
    for one in sets:
        values = one["state"].values
        chains, draws = values.shape[:2]
        if half is not None:
            values = values[:, : draws // 2] if half == 0 else values[:, draws - draws // 2 :]
        count = min(max(1, -(-_PIECES // chains)), max(1, values.shape[1]))
        periodic = bool(microstates.periodic(one))
        for stretch in np.array_split(values, count, axis=1):
            pieces += [_windows(chain, extents, len(space.event_shape), periodic=periodic) for chain in stretch]
    most = max(1, _WINDOWS // len(pieces))
    return [piece[np.linspace(0, len(piece) - 1, min(len(piece), most)).round().astype(int)] for piece in pieces if len(piece)]


def _windows(states: np.ndarray, extents: tuple[int, ...], event: int, *, periodic: bool) -> np.ndarray:
    """All windows of states ``(row, *sites, *event)``, flat."""
    axes = tuple(range(1, 1 + len(extents)))
    if periodic:
        reach = [(0, 0), *((0, extent - 1) for extent in extents), *[(0, 0)] * event]
        states = np.pad(states, reach, mode="wrap")
    found = np.lib.stride_tricks.sliding_window_view(states, extents, axes)  # (row, *places, *event, *window)
    return found.reshape(int(np.prod(found.shape[: len(axes) + 1])), -1)


class _Judge:
    """What the training data showed, and which share of windows lies outside."""

    def __init__(self, seen: np.ndarray, space: Space, rng: np.random.Generator) -> None:
        self.angles, self.continuous, self.limit, self.rng = space.name == "angles", space.continuous, np.inf, rng
        if self.continuous:
            points = self._points(seen)
            self.tree = cKDTree(points[rng.choice(len(points), min(_POINTS, len(points)), replace=False)])
        else:
            self.known = np.unique(_bytes(seen))

    def share(self, pieces: list[np.ndarray], *, calibrate: bool = False) -> tuple[float, float]:
        """The share outside and its standard error, from the scatter of pieces; `calibrate` sets the distance that counts as far."""
        if not self.continuous:
            each = np.array([1 - np.isin(_bytes(one), self.known).mean() for one in pieces])
        else:
            most = max(1, _QUERIES // len(pieces))
            chosen = [one[self.rng.choice(len(one), min(most, len(one)), replace=False)] for one in pieces]
            distances = [self.tree.query(self._points(one))[0] for one in chosen]
            if calibrate:
                self.limit = float(np.quantile(np.concatenate(distances), _QUANTILE))
            each = np.array([(one > self.limit).mean() for one in distances])
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else np.nan

    def _points(self, windows: np.ndarray) -> np.ndarray:
        windows = np.asarray(windows, float)
        return np.concatenate([np.cos(windows), np.sin(windows)], 1) if self.angles else windows


def _bytes(windows: np.ndarray) -> np.ndarray:
    """Rows as single values that can be compared."""
    packed = np.ascontiguousarray(windows, np.int8)
    return packed.view(np.dtype((np.void, packed.shape[1]))).ravel()


__all__ = ["support"]
