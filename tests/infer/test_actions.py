"""Actions learned from paths and fields, against Gaussian closed forms, quadrature and exact samples."""

import json

import jax
import numpy as np
import pytest
import scipy.stats
from gaussian_oracles import field, log_partition, path, precision

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.families import actions
from hamlearn.infer.likelihoods.ring import RingLikelihood
from hamlearn.infer.likelihoods.score import ScoreMatching
from hamlearn.infer.likelihoods.sites import SiteConditionals, lagrange
from hamlearn.systems import DoubleWell, Path, exact
from statistics_budget import assert_within, spend

MODEL = hl.models.PolynomialAction((2, 4))
HARMONIC = hl.models.PolynomialAction((2,))
WELL = Path(16, DoubleWell(4.0, 2.8))


def well(beta, size, seed, n=16):
    return hl.microstates(exact.sample(Path(n, DoubleWell(4.0, 2.8)), beta, size, seed=seed), space="reals", beta=beta)


def learn(data, model=HARMONIC, **settings):
    return hl.learn(data, model, check=False, **settings)


def moments(post):
    names, theta = actions.parameters(post)
    return np.array(names), theta.mean((0, 1)), theta.std((0, 1))


def parts_of(data, model):
    bound, parts, scales, _, _ = actions.bind(data, model)
    return bound, parts, scales


# --- the objectives ----------------------------------------------------------------------------------------------------


def objectives(data, model, guess):
    bound, parts, scales = parts_of(data, model)
    made = [SiteConditionals(bound, parts, scales, guess), RingLikelihood(bound, parts, scales, guess)]
    return [*made, *(ScoreMatching(bound, [part], scale) for part, scale in zip(parts, scales, strict=True))]


@pytest.mark.parametrize("kinetic", [True, 1.1])
def test_gradient_information_rows_and_jax_agree_with_the_value(kinetic):
    data = [well(5.0, 40, 1), well(8.0, 40, 2)]
    model = hl.models.PolynomialAction((2, 4), kinetic=kinetic)
    theta = np.array([0.9, -3.0, 0.9])[slice(0 if kinetic is True else 1, None)]
    for likelihood in objectives(data, model, theta):
        value, gradient = likelihood.value_and_gradient(theta)
        steps = 1e-4 * np.eye(len(theta))
        around = [[likelihood.value_and_gradient(theta + sign * step) for sign in (1, -1)] for step in steps]
        np.testing.assert_allclose([(up[0] - down[0]) / 2e-4 for up, down in around], gradient, rtol=1e-5, err_msg=likelihood.name)
        hessian = np.array([(up[1] - down[1]) / 2e-4 for up, down in around])
        np.testing.assert_allclose(-hessian, likelihood.information(theta), rtol=1e-4, err_msg=likelihood.name)
        scores = likelihood.row_scores(theta)
        total = sum(scores(part, part.states.reshape(-1, 16)).sum(0) for part in likelihood.parts)
        np.testing.assert_allclose(total, gradient, rtol=1e-7, atol=1e-7 * np.abs(gradient).max())
        with jax.enable_x64(True):
            log_density, arrays = likelihood.jax_log_density()
            other = theta * 1.05
            change = float(log_density(jax.numpy.asarray(other), arrays)) - float(log_density(jax.numpy.asarray(theta), arrays))
        assert change == pytest.approx(likelihood.value_and_gradient(other)[0] - value, rel=1e-7, abs=1e-6)


def test_conditionals_and_exact_likelihood_have_their_closed_forms():
    data = path(8, 4.0, 1.3, 0.5, 30, 0)
    bound, parts, scales = parts_of(data, HARMONIC)
    theta, a = np.array([1.2, 0.6]), 0.5
    Q = precision((8,), 1 / a, a, *theta)
    x = data["state"].values[0]
    site = scipy.stats.norm(loc=x - x @ Q / np.diag(Q), scale=np.diag(Q) ** -0.5)
    assert SiteConditionals(bound, parts, scales, theta).value_and_gradient(theta)[0] == pytest.approx(site.logpdf(x).sum(), rel=1e-9)
    whole = -0.5 * np.einsum("ri,ij,rj->", x, Q, x) - 30 * log_partition(Q)
    assert RingLikelihood(bound, parts, scales, theta).value_and_gradient(theta)[0] == pytest.approx(whole, rel=1e-8)


