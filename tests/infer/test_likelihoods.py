"""Every likelihood of every family: value, gradient, Hessian, scores, and the same for JAX, against plain loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from infer import oracles

from hamlearn.data import microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import ExactLikelihood, OneHotLikelihood, PatternLikelihood, RowLikelihood, TiedLikelihood, composite
from hamlearn.infer.observations import bind, unique_rows
from hamlearn.models import Couplings
from hamlearn.systems import lattice

TORUS = lattice.hypercubic((3, 2), periodic=False)
CYCLE = np.array([[0, 1], [2, 1], [2, 3], [3, 0]])

# A new interaction or tie adds one line: (model, shape of the sites, number of states).
FAMILIES = {
    "spins, lattice": (lambda: Couplings(TORUS), (3, 2), 2),
    "spins, all pairs": (lambda: Couplings(None), (5,), 2),
    "spins, no fields": (lambda: Couplings(CYCLE, fields=None), (4,), 2),
    "spins, tied": (lambda: Couplings(TORUS, "uniform", "uniform"), (3, 2), 2),
    "spins, by distance": (lambda: Couplings(lattice.hypercubic((2, 3), periodic=False).pairs_within(1.5), "distance"), (2, 3), 2),
    "spins, lonely site": (lambda: Couplings([[0, 1], [3, 1]]), (5,), 2),
    "spins, double bonds": (lambda: Couplings(lattice.hypercubic((2, 2)), "uniform"), (2, 2), 2),
    "clock": (lambda: Couplings(CYCLE, interaction="clock"), (4,), 3),
    "clock, tied": (lambda: Couplings(CYCLE, "uniform", None, interaction="clock"), (4,), 4),
    "potts": (lambda: Couplings(CYCLE, interaction="potts"), (4,), 3),
    "ordinal": (lambda: Couplings(CYCLE, interaction="ordinal", scores=[0, 1, 4]), (4,), 3),
    "general": (lambda: Couplings(CYCLE), (4,), 3),
    "general, tied": (lambda: Couplings(CYCLE, "uniform", "uniform"), (4,), 3),
    "mixed, ordinal": (lambda: Couplings(CYCLE, interaction="ordinal"), (4,), (2, 4, 3, 2)),
    "mixed, general": (lambda: Couplings(CYCLE), (4,), (2, 4, 3, 2)),
    "mixed, tied": (lambda: Couplings(CYCLE, [0, 0, 1, 1], [0, 1, 2, 0]), (4,), (2, 3, 2, 2)),
    "general, two states": (lambda: Couplings(None), (3,), "states"),
}
# A new likelihood adds one line: (definition it must reproduce, constructor, which families it is for).
LIKELIHOODS = {
    "pseudo, patterns": ("pseudo", lambda bound, parts: PatternLikelihood(bound, parts, "pseudo"), "any"),
    "pseudo, rows": ("pseudo", lambda bound, parts: RowLikelihood(bound, parts, "pseudo"), "spins"),
    "pseudo, sums": ("pseudo", lambda bound, parts: TiedLikelihood(bound, parts, "pseudo"), "few"),
    "rise, sums": ("rise", lambda bound, parts: TiedLikelihood(bound, parts, "rise"), "few"),
    "rise, patterns": ("rise", lambda bound, parts: PatternLikelihood(bound, parts, "rise"), "any"),
    "rise, rows": ("rise", lambda bound, parts: RowLikelihood(bound, parts, "rise"), "spins"),
    "logrise, patterns": ("logrise", lambda bound, parts: PatternLikelihood(bound, parts, "logrise"), "any"),
    "logrise, rows": ("logrise", lambda bound, parts: RowLikelihood(bound, parts, "logrise"), "spins"),
    "exact": ("exact", ExactLikelihood, "any"),
}
FEW = ("spins, no fields", "spins, tied", "spins, by distance", "spins, lonely site")  # of which sums are counted
CASES = [
    pytest.param(name, family, id=f"{name} - {family}")
    for name, (_, _, where) in LIKELIHOODS.items()
    for family in FAMILIES
    if where == "any" or (where == "few" and family in FEW) or (where == "spins" and family.startswith("spins") and "double" not in family)
]
every_case = pytest.mark.parametrize(("name", "family"), CASES)


def data_sets(shape, q, rows=(13, 9), seed=0):
    """Two temperatures, the second with repeat counts; rows are arbitrary, as an objective does not care."""
    generator = np.random.default_rng(seed)
    if isinstance(q, tuple):
        values = [generator.integers(0, q, (count, *shape)) for count in rows]
        counts = generator.integers(0, 5, rows[1])
        return [microstates(values[0], "states", 0.7, q=q), microstates(values[1], "states", 1.3, counts=counts, q=q)]
    space, size = ("states", 2) if q == "states" else ("spins" if q == 2 else "states", q)
    values = [generator.integers(0, size, (count, *shape)) for count in rows]
    for array in values:
        array.reshape(len(array), -1)[:size] = np.arange(size)[:, None]  # every value occurs
    values = [2 * array - 1 for array in values] if space == "spins" else values
    options = {} if space == "spins" else {"q": size}
    return [
        microstates(values[0], space, 0.7, **options),
        microstates(values[1], space, 1.3, counts=generator.integers(0, 5, rows[1]), **options),
    ]


def setting(family, name=None, data=None):
    make, shape, q = FAMILIES[family]
    bound, parts, _ = bind(data or data_sets(shape, q), make())
    theta = 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    return bound, parts, theta, None if name is None else LIKELIHOODS[name][1](bound, parts)


def plainly(parts):
    return [(part.states.reshape(-1, part.states.shape[-1]).tolist(), part.weight.ravel().tolist(), part.beta) for part in parts]


@every_case
def test_value_is_its_definition(name, family):
    bound, parts, theta, likelihood = setting(family, name)
    expected = oracles.objective(LIKELIHOODS[name][0], bound, plainly(parts), theta)
    assert likelihood.value_and_gradient(theta)[0] == pytest.approx(expected, rel=1e-10)


@every_case
def test_gradient_and_hessian_by_finite_differences(name, family):
    _, _, theta, likelihood = setting(family, name)
    _, gradient = likelihood.value_and_gradient(theta)
    numerical = oracles.numerical_gradient(lambda at: likelihood.value_and_gradient(at)[0], theta)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())
    information = likelihood.information(theta)
    numerical = -oracles.numerical_gradient(lambda at: likelihood.value_and_gradient(at)[1], theta)
    np.testing.assert_allclose(information, numerical, rtol=1e-5, atol=1e-6 * np.abs(information).max())
    np.testing.assert_allclose(information, information.T, atol=1e-9 * np.abs(information).max())
    assert np.linalg.eigvalsh(information).min() > -1e-9 * np.abs(information).max(), "concave"
    if (offered := likelihood.products(theta)) is not None:  # in single precision
        vectors = np.random.default_rng(2).normal(size=(3, len(theta)))
        found = np.array([offered[0](vector) for vector in vectors])
        np.testing.assert_allclose(found, vectors @ numerical, rtol=1e-4, atol=1e-5 * np.abs(information).max())


@every_case
def test_scores_of_rows(name, family):
    """Each row's score is the derivative of its own contribution, and together they are the gradient."""
    bound, parts, theta, likelihood = setting(family, name)
    scores = likelihood.row_scores(theta)
    total = np.zeros(bound.n_params)
    for part in parts:
        states = part.states.reshape(-1, part.states.shape[-1])
        rows = scores(part, states)
        assert rows.shape == (len(states), bound.n_params)
        total += part.weight.ravel() @ rows
        np.testing.assert_allclose(scores(part, states[3:5]), rows[3:5])
        if "logrise" in name:
            continue  # its rows share a normalisation: only the sum is a derivative
        definition = LIKELIHOODS[name][0]
        for row in (0, 4):
            one = [([states[row].tolist()], [1.0], part.beta)]
            expected = oracles.numerical_gradient(lambda at: oracles.objective(definition, bound, one, at), theta)
            np.testing.assert_allclose(rows[row], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(total, likelihood.value_and_gradient(theta)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "family"),  # JAX compiles each for a second: one family of every kind of code
    [
        case
        for case in CASES
        if case.values[1] in ("spins, tied", "clock")
        or case.values in (("pseudo, patterns", "general"), ("pseudo, patterns", "mixed, general"), ("exact", "mixed, general"))
    ],
)
def test_jax_agrees_with_numpy(name, family):
    _, _, theta, likelihood = setting(family, name)
    value, gradient = likelihood.value_and_gradient(theta)
    density, arrays = likelihood.jax_log_density()
    with jax.enable_x64(True):
        ours, slope = jax.value_and_grad(density)(jnp.asarray(theta), jax.tree.map(jnp.asarray, arrays))
        assert float(ours) == pytest.approx(value, rel=1e-11)
        np.testing.assert_allclose(np.asarray(slope), gradient, rtol=1e-8, atol=1e-8)


