"""Families of a user's own: their likelihoods against loops over states, intervals that cover, and what is refused.

Every verb is asked of them in ``tests/diagnostics/test_every_verb.py``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest
from contracts.own import CornerFamily, Corners, Washboard, WashboardFamily
from scipy.special import logsumexp
from scipy.stats import binom

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.likelihoods.energy import EnergyLikelihood
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.systems import lattice
from statistics_budget import spend

SQUARE = lattice.hypercubic((3, 2))
THETA = np.array([0.3, -0.15, 0.25])  # J, h, K
STATES = np.array(list(itertools.product([-1, 1], repeat=6))).reshape(-1, 3, 2)
GENERATOR = np.random.default_rng(4)
ROWS = STATES[GENERATOR.integers(64, size=40)]
PATHS = GENERATOR.normal(size=(30, 5))


def corner_energy(s: np.ndarray, theta: np.ndarray) -> float:
    """The energy of one microstate, site by site."""
    total = 0.0
    for x, y in itertools.product(range(3), range(2)):
        right, down = s[x, (y + 1) % 2], s[(x + 1) % 3, y]
        total -= theta[0] * s[x, y] * (right + down) + theta[1] * s[x, y] + theta[2] * s[x, y] * right * down
    return total


def by_loops(name: str, theta: np.ndarray, beta: float = 0.7) -> float:
    """The objective on ``ROWS``, from single energies."""
    every = [corner_energy(s, theta) for s in STATES]
    total = 0.0
    for s in ROWS:
        if name == "exact":
            total -= beta * corner_energy(s, theta) + logsumexp(-beta * np.array(every))
            continue
        for site in itertools.product(range(3), range(2)):
            energies = []
            for value in (s[site], -s[site]):
                there = s.copy()
                there[site] = value
                energies.append(corner_energy(there, theta))
            total -= np.log1p(np.exp(-beta * (energies[1] - energies[0])))
    return total


def washboard_by_hand(theta: np.ndarray, beta: float = 0.7) -> float:
    """−½|∇A|² + ∇²A of ``PATHS``, differentiated by hand."""
    m, g, k = theta
    slope = 2 * PATHS - np.roll(PATHS, 1, 1) - np.roll(PATHS, -1, 1) + m * PATHS - g * k * np.sin(k * PATHS)
    curvature = 2 + m - g * k**2 * np.cos(k * PATHS)
    return float((-0.5 * (beta * slope) ** 2 + beta * curvature).sum())


def likelihood(name: str) -> EnergyLikelihood:
    if name == "score":
        bound, parts, _ = bind(hl.microstates(PATHS, space="reals", beta=0.7), WashboardFamily())
    else:
        bound, parts, _ = bind(hl.microstates(ROWS, space="spins", beta=0.7), CornerFamily())
    return EnergyLikelihood(bound, parts, name)


def slopes(function: Any, theta: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Central differences."""
    return np.array([(function(theta + step * e) - function(theta - step * e)) / (2 * step) for e in np.eye(len(theta))])


@pytest.mark.parametrize("name", ["exact", "pseudo", "score"])
@pytest.mark.parametrize("compressed", [True, False])
def test_objectives_are_those_of_loops(name, compressed):
    found, theta = likelihood(name), THETA if name != "score" else np.array([1.2, 0.4, 1.7])
    assert found.linear == (name != "score")
    if not compressed and found.linear:  # the way of families that are not linear
        import jax

        found.linear = False
        with jax.enable_x64(True):
            found._data = [found._chunks(part) for part in found.parts]
    truth = washboard_by_hand if name == "score" else lambda at: by_loops(name, at)
    start = theta * 0.5
    value, gradient = found.value_and_gradient(theta)
    assert value - found.value_and_gradient(start)[0] == pytest.approx(truth(theta) - truth(start), rel=1e-9)
    np.testing.assert_allclose(gradient, slopes(truth, theta), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.information(theta), -slopes(lambda at: found.value_and_gradient(at)[1], theta), rtol=1e-6, atol=1e-6)
    scores = found.row_scores(theta)(found.parts[0], found.parts[0].states[0])
    np.testing.assert_allclose(found.parts[0].weight[0] @ scores, gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["exact", "pseudo"])
