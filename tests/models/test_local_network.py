"""The local network of chains: what an output may depend on, normalisation by quadrature, draws against densities."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import torch

import hamlearn as hl
import statistics_budget
from hamlearn import infer, models, systems
from hamlearn.errors import HamlearnError
from hamlearn.models import Autoregressive
from hamlearn.models.densities.build import build, context_of, weights_of, with_weights
from hamlearn.systems import ANGLES, REALS, SPINS, exact

N = 6


def scrambled(model, space=REALS, shape=(N,), scale=0.1):
    """A density with random weights everywhere, in double precision."""
    density, source = build(model, space, shape, seed=1), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=source))
    return density.double()


@pytest.mark.parametrize("condition", [None, "beta"])
def test_a_site_depends_on_the_one_before_and_on_the_first_only(condition):
    density = scrambled(Autoregressive("local", hidden=(16, 16), components=3, condition=condition))
    context = context_of(2.0, 4, torch.float64) if condition else None
    values = torch.randn(4, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    parameters = density._emit(values, context)
    for t in range(N):
        (slope,) = torch.autograd.grad(parameters[:, t].square().sum(), values, retain_graph=True, allow_unused=True)
        found = np.flatnonzero(slope.abs().amax(0).numpy() > 1e-12).tolist()
        assert found == ([] if t == 0 else sorted({0, t - 1})), t


@pytest.mark.parametrize("t", [0, 1, N - 1])
def test_every_conditional_is_normalised(t):
    density = scrambled(Autoregressive("local", hidden=(16, 16), components=3))
    before = torch.tensor([0.7, -0.3, 1.1, 0.2, -0.9, 0.4], dtype=torch.float64)
    grid = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    values = before.expand(len(grid), -1).clone()
    values[:, t] = grid
    with torch.no_grad():
        parameters = density._emit(values, None)[:, t]  # of site t: grid does not enter it
        density_of_site = density.conditional.log_prob(parameters, grid).exp()
    assert abs(float(density_of_site.sum() * (grid[1] - grid[0])) - 1) < 1e-8


def test_draws_follow_the_log_density():
    # The stepwise walk and the parallel forward pass are different code; both must be one density: E_q[r/q] = 1 for any
    # normalised r with lighter tails, here narrow normals.
    density = scrambled(Autoregressive("local", hidden=(16, 16), components=3, symmetry="z2"), shape=(3,))
    drawn = density.sample(40_000, torch.Generator().manual_seed(3))
    log_q = density.evaluate(drawn)
    ratio = np.exp(scipy.stats.norm(0, 0.5).logpdf(drawn.numpy()).sum(1) - log_q)
    error = ratio.std() / len(ratio) ** 0.5
    assert error < 0.1
    statistics_budget.assert_within(ratio.mean(), 1.0, error, "E_q[r/q]")
    # and the probability integral transform of the last site is uniform
    plain = scrambled(Autoregressive("local", hidden=(16, 16), components=3), shape=(3,))
    values = plain.draw(5_000, torch.Generator().manual_seed(4))
    with torch.no_grad():
        weights, means, widths = plain.conditional._parts(plain._emit(values, None)[:, 2])
    z = (values[:, 2:] - means) * torch.exp(-widths)
    uniform = (weights.exp().numpy() * scipy.stats.norm.cdf(z.numpy())).sum(1)
    assert scipy.stats.kstest(uniform, "uniform").pvalue > statistics_budget.spend()


@pytest.mark.parametrize("space", [SPINS, ANGLES])
def test_chains_of_spins_and_angles_too(space):
    density = scrambled(Autoregressive("local", hidden=(8, 8), components=2, symmetry="internal"), space)
    drawn = density.sample(50, torch.Generator().manual_seed(0))
    assert drawn.shape == (50, N) and np.isfinite(density.evaluate(drawn)).all()


@pytest.fixture(scope="module")
def harmonic():
    path = systems.Path(8, systems.Polynomial([0, 0.5]))
    data = hl.microstates(exact.sample(path, 4.0, 4_000, seed=0), space="reals", beta=4.0)
    model = Autoregressive("local", hidden=(16, 16), components=2, symmetry="z2")
    return infer.learn(data, model, engine=infer.Training(epochs=5, batch=100, learning_rate=6e-3, threads=1))


def test_a_harmonic_path_is_learned_to_its_exact_density(harmonic):
    fresh = exact.sample(systems.Path(8, systems.Polynomial([0, 0.5])), 4.0, 2_000, seed=1)
    # Gaussian, by linear algebra: precision K of S = ½ xᵀKx
    a, eye = 0.5, np.eye(8)
    precision = (2 * eye - np.roll(eye, 1, 0) - np.roll(eye, -1, 0)) / a + a * eye
    log_p = scipy.stats.multivariate_normal(np.zeros(8), np.linalg.inv(precision)).logpdf(fresh)
    gap = log_p - np.asarray(infer.log_prob(harmonic, fresh)).reshape(-1)
    assert -0.005 < gap.mean() < 0.04
    assert 1 - gap.var() / log_p.var() > 0.97


def test_the_description_and_the_weights_go_round():
    model = Autoregressive("local", components=4)
    assert model.hidden == (64, 64)
    again = models.from_dict(json.loads(json.dumps(model.to_dict())))
    density = build(model, REALS, (N,), seed=3)
    other = with_weights(build(again, REALS, (N,), seed=4), weights_of(density))
    x = torch.randn(5, N, generator=torch.Generator().manual_seed(0))
    assert torch.equal(density.log_prob(x), other.log_prob(x))
    assert "linear" not in weights_of(density)


def test_more_than_one_axis_is_refused():
    with pytest.raises(HamlearnError, match=r"one site axis; got shape \(4, 4\)"):
        build(Autoregressive("local"), REALS, (4, 4))
    with pytest.raises(HamlearnError, match="order='raster'"):
        Autoregressive("local", order="snake")
    with pytest.raises(HamlearnError, match="charge"):
        build(Autoregressive("local", charge=0), SPINS, (4,))
