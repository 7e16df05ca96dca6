"""Networks of paths across temperatures: derivatives, what is learned and left out, error bars, what is noticed, the loop, bad input."""

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.infer.families import network_actions, network_evidence, network_selection
from hamlearn.infer.likelihoods import network_ring
from hamlearn.infer.likelihoods.network_ring import Rings
from hamlearn.infer.likelihoods.network_score import sums, term_sums
from hamlearn.models.network_action import Form
from hamlearn.systems import REALS, SPINS
from statistics_budget import assert_within, spend

N = 6
PARTICLE, FAST = (lambda d: d**2 / 2), (lambda d: np.sqrt(1 + 4 * d**2) - 1)
WELL, BARRIER = (lambda x: (x * x - 1) ** 2), (lambda x: 0.5 * x**2 + 2 * np.exp(-(x**2) / 0.5))


def ring(k, v, beta, size, seed, mass=1.0):
    """Independent periodic paths ``(size, N)`` of S = Σ k(Δx)/a + a v(x) on a grid."""
    grid, a = np.linspace(-5, 5, 151), beta / N
    return drawn(np.exp(-mass * k(grid[:, None] - grid) / a - a * (v(grid)[:, None] + v(grid)) / 2), grid, size, seed)


def drawn(T, grid, size, seed):
    """Paths slice by slice, from the powers of a transfer matrix."""
    powers = [np.linalg.matrix_power(T, n) for n in range(N + 1)]
    rng = np.random.default_rng(seed)
    first = np.diag(powers[N])
    found = np.empty((size, N), int)
    found[:, 0] = rng.choice(len(grid), size, p=first / first.sum())
    for t in range(1, N):
        cumulative = np.cumsum(T[found[:, t - 1]] * powers[N - t][:, found[:, 0]].T, 1)
        found[:, t] = (cumulative < rng.uniform(size=(size, 1)) * cumulative[:, -1:]).sum(1)
    return grid[found]


def action(k, v, paths, beta):
    a = beta / N
    return k(np.roll(paths, -1, 1) - paths).sum(1) / a + a * v(paths).sum(1)


def data(k, v, betas=(2.0, 4.0), size=1500, seed=0, masses=(1.0, 1.0)):
    rows = [ring(k, v, beta, size, seed + index, mass) for index, (beta, mass) in enumerate(zip(betas, masses, strict=False))]
    return [hl.microstates(x, space="reals", beta=beta, independent=True) for x, beta in zip(rows, betas, strict=True)]


def learned(sets, model=None, seed=0):
    return hl.infer.learn(sets, model or hl.models.NetworkAction((4, 12)), seed=seed)


@pytest.fixture(scope="module")
def barrier():
    return learned(data(PARTICLE, BARRIER))


@pytest.mark.parametrize("form", [Form((2, 4), True, True), Form((1, 2), True, True), Form((1, 2, 3, 4), False, False)])
def test_gradients_and_laplacians_are_those_of_the_action(form):
    bound = hl.models.NetworkAction((2, 4)).bind(REALS, (5,))
    bound = type(bound)(bound.model, bound.space, bound.shape, form, (2.0, -1.5, 2.5))
    theta, x, eps = np.random.default_rng(0).uniform(0.1, 1, bound.n_params), np.random.default_rng(1).normal(size=(3, 5)), 1e-4
    system = bound.system(theta)
    value = lambda y: np.asarray(system.action(y, 3.0))
    np.testing.assert_allclose(bound.terms(x, 3.0) @ theta, value(x), rtol=1e-12)
    unit = np.eye(5) * eps
    up, down = (np.stack([value(x + sign * one) for one in unit], 1) for sign in (1, -1))
    np.testing.assert_allclose(bound.gradients(x, 3.0) @ theta, (up - down) / (2 * eps), atol=1e-5)
    curved = (up + down - 2 * value(x)[:, None]).sum(1) / eps**2
    np.testing.assert_allclose(bound.laplacians(x, 3.0) @ theta, curved, atol=1e-4)


