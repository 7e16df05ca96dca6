"""NUTS by NumPyro: the one file that runs it.

Everything is double precision inside a context: in single precision the likelihood of 10⁶ microstates loses all its digits and NUTS
never moves. The compiled code takes all numbers as arguments and is kept by structure (:mod:`.numpyro_model`): other data of the same
structure compile nothing.

Transitions run in chunks of one compiled function, which is given how many to make: draws do not depend on where chunks end,
so an interrupted run that continues from a checkpoint returns what it would have returned, to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS as Kernel
from numpyro.infer import init_to_value

from hamlearn.checkpoint import Checkpoint
from hamlearn.infer import groups
from hamlearn.infer.engines.numpyro_model import Structure, as_jax, model
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.settings import NUTS, Drawn
from hamlearn.processes import alone
from hamlearn.progress import track

_CHUNK = 50  # transitions of a chunk at most
_WORK = 5e8  # operations of all chains in a chunk, about a second
_OWN = "own:"  # before names of priors' own parameters, which may be called as a statistic is
_SAVE_EVERY_S = 5.0
# What is kept of every transition: names in the posterior, and where NumPyro's state has it.
STATISTICS = {
    "diverging": "diverging",
    "n_steps": "num_steps",
    "acceptance_rate": "accept_prob",
    "energy": "energy",
    "step_size": "adapt_state.step_size",
}


def _initial(likelihood: Likelihood, theta: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in likelihood.bound.blocks:
        found |= block.prior.sites(block.name, theta[block.where])
    return found


def run(
    likelihood: Likelihood,
    centre: np.ndarray,
    transform: np.ndarray | None,
    settings: NUTS,
    seed: int,
    covariance: np.ndarray,
    checkpoint: str | PathLike[str] | None = None,
) -> Drawn:
    """NUTS draws from the calibrated likelihood times the priors.

    Parameters
    ----------
    likelihood : Likelihood
    centre : array (n_params,)
        The maximum of the likelihood, around which it is adjusted.
    transform : array (n_params, n_params) or None
        C of the adjusted likelihood ℓ(centre + C(θ − centre)); None where it is right as it is.
    settings : NUTS
    seed : int
    covariance : array (n_params, n_params)
        Covariance of the normal approximation: the inverse mass matrix.
    checkpoint : path, optional
        Where to continue from and to save to: after the first chunk, every few seconds, where it is interrupted, and at the end. Whoever
        has made the result safe removes it.
    """
    with jax.enable_x64(True):
        structure, arrays = model(likelihood, centre, transform)
        with alone():  # NumPyro's handlers are one stack per process; compiled code needs them no more
            advance, state = _compiled(structure, as_jax(arrays), likelihood, centre, settings, seed, covariance)
        file = None
        if checkpoint is not None:
            asked = _request(likelihood, settings, seed, [*jax.tree.leaves(arrays["likelihood"].data), centre, covariance, transform])
            file = Checkpoint(checkpoint, asked, of="sampling of a posterior by NUTS")
        kept = _sample(advance, _Run(state), settings, _gradients(likelihood, settings), file).kept
    joined = {name: np.ascontiguousarray(np.concatenate(chunks).swapaxes(0, 1)) for name, chunks in kept.items()}
    own = {name.removeprefix(_OWN): joined.pop(name) for name in list(joined) if name.startswith(_OWN)}
    return Drawn(joined.pop("theta"), joined, own=own)


@dataclass(frozen=True)
class _Run:
    """How far a run is.

    Attributes
    ----------
    state : HMCState
        NumPyro's, of all chains.
    done : int
        Transitions made, warm-up and draws.
    kept : dict of lists of arrays (draw, chain, ...)
        Chunk by chunk, after the warm-up.
    """

    state: Any
    done: int = 0
    kept: dict[str, list[np.ndarray]] = field(default_factory=dict)


def _compiled(
    structure: Structure, arrays: Any, likelihood: Likelihood, centre: np.ndarray, settings: NUTS, seed: int, covariance: np.ndarray
) -> tuple[Callable[[Any, int, int], Any], Any]:
    """A compiled ``advance(state, most transitions, most gradients)`` and the state that it starts from."""
    plain = all(block.prior.direct for block in likelihood.bound.blocks)
    make = _kernel if structure.reusable else _kernel.__wrapped__
    begin, program = make(structure, plain, settings.warmup, settings.target_accept)
    initial = as_jax(_initial(likelihood, centre))
    start = _scattered(likelihood, centre, covariance, settings.chains, seed) if plain else None
    keys = jax.random.split(jax.random.key(seed), settings.chains) if settings.chains > 1 else jax.random.key(seed)[None]
    state = begin(keys, start, initial, jnp.asarray(covariance), arrays)
    state = _from_arrays(_as_arrays(state), state)  # NumPy's types, which a resumed run has too

    def advance(state: Any, most: int, gradients: int) -> Any:
        return program(state, initial, arrays, jnp.asarray(most), jnp.asarray(gradients))

    _, _, kept = advance(state, 0, 0)  # compiles where that is not done
    groups.require_own(name.removeprefix(_OWN) for name in kept if name.startswith(_OWN))
    return advance, state


@lru_cache(maxsize=16)
def _kernel(structure: Structure, plain: bool, warmup: int, target_accept: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Jitted functions of a structure: the state to start from, and the transitions of a chunk. They hold no data."""
    sites = tuple(site.name for site in structure.sites)

    def kernel_at(initial: Any, covariance: Any = None) -> Kernel:
        return Kernel(
            structure.model,
            init_strategy=init_to_value(values=initial),
            target_accept_prob=target_accept,
            dense_mass=[sites] if plain else False,
            inverse_mass_matrix={sites: covariance} if plain and covariance is not None else None,
            adapt_mass_matrix=not plain,
        )

    def begin(keys: jax.Array, start: Any, initial: Any, covariance: jax.Array, arrays: Any) -> Any:
        return kernel_at(initial, covariance).init(keys, warmup, start, model_args=(arrays,), model_kwargs={})

    def advance(state: Any, initial: Any, arrays: Any, most: jax.Array, gradients: jax.Array) -> Any:
        # A kernel makes its functions when it is initialised; of that its shapes are enough.
        kernel = kernel_at(initial)
        jax.eval_shape(lambda: kernel.init(state.rng_key, warmup, state.z, model_args=(arrays,), model_kwargs={}))
        constrain = jax.vmap(kernel.postprocess_fn((arrays,), {}))

        def observed(state: Any) -> dict[str, jax.Array]:
            found = {name: _attribute(state, where) for name, where in STATISTICS.items()}
            values = constrain(state.z)
            own = {f"{_OWN}{name}": value for name, value in values.items() if name not in {"theta", *sites, *initial}}
            return {"theta": values["theta"], **own, **found}

        def one(carry: Any) -> Any:
            index, spent, state, kept = carry
            state = kernel.sample(state, (arrays,), {})
            kept = {name: kept[name].at[index].set(value) for name, value in observed(state).items()}
            return index + 1, spent + state.num_steps.max(), state, kept

        room = {name: jnp.zeros((_CHUNK, *one.shape), one.dtype) for name, one in jax.eval_shape(observed, state).items()}
        index, _, state, kept = jax.lax.while_loop(lambda at: (at[0] < most) & (at[1] < gradients), one, (0, 0, state, room))
        return index, state, kept

    return jax.jit(begin), jax.jit(advance)


