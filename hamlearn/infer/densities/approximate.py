"""From a known action to a normalised density: variational training, no data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.arguments import require_seed, shown
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.infer import groups
from hamlearn.infer.constrained import require_kept
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import autoregressive
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.training import Variational, as_settings, file_of, recorded, request
from hamlearn.models import Autoregressive, Flow
from hamlearn.processes import verb
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import System, one_beta

_JUDGED_ON = 4096  # draws that say how good the density is


@verb
def approximate(
    system: System,
    beta: float,
    model: Autoregressive | Flow | None = None,
    engine: Literal["auto", "variational"] | Variational = "auto",
    seed: int = 0,
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
        If the model is conditioned on β, does not go with the system, training diverges before its first 50 steps are done
        (later the last good weights are kept, and the verdict says so).

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
    model = Autoregressive() if model is None else model
    settings: Variational = as_settings(engine, Variational)
    at, seed = one_beta(beta), require_seed(seed)
    if not isinstance(system, System):
        raise HamlearnError(f"approximate needs a system, such as hl.systems.Ising((4, 4)); got {shown(system)}.")
    if not isinstance(model, Autoregressive | Flow) or model.condition is not None:
        raise HamlearnError(
            f"approximate needs a density of one temperature, hl.models.Autoregressive(...) without condition or Flow(...); got {model!r}."
        )
    require_kept([system.space], model)
    asked = Enquiry(model, system.space, [], seed)
    seeds = np.random.SeedSequence(seed).generate_state(model.members).tolist()
    trained = [_train(system, at, model, settings, number, start) for number, start in enumerate(seeds)]
    histories, diverged = [one.history for one in trained], any(one.history.diverged for one in trained)
    sites, said = lattices.hypercubic(tuple(system.lattice.shape)), {"sampler": model.kind, "independent": 1}
    states = np.stack([one.states for one in trained])
    asked.sets.append(microstate_data.build(states, beta=at, space=system.space, lattice=sites, attrs=said))
    provenance = asked.provenance(
        likelihood="variational",
        composite=False,
        engine=recorded(settings),
        n_params=trained[0].n_params,
        basis=Basis("action"),
        optimum={"converged": not diverged, "steps": sum(history.best for history in histories)},
        training={
            "ess_q": [one.share for one in trained],
            "sd": [history.heldout[history.last] for history in histories],
            "stopped": [history.stopped for history in histories],
            "epochs": [history.best for history in histories],
            "target": repr(system),
            "device": trained[0].device,
            "checkpoint": ", ".join(str(one.file.at) for one in trained if one.file is not None) if diverged else "",
        },
        findings=tuple(_finding(number, one) for number, one in enumerate(trained) if one.history.diverged),
    )
    # An "epoch" of the curves is 50 gradient steps.
    table = groups.curves({"train": [history.train for history in histories], "sd": [history.heldout for history in histories]})
    nats, weights = [history.train[history.last] for history in histories], [one.weights for one in trained]
    return autoregressive.assemble(weights, nats, table, model=model, space=system.space, provenance=provenance, sets=asked.sets)


@dataclass(frozen=True)
class _Trained:
    """A density trained on an action, some of its draws, and the effective share of these under the action."""

    weights: dict[str, np.ndarray]
    n_params: int
    history: Any
    states: np.ndarray
    share: float
    device: str
    file: Checkpoint | None


def _train(system: System, beta: float, model: Autoregressive | Flow, settings: Variational, number: int, seed: int) -> _Trained:
    from hamlearn.infer.engines.neural import torch_devices, torch_variational
    from hamlearn.models.densities.build import build, weights_of
    from hamlearn.models.densities.evaluate import Evaluator

    shape, space = tuple(system.lattice.shape), system.space
    device, file = torch_devices.choose(settings.device), None
    density = build(model, space, shape, seed)
    if settings.checkpoint is not None:
        asked = request(model, space, shape, settings, seed, action=_described(system), beta=repr(beta))
        file = Checkpoint(file_of(settings.checkpoint, number, model.members), asked, of="training")
    history = torch_variational.fit(density, system, beta, settings, seed, checkpoint=file, device=device)
    weights = weights_of(density)
    one = Evaluator(model, space, shape, weights, beta)
    states = one.sample(_JUDGED_ON, seed + 1)
    log_w = -np.asarray(system.action(states, beta), float) - one.log_prob(states)
    w = np.exp(log_w - log_w.max())
    share = float(w.sum() ** 2 / (len(w) * (w**2).sum()))
    n_params = sum(parameter.numel() for parameter in density.parameters())
    return _Trained(weights, n_params, history, states[:256], share, str(device), file)


def _described(system: System) -> str:
    """What tells one action from another."""
    try:
        return json.dumps(system.to_dict(), sort_keys=True)
    except (AttributeError, TypeError):  # a system of the user's own may have no description in JSON
        return repr(system)


def _finding(number: int, trained: _Trained) -> Noted:
    """What the verdict says of a training that diverged."""
    numbers = {"network": number, "step": trained.history.best, "checkpoint": "" if trained.file is None else str(trained.file.at)}
    return Noted("variational training diverged", "serious", "convergence", numbers)
