"""The posterior over the weights of a neural density in the open: a Pyro program, and the way back from weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer.densities import observed
from hamlearn.infer.families import autoregressive
from hamlearn.infer.provenance import Basis, new_provenance
from hamlearn.infer.settings import External
from hamlearn.infer.training import Training
from hamlearn.infer.training_data import TrainingData, prepare, refuse_forbidden, space_and_shape

if TYPE_CHECKING:
    from hamlearn.infer.engines.neural.pyro_model import LogLikelihood

_SPLIT = Training()  # how data are divided: what is held out, and how much is held in memory
_WIDE = 10.0  # prior standard deviation of biases and of the linear part, which nothing shrinks


@dataclass(frozen=True, eq=False)
class DensityProgram:
    """A posterior over the weights of a density as a Pyro program.

    Attributes
    ----------
    model : callable
        A Pyro model: a sample site for every tensor of weights under its name in the network, with a normal prior around zero, and
        one factor, the log-likelihood. ``model(subsample=200)`` looks at so many microstates at random (a plate of Pyro's).
    guide : pyro.infer.autoguide.AutoNormal
        A guide of it to begin with: independent normal weights around `start`.
    log_likelihood : callable
        Weights by name, tensors, all of them → the log-likelihood alone, as a factor of models of your own: other priors, or only
        some of the weights, ``{**program.start, name: pyro.sample(...)}``.
    start : dict of Tensor
        The weights of the untrained network.
    prior_scales : dict of float
        Standard deviations of the priors.
    worth : float
        How many independent microstates those are worth that the factor counts: all but a tenth, which is held out to judge by.
    data : list of Dataset
        The microstates.
    """

    model: Callable[..., None]
    guide: Any
    log_likelihood: LogLikelihood
    start: dict[str, Any]
    prior_scales: dict[str, float]
    worth: float
    data: list[xr.Dataset]
    density: Any
    prepared: TrainingData
    described: Any
    seed: int
    started: float

    def __repr__(self) -> str:
        return f"DensityProgram({sum(one.numel() for one in self.start.values())} weights, {len(self.log_likelihood)} microstates)"

    def posterior(self, samples: Any) -> xr.DataTree:
        """The posterior of weights that were drawn elsewhere; see :func:`hamlearn.from_samples`."""
        from hamlearn.infer.engines.neural import torch_training
        from hamlearn.models.densities.build import weights_of, with_weights
        from hamlearn.models.densities.evaluate import Evaluator

        sites, sampler = _sites(samples)
        drawn = self._networks(sites)
        one, sets, prepared = copy.deepcopy(self.density), self.data, self.prepared
        space, shape = space_and_shape(sets)
        weights, nats, train = [], [], []
        for given in drawn:
            here = with_weights(one, {**weights_of(one), **given})
            weights.append(weights_of(here))
            nats.append(torch_training.nats(here, prepared.heldout))
            train.append(torch_training.nats(here, prepared.train))
        if not np.all(np.isfinite(nats)):
            raise HamlearnError(
                "−ln p of held-out microstates is not finite under some of these weights: they are no draws of this posterior."
            )
        training = {
            "heldout_nats_per_site": nats,
            "train_nats_per_site": train,
            "stopped": [],  # nothing was trained here
            "heldout": len(prepared.heldout),
            "overlap": prepared.overlap,
            "posterior": [{"guide": "user's own", "worth": prepared.worth}],
        }
        groups = {}
        networks = [Evaluator(self.described, space, shape, each, float(sets[0]["beta"])) for each in weights]
        alike = len({float(part["beta"]) for part in sets}) == 1
        rows = observed.gather(prepared, space, shape, len(networks) * networks[0].elements, []) if alike else None
        if rows is not None:
            groups["observed_log_prob"], training["observed"] = observed.compare(networks, rows, self.seed)
        provenance = new_provenance(
            likelihood="exact",
            composite=False,
            engine={"name": External.name, "sampler": sampler, "draws": len(weights), "chains": 1, "heldout": _SPLIT.heldout},
            n_params=sum(value.numel() for value in self.start.values()),
            sets=sets,
            seed=self.seed,
            seconds=time.perf_counter() - self.started,
            basis=Basis("density", {"weights": True}),
            ess=prepared.ess,
            tau=prepared.tau,
            training=training,
        )
        return autoregressive.assemble(
            weights, nats, None, model=self.described, space=space, provenance=provenance, sets=sets, groups=groups
        )

    def _networks(self, sites: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """The weights of every network, from draws of all tensors; those without an axis of draws are the same in all."""
        shapes = {name: tuple(value.shape) for name, value in self.start.items()}
        if missing := [name for name in shapes if name not in sites]:
            raise HamlearnError(
                f"the draws have no weights {missing[0]!r}; they have {', '.join(sorted(sites)) or 'none'}. Weights that were held where "
                "they were are given too: {**program.start, **draws}."
            )
        flat, counts = {}, set()
        for name, shape in shapes.items():
            value = np.asarray(sites[name], np.float32)
            if value.shape[value.ndim - len(shape) :] != shape or value.ndim - len(shape) not in (0, 1, 2) or not value.size:
                raise HamlearnError(
                    f"weights {name!r} need the shape {('draw', *shape)}, or {shape} where all are alike; got {value.shape}."
                )
            if not np.all(np.isfinite(value)):
                raise HamlearnError(f"{np.sum(~np.isfinite(value))} of {value.size} values of the weights {name!r} are not finite.")
            flat[name] = value if value.shape == shape else value.reshape(-1, *shape)
            counts |= {len(flat[name])} if value.shape != shape else set()
        if len(counts) > 1:
            raise HamlearnError(f"the weights have different numbers of draws: {sorted(counts)}.")
        each = lambda name, k: flat[name] if flat[name].shape == shapes[name] else flat[name][k]
        return [{name: each(name, k) for name in shapes} for k in range(counts.pop() if counts else 1)]


def program(sets: list[xr.Dataset], model: Any, likelihood: str, seed: int) -> DensityProgram:
    """The posterior over the weights of a density of neural networks as a Pyro program; see :func:`hamlearn.infer.program`."""
    from hamlearn.infer.engines.neural import pyro_model
    from hamlearn.models.densities.build import build

    choice(likelihood, ("auto", "exact"), "likelihood (a density has its own)")
    started = time.perf_counter()
    if model.members != 1:
        raise HamlearnError(f"a program is one posterior over the weights of one network: leave members=1; got {model.members}.")
    sets = microstate_data.split_by_beta(sets)
    space, shape = space_and_shape(sets)
    if model.condition is None and len({float(part["beta"]) for part in sets}) > 1:
        raise HamlearnError("the data hold several temperatures, the model is one density: use condition='beta', or one at a time.")
    prepared = prepare(sets, space, _SPLIT, model)
    if prepared.streamed is not None:
        raise HamlearnError("a program looks at any of its microstates at any time: these exceed memory. Take a part of them.")
    density = build(model, space, shape, int(np.random.SeedSequence(seed).generate_state(1)[0]))
    refuse_forbidden(density, prepared, model)
    density.standardise(prepared.example)
    density.requires_grad_(False)
    start = pyro_model.weights_of(density)
    scale = min(1 / np.sqrt(prepared.worth * _SPLIT.weight_decay), _WIDE)
    wide = lambda name: name == "linear" or name.endswith(("bias", "network.first"))
    scales = {name: _WIDE if wide(name) else float(scale) for name in start}
    log_likelihood = pyro_model.LogLikelihood(density, prepared.train, prepared.worth)
    written = pyro_model.model_of(log_likelihood, start, scales)
    guide = pyro_model.guide_of(written, start)
    return DensityProgram(written, guide, log_likelihood, start, scales, prepared.worth, sets, density, prepared, model, seed, started)


def _sites(samples: Any) -> tuple[Mapping[str, np.ndarray], str]:
    """Weights by name, and what made them."""
    if isinstance(samples, Mapping):
        return samples, "arrays"
    if not hasattr(samples, "get_samples"):
        raise HamlearnError(
            "weights are arrays by name, such as those of pyro.infer.Predictive(program.model, guide=guide, num_samples=20)(), or a "
            f"pyro.infer.MCMC that has run; got {type(samples).__name__}."
        )
    found = samples.get_samples()
    if not found:
        raise HamlearnError("this sampler has not run yet: call mcmc.run(...) first.")
    return found, f"Pyro {type(samples.kernel).__name__}"
