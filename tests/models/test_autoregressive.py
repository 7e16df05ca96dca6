"""Neural densities against enumeration, quadrature, autograd and scipy: nothing here is trained."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import scipy.stats
import torch

import statistics_budget
from hamlearn import models
from hamlearn.errors import HamlearnError
from hamlearn.models import Autoregressive
from hamlearn.models.autoregressive import NETWORKS
from hamlearn.models.densities.build import build, context_of, weights_of, with_weights
from hamlearn.models.densities.circular import CircularSpline
from hamlearn.models.densities.conditionals import Bernoulli, Categorical
from hamlearn.models.densities.mixtures import BetaMixture, GaussianMixture, LogisticMixture, VonMisesMixture
from hamlearn.models.densities.orders import unwrapping
from hamlearn.models.densities.symmetry import permutations
from hamlearn.systems import ANGLES, REALS, SPINS, states

every_network = pytest.mark.parametrize("network", NETWORKS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scrambled(model, space, shape, scale=0.5):
    """A density with random weights everywhere, in double precision."""
    density, source = build(model, space, shape, seed=1), generator(2)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=source) * (0.3 if parameter.dim() > 1 else 1))
    return density.double()


def all_states(n, q=2):
    return torch.tensor(list(itertools.product(range(q), repeat=n)))


# -- orders and groups ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["raster", "snake", "spiral"])
@pytest.mark.parametrize("shape", [(5,), (4, 4), (3, 5), (2, 3, 4)])
def test_an_order_visits_every_site_once_and_walks_where_it_should(order, shape):
    if order == "spiral" and len(shape) == 3:
        with pytest.raises(HamlearnError, match="spiral needs one or two site axes"):
            unwrapping(shape, order)
        return
    sites = unwrapping(shape, order)
    assert sorted(sites.tolist()) == list(range(int(np.prod(shape))))
    if order != "raster":  # a step goes to a neighbour
        places = np.stack(np.unravel_index(sites, shape), 1)
        assert np.all(np.abs(np.diff(places, axis=0)).sum(1) == 1)


@pytest.mark.parametrize(("shape", "names", "size"), [((4, 4), ["translation"], 16), ((5, 5), ["point"], 8), ((3, 4), ["point"], 4)])
def test_a_group_is_closed(shape, names, size):
    group = permutations(shape, names)
    found = {tuple(row) for row in group.tolist()}
    assert len(found) == len(group) == size
    assert tuple(group[0]) == tuple(range(int(np.prod(shape))))
    assert {tuple(a[b].tolist()) for a in group for b in group} == found


# -- conditionals --------------------------------------------------------------------------------------------------------

CONTINUOUS = {
    "gaussian": (GaussianMixture(3), (-np.inf, np.inf)),
    "logistic": (LogisticMixture(3), (-np.inf, np.inf)),
    "circular spline": (CircularSpline(5), (0.0, 2 * np.pi)),
    "vonmises": (VonMisesMixture(3), (0.0, 2 * np.pi)),
    "vonmises, one": (VonMisesMixture(1), (0.0, 2 * np.pi)),
    "beta": (BetaMixture(1), (0.0, 2 * np.pi)),
    "beta mixture": (BetaMixture(3), (0.0, 2 * np.pi)),
}


def spline_density(k, parameters, x):
    """Numerical slope of a circular rational-quadratic map, over 2π."""
    widths, heights, slopes, direction = np.split(parameters, [k, 2 * k, 3 * k])
    share = lambda logits: 1e-3 + (1 - k * 1e-3) * np.exp(logits) / np.exp(logits).sum()
    left, low = (2 * np.pi * np.append(0, share(logits).cumsum()) for logits in (widths, heights))
    slope = 1e-3 + np.log1p(np.exp(slopes) * (np.e**0.999 - 1))
    slope = np.append(slope, slope[0])

    def mapped(at):
        piece = np.clip(np.searchsorted(left, at, side="right") - 1, 0, k - 1)
        width, height = np.diff(left)[piece], np.diff(low)[piece]
        t, steep = (at - left[piece]) / width, height / width
        below = steep + (slope[piece + 1] + slope[piece] - 2 * steep) * t * (1 - t)
        return low[piece] + height * (steep * t**2 + slope[piece] * t * (1 - t)) / below

    at = (x - np.arctan2(direction[1], 1 + direction[0])) % (2 * np.pi)
    step = 1e-6 * np.where(at > np.pi, -1, 1)  # towards the inside of the turn
    first, second = mapped(at + step), mapped(at + 2 * step)
    return (-3 * mapped(at) + 4 * first - second) / (2 * step) / (2 * np.pi)


def reference_density(name, conditional, parameters, x):
    """The same mixture from scipy.stats; a spline from the slope of its map, built again from its definition."""
    if name == "circular spline":
        return spline_density(conditional.pieces, parameters, x)
    w, a, b = parameters.reshape(3, -1)
    w = np.exp(w) / np.exp(w).sum()
    if name == "gaussian":
        parts = [scipy.stats.norm.pdf(x, m + shift, np.exp(s)) for m, s, shift in zip(a, b, conditional.spread.numpy(), strict=True)]
    elif name == "logistic":
        parts = [scipy.stats.logistic.pdf(x, m + shift, np.exp(s)) for m, s, shift in zip(a, b, conditional.spread.numpy(), strict=True)]
    elif name.startswith("vonmises"):
        u, v = a + conditional.start[0].numpy(), b + conditional.start[1].numpy()
        parts = [scipy.stats.vonmises.pdf(x, np.hypot(p, q), loc=np.arctan2(q, p)) for p, q in zip(u, v, strict=True)]
    else:
        softplus, shift = (lambda z: np.log1p(np.exp(z)) + 1e-3), conditional.start.numpy() + 0.5413
        start = conditional.start.numpy()
        parts = [
            scipy.stats.beta.pdf(x, softplus(p), softplus(q), scale=2 * np.pi) for p, q in zip(a + shift, b - start + 0.5413, strict=True)
        ]
    return w @ np.array(parts)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_conditionals_are_scipys_mixtures_and_draw_from_them(name):
    conditional, (low, high) = CONTINUOUS[name]
    # Of a Beta, exponents above one: a density that is infinite at an end is no test of a sum.
    parameters = np.random.default_rng(3).normal(size=conditional.size) + (3.0 if name.startswith("beta") else 0.0)
    grid = np.linspace(max(low, -30.0), min(high, 30.0), 40_001)
    grid = (grid[1:] + grid[:-1]) / 2
    rows = torch.tensor(parameters).expand(len(grid), -1)
    found = conditional.log_prob(rows, torch.tensor(grid)).exp().numpy()
    exact = 1e-7 if name != "circular spline" else 1e-4  # a numerical slope, and its knots
    np.testing.assert_allclose(found, reference_density(name, conditional, parameters, grid), rtol=exact, atol=1e-12)
    step = grid[1] - grid[0]
    assert abs(found.sum() * step - 1) < 2e-3

    drawn = conditional.sample(torch.tensor(parameters).expand(20_000, -1), generator()).numpy()
    assert drawn.min() >= conditional.support[0] and drawn.max() <= conditional.support[1]
    cumulative = np.cumsum(found) * step
    p_value = scipy.stats.kstest(drawn, lambda x: np.interp(x, grid + step / 2, cumulative / cumulative[-1])).pvalue
    assert p_value > statistics_budget.spend()
    if not name.startswith(("vonmises", "circular")):
        mean = float(conditional.mean(torch.tensor(parameters)))
        assert abs(mean - (found * grid).sum() * step) < 1e-2
    else:
        moment = (found * np.exp(1j * grid)).sum() * step
        assert abs(np.exp(1j * float(conditional.mean(torch.tensor(parameters)))) - moment / abs(moment)) < 1e-6


def test_discrete_conditionals_are_normalised_and_draw_their_probabilities():
    for conditional, size in ((Bernoulli(), 2), (Categorical(4), 4)):
        parameters = torch.randn(7, conditional.size, generator=generator(), dtype=torch.float64)
        total = sum(conditional.log_prob(parameters, torch.full((7,), value)).exp() for value in range(size))
        np.testing.assert_allclose(total, 1, atol=1e-12)
        drawn = conditional.sample(parameters[:1].expand(20_000, -1), generator(1)).numpy()
        p = np.array([float(conditional.log_prob(parameters[0], torch.tensor(value)).exp()) for value in range(size)])
        assert scipy.stats.chisquare(np.bincount(drawn, minlength=size), 20_000 * p).pvalue > statistics_budget.spend()
        index = (p * np.arange(size)).sum()
        assert abs(float(conditional.mean(parameters[0])) - (2 * index - 1 if size == 2 else index)) < 1e-12


def test_extreme_log_odds_stay_finite():
    far = torch.tensor([[300.0], [-300.0]])
    assert torch.isfinite(Bernoulli().log_prob(far, torch.tensor([0, 1]))).all()
    angles = VonMisesMixture(2)
    assert torch.isfinite(angles.log_prob(torch.full((1, 6), 3e4), torch.tensor([1.0]))).all()


# -- networks ------------------------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("space", [SPINS, states(3)])
def test_no_output_sees_its_own_or_a_later_site(network, space):
    density = scrambled(Autoregressive(network, hidden=(8, 8)), space, (3, 3))
    n, features = 9, density.conditional.features
    encoded = torch.randn(1, n, features, generator=generator(), dtype=torch.float64, requires_grad=True)
    output = density.network(encoded, None)
    for position in range(n):
        (slope,) = torch.autograd.grad(output[0, position].sum(), encoded, retain_graph=True)
        seen = slope[0].abs().sum(1).numpy()
        assert np.all(seen[position:] == 0), f"site {position} sees what comes later"
        if network != "pixelcnn":  # a few small kernels leave a blind spot above and far to the right
            assert np.all(seen[:position] > 0), f"site {position} misses an earlier one"
    assert torch.all(density.causal[0, :, 0, :, 0] == torch.ones(n, n).tril(-1))


@every_network
@pytest.mark.parametrize(
    ("order", "symmetry", "charge", "condition"),
    [
        ("raster", (), None, None),
        ("snake", ("z2",), None, None),
        ("spiral", (), 2, "beta"),
        ("raster", ("z2", "translation", "point"), 0, None),
        ("raster", ("internal",), None, "beta"),
    ],
)
def test_probabilities_of_all_states_add_up_to_one(network, order, symmetry, charge, condition):
    if network == "pixelcnn":
        order = "raster"
    shape = (2, 4) if charge is not None else (3, 3)
    density = scrambled(Autoregressive(network, order, symmetry, hidden=(8, 8), charge=charge, condition=condition), SPINS, shape)
    every = all_states(int(np.prod(shape)))
    context = context_of(0.7, len(every), torch.float64) if condition else None
    log_p = density.evaluate(every, context)
    assert abs(np.exp(log_p).sum() - 1) < 1e-12
    if charge is not None:
        sums = 2 * every.numpy().sum(1) - every.shape[1]
        assert np.all(np.isneginf(log_p[sums != charge])) and np.all(np.isfinite(log_p[sums == charge]))


def test_a_larger_lattice_and_more_states_add_up_to_one():
    assert abs(np.exp(scrambled(Autoregressive(hidden=16), SPINS, (4, 4)).evaluate(all_states(16))).sum() - 1) < 1e-12
    density = scrambled(Autoregressive("gru", hidden=8, symmetry="internal"), states(3), (2, 3))
    assert abs(np.exp(density.evaluate(all_states(6, 3))).sum() - 1) < 1e-12


@pytest.mark.parametrize("conditional", ["vonmises-mixture", "circular-spline", "beta-mixture"])
@pytest.mark.parametrize("symmetry", [(), ("internal",), ("o2",)])
def test_densities_of_angles_integrate_to_one(conditional, symmetry):
    model = Autoregressive(hidden=8, conditional=conditional, symmetry=symmetry, components=3)
    if symmetry and conditional == "beta-mixture":
        with pytest.raises(HamlearnError, match="seam at 0"):
            build(model, ANGLES, (2,))
        return
    density = scrambled(model, ANGLES, (2,), scale=0.2)
    # φ = 2π sin²t: a Beta may be infinite at the ends, its integrand over t is not.
    t = (np.arange(400) + 0.5) * np.pi / 2 / 400
    grid, weight = 2 * np.pi * np.sin(t) ** 2, 2 * np.pi * np.sin(2 * t) * np.pi / 2 / 400
    pairs = torch.tensor(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2))
    total = np.exp(density.evaluate(pairs)) @ np.outer(weight, weight).ravel()
    assert abs(total - 1) < {"vonmises-mixture": 1e-4, "circular-spline": 1e-3}.get(conditional, 0.02)
    if symmetry:
        turned = torch.remainder(pairs[:50] + 1.234, 2 * np.pi)
        np.testing.assert_allclose(density.evaluate(turned), density.evaluate(pairs[:50]), atol=1e-9)
        mirrored = density.evaluate(torch.remainder(-pairs, 2 * np.pi))
        assert np.allclose(mirrored, density.evaluate(pairs), atol=1e-9) == (symmetry == ("o2",))


@pytest.mark.parametrize("conditional", ["vonmises-mixture", "circular-spline"])
def test_rotors_without_a_direction_are_drawn_from_their_density(conditional):
    """O(2) on three sites: exact invariance, causality, integral one, and draws that have the density (E_q[1/q] is the volume)."""
    density = scrambled(Autoregressive(hidden=8, conditional=conditional, symmetry="o2", components=4), ANGLES, (3,), scale=0.3)
    angles = 2 * np.pi * torch.rand(200, 3, generator=generator(), dtype=torch.float64)
    for image in (torch.remainder(angles + 2.7, 2 * np.pi), torch.remainder(4.4 - angles, 2 * np.pi)):
        np.testing.assert_allclose(density.evaluate(image), density.evaluate(angles), atol=1e-5)
    encoded = torch.randn(1, 3, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    output = density.network(encoded, None)
    for position in range(3):
        (slope,) = torch.autograd.grad(output[0, position].sum(), encoded, retain_graph=True)
        assert np.all(slope[0, position:].numpy() == 0)
    line = torch.as_tensor((np.arange(120) + 0.5) * 2 * np.pi / 120)
    grid = torch.stack(torch.meshgrid(line[:1], line, line, indexing="ij"), -1).reshape(-1, 3)  # the first angle does not matter
    assert np.exp(density.evaluate(grid)).sum() * (2 * np.pi) ** 3 / 120**2 == pytest.approx(1, abs=1e-3)
    drawn = density.sample(20_000, generator(5))
    assert drawn.min() >= 0 and drawn.max() < 2 * np.pi
    w = np.exp(-density.evaluate(drawn))
    statistics_budget.assert_within(w.mean(), (2 * np.pi) ** 3, w.std() / len(w) ** 0.5)


def test_densities_of_reals_integrate_to_one_and_know_their_scale():
    density = scrambled(Autoregressive(hidden=8, components=2, symmetry=("z2", "translation")), REALS, (2,), scale=0.2)
    density.scale.fill_(3.0)
    grid = np.linspace(-60, 60, 1001)
    pairs = torch.tensor(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2))
    assert abs(np.exp(density.evaluate(pairs)).sum() * (grid[1] - grid[0]) ** 2 - 1) < 1e-6
    np.testing.assert_allclose(density.evaluate(-pairs[:9]), density.evaluate(pairs[:9]), atol=1e-12)


@every_network
@pytest.mark.parametrize("condition", [None, "beta"])
def test_incremental_drawing_uses_the_parameters_of_a_full_pass(network, condition):
    """Given all sites, the sampler's parameters at every position are those of one pass: an exact comparison."""
    density = scrambled(Autoregressive(network, hidden=(8, 8), condition=condition), states(3), (3, 4))
    values = torch.randint(3, (5, 12), generator=generator())
    context = context_of(np.linspace(0.3, 0.9, 5), 5, torch.float64) if condition else None
    encoded = density.conditional.encode(values, torch.float64)
    with torch.no_grad():
        full = density.network(encoded, context)
        sampler = density.network.sampler(5, context, torch.float64)
        for position in range(12):
            np.testing.assert_allclose(sampler.parameters(position), full[:, position], atol=1e-12)
            if position < 11:
                sampler.push(position, encoded[:, position])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Autoregressive(hidden=8, symmetry=("z2", "translation")), (2, 3)),
        (Autoregressive("pixelcnn", hidden=(8, 8), condition="beta"), (2, 3)),
        (Autoregressive("gru", "snake", hidden=8, charge=2), (2, 3)),
        (Autoregressive("transformer", "spiral", hidden=(8,), symmetry="internal"), (2, 3)),
    ],
    ids=lambda value: repr(value),
)
def test_draws_have_the_probabilities_of_enumeration(model, shape):
    density, n, count = scrambled(model, SPINS, shape), 6, 40_000
    context = context_of(0.6, count, torch.float64) if model.condition else None
    drawn = density.sample(count, generator(3), context).numpy()
    every = all_states(n)
    p = np.exp(density.evaluate(every, None if context is None else context[: len(every)]))
    found = np.bincount(drawn @ 2 ** np.arange(n)[::-1], minlength=2**n)
    assert np.all(found[p < 1e-12] == 0)
    large = p * count > 5
    observed = np.append(found[large], found[~large].sum())
    expected = np.append(p[large], max(p[~large].sum(), 1e-9)) * count
    assert scipy.stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > statistics_budget.spend()


