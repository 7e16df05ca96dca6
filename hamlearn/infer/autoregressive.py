"""The kinds of :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow`: neural densities."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import statistics, systems
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import tree
from hamlearn.infer.overlap import mass
from hamlearn.infer.training import Training, as_settings, recorded
from hamlearn.models import Autoregressive, Flow
from hamlearn.systems import exact
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System, space_from_name
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.models.autoregressive.evaluate import Evaluator

logger = logging.getLogger("hamlearn")

__all__ = ["assemble", "evaluators", "learn", "members", "parameters"]


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


def learn(
    data: xr.Dataset | Iterable[xr.Dataset], model: Autoregressive | Flow, *, likelihood: str, engine: Any, calibrate: bool, seed: int
) -> xr.DataTree:
    """Train `model.members` networks by maximum likelihood; see :func:`hamlearn.learn`.

    `likelihood` may be "auto" or "exact" (a density has no other), `engine` "auto", "training" or a
    :class:`hamlearn.infer.Training`; `calibrate` has nothing to correct here: there are no error bars of weights.
    """
    from hamlearn.infer.engines import torch_training
    from hamlearn.infer.engines.torch_checkpoint import Checkpoint
    from hamlearn.models.autoregressive.build import build, context_of, weights_of

    choice(likelihood, ("auto", "exact"), "likelihood (a density has its own)")
    settings: Training = as_settings(engine, Training)
    sets = microstate_data.split_by_beta(data)
    space, shape = _space_and_shape(sets)
    rows = _rows(sets, space, settings.heldout)
    if model.condition is None and len(np.unique(rows.beta)) > 1:
        raise HamlearnError(
            f"the data hold {len(np.unique(rows.beta))} temperatures, the model is one density: use Autoregressive(condition='beta'), "
            "or one temperature at a time."
        )
    started = time.perf_counter()
    weighted = None if not np.ptp(rows.weight) else rows.weight
    parts = []
    for mask in (rows.used, rows.heldout):
        context = context_of(rows.beta[mask], int(mask.sum())) if model.condition else None
        parts.append(torch_training.as_sample(rows.states[mask], context, None if weighted is None else weighted[mask]))
    # Elements of the density's own group do not change it; shown in training they stand for the average.
    names = (*settings.augment, *model.symmetry)
    group = torch_training.group_of(shape, names) if settings.augment else None
    entropy = known_entropy(sets) if sys.stderr.isatty() else None  # only to be shown beside the progress
    found, histories, files = [], [], []
    for index, start in enumerate(np.random.SeedSequence(seed).generate_state(model.members).tolist()):
        density = build(model, space, shape, start)
        _refuse_forbidden(density, rows, model)
        density.standardise(rows.states[rows.used])
        n_params = sum(parameter.numel() for parameter in density.parameters())
        logger.info("training %d parameters on %d microstates (worth %.3g)", n_params, rows.used.sum(), rows.ess)
        checkpoint = None
        if settings.checkpoint is not None:
            path = Path(settings.checkpoint)
            path = path if model.members == 1 else path.with_name(f"{path.stem}.{index}{path.suffix}")
            checkpoint = Checkpoint(path, _request(model, space, shape, sets, settings, start))
            files.append(checkpoint.path)
        label = "training" if model.members == 1 else f"training member {index + 1} of {model.members}"
        history = torch_training.fit(
            density, parts[0], parts[1], settings, start, checkpoint=checkpoint, group=group, entropy=entropy, label=label
        )
        found.append(weights_of(density))
        histories.append(history)
    diverged = [index for index, history in enumerate(histories) if history.diverged]
    for path in files:
        if not diverged:
            path.unlink(missing_ok=True)
    kept = ", ".join(str(path) for path in files) if diverged and files else ""
    nats = [history.heldout[history.best - 1] for history in histories]
    training = {
        "heldout_nats_per_site": nats,
        "train_nats_per_site": [history.train[history.best - 1] for history in histories],
        "best_epoch": [history.best for history in histories],
        "epochs": [history.epoch for history in histories],
        "stopped": [history.stopped for history in histories],
        "checkpoint": kept,
        "heldout": int(rows.heldout.sum()),
        "overlap": mass(rows.states[rows.used], rows.states[rows.heldout], rows.weight[rows.heldout]) if space.q else 0.0,
    }
    record = tree.new_record(
        likelihood="exact",
        composite=False,
        engine=recorded(settings),
        n_params=n_params,
        sets=sets,
        seed=seed,
        seconds=time.perf_counter() - started,
        note="a normalised density: −ln p of whole microstates",
        ess=rows.ess,
        tau=rows.tau,
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
    return assemble(found, nats, curves, model=model, space=space, record=record, sets=sets)


def assemble(
    weights: list[dict[str, np.ndarray]],
    nats: list[float],
    history: xr.Dataset,
    *,
    model: Autoregressive | Flow,
    space: Space,
    record: dict[str, Any],
    sets: list[xr.Dataset],
) -> xr.DataTree:
    """A posterior over densities: group ``weights`` (member, ...), their scores as ``posterior``, curves as ``training``."""
    arrays = {}
    for name in weights[0]:
        stacked = np.stack([one[name] for one in weights])
        arrays[name] = (("member", *(f"{name}_{axis}" for axis in range(stacked.ndim - 1))), stacked)
    scores = xr.Dataset({"nats_per_site": (("chain", "draw"), np.asarray(nats, float)[None])})
    groups = {
        "posterior": scores.assign_coords(chain=[0], draw=np.arange(len(nats))),
        "weights": xr.Dataset(arrays),
        "training": history,
    }
    return tree.assemble(groups, model=model, space=space, record=record, sets=sets)


def evaluators(post: xr.DataTree) -> list[Evaluator]:
    """The densities of a posterior, one per network."""
    from hamlearn.models.autoregressive.evaluate import Evaluator

    model = tree.model_of(post)
    if not isinstance(model, Autoregressive | Flow):
        raise HamlearnError(
            f"this needs a posterior of hl.models.Autoregressive(...) or Flow(...), which has a normalised density; got {model!r}."
        )
    space, shape = tree.space_of(post), tree.site_shape(post)
    group: xr.Dataset = post["weights"].to_dataset()
    beta = float(np.mean(tree.observed_betas(post)))
    return [
        Evaluator(model, space, shape, {str(name): np.asarray(group[name])[index] for name in group.data_vars}, beta)
        for index in range(group.sizes["member"])
    ]


def density_of(one: Evaluator) -> LearnedDensity:
    """A density as a Hamiltonian."""
    description = {"model": one.model.to_dict(), "weights": _digest(one.weights)}
    return LearnedDensity(lattices.hypercubic(one.shape), one.space, one.beta, one.log_prob, one.conditioned, description)


def require_same_sites(one: Evaluator, system: Any) -> None:
    """Raise unless a system has the space and the sites of a density."""
    found = tuple(system.lattice.shape)
    if system.space.name != one.space.name or found != one.shape:
        raise HamlearnError(f"the density is one of {one.space.name} on sites {one.shape}; the system has {system.space.name} on {found}.")


def members(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """`n` Hamiltonians −ln p/β, spread over the networks; the size is the one that was learned."""
    if not (isinstance(n, int | np.integer) and n >= 1):
        raise HamlearnError(f"the number of members must be a positive whole number; got {n!r}.")
    learned = tree.site_shape(post)
    if shape is not None and tuple(shape) != learned:
        raise HamlearnError(f"a neural density knows one size, {learned}: it cannot be moved to {tuple(shape)}.")
    found = [density_of(one) for one in evaluators(post)]
    first = np.random.default_rng(seed).permutation(len(found))
    return [found[first[index % len(found)]] for index in range(n)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The held-out −ln p per site of every network: weights of different networks have nothing in common.

    One network stands twice: a posterior's spread takes two draws.
    """
    draws = tree.require_posterior(post)["posterior"].to_dataset()["nats_per_site"].values[..., None]
    return ["nats_per_site"], np.repeat(draws, 2, 1) if draws.shape[1] == 1 else draws


