"""Training of neural densities by maximum likelihood: minibatches, early stopping, checkpoints.

The framework's own optimiser does the work; a run is determined by its seed and settings, and continues bit for bit from
a checkpoint on a CPU (unless `seconds` cuts it by the clock).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.errors import HamlearnError
from hamlearn.infer.engines.torch_checkpoint import Checkpoint
from hamlearn.infer.training import Training
from hamlearn.models.autoregressive.build import weights_of, with_weights
from hamlearn.models.autoregressive.symmetrised import Symmetrised
from hamlearn.models.autoregressive.symmetry import permutations
from hamlearn.progress import track

_AT_ONCE = 4096  # held-out states evaluated in one go
_LINEAR = 5.0  # times the learning rate, of the linear part
_CLIP = 1.0  # largest norm of a gradient: one rare microstate cannot throw the weights away


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads inside, as many as before outside."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Sample:
    """Microstates as torch reads them.

    Attributes
    ----------
    states : Tensor (rows, n)
        Flat states: int8 indices, or floats.
    context : Tensor (rows, c), optional
        Functions of β.
    weight : Tensor (rows,), optional
        How much every row counts; mean 1.
    """

    states: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.states)

    def rows(self, index: Tensor | slice) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The rows of a minibatch."""
        states = self.states[index]
        states = states.long() if states.dtype == torch.int8 else states
        pick = lambda column: None if column is None else column[index]
        return states, pick(self.context), pick(self.weight)


@dataclass
class History:
    """How far a training is, and how it went.

    Attributes
    ----------
    epoch : int
        Epochs done.
    train, heldout : list of float
        Mean −ln p per site of every epoch, over its minibatches and over the held-out microstates.
    best : int
        Epoch (from 1) whose weights are kept; 0 before the first.
    seconds : float
        Time spent, over all runs.
    stopped : str
        Why training ended.
    """

    epoch: int = 0
    train: list[float] = field(default_factory=list)
    heldout: list[float] = field(default_factory=list)
    best: int = 0
    seconds: float = 0.0
    stopped: str = ""

    @property
    def diverged(self) -> bool:
        """Whether the loss became infinite or undefined."""
        return self.stopped == "diverged"


