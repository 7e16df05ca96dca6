"""Chains of a sparse posterior, chunk by chunk: where they stop, what is saved, how they go on.

The sweeps of a chunk are counted from the size of the problem, and every chunk has random numbers of its own: a chain that continues
from a checkpoint returns what it would have returned, to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from hamlearn.checkpoint import Checkpoint
from hamlearn.infer.engines.gibbs import chain as one_chain
from hamlearn.infer.engines.gibbs.surrogate import Surrogate
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.models import SpikeSlab

_WORK = 2e8  # multiplications of a chunk where every sweep changes everything: a fraction of a second
_LEAST = 64  # sweeps of a chunk: as often as the chain sets its residual right anyway
_SAVE_EVERY_S = 5.0


@dataclass(frozen=True)
class Plan:
    """Kept draws, discarded sweeps, sweeps per draw, and sweeps per collapsed one."""

    draws: int
    burn_in: int
    thin: int
    every: int

    @property
    def sweeps(self) -> int:
        """Of one chain in all."""
        return self.burn_in + self.draws * self.thin


@dataclass(frozen=True, eq=False)
class Chain:
    """How far one chain is.

    Attributes
    ----------
    at : array (n_params,)
        θ now.
    sign : array (n_coupling_params,)
        Signs now; 0 where there is no coupling.
    numbers : array (3,)
        π, s² and μ now.
    kept : dict of lists of arrays (draw, ...)
        Draws of θ, of what is in, and of π, s and μ, chunk by chunk.
    done, chunks : int
        Sweeps and chunks made.
    """

    at: np.ndarray
    sign: np.ndarray
    numbers: np.ndarray
    kept: dict[str, list[np.ndarray]]
    done: int = 0
    chunks: int = 0

    @property
    def theta(self) -> np.ndarray:
        """Draws of θ ``(draw, n_params)``."""
        return np.concatenate(self.kept["theta"])

    @property
    def included(self) -> np.ndarray:
        """What is in ``(draw, n_coupling_params)``."""
        return np.concatenate(self.kept["included"])

    @property
    def hyper(self) -> np.ndarray:
        """π, s and μ ``(draw, 3)``."""
        return np.concatenate(self.kept["hyper"])


def sample(
    likelihood: Likelihood,
    normal: Surrogate,
    prior: SpikeSlab,
    begin: Sequence[tuple[np.ndarray, np.ndarray]],
    plan: Plan,
    seeds: Sequence[list[int]],
    *,
    checkpoint: Checkpoint | None = None,
    finished: Callable[[], None] = lambda: None,
) -> list[Chain]:
    """One chain from every θ and (π, s, μ) of `begin`, one after another; `finished` is called after each."""
    fresh = [_begun(likelihood, prior, *start) for start in begin]
    found = checkpoint.restore(lambda arrays: _from_arrays(arrays, fresh)) if checkpoint is not None else None
    chains = fresh if found is None else found
    last, safe = -math.inf, found is not None  # safe: the file holds all that is done
    try:
        for k, seed in enumerate(seeds):
            while chains[k].done < plan.sweeps:
                chains[k], safe = _chunk(likelihood, normal, prior, chains[k], plan, seed), False
                done = k == len(seeds) - 1 and chains[k].done == plan.sweeps
                if checkpoint is not None and (done or time.monotonic() - last > _SAVE_EVERY_S):
                    checkpoint.save(_as_arrays(chains), _grown(chains))
                    last, safe = time.monotonic(), True
            finished()
    except KeyboardInterrupt:
        if checkpoint is not None and not safe:
            checkpoint.save(_as_arrays(chains), _grown(chains))
        raise
    return chains


def opened(
    path: str | PathLike[str],
    normal: Surrogate,
    prior: SpikeSlab,
    likelihood: Likelihood,
    begin: Sequence[tuple[np.ndarray, np.ndarray]],
    plan: Plan,
    seed: int,
) -> Checkpoint:
    """The checkpoint of these chains: what was computed from the data enters by its digest."""
    digest = hashlib.sha256()
    for array in (normal.precision, normal.linear, *(part for start in begin for part in start)):
        digest.update(np.ascontiguousarray(array).tobytes())
    request = {
        "model": json.dumps(likelihood.bound.model.to_dict(), sort_keys=True),
        "prior": repr(prior),
        "likelihood": likelihood.name,
        "engine": repr(plan),
        "chains": str(len(begin)),
        "seed": str(seed),
        "data": digest.hexdigest(),
    }
    return Checkpoint(path, request, of="sampling of a sparse posterior")


def _begun(likelihood: Likelihood, prior: SpikeSlab, theta: np.ndarray, hyper: np.ndarray) -> Chain:
    n = likelihood.bound.n_coupling_params
    probability, width, centre = np.array(hyper, float)
    if prior.common == 1 and centre == 0:
        centre = max(float(np.abs(theta[:n]).max(initial=0.0)), 1e-3 * prior.slab)
    elif prior.common == 0:
        centre = 0.0
    if prior.inclusion is not None:
        probability = prior.inclusion
    nothing: dict[str, list[np.ndarray]] = {
        "theta": [np.zeros((0, len(theta)))],
        "included": [np.zeros((0, n), np.int8)],
        "hyper": [np.zeros((0, 3))],
    }
    return Chain(np.array(theta, float), np.sign(theta[:n]), np.array([probability, width**2, centre]), nothing)


def _chunk(likelihood: Likelihood, normal: Surrogate, prior: SpikeSlab, chain: Chain, plan: Plan, seed: list[int]) -> Chain:
    last = min(plan.sweeps, chain.done + max(_LEAST, int(_WORK / len(chain.at) ** 2)))
    found = one_chain.advance(
        normal.precision,
        normal.linear,
        likelihood.bound.n_coupling_params,
        likelihood.bound.model.field_prior.scale**-2.0,
        prior.slab,
        -1.0 if prior.inclusion is None else prior.inclusion,
        float(prior.common),
        chain.at,
        chain.sign,
        chain.numbers,
        chain.done,
        last,
        plan.burn_in,
        plan.thin,
        plan.every,
        int(np.random.SeedSequence(seed).generate_state(chain.chunks + 1)[-1]),
    )
    at, sign, numbers, *new = (np.asarray(part) for part in found)
    kept = {name: [*before, *([part] if len(part) else [])] for (name, before), part in zip(chain.kept.items(), new, strict=True)}
    return Chain(at, sign, numbers, kept, last, chain.chunks + 1)


_ARRAYS = ("at", "sign", "numbers")


def _as_arrays(chains: Sequence[Chain]) -> dict[str, np.ndarray]:
    arrays = {f"{name}_{k}": vars(chain)[name] for k, chain in enumerate(chains) for name in _ARRAYS}
    return {"done": np.array([[chain.done, chain.chunks] for chain in chains]), **arrays}


def _grown(chains: Sequence[Chain]) -> dict[str, list[np.ndarray]]:
    """Draws, chunk by chunk: what a save adds to the file."""
    return {f"{name}_{k}": pieces for k, chain in enumerate(chains) for name, pieces in chain.kept.items()}


def _from_arrays(arrays: Mapping[str, Any], like: Sequence[Chain]) -> list[Chain]:
    counts = arrays["done"].tolist()
    found = [
        replace(
            chain,
            done=int(counts[k][0]),
            chunks=int(counts[k][1]),
            kept={name: list(arrays[f"{name}_{k}"]) for name in chain.kept},
            **{name: arrays[f"{name}_{k}"] for name in _ARRAYS},
        )
        for k, chain in enumerate(like)
    ]
    for new, chain in zip(found, like, strict=True):
        pairs = [(vars(new)[name], vars(chain)[name]) for name in _ARRAYS]
        pieces = [(piece[:0], chain.kept[name][0]) for name, all_ in new.kept.items() for piece in all_]
        if any((one.dtype, one.shape) != (other.dtype, other.shape) for one, other in [*pairs, *pieces]):
            raise ValueError("its arrays are not of this run's shapes")
    return found
