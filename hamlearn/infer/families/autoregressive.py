"""The kinds of :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow`: neural densities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import posteriors
from hamlearn.infer.densities import observed
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families.density_training import begun, digest, losses, told_of, train
from hamlearn.infer.groups import members
from hamlearn.infer.provenance import Basis, Provenance
from hamlearn.infer.training import Bayesian, Training, as_settings, recorded
from hamlearn.infer.training_data import space_and_shape
from hamlearn.models import Autoregressive, Flow
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System
from hamlearn.systems.density import LearnedDensity

if TYPE_CHECKING:
    from hamlearn.models.densities.evaluate import Evaluator

__all__ = ["assemble", "density_of", "draw_systems", "evaluators", "learn", "parameters", "require_same_sites"]


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
    from hamlearn.models.densities.evaluate import Evaluator

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
    run = begun(asked, shape, settings)
    starts = np.random.SeedSequence(seed).generate_state(model.members).tolist()
    trained = [train(run, index, start) for index, start in enumerate(starts)]
    run.processes.together()  # whoever removes the checkpoints then takes them from nobody
    found, histories = [one for each in trained for one in each.weights], [one.history for one in trained]
    nats = [history.heldout[history.best - 1] for history in histories]
    training, groups = told_of(run, trained, nats), {}
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
    return assemble(found, of_draws or nats, losses(histories), model=model, space=space, provenance=provenance, sets=sets, groups=groups)


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
    from hamlearn.models.densities.evaluate import Evaluator

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
    description = {"model": one.model.to_dict(), "weights": digest(one.weights)}
    return LearnedDensity(lattices.hypercubic(one.shape), one.space, one.beta, one.log_prob, one.conditioned, description, one.sample)


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
