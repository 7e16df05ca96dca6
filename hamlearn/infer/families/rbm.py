"""The kind of :class:`hamlearn.models.RBM`: restricted Boltzmann machines, trained by maximum likelihood, with their normalisers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import posteriors
from hamlearn.infer.densities import observed
from hamlearn.infer.densities.machines import PARTS, MachineDensity
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import autoregressive, rbm_posterior
from hamlearn.infer.families.rbm_posterior import Sampled
from hamlearn.infer.groups import curves, members
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.settings import NUTS
from hamlearn.infer.training import Training, as_settings, file_of, recorded, request, require_honoured
from hamlearn.infer.training_data import Rows, TrainingData, rows_of, space_and_shape
from hamlearn.models.rbm import RBM
from hamlearn.progress import logger
from hamlearn.systems.base import Space, System
from hamlearn.systems.hidden import MOST_SUMMED
from hamlearn.systems.rbm import require_visible
from hamlearn.systems.sampling import replicas
from hamlearn.systems.sampling.line import Line
from hamlearn.systems.sampling.replicas import LogZ

if TYPE_CHECKING:
    from hamlearn.infer.engines.rbm_training import Machine
    from hamlearn.infer.engines.training_loop import History

DEFAULT = Training(epochs=60, batch=100, learning_rate=1e-2)
ERROR = 0.03  # standard error of log Z that is wanted, nats
_WEIGHTED = 20  # blocks of a Bayesian bootstrap, at least


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The held-out −ln p per site of every machine; of weights drawn by NUTS what no renaming of hidden units changes."""
    group = posteriors.require_posterior(post)["posterior"].to_dataset()
    if "magnetization" in group:
        return rbm_posterior.names(group), rbm_posterior.draws(group)
    return autoregressive.parameters(post)


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: RBM,
    *,
    likelihood: str,
    engine: Any,
    calibrate: bool,
    seed: int,
    checkpoint: Any = None,
) -> xr.DataTree:
    """Train `model.members` machines; see :func:`hamlearn.learn`.

    `likelihood` may be "auto" or "exact" (its gradient is made by chains), `engine` "auto", "training" or a
    :class:`hamlearn.infer.Training`, of which epochs, batch, learning rate, seconds, weight decay, heldout and checkpoint are used; of
    small machines of spins also "nuts" or a :class:`hamlearn.infer.NUTS`.
    """
    from hamlearn.infer.engines import rbm_training

    choice(likelihood, ("auto", "exact"), "likelihood (a density has its own)")
    settings: Any = DEFAULT if isinstance(engine, str) and engine == "auto" else as_settings(engine, Training, NUTS)
    if isinstance(settings, Training):
        require_honoured(settings, "machines", "a restricted Boltzmann machine")
        settings = replace(settings, checkpoint=settings.checkpoint or checkpoint)
    sets = microstate_data.split_by_beta(data)
    space, shape = space_and_shape(sets)
    require_visible(space)
    if len(sets) > 1:
        raise HamlearnError(
            f"a restricted Boltzmann machine is the law of one temperature; the data hold {len(sets)}: learn one at a time, or "
            "Autoregressive(condition='beta')."
        )
    if isinstance(settings, NUTS):
        return _sampled(rbm_posterior.sampled(model, space, shape, sets, settings, seed, checkpoint), settings)
    asked = Enquiry(model, space, sets, seed)
    rows = rows_of(sets, space, settings.heldout)
    n, beta = rows.states.shape[1], float(sets[0]["beta"])
    seconds = rbm_training.epoch_seconds(model, space.q, n, int(rows.used.sum()), settings.batch)
    what = "training %d hidden units on %d microstates (worth %.3g), at most %d epochs of about %.2g s"
    logger.info(what, model.hidden, int(rows.used.sum()), rows.ess, settings.epochs, seconds)
    machines, shares, files = _trained(model, space, shape, sets, rows, settings, seed)
    found = [normaliser(one.line, start) for one, start in zip(machines, _starts(model, seed), strict=True)]
    asked.say(*(_told(one, model.hidden) for one in found))
    weights = [{name: getattr(one.line, name) for name in PARTS} for one in machines]
    densities = [MachineDensity(model, space, shape, one, beta, z.value) for one, z in zip(weights, found, strict=True)]
    losses = {name: [_nats(one, rows, mask, space) for one in densities] for name, mask in (("held", rows.heldout), ("train", rows.used))}
    histories = [one.history for one in machines]
    training = _record(histories, losses, rows, files)
    groups = {"normaliser": _normalisers(found)}
    prepared = TrainingData(None, None, rows.states[:0], rows.ess, rows.tau, rows.ess, training["overlap"], rows=rows)
    seen = observed.gather(prepared, space, shape, model.members, shares)
    if seen is not None:
        groups["observed_log_prob"], training["observed"] = observed.compare(cast(Any, densities), seen, seed)
    provenance = asked.provenance(
        likelihood="exact",
        composite=False,
        engine=recorded(settings, "machines"),
        n_params=sum(int(np.size(weights[0][name])) for name in ("visible", "hidden", "weights")),
        basis=Basis("density", {"weights": False}),
        ess=rows.ess,
        tau=rows.tau,
        optimum={"converged": not any(one.diverged for one in histories), "steps": sum(one.epoch for one in histories)},
        training=training,
        findings=_doubts(found, model.hidden),
    )
    history = curves(
        {name: [getattr(one, name) for one in histories] for name in ("train", "heldout")}, "−ln pseudo-likelihood per site, nats"
    )
    history = history.rename(heldout="held_out").assign(best_epoch=("member", [one.best - 1 for one in histories]))
    return autoregressive.assemble(
        weights, losses["held"], history, model=cast(Any, model), space=space, provenance=provenance, sets=sets, groups=groups
    )


