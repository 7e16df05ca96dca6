"""Conditionals of angles and reals: mixtures with learned weights.

Parameters of a mixture of K components are K logits of weights, K positions and K widths.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from hamlearn.spaces import ANGLES, TURN


def _pick(parameters: Tensor, parts: int, generator: torch.Generator) -> list[Tensor]:
    """The parameters of one component per row, drawn by its weight."""
    groups = parameters.unflatten(-1, (parts, -1)).unbind(-2)
    uniform = torch.rand(groups[0].shape, generator=generator, dtype=parameters.dtype).clamp_min(1e-38)
    chosen = (groups[0] - torch.log(-torch.log(uniform))).argmax(-1, keepdim=True)
    return [group.gather(-1, chosen).squeeze(-1) for group in groups[1:]]


class GaussianMixture:
    """Reals: Σ_k w_k N(x | μ_k, s_k²), after a common shift and scale of all sites."""

    features = 1
    support = (-math.inf, math.inf)

    def __init__(self, components: int) -> None:
        self.size = 3 * components
        # Components that start apart do not have to be told apart by rounding errors.
        self.spread = torch.linspace(-1.0, 1.0, components) if components > 1 else torch.zeros(1)

    def encode(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """The value itself."""
        return values.to(dtype).unsqueeze(-1)

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, means, widths = parameters.unflatten(-1, (3, -1)).unbind(-2)
        return F.log_softmax(logits, -1), means + self.spread.to(means.dtype), widths

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log density."""
        weights, means, widths = self._parts(parameters)
        z = (values.to(means.dtype).unsqueeze(-1) - means) * torch.exp(-widths)
        return torch.logsumexp(weights - z**2 / 2 - widths, -1) - math.log(TURN) / 2

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A component by its weight, then a normal."""
        weights, means, widths = self._parts(parameters)
        mean, width = _pick(torch.cat([weights, means, widths], -1), 3, generator)
        return mean + torch.exp(width) * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)

    def mean(self, parameters: Tensor) -> Tensor:
        """Σ w μ."""
        weights, means, _ = self._parts(parameters)
        return (weights.exp() * means).sum(-1)


class LogisticMixture(GaussianMixture):
    """Reals: Σ_k w_k sech²((x − μ_k)/2s_k)/4s_k, with exponential tails where a Gaussian's fall faster."""

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log density."""
        weights, means, widths = self._parts(parameters)
        z = (values.to(means.dtype).unsqueeze(-1) - means) * torch.exp(-widths)
        return torch.logsumexp(weights + F.logsigmoid(z) + F.logsigmoid(-z) - widths, -1)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A component by its weight, then the log odds of a uniform number."""
        weights, means, widths = self._parts(parameters)
        mean, width = _pick(torch.cat([weights, means, widths], -1), 3, generator)
        uniform = torch.rand(mean.shape, generator=generator, dtype=torch.float64).clamp(1e-16, 1 - 1e-16)
        return mean + torch.exp(width) * torch.logit(uniform).to(mean.dtype)


