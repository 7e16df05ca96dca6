"""Distribution-consistent learning: terms against loops, the likelihood against enumeration, the pipeline, and bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics.findings import told
from hamlearn.infer import posteriors, training_data
from hamlearn.infer.families import consistency, dcl
from hamlearn.infer.families.pair_terms import terms_of
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.systems import SPINS, exact, states
from statistics_budget import assert_within

BETA = 0.3


@pytest.mark.parametrize(("model", "space", "shape"), [((1, 1), SPINS, (4, 5)), ((2, 1), SPINS, (6, 4)), ((1, 1), states(3), (5,))])
def test_terms_are_added_once_per_pair_of_sites(model, space, shape):
    bound = hl.models.Extensive(*model, hidden=(2,)).bind(space, shape)
    terms, generator = terms_of(bound), np.random.default_rng(0)
    weights = {name: 0 * value for name, value in bound.start(0).items()}
    width = weights["matrix_0"].shape[0]
    weights |= {"pairs": np.zeros((width, width, 1)), "field": np.zeros((width, 1))}
    index = generator.integers(space.q, size=(20, int(np.prod(shape))))
    columns = terms(index)
    strengths = generator.normal(size=columns.shape[1])
    energy = bound.system(terms.added(weights, strengths)).energy(space.from_index(index).reshape(-1, *shape))
    expected = columns @ strengths
    np.testing.assert_allclose(energy - energy[0], expected - expected[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("space", "shape"), [(SPINS, (4, 5)), (SPINS, (6,)), (states(3), (5,))])
def test_terms_of_places_are_added_once_per_pair_of_sites(space, shape):
    """Strengths in weights against strengths times columns; columns against products of the contrasts themselves."""
    bound = hl.models.Extensive(1, 1, hidden=(2,), site_aware=True).bind(space, shape)
    terms, generator = terms_of(bound), np.random.default_rng(0)
    weights = {name: 0 * value for name, value in bound.start(0).items()}
    tiles, width = len(bound.tile_sites), weights["matrix_0"].shape[0]
    weights |= {"pairs": np.zeros((tiles, width, width, 1)), "field": np.zeros((tiles, width, 1))}
    index = generator.integers(space.q, size=(20, int(np.prod(shape))))
    columns = terms(index)
    assert columns.shape[1] == terms.count == np.linalg.matrix_rank(terms(generator.integers(space.q, size=(4000, index.shape[1]))))
    strengths = generator.normal(size=terms.count)
    energy = bound.system(terms.added(weights, strengths)).energy(space.from_index(index).reshape(-1, *shape))
    expected = columns @ strengths
    np.testing.assert_allclose(energy - energy[0], expected - expected[0], rtol=1e-5, atol=1e-4)


def test_terms_are_sums_over_the_lattice():
    bound = hl.models.Extensive(1, 1, (2,)).bind(SPINS, (5, 5))
    terms = terms_of(bound)
    state = np.random.default_rng(0).choice([-1, 1], size=(5, 5))
    found = terms(((state + 1) // 2).reshape(1, -1))[0]
    loops = [state.sum()]
    for dx, dy in terms.displacements:
        loops.append(sum(state[x, y] * state[(x + dx) % 5, (y + dy) % 5] for x in range(5) for y in range(5)))
    np.testing.assert_allclose(found, loops)
    assert len(loops) == 13


def test_weighted_draws_give_the_maximum_of_the_likelihood():
    """All states of a 3×3 torus as draws from the uniform density: the weights are exact sums over states."""
    ising = hl.systems.Ising((3, 3))
    every = exact.all_states(ising.lattice)
    spins = SPINS.from_index(every).reshape(-1, 3, 3)
    products = np.stack([spins.sum((1, 2)), (spins * np.roll(spins, 1, 1)).sum((1, 2)) + (spins * np.roll(spins, 1, 2)).sum((1, 2))], 1)
    weight = np.exp(-BETA * ising.energy(spins))
    mean = weight @ products / weight.sum()
    uniform = np.full(len(spins), -9 * np.log(2))
    change, covariance, share, log_z = consistency.maximum(np.zeros(512), products.astype(float), uniform, mean, BETA, 1000.0)
    np.testing.assert_allclose(change, [0, -1], atol=1e-8)
    np.testing.assert_allclose(log_z, exact.log_partition(ising, BETA), rtol=1e-10)
    fluctuation = (products * weight[:, None]).T @ products / weight.sum() - np.outer(mean, mean)
    assert covariance[1, 1] > np.linalg.inv(fluctuation)[1, 1] / BETA**2 / 1000
    assert 0 < share <= 1


def data_of(system, draws, seed=0):
    drawn = exact.sample(system, BETA, draws, seed=seed)
    return hl.microstates(np.asarray(drawn).reshape(draws, *system.lattice.shape), beta=BETA)


@pytest.fixture(scope="module")
def learned():
    density = hl.models.Autoregressive("made", hidden=16, symmetry=("translation",))
    model = hl.models.DCL(density, hl.models.Extensive(1, 1, (8,)), members=20, labels=2000, draws=4000)
    ising = hl.systems.Ising((4, 4))
    return ising, hl.infer.learn(data_of(ising, 4000), model, engine=hl.infer.Training(epochs=3, batch=100), seed=1)


def test_the_energy_is_recovered_within_its_errors(learned):
    ising, post = learned
    pair = np.random.default_rng(5).choice([-1, 1], size=(2, 4, 4))
    energies = hl.energy(post, pair, draws=20).values
    difference = energies[:, 0] - energies[:, 1]
    # The spread of twenty members is known to a sixth; irrelevant terms are dropped, which narrows it.
    assert_within(difference.mean(), np.subtract(*ising.energy(pair)), 1.5 * difference.std(ddof=1), "energy difference")


def test_consistency_improves_on_the_density(learned):
    ising, post = learned
    spins = np.random.default_rng(1).choice([-1, 1], size=(300, 4, 4))
    true = ising.energy(spins)
    error = (hl.energy(post, spins, draws=20).mean("member").values - true).std()
    assert error < 0.1 * true.std()
    assert posteriors.provenance_of(post).more["consistency"][0]["ess"] > 0.3


def test_the_loop(learned, tmp_path):
    _, post = learned
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    spins = np.random.default_rng(1).choice([-1, 1], size=(3, 4, 4))
    member, large = hl.draw_systems(loaded, 1)[0], hl.infer.families.of(loaded).draw_systems(loaded, 1, 0, (8, 8))[0]
    np.testing.assert_allclose(large.energy(np.tile(spins, (1, 2, 2))), 4 * member.energy(spins), rtol=1e-8, atol=1e-6)
    curve = hl.predict(loaded, beta=[BETA], draws=8, observables=["energy"])
    assert np.isfinite(curve["energy"].sel(quantity="mean").item())
    names, values = hl.infer.families.of(loaded).parameters(loaded)
    assert values.shape == (1, 20, len(names))
    model = posteriors.model_of(loaded)
    assert json.dumps(hl.models.from_dict(model.to_dict()).to_dict()) == json.dumps(model.to_dict())


def test_errors_grow_with_beta_and_reach_the_verdict(learned):
    _, post = learned
    betas = np.array([0.1, 0.3, 0.6])
    error, share = agreement(hl.draw_systems(post, 20), betas, seed=0)
    assert np.all(np.diff(error) > 0)
    np.testing.assert_allclose(share, np.exp(-(error**2)))
    assert any(one.topic == "extrapolation" for one in posteriors.provenance_of(post).findings)
    far = dcl._findings(betas, error, np.array([0.9, 0.5, 0.01]), 0.3)[0]
    assert far.severity == "caution"
    said = told(far, posteriors.provenance_of(post)).what
    assert "do not trust" in said
    assert "0.6" in said


def test_correlated_data_are_counted_as_what_they_are_worth():
    """Every state ten or forty times in a row: the verdict says what they are worth, and the scatter is that of the states."""
    ising = hl.systems.Ising((4, 4))
    states = exact.sample(ising, BETA, 600, seed=3).reshape(2, 300, 4, 4)
    density = hl.models.Autoregressive("made", hidden=8, symmetry=("translation",))
    model, scatter = hl.models.DCL(density, hl.models.Extensive(1, 1, (4,)), members=40, labels=1000, draws=4000), []
    for times in (10, 40):
        data = hl.microstates(np.repeat(states, times, axis=1), beta=BETA, dims=("chain", "draw", "x", "y"))
        post = hl.infer.learn(data, model, engine=hl.infer.Training(epochs=80 // times, batch=100), seed=1)
        calibration = posteriors.provenance_of(post).calibration
        assert calibration.tau == pytest.approx(times, rel=0.5)
        assert calibration.ess == pytest.approx(600, rel=0.5)
        pair = np.stack([np.ones((4, 4)), np.where(np.indices((4, 4)).sum(0) % 2, -1, 1)])
        scatter.append(hl.energy(post, pair, draws=40).values @ [1, -1])
    assert np.std(scatter[1]) == pytest.approx(np.std(scatter[0]), rel=0.6)
    assert any("worth" in one.what for one in hl.verdict(post).reasons)
    few = hl.diagnostics.verdict(posteriors.with_provenance(post, calibration=replace(calibration, **dcl._worth(24_000, 400.0))))
    assert any(one.severity == "caution" and "too few independent batches" in one.what for one in few.reasons)


def test_the_mean_of_repeated_rows_is_known_as_well_as_that_of_the_rows():
    """Rows repeated twenty times: the covariance of their mean is that of the rows, also where two terms are nearly the same."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2, 1500, 3))
    rows[..., 1] = rows[..., 0] + 0.05 * rows[..., 1]
    covariance = np.cov(rows.reshape(-1, 3).T)
    series = np.repeat(rows, 20, axis=1)
    found = consistency.of_the_mean(covariance, 60_000, series)
    expected = covariance / 3000
    for direction in np.array([[1, 0, 0], [1, -1, 0], [0, 0, 1]]):
        assert direction @ found @ direction == pytest.approx(direction @ expected @ direction, rel=0.3)
    np.testing.assert_allclose(consistency.of_the_mean(covariance, 3000, None), expected)


