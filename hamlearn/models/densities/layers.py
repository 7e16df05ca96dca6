"""Layers that are initialised from an explicit generator: torch's own constructors would draw from the global one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def fresh(kind: type[nn.Module], *sizes: Any, generator: torch.Generator, **options: Any) -> Any:
    """A torch layer with uniform weights of standard deviation √(1/3 fan-in), torch's own default; biases zero."""
    layer = kind(*sizes, device="meta", **options).to_empty(device="cpu")
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        else:
            bound = parameter[0].numel() ** -0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def silent(layer: Any) -> Any:
    """`layer` with weights and biases zero: a network's last one starts from the conditional's neutral parameters."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