def _sampled(found: Sampled, settings: NUTS) -> xr.DataTree:
    """The posterior of draws of weights: what they say, and machines of some of them with their exact normalisers."""
    asked = found.asked
    weights = found.members(asked.seed)
    exact = [LogZ(Line(**one).layer(beta=1.0).log_z(), 0.0) for one in weights]
    tree = {**found.groups(float(asked.sets[0]["beta"])), "weights": members(weights), "normaliser": _normalisers(exact)}
    return asked.posterior(tree, **found.facts(settings))


def _starts(model: RBM, seed: int) -> list[int]:
    """A seed for every machine."""
    return [int(one) for one in np.random.SeedSequence(seed).generate_state(model.members)]


def _trained(
    model: RBM, space: Space, shape: tuple[int, ...], sets: list[xr.Dataset], rows: Rows, settings: Training, seed: int
) -> tuple[list[Machine], list[np.ndarray | None], list[str]]:
    """The machines, where there are several the weights of the rows that each was trained on, and the files they saved themselves to."""
    from hamlearn.infer.engines import rbm_training

    identity = "" if settings.checkpoint is None else microstate_data.fingerprint(sets)
    machines, files, shares = [], [], list[np.ndarray | None]()
    for index, start in enumerate(_starts(model, seed)):
        file = None
        if settings.checkpoint is not None:
            at = file_of(settings.checkpoint, index, model.members)
            file = Checkpoint(at, request(model, space, shape, settings, start, "machines", data=identity), of="training")
            files.append(str(file.at))
        given = rows.states[rows.used], _weights(rows, model, start), rows.states[rows.heldout], rows.weight[rows.heldout]
        label = "training" if model.members == 1 else f"training member {index + 1} of {model.members}"
        machines.append(rbm_training.fit(model, space.q, *given, settings, start, file, label))
        shares += [given[1]] if model.members > 1 else []
    return machines, shares, files


def _record(histories: list[History], losses: Mapping[str, list[float]], rows: Rows, files: list[str]) -> dict[str, Any]:
    """What a posterior keeps of its training."""
    return {
        "heldout_nats_per_site": losses["held"],
        "train_nats_per_site": losses["train"],
        "best_epoch": [one.best for one in histories],
        "epochs": [one.epoch for one in histories],
        "stopped": [one.stopped for one in histories],
        "checkpoint": ", ".join(files) if any(one.diverged for one in histories) else "",
        "heldout": int(rows.heldout.sum()),
        "overlap": _overlap(rows),
        "device": "cpu",
        "precision": "float32",
        "processes": 1,
        "streamed": None,
        "posterior": [],
        "resampled": len(histories) > 1,
    }


def seconds(model: RBM, space: Space, shape: tuple[int, ...], rows: int) -> float:
    """CPU seconds of learning, at most: of training, and of log Z."""
    from hamlearn.infer.engines import rbm_training

    sites = int(np.prod(shape))
    training = DEFAULT.epochs * rbm_training.epoch_seconds(model, space.q, sites, rows, DEFAULT.batch)
    log_z = replicas.log_z_seconds(sites * (space.q - 1), model.hidden) if model.hidden > MOST_SUMMED else 0.0
    return model.members * (training + log_z)


def cost_of_check(*_: Any) -> None:
    """What its comparison with data costs: nobody has counted it."""


def normaliser(line: Line, seed: int, *, error: float = ERROR) -> LogZ:
    """Log Z of a machine: a sum over few hidden units, else from replicas that are exchanged on the line to it."""
    if len(line.hidden) > MOST_SUMMED:
        return replicas.log_z(line, seed, error=error)
    return LogZ(line.layer(beta=1.0).log_z(), 0.0)


