"""Likelihoods of any family whose energy JAX can differentiate in θ: nothing is known of it but the action A of a microstate.

* exact: −A(x) − ln Σ_y e^(−A(y)), by listing all states;
* pseudo: the conditionals of single sites, −ln Σ_a e^(A(x) − A(x with x_i = a)) summed over sites (Besag, 1975), from differences
  of energies. Consistent; a stand-in;
* score: −½|∇A|² + ∇²A (Hyvärinen, J. Mach. Learn. Res. 6, 695 (2005)), for real numbers and angles. Consistent; a stand-in
  without a natural scale.

Each is a sum over microstates of one function of (θ, x), so scores, information and calibration come of the same lines. Where the
action is linear in θ, which is found out and not asked, data are compressed once to what the sum depends on: weighted distinct
differences of energies, sufficient statistics, or moments of slopes. A family nobody has written a likelihood for is then learned
as fast as one that somebody has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, Searched
from hamlearn.infer.likelihoods.flips import Flips, agree, flips_of
from hamlearn.infer.observations import Observations, flat, unique_rows
from hamlearn.models.base import BoundFamily
from hamlearn.progress import track
from hamlearn.systems.exact import all_states
from hamlearn.systems.exact.enumeration import MOST_EVALUATED, power_text

NAMES = ("auto", "exact", "pseudo", "score")
_VALUES = 1 << 20  # numbers of one chunk's moved microstates
_DIGITS = 11  # to which differences of energies count as equal
_LINEAR = 1e-8  # relative change of ∂A/∂θ between far θ below which an action is linear
_PROBED = 2  # rows, on which matrix products are compared with the action
_TERM = 60.0  # operations of a bond's or a site's part of an energy and its slope: Scale of 60 spins, all pairs


def affordable(bound: BoundFamily) -> bool:
    """Whether all states can be listed."""
    return bound.space.count(bound.lattice.n_sites) <= MOST_EVALUATED


@dataclass(frozen=True, eq=False)
class Functions:
    """What is computed of microstates ``(row, n_sites)``, compiled once for equal families on equal lattices.

    Whatever the prior is: it takes no part here.
    """

    bound: BoundFamily
    name: str

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        model = {name: value for name, value in self.bound.model.to_dict().items() if name not in ("prior", "priors")}
        return type(self.bound.model), json.dumps(model, sort_keys=True), self.bound.space, self.bound.lattice, self.name

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functions) and self._key == other._key

    def values(self, states: np.ndarray) -> np.ndarray:
        """Rows of indices (or of values, where these are continuous) as values."""
        space = self.bound.space
        return np.asarray(states if space.continuous else space.from_index(states), np.float64)

    @cached_property
    def every(self) -> np.ndarray:
        """All states ``(state, n_sites)``."""
        return self.values(all_states(self.bound.lattice, self.bound.space.extent).reshape(-1, self.bound.lattice.n_sites))

    def objective(self, theta: Any, arrays: Any) -> Any:
        """:meth:`through` of θ and all that is data."""
        return self.through(theta, *arrays)

    @property
    def chunk(self) -> int:
        """Rows that are treated at once."""
        n = self.bound.lattice.n_sites
        each = {"exact": n, "pseudo": self.bound.space.q * n * n, "score": 64 * n}[self.name]
        return int(max(1, min(4096, _VALUES // each)))

    def action(self, theta: Any, states: Any, beta: Any) -> Any:
        """A of rows ``(..., n_sites)``, shape ``(...)``; traceable."""
        found = self.bound.traced(theta).action(states.reshape((-1, *self.bound.lattice.shape)), beta)
        return jnp.asarray(found, jnp.float64).reshape(states.shape[:-1])

    def rows(self, theta: Any, states: Any, beta: Any) -> Any:
        """What every microstate adds to the objective, up to a constant of the data; traceable."""
        if self.name == "exact":
            return -self.action(theta, states, beta) - jax.nn.logsumexp(-self.action(theta, jnp.asarray(self.every), beta))
        if self.name == "pseudo":
            there = self.action(theta, self.moved(states), beta)  # (row, value, site)
            return -jax.nn.logsumexp(self.action(theta, states, beta)[:, None, None] - there, axis=1).sum(-1)
        slope = jax.grad(lambda x: self.action(theta, x[None], beta)[0])

        def matched(x: Any) -> Any:
            curvature = jax.lax.map(lambda axis: axis @ jax.jvp(slope, (x,), (axis,))[1], jnp.eye(x.size, dtype=x.dtype), batch_size=64)
            return -0.5 * (slope(x) ** 2).sum() + curvature.sum()

        return jax.vmap(matched)(states)

    def moved(self, states: Any) -> Any:
        """Rows with one site given one value, ``(row, value, site, n_sites)``."""
        values = jnp.asarray(self.bound.space.values, jnp.float64)
        return jnp.where(jnp.eye(states.shape[-1], dtype=bool), values[:, None, None], states[:, None, None, :])

    @cached_property
    def slope(self) -> Callable[..., Any]:
        """∂A/∂θ ``(row, n_params)``."""
        return jax.jit(jax.jacfwd(self.action))

    @cached_property
    def scores(self) -> Callable[..., Any]:
        """The score of every row ``(row, n_params)``."""
        return jax.jit(jax.jacfwd(self.rows))

    def _features(self, states: Any, beta: Any) -> Any:
        """(A₀, T) of an action A₀ + θ·T, ``(..., 1 + n_params)``."""
        start = jnp.asarray(self.bound.start)
        value, slopes = self.action(start, states, beta), jax.jacfwd(self.action)(start, states, beta)
        return jnp.concatenate([(value - slopes @ start)[..., None], slopes], -1)

    @cached_property
    def features(self) -> Callable[..., Any]:
        """(A₀, T) of rows."""
        return jax.jit(self._features)

    @cached_property
    def differences(self) -> Callable[..., Any]:
        """Features of a site's values minus those of its own, ``(row, site, value, 1 + n_params)``."""

        def found(states: Any, beta: Any) -> Any:
            there = self._features(self.moved(states), beta) - self._features(states, beta)[:, None, None, :]
            return jnp.moveaxis(there, 2, 1)

        return jax.jit(found)

    @cached_property
    def moments(self) -> Callable[..., Any]:
        """Weighted sums of ∇f·∇f and ∇²f over rows, f the features."""

        def found(states: Any, weight: Any, beta: Any) -> Any:
            one, axes = lambda x: self._features(x[None], beta)[0], jnp.eye(states.shape[-1], dtype=states.dtype)

            def of(x: Any) -> Any:
                along = lambda axis: jax.jvp(lambda at: jax.jvp(one, (at,), (axis,))[1], (x,), (axis,))
                first, second = jax.lax.map(along, axes, batch_size=64)
                return first.T @ first, second.sum(0)

            squares, curved = jax.vmap(of)(states)
            return jnp.tensordot(weight, squares, 1), weight @ curved

        return jax.jit(found)

    def through(self, theta: Any, data: Any, betas: Any) -> Any:
        """The objective, through all microstates in chunks ``(chunk, row, n_sites)`` with their weights."""
        total = 0.0
        for part, beta in zip(data, betas, strict=True):
            one = jax.checkpoint(lambda chunk, beta=beta: chunk[1] @ self.rows(theta, chunk[0], beta))
            total = total + jax.lax.map(one, part).sum()
        return total

    @cached_property
    def compiled(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Value and gradient, and the Hessian, of :meth:`through`."""
        return jax.jit(jax.value_and_grad(self.through)), jax.jit(jax.hessian(self.through))


def _matched(theta: Any, data: Any) -> Any:
    """Score matching of a linear family."""
    full = jnp.concatenate([jnp.ones(1), theta])
    return sum(b @ full - 0.5 * full @ A @ full for A, b in data)


def _conditional(theta: Any, data: Any) -> Any:
    """Likelihood of a linear family whose alternatives are listed in tables."""
    full = jnp.concatenate([jnp.ones(1), theta])
    return sum(-total @ full - weight @ jax.nn.logsumexp(-(tables @ full), axis=-1) for total, tables, weight in data)


@lru_cache(maxsize=32)
def _shared(functions: Functions) -> Functions:
    return functions


class EnergyLikelihood(Searched):
    """See :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    Parameters
    ----------
    bound : BoundFamily
    parts : sequence of Observations
    name : {"exact", "pseudo", "score"}

    Attributes
    ----------
    linear : bool
        Whether the action is linear in θ, so that the data are compressed.

    Raises
    ------
    HamlearnError
        If the space does not allow it, there are too many states, or JAX cannot trace the family's energy.
    """

    runaway = np.inf  # parameters of any family may be of any size; what runs off shows by a curvature that has died away

    def __init__(self, bound: BoundFamily, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name = bound, parts, choice(name, NAMES[1:], "likelihood of a family")
        self.composite = name != "exact"
        _require(bound, name)
        self.functions = _shared(Functions(bound, name))
        self._betas = np.array([part.beta for part in parts])
        compress = {"exact": self._totals, "pseudo": self._differences, "score": self._moments}[name]
        with jax.enable_x64(True):
            self.linear = self._is_linear()
            self._flips = self._matrices() if self.linear and name == "pseudo" else None
            self._data = [compress(part) if self.linear else self._chunks(part) for part in parts]

    def _is_linear(self) -> bool:
        """Whether A = A₀ + θ·T, from ∂A/∂θ at far θ; an error that teaches where JAX cannot trace the family."""
        bound, part, generator = self.bound, self.parts[0], np.random.default_rng(0)
        # Rows of the data may all be ground states, in which no parameter is seen: random states stand beside some of all the data.
        n, states = bound.lattice.n_sites, [flat(one)[0] for one in self.parts]
        seen = np.resize(np.concatenate([one[:: max(1, len(one) // 8)][:8] for one in states]), (16, n))
        drawn = bound.space.propose(generator, bound.space.random(generator, (16, n)), 1.0)
        rows = np.concatenate([self.functions.values(seen), np.asarray(drawn, np.float64)])
        try:
            here = np.asarray(self.functions.slope(bound.start, rows, part.beta))
        except HamlearnError:
            raise
        except Exception as error:  # whatever a stranger's energy raises when it is traced
            raise HamlearnError(
                f"JAX cannot differentiate the energy of {bound.model!r} in its parameters ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}). In system(lattice, ...) and energy(states) parameters are JAX's arrays: use the "
                "array library of the states (hamlearn.systems.base.as_reals), not NumPy or float()."
            ) from error
        if not np.all(np.isfinite(here)):
            raise HamlearnError(f"the energy of {bound.model!r} has no finite slope where the search starts; give start(lattice) values.")
        away = [bound.start + generator.normal(size=bound.n_params) for _ in range(2)]
        far = [np.asarray(self.functions.slope(theta, rows, part.beta)) for theta in away]
        return all(bool(np.allclose(one, here, rtol=_LINEAR, atol=_LINEAR * np.abs(here).max(initial=1e-300))) for one in far)

    def _matrices(self) -> Flips | None:
        """What is faster than energies for differences between a site's values, where it is the same."""
        found, part = flips_of(self.bound), self.parts[0]
        if found is None:
            return None
        rows = self.functions.values(flat(part)[0][:_PROBED])
        return found if agree(found.changes(rows, part.beta), np.asarray(self.functions.differences(rows, part.beta))) else None

    def _changes(self, rows: np.ndarray, beta: float) -> np.ndarray:
        """Features of a site's values minus those of its own, ``(row, site, value, 1 + n_params)``."""
        return self._flips.changes(rows, beta) if self._flips else np.asarray(self.functions.differences(rows, beta))

    def _rows(self, part: Observations) -> tuple[np.ndarray, np.ndarray]:
        return flat(part) if self.bound.space.continuous else unique_rows(part)

    def _pieces(self, states: np.ndarray) -> list[tuple[slice, np.ndarray]]:
        """Values of rows, chunk by chunk of one size, the last one filled up with repetitions."""
        size, n = self.functions.chunk, states.shape[1]
        slices = [slice(start, min(start + size, len(states))) for start in range(0, len(states), size)]
        return [(k, np.resize(self.functions.values(states[k]), (size, n))) for k in slices]

    def _totals(self, part: Observations) -> tuple[np.ndarray, ...]:
        """Total features of the data; features of all states, and how often these stand in the normaliser."""
        states, weight = self._rows(part)
        of = lambda rows: np.asarray(self.functions.features(rows, part.beta))
        total = np.sum([weight[k] @ of(rows)[: len(states[k])] for k, rows in self._pieces(states)], axis=0)
        return total, of(self.functions.every)[None], np.array([weight.sum()])

    def _differences(self, part: Observations) -> tuple[np.ndarray, ...]:
        """Distinct differences of features between a site's values and its own, and how often they occur."""
        states, weight = self._rows(part)
        tables, weights, scale = np.zeros((0, self.bound.space.q, 1 + self.bound.n_params)), np.zeros(0), 0.0
        pending, counts, size = [tables], [weights], 0
        with track(len(states), "compressing") as bar:
            for k, rows in self._pieces(states):
                found = self._changes(rows, part.beta)[: len(states[k])]
                scale = scale or 10.0 ** (_DIGITS - np.ceil(np.log10(max(np.abs(found).max(initial=0.0), 1e-300))))
                pending.append(np.round(found.reshape(-1, *found.shape[2:]) * scale) / scale)
                counts.append(np.repeat(weight[k], states.shape[1]))
                size += pending[-1].size
                if size > 8 * _VALUES or k.stop == len(states):
                    tables, weights = _distinct(np.concatenate(pending), np.concatenate(counts))
                    pending, counts, size = [tables], [weights], 0
                    memory.require(8 * tables.size, "the distinct conditionals of this family", "Give fewer microstates.")
                bar.advance(len(states[k]))
        return np.zeros(tables.shape[2]), tables, weights

    def _moments(self, part: Observations) -> tuple[np.ndarray, ...]:
        states, weight = self._rows(part)
        A, b = np.zeros((1 + self.bound.n_params,) * 2), np.zeros(1 + self.bound.n_params)
        for k, rows in self._pieces(states):
            more = self.functions.moments(rows, np.pad(weight[k], (0, len(rows) - len(states[k]))), part.beta)
            A, b = A + np.asarray(more[0]), b + np.asarray(more[1])
        return A, b

    def _chunks(self, part: Observations) -> tuple[np.ndarray, ...]:
        """Microstates in chunks with their weights, zero for what fills the last one."""
        states, weight = self._rows(part)
        kept = np.stack([rows for _, rows in self._pieces(states)])
        return kept, np.pad(weight, (0, kept.shape[0] * kept.shape[1] - len(states))).reshape(kept.shape[:2])

    @property
    def origin(self) -> np.ndarray:
        """Where the family says that the search starts."""
        return self.bound.start

    @property
    def operations(self) -> float:
        """Operations of one value and gradient, about."""
        n, q = self.bound.lattice.n_sites, max(self.bound.space.q, 1)
        if self.linear:
            return float(sum(3.0 * array.size for data in self._data for array in data) + TRANSCENDENTAL)
        evaluations = {"exact": self.bound.space.count(n), "pseudo": float(n * q), "score": 4.0 * n}[self.name]
        rows = 1 if self.name == "exact" else sum(data[1].size for data in self._data)
        return 5.0 * rows * evaluations * 10.0 * n  # an energy takes about ten operations a site

    @property
    def passing(self) -> float:
        """Operations of going through all rows, once for what they are compressed to and once for their scores, about."""
        if self.name != "pseudo" or self._flips:
            return 0.0
        lattice, rows = self.bound.lattice, sum(part.states.shape[0] * part.states.shape[1] for part in self.parts)
        return 2.0 * rows * self.bound.space.q * lattice.n_sites * _TERM * (lattice.n_sites + lattice.n_bonds)

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The objective for JAX."""
        if not self.linear:
            return self.functions.objective, (self._data, self._betas)
        return _matched if self.name == "score" else _conditional, self._data

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        if not self.linear:
            with jax.enable_x64(True):
                found = self.functions.compiled[0](np.asarray(theta, float), self._data, self._betas)
                return float(found[0]), np.asarray(found[1])
        full, value, slope = np.concatenate([[1.0], theta]), 0.0, np.zeros(1 + len(theta))
        if self.name == "score":
            for A, b in self._data:
                value, slope = value + b @ full - 0.5 * full @ A @ full, slope + b - A @ full
            return float(value), slope[1:]
        for total, tables, weight in self._data:
            top, p = _softmax(-(tables @ full))
            value += -total @ full - weight @ top
            slope += -total + np.einsum("u,ua,uak->k", weight, p, tables, optimize=True)
        return float(value), slope[1:]

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian."""
        if not self.linear:
            with jax.enable_x64(True):
                return -np.asarray(self.functions.compiled[1](np.asarray(theta, float), self._data, self._betas))
        if self.name == "score":
            return np.asarray(sum(A for A, _ in self._data))[1:, 1:]
        full, found = np.concatenate([[1.0], theta]), np.zeros((len(theta),) * 2)
        for _, tables, weight in self._data:
            p, own = _softmax(-(tables @ full))[1], tables[..., 1:]
            mean = np.einsum("ua,uak->uk", p, own)
            heavy = (p * weight[:, None]).reshape(-1, 1)
            found += (own.reshape(-1, len(theta)) * heavy).T @ own.reshape(-1, len(theta)) - (mean * weight[:, None]).T @ mean
        return found

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows."""
        at = np.asarray(theta, float)

        def of(rows: np.ndarray, beta: float) -> np.ndarray:
            if not (self.linear and self.name == "pseudo"):
                return np.asarray(self.functions.scores(at, rows, beta))
            changes = self._changes(rows, beta)
            p = _softmax(-(changes[..., 0] + changes[..., 1:] @ at))[1]
            return np.asarray(np.einsum("ria,riak->rk", p, changes[..., 1:], optimize=True))

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            found = np.empty((len(states), len(at)))
            with jax.enable_x64(True):
                for k, rows in self._pieces(states):
                    found[k] = of(rows, part.beta)[: len(states[k])]
            return found

        return scores


def _require(bound: BoundFamily, name: str) -> None:
    """An error where a likelihood does not exist for a space, or not for so many states."""
    space, n = bound.space, bound.lattice.n_sites
    if space.event_shape:
        raise HamlearnError(
            f"a family of your own has no likelihood of {space.name}: their sites have neither values to sum over nor axes of slopes. "
            "Of pair couplings there is one: hl.models.Couplings(lattice)."
        )
    if name in ("exact", "pseudo") and not space.q:
        raise HamlearnError(f"likelihood={name!r} of a family of your own sums over values of a site; for {space.name} there is 'score'.")
    if name == "score" and not space.continuous:
        raise HamlearnError(f"score matching needs slopes along sites: real numbers or angles; for {space.name} there is 'pseudo'.")
    if name == "exact" and not affordable(bound):
        raise HamlearnError(
            f"{power_text(space.extent, n)} states are too many to list for energies known by evaluation only (at most {MOST_EVALUATED}); "
            "use likelihood='pseudo'."
        )


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the sum of exponentials along the last axis, and the probabilities."""
    top = logits.max(-1, keepdims=True)
    p = np.exp(logits - top)
    total = p.sum(-1, keepdims=True)
    return (top + np.log(total))[..., 0], p / total


def _distinct(tables: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal tables once, with the weights of all."""
    every = np.ascontiguousarray(tables + 0.0)  # −0 and 0 are equal
    packed = every.reshape(len(every), -1).view(np.dtype((np.void, every[0].nbytes))).ravel()
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return every[first], np.bincount(inverse, weights=weights)


__all__ = ["NAMES", "EnergyLikelihood", "affordable"]