def test_score_matching_of_a_gaussian_is_its_moment_formula():
    data = path(8, 4.0, 1.3, 0.5, 50, 0)
    bound, parts, scales = parts_of(data, HARMONIC)
    x, a = data["state"].values[0], 0.5
    K, V = precision((8,), 1 / a, a, 1.0, 0.0), 2 * a * np.eye(8)
    C = x.T @ x
    A = np.array([[np.trace(left @ right @ C) for left in (K, V)] for right in (K, V)])
    b = 50 * np.array([np.trace(K), np.trace(V)])
    np.testing.assert_allclose(ScoreMatching(bound, parts, scales[0]).solve(), np.linalg.solve(A, b), rtol=1e-10)


def test_lagrange_interpolates_quintics_exactly():
    nodes, x = np.linspace(-1, 2, 40), np.random.default_rng(0).uniform(-0.8, 1.8, 20)
    where, weight = lagrange(x, nodes)
    polynomial = np.polynomial.Polynomial([1, -2, 0.5, 0.3, -0.1, 0.7])
    np.testing.assert_allclose((polynomial(nodes)[where] * weight).sum(-1), polynomial(x), rtol=1e-10)


# --- estimates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["score", "pseudo", "exact"])
def test_double_well_coefficients(likelihood):
    post = learn([well(5.0, 4000, 1), well(10.0, 4000, 2)], MODEL, likelihood=likelihood)
    names, mean, sd = moments(post)
    assert names.tolist() == ["kinetic", "c[2]", "c[4]"]
    assert_within(mean, [1.0, -3.92, 1.0], sd, f"coefficients by {likelihood}")
    assert np.all(sd < [0.02, 0.15, 0.03])
    assert post["posterior"]["c"].dims == ("chain", "draw", "power")
    assert post["posterior"]["kinetic"].dims == ("chain", "draw")
    record = posteriors.provenance_of(post)
    assert record.likelihood == likelihood
    assert record.composite is (likelihood != "exact")


def test_fields():
    post = learn(field((4, 4), 0.8, 1.3, 0.5, 3000, 3))
    _, mean, sd = moments(post)
    assert_within(mean, [1.3, 0.5], sd, "free field, score matching")
    _, mean, sd = moments(learn(field((4, 4), 0.8, 1.3, 0.5, 3000, 3), likelihood="pseudo"))
    assert_within(mean, [1.3, 0.5], sd, "free field, conditionals")


def test_open_paths():
    model = hl.models.PolynomialAction((2,), periodic=False)
    data = path(10, 5.0, 1.3, 0.5, 3000, 3, periodic=False)
    for likelihood in ("score", "pseudo"):
        _, mean, sd = moments(learn(data, model, likelihood=likelihood))
        assert_within(mean, [1.3, 0.5], sd, f"open path by {likelihood}")
    with pytest.raises(hl.HamlearnError, match="periodic=False"):
        learn(data)
    with pytest.raises(hl.HamlearnError, match="periodic paths"):
        learn(data, model, likelihood="exact")


def test_a_known_mass_sharpens_the_rest_and_longer_links_are_zero():
    data = path(12, 6.0, 1.3, 0.5, 2000, 4)
    free, known = (moments(learn(data, hl.models.PolynomialAction((2,), kinetic=k), likelihood="exact")) for k in (True, 1.3))
    assert known[2][0] < free[2][1]
    for likelihood in ("score", "pseudo", "exact"):
        _, mean, sd = moments(learn(data, hl.models.PolynomialAction((2,), kinetic=1.3), likelihood=likelihood))
        assert_within(mean, [0.5], sd, f"c2 at known mass by {likelihood}")
    names, mean, sd = moments(learn(data, hl.models.PolynomialAction((2,), range=3)))
    assert names.tolist() == ["kinetic[1]", "kinetic[2]", "kinetic[3]", "c[2]"]
    assert_within(mean, [1.3, 0, 0, 0.5], sd, "neighbour terms by range")


