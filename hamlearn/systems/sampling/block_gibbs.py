"""Block Gibbs sampling: all hidden units given the sites, then all sites given the hidden units.

It asks a system for its layer of hidden units (:attr:`hamlearn.systems.System.hidden_layer`). A sweep is two products of a matrix with all
chains at once, so that thousands of chains cost little more than one. Source: Hinton, Neural Comput. 14, 1771 (2002).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.sampling import local
from hamlearn.systems.sampling.drawing import draw
from hamlearn.systems.sampling.loop import Engine
from hamlearn.systems.sampling.sampler import Sampler

_BUFFER = 1 << 26  # bytes of states that one compiled call may hold
_MOST_DRAWS = 256


@dataclass(frozen=True)
class BlockGibbs(Sampler):
    """Sites and hidden units in turn, each layer at once: restricted Boltzmann machines at their own temperature.

    A sweep draws all hidden units and then all sites. What published machines call k steps from random starts is ``burn_in=k, draws=1``
    with as many chains as microstates are wanted; such chains need not have come to the law of the machine.

    Examples
    --------
    >>> import numpy as np
    >>> import hamlearn as hl
    >>> machine = hl.systems.RestrictedBoltzmannMachine((4, 4), np.zeros(16), np.zeros(20), np.full((16, 20), 0.01))
    >>> data = hl.simulate(machine, 1.0, sampler=hl.systems.BlockGibbs(), burn_in=10, draws=1, chains=500)
    >>> data.attrs["sampler"], data.sizes["chain"]
    ('block_gibbs', 500)
    """

    name: ClassVar[str] = "block_gibbs"

    def refusal(self, system: System) -> str | None:
        """What has no hidden units."""
        return None if system.hidden_layer is not None else "it is for sites that are independent given a layer of hidden units"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """The system's own temperature."""
        return None if _other(system, betas) is not None else "all sites at once given the hidden units, and these given the sites"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """One compiled call for all chains."""
        other = _other(system, betas)
        if other is not None:
            assert system.hidden_layer is not None  # refusal() has seen to it
            raise HamlearnError(
                f"the hidden units of {system!r} are independent at its own temperature, beta={system.hidden_layer.beta:g}, and not at "
                f"beta={other:g}: take sampler='auto' or 'tempering' there."
            )
        return BlockGibbsEngine(system, np.repeat(betas, chains))


def _other(system: System, betas: np.ndarray) -> float | None:
    """A temperature that is not the system's own."""
    layer = system.hidden_layer
    return next((float(beta) for beta in betas if layer is None or not np.isclose(beta, layer.beta, rtol=1e-9, atol=0.0)), None)


class State(NamedTuple):
    """What the next sweep needs: a key (two uint32 words) and value indices ``(chains, n_sites)``."""

    key: Any
    values: Any


class Layer(NamedTuple):
    """The two layers as the kernel takes them: b ``(n, q − 1)``, c ``(m,)`` and W ``(n (q − 1), m)``."""

    visible: Any
    hidden: Any
    weights: Any


class BlockGibbsEngine:
    """All chains of one system with hidden units.

    Parameters
    ----------
    system : System
        With a ``hidden_layer``.
    betas : array (chains,)
        The system's own temperature, for every chain.
    """

    def __init__(self, system: System, betas: np.ndarray) -> None:
        layer, self.space = system.hidden_layer, system.space
        assert layer is not None  # the sampler has seen to it
        m = len(layer.hidden)
        arrays = layer.visible, layer.hidden, layer.weights.reshape(-1, m)
        self.layer = Layer(*(np.asarray(one, np.float32) for one in arrays))
        self.lead: tuple[int, ...] = (len(betas),)
        self.n_sites = system.lattice.n_sites
        # A product with a matrix row costs about a tenth of the update of a site for every hidden unit.
        self.updates_per_step = len(betas) * (self.n_sites + m) * max(1, m // 10)
        self.capacity = int(np.clip(_BUFFER // (len(betas) * self.n_sites), 1, _MOST_DRAWS))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(chains, n_sites)``."""
        return State(seed.generate_state(2, np.uint32), np.asarray(self.space.index(values), np.int8))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, chains, n_sites)``, and the share of sites that changed, summed."""
        new, total, buffer = _advance(state, self.layer, draws, thin, capacity=self.capacity)
        info = {name: np.asarray(value) for name, value in total.items()}
        return State(*(np.asarray(leaf) for leaf in new)), self.space.from_index(np.asarray(buffer[:draws])), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state


@functools.partial(jax.jit, static_argnames=("capacity",))
def _advance(state: State, layer: Layer, draws: Any, thin: Any, *, capacity: int) -> Any:
    return draw(functools.partial(_sweep, layer=layer), state, draws, thin, capacity)


def _sweep(state: State, *, layer: Layer) -> tuple[State, dict[str, Any]]:
    key, units = given_sites(state.key, one_hot(state.values, layer), layer)
    key, values = given_units(key, units, layer)
    return State(key, values), {"acceptance": jnp.mean(values != state.values)}


def one_hot(values: Any, layer: Layer) -> Any:
    """Value indices ``(chains, n)`` as visible units ``(chains, n (q − 1))``."""
    q = layer.visible.shape[-1] + 1
    return (values[..., None] == jnp.arange(1, q, dtype=values.dtype)).astype(jnp.float32).reshape((*values.shape[:-1], -1))


def given_sites(key: Any, shown: Any, layer: Layer) -> tuple[Any, Any]:
    """Next key, and hidden units ``(chains, m)`` drawn given visible units."""
    field = jnp.matmul(shown, layer.weights, precision=lax.Precision.HIGHEST) + layer.hidden
    key, words = local.random_words(key, field.shape)
    return key, (local.uniform(words) < jax.nn.sigmoid(field)).astype(jnp.float32)


def given_units(key: Any, units: Any, layer: Layer) -> tuple[Any, Any]:
    """Next key, and value indices ``(chains, n)`` drawn given hidden units."""
    n, others = layer.visible.shape
    field = jnp.matmul(units, layer.weights.T, precision=lax.Precision.HIGHEST).reshape((len(units), n, others)) + layer.visible
    if others == 1:
        key, words = local.random_words(key, field.shape[:-1])
        return key, (local.uniform(words) < jax.nn.sigmoid(field[..., 0])).astype(jnp.int8)
    key, words = local.random_words(key, (*field.shape[:-1], others + 1))
    noisy = jnp.concatenate([jnp.zeros((*field.shape[:-1], 1), field.dtype), field], -1) - jnp.log(-jnp.log(_open(words)))
    return key, jnp.argmax(noisy, -1).astype(jnp.int8)


def _open(words: Any) -> Any:
    """Uniform numbers below 1, whose double logarithm is finite."""
    return jnp.minimum(local.uniform(words), jnp.float32(1 - 2**-24))
