"""Polynomial actions: terms and derivatives against the systems they describe and against finite differences."""

import jax
import numpy as np
import pytest

import hamlearn as hl
from hamlearn import models
from hamlearn.models.actions import Scales
from hamlearn.systems import REALS, SPINS, Field, Path, Polynomial, PolynomialField, ScalarField
from hamlearn.systems.confinement import lowest_curvature
from hamlearn.systems.parametric import stacked

RNG = np.random.default_rng(5)
CASES = {
    "path": (hl.models.PolynomialAction((1, 2, 4)), (6,), 3.0),
    "path, given width": (hl.models.PolynomialAction((2, 4), a=0.3), (6,), 3.0),
    "path, known mass": (hl.models.PolynomialAction((2, 4), kinetic=1.5), (6,), 3.0),
    "open path": (hl.models.PolynomialAction((2, 4), periodic=False), (6,), 3.0),
    "range 2": (hl.models.PolynomialAction((2, 6), range=2), (6,), 3.0),
    "field": (hl.models.PolynomialAction((2, 3, 4)), (3, 4), 0.7),
    "open field": (hl.models.PolynomialAction((2, 4), periodic=False), (3, 4), 0.7),
    "product": (hl.models.PolynomialAction((2, 4), neighbour="product"), (3, 4), 0.7),
    "open product": (hl.models.PolynomialAction((1, 2, 4), neighbour="product", periodic=False), (3, 4), 0.7),
    "open chain of products": (hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False), (5,), 0.7),
    "products at two distances": (hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False, range=2), (4, 5), 0.7),
    "open range 2": (hl.models.PolynomialAction((2, 4), periodic=False, range=2), (4, 5), 0.7),
    "no neighbours": (hl.models.PolynomialAction((2, 4), kinetic=False), (5,), 2.0),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_laplacians_are_derivatives_of_the_terms(name):
    model, shape, beta = CASES[name]
    bound = model.bind(REALS, shape)
    scales, x, h = bound.scales(beta), RNG.normal(size=(2, *shape)), 1e-4
    gradient, second = np.zeros((bound.n_full, *x.shape)), np.zeros((2, bound.n_full))
    for site in np.ndindex(*shape):
        step = np.zeros(shape)
        step[site] = h
        up, here, down = (bound.terms(x + k * step, scales) for k in (1, 0, -1))
        gradient[(slice(None), slice(None), *site)] = ((up - down) / (2 * h)).T
        second += (up - 2 * here + down) / h**2
    np.testing.assert_allclose(bound.gradients(x, scales), gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bound.laplacians(x, scales), second, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("range 2", "no neighbours")])
def test_the_action_is_that_of_the_system_it_makes(name):
    model, shape, beta = CASES[name]
    bound = model.bind(REALS, shape)
    theta = np.abs(RNG.normal(size=bound.n_params)) + 0.1
    system, x = bound.system(theta), RNG.normal(size=(3, *shape))
    np.testing.assert_allclose(bound.action(theta[None], x, bound.scales(beta))[0], system.action(x, beta), rtol=1e-12)
    rebuilt = hl.systems.from_dict(system.to_dict())
    np.testing.assert_allclose(rebuilt.action(x, beta), system.action(x, beta))
    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(lambda y: system.action(y, beta)))(jax.numpy.asarray(x))
    np.testing.assert_allclose(np.tensordot(bound.full(theta), bound.gradients(x, bound.scales(beta)), 1), slope, rtol=1e-9)


def test_members_are_the_simplest_system_that_fits():
    path = hl.models.PolynomialAction((2, 4)).bind(REALS, (8,)).system(np.array([1.0, -3.92, 1.0]))
    assert isinstance(path, Path)
    assert path.potential.c == (0.0, -3.92, 0.0, 1.0)
    wider = hl.models.PolynomialAction((2,)).bind(REALS, (8,)).system(np.array([1.0, 0.5]), (12,), 0.25)
    assert (wider.n_tau, wider.a) == (12, 0.25)
    field = hl.models.PolynomialAction((2, 4), kinetic=1.0).bind(REALS, (4, 4)).system(np.array([-2.0, 1.3]))
    assert isinstance(field, Field)
    x = RNG.normal(size=(5, 4, 4))
    np.testing.assert_allclose(field.action(x, 1.0), ScalarField((4, 4), m2=-4.0, lam=1.3).action(x, 1.0))


