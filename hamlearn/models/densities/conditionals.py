"""What a site is drawn from, given the sites before it: parameters → log-probability, sample, mean, support.

Networks emit numbers, conditionals give them a meaning. Values are indices (0 … q−1; spins: 0 down, 1 up) in discrete
spaces and real numbers otherwise. This file has the discrete ones, :mod:`.mixtures` the continuous ones.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Conditional(Protocol):
    """One family of distributions of one site.

    Attributes
    ----------
    size : int
        Parameters per site: the last axis of `parameters` below.
    features : int
        Numbers that a value is shown to the network as.
    support : tuple of float
        Smallest and largest value.
    """

    size: int
    features: int
    support: tuple[float, float]

    def encode(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """Values ``(...)`` as the network sees them, ``(..., features)``, of order one and zero on average."""
        ...

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log-probability (density) of values ``(...)`` under parameters ``(..., size)``."""
        ...

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A value for every row of parameters ``(..., size)``."""
        ...

    def mean(self, parameters: Tensor) -> Tensor:
        """Expected value (of :meth:`encode`'s first feature for spins, of the index for states)."""
        ...


class Bernoulli:
    """±1 spins by the log odds of being up."""

    size = 1
    features = 1
    support = (0.0, 1.0)

    def encode(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """±1."""
        return (2 * values.to(dtype) - 1).unsqueeze(-1)

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log σ(±logit), without cancellation at either end."""
        return F.logsigmoid(parameters[..., 0] * (2 * values - 1).to(parameters.dtype))

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """1 (up) with probability σ(logit)."""
        uniform = torch.rand(parameters.shape[:-1], generator=generator, dtype=parameters.dtype)
        return (uniform < torch.sigmoid(parameters[..., 0])).long()

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean spin."""
        return torch.tanh(parameters[..., 0] / 2)


class Categorical:
    """States 0 … q−1 by logits."""

    def __init__(self, q: int) -> None:
        self.size = self.features = q
        self.support = (0.0, q - 1.0)

    def encode(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """One-hot, centred."""
        # Not F.one_hot, which looks at the values and so cannot be mapped over rows (posteriors of weights are).
        return (values.long()[..., None] == torch.arange(self.size, device=values.device)).to(dtype) - 1 / self.size

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log softmax."""
        return F.log_softmax(parameters, -1).gather(-1, values.long().unsqueeze(-1)).squeeze(-1)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """The state whose logit plus Gumbel noise is largest."""
        uniform = torch.rand(parameters.shape, generator=generator, dtype=parameters.dtype).clamp_min(1e-38)
        return (parameters - torch.log(-torch.log(uniform))).argmax(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean index."""
        return F.softmax(parameters, -1) @ torch.arange(self.size, dtype=parameters.dtype)
