"""Normalising flows against the free field's closed form, autograd's Jacobian, and quadrature on two sites."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.models.densities.build import build, weights_of, with_weights
from hamlearn.systems import REALS, exact
from statistics_budget import assert_within

FREE = hl.systems.ScalarField((2, 4), m2=0.5, lam=0.0)
FLOWS = {
    "spline coupling": hl.models.Flow(layers=2, hidden=16),
    "affine convolution": hl.models.Flow("affine", network="convolution", layers=2, hidden=8),
    "spline autoregressive": hl.models.Flow("spline", "autoregressive", layers=2, hidden=16),
    "affine autoregressive": hl.models.Flow("affine", "autoregressive", layers=2, hidden=(16, 16)),
}
QUICK = hl.infer.Training(epochs=3, batch=100)
_made = {}


def shaken(model, shape=(2, 4), size=0.3):
    """A density in double precision with random weights: the identity would hide mistakes."""
    density, generator = build(model, REALS, shape).double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    density.location.fill_(0.3)
    density.scale.fill_(1.7)
    return density


def double_well():
    """Independent sites of two Gaussians around ±1.5, with a common sign: what no Gaussian is."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], size=(3000, 1))
    return 1.5 * sign + 0.5 * rng.normal(size=(3000, 4))


def learned():
    if "learned" not in _made:
        model = hl.models.Flow(layers=2, hidden=16, symmetry="z2", members=2)
        _made["learned"] = hl.learn(hl.simulate(FREE, beta=1.0, draws=1000, chains=2, seed=0), model, engine=QUICK)
    return _made["learned"].copy(deep=True)


@pytest.mark.parametrize("model", FLOWS.values(), ids=FLOWS)
def test_the_log_density_is_the_gaussians_less_autograds_log_determinant(model):
    density = shaken(model)
    lower = density.linear.detach().numpy()
    lower = np.tril(lower, -1) + np.diag(np.exp(np.diag(lower)))
    for latent in torch.randn(3, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64):

        def field(noise):
            values = density.transported((torch.as_tensor(lower) @ noise)[None], outwards=True)[0][0]
            return values * density.scale + density.location

        jacobian = torch.autograd.functional.jacobian(field, latent) if model.structure == "coupling" else None
        state = field(latent).detach()
        if jacobian is None:  # drawing is not differentiable everywhere in Pyro: the map back is
            back = lambda x: torch.linalg.solve(
                torch.as_tensor(lower), density.transported(((x - density.location) / density.scale)[None], outwards=False)[0][0]
            )
            torch.testing.assert_close(back(state).detach(), latent, atol=1e-6, rtol=0)
            jacobian = torch.linalg.inv(torch.autograd.functional.jacobian(back, state))
        expected = -0.5 * float(latent @ latent) - 4 * np.log(2 * np.pi) - float(torch.linalg.slogdet(jacobian)[1])
        assert density.evaluate(state[None])[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("model", FLOWS.values(), ids=FLOWS)
def test_on_two_sites_the_density_integrates_to_one(model):
    described = hl.models.from_dict(json.loads(json.dumps({**model.to_dict(), "symmetry": ["z2"]})))
    density = shaken(described, (2,), 0.1)
    grid = np.linspace(-13, 13, 401)
    points = torch.as_tensor(np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2))
    p = np.exp(density.evaluate(points))
    assert p.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(density.evaluate(-points[:500]), density.evaluate(points[:500]), atol=1e-10)


def test_draws_are_of_the_density():
    """E_q[N/q] = 1 for a narrow normal N: importance sampling with the draws' own density."""
    post = learned()
    drawn = hl.sample(post, 4000, seed=3)
    assert drawn.attrs["sampler"] == "flow" and drawn["state"].shape == (2, 4000, 2, 4)
    states = drawn["state"].values[0].reshape(-1, 8)
    variance = 0.5 * np.diag(np.linalg.inv(FREE.quadratic_form())).mean()
    narrow = -0.5 * (states**2).sum(1) / variance - 4 * np.log(2 * np.pi * variance)
    w = np.exp(narrow - hl.log_prob(post, drawn["state"].values[0]).values[0])
    assert_within(w.mean(), 1.0, w.std() / np.sqrt(len(w)))


def test_log_z_of_the_free_field():
    found, truth = hl.estimate(learned(), FREE, n=4000), exact.log_partition(FREE, 1.0)
    assert np.all(found["ess_q"] > 0.8)
    for member in range(2):
        assert_within(found["log_partition"].values[member], truth, found["log_partition_error"].values[member])
    assert np.all(found["free_energy"] + truth > -4 * found["free_energy_error"])  # a bound from above


def test_trained_on_an_action_by_its_gradient():
    field = hl.systems.ScalarField((2, 3), m2=0.5, lam=0.0)
    model = hl.models.Flow("affine", layers=2, hidden=8, symmetry="z2")
    post = hl.approximate(field, 1.0, model, engine=hl.infer.Variational(steps=250, batch=100, learning_rate=0.02))
    found = hl.estimate(post, field, n=4000)
    assert found["ess_q"][0] > 0.9
    assert_within(float(found["log_partition"][0]), exact.log_partition(field, 1.0), float(found["log_partition_error"][0]))


