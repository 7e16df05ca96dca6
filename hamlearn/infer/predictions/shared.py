"""Members that are close: one simulation of their mean, at each temperature or on a ladder of them, reweighted to every member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
FEWEST, MOST = 400, 20_000  # draws of a chain
_PER_UPDATE = 80.0  # operations of an update of a site
_LEAST_SHARE = 0.5  # of the draws, that reweighting must leave every member in every chain


class Source(NamedTuple):
    """Where microstates of the mean member come from.

    Attributes
    ----------
    draws : int
        Of a chain, to begin with.
    chains : function
        (place of a temperature, draws) → states ``(chain, draw, *sites)`` there, at least so many, of independent chains; it announces
        what it does.
    words : str
        How they are made.
    """

    draws: int
    chains: Callable[[int, int], np.ndarray]
    words: str


def mean_of(systems: Sequence[Any]) -> Any:
    """The system of the mean parameters; None where the structures of systems differ."""
    together = stacked(systems)
    return None if together is None else jax.tree.map(lambda leaf: leaf.mean(0), together)


def reweighted(
    systems: Sequence[Any],
    betas: np.ndarray,
    records: Sequence[Observable],
    seed: int,
    work: Work,
    updates: int | None = None,
    source: Callable[[Any], Source] | None = None,
) -> dict[str, Estimates] | None:
    """Every observable of all members from the same microstates; None where the members are too far apart for that.

    Members of a sharp posterior differ by less than the noise of separate simulations; their differences are resolved because
    all see the same microstates, weighted by exp(−β(H_m − H̄)) (Ferrenberg and Swendsen, Phys. Rev. Lett. 61, 2635, 1988). The
    simulation's error is then common to all members and reported as such.

    Parameters
    ----------
    systems : sequence of System
        Members of one structure.
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
    source : function, optional
        The mean member → where its microstates come from; by default simulations at every temperature by itself.
    """
    centre = mean_of(systems)
    if centre is None:
        return None
    made = _separate(centre, systems, betas, seed, work, updates or UPDATES) if source is None else source(centre)
    # One member has no spread to resolve, and a lattice that is long already gets no longer.
    lengths = (made.draws, _LONGER * made.draws) if made.draws > FEWEST and len(systems) > 1 else (made.draws,)
    found: dict[int, dict[str, tuple[np.ndarray, ...]]] = {}
    with track(len(betas), "simulating the mean member") as bar:
        for k in np.argsort(-betas, kind="stable").tolist():  # the coldest first: there members are farthest apart
            for draws in lengths:
                sums = _sums(made.chains(k, draws), centre, systems, float(betas[k]), records)
                if sums is None:
                    return None
                found[k] = {record.name: summary(sums, record) for record in records}
                if all(np.all(shared**2 <= _QUIET * whole.var(0)) for whole, _, shared in found[k].values()):
                    break
            bar.advance(1)
    method = f"simulated: {made.words}, {CHAINS} x {'-'.join(map(str, lengths))} draws, reweighted to every member"
    result = {}
    for record in records:
        values, errors = (np.stack([found[k][record.name][part] for k in range(len(betas))], 1) for part in (0, 1))
        shared = np.stack([found[k][record.name][2] for k in range(len(betas))])
        result[record.name] = Estimates(values, errors, method, distances(record, systems[0]), shared=shared)
    return result


def of_energies(systems: Sequence[Any]) -> float:
    """Operations of the energies of all members in one microstate of every chain."""
    return CHAINS * len(systems) * PER_ENERGY * of_energy(systems[0])


def _separate(centre: Any, systems: Sequence[Any], betas: np.ndarray, seed: int, work: Work, updates: int) -> Source:
    """Simulations at every temperature by itself, by the sampler that suits."""
    n, used = centre.lattice.n_sites, [""]

    def chains(k: int, draws: int) -> np.ndarray:
        each = CHAINS * _THIN * n * _PER_UPDATE + of_energies(systems)
        what, compiling = f"{draws} draws of the mean member at beta = {betas[k]:.4g}", 0.0 if used[0] else CLUSTERS
        work.announce(what, draws * each, compiling=compiling)
        data = simulate(centre, float(betas[k]), draws, CHAINS, seed + 31 * k + draws, thin=_THIN, progress=False)
        used[0] = str(data.attrs["sampler"])
        return np.asarray(data["state"].values)

    few = int(np.clip(updates // (CHAINS * _THIN * n * len(betas)), FEWEST, MOST))
    return Source(few, chains, "the mean member by itself at every temperature")


def _sums(chains: np.ndarray, centre: Any, systems: Sequence[Any], beta: float, records: Sequence[Observable]) -> Sums | None:
    """Weighted sums of every chain ``(chain, draw, *sites)`` for every member; None where a member is left too few draws."""
    sums = Sums(beta, systems[0].lattice.n_sites)
    for states in chains:
        energies = energies_of_all(systems, states)
        change = energies - energies_of_all([centre], states)
        weight = np.exp(-beta * (change - change.mean(0)))
        if np.min(weight.sum(0) ** 2 / (weight**2).sum(0)) < _LEAST_SHARE * len(states):
            return None
        sums.add(columns_of_all(records, states, systems, beta, energies), weight / weight.mean(0))
    return sums


def summary(sums: Sums, record: Observable, log_z: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Estimates ``(member, ...)``, their own errors and the common one; `log_z` as of :meth:`Sums.finish`."""
    whole, replicates = sums.finish(record, log_z)
    middle = replicates.mean(1, keepdims=True)
    return whole, error_of(replicates - middle), error_of(middle)[0]
