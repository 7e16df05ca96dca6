"""The kind of :class:`hamlearn.models.DCL`: density, labels, extensive energy, and consistency with the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import statistics
from hamlearn.data import space_of
from hamlearn.errors import HamlearnError
from hamlearn.infer import groups, posteriors
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import autoregressive, extensive
from hamlearn.infer.families.pair_terms import SharedTerms, SiteTerms, terms_of
from hamlearn.infer.newton import newton
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.relevance import relevance, relevant
from hamlearn.infer.shares import TRUSTED, trusted
from hamlearn.infer.training import Training, as_settings, file_of
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.dcl import DCL
from hamlearn.models.extensive import BoundExtensive, Weights
from hamlearn.systems.base import System

if TYPE_CHECKING:
    from hamlearn.infer.engines.jax_training import Regression
    from hamlearn.models.autoregressive.evaluate import Evaluator

__all__ = ["draw_systems", "learn", "parameters"]

parameters = extensive.parameters

ATTEMPTED = 0.02  # of tens of thousands of draws, what weights must leave or there are too few for moments: a number, not a trust
_SCRAMBLED = 0.3  # largest share of sites drawn anew in scrambled label states
_LABEL_EPOCHS = 15
_STEPS, _TOLERANCE = 20, 1e-18  # of Newton's method, and what is left to gain of a microstate: data may be millions
_MANY, _SWEEPS = 100, 2  # strengths, beyond which a member's prior widths take so many sweeps from those of the data
_FEWEST_BATCHES = 20
_CHUNK = 8192  # rows of terms in double precision: 55 MB for the 832 of a glass of 8×8
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
    seen = _Seen.of(bound, sets, density)
    generators = np.random.default_rng(seed).spawn(model.autoregressive.members)
    per_density = -(-model.members // model.autoregressive.members)
    fits, ensemble, matches = [], list[Weights](), list[_Matched]()
    for number, (evaluator, generator) in enumerate(zip(_evaluators(density), generators, strict=True)):
        drawn = evaluator.sample(model.draws, int(generator.integers(2**31)))
        fit = _distilled(bound, evaluator, drawn[: model.labels], seen.beta, generator, asked, number, saved)
        fits.append(fit)
        if not model.consistent:
            asked.say("consistency with the data not asked for: energies carry the density's own errors")
            ensemble += [fit.weights] * per_density
            continue
        matches.append(_consistent(bound, fit, evaluator, drawn, seen))
        asked.say(matches[-1].told)
        ensemble += [matches[-1].member(generator) for _ in range(per_density)]
    ensemble = ensemble[: model.members]
    covers = bool(matches) and all(one.ess > ATTEMPTED for one in matches)
    post = _posterior(asked, bound, fits, ensemble, matches, seen, density, covers=covers)
    if not covers and model.autoregressive.members == 1:
        return posteriors.with_provenance(post, findings=(Noted("one density", "caution", "extrapolation"),))
    return post if model.members == 1 else _with_reach(post, model, seen.beta, seed)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The data: values ``(row, site)``, what each counts, β, τ, and the terms of autocorrelated rows."""

    values: np.ndarray
    weight: np.ndarray
    beta: float
    tau: float
    series: np.ndarray | None

    @classmethod
    def of(cls, bound: BoundExtensive, sets: list[xr.Dataset], density: xr.DataTree) -> _Seen:
        values = microstate_data.rows(sets[0]).reshape(-1, int(np.prod(bound.shape)))
        tau = posteriors.provenance_of(density).calibration.tau
        series = _series(terms_of(bound), bound.space.index(values), sets[0]["state"].shape[:2], tau)
        return cls(values, microstate_data.multiplicity(sets[0])[0].reshape(-1), float(sets[0]["beta"]), tau, series)


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
    labels = _labels(evaluator, labelled, beta)
    file = None if saved is None else file_of(saved, number, cast(DCL, asked.model).autoregressive.members, "labels")
    settings = Training(epochs=_LABEL_EPOCHS, batch=256, weight_decay=1e-6, checkpoint=file)
    fit: Regression = extensive._fit(bound, labelled.reshape(len(labelled), -1), labels[:, None], settings, asked.seed + number)[0]
    asked.say(f"density {number}: labels fitted to {fit.error:.3g} of a spread of {labels.std():.3g}")
    return fit


