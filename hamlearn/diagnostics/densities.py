"""Judging neural densities: how training went, whether data bear the networks, and direct draws against held-out data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics import predictive_test
from hamlearn.diagnostics.holdout import BLOCKS, MIN_BLOCKS
from hamlearn.diagnostics.simulated import Statistics
from hamlearn.diagnostics.verdict import Finding
from hamlearn.infer import families, posteriors
from hamlearn.infer.families import autoregressive

OVERFIT = 0.5  # nats per microstate between training and held-out data: the energies of new states are then off by about as much
ESS, ESS_SERIOUS = 0.5, 0.1  # effective share of draws below which weights are dominated by few, and by a handful
DIFFERS = 2.6  # standard errors: one in a hundred by chance
_DRAWS = 40_000  # of all networks, per temperature, and held-out microstates
_FEWEST_DRAWS, _EVALUATIONS = 2000, 4_000_000  # a density averaged over a group costs its elements: then fewer


def judge(record: dict[str, Any]) -> Iterator[Finding]:
    """Findings on a record that has an entry ``training``."""
    yield from _training(record) if record["likelihood"] == "exact" else _variational(record)


def summary(record: dict[str, Any]) -> str:
    """One sentence where nothing is wrong."""
    size = f"{record['n_params']:,} weights".replace(",", " ")
    if record["likelihood"] != "exact":
        return f"{size} trained on a known action, with an effective share of draws of {min(record['training']['ess_q']):.2g}."
    checked = ", and held-out data agree with its draws" if record.get("check", {}).get("decision") == "agrees" else ""
    return f"{size} by maximum likelihood from {record['microstates']:,.0f} microstates".replace(",", " ") + f"{checked}."


def _training(record: dict[str, Any]) -> Iterator[Finding]:
    found = record["training"]
    for index, stopped in enumerate(found["stopped"]):
        if stopped == "diverged":
            kept = f" and in {found['checkpoint']}" if found["checkpoint"] else ""
            yield Finding(
                "serious",
                "convergence",
                f"training of network {index} diverged in epoch {found['epochs'][index]}: the weights of epoch "
                f"{found['best_epoch'][index]} are kept (held-out {found['heldout_nats_per_site'][index]:.5f} nats per site){kept}",
                "Learn again with a lower hl.infer.Training(learning_rate=...).",
            )
        elif stopped == "seconds":
            yield Finding(
                "note", "convergence", f"training of network {index} was ended by the clock after {found['epochs'][index]} epochs"
            )
    if "diverged" not in found["stopped"]:
        best = min(found["heldout_nats_per_site"])
        what = f"−ln p of held-out data is {best:.5f} nats per site"
        if "epochs" in found["stopped"]:
            cut = found["stopped"].count("epochs")
            which = "training" if len(found["stopped"]) == 1 else f"training of {cut} of {len(found['stopped'])} networks"
            what += f"; {which} ended at the limit of {max(found['epochs'])} epochs, before early stopping would have ended it"
            yield Finding("note", "convergence", what, f"Train longer: engine=hl.infer.Training(epochs={5 * max(found['epochs'])}).")
        else:
            yield Finding("note", "convergence", f"{what}; early stopping chose the weights")
    sites = record["identifiability"]["data_per_parameter"] * record["n_params"] / max(record["calibration"]["ess"], 1)
    gaps = np.subtract(found["heldout_nats_per_site"], found["train_nats_per_site"]) * sites
    noise = 4 * np.sqrt(sites / max(found["heldout"] / record["calibration"]["tau"], 1))  # −ln p scatters by about √sites nats
    if float(gaps.max()) > OVERFIT + noise:
        advice = "More data, smaller hidden=, symmetry=[...] of the lattice, or a larger weight_decay."
        yield Finding("caution", "fit", f"the networks know their training data better than new ones, by {gaps.max():.2g} nats", advice)
    worth, parameters = record["calibration"]["ess"], record["n_params"]
    what = f"{parameters:,} weights on data worth {worth:,.0f} independent microstates".replace(",", " ")
    if worth < sites:  # not even the mean of every site is known
        advice = (
            "Run the chains longer, or use a family with few parameters (Couplings, ClusterExpansion): this density is mostly its start."
        )
        yield Finding("serious", "data", f"{what}, fewer than its {sites:.0f} sites", advice)
    elif worth < parameters / 10:
        advice = "Far fewer data than weights: early stopping is all that holds them. Use a smaller hidden=, symmetry=[...], or more data."
        yield Finding("caution", "data", what, advice)
    else:
        yield Finding("note", "data", what)
    if found.get("overlap"):
        what = f"{found['overlap']:.2g} of the held-out microstates (by their number) also occur in the training data, as they do by chance"
        yield Finding("note", "data", what)
    if found.get("posterior"):
        what = (
            f"weights drawn from a {found['posterior'][0]['guide']} posterior; what no weights of this network can represent is not in it"
        )
        yield Finding("note", "uncertainty", what)
    elif len(found["stopped"]) == 1:
        yield Finding("note", "uncertainty", "one network has no error bar of its own; members=4 shows what networks do not share")
    else:
        networks = len(found["stopped"])
        what = f"intervals are t intervals over {networks} networks"
        if found.get("observed"):
            what += ", widened by what ln q recalibrated on the observed microstates changes"
        yield Finding("note", "uncertainty", what)
    yield from _observed(found)


def _observed(found: dict[str, Any]) -> Iterator[Finding]:
    """Ln q of what was observed against the networks' own draws, and against a fit of another kind."""
    seen = found.get("observed")
    if seen is None:
        what = "networks of several temperatures are not compared with their own draws in the mean of ln q, nor with another fit"
        yield Finding("note", "fit", what)
        return
    if seen["mean_z"] is None:
        what = f"the held-out microstates are worth {seen['heldout_worth']:.0f} independent ones: too few to compare ln q or another fit on"
        yield Finding("note", "fit", what)
        return
    clean, advice = True, "More data, symmetry=[...] of the lattice, hl.infer.Training(augment=[...]), a smaller or a larger hidden=."
    if "epochs" in found["stopped"]:
        advice = f"Train longer, engine=hl.infer.Training(epochs={5 * max(found['epochs'])}): the limit of epochs ended it. Or: {advice}"
    if abs(seen["mean_z"]) > DIFFERS:
        clean = False
        what = (
            f"the mean of ln q over held-out microstates is {seen['mean_gap']:+.2g} nats off that over the networks' own draws "
            f"({abs(seen['mean_z']):.1f} standard errors): their entropy and energy are off by as much"
        )
        yield Finding("caution", "fit", what, advice)
    if seen["rival_z"] is not None and seen["rival_z"] > DIFFERS:
        clean = False
        what = (
            f"a fit of pair products and of the scale of ln q is better than the networks' mean density on held-out microstates by "
            f"{seen['rival_gain']:.2g} nats each ({seen['rival_z']:.1f} standard errors)"
        )
        yield Finding("caution", "fit", what, advice)
    if clean:
        rival = "" if seen["rival_z"] is None else f", and a fit of pair products is not better on them ({seen['rival_z']:+.1f})"
        what = f"ln q of held-out microstates is that of the networks' own draws ({seen['mean_z']:+.1f} standard errors){rival}"
        yield Finding("note", "fit", what, passed=True)
    if seen["spread_z"] is not None and abs(seen["spread_z"]) > DIFFERS:
        held = ", and intervals hold it" if len(found["stopped"]) > 1 or found.get("posterior") else ""
        what = (
            f"ln q scatters {seen['spread_ratio']:.3f} times as much over the networks' own draws as over microstates: heat capacities and "
            f"other temperatures are off by that{held}"
        )
        yield Finding("note", "fit", what)


