"""What an epoch costs, counted before the first: operations, numbers and calls of one minibatch, read from torch as it is evaluated once.

Constants are CPU seconds of one ordinary core in single precision, set with MADE networks (4×4, 8×8), a PixelCNN (8×8) and a flow (4×4).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hamlearn.infer.engines.neural.torch_batches import Rows
from hamlearn.infer.engines.neural.torch_training import losses_of
from hamlearn.infer.training import Training
from hamlearn.models.densities.symmetrised import Symmetrised

_OPERATION, _NUMBER, _CALL = 2e-11, 3.5e-10, 7e-6  # seconds: in products of matrices, made by any function, of calling one
_UPDATED = 1e-9  # of a parameter in a step of the optimiser
_BACK = 3.0  # a step, with the way back, is worth so many evaluations


class _Counted(TorchDispatchMode):
    """Counts the functions that are called inside, and the numbers that they make."""

    calls, numbers = 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        self.calls += 1
        self.numbers += sum(one.numel() for one in tree_leaves(made) if isinstance(one, torch.Tensor))
        return made


def epoch_seconds(density: Symmetrised, train: Rows, heldout: Rows, settings: Training) -> float:
    """CPU seconds of an epoch, about: steps over all of `train`, and `heldout` evaluated once.

    Parameters
    ----------
    density : Symmetrised
        On the CPU.
    train, heldout : Rows
        Microstates.
    settings : Training
        How many go into a minibatch.
    """
    batch = next(iter(heldout.pieces(settings.batch)))
    rows = len(batch[0])
    with torch.no_grad(), FlopCounterMode(display=False) as products, _Counted() as counted:
        losses_of(density, batch, torch.Generator().manual_seed(0), None)
    steps = -(-len(train) // settings.batch)
    of_row = (_OPERATION * products.get_total_flops() + _NUMBER * counted.numbers) / rows
    updated = _UPDATED * sum(one.numel() for one in density.parameters())
    return of_row * (_BACK * len(train) + len(heldout)) + steps * (_BACK * _CALL * counted.calls + updated)
