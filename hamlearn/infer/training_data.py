"""Microstates as the training of a density reads them: split, with what they are worth, in memory or on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.data import space_of
from hamlearn.errors import HamlearnError
from hamlearn.infer import slowness, streaming
from hamlearn.infer.densities.overlap import mass
from hamlearn.infer.training import Training
from hamlearn.models import Autoregressive, Flow
from hamlearn.systems.base import Space

_LEAST_BLOCKS = 20
_SEEN = 10_000  # of the held-out microstates on disk, that networks are compared with
_MOST_SITES = 256  # that autocorrelation is looked for on


@dataclass(frozen=True, eq=False)
class Rows:
    """Microstates of all temperatures as rows, and which of them are held out.

    Attributes
    ----------
    states : array (rows, n_sites)
        Indices, angles or reals.
    beta, weight : array (rows,)
        Inverse temperature and multiplicity.
    heldout : array of bool (rows,)
        Rows that early stopping watches.
    used : array of bool (rows,)
        Rows that are trained on: not held out, and not within five autocorrelation times of those.
    tau : float
        The longest autocorrelation time, in draws.
    size : float
        Microstates that rows stand for: the sum of counts, or the effective number of weighted rows.
    """

    states: np.ndarray
    beta: np.ndarray
    weight: np.ndarray
    heldout: np.ndarray
    used: np.ndarray
    tau: float
    size: float

    @property
    def ess(self) -> float:
        """Independent microstates that the data are worth."""
        return self.size / self.tau


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data as training reads them, in memory or on disk.

    Attributes
    ----------
    train, heldout : Rows
        Minibatches of :mod:`.engines.neural.torch_batches`.
    example : array (rows, n_sites)
        States of which shift and scale are taken: all that are trained on, or a random part of those on disk.
    ess, tau : float
        Independent microstates that all data are worth; the longest autocorrelation time.
    worth : float
        Independent microstates that those are worth which are trained on.
    overlap : float
        Share of the held-out microstates that are also trained on.
    streamed : dict, optional
        How the data are read from disk, for the record; None where they are in memory.
    rows : Rows, optional
        All of them, or a part of those held out where they are on disk: what networks are compared with afterwards.
    """

    train: Any
    heldout: Any
    example: np.ndarray
    ess: float
    tau: float
    worth: float
    overlap: float
    streamed: dict[str, int] | None = None
    rows: Rows | None = None


def prepare(sets: list[xr.Dataset], space: Space, settings: Training, model: Autoregressive | Flow) -> TrainingData:
    """Microstates of one or several temperatures, read from disk piece by piece where they exceed ``settings.memory``.

    Raises
    ------
    HamlearnError
        If there are too few, or what lies on disk cannot be read in pieces.
    """
    way = _on_disk if streaming.too_large(sets, settings.memory) else _in_memory
    return way(sets, space, settings, model)


def space_and_shape(sets: list[xr.Dataset]) -> tuple[Space, tuple[int, ...]]:
    """The space and the site axes that all microstates share, or an error."""
    found = {(part.attrs["space"], tuple(part["state"].shape[2:])) for part in sets}
    if len(found) > 1:
        raise HamlearnError(f"the data sets differ in space or sites: {sorted(found)}; one density needs one.")
    return space_of(sets), next(iter(found))[1]


def rows_of(sets: list[xr.Dataset], space: Space, share: float) -> Rows:
    """Microstates of all temperatures as rows in memory, a share of them held out."""
    parts = [split(part, space, share) for part in sets]
    states, beta, weight, heldout, used = (np.concatenate(column) for column in zip(*(part[:5] for part in parts), strict=True))
    if used.sum() < 2 or not heldout.any():
        raise HamlearnError(f"{len(states)} microstates are too few to train on and to hold some out: give at least 20.")
    sizes = [microstate_data.multiplicity(part) for part in sets]
    size = sum(microstate_data.worth(*one) for one in sizes)
    return Rows(states, beta, weight, heldout, used, max(part[5] for part in parts), size)


def _in_memory(sets: list[xr.Dataset], space: Space, settings: Training, model: Autoregressive | Flow) -> TrainingData:
    from hamlearn.infer.engines.neural.torch_batches import as_sample
    from hamlearn.models.densities.build import context_of

    rows = rows_of([part.load() if microstate_data.on_disk(part) else part for part in sets], space, settings.heldout)
    weighted = None if not np.ptp(rows.weight) else rows.weight
    parts = []
    for mask in (rows.used, rows.heldout):
        context = context_of(rows.beta[mask], int(mask.sum())) if model.condition else None
        parts.append(as_sample(rows.states[mask], context, None if weighted is None else weighted[mask]))
    used = rows.states[rows.used]
    overlap = mass(used, rows.states[rows.heldout], rows.weight[rows.heldout]) if space.q else 0.0
    worth = rows.ess * float(rows.weight[rows.used].sum() / rows.weight.sum())
    return TrainingData(parts[0], parts[1], used, rows.ess, rows.tau, worth, overlap, None, rows)


