"""Neural local energies: conditionals against flips of the energy, form-agnostic recovery, the loop, and bad input."""

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.families import local_interaction
from hamlearn.infer.likelihoods.table_conditionals import TileConditionals
from hamlearn.infer.observations import Observations
from hamlearn.infer.relevance import relevant
from hamlearn.systems import SPINS, InteractionTables, exact, states
from statistics_budget import assert_within, spend

BETA = 0.6


def conditionals(space, seed=0):
    """A likelihood on random states with a random table, its microstates and its table."""
    generator = np.random.default_rng(seed)
    tiles = InteractionTables((3, 4), (2, 2), generator.normal(size=space.q**4), 1, space)
    index = generator.integers(space.q, size=(2, 3, 12)).astype(np.int8)
    part = Observations(index, generator.uniform(0.5, 2, size=(2, 3)), True, BETA, True)
    return TileConditionals(tiles, [TileConditionals.encode(tiles, part)]), tiles, part


@pytest.mark.parametrize("space", [SPINS, states(3)], ids=["spins", "states"])
def test_conditionals_are_those_of_single_site_changes(space):
    likelihood, tiles, part = conditionals(space)
    total = 0.0
    for index, weight in zip(part.states.reshape(-1, 12), part.weight.ravel(), strict=True):
        for site in range(12):
            alternatives = np.tile(index, (space.q, 1))
            alternatives[:, site] = np.arange(space.q)
            log_weights = -BETA * tiles.energy(space.from_index(alternatives).reshape(-1, 3, 4))
            total += weight * (log_weights[index[site]] - np.logaddexp.reduce(log_weights))
    np.testing.assert_allclose(likelihood.value(tiles.tables), total, rtol=1e-12)


