"""Predictions of learned densities of angles and reals: their own draws, and these weighted as observed microstates ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.densities.recalibration import recalibrated
from hamlearn.infer.predictions.reweight import RECALIBRATED, Density
from hamlearn.infer.predictions.thermodynamics import Estimates
from hamlearn.systems.density import LearnedDensity

_DRAWS, _BLOCKS = 8192, 8

Observe = Callable[[str, Any, np.ndarray, float], np.ndarray]  # name, system, states (chain, draw, *sites), β → estimate and error


def direct(systems: Sequence[LearnedDensity], betas: np.ndarray, names: Sequence[str], seed: int, observe: Observe) -> dict[str, Estimates]:
    """Learned densities draw for themselves; at another temperature of a classical system their draws are weighted.

    Weighted draws are resampled, and errors are those of as many draws as the weights leave. Every network counts once, however
    often it stands among the systems.

    Parameters
    ----------
    systems : sequence of LearnedDensity
        Members of a posterior.
    betas : array (beta,)
        Inverse temperatures.
    names : sequence of str
        Observables that `observe` knows.
    seed : int
        Of the draws.
    observe : callable
        From name, system, states ``(chain, draw, *sites)`` and β to an estimate and its standard error.

    Raises
    ------
    HamlearnError
        If a density of paths is asked for another temperature than its own.
    """
    distinct = list({id(system.log_prob.__self__): system for system in systems}.values())  # type: ignore[attr-defined]
    for system in distinct:
        if system.space.unbounded and len(system.lattice.shape) == 1 and not system.conditioned and np.any(betas != system.beta):
            other = float(betas[betas != system.beta][0])
            raise HamlearnError(
                f"a density of paths knows beta = {system.beta:g} only: its action at {other:g} has another mixture of kinetic and "
                "potential terms. Join two temperatures first: hl.extrapolate([post1, post2], beta=...)."
            )
    found = [_network(system, betas, names, seed + index + 1, observe) for index, system in enumerate(distinct)]
    smallest = min(one[1] for one in found)
    warning = "; below 0.1, do not trust" if smallest < 0.1 else ""
    method = f"direct draws, weighted (effective share at least {smallest:.2g}{warning})"
    every = len(found) > 1 and all(len(one[0]) > 1 for one in found)  # one network has no interval to hold it
    result = {}
    for name in names:
        own = np.stack([one[0][0][name] for one in found])
        second = None
        if every:
            versions = [np.stack([one[0][index][name] for one in found]) for index in range(1, len(found[0][0]))]
            # Networks learned from the same microstates share the sampling error of their moments.
            moved = [(version[..., 0] - versions[0][..., 0]).mean(0) for version in versions[1:]]
            shared = np.sqrt(np.sum(np.square(moved), axis=0))
            second = Estimates(versions[0][..., 0], versions[0][..., 1], RECALIBRATED, shared=shared)
        result[name] = Estimates(own[..., 0], own[..., 1], method + (RECALIBRATED if second else ""), recalibrated=second)
    return result


def _network(
    system: LearnedDensity, betas: np.ndarray, names: Sequence[str], seed: int, observe: Observe
) -> tuple[list[dict[str, np.ndarray]], float]:
    """Estimates and errors ``(beta, 2)`` of one network as it is, recalibrated, and with moments moved; the smallest share of draws."""
    own: Any = system.log_prob.__self__  # type: ignore[attr-defined]  # the network behind the bound method
    versions: list[Density] = [lambda log_q: log_q]
    if own.observed is not None and not own.conditioned:
        versions += [lambda log_q, to=to: recalibrated(log_q, to) for to in (own.observed, *own.observed.shifted())]  # type: ignore[misc]
    rows: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in versions]
    shares: list[float] = []
    states = log_q = np.zeros(0)
    for beta in betas.tolist():
        if not len(states) or own.conditioned:
            states = own.sample(_DRAWS, seed, beta)
            log_q = np.asarray(own.log_prob(states, beta), float)
        for version, row in zip(versions, rows, strict=True):
            log_p = version(log_q)
            # The energies of drawn states are known: nothing is evaluated again.
            seen = system if own.conditioned else replace(system, log_prob=_Known(states, log_p))
            log_w = np.zeros(len(log_q)) if own.conditioned else beta / system.beta * log_p - log_q
            kept, share = _resampled(states, log_w, log_q)
            shares.append(share)
            blocks = kept.reshape(_BLOCKS, -1, *system.lattice.shape)
            for name in names:
                row[name].append(observe(name, seen, blocks, beta) * [1.0, share**-0.5])
    return [{name: np.stack(values) for name, values in row.items()} for row in rows], min(shares)


def _resampled(states: np.ndarray, log_w: np.ndarray, log_q: np.ndarray) -> tuple[np.ndarray, float]:
    """States in the numbers that their weights ask for, and the effective share of them.

    Systematic, in the order of ln q: functions of ln q lose nothing by it. Then mixed, for blocks to be alike.
    """
    if np.ptp(log_w) < 1e-6:
        return states, 1.0
    w = np.exp(log_w - log_w.max())
    share = float(w.sum() ** 2 / (len(w) * (w**2).sum()))
    order = np.argsort(log_q, kind="stable")
    index = np.searchsorted(np.cumsum(w[order]) / w.sum(), (np.arange(len(w)) + 0.5) / len(w))
    mixed = np.random.default_rng(0).permutation(len(w))
    return states[order[np.minimum(index, len(w) - 1)]][mixed], share


class _Known:
    """ln p of states that were drawn, by looking them up."""

    def __init__(self, states: np.ndarray, log_p: np.ndarray) -> None:
        self.sites, self.axes = states[0].size, states[0].ndim
        self.table = {row.tobytes(): value for row, value in zip(np.ascontiguousarray(states.reshape(len(states), -1)), log_p, strict=True)}

    def __call__(self, states: Any, beta: float | None = None) -> np.ndarray:
        """Log-densities, shape ``(...)``."""
        array = np.asarray(states)
        rows = np.ascontiguousarray(array.reshape(-1, self.sites))
        found = np.array([self.table[row.tobytes()] for row in rows])
        return found.reshape(array.shape[: array.ndim - self.axes])