def _on_disk(sets: list[xr.Dataset], space: Space, settings: Training, model: Autoregressive | Flow) -> TrainingData:
    """The same from disk: nothing that grows with the data is held."""
    from hamlearn.infer.engines.neural.torch_batches import Streamed

    index = lambda values: space.index(values).astype(np.int8) if space.q else values
    taus = []
    for part in sets:
        first = streaming.beginning(part, settings.memory)
        taus.append(_tau(first, index(microstate_data.rows(first)), space))
    sizes = [(part.sizes["chain"], part.sizes["draw"]) for part in sets]
    where = [streaming.regions(*size, settings.heldout, tau) for size, tau in zip(sizes, taus, strict=True)]
    train, heldout = (streaming.blocks(sets, space, [pair[side] for pair in where], settings.memory) for side in (0, 1))
    if len(train) < 2 or not len(heldout):
        raise HamlearnError("there are too few microstates to train on and to hold some out: give at least 20.")
    count, tau = sum(chains * draws for chains, draws in sizes), max(taus)
    example = train.some(min(len(train), settings.memory // (32 * train.row_bytes)))
    rows = Streamed(train, model.condition is not None)
    told = {"memory": settings.memory, "blocks": len(train.places), "buffer": rows.capacity}
    overlap = streaming.overlap(train, heldout) if space.q else 0.0
    held = Streamed(heldout, model.condition is not None)
    betas = {float(part["beta"]) for part in sets}
    some = heldout.some(min(len(heldout), _SEEN)) if len(betas) == 1 else None
    shown_ = None
    if some is not None:
        every = np.ones(len(some), bool)
        shown_ = Rows(some, np.full(len(some), betas.pop()), np.ones(len(some)), every, ~every, tau, min(len(some) * tau, len(heldout)))
    return TrainingData(rows, held, example, count / tau, tau, len(train) / tau, overlap, told, shown_)


def split(part: xr.Dataset, space: Space, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Rows of one temperature, split by chain or by the end of every chain, never draw by draw."""
    states = microstate_data.rows(part)
    states = space.index(states).astype(np.int8) if space.q else states
    weight, _ = microstate_data.multiplicity(part)
    chains, draws, _ = states.shape
    tau = _tau(part, states, space)
    if "count" in part:
        return _split_counts(states, weight, float(part["beta"]), share)
    train, last = streaming.regions(chains, draws, share, tau)
    used, heldout = train.mask((chains, draws)), last.mask((chains, draws))
    keep = weight.ravel() > 0
    flat = lambda array: array.reshape(chains * draws, *array.shape[2:])[keep]
    beta = np.full(int(keep.sum()), float(part["beta"]))
    return flat(states), beta, flat(weight), flat(heldout), flat(used), tau


def _split_counts(
    states: np.ndarray, count: np.ndarray, beta: float, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """A histogram split by its counts, each at random: whole rows held out would take their probability away."""
    rows, total = states.reshape(-1, states.shape[-1]), count.ravel().astype(int)
    held = np.random.default_rng(0).binomial(total, share)
    weight = np.concatenate([total - held, held]).astype(float)
    keep = weight > 0
    heldout = np.arange(len(weight)) >= len(total)
    both = np.concatenate([rows, rows])
    return both[keep], np.full(int(keep.sum()), beta), weight[keep], heldout[keep], ~heldout[keep], 1.0


def _tau(part: xr.Dataset, states: np.ndarray, space: Space) -> float:
    """The longest autocorrelation time: of what the data name, and of the slowest directions in them, whichever these are."""
    if int(part.attrs.get("independent", 0)) or "count" in part or "weight" in part:
        return 1.0
    named = [float(part.attrs[name]) for name in ("tau_int", "tau_int_m") if name in part.attrs]
    longest = max([1.0, *(value for value in named if np.isfinite(value))])
    if states.shape[1] < 20:
        return longest
    return max(longest, slowness.longest_autocorrelation(shown(states, space)))


def shown(states: np.ndarray, space: Space) -> np.ndarray:
    """What microstates ``(chain, draw, site)`` show, as numbers whose overlap means likeness; at most about 500 of them.

    Of many sites every k-th is looked at: a collective mode moves them all.
    """
    sites = states[..., :: -(-states.shape[-1] // _MOST_SITES)]
    if space.q > 2:
        return (sites[..., None] == np.arange(space.q)).reshape(*sites.shape[:2], -1).astype(float)
    if space.period is not None:
        return np.concatenate([np.cos(sites), np.sin(sites)], -1)
    return 2.0 * sites - 1 if space.q else sites.astype(float)


def resampled(train: Any, tau: float, worth: float, seed: int) -> Any:
    """The same microstates with the random weights of a Bayesian bootstrap, one for every block of three autocorrelation times.

    There are at least 20 blocks: where the slowest mode has seen fewer, what it decides is not resolved in any way, and longer
    blocks would take from everything else, which is faster.

    A network trained on them differs from the others of an ensemble as if it had seen an experiment of its own; without, an
    ensemble shows what random starts do not share and nothing of how few the data are (Rubin 1981). Microstates read from disk
    come as they are.
    """
    from hamlearn.infer.engines.neural.torch_batches import Sample, reweighted

    if not isinstance(train, Sample):
        return train
    generator, n = np.random.default_rng(seed), len(train)
    if train.weight is not None and tau <= 1:  # a row that stands for many microstates is about certain
        return reweighted(train, generator.gamma(train.weight.double().numpy() * worth / n))
    length = 1 if tau <= 1 else max(1, min(int(np.ceil(3 * tau)), n // _LEAST_BLOCKS))
    factor = np.repeat(generator.exponential(size=-(-n // length)), length)[:n]
    return reweighted(train, factor if train.weight is None else factor * train.weight.double().numpy())


def refuse_forbidden(density: Any, prepared: TrainingData, model: Autoregressive | Flow) -> None:
    """Raise if microstates have another sum than a density conserves."""
    if density.ups is None:
        return
    for rows in (prepared.train, prepared.heldout):
        for states, *_ in rows.pieces(1 << 16):
            charge = 2 * states.sum(1) - states.shape[1]
            wrong = charge[charge != model.charge]
            if len(wrong):
                raise HamlearnError(
                    f"charge={model.charge} is conserved by the model, but {len(wrong)} microstates have another, such as {int(wrong[0])}."
                )
