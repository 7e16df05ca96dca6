"""One data set: a truth, microstates simulated from it, and what is learned of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import infer
from hamlearn.data import fingerprint, flips, known, missing, multiplicity
from hamlearn.data.readout import with_flip
from hamlearn.diagnostics.calibration.scores import Kept
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.observations import mean_beta
from hamlearn.infer.provenance import Provenance
from hamlearn.infer.settings import ENGINES
from hamlearn.models.traits import Model
from hamlearn.progress import aside
from hamlearn.spaces import Space
from hamlearn.systems import sampling
from hamlearn.systems.base import System

CHAINS = 4
_TRIES = 1000  # draws of a prior until one has an equilibrium


@dataclass(frozen=True, eq=False)
class Refit:
    """What is done with the number of a data set; everything in it can be sent to another process.

    Attributes
    ----------
    model : Model
    space : Space
    shape : tuple of int
        Site axes.
    beta : tuple of float
        Temperatures that are observed together.
    rows : tuple of int
        Microstates at each of them, nearly independent.
    truths : array (data set or 1, n_params), optional
        Parameters of the data sets in turn; drawn from the prior where there are none.
    likelihood, engine, calibrate
        As for :func:`hamlearn.learn`.
    kept : Kept
    seed : int
    width : float, optional
        Of the time slices of a path, where it is given.
    beside : tuple of Dataset
        Microstates that are learned together with those simulated, one of every temperature; cells are missing and misread as in these.
    """

    model: Model
    space: Space
    shape: tuple[int, ...]
    beta: tuple[float, ...]
    rows: tuple[int, ...]
    truths: np.ndarray | None
    likelihood: Any
    engine: Any
    calibrate: bool
    kept: Kept
    seed: int
    width: float | None = None
    beside: tuple[xr.Dataset, ...] = ()

    def __call__(self, number: int) -> np.ndarray:
        """Scores of one data set."""
        for_truth, for_data, for_learning, ties, for_cells = np.random.SeedSequence([self.seed, number]).spawn(5)
        bound = self.bound
        truth = self._prior(bound, np.random.default_rng(for_truth)) if self.truths is None else self.truths[number % len(self.truths)]
        system = bound.system(truth) if self.width is None else bound.system(truth, None, self.width)
        seeds = for_data.generate_state(len(self.beta))
        with aside():
            sets = [simulated(system, at, n, int(seed)) for at, n, seed in zip(self.beta, self.rows, seeds, strict=True)]
            rng = np.random.default_rng(for_cells)
            sets = [read_as(one, like, self.space, rng) for one, like in zip(sets, self.beside or sets, strict=True)]
            learning = {"likelihood": self.likelihood, "engine": self.engine, "calibrate": self.calibrate}
            post = infer.learn([*self.beside, *sets], self.model, seed=int(for_learning.generate_state(1)[0]), **learning)
        names, draws = families.of(post).parameters(post)
        if len(names) != len(truth):
            raise HamlearnError(f"{len(names)} parameters were learned and there are {len(truth)}: some states were in none of the rows.")
        independent = not posteriors.provenance_of(post).engine.markov
        return self.kept.score(draws, truth, np.random.default_rng(ties), independent=independent)

    @property
    def bound(self) -> Any:
        """The model on its sites, priors in units of kT in those of energy."""
        return self.model.at(mean_beta(list(self.beta))).bind(self.space, self.shape)  # type: ignore[attr-defined]

    def request(self) -> dict[str, str]:
        """Everything that determines what is returned, for a checkpoint."""
        plain = ("space", "shape", "beta", "rows", "likelihood", "engine", "calibrate", "kept", "seed", "width")
        told = {name: repr(getattr(self, name)) for name in plain}
        truths = "prior" if self.truths is None else repr(self.truths.tolist())
        told["kept"] += f": {self.kept.columns}"
        return {"model": repr(self.model.to_dict()), **told, "truths": truths, "beside": " ".join(map(_digest, self.beside))}

    def _prior(self, bound: Any, rng: np.random.Generator) -> np.ndarray:
        """A draw of the prior; of actions one that has an equilibrium."""
        for _ in range(_TRIES):
            theta = np.concatenate([np.asarray(block.prior.draw(block.size, rng), float) for block in bound.blocks])
            if not hasattr(bound, "confining") or bool(bound.confining(theta)):
                return theta
        raise HamlearnError(f"none of {_TRIES} draws of the prior has an equilibrium: give a narrower prior, or a truth (at_truth).")


def simulated(system: System, beta: float, rows: int, seed: int) -> xr.Dataset:
    """So many nearly independent microstates, rounded up to a multiple of four."""
    return sampling.simulate(system, beta, draws=-(-rows // CHAINS), chains=CHAINS, seed=seed, thin="auto", progress=False)


def read_as(made: xr.Dataset, like: xr.Dataset, space: Space, rng: np.random.Generator) -> xr.Dataset:
    """Microstates read as others are: cells are missing as in rows drawn from these, and sites are misread as often."""
    if known(like):
        return made
    states, q = made["state"].values, space.q
    if (channels := flips(like, q)) is not None:
        true = space.index(states).reshape(-1, len(channels))
        chances = channels[np.arange(len(channels)), true].cumsum(-1)[..., :-1]
        states = space.from_index((rng.random((*true.shape, 1)) > chances).sum(-1)).reshape(states.shape)
    times = multiplicity(like)[0].ravel()
    gone = missing(like).reshape(len(times), -1)[rng.choice(len(times), states.shape[0] * states.shape[1], p=times / times.sum())]
    states = np.where(gone.reshape(states.shape), space.missing, states).astype(made["state"].dtype)
    found = made.assign(state=(made["state"].dims, states, made["state"].attrs))
    return found if channels is None else with_flip(found, like["flip"].values, space)


def require_open(model: Any) -> None:
    """An error where the unknowns of a model are no parameters that a truth could be given for."""
    if not isinstance(model, Model):
        raise HamlearnError(f"model must be one of hamlearn.models, such as hl.models.Couplings(...); got {type(model).__name__}.")
    if model.traits.closed or model.traits.density:
        lacking = model.traits.closed or "has weights of networks, which mean nothing one by one"
        raise HamlearnError(
            f"{type(model).__name__} {lacking}: there is no one set of parameters that data could be simulated at and compared with. "
            "What it predicts can be calibrated by functions of your own, hl.diagnostics.coverage and hl.diagnostics.sbc."
        )


def engine_of(made: Provenance) -> Any:
    """The engine that a posterior was drawn by, with its settings."""
    if made.engine.name not in ENGINES:
        raise HamlearnError(
            f"the draws were made by {made.engine.name!r}, which is no engine of hl.learn that could be used again: give the one to check, "
            "engine=."
        )
    kind: Any = ENGINES[made.engine.name]
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in made.engine.settings.items() if name in known})


def kinds_of(names: list[str]) -> tuple[str, ...]:
    """What kind of parameter each is: its name without what stands in brackets."""
    return tuple(name.partition("[")[0] for name in names)


def _digest(data: xr.Dataset) -> str:
    return fingerprint([data])


__all__ = ["Refit", "engine_of", "kinds_of", "require_open", "simulated"]
