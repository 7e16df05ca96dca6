"""The kind of :class:`hamlearn.models.DCL`: density, labels, extensive energy, and consistency with the data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.infer import autoregressive, extensive, kinds, tree
from hamlearn.infer.local_energy import relevant
from hamlearn.infer.training import Training
from hamlearn.models import dense
from hamlearn.models.autoregressive import Autoregressive, autoregressive_from_dict
from hamlearn.models.dcl import DCL
from hamlearn.models.extensive import BoundExtensive, Weights
from hamlearn.systems.base import System, space_from_name
from hamlearn.systems.sampling import simulate

if TYPE_CHECKING:
    from hamlearn.models.autoregressive.evaluate import Evaluator

logger = logging.getLogger("hamlearn")

__all__ = ["extrapolation", "learn", "members", "parameters"]

parameters = extensive.parameters

LEAST_PREDICTED_ESS = 0.1  # below it one member's simulation says little about another's Hamiltonian
LEAST_ESS = 0.02  # share of the draws that the weights must be worth, or consistency is not attempted
_SCRAMBLED = 0.3  # largest share of sites drawn anew in scrambled label states
_LABEL_EPOCHS = 15
_STEPS = 20  # of Newton's method
_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # β over the observed one, where errors are predicted


def learn(data: xr.Dataset | Iterable[xr.Dataset], model: DCL, *, likelihood: str, engine: Any, calibrate: bool, seed: int) -> xr.DataTree:
    """Train the density, distil it, make it consistent; a bare tree, without a verdict.

    `engine` is the training of the density (:class:`hamlearn.infer.Training`).
    """
    started = time.perf_counter()
    sets = microstate_data.split_by_beta(data)
    if len(sets) > 1:
        raise HamlearnError(f"DCL learns from one temperature; the data hold {len(sets)}. Learn each by itself, or use LocalEnergy.")
    space = space_from_name(str(sets[0].attrs["space"]), int(sets[0].attrs["q"]))
    bound = model.extensive.bind(space, sets[0]["state"].shape[2:])  # refuses what cannot be distilled before anything is trained
    density = autoregressive.learn(sets, model.autoregressive, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed)
    beta, values = float(sets[0]["beta"]), microstate_data.rows(sets[0]).reshape(-1, int(np.prod(bound.shape)))
    weight = microstate_data.multiplicity(sets[0])[0].reshape(-1)
    told = tree.record_of(density)
    generators = np.random.default_rng(seed).spawn(model.autoregressive.members)
    per_density = -(-model.members // model.autoregressive.members)
    fits, ensemble, reasons, facts = [], [], [], []
    for number, (evaluator, generator) in enumerate(zip(_evaluators(density), generators, strict=True)):
        drawn = evaluator.sample(model.draws, int(generator.integers(2**31)))
        labelled = _scrambled(drawn[: model.labels], bound, generator)
        labels = _labels(evaluator, labelled, beta)
        settings = Training(epochs=_LABEL_EPOCHS, batch=256, weight_decay=1e-6)
        fit = extensive._fit(bound, labelled.reshape(len(labelled), -1), labels[:, None], settings, seed + number)[0]
        fits.append(fit)
        reasons.append(f"density {number}: labels fitted to {fit.error:.3g} of a spread of {labels.std():.3g}")
        if not model.consistent or model.extensive.site_aware:
            why = "not asked for" if not model.consistent else "not defined for a site-aware network"
            reasons.append(f"consistency with the data {why}: energies carry the density's own errors")
            ensemble += [fit.weights] * per_density
            continue
        matched = _consistent(bound, fit, evaluator, drawn, values, weight, beta, float(told["calibration"]["tau"]))
        reasons.append(matched.told)
        facts.append({"ess": matched.ess, "network": bool(matched.network)})
        ensemble += [matched.member(generator) for _ in range(per_density)]
    ensemble = ensemble[: model.members]
    groups = _groups(bound, fits, ensemble, values, density)
    n_params = int(sum(np.size(value) for value in ensemble[0].values()))
    if facts and not any(one["network"] for one in facts):
        n_params = _Terms(bound).count
    covers = bool(facts) and all(one["ess"] > LEAST_ESS for one in facts)
    record = tree.new_record(
        likelihood="importance-weighted",
        composite=not covers,
        engine={**told["engine"], "members": model.members},
        n_params=n_params,
        sets=sets,
        seed=seed,
        seconds=time.perf_counter() - started,
        reasons=reasons,
        adjusted=covers,
        note="members scatter as fields and pairs of repeated experiments would" if covers else "members share the density's errors",
        ess=float(told["calibration"]["ess"]),
        tau=float(told["calibration"]["tau"]),
        density=told["training"],
        consistency=facts,
        optimum=told["optimum"],
    )
    post = tree.assemble(groups, model=model, space=space, record=record, sets=sets)
    if not covers and model.autoregressive.members == 1:
        what = "one density, not made consistent with the data: its errors are not known, at any temperature"
        advice = "Use DCL(Autoregressive(..., members=4)) for an ensemble."
        return tree.with_record(post, findings=[{"severity": "caution", "topic": "extrapolation", "what": what, "advice": advice}])
    errors = extrapolation(post, beta * np.array(_FACTORS), seed=seed)
    table = {str(name): errors[name].values.tolist() for name in ("beta", "error", "predicted_ess")}
    return tree.with_record(post, extrapolation={"observed": beta, **table}, findings=_findings(errors, beta))


def _findings(errors: xr.Dataset, beta: float) -> list[dict[str, str]]:
    """What the verdict says of other temperatures."""
    lost = errors["beta"].values[errors["predicted_ess"].values < LEAST_PREDICTED_ESS]
    growth = f"the action's error between members is {float(errors['error'].sel(beta=beta, method='nearest')):.2g} at the observed beta"
    if not len(lost):
        last = float(errors["beta"].max())
        what = f"{growth}; predicted ESS stays above {LEAST_PREDICTED_ESS} up to beta = {last:.4g}"
        return [{"severity": "note", "topic": "extrapolation", "what": what, "advice": ""}]
    places = ", ".join(f"{one:.4g}" for one in lost)
    what = f"do not trust predictions at beta = {places}: predicted ESS below {LEAST_PREDICTED_ESS}; {growth}"
    advice = "Use data at a temperature nearer to the one wanted, or more of them."
    return [{"severity": "caution", "topic": "extrapolation", "what": what, "advice": advice}]


def members(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Extensive energies, on a periodic lattice of any extents that the focus divides."""
    return extensive.members(post, n, seed, shape)