def test_completion_keeps_the_prefix_and_draws_the_rest_from_the_conditional():
    density = scrambled(Autoregressive("pixelcnn", hidden=(8,), symmetry="z2"), SPINS, (2, 3))
    prefix = torch.tensor([[0, 1, 1]]).expand(30_000, -1)
    drawn = density.complete(prefix, generator())
    assert torch.equal(drawn[:, :3], prefix)
    every = all_states(3)
    whole = torch.cat([prefix[:8], every], 1)
    with torch.no_grad():
        p = density.ordered_log_prob(whole, None).exp().numpy()
    found = np.bincount(drawn[:, 3:].numpy() @ np.array([4, 2, 1]), minlength=8)
    assert scipy.stats.chisquare(found, p / p.sum() * len(drawn)).pvalue > statistics_budget.spend()


@pytest.mark.parametrize("names", [("z2",), ("translation",), ("point",), ("z2", "translation", "point")])
def test_symmetries_are_exact(names):
    density, rng = scrambled(Autoregressive(hidden=16, symmetry=names), SPINS, (3, 3)), np.random.default_rng(0)
    spins = rng.integers(2, size=(20, 3, 3))
    value = lambda array: density.evaluate(torch.tensor(np.ascontiguousarray(array.reshape(20, -1))))
    images = {"z2": 1 - spins, "translation": np.roll(spins, (1, 2), (1, 2)), "point": spins.swapaxes(1, 2)[:, ::-1]}
    for name, image in images.items():
        same = np.allclose(value(image), value(spins), atol=1e-12)
        assert same == (name in names), name


