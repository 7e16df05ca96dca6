"""Actions at other temperatures: the identity in closed form, pooling, and the verdicts on it."""

import numpy as np
import pytest
from gaussian_oracles import field, path
from typer.testing import CliRunner

import hamlearn as hl
from hamlearn.cli.verbs import app
from hamlearn.diagnostics import sentences
from hamlearn.infer import extrapolate, identity_weights, posteriors
from hamlearn.infer.families import actions, extrapolated
from hamlearn.systems import DoubleWell, JoinedAction, Path, exact
from statistics_budget import assert_within

HARMONIC = hl.models.PolynomialAction((2,))
WELL = Path(16, DoubleWell(4.0, 2.8))
RNG = np.random.default_rng(2)


def words(noted):
    """The sentence of a finding about temperatures, which no other number goes into."""
    return sentences.of(noted.code, noted.numbers, None)[0]


def harmonic(beta, size=2000, n=8, seed=0, **more):
    return hl.infer.learn(path(n, beta, 1.0, 0.5, size, seed + int(beta), **more), HARMONIC)


def well(beta, size=1500, **model):
    data = hl.microstates(exact.sample(WELL, beta, size, seed=int(beta)), space="reals", beta=beta)
    return hl.infer.learn(data, hl.models.PolynomialAction((2, 4), **model))


def test_weights_of_two_temperatures_are_the_identity():
    for b1, b2, b3 in ((20.0, 40.0, 80.0), (20.0, 80.0, 40.0), (1.0, 3.0, 2.0)):
        first = b1 * (b3**2 - b2**2) / (b3 * (b1**2 - b2**2))
        second = b2 * (b1**2 - b3**2) / (b3 * (b1**2 - b2**2))
        np.testing.assert_allclose(identity_weights([b1, b2], b3), [first, second], rtol=1e-12)
    np.testing.assert_allclose(identity_weights([20, 80], 40), [0.4, 0.4])
    np.testing.assert_allclose(identity_weights([20, 40], 80), [-1, 2.5])
    np.testing.assert_allclose(identity_weights([20, 40], 20), [1, 0], atol=1e-12)


def test_weights_of_several_temperatures_are_least_squares():
    betas, beta = np.array([1.0, 2.0, 3.0, 5.0]), 4.0
    design, K, V = np.stack([1 / betas, betas], 1), 1.7, -0.4
    actions_there = design @ [K, V]
    weights = identity_weights(betas, beta)
    assert weights @ actions_there == pytest.approx(K / beta + beta * V)
    noise = RNG.normal(size=(4, 20_000))
    # Of all unbiased combinations it has the least variance: compare with those of any two temperatures.
    pairs = [identity_weights(betas[[i, j]], beta) for i in range(4) for j in range(i)]
    assert (weights**2).sum() < min((one**2).sum() for one in pairs)
    assert np.var(weights @ noise) == pytest.approx((weights**2).sum(), rel=0.05)
    trusted = identity_weights(betas, beta, [1e-6, 1e6, 1e6, 1e-6])
    np.testing.assert_allclose(trusted[[0, 3]], identity_weights([1.0, 5.0], beta), atol=1e-4)


def test_joined_actions_are_exact_for_paths_and_classical_systems():
    x = RNG.normal(size=(5, 16))
    for betas in ([20.0, 40.0], [5.0, 20.0, 40.0]):
        joined = JoinedAction([WELL] * len(betas), betas)
        np.testing.assert_allclose(joined.action(x, 80.0), WELL.action(x, 80.0))
        np.testing.assert_allclose(joined.energy(x), WELL.energy(x))
        again = hl.systems.from_dict(joined.to_dict())
        np.testing.assert_allclose(again.action(x, 3.0), WELL.action(x, 3.0))
    ising = hl.systems.Ising((3, 3))
    states = RNG.choice([-1, 1], size=(4, 3, 3))
    np.testing.assert_allclose(JoinedAction([ising], [0.5]).action(states, 0.9), ising.action(states, 0.9))
    for parts, betas, message in (([WELL], [1.0, 2.0], "every part"), ([WELL] * 2, [1.0, 1.0], "equal")):
        with pytest.raises(hl.HamlearnError, match=message):
            JoinedAction(parts, betas)
    with pytest.raises(hl.HamlearnError, match="different sites"):
        JoinedAction([WELL, Path(8, DoubleWell(4.0, 2.8))], [1.0, 2.0])