def test_polynomial_field_against_an_explicit_loop():
    field, x = PolynomialField((3, 4), [0.2, -1.0, 0.0, 0.5], 0.7), RNG.normal(size=(3, 4))
    total = 0.0
    for i in range(3):
        for j in range(4):
            here = x[i, j]
            total += 0.2 * here - here**2 + 0.5 * here**4
            total += 0.35 * ((x[(i + 1) % 3, j] - here) ** 2 + (x[i, (j + 1) % 4] - here) ** 2)
    assert float(field.energy(x)) == pytest.approx(total)
    assert float(field.action(x, 2.0)) == pytest.approx(2 * total)
    assert not field.even
    assert PolynomialField((3,), [0, 1.0]).even


def test_a_stack_holds_many_fields_of_one_structure():
    fields = [PolynomialField((3, 4), [0.1, 0.5, 0.0, 0.2], 0.7), ScalarField((3, 4), -1.0, 0.3), PolynomialField((3, 4), [0, 0.1, 0, 2])]
    x = RNG.normal(size=(3, 5, 3, 4))
    with jax.enable_x64(True):
        found = jax.vmap(lambda one, states: one.action(states, 0.5))(stacked(fields), x)
    np.testing.assert_allclose(found, [field.action(states, 0.5) for field, states in zip(fields, x, strict=True)], rtol=1e-12)
    assert stacked([fields[0], ScalarField((3, 4), 5.0, 0.1, coupling="product")]) is None
    assert stacked([fields[0], PolynomialField((3, 4), [0, 0.5])]) is None
    assert stacked([fields[0], ScalarField((4, 3), 1.0, 0.1)]) is None


def test_from_values_inverts_full():
    for model, shape, _ in CASES.values():
        bound = model.bind(REALS, shape)
        theta = RNG.normal(size=(2, 3, bound.n_params))
        full, r = bound.full(theta), model.range
        kinetic = full[..., :r] if r > 1 else full[..., 0]
        np.testing.assert_array_equal(bound.from_values(kinetic, full[..., r:]), theta)
        assert len(bound.parameter_names) == bound.n_params


def test_json_round_trip():
    for model in (
        hl.models.PolynomialAction(),
        hl.models.PolynomialAction((2, 6), kinetic=2.0, a=0.1, prior=hl.models.Normal(3.0), family="path", periodic=False),
        hl.models.PolynomialAction((2, 4), range=3, prior="normal"),
        hl.models.PolynomialAction((2, 4), neighbour="product", kinetic=-0.5, periodic=False),
    ):
        again = models.from_dict(model.to_dict())
        assert again.to_dict() == model.to_dict()
        assert again.prior == model.prior
    old = {key: value for key, value in hl.models.PolynomialAction().to_dict().items() if key != "neighbour"}
    assert models.from_dict(old).neighbour == "difference"


@pytest.mark.parametrize("coupling", ["difference", "product"])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("kinetic", [[0.7], [-0.7], [0.5, -0.4], [-0.3, 0.9]])
def test_the_lowest_mode_is_that_of_the_whole_quadratic_form(coupling, periodic, kinetic):
    shape = (4, 5)
    matrix = np.zeros((20, 20))
    for i, j in np.ndindex(shape):
        for r, strength in enumerate(kinetic, 1):
            for k, m in ((i + r, j), (i, j + r)):
                if not periodic and (k >= 4 or m >= 5):
                    continue
                here, there = np.ravel_multi_index((i, j), shape), np.ravel_multi_index((k % 4, m % 5), shape)
                for x, y, sign in ((here, here, 1), (there, there, 1), (here, there, -1), (there, here, -1)):
                    matrix[x, y] += strength * sign * (x != y or coupling == "difference")
    lowest = lowest_curvature(shape, np.array([kinetic, kinetic]), coupling, periodic=periodic)
    np.testing.assert_allclose(lowest, [np.linalg.eigvalsh(matrix)[0]] * 2, atol=1e-12)
    theta = np.array([[*kinetic, -0.5 * lowest[0] + shift] for shift in (-1e-6, 1e-6)])
    bound = hl.models.PolynomialAction((2,), range=len(kinetic), neighbour=coupling, periodic=periodic).bind(REALS, shape)
    assert bound.confining(theta).tolist() == [False, True]
    quartic = hl.models.PolynomialAction((2, 4), range=len(kinetic), neighbour=coupling, periodic=periodic).bind(REALS, shape)
    assert quartic.confining(np.column_stack([theta, [0.1, -0.1]])).tolist() == [True, False]  # the leading power decides
    assert np.isfinite(quartic.system(np.array([*kinetic, -2.0, 0.1])).energy(np.ones(shape)))


