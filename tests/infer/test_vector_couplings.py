"""Couplings and fields of unit vectors from their conditionals: differences, densities and estimates against the truth."""

import jax
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.likelihoods.directions import DirectionLikelihood
from hamlearn.infer.observations import bind
from hamlearn.spaces import UnitVectors
from hamlearn.systems import ANGLES, VectorSpins, lattice
from statistics_budget import assert_within

SQUARE = lattice.hypercubic((3, 3))
RNG = np.random.default_rng(3)
J, H = RNG.normal(0.6, 0.4, size=SQUARE.n_bonds), RNG.normal(0, 0.4, size=(9, 3))
MODEL = hl.models.Couplings(SQUARE)


def gibbs(beta, size, seed, sweeps=40):
    """The last states of `size` independent chains of exact single-spin updates of three components, by inversion."""
    rng, weight = np.random.default_rng(seed), np.zeros((9, 9))
    np.add.at(weight, tuple(SQUARE.bonds.T), J)
    weight += weight.T
    s = rng.normal(size=(size, 9, 3))
    s /= np.linalg.norm(s, axis=-1, keepdims=True)
    for _ in range(sweeps):
        for i in range(9):
            m = beta * (np.einsum("j,rjc->rc", weight[i], s) + H[i])
            K = np.linalg.norm(m, axis=1, keepdims=True)
            u, side = rng.uniform(size=(size, 1)), rng.normal(size=(size, 3))
            w = 1 + np.log(u + (1 - u) * np.exp(-2 * K)) / K
            side -= (side * m).sum(1, keepdims=True) * m / K**2
            s[:, i] = w * m / K + np.sqrt(1 - w**2) * side / np.linalg.norm(side, axis=1, keepdims=True)
    return s.reshape(-1, 3, 3, 3)


def data_of(beta=0.8, size=3000, seed=0):
    return hl.microstates(gibbs(beta, size, seed), space="vectors", beta=beta)


def random_data(n, beta):
    return hl.microstates(UnitVectors(n).random(np.random.default_rng(n), (30, 3, 3)), space="vectors", beta=beta)


@pytest.mark.parametrize("name", ["pseudo", "score"])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_gradient_information_rows_and_jax_agree_with_the_value(name, n):
    bound, parts, _ = bind([random_data(n, 0.8), random_data(n, 0.4)], hl.models.Couplings(SQUARE, fields="site" if n == 3 else "uniform"))
    likelihood = DirectionLikelihood(bound, parts, name)
    theta = np.random.default_rng(1).normal(size=bound.n_params)
    assert bound.n_params == 18 + (27 if n == 3 else n)
    value, gradient = likelihood.value_and_gradient(theta)
    around = [[likelihood.value_and_gradient(theta + sign * step) for sign in (1, -1)] for step in 1e-5 * np.eye(len(theta))]
    np.testing.assert_allclose([(up[0] - down[0]) / 2e-5 for up, down in around], gradient, rtol=1e-5, atol=1e-4)
    hessian = np.array([(up[1] - down[1]) / 2e-5 for up, down in around])
    np.testing.assert_allclose(-hessian, likelihood.information(theta), rtol=1e-5, atol=1e-5)
    scores = likelihood.row_scores(theta)
    np.testing.assert_allclose(sum(scores(part, part.states[0]).sum(0) for part in parts), gradient, rtol=1e-8)
    with jax.enable_x64(True):
        log_density, arrays = likelihood.jax_log_density()
        assert float(log_density(jax.numpy.asarray(theta), arrays)) == pytest.approx(value, rel=1e-10)


