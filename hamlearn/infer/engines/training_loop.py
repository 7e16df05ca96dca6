"""The one loop of all trainings: schedule, budget, patience, checkpoints, losses that are not finite, progress, the best weights.

A framework supplies a :class:`Learner`: the work of one round (an epoch, or so many gradient steps), how good it is after it, and
its weights and whole state as arrays. A run is determined by its seed and settings, and one that continues from a checkpoint is, on a
CPU, bit for bit what an uninterrupted one would have been (unless `seconds` cuts it by the clock).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.progress import track

Arrays = dict[str, np.ndarray]


@dataclass
class History:
    """How far a training is, and how it went.

    Attributes
    ----------
    epoch : int
        Epochs done (gradient steps, of a training that counts these).
    train, heldout : list of float
        Loss of every round while it ran, and what it was judged by after it.
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

    @property
    def last(self) -> int:
        """The last round whose loss was finite, as an index."""
        return len(self.train) - 1 - self.diverged


@dataclass(frozen=True)
class Budget:
    """How long a training may last, and how its learning rate falls.

    Attributes
    ----------
    total : int
        Epochs or gradient steps.
    rate : float
        The largest learning rate; it falls along half a cosine.
    unit : {"epochs", "steps"}
        What is counted.
    floor : float
        The smallest rate over the largest.
    rise : int
        Gradient steps over which it rises first.
    patience : int, optional
        Ends so many epochs after the best, which is kept; None keeps the latest.
    seconds : float, optional
        Ends by the clock, and lets the rate fall by it.
    """

    total: int
    rate: float
    unit: str = "epochs"
    floor: float = 0.01
    rise: int = 0
    patience: int | None = None
    seconds: float | None = None

    def rate_at(self, share: float, step: int, factor: float = 1.0) -> float:
        """The learning rate where this share of the training is done, in gradient step `step` (from 0).

        Examples
        --------
        >>> budget = Budget(10, rate=1.0, rise=2)
        >>> [budget.rate_at(share, step) for share, step in [(0.0, 0), (0.0, 1), (1.0, 99)]]
        [0.5, 1.0, 0.01]
        """
        fallen = self.rate * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(share, 1.0))) / 2) * factor
        return fallen * min(1.0, (step + 1) / self.rise) if self.rise else fallen


class Pace:
    """How much of a budget is spent, by counted work or by the clock."""

    def __init__(self, budget: Budget, before: float, agreed: Callable[[float], float]) -> None:
        self.budget, self._agreed = budget, agreed
        self._started = time.monotonic() - before

    def seconds(self) -> float:
        """Since the start, over all runs."""
        return self._agreed(time.monotonic() - self._started)

    def share(self, done: float) -> float:
        """The share of the training that is behind when so many epochs (steps) are."""
        by_work = done / self.budget.total
        return by_work if self.budget.seconds is None else max(by_work, self.seconds() / self.budget.seconds)


class Learner(Protocol):
    """What a framework supplies: work, judgement, and itself as arrays. Made ready to start."""

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        """One round: how many epochs (steps) it was, and its mean loss, nan as soon as that is not finite."""
        ...

    def evaluate(self) -> float:
        """How good the weights are: smaller is better."""
        ...

    def weights(self) -> Arrays:
        """Copies of the weights, to be kept where they are the best."""
        ...

    def adopt(self, weights: Arrays) -> None:
        """Take weights that were kept."""
        ...

    def state(self) -> Arrays:
        """Everything that the next round depends on, by names that do not begin with ``best/`` or ``history``."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        ...

    def told(self, history: History) -> str:
        """How it goes, for the progress."""
        ...

    def hopeless(self) -> str:
        """What to say where no round had a finite loss."""
        ...


def run(
    learner: Learner,
    budget: Budget,
    *,
    checkpoint: Checkpoint | None = None,
    label: str = "training",
    progress: bool | None = None,
    agreed: Callable[[float], float] = float,
    lead: bool = True,
) -> History:
    """Train until the budget is spent, patience has run out or the loss is not finite; the learner is left with what is kept.

    Parameters
    ----------
    learner : Learner
        What is trained.
    budget : Budget
        How long, and how its learning rate falls.
    checkpoint : Checkpoint, optional
        Where to continue from and to save to after every round.
    label, progress
        See :class:`hamlearn.progress.track`.
    agreed : callable
        The same number for all processes that train together, from that of each.
    lead : bool
        Whether this process shows the progress and writes the checkpoint.

    Raises
    ------
    HamlearnError
        If the loss is not finite before a single round was completed.
    """
    found = None if checkpoint is None else checkpoint.restore(lambda arrays: _continued(learner, arrays))
    history, best = (History(), learner.weights()) if found is None else found
    if agreed(history.epoch) != history.epoch:
        raise HamlearnError("the processes continue from different epochs: the checkpoint must lie where all of them see the same file.")
    pace = Pace(budget, history.seconds, agreed)
    with track(budget.total, label, progress if lead else False) as bar:
        bar.advance(history.epoch)
        while not history.stopped:
            units, loss = learner.advance(pace, history)
            value = learner.evaluate() if math.isfinite(loss) else math.nan
            better = math.isfinite(value) and (budget.patience is None or history.best == 0 or value < min(history.heldout))
            history.epoch += units
            history.seconds = pace.seconds()
            history.train.append(loss)
            history.heldout.append(value)
            if better:
                history.best, best = history.epoch, learner.weights()
            history.stopped = _ended(history, budget)
            bar.describe(f"{label}: {learner.told(history)}")
            bar.advance(units)
            if checkpoint is not None and lead and not history.diverged:
                checkpoint.save(_arrays(learner, history, best))
    if history.best == 0:
        raise HamlearnError(learner.hopeless())
    learner.adopt(best)
    return history


def _ended(history: History, budget: Budget) -> str:
    """Why training ends here, or nothing."""
    if not math.isfinite(history.heldout[-1]):
        return "diverged"
    if history.epoch >= budget.total:
        return budget.unit
    if budget.seconds is not None and history.seconds >= budget.seconds:
        return "seconds"
    if budget.patience is not None and history.epoch - history.best >= budget.patience:
        return "patience"
    return ""


def _arrays(learner: Learner, history: History, best: Arrays) -> dict[str, Any]:
    return {"history": json.dumps(asdict(history)), **{f"best/{name}": value for name, value in best.items()}, **learner.state()}


def _continued(learner: Learner, arrays: Mapping[str, np.ndarray]) -> tuple[History, Arrays]:
    """History and best weights of a checkpoint, with the learner in its state there; the learner is as it was if that fails."""
    before = learner.state()
    try:
        history = History(**json.loads(str(arrays["history"])))
        learner.restore({name: value for name, value in arrays.items() if name != "history" and not name.startswith("best/")})
    except Exception:
        learner.restore(before)
        raise
    return history, {name.removeprefix("best/"): value for name, value in arrays.items() if name.startswith("best/")}