def extrapolation(post: xr.DataTree, betas: Any, shape: tuple[int, ...] | None = None, members: int = 16, seed: int = 0) -> xr.Dataset:
    """How far a posterior's energies may be trusted at other temperatures, from the scatter of its members.

    A Hamiltonian learned at β_o with the error ε has at β' the action error β'ε. The share of independent states that
    a simulation with one member is worth for another is about exp(−Var[β'ε]), the variance taken at β'; states come from a
    simulation of one member there.

    Parameters
    ----------
    post : DataTree
        A posterior of any kind whose members can be simulated.
    betas : sequence of float
        Inverse temperatures.
    shape : sequence of int, optional
        Another lattice size.
    members : int
        Draws of the posterior.
    seed : int
        Of members and simulation.

    Returns
    -------
    Dataset
        Over ``beta``: ``error``, the standard deviation β' sd(ε) of the action between members (dimensionless, of whole
        microstates); ``predicted_ess``, exp(−error²): below 0.1 do not trust predictions there.
    """
    systems = kinds.of(post).members(post, members, seed, shape)
    errors = []
    for beta in np.atleast_1d(np.asarray(betas, float)):
        found = simulate(systems[0], beta=float(beta), draws=50, chains=8, seed=seed, thin=4, burn_in=200, progress=False)
        states = found["state"].values.reshape(-1, *systems[0].lattice.shape)
        energies = np.stack([np.asarray(system.energy(states), float) for system in systems])
        deviation = energies - energies.mean(0)  # between members, state by state …
        deviation -= deviation.mean(1, keepdims=True)  # … up to a constant of each
        errors.append(float(beta) * float(np.sqrt((deviation**2).mean() * len(systems) / max(len(systems) - 1, 1))))
    values = np.array(errors)
    result = {"error": ("beta", values), "predicted_ess": ("beta", np.exp(-(values**2)))}
    return xr.Dataset(result, coords={"beta": np.atleast_1d(np.asarray(betas, float))})


