"""Hybrid (Hamiltonian) Monte Carlo for angles and real fields, with Fourier acceleration.

Momenta are drawn per mode with the mean curvature of the action as mass, so all modes move at one pace: Fourier modes on
periodic hypercubic lattices (paths, fields, rotors), sites on any other graph. The mass is Hutchinson's estimate of the
diagonal of the Hessian, averaged over chains; it and the step size (towards 80 % acceptance) adapt during the first
part of burn-in and are then frozen. Double precision throughout, for the accept step needs differences of large actions.

With exchanges the temperatures are a ladder: after every trajectory neighbouring rungs swap their microstates (:mod:`.exchange`),
wherever the temperature enters.

Sources: Duane, Kennedy, Pendleton and Roweth, Phys. Lett. B 195, 216 (1987); Batrouni et al., Phys. Rev. D 32, 2736
(1985), for the acceleration.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.spaces import TURN
from hamlearn.systems.base import System
from hamlearn.systems.parametric import as_argument, from_argument
from hamlearn.systems.sampling import exchange, kinks, local
from hamlearn.systems.sampling.drawing import draw

TARGET = 0.8
"""Acceptance that the step size is tuned to."""
LENGTH = 1.6
"""Length of a trajectory in units of the modes' period/2π: a quarter of a period."""
MOST_STEPS = 64
_FLOOR = 1e-3  # smallest mass, relative to the largest
_BUFFER = 1 << 24  # bytes of states that one compiled call may hold
_MOST_DRAWS = 256


class State(NamedTuple):
    """What the next trajectory needs.

    Attributes
    ----------
    key : uint32 array (2,)
        Of all random numbers.
    values : array (n_beta, chains, n_sites)
        Microstates.
    log_step : array (n_beta,)
        Logarithm of the step size.
    mass : array (n_beta, n_sites)
        Mass of every mode, before the floor.
    done : int
        Trajectories so far; adaptation ends at a number that the engine knows.
    heading : int array (n_beta, chains)
        With exchanges, for the microstate on each rung: 1 if it was last on the first rung, −1 on the last, 0 on neither.
    """

    key: Any
    values: Any
    log_step: Any
    mass: Any
    done: Any
    heading: Any


class Form(NamedTuple):
    """What a trajectory is made of: what is compiled in."""

    signs: bool
    ladder: bool
    even: bool
    stacked: bool