@every_case
def test_histograms_say_the_same_as_repeated_rows(name, family):
    _, shape, q = FAMILIES[family]
    generator = np.random.default_rng(5)
    space, size = ("states", 2) if q == "states" else ("spins" if q == 2 else "states", q)
    distinct = generator.integers(0, size, (9, *shape))
    distinct = 2 * distinct - 1 if space == "spins" else distinct
    counts = np.array([3, 0, 1, 2, 5, 1, 1, 0, 4])
    options = {} if space == "spins" else {"q": size}
    histogram = setting(family, name, [microstates(distinct, space, 0.8, counts=counts, **options)])[-1]
    repeated = setting(family, name, [microstates(np.repeat(distinct, counts, 0), space, 0.8, **options)])[-1]
    weighted = setting(family, name, [microstates(distinct, space, 0.8, weights=counts, **options)])[-1]
    theta = 0.3 * generator.normal(size=histogram.bound.n_params)
    for other in (repeated, weighted):
        ours, theirs = histogram.value_and_gradient(theta), other.value_and_gradient(theta)
        assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)
        np.testing.assert_allclose(histogram.information(theta), other.information(theta), atol=1e-9)


@pytest.mark.parametrize("objective", ["pseudo", "rise", "logrise"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name.startswith("spins") and "double" not in name])
def test_both_layouts_are_one_objective(objective, family):
    bound, parts, theta, _ = setting(family)
    patterns, rows = PatternLikelihood(bound, parts, objective), RowLikelihood(bound, parts, objective)
    assert patterns.value_and_gradient(theta)[0] == pytest.approx(rows.value_and_gradient(theta)[0], rel=1e-12)
    np.testing.assert_allclose(patterns.value_and_gradient(theta)[1], rows.value_and_gradient(theta)[1], atol=1e-9)
    np.testing.assert_allclose(patterns.information(theta), rows.information(theta), atol=1e-9)


