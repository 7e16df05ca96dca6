"""Samplers are objects: settings, a user's own, and what is said of them in data and checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.systems import HMC, SAMPLERS, EdwardsAnderson, HeatBath, Ising, Kinks, Metropolis, Sampler, ScalarField, Tempering
from hamlearn.systems.sampling import loop, simulate_systems
from own_samplers import FREE, Known, Redraw
from statistics_budget import assert_within


def test_a_sampler_of_a_users_own_runs_with_attributes_and_checkpoint(tmp_path, monkeypatch):
    betas, options = [0.4, 1.1], {"draws": 300, "chains": 4, "seed": 5, "sampler": Redraw()}
    whole = hl.simulate(FREE, betas, **options)
    assert whole.attrs["sampler"] == "redraw" and whole.attrs["sampler_choice"] == "asked for" and whole.attrs["acceptance"] == 1.0
    for index, beta in enumerate(betas):
        found = whole.state.values[index].reshape(-1, 6)
        truth = np.tanh(beta * FREE.h)
        assert_within(found.mean(0), truth, np.sqrt((1 - truth**2) / len(found)), what="spins without couplings")
    chunk, calls, path = loop._chunk, [], tmp_path / "run.npz"

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return chunk(*arguments)

    monkeypatch.setattr(loop, "_chunk", dies)
    with pytest.raises(KeyboardInterrupt):
        hl.simulate(FREE, betas, checkpoint=path, **options)
    assert path.exists()
    monkeypatch.setattr(loop, "_chunk", chunk)
    again = hl.simulate(FREE, betas, checkpoint=path, **options)
    np.testing.assert_array_equal(again.state, whole.state)


def test_what_it_cannot_sample_it_says_itself():
    with pytest.raises(HamlearnError, match=r"'redraw' does not apply to Ising.*its spins are coupled.*'heat_bath'"):
        hl.simulate(Ising((3, 3)), 0.4, sampler=Redraw())


def test_an_engine_of_other_chains_is_refused():
    class Short(Redraw):
        def engine(self, system, betas, chains, adapt):
            return super().engine(system, betas, chains - 1, adapt)

    with pytest.raises(HamlearnError, match=r"steps chains \(1, 1\); asked for were \(1, 2\)"):
        hl.simulate(FREE, 0.4, draws=2, chains=2, sampler=Short())


# ---------------------------------------------------------------------- settings
def test_names_and_objects_are_one():
    options = {"draws": 20, "chains": 2, "seed": 1, "burn_in": 10}
    for name, sampler in (("heat_bath", HeatBath()), ("metropolis", Metropolis()), ("tempering", Tempering())):
        by_name, by_object = (hl.simulate(Ising((4, 4)), 0.3, sampler=one, **options) for one in (name, sampler))
        assert by_name.identical(by_object)
    assert all(name == one.name and isinstance(one, Sampler) for name, one in SAMPLERS.items())


def test_many_systems_take_names_and_objects_and_refuse_settings_that_they_would_ignore():
    systems, options = [Ising((3, 3), J=J) for J in (0.5, 1.0)], {"draws": 5, "burn_in": 5}
    for sampler in (HeatBath(), Metropolis(), Tempering()):
        by_name, by_object = (simulate_systems(systems, [0.1, 0.4], sampler=one, **options) for one in (sampler.name, sampler))
        np.testing.assert_array_equal(by_name, by_object)
    for given in (Tempering(ladder=np.array([0.2, 0.3])), Redraw(), HMC()):
        with pytest.raises(HamlearnError, match="many systems are drawn together by"):
            simulate_systems(systems, [0.1, 0.4], sampler=given, **options)


def test_settings_change_what_is_done_and_are_in_data_and_checkpoints(tmp_path, caplog):
    field = ScalarField((4,), m2=1.0, lam=0.5)
    options = {"draws": 20, "chains": 2, "seed": 1, "burn_in": 20}
    plain, longer = (hl.simulate(field, 1.0, sampler=one, **options) for one in (HMC(), HMC(length=3.0)))
    assert json.loads(longer.attrs["sampler_settings"]) == {"length": 3.0, "target": 0.8}
    assert not np.array_equal(plain.state, longer.state)
    path = tmp_path / "run.npz"
    hl.simulate(field, 1.0, sampler=HMC(), checkpoint=path, **options)
    other = hl.simulate(field, 1.0, sampler=HMC(length=3.0), checkpoint=path, **options)
    assert "sampler length" in caplog.text  # the file is another request's, and is left alone
    np.testing.assert_array_equal(other.state, longer.state)


def test_a_ladder_is_the_samplers_or_the_calls_not_both():
    options = {"draws": 20, "chains": 2, "burn_in": 10}
    system = Ising((4, 4))
    one = hl.simulate(system, 0.5, sampler=Tempering(ladder=[0.2, 0.3]), **options)
    other = hl.simulate(system, 0.5, sampler="tempering", ladder=[0.2, 0.3], **options)
    np.testing.assert_array_equal(one.state, other.state)
    assert json.loads(one.attrs["ladder"]) == [0.2, 0.3, 0.5]
    with pytest.raises(HamlearnError, match="given twice"):
        hl.simulate(system, 0.5, sampler=Tempering([0.2]), ladder=[0.3], **options)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (HMC, "settings such as"),
        (3, "settings such as"),
        ("gibbs", "sampler must be one of"),
        (HMC(), "angles and real values"),
        (Kinks(), "angles and real values"),
    ],
)
def test_what_is_no_sampler_or_does_not_apply_is_named(sampler, message):
    with pytest.raises(HamlearnError, match=message):
        hl.simulate(Ising((3, 3)), 0.4, sampler=sampler)


@pytest.mark.parametrize("make", [lambda: HMC(length=0), lambda: HMC(target=1.0), lambda: HMC(length="long")])
def test_settings_out_of_range_are_named(make):
    with pytest.raises(HamlearnError, match="HMC: "):
        make()


# ---------------------------------------------------------------------- systems known by their energies alone
def test_what_is_known_by_its_energy_is_drawn_exactly_where_it_is_asked_for_and_the_data_say_how():
    system, beta = EdwardsAnderson((2, 3), seed=4), 0.8
    data = hl.simulate(Known(system), beta, draws=4000, chains=2, seed=3, sampler="exact")
    assert data.attrs["sampler_choice"] == "asked for; all 64 states were listed and their energies evaluated one by one"
    energies, weight = [], []
    for bits in np.ndindex(*(2,) * 6):  # nothing of the package's own sums but the energy of one state
        energies.append(float(system.energy(2 * np.array(bits).reshape(2, 3) - 1)))
        weight.append(np.exp(-beta * energies[-1]))
    weight, energies = np.array(weight) / np.sum(weight), np.array(energies)
    mean = weight @ energies
    spread = np.sqrt(weight @ (energies - mean) ** 2 / 8000)
    assert_within([system.energy(data.state.values).mean()], [mean], [spread], what="energy of exact draws by evaluation")
    assert hl.simulate(Known(system), beta, draws=5, burn_in=5).attrs["sampler"] == "metropolis"  # unasked, nothing is listed
    with pytest.raises(HamlearnError, match=r"enumeration stops at 2\*\*16 states"):
        hl.simulate(Known(Ising((5, 5))), beta, sampler="exact")


@pytest.mark.parametrize("spoil", [lambda energy: energy[..., None], lambda energy: energy.sum(), lambda energy: energy.astype(str)])
@pytest.mark.parametrize("sampler", ["auto", "exact"])
def test_an_energy_that_is_not_one_number_per_state_is_named(spoil, sampler):
    with pytest.raises(HamlearnError, match="must be one number per state"):
        hl.simulate(Known(Ising((2, 3)), spoil), 0.4, draws=3, sampler=sampler)
    with pytest.raises(HamlearnError, match="must be one number per state"):
        hl.systems.exact.sample(Known(Ising((2, 3)), spoil), 0.4, 3, seed=0)


def test_an_observable_that_raises_is_named():
    broken = hl.systems.observables.Observable("broken", "a broken one", lambda states, system, beta: states @ np.ones(3))
    with pytest.raises(HamlearnError, match=r"'broken' failed on states of shape \(4, 2, 2\).*ValueError"):
        broken.of(np.ones((4, 2, 2)), Ising((2, 2)), 0.3)


@pytest.mark.parametrize("what", ["no such oracle", 3])
def test_an_oracle_that_is_not_registered_is_not_taken_out(what):
    before = list(hl.systems.exact.ORACLES)
    with pytest.raises(HamlearnError, match="no registered oracle"):
        hl.systems.exact.unregister(what)
    assert before == hl.systems.exact.ORACLES
