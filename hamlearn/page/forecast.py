"""Predictions on the page: which are made by default, and the sentences about them."""

from __future__ import annotations

import logging

import numpy as np
import xarray as xr

from hamlearn import infer
from hamlearn.diagnostics import claims, wording
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.models.actions import percent
from hamlearn.plots.curves import drawn, number, observed, require
from hamlearn.systems import XY, InteractionTables, Pairwise, QState, exact

_CHEAP_SITES = 150  # a simulated default prediction on more sites takes longer than a page should
_CHEAP_BONDS = 600  # or on more bonds: of 50 sites all joined a run that was too noisy went on for minutes
_DEFAULT_MEMBERS = 24


def curves_of(post: xr.DataTree, given: xr.Dataset | None) -> tuple[xr.Dataset | None, str]:
    """Curves to show and what to say of them; a default prediction is made where it costs seconds."""
    if given is not None:
        _same(post, require(given))
        return given, lead(post, given)
    try:
        made = _default(post)
        return (None, made) if isinstance(made, str) else (made, lead(post, made))
    except HamlearnError as error:  # a posterior that cannot be simulated still has a page, which says so
        return None, f"Nothing is predicted: {error}"
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
        logging.getLogger("hamlearn").warning("the default prediction of the page failed: %r", error)
        return (
            None,
            f"Nothing is predicted: it failed with {error!r}. If hamlearn.learn made this posterior, please report a bug.",
        )


def _same(post: xr.DataTree, curves: xr.Dataset) -> None:
    """Raise if the prediction says that it came from other data than the posterior."""
    here, there = sorted(claims.observed(post)), sorted(observed(curves))
    other = there and (len(here) != len(there) or not np.allclose(here, there))
    if other or curves.attrs.get("data_fingerprint", post.attrs["fingerprint"]) != post.attrs["fingerprint"]:
        raise HamlearnError(
            "this prediction comes from another posterior: its data are not those. Make one with hl.predict(post, beta=[...])."
        )


def _default(post: xr.DataTree) -> xr.Dataset | str:
    """The default prediction, or why there is none."""
    system = families.of(post).draw_systems(post, 1, 0, None)[0]
    oracle, density = exact.method(system), families.traits(post).density
    if density and not system.space.q:
        return "A density of a continuous system knows its own temperature: hl.extrapolate carries its action to another."
    # All members in one compiled run, or direct draws that are reweighted.
    together = density or isinstance(system, Pairwise | QState | InteractionTables)
    quick = oracle is not None and not isinstance(system, XY)  # character expansions take seconds a member
    graph = system.lattice
    if not quick and (graph.n_sites > _CHEAP_SITES or (graph.n_bonds > _CHEAP_BONDS and not density) or not together):
        return (
            f"No quick oracle solves this system of {graph.n_sites} sites, so nothing is predicted unasked: call "
            "hl.predict(post, beta=[...]) and pass the result as hl.report(..., prediction=...)."
        )
    names = ["energy", "heat_capacity", "entropy", "free_energy"] if oracle else ["energy", "heat_capacity"]
    points = np.linspace(*_range(post, density), 13 if oracle else 9).tolist()
    return infer.predict(post, points, observables=names, draws=_DEFAULT_MEMBERS)


def _range(post: xr.DataTree, density: bool) -> tuple[float, float]:
    """Where to predict: around the observed temperatures, or from these to where the posterior was carried."""
    betas = [*claims.observed(post), *claims.extrapolated(post)]
    if claims.extrapolated(post):
        return min(betas), max(betas)
    low, high = (0.8, 1.25) if density else (0.2, 2.0)  # draws of a density reach less far
    return low * min(betas), high * max(betas)


