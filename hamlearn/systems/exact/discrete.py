"""Oracles of spins and q-state sites: enumeration, transfer matrix, Kaufman's solution. All but the first ask for tables over pairs."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, ClassVar

import jax
import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import Space, System
from hamlearn.systems.exact import cuts, enumeration, kaufman, transfer
from hamlearn.systems.exact.oracle import BETA_ATTRIBUTES, HOPELESS, Oracle, one_dimensional
from hamlearn.systems.exact.partition import Arithmetic, arithmetics, compiled, masked, two_derivatives
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs, pairs_of

_COLD, _FINE, _CLOSEST = 1e3, 1e6, 1e10  # of β in units of the inverse energy bound
_FROZEN = 1e-12  # β² Var(H)
_NO_EXCITATION = 100.0  # βJ of the weaker axis of a uniform torus, whose excitations cost at least 4 J


class _Discrete(Oracle):
    """What the three share: how energies are measured, so that answers are right at any β and any size of the couplings."""

    gives: ClassVar[tuple[str, ...]] = ("log_z", "thermodynamics", "expectations", "sample")

    def unit(self, system: System) -> float:
        """A power of two about as large as any energy of the system in magnitude (1 where all are zero)."""
        pairs = _require_pairs(system)
        span = lambda one: float((np.nanmax(one, tuple(range(1, one.ndim))) - np.nanmin(one, tuple(range(1, one.ndim)))).sum())
        largest = sum(span(one) for one in (pairs.tables, pairs.known) if one.size)
        return _power_of_two(largest)

    def scaled(self, system: System, points: np.ndarray, order: int, unit: float = 1.0, zero: float = 0.0) -> np.ndarray:
        """Log Z and, with `order` 2, its first two derivatives: ``(1 or 3, n)``; β in 1/`unit`, energies from `zero` units."""
        raise NotImplementedError

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z ``(n,)``."""
        return self.scaled(system, betas, 0)[0]

    def per_site(self, system: System, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energy, heat capacity and entropy per site at inverse temperatures ``(n,)``, right at any β and any size of the couplings.

        Log Z = −βE₀ + ln g + … loses ln g where β|E₀| has more digits than a float. So energies are measured in a power of two that
        bounds them (exact, and no square overflows), and at low temperature from the ground state. Where x = β × this unit is beyond
        `_FINE`, the system is looked at there: if it has no heat capacity left, only ground states are left, and their energy and entropy
        are those of any lower temperature. If it still has, there are levels closer than a millionth of the bound; they are told apart
        down to `_CLOSEST`, where the rounding of their sums begins to.
        """
        unit, n = self.unit(system), system.lattice.n_sites
        with np.errstate(over="ignore"):
            x = np.minimum(betas * unit, _CLOSEST)
        cold, ground = x > _COLD, 0.0
        if np.any(cold):
            ground = -float(self.scaled(system, np.array([_CLOSEST]), 2, unit)[1, 0])
        at = np.minimum(x, _FINE)
        found = np.empty((3, len(x)))
        for chosen, zero in ((~cold, 0.0), (cold, ground)):
            if np.any(chosen):
                found[:, chosen] = self.scaled(system, at[chosen], 2, unit, zero)
        thawed = (x > _FINE) & (at**2 * found[2] > _FROZEN)
        if np.any(thawed):
            at = np.where(thawed, x, at)
            found[:, thawed] = self.scaled(system, x[thawed], 2, unit, ground)
        value, slope, curvature = found
        energy = np.where(cold, ground, 0.0) - slope
        return energy / n * unit, at**2 * curvature / n, (value - at * slope) / n


class _Tables(_Discrete):
    """By compiled log Z of tables over pairs."""

    method: cuts.General

    def scaled(self, system: System, points: np.ndarray, order: int, unit: float = 1.0, zero: float = 0.0) -> np.ndarray:
        pairs = _require_pairs(system)
        tables, fields = pairs.tables / unit, pairs.fields / unit
        fields[0] += zero  # fields are minus energies
        results = np.empty((order + 1, points.size))
        with jax.enable_x64(True):
            for k, arithmetic in enumerate(arithmetics(pairs, self.method, points / unit)):
                run = compiled(pairs.lattice, pairs.extent, self.method, arithmetic)
                results[:, k] = run.derivatives(points[k], tables, fields) if order else run.value(points[k], tables, fields)
        return results

    def expectations(self, system: System, beta: Any) -> xr.Dataset:
        """Gradients of log Z: see :func:`hamlearn.systems.exact.expectations`."""
        pairs, points = _require_pairs(system), one_dimensional(beta)
        tables, fields = np.empty((points.size, *pairs.tables.shape)), np.empty((points.size, *pairs.fields.shape))
        with jax.enable_x64(True):
            for k, arithmetic in enumerate(arithmetics(pairs, self.method, points)):
                run = compiled(pairs.lattice, pairs.extent, self.method, arithmetic).gradient
                _, (tables[k], fields[k]) = run(points[k], pairs.tables, pairs.fields)
        return _expectations(system.space, pairs.lattice, tables, fields, points, beta, self.name)


class Enumeration(_Tables):
    """All states of any graph; where a system shows nothing but its energy, by evaluating it in all of them."""

    name = "enumeration"
    method = "enumeration"
    gives = (*_Discrete.gives, "states")

    def refusal(self, system: System) -> str | None:
        """Why not."""
        space, lattice = system.space, system.lattice
        if space.continuous:
            return "needs a system of spins or q-state sites"
        most = enumeration.MAX_STATES if pairs_of(system) is not None else enumeration.MOST_EVALUATED
        if space.count(lattice.n_sites) <= most:
            return None
        return f"{enumeration.power_text(space.extent, lattice.n_sites)} states are more than {most}"

    def preference(self, system: System) -> float:
        """Its states, unless they are few."""
        states = system.space.count(system.lattice.n_sites)
        return 0.0 if states <= cuts.ALWAYS_ENUMERATE else states

    def cost(self, system: System, beta: float) -> float:
        """Of all states."""
        return 30.0 * system.space.count(system.lattice.n_sites)

    def unit(self, system: System) -> float:
        """See :class:`_Discrete`."""
        return (
            super().unit(system) if pairs_of(system) is not None else _power_of_two(np.abs(enumeration.possible(system)).max(initial=0.0))
        )

    def scaled(self, system: System, points: np.ndarray, order: int, unit: float = 1.0, zero: float = 0.0) -> np.ndarray:
        """See :class:`_Discrete`."""
        if pairs_of(system) is not None:
            return super().scaled(system, points, order, unit, zero)
        energies = enumeration.possible(system) / unit - zero
        results = np.empty((order + 1, points.size))
        for k, beta in enumerate(points):
            weights = np.exp(-beta * (energies - energies.min()))
            mean = weights @ energies / weights.sum()
            variance = weights @ (energies - mean) ** 2 / weights.sum()
            results[:, k] = [np.log(weights.sum()) - beta * energies.min(), -mean, variance][: order + 1]
        return results

    def expectations(self, system: System, beta: Any) -> xr.Dataset:
        """Gradients of log Z, or means over all states (over the bonds of the system's own lattice)."""
        if pairs_of(system) is not None:
            return super().expectations(system, beta)
        points, space, lattice = one_dimensional(beta), system.space, system.lattice
        minus, first = -enumeration.evaluate(system), lattice.bonds
        one_hot = np.eye(space.q)[enumeration.all_states(lattice, space.extent).reshape(len(minus), -1)]
        tables, fields = np.empty((points.size, lattice.n_bonds, space.q, space.q)), np.empty((points.size, lattice.n_sites, space.q))
        for k, point in enumerate(points):
            weights = np.exp(point * (minus - minus.max()))
            weights /= weights.sum()
            fields[k] = np.tensordot(weights, one_hot, 1)
            for b, (i, j) in enumerate(first):
                tables[k, b] = (one_hot[:, i] * weights[:, None]).T @ one_hot[:, j]
        return _expectations(space, lattice, tables, fields, points, beta, self.name)

    def sample(self, system: System, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
        """By inverting the cumulative distribution."""
        log_weights = -beta * enumeration.evaluate(system)
        cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
        index = np.searchsorted(cumulative, generator.random(draws) * cumulative[-1], side="right")
        states = enumeration.all_states(system.lattice, system.space.extent)
        return np.asarray(system.space.from_index(states[np.minimum(index, len(cumulative) - 1)]))


class Transfer(_Tables):
    """The transfer matrix of lattices that can be cut into thin layers."""

    name = "transfer"
    method = "transfer"
    values_per_point = 9.0  # a product, its derivative and that of both: nine of each product of a value

    def refusal(self, system: System) -> str | None:
        """Why not."""
        pairs = pairs_of(system)
        if pairs is None:
            return "needs pair couplings of discrete sites"
        return None if cuts.layers_of(pairs.lattice, pairs.q) is not None else "needs a lattice that can be cut into layers of 512 states"

    def preference(self, system: System) -> float:
        """Its partial products."""
        pairs = _require_pairs(system)
        return float(cuts.require_layers(pairs.lattice, pairs.q).cost)

    def cost(self, system: System, beta: float) -> float:
        """Of products with Kronecker factors."""
        pairs = _require_pairs(system)
        layers = cuts.require_layers(pairs.lattice, pairs.q)
        return 6.0 * layers.cost * sum(float(pairs.q**width) for width in layers.blocks)

    def cost_of_draw(self, system: System) -> float:
        """Of the weights of all states of every layer."""
        pairs = _require_pairs(system)
        width = sum(cuts.require_layers(pairs.lattice, pairs.q).blocks)
        return 130.0 * pairs.lattice.n_sites / width * float(pairs.q) ** width

    def sample(self, system: System, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
        """Layer by layer from the exact conditionals: no Markov chain, no autocorrelation."""
        pairs = _require_pairs(system)
        (arithmetic,) = arithmetics(pairs, "transfer", np.array([beta]))
        with jax.enable_x64(True):
            run = _prefixes(pairs.lattice, pairs.q, arithmetic)
            final, partial, cross = (np.asarray(array) for array in run(beta * pairs.tables, masked(pairs, beta)))
        index = transfer.sample(cuts.require_layers(pairs.lattice, pairs.q), final, partial, cross, draws, generator)
        return np.asarray(system.space.from_index(index.reshape(draws, *system.lattice.shape)))


class Kaufman(_Discrete):
    """The uniform torus in closed form; see :mod:`.kaufman`."""

    name = "kaufman"
    gives = ("log_z", "thermodynamics")

    def refusal(self, system: System) -> str | None:
        """Why not."""
        pairs = pairs_of(system)
        if pairs is not None and kaufman.couplings(pairs) is not None:
            return None
        return "needs spins on a periodic square lattice, one coupling per axis, no field"

    def preference(self, system: System) -> float:
        """It knows least."""
        return HOPELESS

    def scaled(self, system: System, points: np.ndarray, order: int, unit: float = 1.0, zero: float = 0.0) -> np.ndarray:
        """See :class:`_Discrete`."""
        pairs = _require_pairs(system)
        found = kaufman.couplings(pairs)
        assert found is not None  # refusal() has seen to it
        # Flipping one sublattice turns the antiferromagnet on even extents into the ferromagnet.
        couplings, constant = np.array(found[:2]) / unit, found[2] / unit + zero
        results = np.empty((order + 1, points.size))
        with jax.enable_x64(True):
            for k, beta in enumerate(points):
                results[:, k] = _kaufman(beta, couplings, tuple(pairs.lattice.shape))[: order + 1]
                results[:2, k] += np.array([beta * constant, constant])[: order + 1]
                if order and beta * couplings.min() > _NO_EXCITATION:
                    results[2, k] = 0.0  # below e^-400; what was found is rounding
        return results


def _require_pairs(system: System) -> Pairs:
    pairs = pairs_of(system)
    if pairs is None:
        raise HamlearnError(f"this needs a system of pair couplings (tables over bonds); got {type(system).__name__}.")
    return pairs


def _power_of_two(largest: float) -> float:
    return float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _expectations(
    space: Space, lattice: Lattice, tables: np.ndarray, fields: np.ndarray, points: np.ndarray, beta: Any, name: str
) -> xr.Dataset:
    """Probabilities of pairs ``(beta, bond, q, q)`` and sites ``(beta, site, q)`` as a Dataset; of spins their means."""
    if space.binary:
        correlation = tables[..., 0, 0] + tables[..., 1, 1] - tables[..., 0, 1] - tables[..., 1, 0]
        data: dict[str, Any] = {
            "magnetization": (("beta", "site"), fields[..., 1] - fields[..., 0]),
            "correlation": (("beta", "bond"), correlation),
        }
    else:
        data = {
            "marginal": (("beta", "site", "state"), fields),
            "pair_marginal": (("beta", "bond", "state_i", "state_j"), tables),
        }
    ends = {f"site_{end}": ("bond", lattice.bonds[:, k]) for k, end in enumerate("ij")}
    result = xr.Dataset(data, {"beta": ("beta", points, BETA_ATTRIBUTES), **ends}, {"method": name})
    return result.isel(beta=0) if np.ndim(beta) == 0 else result


@partial(jax.jit, static_argnums=2)
def _kaufman(beta: jax.Array, couplings: jax.Array, extents: tuple[int, int]) -> Any:
    return two_derivatives(lambda b: kaufman.log_partition(extents, b * couplings[0], b * couplings[1]), beta)


@lru_cache(maxsize=64)
def _prefixes(lattice: Lattice, q: int, arithmetic: Arithmetic) -> Any:
    layers = cuts.require_layers(lattice, q)
    return jax.jit(lambda tables, fields: transfer.prefixes(layers, tables, fields, linear=arithmetic == "linear"))