def test_construction_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    for network in NETWORKS:
        first, second = (build(Autoregressive(network, hidden=(8,)), SPINS, (2, 2), seed=5) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(before, torch.get_rng_state())


# -- descriptions and mistakes -------------------------------------------------------------------------------------------


def test_a_model_survives_json():
    model = Autoregressive("gru", "snake", ["z2", "point"], hidden=24, members=3, charge=0, components=5)
    again = models.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.to_dict() == model.to_dict() and repr(again) == repr(model)


MISTAKES = {
    "network": (lambda: Autoregressive("mades"), "Did you mean 'made'"),
    "symmetry": (lambda: Autoregressive(symmetry="rotation"), "symmetry must be one of"),
    "widths": (lambda: Autoregressive(hidden=(8, 16)), "equal widths"),
    "no width": (lambda: Autoregressive(hidden=()), "one or more equal widths"),
    "members": (lambda: Autoregressive(members=0), "members must be a positive whole number"),
    "order of pixelcnn": (lambda: Autoregressive("pixelcnn", "snake"), "raster order"),
    "heads": (lambda: Autoregressive("transformer", hidden=(6,)), "multiple of 4"),
    "charge and flip": (lambda: Autoregressive(charge=2, symmetry="z2"), "only charge=0"),
    "conditional of another space": (lambda: build(Autoregressive(conditional="beta"), SPINS, (3,)), "does not go with spins"),
    "flip of states": (lambda: build(Autoregressive(symmetry="z2"), states(3), (3,)), "use 'internal'"),
    "sign of reals": (lambda: build(Autoregressive(symmetry="internal"), REALS, (3,)), "use 'z2'"),
    "charge of states": (lambda: build(Autoregressive(charge=0), states(3), (4,)), "conserved sum of spins"),
    "reflection of spins": (lambda: build(Autoregressive(symmetry="o2"), SPINS, (3,)), "rotation and reflection of angles"),
    "pieces": (lambda: Autoregressive(conditional="circular-spline", components=1), "2 to 500 pieces"),
    "odd charge": (lambda: build(Autoregressive(charge=1), SPINS, (4,)), "cannot have the sum 1"),
    "pixelcnn on a chain": (lambda: build(Autoregressive("pixelcnn"), SPINS, (4,)), "needs two site axes"),
    "weights of another lattice": (
        lambda: with_weights(build(Autoregressive(hidden=8), SPINS, (3,)), weights_of(build(Autoregressive(hidden=8), SPINS, (4,)))),
        "another network, lattice or space",
    ),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()