def _posterior(
    asked: Enquiry,
    bound: BoundExtensive,
    fits: list[Regression],
    ensemble: list[Weights],
    matches: list[_Matched],
    seen: _Seen,
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
    from hamlearn.models.autoregressive.evaluate import Evaluator

    model = cast(Autoregressive, posteriors.model_of(density))
    description = model.to_dict()
    description["symmetry"] = [name for name in model.symmetry if name in ("z2", "internal")]
    plain = Autoregressive.from_dict(description)
    return [Evaluator(plain, one.space, one.shape, one.weights, one.beta) for one in autoregressive.evaluators(density)]


def _scrambled(states: np.ndarray, bound: BoundExtensive, generator: np.random.Generator) -> np.ndarray:
    """Thermal states, every second with a random share of its sites drawn anew, to see beyond the typical energies."""
    values = bound.space.values
    share = generator.uniform(0, _SCRAMBLED, size=(len(states), *(1,) * len(bound.shape)))
    share[::2] = 0
    anew = generator.random(states.shape) < share
    return np.where(anew, values[generator.integers(len(values), size=states.shape)], states).astype(np.int8)


def _labels(evaluator: Evaluator, states: np.ndarray, beta: float) -> np.ndarray:
    return -np.concatenate([evaluator.log_prob(states[start : start + 8192]) for start in range(0, len(states), 8192)]) / beta


@dataclass(frozen=True, eq=False)
class _Matched:
    """An extensive energy made consistent with the data: strengths of translation-tied fields and pairs, and their errors."""

    bound: BoundExtensive
    terms: SharedTerms | SiteTerms
    weights: Weights
    base: np.ndarray  # strengths that the distilled energy has
    strengths: np.ndarray  # those of the data
    covariance: np.ndarray
    ess: float
    network: bool
    told: str

    def member(self, generator: np.random.Generator) -> Weights:
        """Weights with strengths as a repeated experiment might have given them."""
        if self.ess <= ATTEMPTED:
            return self.weights
        shaken = generator.multivariate_normal(self.strengths, self.covariance, method="eigh")
        again = (self._widths, _SWEEPS) if self.terms.count > _MANY else ()
        return self.terms.added(self.weights, relevant(shaken, self.covariance, *again) - self.base)

    @cached_property
    def _widths(self) -> np.ndarray:
        """Prior variances of the strengths that the data ask for."""
        return relevance(self.strengths, self.covariance)


def _series(terms: SharedTerms | SiteTerms, index: np.ndarray, shape: tuple[int, ...], tau: float) -> np.ndarray | None:
    """Terms of autocorrelated data ``(chain, draw, term)``; None of independent ones, and where they are too many."""
    if tau <= 1 or terms.count > _MANY:
        return None
    return np.concatenate([terms(index[start : start + _CHUNK]) for start in range(0, len(index), _CHUNK)]).reshape(*shape, -1)


def _of_the_mean(covariance: np.ndarray, size: float, series: np.ndarray | None) -> np.ndarray:
    """Covariance of the mean of `size` rows of terms that have this covariance, with an autocorrelation time of every direction.

    A chain of single flips turns the magnetization over a hundred times more slowly than the energy, and neighbouring pairs
    together much more slowly than one kind of pair against another: times are of the principal components.
    """
    if series is None:
        return covariance / size
    values, vectors = np.linalg.eigh(covariance)
    found = statistics.integrated_autocorrelation_time(series @ vectors)
    times = np.maximum(np.nan_to_num(found, nan=1.0), 1.0)
    return np.asarray((vectors * (np.maximum(values, 0.0) * times)) @ vectors.T / size)


def _worth(rows: int, tau: float) -> dict[str, Any]:
    """What the verdict says of autocorrelation: error bars of fewer than twenty stretches of 5τ are themselves uncertain."""
    batches = int(rows / (5 * tau))
    few = tau > 1 and batches < _FEWEST_BATCHES
    return {"kind": "too few batches" if few else "rows" if tau == 1 else "batches", "batches": batches, "chains_disagree": False}


def _consistent(bound: BoundExtensive, fit: Regression, evaluator: Evaluator, drawn: np.ndarray, seen: _Seen) -> _Matched:
    """Maximum likelihood of fields and pairs, its partition function from weighted draws of the density."""
    values, weight, beta, tau, series = seen.values, seen.weight, seen.beta, seen.tau, seen.series
    terms, rows = terms_of(bound), bound.space.index(drawn).reshape(len(drawn), -1)
    log_q = -beta * _labels(evaluator, drawn, beta)
    index = bound.space.index(values)
    pieces = [slice(start, start + _CHUNK) for start in range(0, len(index), _CHUNK)]
    random = np.random.default_rng(0).integers(bound.space.q, size=(max(4000, 5 * terms.count), rows.shape[1]))
    mean = np.sum([weight[piece] @ terms(index[piece]) for piece in pieces], 0) / weight.sum()
    size = weight.sum() ** 2 / (weight**2).sum()
    worth = size / tau
    sampled = terms(rows)
    silent = {**fit.weights, f"matrix_{len(bound.model.hidden)}": 0 * fit.weights[f"matrix_{len(bound.model.hidden)}"]}
    found = []
    for weights in [silent, fit.weights] if fit.network else [silent]:
        system = bound.system(weights)
        energy = np.asarray(system.energy(drawn), float)
        change, covariance, share, log_z = _maximum(energy, sampled, log_q, mean, beta, worth if series is None else size, series)
        design = np.column_stack([terms(random), np.ones(len(random))])
        here = np.asarray(system.energy(bound.space.from_index(random).reshape(-1, *bound.shape)), float)
        base = np.linalg.lstsq(design, here, rcond=1e-10)[0][:-1]
        data_energy = np.asarray(system.energy(values.reshape(-1, *bound.shape)), float)
        data_energy += np.concatenate([terms(index[piece]) @ change for piece in pieces])
        found.append((weights, base, change, covariance, share, -beta * data_energy - log_z))
    # The network was fitted to the density, which errs: it stays only if the data are clearly more likely with it.
    network = False
    if len(found) == 2:
        difference = found[1][5] - found[0][5]
        gain = float(weight @ difference / weight.sum())
        noise = 1 / np.sqrt(worth) + 1 / np.sqrt(len(drawn) * max(min(found[0][4], found[1][4]), 1e-9))
        network = found[1][4] > ATTEMPTED and gain > 3 * float(difference.std()) * noise
    weights, base, change, covariance, share, _ = found[1 if network else 0]
    if share <= ATTEMPTED:
        told = (
            f"consistency not possible: weighted draws of the density are worth {share:.2g} of their number; train it longer "
            "(engine=hl.infer.Training(epochs=...)), or use more data"
        )
        return _Matched(bound, terms, fit.weights, base, base, covariance, share, fit.network, told)
    kept = "network kept" if network else "pairs are enough"
    told = f"consistent with the data by weighted draws worth {share:.2g} of their number; {kept}"
    return _Matched(bound, terms, weights, base, base + change, covariance, share, network, told)


def _maximum(
    energy: np.ndarray,
    terms: np.ndarray,
    log_q: np.ndarray,
    mean: np.ndarray,
    beta: float,
    size: float,
    series: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Change of the strengths that matches ⟨terms⟩ to `mean`; its covariance; worth of the weights; ln Z.

    Newton's method on the concave likelihood −β⟨E⟩ − ln Z with Z = mean of exp(−βE)/q over draws from q. `mean` is of
    `size` microstates, independent unless `series` holds their terms.
    """
    likelihood = _Weighted(energy, terms, log_q, mean, beta)
    best = newton(likelihood, np.zeros(terms.shape[1]), tolerance=_TOLERANCE, most=_STEPS, flat=1e-10)
    weight, log_z = likelihood.weights(best.theta)
    curvature = best.curvature if best.converged else likelihood.curvature(best.theta)
    covariance = curvature / beta**2
    inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) / beta**2
    # Both means fluctuate: that of the data, and the weighted one (with the weights' own covariance).
    scatter = _scatter(terms, weight @ terms, weight**2)
    data = _of_the_mean(covariance, size, series)
    share = float(1 / (weight**2).sum() / len(weight))
    return best.theta, beta**2 * inverse @ (data + scatter) @ inverse, share, log_z


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The log likelihood of a microstate as a function of the change of strengths, from weighted draws."""

    energy: np.ndarray
    terms: np.ndarray
    log_q: np.ndarray
    mean: np.ndarray
    beta: float

    def weights(self, change: np.ndarray) -> tuple[np.ndarray, float]:
        """Normalised weights of the draws, and ln Z."""
        log_weight = -self.beta * (self.energy + self.terms @ change) - self.log_q
        top = log_weight.max()
        weight = np.exp(log_weight - top)
        return weight / weight.sum(), float(top + np.log(weight.mean()))

    def value_and_gradient(self, change: np.ndarray) -> tuple[float, np.ndarray]:
        weight, log_z = self.weights(change)
        return -self.beta * float(self.mean @ change) - log_z, self.beta * (weight @ self.terms - self.mean)

    def curvature(self, change: np.ndarray, *, rough: bool = False) -> np.ndarray:
        weight, _ = self.weights(change)
        return self.beta**2 * _scatter(self.terms, weight @ self.terms, weight)


def _scatter(terms: np.ndarray, centre: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ weight (terms − centre)(terms − centre)ᵀ over rows, some at a time."""
    result = np.zeros((len(centre),) * 2)
    for start in range(0, len(terms), _CHUNK):
        deviation = terms[start : start + _CHUNK] - centre
        result += (deviation * weight[start : start + _CHUNK, None]).T @ deviation
    return result


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
