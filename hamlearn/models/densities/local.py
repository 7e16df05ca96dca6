"""One small network for all sites of a chain, which sees the site before, the first site, and where it is."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hamlearn.models.densities.layers import fresh, silent


class Local(nn.Module):
    """Conditionals p(x_t | x_{t−1}, x_0) of a chain that is closed into a ring, or open.

    An action of nearest neighbours, S = Σ_t K(x_t, x_{t+1}) + Σ_t V_t(x_t), has exactly such conditionals: what follows x_t
    depends on x_t, and around the ring on x_0, hence p(x_t | x_<t) ∝ exp(−K(x_{t−1}, x_t) − V_t(x_t)) Z_t(x_t, x_0), with Z_t the rest
    of the ring. An open chain does not need x_0. With couplings beyond nearest neighbours the density cannot be right, however wide.

    Parameters
    ----------
    n, features, size, hidden, context, generator
        As for :class:`.made.Made`; all sites share the layers, each has a gain and a shift of its own in the first.
    positions : slice, optional
        Parameters that are positions in the space of the values. They start on the line from x_{t−1} to x_0 (where a free
        particle is expected), so that what is learned is the difference.
    """

    layers: nn.ModuleList
    ahead: Tensor

    def __init__(
        self,
        n: int,
        features: int,
        size: int,
        hidden: tuple[int, ...],
        context: int,
        generator: torch.Generator,
        *,
        positions: slice | None = None,
    ) -> None:
        super().__init__()
        self.n, self.features, self.size = n, features, size
        width = hidden[0]
        sizes = [3 * features, *hidden]
        self.layers = nn.ModuleList([fresh(nn.Linear, a, b, generator=generator) for a, b in pairwise(sizes)])
        self.out = silent(nn.Linear(width, size, device="meta").to_empty(device="cpu"))
        # Straight from the inputs to the parameters: what a harmonic potential needs.
        self.skip = silent(nn.Linear(3 * features, size, bias=False, device="meta").to_empty(device="cpu"))
        if positions is not None:
            with torch.no_grad():
                self.skip.weight[positions, 2 * features] = 1.0
        self.gain = nn.Parameter(torch.zeros(n, width))
        # Sites start different, in the order of their distance to the end, which is what the exact conditional depends on.
        near = torch.exp(-torch.arange(n, 0, -1) / 4.0)[:, None]
        self.shift = nn.Parameter(near * torch.randn(1, width, generator=generator))
        self.first = nn.Parameter(torch.zeros(size))
        self.context = fresh(nn.Linear, context, width, generator=generator) if context else None
        # Links from x_{t−1} around to x_0: n − t + 1
        self.register_buffer("ahead", 1 / torch.arange(n + 1, 1, -1.0)[:, None], persistent=False)

    def forward(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` of every site from encoded sites ``(batch, n, features)``."""
        begin = self._begin(encoded[:, :1], context)
        if self.n == 1:
            return begin
        start = encoded[:, :1].expand(-1, self.n - 1, -1)
        rows = slice(1, self.n)
        return torch.cat([begin, self._read(self._inputs(encoded[:, :-1], start, rows), rows, context)], 1)

    def _begin(self, like: Tensor, context: Tensor | None) -> Tensor:
        """Parameters of the first site, which has nothing before it."""
        return self.first + self._read(torch.zeros_like(like).repeat(1, 1, 3), slice(0, 1), context)

    def _inputs(self, before: Tensor, start: Tensor, rows: slice) -> Tensor:
        """What sites `rows` are told: x_{t−1}, x_0, and the point between them where a free particle is expected."""
        return torch.cat([before, start, before + (start - before) * self.ahead[rows]], -1)

    def _read(self, inputs: Tensor, rows: slice, context: Tensor | None) -> Tensor:
        x = self.layers[0](inputs) * (1 + self.gain[rows]) + self.shift[rows]
        if self.context is not None and context is not None:
            x = x + self.context(context)[:, None]
        x = F.silu(x)
        for layer in self.layers[1:]:
            x = x + F.silu(layer(x))
        return self.out(x) + self.skip(inputs)

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> _Walk:
        """Draws site by site; see :class:`.density.Sampler`."""
        return _Walk(self, batch, context, dtype)


class _Walk:
    """The first site and the last one drawn."""

    def __init__(self, net: Local, batch: int, context: Tensor | None, dtype: torch.dtype) -> None:
        self.net, self.context = net, context
        self.before = self.start = torch.zeros(batch, 1, net.features, dtype=dtype)

    def parameters(self, position: int) -> Tensor:
        if position == 0:
            return self.net._begin(self.start, self.context)[:, 0]
        rows = slice(position, position + 1)
        return self.net._read(self.net._inputs(self.before, self.start, rows), rows, self.context)[:, 0]

    def push(self, position: int, encoded: Tensor) -> None:
        self.before = encoded[:, None]
        if position == 0:
            self.start = self.before
