"""Where a density is trained, in which precision, and by how many processes."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from hamlearn.errors import HamlearnError

Device = torch.device  # for files that do not import torch
CPU = torch.device("cpu")


def choose(name: str) -> torch.device:
    """The device of a name, "auto", "cpu" or "cuda"; with several GPUs the one of this process.

    Raises
    ------
    HamlearnError
        If "cuda" is asked for where torch sees no such device.

    Examples
    --------
    >>> choose("cpu").type
    'cpu'
    """
    available = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not available):
        return CPU
    if not available:
        raise HamlearnError(
            f"device='cuda' was asked for, but torch {torch.__version__} sees no CUDA device here. Use device='auto' or 'cpu', or install "
            "torch's CUDA build on a machine with such a device."
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def move(density: nn.Module, device: torch.device) -> None:
    """Bring `density` to a device, with what its conditional keeps beside the weights."""
    density.to(device)
    conditional = getattr(density, "conditional", None)
    for name, value in vars(conditional).items() if conditional is not None else ():
        if isinstance(value, Tensor):
            setattr(conditional, name, value.to(device))


@contextlib.contextmanager
def precision(density: nn.Module, name: str, device: torch.device) -> Iterator[None]:
    """Inside, the network of `density` computes in the precision of that name; what it emits is float32 either way."""
    if name == "float32":
        yield
        return
    network: Any = getattr(density, "network", None)
    if network is None:
        raise HamlearnError(f"precision={name!r} is for autoregressive networks; the transforms of a flow need 'float32'.")
    forward = network.forward

    def reduced(*arguments: Any) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            emitted: Tensor = forward(*arguments)
        return emitted.float()

    network.forward = reduced
    try:
        yield
    finally:
        del network.forward


@contextlib.contextmanager
def made_on(device: torch.device) -> Iterator[None]:
    """Inside, new tensors are on `device` where the code that makes them does not say."""
    if device.type == "cpu":  # where they are anyway; the context costs time in every operation
        yield
    else:
        with torch.device(device):
            yield


@dataclass(frozen=True)
class Processes:
    """The processes that train one density together; by default this one alone.

    Attributes
    ----------
    rank, size : int
        Which one this is, and of how many.
    device : torch.device
        Where what they exchange lies.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    def share(self, values: Tensor) -> Tensor:
        """The rows of a minibatch that are this process's."""
        return values[self.rank :: self.size] if self.size > 1 else values

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, the same in each."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def totals(self, *values: float) -> list[float]:
        """The sums of plain numbers over processes."""
        if self.size == 1:
            return list(values)
        return [float(value) for value in self.total(torch.tensor(values, dtype=torch.float64, device=self.device))]

    def agreed(self, value: float) -> float:
        """The number of process 0."""
        return self.totals(value if self.rank == 0 else 0.0)[0]

    def add_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replace gradients by their sums over processes."""
        if self.size == 1:
            return
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        summed = self.total(torch.cat([part.reshape(-1) for part in parts]))
        for one, part in zip(parameters, summed.split([one.numel() for one in parameters]), strict=True):
            one.grad = part.view_as(one)

    def same(self, density: nn.Module) -> None:
        """Give `density` the weights of process 0, to the last bit."""
        if self.size > 1:
            for value in density.state_dict().values():
                distributed.broadcast(value, 0)

    def together(self) -> None:
        """Wait for all."""
        if self.size > 1:
            distributed.barrier()


def processes(device: torch.device) -> Processes:
    """The processes that ``torchrun`` started, in torch's process group: the caller's, or one that lasts as long as the process.

    Raises
    ------
    HamlearnError
        If the processes do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        return Processes()
    if not distributed.is_initialized():
        try:
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            raise HamlearnError(
                f"RANK and WORLD_SIZE are set, but the processes do not find each other: {error}. Start them with torchrun, or unset these."
            ) from error
        # The next training meets the same processes, and a group that was taken down cannot be set up again.
        atexit.register(_leave)
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
