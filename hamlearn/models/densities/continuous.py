"""Continuous normalising flows of lattice fields: all sites move together along a vector field with the lattice's symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hamlearn.errors import HamlearnError
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.spaces import REALS

_FINER = 3
_SLOWEST, _FASTEST = 0.5, 4.0  # frequencies of the sines at the start, per standard deviation of the field


class ContinuousFlow(Symmetrised):
    """x(1) of dx/dt = v(x, t) from a Gaussian x(0): ln p(x(1)) = ln N(x(0)) − ∫ ∇·v dt.

    v_x = Σ_y Σ_f W_f(y − x, t) g_f(φ_y) with g_0(φ) = φ and g_f(φ) = sin(ω_f φ): odd in the field, one kernel for all sites,
    shared by displacements that the point group takes into each other. Its divergence is a sum over sites.

    Parameters
    ----------
    shape : tuple of int
        Extents of the periodic lattice.
    steps : int
        Runge–Kutta steps of fourth order in training. Once trained (weights that need no gradient) the flow is followed with
        three times as many, which makes the error of ln p some 80 times smaller: training learns to exploit a coarse integral.
    frequencies, times : int
        How many sines, and how many Legendre polynomials in t each kernel is made of.
    context : int
        Numbers (functions of β) that kernels and Gaussian are linear in.

    Notes
    -----
    Gerdes, de Haan, Rainone, Bondesan and Cheng, "Learning lattice quantum field theories with equivariant continuous flows", SciPost Phys.
    15, 238 (2023). There the Gaussian is white; here it has a learned power spectrum, so that a free field needs no flow.
    """

    linear: nn.Parameter
    orbit: Tensor
    displacement: Tensor
    path_wise = True

    def __init__(self, shape: tuple[int, ...], steps: int, frequencies: int, times: int, context: int) -> None:
        n = math.prod(shape)
        super().__init__(np.arange(n), REALS, np.arange(n)[None], mirror=False, per_site=2 * (frequencies + 1))
        self.shape, self.steps, self.times, self.n_context = shape, steps, times, context
        orbit = orbits(shape)
        self.register_buffer("orbit", torch.as_tensor(orbit), persistent=False)
        self.register_buffer("displacement", torch.as_tensor(displacements(shape)), persistent=False)
        count = int(orbit.max()) + 1
        # Logarithms of the Gaussian's mode widths, one for each orbit of wave vectors (which are those of displacements).
        self.linear = nn.Parameter(torch.zeros(1 + context, count))
        self.omega = nn.Parameter(torch.linspace(_SLOWEST, _FASTEST, frequencies))
        # Nothing moves at the start; the sines differ, so that their gradients do. The velocity of a site is a sum over all sites and
        # sines: without the gain a step of the optimiser would move it further on a larger lattice.
        self.gain = (n * (frequencies + 1)) ** -0.5
        self.kernel = nn.Parameter(torch.zeros(1 + context, times, frequencies + 1, count))

    def standardise(self, states: np.ndarray) -> None:
        """Start from the Gaussian with the power spectrum of the training data; the mean of an odd flow is zero."""
        scale = max(float(np.sqrt(np.mean(states**2))), 1e-12)
        self.location.fill_(0.0)
        self.scale.fill_(scale)
        modes = np.fft.fftn(states.reshape(-1, *self.shape) / scale, axes=range(1, 1 + len(self.shape)))
        power = (np.abs(modes) ** 2).mean(0).ravel() / self.n
        orbit = self.orbit.numpy()
        mean = np.bincount(orbit, power) / np.bincount(orbit)
        with torch.no_grad():
            self.linear.zero_()
            self.linear[0] = torch.as_tensor(np.log(mean.clip(1e-12)) / 2)

    def _factors(self, context: Tensor | None) -> Tensor:
        """What the context multiplies, ``(batch or 1, 1 + context)``."""
        if context is None or not self.n_context:
            return torch.ones(1, 1, dtype=self.dtype)
        return torch.cat([torch.ones_like(context[:, :1]), context.to(self.dtype)], 1)

    def _coloured(self, values: Tensor, log_width: Tensor) -> Tensor:
        """Values ``(batch, n)`` with every Fourier mode multiplied by a width, ``(batch or 1, n)`` logarithms."""
        axes = tuple(range(1, 1 + len(self.shape)))
        modes = torch.fft.fftn(values.unflatten(1, self.shape), dim=axes)
        return torch.fft.ifftn(modes * torch.exp(log_width).unflatten(1, self.shape), dim=axes).real.flatten(1)

    @property
    def fineness(self) -> int:
        """Integration steps that are taken now."""
        return self.steps if self.kernel.requires_grad else _FINER * self.steps

    def _kernels(self) -> Callable[[float], tuple[Tensor, Tensor]]:
        """Kernels as a function of t: as matrices ``(c, (f, y), x)``, and of no displacement ``(c, f)``."""
        kernel = self.gain * self.kernel
        whole = kernel.index_select(-1, self.orbit[self.displacement].flatten()).unflatten(-1, (self.n, self.n)).flatten(2, 3)
        own = kernel[..., int(self.orbit[0])]

        def at(t: float) -> tuple[Tensor, Tensor]:
            basis = np.polynomial.legendre.legvander(np.array([2 * t - 1]), self.times - 1)[0]
            weights = torch.as_tensor(basis, dtype=self.dtype)
            return torch.einsum("d,cdpx->cpx", weights, whole), torch.einsum("d,cdf->cf", weights, own)

        return at

    def _moved(self, values: Tensor, matrices: tuple[Tensor, Tensor], factors: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity ``(batch, n)`` of values ``(batch, n)``, and its divergence ``(batch,)``."""
        phase = self.omega[:, None] * values[:, None]
        features = torch.cat([values[:, None], torch.sin(phase)], 1).flatten(1)
        slopes = (self.omega[:, None] * torch.cos(phase)).sum(-1)
        slopes = torch.cat([torch.full_like(slopes[:, :1], self.n), slopes], 1)
        whole, own = matrices
        velocity = sum(factors[:, c, None] * (features @ whole[c]) for c in range(len(whole)))
        divergence = sum(factors[:, c] * (slopes @ own[c]) for c in range(len(own)))
        return velocity, divergence  # type: ignore[return-value]  # sums of at least one tensor

    def transported(self, values: Tensor, outwards: bool, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values moved from the Gaussian to the field (`outwards`) or back, and ln|det| of that map, ``(batch,)``."""
        factors = self._factors(context)
        total, steps = values.new_zeros(len(values)), self.fineness
        h = 1 / steps if outwards else -1 / steps
        kernels, t = self._kernels(), 0.0 if outwards else 1.0
        end = kernels(t)
        for step in range(steps):
            # The end of one step is the start of the next.
            start, middle, end = end, kernels(t + (step + 0.5) * h), kernels(t + (step + 1) * h)
            v1, d1 = self._moved(values, start, factors)
            v2, d2 = self._moved(values + h / 2 * v1, middle, factors)
            v3, d3 = self._moved(values + h / 2 * v2, middle, factors)
            v4, d4 = self._moved(values + h * v3, end, factors)
            values = values + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            total = total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return values, total

    def ordered_log_prob(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density ``(batch,)`` of standardised values ``(batch, n)``."""
        latent, log_det = self.transported(values, outwards=False, context=context)
        log_width = (self._factors(context) @ self.linear)[:, self.orbit]
        noise = self._coloured(latent, -log_width)
        return -0.5 * (noise**2).sum(-1) - log_width.sum(-1) - self.n / 2 * math.log(2 * math.pi) + log_det

    def draw(self, count: int, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Standardised values ``(count, n)``, differentiable with respect to all weights."""
        noise = torch.randn(count, self.n, generator=generator, dtype=self.dtype)
        log_width = (self._factors(context) @ self.linear)[:, self.orbit]
        return self.transported(self._coloured(noise, log_width), outwards=True, context=context)[0]

    def complete(self, prefix: Tensor, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Not of a flow: its sites are drawn together."""
        raise HamlearnError("a flow draws all sites together and cannot complete a part of them; use method='independence'.")


def displacements(shape: tuple[int, ...]) -> np.ndarray:
    """Flat index of the displacement from site x to site y on the torus, ``(y, x)``."""
    places = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape))
    steps = (places[:, :, None] - places[:, None, :]) % np.array(shape)[:, None, None]
    return np.ravel_multi_index(tuple(steps), shape)


def orbits(shape: tuple[int, ...]) -> np.ndarray:
    """Number of the orbit of every displacement under reflections and exchanges of axes, ``(n,)``.

    Examples
    --------
    >>> orbits((4,)).tolist(), len(set(orbits((6, 6)).tolist()))
    ([0, 1, 2, 1], 10)
    """
    places = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), -1)
    short = np.minimum(places, np.array(shape) - places)
    # Only axes of equal extent are exchanged: sort within each group of them.
    for extent in set(shape):
        same = np.flatnonzero(np.array(shape) == extent)
        short[:, same] = np.sort(short[:, same], 1)
    return np.unique(short, axis=0, return_inverse=True)[1].reshape(-1)
