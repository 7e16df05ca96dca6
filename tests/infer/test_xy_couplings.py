"""Couplings of XY angles: objectives against SciPy's von Mises density and finite differences, estimates against the truth."""

import jax
import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.likelihoods.directions import DirectionLikelihood
from hamlearn.infer.observations import bind
from hamlearn.systems import ANGLES, XY, lattice
from hamlearn.systems.spheres import log_normaliser
from statistics_budget import assert_within, spend

SQUARE = lattice.hypercubic((3, 3))
J = np.random.default_rng(3).normal(1.0, 0.4, size=SQUARE.n_bonds)
MODEL = hl.models.Couplings(SQUARE, fields=None)


def gibbs(couplings, graph, beta, size, seed, sweeps=60):
    """The last states of `size` independent chains of exact single-angle updates."""
    rng, n = np.random.default_rng(seed), graph.n_sites
    weight = np.zeros((n, n))
    for (i, j), value in zip(graph.bonds, couplings, strict=True):
        weight[i, j] += value
        weight[j, i] += value
    angles = rng.uniform(0, 2 * np.pi, size=(size, n))
    for _ in range(sweeps):
        for i in range(n):
            field = np.exp(1j * angles) @ weight[i]
            angles[:, i] = rng.vonmises(np.angle(field), beta * np.abs(field)) % (2 * np.pi)
    return angles


def data_of(couplings=J, graph=SQUARE, beta=0.8, size=3000, seed=0):
    angles = gibbs(couplings, graph, beta, size, seed).reshape(-1, *graph.shape)
    return hl.microstates(angles, space="angles", beta=beta)


def likelihood_of(name, size=40, beta=0.8, model=MODEL):
    bound, parts, _ = bind([data_of(beta=beta, size=size), data_of(beta=0.4, size=size, seed=1)], model)
    return DirectionLikelihood(bound, parts, name)


@pytest.mark.parametrize("name", ["pseudo", "score"])
@pytest.mark.parametrize("tie", ["bond", "uniform"])
def test_gradient_information_rows_and_jax_agree_with_the_value(name, tie):
    likelihood = likelihood_of(name, model=hl.models.Couplings(SQUARE, tie=tie, fields=None))
    theta = np.random.default_rng(1).normal(size=likelihood.bound.n_params)
    value, gradient = likelihood.value_and_gradient(theta)
    around = [[likelihood.value_and_gradient(theta + sign * step) for sign in (1, -1)] for step in 1e-5 * np.eye(len(theta))]
    np.testing.assert_allclose([(up[0] - down[0]) / 2e-5 for up, down in around], gradient, rtol=1e-5, atol=1e-4)
    hessian = np.array([(up[1] - down[1]) / 2e-5 for up, down in around])
    np.testing.assert_allclose(-hessian, likelihood.information(theta), rtol=1e-5, atol=1e-5)
    scores = likelihood.row_scores(theta)
    np.testing.assert_allclose(sum(scores(part, part.states.reshape(-1, 9)).sum(0) for part in likelihood.parts), gradient, rtol=1e-8)
    with jax.enable_x64(True):
        log_density, arrays = likelihood.jax_log_density()
        assert float(log_density(jax.numpy.asarray(theta), arrays)) == pytest.approx(value, rel=1e-10)


def test_pseudo_is_the_sum_of_von_mises_densities():
    likelihood = likelihood_of("pseudo")
    total = 0.0
    for part in likelihood.parts:
        z = np.exp(1j * part.states.reshape(-1, 9))
        for i in range(9):
            field = np.zeros(len(z), complex)
            for (a, b), value in zip(SQUARE.bonds, J, strict=True):
                if i in (a, b):
                    field += value * z[:, b if i == a else a]
            kappa = part.beta * np.abs(field)
            total += scipy.stats.vonmises.logpdf(np.angle(z[:, i]), kappa, loc=np.angle(field)).sum()
    assert likelihood.value_and_gradient(J)[0] == pytest.approx(total, rel=1e-10)


def test_score_matching_loss_is_that_of_the_system():
    likelihood, value = likelihood_of("score"), 0.0
    system, h = XY(SQUARE, J), 1e-4
    for part in likelihood.parts:
        x = part.states.reshape(-1, 9)
        for i in range(9):
            step = h * np.eye(9)[i]
            up, here, down = (system.action(x + sign * step, part.beta) for sign in (1, 0, -1))
            value -= (0.5 * ((up - down) / (2 * h)) ** 2 - (up - 2 * here + down) / h**2).sum()
    assert likelihood.value_and_gradient(J)[0] == pytest.approx(value, rel=1e-5)


