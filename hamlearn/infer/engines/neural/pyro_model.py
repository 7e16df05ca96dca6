"""A normalised density as a Pyro program: its weights are sample sites, and one factor is the likelihood.

Nothing here draws, trains or keeps anything: Pyro's parameter store and torch's generator are those of whoever runs the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro import distributions
from pyro.infer.autoguide import AutoNormal, init_to_value
from torch import Tensor, nn

from hamlearn.infer.engines.neural.torch_batches import Sample
from hamlearn.models.densities.symmetrised import Symmetrised

_NARROW = 0.05  # standard deviations that the guide starts with: wide ones make a network of a kind that data never bear


class _LogProb(nn.Module):
    """Ln p as the forward pass, so that weights can be given."""

    def __init__(self, density: Symmetrised) -> None:
        super().__init__()
        self.density = density

    def forward(self, states: Tensor, context: Tensor | None) -> Tensor:
        return self.density.log_prob(states, context)


class LogLikelihood:
    """The log-likelihood of microstates as a function of the weights, for programs of a user's own.

    It counts as many microstates as the data are worth, so that autocorrelated ones widen the posterior.
    """

    def __init__(self, density: Symmetrised, rows: Sample, worth: float) -> None:
        self._density, self._rows, self._worth = _LogProb(density), rows, worth

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def __call__(self, weights: Mapping[str, Tensor], rows: Tensor | None = None) -> Tensor:
        """The value at weights by name, all of them; from some of the `rows`, by index, an unbiased estimate."""
        states, context, weight = self._rows.rows(slice(None) if rows is None else rows)
        named = {f"density.{name}": value for name, value in weights.items()}
        found = torch.func.functional_call(self._density, named, (states, context), strict=False)
        return self._worth * (found if weight is None else found * weight).mean()


def weights_of(density: Symmetrised) -> dict[str, Tensor]:
    """What is learned of a density, by name, apart from it."""
    return {name: value.detach().clone() for name, value in density.named_parameters()}


def model_of(likelihood: LogLikelihood, start: Mapping[str, Tensor], scales: Mapping[str, float]) -> Callable[..., None]:
    """The Pyro model with normal priors around zero; an argument `subsample` makes it look at so many rows at random."""

    def model(subsample: int | None = None) -> None:
        weights = {}
        for name, value in start.items():
            prior = distributions.Normal(torch.zeros(()), torch.tensor(scales[name])).expand(value.shape).to_event(value.dim())
            weights[name] = pyro.sample(name, prior)
        rows = None
        if subsample is not None:
            with pyro.plate("microstates", len(likelihood), subsample_size=subsample) as rows:
                pass
        pyro.factor("likelihood", likelihood(weights, rows))

    return model


def guide_of(model: Callable[..., None], start: Mapping[str, Tensor]) -> Any:
    """Independent normal weights around where they start."""
    return AutoNormal(model, init_loc_fn=init_to_value(values=dict(start)), init_scale=_NARROW)
