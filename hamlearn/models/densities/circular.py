"""A conditional of angles: a circular rational-quadratic spline, a smooth monotone map of the circle onto itself."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hamlearn.models.densities.mixtures import VonMisesMixture
from hamlearn.spaces import ANGLES, TURN

_SMALLEST = 1e-3  # width and height of a piece, as a share of the circle, and slope: keeps the map invertible in single precision
_SLOPE = math.log(math.expm1(1 - _SMALLEST))  # softplus of it, plus the smallest slope, is 1


class CircularSpline:
    """Angles: p(φ) = f'(φ − μ)/2π with f a monotone, piecewise rational-quadratic map of the circle; periodic.

    Parameters
    ----------
    pieces : int
        K pieces between knots. A site has K logits of widths, K of heights, K slopes at the knots (the last knot is the first) and
        two numbers whose direction turns the knots to μ. All zero: the uniform density.

    Notes
    -----
    Rezende et al., "Normalizing flows on tori and spheres", ICML 2020, section 2.2 (circular splines); the pieces are those of
    Gregory and Delbourgo, IMA J. Numer. Anal. 2, 123 (1982), as in Durkan et al. 2019. One piece cannot bend.
    """

    features = 4
    support = (0.0, TURN)
    encode = VonMisesMixture.encode

    def __init__(self, pieces: int) -> None:
        self.pieces, self.size = pieces, 3 * pieces + 2
        nodes, shares = np.polynomial.legendre.leggauss(64)
        self.nodes, self.shares = torch.as_tensor((nodes + 1) / 2), torch.as_tensor(shares / 2)

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Knots of x and of f, each ``(..., K + 1)`` from 0 to 2π, slopes there, and the turn μ."""
        k = self.pieces
        widths, heights, slopes, direction = parameters.split([k, k, k, 2], -1)

        def edges(logits: Tensor) -> Tensor:
            share = _SMALLEST + (1 - k * _SMALLEST) * F.softmax(logits, -1)
            inner = TURN * share.cumsum(-1)[..., :-1]
            return torch.cat([torch.zeros_like(share[..., :1]), inner, torch.full_like(share[..., :1], TURN)], -1)

        slope = _SMALLEST + F.softplus(slopes + _SLOPE)
        turn = torch.atan2(direction[..., 1], direction[..., 0] + 1)
        return edges(widths), edges(heights), torch.cat([slope, slope[..., :1]], -1), turn

    def _piece(self, knots: tuple[Tensor, Tensor, Tensor], index: Tensor) -> tuple[Tensor, ...]:
        """Left end and width, lower end and height, and the slopes at both ends, of pieces ``(...)``."""
        index = index.unsqueeze(-1)
        ends = [(edge.gather(-1, index).squeeze(-1), edge.gather(-1, index + 1).squeeze(-1)) for edge in knots]
        (left, right), (low, high), (before, after) = ends
        return left, right - left, low, high - low, before, after

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """Log density: that of the slope of f over 2π."""
        x_knots, y_knots, slopes, turn = self._knots(parameters)
        x = torch.remainder(values.to(turn.dtype) - turn, TURN)
        index = (torch.searchsorted(x_knots.detach(), x.detach().unsqueeze(-1), right=True).squeeze(-1) - 1).clamp(0, self.pieces - 1)
        left, width, _, height, before, after = self._piece((x_knots, y_knots, slopes), index)
        t = ((x - left) / width).clamp(0, 1)
        return _log_slope(t, height / width, before, after) - math.log(TURN)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """The inverse map of a uniform angle: a quadratic equation in one piece."""
        x_knots, y_knots, slopes, turn = self._knots(parameters)
        y = TURN * torch.rand(turn.shape, generator=generator, dtype=turn.dtype)
        index = (torch.searchsorted(y_knots, y.unsqueeze(-1), right=True).squeeze(-1) - 1).clamp(0, self.pieces - 1)
        left, width, low, height, before, after = self._piece((x_knots, y_knots, slopes), index)
        steep, rise = height / width, y - low
        bend = rise * (before + after - 2 * steep)
        a, b, c = height * (steep - before) + bend, height * before - bend, -steep * rise
        t = 2 * c / (-b - torch.sqrt((b**2 - 4 * a * c).clamp_min(0)))
        return cast(Tensor, ANGLES.wrap(left + t.clamp(0, 1) * width + turn))

    def mean(self, parameters: Tensor) -> Tensor:
        """Circular mean, by Gauss and Legendre's rule in every piece."""
        x_knots, y_knots, slopes, turn = self._knots(parameters)
        width, height = x_knots.diff(dim=-1).unsqueeze(-1), y_knots.diff(dim=-1).unsqueeze(-1)
        t, share = self.nodes.to(turn.dtype), self.shares.to(turn.dtype)
        slope = torch.exp(_log_slope(t, height / width, slopes[..., :-1, None], slopes[..., 1:, None])) * width * share
        x = x_knots[..., :-1, None] + width * t + turn[..., None, None]
        return torch.remainder(torch.atan2((slope * torch.sin(x)).sum((-2, -1)), (slope * torch.cos(x)).sum((-2, -1))), TURN)


def _log_slope(t: Tensor, steep: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Logarithm of f' at the share t of a piece of mean slope `steep`."""
    inside = t * (1 - t)
    top = after * t**2 + 2 * steep * inside + before * (1 - t) ** 2
    return 2 * torch.log(steep) + torch.log(top) - 2 * torch.log(steep + (before + after - 2 * steep) * inside)
