"""A convolutional network that sorts microstates of a periodic lattice into two classes: two blocks of convolution and pooling, a layer.

Source: Carrasquilla and Melko, Nature Physics 13, 431 (2017).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from hamlearn.processes import alone

CHANNELS, HIDDEN, WINDOW = (8, 16), 32, 3
PATIENCE = 3  # epochs without a better held-out loss
_EPOCHS, _BATCH, _RATE, _AT_ONCE = 60, 64, 3e-3, 1024


def network(extents: tuple[int, ...], components: int) -> nn.Sequential:
    """Logits of two classes from ``(rows, components, *extents)``; convolutions wrap around."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(extents) - 1]
    pooling = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[len(extents) - 1]
    layers, before, left = list[nn.Module](), components, list(extents)
    for channels in CHANNELS:
        layers += [convolution(before, channels, WINDOW, padding="same", padding_mode="circular"), nn.ReLU(), pooling(2)]
        before, left = channels, [one // 2 for one in left]
    layers += [nn.Flatten(), nn.Linear(before * math.prod(left), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2)]
    return nn.Sequential(*layers)


@alone()
def fit(rows: np.ndarray, labels: np.ndarray, held: np.ndarray, held_labels: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """The probability of class 1 of rows ``(rows, *extents, components)``, learned until held-out rows get no better.

    Parameters
    ----------
    rows, held : array (rows, *extents, components)
        To train on, and to stop by.
    labels, held_labels : array (rows,)
        0 or 1.
    seed : int
        Of the first weights and of the order of rows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(rows.shape[1:-1], rows.shape[-1])
        given, wanted = _tensor(rows), torch.as_tensor(labels, dtype=torch.long)
        kept, kept_wanted = _tensor(held), torch.as_tensor(held_labels, dtype=torch.long)
        optimiser, loss = torch.optim.Adam(net.parameters(), lr=_RATE), nn.CrossEntropyLoss()
        best, weights, waited = math.inf, copy.deepcopy(net.state_dict()), 0
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(given)).split(_BATCH):
                optimiser.zero_grad()
                loss(net(given[batch]), wanted[batch]).backward()
                optimiser.step()
            with torch.no_grad():
                now = float(loss(torch.cat([net(part) for part in kept.split(_AT_ONCE)]), kept_wanted))
            if now < best:
                best, weights, waited = now, copy.deepcopy(net.state_dict()), 0
            elif (waited := waited + 1) >= PATIENCE:
                break
        net.load_state_dict(weights)

    def probability(states: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([torch.softmax(net(part), -1)[:, 1].numpy() for part in _tensor(states).split(_AT_ONCE)])

    return probability


def _tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.moveaxis(rows, -1, 1).copy(), dtype=torch.float32)