@pytest.mark.parametrize("form", [Form((2, 4), True, True), Form((1, 2), False, True), Form((2,), True, False)])
def test_forms_are_linear_maps_of_the_largest(form):
    bound = hl.models.NetworkAction((2, 6)).bind(REALS, (5,))
    whole = network_selection.largest(bound.model, bound, (2.0, -1.5, 1.8))
    own, x = type(bound)(bound.model, bound.space, bound.shape, form, whole.extent), np.random.default_rng(1).normal(size=(4, 5))
    M = network_selection.embedding(whole, form)
    np.testing.assert_allclose(whole.terms(x, 3.0) @ M, own.terms(x, 3.0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whole.gradients(x, 3.0) @ M, own.gradients(x, 3.0), rtol=1e-10, atol=1e-12)


def test_a_barrier_that_no_polynomial_holds_is_learned_and_carried_to_another_temperature(barrier):
    paths = ring(PARTICLE, BARRIER, 8.0, 1500, 9)
    truth = action(PARTICLE, BARRIER, paths, 8.0)
    plain = learned(data(PARTICLE, BARRIER), hl.models.NetworkAction(decay=None))
    left = [1 - np.corrcoef(hl.action(one, paths, beta=8.0).values.mean(0), truth)[0, 1] ** 2 for one in (barrier, plain)]
    assert left[0] < 0.01 and left[0] < 0.3 * left[1]
    assert "weight" in barrier["point"] and "step_weight" not in barrier["point"]


def test_where_polynomials_hold_there_is_no_network():
    post = learned(data(PARTICLE, WELL))
    assert set(post["point"].data_vars) == {"kinetic", "c"} and post["point"]["power"].values.tolist() == [2, 4]
    draws = post["posterior"].to_dataset().stack(draw_=("chain", "draw"))
    found = np.concatenate([[post["point"]["kinetic"].item()], post["point"]["c"].values])
    error = np.concatenate([[draws["kinetic"].std().item()], draws["c"].std("draw_").values])
    assert_within(found, [1.0, -2.0, 1.0], error, "coefficients of a double well")


def evidence(sets, model):
    bound, parts, _ = network_actions.bind(sets, model)
    whole = network_selection.largest(model, bound, network_actions.extent(parts))
    quadratic = [sums(whole, part) for part in parts]
    terms = [term_sums(whole, part) for part in parts]
    return network_evidence.Evidence(whole, [part.beta for part in parts], quadratic, terms, [1.0] * len(parts), [1.0] * len(parts))


def test_held_out_likelihood_is_that_of_a_transfer_matrix():
    """−ln p of every fifth of the blocks under what the others taught; log Z from a matrix of the test's own."""
    sets, model = data(FAST, WELL, betas=(4.0, 8.0), size=400), hl.models.NetworkAction((4, 2))
    known = evidence(sets, model)
    form = Form((2, 4), True, False)
    one = network_selection.best_of(known.whole, form, known.A, known.b)
    found, M = network_evidence.held_out(known, one), network_selection.embedding(known.whole, form)
    expected, grid = np.zeros(40), np.linspace(-5, 5, 401)
    for fold in range(5):
        out = np.arange(40) % 5 == fold
        theta = one.solve(M.T @ known.A[~out].sum(0) @ M, known.b[~out].sum(0) @ M)
        path = one.bound.system(theta)
        for part in sets:
            beta = float(part["beta"])
            k, v, a = path.link(grid[:, None] - grid), path.potential(grid), beta / N
            T = (grid[1] - grid[0]) * np.exp(-k / a - a * (v[:, None] + v) / 2)
            log_z = np.log(np.trace(np.linalg.matrix_power(T / T.max(), N))) + N * np.log(T.max())
            losses = np.asarray(path.action(part["state"].values.reshape(40, 10, N), beta)) + log_z
            expected[out] += losses.sum(1)[out]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_slopes_alone_do_not_make_two_deep_wells_unlike():
    """Held-out score prefers odd powers here, and by score matching one well would be far emptier than it is; the likelihood mends that."""
    sets = data(PARTICLE, lambda x: 3 * WELL(x), betas=(4.0, 8.0), size=500, seed=318)
    behind = {}
    for likelihood in ("score", "auto"):
        post = hl.infer.learn(sets, hl.models.NetworkAction((4, 12)), likelihood=likelihood, seed=0)
        table = post["selection"].to_dataset()
        even, odd = (
            next(k for k, form in enumerate(table["form"].values) if words in form) for words in ("even, powers 2, 4", "powers 1, 2, 3, 4")
        )
        assert table["held_out"][odd] + 1 < table["held_out"][even]
        behind[likelihood] = float(table["log_likelihood"][even] - table["log_likelihood"][odd])
        assert post["point"]["power"].values.tolist() == [2, 4] and float(table["share"].sum()) == pytest.approx(1.0)
    assert behind["score"] > 20 and abs(behind["auto"]) < 5


def test_coefficients_are_where_the_expected_terms_are_those_observed():
    """Without a penalty the maximum of the likelihood matches moments: those of a transfer matrix of the test's own."""
    model = hl.models.NetworkAction(degree=4, even=False, decay=None)
    sets, grid = data(PARTICLE, lambda x: WELL(x) + 0.2 * x, size=300), np.linspace(-5, 5, 401)
    path, left = network_actions.point(learned(sets, model)), np.zeros(5)
    for part in sets:
        x, beta = part["state"].values.reshape(-1, N), float(part["beta"])
        v, a = path.potential(grid), beta / N
        T = np.exp(-path.link(grid[:, None] - grid) / a - a * (v[:, None] + v) / 2)
        T /= T.max()
        pair = T * np.linalg.matrix_power(T, N - 1)
        expected = [(pair * PARTICLE(grid[:, None] - grid)).sum() / a, *(a * (pair.sum(0) * grid**power).sum() for power in range(1, 5))]
        seen = [PARTICLE(np.roll(x, -1, 1) - x).sum() / a, *(a * (x**power).sum() for power in range(1, 5))]
        left += N * len(x) * np.array(expected) / pair.sum() - seen
    np.testing.assert_allclose(left, 0, atol=0.5)  # of sums of hundreds: 1e-4 nats are left


@pytest.mark.parametrize("form", [Form((1, 2, 3, 4), True, True), Form((2, 4), False, False)])
def test_means_and_covariance_of_terms_are_derivatives_of_log_z(form):
    """By finite differences of ln Z from a transfer matrix of the test's own."""
    bound = hl.models.NetworkAction((2, 4)).bind(REALS, (5,))
    bound = type(bound)(bound.model, bound.space, bound.shape, form, (2.0, -1.5, 2.5))
    theta, grid, a = np.random.default_rng(0).uniform(0.1, 1, bound.n_params), np.linspace(-6, 6, 241), 3.0 / 5
    links, sites = bound.of_steps(grid[:, None] - grid, 0) / a, a * bound.of_values(grid, 0)

    def log_z(theta):
        steps = links.shape[-1]
        S = links @ theta[:steps] + 0.5 * ((sites @ theta[steps:])[:, None] + sites @ theta[steps:])
        return np.log(np.trace(np.linalg.matrix_power((grid[1] - grid[0]) * np.exp(-S), 5)))

    ((value, means, covariance),) = Rings(bound, [3.0]).at(theta)
    near = 1e-3 * np.eye(len(theta))
    up, down = (np.array([log_z(theta + sign * one) for one in near]) for sign in (1, -1))
    assert value == pytest.approx(log_z(theta), abs=1e-7)
    np.testing.assert_allclose(means, -(up - down) / 2e-3, rtol=1e-4, atol=1e-5)
    for k, l in ((0, 0), (0, 1), (1, -1), (-1, -1), (-2, -1)):
        crossed = [log_z(theta + s * near[k] + t * near[l]) for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        assert covariance[k, l] == pytest.approx((crossed[0] - crossed[1] - crossed[2] + crossed[3]) / 4e-6, rel=1e-3, abs=1e-4)


def test_how_much_deeper_one_of_two_wells_is():
    """Paths hardly pass between these wells: v(1) − v(−1) is 0.06, to an error that score matching misses by far."""
    sets = data(PARTICLE, lambda x: 3 * WELL(x) + 0.03 * x, betas=(4.0, 8.0), seed=300)
    found = {}
    for likelihood in ("score", "auto"):
        post = hl.infer.learn(sets, hl.models.NetworkAction((4, 12), degree=4, even=False, decay=None), likelihood=likelihood, seed=0)
        drawn = np.array([np.diff(one.potential(np.array([-1.0, 1.0])))[0] for one in hl.draw_systems(post, 200)])
        found[likelihood] = drawn.mean(), drawn.std()
    assert_within(found["auto"][0], 0.06, found["auto"][1], "depth by the exact likelihood")
    assert found["auto"][1] < 0.3 * found["score"][1]


def test_an_action_that_the_transfer_operator_does_not_resolve_is_left_to_score_matching(monkeypatch):
    monkeypatch.setattr(network_ring, "MOST_POINTS", 30)
    monkeypatch.setattr(network_evidence, "MOST_POINTS", 30)
    sets = data(PARTICLE, WELL, size=300)
    record = hl.infer.provenance(learned(sets))
    assert record.likelihood == "score" and any("does not resolve" in one for one in record.reasons)
    with pytest.raises(hl.HamlearnError, match="likelihood='score'"):
        hl.infer.learn(sets, MODEL, likelihood="exact")


def test_wells_that_are_unlike_are_not_called_alike():
    """The even form is the more likely one, for the depth of wells is poorly known without; odd moments say that it is wrong."""
    sets = data(PARTICLE, lambda x: 3 * WELL(x) + 0.03 * x, betas=(4.0, 8.0), seed=300)
    assert 1 in learned(sets)["point"]["power"]
    even = learned(sets, hl.models.NetworkAction((4, 12), even=True))
    assert "not mirror images" in {one.code for one in hl.infer.provenance(even).findings}
    there = hl.infer.extrapolate(even, 12.0)
    assert hl.infer.provenance(there).extrapolation["predicted_ess"] is None and "the data contradict this action" in str(hl.verdict(there))
    assert "not mirror images" not in {one.code for one in hl.infer.provenance(learned(data(PARTICLE, WELL))).findings}


def test_an_action_that_puts_paths_elsewhere_than_they_are_is_noticed():
    """A symmetric well, and coefficients of a tilted one: means of x and x² from a transfer matrix of the test's own."""
    known = evidence(data(PARTICLE, WELL), hl.models.NetworkAction((2, 2)))
    bound = type(known.whole)(known.whole.model, known.whole.space, known.whole.shape, Form((1, 2, 3, 4), False, False), known.whole.extent)
    at = lambda tilt: network_selection.Choice(bound, (0.0, 0.0), np.array([1.0, tilt, -2.0, 0.0, 1.0]), np.eye(5), np.zeros(40))
    assert network_evidence.misplaced(known, at(0.0)) == []
    found, grid = network_evidence.misplaced(known, at(0.3)), np.linspace(-5, 5, 401)
    assert [(one.beta, one.power) for one in found] == [(2.0, 1), (4.0, 1)]
    for one in found:
        a, v = one.beta / N, WELL(grid) + 0.3 * grid
        T = np.exp(-PARTICLE(grid[:, None] - grid) / a - a * (v[:, None] + v) / 2)
        density = np.diag(np.linalg.matrix_power(T / T.max(), N))
        assert one.learned == pytest.approx(density @ grid / density.sum(), rel=1e-6)
        assert_within(one.observed, 0.0, one.error, f"mean of x at beta = {one.beta:g}")


def test_a_kinetic_term_that_asks_for_no_parabola_keeps_its_network():
    """Steps cost 2·(distance): at long ones κ is zero, and its estimate as often below."""
    known = evidence(data(lambda d: 2 * np.abs(d), WELL, betas=(4.0, 8.0), size=500, seed=300), hl.models.NetworkAction((4, 12)))
    bound = network_selection.best_of(known.whole, Form((2, 4), True, False), known.A, known.b)
    assert bound.theta[0] == bound.floor > 0
    free = network_selection.solved(bound.H, (known.b @ network_selection.embedding(known.whole, bound.bound.form)).sum(0), bound.penalty)
    loss = lambda theta: 0.5 * (bound.H + bound.penalty) @ theta @ theta - (bound.H + bound.penalty) @ free @ theta
    near = bound.theta + np.random.default_rng(0).normal(scale=1e-3, size=(200, len(free))) * np.r_[0.0, np.ones(len(free) - 1)]
    assert free[0] < bound.floor and all(loss(bound.theta) <= loss(one) for one in near)
    assert network_evidence.select(known)[0].bound.form.steps


def test_a_kinetic_term_that_is_not_quadratic_is_found():
    post = learned(data(FAST, WELL, betas=(4.0, 8.0)))
    assert "step_weight" in post["point"]
    steps = np.linspace(0, 1.2, 21)  # nearly all that the data show
    truth, parabola = FAST(steps), steps**2 * (steps**2 @ FAST(steps)) / (steps**2 @ steps**2)
    left = network_actions.point(post).link(steps) - truth
    assert (left**2).mean() < 0.25 * ((parabola - truth) ** 2).mean()


def test_draws_that_confine_nothing_are_left_out_and_counted():
    """A normal whose tail confines nothing: what is kept is the truncated normal."""
    bound = hl.models.NetworkAction(decay=None).bind(REALS, (N,))
    bound = type(bound)(bound.model, bound.space, bound.shape, Form((2,), False, False))
    H = np.diag([1e4, 25.0])  # the coefficient of x² is 0.1 ± 0.2
    found = network_selection.Choice(bound, (0.0, 0.0), np.array([1.0, 0.1]), H, np.zeros(40))
    draws, share = network_actions._draws(found, H, 0)
    truncated = scipy.stats.truncnorm(-0.5, np.inf, 0.1, 0.2)
    assert_within(draws[..., 1].mean(), truncated.mean(), truncated.std() / np.sqrt(1000), "coefficients that confine")
    assert_within(share, scipy.stats.norm.cdf(-0.5), np.sqrt(0.25 / 4000), "share that confines nothing")


def test_differences_of_the_action_are_covered(barrier):
    paths = np.concatenate([ring(PARTICLE, BARRIER, beta, 4, 5) for beta in (2.0, 4.0)])
    truth, drawn = action(PARTICLE, BARRIER, paths, 4.0), hl.action(barrier, paths, beta=4.0, draws=400).values
    drawn, truth = drawn[:, 1:] - drawn[:, :1], truth[1:] - truth[0]
    assert_within(drawn.mean(0), truth, drawn.std(0), "differences of the action")


def test_error_bars_are_those_of_repeated_experiments():
    """z of κ over 30 data sets: its square sums to χ²."""
    z, model = [], hl.models.NetworkAction((2, 2), degree=2, even=True, decay=None)
    for seed in range(30):
        sets = data(PARTICLE, lambda x: 0.5 * x**2, size=250, seed=100 + 2 * seed)
        post = learned(sets, model)
        z.append((post["point"]["kinetic"].item() - 1) / post["posterior"]["kinetic"].std().item())
    square = float(np.sum(np.square(z)))
    # The error bar of 500 rows is itself uncertain by a few per cent: the limits are widened by 15 %.
    assert scipy.stats.chi2.sf(square / 1.15, 30) > spend() and scipy.stats.chi2.cdf(square * 1.15, 30) > spend()


@pytest.mark.slow
def test_bands_of_networks_cover():
    """k and v against their values at zero: 90 % intervals hold the truth of 84 to 97 % of 40 data sets, on average over places."""
    steps, values, inside = np.linspace(0.2, 1.5, 6), np.linspace(-1.5, 1.5, 7), []
    for seed in range(40):
        post = learned(data(PARTICLE, BARRIER, seed=200 + 2 * seed), hl.models.NetworkAction((4, 12), even=True))
        members = hl.draw_systems(post, 200)
        for truth, at, of in ((PARTICLE, steps, lambda one: one.link(steps)), (BARRIER, values, lambda one: one.potential(values))):
            found = np.stack([np.asarray(of(one), float) for one in members])
            low, high = np.quantile(found, [0.05, 0.95], axis=0)
            inside.append(np.mean((low <= truth(at) - truth(0.0)) & (truth(at) - truth(0.0) <= high)))
    assert 0.84 < np.mean(inside) < 0.97


def test_a_law_that_fails_is_noticed():
    codes = lambda post: {one.code for one in hl.infer.provenance(post).findings}
    assert "temperatures disagree" not in codes(learned(data(PARTICLE, WELL)))
    wrong = learned(data(PARTICLE, WELL, masses=(1.0, 1.5)))
    assert "temperatures disagree" in codes(wrong)
    there = hl.extrapolate(wrong, beta=3.0)
    assert hl.infer.provenance(there).extrapolation["predicted_ess"] is None and hl.verdict(there).level == "do not believe"
    assert "not known (the data contradict this action)" in str(hl.verdict(there))


def test_a_mass_that_depends_on_the_place_is_noticed():
    """Every mean is matched, and at 8 two fifths of the effective share are lost: slopes and temperatures tell."""
    grid, codes = np.linspace(-5, 5, 151), {}
    mass = 1 + (grid[:, None] ** 2 + grid**2) / 2
    for bent in (0.0, 1.0):
        sets = []
        for seed, beta in enumerate((2.0, 4.0)):
            a = beta / N
            link = (1 - bent + bent * mass) * PARTICLE(grid[:, None] - grid)
            T = np.exp(-link / a - a * (WELL(grid)[:, None] + WELL(grid)) / 2)
            sets.append(hl.microstates(drawn(T, grid, 1500, seed), space="reals", beta=beta, independent=True))
        there = hl.infer.extrapolate(learned(sets), 8.0)
        codes[bent] = {one.code for one in hl.infer.provenance(there).findings}
    assert not codes[0.0] & {"slopes unbalanced", "temperatures disagree", "paths elsewhere"}
    assert "slopes unbalanced" in codes[1.0] and "temperatures disagree" in codes[1.0]
    assert hl.infer.provenance(there).extrapolation["predicted_ess"] is None and "is not of this form" in str(hl.verdict(there))


def test_rows_that_are_repeated_add_nothing(barrier):
    """Each path four times in a row, not known to be independent: the same coefficients with the same error bars."""
    sets = [
        hl.microstates(np.repeat(one["state"].values.reshape(-1, N), 4, 0), space="reals", beta=float(one["beta"]))
        for one in data(PARTICLE, BARRIER)
    ]
    again, paths = learned(sets), ring(PARTICLE, BARRIER, 4.0, 12, 7)
    kinetic = [post["posterior"]["kinetic"].values for post in (barrier, again)]
    action = [np.diff(hl.action(post, paths, beta=4.0, draws=400).values[:, [0, k]]).std() for post in (barrier, again) for k in (1, 5)]
    assert abs(kinetic[0].mean() - kinetic[1].mean()) < 0.3 * kinetic[0].std()
    assert 0.85 < kinetic[1].std() / kinetic[0].std() < 1.3 and all(0.8 < action[k + 2] / action[k] < 1.35 for k in (0, 1))


def test_paths_with_an_arrow_of_time_are_told_so():
    rng, saw = np.random.default_rng(0), np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    paths = np.stack([np.roll(saw, shift) for shift in rng.integers(N, size=400)]) + rng.normal(scale=0.5, size=(400, N))
    post = learned([hl.microstates(paths, space="reals", beta=2.0, independent=True)], hl.models.NetworkAction(decay=None))
    assert "arrow of time" in {one.code for one in hl.infer.provenance(post).findings}
    assert "forwards and backwards" in str(
        hl.verdict(hl.learn([hl.microstates(paths, space="reals", beta=2.0)], hl.models.NetworkAction(decay=None), check=False))
    )


def test_another_temperature_says_what_to_expect_there(barrier):
    there = hl.extrapolate(barrier, beta=8.0)
    facts = hl.infer.provenance(there).extrapolation
    paths = hl.systems.exact.sample(network_actions.point(barrier), 8.0, 4000, seed=3)
    error = action(PARTICLE, BARRIER, paths, 8.0) - network_actions.point(barrier).action(paths, 8.0)
    weight = np.exp(-(error - error.min()))
    measured = weight.sum() ** 2 / (weight**2).sum() / len(weight)
    assert 1 / 1.5 < facts["predicted_ess"] / measured < 1.5
    longest, low, high = network_actions.bound_of(barrier).extent
    out = (np.abs(np.roll(paths, -1, 1) - paths) > longest).mean(), ((paths < low) | (paths > high)).mean()
    np.testing.assert_allclose([facts["unseen_steps"], facts["unseen_values"]], out, atol=0.01)
    assert facts["amplification"] > 1


def test_forms_that_the_data_allow_are_in_what_is_expected(barrier):
    """One form is believed to nine tenths beside the chosen one: what is expected is the mean of both, and the less is said."""
    table, bound = barrier["selection"].to_dataset(), network_actions.bound_of(barrier)
    best = network_actions.theta_of(barrier["point"].to_dataset())
    whole = network_selection.largest(bound.model, bound, bound.extent)
    other = network_selection.embedding(whole, bound.form) @ best
    other[whole.parts[1].start + 1] += 0.4  # x² of another size
    rival = table.assign(theta=table["theta"].copy(), share=0 * table["share"], chosen=0 * table["chosen"])
    rival["theta"][0], rival["share"][0], rival["chosen"][1], rival["share"][1] = other, 0.9, 1, 0.1
    changed = barrier.copy()
    changed["selection"] = rival
    facts, alone = (hl.infer.provenance(hl.infer.extrapolate(one, 8.0)).extrapolation for one in (changed, barrier))
    paths = hl.systems.exact.sample(bound.system(best), 8.0, 4000, seed=3)
    weight = np.exp(-0.4 * (8.0 / N) * (paths**2).sum(1))
    share = weight.sum() ** 2 / (weight**2).sum() / len(weight)
    assert abs(facts["least_ess"] - share) < 0.1 and share < 0.5
    assert facts["predicted_ess"] == pytest.approx(0.1 * alone["predicted_ess"] + 0.9 * facts["least_ess"], abs=0.02)
    assert "if another form that predicts the data as well were true" in str(hl.verdict(hl.extrapolate(changed, beta=8.0)))


def test_the_loop(barrier, tmp_path):
    there = hl.load(hl.save(hl.extrapolate(barrier, beta=8.0), tmp_path / "post.nc"))
    paths = ring(PARTICLE, BARRIER, 8.0, 3, 1)
    np.testing.assert_array_equal(hl.action(there, paths, draws=5), hl.action(barrier, paths, beta=8.0, draws=5))
    names, draws = network_actions.parameters(there)
    assert draws.shape == (4, 250, len(names)) and names[0] == "kinetic"
    one = hl.draw_systems(there, 1)[0]
    np.testing.assert_allclose(hl.systems.from_dict(one.to_dict()).action(paths, 8.0), one.action(paths, 8.0), rtol=1e-12)
    found = hl.predict(there, beta=[8.0], draws=4, observables=["squared_position"])
    x = ring(PARTICLE, BARRIER, 8.0, 4000, 2) ** 2
    assert abs(found["squared_position"].sel(quantity="mean").item() - x.mean()) < 0.1 * x.mean()


def test_description_round_trip():
    model = hl.models.NetworkAction((3, 8), degree=6, even=True, decay=2.0)
    assert hl.models.from_dict(model.to_dict()).to_dict() == model.to_dict()
    assert repr(model) == "NetworkAction(hidden=(3, 8), degree=6, even=True, decay=2.0)"


FEW = ring(PARTICLE, WELL, 2.0, 300, 0)
DECLARED = {"space": "reals", "beta": 2.0}
MODEL = hl.models.NetworkAction((2, 2), decay=None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MODEL.bind(SPINS, (8,)), "LocalInteraction"),
        (lambda: MODEL.bind(REALS, (4, 4)), "one site axis"),
        (lambda: learned([hl.microstates(FEW, space="reals")], MODEL), "not declared"),
        (lambda: learned([hl.microstates(FEW[:50], **DECLARED)], MODEL), "too few"),
        (
            lambda: learned([hl.microstates(FEW, **DECLARED), hl.microstates(FEW[:, :5], space="reals", beta=3.0)], MODEL),
            "numbers of time slices",
        ),
        (lambda: learned([hl.microstates(FEW, spacing=0.3, **DECLARED)], MODEL), "given width"),
        (lambda: learned([hl.microstates(FEW, periodic=False, **DECLARED)], MODEL), "declared open"),
        (lambda: learned([hl.microstates(np.where(FEW > 1, np.nan, FEW), **DECLARED)], MODEL), "nothing is observed"),
        (lambda: learned([hl.microstates(0 * FEW, **DECLARED)], MODEL), "never move"),
        (lambda: hl.infer.learn([hl.microstates(FEW, **DECLARED)], MODEL, engine="nuts"), "engine='auto'"),
        (lambda: hl.infer.learn([hl.microstates(FEW, **DECLARED)], MODEL, calibrate=False), "calibrate=True"),
        (lambda: hl.extrapolate([learned([hl.microstates(FEW, space="reals", beta=b)], MODEL) for b in (2.0, 3.0)], beta=4.0), "together"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(hl.HamlearnError, match=message):
        make()
