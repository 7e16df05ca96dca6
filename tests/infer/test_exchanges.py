"""Learning at a fixed magnetization: the likelihood of exchanges by loops, exact estimates, coverage, and what cannot be determined."""

import itertools
import json

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer.calibrate import calibrate
from hamlearn.infer.likelihoods import ExactLikelihood, ExchangeLikelihood
from hamlearn.infer.likelihoods.terms import ExchangeTerms
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.predictions import annealed
from hamlearn.systems import FixedMagnetization, Ising, Pairwise, lattice
from hamlearn.systems.sampling.annealing import annealed_exchanges
from statistics_budget import assert_within, spend

SQUARE = lattice.hypercubic((4, 4))
OPEN = lattice.hypercubic((2, 4), periodic=False)
GROUPS = tuple(np.arange(OPEN.n_bonds) % 3)
MODELS = {
    "a coupling for every bond": hl.models.Couplings(OPEN),
    "tied couplings": hl.models.Couplings(OPEN, tie="uniform", fields=None),
    "groups of both": hl.models.Couplings(OPEN, tie=GROUPS, fields=[0, 0, 1, 1, 2, 2, 0, 1]),
    "parallel bonds": hl.models.Couplings(lattice.hypercubic((2, 4)), tie="uniform"),
}


def states_of(n, magnetization):
    """All states of one sum, by choosing which spins are up."""
    ups = itertools.combinations(range(n), (n + magnetization) // 2)
    return np.array([[1 if site in chosen else -1 for site in range(n)] for chosen in map(set, ups)])


def energy(J, h, bonds, state):
    """From the definition, bond by bond."""
    total = -sum(strength * state[i] * state[j] for (i, j), strength in zip(bonds, J, strict=True))
    return total - sum(field * spin for field, spin in zip(h, state, strict=True))


def by_loops(bound, theta, sets):
    """Ln of the probability of every row, given that it or the row with i and j exchanged was observed, over all pairs of sites."""
    J, h = bound.values(theta)
    total = 0.0
    for beta, rows in sets:
        for row in rows:
            here = energy(J, h, bound.lattice.bonds, row)
            for i, j in itertools.combinations(range(len(row)), 2):
                if row[i] != row[j]:
                    other = row.copy()
                    other[[i, j]] = row[[j, i]]
                    total -= np.log1p(np.exp(beta * (here - energy(J, h, bound.lattice.bonds, other))))
    return total


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_objective_and_its_derivatives_are_those_of_a_loop_over_exchanges(model):
    rng = np.random.default_rng(0)
    every = states_of(8, 2)
    sets = [(beta, every[rng.integers(len(every), size=12)]) for beta in (0.7, 0.3)]
    space = hl.spaces.Spins(magnetization=2)
    data = [hl.microstates(rows.reshape(-1, *model.graph.shape), space=space, beta=beta) for beta, rows in sets]
    bound, parts, _ = bind(data, model)
    likelihood, theta, step = ExchangeLikelihood(bound, parts), rng.normal(size=bound.n_params), 1e-5
    value, gradient = likelihood.value_and_gradient(theta)
    assert value == pytest.approx(by_loops(bound, theta, sets), rel=1e-12)
    steps = step * np.eye(bound.n_params)
    numeric = [(by_loops(bound, theta + one, sets) - by_loops(bound, theta - one, sets)) / (2 * step) for one in steps]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)
    slopes = [(likelihood.value_and_gradient(theta + one)[1] - likelihood.value_and_gradient(theta - one)[1]) / (2 * step) for one in steps]
    np.testing.assert_allclose(likelihood.information(theta), -np.array(slopes), atol=1e-6)
    scores = likelihood.row_scores(theta)
    rows = [scores(part, part.states.reshape(-1, 8)).sum(0) for part in parts]
    np.testing.assert_allclose(np.sum(rows, 0), gradient, atol=1e-10)
    compiled, arrays = likelihood.jax_log_density()
    assert float(compiled(theta, arrays)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("kind", [ExactLikelihood, ExchangeLikelihood])
def test_infinite_data_give_the_truth_and_fields_but_for_their_mean(kind):
    rng, every = np.random.default_rng(1), states_of(8, -2)
    J, h = rng.normal(size=OPEN.n_bonds), rng.normal(size=8)
    weight = np.exp([-0.6 * energy(J, h, OPEN.bonds, state) for state in every])
    data = hl.microstates(every.reshape(-1, 2, 4), space=hl.spaces.Spins(magnetization=-2), beta=0.6, weights=1e4 * weight / weight.sum())
    bound, parts, _ = bind(data, hl.models.Couplings(OPEN))
    found_J, found_h = bound.values(maximise(kind(bound, parts)).theta)
    np.testing.assert_allclose(found_J, J, atol=1e-5)
    np.testing.assert_allclose(found_h, h - h.mean(), atol=1e-5)
    theta = bound.from_values(found_J, found_h)
    np.testing.assert_allclose(bound.values(theta)[1], found_h, atol=1e-12)


def test_the_exact_likelihood_sums_over_the_states_of_that_sum():
    every = states_of(8, 4)
    data = hl.microstates(every[:5].reshape(-1, 2, 4), space=hl.spaces.Spins(magnetization=4), beta=0.8)
    bound, parts, _ = bind(data, hl.models.Couplings(OPEN))
    theta = np.random.default_rng(2).normal(size=bound.n_params)
    actions = np.array([0.8 * energy(*bound.values(theta), OPEN.bonds, state) for state in every])
    expected = -actions[:5].sum() - 5 * np.log(np.exp(-actions).sum())
    # T leaves out the constant that a mean field adds to all of these states.
    assert ExactLikelihood(bound, parts).value_and_gradient(theta)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("magnetization", [0, 4])
def test_nine_of_ten_intervals_hold_the_truth(magnetization):
    system, sets, rows = Ising((4, 4), magnetization=magnetization), 60, 250
    drawn = hl.systems.exact.sample(system, 0.4, sets * rows, seed=magnetization).reshape(sets, rows, 4, 4)
    inside = 0
    for one in drawn:
        data = hl.microstates(one, space=system.space, beta=0.4, independent=True)
        bound, parts, _ = bind(data, hl.models.Couplings(SQUARE, tie="uniform", fields=None))
        likelihood = ExchangeLikelihood(bound, parts)
        best = maximise(likelihood)
        found = calibrate(likelihood, best.theta, best.information)
        half = scipy.stats.t.ppf(0.95, found.degrees) * np.sqrt(found.covariance[0, 0])
        inside += abs(best.theta[0] - 1.0) < half
    tail = min(scipy.stats.binom.cdf(inside, sets, 0.9), scipy.stats.binom.sf(inside - 1, sets, 0.9))
    assert 2 * tail > spend()


def test_exchanges_agree_with_the_exact_likelihood_and_the_posterior_keeps_the_sum(tmp_path):
    glass = FixedMagnetization(hl.systems.EdwardsAnderson((4, 4), seed=3), 4)
    data = hl.simulate(glass, 0.4, draws=2000, chains=2, seed=1)
    options = {"engine": "laplace", "check": False, "seed": 0}
    model = hl.models.Couplings(SQUARE)
    exact, exchange = (hl.learn(data, model, likelihood=one, **options) for one in ("exact", "exchange"))
    means = [post["posterior"]["J"].mean(("chain", "draw")).values for post in (exact, exchange)]
    widths = [post["posterior"]["J"].std(("chain", "draw")).values for post in (exact, exchange)]
    assert np.all(widths[1] > 0.9 * widths[0]) and widths[1].mean() < 1.3 * widths[0].mean()
    assert_within(means[1], glass.system.J, widths[1], what="couplings")
    assert_within(means[1] - means[0], np.zeros(32), widths[1], what="difference")
    np.testing.assert_allclose(exchange["posterior"]["h"].sum("site"), 0.0, atol=1e-9)
    member = hl.draw_systems(hl.load(hl.save(exchange, tmp_path / "p.nc")), 1)[0]
    assert isinstance(member, FixedMagnetization) and member.space == glass.space
    made = json.loads(exchange.attrs["provenance"])
    assert made["likelihood"] == "exchange" and made["composite"]


def test_a_tied_posterior_keeps_the_density_on_other_lattices():
    data = hl.simulate(Ising((4, 4), magnetization=4), 0.4, draws=500, chains=2, seed=1)
    post = hl.learn(data, hl.models.Couplings(SQUARE, tie="uniform", fields=None), engine="laplace", check=False)
    curve = hl.predict(post, 0.3, shape=(2, 4), draws=4)
    assert float(curve["abs_magnetization"].sel(quantity="mean")[0]) == pytest.approx(0.25)
    with pytest.raises(HamlearnError, match="no microstate of"):
        hl.predict(post, 0.3, shape=(3, 3), draws=4)


def test_few_states_are_no_copies_and_copies_are():
    cold = Ising((4, 4), magnetization=0)
    model = hl.models.Couplings(SQUARE, tie="uniform", fields=None)
    repeated = []
    for distinct in (1200, 300):
        rows = hl.systems.exact.sample(cold, 0.3, distinct, seed=5)
        if distinct < 1200:  # drawn with replacement
            rows = rows[np.random.default_rng(0).integers(distinct, size=1200)]
        post = hl.learn(hl.microstates(rows, space=cold.space, beta=0.3, independent=True), model, engine="laplace")
        repeated.append("were copied" in str(hl.verdict(post)))
    assert repeated == [False, True]


CLUSTERS = {
    "translation": (hl.models.ClusterExpansion(window=2), (4, 4)),
    "3x3": (hl.models.ClusterExpansion(window=3), (6, 6)),
    "site": (hl.models.ClusterExpansion(window=2, tie="site"), (4, 4)),
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", CLUSTERS)
def test_exchanges_of_clusters_are_differences_of_energies(name, compress):
    model, shape = CLUSTERS[name]
    rng, n = np.random.default_rng(0), int(np.prod(shape))
    rows = rng.permuted(np.where(np.arange(n) < n // 2 + 2, 1, -1) * np.ones((30, 1), int), axis=1)
    bound, parts, _ = bind(hl.microstates(rows.reshape(-1, *shape), space=hl.spaces.Spins(magnetization=4), beta=0.7), model)
    chosen = np.arange(0, bound.n_params, 1 if bound.n_params < 100 else 17)
    pairs = np.array([[0, 1], [0, n - 1], [2, 7], [5, 4 + n // 2]])  # neighbours, around the edge, and apart
    likelihood = ExchangeTerms(bound, parts, chosen, pairs, compress=compress)
    theta, full = rng.normal(size=len(chosen)) / 3, np.zeros(bound.n_params)

    def brute(values):
        full[chosen] = values
        system, total = bound.free_system(full), 0.0
        here = system.energy(rows.reshape(-1, *shape))
        for i, j in pairs.tolist():
            other = rows.copy()
            other[:, [i, j]] = rows[:, [j, i]]
            unlike = rows[:, i] != rows[:, j]
            total -= np.log1p(np.exp(0.7 * (here - system.energy(other.reshape(-1, *shape)))))[unlike].sum()
        return total

    value, gradient = likelihood.value_and_gradient(theta)
    assert value == pytest.approx(brute(theta), rel=1e-9)
    for k in rng.integers(len(chosen), size=6):
        step = 1e-5 * np.eye(len(chosen))[k]
        assert gradient[k] == pytest.approx((brute(theta + step) - brute(theta - step)) / 2e-5, abs=1e-6)
        slope = (likelihood.value_and_gradient(theta + step)[1] - likelihood.value_and_gradient(theta - step)[1]) / 2e-5
        np.testing.assert_allclose(-slope, likelihood.information(theta)[k], atol=1e-5)
    np.testing.assert_allclose(likelihood.row_scores(theta)(parts[0], parts[0].states[0]).sum(0), gradient, atol=1e-9)


def test_clusters_are_found_without_the_field_which_is_named():
    alloy = Ising((6, 6), magnetization=6)
    data = hl.simulate(alloy, 0.35, draws=500, chains=4, seed=3, thin=4)
    post = hl.learn(data, hl.models.ClusterExpansion(window=2), check=False, seed=0)
    names, draws = hl.infer.families.of(post).parameters(post)
    assert names == ["σ(0,0)σ(0,1)", "σ(0,0)σ(1,0)"]
    assert_within(draws.mean((0, 1)), [1.0, 1.0], draws.std((0, 1)), what="pairs")
    assert not post["posterior"]["included"].sel(term="σ(0,0)").any()
    assert "field is not determined, and left out: the magnetization is 6" in str(hl.verdict(post))
    assert all(one.space == alloy.space for one in hl.draw_systems(post, 3))


def test_annealed_exchanges_estimate_log_z():
    rng = np.random.default_rng(3)
    small = Pairwise(OPEN, J=rng.normal(size=OPEN.n_bonds), h=rng.normal(size=8))
    log_weights = [-energy(small.J, small.h, OPEN.bonds, state) for state in states_of(8, 2)]
    J = np.zeros((8, 8))
    J[tuple(OPEN.bonds.T)] = small.J
    _, found = annealed_exchanges(J + J.T, small.h, 5, 4000, 50, 0)
    weight = np.exp(found - found.max())
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    assert_within(np.log(weight.mean()) + found.max(), np.logaddexp.reduce(log_weights), error, what="log Z")


def test_annealed_exchanges_of_windows_estimate_log_z():
    tables = np.random.default_rng(4).normal(size=8)
    system = FixedMagnetization(hl.systems.InteractionTables((8,), 3, tables), 2)
    every = (states_of(8, 2) + 1) // 2
    energies = [sum(tables[4 * row[t] + 2 * row[(t + 1) % 8] + row[(t + 2) % 8]] for t in range(8)) for row in every]
    _, found = annealed._exchanged_windows(system, 0.8, 1000, 40, np.random.SeedSequence(1))
    weight = np.exp(found - found.max())
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    assert_within(np.log(weight.mean()) + found.max(), np.logaddexp.reduce(-0.8 * np.array(energies)), error, what="log Z")


DATA = hl.microstates(np.repeat(states_of(6, 0), 3, 0), space=hl.spaces.Spins(magnetization=0), beta=1.0, independent=True)
FREE = hl.microstates(np.random.default_rng(0).choice([-1, 1], size=(60, 6)), space="spins", beta=1.0)
CHAIN = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
REFUSED = {
    "single sites": (lambda: hl.learn(DATA, hl.models.Couplings(CHAIN), likelihood="pseudo"), "'pseudo'.*fixed.*likelihood='exchange'"),
    "exchanges of free spins": (lambda: hl.learn(FREE, hl.models.Couplings(CHAIN), likelihood="exchange"), "whose sum is fixed"),
    "a uniform field": (lambda: hl.learn(DATA, hl.models.Couplings(CHAIN, fields="uniform")), "uniform field.*fields=None"),
    "all pairs": (lambda: hl.learn(DATA, hl.models.Couplings()), "6 combinations of these couplings.*not determined"),
    "all pairs alike": (lambda: hl.learn(DATA, hl.models.Couplings(tie="uniform", fields=None)), "a combination of these couplings is"),
    "a window that covers all displacements": (
        lambda: hl.learn(hl.simulate(Ising((3, 3), magnetization=1), 0.3, draws=100), hl.models.ClusterExpansion(window=2)),
        "at least \\(4, 4\\)",
    ),
    "single sites of clusters": (
        lambda: hl.learn(hl.simulate(Ising((4, 4), magnetization=0), 0.3, draws=100), hl.models.ClusterExpansion(2), likelihood="pseudo"),
        "likelihood='exchange'",
    ),
    "an unknown rate": (
        lambda: hl.learn(DATA, hl.models.Couplings(CHAIN, flip=__import__("numpyro").distributions.Beta(2, 60))),
        "magnetization",
    ),
    "another model": (lambda: hl.learn(DATA, hl.models.LocalInteraction(2)), "hl.models.Couplings"),
    "conditionals of rows": (
        lambda: hl.infer.log_likelihood(hl.infer.learn(DATA, hl.models.Couplings(CHAIN), "exchange", "laplace"), DATA),
        "likelihood='exact'",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learned_is_named(call, message):
    with pytest.raises(HamlearnError, match=message):
        call()


@pytest.mark.parametrize(
    ("bonds", "options", "magnetization"),
    [
        (lattice.complete(5).bonds, {}, 1),
        (lattice.complete(5).bonds, {"fields": None}, 1),
        (lattice.complete(6).bonds, {"fields": None}, 0),
        ([[0, 1], [0, 2], [0, 3], [0, 4], [0, 5], [2, 3]], {}, 0),
        ([[0, 1], [0, 2], [0, 3], [0, 4], [0, 5], [2, 3]], {"fields": None}, 2),
        (lattice.hypercubic((2, 2), periodic=False).bonds, {}, 0),
        (lattice.hypercubic((2, 3), periodic=False).bonds, {}, 0),
    ],
)
def test_what_is_refused_is_what_no_energies_of_that_sum_tell_apart(bonds, options, magnetization):
    model, n = hl.models.Couplings(np.asarray(bonds), **options), int(np.max(bonds)) + 1
    every = states_of(n, magnetization)
    columns = [every[:, i] * every[:, j] for i, j in np.asarray(bonds)]
    columns += list(every.T[:-1]) if model.fields else []  # of fields all but one: their mean is known to be undetermined
    table = np.array(columns, float).T
    lost = table.shape[1] - np.linalg.matrix_rank(table - table.mean(0))
    if not lost:
        assert model.bind(hl.spaces.Spins(magnetization=magnetization), (n,)).n_params == table.shape[1]
        return
    with pytest.raises(HamlearnError, match=f"{'a combination' if lost == 1 else f'{lost} combinations'} of these couplings"):
        model.bind(hl.spaces.Spins(magnetization=magnetization), (n,))