def test_infinite_data_give_the_truth(name):
    weight = np.exp(-0.7 * np.array([corner_energy(s, THETA) for s in STATES]))
    data = hl.microstates(STATES, space="spins", beta=0.7, weights=1e6 * weight / weight.sum())
    bound, parts, _ = bind(data, CornerFamily())
    np.testing.assert_allclose(maximise(EnergyLikelihood(bound, parts, name)).theta, THETA, atol=1e-8)
    known, parts, _ = bind(data, CornerFamily(known=0.25))  # K takes no part: nothing can be said of it
    assert maximise(EnergyLikelihood(known, parts, name)).theta[:2] == pytest.approx(THETA[:2], abs=1e-6)


def test_intervals_cover():
    system, inside, sets = Corners(lattice.hypercubic((3, 3)), 0.25, 0.2, -0.1), np.zeros(3), 40
    for seed in range(sets):
        rows = hl.systems.exact.sample(system, 1.0, 300, seed=seed)
        post = hl.learn(hl.microstates(rows, space="spins", beta=1.0), CornerFamily(), likelihood="pseudo", check=False, seed=seed)
        low, high = np.quantile([post["posterior"][name].values.ravel() for name in ("J", "h", "K")], [0.05, 0.95], axis=1)
        inside += (low < [0.25, -0.1, 0.2]) & ([0.25, -0.1, 0.2] < high)
    for count in inside:  # a share each
        assert 2 * min(binom.cdf(count, sets, 0.9), binom.sf(count - 1, sets, 0.9)) > spend(), inside


@pytest.mark.slow  # NUTS is compiled
def test_priors_by_name_are_any_of_numpyro():
    family = CornerFamily(prior={"J": dist.HalfNormal(1.0), "h": hl.models.Normal(0.5)})
    assert hl.models.from_dict(family.to_dict()).to_dict() == family.to_dict()
    data = hl.microstates(ROWS, space="spins", beta=0.7)
    post = hl.learn(data, family, engine=hl.infer.NUTS(draws=60, chains=2, warmup=60), check=False, seed=0)
    assert np.all(post["posterior"]["J"].values > 0)
    with pytest.raises(hl.HamlearnError, match="Use engine='nuts'"):
        hl.learn(data, family, engine="laplace")


def test_a_file_of_a_class_that_is_not_there_says_which(tmp_path):
    data = hl.microstates(ROWS, space="spins", beta=0.7)
    path = hl.save(hl.learn(data, CornerFamily(), check=False), tmp_path / "own.nc")
    there = hl.models.Family.kinds.pop(CornerFamily.kind)
    try:
        with pytest.raises(hl.HamlearnError, match=r"define or import '.*CornerFamily' first"):
            hl.load(path)
    finally:
        hl.models.Family.kinds[CornerFamily.kind] = there
    assert hl.load(path)["posterior"]["J"].dims == ("chain", "draw")


@dataclass
class Copies:
    """An engine of a user's own: it keeps what it was given, and draws from the normal approximation."""

    chains: int = 2
    draws: int = 50
    name: str = "copies"
    theta: Any = None

    def draw(self, fit: Any, *, seed: int) -> Any:
        import jax

        with jax.enable_x64(True):
            slope = jax.grad(fit.log_density())(fit.mean)
        np.testing.assert_allclose(np.asarray(slope) @ fit.root, 0, atol=1e-3)  # the log density has its mode where it is said
        return fit.normal(self.chains, self.draws, seed).theta if self.theta is None else self.theta


@pytest.mark.parametrize("family", ["own", "couplings"])
def test_an_engine_of_ones_own_is_an_object(family):
    data = hl.microstates(ROWS, space="spins", beta=0.7)
    model = CornerFamily() if family == "own" else hl.models.Couplings(SQUARE, tie="uniform")
    post = hl.learn(data, model, engine=Copies(), check=False, seed=3)
    same = hl.learn(data, model, engine=hl.infer.LaplaceApproximation(50, 2), check=False, seed=3)
    np.testing.assert_array_equal(post["posterior"]["J"].values, same["posterior"]["J"].values)
    assert posteriors.provenance_of(post).engine.name == "copies" and "likelihood" in str(hl.verdict(post))
    with pytest.raises(hl.HamlearnError, match=r"must give finite draws of shape \(chain, draw, \d+\)"):
        hl.learn(data, model, engine=Copies(theta=np.zeros((2, 3))), check=False)