@pytest.mark.parametrize("space", [SPINS, states(3)], ids=["spins", "states"])
def test_gradient_and_curvature_are_finite_differences(space):
    likelihood, tiles, _ = conditionals(space)
    table, eps, count = tiles.tables, 1e-5, len(tiles.tables)
    directions = np.random.default_rng(1).normal(size=(5, count))
    _, slope = likelihood.scores(table)
    curvature = likelihood.curvature(table)
    for direction in directions:
        up, down = (likelihood.scores(table + sign * eps * direction) for sign in (1, -1))
        np.testing.assert_allclose((up[0] - down[0]) / (2 * eps), slope @ direction, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose((up[1] - down[1])[0] / (2 * eps), -curvature @ direction, rtol=1e-5, atol=1e-6)


def test_scores_add_up_over_labels():
    likelihood, tiles, _ = conditionals(SPINS)
    parts, slopes = likelihood.scores(tiles.tables, [np.arange(6)])
    whole, slope = likelihood.scores(tiles.tables)
    np.testing.assert_allclose(parts.sum(), whole[0], rtol=1e-12)
    np.testing.assert_allclose(slopes.sum(0), slope[0], rtol=1e-10, atol=1e-12)


def microstates_of(system, beta, draws, seed):
    sampled = exact.sample(system, beta, draws, seed=seed)
    return hl.microstates(np.asarray(sampled).reshape(draws, *system.lattice.shape), space="spins", beta=beta)


def with_plaquettes(shape, J=1.0, K=0.5):
    """H = −J Σ σσ' (neighbours along both axes) − K Σ σσσσ (plaquettes), as 2×2 tiles."""
    spins = 2 * ((np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1) - 1  # (0,0) (0,1) (1,0) (1,1)
    return InteractionTables(shape, 2, -J * spins[:, 0] * (spins[:, 1] + spins[:, 2]) - K * spins.prod(1))


MODEL = hl.models.LocalInteraction(window=2, hidden=(16,), members=20)


@pytest.fixture(scope="module")
def four_spin():
    system = with_plaquettes((4, 4))
    return system, hl.infer.learn(microstates_of(system, 0.3, 10_000, 1), MODEL, seed=3)


def test_the_network_is_switched_on_where_four_spins_interact(four_spin):
    system, post = four_spin
    assert posteriors.provenance_of(post).engine.settings["decay"] is not None
    random_states = SPINS.values[np.random.default_rng(0).integers(2, size=(500, 4, 4))]
    true = system.energy(random_states)
    learned = local_interaction.point(post).energy(random_states)
    pairs = MODEL.bind(SPINS, (4, 4))
    pairs_only = pairs.system(pairs.terms @ post["point"]["strength"].values).energy(random_states)
    assert (learned - true).std() < 0.15 * (pairs_only - true).std()


def test_members_scatter_about_the_truth(four_spin):
    system, post = four_spin
    states = SPINS.values[np.random.default_rng(1).integers(2, size=(2, 4, 4))]
    energies = hl.energy(post, states, draws=20).values
    difference = energies[:, 0] - energies[:, 1]
    truth = np.subtract(*system.energy(states))
    # Few members: their standard deviation is known to a fifth, and the penalty pulls towards pairs.
    assert_within(difference.mean(), truth, 1.5 * difference.std(ddof=1), "energy difference of two random states")


def test_pairs_are_recognised_and_their_errors_cover():
    ising = hl.systems.Ising((4, 4))
    post = hl.infer.learn(microstates_of(ising, 0.3, 4000, 2), MODEL, seed=1)
    assert posteriors.provenance_of(post).engine.settings["decay"] is None
    strength = post["posterior"]["strength"]
    names = list(strength["term"].values)
    truth = [-1.0 if name in ("pair[0,1]", "pair[1,0]") else 0.0 for name in names]
    assert_within(post["point"]["strength"].values, truth, strength.std(("chain", "draw"), ddof=1).values * 1.3, "pair strengths")


def test_irrelevant_strengths_vanish():
    """One strength with error σ: the evidence is largest at prior variance max(0, K² − σ²), whence K − σ²/K."""
    error = 0.05
    for z, expected in ((0.5, 0.0), (0.9, 0.0), (1.2, 1.2 - 1 / 1.2), (3.0, 3 - 1 / 3), (-20.0, -20 + 1 / 20)):
        found = relevant(np.array([z * error, 1.0]), error**2 * np.eye(2))
        np.testing.assert_allclose(found[0], expected * error, atol=1e-4)
        np.testing.assert_allclose(found[1], 1 - error**2, rtol=1e-4)


@pytest.mark.slow
def test_members_scatter_as_repeated_experiments_do():
    """z of the two neighbour couplings over 40 data sets: its mean square is χ² distributed."""
    ising, model, z = hl.systems.Ising((4, 4)), hl.models.LocalInteraction(2, (8,), 60, decay=None), []
    for seed in range(40):
        post = hl.infer.learn(microstates_of(ising, 0.3, 1500, 100 + seed), model, seed=seed)
        strength = post["posterior"]["strength"].sel(term="pair[0,1]")
        z.append((post["point"]["strength"].sel(term="pair[0,1]").item() + 1) / strength.std().item())
    square = float(np.sum(np.square(z)))
    # The sandwich from 150 batches of each data set is itself uncertain by 6 %: the limits are widened by 10 %.
    assert scipy.stats.chi2.sf(square / 1.1, 40) > spend()
    assert scipy.stats.chi2.cdf(square * 1.1, 40) > spend()


def test_the_loop(four_spin, tmp_path):
    system, post = four_spin
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    np.testing.assert_array_equal(loaded["posterior"]["table"].values, post["posterior"]["table"].values)
    small, large = hl.draw_systems(loaded, 2)[0], hl.infer.families.of(loaded).draw_systems(loaded, 2, 0, (8, 8))[0]
    states = SPINS.values[np.random.default_rng(0).integers(2, size=(3, 4, 4))]
    # A periodic repetition of a state has as many times its energy.
    np.testing.assert_allclose(large.energy(np.tile(states, (1, 2, 2))), 4 * small.energy(states), rtol=1e-10)
    curve = hl.predict(loaded, beta=[0.3], draws=10, observables=["energy"])
    exact_energy = exact.thermodynamics(system, np.array([0.3]))["energy"].item()
    many = SPINS.values[np.random.default_rng(0).integers(2, size=(5000, 4, 4))]
    shift = (small.energy(many) - system.energy(many)).mean() / 16  # energies are learned up to a constant
    assert abs(curve["energy"].sel(beta=0.3, quantity="mean").item() - exact_energy - shift) < 0.05
    again = hl.infer.learn(microstates_of(system, 0.3, 500, 1), MODEL, seed=3)
    assert hl.infer.families.of(again).parameters(again)[1].shape == (1, 20, 6)


def test_weights_reproduce_the_tables(four_spin):
    _, post = four_spin
    bound, group = local_interaction.bound_of(post), post["weights"].to_dataset()
    member = group.isel(member=3)
    inputs, count = bound.inputs, len([name for name in group if str(name).startswith("matrix")])
    for layer in range(count):
        inputs = inputs @ member[f"matrix_{layer}"].values + member[f"offset_{layer}"].values
        inputs = inputs / (1 + np.exp(-inputs)) if layer < count - 1 else inputs
    table = inputs[:, 0] - inputs[:, 0].mean() + bound.terms @ member["strengths"].values
    np.testing.assert_allclose(table, post["posterior"]["table"].values[0, 3], atol=1e-9)


def test_states_and_one_dimension():
    potts = hl.systems.Potts(6, q=3)
    data = hl.simulate(potts, beta=0.7, draws=6000, chains=2, seed=0)
    post = hl.infer.learn(data, hl.models.LocalInteraction(window=2, hidden=(8,), members=8), seed=0)
    states = np.random.default_rng(0).integers(3, size=(200, 6))
    difference = local_interaction.point(post).energy(states) - potts.energy(states)
    assert difference.std() < 0.1 * potts.energy(states).std()


def test_repeated_draws_do_not_sharpen_the_ensemble():
    """Every state sixteen or sixty-four times in a row: the same scatter, and the record says what the data are worth."""
    ising, spread = hl.systems.Ising((4, 4)), []
    states = exact.sample(ising, 0.3, 800, seed=0).reshape(2, 400, 4, 4)
    for times in (16, 64):
        data = hl.microstates(np.repeat(states, times, axis=1), beta=0.3, dims=("chain", "draw", "x", "y"))
        post = hl.infer.learn(data, hl.models.LocalInteraction(window=2, members=16, decay=None), seed=0)
        record = posteriors.provenance_of(post)
        assert any("one draw in" in reason for reason in record.reasons)
        assert record.microstates == 800 * times
        assert record.calibration.ess == pytest.approx(800, rel=0.5)
        assert record.calibration.tau == pytest.approx(times, rel=0.5)
        spread.append(float(post["posterior"]["strength"].std("draw").sel(term="pair[0,1]").item()))
    assert spread[0] == pytest.approx(spread[1], rel=0.5)


def test_two_temperatures_enter_jointly():
    ising = hl.systems.Ising((4, 4))
    sets = [microstates_of(ising, beta, 1000, seed) for seed, beta in enumerate((0.2, 0.4))]
    post = hl.infer.learn(sets, hl.models.LocalInteraction(2, (8,), 8, decay=None))
    strength = dict(zip(post["point"]["term"].values, post["point"]["strength"].values, strict=True))
    assert abs(strength["pair[0,1]"] + 1) < 0.1


def test_description_round_trip():
    model = hl.models.LocalInteraction((2, 3), (8, 4), 5, decay=3.0, activation="tanh")
    again = hl.models.from_dict(model.to_dict())
    assert again.to_dict() == model.to_dict()
    assert repr(again) == "LocalInteraction(window=(2, 3), hidden=(8, 4), members=5, decay=3.0)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hl.models.LocalInteraction(window=0), "window must be positive whole numbers"),
        (lambda: hl.models.LocalInteraction(decay=-1.0), "finite number > 0"),
        (lambda: hl.models.LocalInteraction(activation="siluu"), "Did you mean 'silu'"),
        (lambda: hl.models.LocalInteraction(5).bind(SPINS, (4, 4)), "does not fit"),
        (lambda: hl.models.LocalInteraction(4).bind(SPINS, (8, 8)), r"2\*\*16 states"),
        (lambda: hl.models.LocalInteraction(2).bind(hl.systems.ANGLES, (8, 8)), "continuous"),
        (lambda: hl.infer.learn(hl.microstates(np.ones((10, 4, 4)), beta=1.0), MODEL), "too few"),
        (lambda: hl.infer.learn(hl.microstates(np.ones((60, 4, 4)), beta=1.0), MODEL, engine="nuts"), "engine='auto'"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(hl.HamlearnError, match=message):
        make()
