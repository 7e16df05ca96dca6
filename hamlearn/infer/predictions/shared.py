"""Members that are close: one simulation of their mean at each temperature, reweighted to every member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from hamlearn.infer.predictions.estimator import Estimates, Sums, columns_of_all, distances, energies_of_all, error_of
from hamlearn.infer.predictions.work import CLUSTERS, PER_ENERGY, Work, of_energy
from hamlearn.progress import track
from hamlearn.systems.observables import Observable
from hamlearn.systems.parametric import stacked
from hamlearn.systems.sampling import simulate

CHAINS = 8  # independent, their scatter is the error
UPDATES = 1 << 25  # of single sites, at all temperatures together, to begin with: about ten seconds
_THIN = 2
_LONGER = 4  # times as many where the simulation's error is more than a third of the posterior's spread
_QUIET = 0.1  # share of the spread's square that the error's may be
_FEWEST, _MOST = 400, 20_000  # draws of a chain
_PER_UPDATE = 80.0  # operations of an update of a site
_LEAST_SHARE = 0.5  # of the draws, that reweighting must leave every member in every chain


def reweighted(
    systems: Sequence[Any], betas: np.ndarray, records: Sequence[Observable], seed: int, work: Work, updates: int | None = None
) -> dict[str, Estimates] | None:
    """Every observable of all members from the same microstates; None where the members are too far apart for that.

    Members of a sharp posterior differ by less than the noise of separate simulations; their differences are resolved because
    all see the same microstates, weighted by exp(−β(H_m − H̄)) (Ferrenberg and Swendsen, Phys. Rev. Lett. 61, 2635, 1988). The
    simulation's error is then common to all members and reported as such.

    Parameters
    ----------
    systems : sequence of System
        Members of one structure, energies linear in their parameters or nearly so.
    betas : array (n_beta,)
        Inverse temperatures.
    records : sequence of Observable
        Whatever does not need log Z.
    seed : int
        Of the simulations.
    work : Work
        Adds up what it costs.
    updates : int
        Of single sites, to begin with; `UPDATES` by default.
    """
    together = stacked(systems)
    if together is None:
        return None
    first, n = systems[0], systems[0].lattice.n_sites
    centre = jax.tree.map(lambda leaf: leaf.mean(0), together)
    few = int(np.clip((updates or UPDATES) // (CHAINS * _THIN * n * len(betas)), _FEWEST, _MOST))
    # One member has no spread to resolve, and a lattice that is long already gets no longer.
    lengths = (few, _LONGER * few) if few > _FEWEST and len(systems) > 1 else (few,)
    found: list[dict[str, tuple[np.ndarray, ...]]] = []
    with track(len(betas), "simulating the mean member") as bar:
        for k, beta in enumerate(betas.tolist()):
            for draws in lengths:
                each = CHAINS * (_THIN * n * _PER_UPDATE + len(systems) * PER_ENERGY * of_energy(first))
                what, compiling = f"{draws} draws of the mean member at beta = {beta:.4g}", 0.0 if found else CLUSTERS
                work.announce(what, draws * each, compiling=compiling)
                data = simulate(centre, beta, draws, CHAINS, seed + 31 * k + draws, thin=_THIN, progress=False)
                sums = _sums(data["state"].values, systems, beta, records)
                if sums is None:
                    return None
                here = {record.name: _summary(sums, record) for record in records}
                if all(np.all(shared**2 <= _QUIET * whole.var(0)) for whole, _, shared in here.values()):
                    break
            found.append(here)
            bar.advance(1)
    method = (
        f"simulated: {data.attrs['sampler']} of the mean member, {CHAINS} x {'-'.join(map(str, lengths))} draws, reweighted to every member"
    )
    result = {}
    for record in records:
        values, errors = (np.stack([here[record.name][part] for here in found], 1) for part in (0, 1))
        shared = np.stack([here[record.name][2] for here in found])
        result[record.name] = Estimates(values, errors, method, distances(record, first), shared=shared)
    return result


def _sums(chains: np.ndarray, systems: Sequence[Any], beta: float, records: Sequence[Observable]) -> Sums | None:
    """Weighted sums of every chain ``(chain, draw, *sites)`` for every member; None where a member is left too few draws."""
    sums = Sums(beta, systems[0].lattice.n_sites)
    for states in chains:
        energies = energies_of_all(systems, states)
        change = energies - energies.mean(1, keepdims=True)
        weight = np.exp(-beta * (change - change.mean(0)))
        if np.min(weight.sum(0) ** 2 / (weight**2).sum(0)) < _LEAST_SHARE * len(states):
            return None
        sums.add(columns_of_all(records, states, systems, beta, energies), weight / weight.mean(0))
    return sums


def _summary(sums: Sums, record: Observable) -> tuple[np.ndarray, ...]:
    """Estimates ``(member, ...)``, their own errors and the common one."""
    whole, replicates = sums.finish(record)
    middle = replicates.mean(1, keepdims=True)
    return whole, error_of(replicates - middle), error_of(middle)[0]