@dataclass(frozen=True, eq=False, repr=False)
class Nothing(hl.models.Family):
    def system(self, lattice: Any) -> Any:
        return Corners(lattice, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Numbers(hl.models.Family):
    def system(self, lattice: Any, J: Any) -> Any:
        return Corners(lattice, float(J), 0.0, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Elsewhere(hl.models.Family):
    def system(self, lattice: Any, m: Any) -> Any:
        return Washboard(lattice, m, 0.0, 0.0)


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no parameters": (Nothing(), {}, "there is nothing to learn"),
    "float()": (Numbers(), {}, "use the array library of the states"),
    "another space": (Elsewhere(), {}, "makes systems of"),
    "a prior of no parameter": (CornerFamily(prior={"G": hl.models.Normal(1)}), {}, "has no parameter 'G'"),
    "score matching of spins": (CornerFamily(), {"likelihood": "score"}, "there is 'pseudo'"),
    "an unknown likelihood": (CornerFamily(), {"likelihood": "rise"}, "likelihood of a family"),
    "gibbs": (CornerFamily(), {"engine": "gibbs"}, "spike-and-slab"),
    "the class": (CornerFamily, {}, "give a model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    model, options, words = REFUSED[case]
    with pytest.raises(hl.HamlearnError, match=words):
        hl.learn(hl.microstates(ROWS, space="spins", beta=0.7), model, **options)


@dataclass(frozen=True, eq=False)
class Wells(hl.systems.ParametricSystem, kind="wells of a test"):
    """Σ g_x φ², with g of the lattice's shape, written as `form` says."""

    lattice: lattice.Lattice
    g: Any
    form: str = "right"
    space: hl.systems.Space = hl.systems.REALS

    def energy(self, states: Any) -> Any:
        xp, states = hl.systems.base.as_reals(states)
        flat = hl.systems.base.as_site_axes(states, self.lattice.shape)
        if self.form == "right":
            return xp.sum(xp.reshape(self.g, (-1,)) * flat**2, axis=-1)
        return xp.sum(self.g * (flat if self.form == "flat sites" else states) ** 2, axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class WellFamily(hl.models.Family, kind="wells of a test"):
    form: str = "right"

    def system(self, lattice: lattice.Lattice, g: Any) -> Wells:
        return Wells(lattice, g, self.form)

    def shapes(self, lattice: lattice.Lattice) -> dict[str, tuple[int, ...]]:
        return {"g": lattice.shape}


def test_an_energy_of_the_wrong_shape_is_told_by_shapes():
    data = hl.microstates(np.random.default_rng(0).normal(size=(300, 2, 3)), space="reals", beta=1.0)
    mend = r"\.reshape\(-1\)"
    failed = r"failed on states \(2, 2, 3\), which is \(state, x0, x1\): .*" + mend
    several = r"of states \(2, 2, 3\), which is \(state, x0, x1\) an array \(2,\); got float64 of shape \(2, 2\).*" + mend
    for form, words in (("flat sites", failed), ("one axis summed", several)):
        with pytest.raises(hl.HamlearnError, match="(?s)" + words):
            hl.learn(data, WellFamily(form))
    post = hl.learn(data, WellFamily(), check=False)
    assert hl.infer.provenance(post).reasons[-1].startswith("prior N(0, 10²) of g, the default")
    assert repr(Wells(lattice.hypercubic((2, 3)), np.ones((2, 3)))) == (
        "Wells(lattice=Lattice(hypercubic (2, 3), 12 bonds, periodic), g=array(2, 3), form='right', space=Reals())"
    )


@dataclass(frozen=True, eq=False)
class Decay(hl.systems.ParametricSystem, kind="decay of a test"):
    """Nearest and next neighbours of a ring, J (w₁ + w₂ 2⁻ᵃ), whose energy is zero in the ground states whatever J and a."""

    lattice: lattice.Lattice
    J: float
    a: float
    space: hl.systems.Space = hl.systems.SPINS

    def energy(self, states: Any) -> Any:
        xp, s = hl.systems.base.as_reals(states)
        broken = lambda r: xp.sum(1 - s * xp.roll(s, r, axis=-1), axis=-1)
        return self.J * (broken(1) + broken(2) / 2**self.a)


@dataclass(frozen=True, eq=False, repr=False)
class DecayFamily(hl.models.Family, kind="decay of a test"):
    def system(self, lattice: lattice.Lattice, J: Any, a: Any) -> Decay:
        return Decay(lattice, J, a)


def test_ground_states_hide_no_curvature():
    """Rows in which no parameter is seen come first; the energy is not linear in a all the same."""
    rows = np.concatenate([np.ones((200, 7)), np.random.default_rng(0).choice([-1, 1], (40, 7))])
    for order in (slice(None), slice(None, None, -1), slice(0, 200)):
        bound, parts, _ = bind(hl.microstates(rows[order], space="spins", beta=1.0), DecayFamily())
        assert not EnergyLikelihood(bound, parts, "exact").linear
