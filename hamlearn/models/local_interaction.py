"""Local energies of unknown form: a sum over windows of a pair part and a neural network, the same at every site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from hamlearn.arguments import require_number, require_whole, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models import dense
from hamlearn.models.traits import TRAINED, Model, Traits
from hamlearn.systems.base import Space
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.lattice import hypercubic

MAX_STATES = 4096
"""Most states of a window: the curvature of the likelihood is a matrix of that size (12 spins, 7 three-state sites)."""


@dataclass(frozen=True, eq=False, init=False)
class LocalInteraction(Model):
    """H(σ) = Σ_x E(σ in the window at x), with E a network that is learned from microstates directly.

    E has two parts: all pair products within the window and a field, linear in their strengths, and a dense network of
    the window's states that can represent any function of them. The penalty on the network's weights is chosen by held-out
    likelihood, and where the pairs explain the data as well, the network is left out: the data decide whether there are
    interactions of many spins. Energies are trained on the conditionals of single sites (pseudo-likelihood), no density
    of whole microstates is needed in between; interactions of long range or that depend on the place are outside the family.

    Parameters
    ----------
    window : int or sequence of int
        Extents of the window; one number is the extent along every axis. Two sites interact if a window holds both.
        The default 3 reaches second neighbours along each axis; at most 4096 states (12 spins).
    hidden : sequence of int
        Widths of the network's layers.
    members : int
        Networks trained on data perturbed as a repetition of the experiment would, from different starts. Their scatter
        is the uncertainty; 32 put one or two beyond each end of a 90 % band.
    decay : "auto", float or None
        Weight of Σ w² of the network in units of log-likelihood; None leaves the network out.
    activation : {"silu", "tanh", "relu"}
        Nonlinearity of the layers.

    Raises
    ------
    HamlearnError
        If a number is out of range.

    Notes
    -----
    Neural local energies on conditionals: Jayakumar, Lokhov, Misra and Vuffray, "Learning of discrete graphical models
    with neural networks" (NeurISE), NeurIPS 2020. Pseudo-likelihood: Besag 1975.

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.LocalInteraction(window=2, members=8)
    LocalInteraction(window=2, hidden=(32, 32), members=8)
    """

    window: int | tuple[int, ...]
    hidden: tuple[int, ...]
    members: int
    decay: str | float | None
    activation: str
    kind: ClassVar[str] = "local_interaction"
    traits: ClassVar[Traits] = Traits(
        "local_interaction", "a local energy", draw="network", groups=("point", "observed_data", "weights"), closed=TRAINED
    )

    def __init__(
        self,
        window: int | Sequence[int] = 3,
        hidden: Sequence[int] = (32, 32),
        members: int = 32,
        decay: str | float | None = "auto",
        activation: str = "silu",
    ) -> None:
        numbers = {
            "window": np.atleast_1d(window),
            "hidden": np.atleast_1d(hidden),
            "members": np.array([require_whole(members, "members")]),
        }
        for name, values in numbers.items():
            if not len(values) or not np.issubdtype(values.dtype, np.integer) or np.any(values < 1):
                raise HamlearnError(f"{name} must be positive whole numbers; got {shown(values.tolist())}.")
        extents = int(window) if isinstance(window, int | np.integer) else tuple(int(one) for one in window)
        if isinstance(decay, str):
            choice(decay, ("auto",), "decay (or a number, or None)")
        elif decay is not None:
            require_number(decay, "decay, which weighs the squares of the weights,", above=0, also=" (None: no network)")
        choice(activation, dense.ACTIVATIONS, "activation")
        found = (extents, tuple(int(one) for one in np.atleast_1d(hidden)), int(members), decay, activation)
        for field, value in zip(fields(self), found, strict=True):
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        more = "" if self.decay == "auto" else f", decay={self.decay!r}"
        return f"LocalInteraction(window={self.window!r}, hidden={self.hidden}, members={self.members}{more})"

    def bind(self, space: Space, shape: Sequence[int]) -> BoundLocalInteraction:
        """The family on a periodic lattice of extents `shape`.

        Raises
        ------
        HamlearnError
            If the space is continuous, or the window does not fit or has more than 4096 states.
        """
        extents = (self.window,) * len(shape) if isinstance(self.window, int) else self.window
        if space.continuous:
            raise HamlearnError(f"LocalInteraction looks energies up by the states of a window; {space.name} are continuous.")
        if len(extents) != len(shape) or any(w > size for w, size in zip(extents, shape, strict=True)):
            raise HamlearnError(f"a window of extents {extents} does not fit on sites of shape {tuple(shape)}: choose window= smaller.")
        n = int(np.prod(extents))
        if n * np.log2(space.q) > np.log2(MAX_STATES) + 1e-9:
            raise HamlearnError(
                f"a window of {n} sites with q={space.q} has {space.q}**{n} states; LocalInteraction can learn from {MAX_STATES} at most. "
                "Choose window= smaller, such as window=2."
            )
        return BoundLocalInteraction(self, space, tuple(int(size) for size in shape), extents)


@dataclass(frozen=True, eq=False)
class BoundLocalInteraction:
    """The family on the sites of the data.

    Attributes
    ----------
    model : LocalInteraction
    space : Space
    shape : tuple of int
        Extents of the periodic lattice.
    window : tuple of int
        Extents of the window.
    """

    model: LocalInteraction
    space: Space
    shape: tuple[int, ...]
    window: tuple[int, ...]

    @cached_property
    def states(self) -> np.ndarray:
        """Value indices of the window's sites for every code, ``(S, n)``."""
        return dense.tile_codes(self.space, int(np.prod(self.window)))

    @cached_property
    def inputs(self) -> np.ndarray:
        """What the network sees of every code, ``(S, n (q − 1))``."""
        return dense.contrasts(self.space)[self.states].reshape(len(self.states), -1)

    @cached_property
    def _linear(self) -> tuple[list[str], np.ndarray]:
        shown = dense.contrasts(self.space)[self.states]  # (S, n, q − 1)
        names, columns = [], []
        component = (lambda *k: "") if self.space.q == 2 else (lambda *k: f"({','.join(map(str, k))})")
        for a in range(self.space.q - 1):
            names.append(f"field{component(a)}")
            columns.append(shown[..., a].mean(1))
        for displacement, places in sorted(self._placements().items()):
            for a, b in np.ndindex(self.space.q - 1, self.space.q - 1):
                names.append(f"pair[{','.join(map(str, self._signed(displacement)))}]{component(a, b)}")
                columns.append(np.mean([shown[:, i, a] * shown[:, j, b] for i, j in places], axis=0))
        return names, np.stack(columns, 1)

    def _signed(self, displacement: tuple[int, ...]) -> tuple[int, ...]:
        """A displacement on the torus the shorter way around."""
        return tuple(x if 2 * x <= size else x - size for x, size in zip(displacement, self.shape, strict=True))

    def _placements(self) -> dict[tuple[int, ...], list[tuple[int, int]]]:
        """Pairs of window sites by their displacement on the torus, each unordered pair once."""
        sites = np.array(list(np.ndindex(*self.window)))
        found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for i in range(len(sites)):
            for j in range(i + 1, len(sites)):
                forward, backward = (tuple(int(x) for x in one % self.shape) for one in (sites[j] - sites[i], sites[i] - sites[j]))
                key, pair = (forward, (i, j)) if forward <= backward else (backward, (j, i))
                found.setdefault(key, []).append(pair)
        return found

    @property
    def term_names(self) -> list[str]:
        """``field`` and ``pair[displacement]``, the columns of :attr:`terms`."""
        return self._linear[0]

    @property
    def terms(self) -> np.ndarray:
        """Pair part of E: its columns times their strengths, ``(S, n_terms)``; averages over placements in the window."""
        return self._linear[1]

    def start(self, seed: int) -> dense.Weights:
        """Fresh weights of the network, whose output is small."""
        return dense.initial((self.inputs.shape[1], *self.model.hidden, 1), seed, last=0.1)

    def table(self, weights: dense.Weights, strengths: Any) -> Any:
        """E of every code, shape ``(S,)``, of mean zero (JAX)."""
        deep = dense.evaluate(weights, jnp.asarray(self.inputs), self.model.activation)[:, 0]
        return deep - deep.mean() + jnp.asarray(self.terms) @ strengths

    def strengths(self, tables: np.ndarray) -> np.ndarray:
        """Strengths K of fields and pairs that tables ``(..., S)`` hold, ``(..., n_terms)``: H = Σ K (product) + rest.

        The rest is orthogonal to all of them over uniformly random states.
        """
        norm = (self.terms**2).mean(0)
        return tables @ self.terms / len(self.terms) / norm

    def system(self, table: np.ndarray, shape: Sequence[int] | None = None) -> InteractionTables:
        """The energy of one table, on the lattice of the data or another."""
        return InteractionTables(hypercubic(tuple(shape or self.shape)), self.window, table, 1, self.space, name="Learned")