def test_autocorrelated_draws_widen_the_error_bars():
    rho, size = 0.8, 6000
    plain, slow = (learn(path(8, 4.0, 1.0, 0.5, size, 5, chains=4, rho=r)) for r in (0.0, rho))
    _, mean, sd = moments(slow)
    assert_within(mean, [1.0, 0.5], sd, "from autocorrelated draws")
    # Scores are quadratic in x: their correlation is ρ², so errors grow by √((1 + ρ²)/(1 − ρ²)).
    factor = sd / moments(plain)[2]
    assert np.all(np.abs(factor / np.sqrt((1 + rho**2) / (1 - rho**2)) - 1) < 0.35)
    assert posteriors.provenance_of(slow).calibration.tau > 3


def test_temperatures_are_pooled_by_inverse_covariance():
    sets = [path(8, 4.0, 1.0, 0.5, 1000, 1), path(8, 8.0, 1.0, 0.5, 1000, 2)]
    bound, parts, scales = parts_of(sets, HARMONIC)
    fits = [actions.score_matching(bound, [part], [scale]) for part, scale in zip(parts, scales, strict=True)]
    precisions = [np.linalg.inv(fit.covariance) for fit in fits]
    covariance = np.linalg.inv(sum(precisions))
    post = learn(sets)
    both = actions.score_matching(bound, parts, scales)
    expected = covariance @ sum(p @ fit.theta for p, fit in zip(precisions, fits, strict=True))
    np.testing.assert_allclose(both.theta, expected, rtol=1e-9)
    np.testing.assert_allclose(both.covariance, covariance, rtol=1e-9)
    _, mean, sd = moments(post)
    assert_within(mean, [1.0, 0.5], sd, "two temperatures")
    assert 0 <= posteriors.provenance_of(post).more["agreement"] <= 1


def test_a_wrong_temperature_is_noticed():
    sets = [path(8, 4.0, 1.0, 0.5, 3000, 1), path(8, 8.0, 1.0, 0.5, 3000, 2).assign_coords(beta=6.0)]
    post = learn(sets)
    assert any("disagree" in found.what for found in hl.verdict(post).reasons)


def test_auto_leaves_score_matching_where_it_wastes_data():
    fine = learn(well(5.0, 1500, 3), MODEL)
    assert posteriors.provenance_of(fine).likelihood == "score"
    coarse = learn(hl.microstates(exact.sample(Path(8, DoubleWell(4.0, 2.8)), 12.0, 1500, seed=4), space="reals", beta=12.0), MODEL)
    record = posteriors.provenance_of(coarse)
    assert max(record.more["excess_variance"]) > actions.INEFFICIENT
    assert record.likelihood == "exact"
    assert any("waste" in reason for reason in record.reasons)
    _, mean, sd = moments(coarse)
    assert_within(mean, [1.0, -3.92, 1.0], sd, "exact likelihood of coarse paths")


def test_a_given_width_is_used_and_said():
    data = path(8, 4.0, 1.0, 0.5, 2000, 1, a=0.25)
    post = learn(data, hl.models.PolynomialAction((2,), a=0.25))
    _, mean, sd = moments(post)
    assert_within(mean, [1.0, 0.5], sd, "with a given width")
    assert "a = 0.25 (as given)" in posteriors.provenance_of(post).reasons[0]
    known = data.assign_attrs(system=json.dumps(Path(8, hl.systems.Polynomial([0, 0.5]), a=0.25).to_dict()))
    np.testing.assert_allclose(moments(learn(known))[1], mean)
    assert hl.draw_systems(learn(known), 1)[0].a == 0.25
    with pytest.raises(hl.HamlearnError, match="mixed lattice spacings"):
        learn(known, hl.models.PolynomialAction((2,), a=0.5))
    with pytest.raises(hl.HamlearnError, match="mixed lattice spacings"):
        learn([known, path(8, 6.0, 1.0, 0.5, 100, 1)])


def test_a_normal_prior_shrinks_as_it_should():
    data = path(8, 4.0, 1.0, 0.5, 60, 1)
    flat = learn(data, hl.models.PolynomialAction((2,)), likelihood="score")
    tight = learn(data, hl.models.PolynomialAction((2,), prior=hl.models.Normal(0.1)), likelihood="score")
    bound, parts, scales = parts_of(data, HARMONIC)
    fit = actions.score_matching(bound, parts, scales)
    covariance = np.linalg.inv(np.linalg.inv(fit.covariance) + np.eye(2) / 0.1**2)
    np.testing.assert_allclose(tight["point"]["c"].values[0], (covariance @ np.linalg.solve(fit.covariance, fit.theta))[1], rtol=1e-9)
    assert moments(tight)[2].max() < moments(flat)[2].max()
    mle = learn(data, hl.models.PolynomialAction((2,), prior=hl.models.Normal(0.1)), engine="mle", likelihood="score")
    np.testing.assert_allclose(mle["point"]["c"].values, flat["point"]["c"].values)


