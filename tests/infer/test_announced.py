"""What learning and its check are said to cost before they start: functions of sizes, never of time."""

import logging

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics.cost import of_check, refitted, simulated
from hamlearn.diagnostics.scores import MOST_PARAMETERS
from hamlearn.infer.choose import choose
from hamlearn.infer.costs import Cost, optimum
from hamlearn.infer.observations import bind

GRID = hl.systems.lattice.hypercubic((3, 3))


def seconds(count, **known):
    return lambda **sizes: count(**known, **sizes).seconds


COUNTS = {
    "check of couplings": (seconds(refitted), {"sites": 36, "q": 2, "bonds": 72, "neighbours": 4, "parameters": 108, "rows": 40_000}),
    "check of spins by simulation": (seconds(simulated), {"sites": 36, "q": 2, "rows": 2000, "bonds": 72}),
    "check of spins by energies alone": (seconds(simulated, known="energies"), {"sites": 36, "q": 2, "rows": 2000}),
    "check of fields by simulation": (seconds(simulated), {"sites": 36, "q": 0, "rows": 2000}),
    "optimum": (
        optimum,
        {"sites": 36, "neighbours": 4, "parameters": 108, "rows": 2000, "size": 500},
    ),
}
MORE = [(kind, name) for kind, (_, sizes) in COUNTS.items() for name, size in sizes.items() if size]


@pytest.mark.parametrize(("kind", "name"), MORE)
def test_more_costs_no_less_and_the_same_as_much(kind, name):
    count, sizes = COUNTS[kind]
    found = [count(**{**sizes, name: factor * sizes[name]}) for factor in (1, 1, 2, 4)]
    assert found[0] == found[1] and 0 < found[1] <= found[2] <= found[3]
    assert found[3] > found[0] or name in ("q", "neighbours")  # few patterns there are, and few values that are listed


def test_score_tests_are_counted_where_they_are_made():
    sizes = COUNTS["check of couplings"][1]
    made, not_made = (
        refitted(**{**sizes, "parameters": p, "rows": rows}).seconds for p, rows in ((MOST_PARAMETERS, 10**6), (MOST_PARAMETERS + 1, 10**6))
    )
    assert made > not_made > 0
    few, more = (refitted(**{**sizes, "rows": rows}).seconds for rows in (500, 600))  # so few rows that fitted parameters crowd them
    assert more - few > 0.4


def learned_from(rows):
    states = np.random.default_rng(0).choice([-1, 1], size=(rows, 3, 3))
    return hl.microstates(states, space="spins", beta=1.0)


def test_neither_number_depends_on_what_was_done_before():
    model, told = hl.models.Couplings(GRID), []
    for rows in (200, 200, 20_000):
        data = learned_from(rows)
        bound, parts, _ = bind([data], model)
        told.append((choose(bound, parts, "auto", None).cost, of_check(data, model)))
    assert told[0] == told[1]
    assert told[2][0].seconds > told[0][0].seconds > 0 and told[2][1].seconds > told[0][1].seconds > 0


MODELS = {
    "couplings": (hl.models.Couplings(GRID), "laplace"),
    "cluster expansion": (hl.models.ClusterExpansion(window=(2, 2), order=2), "auto"),
}


@pytest.mark.parametrize(("model", "engine"), MODELS.values(), ids=MODELS)
def test_both_are_said_before_they_start_and_the_record_holds_that_of_learning(model, engine, caplog):
    data = learned_from(200)
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        post = hl.learn(data, model, engine=engine, seed=0)
    told = [record.getMessage() for record in caplog.records]
    check = str(of_check(data, model))
    first = [line for line in told if line.startswith("learning")]
    assert told[0] == first[0] and told[1] == f"  then a comparison with held-out data, {check}"
    assert f"comparing with held-out data, {check}" in told
    assert 0 < float(first[0].split("about ")[1].split()[0]) < 1.1 * hl.infer.provenance(post).estimated_seconds
    assert not any("check" in line for line in first)  # the check's own refit is not checked


def test_a_check_by_simulation_counts_the_bonds_that_are_known_and_what_is_compiled_apart():
    data = hl.microstates(np.random.default_rng(0).choice([-1, 1], (200, 24)), space="spins", beta=1.0)
    dense, ring = (hl.systems.Pairwise(lattice) for lattice in (hl.systems.lattice.complete(24), hl.systems.lattice.hypercubic((24,))))
    more, less = (of_check(data, hl.models.Scale(system)) for system in (dense, ring))
    assert more.seconds > less.seconds > less.compiling == more.compiling > 0


def test_learning_without_a_check_says_nothing_of_one(caplog):
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        hl.learn(learned_from(200), hl.models.Couplings(GRID), engine="laplace", check=False, seed=0)
    assert not any("check" in record.getMessage() or "comparing" in record.getMessage() for record in caplog.records)


def test_compilations_are_told_apart_from_work():
    assert str(Cost(6.0, 4.5)) == "about 1.5 s, and up to 4.5 s to compile what no cache holds yet"
    bound, parts, _ = bind([learned_from(200)], hl.models.Couplings(GRID))
    nuts, laplace = (choose(bound, parts, "exact", engine).cost for engine in (hl.infer.NUTS(), hl.infer.LaplaceApproximation()))
    assert nuts.seconds > nuts.compiling > 0 == laplace.compiling


