"""Compute what the verdict needs, and record it with the posterior."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_seed
from hamlearn.diagnostics import arviz, comparison, cost, densities, invariants, predictive_test, scores, signals, simulated, wording
from hamlearn.diagnostics.about import introduced
from hamlearn.diagnostics.verdict import CHECK, LEVELS, Verdict, verdict, weigh
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, observations, one_group, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.asked import EngineName
from hamlearn.infer.predictions.measured import measured
from hamlearn.infer.provenance import SEVERITIES, Comparison, Convergence, Noted, Provenance
from hamlearn.processes import verb
from hamlearn.progress import aside, logger

_NO_EQUILIBRIUM = "Collect more data, or give the model fewer terms or a lower largest power."
GROUPS = 5  # whose comparisons may each raise a false alarm in a hundred; each of more has to be as much more unlikely
MEMBERS = 8  # of a posterior, whose mean energy score tests look at: its error is a third of a member's


@verb
def diagnose(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset] | None = None, *, check: bool = True, seed: int = 0) -> xr.DataTree:
    """Judge a posterior and record the judgement with it; `learn` does this.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.infer.learn`; it is changed in place.
    data : Dataset or list of Datasets, optional
        The microstates it was learned from; without them the model is not compared with data.
    check : bool
        Compare the model with held-out data, however long learning took; see :func:`~hamlearn.diagnostics.check`. It refits the
        model to half of the data, so it costs about as much as learning did, and less where learning sampled a posterior.
    seed : int
        Of the comparison.

    Returns
    -------
    DataTree
        `post`, with groups ``checks`` and ``measured`` (:func:`hamlearn.infer.measured`), and the entries ``convergence``,
        ``check``, ``signals`` and ``parameter_names`` in its made; its first attribute, ``about``, says in one line what it is.
    """
    made, seed = posteriors.provenance_of(post), require_seed(seed)
    additions: dict[str, Any] = {
        "convergence": Convergence(**arviz.convergence(post)),
        "parameter_names": tuple(families.of(post).parameters(post)[0]),
    }
    data = None if data is None else list(microstates.flattened(posteriors.model_of(post).sets(data)))
    for part in data or ():
        posteriors.require_same_sites(post, part)
    if families.traits(post).compared == "by group":
        additions |= _by_group(post, data, made, check, seed)
    elif data is not None and check:
        logger.info("comparing with held-out data%s", cost.told(data, posteriors.model_of(post)))
        with aside():  # its refit and simulations are steps of it
            table, found = _looked_at(post, _whole(post, data, seed), made, seed)
        post["checks"] = xr.DataTree(table)
        _measure(post, data, seed)
        additions["check"] = _digest(table)
        additions["signals"] = tuple(_noted(one) for one in found)
    elif made.check is None:
        why = "it was judged without its data" if data is None else "the comparison was switched off (check=False)"
        additions["check"] = Comparison("not run", why)
    return introduced(posteriors.with_provenance(post, **additions))


def _by_group(post: xr.DataTree, data: list[xr.Dataset] | None, made: Provenance, check: bool, seed: int) -> dict[str, Any]:
    """Every group judged as its own posterior, in place, with a sentence of each; and their comparisons as one."""
    model, names = posteriors.model_of(post), one_group.names(post)
    own = {} if data is None else model.grouped(microstates.split_by_beta(data))
    found, compared = [one for one in made.findings if one.topic != "groups"], dict[str, Comparison]()
    for number, name in enumerate(names):
        member = diagnose(one_group.group(post, name), own.get(name), check=check, seed=seed + number)
        said = weigh(_of_several(posteriors.provenance_of(member), len(names)), beta_declared=bool(int(member.attrs["beta_declared"])))
        severity = dict(zip(LEVELS, SEVERITIES, strict=True))[said.level]
        found.append(Noted("told", severity, "groups", {}, f"{model.by} {name}: {said.summary[0].lower()}{said.summary[1:].rstrip('.')}"))
        kept = {child: one.to_dataset() for child, one in member.children.items() if child != "posterior"}
        post[f"group_{number}"] = xr.DataTree.from_dict(kept)
        post[f"group_{number}"].attrs = dict(member.attrs)
        compared[name] = cast(Comparison, posteriors.provenance_of(member).check)
    return {"findings": tuple(found), "check": _of_groups(model.by, compared)}


def _of_several(made: Provenance, groups: int) -> Provenance:
    """The record of one of so many groups: false alarms of more than `GROUPS` add up to no more than theirs."""
    if made.check is None or made.check.overall_p is None:
        return made
    p = min(1.0, made.check.overall_p * max(1.0, groups / GROUPS))
    return replace(made, check=replace(made.check, overall_p=p))


def _of_groups(by: str, compared: dict[str, Comparison]) -> Comparison:
    """Comparisons of groups as one, by the smallest p-value times their number."""
    known = [one for one in compared.values() if one.overall_p is not None]
    if not known:
        first = next(iter(compared.values()))
        return replace(first, reason=_whose(by, {name: one.reason for name, one in compared.items()}))
    p = min(1.0, len(known) * min(cast(float, one.overall_p) for one in known))
    return Comparison(
        "differs" if p < CHECK else "agrees",
        overall_p=p,
        statistics=sum(one.statistics for one in known),
        held_out=sum(one.held_out for one in known),
        failed=tuple(f"{what} of {name}" for name, one in compared.items() for what in one.failed),
        largest_z=max(one.largest_z for one in known),
        skipped=_whose(by, {name: one.skipped for name, one in compared.items() if one.overall_p is not None}),
        advice=next((one.advice for one in known if one.skipped), ""),
    )


def _whose(by: str, told: dict[str, str]) -> str:
    """What was left out of groups, and of which: such as "... (subject anna, ben)"; empty where nothing was."""
    groups: dict[str, list[str]] = {}
    for name, what in told.items():
        if what:
            groups.setdefault(what, []).append(name)
    if [*groups.values()] == [[*told]]:
        return next(iter(groups))  # all of them alike
    return "; ".join(f"{what} ({by} {wording.listed(names, 3)})" for what, names in groups.items())


def _looked_at(
    post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], made: Provenance, seed: int
) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """The comparison and the signals; undecided where the posterior has no member that they could ask, as one without equilibrium."""
    try:
        families.of(post).draw_systems(post, 1, seed, None)
    except HamlearnError as error:
        why = predictive_test.LeftOut(f"what was learned could not be compared ({str(error).split(': ')[0]})", _NO_EQUILIBRIUM)
        return predictive_test.undecided(why), []
    return _compare(post, data, made, seed), signals.find(post, data)


def _whole(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], seed: int) -> xr.Dataset | Iterable[xr.Dataset]:
    """The data; one completion of them by what was learned stands for those of which cells are missing or may be misread."""
    if not families.traits(post).missing:
        return data
    sets = microstates.split_by_beta(microstates.admit(data, missing=True))
    if "flip" not in post["posterior"] and all(microstates.known(one) for one in sets):
        return data
    return cast(families.Completing, families.of(post)).completed(post, sets, seed)


def _measure(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], seed: int) -> None:
    """Group ``measured``: what the data themselves say of what is predicted, for pictures; none of members without equilibrium."""
    with suppress(HamlearnError):
        post["measured"] = xr.DataTree(measured(post, data, seed=seed))


def _compare(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], made: Provenance, seed: int) -> xr.Dataset:
    model, tau = posteriors.model_of(post).of_true_values, float(made.calibration.tau)
    asked = families.traits(post)
    if asked.compared == "refit" and posteriors.space_of(post).q:
        data = [posteriors.numbered(post, one) for one in microstates.split_by_beta(data)]
        return comparison.check(data, model, tau=tau, seed=seed, start=posteriors.theta_point(post))
    if asked.compared == "held out":  # direct draws against what training held out: nothing is refitted
        return densities.check(post, data, seed)
    rows = microstates.rows(microstates.split_by_beta(data)[0])
    symmetric = invariants.symmetric(families.of(post).draw_systems(post, 1, seed, None)[0], rows)
    named = _score_tests(post, data, tau, seed) if asked.tested else None
    # The fit to one half is compared through a few members: what a sampler would add to the normal approximation is not seen there.
    engine: EngineName = "laplace" if model.normal_prior else "auto"
    return simulated.check(data, model, engine=engine, tau=tau, symmetric=symmetric, named=named, seed=seed)


def _score_tests(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], tau: float, seed: int) -> scores.Tests:
    """Score tests from the mean energy of some members."""
    sets = microstates.split_by_beta(data)
    members = families.of(post).draw_systems(post, MEMBERS, seed, None)
    return scores.energies(members, [observations.as_observations(one, members[0].space) for one in sets], tau, seed)


@verb
def judge(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset] | None = None, *, check: bool = True, seed: int = 0) -> Verdict:
    """:func:`diagnose`, then :func:`verdict`."""
    post = admit_posterior(post)
    return verdict(diagnose(post, data, check=check, seed=seed))


def _digest(table: xr.Dataset) -> Comparison:
    """The few numbers of a comparison that the verdict reads."""
    attrs = table.attrs
    told = {"decision": attrs["decision"], "reason": attrs["reason"], "skipped": attrs.get("skipped", "")}
    told["advice"] = attrs["advice"]
    told["isolated"] = tuple(int(site) for site in attrs.get("isolated", ()))
    if attrs["decision"] == "undecided":
        return Comparison(**told)
    adjusted = table["p_adjusted"].values
    order = np.argsort(adjusted, kind="stable")
    tests = int(attrs.get("named", 0))  # of scores, which come first and have sentences of their own
    names, places = table["statistic"].values, table["where"].values
    named = [k for k in order if (k < tests or places[k]) and adjusted[k] < CHECK]  # also products of sites that one half named
    return Comparison(
        **told,
        overall_p=float(attrs["overall_p"]),
        statistics=int(table.sizes["statistic"]),
        held_out=int(attrs["held_out"]),  # of these statistics; the rest are score tests on all rows
        failed=tuple(predictive_test.called(str(names[k]), str(places[k]) if k >= tests else "") for k in order if adjusted[k] < CHECK),
        largest_z=float(np.abs(table["z"].values[table["scatter"].values == 0]).max(initial=0.0)),
        named=tuple(_test(table, int(k)) for k in named),
        width_ratio=float(attrs["width_ratio"]) if attrs.get("width_ratio") else None,
    )


def _noted(signal: dict[str, Any]) -> Noted:
    numbers = {name: signal[name] for name in ("statistic", "p_value", "effect")} | signal["numbers"]
    return Noted(signal["code"], signal["severity"], signal["topic"], numbers, signal["what"], signal["advice"])


def _test(table: xr.Dataset, k: int) -> dict[str, object]:
    """One score test as the verdict reads it."""
    row = table.isel(statistic=k)
    found: dict[str, object] = {"name": str(row["statistic"].values), "z": float(row["z"]), "p_adjusted": float(row["p_adjusted"])}
    if np.isfinite(row["effect"]):
        found |= {"effect": float(row["effect"]), "effect_sd": float(row["effect_sd"]), "unit": str(row["unit"].values)}
    return found | ({"where": str(row["where"].values)} if str(row["where"].values) else {})