@pytest.mark.slow
def test_nuts_on_the_conditionals_agrees_with_the_normal():
    data = path(6, 3.0, 1.0, 0.5, 400, 2)
    engine = hl.infer.NUTS(draws=250, warmup=80, chains=1)
    sampled, normal = learn(data, likelihood="pseudo", engine=engine), learn(data, likelihood="pseudo")
    _, mean, sd = moments(sampled)
    np.testing.assert_allclose(mean, moments(normal)[1], atol=0.35 * sd.max())
    np.testing.assert_allclose(sd, moments(normal)[2], rtol=0.3)
    assert "diverging" in sampled["sample_stats"]


# --- what is done with a posterior ---------------------------------------------------------------------------------------


def test_loop(tmp_path):
    post = learn(well(5.0, 800, 1), MODEL)
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert str(hl.verdict(loaded)) == str(hl.verdict(post))
    members = hl.draw_systems(loaded, 3, seed=1)
    assert all(isinstance(member, Path) and member.n_tau == 16 for member in members)
    x = exact.sample(WELL, 9.0, 7, seed=2)
    values = hl.action(loaded, x, 9.0, draws=5)
    assert values.dims == ("member", "axis_0")
    theta = hl.infer.families.spread(actions.theta_draws(loaded), 5, 0)
    systems = [actions.bound_of(loaded).system(one) for one in theta]
    np.testing.assert_allclose(values, [system.action(x, 9.0) for system in systems], rtol=1e-10)
    assert hl.energy(loaded, x, draws=2).shape == (2, 7)
    np.testing.assert_allclose(hl.action(loaded, x, draws=5), hl.action(loaded, x, 5.0, draws=5))


def test_action_of_couplings_is_beta_times_energy():
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=200, chains=2, seed=0)
    post = learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    states = data["state"].values[0, :4]
    np.testing.assert_allclose(hl.action(post, states, 0.7, draws=3), 0.7 * hl.energy(post, states, draws=3))
    backwards = data.isel(draw=slice(None, None, -1)).assign_coords(beta=0.4)
    two = learn([data, backwards], hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    with pytest.raises(hl.HamlearnError, match="several temperatures"):
        hl.action(two, states)


def test_predictions_of_a_harmonic_path():
    post = learn(path(8, 4.0, 1.0, 0.5, 3000, 1))
    curve = hl.predict(post, [2.0, 4.0, 8.0], draws=40)
    for k, beta in enumerate((2.0, 4.0, 8.0)):
        a = beta / 8
        truth = np.linalg.inv(precision((8,), 1 / a, a, 1.0, 0.5))[0, 0]
        row = curve["squared_position"].isel(beta=k)
        assert abs(float(row.sel(quantity="mean")) - truth) < 5 * float(row.sel(quantity="sd"))
    assert curve["squared_position"].attrs["method"] == "exact (operator)"
    fixed = hl.predict(post, [2.0, 4.0, 8.0], draws=3, fixed="spacing", observables=["gap"])["gap"].sel(quantity="mean")
    np.testing.assert_allclose(fixed, fixed[0], rtol=1e-9)  # the width is the same, so the operator is
    with pytest.raises(hl.HamlearnError, match="not a whole number"):
        hl.predict(post, 2.2, fixed="spacing")
    with pytest.raises(hl.HamlearnError, match="observable must be one of"):
        hl.predict(post, 2.0, observables=["vortex_density"])


def test_predictions_of_a_free_field():
    post = learn(field((4, 4), 0.8, 1.3, 0.5, 3000, 3))
    curve = hl.predict(post, [0.4, 0.8], observables=["squared_field", "energy"], draws=8)
    for k, beta in enumerate((0.4, 0.8)):
        truth = {"squared_field": np.linalg.inv(precision((4, 4), beta, beta, 1.3, 0.5))[0, 0], "energy": 0.5 / beta}  # equipartition
        for name, value in truth.items():
            row = curve[name].isel(beta=k)
            if name == "energy":  # whatever the parameters: the oracle of free fields knows
                np.testing.assert_allclose(row.sel(quantity=["mean", "lower", "upper"]), value)
                continue
            error = np.hypot(float(row.sel(quantity="sd")), float(row.sel(quantity="mc_error")))
            assert_within(float(row.sel(quantity="mean")), value, error, f"{name} of a free field")


def open_products(size, seed, c2=-0.4, c4=0.3, kappa=0.8, beta=1.2):
    """Independent 4 × 4 open fields with S = Σ c2 x² + c4 x⁴ − κ Σ x x', by Metropolis on a chequerboard; plain loops."""
    rng, x = np.random.default_rng(seed), np.zeros((size, 6, 6))  # a rim of zeros
    colour = np.add.outer(np.arange(4), np.arange(4)) % 2
    for sweep in range(160):
        here = x[:, 1:-1, 1:-1]
        pull = kappa * (x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:])
        trial = here + rng.normal(size=here.shape)
        change = beta * (c2 * (trial**2 - here**2) + c4 * (trial**4 - here**4) - pull * (trial - here))
        moved = (rng.uniform(size=here.shape) < np.exp(-np.maximum(change, 0))) & (colour == sweep % 2)
        x[:, 1:-1, 1:-1] = np.where(moved, trial, here)
    return x[:, 1:-1, 1:-1]


