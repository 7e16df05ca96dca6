"""Settings of training: what ``hl.learn(..., engine=...)`` and ``hl.approximate(..., engine=...)`` take for densities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from hamlearn.arguments import require_number, require_whole, require_words, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.base import Space


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
        a CPU, what an uninterrupted run would have given. It is not removed: do that when the result is saved. A file of another
        training, or a damaged one, is left alone with a warning, and this one saves itself beside it.
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; "auto" is "cuda" where torch sees such a device. The record says which it was.
    precision : {"float32", "bfloat16"}
        Of the network's forward and backward pass while it trains. Log-probabilities are accumulated, held-out data judged
        and weights kept in float32 either way. "bfloat16" pays on GPUs with tensor cores; it is not for flows.
    memory : int
        Bytes of microstates held at once. More data than that, opened lazily (see :func:`hamlearn.data.open_microstates`),
        are read block by block in a shuffled order and shuffled again in a buffer of half this size.

    Notes
    -----
    Started by ``torchrun`` (``RANK`` and ``WORLD_SIZE`` in the environment), every process takes its share of every
    minibatch and gradients are added up over processes: the same training as in one process, up to rounding. All
    processes return the same posterior; process 0 shows the progress and writes the checkpoint.

    Examples
    --------
    >>> Training(epochs=5).batch
    250
    """

    posterior: ClassVar[bool] = False  # whether weights are drawn around the training

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
    device: str = "auto"
    precision: str = "float32"
    memory: int = 2**30
    name: ClassVar[str] = "training"
    honoured: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "energies": ("epochs", "batch", "learning_rate", "patience", "seconds", "weight_decay", "heldout", "checkpoint"),
        "machines": ("epochs", "batch", "learning_rate", "seconds", "weight_decay", "heldout", "checkpoint"),
    }

    def __post_init__(self) -> None:
        _check(self, ("epochs", "batch", "patience", "memory"), ("learning_rate",))
        choice(self.device, ("auto", "cpu", "cuda"), "device")
        choice(self.precision, ("float32", "bfloat16"), "precision")
        object.__setattr__(self, "augment", require_words(self.augment, "Training: augment"))
        for name in self.augment:
            choice(name, ("translation", "point"), "augment")
        require_number(self.heldout, "Training: heldout, a share of the data,", above=0, below=1)
        require_number(self.weight_decay, "Training: weight_decay", least=0)


@dataclass(frozen=True)
class Bayesian(Training):
    """Maximum-likelihood training, then a posterior over weights by stochastic variational inference (Pyro).

    The likelihood counts as many microstates as the data are worth (their effective sample size), so autocorrelated data
    widen the bands. Weights have independent normal priors around zero. The guide, a normal distribution, starts at the
    trained weights with the curvature there, in coordinates in which that curvature is the identity, and is moved by the
    gradient of the evidence bound in minibatches, whose noise a control variate at the starting point takes away.

    Parameters
    ----------
    guide : {"last_layer", "low_rank"}
        "last_layer": full covariance of the output layer and the linear part, the rest of the network held at what
        was trained. "low_rank": all weights, variances of each and `rank` common directions.
    draws : int
        Networks drawn from the posterior, each a member of the result; with ``Autoregressive(members=m)`` so many of each
        of the m trainings.
    rank : int
        Directions of "low_rank".
    prior_scale : float, optional
        Standard deviation of the prior of the network's weights. Default: that of which `weight_decay` is the
        penalty, 1/√(ESS · weight_decay). The linear part and biases, which training leaves alone or barely decays, have 10.
    steps : int, optional
        Gradient steps of the guide, each on a hundredth of the data or `batch`, whichever is more. Default: 500 of
        "last_layer", which starts close, 2000 of "low_rank".
    guide_rate : float, optional
        Their learning rate, in standard deviations of where the guide starts; it falls along half a cosine. Default: 0.003 of
        "last_layer", 0.03 of "low_rank".
    **training
        Everything of :class:`Training`. The posterior saves itself beside the checkpoint of the training, after every pass over the data.

    Notes
    -----
    Bands are those of a network of this kind: what no weights of it can represent, or early stopping left unlearned, is not in
    them, and on large lattices the error of ln p exceeds them. "last_layer" takes the features that the hidden layers learned
    for certain; an ensemble (``members=4``) shows what that leaves out. "low_rank" knows how weights compensate each other only
    as far as its `rank` directions go.
    Sources: Hoffman et al., JMLR 14, 1303 (2013) for stochastic variational inference; Baker et al., Stat. Comput. 29, 599
    (2019) for the control variate.

    Examples
    --------
    >>> Bayesian(draws=10, epochs=5).guide
    'last_layer'
    """

    posterior: ClassVar[bool] = True

    guide: str = "last_layer"
    draws: int = 20
    rank: int = 10
    prior_scale: float | None = None
    steps: int | None = None
    guide_rate: float | None = None
    name: ClassVar[str] = "bayesian"

    def __post_init__(self) -> None:
        super().__post_init__()
        steps, rate = {"last_layer": (500, 3e-3), "low_rank": (2000, 3e-2)}[choice(self.guide, ("last_layer", "low_rank"), "guide")]
        object.__setattr__(self, "steps", steps if self.steps is None else self.steps)
        object.__setattr__(self, "guide_rate", rate if self.guide_rate is None else self.guide_rate)
        _check(self, ("draws", "rank", "steps"), ())
        if self.guide == "last_layer" and self.rank != Bayesian.rank:
            raise HamlearnError(f"Bayesian: rank={self.rank} is of guide='low_rank'; the guide is 'last_layer', which has every direction.")


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
    device : {"cpu", "cuda", "auto"}
        Where the network draws and is trained; the action is computed where its system does it. Drawing site by site launches
        many small kernels, so a GPU pays from thousands of microstates a step on: it is asked for, not taken. "auto" is "cuda"
        where torch sees such a device.
    checkpoint : path, optional
        File that training saves itself to every 50 steps. The same call continues from it and gives, bit for bit on
        a CPU, what an uninterrupted run would have given. It is not removed: do that when the result is saved. A file of another
        training, or a damaged one, is left alone with a warning, and this one saves itself beside it.

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
    device: str = "cpu"
    checkpoint: str | Path | None = None
    honoured: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    name: ClassVar[str] = "variational"

    def __post_init__(self) -> None:
        _check(self, ("steps", "batch"), ("learning_rate",))
        choice(self.device, ("cpu", "cuda", "auto"), "device")
        if self.batch < 2:
            raise HamlearnError(f"Variational: the leave-one-out baseline needs batch >= 2; got {self.batch}.")
        require_number(self.anneal, "Variational: anneal, a share of the steps,", least=0, below=1)


