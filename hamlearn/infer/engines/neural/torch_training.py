"""Training of neural densities by maximum likelihood: what torch does in one epoch of :mod:`.training_loop`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hamlearn.checkpoint import Checkpoint
from hamlearn.infer.engines.neural.torch_batches import Batch, Rows
from hamlearn.infer.engines.neural.torch_checkpoint import Held
from hamlearn.infer.engines.neural.torch_devices import CPU, Processes, made_on, move, precision
from hamlearn.infer.engines.training_loop import Budget, History, Pace, run
from hamlearn.infer.training import Training
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.models.densities.symmetry import permutations
from hamlearn.processes import alone

_AT_ONCE = 4096  # held-out states evaluated in one go
_LINEAR = 5.0  # times the learning rate, of the linear part
_CLIP = 1.0  # largest norm of a gradient: one rare microstate cannot throw the weights away
_ALONE = Processes()


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


@alone()
def fit(
    density: Symmetrised,
    train: Rows,
    heldout: Rows,
    settings: Training,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    group: Tensor | None = None,
    label: str = "training",
    progress: bool | None = None,
    device: torch.device = CPU,
    processes: Processes = _ALONE,
) -> History:
    """Minimise the mean −ln p of `train`; `density` is left with the weights that were best on `heldout`.

    Parameters
    ----------
    density : Symmetrised
        What is trained, in place; it comes back to the CPU.
    train, heldout : Rows
        Microstates.
    settings : Training
        Epochs, batch, learning rate, ….
    seed : int
        Of the order of minibatches and of random symmetry elements.
    checkpoint : Checkpoint, optional
        Where to continue from and to save to after every epoch.
    group : Tensor (elements, n), optional
        Site permutations to show microstates under, one at random; by default the density's own group.
    label, progress
        See :class:`hamlearn.progress.track`.
    device : torch.device
        Where the network computes. Random numbers come from the CPU wherever that is.
    processes : Processes
        Those that train the same density, each on its share of every minibatch.

    Raises
    ------
    HamlearnError
        If the loss is not finite before a single epoch was completed.
    """
    own = density.group  # stays where random elements are drawn
    move(density, device)
    optimiser = torch.optim.AdamW(_groups(density, settings), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    shown = own if group is None else group
    learner = _Learner(density, optimiser, generator, train, heldout, settings, own, shown, device, processes)
    budget = Budget(settings.epochs, settings.learning_rate, rise=50, patience=settings.patience, seconds=settings.seconds)
    lead = processes.rank == 0
    with threads(settings.threads):
        history = run(learner, budget, checkpoint=checkpoint, label=label, progress=progress, agreed=processes.agreed, lead=lead)
    processes.same(density)
    move(density, CPU)
    return history


@dataclass(frozen=True)
class _Learner(Held):
    """A density and its data, as the loop of trainings asks for them."""

    density: Symmetrised
    optimiser: Any
    generator: torch.Generator
    train: Rows
    heldout: Rows
    settings: Training
    own: Tensor
    group: Tensor
    device: torch.device
    processes: Processes

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        with precision(self.density, self.settings.precision, self.device):
            return 1, _epoch(self.density, self, pace, history)

    def evaluate(self) -> float:
        return nats(self.density, self.heldout, self.device, self.processes, self.own)

    def told(self, history: History) -> str:
        value = history.heldout[-1]
        return f"{value:.5f} nats/site held out, epoch {history.epoch}/{self.settings.epochs}"

    def hopeless(self) -> str:
        return (
            f"training diverged in its first epoch (learning_rate={self.settings.learning_rate:g}): the loss is not finite and no good "
            "weights exist. Lower learning_rate in hl.infer.Training(...)."
        )


def _epoch(density: Symmetrised, run: _Learner, pace: Pace, history: History) -> float:
    """One pass over the data; returns the mean loss per site, nan as soon as it is not finite."""
    settings, processes, train = run.settings, run.processes, run.train
    parameters = list(density.parameters())
    steps = -(-len(train) // min(settings.batch, len(train)))
    total, rows = 0.0, 0
    for index, batch in enumerate(train.batches(run.generator, settings.batch)):
        done = pace.share(history.epoch + index / steps)
        if settings.seconds is not None and done >= 1 and (rows or history.train):  # one step at least, however little time there was
            break
        for one in run.optimiser.param_groups:
            one["lr"] = pace.budget.rate_at(done, history.epoch * steps + index, one["factor"])
        count = len(batch[0])
        losses, weight = losses_of(density, batch, run.generator, run.group, run.device, processes)
        loss = (losses if weight is None else losses * weight).sum() / count
        run.optimiser.zero_grad(set_to_none=True)
        if len(losses):  # more processes than rows in the last minibatch leave some without work
            loss.backward()
        processes.add_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, _CLIP * density.n**0.5)
        (value,) = processes.totals(float(loss.detach()))
        if not (math.isfinite(value) and bool(torch.isfinite(norm))):
            return math.nan
        run.optimiser.step()
        total, rows = total + value * count, rows + count
    return total / max(rows, 1) / density.n if rows else (history.train[-1] if history.train else math.nan)


def losses_of(
    density: Symmetrised,
    batch: Batch,
    generator: torch.Generator,
    group: Tensor | None = None,
    device: torch.device = CPU,
    processes: Processes = _ALONE,
) -> tuple[Tensor, Tensor | None]:
    """−ln p of this process's share of a minibatch, each row under a random element of a group (its own), and the rows' weights."""
    states = turned(density, batch[0], generator, group)
    here = lambda part: None if part is None else processes.share(part).to(device)
    mine, context, weight = processes.share(states).to(device), here(batch[1]), here(batch[2])
    if not len(mine):
        return torch.zeros(0, device=device), None
    with made_on(device):
        return density.loss(mine, context, None), weight


def turned(density: Symmetrised, states: Tensor, generator: torch.Generator, group: Tensor | None = None) -> Tensor:
    """Flat states, each under a random element of a group (its own) and of the sign; drawn on the CPU."""
    group = density.group if group is None else group
    if len(group) > 1:
        states = states.gather(1, group[torch.randint(len(group), (len(states),), generator=generator)])
    if density.mirror:
        states = states * (2 * torch.randint(2, (len(states), 1), generator=generator) - 1)
    return states


def _groups(density: Symmetrised, settings: Training) -> list[dict[str, Any]]:
    """The linear part apart: it carries the energy of rare, excited states, so it learns faster and is not decayed."""
    rest = [parameter for name, parameter in density.named_parameters() if name != "linear"]
    linear = [] if density.linear is None else [{"params": [density.linear], "weight_decay": 0.0, "factor": _LINEAR}]
    return [*linear, {"params": rest, "factor": 1.0}]


@torch.no_grad()
def nats(density: Symmetrised, rows: Rows, device: torch.device = CPU, processes: Processes = _ALONE, group: Tensor | None = None) -> float:
    """Mean −ln p per site, with one fixed set of random symmetry elements."""
    generator = torch.Generator().manual_seed(0)
    total = weights = 0.0
    for batch in rows.pieces(_AT_ONCE):
        losses, weight = losses_of(density, batch, generator, group, device, processes)
        losses = losses.double()
        weight = torch.ones_like(losses) if weight is None else weight.double()
        total, weights = total + float((losses * weight).sum()), weights + float(weight.sum())
    total, weights = processes.totals(total, weights)
    return total / weights / density.n


def group_of(shape: tuple[int, ...], names: tuple[str, ...]) -> Tensor:
    """The group of the named lattice symmetries as torch reads it."""
    return torch.from_numpy(permutations(shape, names))
