"""The kind of :class:`hamlearn.models.DCL`: density, labels, extensive energy, and consistency with the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.data import space_of
from hamlearn.errors import HamlearnError
from hamlearn.infer import groups, posteriors
from hamlearn.infer.densities.observed import MOST_ROWS, own_draws
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import autoregressive, extensive
from hamlearn.infer.families.consistency import ATTEMPTED, Matched, Seen, consistent, labels_of
from hamlearn.infer.families.pair_terms import terms_of
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.shares import TRUSTED, trusted
from hamlearn.infer.training import Training, as_settings, file_of
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.dcl import DCL
from hamlearn.models.extensive import BoundExtensive, Weights
from hamlearn.systems.base import Space, System

if TYPE_CHECKING:
    from hamlearn.infer.engines.jax_training import Regression
    from hamlearn.models.densities.evaluate import Evaluator

__all__ = ["draw_systems", "learn", "parameters"]

parameters = extensive.parameters

_SCRAMBLED = 0.3  # largest share of sites drawn anew in scrambled label states
_LABEL_EPOCHS = 15
_FEWEST_BATCHES = 20
_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # β over the observed one, where errors are predicted


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: DCL,
    *,
    likelihood: str,
    engine: Any,
    calibrate: bool,
    seed: int,
    checkpoint: Any = None,
) -> xr.DataTree:
    """Train the density, distil it, make it consistent; a bare tree, without a verdict.

    `engine` is the training of the density (:class:`hamlearn.infer.Training`). `checkpoint` is that of the settings where these name
    none; the networks fitted to its labels save themselves beside it.
    """
    sets = microstate_data.split_by_beta(data)
    if len(sets) > 1:
        raise HamlearnError(f"DCL learns from one temperature; the data hold {len(sets)}. Learn each by itself, or use LocalInteraction.")
    space = space_of(sets)
    asked = Enquiry(model, space, sets, seed)
    bound = model.extensive.bind(space, sets[0]["state"].shape[2:])  # refuses what cannot be distilled before anything is trained
    # No posterior of weights: members get their scatter from the data, after the distillation.
    saved = as_settings(engine, Training).checkpoint or checkpoint
    options: dict[str, Any] = {"likelihood": likelihood, "engine": engine, "calibrate": calibrate, "seed": seed}
    density = autoregressive.learn(sets, model.autoregressive, **options, checkpoint=saved)
    seen = Seen.of(bound, sets, density)
    generators = np.random.default_rng(seed).spawn(model.autoregressive.members)
    per_density = -(-model.members // model.autoregressive.members)
    fits, ensemble, matches = [], list[Weights](), list[Matched]()
    for number, (evaluator, generator) in enumerate(zip(_evaluators(density), generators, strict=True)):
        drawn = evaluator.sample(model.draws, int(generator.integers(2**31)))
        fit = _distilled(bound, evaluator, drawn[: model.labels], seen.beta, generator, asked, number, saved)
        fits.append(fit)
        if not model.consistent:
            asked.say("consistency with the data not asked for: energies carry the density's own errors")
            ensemble += [fit.weights] * per_density
            continue
        matches.append(consistent(bound, fit, evaluator, drawn, seen))
        asked.say(matches[-1].told)
        ensemble += [matches[-1].member(generator) for _ in range(per_density)]
    ensemble = ensemble[: model.members]
    covers = bool(matches) and all(one.ess > ATTEMPTED for one in matches)
    post = _posterior(asked, bound, fits, ensemble, matches, seen, density, covers=covers)
    if not covers and model.autoregressive.members == 1:
        return posteriors.with_provenance(post, findings=(Noted("one density", "caution", "extrapolation"),))
    return post if model.members == 1 else _with_reach(post, model, seen.beta, seed)


def seconds(model: DCL, space: Space, shape: tuple[int, ...], rows: int) -> float:
    """CPU seconds of learning, at most: epochs of densities, draws and labels with their probabilities, and epochs of energies."""
    from hamlearn.infer.engines import jax_training
    from hamlearn.infer.engines.neural import torch_cost

    density, plain = (torch_cost.fresh(one, space, shape) for one in (model.autoregressive, _plain(model.autoregressive)))
    settings = Training()
    held = int(settings.heldout * model.labels)
    each = settings.epochs * torch_cost.epoch_of(density, rows, settings)
    own = own_draws([density], int(np.prod(shape)), MOST_ROWS)
    each += torch_cost.drawn_seconds(density, own, min(rows, MOST_ROWS) + own)  # compared with the data, and with a rival fitted to both
    each += torch_cost.drawn_seconds(plain, model.draws, model.labels)
    each += _LABEL_EPOCHS * jax_training.epoch_seconds(model.extensive.bind(space, shape), model.labels - held, held)
    return model.autoregressive.members * each


def _distilled(
    bound: BoundExtensive,
    evaluator: Evaluator,
    states: np.ndarray,
    beta: float,
    generator: np.random.Generator,
    asked: Enquiry,
    number: int,
    saved: str | PathLike[str] | None,
) -> Regression:
    """An extensive energy fitted to what a density says of its own states."""
    labelled = _scrambled(states, bound, generator)
    labels = labels_of(evaluator, labelled, beta)
    file = None if saved is None else file_of(saved, number, cast(DCL, asked.model).autoregressive.members, "labels")
    settings = Training(epochs=_LABEL_EPOCHS, batch=256, weight_decay=1e-6, checkpoint=file)
    fit: Regression = extensive.regressions(bound, labelled.reshape(len(labelled), -1), labels[:, None], settings, asked.seed + number)[0]
    asked.say(f"density {number}: labels fitted to {fit.error:.3g} of a spread of {labels.std():.3g}")
    return fit


def _posterior(
    asked: Enquiry,
    bound: BoundExtensive,
    fits: list[Regression],
    ensemble: list[Weights],
    matches: list[Matched],
    seen: Seen,
    density: xr.DataTree,
    *,
    covers: bool,
) -> xr.DataTree:
    """The ensemble, and how it was made."""
    told = posteriors.provenance_of(density)
    n_params = sum(np.size(value) for value in ensemble[0].values())
    if matches and not any(one.network for one in matches):
        n_params = terms_of(bound).count
    return asked.posterior(
        _groups(bound, fits, ensemble, seen.values, density),
        likelihood="importance-weighted",
        composite=not covers,
        engine={"name": told.engine.name, **told.engine.settings, "members": cast(DCL, asked.model).members},
        n_params=n_params,
        adjusted=covers,
        basis=Basis("repeated" if covers else "shared"),
        ess=told.calibration.ess,
        tau=seen.tau,
        calibration=_worth(len(seen.values), seen.tau),
        density=told.training,
        consistency=[{"ess": one.ess, "network": bool(one.network)} for one in matches],
        optimum=asdict(told.optimum),
    )


def _with_reach(post: xr.DataTree, model: DCL, beta: float, seed: int) -> xr.DataTree:
    """The posterior with how far its members agree at other temperatures."""
    betas = beta * np.array(_FACTORS)
    errors, shares = agreement(draw_systems(post, min(model.members, 16), seed), betas, seed)
    table = {"beta": betas.tolist(), "error": errors.tolist(), "predicted_ess": shares.tolist()}
    return posteriors.with_provenance(post, extrapolation={"observed": beta, **table}, findings=_findings(betas, errors, shares, beta))


def _findings(betas: np.ndarray, errors: np.ndarray, shares: np.ndarray, beta: float) -> tuple[Noted, ...]:
    """What the verdict says of other temperatures."""
    lost = betas[~trusted(shares)]
    here = float(errors[np.argmin(np.abs(betas - beta))])
    numbers = {"error": here, "share": TRUSTED, "largest": float(betas.max()), "lost": lost.tolist()}
    return (Noted("reach", "caution" if len(lost) else "note", "extrapolation", numbers),)


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Extensive energies, on a periodic lattice of any extents that the focus divides."""
    return extensive.draw_systems(post, n, seed, shape)