def fit(
    density: Symmetrised,
    train: Sample,
    heldout: Sample,
    settings: Training,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    group: Tensor | None = None,
    entropy: float | None = None,
    label: str = "training",
    progress: bool | None = None,
) -> History:
    """Minimise the mean −ln p of `train`; `density` is left with the weights that were best on `heldout`.

    Parameters
    ----------
    density : Symmetrised
        What is trained, in place.
    train, heldout : Sample
        Microstates.
    settings : Training
        Epochs, batch, learning rate, ….
    seed : int
        Of the order of minibatches and of random symmetry elements.
    checkpoint : Checkpoint, optional
        Where to continue from and to save to after every epoch.
    group : Tensor (elements, n), optional
        Site permutations to show microstates under, one at random; by default the density's own group.
    entropy : float, optional
        Exact entropy per site in nats, to show the gap to it.
    label, progress
        See :class:`hamlearn.progress.track`.

    Raises
    ------
    HamlearnError
        If the loss is not finite before a single epoch was completed.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(_groups(density, settings), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    history, best = History(), weights_of(density)
    if checkpoint is not None and (found := checkpoint.load(density, optimiser, generator)) is not None:
        history, best = History(**found[0]), found[1]
    started = time.monotonic() - history.seconds
    with threads(settings.threads), track(settings.epochs, label, progress) as bar:
        bar.advance(history.epoch)
        while not history.stopped:
            loss = _epoch(density, train, settings, optimiser, generator, history, started, group)
            value = nats(density, heldout) if math.isfinite(loss) else math.nan
            history.epoch += 1
            history.seconds = time.monotonic() - started
            history.train.append(loss)
            history.heldout.append(value)
            if not math.isfinite(value):
                history.stopped = "diverged"
            elif history.best == 0 or value < history.heldout[history.best - 1]:
                history.best, best = history.epoch, weights_of(density)
            history.stopped = history.stopped or _finished(history, settings)
            gap = "" if entropy is None else f", {value - entropy:+.5f} to the exact entropy"
            bar.describe(f"{label}: {value:.5f} nats/site held out{gap}, epoch {history.epoch}/{settings.epochs}")
            bar.advance(1)
            if checkpoint is not None and not history.diverged:
                checkpoint.save(vars(history), best, density, optimiser, generator)
    if history.best == 0:
        raise HamlearnError(
            f"training diverged in its first epoch (learning_rate={settings.learning_rate:g}): the loss is not finite and no good "
            "weights exist. Lower learning_rate in hl.infer.Training(...)."
        )
    with_weights(density, best)
    return history


def _epoch(
    density: Symmetrised,
    train: Sample,
    settings: Training,
    optimiser: Any,
    generator: torch.Generator,
    history: History,
    started: float,
    group: Tensor | None,
) -> float:
    """One pass over the data; returns the mean loss per site, nan as soon as it is not finite."""
    order = torch.randperm(len(train), generator=generator)
    batches = order.split(min(settings.batch, len(order)))
    total, rows = 0.0, 0
    for index, chosen in enumerate(batches):
        done = (history.epoch + index / len(batches)) / settings.epochs
        if settings.seconds is not None:
            done = max(done, (time.monotonic() - started) / settings.seconds)
            if done >= 1:
                break
        _set_rate(optimiser, settings, done, history.epoch * len(batches) + index)
        states, context, weight = train.rows(chosen)
        losses = density.loss(states, context, generator, group)
        loss = (losses if weight is None else losses * weight).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(density.parameters(), _CLIP * density.n**0.5)
        value = float(loss.detach())
        if not (math.isfinite(value) and bool(torch.isfinite(norm))):
            return math.nan
        optimiser.step()
        total, rows = total + value * len(chosen), rows + len(chosen)
    return total / max(rows, 1) / density.n if rows else (history.train[-1] if history.train else math.nan)


def _groups(density: Symmetrised, settings: Training) -> list[dict[str, Any]]:
    """The linear part apart: it carries the energy of rare, excited states, so it learns faster and is not decayed."""
    rest = [parameter for name, parameter in density.named_parameters() if name != "linear"]
    linear = [] if density.linear is None else [{"params": [density.linear], "weight_decay": 0.0, "factor": _LINEAR}]
    return [*linear, {"params": rest, "factor": 1.0}]


def _set_rate(optimiser: Any, settings: Training, done: float, step: int) -> None:
    """Half a cosine from the learning rate to a hundredth of it, after a short rise."""
    rate = settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"] * min(1.0, (step + 1) / 50)


def _finished(history: History, settings: Training) -> str:
    """Why training ends here, or nothing."""
    if history.epoch >= settings.epochs:
        return "epochs"
    if settings.seconds is not None and history.seconds >= settings.seconds:
        return "seconds"
    if history.epoch - history.best >= settings.patience:
        return "patience"
    return ""


@torch.no_grad()
def nats(density: Symmetrised, sample: Sample) -> float:
    """Mean −ln p per site, with one fixed set of random symmetry elements."""
    generator = torch.Generator().manual_seed(0)
    total = weights = 0.0
    for start in range(0, len(sample), _AT_ONCE):
        states, context, weight = sample.rows(slice(start, start + _AT_ONCE))
        losses = density.loss(states, context, generator).double()
        weight = torch.ones_like(losses) if weight is None else weight.double()
        total, weights = total + float((losses * weight).sum()), weights + float(weight.sum())
    return total / weights / density.n


def as_sample(states: np.ndarray, context: Tensor | None, weight: np.ndarray | None) -> Sample:
    """Rows of flat states (indices, angles or reals) as torch reads them."""
    discrete = np.issubdtype(states.dtype, np.integer)
    tensor = torch.from_numpy(np.ascontiguousarray(states, np.int8 if discrete else np.float32))
    scaled = None if weight is None else torch.from_numpy((weight / weight.mean()).astype(np.float32))
    return Sample(tensor, context, scaled)


def group_of(shape: tuple[int, ...], names: tuple[str, ...]) -> Tensor:
    """The group of the named lattice symmetries as torch reads it."""
    return torch.from_numpy(permutations(shape, names))
