"""Minibatches: rows in memory, or rows on disk behind a shuffled buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hamlearn.infer.streaming import Blocks
from hamlearn.models.densities.build import context_of

Batch = tuple[Tensor, Tensor | None, Tensor | None]  # states (rows, n), functions of β, weights


class Rows(Protocol):
    """Microstates as training reads them."""

    def __len__(self) -> int:
        """How many."""
        ...

    def batches(self, generator: torch.Generator, size: int) -> Iterator[Batch]:
        """Each once, `size` together, in an order that the generator decides."""
        ...

    def pieces(self, size: int) -> Iterator[Batch]:
        """Each once, at most `size` together, in their own order."""
        ...


@dataclass(frozen=True)
class Sample:
    """Microstates in memory.

    Attributes
    ----------
    states : Tensor (rows, n)
        Flat states: int8 indices, or floats.
    context : Tensor (rows, c), optional
        Functions of β.
    weight : Tensor (rows,), optional
        How much every row counts; mean 1.
    """

    states: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.states)

    def rows(self, index: Tensor | slice) -> Batch:
        """The rows of a minibatch."""
        pick = lambda column: None if column is None else column[index]
        return _whole(self.states[index]), pick(self.context), pick(self.weight)

    def batches(self, generator: torch.Generator, size: int) -> Iterator[Batch]:
        """See :class:`Rows`."""
        order = torch.randperm(len(self), generator=generator)
        return (self.rows(chosen) for chosen in order.split(min(size, len(order))))

    def pieces(self, size: int) -> Iterator[Batch]:
        """See :class:`Rows`."""
        return (self.rows(slice(start, start + size)) for start in range(0, len(self), size))


def reweighted(sample: Sample, weight: np.ndarray) -> Sample:
    """The same rows with other weights ``(rows,)``, scaled to mean 1."""
    return replace(sample, weight=torch.as_tensor(weight / weight.mean(), dtype=torch.float32))


class Streamed:
    """Microstates on disk: blocks in a shuffled order fill a buffer, whose rows are shuffled.

    Every epoch the generator decides both orders, so a training that continues from a checkpoint sees what an uninterrupted
    one would have seen.

    Parameters
    ----------
    blocks : Blocks
        Where rows are read; half of their memory is the buffer.
    conditioned : bool
        Whether the network is told the temperature.
    """

    def __init__(self, blocks: Blocks, conditioned: bool) -> None:
        self.blocks, self.conditioned, self.count = blocks, conditioned, len(blocks)
        largest = max(blocks.rows(index) for index in range(len(blocks.places)))
        # The temperature of every row, and where it goes, are kept beside it.
        wanted = max(blocks.memory // (2 * (blocks.row_bytes + 16)), largest)
        self.capacity = int(min(wanted, self.count))

    def __len__(self) -> int:
        return self.count

    def batches(self, generator: torch.Generator, size: int) -> Iterator[Batch]:
        """See :class:`Rows`."""
        size, waiting = min(size, len(self)), torch.randperm(len(self.blocks.places), generator=generator).tolist()
        first, _ = self.blocks.read(waiting[-1])
        states = np.empty((self.capacity + size, first.shape[1]), first.dtype)
        betas = np.empty(len(states))
        held = 0
        while waiting or held:
            while waiting and held + self.blocks.rows(waiting[-1]) <= len(states):
                block, beta = self.blocks.read(waiting.pop())
                states[held : held + len(block)], betas[held : held + len(block)] = block, beta
                held += len(block)
            order = torch.randperm(held, generator=generator).numpy()
            # What does not fill a minibatch waits for the next filling of the buffer.
            ready = held // size * size if waiting else held
            for start in range(0, ready, size):
                chosen = order[start : min(start + size, ready)]
                yield self._batch(states[chosen], betas[chosen])
            left = order[ready:]
            states[: len(left)], betas[: len(left)] = states[left], betas[left]
            held = len(left)

    def pieces(self, size: int) -> Iterator[Batch]:
        """See :class:`Rows`."""
        for index in range(len(self.blocks.places)):
            states, beta = self.blocks.read(index)
            for start in range(0, len(states), size):
                part = states[start : start + size]
                yield self._batch(part, np.full(len(part), beta))

    def _batch(self, states: np.ndarray, betas: np.ndarray) -> Batch:
        return _whole(torch.from_numpy(np.ascontiguousarray(states))), context_of(betas, len(betas)) if self.conditioned else None, None


def as_sample(states: np.ndarray, context: Tensor | None, weight: np.ndarray | None) -> Sample:
    """Rows of flat states (indices, angles or reals) as torch reads them."""
    discrete = np.issubdtype(states.dtype, np.integer)
    tensor = torch.from_numpy(np.ascontiguousarray(states, np.int8 if discrete else np.float32))
    scaled = None if weight is None else torch.from_numpy((weight / weight.mean()).astype(np.float32))
    return Sample(tensor, context, scaled)


def _whole(states: Tensor) -> Tensor:
    """Indices as torch indexes with them."""
    return states.long() if states.dtype == torch.int8 else states