def test_of_what_is_refused_no_comparison_is_told(caplog):
    with caplog.at_level(logging.INFO, logger="hamlearn"), pytest.raises(hl.HamlearnError):
        hl.learn(learned_from(200), hl.models.Couplings(GRID), engine="gibbs", seed=0)
    assert not caplog.records


@pytest.mark.parametrize(("hidden", "rows"), [(16, 300), (64, 300), (16, 3000)])
def test_an_epoch_is_counted_by_products_with_its_weights(hidden, rows, monkeypatch):
    """Two operations of every weight of a dense network and row; a step is worth three evaluations; and it is told before it starts."""
    torch = pytest.importorskip("torch")
    from hamlearn.infer.engines.neural import torch_batches, torch_cost
    from hamlearn.models.densities.build import build

    for name in ("_NUMBER", "_CALL", "_UPDATED"):
        monkeypatch.setattr(torch_cost, name, 0.0)
    space = hl.microstates(np.ones((1, 3, 3)), space="spins", beta=1.0)
    density = build(hl.models.Autoregressive(hidden=hidden), hl.data.space_of([space]), (3, 3), 0)
    states = torch.zeros((rows, 9), dtype=torch.int8)
    told = torch_cost.epoch_seconds(density, torch_batches.Sample(states), torch_batches.Sample(states[:100]), hl.infer.Training())
    weights = sum(one.numel() for one in density.parameters() if one.ndim > 1)
    np.testing.assert_allclose(told, torch_cost._OPERATION * 2 * weights * (3 * rows + 100), rtol=0.3)


def test_what_training_costs_is_told_before_it_starts(caplog):
    pytest.importorskip("torch")
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        hl.infer.learn(learned_from(200), hl.models.Autoregressive(hidden=8), engine=hl.infer.Training(epochs=2, device="cpu"), seed=0)
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("training")]
    assert float(line.split("at most 2 epochs of about ")[1].split()[0]) > 0


DENSITIES = {
    "more weights": (hl.models.Autoregressive(hidden=16), hl.models.Autoregressive(hidden=64)),
    "two networks": (hl.models.Autoregressive(hidden=16), hl.models.Autoregressive(hidden=16, symmetry="translation")),
}


SMALL = hl.models.Autoregressive(hidden=16)
DENSITIES |= {"distilled": (hl.models.DCL(SMALL, labels=1000, draws=1000), hl.models.DCL(SMALL, labels=2000, draws=1000))}


@pytest.mark.parametrize(("small", "large"), DENSITIES.values(), ids=DENSITIES)
def test_the_check_of_a_density_is_counted_from_its_draws(small, large):
    pytest.importorskip("torch")
    few, many = learned_from(200), learned_from(20_000)
    counted, again, wider, longer = (of_check(*asked).seconds for asked in ((few, small), (few, small), (few, large), (many, small)))
    assert 0 < counted == again < min(wider, longer)


def test_evaluations_of_a_density_are_counted_by_products_with_its_weights(monkeypatch):
    """In double precision, which is worth two evaluations in single; draws of MADE take one column of its input a site."""
    pytest.importorskip("torch")
    from hamlearn.infer.engines.neural import torch_cost

    for name in ("_NUMBER", "_CALL"):
        monkeypatch.setattr(torch_cost, name, 0.0)
    density = torch_cost.fresh(hl.models.Autoregressive(hidden=32), hl.spaces.Spins(), (3, 3))
    weights = sum(array.size for array in density.weights.values() if array.ndim > 1)
    more, less = torch_cost.drawn_seconds(density, 0, 3000), torch_cost.drawn_seconds(density, 0, 1000)
    np.testing.assert_allclose(more - less, torch_cost._OPERATION * 2 * 2 * weights * 2000, rtol=0.3)


def test_fewer_draws_are_compared_where_one_is_dear():
    pytest.importorskip("torch")
    from hamlearn.diagnostics.densities import most_draws
    from hamlearn.infer.engines.neural import torch_cost

    dear, cheap = (torch_cost.fresh(hl.models.Autoregressive(network), hl.spaces.Spins(), (6, 6)) for network in ("pixelcnn", "made"))
    most = most_draws(dear)
    assert 2000 < most < most_draws(cheap) == 40_000
    np.testing.assert_allclose(torch_cost.drawn_seconds(dear, most, 0), 10.0, rtol=0.1)


def test_an_epoch_of_an_extensive_network_is_counted_and_told(caplog):
    """The tile's sites and each layer's weights, at every tile, twice an operation; a step is worth three evaluations."""
    from hamlearn.infer.engines import jax_training
    from hamlearn.infer.families.extensive import distill

    model = hl.models.Extensive(focus=1, context=1, hidden=(32, 32), pairs=False)
    bound = model.bind(hl.spaces.Spins(), (4, 4))
    matrices = sum(value.size for value in bound.start(0).values() if value.ndim > 1)
    told = jax_training.epoch_seconds(bound, 900, 100)
    assert 0.8 < told / (jax_training._OPERATION * 2 * matrices * 16 * 2800) < 2
    states = np.random.default_rng(0).choice([-1, 1], size=(200, 4, 4))
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        distill(states, hl.systems.Ising((4, 4)), model, engine=hl.infer.Training(epochs=2), seed=0)
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("fitting")]
    assert float(line.split("at most 2 epochs of about ")[1].split()[0]) > 0
