"""What an epoch costs, and draws with their probabilities, counted before: operations, numbers and calls, read from torch as few are made.

Constants are CPU seconds of one ordinary core in single precision, set with MADE networks (4×4, 8×8), a PixelCNN (8×8) and a flow (4×4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hamlearn.infer.engines.neural.torch_batches import Rows, Sample
from hamlearn.infer.engines.neural.torch_training import losses_of
from hamlearn.infer.training import Training
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.densities.build import build, weights_of
from hamlearn.models.densities.evaluate import AT_ONCE, Evaluator
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.models.flow import Flow
from hamlearn.spaces import Space

_OPERATION, _NUMBER, _CALL = 2e-11, 3.5e-10, 7e-6  # seconds: in products of matrices, made by any function, of calling one
_UPDATED = 1e-9  # of a parameter in a step of the optimiser
_BACK = 3.0  # a step, with the way back, is worth so many evaluations
_DOUBLE = 2.0  # numbers of double precision are worth so many of single precision
_CONVOLVED = 2.0  # and convolutions, whose fast kernels are of single precision, that many times more: a PixelCNN 6x6
_FEW = 64  # microstates that are drawn and evaluated to count them


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
    generator = torch.Generator().manual_seed(0)
    of_all, called = _counted(lambda: losses_of(density, batch, generator, None))
    steps = -(-len(train) // settings.batch)
    updated = _UPDATED * sum(one.numel() for one in density.parameters())
    return of_all / rows * (_BACK * len(train) + len(heldout)) + steps * (_BACK * called + updated)


def fresh(model: Autoregressive | Flow, space: Space, shape: tuple[int, ...]) -> Evaluator:
    """A density before its training: what it costs does not depend on its weights."""
    return Evaluator(model, space, shape, weights_of(build(model, space, shape)), 1.0)


def epoch_of(density: Evaluator, rows: int, settings: Training) -> float:
    """CPU seconds of an epoch on so many microstates, which need not be there."""
    held = int(settings.heldout * rows)
    some = torch.from_numpy(density.space.index(density.sample(1, 0)) if density.space.q else density.sample(1, 0))
    train, heldout = (Sample(some.reshape(1, -1).expand(count, -1)) for count in (rows - held, max(held, 1)))
    return epoch_seconds(density.density, train, heldout, settings)


def drawn_seconds(density: Evaluator, draws: int, seen: int) -> float:
    """CPU seconds of so many draws with their probabilities, and of the probabilities of so many other microstates."""
    few = density.sample(_FEW, 0)
    density.log_prob(few[:1])  # made in double precision at the first call
    drawing, evaluating = _counted(lambda: density.sample(_FEW, 0)), _counted(lambda: density.log_prob(few), double=True)
    pieces = -(-draws // AT_ONCE)
    drawn = drawing[0] / _FEW * draws + drawing[1] * pieces
    return drawn + evaluating[0] / _FEW * (draws + seen) + evaluating[1] * pieces


def _counted(evaluate: Callable[[], Any], *, double: bool = False) -> tuple[float, float]:
    """Seconds of what grows with the rows that are evaluated, and of calling the functions that evaluate them."""
    with torch.no_grad(), FlopCounterMode(display=False) as products, _Counted() as counted:
        evaluate()
    operations = float(products.get_total_flops())
    if double:
        operations += (_CONVOLVED - 1) * products.get_flop_counts()["Global"].get(torch.ops.aten.convolution, 0)
    return (_DOUBLE if double else 1.0) * (_OPERATION * operations + _NUMBER * counted.numbers), _CALL * counted.calls
