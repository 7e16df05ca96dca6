"""Normalising flows of real fields: Pyro's transforms on a correlated Gaussian, with networks of this library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from pyro.distributions.transforms import AffineAutoregressive, AffineCoupling, SplineAutoregressive, SplineCoupling
from torch import Tensor, nn

from hamlearn.errors import HamlearnError
from hamlearn.models.densities.continuous import ContinuousFlow
from hamlearn.models.densities.layers import fresh, silent
from hamlearn.models.densities.made import Made
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.models.densities.symmetry import permutations
from hamlearn.models.flow import Flow
from hamlearn.spaces import REALS
from hamlearn.systems.base import Space

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SLOPE = math.log(math.expm1(1 - 1e-3))  # softplus of it, plus the spline's smallest slope 1e-3, is slope 1


class Dense(nn.Module):
    """Numbers ``(batch, changed, size)`` of the changed sites from values of the kept ones ``(batch, kept)`` and a context."""

    layers: Any

    def __init__(self, kept: int, changed: int, size: int, hidden: tuple[int, ...], context: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size = size
        widths = (kept + context, *hidden)
        layers = [fresh(nn.Linear, a, b, generator=generator) for a, b in pairwise(widths)]
        self.layers = nn.ModuleList([*layers, silent(fresh(nn.Linear, widths[-1], changed * size, generator=generator))])

    def forward(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """See the class."""
        values = values if context is None else torch.cat([values, context.to(values.dtype)], 1)
        for layer in self.layers[:-1]:
            values = nn.functional.silu(layer(values))
        return self.layers[-1](values).unflatten(-1, (-1, self.size))


class Convolution(nn.Module):
    """The same from circular convolutions over the lattice, the changed sites shown as zero."""

    layers: Any
    kept: Tensor
    changed: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        kept: np.ndarray,
        changed: np.ndarray,
        size: int,
        hidden: tuple[int, ...],
        context: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.shape, widths = shape, (2 + context, *hidden, size)
        kind = _CONVOLUTIONS[len(shape) - 1]
        layer = lambda a, b: fresh(kind, a, b, 3, padding=1, padding_mode="circular", generator=generator)
        self.layers = nn.ModuleList([layer(a, b) for a, b in pairwise(widths)])
        silent(self.layers[-1])
        self.register_buffer("kept", torch.as_tensor(kept), persistent=False)
        self.register_buffer("changed", torch.as_tensor(changed), persistent=False)

    def forward(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """See the class."""
        flat = values.new_zeros(len(values), 2, math.prod(self.shape))
        # The second channel says which sites are known.
        flat[:, 0, self.kept], flat[:, 1, self.kept] = values, 1.0
        if context is not None:
            flat = torch.cat([flat, context.to(flat.dtype).unsqueeze(-1).expand(-1, -1, flat.shape[-1])], 1)
        x = flat.unflatten(-1, self.shape)
        for layer in self.layers[:-1]:
            x = nn.functional.silu(layer(x))
        return self.layers[-1](x).flatten(2)[:, :, self.changed].transpose(1, 2)


class Hypernetwork(nn.Module):
    """A network's numbers as Pyro's transforms read them: a tuple ``(batch, parameters, sites)``; zero is the identity."""

    def __init__(self, network: nn.Module, parts: Sequence[int], sites: int) -> None:
        super().__init__()
        self.network, self.parts, self.sites = network, list(parts), sites
        self.permutation = torch.arange(sites)  # in which order an autoregressive transform is inverted
        self.context: Tensor | None = None  # Pyro passes values only: the flow leaves the context here while it moves them

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        """Shift and log factor ``(batch, sites)``, or widths, heights, slopes and shapes ``(batch, ·, sites)`` of splines."""
        found = self.network(values, self.context)
        if len(self.parts) == 2:
            return found[..., 0], found[..., 1]
        widths, heights, slopes, shapes = found.transpose(1, 2).split(self.parts, 1)
        return widths, heights, slopes + _SLOPE, shapes


class Sitewise(nn.Module):
    """:class:`.made.Made` for one number per site."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.made = Made(*arguments)

    def forward(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """Numbers ``(batch, n, size)`` from values ``(batch, n)``."""
        # Pyro starts its inversion from zeros in single precision.
        dtype = self.made.layers[0].weight.dtype
        return self.made(values.to(dtype).unsqueeze(-1), None if context is None else context.to(dtype))


class FlowDensity(Symmetrised):
    """ln p(x) = ln N(z | 0, LLᵀ) − Σ ln|det| of the transforms from z to x.

    Parameters
    ----------
    transforms : sequence of Transform
        Pyro's, acting on ``(batch, n)``.
    permutation : array of int (layers, n)
        Which site stands where in each layer.
    backwards : bool
        The transforms lead from x to z: evaluation is the fast direction.
    networks : sequence of Hypernetwork
        Those of the transforms, which are told the context.
    context : int
        Numbers (functions of β) that the density depends on: the networks see them, and the Gaussian's widths are
        exponentials of what is linear in them.
    """

    linear: nn.Parameter
    transforms: Any
    permutation: Tensor
    path_wise = True

    def __init__(
        self,
        transforms: Sequence[Any],
        permutation: np.ndarray,
        group: np.ndarray,
        *,
        mirror: bool,
        backwards: bool,
        per_site: int,
        networks: Sequence[Hypernetwork] = (),
        context: int = 0,
    ) -> None:
        n = permutation.shape[1]
        super().__init__(np.arange(n), REALS, group, mirror=mirror, per_site=per_site)
        self.backwards, self.networks = backwards, tuple(networks)
        # The Gaussian's triangular factor L: below the diagonal its entries, on it their logarithms.
        self.linear = nn.Parameter(torch.zeros(n, n))
        self.widening = nn.Parameter(torch.zeros(context, n)) if context else None
        self.transforms = nn.ModuleList(transforms)
        self.register_buffer("permutation", torch.as_tensor(permutation), persistent=False)

    def factor(self) -> Tensor:
        """The Gaussian's lower triangular factor L, its diagonal positive."""
        return self.linear.tril(-1) + torch.diag(torch.exp(self.linear.diagonal()))

    def standardise(self, states: np.ndarray) -> None:
        """Start from the Gaussian of the training data: their mean, scale and (shrunken) correlations."""
        super().standardise(states)
        values = (states - float(self.location)) / float(self.scale)
        rows, n = values.shape
        centre = 0.0 if self.mirror else values.mean(0)
        covariance = (values - centre).T @ (values - centre) / rows
        # A covariance of few rows is shrunk to its diagonal: n + rows numbers of information against n per row.
        share = n / (n + rows)
        covariance = (1 - share) * covariance + share * np.diag(covariance.diagonal().clip(1e-12))
        lower = np.linalg.cholesky(covariance)
        with torch.no_grad():
            self.linear.copy_(torch.as_tensor(np.tril(lower, -1) + np.diag(np.log(lower.diagonal()))))

    def transported(self, values: Tensor, outwards: bool, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values moved from the Gaussian to the field (`outwards`) or back, and ln|det| of that map, ``(batch,)``."""
        total: Any = values.new_zeros(len(values))
        layers = list(zip(self.transforms, self.permutation, strict=True))
        try:
            for network in self.networks:
                network.context = context
            for transform, permutation in layers if outwards else reversed(layers):
                source = values[:, permutation]
                # An object passed twice would meet what the transform remembers of it from older weights: `source` is new.
                if outwards != self.backwards:
                    target = transform(source)
                    total = total + transform.log_abs_det_jacobian(source, target)
                else:
                    target = transform.inv(source)
                    total = total - transform.log_abs_det_jacobian(target, source)
                values = target[:, torch.argsort(permutation)]
        finally:
            for network in self.networks:
                network.context = None
        return values, total

    def _widths(self, context: Tensor | None) -> Tensor:
        """Logarithms of the noise's widths, ``(batch, n)`` or zero."""
        return torch.zeros((), dtype=self.dtype) if self.widening is None or context is None else context.to(self.dtype) @ self.widening

    def ordered_log_prob(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density ``(batch,)`` of standardised values ``(batch, n)``, without the averages."""
        latent, log_det = self.transported(values, outwards=False, context=context)
        widths = self._widths(context)
        noise = torch.linalg.solve_triangular(self.factor(), latent.T, upper=False).T * torch.exp(-widths)
        normal = -0.5 * (noise**2).sum(-1) - self.linear.diagonal().sum() - widths.sum(-1) - self.n / 2 * math.log(2 * math.pi)
        return normal + log_det

    def draw(self, count: int, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Standardised values ``(count, n)``, differentiable with respect to all weights."""
        noise = torch.randn(count, self.n, generator=generator, dtype=self.dtype) * torch.exp(self._widths(context))
        return self.transported(noise @ self.factor().T, outwards=True, context=context)[0]

    def complete(self, prefix: Tensor, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Not of a flow: its sites are drawn together."""
        raise HamlearnError("a flow draws all sites together and cannot complete a part of them; use method='independence'.")


def build_flow(model: Flow, space: Space, shape: tuple[int, ...], seed: int = 0) -> FlowDensity | ContinuousFlow:
    """The density of a flow on sites of `shape`, with fresh weights: a standard normal.

    Raises
    ------
    HamlearnError
        If the space is not that of real numbers, or the sites do not go with the network.
    """
    if not space.unbounded:
        raise HamlearnError(f"Flow is a density of reals; the microstates are {space.name}. Use hl.models.Autoregressive(...).")
    n = math.prod(shape)
    if n < 2:
        raise HamlearnError("a flow needs at least two sites; use hl.models.Autoregressive(...).")
    if model.network == "convolution" and (len(shape) > 3 or min(shape) < 2):
        raise HamlearnError(f"network='convolution' needs one to three site axes of at least two sites; got {shape}. Use 'dense'.")
    context = 2 if model.condition == "beta" else 0
    if model.transform == "continuous":
        sines, times = model.hidden
        return ContinuousFlow(shape, model.layers, sines, times, context)
    generator = torch.Generator().manual_seed(seed)
    networks = []
    k = model.bins
    parts = (1, 1) if model.transform == "affine" else (k, k, k - 1, k)
    size, spline = sum(parts), {"count_bins": k, "bound": model.bound}
    colour = np.indices(shape).sum(0).ravel() % 2
    transforms: list[Any] = []
    permutation = []
    for layer in range(model.layers):
        if model.structure == "autoregressive":
            # Turned around from layer to layer, so that the first site of one is the last of the next.
            permutation.append(np.arange(n)[:: 1 if layer % 2 == 0 else -1].copy())
            hyper = Hypernetwork(Sitewise(n, 1, size, model.hidden, context, generator), parts, n)
            networks.append(hyper)
            affine = model.transform == "affine"
            transforms.append(AffineAutoregressive(hyper) if affine else SplineAutoregressive(n, hyper, **spline))
            if not affine:
                del transforms[-1].arn  # its spline holds the network too: by two names, weights that are given could be half taken
            continue
        kept, changed = np.flatnonzero(colour == layer % 2), np.flatnonzero(colour != layer % 2)
        permutation.append(np.concatenate([kept, changed]))
        network: nn.Module
        if model.network == "convolution":
            network = Convolution(shape, kept, changed, size, model.hidden, context, generator)
        else:
            network = Dense(len(kept), len(changed), size, model.hidden, context, generator)
        hyper = Hypernetwork(network, parts, len(changed))
        networks.append(hyper)
        if model.transform == "affine":
            transforms.append(AffineCoupling(len(kept), hyper))
        else:
            # identity: the kept half stays as it is. Pyro makes a spline for it all the same, with weights from torch's global
            # generator: made without memory ("meta") and thrown away, it touches nothing.
            with torch.device("meta"):
                transforms.append(SplineCoupling(n, len(kept), hyper, identity=True, **spline))
            transforms[-1].lower_spline = nn.Identity()
    return FlowDensity(
        transforms,
        np.stack(permutation),
        permutations(shape, model.symmetry),
        mirror="z2" in model.symmetry,
        backwards=model.structure == "autoregressive",
        per_site=8 * size,
        networks=networks,
        context=context,
    )