def test_parametric_posteriors_are_pooled_by_inverse_covariance():
    posts = [harmonic(4.0), harmonic(8.0)]
    joined = extrapolate(posts, 6.0)
    thetas = [actions.theta_draws(post).reshape(-1, 2) for post in posts]
    precisions = [np.linalg.inv(np.cov(theta.T)) for theta in thetas]
    covariance = np.linalg.inv(sum(precisions))
    mean = covariance @ sum(p @ theta.mean(0) for p, theta in zip(precisions, thetas, strict=True))
    np.testing.assert_allclose([float(joined["point"]["kinetic"]), float(joined["point"]["c"][0])], mean, rtol=1e-9)
    found = actions.theta_draws(joined).reshape(-1, 2)
    np.testing.assert_allclose(np.cov(found.T), covariance, rtol=0.1)
    assert_within(mean, [1.0, 0.5], np.sqrt(np.diag(covariance)), "pooled coefficients")
    assert posteriors.observed_betas(joined).tolist() == [6.0]
    facts = posteriors.provenance_of(joined).extrapolation
    assert facts["from_beta"] == [4.0, 8.0]
    assert facts["predicted_ess"] > 0.98
    assert 0 <= facts["agreement"] <= 1


def test_a_prior_is_counted_once():
    prior = hl.models.Normal(0.3)
    model = hl.models.PolynomialAction((2,), prior=prior)
    sets = [path(8, beta, 1.0, 0.5, 200, int(beta)) for beta in (4.0, 8.0)]
    posts = [hl.infer.learn(data, model, likelihood="score") for data in sets]
    jointly = hl.infer.learn(sets, model, likelihood="score")
    joined = extrapolate(posts, 6.0)
    spread = actions.theta_draws(jointly).reshape(-1, 2).std(0)
    np.testing.assert_allclose(float(joined["point"]["c"][0]), float(jointly["point"]["c"][0]), atol=0.15 * spread[1])
    np.testing.assert_allclose(float(joined["point"]["kinetic"]), float(jointly["point"]["kinetic"]), atol=0.15 * spread[0])


@pytest.mark.parametrize("sources", [(5.0,), (5.0, 10.0)])
def test_the_extrapolated_action_is_the_true_one(sources, tmp_path):
    post = hl.extrapolate([well(beta) for beta in sources], beta=20.0)
    x = exact.sample(WELL, 20.0, 400, seed=9)
    compared = hl.infer.compare_actions(post, x, WELL, 20.0)
    assert compared.attrs["r2"] > 0.999
    assert compared.attrs["ess"] > 0.8
    facts = posteriors.provenance_of(post).extrapolation
    # Reweighting members among themselves is what the predicted ESS is about; the truth lies as far off as they do.
    assert abs(np.log(float(compared["ess"].mean()) / facts["predicted_ess"])) < 0.3
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert str(hl.verdict(loaded)) == str(hl.verdict(post))
    assert any("predicted effective share of draws" in reason.what for reason in hl.verdict(loaded).reasons)
    assert isinstance(hl.draw_systems(loaded, 1)[0], Path)
    np.testing.assert_allclose(hl.action(loaded, x[:3], draws=2), hl.action(post, x[:3], 20.0, draws=2))
    curve = hl.predict(loaded, 20.0, draws=20)
    truth = exact.thermodynamics(WELL, [20.0])["squared_position"].values[0]
    band = curve["squared_position"].isel(beta=0)
    assert abs(float(band.sel(quantity="mean")) - truth) < 5 * float(band.sel(quantity="sd"))


def test_another_temperature_with_a_fixed_width():
    posts = [harmonic(beta, n=n) for beta, n in ((4.0, 8), (6.0, 12))]
    with pytest.raises(hl.HamlearnError, match="say fixed='spacing'"):
        extrapolate(posts, 8.0)
    joined = extrapolate(posts, 8.0, fixed="spacing")
    assert posteriors.site_shape(joined) == (16,)
    member = hl.draw_systems(joined, 1)[0]
    assert (member.n_tau, member.a) == (16, 0.5)
    assert hl.action(joined, np.zeros((2, 16))).shape == (64, 2)
    with pytest.raises(hl.HamlearnError, match="not a whole number of time slices"):
        extrapolate(posts, 8.2, fixed="spacing")


def test_doubtful_extrapolations_say_so():
    good = extrapolate([harmonic(4.0)], 8.0)
    assert [found.severity for found in posteriors.provenance_of(good).findings] in (["note"], ["caution"])
    poor = hl.diagnostics.diagnose(extrapolate([well(5.0, 15)], 80.0))
    facts = posteriors.provenance_of(poor).extrapolation
    assert facts["predicted_ess"] < 0.5
    found = hl.verdict(poor)
    assert found.level != "believe"
    assert any(reason.topic == "extrapolation" and reason.severity != "note" for reason in found.reasons)


