"""What every normalised density shares: flat sites in an order, standardised reals, averages over symmetries."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from hamlearn.spaces import Space

_CHUNK = 1 << 20  # sites evaluated at once: bounds the memory of evaluation
FORBIDDEN = -1e8  # log-probabilities below it are of states that a conserved charge forbids


class Symmetrised(nn.Module):
    """A density in the order of its sites, averaged over permutations of sites and over the sign (of reals, or of angles).

    A subclass has a parameter ``linear`` (its Gaussian or pair part, which learns faster; may be None) and the methods
    :meth:`ordered_log_prob`, :meth:`draw` and :meth:`complete`.

    Parameters
    ----------
    order : array of int (n,)
        Flat sites in the density's own order.
    space : Space
        Of the values.
    group : array of int (elements, n)
        Site permutations to average over.
    mirror : bool
        Average over the sign of reals, or of angles (φ and 2π − φ).
    per_site : int
        Numbers computed per site, which bound the memory of an evaluation.
    """

    order: Tensor
    inverse: Tensor
    group: Tensor
    location: Tensor
    scale: Tensor
    linear: nn.Parameter | None
    ups: int | None = None
    path_wise: bool = False  # whether draws are differentiable with respect to the weights

    def __init__(self, order: np.ndarray, space: Space, group: np.ndarray, *, mirror: bool, per_site: int) -> None:
        super().__init__()
        self.n, self.space, self.mirror, self.per_site = len(order), space, mirror, per_site
        self.register_buffer("order", torch.as_tensor(np.array(order)), persistent=False)
        self.register_buffer("inverse", torch.as_tensor(np.argsort(order, kind="stable")), persistent=False)
        self.register_buffer("group", torch.as_tensor(np.array(group)), persistent=False)
        self.register_buffer("location", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.location.dtype

    # -- of each density -----------------------------------------------------------------------------------------------

    def ordered_log_prob(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Log-probability ``(batch,)`` of values ``(batch, n)`` in the density's order, without the averages."""
        raise NotImplementedError

    def draw(self, count: int, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Values ``(count, n)`` in the density's order, without the averages' random element."""
        raise NotImplementedError

    def complete(self, prefix: Tensor, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Values ``(batch, n)`` in the order whose first sites are `prefix` ``(batch, k)``, the rest drawn."""
        raise NotImplementedError

    def standardise(self, states: np.ndarray) -> None:
        """Take shift and scale of reals from training data ``(rows, n)``: networks see numbers of order one."""
        if self.space.unbounded:
            self.location.fill_(0.0 if self.mirror else float(states.mean()))
            self.scale.fill_(max(float(states.std()), 1e-12))

    # -- what is meant: microstates as flat sites ----------------------------------------------------------------------

    def prepared(self, states: Tensor) -> Tensor:
        """Flat states ``(batch, n)`` (indices, angles or reals) in the density's order, reals standardised."""
        values = states[:, self.order]
        return (values - self.location) / self.scale if self.space.unbounded else values

    def restored(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Flat states from values in the density's order, under a random element of the averages; differentiable."""
        states = values * self.scale + self.location if self.space.unbounded else values
        states = states[:, self.inverse]
        if len(self.group) > 1:
            states = states.gather(1, self.group[torch.randint(len(self.group), (len(values),), generator=generator)])
        if self.mirror:
            states = torch.where(torch.randint(2, (len(values), 1), generator=generator) > 0, states, self.mirrored(states))
        return states

    def mirrored(self, states: Tensor) -> Tensor:
        """Reals of the other sign, or angles turned the other way, in [0, 2π)."""
        return self.space.wrap(-states)

    def log_prob(self, states: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density ``(batch,)`` of flat states ``(batch, n)``: averaged over the group, differentiable."""
        parts = []
        for element in self.group:
            parts.append(self.ordered_log_prob(self.prepared(states[:, element]), context))
            if self.mirror:
                parts.append(self.ordered_log_prob(self.prepared(self.mirrored(states[:, element])), context))
        result = torch.logsumexp(torch.stack(parts), 0) - math.log(len(parts)) if len(parts) > 1 else parts[0]
        result = result - self.n * torch.log(self.scale) if self.space.unbounded else result
        return torch.where(result < FORBIDDEN, -torch.inf, result) if self.ups is not None else result

    def loss(self, states: Tensor, context: Tensor | None, generator: torch.Generator | None, group: Tensor | None = None) -> Tensor:
        """−ln p ``(batch,)`` under one random element of a group (its own) per state: above the averaged −ln p in the mean."""
        group = self.group if group is None else group
        if generator is not None and len(group) > 1:
            chosen = torch.randint(len(group), (len(states),), generator=generator)
            states = states.gather(1, group[chosen])
        if generator is not None and self.mirror:
            states = torch.where(torch.randint(2, (len(states), 1), generator=generator) > 0, states, self.mirrored(states))
        constant = self.n * torch.log(self.scale) if self.space.unbounded else 0.0
        return constant - self.ordered_log_prob(self.prepared(states), context)

    @torch.no_grad()
    def evaluate(self, states: Tensor, context: Tensor | None = None) -> np.ndarray:
        """Log-densities as NumPy, in pieces that bound the memory."""
        size = max(1, _CHUNK // (self.n * self.per_site))
        pieces = [
            self.log_prob(states[i : i + size], None if context is None else context[i : i + size]) for i in range(0, len(states), size)
        ]
        return torch.cat(pieces).double().numpy() if pieces else np.zeros(0)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, context: Tensor | None = None, *, base: bool = False) -> Tensor:
        """Flat states ``(count, n)``; with `base` in the density's order and without the averages' random element."""
        values = self.draw(count, generator, context)
        return values if base else self.restored(values, generator)
