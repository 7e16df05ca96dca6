"""Quantum mechanics in imaginary time: periodic paths of one coordinate.

S[x] = Σ_i [κ (x_{i+1} − x_i)²/(2a) + a V(x_i)] with a = β/N_τ: a discretised path integral for a particle of mass κ in
the potential V at inverse temperature β (Creutz and Freedman, Ann. Phys. 132, 427, 1981).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn import memory
from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, check_beta
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import ParametricSystem
from hamlearn.systems.potentials import Potential, potential_from_dict, potential_name, potential_to_dict


@dataclass(frozen=True, eq=False)
class Path(ParametricSystem, kind="path", structure=("n_tau", "periodic")):
    """Imaginary-time paths x_0 … x_{N_τ−1}: S = Σ [κ (Δx)²/(2a) + a V(x)].

    Parameters
    ----------
    n_tau : int
        Number of time slices N_τ.
    potential : DoubleWell, Polynomial or callable
        V(x), elementwise. A callable written with array operators runs in the jitted samplers; any other is evaluated
        with NumPy. A file keeps the name of a function only: see :func:`hamlearn.systems.from_dict`.
    kinetic : float
        κ, the mass of the particle, > 0.
    a : float, optional
        Width of a time slice. By default a = β/N_τ, so that β enters the action as S = K/β + βV with K
        (:meth:`kinetic_part`) and V (:meth:`potential_part`) free of β. A given width fixes the action (β = a N_τ):
        the argument ``beta`` of :meth:`action` then changes nothing, and another temperature is another N_τ.
    periodic : bool
        x_{N_τ} = x_0, the trace of exp(−βH) (the default); otherwise both ends are free, with no link between them.

    Raises
    ------
    HamlearnError
        If an argument is out of range.

    Notes
    -----
    log Z of a path uses the plain measure Π dx_i: the factor (κ/2πa)^(N_τ/2) of the path integral is left out.

    Examples
    --------
    >>> from hamlearn.systems import DoubleWell, Path
    >>> path = Path(64, DoubleWell(4.0, 2.8))
    >>> float(path.action(np.full(64, 1.4), beta=20.0))  # at rest in a minimum
    0.0
    """

    n_tau: int
    potential: Potential
    kinetic: float = 1.0
    a: float | None = None
    periodic: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.n_tau, bool) or not isinstance(self.n_tau, int | np.integer) or self.n_tau < 2:
            raise HamlearnError(f"n_tau, the number of time slices, must be an integer of at least 2; got {self.n_tau!r}.")
        if not callable(self.potential):
            raise HamlearnError(
                f"potential must be DoubleWell(lam, mu), Polynomial([c1, c2, ...]) or a function V(x); got {self.potential!r}."
            )
        require_number(self.kinetic, "kinetic", above=0)
        require_number(1.0 if self.a is None else self.a, "a", above=0)
        memory.require(48 * int(self.n_tau), f"n_tau = {self.n_tau} time slices", "Ask for fewer.")
        try:
            found = np.shape(np.asarray(self.potential(np.linspace(-1.0, 1.0, 6).reshape(2, 3)), float))
        except Exception as error:  # a user's function fails as it likes
            raise HamlearnError(
                f"the potential {potential_name(self.potential)!r} must map arrays x to V(x); it failed: {error}"
            ) from error
        if found != (2, 3):
            raise HamlearnError(f"the potential must act on every x by itself; of shape (2, 3) it made {found}.")

    @cached_property
    def lattice(self) -> Lattice:
        """A chain (ring) of time slices."""
        return lattices.hypercubic(int(self.n_tau), periodic=self.periodic)

    @property
    def space(self) -> Space:
        """Real numbers."""
        return REALS

    @cached_property
    def pure_jax(self) -> bool:
        """Whether JAX can trace the potential, so that the jitted samplers may step it."""
        try:
            jax.eval_shape(self.potential, jnp.zeros(3))
        except Exception:  # whatever a user's function raises when it meets a tracer
            return False
        return True

    @property
    def nearest_path(self) -> Path:
        """Itself: what the transfer operator asks for."""
        return self

    @property
    def slice_width(self) -> float | None:
        """The width that was given."""
        return self.a

    @cached_property
    def even(self) -> bool:
        """Whether V(−x) = V(x), so that x → −x is a symmetry of the action."""
        x = np.linspace(0.05, 6.0, 101)
        left, right = np.asarray(self.potential(-x), float), np.asarray(self.potential(x), float)
        return bool(np.allclose(left, right, rtol=1e-12, atol=0))

    def spacing(self, beta: float) -> float:
        """Width a of a time slice at `beta`: β/N_τ, or the width that was given."""
        return beta / self.n_tau if self.a is None else self.a

    def temperature(self, beta: float) -> float:
        """The inverse temperature that the action belongs to: `beta`, or a N_τ where the width was given."""
        return beta if self.a is None else self.a * self.n_tau

    def kinetic_part(self, states: Any) -> Any:
        """K = κ N_τ Σ (x_{i+1} − x_i)²/2 of paths ``(..., n_tau)``, shape ``(...)``; free of β."""
        xp, x = self._paths(states)
        steps = xp.roll(x, -1, axis=-1) - x
        steps = steps if self.periodic else steps[..., :-1]
        return self.n_tau * xp.sum(self.link(steps), axis=-1)

    @property
    def quadratic(self) -> bool:
        """Whether the kinetic term is κ(Δx)²/2, as that of a particle."""
        return True

    def link(self, steps: Any) -> Any:
        """k(Δx) of steps, elementwise, K = N_τ Σ k: here κ(Δx)²/2."""
        return 0.5 * self.kinetic * steps * steps

    def near_link(self, steps: np.ndarray) -> np.ndarray:
        """The same as quickly as it can be had, to 1e-6: for samplers."""
        return np.asarray(self.link(steps))

    def potential_part(self, states: Any) -> Any:
        """V = (1/N_τ) Σ V(x_i), the mean potential energy along each path, shape ``(...)``; free of β."""
        xp, x = self._paths(states)
        return xp.sum(self.potential(x), axis=-1) / self.n_tau

    def energy(self, states: Any) -> Any:
        """Mean potential energy along each path, :meth:`potential_part`.

        A path has no energy E with S = βE: its kinetic term goes as 1/β. This is the part that does not depend on β;
        probabilities come from :meth:`action`.
        """
        return self.potential_part(states)

    def action(self, states: Any, beta: float = 1.0) -> Any:
        """S = K/β + βV of paths ``(..., n_tau)``, shape ``(...)``; with a given ``a``, `beta` changes nothing."""
        at = self.temperature(beta)
        return self.kinetic_part(states) / at + at * self.potential_part(states)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description.

        Raises
        ------
        HamlearnError
            If the potential is a function without a name of its own.
        """
        return {
            "kind": "path",
            "n_tau": int(self.n_tau),
            "potential": potential_to_dict(self.potential),
            "kinetic": float(self.kinetic),
            "a": None if self.a is None else float(self.a),
            "periodic": bool(self.periodic),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any], potential: Potential | None = None) -> Path:
        """The path that :meth:`to_dict` described; a `potential` that was a function is given again."""
        given = {key: description[key] for key in ("kinetic", "a", "periodic")}
        return cls(description["n_tau"], potential_from_dict(description["potential"], potential), **given)

    def _paths(self, states: Any) -> tuple[Any, Any]:
        xp, states = as_reals(states)
        if states.ndim < 1 or states.shape[-1] != self.n_tau:
            raise HamlearnError(f"expected paths with {self.n_tau} time slices on the last axis; got shape {tuple(states.shape)}.")
        return xp, states

    def __repr__(self) -> str:
        width = "" if self.a is None else f", a={self.a}"
        return f"Path(n_tau={self.n_tau}, {potential_name(self.potential)}, kinetic={self.kinetic}{width})"


def one_temperature(beta: Any) -> float:
    """`beta` as one positive number."""
    if np.ndim(beta) != 0:
        raise HamlearnError(f"one beta is needed here; got shape {np.shape(beta)}: call once per temperature.")
    return float(check_beta(beta))