def lead(post: xr.DataTree, curves: xr.Dataset) -> str:
    """From what the curves come, what their bands hold and what not, and what the prediction says of itself."""
    path = posteriors.space_of(post).unbounded and len(posteriors.site_shape(post)) == 1  # energies of one particle, not per time slice
    betas = np.unique(curves["beta"].values)
    where = f"β = {betas[0]:.4g}" + (f" to {betas[-1]:.4g}" if len(betas) > 1 else "")
    sentences = [f"{'Of the particle' if path else 'Per site'}, at {where}, from {draw_systems(post, curves)}."]
    sentences.append(f"Group: {curves.attrs['group']}." if "group" in curves.attrs else "")
    sentences.append(_of_true_states(post) if "states" in curves.attrs else "")
    if banded(curves):
        sentences.append(_bands(curves, single=claims.draws(post)[0] == 1))
    elif claims.draws(post)[0] == 1:
        sentences.append(f"One {claims.draws(post)[1]} has no spread, so there are lines without bands: how far they are off is not known.")
    else:
        sentences.append("There are lines without bands: how far they are off is not known.")
    sentences.append(claims.zero_of_energy(post, [str(name) for name in curves.data_vars]))
    methods = sorted({str(values.attrs.get("method", "")) for values in curves.data_vars.values()} - {""})
    if not banded(curves):  # what a method says of intervals
        methods = sorted({method.split("; intervals")[0] for method in methods})
    sentences.append(f"Method: {'; '.join(methods)}." if methods else "")
    if "predicted_ess" in curves and np.isfinite(curves["predicted_ess"].values).any():
        sentences.append(f"Predicted effective share of draws: at least {float(curves['predicted_ess'].min()):.2g}.")
    warned = str(curves.attrs.get("warning", ""))
    if str(curves.attrs.get("verdict", "believe")) != "believe" and "posterior behind" not in warned:
        sentences.append(f"The verdict on the posterior behind them: {curves.attrs['verdict']}.")
    sentences.append(f"Warning: {warned.rstrip('.')}." if warned else "")
    if number(curves, "hypothetical", 0):
        sentences.append("The observation's β was not declared, so β here is relative to it and the curves are hypothetical.")
    return " ".join(sentence for sentence in sentences if sentence)


def _of_true_states(post: xr.DataTree) -> str:
    """That predictions are no readings: of what was misread, or is missing in part."""
    made = posteriors.provenance_of(post)
    if made.flip:
        return f"They are of true states: readings, {percent(made.flip)} of which are wrong, differ from them."
    return "They are of true states, with a value in every cell."


def draw_systems(post: xr.DataTree, curves: xr.Dataset) -> str:
    """How many different members are behind the curves: never more than the posterior has."""
    count, noun = claims.draws(post)
    told = {int(number(curves[name], "draws_used", number(curves, "draws", number(curves, "members", 0)))) for name in drawn(curves)} or {0}
    used, text = max(told), " to ".join(wording.count(one) for one in sorted({min(told), max(told)}))
    if noun == "joined network":
        return f"{text} combinations of {claims.told_draws(post)}" if used else claims.told_draws(post)
    if not used or used >= count:
        return claims.told_draws(post)
    return f"{text} of {claims.told_draws(post)}"


def banded(curves: xr.Dataset) -> bool:
    """Whether any interval has a width."""
    return any(_width(curves, name) > 0 for name in drawn(curves))


def _width(curves: xr.Dataset, name: str) -> float:
    widths = (curves[name].sel(quantity="upper") - curves[name].sel(quantity="lower")).values
    return float(np.nanmax(widths)) if np.isfinite(widths).any() else 0.0


def _bands(curves: xr.Dataset, *, single: bool) -> str:
    """What the bands are."""
    told = "The band is the uncertainty of what was learned; it does not include that the family of models may be wrong."
    if single:  # its band comes from the data, not from a spread over members
        told = "One network has no spread of its own: the band is only what recalibrating it on the observed microstates changes."
    for key in ("interval", "centring"):
        told += _by_observable(curves, key)
    return told


def _by_observable(curves: xr.Dataset, key: str) -> str:
    """What the observables say of themselves under `key`; named one by one where they differ."""
    ways: dict[str, list[str]] = {}
    for name in drawn(curves):
        if curves[name].attrs.get(key):
            ways.setdefault(str(curves[name].attrs[key]), []).append(name.replace("_", " "))
    if len(ways) > 1:
        return f" {key.capitalize()}: " + "; ".join(f"{', '.join(names)}: {way.replace(';', ',')}" for way, names in ways.items()) + "."
    return "".join(f" {key.capitalize()}: {way}." for way in ways)


def caption(post: xr.DataTree, curves: xr.Dataset) -> str:
    """What is drawn in the panels, and nothing that is not."""
    count, noun = claims.draws(post)
    parts = [f"Line: mean over {claims.plural(noun)}." if count > 1 else "Line: the prediction."]
    if banded(curves):
        parts.append(f"Band: {number(curves, 'level', 0.9):.0%} interval.".replace("%", " %"))
    if any(np.nanmax(curves[name].sel(quantity="mc_error").values, initial=0.0) > 0 for name in drawn(curves)):
        parts.append("Bars: simulation error.")
    if "measured" in post and set(post["measured"].data_vars) & set(drawn(curves)):
        parts.append("Red: what the data themselves say, with standard errors (energies by the learned Hamiltonians).")
    there = observed(curves)
    if there and number(curves, "hypothetical", 0):
        parts.append("Dashed: where the data are, at a β that was not declared.")
    elif there:
        what = "trained at" if wording.without_data(posteriors.provenance_of(post)) else "observed,"
        parts.append(f"Dashed: {what} β = {', '.join(f'{beta:.6g}' for beta in there)}.")
    return " ".join(parts)
