"""A posterior over the weights of a neural density, by Pyro: stochastic variational inference around trained weights.

Guides live in coordinates z with θ = θ₀ + C z, in which the posterior's curvature at θ₀ is about the identity: one step size
then serves every direction, and the guide starts as the Laplace approximation. The likelihood of a minibatch B enters as
−M (L_B(θ) − (∇L_B(θ₀) − ∇L(θ₀))·(θ − θ₀)), L the mean −ln p and M what the data are worth: an unbiased estimate whose
gradient has no noise at θ₀ (a control variate, Baker et al. 2019).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyro
import torch
from pyro import distributions
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoGuideList, AutoLowRankMultivariateNormal, AutoMultivariateNormal, init_to_value
from torch import Tensor, nn

from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines.neural.torch_batches import Batch, Rows
from hamlearn.infer.engines.neural.torch_checkpoint import Held, host_weights
from hamlearn.infer.engines.neural.torch_training import threads, turned
from hamlearn.infer.engines.training_loop import Arrays, Budget, History, Pace, run
from hamlearn.infer.training import Bayesian
from hamlearn.models.densities.density import Density
from hamlearn.models.densities.local import Local
from hamlearn.models.densities.made import Made
from hamlearn.models.densities.pixelcnn import PixelCNN
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.processes import alone

_WIDE = 10.0  # prior standard deviation of log odds that nothing shrinks: biases and the linear part
_MOST = 30_000_000  # entries of all covariances
_FEATURES = 20  # microstates per weight of a block that its curvature is taken from
_MOST_ROWS = {True: 20_000, False: 4000}  # whether scores are vectorised
_AT_ONCE = 128  # scores held together
_FEW = 32  # microstates that show which weights have a score at all
_PASS = 2000  # microstates per step of a pass over the data
_NEWTON = 12  # steps towards the mode at most
_QUIET = 0.1  # of Pyro's random common directions, which would add variance where there should be none
_MICRO = 8  # microstates per sample of squared gradients


@dataclass(frozen=True)
class Weights:
    """Networks drawn from a posterior.

    Attributes
    ----------
    draws : list of dict of arrays
        Weights of each, as :func:`.build.weights_of` has them.
    told : dict
        How they came about, for the record.
    """

    draws: list[dict[str, np.ndarray]]
    told: dict[str, Any]


class _Loss(nn.Module):
    """Mean −ln p of a minibatch as a function of some of the weights, laid out in one vector."""

    def __init__(self, density: Symmetrised, names: list[str]) -> None:
        super().__init__()
        self.density = density
        found = dict(density.named_parameters())
        self.shapes = {name: found[name].shape for name in names}
        self.start = torch.cat([found[name].detach().reshape(-1) for name in names])

    def parts(self, flat: Tensor) -> dict[str, Tensor]:
        """The vector as named weights."""
        pieces = flat.split([shape.numel() for shape in self.shapes.values()])
        return {name: piece.view(shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)}

    def forward(self, states: Tensor, context: Tensor | None) -> Tensor:
        return self.density.loss(states, context, None)

    def of(self, flat: Tensor, batch: Batch) -> Tensor:
        """The mean, differentiable with respect to `flat`; symmetry elements are drawn beforehand."""
        states, context, weight = batch
        named = {f"density.{name}": value for name, value in self.parts(flat).items()}
        losses = torch.func.functional_call(self, named, (states, context))
        return (losses if weight is None else losses * weight).mean()


@dataclass(frozen=True)
class _Block:
    """Weights with a joint covariance: where they are, and C of θ = θ₀ + C z, a matrix or its diagonal."""

    index: Tensor
    root: Tensor

    def moved(self, z: Tensor) -> Tensor:
        return self.root @ z if self.root.dim() == 2 else self.root * z

    def pulled(self, slope: Tensor) -> Tensor:
        """A gradient with respect to θ as one with respect to z."""
        return self.root.T @ slope if self.root.dim() == 2 else self.root * slope


@alone()
def posterior(
    density: Symmetrised,
    train: Rows,
    settings: Bayesian,
    worth: float,
    seed: int,
    *,
    group: Tensor | None = None,
    progress: bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> Weights:
    """Networks drawn from the posterior around the weights of a trained density.

    Parameters
    ----------
    density : Symmetrised
        Trained, on the CPU; it is left as it was.
    train : Rows
        Microstates it was trained on.
    settings : Bayesian
        Guide, draws, prior, steps.
    worth : float
        Independent microstates that the training data are worth.
    seed : int
        Of minibatches, symmetry elements and draws.
    group : Tensor (elements, n), optional
        Site permutations to show microstates under; by default the density's own group.
    progress : bool, optional
        See :class:`hamlearn.progress.track`.
    checkpoint : Checkpoint, optional
        Where the guide continues from and saves itself to after every pass over the data.

    Raises
    ------
    HamlearnError
        If the output layer is too large for a full covariance, the density has none, or the bound is not finite.
    """
    output = output_weights(density) if settings.guide == "last_layer" else [name for name, _ in density.named_parameters()]
    learnable = {name: parameter.requires_grad for name, parameter in density.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    density.requires_grad_(False)
    try:
        with threads(settings.threads), _own_randomness(seed):
            return _fit(_Loss(density, output), train, settings, worth, generator, group, progress, checkpoint)
    finally:
        for name, parameter in density.named_parameters():
            parameter.requires_grad_(learnable[name])


def output_weights(density: Symmetrised) -> list[str]:
    """Names of the weights in which the parameters of all conditionals are linear."""
    if not isinstance(density, Density):
        raise HamlearnError("guide='last_layer' is for autoregressive networks; a flow has no single output layer. Use guide='low_rank'.")
    last: tuple[str, ...]
    if isinstance(density.network, Made):
        last = (f"network.layers.{len(density.network.layers) - 1}.",)
    elif isinstance(density.network, Local):
        last = ("network.out.", "network.skip.", "network.first")
    else:
        last = ("network.out.",)
    return [name for name, _ in density.named_parameters() if name == "linear" or name.startswith(last)]


def _fit(
    loss: _Loss,
    train: Rows,
    settings: Bayesian,
    worth: float,
    generator: torch.Generator,
    group: Tensor | None,
    progress: bool | None,
    checkpoint: Checkpoint | None,
) -> Weights:
    shown = lambda batch: (turned(loss.density, batch[0], generator, group), *batch[1:])
    prior = _prior(loss, settings, worth)
    passes = min(len(loss.density.group if group is None else group), 4)
    full = lambda flat: _full(loss, flat, train, group, passes)
    told: dict[str, Any] = {"guide": settings.guide, "worth": worth, "prior_scale": float(prior.min()), "newton_steps": 0}
    if settings.guide == "last_layer":
        blocks = _joint_blocks(loss, train, prior, worth, generator, shown)
        start, slope, told["newton_steps"] = _mode(blocks, loss.start, prior, worth, full)
    else:
        blocks, start = [_diagonal(loss, train, prior, worth, generator, shown)], loss.start
        slope = full(start)[1]
    told["weights"] = sum(len(block.index) for block in blocks)
    assert settings.steps is not None and settings.guide_rate is not None  # the settings fill in their defaults
    budget = Budget(settings.steps, settings.guide_rate, unit="steps")
    with pyro.get_param_store().scope(), pyro.validation_enabled(False):
        learner = _Learner(_Program(loss, blocks, start, prior, worth), train, settings, shown, slope, generator)
        run(learner, budget, checkpoint=checkpoint, label="posterior of the weights", progress=progress, lead=progress is not False)
        told["bound"] = -float(np.mean(learner.bounds[-max(1, len(learner.bounds) // 10) :]))
        return Weights(learner.draws(settings.draws), told)


@dataclass(frozen=True)
class _Program:
    """The posterior of some weights as Pyro reads it, in the coordinates of its blocks."""

    loss: _Loss
    blocks: list[_Block]
    start: Tensor
    prior: Tensor
    worth: float

    def moved(self, values: list[Tensor]) -> Tensor:
        """The weights at coordinates of every block."""
        flat = self.start
        for block, z in zip(self.blocks, values, strict=True):
            flat = flat.index_add(0, block.index, block.moved(z))
        return flat

    def model(self, batch: Batch, correction: Tensor) -> None:
        standard = [distributions.Normal(0.0, 1.0).expand([len(block.index)]).to_event(1).mask(False) for block in self.blocks]
        flat = self.moved([pyro.sample(f"z{k}", one) for k, one in enumerate(standard)])
        pyro.factor("likelihood", -self.worth * (self.loss.of(flat, batch) - (correction * (flat - self.start)).sum()))
        chosen = torch.cat([block.index for block in self.blocks])
        pyro.factor("prior", -0.5 * ((flat[chosen] / self.prior[chosen]) ** 2).sum())


class _Learner(Held):
    """A guide and the data, as the loop of trainings asks for them; a round is a pass over the data."""

    def __init__(
        self, program: _Program, train: Rows, settings: Bayesian, shown: Callable[[Batch], Batch], slope: Tensor, generator: torch.Generator
    ) -> None:
        self.program, self.train, self.shown, self.slope, self.generator = program, train, shown, slope, generator
        self.size = max(settings.batch, len(train) // 100)
        self.density = _guide(program.model, program.blocks, settings)
        self.example = next(iter(train.pieces(self.size))), torch.zeros_like(slope)
        self.density(*self.example)  # makes its parameters
        if settings.guide == "low_rank":
            self.density.cov_factor.data *= _QUIET
        self.optimiser = torch.optim.Adam(self.density.parameters())  # at a rate of the loop's
        self.bounds: list[float] = []

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        left, start = pace.budget.total - history.epoch, self.program.start
        for batch in islice(self.train.batches(self.generator, self.size), left):
            batch, step = self.shown(batch), len(self.bounds)
            at = start.clone().requires_grad_()
            (own,) = torch.autograd.grad(self.program.loss.of(at, batch), at)
            for one in self.optimiser.param_groups:
                one["lr"] = pace.budget.rate_at(pace.share(step), step)
            bound = Trace_ELBO().differentiable_loss(self.program.model, self.density, batch, own - self.slope)
            if not bool(torch.isfinite(bound)):
                raise HamlearnError(
                    f"the variational posterior diverged at step {step + 1}: its bound is not finite. Lower guide_rate or prior_scale in "
                    "hl.infer.Bayesian(...)."
                )
            self.optimiser.zero_grad()
            bound.backward()
            self.optimiser.step()
            self.bounds.append(float(bound.detach()))
        return len(self.bounds) - history.epoch, float(np.mean(self.bounds[history.epoch :]))

    def evaluate(self) -> float:
        return self.bounds[-1]

    def state(self) -> Arrays:
        own = torch.get_rng_state().numpy()  # Pyro draws from torch's generator
        return {**super().state(), "bounds": np.array(self.bounds), "random": own}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(arrays)
        self.bounds = [float(one) for one in arrays["bounds"]]
        torch.set_rng_state(torch.as_tensor(arrays["random"]))

    def told(self, history: History) -> str:
        return f"bound {-history.train[-1]:.6g} nats"

    def hopeless(self) -> str:
        return "the variational posterior has no finite bound. Lower guide_rate or prior_scale in hl.infer.Bayesian(...)."

    def draws(self, count: int) -> list[Arrays]:
        """Weights of so many networks."""
        program = self.program
        found, fixed = [], host_weights(program.loss.density)
        with torch.no_grad():
            for _ in range(count):
                values = self.density(*self.example)
                flat = program.moved([values[f"z{k}"] for k, _ in _at(program.blocks)])
                found.append({**fixed, **{name: value.numpy().copy() for name, value in program.loss.parts(flat).items()}})
        return found


def _at(blocks: list[_Block]) -> list[tuple[int, _Block]]:
    return list(enumerate(blocks))


def _guide(model: Callable[..., None], blocks: list[_Block], settings: Bayesian) -> Any:
    """A normal guide that starts as the standard one: the Laplace approximation in these coordinates."""
    centre = init_to_value(values={f"z{k}": torch.zeros(len(block.index)) for k, block in _at(blocks)})
    if settings.guide == "low_rank":
        # The scale of Pyro's diagonal is 1/√2 of what is asked for: the other half is in the common directions.
        rank = min(settings.rank, len(blocks[0].index))
        return AutoLowRankMultivariateNormal(model, init_loc_fn=centre, init_scale=2**0.5, rank=rank)
    if len(blocks) == 1:
        return AutoMultivariateNormal(model, init_loc_fn=centre, init_scale=1.0)
    guide = AutoGuideList(model)
    for k, _ in _at(blocks):
        guide.append(AutoMultivariateNormal(pyro.poutine.block(model, expose=[f"z{k}"]), init_loc_fn=centre, init_scale=1.0))
    return guide


def _prior(loss: _Loss, settings: Bayesian, worth: float) -> Tensor:
    """Standard deviations of the prior of every weight."""
    decayed = 1 / math.sqrt(worth * settings.weight_decay) if settings.weight_decay else _WIDE
    scale = settings.prior_scale or min(decayed, _WIDE)
    wide = lambda name: name == "linear" or name.endswith(("bias", "network.first"))
    return torch.cat([torch.full((shape.numel(),), _WIDE if wide(name) else scale) for name, shape in loss.shapes.items()])


def _full(loss: _Loss, flat: Tensor, train: Rows, group: Tensor | None, passes: int) -> tuple[float, Tensor]:
    """Mean −ln p of all data and its gradient; the same symmetry elements every time."""
    generator = torch.Generator().manual_seed(0)
    at = flat.clone().requires_grad_()
    total, slope, rows = 0.0, torch.zeros_like(flat), 0
    for _ in range(passes):
        for states, context, weight in train.pieces(_PASS):
            value = loss.of(at, (turned(loss.density, states, generator, group), context, weight))
            slope += torch.autograd.grad(value, at)[0] * len(states)
            total, rows = total + float(value.detach()) * len(states), rows + len(states)
    return total / rows, slope / rows


def _mode(
    blocks: list[_Block], start: Tensor, prior: Tensor, worth: float, full: Callable[[Tensor], tuple[float, Tensor]]
) -> tuple[Tensor, Tensor, int]:
    """Newton steps of the output layer to the mode of its posterior (with a fixed curvature), and the slope of the loss there."""
    chosen = torch.cat([block.index for block in blocks])
    penalty = lambda flat: 0.5 * float(((flat[chosen] / prior[chosen]) ** 2).double().sum())
    (value, slope), step = full(start), 0
    length = 1.0
    for step in range(1, _NEWTON + 1):
        pull = worth * slope + torch.zeros_like(start).index_add(0, chosen, start[chosen] / prior[chosen] ** 2)
        pulled = [block.pulled(pull[block.index]) for block in blocks]
        distance = sum(float((one**2).sum()) for one in pulled) / len(chosen)
        if distance < 0.01:  # a tenth of a posterior standard deviation in the mean
            return start, slope, step - 1
        direction = torch.zeros_like(start)
        for block, one in zip(blocks, pulled, strict=True):
            direction = direction.index_add(0, block.index, -block.moved(one))
        while True:
            trial = start + length * direction
            found, at_trial = full(trial)
            if worth * found + penalty(trial) < worth * value + penalty(start):
                break
            length /= 2
            if length < 0.01:
                return start, slope, step - 1
        start, value, slope = trial, found, at_trial
        length = min(1.0, 1.5 * length)
    return start, slope, step


def _joint_blocks(
    loss: _Loss, train: Rows, prior: Tensor, worth: float, generator: torch.Generator, shown: Callable[[Batch], Batch]
) -> list[_Block]:
    """Blocks of weights that the likelihood ties together, with C from the outer products of scores and the prior.

    A masked dense network has outputs of its own for every site, hence a block per site; the others share theirs.
    """
    label = torch.zeros_like(loss.start, dtype=torch.long)
    if isinstance(loss.density.network, Made):
        label = torch.cat([_site_of(name, shape, loss.density.network.size) for name, shape in loss.shapes.items()])
    members = [torch.nonzero(label == one)[:, 0] for one in label.unique()]
    vectorised = isinstance(loss.density.network, Made | PixelCNN | Local)
    seen = torch.zeros_like(loss.start, dtype=torch.bool)
    # What no microstate has a score for is masked out of the network: it has no posterior worth drawing from.
    for chunk in _scores(loss, train, _FEW, generator, shown, vectorised):
        seen |= (chunk != 0).any(0)
    members = [one[seen[one]] for one in members if bool(seen[one].any())]
    largest = max(len(one) for one in members)
    if sum(len(one) ** 2 for one in members) > _MOST:
        raise HamlearnError(
            f"the output layer and the linear part have {int(seen.sum())} weights in blocks of up to {largest}: too many for a full "
            "covariance. Use guide='low_rank', or a smaller hidden=."
        )
    outer = [torch.zeros(len(one), len(one), dtype=torch.float64) for one in members]
    rows = 0
    wanted = min(len(train), max(2000, _FEATURES * largest), _MOST_ROWS[vectorised])
    for chunk in _scores(loss, train, wanted, generator, shown, vectorised):
        rows += len(chunk)
        for index, square in zip(members, outer, strict=True):
            part = chunk[:, index]
            square += part.T @ part
    blocks = []
    for index, square in zip(members, outer, strict=True):
        precision = worth / rows * square + torch.diag(prior[index].double() ** -2)
        lower = torch.linalg.cholesky(precision)
        root = torch.linalg.solve_triangular(lower.T, torch.eye(len(index), dtype=torch.float64), upper=True)
        blocks.append(_Block(index, root.float()))
    return blocks


def _site_of(name: str, shape: torch.Size, size: int) -> Tensor:
    """The site whose parameters each weight of a masked dense network's output enters."""
    if name == "linear":  # (contexts, n, size, n, features)
        return torch.arange(shape[1])[None, :, None, None, None].expand(shape).reshape(-1)
    return (torch.arange(shape[0]) // size).reshape(-1, *(1,) * (len(shape) - 1)).expand(shape).reshape(-1)


def _scores(
    loss: _Loss, train: Rows, rows: int, generator: torch.Generator, shown: Callable[[Batch], Batch], vectorised: bool
) -> Iterator[Tensor]:
    """Gradients of −ln p of single microstates ``(rows, weights)``, in chunks, from about so many rows."""

    def one(flat: Tensor, states: Tensor, context: Tensor | None, weight: Tensor | None) -> Tensor:
        whole = lambda part: None if part is None else part[None]
        return loss.of(flat, (states[None], whole(context), whole(weight)))

    for batch in train.batches(generator, min(rows, _AT_ONCE)):
        if rows <= 0:
            return
        states, context, weight = shown(batch)
        rows -= len(states)
        if vectorised:
            axes = (None, 0, None if context is None else 0, None if weight is None else 0)
            yield torch.func.vmap(torch.func.grad(one), in_dims=axes)(loss.start, states, context, weight)
            continue
        at = loss.start.clone().requires_grad_()
        pick = lambda part, row: None if part is None else part[row]
        values = [one(at, states[row], pick(context, row), pick(weight, row)) for row in range(len(states))]
        yield torch.stack([torch.autograd.grad(value, at)[0] for value in values])


def _diagonal(loss: _Loss, train: Rows, prior: Tensor, worth: float, generator: torch.Generator, shown: Callable[[Batch], Batch]) -> _Block:
    """All weights with their own conditional standard deviations: from mean squares of gradients of a few microstates."""
    square, count = torch.zeros_like(loss.start), 0
    for batch in train.batches(generator, _MICRO):
        at = loss.start.clone().requires_grad_()
        square += torch.autograd.grad(loss.of(at, shown(batch)), at)[0] ** 2
        count += 1
        if count == 500:
            break
    return _Block(torch.arange(len(square)), (worth * _MICRO * square / count + prior**-2) ** -0.5)


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Pyro draws from torch's global generator: inside it has a state of its own, outside it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        yield