def known_entropy(sets: list[xr.Dataset]) -> float | None:
    """Exact entropy per site in nats, where the data name their system and an oracle treats it at once."""
    if len(sets) > 1 or "system" not in sets[0].attrs:
        return None
    try:
        system = systems.from_dict(json.loads(str(sets[0].attrs["system"])))
    except HamlearnError:  # a world that cannot be rebuilt from its description
        return None
    if exact.method(system) not in ("kaufman", "enumeration"):
        return None
    return float(exact.thermodynamics(system, float(sets[0]["beta"]))["entropy"][0])


def _space_and_shape(sets: list[xr.Dataset]) -> tuple[Space, tuple[int, ...]]:
    found = {(part.attrs["space"], tuple(part["state"].shape[2:])) for part in sets}
    if len(found) > 1:
        raise HamlearnError(f"the data sets differ in space or sites: {sorted(found)}; one density needs one.")
    name, shape = next(iter(found))
    return space_from_name(name, max(int(part.attrs["q"]) for part in sets)), shape


def _rows(sets: list[xr.Dataset], space: Space, share: float) -> Rows:
    parts = [split(part, space, share) for part in sets]
    states, beta, weight, heldout, used = (np.concatenate(column) for column in zip(*(part[:5] for part in parts), strict=True))
    if used.sum() < 2 or not heldout.any():
        raise HamlearnError(f"{len(states)} microstates are too few to train on and to hold some out: give at least 20.")
    sizes = [microstate_data.multiplicity(part) for part in sets]
    size = sum(float(w.sum() ** 2 / (w**2).sum()) if weighted else float(w.sum()) for w, weighted in sizes)
    return Rows(states, beta, weight, heldout, used, max(part[5] for part in parts), size)


