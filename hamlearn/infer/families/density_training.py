"""Training of the networks of a density: one after the other, each from its own seed, and draws of weights around it where asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.checkpoint import Checkpoint
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.groups import curves
from hamlearn.infer.training import Bayesian, Training, file_of, request
from hamlearn.infer.training_data import TrainingData, prepare, refuse_forbidden, resampled
from hamlearn.models import Autoregressive, Flow
from hamlearn.progress import logger
from hamlearn.systems.base import Space

if TYPE_CHECKING:
    from hamlearn.infer.engines.neural.torch_devices import Device, Processes
    from hamlearn.infer.engines.training_loop import History


@dataclass(frozen=True, eq=False)
class Run:
    """What the training of all networks has in common."""

    model: Autoregressive | Flow
    space: Space
    shape: tuple[int, ...]
    settings: Training
    data: TrainingData
    device: Device
    processes: Processes
    group: Any
    identity: str

    @property
    def bayesian(self) -> bool:
        """Whether weights are drawn around every training."""
        return self.settings.posterior

    @property
    def resamples(self) -> bool:
        """Whether networks are trained on resampled rows, so that they scatter as those of repeated experiments."""
        return self.model.members > 1 and not self.bayesian and self.data.streamed is None

    def file(self, index: int) -> Path | None:
        """Where a network saves itself, if it does."""
        given = self.settings.checkpoint
        return None if given is None else file_of(given, index, self.model.members)


@dataclass(frozen=True, eq=False)
class Trained:
    """One network: its weights (or draws of them, with −ln p per site of held-out data under each), and how it was trained."""

    weights: list[dict[str, np.ndarray]]
    nats: list[float]
    history: History
    n_params: int
    file: Checkpoint | None
    share: np.ndarray | None
    posterior: dict[str, Any] | None


def begun(asked: Enquiry, shape: tuple[int, ...], settings: Training) -> Run:
    """The data, the device and the rest that all trainings share."""
    from hamlearn.infer.engines.neural import torch_devices, torch_training

    model = cast("Autoregressive | Flow", asked.model)
    device = torch_devices.choose(settings.device)
    prepared = prepare(asked.sets, asked.space, settings, model)
    # Elements of the density's own group do not change it; shown in training they stand for the average.
    group = torch_training.group_of(shape, (*settings.augment, *model.symmetry)) if settings.augment else None
    identity = "" if settings.checkpoint is None else microstate_data.fingerprint(asked.sets)
    return Run(model, asked.space, shape, settings, prepared, device, torch_devices.processes(device), group, identity)


def train(run: Run, index: int, start: int) -> Trained:
    """One network, from its seed."""
    from hamlearn.infer.engines.neural import torch_cost, torch_training
    from hamlearn.models.densities.build import build, weights_of

    model, settings, data = run.model, run.settings, run.data
    density = build(model, run.space, run.shape, start)
    if index == 0:
        refuse_forbidden(density, data, model)
    density.standardise(data.example)
    n_params = sum(parameter.numel() for parameter in density.parameters())
    if run.processes.rank == 0:
        where = "" if data.streamed is None else ", read from disk"
        # Of a GPU nothing is said: how much of it a network fills no count of operations knows.
        seconds = torch_cost.epoch_seconds(density, data.train, data.heldout, settings) if run.device.type == "cpu" else float("nan")
        cost = "" if seconds != seconds else f", at most {settings.epochs} epochs of about {seconds:.2g} s"
        what = "training %d parameters on %d microstates (worth %.3g%s) on %s in %s%s"
        logger.info(what, n_params, len(data.train), data.ess, where, run.device, settings.precision, cost)
    path, asked = run.file(index), request(model, run.space, run.shape, settings, start, data=run.identity)
    file = None if path is None else Checkpoint(path, asked, of="training")
    rows = resampled(data.train, data.tau, data.worth, start) if run.resamples else data.train
    history = torch_training.fit(
        density,
        rows,
        data.heldout,
        settings,
        start,
        checkpoint=file,
        group=run.group,
        label="training" if model.members == 1 else f"training member {index + 1} of {model.members}",
        device=run.device,
        processes=run.processes,
    )
    share = rows.weight.numpy() if run.resamples else None
    if not run.bayesian:
        return Trained([weights_of(density)], [], history, n_params, file, share, None)
    asked |= {"weights": digest(weights_of(density))}
    own = None if path is None else Checkpoint(file_of(path, mark="posterior"), asked, of="posterior of weights")
    chief = run.processes.rank == 0
    drawn, nats, told = _posterior(density, data, cast(Bayesian, settings), start, run.group, chief, own)
    return Trained(drawn, nats, history, n_params, file, share, told)


def told_of(run: Run, trained: list[Trained], nats: list[float]) -> dict[str, Any]:
    """How the networks were trained, for the record."""
    histories, files = [one.history for one in trained], [one.file for one in trained if one.file is not None]
    diverged = any(history.diverged for history in histories)
    return {
        "heldout_nats_per_site": nats,
        "train_nats_per_site": [history.train[history.best - 1] for history in histories],
        "best_epoch": [history.best for history in histories],
        "epochs": [history.epoch for history in histories],
        "stopped": [history.stopped for history in histories],
        "checkpoint": ", ".join(str(one.at) for one in files) if diverged else "",
        "heldout": len(run.data.heldout),
        "overlap": run.data.overlap,
        "device": str(run.device),
        "precision": run.settings.precision,
        "processes": run.processes.size,
        "streamed": run.data.streamed,
        "posterior": [one.posterior for one in trained if one.posterior is not None],
        "resampled": run.resamples,
    }


def losses(histories: list[History]) -> xr.Dataset:
    """Losses by epoch."""
    found = {"train": [history.train for history in histories], "held_out": [history.heldout for history in histories]}
    return curves(found, "−ln p per site, nats").assign(best_epoch=("member", [history.best - 1 for history in histories]))


def _posterior(
    density: Any, prepared: TrainingData, settings: Bayesian, seed: int, group: Any, shown: bool, checkpoint: Checkpoint | None
) -> tuple[list[dict[str, np.ndarray]], list[float], dict[str, Any]]:
    """Weights drawn around one training, −ln p per site of held-out data under each, and how they were found."""
    from hamlearn.infer.engines.neural import pyro, torch_training
    from hamlearn.models.densities.build import with_weights

    worth = prepared.worth
    told = None if shown else False
    drawn = pyro.posterior(density, prepared.train, settings, worth, seed, group=group, progress=told, checkpoint=checkpoint)
    nats = [torch_training.nats(with_weights(density, one), prepared.heldout) for one in drawn.draws]
    return drawn.draws, nats, drawn.told


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """What tells one network from another."""
    found = hashlib.sha3_256()
    for name in sorted(weights):
        found.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return found.hexdigest()