def _variational(record: dict[str, Any]) -> Iterator[Finding]:
    found = record["training"]
    worst = min(found["ess_q"])
    seen = "it cannot see phases that the density dropped: compare ess_p and mode_drop of hl.estimate"
    if worst < ESS:
        severity = "serious" if worst < ESS_SERIOUS else "caution"
        advice = "Train longer, anneal, give the symmetries of the action, or correct the draws with hl.infer.correct."
        yield Finding(severity, "convergence", f"the effective share of its own draws is {worst:.2g} (and {seen})", advice)
    else:
        yield Finding("note", "convergence", f"the effective share of its own draws is {worst:.3g}; {seen}")
    yield Finding("note", "likelihood", f"no data: trained on the action of {found['target']}")


def check(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset], seed: int = 0) -> xr.Dataset:
    """Direct draws of the networks against the microstates that training held out.

    Nothing is refitted: the held-out ones decided only when to stop.

    Returns
    -------
    Dataset
        As :func:`hamlearn.diagnostics.check` returns it.
    """
    sets, rng = microstates.split_by_beta(microstates.admit(data)), np.random.default_rng(seed)
    share = float(posteriors.record_of(post)["engine"]["heldout"])
    densities, system = autoregressive.evaluators(post), families.of(post).draw_systems(post, 1, 0, None)[0]
    elements = sum(one.elements for one in densities)
    most = int(np.clip(_EVALUATIONS // elements, _FEWEST_DRAWS, _DRAWS))
    rows: list[predictive_test.Row] = []
    fewest = BLOCKS
    for part in sets:
        rows_, _, weight, heldout, used, tau = autoregressive.split(part, system.space, share)
        values = (system.space.from_index(rows_) if system.space.q else rows_).reshape(-1, *system.lattice.shape)
        heldout[np.flatnonzero(heldout)[:-most]] = False
        blocks = int(min(BLOCKS, weight[heldout].sum() / (5 * tau if tau > 1 else 1)))
        if blocks < MIN_BLOCKS:
            return predictive_test.undecided(
                f"the {int(heldout.sum())} held-out microstates make {blocks} independent blocks, fewer than {MIN_BLOCKS}"
            )
        fewest, beta = min(fewest, blocks), float(part["beta"])
        functions = Statistics(system, values[used][:: max(1, int(used.sum()) // (most // 2))])
        columns = functions(values[heldout]) * weight[heldout][:, None]
        label = np.arange(len(columns)) * blocks // len(columns)
        sums = np.zeros((blocks, columns.shape[1]))
        np.add.at(sums, label, columns)
        sizes = np.bincount(label, weights=weight[heldout], minlength=blocks)
        observed = sums.sum(0) / sizes.sum()
        deviation = (sums - sizes[:, None] * observed) / sizes.sum()
        # Every network is one group of blocks: their differences are part of the prediction's noise.
        count = most // len(densities)
        drawn = [functions(one.sample(count, int(rng.integers(2**32)), beta if one.conditioned else None)) for one in densities]
        means = np.stack([block.mean(0) for part_ in drawn for block in np.array_split(part_, max(2, BLOCKS // len(drawn)))])
        expected = means.mean(0)
        noise = predictive_test.resampled(deviation, rng) - predictive_test.resampled((means - expected) / len(means), rng)
        if len(drawn) > 1:
            own = np.stack([part_.mean(0) for part_ in drawn])
            noise = noise + predictive_test.resampled((own - expected) / len(own), rng)
        rows += predictive_test.judge(functions.list, observed, expected, noise, blocks, f" at beta = {beta:.4g}" if len(sets) > 1 else "")
    return predictive_test.table(rows, fewest, None)