def split(part: xr.Dataset, space: Space, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Rows of one temperature, split by chain or by the end of every chain, never draw by draw."""
    states = microstate_data.rows(part)
    states = space.index(states).astype(np.int8) if space.q else states
    weight, _ = microstate_data.multiplicity(part)
    chains, draws, _ = states.shape
    tau = _tau(part, states)
    if "count" in part:
        return _split_counts(states, weight, float(part["beta"]), share)
    heldout = np.zeros((chains, draws), bool)
    used = np.ones((chains, draws), bool)
    if chains * share >= 1:
        heldout[-round(chains * share) :] = True
    else:
        count = max(1, round(draws * share))
        heldout[:, draws - count :] = True
        gap = 0 if tau <= 1 else min(int(np.ceil(5 * tau)), (draws - count) // 2)
        used[:, draws - count - gap : draws - count] = False
    used &= ~heldout
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


def _tau(part: xr.Dataset, states: np.ndarray) -> float:
    """The autocorrelation time that the data name, or the longest of the mean, its size, and the neighbour product."""
    if int(part.attrs.get("independent", 0)) or "count" in part or "weight" in part:
        return 1.0
    named = [float(part.attrs[name]) for name in ("tau_int", "tau_int_m") if name in part.attrs]
    if named and np.all(np.isfinite(named)):
        return max(1.0, *named)
    if states.shape[1] < 20:
        return 1.0
    values = states.astype(float)
    mean = values.mean(-1)
    series = np.stack([mean, np.abs(mean - mean.mean()), (values * np.roll(values, 1, -1)).mean(-1)], -1)
    found = statistics.integrated_autocorrelation(series)
    # Of independent draws τ is 1 give or take its error: only what stands out counts, or their number would be talked down.
    seen = np.where(found.tau - 1 > 3 * found.standard_error, found.tau, 1.0)
    return float(np.max(np.nan_to_num(seen, nan=1.0)))


def _refuse_forbidden(density: Any, rows: Rows, model: Autoregressive | Flow) -> None:
    if density.ups is None:
        return
    charge = 2 * rows.states.sum(1, dtype=int) - rows.states.shape[1]
    wrong = charge[charge != model.charge]
    if wrong.size:
        raise HamlearnError(
            f"charge={model.charge} is conserved by the model, but {wrong.size} microstates have another, such as {wrong[0]}."
        )


def _request(
    model: Autoregressive | Flow, space: Space, shape: tuple[int, ...], sets: list[xr.Dataset], settings: Training, seed: int
) -> dict[str, str]:
    named = recorded(replace(settings, checkpoint=None, threads=None))
    return {
        "space": f"{space.name} (q = {space.q})",
        "lattice": str(tuple(shape)),
        "model": json.dumps(model.to_dict()),
        "settings": json.dumps(named),
        "seed": str(seed),
        "data": microstate_data.fingerprint(sets),
    }


def padded(curves: list[list[float]]) -> np.ndarray:
    length = max(len(curve) for curve in curves)
    return np.array([curve + [np.nan] * (length - len(curve)) for curve in curves])


def _digest(weights: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha3_256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
