"""Gated causal convolutions on two site axes, in raster order; drawing keeps rows.

Source: van den Oord et al., *Conditional image generation with PixelCNN decoders*, NeurIPS 2016: a vertical stack that
sees the rows above, a horizontal one that sees the sites to the left. On a torus, columns of the rows above wrap around,
and two more inputs close the circles that causality leaves open: the first row (below the last one), and the
first site of the row (right of the last one).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hamlearn.models.densities.layers import fresh, silent


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def _wrapped(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 0, 0), mode="circular")


class Layer(nn.Module):
    """One gated layer of both stacks."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.vertical = fresh(nn.Conv2d, width, 2 * width, (2, 3), generator=generator)
        self.across = fresh(nn.Conv2d, 2 * width, 2 * width, 1, generator=generator)
        self.horizontal = fresh(nn.Conv2d, width, 2 * width, (1, 2), generator=generator)
        self.mix = fresh(nn.Conv2d, width, width, 1, generator=generator)


class PixelCNN(nn.Module):
    """Gated PixelCNN on an L1 × L2 torus.

    Parameters
    ----------
    shape : tuple of int
        Extents of the two site axes.
    features, size, hidden, context, generator
        As for :class:`.made.Made`; one gated layer per width. Each layer sees one row and one column further.
    """

    layers: Any
    context: Any

    def __init__(
        self, shape: tuple[int, ...], features: int, size: int, hidden: tuple[int, ...], context: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.shape, self.features, self.size, width = shape, features, size, hidden[0]
        self.width = width
        self.above = fresh(nn.Conv2d, 2 * features, width, (1, 3), generator=generator)
        self.left = fresh(nn.Conv2d, 2 * features, width, 1, generator=generator)
        self.places = nn.Parameter(0.1 * torch.randn(2, width, *shape, generator=generator))
        self.context = fresh(nn.Linear, context, 2 * width, generator=generator) if context else None
        self.layers = nn.ModuleList([Layer(width, generator) for _ in hidden])
        self.out = silent(nn.Conv2d(width, size, 1, device="meta").to_empty(device="cpu"))

    def _shifts(self, context: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        if self.context is None or context is None:
            return 0.0, 0.0
        both = self.context(context)[:, :, None, None]
        return both[:, : self.width], both[:, self.width :]

    def forward(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` of every site from encoded sites ``(batch, n, features)``."""
        x = encoded.transpose(1, 2).unflatten(-1, self.shape)
        up, aside = F.pad(x, (0, 0, 1, 0))[:, :, :-1], F.pad(x, (1, 0))[..., :-1]
        first_row = F.pad(x[:, :, :1].expand(-1, -1, self.shape[0] - 1, -1), (0, 0, 1, 0))
        first_column = F.pad(x[..., :1].expand(-1, -1, -1, self.shape[1] - 1), (1, 0))
        shift = self._shifts(context)
        v = self.above(_wrapped(torch.cat([up, first_row], 1))) + self.places[0] + shift[0]
        h = self.left(torch.cat([aside, first_column], 1)) + self.places[1] + shift[1]
        for layer in self.layers:
            raw = layer.vertical(F.pad(_wrapped(v), (0, 0, 1, 0)))
            h = h + layer.mix(_gate(layer.horizontal(F.pad(h, (1, 0))) + layer.across(raw)))
            v = v + _gate(raw)
        return self.out(F.silu(h)).flatten(2).transpose(1, 2)

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> _Rows:
        """Draws site by site; see :class:`.density.Sampler`."""
        return _Rows(self, batch, context, dtype)


class _Rows:
    """The vertical stack of the last row, and the horizontal one of the last site, at every layer."""

    def __init__(self, net: PixelCNN, batch: int, context: Tensor | None, dtype: torch.dtype) -> None:
        self.net, self.shift = net, net._shifts(context)
        rows, columns = net.shape
        self.x = torch.zeros(batch, net.features, rows, columns, dtype=dtype)
        self.v = [torch.zeros(batch, net.width, 1, columns, dtype=dtype) for _ in net.layers]
        # Weights of the horizontal stack as matrices: a site at a time, a convolution is a product.
        self.horizontal = [layer.horizontal.weight[:, :, 0] for layer in net.layers]
        self.mix = [layer.mix.weight[:, :, 0, 0] for layer in net.layers]
        self.at, self.output = -1, torch.zeros(0)

    def _row(self, row: int) -> None:
        """The vertical stack of a row whose upper rows are known."""
        net = self.net
        above = self.x[:, :, row - 1 : row] if row else torch.zeros_like(self.x[:, :, :1])
        first = self.x[:, :, :1] if row else above
        v = net.above(_wrapped(torch.cat([above, first], 1))) + net.places[0][:, row : row + 1] + self.shift[0]
        self.across = []
        for index, layer in enumerate(net.layers):
            raw = layer.vertical(_wrapped(torch.cat([self.v[index], v], 2)))
            self.v[index] = v
            self.across.append((layer.across(raw) + layer.horizontal.bias[:, None, None])[:, :, 0])
            v = v + _gate(raw)
        self.h = [torch.zeros_like(v[:, :, 0, 0]) for _ in net.layers]

    def parameters(self, position: int) -> Tensor:
        if self.at < position:
            self.at, self.output = position, self._column(position)
        return self.output

    def _column(self, position: int) -> Tensor:
        """The horizontal stack of a site, read out."""
        net = self.net
        row, column = divmod(position, net.shape[1])
        if column == 0:
            self._row(row)
            inputs = torch.zeros_like(torch.cat([self.x[:, :, 0, 0]] * 2, 1))
        else:
            inputs = torch.cat([self.x[:, :, row, column - 1], self.x[:, :, row, 0]], 1)
        shift = self.shift[1] if isinstance(self.shift[1], float) else self.shift[1][:, :, 0, 0]
        h = F.linear(inputs, net.left.weight[:, :, 0, 0], net.left.bias) + net.places[1][:, row, column] + shift
        for index, layer in enumerate(net.layers):
            before, weight = self.h[index], self.horizontal[index]
            self.h[index] = h
            total = F.linear(before, weight[:, :, 0]) + F.linear(h, weight[:, :, 1]) + self.across[index][:, :, column]
            h = h + F.linear(_gate(total), self.mix[index], layer.mix.bias)
        return F.linear(F.silu(h), net.out.weight[:, :, 0, 0], net.out.bias)

    def push(self, position: int, encoded: Tensor) -> None:
        self.parameters(position)  # a given site is not asked for its parameters, but the next one needs its stack
        row, column = divmod(position, self.net.shape[1])
        self.x[:, :, row, column] = encoded