def _evaluators(density: xr.DataTree) -> list[Evaluator]:
    """The densities before averages over translations and the point group: exact of themselves, and much cheaper.

    What is averaged over is learned by the fit to labels, which sees every tile of the lattice.
    """
    from hamlearn.models.autoregressive.evaluate import Evaluator

    model = cast(Autoregressive, tree.model_of(density))
    description = model.to_dict()
    description["symmetry"] = [name for name in model.symmetry if name in ("z2", "internal")]
    plain = autoregressive_from_dict(description)
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
    terms: _Terms
    weights: Weights
    base: np.ndarray  # strengths that the distilled energy has
    strengths: np.ndarray  # those of the data
    covariance: np.ndarray
    ess: float
    network: bool
    told: str

    def member(self, generator: np.random.Generator) -> Weights:
        """Weights with strengths as a repeated experiment might have given them."""
        if self.ess <= LEAST_ESS:
            return self.weights
        shaken = generator.multivariate_normal(self.strengths, self.covariance, method="eigh")
        return self.terms.added(self.weights, relevant(shaken, self.covariance) - self.base)


class _Terms:
    """Fields and pair products that all translations share, and how a network's weights hold them."""

    def __init__(self, bound: BoundExtensive) -> None:
        self.bound, self.components = bound, bound.space.q - 1
        reach = 2 * bound.model.context
        offsets = np.array(list(np.ndindex(*(2 * reach + 1,) * len(bound.shape)))) - reach
        found: dict[tuple[int, ...], tuple[int, ...]] = {}
        for offset in offsets:
            keys = [tuple(int(x) for x in sign * offset % bound.shape) for sign in (1, -1)]
            if any(keys[0]) and not set(keys) & set(found):
                found[keys[0]] = tuple(int(x) for x in offset)
        self.displacements = list(found.values())

    @property
    def count(self) -> int:
        """Number of terms."""
        return self.components + len(self.displacements) * self.components**2

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Sums over the lattice for states as value indices ``(row, n_sites)``, shape ``(row, n_terms)``."""
        shown = dense.contrasts(self.bound.space)[index].astype(np.float32).reshape(len(index), *self.bound.shape, self.components)
        axes = tuple(range(1, 1 + len(self.bound.shape)))
        columns = [shown.sum(axes)]
        for displacement in self.displacements:
            other = np.roll(shown, tuple(-x for x in displacement), axes).reshape(len(index), -1, self.components)
            product = np.einsum("nsa,nsb->nab", shown.reshape(other.shape), other, optimize=True)
            columns.append(product.reshape(len(index), -1))
        return np.concatenate(columns, 1).astype(float)

    def added(self, weights: Weights, strengths: np.ndarray) -> Weights:
        """`weights` of an energy to which the terms with these strengths were added.

        For every place of a site within a block of the focus, one place in the window that holds it and its partner.
        """
        model, window = self.bound.model, np.array(self.bound.window)
        pairs, field = np.array(weights["pairs"], float), np.array(weights["field"], float)
        k = self.components
        residues = np.array(list(np.ndindex(*self.bound.stride)))
        for residue in residues:
            place = int(np.ravel_multi_index(tuple(residue), tuple(window)))
            field[place * k : (place + 1) * k, 0] += strengths[:k]
        for number, displacement in enumerate(self.displacements):
            block = strengths[k + number * k * k : k + (number + 1) * k * k].reshape(k, k)
            for residue in residues:
                # The lowest place of this residue from which the partner is still in the window.
                low = np.maximum(-np.array(displacement), 0)
                first = residue + model.focus * np.ceil(np.maximum(low - residue, 0) / model.focus).astype(int)
                i, j = (int(np.ravel_multi_index(tuple(one), tuple(window))) for one in (first, first + displacement))
                pairs[i * k : (i + 1) * k, j * k : (j + 1) * k, 0] += block
        return {**weights, "pairs": pairs, "field": field}


def _consistent(
    bound: BoundExtensive,
    fit: Any,
    evaluator: Evaluator,
    drawn: np.ndarray,
    values: np.ndarray,
    weight: np.ndarray,
    beta: float,
    tau: float,
) -> _Matched:
    """Maximum likelihood of fields and pairs, its partition function from weighted draws of the density."""
    terms, rows = _Terms(bound), bound.space.index(drawn).reshape(len(drawn), -1)
    log_q = -beta * _labels(evaluator, drawn, beta)
    data, random = terms(bound.space.index(values)), np.random.default_rng(0).integers(bound.space.q, size=(4000, rows.shape[1]))
    mean = weight @ data / weight.sum()
    size = weight.sum() ** 2 / (weight**2).sum() / tau
    sampled = terms(rows)
    silent = {**fit.weights, f"matrix_{len(bound.model.hidden)}": 0 * fit.weights[f"matrix_{len(bound.model.hidden)}"]}
    found = []
    for weights in [silent, fit.weights] if fit.network else [silent]:
        system = bound.system(weights)
        energy = np.asarray(system.energy(drawn), float)
        change, covariance, share, log_z = _maximum(energy, sampled, log_q, mean, beta, size)
        design = np.column_stack([terms(random), np.ones(len(random))])
        here = np.asarray(system.energy(bound.space.from_index(random).reshape(-1, *bound.shape)), float)
        base = np.linalg.lstsq(design, here, rcond=1e-10)[0][:-1]
        data_energy = np.asarray(system.energy(values.reshape(-1, *bound.shape)), float) + data @ change
        found.append((weights, base, change, covariance, share, -beta * data_energy - log_z))
    # The network was fitted to the density, which errs: it stays only if the data are clearly more likely with it.
    network = False
    if len(found) == 2:
        difference = found[1][5] - found[0][5]
        gain = float(weight @ difference / weight.sum())
        noise = 1 / np.sqrt(size) + 1 / np.sqrt(len(drawn) * max(min(found[0][4], found[1][4]), 1e-9))
        network = found[1][4] > LEAST_ESS and gain > 3 * float(difference.std()) * noise
    weights, base, change, covariance, share, _ = found[1 if network else 0]
    if share <= LEAST_ESS:
        told = (
            f"consistency not possible: weighted draws of the density are worth {share:.2g} of their number; train it longer "
            "(engine=hl.infer.Training(epochs=...)), or use more data"
        )
        return _Matched(bound, terms, fit.weights, base, base, covariance, share, fit.network, told)
    kept = "network kept" if network else "pairs are enough"
    told = f"consistent with the data by weighted draws worth {share:.2g} of their number; {kept}"
    return _Matched(bound, terms, weights, base, base + change, covariance, share, network, told)


def _maximum(
    energy: np.ndarray, terms: np.ndarray, log_q: np.ndarray, mean: np.ndarray, beta: float, size: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Change of the strengths that matches ⟨terms⟩ to `mean`; its covariance; worth of the weights; ln Z.

    Newton's method on the concave likelihood −β⟨E⟩ − ln Z with Z = mean of exp(−βE)/q over draws from q.
    """
    change = np.zeros(terms.shape[1])
    likelihood, step, length = -np.inf, np.zeros_like(change), 1.0
    for _ in range(_STEPS):
        trial = change + length * step
        log_weight = -beta * (energy + terms @ trial) - log_q
        top = log_weight.max()
        weight = np.exp(log_weight - top)
        log_z = float(top + np.log(weight.mean()))
        reached = -beta * float(mean @ trial) - log_z
        if reached < likelihood - 1e-12 and length > 1e-3:
            length /= 2
            continue
        gained, likelihood, change = reached - likelihood, reached, trial
        weight /= weight.sum()
        centre = weight @ terms
        covariance = ((terms - centre) * weight[:, None]).T @ (terms - centre)
        step, length = np.linalg.lstsq(beta * covariance, centre - mean, rcond=1e-10)[0], 1.0
        if gained < 1e-10:
            break
    share = float(1 / (weight**2).sum() / len(weight))
    inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) / beta**2
    # Both means fluctuate: that of the data, and the weighted one (with the weights' own covariance).
    scatter = ((terms - centre) * (weight**2)[:, None]).T @ (terms - centre)
    return change, inverse / size + beta**2 * inverse @ scatter @ inverse, share, log_z


