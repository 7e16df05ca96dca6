"""The kind of :class:`hamlearn.models.Extensive`: networks fitted to labelled energies.

:func:`distill` is the fit, from energies of any origin: a known system, a learned one, a calculation elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.arguments import require_seed
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, groups, posteriors
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.provenance import Basis, Convergence
from hamlearn.infer.training import Training, as_settings, file_of, recorded, request, require_honoured
from hamlearn.models.extensive import BoundExtensive, Extensive, Weights
from hamlearn.processes import verb
from hamlearn.progress import logger
from hamlearn.spaces import SpaceName
from hamlearn.systems.base import System

if TYPE_CHECKING:
    from hamlearn.infer.engines.jax_training import Regression

FEWEST = 64  # labelled states
_PROBES = 32  # held-out states whose energies are the parameters that are reported


def learn(data: Any, model: Extensive, *, likelihood: str, engine: Any, calibrate: bool, seed: int) -> xr.DataTree:
    """Refused: an extensive network is fitted to energies."""
    raise HamlearnError(
        "an extensive network is fitted to labelled energies: hl.infer.distill(states, energies, model). "
        "To learn from microstates alone use hl.models.LocalInteraction(...) or hl.models.DCL(...)."
    )


@verb
def distill(
    states: Any,
    energies: Any,
    model: Extensive | None = None,
    engine: Literal["auto", "training"] | Training = "auto",
    seed: int = 0,
    *,
    space: SpaceName | None = None,
    q: int | None = None,
    beta: float | None = None,
) -> xr.DataTree:
    """Fit an extensive network to labelled states: a Hamiltonian of any origin becomes one for any lattice size.

    Mean squared error of sums over tiles, after subtracting the mean label. Distinct states are split by a hash (the
    first 12 bits of SHA3-512), so no state is on both sides; a tenth is held out and decides when to stop.

    Parameters
    ----------
    states : Dataset or array ``(row, *sites)``
        Microstates with the site axes of the lattice.
    energies : array ``(row,)`` or ``(row, outputs)``, or System
        Labels; of a system its energies are taken. Microstates with chains: ``(chain, draw)`` or flattened.
    model : Extensive, optional
        By default ``Extensive()``.
    engine : "auto" or Training
        Epochs, batch, learning rate, patience, seconds, weight decay, heldout and checkpoint (:class:`hamlearn.infer.Training`);
        its other settings are torch's and refused. By default 60 epochs of batches of 256.
    seed : int
        Of initial weights and of the order of minibatches.
    space, q
        Of an array of states; spins by default (see :func:`hamlearn.microstates`).
    beta : float, optional
        Inverse temperature that the states stand for, kept with the posterior; the fit does not use it.

    Returns
    -------
    DataTree
        A posterior with groups ``weights`` (member), ``training`` and ``posterior`` (energies of some held-out
        states, mean subtracted). Its members are :class:`~hamlearn.systems.InteractionTables` where a tile has at most 2^20
        states, else systems that are sampled by their energies.

    Raises
    ------
    HamlearnError
        If numbers of states and labels differ, labels are not finite, there are fewer than 64, or training diverges.

    Examples
    --------
    >>> import numpy as np
    >>> import hamlearn as hl
    >>> from hamlearn.infer.families.extensive import distill
    >>> ising = hl.systems.Ising((4, 4))
    >>> states = np.random.default_rng(0).choice([-1, 1], size=(500, 4, 4))
    >>> model = hl.models.Extensive(focus=1, context=0, hidden=(4,))
    >>> post = distill(states, ising, model, engine=hl.infer.Training(epochs=2), seed=0)
    >>> hl.draw_systems(post, 1)[0].energy(states[:3]).shape
    (3,)
    """
    seed = require_seed(seed)
    model = Extensive() if model is None else model
    settings = Training(epochs=60, batch=256, weight_decay=1e-6) if engine == "auto" else as_settings(engine, Training)
    require_honoured(settings, "energies", "a network fitted to energies")
    if isinstance(energies, System):
        space, q = space or cast(SpaceName, energies.space.name), (q or energies.space.q) if energies.space.labelled else q
    data = (
        microstate_data.admit_one(states)
        if isinstance(states, xr.Dataset)
        else microstate_data.microstates(states, space=space, beta=beta, q=q)
    )
    sets = microstate_data.split_by_beta(data)
    bound = model.bind(microstate_data.space_of(sets), sets[0]["state"].shape[2:])
    asked = Enquiry(model, bound.space, sets, seed)
    values = np.concatenate([microstate_data.rows(part).reshape(-1, int(np.prod(bound.shape))) for part in sets])
    labels = _labels(energies, values.reshape(-1, *bound.shape), model.outputs)
    fits = regressions(bound, values, labels, settings, seed)
    return _posterior(bound, fits, values, labels, settings, asked)


def _labels(energies: Any, states: np.ndarray, outputs: int) -> np.ndarray:
    """Labels ``(row, outputs)``, checked."""
    found = np.asarray(energies.energy(states) if isinstance(energies, System) else energies, float)
    if found.size != len(states) * outputs:
        raise HamlearnError(f"{len(states)} states need labels of shape ({len(states)},) times outputs={outputs}; got shape {found.shape}.")
    if len(states) < FEWEST:
        raise HamlearnError(f"{len(states)} labelled states are too few to train on and to hold some out; give {FEWEST} at least.")
    if not np.all(np.isfinite(found)):
        raise HamlearnError(
            f"{np.sum(~np.isfinite(found))} of {found.size} labels are not finite: work with log-probabilities, not with p."
        )
    return found.reshape(len(states), outputs)


def held_out(values: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Which rows of states ``(row, n_sites)`` are held out: by the first 12 bits of the SHA3-512 of each, duplicates together.

    Examples
    --------
    >>> held_out(np.ones((3, 4), np.int8), share=1.0)
    array([ True,  True,  True])
    """
    rows = np.ascontiguousarray(values, np.int8)
    bits = [int.from_bytes(hashlib.sha3_512(row.tobytes()).digest()[:2], "big") >> 4 for row in rows]
    return np.array(bits) < share * 4096


