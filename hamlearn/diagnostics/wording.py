"""Sentences of the verdict that depend on how a posterior was made; each is true for every kind of record."""

from __future__ import annotations

from typing import Any


def count(number: float) -> str:
    """A number of things: thin spaces between thousands, three digits of small ones."""
    return f"{number:,.0f}".replace(",", " ") if number >= 100 else f"{number:.3g}"


def several(number: float, noun: str) -> str:
    """Such as "1 parameter" and "3 000 parameters"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(record: dict[str, Any]) -> str:
    """What was learned, by its numbers: parameters, weights, or terms selected among many."""
    if "candidates" in record:
        return f"{several(record['n_params'], 'term')} selected among {count(record['candidates'])} candidates"
    return several(record["n_params"], "weight" if _network(record) else "parameter")


def by_what(record: dict[str, Any]) -> str:
    """The likelihood in the summary."""
    name = record["likelihood"]
    if name == "exact":
        return "the exact likelihood"
    return f"a calibrated {name} likelihood" if record["composite"] else f"{name} draws"


def not_sampled(record: dict[str, Any]) -> str:
    """How the draws came about where no Markov chain made them."""
    name, draws = record["engine"]["name"], record.get("convergence", {}).get("draws", 0)
    if name in ("mle", "map", "laplace"):
        return f"not sampled: engine {name} draws independently from a normal or Student t distribution around the optimum"
    if name == "identity":
        return "nothing was sampled: known weights join the learned densities"
    if name == "lbfgs":
        return f"nothing was sampled: {several(draws, 'network')} trained, each on data perturbed as repeated experiments would be"
    if "consistency" in record:
        return f"nothing was sampled: {several(draws, 'energy').replace('energys', 'energies')} distilled from trained densities"
    return f"nothing was sampled: {several(draws, 'network')} trained"


def sample_longer(record: dict[str, Any]) -> str:
    """Four times the draws there were, by the sampler that made them."""
    draws, warmup = 4 * int(record["convergence"]["draws"]), int(record["engine"].get("warmup") or 0)
    if record["engine"]["name"] == "nuts":
        return f"Sample longer: engine=hl.infer.NUTS(draws={max(draws, 4000)}, warmup={max(2 * warmup, 1000)})."
    if record["engine"]["name"] == "external":
        return f"Sample longer with what made these draws ({record['engine']['sampler']}): {max(draws, 4000)} draws."
    return f"Sample longer: engine=hl.infer.Gibbs(draws={max(draws, 4000)})."


def smaller_steps(record: dict[str, Any]) -> str:
    """What to do about divergences, beyond what was done."""
    used = float(record["engine"].get("target_accept") or 0.8)
    if used >= 0.99:
        return "Take an informative prior, or tie parameters: steps are as small already as they usefully get."
    return f"Raise hl.infer.NUTS(target_accept={0.95 if used < 0.95 else 0.99}), or take an informative prior."


def exact_likelihood(record: dict[str, Any]) -> str:
    """What stands behind error bars where no stand-in was used."""
    name, note = record["likelihood"], record["calibration"]["note"]
    if name == "exact":
        return f"the likelihood is exact ({note})"
    return f"{name} draws stand for the likelihood of whole microstates ({note})"


def uncalibrated(record: dict[str, Any], ratio: float) -> tuple[str, str]:
    """What was found, and advice, where the error bars of a stand-in were not calibrated."""
    name, note = record["likelihood"], record["calibration"]["note"]
    if name == "regression":
        what = "labels were fitted: the scatter of networks is what their starts do not share, not an error bar"
        return what, "Compare with microstates that were not labelled: hl.diagnostics.diagnose(post, data)."
    if "calibrate=False" in note:
        what = f"the {name} likelihood was not calibrated: error bars are too small by about {ratio:.2g}"
        return what, "Learn with calibrate=True, or likelihood='exact'."
    why = note.removeprefix("not calibrated: ") or "this way of learning has no calibration"
    what = f"the {name} likelihood was not calibrated ({why}): error bars are too small by about {ratio:.2g}"
    return what, "Tie parameters or take fewer, so that error bars can be calibrated, or use likelihood='exact' where it is affordable."


def not_compared(record: dict[str, Any]) -> tuple[str, str]:
    """What to say where no comparison with data was made, and how to get one."""
    why = (record.get("check") or {}).get("reason") or ""
    what = "the model was not compared with held-out data" + (f": {why}" if why else "")
    return what, "Call hl.diagnostics.diagnose(post, data), which compares and records the outcome."


def without_data(record: dict[str, Any]) -> bool:
    """Whether it was trained on a known action: there are no data then to compare it with."""
    return record["likelihood"] == "variational"


def undeclared(record: dict[str, Any]) -> str:
    """What an undeclared temperature leaves open."""
    energies = "energies are βE" if _network(record) or record["engine"]["name"] == "lbfgs" else "parameters are β times their values"
    return f"the observation's β was not declared: {energies}, predictions at another β are hypothetical"


def where_compared(record: dict[str, Any]) -> str:
    """Of which temperature a comparison with data speaks, where the posterior is at another one."""
    return " at an observed temperature" if "from_beta" in record.get("extrapolation", {}) else ""


def misfit_advice(record: dict[str, Any]) -> str:
    """What a family that does not fit could be given."""
    if "training" in record:
        lacks = "Train longer, on more data, or a network with more hidden units or of another kind"
    elif "candidates" in record or record["engine"]["name"] == "lbfgs":
        lacks = "Give the model a larger window"
    elif "nonconfining" in record:
        lacks = "Give the action more powers, or neighbour terms at longer range"
    elif _network(record):
        lacks = "Give the network a larger context, or learn with more draws"
    else:
        lacks = "Give the model what it lacks (more bonds, fields, untied parameters)"
    return f"{lacks}, or split the data if they are of several kinds; predictions inherit the misfit."


def data_per_parameter(record: dict[str, Any], ratio: float) -> str:
    """Site observations a parameter; the sites of one microstate are not independent of each other, and this does not say so."""
    worth = record["calibration"].get("ess")
    told = f", in microstates worth {count(worth)} independent ones" if worth and record["calibration"].get("tau", 1.0) > 1 else ""
    return f"{several(ratio, 'site observation')} for every parameter{told}"


def _network(record: dict[str, Any]) -> bool:
    """Whether the parameters are weights of networks."""
    return "training" in record or record["likelihood"] == "regression" or "density" in record
