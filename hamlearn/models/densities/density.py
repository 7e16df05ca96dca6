"""A normalised density over microstates: an order, a network, a conditional, and the symmetries around them."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hamlearn.models.densities.conditionals import Conditional
from hamlearn.models.densities.symmetrised import FORBIDDEN, Symmetrised
from hamlearn.spaces import TURN, Space


class Sampler(Protocol):
    """A network that draws site by site and computes everything once."""

    def parameters(self, position: int) -> Tensor:
        """Parameters ``(batch, size)`` of the site at `position` of the order, all before it being known."""
        ...

    def push(self, position: int, encoded: Tensor) -> None:
        """The site at `position` was drawn: its value as ``(batch, features)``."""
        ...


class Network(Protocol):
    """A causal network: the output at a position depends on earlier positions only."""

    def __call__(self, encoded: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters ``(batch, n, size)`` from encoded sites ``(batch, n, features)`` and a context ``(batch, c)``."""
        ...

    def sampler(self, batch: int, context: Tensor | None, dtype: torch.dtype) -> Sampler:
        """A sampler of so many microstates."""
        ...


class Density(Symmetrised):
    """ln p(x) = Σ_k ln p(x_k | x_<k) over sites in an order, invariant under the symmetries that it was given.

    Parameters
    ----------
    network : Network
        Emits parameters.
    conditional : Conditional
        What the parameters mean.
    order : array of int (n,)
        Flat sites in order of drawing.
    space : Space
        Of the values.
    group : array of int (elements, n)
        Site permutations to average over.
    internal : bool
        Whether a common flip, shift or rotation of all sites leaves the density unchanged.
    mirror : bool
        Average over the sign of reals, or of angles.
    charge : int, optional
        Conserved sum of spins.
    context : int
        Numbers (functions of β) that the density depends on.
    linear : bool
        Add a masked linear map of all earlier sites to what the network emits (the part of a conditional that pair
        interactions with already drawn sites make). A network that is meant to see fewer sites goes without.
    """

    causal: Tensor
    linear: nn.Parameter | None
    network: Any

    def __init__(
        self,
        network: nn.Module,
        conditional: Conditional,
        order: np.ndarray,
        space: Space,
        group: np.ndarray,
        *,
        internal: bool = False,
        mirror: bool = False,
        charge: int | None = None,
        context: int = 0,
        linear: bool = True,
    ) -> None:
        super().__init__(order, space, group, mirror=mirror, per_site=conditional.size)
        n = len(order)
        self.internal, self.n_context = internal, context
        self.network, self.conditional = network, conditional
        self.ups = None if charge is None else (n + charge) // 2
        # (1 + context) maps from earlier sites to later ones; rows: outputs, columns: inputs, both in the order.
        shape = (1 + context, n, conditional.size, n, conditional.features)
        self.linear = nn.Parameter(torch.zeros(shape)) if linear else None
        mask = torch.ones(n, n).tril(-1)[None, :, None, :, None]
        self.register_buffer("causal", mask, persistent=False)

    # -- what is learned: the density of states in the order, turned to a fixed first site -----------------------------

    def _emit(self, values: Tensor, context: Tensor | None) -> Tensor:
        encoded = self.conditional.encode(values, self.dtype)
        if self.linear is None:
            return self.network(encoded, context)
        flat = encoded.flatten(1)
        maps = (self.linear * self.causal).reshape(len(self.linear), self.n * self.conditional.size, -1)
        linear = flat @ maps[0].T
        for index in range(1, len(maps)):
            assert context is not None
            linear = linear + context[:, index - 1, None] * (flat @ maps[index].T)
        return self.network(encoded, context) + linear.unflatten(-1, (self.n, self.conditional.size))

    def _charged(self, parameters: Tensor, before: Tensor, position: Any) -> Tensor:
        """Log odds with what `before` (ups so far) leaves: zero network output means uniform over allowed states."""
        if self.ups is None:
            return parameters
        up = (self.ups - before).to(parameters.dtype)
        down = (self.n - position) - up
        return parameters + (torch.log(up.clamp_min(0)) - torch.log(down.clamp_min(0))).clamp(-1e9, 1e9).unsqueeze(-1)

    def ordered_log_prob(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Log-probability ``(batch,)`` of values ``(batch, n)`` in the order of drawing, without the averages."""
        constant = 0.0
        if self.internal:
            values, constant = self._turned(values)
        parameters = self._emit(values, context)
        if self.ups is not None:
            before = values.cumsum(-1) - values
            parameters = self._charged(parameters, before, torch.arange(self.n))
        terms = self.conditional.log_prob(parameters, values)
        if self.ups is not None:
            # An exhausted charge leaves no choice; odds of ∞ : 0 are +1e9 here, and no state that keeps it pays.
            terms = torch.where(values.sum(-1, keepdim=True) == self.ups, terms, terms + 2 * FORBIDDEN)
        if self.internal:
            terms = terms[:, 1:]
        return terms.sum(-1) + constant

    def _turned(self, values: Tensor) -> tuple[Tensor, float]:
        """States turned so that the first site has a fixed value, and the log-probability of the turn."""
        first = values[:, :1]
        if self.space.binary:
            return (values == first).to(values.dtype), -math.log(2)
        if not self.space.continuous:
            return torch.remainder(values - first, self.conditional.size), -math.log(self.conditional.size)
        return torch.remainder(values - first, TURN), -math.log(TURN)

    def draw(self, count: int, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Values ``(count, n)`` in the order of drawing, without the averages' random element; not differentiable."""
        start = torch.zeros(count, 0, dtype=torch.long if not self.space.continuous else self.dtype)
        return self.complete(start, generator, context)

    @torch.no_grad()
    def complete(self, prefix: Tensor, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Values ``(batch, n)`` in the order of drawing whose first sites are `prefix` ``(batch, k)``, the rest drawn."""
        batch, known = prefix.shape
        values = torch.zeros(batch, self.n, dtype=prefix.dtype)
        values[:, :known] = prefix
        turn = self._random_turn(values, known, generator) if self.internal else None
        if turn is not None and known:
            values[:, :known] = self._turned(values[:, :known])[0]
        sampler = self.network.sampler(batch, context, self.dtype)
        size, features = self.conditional.size, self.conditional.features
        weights = None if self.linear is None else self.linear * self.causal
        if weights is not None and (context is None or len(weights) == 1):
            weights = weights[0]
        added = torch.zeros(batch, self.n, size, dtype=self.dtype)
        ups = torch.zeros(batch, dtype=torch.long)
        for position in range(self.n):
            if position >= known:
                if self.internal and position == 0:
                    values[:, 0] = 1 if self.space.binary else 0
                else:
                    parameters = self._charged(sampler.parameters(position) + added[:, position], ups, position)
                    values[:, position] = self.conditional.sample(parameters, generator)
            ups = ups + values[:, position].long() if self.ups is not None else ups
            if position + 1 < self.n:
                encoded = self.conditional.encode(values[:, position], self.dtype)
                sampler.push(position, encoded)
                if weights is not None:
                    added += self._linear_step(weights, position, encoded, context, size, features)
        return values if turn is None else self._turned_back(values, turn)

    def _linear_step(self, weights: Tensor, position: int, encoded: Tensor, context: Tensor | None, size: int, features: int) -> Tensor:
        """What a drawn site adds to the parameters of all later ones, ``(batch, n, size)``."""
        if weights.dim() == 4:
            return (encoded @ weights[:, :, position].reshape(-1, features).T).unflatten(-1, (self.n, size))
        assert context is not None
        parts = [(encoded @ one[:, :, position].reshape(-1, features).T).unflatten(-1, (self.n, size)) for one in weights]
        return parts[0] + sum(context[:, index, None, None] * part for index, part in enumerate(parts[1:]))

    def _random_turn(self, values: Tensor, known: int, generator: torch.Generator) -> Tensor:
        """The value of the first site: the known one, else uniform."""
        if known:
            return values[:, :1].clone()
        if self.space.continuous:
            return TURN * torch.rand(len(values), 1, generator=generator, dtype=values.dtype)
        return torch.randint(2 if self.space.binary else self.conditional.size, (len(values), 1), generator=generator)

    def _turned_back(self, values: Tensor, first: Tensor) -> Tensor:
        if self.space.binary:
            return (values == first).to(values.dtype)
        modulus = self.conditional.size if not self.space.continuous else TURN
        turned = torch.remainder(values + first, modulus)
        return self.space.wrap(turned)
