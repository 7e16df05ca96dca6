"""What a score test found, in a sentence; a pure function of what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADVICE = {
    "plaquettes": "Learn with hl.models.ClusterExpansion, or add the terms; couplings and predictions inherit what is missing.",
    "energy dispersion": "Separate the rows by what differs between them (temperature, sample, time) and learn each part by itself.",
    "misread": "Declare the readout errors, hl.microstates(..., flip=rate), or expect couplings that are too weak; "
    "where readings are sure, look for what else is missing.",
    "temperature": "Check the label; learn each temperature by itself to see which is off.",
    "pairs": "Add these bonds (graph=None takes all pairs), check the order of the columns, or expect a site that was not recorded.",
    "sites": "Give the model fields: fields='site'.",
    "bonds": "Give every bond its own coupling: tie='bond'.",
    "products": "Separate mixed systems (bonds that change together), or add terms of four sites: hl.models.ClusterExpansion, of spins.",
    "triples": "hl.diagnostics.triplets(post, data) says which three spins, and how strongly. On a lattice hl.models.ClusterExpansion "
    "learns such terms; without fields, fields='site' may be what is missing.",
    "functions": "Pairs are not all there is: join two of these sites to one column with a state for every combination, or learn a "
    "density, hl.models.Autoregressive.",
    "whole": "The model lacks something that has no name here: try hl.models.ClusterExpansion, or more bonds.",
}


LINEAR = 0.12  # factor of a label beyond which an estimate to first order is off by more than its error


def sentence(found: Mapping[str, Any], first: bool) -> tuple[str, str]:
    """What one failed test means, and what to do; also of a product of a few sites that were chosen in one half of the data.

    Parameters
    ----------
    found : dict
        ``name``, and where the test estimates a strength ``effect``, ``effect_sd``, ``unit``, ``where``.
    first : bool
        Whether it is the strongest of all failed tests.
    """
    name, effect, error = found["name"], found.get("effect", 0.0), found.get("effect_sd", 0.0)
    size = f"{effect:.2g} ± {error:.1g}"
    if "plaquettes" in name:
        kind = name.split(",")[0]
        text = f"{kind} of K = {size} are missing from the model" if "sum" in name else f"{kind} of different strengths are missing"
        if "sum" in name:
            text += ", if every shortest cycle of four bonds has one"
        return text, ADVICE["plaquettes"]
    if name == "energy dispersion":
        varied = f"{100 * effect:.3g}% ± {100 * error:.2g}%"
        text = f"energies scatter as if beta varied by {varied} from row to row (a mixture of temperatures or systems)"
        return text, ADVICE["energy dispersion"]
    if name.startswith("misread"):
        return "rows are too improbable in single sites, as where some readings show the wrong value", ADVICE["misread"]
    if name.startswith("temperature labels"):
        # One step from the fit: right for small factors, and off by more than its error where the label is far off.
        factor = f"{1 + effect:.3g} ± {error:.1g}" if abs(effect) < LINEAR else f"roughly {1 + effect:.2g}"
        text = f"data labelled beta = {found.get('where', '?')} behave like {factor} times that beta"
        return text, ADVICE["temperature"]
    if name.startswith("couplings of each temperature"):
        return "the temperatures ask for different couplings", ADVICE["temperature"]
    if name.startswith("pairs without a bond"):
        where = f", {found['where']} most (J = {size})" if "where" in found else ""
        lead = "; this is the strongest deviation: columns in another order, or a site that was not recorded" if first else ""
        return f"sites without a bond interact{where}{lead}", ADVICE["pairs"]
    if name.startswith("single sites"):
        return f"the sites feel fields (h = {size} in common)" if "sum" in name else "the sites feel different fields", ADVICE["sites"]
    if name.startswith("single bonds"):
        return "bonds that share a coupling differ", ADVICE["bonds"]
    if name.startswith("whole"):
        return f"the frequencies of {name} differ from the model's", ADVICE["whole"]
    if name.endswith("bonds, common factor"):
        return "many bonds vary together from row to row", ADVICE["products"]
    if name.startswith("strongest product"):
        return f"the product of {found['where']} in held-out data is not the model's", ADVICE[
            "triples" if "three spins" in name else "products"
        ]
    if name.startswith("product of three spins"):
        return f"a three-spin product of {found['where']} is missing from the model (K = {size})", ADVICE["triples"]
    if name.startswith("function of three sites"):
        return f"{found['where']} interact beyond pairs of states", ADVICE["functions"]
    if name.startswith("three-spin products"):
        return "three-spin products deviate", ADVICE["triples"]
    return f"{name.split(',')[0]} deviate", ADVICE["products"]
