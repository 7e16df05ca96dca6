"""Small machines of :class:`hamlearn.models.RBM` with a posterior over their weights, by NUTS on the exact likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, groups
from hamlearn.infer.engines import rbm_posterior
from hamlearn.infer.engines.rbm_posterior import SmallMachine
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.settings import NUTS
from hamlearn.infer.training_data import Rows, rows_of
from hamlearn.models.rbm import RBM
from hamlearn.progress import logger
from hamlearn.systems.base import Space

MOST_SITES, MOST_HIDDEN = 16, 8
HELD_OUT = 0.1  # share of the microstates that a comparison is made with, as after a training
_MEMBERS = 64  # machines whose weights are kept, spread over all draws
_PROBES = 16  # microstates whose energies are followed


def require_small(model: RBM, space: Space, sites: int) -> None:
    """An error unless ln Z and all weights of a machine are few, and nothing was said of a training."""
    if not space.binary or sites > MOST_SITES or model.hidden > MOST_HIDDEN:
        raise HamlearnError(
            f"engine='nuts' sums ln Z exactly and samples every weight: of at most {MOST_HIDDEN} hidden units on at most {MOST_SITES} "
            f"spins; got {model.hidden} on {sites} sites of {space.name}. Train larger ones: engine='auto', and RBM(members=8) for "
            "how sure they are."
        )
    if model != (plain := RBM(hidden=model.hidden)):
        said = [name for name, value in vars(plain).items() if getattr(model, name) != value]
        raise HamlearnError(f"RBM({', '.join(said)}=...) describes a training, and engine='nuts' makes none: leave it out.")


def sampled(model: RBM, space: Space, shape: tuple[int, ...], sets: list[xr.Dataset], settings: NUTS, seed: int, file: Any) -> Sampled:
    """Draws of the posterior, the machines that are kept, and what the record says."""
    sites = int(np.prod(shape))
    require_small(model, space, sites)
    asked, rows = Enquiry(model, space, sets, seed), rows_of(sets, space, HELD_OUT)
    spins, weight = 2.0 * rows.states[rows.used] - 1, rows.weight[rows.used]
    worth = weight * min(rows.ess / rows.weight.sum(), 1.0)  # rows that follow each other count as what they are worth
    likelihood = SmallMachine(model, spins, worth)
    seconds = rbm_posterior.seconds(likelihood, settings)
    what = "sampling %d weights of a machine on %d different rows, about %.2g s"
    logger.info(what, likelihood.bound.n_params, len(likelihood.patterns), seconds)
    scales = f"N(0, {rbm_posterior.WEIGHT:g}²) of weights and N(0, {rbm_posterior.BIAS:g}²) of biases"
    asked.say(
        "engine nuts: exact likelihood, ln Z a sum over the states of the smaller layer",
        f"prior {scales}, units being ±1: one hidden unit with weights 0.5 couples two sites by 0.22 kT, with 1 by 0.66",
    )
    drawn = rbm_posterior.draw(likelihood, settings, seed, file)
    return Sampled(asked, rows, likelihood, drawn.theta, drawn.stats, spins, weight, seconds)


class Sampled:
    """What was drawn, as groups of a posterior and facts of its record."""

    def __init__(
        self,
        asked: Enquiry,
        rows: Rows,
        likelihood: SmallMachine,
        theta: np.ndarray,
        stats: dict[str, np.ndarray],
        spins: np.ndarray,
        weight: np.ndarray,
        seconds: float,
    ) -> None:
        self.asked, self.rows, self.likelihood, self.theta, self.stats = asked, rows, likelihood, theta, stats
        self.spins, self.weight, self.seconds = spins, weight, seconds

    def members(self, seed: int) -> list[dict[str, np.ndarray]]:
        """Weights of the machines that are kept, with the independent sites that replicas would start from."""
        chosen = families.spread(self.theta, min(_MEMBERS, self.theta.shape[0] * self.theta.shape[1]), seed)
        n = self.spins.shape[1]
        up = np.clip(self.weight @ (self.spins > 0) / self.weight.sum(), 1e-3, 1 - 1e-3)
        alone = np.log(up / (1 - up))[:, None]
        return [{"alone": alone, **rbm_posterior.in_bits(one, n)} for one in chosen]

    def variables(self, beta: float) -> xr.Dataset:
        """What no renaming of hidden units changes, of every draw."""
        n, lead = self.spins.shape[1], self.theta.shape[:2]
        flat = self.theta.reshape(-1, self.theta.shape[-1])
        first, second = rbm_posterior.moments(flat, n)
        likelihood = self.likelihood
        log_p = rbm_posterior.log_p(flat, likelihood.patterns)
        nats = -(log_p @ likelihood.weight) / likelihood.weight.sum() / n
        probes = np.linspace(0, len(likelihood.patterns) - 1, min(_PROBES, len(likelihood.patterns))).round().astype(int)
        energy = -log_p[:, probes] / beta
        energy -= energy.mean(1, keepdims=True)
        shaped = lambda values: values.reshape(*lead, *values.shape[1:])
        pairs = [f"{i}, {j}" for i, j in zip(*np.triu_indices(n, 1), strict=True)]
        values = {
            "nats_per_site": (("chain", "draw"), shaped(nats), {"long_name": "−ln p of the data, per site"}),
            "magnetization": (("chain", "draw", "site"), shaped(first), {"long_name": "⟨σ_i⟩ of the machine's law"}),
            "correlation": (("chain", "draw", "pair"), shaped(second), {"long_name": "⟨σ_i σ_j⟩ of the machine's law"}),
            "probe_energy": (("chain", "draw", "probe"), shaped(energy), {"long_name": "energy of a microstate seen, minus their mean"}),
        }
        at = {"chain": np.arange(lead[0]), "draw": np.arange(lead[1]), "site": np.arange(n), "pair": pairs, "probe": probes}
        return xr.Dataset(values, coords=at)

    def groups(self, beta: float) -> dict[str, xr.Dataset]:
        """Groups beside those of every machine."""
        states = xr.Dataset({"state": (("probe", "site"), self.likelihood.patterns.astype(np.int8))})
        found = {"posterior": self.variables(beta), **groups.sample_stats(self.stats)}
        return found | {"probes": states.isel(probe=found["posterior"]["probe"].values)}

    def facts(self, settings: NUTS) -> dict[str, Any]:
        """Of the record."""
        what = (
            "hidden units have no names: every order of them, and every sign of one with its weights, is the same machine, so that single "
            "weights have no intervals; chains are judged by magnetizations, correlations and energies, which all of these share"
        )
        engine = {"name": settings.name, "markov": True, **settings.described(), "heldout": HELD_OUT, "members": _MEMBERS}
        return {
            "likelihood": "exact",
            "composite": False,
            "engine": engine,
            "n_params": self.likelihood.bound.n_params,
            "basis": Basis("independent", {"tested": self.rows.tau <= 1}) if self.rows.tau <= 1 else Basis("told", words=_SLOW),
            "ess": self.rows.ess,
            "tau": self.rows.tau,
            "estimated_seconds": self.seconds,
            "findings": (Noted("told", "note", "weights", what=what),),
        }


_SLOW = "the exact likelihood, its rows counting as many as they are worth"


def names(group: xr.Dataset) -> list[str]:
    """Of what convergence is judged on."""
    found = ["nats_per_site"]
    for name, dim in (("magnetization", "site"), ("correlation", "pair"), ("probe_energy", "probe")):
        found += [f"{name}[{one}]" for one in group[dim].values]
    return found


def draws(group: xr.Dataset) -> np.ndarray:
    """The same ``(chain, draw, number)``."""
    more = [group[name].values for name in ("magnetization", "correlation", "probe_energy")]
    return np.concatenate([group["nats_per_site"].values[..., None], *more], -1)
