"""Extensive networks: one dense network shared by overlapping tiles of the lattice, outputs summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn import spaces
from hamlearn.arguments import require_whole, require_words, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models import dense
from hamlearn.models.traits import ENERGIES, TRAINED, Model, Traits
from hamlearn.statistics import power
from hamlearn.systems.base import Space, System, as_site_axes
from hamlearn.systems.interaction_tables import MAX_TABLE, InteractionTables, tile_sites
from hamlearn.systems.lattice import Lattice, hypercubic
from hamlearn.systems.parametric import ParametricSystem

Weights = dict[str, Any]
"""Arrays by name: ``matrix_k``, ``offset_k`` of the layers, ``place``, ``readout`` of site-aware ones, ``field``, ``pairs``."""

_ROWS = 4096  # tiles evaluated at once on a table


@dataclass(frozen=True, init=False)
class Extensive(Model):
    """E(σ) = Σ_t ε(σ in tile t): tiles of (focus + 2 context) sites along each axis, one function ε for all of them.

    ε is a dense network, added to fields and pair products of the tile's sites (``pairs=True``), whose strengths are
    solved for by least squares. The network is trained on what these leave, and left out where held-out states say that it adds
    nothing: energies of pairs, the most frequent kind, are then learned exactly and from few states.

    The sum makes it extensive: learned on one lattice, it is an energy on any periodic lattice whose extents the focus
    divides, with an error per site that does not grow. Fitted to labelled energies by :func:`hamlearn.infer.distill`.

    Parameters
    ----------
    focus : int
        Extent of the block of sites that a tile speaks for; blocks do not overlap.
    context : int
        Sites around the focus that a tile sees on each side: at least the range of the interactions. Too much of it
        has to be learned to be ignored; :func:`hamlearn.infer.locality` measures the error against it.
    hidden : sequence of int
        Widths of the layers.
    members : int
        Networks trained from different starts; their scatter is part of the uncertainty, of what they share it knows
        nothing.
    activation : {"relu", "silu", "tanh"}
        Nonlinearity.
    site_aware : bool
        Every tile gets offsets of the first layer and an output layer of its own, for couplings that depend on the
        place (a spin glass); then there is no other lattice size.
    symmetry : sequence of {"z2"}
        "z2": ε averaged over a flip of all spins.
    outputs : int
        Numbers predicted, each a sum over tiles; only one of them makes an energy.
    pairs : bool
        Whether ε has the linear part; without it (False) it is the network alone, as published.

    Raises
    ------
    HamlearnError
        If a number is out of range.

    Notes
    -----
    Mills, Ryczko, Luchak, Domurad, Beeler and Tamblyn, "Extensive deep neural networks for transferring small scale
    learning to large scale systems", Chem. Sci. 10, 4129 (2019). The defaults are those used there and in
    distribution-consistent learning for 2D spins. The layers' widths (32, 64) and ReLU are the published ones.

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.Extensive(focus=2, context=1)
    Extensive(focus=2, context=1, hidden=(32, 64))
    """

    focus: int
    context: int
    hidden: tuple[int, ...]
    members: int
    activation: str
    site_aware: bool
    symmetry: tuple[str, ...]
    outputs: int
    pairs: bool
    kind: ClassVar[str] = "extensive"
    traits: ClassVar[Traits] = Traits(
        "extensive", "an extensive network", draw="network", groups=("weights",), quantities=ENERGIES, closed=TRAINED
    )

    def __init__(
        self,
        focus: int = 2,
        context: int = 1,
        hidden: Sequence[int] = (32, 64),
        members: int = 1,
        activation: str = "relu",
        *,
        site_aware: bool = False,
        symmetry: str | Sequence[str] = (),
        outputs: int = 1,
        pairs: bool = True,
    ) -> None:
        for name, number in {"focus": focus, "members": members, "outputs": outputs}.items():
            require_whole(number, name)
        require_whole(context, "context", 0)
        array = np.atleast_1d(hidden)
        if not len(array) or not np.issubdtype(array.dtype, np.integer) or np.any(array < 1):
            raise HamlearnError(f"hidden must be positive whole numbers; got {shown(hidden)}.")
        choice(activation, dense.ACTIVATIONS, "activation")
        names = require_words(symmetry, "symmetry")
        symmetries = tuple(choice(name, ("z2",), "symmetry") for name in names)
        widths = tuple(int(one) for one in np.atleast_1d(hidden))
        found = (int(focus), int(context), widths, int(members), activation, bool(site_aware), symmetries, int(outputs), bool(pairs))
        for field, value in zip(fields(self), found, strict=True):
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        plain = Extensive(self.focus, self.context, self.hidden)
        more = [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self)[3:]]
        same = [f"{field.name}={getattr(plain, field.name)!r}" for field in fields(self)[3:]]
        said = [one for one, other in zip(more, same, strict=True) if one != other]
        return f"Extensive({', '.join([f'focus={self.focus}', f'context={self.context}', f'hidden={self.hidden}', *said])})"

    def bind(self, space: Space, shape: Sequence[int]) -> BoundExtensive:
        """The networks on a periodic lattice of extents `shape`.

        Raises
        ------
        HamlearnError
            If the space is continuous, the focus does not divide an extent, a tile does not fit, or "z2" is asked of states.
        """
        extent = self.focus + 2 * self.context
        if space.continuous:
            raise HamlearnError(f"Extensive is shown the states of discrete sites (spins, states); {space.name} are continuous.")
        if "z2" in self.symmetry and not space.binary:
            raise HamlearnError(f"symmetry 'z2' is the flip of spins; the sites hold {space.name}.")
        if any(size % self.focus or size < extent for size in shape):
            raise HamlearnError(
                f"focus={self.focus}, context={self.context} needs extents that are multiples of {self.focus} and at least {extent}; "
                f"got {tuple(shape)}. Choose another focus or context."
            )
        return BoundExtensive(self, space, tuple(int(size) for size in shape))


@dataclass(frozen=True)
class BoundExtensive:
    """The networks of a model on the sites of some data; equal by content, so that another one like it compiles nothing.

    Attributes
    ----------
    model : Extensive
    space : Space
    shape : tuple of int
        Extents of the periodic lattice.
    """

    model: Extensive
    space: Space
    shape: tuple[int, ...]

    @property
    def window(self) -> tuple[int, ...]:
        """Extents of a tile."""
        return (self.model.focus + 2 * self.model.context,) * len(self.shape)

    @property
    def stride(self) -> tuple[int, ...]:
        """Distance of neighbouring tiles: the focus."""
        return (self.model.focus,) * len(self.shape)

    @cached_property
    def tile_sites(self) -> np.ndarray:
        """Sites of every tile ``(n_tiles, n)``, a tile anchored at every multiple of the focus."""
        return tile_sites(self.shape, self.window, self.stride)

    @property
    def table_states(self) -> float:
        """Number of states of a tile."""
        return power(self.space.q, self.tile_sites.shape[1])

    def start(self, seed: int) -> Weights:
        """Fresh weights."""
        model = self.model
        inputs = self.tile_sites.shape[1] * (self.space.q - 1)
        weights: Weights = dense.as_arrays(dense.initial((inputs, *model.hidden, model.outputs), seed, last=0.3))
        if model.site_aware:
            tiles = len(self.tile_sites)
            generator = np.random.default_rng([seed, 1])
            weights["place"] = generator.normal(scale=0.3, size=(tiles, model.hidden[0]))
            weights["readout"] = np.zeros((tiles, model.hidden[-1], model.outputs))
        return {name: np.asarray(value, np.float32) for name, value in weights.items()}

    def hidden(self, weights: Weights, shown: Any) -> Any:
        """Last hidden layer ``(..., tile, width)`` of what tiles are shown, ``(..., tile, inputs)``."""
        function, layers = dense.ACTIVATIONS[self.model.activation], dense.from_names(weights)
        value = shown
        for index, (matrix, offset) in enumerate(layers[:-1]):
            value = value @ matrix + offset
            if index == 0 and self.model.site_aware:
                value = value + weights["place"]
            value = function(value)
        return value

    def features(self, weights: Weights, index: Any) -> Any:
        """Last hidden layer of all tiles of states (as value indices) ``(batch, n_sites)``, ``(batch, tile, width)``."""
        shown = self.shown(index)
        value = self.hidden(weights, shown)
        return (value + self.hidden(weights, -shown)) / 2 if "z2" in self.model.symmetry else value

    def shown(self, index: Any) -> Any:
        """What tiles of states (as value indices) ``(batch, n_sites)`` are shown, ``(batch, tile, inputs)``."""
        table = jnp.asarray(dense.contrasts(self.space), jnp.float32)
        return jnp.take(jnp.take(table, index, axis=0), jnp.asarray(self.tile_sites, jnp.int32), axis=1).reshape(
            len(index), len(self.tile_sites), -1
        )

    def local(self, weights: Weights, shown: Any) -> Any:
        """ε of what tiles are shown, ``(batch, tile, inputs)``, shape ``(batch, tile, outputs)``."""
        value = self.hidden(weights, shown)
        if "z2" in self.model.symmetry:
            value = (value + self.hidden(weights, -shown)) / 2
        matrix, offset = dense.from_names(weights)[-1]
        total = value @ matrix + offset
        if self.model.site_aware:
            total = total + jnp.einsum("btw,two->bto", value, weights["readout"])
        if "pairs" in weights:
            tiled = "t" if self.model.site_aware else ""
            total = total + jnp.einsum(f"bti,{tiled}ijo,btj->bto", shown, weights["pairs"], shown)
            total = total + jnp.einsum(f"bti,{tiled}io->bto", shown, weights["field"])
        return total

    def outputs(self, weights: Weights, index: Any) -> Any:
        """Sums over tiles of states (as value indices) ``(batch, n_sites)``, shape ``(batch, outputs)`` (JAX)."""
        return self.local(weights, self.shown(index)).sum(1)

    def tables(self, weights: Weights) -> np.ndarray:
        """ε of every state of a tile, ``(q**n,)``, or ``(n_tiles, q**n)`` where it depends on the tile."""
        tiles, n = self.tile_sites.shape
        codes = dense.tile_codes(self.space, n)
        shown = dense.contrasts(self.space)[codes].reshape(len(codes), 1, -1).astype(np.float32)
        rows = []
        for start in range(0, len(codes), _ROWS):
            piece = jnp.asarray(shown[start : start + _ROWS])
            piece = jnp.broadcast_to(piece, (len(piece), tiles, piece.shape[-1])) if self.model.site_aware else piece
            rows.append(np.asarray(self.local(_traced(weights), piece)[..., 0], float))
        table = np.concatenate(rows)
        table -= table.mean(0)  # energies are defined up to a constant
        return table.T if self.model.site_aware else table[:, 0]

    def system(self, weights: Weights, shape: Sequence[int] | None = None) -> System:
        """The energy of one network on the lattice of the data or another: a table of tiles where it fits, else the network."""
        if self.model.outputs > 1:
            raise HamlearnError(f"this network has {self.model.outputs} outputs, an energy has one: learn with outputs=1 to simulate it.")
        extents = tuple(int(size) for size in (shape or self.shape))
        if self.model.site_aware and extents != self.shape:
            raise HamlearnError(f"a site-aware network was learned on sites {self.shape}; there is no rule for {extents}.")
        here = self.model.bind(self.space, extents)
        if self.table_states * (len(self.tile_sites) if self.model.site_aware else 1) <= MAX_TABLE:
            return InteractionTables(hypercubic(extents), self.window, here.tables(weights), self.stride, self.space, name="Learned")
        return ExtensiveEnergy(here, weights)


@dataclass(frozen=True, eq=False)
class ExtensiveEnergy(ParametricSystem, kind="extensive", structure=("bound",)):
    """An extensive network as a system, for tiles with too many states for a table: sampled by its energies.

    Attributes
    ----------
    bound : BoundExtensive
        The network's form and lattice.
    weights : dict of arrays
        Its weights.
    """

    bound: BoundExtensive
    weights: Weights

    @property
    def space(self) -> Space:
        """Spins or states."""
        return self.bound.space

    @cached_property
    def lattice(self) -> Lattice:
        """Periodic and hypercubic."""
        return hypercubic(self.bound.shape)

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)``, shape ``(...)``; of mean near zero only after training. NumPy or JAX."""
        flat = as_site_axes(states if isinstance(states, jax.Array) else np.asarray(states), self.bound.shape)
        index = self.space.index(flat).reshape(-1, flat.shape[-1])
        if isinstance(flat, jax.Array):
            return self.bound.outputs(self.weights, index.astype(jnp.int32))[:, 0].reshape(flat.shape[:-1])
        index = index.astype(np.int8)
        chunks = [self._energy(index[start : start + 2048]) for start in range(0, len(index), 2048)]
        return np.concatenate(chunks).reshape(flat.shape[:-1])

    def change(self, states: Any, site: int, value: Any) -> np.ndarray:
        """Energy of states with `site` set to `value` less their own, from the tiles that see the site only.

        Parameters
        ----------
        states : array ``(batch, *lattice.shape)`` or ``(batch, n_sites)``
        site : int
            Flat index.
        value : array (batch,) or number
            New values of that site, in the space.
        """
        flat = as_site_axes(np.asarray(states), self.bound.shape)
        index = self.space.index(flat).reshape(-1, flat.shape[-1]).astype(np.int8)
        changed = index.copy()
        changed[:, site] = self.space.index(np.asarray(value))
        tiles = np.flatnonzero((self.bound.tile_sites == site).any(1))
        return self._partial(changed, tiles) - self._partial(index, tiles)

    def _energy(self, index: np.ndarray) -> np.ndarray:
        return np.asarray(_outputs(self.bound, _traced(self.weights), jnp.asarray(index)))[:, 0].astype(float)

    def _partial(self, index: np.ndarray, tiles: np.ndarray) -> np.ndarray:
        return np.asarray(_some_tiles(self.bound, _traced(self.weights), jnp.asarray(index), jnp.asarray(tiles)), float)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        weights = {name: np.asarray(value).tolist() for name, value in self.weights.items()}
        space = self.space.attrs
        return {"kind": self.kind, "model": self.bound.model.to_dict(), "shape": list(self.bound.shape), **space, "weights": weights}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> ExtensiveEnergy:
        """The energy that :meth:`to_dict` described."""
        space = spaces.from_attrs(description)
        bound = Extensive.from_dict(description["model"]).bind(space, description["shape"])
        return cls(bound, {name: np.asarray(value, np.float32) for name, value in description["weights"].items()})

    def __repr__(self) -> str:
        return f"ExtensiveEnergy(shape={self.bound.shape}, {self.bound.model!r})"


def _traced(weights: Weights) -> Weights:
    return {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()}


@partial(jax.jit, static_argnums=0)
def _outputs(bound: BoundExtensive, weights: Weights, index: Any) -> Any:
    return bound.outputs(weights, index)


@partial(jax.jit, static_argnums=0)
def _some_tiles(bound: BoundExtensive, weights: Weights, index: Any, tiles: Any) -> Any:
    shown = jnp.asarray(dense.contrasts(bound.space), jnp.float32)[index][:, jnp.asarray(bound.tile_sites)[tiles]]
    names = ("place", "readout", "pairs", "field") if bound.model.site_aware else ()
    here = {name: value[tiles] if name in names else value for name, value in weights.items()}
    return bound.local(here, shown.reshape(len(index), len(tiles), -1))[..., 0].sum(-1)