def test_two_state_general_tables_are_the_ising_model():
    """q = 2 tables in the zero-sum gauge are J/2·σσ' and h/√2·σ: two parametrisations of one likelihood."""
    spins = np.random.default_rng(0).choice([-1, 1], (40, 4))
    ising = composite(*bind(microstates(spins, beta=0.9), Couplings(CYCLE))[:2], "pseudo")
    tables = composite(*bind(microstates((spins + 1) // 2, "states", 0.9), Couplings(CYCLE))[:2], "pseudo")
    theta = np.random.default_rng(1).normal(size=8)
    scaled = theta * np.repeat([2.0, np.sqrt(2.0)], 4)
    flipped = np.where(np.arange(8) < 4, scaled, -scaled)  # Helmert's vector points from state 0 to state 1 or back
    values = [tables.value_and_gradient(candidate)[0] for candidate in (scaled, flipped)]
    assert ising.value_and_gradient(theta)[0] == pytest.approx(values[0], rel=1e-12) or ising.value_and_gradient(theta)[0] == pytest.approx(
        values[1], rel=1e-12
    )


def test_screening_is_stationary_at_the_truth():
    """The expectation of RISE has zero gradient at the true couplings: with the exact distribution as weights."""
    bonds, J, h = CYCLE, np.array([0.5, -0.8, 0.3, 0.9]), np.array([0.2, 0.0, -0.4, 0.1])
    spins, probability = oracles.spin_weights(bonds, J, h, 0.8, 4)
    data = microstates(spins, beta=0.8, weights=probability)
    for name in ("pseudo", "rise", "logrise"):
        likelihood = composite(*bind(data, Couplings(bonds))[:2], name)
        np.testing.assert_allclose(likelihood.value_and_gradient(np.concatenate([J, h]))[1], 0, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), pytest.param((4, 4), marks=pytest.mark.slow)])
def test_the_transfer_matrix_is_the_enumeration(shape):
    graph = lattice.hypercubic(shape)
    data = data_sets(shape, 2, rows=(7, 5))
    bound, parts, _ = bind(data, Couplings(graph))
    likelihood = ExactLikelihood(bound, parts)
    likelihood.tabulated = False
    assert likelihood.method == "transfer"
    theta = 0.3 * np.random.default_rng(2).normal(size=bound.n_params)
    # Enumeration in NumPy: −H is θ·T with T the products of spins and the spins.
    spins = oracles.all_spins(graph.n_sites)
    table = np.concatenate([spins[:, graph.bonds[:, 0]] * spins[:, graph.bonds[:, 1]], spins], 1)
    value, gradient, information = 0.0, np.zeros(bound.n_params), np.zeros((bound.n_params,) * 2)
    for part in parts:
        rows = 2 * part.states.reshape(-1, graph.n_sites).astype(int) - 1
        observed = np.concatenate([rows[:, graph.bonds[:, 0]] * rows[:, graph.bonds[:, 1]], rows], 1)
        total, size = part.weight.ravel() @ observed, part.weight.sum()
        log_weight = part.beta * (table @ theta)
        probability = np.exp(log_weight - log_weight.max())
        log_z = log_weight.max() + np.log(probability.sum())
        probability /= probability.sum()
        mean = probability @ table
        value += part.beta * total @ theta - size * log_z
        gradient += part.beta * (total - size * mean)
        information += size * part.beta**2 * ((table * probability[:, None]).T @ table - np.outer(mean, mean))
    ours = likelihood.value_and_gradient(theta)
    assert ours[0] == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(ours[1], gradient, atol=1e-8)
    if shape == (4, 4):  # compiling the Hessian takes long
        np.testing.assert_allclose(likelihood.information(theta), information, atol=1e-8)


def test_the_cheaper_layout_is_taken(monkeypatch):
    sparse = bind(data_sets((3, 2), 2), Couplings(TORUS))
    assert isinstance(composite(*sparse[:2], "pseudo"), PatternLikelihood)
    wide = [microstates(np.random.default_rng(0).choice([-1, 1], (50, 30)), beta=1.0)]
    assert isinstance(composite(*bind(wide, Couplings(None))[:2], "pseudo"), RowLikelihood)
    tied = bind(wide * 8, Couplings(None, "uniform", None))[:2]
    assert isinstance(composite(*tied, "pseudo"), TiedLikelihood)
    assert type(composite(*tied, "logrise")) is RowLikelihood, "every site has a normalisation of its own"
    assert isinstance(composite(*bind(wide, Couplings(None, "uniform"))[:2], "pseudo"), RowLikelihood), "a field a site: too many sums"
    monkeypatch.setattr("hamlearn.infer.likelihoods.tied._largest", lambda bound: pytest.fail("bonds times parameters are many"))
    assert isinstance(composite(*bind(wide, Couplings(None))[:2], "pseudo"), RowLikelihood)
    dense_states = [microstates(np.random.default_rng(0).integers(0, 4, (50, 30)), "states", 1.0)]
    assert isinstance(composite(*bind(dense_states, Couplings(None))[:2], "pseudo"), OneHotLikelihood)
    wider = [microstates(np.random.default_rng(0).integers(0, 4, (50, 33)), "states", 1.0)]
    with pytest.raises(HamlearnError, match="rise with q=4 states and 32 neighbours a site needs tables"):
        composite(*bind(wider, Couplings(None))[:2], "rise")


def test_more_patterns_than_a_table_holds_are_counted_all_the_same():
    """3¹⁶ patterns of 22 rows: Potts couplings of all pairs of 16 sites were refused as too large."""
    bound, parts, _ = bind(data_sets((16,), 3), Couplings(None, interaction="potts"))
    theta = 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    likelihood = composite(bound, parts, "pseudo")
    value, gradient = likelihood.value_and_gradient(theta)
    assert value == pytest.approx(oracles.objective("pseudo", bound, plainly(parts), theta), rel=1e-10)
    scores = likelihood.row_scores(theta)
    total = sum(part.weight.ravel() @ scores(part, part.states.reshape(-1, 16)) for part in parts)
    np.testing.assert_allclose(total, gradient, atol=1e-9)


@pytest.mark.parametrize("family", ["general", "general, two states", "general, one field", "general, no field"])
def test_one_hot_rows_are_the_same_objective(family):
    """Single precision, value and gradient from the definition, and the diagonal of the Hessian of the patterns."""
    fields = {"general, one field": "uniform", "general, no field": None}
    if family in fields:
        bound, parts, _ = bind(data_sets((4,), 3), Couplings(CYCLE, fields=fields[family]))
        theta = 0.4 * np.random.default_rng(1).normal(size=bound.n_params)
    else:
        bound, parts, theta, _ = setting(family)
    rows, patterns = OneHotLikelihood(bound, parts), PatternLikelihood(bound, parts, "pseudo")
    value, gradient = rows.value_and_gradient(theta)
    definition = lambda at: oracles.objective("pseudo", bound, plainly(parts), at)
    assert value == pytest.approx(definition(theta), rel=1e-5)
    np.testing.assert_allclose(gradient, oracles.numerical_gradient(definition, theta), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows.diagonal(theta), np.diag(patterns.information(theta)), rtol=1e-4, atol=1e-5)


def test_a_gradient_costs_the_same_for_any_number_of_microstates():
    """Compression: the arrays of a likelihood do not grow with the data."""
    sizes = []
    for rows in (2_000, 40_000):
        data = microstates(np.random.default_rng(0).choice([-1, 1], (rows, 4, 4)), beta=0.5)
        likelihood = composite(*bind(data, Couplings(lattice.hypercubic((4, 4))))[:2], "pseudo")
        sizes.append(likelihood.design.shape)
    assert sizes[0] == sizes[1] == (16, 32, 5)


def test_distinct_rows_keep_their_weights():
    for n_sites in (5, 80):  # codes fit into 63 bits, or they do not
        states = np.random.default_rng(0).choice([-1, 1], (30, n_sites))
        states = np.concatenate([states, states[:11]])
        _, parts, _ = bind(microstates(states, counts=np.arange(41)), Couplings([[0, 1]]))
        rows, weights = unique_rows(parts[0])
        expected = {}
        for row, count in zip(((states + 1) // 2).tolist(), range(41), strict=True):
            if count:
                expected[tuple(row)] = expected.get(tuple(row), 0) + count
        assert dict(zip(map(tuple, rows.tolist()), weights.tolist(), strict=True)) == expected


def test_exact_refuses_what_has_no_oracle():
    data = microstates(np.random.default_rng(0).choice([-1, 1], (5, 16, 16)), beta=0.4)
    for model in (Couplings(lattice.hypercubic((16, 16)), "uniform", None), Couplings(None)):
        with pytest.raises(HamlearnError):
            ExactLikelihood(*bind(data, model)[:2])


MISTAKES = {
    "different spaces": (
        lambda: bind([microstates([[1, -1]]), microstates([[0, 2]], "states")], Couplings(None)),
        "the data sets live in different spaces",
    ),
    "different sites": (
        lambda: bind([microstates([[1, -1]]), microstates([[1, -1, 1]])], Couplings(None)),
        "the data sets have different site axes",
    ),
    "another lattice": (lambda: bind(microstates([[1, -1, 1]]), Couplings(TORUS)), "the model's graph has 6 sites"),
    "nothing": (lambda: bind([], Couplings(None)), "no microstates given"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_several_data_sets_may_show_fewer_states_than_there_are():
    sets = [microstates([[0, 1, 1, 0]], "states", 1.0), microstates([[0, 2, 1, 0]], "states", 2.0)]
    assert bind(sets, Couplings(CYCLE))[0].space.q == 3
