"""A recurrent cell scanned along the order; drawing keeps its state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hamlearn.models.densities.layers import fresh, silent

_PLACE = 16  # numbers that tell the cell where it is


class Gru(nn.Module):
    """Gated recurrent units along the order, which also see the already drawn neighbours on the torus.

    Parameters
    ----------
    n, features, size, hidden, context, generator
        As for :class:`.made.Made`; one stacked cell per width.
    earlier : array of int (n, m)
        Positions of neighbours in the order, −1 where they come later.
    """

    earlier: Tensor

    def __init__(
        self, n: int, features: int, size: int, hidden: tuple[int, ...], context: int, generator: torch.Generator, *, earlier: np.ndarray
    ) -> None:
        super().__init__()
        self.n, self.features, self.size = n, features, size
        width = hidden[0]
        inputs = features * (1 + earlier.shape[1]) + _PLACE + context
        self.place = nn.Parameter(torch.randn(n, _PLACE, generator=generator))
        self.cell = fresh(nn.GRU, inputs, width, len(hidden), batch_first=True, generator=generator)
        self.middle = fresh(nn.Linear, width, width, generator=generator)
        self.out = silent(nn.Linear(width, size, device="meta").to_empty(device="cpu"))
        # Position n holds zeros: what lies ahead.
        self.register_buffer("earlier", torch.as_tensor(np.where(earlier < 0, n, earlier)), persistent=False)

    def _inputs(self, known: Tensor, position: Tensor, context: Tensor | None) -> Tensor:
        """Input at positions ``(k,)`` from known sites ``(batch, n + 1, features)``, the last of them zero."""
        last = torch.where(position > 0, position - 1, self.n)
        around = torch.cat([last[:, None], self.earlier[position]], 1)
        parts = [known[:, around].flatten(2), self.place[position].expand(len(known), -1, -1)]
        if context is not None:
            parts.append(context[:, None].expand(-1, len(position), -1))
        return torch.cat(parts, -1)

    def _read(self, hidden: Tensor) -> Tensor:
        return self.out(torch.nn.functional.silu(self.middle(hidden)))

    def forward(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` of every site from encoded sites ``(batch, n, features)``."""
        known = torch.cat([encoded, torch.zeros_like(encoded[:, :1])], 1)
        hidden, _ = self.cell(self._inputs(known, torch.arange(self.n), context))
        return self._read(hidden)

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> _State:
        """Draws site by site; see :class:`.density.Sampler`."""
        return _State(self, batch, context, dtype)


class _State:
    """The cell's state after the sites drawn so far."""

    def __init__(self, net: Gru, batch: int, context: Tensor | None, dtype: torch.dtype) -> None:
        self.net, self.context = net, context
        self.known = torch.zeros(batch, net.n + 1, net.features, dtype=dtype)
        self.output = self._step(0, None)

    def _step(self, position: int, state: Tensor | None) -> Tensor:
        inputs = self.net._inputs(self.known, torch.tensor([position]), self.context)
        hidden, self.state = self.net.cell(inputs, state)
        return self.net._read(hidden[:, 0])

    def parameters(self, position: int) -> Tensor:
        return self.output

    def push(self, position: int, encoded: Tensor) -> None:
        self.known[:, position] = encoded
        self.output = self._step(position + 1, self.state)
