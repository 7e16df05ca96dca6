"""Symmetry probes: systems whose symmetries are known, the group elements themselves, and p-values of simulated ensembles."""

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.diagnostics.symmetry import _judge, symmetry, transforms
from statistics_budget import spend

SPINS = np.random.default_rng(0).choice([-1, 1], size=(60, 4, 4))
ANGLES = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(60, 4, 4))


class Anisotropic(hl.systems.System):
    """Strong bonds along one axis: not invariant under a quarter turn, invariant under all else."""

    lattice, space, pure_jax = hl.systems.lattice.hypercubic((4, 4)), hl.systems.SPINS, False

    def energy(self, states):
        return -(2 * states * np.roll(states, 1, -1) + states * np.roll(states, 1, -2)).sum((-2, -1))

    def action(self, states, beta):
        return beta * self.energy(states)

    def to_dict(self):
        return {"kind": "anisotropic"}


class Chiral(Anisotropic):
    """Three spins around a corner: neither flip nor reflection leaves it alone; translations do."""

    def energy(self, states):
        return -(states * np.roll(states, -1, -1) * np.roll(states, (-2, -1), (-2, -1))).sum((-2, -1))


KNOWN = {
    "ising": (hl.systems.Ising((4, 4)), SPINS, {"z2": 1, "translation": 1, "rotation": 1, "reflection": 1}),
    "field": (hl.systems.Ising((4, 4), h=0.1), SPINS, {"z2": 0, "translation": 1, "rotation": 1, "reflection": 1}),
    "glass": (hl.systems.EdwardsAnderson((4, 4), seed=1), SPINS, {"z2": 1, "translation": 0, "rotation": 0, "reflection": 0}),
    "anisotropic": (Anisotropic(), SPINS, {"z2": 1, "translation": 1, "rotation": 0, "reflection": 1}),
    "chiral": (Chiral(), SPINS, {"z2": 0, "translation": 1, "rotation": 0, "reflection": 0}),
    "potts": (hl.systems.Potts((4, 4), q=3), (SPINS + 1) // 2, {"internal": 1, "translation": 1, "rotation": 1, "reflection": 1}),
    "xy": (hl.systems.XY((4, 4)), ANGLES, {"internal": 1, "mirror": 1, "translation": 1, "rotation": 1, "reflection": 1}),
    "path": (
        hl.systems.Path(8, hl.systems.Polynomial([0, 0.5])),
        np.random.default_rng(0).normal(size=(9, 8)),
        {"z2": 1, "translation": 1},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_symmetries(name):
    system, states, truth = KNOWN[name]
    found = symmetry(system, states, list(truth))
    assert dict(zip(found["probe"].values, found["p_value"].values, strict=True)) == truth


def test_the_violation_is_that_of_the_energy():
    system = hl.systems.Ising((4, 4), h=0.1)
    found = symmetry(system, SPINS, ["z2"])
    expected = np.sqrt(np.mean((2 * 0.1 * SPINS.sum((1, 2))) ** 2))
    np.testing.assert_allclose(found["violation"].item(), expected, rtol=1e-10)
    np.testing.assert_allclose(found["relative"].item(), expected / system.energy(SPINS).std(), rtol=1e-10)


def test_group_elements_permute_sites_and_are_not_the_identity():
    labels = np.broadcast_to(np.arange(16).reshape(4, 4), (32, 4, 4))
    for name, move in transforms(hl.systems.Ising((4, 4))).items():
        if name == "z2":
            continue
        moved = move(labels, np.random.default_rng(0))
        assert np.array_equal(np.sort(moved.reshape(32, -1)), labels.reshape(32, -1)), name
        assert np.all((moved != labels).any((1, 2))), name


@pytest.mark.parametrize(("members", "directions"), [(64, 5), (64, 1), (40, 200), (5, 3)])
def test_p_values_of_symmetric_ensembles(members, directions):
    """Truth zero, the ensemble's centre off by one draw of its own scatter: p uniform, or larger where directions abound."""
    generator = np.random.default_rng(members + directions)
    basis = generator.normal(size=(directions, 30)) if directions < 200 else np.eye(30)[generator.integers(30, size=200)]
    p_values = []
    for _ in range(400):
        centre = generator.normal(size=len(basis)) @ basis
        p_values.append(_judge(centre + generator.normal(size=(members, len(basis))) @ basis, 1.0, 1e-9)[2])
    small = np.mean(np.array(p_values) < 0.1)
    assert scipy.stats.binom.sf(small * 400 - 1, 400, 0.1) > spend()
    if directions <= 5 and members == 64:
        assert scipy.stats.kstest(p_values, "uniform").pvalue > spend()


def test_an_ensemble_off_by_many_of_its_errors_is_found():
    generator = np.random.default_rng(0)
    basis = generator.normal(size=(5, 30))
    assert _judge((6.0 + generator.normal(size=(64, 5))) @ basis, 1.0, 1e-9)[2] < 1e-6
    # A violation where members agree exactly: outside of all their scatter.
    assert _judge(generator.normal(size=(64, 1)) @ basis[:1] + 20 * basis[1], 1.0, 1e-9)[2] < 1e-3


def test_posteriors_are_judged_by_their_own_scatter():
    data = {h: hl.simulate(hl.systems.Ising((3, 3), h=h), beta=0.4, draws=3000, chains=2, seed=1) for h in (0.0, 0.3)}
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), fields="uniform", tie="uniform")
    states = np.random.default_rng(0).choice([-1, 1], size=(50, 3, 3))
    p_values = {h: symmetry(hl.infer.learn(one, model, engine="laplace"), states, ["z2"])["p_value"].item() for h, one in data.items()}
    assert p_values[0.0] > spend()
    assert p_values[0.3] < 1e-6


def test_members_that_stand_several_times_count_once():
    members = [hl.systems.Ising((4, 4), h=h) for h in np.random.default_rng(0).normal(0.02, 0.1, size=9)]
    once, thrice = symmetry(members, SPINS, ["z2"]), symmetry(3 * members, SPINS, ["z2"])
    assert thrice.attrs["members"] == 9
    np.testing.assert_allclose(thrice["p_value"].item(), once["p_value"].item(), rtol=1e-6)


def test_networks_of_rotors_break_what_they_were_not_given():
    """The published choice, a Beta of φ/2π, has a seam; rotations alone leave the reflection; O(2) is exact to rounding."""
    data = hl.simulate(hl.systems.XY((2, 2)), beta=0.8, draws=300, chains=2, seed=0)
    quick = hl.infer.Training(epochs=2)
    found = {}
    for name, more in {"beta": {"conditional": "beta"}, "internal": {"symmetry": "internal"}, "o2": {"symmetry": "o2"}}.items():
        post = hl.learn(data, hl.models.Autoregressive(hidden=8, components=2, **more), engine=quick, check=False)
        found[name] = symmetry(hl.draw_systems(post, 1)[0], ANGLES[:, :2, :2], ["internal", "mirror"])
    assert found["beta"]["relative"].min() > 0.1 and found["beta"]["p_value"].max() == 0
    assert found["internal"]["p_value"].values.tolist() == [1, 0]
    assert found["o2"]["p_value"].values.tolist() == [1, 1]


def test_mistakes_are_explained():
    with pytest.raises(hl.HamlearnError, match="Did you mean 'rotation'"):
        symmetry(hl.systems.Ising((4, 4)), SPINS, ["rotations"])
    with pytest.raises(hl.HamlearnError, match="no such symmetry"):
        symmetry(hl.systems.Ising((3, 4)), np.ones((5, 3, 4)), ["rotation"])
    with pytest.raises(hl.HamlearnError, match="several states"):
        symmetry(hl.systems.Ising((4, 4)), SPINS[:1])