def test_a_time_too_long_to_be_measured_is_not_none():
    """Spins that turn over together a few times in the whole run: the error of τ is as large as τ."""
    turned = np.where(np.arange(4000) // 1300 % 2, 1, -1)
    noise = np.where(np.random.default_rng(0).random((1, 4000, 4, 4)) < 0.1, -1, 1)
    data = hl.microstates((noise * turned[:, None, None]).astype(np.int8), beta=BETA, dims=("chain", "draw", "x", "y"))
    assert training_data._tau(data, (data["state"].values.reshape(1, 4000, 16) + 1) // 2, SPINS) > 500
    independent = data.copy(data={"state": noise})
    assert training_data._tau(independent, (noise.reshape(1, 4000, 16) + 1) // 2, SPINS) == 1


def test_a_glass_is_made_consistent_place_by_place():
    """Energies of a 4×4 glass, of whose 136 possible bonds 32 exist, within the members' scatter."""
    glass = hl.systems.EdwardsAnderson((4, 4), seed=1)
    density, energy = hl.models.Autoregressive(hidden=16), hl.models.Extensive(1, 1, (4,), site_aware=True)
    model = hl.models.DCL(density, energy, members=16, labels=2000, draws=8000)
    post = hl.infer.learn(data_of(glass, 8000), model, engine=hl.infer.Training(epochs=6, batch=50), seed=1)
    spins = np.random.default_rng(1).choice([-1, 1], size=(300, 4, 4))
    true = glass.energy(spins) - glass.energy(spins).mean()
    each = np.stack([one.energy(spins) for one in hl.draw_systems(post, 16)])
    each -= each.mean(1, keepdims=True)
    error, scatter = np.sqrt(((each.mean(0) - true) ** 2).mean()), np.sqrt(each.var(0, ddof=1).mean())
    assert error < 0.15 * true.std()
    assert 0.5 < error / scatter < 1.6
    assert posteriors.provenance_of(post).more["consistency"][0]["ess"] > 0.3


def test_one_density_alone_does_not_know_its_errors():
    glass = hl.systems.EdwardsAnderson((4, 4), seed=1)
    density, energy = hl.models.Autoregressive(hidden=16), hl.models.Extensive(1, 1, (4,), site_aware=True)
    model = hl.models.DCL(density, energy, members=2, labels=2000, draws=2000, consistent=False)
    post = hl.infer.learn(data_of(glass, 4000), model, engine=hl.infer.Training(epochs=6, batch=50), seed=1)
    spins = np.random.default_rng(1).choice([-1, 1], size=(300, 4, 4))
    true = glass.energy(spins)
    assert np.corrcoef(hl.draw_systems(post, 1)[0].energy(spins), true)[0, 1] > 0.95
    found = hl.verdict(post)
    assert any(one.topic == "extrapolation" and one.severity == "caution" for one in found.reasons)


def test_error_between_members_is_that_of_their_couplings():
    """Members J with known scatter: β' sd(ε) = β' sd(J) sd(Σσσ), by enumeration at β'."""
    data = data_of(hl.systems.Ising((3, 3)), 2000)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    post = hl.infer.learn(data, model, engine="laplace")
    members = hl.draw_systems(post, 16, seed=0)
    strengths = np.array([member.J[0] for member in members])
    ising = hl.systems.Ising((3, 3))
    energies = ising.energy(SPINS.from_index(exact.all_states(ising.lattice)).reshape(-1, 3, 3))
    weight = np.exp(-0.4 * energies)
    spread = np.sqrt(weight @ energies**2 / weight.sum() - (weight @ energies / weight.sum()) ** 2)
    found = agreement(members, np.array([0.4]), seed=0)[0].item()
    np.testing.assert_allclose(found, 0.4 * strengths.std(ddof=1) * spread, rtol=0.2)  # 512 draws


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hl.models.DCL(members=0), "members must be a whole number"),
        (lambda: hl.models.DCL(hl.models.Autoregressive(condition="beta")), "one temperature"),
        (lambda: hl.models.DCL(extensive=hl.models.Extensive(pairs=False)), "pairs=True"),
        (
            lambda: hl.infer.learn([hl.microstates(np.ones((50, 4, 4)), beta=b) for b in (0.1, 0.2)], hl.models.DCL()),
            "one temperature; the data hold 2",
        ),
        (lambda: hl.infer.learn(hl.microstates(np.ones((50, 2, 2)), beta=0.1), hl.models.DCL()), "at least 3"),
        (
            lambda: hl.infer.learn(hl.microstates(np.ones((50, 4, 4)), beta=0.1), hl.models.DCL(), engine=hl.infer.Bayesian()),
            "engine must be 'auto', 'training'",
        ),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(hl.HamlearnError, match=message):
        make()
