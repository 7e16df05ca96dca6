"""Variational training on a known action: no data, only energies.

The score-function gradient E_q[(A − Ā) ∇ ln q] with A = ln q + action and the leave-one-out mean Ā of the other
microstates of the batch (Kool, van Hoof and Welling 2019); it vanishes with the variance of A, so it becomes exact where
q does. Source of the method in statistical mechanics: Wu, Wang and Zhang, Phys. Rev. Lett. 122, 080602 (2019).
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from hamlearn.errors import HamlearnError
from hamlearn.infer.engines.torch_training import History, threads
from hamlearn.infer.training import Variational
from hamlearn.models.autoregressive.density import Density
from hamlearn.progress import track
from hamlearn.systems.base import Space, System
from hamlearn.systems.pairwise import Pairwise

_RECORD_EVERY = 50  # steps


def fit(
    density: Density,
    system: System,
    beta: float,
    settings: Variational,
    seed: int,
    *,
    label: str = "approximating",
    progress: bool | None = None,
) -> History:
    """Minimise E_q[ln q + action(x, β)]; `density` is trained in place.

    Returns
    -------
    History
        ``train`` holds the variational βF per site every 50 steps, ``heldout`` the standard deviation of ln q + action
        in nats (0 for the exact density).

    Raises
    ------
    HamlearnError
        If the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    if isinstance(system, Pairwise):
        start_from_couplings(density, system, beta * (0.5 if settings.anneal else 1.0))
    optimiser = torch.optim.Adam(density.parameters(), lr=settings.learning_rate)
    history, started = History(), time.monotonic()
    with threads(settings.threads), track(settings.steps, label, progress) as bar:
        step, done = 0, 0.0
        while done < 1:
            at = beta * (0.5 + 0.5 * min(1.0, done / settings.anneal)) if settings.anneal else beta
            rate = settings.learning_rate * (0.005 + 0.995 * (1 + math.cos(math.pi * done)) / 2)
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50)
            states = density.sample(settings.batch, generator)
            log_q = density.log_prob(states)
            action = torch.as_tensor(np.array(system.action(as_states(states, system), at), np.float64))
            total = action + log_q.detach().double()
            centred = (total - total.mean()) * settings.batch / (settings.batch - 1)
            loss = (centred.to(log_q.dtype) * log_q).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(density.parameters(), density.n**0.5)
            if not (bool(torch.isfinite(norm)) and math.isfinite(float(total.mean()))):
                raise HamlearnError(
                    f"variational training diverged at step {step + 1} (learning_rate={settings.learning_rate:g}): ln q or the action "
                    "is not finite. Lower learning_rate in hl.infer.Variational(...)."
                )
            optimiser.step()
            step += 1
            history.seconds = time.monotonic() - started
            done = step / settings.steps
            if settings.seconds is not None:
                done = max(done, history.seconds / settings.seconds)
            if step % _RECORD_EVERY == 0 or done >= 1:
                history.train.append(float(total.mean()) / density.n)
                history.heldout.append(float(total.std()))
                bar.describe(f"{label}: beta F = {history.train[-1]:.5f} per site, sd {history.heldout[-1]:.3f} nats")
            bar.advance(1)
    history.epoch = history.best = step
    history.stopped = "steps" if step >= settings.steps else "seconds"
    return history


def start_from_couplings(density: Density, system: Pairwise, beta: float) -> None:
    """Set the linear part to the exact response to drawn neighbours: log odds 2β Σ J σ, what comes later left out.

    Masked to earlier sites by the density itself; the network learns what the sites still to be drawn add.
    """
    if density.kind != "spins":
        return
    coupling = np.zeros((density.n, density.n))
    np.add.at(coupling, tuple(system.lattice.bonds.T), system.J)
    order = density.order.numpy()
    coupling = (coupling + coupling.T)[np.ix_(order, order)]
    with torch.no_grad():
        density.linear.zero_()
        density.linear[0, :, 0, :, 0] = torch.as_tensor(2 * beta * coupling, dtype=density.linear.dtype)


def as_states(states: torch.Tensor, system: System) -> np.ndarray:
    """Flat torch states as the system's microstates."""
    space: Space = system.space
    values = space.from_index(states.numpy()) if space.q else states.double().numpy()
    return values.reshape(-1, *system.lattice.shape)
