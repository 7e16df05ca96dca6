"""Restricted Boltzmann machines: visible sites coupled to binary hidden units, and not to each other, which are summed out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hamlearn import spaces
from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import SPINS, Space, as_reals, as_site_axes, broadcast_parameter
from hamlearn.systems.hidden import MOST_DRAWN, HiddenLayer
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import ParametricSystem, parameter


class Density(Protocol):
    """A machine with its normaliser, which draws of itself."""

    def log_prob(self, states: Any, beta: float | None = None) -> np.ndarray:
        """Ln p of states ``(..., *shape)``."""
        ...

    def sample(self, count: int, seed: int, beta: float | None = None) -> np.ndarray:
        """Microstates ``(count, *shape)``."""
        ...


@dataclass(frozen=True, eq=False, init=False)
class RestrictedBoltzmannMachine(ParametricSystem, kind="rbm"):
    r"""Spins or Potts states whose energy is that of hidden units summed out.

    Of units in {0, 1} the joint law at the machine's own inverse temperature β_o is ln p(v, h) = b·v + c·h + v·W·h − ln Z, and the
    energy of the visible ones alone is

    .. math:: H(v) = -\Bigl[\sum_i b_i v_i + \sum_j \ln\bigl(1 + e^{c_j + \sum_i v_i W_{ij}}\bigr)\Bigr] \Big/ \beta_o ,

    so that its law at β = β_o is the machine's, and at another β it is what every learned system is: βH.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        The visible sites.
    visible_bias : array (n_sites,); of states (n_sites, q)
        b, in units of kT at β_o.
    hidden_bias : array (m,)
        c, in units of kT at β_o.
    weights : array (n_sites, m); of states (n_sites, q, m)
        W, in units of kT at β_o.
    space : Space
        Spins, or states of one number of values for all sites.
    beta : float
        β_o, at which the machine's law is its own: 1, or that of the data it was learned from.
    log_z : float
        What ln p is less by: ln Z of a machine whose normaliser is known, so that H = −ln p/β_o, else 0.

    Raises
    ------
    HamlearnError
        If the space is another, or a parameter has the wrong shape or is not finite.

    Notes
    -----
    Spins ±1 enter as units v = (1 + σ)/2 in {0, 1}, the convention of Smolensky (1986), Hinton (2002) and of nearly all published
    machines, so that weights can be taken from them as they are; states enter one-hot. Weights of machines of units ±1
    are four times smaller: W = 4 W', b = 2 b' − 2 Σ_j W'_ij, c = 2 c' − 2 Σ_i W'_ij.

    Of at most 20 hidden units log Z is exact on any number of sites (:func:`hamlearn.systems.exact.log_partition`), and of at most
    16 the draws of ``hl.simulate`` are independent. Sites and hidden units in turn are drawn by the sampler "block_gibbs".

    Examples
    --------
    >>> import numpy as np
    >>> import hamlearn as hl
    >>> rng = np.random.default_rng(0)
    >>> machine = hl.systems.RestrictedBoltzmannMachine((5, 5), np.zeros(25), np.zeros(3), rng.normal(size=(25, 3)))
    >>> machine
    RestrictedBoltzmannMachine(shape=(5, 5), 3 hidden units)
    >>> float(machine.energy(-np.ones((5, 5))).round(6))  # all units are 0: −3 ln 2
    -2.079442
    >>> round(hl.systems.exact.log_partition(machine, 1.0), 3)
    29.882
    >>> data = hl.simulate(machine, sampler="block_gibbs", beta=1.0, burn_in=10, draws=1, chains=1000, seed=0)
    >>> data["state"].shape
    (1000, 1, 5, 5)
    """

    lattice: Lattice
    visible_bias: np.ndarray
    hidden_bias: np.ndarray
    weights: np.ndarray
    space: Space
    beta: float
    log_z: float

    def __init__(
        self,
        shape: int | Sequence[int] | Lattice,
        visible_bias: Any,
        hidden_bias: Any,
        weights: Any,
        space: Space = SPINS,
        beta: float = 1.0,
        log_z: float = 0.0,
    ) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape)
        require_visible(space)
        values = () if space.binary else (space.q,)
        hidden = np.shape(hidden_bias)
        if len(hidden) != 1 or not hidden[0]:
            raise HamlearnError(f"hidden_bias must be an array (m,), a number for every hidden unit; got shape {hidden}.")
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "visible_bias", broadcast_parameter(visible_bias, (lattice.n_sites, *values), "visible_bias"))
        object.__setattr__(self, "hidden_bias", broadcast_parameter(hidden_bias, hidden, "hidden_bias"))
        object.__setattr__(self, "weights", broadcast_parameter(weights, (lattice.n_sites, *values, *hidden), "weights"))
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "beta", float(require_number(beta, "beta", above=0)))
        object.__setattr__(self, "log_z", float(require_number(log_z, "log_z")))

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``; of NumPy, JAX or torch."""
        xp, flat = as_reals(states)
        flat = as_site_axes(flat, self.lattice.shape)
        if self.space.binary:
            units = (flat + 1) / 2
        else:
            every = xp.asarray(self.space.values.astype(float), dtype=flat.dtype)
            units = xp.astype(flat[..., None] == every, flat.dtype).reshape((*flat.shape[:-1], -1))
        visible, hidden, weights = (parameter(xp, one, flat.dtype) for one in (self.visible_bias, self.hidden_bias, self.weights))
        field = units @ weights.reshape((-1, weights.shape[-1])) + hidden
        softplus = xp.where(field > 0, field, xp.zeros_like(field)) + xp.log1p(xp.exp(-xp.abs(field)))
        return (self.log_z - units @ visible.reshape((-1,)) - xp.sum(softplus, axis=-1)) / self.beta

    @property
    def hidden_layer(self) -> HiddenLayer:
        """Its hidden units, every site's first value the reference."""
        n = self.lattice.n_sites
        if self.space.binary:
            visible, weights = self.visible_bias[:, None], self.weights[:, None]
            return HiddenLayer(visible, self.hidden_bias, weights, -self.log_z, self.beta)
        first, weights = self.weights[:, :1], self.weights[:, 1:] - self.weights[:, :1]
        visible = self.visible_bias[:, 1:] - self.visible_bias[:, :1]
        hidden, constant = self.hidden_bias + first.reshape(n, -1).sum(0), float(self.visible_bias[:, 0].sum()) - self.log_z
        return HiddenLayer(visible, hidden, weights, constant, self.beta)

    def own_draws(self, beta: float | None = None) -> Callable[[int, int], np.ndarray] | None:
        """At its own temperature: of so few hidden units that all their states are listed, or those of the density that was learned."""
        if not (beta is None or np.isclose(beta, self.beta, rtol=1e-9, atol=0.0)):
            return None
        density = self.__dict__.get("_density")
        if density is not None:
            return lambda count, seed: np.asarray(density.sample(count, seed))
        if len(self.hidden_bias) > MOST_DRAWN:
            return None
        layer, shape = self.hidden_layer, self.lattice.shape
        return lambda count, seed: np.asarray(self.space.from_index(layer.draws(count, seed).reshape(count, *shape)))

    def drawing(self, density: Density) -> RestrictedBoltzmannMachine:
        """The same machine, which knows the density that it is: what it draws of itself and ln p come from there."""
        new = copy.copy(self)
        object.__setattr__(new, "_density", density)  # no field: it is no parameter, and a description has no room for it
        return new

    @property
    def log_prob(self) -> Any:
        """Ln p of states, of a machine that was learned; others know no normaliser."""
        density = self.__dict__.get("_density")
        if density is None:
            raise AttributeError("a restricted Boltzmann machine that was not learned has no normalised ln p: only energies.")
        return density.log_prob

    @property
    def conditioned(self) -> bool:
        """Whether it knows other temperatures than its own: no."""
        return False

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> RestrictedBoltzmannMachine:
        """The machine that :meth:`to_dict` described."""
        given = {name: value for name, value in description.items() if name not in ("kind", "lattice", "space")}
        return cls(lattices.from_dict(description["lattice"]), space=spaces.from_dict(description["space"]), **given)

    def __repr__(self) -> str:
        return f"RestrictedBoltzmannMachine(shape={tuple(self.lattice.shape)}, {len(self.hidden_bias)} hidden units)"


def require_visible(space: Space) -> None:
    """An error unless sites of a space can be visible units: discrete, all with the same values, nothing fixed."""
    if space.continuous or space.constraint:
        fixed = "sites of a fixed sum" if space.constraint else space.name
        raise HamlearnError(f"a restricted Boltzmann machine has visible spins or states; got {fixed}.")
    if not space.uniform:
        raise HamlearnError("the sites of a restricted Boltzmann machine have the same values; here they have numbers of their own.")
