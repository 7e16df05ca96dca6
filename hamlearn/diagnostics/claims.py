"""What a report may say of a posterior of any kind: where it was observed, how many draws it has, what they are, in which units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.diagnostics import wording
from hamlearn.infer import families, labels, posteriors
from hamlearn.models.actions import percent
from hamlearn.spaces import Space, States
from hamlearn.spaces.extents import each

PARAMETERS = "All parameters"


def observed(post: xr.DataTree) -> list[float]:
    """Inverse temperatures of the data, also where the posterior itself is at another one."""
    return [float(beta) for beta in posteriors.trained_betas(post)]


def extrapolated(post: xr.DataTree) -> list[float]:
    """Inverse temperatures that the posterior was carried to; none where it is at those of its data."""
    here = [float(beta) for beta in posteriors.observed_betas(post)]
    return [] if here == observed(post) else here


def draws(post: xr.DataTree) -> tuple[int, str]:
    """How many draws (or networks) the posterior holds, and what they are, in the singular."""
    made, noun, sizes = posteriors.provenance_of(post), families.traits(post).draw, post["posterior"].sizes
    if "source_0" in post.children:
        return sum(draws(post.children[f"source_{k}"])[0] for k in range(sizes["source"])), noun
    if made.training is not None:
        bayesian = bool(made.training.get("posterior"))
        return int(post["weights"].sizes["member"]), "draw of weights" if bayesian else "network"
    count = int(sizes.get("chain", 1) * sizes.get("draw", 1))
    return count, noun


def told_draws(post: xr.DataTree) -> str:
    """Such as "4 000 draws" or "1 network"."""
    count, noun = draws(post)
    return wording.count(count) + " " + (noun if count == 1 else plural(noun))


def plural(noun: str) -> str:
    """Of the nouns of this file."""
    return {"energy": "energies", "draw of weights": "draws of weights"}.get(noun, noun + "s")


def parameters(post: xr.DataTree) -> tuple[str, str]:
    """What is counted, and how many there are."""
    made = posteriors.provenance_of(post)
    if made.candidates is not None:
        return "terms", f"{wording.count(made.n_params)} of {wording.count(made.candidates)} candidates"
    weights = made.training is not None or made.likelihood == "regression"
    return "weights" if weights else "parameters", wording.count(made.n_params)


def quantities(post: xr.DataTree) -> tuple[str, str]:
    """What the numbers that a kind calls its parameters are: a heading, and what one is called."""
    return families.traits(post).quantities or (PARAMETERS, "parameter")


def checks(post: xr.DataTree) -> str:
    """Whether the model was compared with data, in a word."""
    made = posteriors.provenance_of(post)
    if wording.without_data(made):
        return "there are none"
    if made.check is None or made.check.decision == "not run":
        return "no"
    if made.check.decision == "undecided":
        return "undecided"
    return "yes" if made.check.held_out else "score tests only"


def unit(observable: str) -> str:
    """The unit that an axis or a column must name; empty where it is that of the energy, or none."""
    return "nats" if observable == "entropy" else ""


def units(post: xr.DataTree) -> str:
    """In which units couplings and fields are; empty of what is no energy."""
    if not families.traits(post).bonds:
        return ""
    if not int(post.attrs.get("beta_declared", 1)):
        return "The observation's β was not declared, so these are β times the couplings and fields, without a unit."
    return "Couplings and fields are energies, in the unit whose inverse is that of β."


def zero_of_energy(post: xr.DataTree, names: list[str]) -> str:
    """What fixes the constant in energies and free energies, which no data determine; empty where none is shown."""
    if not {"energy", "free_energy", "action"} & set(names):
        return ""
    asked = families.traits(post)
    known = "Energies and free energies are known up to a constant, which no data determine: "
    if asked.bonds and posteriors.bound_of(post).interaction == "general":
        return known + "tables of pairs and fields of sites sum to zero."
    if asked.density:
        here = "the energy is −ln p/β, so the free energy vanishes at the β it was learned at."
        return known + here + " Other temperatures take for granted that S = βH."
    return known + asked.zero


def sites(space: Space, words: Sequence[Any] = ()) -> str:
    """What the sites of a space can be, in words."""
    if not space.uniform:
        sizes = each(space.extent, len(space.sizes))
        counted = f"{'' if len(set(sizes)) == 1 else f'from {min(sizes)} to '}{max(sizes)} of them at a site"
        own = not words or isinstance(words[0], tuple)  # where all were called alike, some sites were not seen in all of them
        return f"states, {counted}" if own else f"{sites(States(space.q), words)}, {counted}"
    if words and not space.continuous:
        shown = [f"{value} ({word})".replace("-1", "−1") for value, word in zip(space.values.tolist()[:6], words, strict=False)]
        return f"{'spins' if space.binary else f'{space.q} states'}, {', '.join(shown)}{', …' if len(words) > 6 else ''}"
    if not space.continuous:
        return "spins −1, 1" if space.binary else f"{space.q} states, 0 to {space.q - 1}"
    if space.event_shape:
        return f"unit vectors of {space.event_shape[0]} components"
    return "real numbers" if space.unbounded else "angles"


def facts(post: xr.DataTree) -> list[tuple[str, str, str]]:
    """The numbers under the verdict: a key, a label and a value."""
    made, sizes = posteriors.provenance_of(post), post["posterior"].sizes
    declared = bool(int(post.attrs.get("beta_declared", 1)))
    bonds = "candidate bonds" if "included" in post["posterior"] else "bonds"
    likelihood = made.likelihood + (" (of the sources)" if "source_0" in post.children else "")
    here = ", ".join(_number(beta) for beta in extrapolated(post))
    known = wording.without_data(made)
    found = [
        ("microstates", "own draws" if known else "microstates", wording.count(made.microstates)),
        ("worth", "worth, independent", wording.count(round(made.worth)) if made.calibration.tau > 1 else ""),
        (
            "observed",
            "trained at β" if known else "observed at β",
            ", ".join(_number(beta) for beta in observed(post)) if declared else "not declared",
        ),
        ("extrapolated", "extrapolated to β", here),
        ("space", "every site", sites(posteriors.space_of(post), made.words)),
        ("sites", "sites", wording.count(float(np.prod(posteriors.site_shape(post))))),
        ("codes", "codes of states 0, 1, …", "" if made.words and isinstance(made.words[0], str) else codes(post)),
        ("bonds", bonds, wording.count(sizes["bond"]) if "bond" in sizes else ""),
        ("missing", "cells missing", percent(made.missing) if made.missing else ""),
        ("flip", "readout errors, allowed for", percent(made.flip) if made.flip else ""),
        ("parameters", *parameters(post)),
        ("draws", "posterior", told_draws(post)),
        ("likelihood", "likelihood", likelihood),
        ("engine", "engine", made.engine.name),
        ("checks", "compared with data", checks(post)),
    ]
    return [(key, label, value) for key, label, value in found if value]


def codes(post: xr.DataTree) -> str:
    """What states were called, site by site where sites have their own; empty where they are numbers."""
    known = json.loads(post.attrs.get("codes", "[]"))
    if not all(isinstance(own, list) for own in known):
        return ", ".join(map(str, known))
    names = labels.sites(posteriors.site_names(post), len(known))
    told = [f"{name}: {', '.join(map(str, own))}" for name, own in zip(names[:6], known, strict=False)]
    return "; ".join([*told, *(["…"] if len(known) > 6 else [])])


def _number(value: Any) -> str:
    return f"{float(value):.6g}"
