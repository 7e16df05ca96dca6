"""Settings of training: what ``hl.learn(..., engine=...)`` and ``hl.approximate(..., engine=...)`` take for densities."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from hamlearn.errors import HamlearnError, choice


@dataclass(frozen=True)
class Training:
    """Maximum-likelihood training of a neural density (AdamW, half a cosine of learning rates, early stopping).

    Parameters
    ----------
    epochs : int
        Passes over the data; the learning rate falls over them.
    batch : int
        Microstates per step. Smaller ones take more steps per second of data, larger ones more data per second.
    learning_rate : float
        The largest; it rises over the first 50 steps.
    patience : int
        Stop after so many epochs without a better held-out likelihood.
    seconds : float, optional
        Stop (and let the learning rate fall) by the clock, per member. A run cut by the clock is not reproducible.
    weight_decay : float
        Decoupled, of AdamW.
    heldout : float
        Share of the microstates that early stopping watches: whole chains where there are ten, else the end of each.
    augment : sequence of {"translation", "point"}
        Lattice symmetries of the data: every microstate is shown under a random element of the group. The density learns
        the symmetry from that but is not averaged over it (for that see ``Autoregressive(symmetry=...)``).
    threads : int, optional
        CPU threads of torch during the training; None leaves them as they are.
    checkpoint : path, optional
        File that training saves itself to after every epoch. The same call continues from it and gives, bit for bit on
        a CPU, what an uninterrupted run would have given; it is removed at the end, and kept where training diverged.

    Examples
    --------
    >>> Training(epochs=5).batch
    250
    """

    epochs: int = 30
    batch: int = 250
    learning_rate: float = 2e-3
    patience: int = 5
    seconds: float | None = None
    weight_decay: float = 1e-4
    heldout: float = 0.1
    augment: tuple[str, ...] = ()
    threads: int | None = None
    checkpoint: str | Path | None = None
    name: ClassVar[str] = "training"

    def __post_init__(self) -> None:
        _check(self, ("epochs", "batch", "patience"), ("learning_rate",))
        object.__setattr__(self, "augment", (self.augment,) if isinstance(self.augment, str) else tuple(self.augment))
        for name in self.augment:
            choice(name, ("translation", "point"), "augment")
        if not 0 < self.heldout < 1:
            raise HamlearnError(f"Training: heldout is a share of the data between 0 and 1; got {self.heldout!r}.")


@dataclass(frozen=True)
class Variational:
    """Variational training of a neural density on a known action: min E_q[ln q + action], by its score.

    Parameters
    ----------
    steps : int
        Gradient steps.
    batch : int
        Microstates drawn per step; at least 2, for the leave-one-out baseline.
    learning_rate : float
        The largest; it rises over the first 50 steps and falls along half a cosine.
    anneal : float
        Share of the steps over which β rises from half its value to the full one. Without it a network started in
        the ordered phase may never find some of the phases.
    seconds : float, optional
        Stop (and let the learning rate fall) by the clock. A run cut by the clock is not reproducible.
    threads : int, optional
        CPU threads of torch during the training.

    Examples
    --------
    >>> Variational(steps=100).name
    'variational'
    """

    steps: int = 3000
    batch: int = 500
    learning_rate: float = 2e-3
    anneal: float = 0.3
    seconds: float | None = None
    threads: int | None = None
    name: ClassVar[str] = "variational"

    def __post_init__(self) -> None:
        _check(self, ("steps", "batch"), ("learning_rate",))
        if self.batch < 2:
            raise HamlearnError(f"Variational: the leave-one-out baseline needs batch >= 2; got {self.batch}.")
        if not 0 <= self.anneal < 1:
            raise HamlearnError(f"Variational: anneal is a share of the steps, from 0 to below 1; got {self.anneal!r}.")


def as_settings(engine: Any, kind: type[Any]) -> Any:
    """Settings of one kind from "auto", its name or settings."""
    if isinstance(engine, str) and engine in ("auto", kind.name):
        return kind()
    if isinstance(engine, kind):
        return engine
    raise HamlearnError(f"engine must be 'auto', {kind.name!r}, or settings such as hl.infer.{kind.__name__}(...); got {engine!r}.")


def recorded(settings: Any) -> dict[str, Any]:
    """Name and settings as the record keeps them."""
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    return {"name": settings.name, **{key: str(value) if isinstance(value, Path) else value for key, value in values.items()}}


def _check(settings: Any, whole: tuple[str, ...], positive: tuple[str, ...]) -> None:
    for name in whole:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise HamlearnError(f"{type(settings).__name__}: {name} must be a positive whole number; got {value!r}.")
    for name in (*positive, "seconds", "threads"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise HamlearnError(f"{type(settings).__name__}: {name} must be positive; got {value!r}.")
