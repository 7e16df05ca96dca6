"""A programmed Hamiltonian whose temperature is learned: likelihood and residuals against sums over states and planted couplings."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import scipy.optimize

import hamlearn as hl
from hamlearn.infer import observations
from hamlearn.infer.likelihoods.energy import EnergyLikelihood
from hamlearn.systems import Pairwise, lattice
from statistics_budget import assert_within

CHIP = Pairwise([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4], [1, 3]], J=[1.0, -1.0, 0.5, 1.0, -0.5, 1.0], h=[0.3, -0.3, 0.0, 0.5, 0.0])
STATES = np.array(list(itertools.product([-1, 1], repeat=5)))


def energies(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the couplings' and the fields' parts of the programmed energy, by loops."""
    pairs = sum(J * states[:, i] * states[:, j] for J, (i, j) in zip(CHIP.J, CHIP.lattice.bonds, strict=True))
    return np.asarray(pairs), states @ CHIP.h


def rows(scale: float, field_scale: float, count: int, seed: int) -> np.ndarray:
    pairs, fields = energies(STATES)
    weight = np.exp(scale * pairs + field_scale * fields)
    return STATES[np.random.default_rng(seed).choice(32, count, p=weight / weight.sum())]


def learned(states: np.ndarray, model: hl.models.Model):
    return hl.infer.learn(hl.microstates(states, space="spins", independent=True), model, engine="laplace")


def test_the_scale_is_that_of_the_maximum_of_a_plain_likelihood(tmp_path):
    states = rows(0.8, 0.8, 3000, 0)
    post = learned(states, hl.models.Scale(CHIP))
    total, every = sum(energies(states)), sum(energies(STATES))
    minus = lambda s: np.log(np.exp(s * every).sum()) - s * total.mean()
    best = scipy.optimize.minimize_scalar(minus, bounds=(0.1, 2.0), method="bounded", options={"xatol": 1e-9}).x
    point = float(post["point"]["scale"])
    p = np.exp(best * every) / np.exp(best * every).sum()
    sd = 1 / np.sqrt(3000 * (p @ every**2 - (p @ every) ** 2))
    assert abs(point - best) < 0.02 * sd
    assert float(post["posterior"]["scale"].std()) == pytest.approx(sd, rel=0.1)
    again = hl.load(hl.save(post, tmp_path / "scale.nc"))
    assert hl.draw_systems(again, 1)[0].J[1] == pytest.approx(-hl.draw_systems(again, 1)[0].J[0])


def test_fields_may_have_a_scale_of_their_own():
    post = learned(rows(0.8, 0.4, 4000, 1), hl.models.Scale(CHIP, fields="own"))["posterior"].to_dataset()
    for name, truth in (("scale", 0.8), ("field_scale", 0.4)):
        assert_within(float(post[name].mean()), truth, float(post[name].std()), name)
        assert float(post[name].std()) < 0.1


def test_what_was_not_programmed_is_found_and_what_was_is_not():
    real = Pairwise(lattice.complete(5), 0.0, 0.7 * CHIP.h)
    J = np.zeros((5, 5))
    J[tuple(CHIP.lattice.bonds.T)] = 0.7 * CHIP.J
    J[0, 3] += 0.25  # crosstalk
    real = Pairwise(real.lattice, (J + J.T)[tuple(real.lattice.bonds.T)], real.h)
    data = hl.microstates(hl.systems.exact.sample(real, 1.0, 20_000, seed=0), space="spins", independent=True, names=list("abcde"))
    free, scaled = (hl.infer.learn(data, one, engine="laplace") for one in (hl.models.Couplings(None), hl.models.Scale(CHIP)))
    table = hl.diagnostics.residuals(free, scaled, false_discovery_rate=0.001)
    assert table.loc[0, ["site_i", "site_j"]].tolist() == ["a", "d"] and table.loc[0, "found"]
    assert table.loc[0, "programmed"] == 0 and abs(table.loc[0, "coupling"] - 0.25) < 0.1
    with pytest.raises(hl.HamlearnError, match=r"posterior of hl\.models\.Scale"):
        hl.diagnostics.residuals(free, free)


@pytest.mark.parametrize(
    ("system", "settings", "told"),
    [
        (hl.systems.XY((3, 3)), {}, "spins with pair couplings"),
        (Pairwise([[0, 1]], 0.0), {}, "nothing could tell scale"),
        (Pairwise([[0, 1]], 1.0), {"fields": "own"}, "nothing could tell field_scale"),
        (Pairwise([[0, 1]], 1.0), {"fields": "none"}, "fields"),
    ],
)
def test_what_cannot_be_scaled_is_refused(system, settings, told):
    with pytest.raises(hl.HamlearnError, match=told):
        hl.models.Scale(system, **settings)


def test_data_of_other_sites_are_refused():
    with pytest.raises(hl.HamlearnError, match="5 sites"):
        learned(np.ones((10, 4), int), hl.models.Scale(CHIP))


@dataclass(frozen=True, eq=False, repr=False)
class Gained(hl.models.Family, kind="gained"):
    """The chip, known but for a factor of its fields and one of a bond more."""

    def system(self, lattice, gain, extra):
        template = Pairwise(lattice, [*CHIP.J, 0.0], CHIP.h)
        return jax.tree.unflatten(jax.tree.structure(template), [template.J + extra * np.eye(7)[6], gain * CHIP.h])

    def lattice(self, shape):
        return lattice.graph([*map(tuple, CHIP.lattice.bonds.tolist()), (2, 4)], 5)


def test_conditionals_by_matrices_are_those_of_energies():
    states, theta = rows(0.8, 0.4, 40, 2), np.array([0.7, -0.3])
    bound, parts, _ = observations.bind(hl.microstates(states, space="spins", beta=0.9), Gained())
    found, total = EnergyLikelihood(bound, parts, "pseudo"), 0.0
    assert found.linear and found._flips is not None and found.passing == 0
    energy = lambda s: -energies(s)[0] - theta[0] * energies(s)[1] - theta[1] * s[:, 2] * s[:, 4]
    for site in range(5):
        turned = states.copy()
        turned[:, site] *= -1
        total -= np.log1p(np.exp(-0.9 * (energy(turned) - energy(states)))).sum()
    assert found.value_and_gradient(theta)[0] == pytest.approx(total, rel=1e-9)
    scores = found.row_scores(theta)(found.parts[0], found.parts[0].states[0])
    found._flips = None  # by the energies, as of systems that have no pairs
    assert found.passing > 0
    np.testing.assert_allclose(scores, found.row_scores(theta)(found.parts[0], found.parts[0].states[0]), atol=1e-9)


def test_a_negative_temperature_is_told():
    """Every sign of the programme turned: the couplings' factor is below zero, and fields of their own may be above it."""
    turned = hl.learn(hl.microstates(rows(-0.7, -0.7, 2000, 2), space="spins", independent=True), hl.models.Scale(CHIP), check=False)
    found = [one for one in hl.verdict(turned).reasons if one.topic == "parameters"]
    assert [one.severity for one in found] == ["caution"] and found[0].what.startswith("scale = -0.") and "signs" in found[0].advice
    own = hl.models.Scale(CHIP, fields="own").remarks({"scale": np.full((2, 3), -0.5), "field_scale": np.full((2, 3), 0.5)})
    assert len(own) == 1 and "field_scale" not in own[0][0]
    assert hl.models.Scale(CHIP).remarks({"scale": np.full((2, 3), 0.5)}) == ()