def test_products_on_an_open_lattice(tmp_path):
    beta, truth, x = 1.2, np.array([0.8, -0.4, 0.3]), open_products(12000, 0)
    data = hl.microstates(x, space="reals", beta=beta)
    post = learn(data, hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False), likelihood="score")
    names, mean, sd = moments(post)
    assert names.tolist() == ["kinetic", "c[2]", "c[4]"]
    # Score matching written out: S = Σ θ_k T_k, A θ = b.
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    others = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    slopes = beta * np.stack([-others, 2 * x, 4 * x**3]).reshape(3, -1)
    bends = beta * np.array([0.0, 2 * x.size, 12 * (x**2).sum()])
    direct = np.linalg.solve(slopes @ slopes.T, bends)
    point = post["point"].to_dataset()
    np.testing.assert_allclose([float(point["kinetic"]), *point["c"].values], direct, rtol=1e-9)
    assert_within(mean, truth, sd, "neighbour products on an open lattice")
    assert np.all(np.abs(mean - truth) < 0.03 * np.abs(truth)), mean
    _, other, width = moments(learn(data, hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False), likelihood="pseudo"))
    assert_within(other, truth, width, "the same by conditionals")
    _, wrong, far = moments(learn(data, hl.models.PolynomialAction((2, 4), periodic=False)))
    assert np.abs((wrong[2] - truth[2]) / far[2]) > 5  # differences give the boundary another x²
    hl.save(post, tmp_path / "post.nc")
    again = hl.load(tmp_path / "post.nc")
    system = hl.draw_systems(again, 1)[0]
    assert (system.coupling, system.lattice.periodic) == ("product", False)
    curve = hl.predict(again, [beta, 0.9], observables=["squared_field"], draws=2)["squared_field"]
    errors = np.hypot(curve.sel(quantity="sd").values, curve.sel(quantity="mc_error").values)
    warm = open_products(3000, 1, beta=0.9)
    own = [np.mean(fields**2, (1, 2)) for fields in (x, warm)]
    errors = np.hypot(errors, [one.std() / np.sqrt(len(one)) for one in own])
    assert_within(curve.sel(quantity="mean").values, [one.mean() for one in own], errors, "mean square, observed and not")
    page = hl.report(again, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "does not confine" not in page
    second = hl.microstates(warm, space="reals", beta=0.9)
    joined = hl.extrapolate([post, learn(second, hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False))], beta=1.5)
    _, both, narrow = moments(joined)
    assert_within(both, truth, narrow, "products at two temperatures")
    assert np.all(narrow < sd) and hl.draw_systems(joined, 1)[0].coupling == "product"
    with pytest.raises(hl.HamlearnError, match="different models"):
        hl.extrapolate([post, learn(second, hl.models.PolynomialAction((2, 4), periodic=False))], beta=1.5)