def as_settings(engine: Any, *kinds: type[Any]) -> Any:
    """Settings of one of some kinds from "auto" (the first), a name or settings; a kind's own subclasses are not meant."""
    if isinstance(engine, str) and engine == "auto":
        return kinds[0]()
    for kind in kinds:
        if type(engine) is kind or (isinstance(engine, str) and engine == kind.name):
            return kind() if isinstance(engine, str) else engine
    names = ", ".join(repr(kind.name) for kind in kinds)
    examples = " or ".join(f"hl.infer.{kind.__name__}(...)" for kind in kinds)
    raise HamlearnError(f"engine must be 'auto', {names}, or settings such as {examples}; got {shown(engine)}.")


def honoured(settings: Any, by: str) -> tuple[str, ...]:
    """Names of the settings that a trainer honours: all, unless their class declares which.

    Examples
    --------
    >>> "device" in honoured(Training(), "densities"), "device" in honoured(Training(), "energies")
    (True, False)
    """
    declared: Mapping[str, tuple[str, ...]] = settings.honoured
    return declared.get(by, tuple(one.name for one in fields(settings)))


def require_honoured(settings: Any, by: str, what: str) -> None:
    """Raise if a setting was given that this trainer would ignore, with its name."""
    names = honoured(settings, by)
    ignored = [one.name for one in fields(settings) if one.name not in names and vars(settings)[one.name] != one.default]
    if ignored:
        told = ", ".join(f"{name}={shown(vars(settings)[name])}" for name in ignored)
        raise HamlearnError(
            f"{what} does not use {told} of hl.infer.{type(settings).__name__}(...): leave out. It uses {', '.join(names)}."
        )


def recorded(settings: Any, by: str = "") -> dict[str, Any]:
    """Name and settings as the record keeps them: those that this trainer honours, and not where it saves itself."""
    kept = replace(settings, checkpoint=None)
    return {"name": settings.name, **{name: vars(kept)[name] for name in honoured(settings, by)}}


def request(model: Any, space: Space, shape: tuple[int, ...], settings: Any, seed: int, by: str = "", **more: str) -> dict[str, str]:
    """What a checkpoint must agree with to be continued, each by name."""
    free = {name: value for name, value in vars(type(settings)()).items() if name in ("threads", "device")}
    return {
        "space": f"{space.name} (q = {space.q})",
        "lattice": str(tuple(shape)),
        **{f"model {name}": json.dumps(value) for name, value in model.to_dict().items()},
        **{f"settings {name}": json.dumps(value) for name, value in recorded(replace(settings, **free), by).items()},
        "seed": str(seed),
        **more,
    }


def file_of(checkpoint: str | PathLike[str], index: int = 0, count: int = 1, mark: str = "") -> Path:
    """The checkpoint of one of several trainings.

    Examples
    --------
    >>> str(file_of("run.npz")), str(file_of("run.npz", 1, 3)), str(file_of("run.npz", mark="labels"))
    ('run.npz', 'run.1.npz', 'run.labels.npz')
    """
    path = Path(checkpoint)
    marks = [*([mark] if mark else []), *([str(index)] if count > 1 else [])]
    return path.with_name(".".join([path.stem, *marks]) + path.suffix) if marks else path


def _check(settings: Any, whole: tuple[str, ...], positive: tuple[str, ...]) -> None:
    what: str = type(settings).__name__
    for name in whole:
        object.__setattr__(settings, name, require_whole(vars(settings)[name], f"{what}: {name}"))
    for name in positive:
        require_number(vars(settings)[name], f"{what}: {name}", above=0)
    for name in ("seconds", "prior_scale", "guide_rate"):  # left out, or a number
        if vars(settings).get(name) is not None:
            require_number(vars(settings)[name], f"{what}: {name}", above=0)
    if settings.threads is not None:
        require_whole(settings.threads, f"{what}: threads")
    if not (settings.checkpoint is None or isinstance(settings.checkpoint, str | PathLike)):
        raise HamlearnError(f"{what}: checkpoint is the path of a file; got {shown(settings.checkpoint)}.")
