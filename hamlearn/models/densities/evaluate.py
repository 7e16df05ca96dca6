"""Densities as NumPy sees them: log-probabilities and draws of microstates, one density at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.densities.build import build, context_of, with_weights
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.models.flow import Flow
from hamlearn.systems.base import Space, as_site_axes

AT_ONCE = 4096  # microstates drawn in one go


class Evaluator:
    """A learned density on sites of one shape.

    Parameters
    ----------
    model : Autoregressive or Flow
        What it is.
    space, shape : Space, tuple of int
        Values and extents of the site axes.
    weights : mapping of arrays
        What was learned.
    beta : float
        Temperature of a conditioned density where none is given.

    Attributes
    ----------
    observed : object, optional
        What the microstates it was learned from say about its ln q, where that was recorded; whoever sets it knows what it is.
    """

    def __init__(
        self, model: Autoregressive | Flow, space: Space, shape: tuple[int, ...], weights: Mapping[str, np.ndarray], beta: float
    ) -> None:
        self.space, self.shape, self.beta = space, tuple(shape), float(beta)
        self.conditioned = model.condition == "beta"
        self.density = with_weights(build(model, space, self.shape), weights).requires_grad_(False)
        # Log-probabilities are differences of large sums: evaluated in double precision, drawn in single.
        self._double: Symmetrised | None = None
        self.weights, self.model = weights, model
        self.observed: Any = None
        self._last: tuple[str, np.ndarray] | None = None

    @property
    def elements(self) -> int:
        """Evaluations of the network per microstate: elements of the group that the density is averaged over."""
        return len(self.density.group) * (2 if self.density.mirror else 1)

    @property
    def double(self) -> Symmetrised:
        """The density in double precision."""
        if self._double is None:
            fresh = with_weights(build(self.model, self.space, self.shape), self.weights)
            self._double = fresh.double().requires_grad_(False)
        return self._double

    def log_prob(self, states: Any, beta: Any = None) -> np.ndarray:
        """Log-density of states ``(..., *shape)``, shape ``(...)``; remembers the last call, which ensembles repeat."""
        flat = as_site_axes(np.asarray(states), self.shape)
        lead = flat.shape[:-1]
        rows = np.ascontiguousarray(flat.reshape(-1, flat.shape[-1]))
        at = np.broadcast_to(self.beta if beta is None else np.asarray(beta, float), lead).reshape(-1)
        key = hashlib.sha256(rows.tobytes() + (at.tobytes() if self.conditioned else b"")).hexdigest() + str(rows.dtype)
        last = self._last  # read once: another thread may ask for other states meanwhile
        if last is None or last[0] != key:
            context = context_of(at, len(rows), torch.float64) if self.conditioned else None
            last = self._last = key, self.double.evaluate(self._tensor(rows, torch.float64), context)
        return last[1].reshape(lead).copy()

    def sample(self, count: int, seed: int, beta: float | None = None) -> np.ndarray:
        """Independent microstates ``(count, *shape)``."""
        generator = torch.Generator().manual_seed(int(seed))
        pieces = []
        for start in range(0, count, AT_ONCE):
            size = min(AT_ONCE, count - start)
            drawn = self.density.sample(size, generator, self._context(beta, size))
            pieces.append(self._array(drawn))
        return np.concatenate(pieces).reshape(count, *self.shape)

    def base_log_prob(self, states: np.ndarray, beta: float | None = None) -> np.ndarray:
        """Log-density of states ``(rows, *shape)`` before the averages over the group: the density of :meth:`complete`."""
        values = self.double.prepared(self._tensor(as_site_axes(states, self.shape), torch.float64))
        context = self._context(beta, len(values), torch.float64)
        with torch.no_grad():
            return self.double.ordered_log_prob(values, context).numpy()

    def complete(self, states: np.ndarray, known: int, seed: int, beta: float | None = None) -> np.ndarray:
        """States ``(rows, *shape)`` with all but the first `known` sites of the order drawn anew, before the averages."""
        density = self.double
        values = density.prepared(self._tensor(as_site_axes(states, self.shape), torch.float64))
        generator = torch.Generator().manual_seed(int(seed))
        drawn = density.complete(values[:, :known], generator, self._context(beta, len(values), torch.float64))
        drawn = drawn * density.scale + density.location if self.space.unbounded else drawn
        return self._array(drawn[:, density.inverse]).reshape(len(states), *self.shape)

    def _context(self, beta: float | None, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
        return context_of(self.beta if beta is None else beta, count, dtype) if self.conditioned else None

    def _tensor(self, rows: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        if self.space.q:
            return torch.from_numpy(np.ascontiguousarray(self.space.index(rows), np.int64))
        return torch.from_numpy(np.array(rows, np.float64)).to(dtype)

    def _array(self, values: torch.Tensor) -> np.ndarray:
        found = values.numpy()
        if self.space.q:
            return self.space.from_index(found)
        result = found.astype(np.float64)
        # Single-precision 2π is above the double one.
        return np.asarray(self.space.wrap(result))
