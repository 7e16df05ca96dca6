"""Transitions without an order parameter: systems whose answer is known, and systems that have none."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import phases
from hamlearn.diagnostics.phases import energies, labelled, samples, spectrum
from statistics_budget import assert_within

ONSAGER = 2 / np.log(1 + np.sqrt(2))


def told(states: np.ndarray, betas: np.ndarray) -> list:
    """Independent rows ``(k, chain, draw, *sites)`` as microstates."""
    dims = ("chain", "draw", *(f"x{axis}" for axis in range(states.ndim - 3)))
    return [hl.microstates(one, space="spins", beta=beta, dims=dims) for one, beta in zip(states, betas, strict=True)]


def in_a_field(size: int, betas: np.ndarray, turn: float, seed: int, draws: int = 400) -> np.ndarray:
    """Spins that do not interact, in the field β − turn: exp(−βE) with E = −M, and a Fisher information per site of 1/cosh²(β − turn)."""
    up = 1 / (1 + np.exp(-2 * (betas - turn)))
    return np.where(np.random.default_rng(seed).random((len(betas), 4, draws, size, size)) < up[:, None, None, None, None], 1, -1)


def of_a_chain(size: int, betas: np.ndarray, seed: int, draws: int = 400) -> np.ndarray:
    """The periodic Ising chain: bonds are independent but for their product, which is 1."""
    rng, rows = np.random.default_rng(seed), []
    for beta in betas:
        bonds = np.where(rng.random((12 * draws, size)) < 1 / (1 + np.exp(-2 * beta)), 1, -1)
        bonds = bonds[bonds.prod(1) == 1][: 4 * draws]
        rows.append(rng.choice([-1, 1], (len(bonds), 1)) * np.cumprod(bonds, 1))
    return np.stack(rows).reshape(len(betas), 4, draws, size)


def with_hidden_order(size: int, temperatures: np.ndarray, seed: int) -> np.ndarray:
    """Independent spins given a hidden sign, with the magnetization √(1 − T/2) below T = 2 and none above."""
    rng, m = np.random.default_rng(seed), np.sqrt(np.maximum(0, 1 - temperatures / 2))
    sign = rng.choice([-1, 1], (len(m), 4, 400, 1, 1))  # every row has its own: what a good sampler gives
    return np.where(rng.random((len(m), 4, 400, size, size)) < (1 + sign * m[:, None, None, None, None]) / 2, 1, -1)


@pytest.fixture(scope="module")
def ferromagnet():
    betas = 1 / np.linspace(1.9, 2.7, 9)
    options = {"draws": 500, "chains": 4, "sampler": "swendsen_wang", "progress": False}
    return [hl.simulate(hl.systems.Ising((size, size)), betas, seed=size, **options) for size in (6, 12)]


def test_the_square_ferromagnet_has_its_transition(ferromagnet, tmp_path):
    found = phases.pca(ferromagnet)
    assert found.verdict == "transition"
    assert found.bracket[0] < ONSAGER < found.bracket[1]
    assert_within(found.temperature.mean, ONSAGER, found.temperature.sd)
    assert_within(found.nu.mean, 1.0, found.nu.sd)
    assert found.to_dataset().attrs["verdict"] == "transition"
    assert "Tc" in repr(found) and "(0, 0)" in repr(found)
    page = hl.report(found, tmp_path / "phases.html").read_text(encoding="utf-8")
    assert f"Critical temperature {found.temperature.mean:.5g}" in page and page.count("<tr") == 4 + len(found.curves)


def test_the_energy_that_is_learned_is_the_energy(ferromagnet):
    given = samples.admit(ferromagnet)
    for sample, energy in zip(given, energies.learned(given), strict=True):
        flat = sample.states.reshape(-1, *sample.shape).astype(float)
        true = -sum((flat * np.roll(flat, 1, axis)).sum((1, 2)) for axis in (1, 2))
        slope, _ = np.polyfit(true, energy.ravel(), 1)
        assert np.corrcoef(true, energy.ravel())[0, 1] > 0.999
        assert abs(slope - 1) < 0.05  # its error: 1/√(information of all steps), about 0.01


@pytest.mark.parametrize("way", [phases.pca, phases.fisher, phases.confusion])
def test_a_chain_has_no_transition(way, tmp_path):
    betas = 1 / np.linspace(0.9, 2.4, 6)
    found = way([one for size in (8, 32) for one in told(of_a_chain(size, betas, size), betas)])
    assert found.verdict == "none"
    assert "There is no transition" in hl.report(found, tmp_path / "phases.html").read_text(encoding="utf-8")
    with pytest.raises(hl.HamlearnError, match="no critical temperature"):
        _ = found.temperature


def test_where_sizes_look_alike_nothing_is_said():
    """A chain at T = 0.25 is ordered as far as 16 sites can see: no transition above, and nothing known there."""
    betas = 1 / np.array([0.25, 0.3, 0.9, 1.4, 1.9, 2.4])
    given = samples.admit([one for size in (8, 16) for one in told(of_a_chain(size, betas, size), betas)])
    order = spectrum.order(spectrum.of(given))
    assert order.verdict == "undecided"
    assert "no component grows into order from T = " in order.why and "critical line" in order.why


def test_spins_that_do_not_interact_peak_where_their_field_turns_and_have_no_transition():
    betas, turn = np.linspace(0.2, 1.4, 9), 0.8
    found = phases.fisher([one for size in (4, 8) for one in told(in_a_field(size, betas, turn, size), betas)])
    assert found.verdict != "transition"
    assert_within(found.estimates["temperature"], 1 / turn, found.estimates["sd"])
    top = found.curves.groupby("size")["mean"].max()
    assert np.all(np.abs(top - 1) < 0.1)


def test_a_weak_field_is_no_transition():
    """Its order grows from nothing to m = 0.76 as it gets colder, and with the size: only that it never turns over tells."""
    betas = np.array([0.01, 0.02, 0.4, 0.6, 0.8, 1.0])
    given = samples.admit([one for size in (4, 8) for one in told(in_a_field(size, betas, 0.0, size), betas)])
    order = spectrum.order(spectrum.of(given))
    assert order.verdict == "undecided"
    assert "lean to one side" in order.why


def test_confusion_peaks_where_the_field_turns():
    betas = np.linspace(0.05, 1.55, 9)  # the W's middle is where steps say most: at the turn, for equal steps of β
    found = phases.confusion(told(in_a_field(4, betas, 0.8, 0, draws=1500), betas))
    at = found.curves.loc[found.curves["mean"].iloc[2:-2].idxmax()]
    assert found.verdict == "undecided"  # one size
    assert abs(1 / at["temperature"] - 0.8) < 0.2


def test_hidden_order_is_bracketed():
    temperatures = np.array([1.4, 1.6, 1.8, 2.2, 2.4, 2.6])
    given = samples.admit([one for size in (6, 12) for one in told(with_hidden_order(size, temperatures, size), 1 / temperatures)])
    order = spectrum.order(spectrum.of(given))
    assert order.verdict == "transition"
    assert order.lower < 2 < order.upper


def test_components_are_those_of_the_whole_covariance():
    betas = np.linspace(0.5, 0.9, 5)
    given = samples.admit(told(-of_a_chain(6, betas, 0), betas))
    found = spectrum.of(given)[0]
    rows = given[0].states.reshape(-1, 6).astype(float)
    every = np.concatenate([np.roll(rows, shift, 1) for shift in range(6)])  # what translation invariance adds
    values = np.sort(np.linalg.eigvalsh(every.T @ every / len(every)))[::-1] / 6
    assert (found.leading, found.beside) == ((0,), (1,))
    np.testing.assert_allclose([found.first.mean(), found.second.mean(), found.second.mean()], values[:3], rtol=1e-10)


def test_the_leading_component_is_found_and_not_assumed():
    options = {"draws": 200, "chains": 4, "progress": False, "seed": 0}
    betas = 1 / np.linspace(1.6, 2.4, 5)
    other = samples.admit(hl.simulate(hl.systems.Ising((6, 6), J=-1.0), betas, **options))
    fixed = samples.admit(hl.simulate(hl.systems.Ising((6, 6), magnetization=0), betas, **options))
    assert spectrum.of(other)[0].leading == (3, 3)
    assert spectrum.of(fixed)[0].leading == (0, 1)


def test_too_little_is_refused_with_what_is_missing():
    betas = 1 / np.linspace(0.9, 2.4, 6)
    rows = of_a_chain(8, betas, 0)
    with pytest.raises(hl.HamlearnError, match="it needs 2 more, on both sides"):
        phases.pca(told(rows[:3], betas[:3]))
    with pytest.raises(hl.HamlearnError, match=r"undecided: size 8 has 4 chains of 5 draws.*more draws of every chain"):
        phases.confusion(told(rows[:, :, :5], betas))
    with pytest.raises(hl.HamlearnError, match="chains that never move at 6 of 6 temperatures"):
        phases.confusion(told(np.repeat(rows[:, :1, :1], 200, 2), betas))
    one = phases.fisher(told(rows, betas))
    assert one.verdict == "undecided" and "one size" in one.why


def test_halves_hold_whole_chains():
    betas = 1 / np.linspace(0.9, 2.4, 6)
    one = samples.admit(told(of_a_chain(8, betas, 0, draws=20), betas))[0]
    masks = [one.half(which) for which in (0, 1)]
    assert np.array_equal(masks[0], ~masks[1])
    assert masks[0].sum(1).tolist() == [20, 0, 20, 0]


def test_a_picture_has_a_line_of_every_size_and_the_bracket():
    betas = 1 / np.linspace(1.4, 2.6, 6)
    found = phases.fisher([one for size in (8, 16) for one in told(of_a_chain(size, betas, size), betas)])
    panel = hl.plots.phases(found).axes[0]
    assert {"L = 8", "L = 16"} <= {line.get_label() for line in panel.lines}
    assert panel.get_ylabel() == found.signal
    with pytest.raises(hl.HamlearnError, match="no transition: got an object of type dict"):
        hl.plots.phases({})


BETAS = 1 / np.linspace(0.8, 2.4, 9)


@pytest.fixture(scope="module")
def turning():
    """Spins in the field β − 0.7: cold ones point up, hot ones down, and the turn is at T = 1.43."""
    return told(in_a_field(8, BETAS, 0.7, 0, draws=100), BETAS)


@pytest.mark.parametrize("way", [phases.svm, phases.classifier])
def test_labels_with_a_gap_cross_where_the_field_turns_and_show_no_transition(way, turning):
    found = way(turning, cold=1.1, hot=2.1)
    place = found.estimates.iloc[0]
    # Trained at fields of 0.27 to 0.55 and −0.2 to −0.28: an output is one half where two Gaussians are alike, beside the turn.
    assert abs(place["temperature"] - 1 / 0.7) < 0.2
    assert found.verdict != "transition"
    assert "built in" in found.notes[0]
    with pytest.raises(hl.HamlearnError, match="no critical temperature"):
        _ = found.temperature


@pytest.mark.parametrize("cut", [1.1, 1.9])
def test_a_cut_is_its_own_answer(cut, turning):
    found = phases.svm(turning, cold=cut, hot=cut)
    turn, place = 1 / 0.7, found.estimates["temperature"].item()
    assert np.sign(place - turn) == np.sign(cut - turn) and abs(place - turn) > 0.15  # where the labels were cut, not where the field turns
    assert "follows the cut" in found.notes[0]


def test_labels_that_nothing_is_learned_from_are_refused(turning):
    with pytest.raises(hl.HamlearnError, match=r"no temperature below cold=0\.5"):
        phases.classifier(turning, cold=0.5, hot=2.0)
    with pytest.raises(hl.HamlearnError, match="cold <= hot; got 2 and 1"):
        phases.svm(turning, cold=2.0, hot=1.0)


def test_what_two_trainings_differ_by_is_no_memory_of_chains():
    betas = 1 / np.linspace(0.9, 2.4, 6)
    sample = samples.admit(told(of_a_chain(8, betas, 0, draws=100), betas))[0]
    output = np.random.default_rng(0).normal(size=(6, 4, 100)) + 10.0 * sample.half(0)  # as if one network said ten more
    assert labelled._block(sample, output) < 15  # five times the memory of independent numbers, which is 1


def test_networks_wrap_around():
    """Moved by whole pools, a microstate has the same features: nothing is at an edge."""
    torch = pytest.importorskip("torch")
    from hamlearn.infer.engines.neural import torch_sorting

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = torch_sorting.network((8, 8), 1)[:6]
        states = torch.sign(torch.randn(3, 1, 8, 8))
    with torch.no_grad():
        moved = layers(states.roll(4, -1))
        torch.testing.assert_close(layers(states).roll(1, -1), moved)
