"""From a known action to a normalised density: variational training, no data."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.infer import autoregressive, tree
from hamlearn.infer.training import Variational, as_settings, recorded
from hamlearn.models import Autoregressive, Flow
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import System, check_beta

_JUDGED_ON = 4096  # draws that say how good the density is


def approximate(
    system: System, beta: float, model: Autoregressive | Flow | None = None, engine: Any = "auto", seed: int = 0
) -> xr.DataTree:
    """A density trained on a known action, as a posterior like any other.

    Parameters
    ----------
    system : System
        Anything with an ``action``; nothing else is asked of it. For pairs of spins the network starts from the exact
        response to already drawn neighbours.
    beta : float
        Inverse temperature.
    model : Autoregressive or Flow, optional
        The density; symmetries of the action that it is given are a large gain. Default: ``Autoregressive()``. A flow is
        trained by path-wise gradients, for which the action must be computed by JAX.
    engine : {"auto", "variational"} or Variational
        Settings of the training.
    seed : int
        Seed of everything random.

    Returns
    -------
    DataTree
        As :func:`hamlearn.learn` returns for a density: :func:`hamlearn.sample`, :func:`hamlearn.log_prob`,
        :func:`hamlearn.estimate` (log Z with errors) and :func:`hamlearn.members` take it. Its ``observed_data`` are
        draws of its own.

    Raises
    ------
    HamlearnError
        If the model is conditioned on β, does not go with the system, or training diverges.

    Notes
    -----
    Minimising E_q[ln q + action] forgives q for leaving out whole phases: read ``ess_p`` and ``mode_drop`` of
    :func:`hamlearn.estimate`, not ``ess_q`` alone.

    Examples
    --------
    >>> import hamlearn as hl
    >>> ising = hl.systems.Ising((3, 3))
    >>> settings = hl.infer.Variational(steps=200, batch=100, learning_rate=0.01)
    >>> post = hl.approximate(ising, 0.3, hl.models.Autoregressive(hidden=16, symmetry=["z2"]), engine=settings)
    >>> bool(hl.estimate(post, ising, n=1000)["ess_q"] > 0.9)
    True
    """
    from hamlearn.infer.engines import torch_variational
    from hamlearn.models.autoregressive.build import build, weights_of
    from hamlearn.models.autoregressive.evaluate import Evaluator

    model = Autoregressive() if model is None else model
    settings: Variational = as_settings(engine, Variational)
    at = float(check_beta(beta))
    if not isinstance(model, Autoregressive | Flow) or model.condition is not None:
        raise HamlearnError(
            f"approximate needs a density of one temperature, hl.models.Autoregressive(...) without condition or Flow(...); got {model!r}."
        )
    shape, space = tuple(system.lattice.shape), system.space
    started = time.perf_counter()
    weights, histories, drawn, shares = [], [], [], []
    for start in np.random.SeedSequence(seed).generate_state(model.members).tolist():
        density = build(model, space, shape, start)
        n_params = sum(parameter.numel() for parameter in density.parameters())
        histories.append(torch_variational.fit(density, system, at, settings, start))
        weights.append(weights_of(density))
        one = Evaluator(model, space, shape, weights[-1], at)
        states = one.sample(_JUDGED_ON, start + 1)
        log_w = -np.asarray(system.action(states, at), float) - one.log_prob(states)
        w = np.exp(log_w - log_w.max())
        shares.append(float(w.sum() ** 2 / (len(w) * (w**2).sum())))
        drawn.append(states[:256])
    own = microstate_data.build(
        np.stack(drawn), beta=at, space=space, lattice=lattices.hypercubic(shape), attrs={"sampler": model.kind, "independent": 1}
    )
    record = tree.new_record(
        likelihood="variational",
        composite=False,
        engine=recorded(settings),
        n_params=n_params,
        sets=[own],
        seed=seed,
        seconds=time.perf_counter() - started,
        note="trained on a known action, not on data",
        optimum={"steps": sum(history.epoch for history in histories)},
        training={
            "ess_q": shares,
            "sd": [history.heldout[-1] for history in histories],
            "stopped": [history.stopped for history in histories],
            "epochs": [history.epoch for history in histories],
            "target": repr(system),
        },
    )
    curves = xr.Dataset(
        {
            # An "epoch" is 50 gradient steps here.
            "train": (("member", "epoch"), autoregressive.padded([history.train for history in histories])),
            "sd": (("member", "epoch"), autoregressive.padded([history.heldout for history in histories])),
        }
    )
    nats = [history.train[-1] for history in histories]
    return autoregressive.assemble(weights, nats, curves, model=model, space=space, record=record, sets=[own])
