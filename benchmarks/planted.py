"""Data sets with one thing wrong, and clean ones: what `benchmarks/verdict.py` measures the check on.

Each case is a function of a seed that gives data sets and the model they are judged by. Couplings are new for every seed;
4×4 glasses with couplings of standard deviation 1 at β = 0.5 and 3000 independent rows unless the name says otherwise. Rows of
4×4 lattices are picked from the list of all states, by code that shares nothing with the library's samplers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
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
