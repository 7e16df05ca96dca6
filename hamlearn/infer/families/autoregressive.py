"""The kinds of :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow`: neural densities."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import posteriors
from hamlearn.infer.densities import observed
from hamlearn.infer.provenance import Basis, Provenance, new_provenance
from hamlearn.infer.training import Bayesian, Training, as_settings, file_of, recorded, request
from hamlearn.infer.training_data import TrainingData, prepare, refuse_forbidden, resampled, space_and_shape, split
from hamlearn.models import Autoregressive, Flow
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.models.autoregressive.evaluate import Evaluator

logger = logging.getLogger("hamlearn")

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
    from hamlearn.infer.engines import torch_devices, torch_training
    from hamlearn.models.autoregressive.build import build, weights_of
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
    device = torch_devices.choose(settings.device)
    started = time.perf_counter()
    prepared = prepare(sets, space, settings, model)
    # Elements of the density's own group do not change it; shown in training they stand for the average.
    names = (*settings.augment, *model.symmetry)
    group = torch_training.group_of(shape, names) if settings.augment else None
    identity = "" if settings.checkpoint is None else microstate_data.fingerprint(sets)
    found, histories, files, nats_of_draws, told, shares = [], [], [], [], [], []
    processes = torch_devices.processes(device)
    resample = model.members > 1 and not isinstance(settings, Bayesian) and prepared.streamed is None
    for index, start in enumerate(np.random.SeedSequence(seed).generate_state(model.members).tolist()):
        density = build(model, space, shape, start)
        if index == 0:
            refuse_forbidden(density, prepared, model)
        density.standardise(prepared.example)
        n_params = sum(parameter.numel() for parameter in density.parameters())
        if processes.rank == 0:
            where = "" if prepared.streamed is None else ", read from disk"
            what = "training %d parameters on %d microstates (worth %.3g%s) on %s in %s"
            logger.info(what, n_params, len(prepared.train), prepared.ess, where, device, settings.precision)
        checkpoint = None
        if settings.checkpoint is not None:
            asked = request(model, space, shape, settings, start, data=identity)
            checkpoint = Checkpoint(file_of(settings.checkpoint, index, model.members), asked, of="training")
            files.append(checkpoint)
        label = "training" if model.members == 1 else f"training member {index + 1} of {model.members}"
        own = resampled(prepared.train, prepared.tau, prepared.worth, start) if resample else prepared.train
        if resample:
            shares.append(own.weight.numpy())
        history = torch_training.fit(
            density,
            own,
            prepared.heldout,
            settings,
            start,
            checkpoint=checkpoint,
            group=group,
            label=label,
            device=device,
            processes=processes,
        )
        histories.append(history)
        if not isinstance(settings, Bayesian):
            found.append(weights_of(density))
            continue
        if settings.checkpoint is not None:
            asked |= {"weights": _digest(weights_of(density))}
            checkpoint = Checkpoint(file_of(files[-1].path, mark="posterior"), asked, of="posterior of weights")
        drawn = _posterior(density, prepared, settings, start, group, processes.rank == 0, checkpoint)
        found += drawn[0]
        nats_of_draws += drawn[1]
        told.append(drawn[2])
    diverged = [index for index, history in enumerate(histories) if history.diverged]
    processes.together()  # whoever removes the checkpoints then takes them from nobody
    kept = ", ".join(str(one.at) for one in files) if diverged and files else ""
    nats = [history.heldout[history.best - 1] for history in histories]
    training = {
        "heldout_nats_per_site": nats,
        "train_nats_per_site": [history.train[history.best - 1] for history in histories],
        "best_epoch": [history.best for history in histories],
        "epochs": [history.epoch for history in histories],
        "stopped": [history.stopped for history in histories],
        "checkpoint": kept,
        "heldout": len(prepared.heldout),
        "overlap": prepared.overlap,
        "device": str(device),
        "precision": settings.precision,
        "processes": processes.size,
        "streamed": prepared.streamed,
        "posterior": told,
        "resampled": resample,
    }
    groups = {}
    networks = [Evaluator(model, space, shape, one, float(sets[0]["beta"])) for one in found]
    rows = observed.gather(prepared, space, shape, len(networks) * networks[0].elements, shares) if betas == 1 else None
    if rows is not None:
        groups["observed_log_prob"], training["observed"] = observed.compare(networks, rows, seed)
    provenance = new_provenance(
        likelihood="exact",
        composite=False,
        engine=recorded(settings),
        n_params=n_params,
        sets=sets,
        seed=seed,
        seconds=time.perf_counter() - started,
        basis=Basis("density", {"weights": bool(told)}),
        ess=prepared.ess,
        tau=prepared.tau,
        optimum={"converged": not diverged, "steps": sum(history.epoch for history in histories)},
        training=training,
    )
    loss = {"long_name": "−ln p per site, nats"}
    curves = xr.Dataset(
        {
            "train": (("member", "epoch"), padded([history.train for history in histories]), loss),
            "held_out": (("member", "epoch"), padded([history.heldout for history in histories]), loss),
            "best_epoch": ("member", np.array([history.best - 1 for history in histories])),
        }
    )
    return assemble(found, nats_of_draws or nats, curves, model=model, space=space, provenance=provenance, sets=sets, groups=groups)


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
    history: xr.Dataset,
    *,
    model: Autoregressive | Flow,
    space: Space,
    provenance: Provenance,
    sets: list[xr.Dataset],
    groups: Mapping[str, xr.Dataset] | None = None,
) -> xr.DataTree:
    """A posterior over densities: group ``weights`` (member, ...), their scores as ``posterior``, curves as ``training``."""
    arrays = {}
    for name in weights[0]:
        stacked = np.stack([one[name] for one in weights])
        arrays[name] = (("member", *(f"{name}_{axis}" for axis in range(stacked.ndim - 1))), stacked)
    scores = xr.Dataset({"nats_per_site": (("chain", "draw"), np.asarray(nats, float)[None])})
    every = {
        "posterior": scores.assign_coords(chain=[0], draw=np.arange(len(nats))),
        "weights": xr.Dataset(arrays),
        "training": history,
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


def padded(curves: list[list[float]]) -> np.ndarray:
    length = max(len(curve) for curve in curves)
    return np.array([curve + [np.nan] * (length - len(curve)) for curve in curves])


def _digest(weights: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha3_256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
