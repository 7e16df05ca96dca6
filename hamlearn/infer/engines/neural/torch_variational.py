"""Variational training on a known action: no data, only energies.

The score-function gradient E_q[(A − Ā) ∇ ln q] with A = ln q + action and the leave-one-out mean Ā of the other
microstates of the batch (Kool, van Hoof and Welling 2019); it vanishes with the variance of A, so it becomes exact where
q does. Source of the method in statistical mechanics: Wu, Wang and Zhang, Phys. Rev. Lett. 122, 080602 (2019).

Flows draw x = f(z) differentiably and use the path gradient instead, E_z[∂(action + ln q)/∂x · ∂f/∂θ]: what is left out,
the explicit derivative of ln q with respect to its weights, has mean zero, and without it the noise vanishes where q is
exact (Vaitl, Nicoli, Nakajima and Kessel 2022). JAX differentiates the action with respect to the field, torch the rest.
"""

from __future__ import annotations

import math

import jax
import numpy as np
import torch
from torch import Tensor

from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines.neural.torch_checkpoint import Held
from hamlearn.infer.engines.neural.torch_devices import CPU, made_on, move
from hamlearn.infer.engines.neural.torch_training import threads
from hamlearn.infer.engines.training_loop import Budget, History, Pace, run
from hamlearn.infer.training import Variational
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.processes import alone
from hamlearn.systems.base import Space, System
from hamlearn.systems.pairwise import Pairwise

_RECORD_EVERY = 50  # steps


@alone()
def fit(
    density: Symmetrised,
    system: System,
    beta: float,
    settings: Variational,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    device: torch.device = CPU,
    label: str = "approximating",
    progress: bool | None = None,
) -> History:
    """Minimise E_q[ln q + action(x, β)]; `density` is trained in place.

    Returns
    -------
    History
        ``train`` holds the variational βF per site every 50 steps, ``heldout`` the standard deviation of ln q + action
        in nats (0 for the exact density). Where ln q or the action ceased to be finite, ``stopped`` says "diverged" and the
        density has the weights of the last such record.

    Raises
    ------
    HamlearnError
        If that happens before the first record.
    """
    if isinstance(system, Pairwise):
        start_from_couplings(density, system, beta * (0.5 if settings.anneal else 1.0))
    move(density, device)
    learner = _Learner(density, system, beta, settings, device, seed)
    budget = Budget(settings.steps, settings.learning_rate, unit="steps", floor=0.005, rise=50, seconds=settings.seconds)
    with threads(settings.threads):
        history = run(learner, budget, checkpoint=checkpoint, label=label, progress=progress)
    move(density, CPU)
    return history


class _Learner(Held):
    """A density and an action, as the loop of trainings asks for them; a round is 50 gradient steps."""

    def __init__(self, density: Symmetrised, system: System, beta: float, settings: Variational, device: torch.device, seed: int) -> None:
        self.density, self.system, self.beta, self.settings, self.device = density, system, beta, settings, device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.optimiser = torch.optim.Adam(density.parameters(), lr=settings.learning_rate)
        self.loss = _PathWise(system) if density.path_wise else _score
        self.step, self.scatter = 0, math.nan  # steps begun, and the standard deviation of ln q + action in the last

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        done = pace.share(history.epoch)
        for step in range(history.epoch, history.epoch + _RECORD_EVERY):
            self.step, anneal = step + 1, self.settings.anneal
            at = self.beta * (0.5 + 0.5 * min(1.0, done / anneal)) if anneal else self.beta
            for group in self.optimiser.param_groups:
                group["lr"] = pace.budget.rate_at(done, step)
            with made_on(self.device):
                loss, total = self.loss(self.density, self.system, at, self.settings.batch, self.generator)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.density.parameters(), self.density.n**0.5)
            if not (bool(torch.isfinite(norm)) and math.isfinite(float(total.mean()))):
                return self.step - history.epoch, math.nan
            self.optimiser.step()
            done = pace.share(self.step)
            if done >= 1:
                break
        self.scatter = float(total.std())
        return self.step - history.epoch, float(total.mean()) / self.density.n

    def evaluate(self) -> float:
        return self.scatter if all(bool(torch.isfinite(one).all()) for one in self.density.parameters()) else math.nan

    def told(self, history: History) -> str:
        return f"beta F = {history.train[-1]:.5f} per site, sd {history.heldout[-1]:.3f} nats"

    def hopeless(self) -> str:
        return (
            f"variational training diverged at step {self.step} (learning_rate={self.settings.learning_rate:g}): ln q or the action is not "
            "finite and no good weights exist. Lower learning_rate in hl.infer.Variational(...)."
        )


def _score(density: Symmetrised, system: System, beta: float, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A loss whose gradient is the score-function estimate, and ln q + action of every microstate."""
    states = density.sample(batch, generator)
    log_q = density.log_prob(states)
    action = torch.as_tensor(np.array(system.action(as_states(states, system), beta), np.float64), device=log_q.device)
    total = action + log_q.detach().double()
    centred = (total - total.mean()) * batch / (batch - 1)
    return (centred.to(log_q.dtype) * log_q).mean(), total


class _PathWise:
    """The same by path-wise gradients; the action must be one that JAX differentiates."""

    def __init__(self, system: System) -> None:
        if not system.pure_jax:
            raise HamlearnError(
                f"a flow is trained on an action by its gradient, and {system!r} is not computed by JAX; use hl.models.Autoregressive(...)."
            )

        def value(states: jax.Array, beta: float) -> tuple[jax.Array, jax.Array]:
            actions = system.action(states, beta)
            return actions.sum(), actions

        self.gradient = jax.jit(jax.grad(value, has_aux=True))

    def __call__(self, density: Symmetrised, system: System, beta: float, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        states = density.restored(density.draw(batch, generator), generator)
        with jax.enable_x64(True):
            force, action = self.gradient(as_states(states.detach(), system), beta)
        place = states.detach().requires_grad_()
        log_q = density.log_prob(place)
        (drift,) = torch.autograd.grad(log_q.sum(), place)
        total = torch.as_tensor(np.array(action, np.float64), device=states.device) + log_q.detach().double()
        slope = drift + torch.as_tensor(np.array(force).reshape(batch, -1), dtype=states.dtype, device=states.device)
        return (slope * states).sum(-1).mean(), total


def start_from_couplings(density: Symmetrised, system: Pairwise, beta: float) -> None:
    """Set the linear part to the exact response to drawn neighbours: log odds 2β Σ J σ, what comes later left out.

    Masked to earlier sites by the density itself; the network learns what the sites still to be drawn add.
    """
    if not density.space.binary or density.linear is None:
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
    values = space.from_index(states.cpu().numpy()) if space.q else states.double().cpu().numpy()
    return values.reshape(-1, *system.lattice.shape)
