"""The sentence of every code that a finding may have: a pure function of its numbers and of how the posterior was made.

Nothing decides by these words. A code is one entry of `SENTENCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hamlearn.data.strays import way_out
from hamlearn.diagnostics import wording
from hamlearn.diagnostics.predictive_test import TRAINED, called
from hamlearn.diagnostics.scores import words
from hamlearn.errors import HamlearnError
from hamlearn.infer.provenance import Provenance
from hamlearn.models.actions import percent

Numbers = Mapping[str, Any]
Words = tuple[str, str]  # what was found, and advice
SENTENCES: dict[str, Callable[[Numbers, Provenance], Words]] = {}


def of(code: str, numbers: Numbers, made: Provenance) -> Words:
    """What was found, and advice.

    Raises
    ------
    HamlearnError
        If the code is not known, or numbers that its sentence needs are missing: the file was written by something else.
    """
    if code not in SENTENCES:
        raise HamlearnError(f"a finding has the code {code!r}, for which there is no sentence; this posterior was changed by hand.")
    try:
        return SENTENCES[code](numbers, made)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise HamlearnError(f"the numbers of the finding {code!r} in the posterior's provenance cannot be read: {error!r}.") from None


def sentence(code: str) -> Callable[[Callable[[Numbers, Provenance], Words]], Callable[[Numbers, Provenance], Words]]:
    """Make a function the sentence of a code."""

    def kept(function: Callable[[Numbers, Provenance], Words]) -> Callable[[Numbers, Provenance], Words]:
        SENTENCES[code] = function
        return function

    return kept


def _sites(n: Numbers, made: Provenance) -> str:
    return ", ".join(map(made.site, n["first"])) + (", …" if n["loose"] > len(n["first"]) else "")


_ROUGH_RATE = "; that is too little for its interval, and those of couplings, to be relied on"
_FEW_ROWS = "; from {:.2g} rows for every parameter couplings can pass for what is a rate, and rates come out wrong by several error bars"
_ONE_COMPLETION = ". The comparison looks at one completion by what was learned, and sees less than one of complete data"


# Convergence


SENTENCES |= {
    "convergence unknown": lambda n, made: (
        "convergence was not recorded",
        "Call hl.diagnostics.diagnose(post, data), or learn with hl.learn.",
    ),
    "no optimum": lambda n, made: ("the optimiser did not converge", "Use a proper prior with engine='nuts', or more data."),
    "not sampled": lambda n, made: (wording.not_sampled(made), ""),
    "rhat": lambda n, made: (
        f"{wording.not_mixed(made)}: R-hat is {n['rhat']:.3f} for {n['where']}, above {n['limit']:.3g}",
        wording.sample_longer(made),
    ),
    "one chain": lambda n, made: (
        f"there is one chain{wording.halves(made)}; one chain cannot show that another would find the same",
        wording.more_chains(made),
    ),
    "no number": lambda n, made: (
        f"{wording.listed(n['names'], 3)} could not be measured (nan): nothing follows from it",
        "Give more draws and more data, and look for values that are constant, infinite or not numbers.",
    ),
    "few effective draws": lambda n, made: (
        f"the effective sample size is {n['ess']:.0f} for {n['where']}, below {n['least']:.0f}",
        wording.sample_longer(made),
    ),
    "divergences": lambda n, made: (
        f"{n['count']} of {n['total']} draws diverged: a part of the posterior is not reached",
        wording.smaller_steps(made),
    ),
    "importance weights": lambda n, made: (
        f"the importance weights have a Pareto k-hat of {n['k']:.2f}, above {n['most']:g}: the normal approximation misses tails",
        wording.sample_longer(made),
    ),
    "depth limit": lambda n, made: (
        f"{n['count']} of {n['total']} trajectories were cut short at the depth limit",
        wording.sample_longer(made),
    ),
}


@sentence("converged")
def _converged(n: Numbers, made: Provenance) -> Words:
    numbers = "no parameter moved" if n["rhat"] is None else f"R-hat at most {n['rhat']:.3f}, ESS at least {n['ess']:.0f}"
    if made.pareto_k is not None:
        numbers += f", Pareto k-hat {made.pareto_k:.2f}"
    elif made.convergence is not None and made.convergence.divergences is not None:
        numbers += ", no divergences"
    return f"the chains have converged ({numbers})", ""


# Likelihood and calibration


@sentence("calibrated")
def _calibrated(n: Numbers, made: Provenance) -> Words:
    ratio = made.calibration.width_ratio
    wide = f"; uncorrected ones would be {1 / ratio:.2f} × as wide" if ratio and abs(ratio - 1) > 0.02 else ""
    basis = wording.basis(made.calibration.basis)
    return f"{made.likelihood} is a stand-in for the exact likelihood; its error bars are calibrated ({basis}){wide}", ""


SENTENCES |= {
    "separable at frozen sites": lambda n, made: (
        f"frozen sites keep the {made.likelihood} likelihood from being calibrated: error bars are too small, typically by 1.2 to 1.4",
        "Leave out the sites that never change, or use likelihood='exact'; then error bars can be calibrated.",
    ),
    "separable, no error bars": lambda n, made: (
        f"the data are nearly separable, so the {made.likelihood} likelihood cannot be calibrated and its error bars mean little",
        f"Use likelihood='exact' if there are few enough sites, or more data{wording.where_it_varies(made)}.",
    ),
    "separable": lambda n, made: (
        "the data are nearly separable: without the prior some parameters would be infinite",
        f"Rely on nothing in the directions that the prior decides; collect more data{wording.where_it_varies(made)}.",
    ),
    "uncalibrated": lambda n, made: wording.uncalibrated(made, n["ratio"]),
    "independence untested": lambda n, made: (
        "calibration was switched off: draws were taken as independent without a test",
        "Learn with calibrate=True.",
    ),
    "true likelihood": lambda n, made: (wording.exact_likelihood(made), ""),
}


# Autocorrelation, prior


def _worth(made: Provenance) -> str:
    size, tau = made.microstates, made.calibration.tau
    what = "whole microstates" if made.training is not None else "what the parameters feel"
    longest = f"{'longest ' if len(made.source) > 1 else ''}autocorrelation time of {what}"
    worth = f"{wording.count(size)} microstates are worth {wording.count(made.worth)} independent ones"
    return f"{worth} ({longest}: {tau:.3g} draws)"


SENTENCES |= {
    "chains disagree": lambda n, made: (
        "the chains of the data disagree by more than their own fluctuations",
        "The chains are not samples of one distribution: run them longer, drop the burn-in, or learn each chain by itself.",
    ),
    "few batches": lambda n, made: (
        f"too few independent batches ({made.calibration.batches}): {_worth(made)}",
        "Run the chains longer, at least 50 autocorrelation times in all; until then error bars are themselves uncertain.",
    ),
    "autocorrelated": lambda n, made: (_worth(made), ""),
    "autocorrelated, counted": lambda n, made: (f"{_worth(made)}; error bars account for it", ""),
    "autocorrelated, drift": lambda n, made: (f"{_worth(made)}; this is their drift, which no error bar accounts for", ""),
}


@sentence("prior decides")
def _prior_decides(n: Numbers, made: Provenance) -> Words:
    names = [made.parameter_names[k] if k < len(made.parameter_names) else f"parameter {k}" for k in n["dominated"]]
    frozen = [made.site(site) for site in made.frozen_fields]
    still = f" ({wording.listed(frozen, 3)} never {'changes' if len(frozen) == 1 else 'change'} in the data)" if frozen else ""
    advice = "What is said about them is the prior's: collect data in which they vary, tie parameters, or give a prior that you mean."
    return f"prior-dominated: {wording.listed([*frozen, *(wording.place(name) for name in names)])}{still}", advice


@sentence("spreads of the prior")
def _spreads_of_the_prior(n: Numbers, made: Provenance) -> Words:
    of = "" if len(n["names"]) == n["parameters"] == 1 else f" of {wording.listed([wording.place(one) for one in n['names']], 3)}"
    what = f"how much groups differ is mostly the prior's: {n['groups']} groups hardly say the spread{of}"
    return what, "Give more groups, or a spread= that you mean: what is said of groups that were not observed rests on it."


@sentence("a group apart")
def _a_group_apart(n: Numbers, made: Provenance) -> Words:
    what = (
        f"{n['by']} {n['group']} lies apart from all others in {wording.place(n['name'])} (p = {n['p_value']:.2g}): no normal spread "
        "holds them all, and its interval is pulled towards theirs"
    )
    return what, "Look at its data; or learn the others without it, and compare the two with hl.compare."


# Identifiability


def _redundant(made: Provenance) -> str:
    """Every group of parameters that can change together without a trace in the data."""
    found = made.identifiability
    groups = found.redundant or tuple((name,) for name in found.unidentified)  # older files name the leaders only
    together = [wording.listed([wording.place(name) for name in group]) for group in groups]
    if len(together) == 1:
        return together[0] + (" together" if len(groups[0]) > 1 else "")
    return "; ".join(f"{one} together" if len(group) > 1 else one for one, group in zip(together[:3], groups, strict=False)) + (
        f"; and {wording.several(len(groups) - 3, 'group')} more" if len(groups) > 3 else ""
    )


def _fewer(made: Provenance) -> str:
    sparse = "" if made.engine.name == "gibbs" else "use a sparse prior (prior='spike_slab'), "
    return f"Tie parameters, {sparse}or collect more data."


SENTENCES |= {
    "unidentified": lambda n, made: (
        f"not identified by the data: {_redundant(made)}",
        "Of parameters that are named together the data know only some combinations: tie or drop them, or fix them by a prior.",
    ),
    "few data": lambda n, made: (
        f"few data: {wording.data_per_parameter(made, made.identifiability.data_per_parameter)}",
        _fewer(made),
    ),
    "enough data": lambda n, made: (wording.data_per_parameter(made, made.identifiability.data_per_parameter), ""),
    "few data for a search": lambda n, made: (
        f"few data for a search: {wording.count(made.worth)} independent microstates for {wording.count(made.candidates or 0)} candidates; "
        "intervals of the terms found, and predictions, hold less often than they say",
        f"Give at least {wording.count(n['wanted'])} independent microstates, a smaller window= or order=.",
    ),
    "few data at a site": lambda n, made: (
        f"few data: {wording.count(made.worth)} independent microstates for {wording.count(n['parameters'])} parameters, "
        f"{made.identifiability.data_at_worst_site:.2g} a parameter at the site with most",
        _fewer(made),
    ),
    "fewer rows than parameters": lambda n, made: (
        f"fewer independent microstates ({wording.count(made.worth)}) than parameters ({wording.count(n['parameters'])}): "
        "single strengths can be relied on, totals such as energies and free energies are shifted by all parameters together",
        "Do not rely on predicted totals: tie parameters, or collect more data.",
    ),
    "missing cells": lambda n, made: (
        f"{percent(n['share'])} of the cells are missing, at {wording.several(n['sites'], 'site')} "
        f"(most at {made.site(n['where'])}, {percent(n['most'])}): "
        "intervals hold where whether a cell is missing does not depend on its value, given what was observed"
        + (_ONE_COMPLETION if made.check is not None and made.check.decision != "not run" else ""),
        "Find out why cells are missing; a rate that depends on the value itself shifts fields and couplings." if n["share"] > 0.3 else "",
    ),
    "readout errors": lambda n, made: (
        f"{percent(n['share'])} of the readings are wrong by the rates that the data declare, at {wording.several(n['sites'], 'site')}"
        + ("" if n["most"] < 1.2 * n["share"] else f" (most at {made.site(n['where'])}, {percent(n['most'])})")
        + ": what was learned, and is predicted, is of true values. The rates are taken on "
        "trust: comparisons hardly contradict wrong ones, and couplings are then wrong with them"
        + (_ONE_COMPLETION if made.check is not None and made.check.decision != "not run" else ""),
        "",
    ),
    "readout rate": lambda n, made: (
        f"{percent(n['mean'])} of the readings are wrong ({percent(n['low'])} to {percent(n['high'])}), as was learned with the couplings"
        + ("; the data hardly say it: that is what its prior says" if n["share"] > 0.5 else _ROUGH_RATE if n.get("rough") else "")
        + (_FEW_ROWS.format(n["rows_each"]) if n.get("few") else "")
        + (_ONE_COMPLETION if made.check is not None and made.check.decision != "not run" else ""),
        "Measure the rate, or give a prior that you believe: couplings are as strong as the rate that they are seen through says."
        if n["share"] > 0.5 or n.get("rough") or n.get("few")
        else "",
    ),
    "readout rates": lambda n, made: (
        f"{percent(n['mean'])} of the readings are wrong, from {percent(n['least'])} at one site to {percent(n['most'])} at "
        f"{made.site(n['where'])}, as was learned with the couplings, a rate of every site"
        + (f"; at {n['loose']} of {n['sites']} ({_sites(n, made)}) the data hardly say it: there it is its prior" if n["loose"] else "")
        + (_FEW_ROWS.format(n["rows_each"]) if n.get("few") else "")
        + (_ONE_COMPLETION if made.check is not None and made.check.decision != "not run" else ""),
        "Measure these rates, or give priors that you believe: couplings are as strong as the rates that they are seen through say, and of "
        "a site with few bonds only a prior knows."
        if n["loose"] or n.get("few")
        else "",
    ),
    "missing depends": lambda n, made: (
        "cells are not missing completely at random: whether they are goes with what was observed elsewhere, "
        + ", ".join(f"at {made.site(gone)} with the value of {made.site(seen)}" for gone, seen in n["first"])
        + (f", and {n['count'] - len(n['first'])} more pairs" if n["count"] > len(n["first"]) else ""),
        "That alone is no harm to likelihoods that sum over what is missing, but is to rows or conditionals that were chosen by it; and "
        "where a rate depends on other values it may depend on its own, which biases everything.",
    ),
    "states never seen": lambda n, made: (
        "never observed and so excluded, their entries of J and h set to 0: "
        + ", ".join(f"{made.state(state, site)} at {made.site(site)}" for site, state in n["first"])
        + (f" and {n['count'] - len(n['first'])} more" if n["count"] > len(n["first"]) else ""),
        "If they can occur, more data or a model with fewer states would tell how rarely.",
    ),
    "stray codes": lambda n, made: (
        "taken for states although they stand far from the other codes, as those for no answer do: "
        + "; ".join(
            f"{made.site(site)} holds {code} {wording.several(count, 'time')}, beside {low} to {high}"
            for site, code, count, low, high in n["first"]
        )
        + (f"; and {n['count'] - len(n['first'])} more" if n["count"] > len(n["first"]) else ""),
        f"{way_out([one[1] for one in n['first']])}.",
    ),
    "weak couplings": lambda n, made: (
        f"whether weak couplings exist is undetermined: those below {wording.between(n['low'], n['high'])} could be missed, and their "
        "intervals may then hold nothing but zero (of all couplings, absent ones too, intervals cover what they say; of weak existing "
        "ones fewer)",
        "More data see weaker couplings.",
    ),
}
_ORDERS = {1: "fields", 2: "pairs", 3: "three-spin terms", 4: "four-spin terms"}


SENTENCES |= {
    "draws off": lambda n, made: (
        f"the draws that were given lie {n['sd']:.3g} standard deviations off the program's density (Stein's identity)",
        "They are of another program, data set or sign, or their sampler has not converged: check which site is whose.",
    ),
    "draws of another width": lambda n, made: (
        f"the draws that were given have {n['ratio']:.3g} times the variance of the program's density (Stein's identity)",
        "Run a sampler that converges on program.model; draws of a guide may be too narrow.",
    ),
    "draws impossible": lambda n, made: (
        "draws were given where the program's density is zero or not finite",
        "They are of another program: check which site is whose, and its prior's support.",
    ),
    "draws not compared": lambda n, made: (
        "the draws that were given were not compared with the program's density: its prior has bounds or parameters of its own",
        "" if n.get("sampled") else "Give the sampler itself, hl.from_samples(mcmc, program), or use a prior on all reals.",
    ),
}


@sentence("weak terms")
def _weak_terms(n: Numbers, made: Provenance) -> Words:
    pieces = ", ".join(f"{_ORDERS[one['order']]} below {wording.between(one['low'], one['high'])}" for one in n["orders"])
    what = f"whether weak terms exist is undetermined: {pieces} could be missed, inclusion probabilities there are the prior's"
    return what, "More data, or a smaller window, see weaker terms."


@sentence("conserved field")
def _conserved_field(n: Numbers, made: Provenance) -> Words:
    if n["tied"]:
        what = f"the field is not determined, and left out: the magnetization is {n['magnetization']} in every row"
    else:
        what = (
            f"fields are determined up to their mean, as the magnetization is {n['magnetization']} in every row; the sparsest are reported"
        )
    return what, "Data whose magnetization is free determine it."


# Rows themselves


_FEW = 0.01  # pairs of equal rows below which no digits are of use


def _equal(n: Numbers) -> str:
    up_to = " up to a global flip" if n["flips"] else ""
    expected = wording.count(n["expected"]) if n["expected"] >= _FEW else f"fewer than {_FEW:g}"
    return (
        f"{wording.count(n['pairs'])} pairs of rows are equal{up_to} where those that agree on all sites but one, and the model, let "
        f"expect {expected}"
    )


SENTENCES |= {
    "equal rows": lambda n, made: (
        f"rows were copied, or the model spreads its weight too widely{n['label']}: {_equal(n)}; copies would explain it if every "
        f"row had been taken {n['copies']:.3g} times (error bars are then too small by {n['copies'] ** 0.5:.3g})",
        "Leave out copies (resampled, augmented or joined data); if no row was copied, few states can occur, or the model misfits.",
    ),
    "equal rows of a misfit": lambda n, made: (
        f"rows repeat more often than the learned model lets expect{n['label']}, as they do where it misfits: {_equal(n)}; copies "
        f"of every row, {n['copies']:.3g} times, would not explain the misfit, or leave {n['rows'] / n['copies']:.0f} rows where "
        f"{n['distinct']} differ",
        "Mend the misfit first; if this stays, look for rows that were copied unevenly (resampled by weights).",
    ),
}


# Fit


@sentence("misfit")
def _misfit(n: Numbers, made: Provenance) -> Words:
    check = made.check
    assert check is not None and check.overall_p is not None
    said = [words.sentence(one, place == 0) for place, one in enumerate(check.named)]
    told = {name for one in check.named for name in (one["name"], called(one["name"], one.get("where", "")))}
    others = [name for name in check.failed if name not in told]
    begins = lambda text: text.split(",")[0].split(";")[0]
    parts = list({begins(text): text for text, _ in said[2::-1]}.values())[::-1]  # one sentence on a thing, of its strongest test
    if others:
        whose = "the data" if any(TRAINED in name for name in others) else "held-out data"
        parts.append(f"{wording.listed(others, 3)} of {whose} {'differs' if len(others) == 1 else 'differ'} from its predictions")
    what = f"the model family does not fit: {'; '.join(parts)} ({wording.chance(check.overall_p)} over {check.statistics} statistics)"
    # That whole microstates are too rare or too frequent says nothing of why, where another test does.
    advice = [one[1] for one in said if one[1] != words.ADVICE["whole"]] or [one[1] for one in said]
    return what, advice[0] if advice else wording.misfit_advice(made)


def _check(made: Provenance) -> Any:
    return made.check


def _way_out(made: Provenance) -> str:
    """Of what kept data and model from being compared; files of before do not hold it."""
    return _check(made).advice or "Call hl.diagnostics.diagnose(post, data) again, which says what would allow it."


SENTENCES |= {
    "not compared": lambda n, made: wording.not_compared(made),
    "undecided": lambda n, made: (
        f"the comparison with held-out data is undecided: {_check(made).reason}",
        _way_out(made),
    ),
    "fits": lambda n, made: (
        f"{_check(made).statistics} statistics that were not fitted agree with the data{wording.where_compared(made)}"
        f" ({wording.overall(_check(made).overall_p)})",
        "",
    ),
    "left out": lambda n, made: (f"left out: {_check(made).skipped}", _way_out(made)),
    "isolated sites": lambda n, made: (
        f"{wording.listed([made.site(site) for site in _check(made).isolated])}: all couplings are zero within error although the graph "
        "has bonds there (a column of noise, or in the wrong place)",
        "Check what was recorded in these columns and their order; leave them out if they are noise.",
    ),
    "undeclared temperature": lambda n, made: (
        wording.undeclared(made),
        "Declare it with hl.microstates(..., beta=...) if it is known.",
    ),
    "unbounded": lambda n, made: (
        f"{percent(n['share'])} of the posterior {n['fault']}",
        "Such draws are never simulated; collect more data, or lower the largest power.",
    ),
    "temperatures disagree": lambda n, made: (
        f"coefficients learned at {'the single' if n['pooled'] else 'single'} temperatures disagree ({wording.chance(n['p'])})",
        "The action lacks a term, or a declared temperature is wrong: compare the posteriors."
        if n["pooled"]
        else "The action lacks a term, or a declared temperature or spacing is wrong: learn each temperature by itself.",
    ),
    "variational training diverged": lambda n, made: (
        f"variational training of network {n['network']} diverged after step {n['step']}: the weights of that step are kept"
        + (f" and in {n['checkpoint']}" if n["checkpoint"] else ""),
        "Approximate again with a lower hl.infer.Variational(learning_rate=...).",
    ),
}


# Other temperatures


SENTENCES |= {
    "one density": lambda n, made: (
        "one density, not made consistent with the data: its errors are not known, at any temperature",
        "Use DCL(Autoregressive(..., members=4)) for an ensemble.",
    ),
    "shared errors unseen": lambda n, made: (
        "the predicted effective share of draws counts only what the members of the ensembles do not share",
        "Reweight between the joined and a simulated action (hl.infer.compare_actions) before relying on it.",
    ),
}


@sentence("reach")
def _reach(n: Numbers, made: Provenance) -> Words:
    growth = f"the action's error between members is {n['error']:.2g} at the observed beta"
    if not n["lost"]:
        return f"{growth}; predicted ESS stays above {n['share']} up to beta = {n['largest']:.4g}", ""
    places = ", ".join(f"{one:.4g}" for one in n["lost"])
    what = f"do not trust predictions at beta = {places}: predicted ESS below {n['share']}; {growth}"
    return what, "Use data at a temperature nearer to the one wanted, or more of them."


@sentence("extrapolated")
def _extrapolated(n: Numbers, made: Provenance) -> Words:
    old, beta, severity = n["from_beta"], n["beta"], n["severity"]
    inside = min(old) <= beta <= max(old)
    place = "between" if inside and len(old) > 1 else "at" if inside else "outside"
    what = f"beta = {beta:g} lies {place} the observed {', '.join(f'{one:g}' for one in old)}; "
    what += f"the variance of the action's error is multiplied by {n['amplification']:.3g}"
    if n["weights"]:
        what += f" (weights {', '.join(f'{one:.3g}' for one in n['weights'])})"
    if n["predicted_ess"] is None:
        why = "the data contradict this action" if n.get("contradicted") else "one network has no spread"
        what += f"; the predicted effective share of draws is not known ({why})"
    else:
        what += f", the predicted effective share of draws is {n['predicted_ess']:.2g}"
    if n.get("least_ess") is not None:
        what += f"; if another form that predicts the data as well were true, it would be {n['least_ess']:.2g}"
    if n["networks"] and n["unseen_by_source"]:
        shares = ", ".join(f"{share:.0%} (beta = {one:g})" for share, one in zip(n["unseen_by_source"], old, strict=True))
        what += f"; of the states there, this share leaves what nearly all ({n['shown']:.0%}) of those observed show: {shares}"
        if n["unseen_share"] > n["unseen"]:
            what += ", and there a network rests on nothing"
    elif n["unseen_share"] > n["unseen"]:
        share = f"{n['unseen_share']:.0%}"
        what += f"; {share} of the paths there contain a link longer than any observed, so it rests on the form of the action"
    advice = "Check by simulation: reweight between the extrapolated and a simulated action (hl.infer.compare_actions), or observe nearer."
    lead = "do not trust the extrapolation: " if severity == "serious" else ""
    return lead + what, "" if severity == "note" else advice
