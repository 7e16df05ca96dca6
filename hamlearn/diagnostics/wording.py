"""Sentences of the verdict that depend on how a posterior was made; each is true for every kind of made."""

from __future__ import annotations

import math
import re

from hamlearn.infer.provenance import Basis, Provenance
from hamlearn.models.actions import percent

_ENDS = re.compile(r"(\d+),(\d+)")  # of a bond between numbered sites; names have a dash already


def count(number: float) -> str:
    """A number of things: thin spaces between thousands, three digits of small ones."""
    return f"{number:,.0f}".replace(",", " ") if number >= 100 else f"{number:.3g}"


def gaps(made: Provenance) -> str:
    """Such as " (12 % of cells missing, readout errors of 2 %)"; nothing of data that are known whole."""
    told = [f"{percent(made.missing)} of cells missing"] if made.missing else []
    told += [f"readout errors of {percent(made.flip)}"] if made.flip else []
    return f" ({', '.join(told)})" if told else ""


def several(number: float, noun: str) -> str:
    """Such as "1 parameter" and "3 000 parameters"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def number(value: float, error: float = math.nan, unit: str = "") -> str:
    """A number with its sign, its error and its unit.

    Examples
    --------
    >>> number(-0.1234, 0.01, "per site")
    '−0.123 ± 0.01 per site'
    """
    told = f"{value:+.3g}" + (f" ± {error:.2g}" if math.isfinite(error) and error > 0 else "")
    return (told + (f" {unit}" if unit else "")).replace("-", "−")


def between(low: float, high: float) -> str:
    """A range of strengths, or one where it is narrow."""
    return f"{high:.2g}" if high < 1.2 * low else f"{low:.2g} to {high:.2g}"


def place(name: str) -> str:
    """``h[3]`` → site 3, ``J[0,1](2)`` → bond 0–1, ``J[anna – ben]`` → bond anna – ben, a tied one by what it is."""
    kind, inside = name[:1], name[2 : name.rfind("]")]
    if inside == "tied":
        return "the tied coupling" if kind == "J" else "the uniform field"
    ends = _ENDS.fullmatch(inside)
    return f"site {inside}" if kind == "h" else f"bond {'–'.join(ends.groups()) if ends else inside}" if kind == "J" else name


def listed(words: list[str], limit: int = 6) -> str:
    """Each once, the first of them."""
    words = list(dict.fromkeys(words))
    return ", ".join(words[:limit]) + (f" and {len(words) - limit} more" if len(words) > limit else "")


def chance(p: float) -> str:
    """A p-value; one too small for a floating-point number is no zero."""
    return f"p = {p:.2g}" if p > 0 else "p < 1e-300"


def overall(p: float) -> str:
    """The smallest of many p-values, corrected for their number, which is 1 where none is unusual among so many."""
    return f"overall {chance(p)}" if p < 1 else "no deviation is unusual among so many"


def size(made: Provenance) -> str:
    """What was learned, by its numbers: parameters, weights, or terms selected among many."""
    if made.candidates is not None:
        return f"{several(made.n_params, 'term')} selected among {count(made.candidates)} candidates"
    return several(made.n_params, made.unknowns[:-1])


def nothing_wrong(made: Provenance) -> str:
    """The summary where nothing is wrong."""
    if made.training is not None:
        return _trained(made)
    sampled = ", the chains converged" if made.convergence is not None and made.convergence.sampled else ""
    agree = f"held-out data{where_compared(made)} agree with the model"
    tested = agree if made.check is None or made.check.held_out else "score tests on all data find nothing"
    return f"{size(made)} from {count(made.microstates)} microstates{gaps(made)} by {by_what(made)}{sampled}, and {tested}."


def _trained(made: Provenance) -> str:
    weights = f"{made.n_params:,} weights".replace(",", " ")
    if made.likelihood != "exact":
        return f"{weights} trained on a known action, with an effective share of draws of {min((made.training or {})['ess_q']):.2g}."
    checked = ", and held-out data agree with its draws" if made.check is not None and made.check.decision == "agrees" else ""
    return f"{weights} by maximum likelihood from {made.microstates:,.0f} microstates".replace(",", " ") + f"{checked}."


def by_what(made: Provenance) -> str:
    """The likelihood in the summary."""
    name = made.likelihood
    if name == "exact":
        return "the exact likelihood"
    return f"a calibrated {name} likelihood" if made.composite else f"{name} draws"


def not_sampled(made: Provenance) -> str:
    """How the draws came about where no Markov chain made them."""
    name, draws = made.engine.name, made.convergence.draws if made.convergence else 0
    if name in ("mle", "map", "laplace"):
        return f"not sampled: engine {name} draws independently from a normal or Student t distribution around the optimum"
    if name == "closed form":
        return "not sampled: the posterior is known in closed form, and its draws are independent"
    if name == "solve":
        return "not sampled: the weights are solved for, and drawn independently from a normal distribution around the optimum"
    if name == "identity":
        return "nothing was sampled: known weights join the learned densities"
    if name == "lbfgs":
        return f"nothing was sampled: {several(draws, 'network')} trained, each on data perturbed as repeated experiments would be"
    if "consistency" in made.more:
        return f"nothing was sampled: {several(draws, 'energy').replace('energys', 'energies')} distilled from trained densities"
    return f"nothing was sampled: {several(draws, 'network')} trained"


def sample_longer(made: Provenance) -> str:
    """Four times the draws there were, by the sampler that made them."""
    draws = 4 * (made.convergence.draws if made.convergence else 0)
    warmup = int(made.engine.settings.get("warmup") or 0)
    if made.engine.name == "nuts":
        return f"Sample longer: engine=hl.infer.NUTS(draws={max(draws, 4000)}, warmup={max(2 * warmup, 1000)})."
    if made.pareto_k is not None:
        return "The posterior is far from normal: sample it by engine='nuts'."
    if made.engine.name == "gibbs":
        return f"Sample longer: engine=hl.infer.Gibbs(draws={max(draws, 4000)})."
    by = made.engine.settings.get("sampler") or made.engine.name  # made elsewhere, perhaps by no Markov chain
    return f"Make {count(max(draws, 4000))} draws with what made these ({by})."


def not_mixed(made: Provenance) -> str:
    """What a large R̂ means, of several chains or of the halves of one."""
    alone = made.convergence is not None and made.convergence.chains == 1
    return "the parts of the one chain differ" if alone else "the chains have not mixed"


def halves(made: Provenance) -> str:
    """What the halves of a single chain have shown."""
    rhat = made.convergence.max_rhat if made.convergence else None
    return "" if rhat is None or math.isnan(rhat) else f" (R-hat of its halves {rhat:.3f})"


def more_chains(made: Provenance) -> str:
    """How to get chains that can disagree."""
    if made.engine.name in ("nuts", "gibbs"):
        return f"Sample four: engine=hl.infer.{'NUTS' if made.engine.name == 'nuts' else 'Gibbs'}(chains=4)."
    if made.pareto_k is not None:
        return "Sample four: engine=hl.infer.ImportanceSampling(chains=4)."
    return "Run the sampler from several starts (in NumPyro num_chains=4), and give draws of shape (chain, draw, ...)."


def smaller_steps(made: Provenance) -> str:
    """What to do about divergences, beyond what was done."""
    used = float(made.engine.settings.get("target_accept") or 0.8)
    if used >= 0.99:
        return "Take an informative prior, or tie parameters: steps are as small already as they usefully get."
    return f"Raise hl.infer.NUTS(target_accept={0.95 if used < 0.95 else 0.99}), or take an informative prior."


def basis(found: Basis) -> str:
    """What error bars rest on, or why on nothing."""
    n = found.numbers
    if found.words:
        return found.words
    if found.code == "sandwich":
        kind = _KINDS.get(n["kind"], n["kind"])
        slow = f", autocorrelated draws (tau {n['tau']:.3g})" if n["tau"] > 1 else ""
        pooled = f"; {n['temperatures']} temperatures pooled by inverse covariance" if "temperatures" in n else ""
        return f"sandwich from {n['batches']} {kind}: {'composite' if n['composite'] else 'exact'} likelihood{slow}{pooled}"
    if found.code == "surrogate":
        return f"sandwich surrogate from {n['batches']} {_KINDS.get(n['kind'], n['kind'])}, shrinkage {n['shrinkage']:.2f}"
    if found.code == "factor":
        some = f"and {n['count']} of {n['n_params']}" if n["count"] < n["n_params"] else f"for {n['n_params']}"
        return f"sandwich, one factor {n['factor']:.3g} from {n['batches']} {_KINDS.get(n['kind'], n['kind'])} {some} terms"
    if found.code == "independent":
        why = "exact likelihood, no autocorrelation found" if n.get("tested") else "exact likelihood of independent draws"
        return f"{why}: no correction needed"
    if found.code == "off":
        return "not calibrated (calibrate=False)" if n["composite"] else "exact likelihood, draws assumed independent (calibrate=False)"
    if found.code == "diagonal":
        return f"not calibrated: {n['n_params']} parameters, error bars from the diagonal curvature only"
    if found.code == "perturbed":
        return f"members trained on scores perturbed by their covariance over {n['batches']} parts of the data"
    if found.code == "closed form":
        return f"the posterior of a Gaussian in closed form, of rows worth {n['worth']:.4g}"
    if found.code == "density":
        weights = ", tempered to what the draws are worth; a variational posterior over weights" if n.get("weights") else ""
        return f"a normalised density: −ln p of whole microstates{weights}"
    return _BASES[found.code]


_KINDS = {"random batches": "groups of rows", "too few batches": "batches (too few)"}
_BASES = {
    "separable": "not calibrated: the data are (nearly) separable or leave directions unidentified, so the sandwich means nothing",
    "repeated": "members scatter as fields and pairs of repeated experiments would",
    "shared": "members share the density's errors",
    "labels": "a regression of labels: the scatter of members is what their starts do not share, not a calibrated error",
    "action": "trained on a known action, not on data",
    "told": "",
}


def exact_likelihood(made: Provenance) -> str:
    """What stands behind error bars where no stand-in was used."""
    name, note = made.likelihood, basis(made.calibration.basis)
    if name == "exact":
        return f"the likelihood is exact ({note})"
    return f"{name} draws stand for the likelihood of whole microstates ({note})"


def uncalibrated(made: Provenance, ratio: float) -> tuple[str, str]:
    """What was found, and advice, where the error bars of a stand-in were not calibrated."""
    name, found = made.likelihood, made.calibration.basis
    if name == "regression":
        what = "labels were fitted: the scatter of networks is what their starts do not share, not an error bar"
        return what, "Compare with microstates that were not labelled: hl.diagnostics.diagnose(post, data)."
    if found.code == "off":
        what = f"the {name} likelihood was not calibrated: error bars are too small by about {ratio:.2g}"
        return what, "Learn with calibrate=True, or likelihood='exact'."
    why = basis(found).removeprefix("not calibrated: ") or "this way of learning has no calibration"
    what = f"the {name} likelihood was not calibrated ({why}): error bars are too small by about {ratio:.2g}"
    return what, "Tie parameters or take fewer, so that error bars can be calibrated, or use likelihood='exact' where it is affordable."


def not_compared(made: Provenance) -> tuple[str, str]:
    """What to say where no comparison with data was made, and how to get one."""
    why = made.check.reason if made.check else ""
    what = "the model was not compared with held-out data" + (f": {why}" if why else "")
    return what, "Call hl.diagnostics.diagnose(post, data), which compares and records the outcome."


def without_data(made: Provenance) -> bool:
    """Whether it was trained on a known action: there are no data then to compare it with."""
    return made.likelihood == "variational"


def undeclared(made: Provenance) -> str:
    """What an undeclared temperature leaves open."""
    energies = "energies are βE" if made.unknowns == "weights" or made.engine.name == "lbfgs" else "parameters are β times their values"
    return f"the observation's β was not declared: {energies}, predictions at another β are hypothetical"


def where_it_varies(made: Provenance) -> str:
    """What data are of use where those there are hardly vary."""
    return "" if made.independent else " at a higher temperature"


def where_compared(made: Provenance) -> str:
    """Of which temperature a comparison with data speaks, where the posterior is at another one."""
    return " at an observed temperature" if "from_beta" in (made.extrapolation or {}) else ""


def misfit_advice(made: Provenance) -> str:
    """What a family that does not fit could be given."""
    if made.training is not None:
        lacks = "Train longer, on more data, or a network with more hidden units or of another kind"
    elif made.candidates is not None or made.engine.name == "lbfgs":
        lacks = "Give the model a larger window"
    elif made.nonconfining is not None:
        lacks = "Give the action more powers, or neighbour terms at longer range"
    elif made.unknowns == "weights":
        lacks = "Give the network a larger context, or learn with more draws"
    else:
        lacks = "Give the model what it lacks (more bonds, fields, untied parameters)"
    return f"{lacks}, or split the data if they are of several kinds; predictions inherit the misfit."


def data_per_parameter(made: Provenance, ratio: float) -> str:
    """Site observations a parameter; the sites of one microstate are not independent of each other, and this does not say so."""
    slow = made.worth and made.calibration.tau > 1
    told = f", in microstates worth {count(made.worth)} independent ones" if slow else ""
    return f"{several(ratio, 'site observation')} for every parameter{told}"
