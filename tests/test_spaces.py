"""Spaces: every kind does what is asked of all, and what an algorithm may rely on is true of it."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import spaces
from hamlearn.errors import HamlearnError
from hamlearn.spaces import ANGLES, KINDS, REALS, SPINS, Spins, states, vectors

SPACES = {"spins": SPINS, "fixed sum": Spins(magnetization=2), "states": states(5), "angles": ANGLES, "reals": REALS, "vectors": vectors(3)}
SHAPE = (3, 4, 6)
EVERY = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def test_every_kind_is_here():
    assert {type(space) for space in SPACES.values()} <= set(KINDS.values())
    assert set(KINDS) == {kind.name for kind in KINDS.values()}


@EVERY
def test_what_it_draws_it_accepts(space):
    rng = np.random.default_rng(0)
    for drawn in (space.random(rng, SHAPE), space.cold(SHAPE)):
        assert drawn.shape == (*SHAPE, *space.event_shape) and np.all(space.allows(drawn))
        np.testing.assert_array_equal(space.validate(drawn, site_axes=1), drawn)
    moved = space.wrap(space.propose(rng, space.random(rng, SHAPE), 0.5))
    np.testing.assert_array_equal(space.free.validate(moved), moved)


@EVERY
def test_files_give_it_back(space):
    assert spaces.from_attrs(space.attrs) == space == spaces.from_dict(space.to_dict())
    assert hash(spaces.from_dict(space.to_dict())) == hash(space)
    assert spaces.from_dict({"name": space.name, "q": space.q}) == space.free  # as files of 0.1 have it
    rng = np.random.default_rng(1)
    rows = space.propose(rng, space.random(rng, (20, 6)), 0.1) if space.continuous else space.random(rng, (20, 6))
    data = hl.microstates(rows, space=space)
    assert hl.data.space_of(data) == space and data.attrs["q"] == space.q


@EVERY
def test_its_symmetries_leave_what_is_alike_alike(space):
    rng = np.random.default_rng(2)
    rows = space.random(rng, (40, 6))
    for move in space.symmetries().values():
        moved = move(rows, rng)
        space.validate(np.asarray(moved, rows.dtype), site_axes=1)
        np.testing.assert_allclose(space.alike(moved[:, 0], moved[:, 1]), space.alike(rows[:, 0], rows[:, 1]), atol=1e-12)
    turned = space.turned(rows, rng, (40, 1))
    np.testing.assert_allclose(space.alike(turned[:, 0], turned[:, 1]), space.alike(rows[:, 0], rows[:, 1]), atol=1e-12)
    assert space.signed == ("z2" in space.symmetries()) or space.constraint


@EVERY
def test_features_and_order_parameters_have_their_shapes(space):
    rows = space.random(np.random.default_rng(3), SHAPE).reshape(*SHAPE[:2], -1)  # flat
    encoded = space.encode(rows)
    assert encoded.shape[:3] == SHAPE and 1 <= space.features <= encoded.shape[-1]
    assert space.order_parameters(rows).shape[:2] == SHAPE[:2] and space.magnitude(rows).shape == SHAPE[:2]
    assert np.all(space.magnitude(rows) >= 0)


def test_discrete_proposals_reach_every_other_value_equally_and_never_stay():
    rng = np.random.default_rng(4)
    for space in (SPINS, states(3)):
        for value in space.values:
            others = space.propose(rng, np.full(3000, value, np.int8), None)
            found, counts = np.unique(others, return_counts=True)
            assert value not in found and len(found) == space.q - 1 and counts.min() > 3000 / (space.q - 1) / 1.2


def test_angles_come_back_to_the_circle_in_any_library():
    import jax.numpy as jnp

    tiny = np.array([-1e-18, 7.0, -1.0, 2 * np.pi])
    for wrapped in (ANGLES.wrap(tiny), np.asarray(ANGLES.wrap(jnp.asarray(tiny))), ANGLES.wrap(tiny.astype(np.float32))):
        assert np.all((wrapped >= 0) & (wrapped < 2 * np.pi))
        np.testing.assert_allclose(np.cos(wrapped), np.cos(tiny), atol=1e-6)


MISTAKES = {
    "a sum that no microstate has": (lambda: Spins(magnetization=1).cold((6,)), "as even or odd as 6"),
    "another sum": (lambda: Spins(magnetization=2).validate(np.ones((2, 6), int), site_axes=1), "magnetization 2 .* found 6"),
    "a fraction": (lambda: Spins(magnetization=0.5), "magnetization"),
    "no states": (lambda: states(1), "2 <= q <= 127"),
    "values of angles": (lambda: ANGLES.values, "continuous and has no list of values"),
    "an unknown kind": (lambda: spaces.from_attrs({"space": "spin"}), "Did you mean 'spins'"),
    "q beside a space": (lambda: hl.microstates([[0, 1]], space=states(3), q=3), "leave it out"),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(call, message):
    with pytest.raises(HamlearnError, match=message):
        call()


def test_a_space_is_told_in_words():
    told = {
        "spins": SPINS,
        "spins (magnetization = 4)": hl.systems.Ising((4, 4), magnetization=4).space,
        "states (q = 3)": hl.systems.states(3),
    }
    assert {str(space): space for space in told.values()} == told and str(hl.systems.REALS) == "reals"
