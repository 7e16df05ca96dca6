"""The kinds of :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow`: neural densities."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import posteriors
from hamlearn.infer.densities import observed
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.groups import curves, members
from hamlearn.infer.provenance import Basis, Provenance
from hamlearn.infer.training import Bayesian, Training, as_settings, file_of, recorded, request
from hamlearn.infer.training_data import TrainingData, prepare, refuse_forbidden, resampled, space_and_shape, split
from hamlearn.models import Autoregressive, Flow
from hamlearn.progress import logger
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.infer.engines.torch_devices import Device, Processes
    from hamlearn.infer.engines.training_loop import History
    from hamlearn.models.autoregressive.evaluate import Evaluator


__all__ = ["assemble", "draw_systems", "evaluators", "learn", "parameters", "split"]


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Autoregressive | Flow,
    *,
    likelihood: str,
    engine: Any,
    calibrate: bool,
    seed: int,
    checkpoint: Any = None,
) -> xr.DataTree:
    """Train `model.members` networks by maximum likelihood; see :func:`hamlearn.learn`.

    `likelihood` may be "auto" or "exact" (a density has no other), `engine` "auto", "training", "bayesian", a
    :class:`hamlearn.infer.Training` or a :class:`hamlearn.infer.Bayesian`; `calibrate` has nothing to correct here. `checkpoint` is that
    of the settings where these name none.
    """
    from hamlearn.models.autoregressive.evaluate import Evaluator

    choice(likelihood, ("auto", "exact"), "likelihood (a density has its own)")
    settings: Training = as_settings(engine, Training, Bayesian)
    settings = replace(settings, checkpoint=settings.checkpoint or checkpoint)
    sets = microstate_data.split_by_beta(data)
    space, shape = space_and_shape(sets)
    betas = len({float(part["beta"]) for part in sets})
    if model.condition is None and betas > 1:
        raise HamlearnError(
            f"the data hold {betas} temperatures, the model is one density: use Autoregressive(condition='beta'), "
            "or one temperature at a time."
        )
    asked = Enquiry(model, space, sets, seed)
    run = _begun(asked, shape, settings)
    starts = np.random.SeedSequence(seed).generate_state(model.members).tolist()
    trained = [_train(run, index, start) for index, start in enumerate(starts)]
    run.processes.together()  # whoever removes the checkpoints then takes them from nobody
    found, histories = [one for each in trained for one in each.weights], [one.history for one in trained]
    nats = [history.heldout[history.best - 1] for history in histories]
    training, groups = _told(run, trained, nats), {}
    networks = [Evaluator(model, space, shape, one, float(sets[0]["beta"])) for one in found]
    shares = [one.share for one in trained if one.share is not None]
    rows = observed.gather(run.data, space, shape, len(networks) * networks[0].elements, shares) if betas == 1 else None
    if rows is not None:
        groups["observed_log_prob"], training["observed"] = observed.compare(networks, rows, seed)
    provenance = asked.provenance(
        likelihood="exact",
        composite=False,
        engine=recorded(settings),
        n_params=trained[0].n_params,
        basis=Basis("density", {"weights": run.bayesian}),
        ess=run.data.ess,
        tau=run.data.tau,
        optimum={"converged": not any(one.diverged for one in histories), "steps": sum(one.epoch for one in histories)},
        training=training,
    )
    of_draws = [value for one in trained for value in one.nats]
    return assemble(found, of_draws or nats, _curves(histories), model=model, space=space, provenance=provenance, sets=sets, groups=groups)


@dataclass(frozen=True, eq=False)
class _Run:
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
class _Trained:
    """One network: its weights (or draws of them, with −ln p per site of held-out data under each), and how it was trained."""

    weights: list[dict[str, np.ndarray]]
    nats: list[float]
    history: History
    n_params: int
    file: Checkpoint | None
    share: np.ndarray | None
    posterior: dict[str, Any] | None


def _begun(asked: Enquiry, shape: tuple[int, ...], settings: Training) -> _Run:
    from hamlearn.infer.engines import torch_devices, torch_training

    model = cast("Autoregressive | Flow", asked.model)
    device = torch_devices.choose(settings.device)
    prepared = prepare(asked.sets, asked.space, settings, model)
    # Elements of the density's own group do not change it; shown in training they stand for the average.
    group = torch_training.group_of(shape, (*settings.augment, *model.symmetry)) if settings.augment else None
    identity = "" if settings.checkpoint is None else microstate_data.fingerprint(asked.sets)
    return _Run(model, asked.space, shape, settings, prepared, device, torch_devices.processes(device), group, identity)


def _train(run: _Run, index: int, start: int) -> _Trained:
    """One network, from its seed."""
    from hamlearn.infer.engines import torch_training
    from hamlearn.models.autoregressive.build import build, weights_of

    model, settings, data = run.model, run.settings, run.data
    density = build(model, run.space, run.shape, start)
    if index == 0:
        refuse_forbidden(density, data, model)
    density.standardise(data.example)
    n_params = sum(parameter.numel() for parameter in density.parameters())
    if run.processes.rank == 0:
        where = "" if data.streamed is None else ", read from disk"
        what = "training %d parameters on %d microstates (worth %.3g%s) on %s in %s"
        logger.info(what, n_params, len(data.train), data.ess, where, run.device, settings.precision)
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
        return _Trained([weights_of(density)], [], history, n_params, file, share, None)
    asked |= {"weights": _digest(weights_of(density))}
    own = None if path is None else Checkpoint(file_of(path, mark="posterior"), asked, of="posterior of weights")
    chief = run.processes.rank == 0
    drawn, nats, told = _posterior(density, data, cast(Bayesian, settings), start, run.group, chief, own)
    return _Trained(drawn, nats, history, n_params, file, share, told)


def _told(run: _Run, trained: list[_Trained], nats: list[float]) -> dict[str, Any]:
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


def _curves(histories: list[History]) -> xr.Dataset:
    """Losses by epoch."""
    losses = {"train": [history.train for history in histories], "held_out": [history.heldout for history in histories]}
    return curves(losses, "−ln p per site, nats").assign(best_epoch=("member", [history.best - 1 for history in histories]))


def _posterior(
    density: Any, prepared: TrainingData, settings: Bayesian, seed: int, group: Any, shown: bool, checkpoint: Checkpoint | None
) -> tuple[list[dict[str, np.ndarray]], list[float], dict[str, Any]]:
    """Weights drawn around one training, −ln p per site of held-out data under each, and how they were found."""
    from hamlearn.infer.engines import pyro, torch_training
    from hamlearn.models.autoregressive.build import with_weights

    worth = prepared.worth
    told = None if shown else False
    drawn = pyro.posterior(density, prepared.train, settings, worth, seed, group=group, progress=told, checkpoint=checkpoint)
    nats = [torch_training.nats(with_weights(density, one), prepared.heldout) for one in drawn.draws]
    return drawn.draws, nats, drawn.told


def assemble(
    weights: list[dict[str, np.ndarray]],
    nats: list[float],
    history: xr.Dataset | None,
    *,
    model: Autoregressive | Flow,
    space: Space,
    provenance: Provenance,
    sets: list[xr.Dataset],
    groups: Mapping[str, xr.Dataset] | None = None,
) -> xr.DataTree:
    """A posterior over densities: group ``weights`` (member, ...), their scores as ``posterior``, curves (if any) as ``training``."""
    scores = xr.Dataset({"nats_per_site": (("chain", "draw"), np.asarray(nats, float)[None])})
    every = {
        "posterior": scores.assign_coords(chain=[0], draw=np.arange(len(nats))),
        "weights": members(weights),
        **({} if history is None else {"training": history}),
        **(groups or {}),
    }
    return posteriors.assemble(every, model=model, space=space, provenance=provenance, sets=sets)


def evaluators(post: xr.DataTree) -> list[Evaluator]:
    """The densities of a posterior, one per network."""
    from hamlearn.models.autoregressive.evaluate import Evaluator

    model = posteriors.model_of(post)
    if not isinstance(model, Autoregressive | Flow):
        raise HamlearnError(
            f"this needs a posterior of hl.models.Autoregressive(...) or Flow(...), which has a normalised density; got {model!r}."
        )
    space, shape = posteriors.space_of(post), posteriors.site_shape(post)
    group: xr.Dataset = post["weights"].to_dataset()
    beta = float(np.mean(posteriors.observed_betas(post)))
    found = [
        Evaluator(model, space, shape, {str(name): np.asarray(group[name])[index] for name in group.data_vars}, beta)
        for index in range(group.sizes["member"])
    ]
    if "observed_log_prob" in post.children:
        moments = post["observed_log_prob"].to_dataset()
        for index, one in enumerate(found):
            one.observed = observed.of_network(moments, index)
    return found


def density_of(one: Evaluator) -> LearnedDensity:
    """A density as a Hamiltonian."""
    description = {"model": one.model.to_dict(), "weights": _digest(one.weights)}
    return LearnedDensity(lattices.hypercubic(one.shape), one.space, one.beta, one.log_prob, one.conditioned, description)


def require_same_sites(one: Evaluator, system: Any) -> None:
    """Raise unless a system has the space and the sites of a density."""
    found = tuple(system.lattice.shape)
    if system.space.name != one.space.name or found != one.shape:
        raise HamlearnError(f"the density is one of {one.space.name} on sites {one.shape}; the system has {system.space.name} on {found}.")


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """`n` Hamiltonians −ln p/β, spread over the networks; the size is the one that was learned."""
    if not (isinstance(n, int | np.integer) and n >= 1):
        raise HamlearnError(f"the number of members must be a positive whole number; got {n!r}.")
    learned = posteriors.site_shape(post)
    if shape is not None and tuple(shape) != learned:
        raise HamlearnError(f"a neural density knows one size, {learned}: it cannot be moved to {tuple(shape)}.")
    found = [density_of(one) for one in evaluators(post)]
    first = np.random.default_rng(seed).permutation(len(found))
    return [found[first[index % len(found)]] for index in range(n)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The held-out −ln p per site of every network: weights of different networks have nothing in common.

    One network stands twice: a posterior's spread takes two draws.
    """
    draws = posteriors.require_posterior(post)["posterior"].to_dataset()["nats_per_site"].values[..., None]
    return ["nats_per_site"], np.repeat(draws, 2, 1) if draws.shape[1] == 1 else draws


def _digest(weights: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha3_256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