def regressions(bound: BoundExtensive, values: np.ndarray, labels: np.ndarray, settings: Training, seed: int) -> list[Regression]:
    """A network for every member, fitted to labels ``(row, outputs)``."""
    from hamlearn.infer.engines import jax_training

    held = held_out(values, settings.heldout)
    if not held.any() or held.all():
        raise HamlearnError("the labelled states are so few or so alike that none (or all) were held out; give more distinct states.")
    index = bound.space.index(values).astype(np.int8)
    seconds = jax_training.epoch_seconds(bound, int((~held).sum()), int(held.sum()))
    cost = "" if np.isnan(seconds) else f", at most {settings.epochs} epochs of about {seconds:.2g} s"
    logger.info("fitting %d extensive networks to %d labelled states%s", bound.model.members, len(values), cost)
    fits: list[Regression] = []
    for start in np.random.SeedSequence(seed).generate_state(bound.model.members).tolist():
        checkpoint = None
        if settings.checkpoint is not None:
            asked = request(bound.model, bound.space, bound.shape, settings, start, "energies", data=_identity(index, labels))
            checkpoint = Checkpoint(file_of(settings.checkpoint, len(fits), bound.model.members), asked, of="training")
        fit = jax_training.regress(bound, index, labels - labels[~held].mean(0), held, settings, start, checkpoint)
        logger.info("  member %d: held-out error %.4g after %d epochs", len(fits), fit.error, len(fit.train))
        fits.append(fit)
    return fits


def _identity(index: np.ndarray, labels: np.ndarray) -> str:
    """What tells one set of labelled states from another."""
    return hashlib.sha256(index.tobytes() + labels.tobytes()).hexdigest()


def _posterior(
    bound: BoundExtensive,
    fits: list[Regression],
    values: np.ndarray,
    labels: np.ndarray,
    settings: Training,
    asked: Enquiry,
) -> xr.DataTree:
    tree = groups_of(bound, fits, values, settings.heldout)
    tree["observed_data"] = xr.Dataset({"labelled": len(values), "label_spread": float(labels.std()), "label_mean": float(labels.mean())})
    asked.say(*(f"held-out error {fit.error:.4g} of labels with a spread of {labels.std():.4g}" for fit in fits))
    post = asked.posterior(
        tree,
        likelihood="regression",
        composite=True,
        engine={**recorded(settings, "energies"), "members": bound.model.members},
        n_params=sum(np.size(value) for value in fits[0].weights.values()),
        basis=Basis("labels"),
        held_out_error=[fit.error for fit in fits],
        convergence=Convergence(sampled=False, chains=1, draws=len(fits)),
    )
    post.attrs["beta_declared"] = 1  # labels are energies in their own units, whatever temperature the states had
    return post


