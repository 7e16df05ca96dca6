"""Predictions of XY posteriors: one simulation of the mean member at each temperature, reweighted to every member."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.infer.predictions.thermodynamics import Estimates
from hamlearn.progress import track
from hamlearn.systems import observables
from hamlearn.systems.observables.rotors import bond_vectors
from hamlearn.systems.sampling import simulate
from hamlearn.systems.xy import XY

_CHAINS = 8  # independent, their scatter is the error
_THIN = 2
_UPDATES = 1 << 25  # of single rotors, at all temperatures together, to begin with: about ten seconds
_LONGER = 4  # times as many where the simulation's error is more than a third of the posterior's spread
_QUIET = 0.1  # share of the spread's square that the error's may be
_FEWEST = 400  # draws of a chain
_LEAST_SHARE = 0.5  # of the draws, that reweighting must leave every member in every chain


def reweighted(systems: Sequence[XY], betas: np.ndarray, wanted: Sequence[str], seed: int) -> dict[str, Estimates] | None:
    """Every observable of all members from the same microstates; None where the members are too far apart for that.

    Members of a sharp posterior differ by less than the noise of separate simulations; their differences are resolved because
    all see the same microstates, weighted by exp(−β(H_m − H̄)) (Ferrenberg and Swendsen, Phys. Rev. Lett. 61, 2635, 1988). The
    simulation's error is then common to all members and reported as such.

    Parameters
    ----------
    systems : sequence of XY
        Members on one lattice.
    betas : array (n_beta,)
        Inverse temperatures.
    wanted : sequence of str
        Among "energy", "heat_capacity", "abs_magnetization", "vortex_density" and "helicity".
    seed : int
        Of the simulations.
    """
    first, n = systems[0], systems[0].lattice.n_sites
    strengths, fields = (np.stack([getattr(system, name) for system in systems]) for name in ("J", "h"))
    centre = XY(first.lattice, strengths.mean(0), fields.mean(0))
    few = int(max(_FEWEST, _UPDATES // (_CHAINS * _THIN * n * len(betas))))
    # One member has no spread to resolve, and a lattice that is long already gets no longer.
    lengths = (few, _LONGER * few) if few > _FEWEST and len(systems) > 1 else (few,)
    found: list[dict[str, tuple[np.ndarray, ...]]] = []
    with track(len(betas), "simulating the mean member") as bar:
        for k, beta in enumerate(betas.tolist()):
            for draws in lengths:
                data = simulate(centre, beta, draws, _CHAINS, seed + 31 * k + draws, thin=_THIN, progress=False)
                chains = [_sums(chain, strengths, fields, centre, beta, wanted) for chain in data["state"].values]
                parts = np.array([one for one in chains if one is not None])
                if len(parts) < _CHAINS:
                    return None
                here = {name: _summary(parts, beta, n, name) for name in wanted}
                if all(shared**2 <= _QUIET * whole.var() for whole, _, shared in here.values()):
                    break
            found.append(here)
            bar.advance(1)
    used = str(data.attrs["sampler"])
    method = f"simulated: {used} of the mean member, {_CHAINS} x {'-'.join(map(str, lengths))} draws, reweighted to every member"
    result = {}
    for name in wanted:
        values, errors, shared = (np.stack([here[name][k] for here in found], -1) for k in range(3))
        result[name] = Estimates(values, errors, method, shared=shared)
    return result


def _summary(parts: np.ndarray, beta: float, n: int, name: str) -> tuple[np.ndarray, ...]:
    """Estimates ``(member,)``, their own errors and the common one, from sums ``(chain, member, 6)``."""
    pieces = _from_sums(parts, beta, n, name)
    own = pieces - pieces.mean(1, keepdims=True)  # what the members do not share
    errors, shared = (one.std(0, ddof=1) / np.sqrt(_CHAINS) for one in (own, pieces.mean(1)))
    return _from_sums(parts.sum(0), beta, n, name), errors, shared


def _sums(
    states: np.ndarray, strengths: np.ndarray, fields: np.ndarray, centre: XY, beta: float, wanted: Sequence[str]
) -> np.ndarray | None:
    """Weighted sums ``(member, 6)`` over the draws of a chain: w, wE, wE², w|m|, w·vortices and w·helicity."""
    flat = states.reshape(len(states), -1)
    i, j = centre.lattice.bonds.T
    turn = (flat[:, i] - flat[:, j]).astype(np.float32)
    cosine, sine = np.cos(turn), np.sin(turn)
    shift = (strengths - strengths.mean(0)).astype(np.float32)
    change = -(cosine @ shift.T).astype(float)
    if np.any(fields):
        change -= np.cos(flat) @ (fields - fields.mean(0)).T
    weight = np.exp(-beta * (change - change.mean(0)))
    if np.min(weight.sum(0) ** 2 / (weight**2).sum(0)) < _LEAST_SHARE * len(flat):
        return None
    weight /= weight.mean(0)
    energy = np.asarray(centre.energy(flat))[:, None] + change
    m = np.abs(np.exp(1j * flat).mean(1))[:, None] if "abs_magnetization" in wanted else np.zeros((1, 1))
    vortices = np.asarray(observables.vortex_density(states, centre.lattice))[:, None] if "vortex_density" in wanted else np.zeros((1, 1))
    columns = [np.ones_like(energy), energy, energy**2, m, vortices]
    columns.append(_stiffness(cosine, sine, strengths, centre, beta) if "helicity" in wanted else np.zeros((1, 1)))
    return np.stack([(weight * one).sum(0) for one in columns], -1)


def _stiffness(cosine: np.ndarray, sine: np.ndarray, strengths: np.ndarray, centre: XY, beta: float) -> np.ndarray:
    """(C − βS²)/N of every microstate with every member's couplings, mean over directions, ``(draw, member)``.

    By the signs of :func:`hamlearn.systems.observables.twist_response`, of which this is the form for many members.
    """
    vectors = bond_vectors(centre.lattice)
    found = np.zeros((len(cosine), len(strengths)))
    for direction in vectors.T:
        twist = sine @ (strengths * direction).astype(np.float32).T
        found += cosine @ (strengths * direction**2).astype(np.float32).T - beta * twist.astype(float) ** 2
    return found / (vectors.shape[1] * centre.lattice.n_sites)


def _from_sums(sums: np.ndarray, beta: float, n: int, name: str) -> np.ndarray:
    """An observable ``(..., member)`` from weighted sums ``(..., member, 6)``."""
    energy, square, *others = (sums[..., k] / sums[..., 0] for k in range(1, 6))
    if name == "energy":
        return np.asarray(energy / n)
    if name == "heat_capacity":
        return np.asarray(beta**2 * (square - energy**2) / n)
    return np.asarray(others[("abs_magnetization", "vortex_density", "helicity").index(name)])
