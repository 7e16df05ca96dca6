"""Machines of real fields: closed forms against integrals, optimisers and the free field; intervals, files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines import gaussian
from hamlearn.infer.families import gaussian_rbm as family
from hamlearn.systems import GaussianMachine
from statistics_budget import assert_within, spend

FIELD = hl.systems.ScalarField((4, 4), m2=1.0, lam=0.0)


def lattice_spectrum(shape, m2):
    """m² + Σ (2 sin k/2)² of every momentum, one at a time."""
    found = np.empty(shape)
    for momentum in np.ndindex(shape):
        found[momentum] = m2 + sum((2 * np.sin(np.pi * n / size)) ** 2 for n, size in zip(momentum, shape, strict=True))
    return found


def machine(n=3, m=2, seed=0):
    weights = np.random.default_rng(seed).normal(size=(n, m))
    return GaussianMachine(n, weights, 1.3 * np.linalg.norm(weights, 2) ** 2)


def fields(count=1000, seed=0, shape=(4,), beta=1.0):
    field = hl.systems.ScalarField(shape, m2=1.0, lam=0.0)
    return hl.simulate(field, beta=beta, draws=count, chains=1, seed=seed)


def test_energy_is_that_of_hidden_units_that_are_integrated_out():
    one = machine(m=1)
    joint = lambda h, v: one.mu2 * v @ v / 2 - v @ one.weights[:, 0] * h + h * h / 2
    states = np.random.default_rng(1).normal(size=(3, 3))
    found = [-np.log(scipy.integrate.quad(lambda h, v=v: np.exp(-joint(h, v)), -30, 30)[0]) for v in states]
    np.testing.assert_allclose(one.energy(states), np.array(found) + np.log(2 * np.pi) / 2, rtol=1e-8)


def test_law_is_the_gaussian_of_its_quadratic_form_at_every_beta():
    one, beta = machine(), 0.6
    K = one.mu2 * np.eye(3) - one.weights @ one.weights.T
    law = scipy.stats.multivariate_normal(np.zeros(3), np.linalg.inv(beta * K))
    states = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(one.log_prob(states, beta), law.logpdf(states), rtol=1e-10)
    np.testing.assert_allclose(one.spectrum(), np.linalg.eigvalsh(K), rtol=1e-10)
    log_z = (3 * np.log(2 * np.pi / beta) - np.linalg.slogdet(K)[1]) / 2
    assert hl.systems.exact.log_partition(one, beta) == pytest.approx(log_z, rel=1e-10)
    drawn = hl.simulate(one, beta, draws=20_000, chains=1, seed=0)
    assert drawn.attrs["sampler"] == "exact"
    square = drawn["state"].values[0][:, :, None] * drawn["state"].values[0][:, None, :]
    assert_within(square.mean(0), law.cov, square.std(0) / np.sqrt(20_000), "covariance of draws")


def test_rotations_of_hidden_units_are_the_same_machine():
    one, rotation = machine(5, 3), scipy.stats.special_ortho_group.rvs(3, random_state=0)
    other = GaussianMachine(5, one.weights @ rotation, one.mu2)
    np.testing.assert_allclose(other.quadratic_form(), one.quadratic_form(), atol=1e-12)
    turned = gaussian.rotated(other.weights[None], one.weights)[0]
    np.testing.assert_allclose(turned, one.weights, atol=1e-10)


def test_nearest_machine_is_where_an_optimiser_ends():
    """−ln p of rows with a covariance, over all weights and μ², from three starts."""
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4))
    covariance = root @ root.T / 4

    def loss(theta):
        weights, spare = theta[:8].reshape(4, 2), np.exp(theta[8])
        K = (np.linalg.norm(weights, 2) ** 2 + spare) * np.eye(4) - weights @ weights.T
        return np.trace(K @ covariance) / 2 - np.linalg.slogdet(K)[1] / 2

    ends = [scipy.optimize.minimize(loss, rng.normal(size=9), method="BFGS").fun for _ in range(3)]
    weights, mu2 = gaussian.nearest(covariance, 2)
    K = mu2 * np.eye(4) - weights @ weights.T
    assert np.trace(K @ covariance) / 2 - np.linalg.slogdet(K)[1] / 2 == pytest.approx(min(ends), abs=1e-5)


@pytest.mark.parametrize("hidden", [15, 16])
def test_enough_hidden_units_are_any_gaussian(hidden):
    """One short of all sites is enough: μ² is the largest eigenvalue."""
    covariance = np.linalg.inv(FIELD.quadratic_form())
    weights, mu2 = gaussian.nearest(covariance, hidden)
    np.testing.assert_allclose(mu2 * np.eye(16) - weights @ weights.T, FIELD.quadratic_form(), atol=1e-10)


def test_free_field_is_learned_and_fewer_hidden_units_cut_its_spectrum_off():
    data = hl.simulate(FIELD, beta=0.5, draws=4000, chains=1, seed=0)
    spectrum = lattice_spectrum((4, 4), 1.0).ravel()
    post = hl.learn(data, hl.models.GaussianRBM(), check=False, seed=0)
    group = post["posterior"]["inverse_propagator"]
    distinct = [0, 1, 2, 5, 6, 10]  # the others are these turned or mirrored: not independent of them
    assert group["momentum"].values[6] == "1,2"
    # The posterior's mean is off by the data as much as its draws are.
    assert_within(group.mean(("chain", "draw")).values[distinct], spectrum[distinct], group.std(("chain", "draw")).values[distinct])
    few = hl.learn(data, hl.models.GaussianRBM(hidden=5), check=False, seed=0)["posterior"]
    np.testing.assert_allclose(few["spectrum"][..., 5:], few["mu2"].expand_dims(mode=11, axis=-1), rtol=1e-10)
    assert float(few["spectrum"][..., 4].max()) < float(few["mu2"].min())
    rest = np.sort(spectrum)[5:]  # 5 six times, 7 four times, 9
    truth = 1 / np.mean(1 / rest)
    # Noise makes low modes of the rest seem lower, of which none is kept here: five are far below.
    assert_within(float(few["mu2"].mean()), truth, float(few["mu2"].std()), "the cut")
    cut, low = few["inverse_propagator"].mean(("chain", "draw")).values, [0, 1]
    assert_within(cut[low], spectrum[low], few["inverse_propagator"].std(("chain", "draw")).values[low], "what is kept")
    assert cut[10] < 7 < spectrum[10] == pytest.approx(9)


def test_stiffness_of_momenta_is_that_of_plane_waves():
    post = hl.learn(fields(200, shape=(2, 3)), hl.models.GaussianRBM(hidden=2), engine=hl.infer.ClosedForm(draws=3, chains=1), check=False)
    for index, one in enumerate(post["posterior"]["weights"].values[0]):
        covariance = np.linalg.inv(float(post["posterior"]["mu2"][0, index]) * np.eye(6) - one @ one.T)
        for number, (k, q) in enumerate(np.ndindex(2, 3)):
            wave = np.exp(2j * np.pi * (k * np.arange(2)[:, None] / 2 + q * np.arange(3) / 3)).ravel() / np.sqrt(6)
            square = (wave.conj() @ covariance @ wave).real
            assert float(post["posterior"]["inverse_propagator"][0, index, number]) == pytest.approx(1 / square)


def test_intervals_of_momenta_and_of_a_spectrum_without_equal_eigenvalues_cover():
    """90 % intervals over 150 experiments of 60 rows each on 4 sites; unlike eigenvalues are known from 400."""
    runs, held, sorted_held = 150, np.zeros(3), np.zeros(4)
    spectrum, unlike, rng = lattice_spectrum((4,), 1.0), np.array([1.0, 3.0, 9.0, 27.0]), np.random.default_rng(0)
    turn = scipy.stats.special_ortho_group.rvs(4, random_state=1)
    root = np.linalg.cholesky(np.linalg.inv(hl.systems.ScalarField((4,), m2=1.0, lam=0.0).quadratic_form()))

    def interval(rows, name):
        drawn = gaussian.nearest(gaussian.covariances(rows.T @ rows / len(rows), len(rows), 200, rng), 4)
        return np.quantile(family._variables(*(one[None] for one in drawn), (4,))[name].values[0], [0.05, 0.95], axis=0)

    for _ in range(runs):
        low, high = interval(rng.normal(size=(60, 4)) @ root.T, "inverse_propagator")
        held += ((low < spectrum) & (spectrum < high))[:3]
        low, high = interval((rng.normal(size=(400, 4)) / np.sqrt(unlike)) @ turn, "spectrum")
        sorted_held += (low < unlike) & (unlike < high)
    for count in (*held, *sorted_held):
        assert scipy.stats.binomtest(int(count), runs, 0.9).pvalue > spend()


def test_temperatures_are_learned_together():
    cold, hot = fields(3000, 1, beta=2.0), fields(3000, 2, beta=0.5)
    post = hl.learn([cold, hot], hl.models.GaussianRBM(), check=False)["posterior"]["inverse_propagator"]
    alone = hl.learn(cold, hl.models.GaussianRBM(), check=False)["posterior"]["inverse_propagator"]
    over = ("chain", "draw")
    assert_within(post.mean(over)[:3], lattice_spectrum((4,), 1.0)[:3], post.std(over)[:3], "two temperatures")
    assert 0.6 < float((post.std(over) / alone.std(over)).mean()) < 0.82  # twice the rows: 0.71


def test_files_densities_and_an_audit(tmp_path):
    data = fields(1000)
    post = hl.learn(data, hl.models.GaussianRBM(), engine=hl.infer.ClosedForm(draws=20, chains=2), check=False)
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    states = data["state"].values[0][:4]
    machines = [
        GaussianMachine(4, w, float(m))
        for w, m in zip(post["posterior"]["weights"].values.reshape(40, 4, 4), post["posterior"]["mu2"].values.ravel(), strict=True)
    ]
    np.testing.assert_allclose(hl.log_prob(again, states, 0.7), [one.log_prob(states, 0.7) for one in machines])
    np.testing.assert_allclose(hl.log_prob(again, states), [one.log_prob(states, 1.0) for one in machines])
    drawn = hl.sample(again, 500, seed=1)["state"].values.reshape(-1, 4)
    assert_within(np.mean(drawn**2), np.mean(1 / lattice_spectrum((4,), 1.0)), 4 * np.std(drawn**2) / np.sqrt(20_000 / 4), "draws")
    found = hl.audit(data, again)
    assert found.decision != "differs"


def test_a_mean_that_is_not_zero_is_a_caution():
    data = fields(400)
    topics = lambda given: [one.topic for one in hl.verdict(hl.learn(given, hl.models.GaussianRBM(), check=False)).reasons]
    assert "mean" not in topics(data) and "mean" in topics(hl.microstates(data["state"].values[0] + 0.3, space="reals", beta=1.0))


REALS = np.random.default_rng(0).normal(size=(50, 4))
HOLED = np.where(np.arange(200).reshape(50, 4) == 7, np.nan, REALS)
CONSTANT = REALS * np.array([1.0, 1.0, 0.0, 1.0])
learned = lambda states, space="reals", **given: hl.learn(hl.microstates(states, space=space), hl.models.GaussianRBM(), **given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hl.models.GaussianRBM(hidden=0), "hidden"),
        (lambda: learned(np.sign(REALS), "spins"), "visible real numbers; got spins"),
        (lambda: learned(REALS[:3]), "4 sites need more than 4 independent"),
        (lambda: learned(np.random.default_rng(0).normal(size=(30, 40))), "40 sites need more than 40"),
        (lambda: learned(HOLED), "missing|not finite|NaN|nan"),
        (lambda: learned(CONSTANT), "site 2 is zero in all"),
        (lambda: learned(np.insert(REALS, 2, REALS[:, 0] - REALS[:, 3], axis=1)), "some combination of sites never varies"),
        (lambda: learned(REALS, engine="nuts"), "closed form"),
        (lambda: learned(REALS, likelihood="pseudo"), "likelihood"),
        (lambda: hl.learn(hl.microstates(REALS, space="reals"), hl.models.GaussianRBM(hidden=5)), "5 hidden units on 4 sites"),
        (lambda: hl.learn(fields(40), hl.models.PolynomialAction((2,)), engine=hl.infer.ClosedForm()), "engine must be"),
        (lambda: hl.infer.program(fields(40), hl.models.GaussianRBM()), "closed form"),
        (lambda: GaussianMachine(2, [[1.0], [1.0]], 2.0), "must be positive definite.*W Wᵀ is 2"),
        (lambda: GaussianMachine(2, np.ones((3, 1)), 9.0), "weights must be"),
        (lambda: GaussianMachine(2, [1.0, 1.0], 2.0), "a column for every hidden unit"),
        (lambda: GaussianMachine(1, [[np.nan]], 2.0), "finite"),
        (lambda: hl.predict(learned(REALS, check=False), beta=1.0, shape=(6,)), "knows one size"),
    ],
)
def test_what_cannot_be_learned_is_named(make, message):
    with pytest.raises(HamlearnError, match=message):
        make()
