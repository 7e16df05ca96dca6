"""ClusterExpansion: a sparse cluster expansion, every multi-spin product inside a window with unknown strength and existence.

H(σ) = −Σ_c K_c Σ_placements Π_{i in placement of c} σ_i. The terms c are the sets of sites inside a window that are not
translates of each other: 400 in 3×3 (10 in 2×2), single site and all nine included. Nothing else about the form of the
Hamiltonian is assumed; which few terms exist is learned with their strengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hamlearn.arguments import require_number, require_whole
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.conserved_couplings import resized
from hamlearn.models.traits import Model, Traits
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import SPINS, Space, System
from hamlearn.systems.fixed_magnetization import FixedMagnetization
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import Pairwise

MOST_WINDOW_SITES = 16
MOST_PARAMETERS = 2000
"""The Hessian of a screen is dense: 2000 candidate terms take some 30 MB and a few seconds per factorisation."""


@dataclass(frozen=True, eq=False, init=False)
class ClusterExpansion(Model):
    """Unknown multi-spin interactions within a window; a posterior over which exist and how strong they are.

    Parameters
    ----------
    window : int or sequence of int
        Extents of the box that a term fits into; one number is used along every axis. Data must have extents of at
        least 2·window − 1 (a term could otherwise wrap onto another one).
    tie : {"translation", "site"}
        One strength for all translates of a term (the default: what is learned can be simulated on any lattice size), or
        one for every placement (glasses): n_sites times as many parameters, so a small window.
    order : int, optional
        Most spins in a term; by default as many as the window holds.
    prior : {"spike_slab"}
        Every strength is zero, or drawn from a normal with standard deviation `slab`.
    slab : float
        Standard deviation of the strengths that exist, in units of energy (of temperature where β is undeclared). The
        default 1 suits strengths of order 0.01 to 3: it enters Bayes factors by its logarithm only.
    expected : float
        How many terms of order 1 are expected a priori (per site for ``tie="site"``, where translates are terms of their
        own). Order n is expected 2^(1−n) times as often altogether, shared among the terms of that order in proportion to
        1/diameter², so many-spin and far terms need more evidence. The default 1 makes about two terms in all, and the
        odds of one particular four-spin term in a 3×3 window about 1e-3.

    Raises
    ------
    HamlearnError
        If a word is not known, a number out of range, or the window has more than 16 sites.

    Examples
    --------
    >>> import hamlearn as hl
    >>> bound = hl.models.ClusterExpansion(window=3).bind(hl.systems.SPINS, (8, 8))
    >>> bound.n_params, bound.parameter_names[:3]
    (400, ['σ(0,0)', 'σ(0,0)σ(0,1)', 'σ(0,0)σ(1,0)'])
    """

    window: int | tuple[int, ...]
    tie: str
    order: int | None
    prior: str
    slab: float
    expected: float
    kind: ClassVar[str] = "cluster_expansion"
    traits: ClassVar[Traits] = Traits(
        "cluster_expansion",
        "multi-spin terms",
        conserved=True,
        tested=True,
        closed="does not know which terms exist, and what says that they do has no density that a gradient could follow",
        zero="they are those of the terms, without one.",
    )

    def __init__(
        self,
        window: int | Sequence[int] = 3,
        tie: str = "translation",
        order: int | None = None,
        prior: str = "spike_slab",
        *,
        slab: float = 1.0,
        expected: float = 1.0,
    ) -> None:
        array = np.atleast_1d(window)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or np.any(array < 1) or np.prod(array) > MOST_WINDOW_SITES:
            raise HamlearnError(f"window must be positive whole numbers with at most {MOST_WINDOW_SITES} sites in all; got {window!r}.")
        if order is not None:
            require_whole(order, "order (most spins in a term)", also=", or None")
        require_number(slab, "slab", above=0)
        require_number(expected, "expected", above=0)
        object.__setattr__(self, "window", int(array[0]) if len(array) == 1 else tuple(int(one) for one in array))
        object.__setattr__(self, "tie", choice(tie, ("translation", "site"), "tie"))
        object.__setattr__(self, "order", None if order is None else int(order))
        word = prior.replace("-", "_") if isinstance(prior, str) else prior
        object.__setattr__(self, "prior", choice(word, ("spike_slab",), "prior of ClusterExpansion"))
        object.__setattr__(self, "slab", float(slab))
        object.__setattr__(self, "expected", float(expected))

    def __repr__(self) -> str:
        order = "" if self.order is None else f", order={self.order}"
        return f"ClusterExpansion(window={self.window}, tie={self.tie!r}{order})"

    def bind(self, space: Space, shape: tuple[int, ...]) -> BoundClusterExpansion:
        """The terms on a periodic lattice of that shape.

        Raises
        ------
        HamlearnError
            If the data are no ±1 spins, the window does not fit, or there would be too many terms.
        """
        if not space.binary:
            raise HamlearnError(
                f"a cluster expansion is of ±1 spins; these data are {space.name} (q={space.q}). For q states use Couplings."
            )
        extents = tuple(shape)
        window = (self.window,) * len(extents) if isinstance(self.window, int) else self.window
        if len(window) != len(extents):
            raise HamlearnError(f"the window {window} has {len(window)} axes, the lattice {extents} has {len(extents)}.")
        if int(np.prod(window)) > MOST_WINDOW_SITES:
            raise HamlearnError(f"a window of extents {window} has more than {MOST_WINDOW_SITES} sites; use a smaller one.")
        short = [axis for axis in range(len(extents)) if extents[axis] < 2 * window[axis] - 1]
        if short:
            least = tuple(2 * w - 1 for w in window)
            raise HamlearnError(
                f"a window {window} on a periodic lattice {extents}: terms would wrap around and coincide with others. "
                f"The extents must be at least {least}; use a smaller window or larger lattices."
            )
        if space.constraint and (short := [axis for axis in range(len(extents)) if extents[axis] < 2 * window[axis]]):
            least = tuple(2 * w for w in window)
            raise HamlearnError(
                f"the sum of all spins is fixed, and a window {window} on {extents} holds all displacements along an axis: sums of its "
                f"terms are then the same for all microstates, and not determined. The extents must be at least {least}."
            )
        bound = BoundClusterExpansion(self, window, extents, space)
        if bound.n_params > MOST_PARAMETERS:
            raise HamlearnError(
                f"{self!r} on {extents} has {bound.n_params} candidate terms, more than {MOST_PARAMETERS}: "
                f"limit order=, use a smaller window{', or tie=' + repr('translation') if self.tie == 'site' else ''}."
            )
        return bound

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`ClusterExpansion.to_dict` described."""
        window, tie, order, prior = (description[key] for key in ("window", "tie", "order", "prior"))
        return cls(window, tie, order, prior, slab=description["slab"], expected=description["expected"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        window = self.window if isinstance(self.window, int) else list(self.window)
        plain = {"kind": self.kind, "window": window, "tie": self.tie, "order": self.order}
        return {**plain, "prior": self.prior, "slab": self.slab, "expected": self.expected}


@dataclass(frozen=True, eq=False)
class BoundClusterExpansion:
    """:class:`ClusterExpansion` on given sites: θ ↔ Hamiltonians.

    θ holds K by term; for ``tie="site"`` by (term, anchor), all anchors of the first term first.
    """

    model: ClusterExpansion
    window: tuple[int, ...]
    shape: tuple[int, ...]
    space: Space = SPINS

    @property
    def stand_in(self) -> Literal["pseudo", "exchange"]:
        """The composite likelihood that finds terms."""
        return "exchange" if self.space.constraint else "pseudo"

    @cached_property
    def lattice(self) -> Lattice:
        """The periodic lattice."""
        return lattices.hypercubic(self.shape)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return int(np.prod(self.shape))

    @cached_property
    def offsets(self) -> np.ndarray:
        """Sites of the window, C order, shape ``(n_window, dimension)``."""
        return np.array(list(np.ndindex(*self.window)))

    @cached_property
    def masks(self) -> np.ndarray:
        """Terms as bit masks over the window (its first site the most significant bit), by order and diameter."""
        n = len(self.offsets)
        every = np.arange(1, 2**n)
        inside = ((every[:, None] >> np.arange(n - 1, -1, -1)) & 1).astype(bool)
        # One representative of each class of translates: the one that touches the window's lower face along every axis.
        lowest = np.all([(inside & (self.offsets[:, axis] == 0)).any(1) for axis in range(len(self.window))], axis=0)
        allowed = lowest & (inside.sum(1) <= (self.model.order or n))
        every, inside = every[allowed], inside[allowed]
        diameter = np.array([_diameter(self.offsets[row]) for row in inside])
        return every[np.lexsort((-every, diameter, inside.sum(1)))]

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Offsets of the sites of every term, ``(order, dimension)``."""
        n = len(self.offsets)
        return [self.offsets[((mask >> np.arange(n - 1, -1, -1)) & 1).astype(bool)] for mask in self.masks]

    @cached_property
    def orders(self) -> np.ndarray:
        """Number of spins of every term."""
        return np.array([len(one) for one in self.members])

    @cached_property
    def diameters(self) -> np.ndarray:
        """Largest distance between two sites of every term (0 for single sites)."""
        return np.array([_diameter(one) for one in self.members])

    @property
    def n_terms(self) -> int:
        """Number of terms that are not translates of each other."""
        return len(self.masks)

    @property
    def copies(self) -> int:
        """Parameters per term: 1, or one per anchor."""
        return 1 if self.model.tie == "translation" else self.n_sites

    @property
    def n_params(self) -> int:
        """Length of θ."""
        return self.n_terms * self.copies

    @cached_property
    def term_of(self) -> np.ndarray:
        """Term of every element of θ."""
        return np.repeat(np.arange(self.n_terms), self.copies)

    @cached_property
    def log_odds(self) -> np.ndarray:
        """Prior log odds that a term exists, shape ``(n_params,)``; at most even."""
        weight = 1 / np.maximum(self.diameters, 1.0) ** 2
        probability = np.zeros(self.n_terms)
        for order in np.unique(self.orders):
            same = self.orders == order
            probability[same] = self.model.expected * 2.0 ** (1 - order) * weight[same] / weight[same].sum()
        probability = np.minimum(probability, 0.5)[self.term_of]
        odds = np.log(probability) - np.log1p(-probability)
        odds[self.unseen] = -np.inf
        return odds

    @cached_property
    def unseen(self) -> np.ndarray:
        """Elements of θ that no data determine: the uniform field where the sum of all spins is fixed, whose energy is always the same."""
        return np.flatnonzero(self.orders == 1) if self.space.constraint and self.copies == 1 else np.zeros(0, int)

    @cached_property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ: the product of spins, at the anchor for ``tie="site"``."""
        names = ["".join("σ(" + ",".join(map(str, site)) + ")" for site in one) for one in self.members]
        if self.copies == 1:
            return names
        anchors = list(np.ndindex(*self.shape))
        return [f"{name} at {','.join(map(str, anchor))}" for name in names for anchor in anchors]

    @cached_property
    def products(self) -> np.ndarray:
        """Every term's product of spins for every state of a tile, int8 ``(n_terms, 2**n_window)``."""
        codes = np.arange(2 ** len(self.offsets))
        down = (~codes)[None] & self.masks[:, None]  # the spins of the term that are −1
        parity = np.zeros(down.shape, np.int64)
        for bit in range(len(self.offsets)):
            parity ^= (down >> bit) & 1
        return (1 - 2 * parity).astype(np.int8)

    def system(self, theta: np.ndarray, shape: tuple[int, ...] | None = None, *, pairs: np.ndarray | None = None) -> System:
        """The Hamiltonian with strengths θ ``(n_params,)``; on another lattice where terms are tied by translation.

        It keeps the magnetization (per site) of data in which that is fixed; :meth:`free_system` does not.
        """
        found = self.free_system(theta, shape, pairs=pairs)
        if not self.space.constraint:
            return found
        return FixedMagnetization(found, resized(self.space.constraint["magnetization"], self.n_sites, found.lattice.n_sites))

    def free_system(self, theta: np.ndarray, shape: tuple[int, ...] | None = None, *, pairs: np.ndarray | None = None) -> System:
        """The same, of all states.

        `pairs` marks the parameters for which there should be bonds, also where they are zero (so that several members
        share a lattice); by default those that are not zero. A pair system where no term has more than two spins,
        tiles otherwise.
        """
        if shape is not None and self.copies > 1 and tuple(shape) != self.shape:
            raise HamlearnError("another lattice size needs tied terms: learn with ClusterExpansion(..., tie='translation').")
        extents = self.shape if shape is None else tuple(shape)
        if len(extents) != len(self.window) or any(extent < 2 * w - 1 for extent, w in zip(extents, self.window, strict=True)):
            least = tuple(2 * w - 1 for w in self.window)
            raise HamlearnError(f"terms of a window {self.window} need extents of at least {least}; got {extents}.")
        wanted = theta != 0 if pairs is None else np.asarray(pairs, bool) | (theta != 0)
        strengths = theta.reshape(self.n_terms, self.copies)
        if self.orders[self.term_of[wanted]].max(initial=1) <= 2:
            return self._pairwise(strengths, wanted.reshape(strengths.shape).any(1), extents)
        tables = -(strengths.T @ self.products)
        return InteractionTables(extents, self.window, tables[0] if self.copies == 1 else tables, name="Learned")

    def _pairwise(self, strengths: np.ndarray, wanted: np.ndarray, shape: tuple[int, ...]) -> Pairwise:
        torus = lattices.hypercubic(shape)
        n, axes = torus.n_sites, np.eye(len(shape), dtype=int)
        sites = np.argwhere(np.ones(shape, bool))
        chosen = {tuple(self.members[c][1] - self.members[c][0]): c for c in np.flatnonzero(wanted & (self.orders == 2))}
        nearest = {tuple(axis): index for index, axis in enumerate(axes)}
        single = np.flatnonzero(self.orders == 1)
        fields = np.broadcast_to(strengths[single[0]] if len(single) else 0.0, (n,))
        values = {step: np.broadcast_to(strengths[c], (n,)) for step, c in chosen.items()}
        # The anchor of a pair is the window's corner; its first member may sit elsewhere along the later axes.
        for step, c in chosen.items():
            values[step] = _moved(values[step], self.members[c][0], shape)
        if set(chosen) <= set(nearest) and len(torus.bonds) == n * len(shape):
            # All bonds of the torus, some of them zero: the lattice that oracles and observables know.
            return Pairwise(torus, np.concatenate([values.get(step, np.zeros(n)) for step in nearest]), fields, name="Learned")
        bonds = [np.stack([np.arange(n), np.ravel_multi_index(tuple(((sites + step) % shape).T), shape)], 1) for step in chosen]
        graph = Lattice(tuple(shape), np.concatenate(bonds), torus.kind, True, torus.positions, torus.periods)
        return Pairwise(graph, np.concatenate(list(values.values())), fields, name="Learned")


def _moved(values: np.ndarray, step: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values by anchor as values by the site `step` away from it."""
    return np.roll(values.reshape(shape), tuple(step), tuple(range(len(shape)))).ravel()


def _diameter(sites: np.ndarray) -> float:
    difference = sites[:, None] - sites[None]
    return float(np.sqrt((difference**2).sum(-1).max()))