def test_bessel_ratios_at_all_sizes():
    kappa = np.array([0.0, 1e-6, 1e-3, 0.5, 5.0, 150.0, 250.0, 1e4, 1e6])
    log_norm, ratio, slope = log_normaliser(kappa, 2)
    grid = np.linspace(-np.pi, np.pi, 400_001)
    for k, value in enumerate(kappa[:6]):
        weight = np.exp(value * (np.cos(grid[:-1]) - 1))
        mean = np.average(np.cos(grid[:-1]), weights=weight)
        assert log_norm[k] == pytest.approx(np.log(weight.mean()) + value, rel=1e-9, abs=1e-12)
        assert ratio[k] * value == pytest.approx(mean, rel=1e-6, abs=1e-9)
        assert slope[k] == pytest.approx(np.average((np.cos(grid[:-1]) - mean) ** 2, weights=weight), rel=1e-5)
    np.testing.assert_allclose(slope[6:] * 2 * kappa[6:] ** 2, 1.0, atol=0.01)
    assert np.all(np.isfinite(log_norm))


@pytest.mark.parametrize("likelihood", ["pseudo", "score"])
def test_couplings_are_found(likelihood):
    post = hl.learn([data_of(), data_of(beta=1.2, seed=1)], MODEL, likelihood=likelihood, engine="laplace", check=False)
    found = post["posterior"]["J"]
    assert found.dims == ("chain", "draw", "bond")
    sd = found.std(("chain", "draw")).values
    assert_within(found.mean(("chain", "draw")).values, J, sd, f"XY couplings by {likelihood}")
    assert 0.01 < sd.max() < 0.1
    record = posteriors.provenance_of(post)
    assert record.composite
    assert record.calibration.adjusted


@pytest.mark.parametrize("engine", ["mle", "map", pytest.param("nuts", marks=pytest.mark.slow)])
def test_engines_agree(engine):
    data, model = data_of(np.full(18, 0.9), size=300), hl.models.Couplings(SQUARE, tie="uniform", fields=None)
    settings = hl.infer.NUTS(draws=200, warmup=80, chains=1) if engine == "nuts" else engine
    post, normal = (hl.learn(data, model, engine=one, check=False)["posterior"]["J"][..., 0] for one in (settings, "laplace"))
    sd = float(normal.std())
    assert abs(float(post.mean() - normal.mean())) < 0.4 * sd
    assert 0.7 < float(post.std()) / sd < 1.4


def test_loop(tmp_path):
    post = hl.learn(data_of(np.full(18, 1.0)), hl.models.Couplings(SQUARE, tie="uniform", fields=None), engine="laplace", check=False)
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    member = hl.draw_systems(loaded, 2)[0]
    assert isinstance(member, XY)
    assert np.ptp(member.J) == 0
    larger = hl.infer.families.of(loaded).draw_systems(loaded, 1, 0, (5, 4))[0]
    assert larger.lattice.shape == (5, 4)
    states = gibbs(np.full(18, 1.0), SQUARE, 0.8, 5, 1).reshape(5, 3, 3)
    np.testing.assert_allclose(hl.energy(loaded, states, draws=2)[0], member.energy(states))
    assert hl.action(loaded, states, draws=3).shape == (3, 5)
    curve = hl.predict(loaded, [0.8], observables=["energy"], draws=20)["energy"].isel(beta=0)
    exact = hl.systems.exact.thermodynamics(XY((3, 3)), [0.8])["energy"].values[0]
    assert abs(float(curve.sel(quantity="mean")) - exact) < 5 * float(curve.sel(quantity="sd"))


MISTAKES = {
    "fields": (lambda: hl.models.Couplings(SQUARE).bind(ANGLES, (3, 3)), "fields=None"),
    "ising interaction": (lambda: hl.models.Couplings(SQUARE, fields=None, interaction="ising").bind(ANGLES, (3, 3)), "interaction 'xy'"),
    "xy interaction of spins": (
        lambda: hl.models.Couplings(SQUARE, fields=None, interaction="xy").bind(hl.systems.SPINS, (3, 3)),
        "interaction 'xy'",
    ),
    "screening": (lambda: hl.infer.learn(data_of(size=30), MODEL, likelihood="rise"), "likelihood of angles must be one of"),
    "exact": (lambda: hl.infer.learn(data_of(size=30), MODEL, likelihood="exact"), "likelihood of angles must be one of"),
    "score of spins": (
        lambda: hl.infer.learn(hl.microstates([[1, -1, 1]] * 3 + [[1, 1, 1]] * 3), hl.models.Couplings(None), likelihood="score"),
        "for continuous states",
    ),
    "uncalibrated score": (lambda: hl.infer.learn(data_of(size=30), MODEL, likelihood="score", calibrate=False), "no natural scale"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["pseudo", "score"])
def test_coverage(likelihood):
    sets, inside = 100, 0
    graph = lattice.hypercubic((3, 2), periodic=False)
    truth = np.linspace(0.5, 1.5, graph.n_bonds)
    model = hl.models.Couplings(graph, fields=None)
    for seed in range(sets):
        data = data_of(truth, graph, 1.0, 400, 500 + seed)
        draws = hl.infer.learn(data, model, likelihood=likelihood, engine="laplace")["posterior"]["J"][..., 3].values
        inside += int(np.quantile(draws, 0.05) < truth[3] < np.quantile(draws, 0.95))
    assert scipy.stats.binomtest(inside, sets, 0.9).pvalue > spend()
