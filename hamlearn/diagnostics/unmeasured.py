"""What was measured and came out as nan: it lies on neither side of a limit, so that comparing it passes whatever asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hamlearn.infer.provenance import Provenance


def by_topic(made: Provenance) -> dict[str, list[str]]:
    """Names of the recorded numbers that a verdict weighs and that are nan, by the topic of what they decide."""
    weighed = _weighed(made)
    missing = {topic: [name for name, value in numbers.items() if _nan(value)] for topic, numbers in weighed.items()}
    return {topic: names for topic, names in missing.items() if names}


def _weighed(made: Provenance) -> dict[str, dict[str, Any]]:
    seen, check, known, training = made.convergence, made.check, made.identifiability, made.training
    weighed: dict[str, dict[str, Any]] = {
        "convergence": {"the Pareto k-hat of the importance weights": made.pareto_k},
        "prior": {"the prior's share of the precision": made.prior_share},
        "autocorrelation": {"the autocorrelation time": made.calibration.tau, "what the data are worth": made.calibration.ess},
        "calibration": {"the ratio of the error bars": made.calibration.width_ratio},
        "identifiability": {
            "data per parameter": known.data_per_parameter,
            "data at the worst site": known.data_at_worst_site,
            "the number of parameters that exist": known.n_effective,
        },
        "fit": {},
    }
    if seen is not None:
        weighed["convergence"] |= {"R-hat": seen.max_rhat, "bulk ESS": seen.min_ess_bulk, "tail ESS": seen.min_ess_tail}
    if check is not None:
        weighed["fit"] |= {"the p-value": check.overall_p, "the largest deviation": check.largest_z}
        weighed["calibration"] |= {"the refit's ratio of error bars": check.width_ratio}
    if training is not None and made.likelihood == "exact":
        observed: Mapping[str, Any] = training.get("observed") or {}
        weighed["fit"] |= {
            "the loss": (*training["heldout_nats_per_site"], *training["train_nats_per_site"]),
            "ln q of the data": tuple(observed.get(name) for name in ("mean_z", "rival_z", "spread_z")),
        }
    return weighed


def _nan(value: Any) -> bool:
    """Whether a number, or one of several, is nan; what was not measured at all (None) is said by its judge."""
    numbers = value if isinstance(value, tuple) else (value,)
    return any(math.isnan(one) for one in numbers if one is not None)