def test_coefficients_that_do_not_confine_are_flagged_and_not_simulated():
    post = learn(path(8, 4.0, 1.0, 0.5, 60, 3), hl.models.PolynomialAction((2, 4)))
    share = posteriors.provenance_of(post).nonconfining
    assert 0.05 < share < 1  # the true quartic coefficient is zero
    found = hl.verdict(post)
    assert found.level == "do not believe"
    assert any(reason.topic == "stability" for reason in found.reasons)
    with pytest.raises(hl.HamlearnError, match="does not confine"):
        hl.draw_systems(post, 2)
    with pytest.raises(hl.HamlearnError, match="does not confine"):
        hl.predict(post, 3.0)
    (what,) = [reason.what for reason in found.reasons if reason.topic == "stability"]
    assert what.startswith(f"{100 * share:.3g} % of the posterior does not confine")
    assert np.isfinite(hl.action(post, np.zeros(8))).all()


def test_comparison_of_orders():
    found = hl.infer.compare_powers([well(5.0, 1500, 1), well(8.0, 1500, 2)], [(2,), (2, 4), (2, 4, 6)])
    assert found.attrs["chosen"] == "(2, 4)"
    assert float(found["z"].sel(candidate="(2,)")) > 10
    with pytest.raises(hl.HamlearnError, match="at least two different"):
        hl.infer.compare_powers(well(5.0, 100, 1), [(2, 4)])


def test_held_out_loss_against_finite_differences():
    from hamlearn.infer.extrapolation.comparisons import row_losses

    bound, parts, scales = parts_of(well(5.0, 3, 1), MODEL)
    theta, x, h = np.array([1.0, -3.0, 0.8]), parts[0].states[0], 1e-4
    system, loss = bound.system(theta), np.zeros(3)
    for t in range(16):
        step = h * np.eye(16)[t]
        up, here, down = (system.action(x + sign * step, 5.0) for sign in (1, 0, -1))
        loss += 0.5 * ((up - down) / (2 * h)) ** 2 - (up - 2 * here + down) / h**2
    np.testing.assert_allclose(row_losses(bound, theta, x, scales[0]), loss, rtol=1e-4)


MISTAKES = {
    "a likelihood of couplings": (lambda: learn(path(8, 4.0, 1, 0.5, 50, 0), likelihood="rise"), "likelihood must be one of"),
    "gibbs": (lambda: learn(path(8, 4.0, 1, 0.5, 50, 0), engine="gibbs"), "engine 'gibbs' is for"),
    "nuts on a loss without a scale": (
        lambda: hl.infer.learn(path(8, 4.0, 1, 0.5, 50, 0), HARMONIC, likelihood="score", engine="nuts", calibrate=False),
        "leave calibrate=True",
    ),
    "different sites": (lambda: learn([path(8, 4.0, 1, 0.5, 50, 0), path(12, 6.0, 1, 0.5, 50, 0)]), "lattice spacings would be mixed"),
    "spins": (lambda: learn(hl.microstates([[1, -1, 1]] * 5)), "space='reals'"),
    "constant": (lambda: learn(hl.microstates(np.ones((30, 8)), space="reals", beta=1.0)), "cannot tell|hardly vary"),
    "couplings of reals": (lambda: learn(path(8, 4.0, 1, 0.5, 50, 0), hl.models.Couplings(None)), "use hl.models.PolynomialAction"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(hl.HamlearnError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["score", "pseudo", "exact"])
def test_coverage(likelihood):
    sets, inside = 150, np.zeros(2)
    for seed in range(sets):
        data = path(8, 4.0, 1.0, 0.5, 300, 1000 + seed)
        _, theta = actions.parameters(hl.infer.learn(data, HARMONIC, likelihood=likelihood))
        low, high = np.quantile(theta, [0.05, 0.95], axis=(0, 1))
        inside += (low < [1.0, 0.5]) & ([1.0, 0.5] < high)
    for count in inside:
        assert scipy.stats.binomtest(int(count), sets, 0.9).pvalue > spend()


@pytest.mark.parametrize("model", [hl.models.PolynomialAction((2, 4)), hl.models.GaussianRBM(hidden=2), hl.models.Autoregressive()])
@pytest.mark.parametrize("size", [1e60, 1e-60])
def test_fields_whose_powers_are_no_numbers_are_refused(model, size):
    rows = size * np.random.default_rng(0).normal(size=(100, 4))
    with pytest.raises(hl.HamlearnError, match="in other units"):
        hl.learn(hl.microstates(rows, space="reals"), model)