def _sample(advance: Callable[[Any, int, int], Any], at: _Run, settings: NUTS, gradients: int, file: Checkpoint | None) -> _Run:
    """All transitions, chunk by chunk."""
    total, fresh = settings.warmup + settings.draws, at
    found = file.restore(lambda arrays: _resumed(arrays, fresh.state)) if file is not None else None
    at = fresh if found is None else found
    last, safe = -math.inf, found is not None  # safe: the file holds all that is done
    with track(total, "sampling the posterior") as bar:
        bar.advance(at.done)
        try:
            while at.done < total:
                at, safe = _chunk(advance, at, settings, gradients), False
                bar.advance(at.done - bar.done)
                if file is not None and (at.done == total or time.monotonic() - last > _SAVE_EVERY_S):
                    file.save(_saved(at), _grown(at))
                    last, safe = time.monotonic(), True
        except KeyboardInterrupt:
            if file is not None and not safe:
                file.save(_saved(at), _grown(at))
            raise
    return at


def _chunk(advance: Callable[[Any, int, int], Any], at: _Run, settings: NUTS, gradients: int) -> _Run:
    left = settings.warmup - at.done if at.done < settings.warmup else settings.warmup + settings.draws - at.done
    made, state, kept = advance(at.state, min(_CHUNK, left), gradients)
    count = int(made)  # waits for it
    if at.done < settings.warmup:
        return _Run(state, at.done + count)
    chunks = {name: [*at.kept.get(name, []), np.asarray(value)[:count]] for name, value in kept.items()}
    return _Run(state, at.done + count, chunks)