def _groups(
    bound: BoundExtensive, fits: list[Any], ensemble: list[Weights], values: np.ndarray, density: xr.DataTree
) -> dict[str, xr.Dataset]:
    probes = values[:: max(1, len(values) // 32)][:32]
    systems = [bound.system(weights) for weights in ensemble]
    energies = np.stack([np.asarray(system.energy(probes.reshape(-1, *bound.shape)), float) for system in systems])
    energies -= energies.mean(1, keepdims=True)
    posterior = xr.Dataset(
        {"probe_energy": (("chain", "draw", "probe"), energies[None])},
        coords={"chain": [0], "draw": np.arange(len(ensemble)), "probe": np.arange(len(probes))},
    )
    weights = {
        name: (("member", *(f"{name}_{axis}" for axis in range(np.ndim(value)))), np.stack([np.asarray(one[name]) for one in ensemble]))
        for name, value in ensemble[0].items()
    }
    held = xr.Dataset(
        {"label_error": ("density", [fit.error for fit in fits]), "pairs_error": ("density", [fit.pairs_error for fit in fits])}
    )
    return {
        "posterior": posterior,
        "weights": xr.Dataset(weights),
        "training": density["training"].to_dataset(),
        "density_weights": density["weights"].to_dataset(),
        "observed_data": held,
    }