def test_pseudo_is_the_sum_of_conditional_densities():
    """Against −ln p of the system itself, normalised by quadrature along the local field."""
    data = random_data(3, 0.8)
    bound, parts, _ = bind(data, MODEL)
    s = data["state"].values[0].reshape(-1, 9, 3)
    total, w = 0.0, np.linspace(-1, 1, 20_001)
    for i in range(9):
        m = np.tile(H[i], (len(s), 1))
        for (a, b), value in zip(SQUARE.bonds, J, strict=True):
            if i in (a, b):
                m += value * s[:, b if i == a else a]
        K = 0.8 * np.linalg.norm(m, axis=1)
        norm = 2 * np.pi * np.trapezoid(np.exp(K[:, None] * w), w, axis=1)
        total += (0.8 * (m * s[:, i]).sum(1) - np.log(norm)).sum()
    theta = bound.from_values(J, H)
    assert DirectionLikelihood(bound, parts, "pseudo").value_and_gradient(theta)[0] == pytest.approx(total, rel=1e-7)


@pytest.mark.parametrize("likelihood", ["pseudo", "score"])
def test_couplings_and_fields_are_found(likelihood):
    post = hl.learn([data_of(), data_of(beta=1.2, seed=1)], MODEL, likelihood=likelihood, engine="laplace", check=False)
    found = post["posterior"].to_dataset()
    assert found["J"].dims == ("chain", "draw", "bond") and found["h"].dims == ("chain", "draw", "site", "component")
    mean, sd = (np.concatenate([getattr(found[name], what)(("chain", "draw")).values.ravel() for name in "Jh"]) for what in ("mean", "std"))
    assert_within(mean, np.concatenate([J, H.ravel()]), sd, f"couplings of vectors by {likelihood}")
    assert 0.01 < sd.max() < 0.1


def test_loop(tmp_path):
    """Learn, save, load, draw, energy, simulate, predict, with a verdict; the truth is a sampler's own."""
    truth = hl.systems.Heisenberg((3, 3))
    data = hl.simulate(truth, 0.8, draws=700, chains=4, seed=1, sampler="overrelaxation")
    post = hl.learn(data, hl.models.Couplings(SQUARE, tie="uniform", fields=None), engine="laplace", seed=0)
    assert hl.verdict(post).level == "believe"
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    member = hl.draw_systems(loaded, 2)[0]
    assert isinstance(member, VectorSpins) and np.ptp(member.J) == 0 and member.n == 3
    assert hl.infer.families.of(loaded).draw_systems(loaded, 1, 0, (5, 4))[0].lattice.shape == (5, 4)
    states = data["state"].values[0, :5]
    np.testing.assert_allclose(hl.energy(loaded, states, draws=2)[0], member.energy(states))
    assert hl.simulate(member, 0.8, draws=3, chains=2, seed=0)["state"].shape == (2, 3, 3, 3, 3)
    names = ["energy", "heat_capacity", "abs_magnetization", "susceptibility"]
    curve = hl.predict(loaded, [0.5], draws=4)
    assert list(curve.data_vars) == names
    energy = truth.energy(hl.simulate(truth, 0.5, draws=1000, chains=4, seed=2, thin=2)["state"].values) / 9
    band = curve["energy"].isel(beta=0)
    error = np.hypot(float(band.sel(quantity="sd")), np.hypot(float(band.sel(quantity="mc_error")), 2 * energy.std() / np.sqrt(4000)))
    assert_within(float(band.sel(quantity="mean")), energy.mean(), error, "energy at another temperature")


MISTAKES = {
    "ising": (lambda: hl.models.Couplings(SQUARE, interaction="ising").bind(UnitVectors(3), (3, 3)), "vectors 'vectors'"),
    "of angles": (lambda: hl.models.Couplings(SQUARE, interaction="vectors").bind(ANGLES, (3, 3)), "angles have the interaction 'xy'"),
    "exact": (lambda: hl.infer.learn(random_data(3, 1.0), MODEL, likelihood="exact"), "likelihood of vectors must be one of"),
    "rise": (lambda: hl.infer.learn(random_data(3, 1.0), MODEL, likelihood="rise"), "likelihood of vectors must be one of"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()
