"""Extensive networks: sums over tiles against NumPy, recovery of energies, other sizes, tables, locality, and bad input."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.families import extensive
from hamlearn.infer.families.extensive import distill, held_out, locality
from hamlearn.models.extensive import ExtensiveEnergy
from hamlearn.systems import SPINS, InteractionTables, states

QUICK = hl.infer.Training(epochs=4, batch=64, learning_rate=5e-3, patience=8, weight_decay=0.0)


def spins(n, shape, seed=0):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), size=(n, *shape))


def random_weights(bound, seed=0):
    generator = np.random.default_rng(seed)
    weights = {name: generator.normal(scale=0.4, size=np.shape(value)) for name, value in bound.start(0).items()}
    width = weights["matrix_0"].shape[0]
    lead = (len(bound.tile_sites),) if bound.model.site_aware else ()
    weights["pairs"] = generator.normal(scale=0.1, size=(*lead, width, width, 1))
    weights["field"] = generator.normal(size=(*lead, width, 1))
    return weights


@pytest.mark.parametrize("site_aware", [False, True])
def test_energy_is_the_sum_of_a_network_over_tiles(site_aware):
    model = hl.models.Extensive(focus=2, context=1, hidden=(5, 3), activation="tanh", site_aware=site_aware)
    bound = model.bind(SPINS, (6, 4))
    weights, batch = random_weights(bound), spins(3, (6, 4))
    expected = np.zeros(3)
    for row, state in enumerate(batch):
        for t, (x, y) in enumerate((x, y) for x in range(0, 6, 2) for y in range(0, 4, 2)):
            tile = np.array([state[(x + dx) % 6, (y + dy) % 4] for dx in range(4) for dy in range(4)], float)
            first = tile @ weights["matrix_0"] + weights["offset_0"] + (weights["place"][t] if site_aware else 0)
            second = np.tanh(np.tanh(first) @ weights["matrix_1"] + weights["offset_1"])
            pick = t if site_aware else slice(None)
            expected[row] += second @ (weights["matrix_2"][:, 0] + (weights["readout"][t, :, 0] if site_aware else 0))
            expected[row] += weights["offset_2"][0] + tile @ weights["pairs"][pick][..., 0] @ tile + tile @ weights["field"][pick][..., 0]
    np.testing.assert_allclose(ExtensiveEnergy(bound, weights).energy(batch), expected, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("site_aware", [False, True])
@pytest.mark.parametrize("space", [SPINS, states(3)], ids=["spins", "states"])
def test_table_and_network_are_one_energy(space, site_aware):
    model = hl.models.Extensive(focus=1, context=1, hidden=(4,), site_aware=site_aware)
    bound = model.bind(space, (6,))
    weights = random_weights(bound)
    batch = space.from_index(np.random.default_rng(1).integers(space.q, size=(20, 6)))
    tiles, network = bound.system(weights), ExtensiveEnergy(bound, weights)
    assert isinstance(tiles, InteractionTables)
    difference = tiles.energy(batch) - network.energy(batch)
    np.testing.assert_allclose(difference, difference[0], atol=1e-4)


@pytest.mark.parametrize("site_aware", [False, True])
def test_change_of_one_site_looks_at_its_tiles_only(site_aware):
    bound = hl.models.Extensive(focus=2, context=1, hidden=(4,), site_aware=site_aware).bind(SPINS, (8, 8))
    system, batch = ExtensiveEnergy(bound, random_weights(bound)), spins(5, (8, 8))
    for site in (0, 27, 63):
        flipped = batch.copy().reshape(5, -1)
        flipped[:, site] *= -1
        expected = system.energy(flipped.reshape(batch.shape)) - system.energy(batch)
        np.testing.assert_allclose(system.change(batch, site, flipped[:, site]), expected, atol=1e-3)


def test_a_symmetric_network_does_not_see_a_flip():
    bound = hl.models.Extensive(focus=2, context=0, hidden=(4,), symmetry="z2").bind(SPINS, (4, 4))
    weights = {name: value for name, value in random_weights(bound).items() if name not in ("pairs", "field")}
    system, batch = ExtensiveEnergy(bound, weights), spins(5, (4, 4))
    np.testing.assert_allclose(system.energy(batch), system.energy(-batch), atol=1e-5)


def test_pairs_are_learned_exactly_from_few_states_at_any_size():
    ising = hl.systems.Ising((8, 8))
    post = distill(spins(600, (8, 8)), ising, hl.models.Extensive(), seed=0)
    member = hl.infer.families.of(post).draw_systems(post, 1, 0, (12, 16))[0]
    large = spins(50, (12, 16), 1)
    difference = member.energy(large) - hl.systems.Ising((12, 16)).energy(large)
    assert difference.std() < 1e-3  # 2⁻²³ of each of 48 tiles, and the ridge
    assert "held-out error" in posteriors.provenance_of(post).reasons[0]


def test_a_glass_needs_to_know_the_site():
    glass = hl.systems.EdwardsAnderson((4, 4), seed=1)
    labelled = spins(1500, (4, 4))
    errors = []
    for site_aware in (True, False):
        model = hl.models.Extensive(focus=2, context=1, hidden=(8,), site_aware=site_aware)
        errors.append(posteriors.provenance_of(distill(labelled, glass, model, engine=QUICK)).more["held_out_error"][0])
    assert errors[0] < 1e-3 < errors[1]


def test_a_network_learns_what_pairs_cannot():
    """H = Σ σσσσ over plaquettes; the oracle is np.roll."""
    labelled = spins(4000, (6, 6))
    down, right = np.roll(labelled, -1, 1), np.roll(labelled, -1, 2)
    energies = (labelled * down * right * np.roll(down, -1, 2)).sum((1, 2))
    model = hl.models.Extensive(focus=1, context=1, hidden=(32,), activation="tanh")
    engine = hl.infer.Training(epochs=30, batch=64, learning_rate=1e-2, patience=30, weight_decay=0.0)
    record = posteriors.provenance_of(distill(labelled, energies, model, engine=engine))
    assert record.more["held_out_error"][0] < 0.2 * energies.std()


def test_locality_finds_the_range():
    ising = hl.systems.Ising((6,))
    found = locality(spins(600, (6,)), ising, contexts=(0, 1), engine=QUICK)
    assert found["relative_error"].sel(context=0).item() > 0.5
    assert found["relative_error"].sel(context=1).item() < 1e-3


def test_several_outputs():
    batch = spins(500, (6,))
    labels = np.stack([batch.sum(1), hl.systems.Ising((6,)).energy(batch)], 1)
    post = distill(batch, labels, hl.models.Extensive(1, 1, (4,), outputs=2), engine=QUICK)
    predicted = extensive.outputs(post, batch)[0]
    np.testing.assert_allclose(predicted, labels - labels[~held_out(batch.reshape(500, -1))].mean(0), atol=1e-3)
    with pytest.raises(hl.HamlearnError, match="outputs=1"):
        hl.draw_systems(post, 1)


def test_the_loop(tmp_path):
    potts = hl.systems.Potts((4, 4), q=3)
    labelled = np.random.default_rng(0).integers(3, size=(2000, 4, 4))
    post = distill(labelled, potts, hl.models.Extensive(1, 1, (4,), members=2), engine=QUICK, seed=1)
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    np.testing.assert_allclose(hl.energy(loaded, labelled[:9], draws=2), hl.energy(post, labelled[:9], draws=2))
    member = hl.draw_systems(loaded, 1)[0]
    difference = member.energy(labelled) - potts.energy(labelled)
    assert difference.std() < 1e-3
    assert hl.infer.families.of(loaded).parameters(loaded)[1].shape[:2] == (1, 2)
    assert loaded["training"].sizes["member"] == 2
    assert hl.models.from_dict(hl.models.Extensive(1, 0, (3,), symmetry="z2").to_dict()).symmetry == ("z2",)


def test_duplicates_are_on_one_side_and_the_share_is_right():
    batch = spins(4000, (16,))
    held = held_out(np.concatenate([batch, batch]), 0.25)
    np.testing.assert_array_equal(held[:4000], held[4000:])
    assert abs(held.mean() - 0.25) < 0.04  # six standard errors


def test_a_tile_with_too_many_states_is_sampled_by_its_energies():
    post = distill(spins(200, (6, 6)), hl.systems.Ising((6, 6)), hl.models.Extensive(1, 2, (4,)), engine=QUICK)
    member = hl.draw_systems(post, 1)[0]
    assert isinstance(member, ExtensiveEnergy)
    assert hl.simulate(member, beta=0.2, draws=2, chains=2, seed=0, burn_in=1)["state"].shape == (2, 2, 6, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hl.models.Extensive(focus=0), "focus must be a positive"),
        (lambda: hl.models.Extensive(context=-1), "context"),
        (lambda: hl.models.Extensive(symmetry="z3"), "must be one of 'z2'"),
        (lambda: hl.models.Extensive().bind(SPINS, (5, 5)), "multiples of 2"),
        (lambda: hl.models.Extensive().bind(SPINS, (2, 2)), "at least 4"),
        (lambda: hl.models.Extensive().bind(hl.systems.ANGLES, (4, 4)), "continuous"),
        (lambda: hl.models.Extensive(symmetry="z2").bind(states(3), (4, 4)), "flip of spins"),
        (lambda: distill(spins(100, (4, 4)), np.zeros(99)), "labels of shape"),
        (lambda: distill(spins(10, (4, 4)), np.zeros(10)), "too few"),
        (lambda: distill(spins(100, (4, 4)), np.full(100, -np.inf)), "log-probabilities"),
        (lambda: hl.infer.learn(hl.microstates(spins(100, (4, 4)), beta=1.0), hl.models.Extensive()), "distill"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(hl.HamlearnError, match=message):
        make()