class HMCEngine:
    """All chains at all temperatures of one system, as the loop steps them.

    The system is an argument of the compiled code: another one of the same structure compiles nothing.

    Parameters
    ----------
    system : System
        With a continuous space and an ``action`` that JAX can trace and differentiate; or many of one structure, each at its own
        temperature (:func:`hamlearn.systems.parametric.stacked`).
    betas : array (n_beta,)
        Inverse temperatures, one for each of a stack.
    chains : int
        Chains at each.
    adapt : int
        Trajectories at the start in which step size and masses adapt.
    signs : bool
        Redraw the signs of a path after every trajectory (:mod:`.kinks`).
    ladder : bool
        Exchange microstates between neighbouring temperatures, which then must be in order.
    even : bool, optional
        Whether x → −x is a symmetry of the action; by default what the system says.
    stacked : bool
        Whether `system` is a stack.
    length, target : float
        Length of a trajectory, in units of the modes' period/2π, and the acceptance that the step size is tuned to.
    """

    def __init__(
        self,
        system: System,
        betas: np.ndarray,
        chains: int,
        adapt: int,
        *,
        signs: bool = False,
        ladder: bool = False,
        even: bool | None = None,
        stacked: bool = False,
        length: float = LENGTH,
        target: float = TARGET,
    ) -> None:
        self.system, self.adapt, self.settings = as_argument(system), int(adapt), (float(length), float(target))
        even = system.even if even is None else even
        self.form = Form(signs, ladder, even, stacked)
        self.betas = np.asarray(betas, np.float64)
        self.lead: tuple[int, ...] = (len(self.betas), chains)
        self.n_sites = system.lattice.n_sites
        # A trajectory is about ten gradients, each a few times an update of every site.
        self.updates_per_step = self.lead[0] * chains * self.n_sites * 40
        self.capacity = int(np.clip(_BUFFER // (8 * self.lead[0] * chains * self.n_sites), 1, _MOST_DRAWS))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(n_beta, chains, n_sites)``."""
        n_beta = self.lead[0]
        key = seed.generate_state(2, np.uint32)
        start = np.full(n_beta, np.log(0.3)), np.ones((n_beta, self.n_sites)), np.int64(0), np.zeros(self.lead, np.int32)
        return State(key, np.asarray(values, np.float64), *start)

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` trajectories: new state, states ``(draws, n_beta, chains, n_sites)``, sums over trajectories."""
        with jax.enable_x64(True):
            options: dict[str, Any] = {"form": self.form, "capacity": self.capacity}
            new, total, buffer = _advance(state, self.system, self.betas, self.adapt, self.settings, draws, thin, **options)
            info = {name: np.asarray(value) for name, value in total.items()}
            return State(*(np.asarray(leaf) for leaf in new)), np.asarray(buffer[:draws]), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Adaptation happens inside :meth:`advance`."""
        return state


@functools.partial(jax.jit, static_argnames=("form", "capacity"))
def _advance(state: State, system: Any, betas: Any, adapt: Any, settings: Any, draws: Any, thin: Any, *, form: Form, capacity: int) -> Any:
    step = functools.partial(_trajectory, betas=betas, adapt=adapt, settings=settings, system=from_argument(system), form=form)
    return draw(step, state, draws, thin, capacity)


def _curvature(state: State, probe: Any, *, gradient: Any, modes: Any) -> Any:
    """Running mean of the Hessian's diagonal in the modes: Re ξ* (Hξ) for random ξ."""
    _, image = jax.jvp(gradient, (state.values,), (probe,))
    one = jnp.mean(jnp.real(jnp.conj(modes(probe)) * modes(image)), 1)
    rate = jnp.maximum(1 / (state.done + 1.0), 0.03)
    return state.mass + rate * (one - state.mass)


def _trajectory(state: State, *, betas: Any, adapt: Any, settings: Any, system: System, form: Form) -> tuple[State, Any]:
    """One trajectory of all chains, and of a ladder one round of exchanges; information is a dictionary of numbers."""
    modes, sites = _transforms(system.lattice)
    shape, (length, target) = system.lattice.shape, settings

    def action(values: Any) -> Any:
        """(n_beta, chains)."""
        shaped = values.reshape((*values.shape[:2], *shape))
        if form.stacked:
            return jax.vmap(lambda one, x, beta: one.action(x, beta))(system, shaped, betas)
        return jax.vmap(system.action)(shaped, betas)

    gradient = jax.grad(lambda values: jnp.sum(action(values)))
    n_beta, chains, n_sites = state.values.shape
    key, words = local.random_words(state.key, (3, n_beta, chains, n_sites + 1))
    uniform = local.uniform(words).astype(float)
    noise, probe = _normal(uniform[0, ..., :-1], uniform[1, ..., :-1])
    adapting = state.done < adapt

    masses = functools.partial(_curvature, state, probe, gradient=gradient, modes=modes)
    raw = lax.cond(adapting, masses, lambda: state.mass)
    size = jnp.abs(raw)
    mass = jnp.maximum(size, _FLOOR * jnp.max(size, axis=1, keepdims=True) + 1e-12)[:, None]
    steps = jnp.clip(jnp.ceil(length / jnp.exp(jnp.min(state.log_step))), 1, MOST_STEPS)
    jitter = 0.8 + 0.4 * uniform[0, 0, 0, -1]
    step = (jitter * jnp.minimum(jnp.exp(state.log_step), 1.25 * length / steps))[:, None, None]
    momentum = sites(jnp.sqrt(mass) * modes(noise))
    kinetic = lambda p: 0.5 * jnp.sum(jnp.abs(modes(p)) ** 2 / mass, -1)

    def leapfrog(_: Any, carry: Any) -> Any:
        x, p, slope = carry
        p = p - 0.5 * step * slope
        x = x + step * sites(modes(p) / mass)
        slope = gradient(x)
        return x, p - 0.5 * step * slope, slope

    before = action(state.values) + kinetic(momentum)
    x, p, _ = lax.fori_loop(0, steps.astype(int), leapfrog, (state.values, momentum, gradient(state.values)))
    gain = jnp.nan_to_num(before - action(x) - kinetic(p), nan=-jnp.inf)
    # Uniform in (0, 1]: the logarithm is finite.
    accepted = jnp.log(uniform[1, ..., -1]) < gain
    values = jnp.where(accepted[..., None], x, state.values)
    values = system.space.wrap(values)
    if form.signs:
        values = kinks.redraw_signs(uniform[2, ..., :-1], values, betas, system)
    elif form.even:
        # x → −x is a symmetry: either sign with probability ½.
        values = values * jnp.where(uniform[2, ..., -1:] < 0.5, 1.0, -1.0)

    rate = jnp.minimum(jnp.exp(gain), 1.0).mean(1)
    pace = 1.5 / jnp.sqrt(state.done + 2.0)
    log_step = jnp.where(adapting, jnp.clip(state.log_step + pace * (rate - target), -12.0, 0.7), state.log_step)
    info, heading = {"acceptance": jnp.mean(accepted), "steps": steps}, state.heading
    if form.ladder:
        # Of these uniform numbers only the very first is used above, and there is one pair fewer than there are rungs.
        gained = exchange.gain(lambda x: action(x.swapaxes(0, 1)).T, values.swapaxes(0, 1), state.done)
        source, heading, swaps = exchange.swap(uniform[0, 1:, :, -1].T, gained, heading.T, state.done)
        values, heading = jnp.take_along_axis(values, source.T[..., None], 0), heading.T
        info |= exchange.means(swaps)
    return State(key, values, log_step, raw, state.done + 1, heading), info


def _normal(first: Any, second: Any) -> tuple[Any, Any]:
    """Two arrays of independent normal numbers from two of uniform ones (Box and Muller).

    In single precision, which rounds the noise by 1e-7: in double precision these lines take longer to compile than all
    the rest of a trajectory.
    """
    radius = jnp.sqrt(-2 * jnp.log(first.astype(jnp.float32)))
    phase = jnp.float32(TURN) * second.astype(jnp.float32)
    return (radius * jnp.cos(phase)).astype(float), (radius * jnp.sin(phase)).astype(float)


def _transforms(lattice: Any) -> tuple[Any, Any]:
    """To modes and back, for flat sites on the last axis: unitary Fourier transforms, or nothing at all."""
    if lattice.kind != "hypercubic" or not lattice.periodic:
        return lambda values: values, lambda values: values
    shape = lattice.shape
    axes = tuple(range(-len(shape), 0))

    def modes(values: Any) -> Any:
        lead = values.shape[:-1]
        return jnp.fft.fftn(values.reshape((*lead, *shape)), axes=axes, norm="ortho").reshape((*lead, -1))

    def sites(values: Any) -> Any:
        lead = values.shape[:-1]
        return jnp.fft.ifftn(values.reshape((*lead, *shape)), axes=axes, norm="ortho").real.reshape((*lead, -1))

    return modes, sites
