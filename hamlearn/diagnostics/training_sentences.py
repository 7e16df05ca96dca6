"""The sentences of codes about the training of neural densities; see ``sentences``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hamlearn.diagnostics.sentences import SENTENCES, Numbers, Words, sentence
from hamlearn.infer.provenance import Provenance


def _of(made: Provenance) -> Mapping[str, Any]:
    return made.training or {}


def _longer(made: Provenance) -> str:
    return f"engine=hl.infer.Training(epochs={5 * max(_of(made)['epochs'])})"


@sentence("training diverged")
def _diverged(n: Numbers, made: Provenance) -> Words:
    seen, index = _of(made), n["network"]
    kept = f" and in {seen['checkpoint']}" if seen["checkpoint"] else ""
    what = (
        f"training of network {index} diverged in epoch {seen['epochs'][index]}: the weights of epoch "
        f"{seen['best_epoch'][index]} are kept (held-out {seen['heldout_nats_per_site'][index]:.5f} nats per site){kept}"
    )
    return what, "Learn again with a lower hl.infer.Training(learning_rate=...)."


@sentence("training ended at its limit")
def _limit(n: Numbers, made: Provenance) -> Words:
    seen = _of(made)
    cut, networks = seen["stopped"].count("epochs"), len(seen["stopped"])
    which = "training" if networks == 1 else f"training of {cut} of {networks} networks"
    what = f"{_heldout(made)}; {which} ended at the limit of {max(seen['epochs'])} epochs, before early stopping would have ended it"
    return what, f"Train longer: {_longer(made)}."


def _heldout(made: Provenance) -> str:
    return f"−ln p of held-out data is {min(_of(made)['heldout_nats_per_site']):.5f} nats per site"


def _rows(made: Provenance) -> str:
    return f"{made.n_params:,} weights on data worth {made.worth:,.0f} independent microstates".replace(",", " ")


SENTENCES |= {
    "training ended by the clock": lambda n, made: (
        f"training of network {n['network']} was ended by the clock after {_of(made)['epochs'][n['network']]} epochs",
        "",
    ),
    "training stopped early": lambda n, made: (f"{_heldout(made)}; early stopping chose the weights", ""),
    "overfitted": lambda n, made: (
        f"the networks know their training data better than new ones, by {n['gap']:.2g} nats",
        "More data, smaller hidden=, symmetry=[...] of the lattice, or a larger weight_decay.",
    ),
    "fewer rows than sites": lambda n, made: (
        f"{_rows(made)}, fewer than its {n['sites']:.0f} sites",
        f"{'Give more rows' if made.independent else 'Run the chains longer'}, or use a family with few parameters (Couplings, "
        "ClusterExpansion): this density is mostly its start.",
    ),
    "fewer rows than weights": lambda n, made: (
        _rows(made),
        "Far fewer data than weights: early stopping is all that holds them. Use a smaller hidden=, symmetry=[...], or more data.",
    ),
    "rows and weights": lambda n, made: (_rows(made), ""),
    "overlap": lambda n, made: (
        f"{_of(made)['overlap']:.2g} of the held-out microstates (by their number) also occur in the training data, as they do by chance",
        "",
    ),
    "drawn weights": lambda n, made: (
        f"weights drawn from a {_of(made)['posterior'][0]['guide']} posterior; what no weights of this network can represent is not in it",
        "",
    ),
    "one network": lambda n, made: ("one network has no error bar of its own; members=4 shows what networks do not share", ""),
    "several networks": lambda n, made: (
        f"intervals are t intervals over {len(_of(made)['stopped'])} networks"
        + (", widened by what ln q recalibrated on the observed microstates changes" if _of(made).get("observed") else ""),
        "",
    ),
    "ln q not compared": lambda n, made: (
        "networks of several temperatures are not compared with their own draws in the mean of ln q, nor with another fit",
        "",
    ),
    "ln q on too few rows": lambda n, made: (
        f"the held-out microstates are worth {_of(made)['observed']['heldout_worth']:.0f} independent ones: too few to compare ln q or "
        "another fit on",
        "",
    ),
    "ln q is off": lambda n, made: (
        f"the mean of ln q over held-out microstates is {_of(made)['observed']['mean_gap']:+.2g} nats off that over the networks' own "
        f"draws ({abs(_of(made)['observed']['mean_z']):.1f} standard errors): their entropy and energy are off by as much",
        _better(made),
    ),
    "another fit is better": lambda n, made: (
        "a fit of pair products and of the scale of ln q is better than the networks' mean density on held-out microstates by "
        f"{_of(made)['observed']['rival_gain']:.2g} nats each ({_of(made)['observed']['rival_z']:.1f} standard errors)",
        _better(made),
    ),
    "few of its own draws count": lambda n, made: (
        f"the effective share of its own draws is {n['share']:.2g} (and {_UNSEEN})",
        "Train longer, anneal, give the symmetries of the action, or correct the draws with hl.infer.correct.",
    ),
    "its own draws count": lambda n, made: (f"the effective share of its own draws is {n['share']:.3g}; {_UNSEEN}", ""),
    "no data": lambda n, made: (f"no data: trained on the action of {_of(made)['target']}", ""),
}
_UNSEEN = "it cannot see phases that the density dropped: compare ess_p and mode_drop of hl.estimate"


def _better(made: Provenance) -> str:
    advice = "More data, symmetry=[...] of the lattice, hl.infer.Training(augment=[...]), a smaller or a larger hidden=."
    if "epochs" in _of(made)["stopped"]:
        return f"Train longer, {_longer(made)}: the limit of epochs ended it. Or: {advice}"
    return advice


@sentence("ln q holds")
def _holds(n: Numbers, made: Provenance) -> Words:
    seen = _of(made)["observed"]
    rival = "" if seen["rival_z"] is None else f", and a fit of pair products is not better on them ({seen['rival_z']:+.1f})"
    return f"ln q of held-out microstates is that of the networks' own draws ({seen['mean_z']:+.1f} standard errors){rival}", ""


@sentence("ln q scatters")
def _scatters(n: Numbers, made: Provenance) -> Words:
    seen = _of(made)
    held = ", and intervals hold it" if len(seen["stopped"]) > 1 or seen.get("posterior") else ""
    what = (
        f"ln q scatters {seen['observed']['spread_ratio']:.3f} times as much over the networks' own draws as over microstates: heat "
        f"capacities and other temperatures are off by that{held}"
    )
    return what, ""