def test_scales():
    bound = hl.models.PolynomialAction().bind(REALS, (64,))
    assert bound.scales(20.0) == Scales(1 / 0.3125, 0.3125)
    assert bound.scales(20.0, 0.5) == Scales(2.0, 0.5)
    assert hl.models.PolynomialAction().bind(REALS, (8, 8)).scales(2.0) == Scales(2.0, 2.0)
    assert hl.models.PolynomialAction(family="field").bind(REALS, (8,)).scales(2.0) == Scales(2.0, 2.0)


MISTAKES = {
    "odd": (lambda: hl.models.PolynomialAction((2, 3)), "largest of the powers must be even"),
    "repeated": (lambda: hl.models.PolynomialAction((2, 2)), "may appear once"),
    "zero": (lambda: hl.models.PolynomialAction((0, 2)), "whole numbers >= 1"),
    "negative mass": (lambda: hl.models.PolynomialAction(kinetic=-1.0), "kinetic is True"),
    "range of a known mass": (lambda: hl.models.PolynomialAction(kinetic=1.0, range=2), "leave kinetic=True"),
    "range": (lambda: hl.models.PolynomialAction(range=0), "range, the longest distance"),
    "width": (lambda: hl.models.PolynomialAction(a=0.0), "a, the width"),
    "width of a field": (lambda: hl.models.PolynomialAction(a=0.1, family="field"), "a field has none"),
    "prior": (lambda: hl.models.PolynomialAction(prior="horseshoe"), "prior must be None"),
    "family": (lambda: hl.models.PolynomialAction(family="paths"), "Did you mean 'path'"),
    "spins": (lambda: hl.models.PolynomialAction().bind(SPINS, (8,)), "declare paths and fields with space='reals'"),
    "two time axes": (lambda: hl.models.PolynomialAction(family="path").bind(REALS, (8, 8)), "a path has one site axis"),
    "short": (lambda: hl.models.PolynomialAction(range=3).bind(REALS, (5,)), "too short"),
    "not confining": (lambda: hl.models.PolynomialAction().bind(REALS, (8,)).system(np.array([1.0, 1.0, -0.1])), "do not confine"),
    "a mode that runs away": (
        lambda: hl.models.PolynomialAction((2,), range=2, a=0.5).bind(REALS, (8,)).system(np.array([1.0, -0.9, 0.5])),
        "a mode has curvature",
    ),
    "field that runs away": (lambda: PolynomialField((4, 4), [0, -1.0]), "does not confine"),
    "negative neighbour term": (lambda: PolynomialField((4, 4), [0, 1.0], -0.3), "a mode has curvature -0.4"),
    "product without a potential": (lambda: PolynomialField((4, 4), [0, 1.0], 0.6, coupling="product"), "a mode has curvature -0.4"),
    "no number": (lambda: PolynomialField((4, 4), [0, 1.0], np.inf), "kinetic must be"),
    "no neighbour term": (lambda: hl.models.PolynomialAction(neighbour="sum"), "neighbour must be one of"),
    "product of a path": (lambda: hl.models.PolynomialAction(neighbour="product", a=0.1), "is for fields"),
    "known product of zero": (lambda: hl.models.PolynomialAction(neighbour="product", kinetic=0.0), "other than 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()


def test_polynomial_starts_at_the_first_power():
    assert Polynomial([0, 0.5])(np.array(2.0)) == pytest.approx(2.0)