class VonMisesMixture:
    """Angles: Σ_k w_k exp(κ_k cos(φ − μ_k)) / 2πI₀(κ_k), periodic; (κ cos μ, κ sin μ) is what the network emits."""

    features = 4
    support = (0.0, TURN)

    def __init__(self, components: int) -> None:
        self.size = 3 * components
        around = TURN * torch.arange(components) / components
        self.start = torch.stack([torch.cos(around), torch.sin(around)]) if components > 1 else torch.zeros(2, 1)

    def encode(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """Two harmonics."""
        values = values.to(dtype)
        return torch.stack([torch.cos(values), torch.sin(values), torch.cos(2 * values), torch.sin(2 * values)], -1)

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, x, y = parameters.unflatten(-1, (3, -1)).unbind(-2)
        start = self.start.to(x.dtype)
        return F.log_softmax(logits, -1), x + start[0], y + start[1]

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log density; I₀ in its scaled form, which does not overflow."""
        weights, x, y = self._parts(parameters)
        kappa = torch.sqrt(x**2 + y**2 + 1e-12)
        values = values.to(x.dtype).unsqueeze(-1)
        terms = x * torch.cos(values) + y * torch.sin(values) - kappa - torch.log(torch.special.i0e(kappa))
        return torch.logsumexp(weights + terms, -1) - math.log(TURN)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """Rejection from a wrapped Cauchy (Best and Fisher, Applied Statistics 28, 152 (1979)); about 1.5 tries."""
        weights, x, y = self._parts(parameters)
        x, y = _pick(torch.cat([weights, x, y], -1), 3, generator)
        mean, kappa = torch.atan2(y, x), torch.sqrt(x**2 + y**2).double().clamp_min(1e-6)
        tau = 1 + torch.sqrt(1 + 4 * kappa**2)
        rho = (tau - torch.sqrt(2 * tau)) / (2 * kappa)
        # ρ → 0 cancels for small κ: there the series is exact to double precision.
        r = torch.where(kappa < 1e-4, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
        offset, left = torch.zeros_like(kappa), torch.ones_like(kappa, dtype=torch.bool)
        while bool(left.any()):
            u = torch.rand((3, *kappa.shape), generator=generator, dtype=kappa.dtype)
            z = torch.cos(math.pi * u[0])
            f = (1 + r * z) / (r + z)
            c = kappa * (r - f)
            accept = left & ((c * (2 - c) > u[1]) | (torch.log(c / u[1]) + 1 - c >= 0))
            angle = torch.sign(u[2] - 0.5) * torch.acos(f.clamp(-1, 1))
            offset = torch.where(accept, angle, offset)
            left = left & ~accept
        return cast(Tensor, ANGLES.wrap(mean + offset.to(mean.dtype)))

    def mean(self, parameters: Tensor) -> Tensor:
        """Circular mean."""
        weights, x, y = self._parts(parameters)
        kappa = torch.sqrt(x**2 + y**2 + 1e-12)
        ratio = weights.exp() * torch.special.i1e(kappa) / torch.special.i0e(kappa) / kappa
        return torch.remainder(torch.atan2((ratio * y).sum(-1), (ratio * x).sum(-1)), TURN)


class BetaMixture:
    """Angles as φ/2π in [0, 1): Σ_k w_k Beta(a_k, b_k). Not periodic: the density has a seam at φ = 0."""

    features = 4
    support = (0.0, TURN)

    def __init__(self, components: int = 1) -> None:
        self.size = 3 * components
        self.start = torch.linspace(-1.0, 1.0, components) if components > 1 else torch.zeros(1)

    encode = VonMisesMixture.encode

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, a, b = parameters.unflatten(-1, (3, -1)).unbind(-2)
        start = self.start.to(a.dtype)
        return F.log_softmax(logits, -1), F.softplus(a + start + 0.5413) + 1e-3, F.softplus(b - start + 0.5413) + 1e-3

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log density with respect to φ."""
        weights, a, b = self._parts(parameters)
        tiny = torch.finfo(a.dtype).eps
        s = (values.to(a.dtype) / TURN).clamp(tiny, 1 - tiny).unsqueeze(-1)
        terms = (a - 1) * torch.log(s) + (b - 1) * torch.log1p(-s) + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
        return torch.logsumexp(weights + terms, -1) - math.log(TURN)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A ratio of gamma variates."""
        weights, a, b = self._parts(parameters)
        a, b = _pick(torch.cat([weights, a, b], -1), 3, generator)
        x, y = (torch._standard_gamma(one.double(), generator=generator) for one in (a, b))
        angle = (TURN * x / (x + y).clamp_min(1e-300)).to(a.dtype)
        return torch.where(angle >= TURN, torch.zeros_like(angle), angle)

    def mean(self, parameters: Tensor) -> Tensor:
        """2π Σ w a/(a + b)."""
        weights, a, b = self._parts(parameters)
        return TURN * (weights.exp() * a / (a + b)).sum(-1)
