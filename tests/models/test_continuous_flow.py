"""Continuous flows against autograd's Jacobian, dense Gaussians, quadrature and closed forms; and flows of several temperatures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import torch

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.models.densities.build import build, context_of
from hamlearn.models.densities.symmetry import permutations
from hamlearn.systems import REALS, exact
from statistics_budget import assert_within

CONTINUOUS = hl.models.Flow("continuous", layers=4, hidden=(4, 3))
CONDITIONED = {
    "continuous": {"transform": "continuous", "layers": 3, "hidden": (4, 2)},
    "spline coupling": {"layers": 2, "hidden": 16},
    "affine convolution": {"transform": "affine", "network": "convolution", "layers": 2, "hidden": 8},
    "affine autoregressive": {"transform": "affine", "structure": "autoregressive", "layers": 2, "hidden": 16},
}


def shaken(model, shape, size=0.3):
    """A trained density in double precision: random weights that need no gradient."""
    density, generator = build(model, REALS, shape).double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    density.scale.fill_(1.3)
    return density.requires_grad_(False)


def fields(shape, count=4, seed=2):
    return torch.randn(count, int(np.prod(shape)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(5,), (2, 4), (4, 4)])
def test_the_log_density_is_the_gaussians_less_autograds_log_determinant(shape):
    density = shaken(CONTINUOUS, shape)
    n = density.n
    # The covariance from plane waves, one by one: Σ_k e^{2s_k} cos k(x − y) / n.
    places = np.stack(np.unravel_index(np.arange(n), shape), -1)
    gaps = places[:, None] - places[None]
    covariance = np.zeros((n, n))
    for index, wave in enumerate(places):
        width = float(torch.exp(2 * density.linear[0, density.orbit[index]]))
        covariance += width * np.cos(2 * np.pi * (gaps * wave / np.array(shape)).sum(-1)) / n
    for latent in fields(shape):
        state = density.transported(latent[None], outwards=True)[0][0]
        jacobian = torch.autograd.functional.jacobian(lambda z: density.transported(z[None], outwards=True)[0][0], latent)
        expected = scipy.stats.multivariate_normal(np.zeros(n), covariance).logpdf(latent.numpy())
        expected -= float(torch.linalg.slogdet(jacobian)[1]) + n * np.log(1.3)
        assert density.evaluate(1.3 * state[None])[0] == pytest.approx(expected, abs=1e-4)
        assert density.kernel.abs().max() > 0 and abs(float(torch.linalg.slogdet(jacobian)[1])) > 0.01


def test_every_symmetry_of_the_lattice_is_exact():
    density, states = shaken(CONTINUOUS, (3, 3)), fields((3, 3))
    value = density.evaluate(states)
    for element in permutations((3, 3), ("translation", "point")):
        np.testing.assert_allclose(density.evaluate(states[:, torch.as_tensor(element)]), value, atol=1e-10)
    np.testing.assert_allclose(density.evaluate(-states), value, atol=1e-10)
    swapped = states.clone()
    swapped[:, [0, 4]] = states[:, [4, 0]]
    assert np.all(np.abs(density.evaluate(swapped) - value) > 1e-6)


def test_a_trained_flow_is_followed_with_more_steps():
    density, states = shaken(CONTINUOUS, (4, 4), 0.6), fields((4, 4), 20)
    fine = density.evaluate(states)
    density.steps *= 8
    exact_value = density.evaluate(states)
    density.steps //= 8
    density.requires_grad_(True)
    coarse = density.evaluate(states)
    assert np.abs(fine - exact_value).max() < 0.05 * np.abs(coarse - exact_value).max()


@pytest.mark.parametrize("name", CONDITIONED)
@pytest.mark.parametrize("condition", [None, "beta"])
def test_on_two_sites_the_density_integrates_to_one(name, condition):
    density = shaken(hl.models.Flow(**CONDITIONED[name], condition=condition), (2,), 0.2 if name == "continuous" else 0.1)
    grid = np.linspace(-14, 14, 225)
    points = torch.as_tensor(np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2))
    values = []
    for beta in (0.5, 2.0):
        context = context_of(beta, len(points), torch.float64) if condition else None
        values.append(np.exp(density.evaluate(points, context)))
        assert values[-1].sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=2e-3)
    assert np.allclose(*values, rtol=1e-3, atol=1e-9) == (condition is None)


@pytest.mark.parametrize("name", CONDITIONED)
def test_draws_at_a_temperature_are_of_the_density_there(name):
    """E_q[N/q] = 1 for a narrow normal N, at two temperatures in one call."""
    density = shaken(hl.models.Flow(**CONDITIONED[name], condition="beta"), (2, 2), 0.2 if name == "continuous" else 0.1)
    context = context_of(np.repeat([0.5, 1.5], 4000), 8000, torch.float64)
    with torch.no_grad():
        drawn = density.sample(8000, torch.Generator().manual_seed(3), context)
    narrow = scipy.stats.norm(0, 0.8).logpdf(drawn.numpy()).sum(1)
    w = np.exp(narrow - density.evaluate(drawn, context)).reshape(2, 4000)
    assert_within(w.mean(1), 1.0, w.std(1) / 4000**0.5)


def test_one_flow_learns_several_temperatures():
    """Free fields: at a temperature between those seen, the Gaussian there."""
    field = hl.systems.ScalarField((2, 3), m2=0.5, lam=0.0)
    sets = [hl.simulate(field, beta=beta, draws=1000, chains=2, seed=index) for index, beta in enumerate((0.5, 1.0, 2.0))]
    with pytest.raises(HamlearnError, match="condition='beta'"):
        hl.learn(sets, CONTINUOUS)
    model = hl.models.from_dict(json.loads(json.dumps(hl.models.Flow(**CONDITIONED["continuous"], condition="beta").to_dict())))
    post = hl.learn(sets, model, engine=hl.infer.Training(epochs=2, batch=100, learning_rate=0.01), check=False)
    for beta in (0.7, 1.4):
        found = hl.estimate(post, field, beta=beta, n=2000)
        assert found["ess_q"][0] > 0.9
        assert_within(float(found["log_partition"][0]), exact.log_partition(field, beta), float(found["log_partition_error"][0]))


def test_trained_on_an_action_and_saved(tmp_path):
    """φ⁴ on four sites in a row: log Z by quadrature."""
    field = hl.systems.ScalarField((4,), m2=-1.0, lam=0.5)
    line = np.linspace(-4.5, 4.5, 181)
    step = line[1] - line[0]
    # Sites in a ring: the trace of the fourth power of the transfer matrix.
    one = lambda x: -0.5 * x**2 + 0.5 * x**4
    transfer = step * np.exp(-0.5 * (line[:, None] - line) ** 2 - (one(line)[:, None] + one(line)) / 2)
    truth = np.log(np.trace(np.linalg.matrix_power(transfer, 4)))
    settings = hl.infer.Variational(steps=150, batch=100, learning_rate=0.02)
    post = hl.approximate(field, 1.0, CONTINUOUS, engine=settings)
    found = hl.estimate(post, field, n=4000)
    assert found["ess_q"][0] > 0.9
    assert_within(float(found["log_partition"][0]), truth, float(found["log_partition_error"][0]))
    back, states = hl.load(hl.save(post, tmp_path / "post.nc")), np.random.default_rng(0).normal(size=(20, 4))
    np.testing.assert_array_equal(hl.log_prob(back, states), hl.log_prob(post, states))


def test_mistakes_and_words():
    assert repr(hl.models.Flow("continuous")) == "Flow('continuous', layers=8, hidden=(16, 4))"
    assert hl.models.Flow().layers == 6 and hl.models.Flow("continuous", hidden=8).hidden == (8, 4)
    with pytest.raises(HamlearnError, match="moves all sites by one kernel"):
        hl.models.Flow("continuous", "autoregressive")
    with pytest.raises(HamlearnError, match="hidden="):
        hl.models.Flow("continuous", hidden=(8, 8, 8))
    with pytest.raises(HamlearnError, match="cannot complete"):
        shaken(CONTINUOUS, (3,)).complete(torch.zeros(1, 1), torch.Generator())
