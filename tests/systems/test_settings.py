"""Every setting of `simulate` with every sampler: it changes what is done, or it is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.systems import (
    SAMPLERS,
    SPINS,
    XY,
    DoubleWell,
    FixedMagnetization,
    Ising,
    Kawasaki,
    LearnedDensity,
    Path,
    RestrictedBoltzmannMachine,
    ScalarField,
    Tempering,
    lattice,
)
from own_samplers import FREE, Redraw

COINS = LearnedDensity(  # which draws them itself
    lattice.hypercubic(3),
    SPINS,
    0.4,
    lambda states, beta=None: np.full(states.shape[:-1], -3 * np.log(2)),
    draw=lambda count, seed, beta=None: np.random.default_rng(seed).choice([-1, 1], (count, 3)),
)
SQUARE, FIELD = Ising((3, 3)), ScalarField((3,), m2=1.0, lam=0.5)
# Adding a sampler is one line here: a system that it samples.
SYSTEMS = {
    "own": COINS,
    "exact": SQUARE,
    "kawasaki": FixedMagnetization(Ising((3, 3)), 1),
    "swendsen_wang": SQUARE,
    "wolff": SQUARE,
    "overrelaxation": XY((3, 3)),
    "block_gibbs": RestrictedBoltzmannMachine((3, 3), -3.0, np.full(2, -13.5), 3.0, beta=0.4),  # which remembers where it starts
    "heat_bath": SQUARE,
    "kinks": Path(4, DoubleWell(4.0, 2.0)),
    "hmc": FIELD,
    "tempering": SQUARE,
    "metropolis": SQUARE,
    "redraw": FREE,
}
INDEPENDENT = ("own", "exact")
SETTINGS = {"burn_in": 3, "thin": 2, "start": "cold", "ladder": [0.1]}
BASE = {"beta": 0.4, "draws": 12, "chains": 2, "seed": 1, "burn_in": 1}


def test_every_sampler_has_its_line():
    assert set(SYSTEMS) == {*SAMPLERS, "redraw"}


@pytest.mark.parametrize("setting", [*SETTINGS, "checkpoint", "out"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_setting_is_honoured_or_refused(name, setting, tmp_path):
    sampler = Redraw(0.2) if name == "redraw" else SAMPLERS[name]
    base = BASE | {"system": SYSTEMS[name], "sampler": sampler} | ({"burn_in": None} if name in INDEPENDENT else {})
    given = {setting: tmp_path / "run.zarr" if setting == "out" else tmp_path / "run.npz"} if setting not in SETTINGS else {}
    given = given or {setting: SETTINGS[setting]}
    try:
        other = hl.simulate(**base | given)
    except HamlearnError as error:
        assert f"has no use for {setting}=" in str(error) and "would be ignored" in str(error)
        assert (name in INDEPENDENT) if setting != "ladder" else (name != "tempering")
        assert setting != "ladder" or name in ("own", "overrelaxation", "kawasaki", "kinks") or "'tempering'" in str(error)
        return
    plain = hl.simulate(**base)
    if setting in ("checkpoint", "out"):  # where it is kept changes nothing
        assert next(iter(given.values())).exists() and np.array_equal(plain["state"], other["state"])
        return
    assert not np.array_equal(plain["state"], other["state"])
    told = {"burn_in": ("burn_in", 3), "thin": ("sweeps_per_draw", 2)}
    assert setting not in told or other.attrs[told[setting][0]] == told[setting][1]
    assert setting != "ladder" or json.loads(other.attrs["ladder"]) == [0.1, 0.4]


def test_what_auto_takes_says_what_is_not_needed_and_refuses_a_ladder():
    found = hl.simulate(SQUARE, 0.4, draws=5, thin=3, burn_in=7, start=np.ones((3, 3)))
    assert found.attrs["sampler"] == "exact" and found.attrs["sampler_choice"].endswith(
        "burn_in and thin and start of chains are not needed"
    )
    with pytest.raises(HamlearnError, match=r"'exact' has no use for ladder=.*'tempering'"):
        hl.simulate(SQUARE, 0.4, draws=5, ladder=[0.2])
    with pytest.raises(HamlearnError, match="start must be one of"):
        hl.simulate(SQUARE, 0.4, draws=5, start="warm")


def test_what_is_needless_for_independent_draws_is_no_mistake_where_it_is_what_they_do():
    hl.simulate(SQUARE, 0.4, draws=5, sampler="exact", burn_in=0, thin="auto")


@pytest.mark.parametrize("ladder", [lambda rungs: {"sampler": Tempering(rungs)}, lambda rungs: {"sampler": "tempering", "ladder": rungs}])
def test_a_ladder_is_added_to_several_temperatures_which_alone_are_in_the_result(ladder):
    options = {"draws": 20, "chains": 2, "seed": 2, "burn_in": 5}
    found = hl.simulate(SQUARE, [0.6, 0.3], **options, **ladder([0.2, 0.45]))
    assert json.loads(found.attrs["ladder"]) == [0.2, 0.3, 0.45, 0.6] and found["beta"].values.tolist() == [0.6, 0.3]
    for index, beta in enumerate([0.6, 0.3]):  # the same ladder asked for otherwise
        rest = [one for one in (0.2, 0.3, 0.45, 0.6) if one != beta]
        np.testing.assert_array_equal(found["state"][index], hl.simulate(SQUARE, beta, **options, **ladder(rest))["state"])


def test_settings_of_a_sampler_that_is_derived_are_its_own():
    class Restless(Kawasaki):
        uses = frozenset({"burn_in", "thin"})

    with pytest.raises(HamlearnError, match="has no use for start="):
        hl.simulate(SYSTEMS["kawasaki"], 0.4, draws=3, sampler=Restless(), start="cold")