def evaluators(post: xr.DataTree) -> list[MachineDensity]:
    """The machines of a posterior as densities."""
    model, space, shape = posteriors.model_of(post), posteriors.space_of(post), posteriors.site_shape(post)
    group, normalisers = post["weights"].to_dataset(), post["normaliser"].to_dataset()
    beta = float(np.mean(posteriors.observed_betas(post)))
    found = []
    for index in range(group.sizes["member"]):
        one = {str(name): np.asarray(group[name])[index] for name in group.data_vars}
        found.append(MachineDensity(model, space, shape, one, beta, float(normalisers["log_z"][index])))
        if "observed_log_prob" in post.children:
            found[-1].observed = observed.of_network(post["observed_log_prob"].to_dataset(), index)
    return found


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """`n` machines, spread over the members; the size is the one that was learned."""
    if not (isinstance(n, int | np.integer) and n >= 1):
        raise HamlearnError(f"the number of members must be a positive whole number; got {n!r}.")
    learned = posteriors.site_shape(post)
    if shape is not None and tuple(shape) != learned:
        raise HamlearnError(f"a restricted Boltzmann machine knows one size, {learned}: it cannot be moved to {tuple(shape)}.")
    found = [one.system for one in evaluators(post)]
    first = np.random.default_rng(seed).permutation(len(found))
    return [found[first[index % len(found)]] for index in range(n)]


def _weights(rows: Rows, model: RBM, seed: int) -> np.ndarray | None:
    """How often rows are trained on: as they count, times the weights of a Bayesian bootstrap where there are several machines."""
    weight = rows.weight[rows.used]
    if model.members == 1:
        return weight
    rng, n = np.random.default_rng([seed, 2]), len(weight)
    length = 1 if rows.tau <= 1 else max(1, min(int(np.ceil(3 * rows.tau)), n // _WEIGHTED))
    return np.asarray(weight * np.repeat(rng.exponential(size=-(-n // length)), length)[:n])


def _nats(density: MachineDensity, rows: Rows, mask: np.ndarray, space: Space) -> float:
    """−ln p per site of rows."""
    states = space.from_index(rows.states[mask]).reshape(-1, *density.shape)
    return float(-np.average(density.log_prob(states), weights=rows.weight[mask]) / rows.states.shape[1])


def _overlap(rows: Rows) -> float:
    """Share of what is held out that is also trained on."""
    seen = {row.tobytes() for row in rows.states[rows.used]}
    held, weight = rows.states[rows.heldout], rows.weight[rows.heldout]
    return float(np.average([row.tobytes() in seen for row in held], weights=weight))


def _told(found: LogZ, hidden: int) -> str:
    if not found.populations:
        return f"ln Z = {found.value:.4f}, exactly: a sum over the states of {hidden} hidden units"
    return f"ln Z = {found.value:.3f}, give or take {found.error:.2g} nats: replicas exchanged on the line to independent sites"


def _doubts(found: list[LogZ], hidden: int) -> tuple[Noted, ...]:
    """A caution where replicas have not gone round often enough, or halves of their run disagree."""
    unsettled = [one for one in found if not one.settled]
    if not unsettled:
        return ()
    worst = min(unsettled, key=lambda one: one.trips)
    what = (
        f"ln Z of {hidden} hidden units is not settled: replicas went {worst.trips:.3g} times between independent sites and the machine "
        f"({replicas.TRIPS} of all {replicas.COLUMNS} ladders together are asked for), give or take {worst.error:.2g} nats"
    )
    advice = (
        "Modes may be missing from draws and from ln Z: compare draws with data that were held out, hl.audit(data, post), or take fewer "
        "hidden units."
    )
    return (Noted("told", "caution", "normaliser", what=what, advice=advice),)


def _normalisers(found: list[LogZ]) -> xr.Dataset:
    """Group ``normaliser``: ln Z of every machine with its error and 90 % interval."""
    ends = np.array([one.interval(0.9) for one in found])
    return xr.Dataset(
        {
            "log_z": ("member", [one.value for one in found], {"long_name": "ln Z", "units": "nats"}),
            "log_z_error": ("member", [one.error for one in found], {"long_name": "standard error of ln Z; 0 where it is exact"}),
            "log_z_lower": ("member", ends[:, 0]),
            "log_z_upper": ("member", ends[:, 1]),
            "populations": ("member", [one.populations for one in found]),
            "round_trips": ("member", [one.trips for one in found], {"long_name": "round trips of replicas, of all ladders together"}),
            "settled": ("member", [int(one.settled) for one in found]),
        }
    )
