"""Causal self-attention along the order; drawing keeps keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hamlearn.models.densities.layers import fresh, silent

HEADS = 4


class Block(nn.Module):
    """Attention and a dense layer, each added to what comes in (normalised first)."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = fresh(nn.Linear, width, 3 * width, generator=generator)
        self.mix = fresh(nn.Linear, width, width, generator=generator)
        self.wide = fresh(nn.Linear, width, 4 * width, generator=generator)
        self.narrow = fresh(nn.Linear, 4 * width, width, generator=generator)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``(batch, head, position, width / head)``."""
        q, k, v = self.qkv(self.norms[0](x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output from its input and what attention gave."""
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        return x + self.narrow(F.silu(self.wide(self.norms[1](x))))


class Transformer(nn.Module):
    """A causal transformer whose input at a position is the previous site and the drawn neighbours on the torus.

    Parameters
    ----------
    n, features, size, hidden, context, generator
        As for :class:`.made.Made`; one block per width.
    earlier : array of int (n, m)
        Positions of neighbours in the order, −1 where they come later.
    """

    earlier: Tensor
    blocks: Any

    def __init__(
        self, n: int, features: int, size: int, hidden: tuple[int, ...], context: int, generator: torch.Generator, *, earlier: np.ndarray
    ) -> None:
        super().__init__()
        self.n, self.features, width = n, features, hidden[0]
        self.enter = fresh(nn.Linear, features * (1 + earlier.shape[1]) + context, width, generator=generator)
        self.place = nn.Parameter(0.5 * torch.randn(n, width, generator=generator))
        self.blocks = nn.ModuleList([Block(width, generator) for _ in hidden])
        self.norm = nn.LayerNorm(width)
        self.out = silent(nn.Linear(width, size, device="meta").to_empty(device="cpu"))
        self.register_buffer("earlier", torch.as_tensor(np.where(earlier < 0, n, earlier)), persistent=False)

    def _inputs(self, known: Tensor, position: Tensor, context: Tensor | None) -> Tensor:
        last = torch.where(position > 0, position - 1, self.n)
        around = torch.cat([last[:, None], self.earlier[position]], 1)
        parts = [known[:, around].flatten(2)]
        if context is not None:
            parts.append(context[:, None].expand(-1, len(position), -1))
        return self.enter(torch.cat(parts, -1)) + self.place[position]

    def forward(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` of every site from encoded sites ``(batch, n, features)``."""
        known = torch.cat([encoded, torch.zeros_like(encoded[:, :1])], 1)
        x = self._inputs(known, torch.arange(self.n), context)
        for block in self.blocks:
            q, k, v = block.heads(x)
            x = block.after(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return self.out(self.norm(x))

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> _Cache:
        """Draws site by site; see :class:`.density.Sampler`."""
        return _Cache(self, batch, context, dtype)


class _Cache:
    """Keys and values of all positions so far."""

    def __init__(self, net: Transformer, batch: int, context: Tensor | None, dtype: torch.dtype) -> None:
        self.net, self.context = net, context
        self.known = torch.zeros(batch, net.n + 1, net.features, dtype=dtype)
        width = net.place.shape[1]
        self.cache = [torch.zeros(2, batch, HEADS, net.n, width // HEADS, dtype=dtype) for _ in net.blocks]
        self.output = self._step(0)

    def _step(self, position: int) -> Tensor:
        x = self.net._inputs(self.known, torch.tensor([position]), self.context)
        for block, cache in zip(self.net.blocks, self.cache, strict=True):
            q, k, v = block.heads(x)
            cache[0][:, :, position], cache[1][:, :, position] = k[:, :, 0], v[:, :, 0]
            end = position + 1
            x = block.after(x, F.scaled_dot_product_attention(q, cache[0][:, :, :end], cache[1][:, :, :end]))
        return self.net.out(self.net.norm(x[:, 0]))

    def parameters(self, position: int) -> Tensor:
        return self.output

    def push(self, position: int, encoded: Tensor) -> None:
        self.known[:, position] = encoded
        self.output = self._step(position + 1)
