"""One small posterior of every kind; adding a kind adds a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import xarray as xr

import hamlearn as hl
from hamlearn.data import build
from hamlearn.infer.provenance import Provenance
from hamlearn.systems import exact, lattice

SQUARE = lattice.hypercubic((3, 3))
COUPLINGS = hl.models.Couplings


def drawn(system, beta: float, n: int, seed: int) -> xr.Dataset:
    """Independent microstates in one chain."""
    states = exact.sample(system, beta, n, seed)
    return build(states[None], beta=beta, space=system.space, lattice=system.lattice, attrs={"independent": 1})


@cache
def glass(n: int = 3000, beta: float = 0.5) -> xr.Dataset:
    return drawn(hl.systems.EdwardsAnderson(SQUARE, seed=1), beta, n, seed=0)


def _nuts(likelihood: str) -> Callable[[], xr.DataTree]:
    engine = hl.infer.NUTS(draws=600, chains=2, warmup=150)
    return lambda: hl.learn(glass(), COUPLINGS(SQUARE), likelihood=likelihood, engine=engine, seed=0)


def _frozen() -> xr.DataTree:
    data = glass().copy(deep=True)
    data["state"].values[..., 1, 1] = 1
    return hl.learn(data, COUPLINGS(SQUARE), engine="laplace", seed=0)


def _potts() -> xr.DataTree:
    data = drawn(hl.systems.Potts(SQUARE, 3), 0.6, 2000, seed=0)
    return hl.learn(data, COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", seed=0)


def _votes() -> xr.DataTree:
    states = exact.sample(hl.systems.SherringtonKirkpatrick(7, seed=0), 1.0, 2000, 0)
    return hl.learn(hl.microstates(states, space="spins"), COUPLINGS(None), likelihood="pseudo", engine="mle", seed=0)


CASES: dict[str, Callable[[], xr.DataTree]] = {
    "exact, NUTS": _nuts("exact"),
    "pseudo, NUTS": _nuts("pseudo"),
    "maximum likelihood": lambda: hl.learn(glass(), COUPLINGS(SQUARE), likelihood="pseudo", engine="mle", seed=0),
    "tied": lambda: hl.learn(
        drawn(hl.systems.Ising(SQUARE), 0.3, 1500, 0), COUPLINGS(SQUARE, tie="uniform", fields=None), engine="laplace", seed=0
    ),
    "sparse": lambda: hl.learn(glass(), COUPLINGS(None, prior="spike_slab"), likelihood="pseudo", seed=0),
    "q states": _potts,
    "prior-dominated": _frozen,
    "undeclared beta": _votes,
}


@cache
def posterior(case: str) -> xr.DataTree:
    """A case's posterior, learned once; tests that change it take a copy."""
    return CASES[case]()


def doctored(**changes) -> Provenance:
    """How a flawless posterior was made, with entries replaced; nested ones by double underscores."""
    record = {
        "n_params": 20,
        "microstates": 5000.0,
        "composite": True,
        "likelihood": "pseudo",
        "engine": {"name": "nuts", "settings": {}},
        "optimum": {"converged": True},
        "calibration": {
            "adjusted": True,
            "basis": {"code": "sandwich", "numbers": {"batches": 5000, "kind": "rows", "composite": True, "tau": 1.0}},
            "kind": "rows",
            "batches": 5000,
            "tau": 1.0,
            "ess": 5000.0,
            "chains_disagree": False,
            "width_ratio": 1.25,
        },
        "identifiability": {"condition": 5.0, "unidentified": [], "data_per_parameter": 500.0},
        "prior_share": [0.0] * 20,
        "parameter_names": [f"J[{k},{k + 1}]" for k in range(18)] + ["h[3]", "h[4]"],
        "frozen_sites": [],
        "source": [{"tau_int": 1.0}],
        "reasons": [],
        "convergence": {
            "sampled": True,
            "chains": 4,
            "draws": 1000,
            "judged": 20,
            "constant": 0,
            "divergences": 0,
            "saturated": 0,
            "max_rhat": 1.002,
            "max_rhat_where": "J[0,1]",
            "min_ess_bulk": 2000.0,
            "min_ess_bulk_where": "J[0,1]",
            "min_ess_tail": 1500.0,
            "min_ess_tail_where": "h[3]",
        },
        "check": {"decision": "agrees", "reason": "", "overall_p": 0.4, "statistics": 11, "failed": []},
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        place = record
        for step in path:
            place = place[step]
        place[last] = value
    return Provenance.from_dict(record)


def shares(**named: float) -> list[float]:
    """Prior shares, zero except for the parameters at the given positions (``p18=0.9``)."""
    values = np.zeros(20)
    for key, value in named.items():
        values[int(key[1:])] = value
    return values.tolist()