def groups_of(bound: BoundExtensive, fits: list[Regression], values: np.ndarray, share: float) -> dict[str, xr.Dataset]:
    """Groups ``posterior``, ``weights`` and ``training`` of an ensemble of regressions."""
    from hamlearn.infer.engines import jax_training

    probes = values[held_out(values, share)][:_PROBES]
    index = bound.space.index(probes).astype(np.int8)
    energies = np.stack([jax_training.predicted(bound, fit.weights, index)[:, 0] for fit in fits])
    training = groups.curves({name: [vars(fit)[name] for fit in fits] for name in ("train", "held_out")})
    training["best_epoch"] = ("member", [fit.best for fit in fits])
    training["held_out"].attrs["long_name"] = "root mean square error of labels"
    return {"posterior": probed(energies), "weights": groups.members([fit.weights for fit in fits]), "training": training}


def probed(energies: np.ndarray) -> xr.Dataset:
    """Group ``posterior`` of networks: their energies of probes ``(network, probe)``, mean subtracted."""
    return xr.Dataset(
        {"probe_energy": (("chain", "draw", "probe"), (energies - energies.mean(1, keepdims=True))[None])},
        coords={"chain": [0], "draw": np.arange(len(energies)), "probe": np.arange(energies.shape[1])},
    )


def bound_of(post: xr.DataTree) -> BoundExtensive:
    """The networks' form on the sites they were learned on."""
    model = posteriors.model_of(post)
    extensive: Extensive = getattr(model, "extensive", model)
    return extensive.bind(posteriors.space_of(post), posteriors.site_shape(post))


def weights_of(post: xr.DataTree, member: int) -> Weights:
    """Weights of one member."""
    group = post["weights"].to_dataset().isel(member=member)
    return {str(name): group[name].values for name in group.data_vars}


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Energies of the ensemble's networks, on a periodic lattice of any extents that the focus divides."""
    bound, count = bound_of(post), post["weights"].sizes["member"]
    chosen = families.spread(np.arange(count)[None], n, seed)
    systems = {int(member): bound.system(weights_of(post, int(member)), shape) for member in np.unique(chosen)}
    return [systems[int(member)] for member in chosen]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """Energies of held-out states, mean subtracted: what a network means, however its weights are arranged.

    One network stands twice: a posterior's spread takes two draws.
    """
    values = np.asarray(post["posterior"]["probe_energy"])
    values = np.repeat(values, 2, 1) if values.shape[1] == 1 else values
    return [f"energy of held-out state {probe}" for probe in range(values.shape[-1])], values


def outputs(post: xr.DataTree, states: np.ndarray) -> np.ndarray:
    """All outputs of all members for states ``(row, *sites)``, ``(member, row, outputs)``."""
    from hamlearn.infer.engines import jax_training

    bound = bound_of(post)
    index = bound.space.index(np.asarray(states)).reshape(len(states), -1).astype(np.int8)
    return np.stack([jax_training.predicted(bound, weights_of(post, member), index) for member in range(post["weights"].sizes["member"])])


@verb
def locality(
    states: Any,
    energies: Any,
    contexts: Sequence[int] = (0, 1, 2),
    model: Extensive | None = None,
    engine: Literal["auto", "training"] | Training = "auto",
    seed: int = 0,
) -> xr.Dataset:
    """Held-out error of extensive networks against their context: how far the interactions of a Hamiltonian reach.

    With too little context the error is that of the interactions cut off, and no training helps; beyond their range
    the error rises slowly again, since what does not matter has to be learned to be ignored.

    Parameters
    ----------
    states, energies, engine, seed
        As for :func:`distill`.
    contexts : sequence of int
        Contexts to try.
    model : Extensive, optional
        The rest of the form; by default ``Extensive(focus=1, hidden=(64, 64))``.

    Returns
    -------
    Dataset
        ``error`` and ``relative_error`` (of the spread of the labels) over ``context``.
    """
    base = Extensive(focus=1, context=0, hidden=(64, 64)) if model is None else model
    errors, spread = [], 1.0
    saved = engine.checkpoint if isinstance(engine, Training) else None
    for number, context in enumerate(contexts):
        if saved is not None:
            engine = replace(cast(Training, engine), checkpoint=file_of(saved, number, len(contexts)))
        description = {**base.to_dict(), "context": int(context)}
        del description["kind"]
        post = distill(states, energies, Extensive(**description), engine, seed)
        errors.append(float(np.mean(posteriors.provenance_of(post).more["held_out_error"])))
        spread = float(post["observed_data"]["label_spread"])
    values = np.array(errors)
    return xr.Dataset({"error": ("context", values), "relative_error": ("context", values / spread)}, coords={"context": list(contexts)})