def _gradients(likelihood: Likelihood, settings: NUTS) -> int:
    """Gradients of a chunk: few where one takes long, so that little is lost."""
    operations = likelihood.operations
    return int(min(max(_WORK / (operations * settings.chains), 1), 1e6))


def _request(likelihood: Likelihood, settings: NUTS, seed: int, arrays: list[Any]) -> dict[str, str]:
    """Everything that determines the draws, each by name; the data and what was computed from them as one digest."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.asarray([] if array is None else array)
        digest.update(f"{values.dtype.str} {values.shape} ".encode() + np.ascontiguousarray(values).tobytes())
    return {
        "model": json.dumps(likelihood.bound.model.to_dict(), sort_keys=True),
        "likelihood": likelihood.name,
        "engine": repr(settings),
        "seed": str(seed),
        "data": digest.hexdigest(),
    }


def _saved(at: _Run) -> dict[str, np.ndarray]:
    return {"done": np.asarray(at.done), **_as_arrays(at.state)}


def _grown(at: _Run) -> dict[str, list[np.ndarray]]:
    """Draws, chunk by chunk: what a save adds to the file."""
    return {f"kept_{name}": chunks for name, chunks in at.kept.items()}


def _resumed(arrays: Mapping[str, Any], like: Any) -> _Run:
    kept = {name.removeprefix("kept_"): list(chunks) for name, chunks in arrays.items() if name.startswith("kept_")}
    return _Run(_from_arrays(arrays, like), int(arrays["done"]), kept)


def _as_arrays(state: Any) -> dict[str, np.ndarray]:
    """NumPyro's state, leaf by leaf; keys by their data."""
    leaves = jax.tree.leaves(state)
    return {f"state_{k}": np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for k, leaf in enumerate(leaves)}


def _from_arrays(arrays: Mapping[str, np.ndarray], like: Any) -> Any:
    """The same, of the structure of `like`."""
    leaves, structure = jax.tree.flatten(like)
    found = [jnp.asarray(arrays[f"state_{k}"]) for k in range(len(leaves))]
    found = [jax.random.wrap_key_data(new) if _is_key(leaf) else new for new, leaf in zip(found, leaves, strict=True)]
    if [(new.shape, new.dtype) for new in found] != [(leaf.shape, leaf.dtype) for leaf in leaves]:
        raise ValueError("its arrays are not of this run's shapes")
    return jax.tree.unflatten(structure, found)


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _attribute(state: Any, where: str) -> Any:
    for name in where.split("."):
        state = getattr(state, name)
    return state


def _scattered(likelihood: Likelihood, centre: np.ndarray, covariance: np.ndarray, chains: int, seed: int) -> dict[str, Any]:
    """Starting points over-dispersed about the normal approximation, so that R̂ can notice chains that disagree."""
    root = np.linalg.cholesky((covariance + covariance.T) / 2 + 1e-12 * np.trace(covariance) / len(centre) * np.eye(len(centre)))
    points = centre + 1.5 * np.random.default_rng(seed).normal(size=(chains, len(centre))) @ root.T
    return {block.name: jnp.asarray(points[..., block.where]) for block in likelihood.bound.blocks}


__all__ = ["STATISTICS", "run"]
