"""Masked dense layers: every hidden unit has a degree, and sees inputs up to it only.

Source: Germain et al., *MADE: masked autoencoder for distribution estimation*, ICML 2015. Units are sorted by degree, so
that drawing a microstate costs one forward pass in all: a unit is computed once, when the last site it sees is known.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hamlearn.models.densities.layers import fresh, silent


class Made(nn.Module):
    """Residual masked dense network along the order of drawing.

    Parameters
    ----------
    n : int
        Sites.
    features, size : int
        Numbers per site in and out.
    hidden : tuple of int
        Equal widths of the layers.
    context : int
        Numbers that every output may depend on (temperature).
    generator : torch.Generator
        Source of the initial weights.
    """

    layers: Any
    context: Any

    def __init__(self, n: int, features: int, size: int, hidden: tuple[int, ...], context: int, generator: torch.Generator) -> None:
        super().__init__()
        width = hidden[0]
        self.n, self.features, self.size, self.width = n, features, size, width
        # Degree d sees the first d sites; degrees are spread evenly over 1 … n−1 (0: a lone site has nothing to see).
        degree = torch.linspace(1, max(n - 1, 1), width).round().long() if n > 1 else torch.zeros(width, dtype=torch.long)
        inputs = torch.arange(1, n + 1).repeat_interleave(features)
        outputs = torch.arange(n).repeat_interleave(size)
        masks = [degree[:, None] >= inputs, *([degree[:, None] >= degree] * (len(hidden) - 1)), outputs[:, None] >= degree]
        self.layers = nn.ModuleList([fresh(nn.Linear, mask.shape[1], mask.shape[0], generator=generator) for mask in masks])
        self.context = nn.ModuleList([fresh(nn.Linear, context, width, generator=generator) for _ in hidden]) if context else None
        for index, mask in enumerate(masks):
            self.register_buffer(f"mask{index}", mask.float(), persistent=False)
            with torch.no_grad():
                # Inputs per unit are what the mask leaves: scale by it, not by the width.
                self.layers[index].weight.mul_((mask.shape[1] / mask.sum(1, keepdim=True).clamp_min(1)).sqrt())
        silent(self.layers[-1])
        # ends[d]: units of degree below d
        self.ends = [int((degree < d).sum()) for d in range(n + 2)]

    def weights(self) -> list[Tensor]:
        """Weights of all layers with what the masks forbid set to zero."""
        return [layer.weight * getattr(self, f"mask{index}") for index, layer in enumerate(self.layers)]

    def forward(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` of every site from encoded sites ``(batch, n, features)``."""
        *inner, last = self.weights()
        x = encoded.flatten(1)
        hidden = torch.zeros((), dtype=x.dtype)
        for index, weight in enumerate(inner):
            x = F.linear(x, weight, self.layers[index].bias)
            if self.context is not None and context is not None:
                x = x + self.context[index](context)
            x = hidden = hidden + F.silu(x)
        return F.linear(hidden, last, self.layers[-1].bias).unflatten(-1, (self.n, self.size))

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> _Frontier:
        """Draws site by site; see :class:`.density.Sampler`."""
        return _Frontier(self, batch, context, dtype)


class _Frontier:
    """Hidden units that are already determined by the sites drawn so far."""

    def __init__(self, net: Made, batch: int, context: Tensor | None, dtype: torch.dtype) -> None:
        *self.inner, self.last = net.weights()
        self.net = net
        self.biases = [layer.bias for layer in net.layers]
        self.shifts = [None if net.context is None or context is None else one(context) for one in net.context or [None] * len(self.inner)]
        self.x = torch.zeros(batch, net.n * net.features, dtype=dtype)
        self.hidden = [torch.zeros(batch, net.width, dtype=dtype) for _ in self.inner]
        if net.n == 1:
            self._complete(0, net.width, 0)

    def parameters(self, position: int) -> Tensor:
        rows = slice(position * self.net.size, (position + 1) * self.net.size)
        end = self.net.ends[position + 1]
        return F.linear(self.hidden[-1][:, :end], self.last[rows, :end], self.biases[-1][rows])

    def push(self, position: int, encoded: Tensor) -> None:
        features = self.net.features
        self.x[:, position * features : (position + 1) * features] = encoded
        start, end = self.net.ends[position + 1 : position + 3]
        if start < end:
            self._complete(start, end, (position + 1) * features)

    def _complete(self, start: int, end: int, seen: int) -> None:
        """Units `start` … `end` of every layer, which see the first `seen` inputs."""
        below, previous = self.x[:, :seen], None
        for index, weight in enumerate(self.inner):
            out = F.linear(below, weight[start:end, : below.shape[1]], self.biases[index][start:end])
            shift = self.shifts[index]
            out = F.silu(out if shift is None else out + shift[:, start:end])
            out = out if previous is None else out + previous
            self.hidden[index][:, start:end] = out
            previous, below = out, self.hidden[index][:, :end]