def _evaluators(density: xr.DataTree) -> list[Evaluator]:
    """The densities before averages over translations and the point group: exact of themselves, and much cheaper.

    What is averaged over is learned by the fit to labels, which sees every tile of the lattice.
    """
    from hamlearn.models.densities.evaluate import Evaluator

    plain = _plain(cast(Autoregressive, posteriors.model_of(density)))
    return [Evaluator(plain, one.space, one.shape, one.weights, one.beta) for one in autoregressive.evaluators(density)]


def _plain(model: Autoregressive) -> Autoregressive:
    """The model of a density before those averages."""
    return Autoregressive.from_dict(model.to_dict() | {"symmetry": [name for name in model.symmetry if name in ("z2", "internal")]})


def _scrambled(states: np.ndarray, bound: BoundExtensive, generator: np.random.Generator) -> np.ndarray:
    """Thermal states, every second with a random share of its sites drawn anew, to see beyond the typical energies."""
    values = bound.space.values
    share = generator.uniform(0, _SCRAMBLED, size=(len(states), *(1,) * len(bound.shape)))
    share[::2] = 0
    anew = generator.random(states.shape) < share
    return np.where(anew, values[generator.integers(len(values), size=states.shape)], states).astype(np.int8)


def _worth(rows: int, tau: float) -> dict[str, Any]:
    """What the verdict says of autocorrelation: error bars of fewer than twenty stretches of 5τ are themselves uncertain."""
    batches = int(rows / (5 * tau))
    few = tau > 1 and batches < _FEWEST_BATCHES
    return {"kind": "too few batches" if few else "rows" if tau == 1 else "batches", "batches": batches, "chains_disagree": False}


def _groups(
    bound: BoundExtensive, fits: list[Regression], ensemble: list[Weights], values: np.ndarray, density: xr.DataTree
) -> dict[str, xr.Dataset]:
    probes = values[:: max(1, len(values) // 32)][:32]
    systems = [bound.system(weights) for weights in ensemble]
    energies = np.stack([np.asarray(system.energy(probes.reshape(-1, *bound.shape)), float) for system in systems])
    held = xr.Dataset(
        {"label_error": ("density", [fit.error for fit in fits]), "pairs_error": ("density", [fit.pairs_error for fit in fits])}
    )
    return {
        "posterior": extensive.probed(energies),
        "weights": groups.members(ensemble),
        "training": density["training"].to_dataset(),
        "density_weights": density["weights"].to_dataset(),
        "observed_data": held,
    }