def test_findings_name_amplification_weights_and_distrust():
    facts = {"from_beta": [20.0, 40.0], "predicted_ess": 0.03, "amplification": 7.25, "weights": [-1.0, 2.5], "unseen_share": None}
    from hamlearn.infer.extrapolation.extrapolate import findings

    (found,) = findings(facts, 80.0)
    assert found.severity == "serious"
    assert all(word in words(found) for word in ("do not trust", "7.25", "-1, 2.5", "0.03", "outside"))
    (unknown,) = findings({**facts, "predicted_ess": None}, 30.0)
    assert "not known" in words(unknown)
    assert "between" in words(unknown)


def test_densities_are_joined_by_the_identity(tmp_path):
    """Posteriors taken as if they were learned densities: only their actions at their own temperatures are used."""
    posts = [well(5.0), well(10.0)]
    x = exact.sample(WELL, 20.0, 300, seed=4)
    joined = hl.diagnostics.diagnose(extrapolated.join(posts, 20.0, 0, states=x))
    facts = posteriors.provenance_of(joined).extrapolation
    np.testing.assert_allclose(facts["weights"], [-1.0, 2.5])
    assert facts["amplification"] == pytest.approx(7.25)
    loaded = hl.load(hl.save(joined, tmp_path / "joined.nc"))
    values = hl.action(loaded, x, draws=16)
    drawn = [hl.draw_systems(post, 16, seed=101 * k) for k, post in enumerate(posts)]
    expected = [-first.action(x, 5.0) + 2.5 * second.action(x, 10.0) for first, second in zip(*drawn, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    own = [
        np.stack([system.action(x, beta) for system in hl.draw_systems(post, 16)]) for post, beta in zip(posts, (5.0, 10.0), strict=True)
    ]
    spread = [np.var(one - one.mean(0), axis=1).mean() * 16 / 15 for one in own]
    assert facts["error_variance"] == pytest.approx(spread[0] + 6.25 * spread[1], rel=1e-6)
    assert any("do not share" in reason.what for reason in hl.verdict(loaded).reasons)
    with pytest.raises(hl.HamlearnError, match="know no others"):
        hl.infer.families.of(loaded).draw_systems(loaded, 1, 0, (8,))


def test_networks_of_two_temperatures_make_a_third(tmp_path):
    model, engine = hl.models.Autoregressive(hidden=(8,), members=2), hl.infer.Training(epochs=2)
    posts = [hl.learn(path(6, beta, 1.0, 0.5, 400, int(beta)), model, engine=engine, check=False) for beta in (3.0, 6.0)]
    joined = hl.load(hl.save(hl.extrapolate(posts, beta=4.0), tmp_path / "joined.nc"))
    facts = posteriors.provenance_of(joined).extrapolation
    weights = identity_weights([3.0, 6.0], 4.0)
    np.testing.assert_allclose(facts["weights"], weights)
    x = RNG.normal(size=(5, 6))
    own = [-hl.log_prob(post, x).values for post in posts]
    values = hl.action(joined, x, draws=4).values
    assert len(values) == 2, "two networks at either temperature are two members"
    possible = np.array([[weights[0] * first + weights[1] * second for first in own[0]] for second in own[1]]).reshape(-1, 5)
    gaps = np.abs(values[:, None] - possible[None]).max(-1).min(1)
    assert gaps.max() < 1e-6 * np.abs(possible).max()  # every member joins one network of either ensemble
    assert 0 < facts["predicted_ess"] <= 1
    assert hl.verdict(joined).level != "believe"
    with pytest.raises(hl.HamlearnError, match="at least two temperatures"):
        hl.extrapolate(posts[0], beta=4.0)
    assert hl.predict(posts[0], 3.0, observables=["squared_position"], draws=2)["squared_position"].shape == (1, 5)
    with pytest.raises(hl.HamlearnError, match="Join two temperatures"):
        hl.predict(posts[0], 4.0, draws=2)


def test_classical_systems_need_one_temperature():
    ising = hl.systems.Ising((3, 3))
    model = hl.models.Couplings(ising.lattice, tie="uniform", fields=None)
    posts = [
        hl.learn(hl.simulate(ising, beta=beta, draws=1500, chains=2, seed=1), model, engine="laplace", check=False) for beta in (0.3, 0.5)
    ]
    one = hl.extrapolate(posts[0], beta=0.6)
    facts = posteriors.provenance_of(one).extrapolation
    assert facts["amplification"] == pytest.approx(4.0)
    assert 0.8 < facts["predicted_ess"] <= 1
    states = RNG.choice([-1, 1], size=(4, 3, 3))
    np.testing.assert_allclose(hl.action(one, states, draws=3), 0.6 * hl.energy(posts[0], states, draws=3))
    both = hl.extrapolate(posts, beta=0.6)
    alone = [float(post["posterior"]["J"].std(("chain", "draw"))[0]) for post in posts]
    spread = float(both["posterior"]["J"].std(("chain", "draw"))[0])
    assert spread == pytest.approx((alone[0] ** -2 + alone[1] ** -2) ** -0.5, rel=0.1)
    assert_within(float(both["point"]["J"][0]), 1.0, spread, "pooled coupling")


@pytest.mark.slow
def test_any_classical_hamiltonian_is_its_own_extrapolation():
    ising = hl.systems.Ising((4, 4))
    data = hl.simulate(ising, beta=0.3, draws=500, chains=2, seed=1)
    post = hl.infer.learn(data, hl.models.ClusterExpansion(window=2), seed=1)  # clusters: a kind this module knows nothing of
    other = hl.extrapolate(post, beta=0.5)
    facts = posteriors.provenance_of(other).extrapolation
    assert facts["amplification"] == pytest.approx(0.25 / 0.09)
    assert 0 < facts["predicted_ess"] <= 1
    assert posteriors.observed_betas(other).tolist() == [0.5]
    states = RNG.choice([-1, 1], size=(3, 4, 4))
    np.testing.assert_allclose(hl.action(other, states, draws=3), 0.5 * hl.energy(post, states, draws=3))
    again = post.copy()
    again.attrs = {**post.attrs, "beta": "[0.4]"}
    with pytest.raises(hl.HamlearnError, match="are not pooled"):
        hl.extrapolate([post, again], beta=0.5)


def test_fields_are_pooled_too():
    posts = [hl.infer.learn(field((4, 4), beta, 1.3, 0.5, 1000, 1), HARMONIC) for beta in (0.5, 1.0)]
    joined = extrapolate(posts, 0.8)
    theta = actions.theta_draws(joined).reshape(-1, 2)
    assert_within(theta.mean(0), [1.3, 0.5], theta.std(0), "pooled field")
    assert posteriors.provenance_of(joined).extrapolation["predicted_ess"] > 0.9


def test_shell(tmp_path):
    for beta in (4.0, 8.0):
        hl.save(hl.diagnostics.diagnose(harmonic(beta)), tmp_path / f"{beta:g}.nc")
    runner, files = CliRunner(), [str(tmp_path / "4.nc"), str(tmp_path / "8.nc")]
    result = runner.invoke(app, ["extrapolate", *files, "--beta", "6", "-o", str(tmp_path / "out.nc")])
    assert result.exit_code == 0, result.output
    assert "extrapolation: beta = 6 lies between the observed 4, 8" in result.output
    assert posteriors.observed_betas(hl.load(tmp_path / "out.nc")).tolist() == [6.0]
    result = runner.invoke(app, ["extrapolate", files[0], files[0], "--beta", "6", "-o", str(tmp_path / "out.nc")])
    assert isinstance(result.exception, hl.HamlearnError)


HIDDEN = hl.microstates(np.random.default_rng(0).normal(size=(50, 8)), space="reals")
MISTAKES = {
    "equal": (lambda: extrapolate([harmonic(4.0, 50), harmonic(4.0, 50, seed=7)], 8.0), "temperatures are equal .* singular"),
    "equal for the weights": (lambda: identity_weights([20.0, 20.0], 40.0), "singular"),
    "one for the weights": (lambda: identity_weights([20.0], 40.0), "at least two"),
    "none": (lambda: extrapolate([], 8.0), "no posterior given"),
    "several targets": (lambda: extrapolate([harmonic(4.0, 50)], [8.0, 9.0]), "one beta at a time"),
    "negative": (lambda: extrapolate([harmonic(4.0, 50)], -8.0), "beta"),
    "not a posterior": (lambda: extrapolate([3], 8.0), "expected a posterior"),
    "undeclared": (lambda: extrapolate([hl.infer.learn(HIDDEN, HARMONIC)], 8.0), "not declared"),
    "models": (
        lambda: extrapolate([harmonic(4.0, 50), hl.infer.learn(path(8, 6.0, 1, 0.5, 50, 1), hl.models.PolynomialAction((2, 4)))], 8.0),
        "different models",
    ),
    "slices": (lambda: extrapolate([harmonic(4.0, 50), harmonic(8.0, 50, n=12)], 6.0), "mixed lattice spacings"),
    "widths": (lambda: extrapolate([harmonic(4.0, 50), harmonic(8.0, 50)], 6.0, fixed="spacing"), "mixed lattice spacings"),
    "one density of a path": (lambda: extrapolated.join([harmonic(4.0, 50)], 8.0, 0), "at least two temperatures"),
    "densities on other sites": (lambda: extrapolated.join([harmonic(4.0, 50), harmonic(8.0, 50, n=12)], 6.0, 0), "mixed lattice spacings"),
    "the word": (lambda: extrapolate([harmonic(4.0, 50)], 8.0, fixed="a"), "fixed must be one of"),
    "learning it": (lambda: hl.infer.learn(HIDDEN, hl.models.ExtrapolatedAction([{"kind": "x"}], [1.0])), "made by hl.extrapolate"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()