def test_saved_and_loaded_it_is_the_same(tmp_path):
    post, states = learned(), np.random.default_rng(0).normal(size=(20, 2, 4))
    back = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert back.equals(post)
    np.testing.assert_array_equal(hl.log_prob(back, states), hl.log_prob(post, states))
    np.testing.assert_array_equal(hl.sample(back, 20, seed=3)["state"], hl.sample(post, 20, seed=3)["state"])
    assert str(hl.verdict(back)) == str(hl.verdict(post)) and hl.verdict(post).level == "believe", str(hl.verdict(post))
    assert "flow" in hl.report(post, tmp_path / "page.html").read_text()


def test_learning_makes_new_data_likelier_and_members_simulate():
    rows = double_well()
    data = hl.microstates(rows[:2000], "reals", 1.0)
    model = hl.models.Flow(layers=2, hidden=16)
    post = hl.learn(data, model, engine=hl.infer.Training(epochs=10, batch=100, learning_rate=8e-3), check=False)
    gauss = np.linalg.slogdet(2 * np.pi * np.cov(rows[:2000].T))[1] / 2 + 2  # −ln p of the Gaussian it starts from
    truth = np.logaddexp(*(-2 * ((rows[2000:] - s) ** 2).sum(1) for s in (1.5, -1.5))) - np.log(2) - 2 * np.log(2 * np.pi * 0.25)
    found = -hl.log_prob(post, rows[2000:]).values[0].mean()
    assert -truth.mean() - 0.05 < found < gauss - 0.15
    member = hl.draw_systems(post, 1)[0]
    np.testing.assert_allclose(hl.energy(post, rows[:5], draws=1).values.ravel(), -hl.log_prob(post, rows[:5]).values[0])
    drawn = hl.simulate(member, beta=1.0, draws=10, chains=2, seed=1, burn_in=10)
    assert drawn["state"].shape == (2, 10, 4) and np.isfinite(drawn["state"]).all()


def test_a_killed_training_resumes_bit_for_bit(monkeypatch, tmp_path):
    from hamlearn.infer.engines.neural import torch_training

    data, model = hl.simulate(FREE, beta=1.0, draws=200, chains=1, seed=0), FLOWS["affine convolution"]
    whole = hl.learn(data, model, engine=hl.infer.Training(epochs=3, batch=50), check=False)
    settings, original, calls = hl.infer.Training(epochs=3, batch=50, checkpoint=tmp_path / "run.npz"), torch_training._epoch, []

    def stop(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(torch_training, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            hl.learn(data, model, engine=settings, check=False)
    resumed = hl.learn(data, model, engine=settings, check=False)
    assert resumed["weights"].to_dataset().identical(whole["weights"].to_dataset())


def test_a_fresh_flow_is_a_standard_normal_of_its_seed():
    for model in FLOWS.values():
        density, states = build(model, REALS, (2, 4), 5), torch.linspace(-4, 4, 24).reshape(3, 8)
        expected = -0.5 * (states**2).sum(1) - 4 * np.log(2 * np.pi)
        torch.testing.assert_close(density.log_prob(states).detach(), expected, atol=2e-3, rtol=0)
        again, other = weights_of(build(model, REALS, (2, 4), 5)), weights_of(build(model, REALS, (2, 4), 6))
        mine = weights_of(density)
        assert all(np.array_equal(mine[name], again[name]) for name in mine) and any((mine[name] != other[name]).any() for name in mine)


def test_weights_that_files_of_before_hold_by_two_names_are_read():
    density = shaken(FLOWS["spline autoregressive"])
    weights = weights_of(density)
    twice = weights | {name.replace(".spline.nn.", ".arn."): value for name, value in weights.items()}
    assert len(twice) > len(weights)
    found = weights_of(with_weights(build(FLOWS["spline autoregressive"], REALS, (2, 4)).double(), twice))
    assert all(np.array_equal(found[name], value) for name, value in weights.items())


MISTAKES = {
    "space": (lambda: hl.approximate(hl.systems.Ising((2, 2)), 0.3, hl.models.Flow()), "density of reals"),
    "one site": (lambda: build(hl.models.Flow(), REALS, (1,)), "two sites"),
    "transform": (lambda: hl.models.Flow("planar"), "transform"),
    "bound": (lambda: hl.models.Flow(bound=-1.0), "bound must be a finite number > 0"),
    "bins": (lambda: hl.models.Flow(bins=1), "2 to 500 bins"),
    "widths": (lambda: hl.models.Flow(structure="autoregressive", hidden=(8, 16)), "equal widths"),
    "network": (lambda: hl.models.Flow(structure="autoregressive", network="convolution"), "for couplings"),
    "axes": (lambda: build(hl.models.Flow(network="convolution"), REALS, (2, 2, 2, 2)), "one to three site axes"),
    "suffix": (lambda: hl.infer.correct(learned(), FREE, draws=2, chains=1, method="suffix"), "cannot complete"),
    "no gradient": (lambda: hl.approximate(hl.draw_systems(learned(), 1)[0], 1.0, hl.models.Flow()), "not computed by JAX"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()
