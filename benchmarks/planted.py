"""Data sets with one thing wrong, and clean ones: what `benchmarks/verdict.py` measures the check on.

Each case is a function of a seed that gives data sets and the model they are judged by. Couplings are new for every seed;
4×4 glasses with couplings of standard deviation 1 at β = 0.5 and 3000 independent rows (at each temperature where there are
several) unless the name says otherwise. Rows of 4×4 lattices are picked from the list of all states, by code that shares nothing
with the library's samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import xarray as xr

import hamlearn as hl
from hamlearn.data import build
from hamlearn.systems import SPINS, lattice

Case = Callable[[int], tuple[list[xr.Dataset], hl.models.Couplings]]
COUPLINGS = hl.models.Couplings
SQUARE4 = lattice.hypercubic((4, 4))
ROWS = 3000
LABELS = (0.4, 0.5, 0.6)  # of data sets at three temperatures

STATES = ((np.arange(2**16)[:, None] >> np.arange(16)) & 1).astype(np.int8)
SPIN = 2.0 * STATES - 1
BOND = SPIN[:, SQUARE4.bonds[:, 0]] * SPIN[:, SQUARE4.bonds[:, 1]]
CORNERS = [(4 * a + b, 4 * a + (b + 1) % 4, 4 * ((a + 1) % 4) + b, 4 * ((a + 1) % 4) + (b + 1) % 4) for a in range(4) for b in range(4)]
PLAQUETTE = SPIN[:, np.array(CORNERS)].prod(-1)


def picked(log_weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (0/1) of the list of all states with given log probabilities."""
    weight = np.exp(log_weight - log_weight.max())
    return STATES[rng.choice(len(STATES), size=n, p=weight / weight.sum())]


def spins(index: np.ndarray, beta: float, shape: tuple[int, ...] = (4, 4)) -> xr.Dataset:
    """Independent rows as microstates."""
    rows = (2 * index.astype(np.int8) - 1).reshape(1, -1, *shape)
    return build(rows, beta=beta, space=SPINS, lattice=lattice.graph(SQUARE4.bonds) if shape == () else None, attrs={"independent": 1})


def glass(seed: int) -> tuple[np.ndarray, np.random.Generator]:
    """Couplings of a 4×4 glass, and the generator that goes on."""
    rng = np.random.default_rng([seed, 7])
    return rng.normal(size=SQUARE4.n_bonds), rng


def clean(beta: float = 0.5, n: int = ROWS, fields: str | None = "site", tie: str = "bond") -> Case:
    def case(seed: int):
        J, rng = glass(seed)
        weight = BOND @ (J if tie == "bond" else np.ones(len(J)))
        if fields == "site":
            weight = weight + SPIN @ (0.3 * rng.normal(size=16))
        return [spins(picked(beta * weight, n, rng), beta)], COUPLINGS(SQUARE4, tie=tie, fields=fields)

    return case


def clean_temperatures(seed: int):
    J, rng = glass(seed)
    return [spins(picked(beta * (BOND @ J), ROWS, rng), beta) for beta in LABELS], COUPLINGS(SQUARE4)


def plaquettes(K: float) -> Case:
    def case(seed: int):
        J, rng = glass(seed)
        return [spins(picked(0.5 * (BOND @ J + K * PLAQUETTE.sum(1)), ROWS, rng), 0.5)], COUPLINGS(SQUARE4)

    return case


