"""The families of models that can be learned: one module each, which the traits of a model name.

Every verb goes through here, so nothing downstream asks where an energy came from. A family is a module with the members of
:class:`Kind`. What may be asked of a kind of model besides, its class declares (:class:`hamlearn.models.Traits`).
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import xarray as xr

from hamlearn import memory, models
from hamlearn.arguments import require_flag, require_path, require_seed, require_whole, shown
from hamlearn.data import admit, on_disk, space_of
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.asked import EngineAsked, LikelihoodName
from hamlearn.infer.constrained import require_kept
from hamlearn.infer.settings import SAMPLED, Engine
from hamlearn.models.traits import Model, Traits
from hamlearn.processes import verb
from hamlearn.spaces import require_scale
from hamlearn.systems.base import Space, System

_POWERS = 12  # of real values that actions of x⁶ and their scores sum

if TYPE_CHECKING:
    from hamlearn.infer.pipeline import Opened


class Kind(Protocol):
    """How the posteriors of one kind of model are made and read."""

    def learn(self, data: Any, model: Any, *, likelihood: str, engine: Any, calibrate: bool, seed: int) -> xr.DataTree:
        """The posterior, as :func:`hamlearn.infer.posteriors.assemble` builds it.

        Kinds whose fits may take long take a keyword ``checkpoint``, a path to save themselves to.
        """
        ...

    def draw_systems(self, post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None) -> list[System]:
        """`n` Hamiltonians drawn from the posterior, on a lattice of another `shape` where the model allows it."""
        ...

    def parameters(self, post: xr.DataTree) -> tuple[list[str], np.ndarray]:
        """Names and draws ``(chain, draw, parameter)`` of the free parameters that convergence is judged on."""
        ...


class Open(Kind, Protocol):
    """One whose parameters are blocks with priors (its traits name nothing that it lacks): a program may draw them."""

    def opened(
        self, data: list[xr.Dataset], model: Any, *, likelihood: str, calibrate: bool, seed: int, engine: str | Engine = SAMPLED
    ) -> Opened:
        """The posterior before its draws, for whoever makes them elsewhere; `engine` is that whose cost chooses the likelihood."""
        ...

    def variables(self, bound: Any, theta: np.ndarray) -> xr.Dataset:
        """What a posterior reports of θ ``(chain, draw, n_params)``, by name."""
        ...


class Counted(Kind, Protocol):
    """One whose learning is a training."""

    def seconds(self, model: Any, space: Space, shape: tuple[int, ...], rows: int) -> float:
        """CPU seconds of learning from so many microstates, at most."""
        ...


class Completing(Kind, Protocol):
    """One whose traits say that cells of its data may be missing or misread."""

    def completed(self, post: xr.DataTree, sets: list[xr.Dataset], seed: int) -> list[xr.Dataset]:
        """Microstates with every cell that is not known drawn given what was read, by what was learned."""
        ...


def named(traits: Traits) -> Kind:
    """The family of models with these traits."""
    return cast("Kind", importlib.import_module(f"hamlearn.infer.families.{traits.family}"))


def traits(post: xr.DataTree) -> Traits:
    """What may be asked of a posterior, as the class of its model declares."""
    return models.class_of(json.loads(posteriors.require_posterior(post).attrs["model"])).traits


def kind_of(post: xr.DataTree) -> str:
    """What the kind of a posterior's model is called, for sentences; nothing is decided by it."""
    return models.kind_of(json.loads(posteriors.require_posterior(post).attrs["model"]))


def of(post: xr.DataTree) -> Kind:
    """The family of a posterior."""
    return named(traits(post))


@verb
def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Model,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked = "auto",
    calibrate: bool = True,
    seed: int = 0,
    *,
    checkpoint: str | PathLike[str] | None = None,
) -> xr.DataTree:
    """The posterior of a model's unknowns given microstates; a bare tree, without a verdict.

    See :func:`hamlearn.learn`, which adds the verdict.
    """
    if checkpoint is not None:
        require_path(checkpoint, "checkpoint")
    seed = require_seed(seed)
    sets, found = admitted(data, model, calibrate)
    if checkpoint is not None and not saves(model):
        raise HamlearnError(
            f"checkpoint= would be ignored: {type(model).__name__} does not save itself while it is learned. Leave it out; networks take "
            "it with the settings of their training, hl.infer.Training(checkpoint=...)."
        )
    saved = {} if checkpoint is None else {"checkpoint": checkpoint}
    return found.learn(sets, model, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed, **saved)


def evaluators(post: xr.DataTree) -> list[Any]:
    """The normalised densities of a posterior, one per network; an error where it has none."""
    from hamlearn.infer.families import autoregressive  # refuses other kinds, by name

    found: list[Any] = getattr(of(post), "evaluators", autoregressive.evaluators)(post)
    return found


def saves(model: Any) -> bool:
    """Whether models of this kind may save themselves while they are learned, and so take ``checkpoint=``."""
    return "checkpoint" in inspect.signature(named(model.traits).learn).parameters


def admitted(data: Any, model: Any, calibrate: bool) -> tuple[list[xr.Dataset], Kind]:
    """The data of a question, and the family of its model; what is wrong with either is named."""
    if isinstance(model, type):
        raise HamlearnError(f"model is the class {model.__name__}; give a model, such as hl.models.{model.__name__}(...).")
    if not isinstance(model, Model):
        raise HamlearnError(f"model must be one of hamlearn.models, such as hl.models.Couplings(...); got {shown(model)}.")
    require_flag(calibrate, "calibrate")
    sets = admit(model.sets(data), missing=model.traits.missing)
    require_kept(map(space_of, sets), model)
    for one in sets:
        if space_of(one).unbounded and not on_disk(one):
            require_scale(one["state"].values, "the data", _POWERS)
    return sets, named(model.traits)


def available(post: xr.DataTree) -> int:
    """How many different members a posterior has: draws, or the networks of an ensemble, however often they are asked for."""
    sources = [child for name, child in post.children.items() if name.startswith("source_")]
    if sources:
        return min(available(child) for child in sources)  # one member of every source
    if "weights" in post.children and "member" in post["weights"].sizes:
        return int(post["weights"].sizes["member"])
    return int(post["posterior"].sizes["chain"] * post["posterior"].sizes["draw"])


def spread(draws: np.ndarray, n: int, seed: int) -> np.ndarray:
    """`n` of the draws ``(chain, draw, ...)``, spread over chains, shape ``(n, ...)``; without replacement if there are enough."""
    n = require_whole(n, "the number of members")
    memory.require(8 * n * math.prod(draws.shape[2:]), f"{n} members of {math.prod(draws.shape[2:])} parameters", "Ask for fewer.")
    flat = draws.reshape(-1, *draws.shape[2:])
    return flat[np.random.default_rng(seed).choice(len(flat), size=n, replace=n > len(flat))]