def mixture(seed: int):
    J, rng = glass(seed)
    rows = [picked(beta * (BOND @ J), ROWS // 2, rng) for beta in (0.4, 0.6)]
    return [spins(rng.permutation(np.concatenate(rows)), 0.5)], COUPLINGS(SQUARE4)


def wrong_label(factor: float) -> Case:
    def case(seed: int):
        J, rng = glass(seed)
        true = list(LABELS)
        true[seed % 3] *= factor
        rows = [picked(beta * (BOND @ J), ROWS, rng) for beta in true]
        return [spins(part, beta) for part, beta in zip(rows, LABELS, strict=True)], COUPLINGS(SQUARE4)

    return case


def flips(share: float) -> Case:
    def case(seed: int):
        J, rng = glass(seed)
        rows = picked(0.5 * (BOND @ J), ROWS, rng)
        return [spins(np.where(rng.random(rows.shape) < share, 1 - rows, rows), 0.5)], COUPLINGS(SQUARE4)

    return case


def potts_as_spins(seed: int):
    """States 0, 1, 2 of a Potts model; 0 is read as down, the others as up."""
    J, rng = glass(seed)
    states = heat_bath_potts(J, 0.5 * 2, ROWS, rng)
    return [spins((states > 0).astype(np.int8), 0.5)], COUPLINGS(SQUARE4)


def heat_bath_potts(J: np.ndarray, beta: float, n: int, rng: np.random.Generator, sweeps: int = 60) -> np.ndarray:
    """One state of each of n chains of a Potts model of three states, H = −Σ J δ."""
    states = rng.integers(3, size=(n, 16))
    around = [[(int(b), int(j) if i == site else int(i)) for b, (i, j) in enumerate(SQUARE4.bonds) if site in (i, j)] for site in range(16)]
    for _ in range(sweeps):
        for site in range(16):
            pull = sum(beta * J[b] * (states[:, [other]] == np.arange(3)) for b, other in around[site])
            states[:, site] = np.argmax(pull + rng.gumbel(size=(n, 3)), 1)
    return states


def asymmetric(seed: int):
    """Stationary rows of random single-site heat bath with J_ij and J_ji drawn apart: no Hamiltonian has this dynamics."""
    J, rng = glass(seed)
    other = rng.normal(size=len(J))
    pull = np.zeros((16, 16))
    pull[SQUARE4.bonds[:, 0], SQUARE4.bonds[:, 1]], pull[SQUARE4.bonds[:, 1], SQUARE4.bonds[:, 0]] = J, other
    states = rng.choice([-1.0, 1.0], size=(ROWS, 16))
    for _ in range(100 * 16):
        site = rng.integers(16)
        up = 1 / (1 + np.exp(-2 * 0.5 * (states @ pull[site])))
        states[:, site] = np.where(rng.random(ROWS) < up, 1, -1)
    return [spins((states > 0).astype(np.int8), 0.5)], COUPLINGS(SQUARE4)


def hidden_column(seed: int):
    J, rng = glass(seed)
    rows = picked(0.5 * (BOND @ J), ROWS, rng)
    kept = np.setdiff1d(np.arange(16), [5])
    place = np.full(16, -1)
    place[kept] = np.arange(15)
    left = place[SQUARE4.bonds[(SQUARE4.bonds != 5).all(1)]]
    return [spins(rows[:, kept], 0.5, (15,))], COUPLINGS(left)


def coin_column(seed: int):
    J, rng = glass(seed)
    rows = picked(0.5 * (BOND @ J), ROWS, rng).copy()
    rows[:, 5] = rng.integers(2, size=ROWS)
    return [spins(rows, 0.5)], COUPLINGS(SQUARE4)


def bonds_flipped(seed: int):
    J, rng = glass(seed)
    other = J.copy()
    other[rng.choice(len(J), 8, replace=False)] *= -1
    rows = [picked(0.5 * (BOND @ one), ROWS // 2, rng) for one in (J, other)]
    return [spins(rng.permutation(np.concatenate(rows)), 0.5)], COUPLINGS(SQUARE4)


PLANTED: dict[str, Case] = {
    "four-spin plaquettes, K = 0.4": plaquettes(0.4),
    "four-spin plaquettes, K = 0.2": plaquettes(0.2),
    "four-spin plaquettes, K = 0.1": plaquettes(0.1),
    "mixture of β = 0.4 and 0.6, shuffled": mixture,
    "one of three β labels off by 15 %": wrong_label(1.15),
    "one of three β labels off by 5 %": wrong_label(1.05),
    "2 % of readings flipped": flips(0.02),
    "Potts q = 3 (βJ of sd 1) read as spins": potts_as_spins,
    "stationary state of asymmetric dynamics": asymmetric,
    "a site that was not recorded": hidden_column,
    "a column of coin tosses": coin_column,
    "8 of 32 bonds flipped in half of the rows": bonds_flipped,
}
CLEAN: dict[str, Case] = {
    "4×4 glass": clean(fields=None),
    "4×4 glass with fields": clean(),
    "4×4 glass, 300 rows": clean(n=300),
    "4×4 glass, β = 1.2": clean(beta=1.2),
    "4×4 tied ferromagnet, β = 0.35": clean(beta=0.35, fields=None, tie="uniform"),
    "4×4 glass at three temperatures": clean_temperatures,
}


def _learned(case: Case, **how: Any) -> Callable[[int], tuple[Any, Any, dict[str, Any]]]:
    return lambda seed: (*case(seed), how)


def _metropolis(seed: int):
    """Four chains of 1000 rows at half a heat-bath sweep a row."""
    J, rng = glass(seed)
    pull = np.zeros((16, 16))
    pull[SQUARE4.bonds[:, 0], SQUARE4.bonds[:, 1]] = J
    pull += pull.T
    states, rows = rng.choice([-1.0, 1.0], size=(4, 16)), np.zeros((4, 1000, 16), np.int8)
    for row in range(-200, 1000):
        for _ in range(8):
            site = rng.integers(16)
            up = 1 / (1 + np.exp(-2 * 0.5 * (states @ pull[:, site])))
            states[:, site] = np.where(rng.random(4) < up, 1, -1)
        if row >= 0:
            rows[:, row] = states
    return [hl.microstates(rows.reshape(4, 1000, 4, 4).astype(int), beta=0.5, dims=("chain", "draw", "x", "y"))], COUPLINGS(SQUARE4)


def _potts(seed: int):
    J, rng = glass(seed)
    states = heat_bath_potts(J, 0.7, ROWS, rng)
    data = hl.microstates(states.reshape(-1, 4, 4), space="states", q=3, beta=0.7)
    return [data], COUPLINGS(SQUARE4, interaction="potts", fields=None)


def _angles(seed: int):
    system = hl.systems.XY(SQUARE4, J=np.random.default_rng(seed).normal(size=SQUARE4.n_bonds))
    return [hl.simulate(system, beta=0.8, draws=500, chains=4, seed=seed)], COUPLINGS(SQUARE4, fields=None)


def _clusters(seed: int):
    data = hl.simulate(hl.systems.Ising((8, 8), J=1.0), beta=0.35, draws=500, chains=4, seed=seed)
    return [data], hl.models.ClusterExpansion()


def _field(seed: int):
    system = hl.systems.ScalarField((6, 6), m2=1.0, lam=0.5)
    return [hl.simulate(system, beta=1.0, draws=500, chains=4, seed=seed)], hl.models.PolynomialAction()


FAMILIES = {
    "couplings, exact likelihood": _learned(clean(fields=None), likelihood="exact", engine="laplace"),
    "couplings with fields, pseudo-likelihood": _learned(clean(), likelihood="pseudo", engine="laplace"),
    "tied couplings": _learned(clean(beta=0.35, fields=None, tie="uniform"), likelihood="pseudo", engine="laplace"),
    "couplings, three temperatures": _learned(clean_temperatures, likelihood="pseudo", engine="laplace"),
    "couplings, 4 heat-bath chains of 1000 rows at half a sweep": _learned(_metropolis, likelihood="pseudo", engine="laplace"),
    "Potts couplings": _learned(_potts, likelihood="pseudo", engine="laplace"),
}
SIMULATED = {  # checked by simulation: minutes a data set
    "XY couplings": _learned(_angles, engine="laplace"),
    "cluster_expansion": _learned(_clusters),
    "polynomial action": _learned(_field),
}


def potts_information() -> list[dict[str, object]]:
    """Twice 3000 times the divergence of a two-valued reading of Potts states from the nearest pair model."""
    grid = lattice.hypercubic((3, 3)).bonds
    potts = np.stack(np.meshgrid(*[np.arange(3)] * 9, indexing="ij"), -1).reshape(-1, 9)
    code = (potts > 0) @ (2 ** np.arange(9))
    pair = ((np.arange(512)[:, None] >> np.arange(9)) & 1) * 2.0 - 1
    features = np.concatenate([pair[:, grid[:, 0]] * pair[:, grid[:, 1]], pair], 1)
    rows = []
    for beta in (0.5, 1.0, 1.5):
        found = []
        for seed in range(6):
            J = np.random.default_rng(seed).normal(size=len(grid))
            weight = np.exp(beta * ((potts[:, grid[:, 0]] == potts[:, grid[:, 1]]) @ J))
            p = np.bincount(code, weights=weight, minlength=512) / weight.sum()
            found.append(2 * ROWS * _divergence(p, features))
        rows.append({"β (couplings of sd 1)": beta, "least": min(found), "median": float(np.median(found)), "most": max(found)})
    return rows


def _divergence(p: np.ndarray, features: np.ndarray) -> float:
    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        log_weight = features @ theta
        log_z = float(np.log(np.exp(log_weight - log_weight.max()).sum()) + log_weight.max())
        return log_z - float(p @ log_weight), (np.exp(log_weight - log_z) - p) @ features

    best = scipy.optimize.minimize(objective, np.zeros(features.shape[1]), jac=True, options={"gtol": 1e-9})
    return float(best.fun + p @ np.log(p))
