"""Rankings: rows left out by hand, errors of differences, models that need not be told apart; what cannot be compared is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.special

import hamlearn as hl
from hamlearn.infer import LaplaceApproximation
from hamlearn.systems import lattice
from statistics_budget import assert_within

OPEN = lattice.hypercubic((2, 3), periodic=False)
STATES = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1
BETA = 0.8
ENGINE = LaplaceApproximation(draws=10, chains=2)
WORLD = hl.systems.Pairwise(OPEN, np.full(7, 0.5), np.zeros(6))
TIED = hl.models.Couplings(OPEN, tie="uniform", fields=None)
LOOSE = hl.models.Couplings(OPEN, fields=None)
ALONE = hl.models.Couplings(OPEN, tie="uniform", prior=hl.models.Normal(1e-4))  # fields, and next to no coupling
MODELS = {"tied": TIED, "loose": LOOSE}


def drawn(rows, seed=0, **options):
    return hl.simulate(WORLD, BETA, draws=rows, chains=1, seed=seed, **{"sampler": "exact", **options})


def energies(post, states):
    """Of states under every draw ``(draw, state)``, bond by bond."""
    group = post["posterior"]
    J = group["J"].values.reshape(-1, 7)
    h = group["h"].values.reshape(-1, 6) if "h" in group else np.zeros((len(J), 6))
    found = -h @ states.T
    for k, (i, j) in enumerate(OPEN.bonds):
        found = found - J[:, [k]] * (states[:, i] * states[:, j])
    return found


def whole(post, rows):
    weight = -BETA * energies(post, STATES)
    return -BETA * energies(post, rows) - scipy.special.logsumexp(weight, axis=1)[:, None]


def by_site(post, rows):
    found = []
    for i in range(6):
        other = rows.copy()
        other[:, i] *= -1
        found.append(-np.logaddexp(0, -BETA * (energies(post, other) - energies(post, rows))))
    return np.stack(found, -1)


@pytest.mark.parametrize("score", ["exact", "pseudo"])
def test_scores_are_those_of_rows_left_out_by_hand(score):
    """Two folds of four stretches each, taken alternately: five draws of every ten."""
    data = drawn(40).assign_attrs(independent=0)
    found = hl.rank({"loose": LOOSE, "tied": TIED}, data, score=score, folds=2, engine=ENGINE, draws=20)
    values, rows = {"loose": np.empty(40), "tied": np.empty(40)}, data["state"].values.reshape(40, 6).astype(int)
    for fold in (0, 1):
        held = (np.arange(40) // 5) % 2 == fold
        for name in values:
            post = hl.infer.learn(data.isel(draw=~held), MODELS[name], engine=ENGINE, seed=0)
            each = whole(post, rows[held]) if score == "exact" else by_site(post, rows[held])
            mean = scipy.special.logsumexp(each, axis=0) - np.log(20)
            values[name][held] = mean if score == "exact" else mean.sum(-1)
    table = found.to_dataset()
    for name, one in values.items():
        assert float(table["score"].sel(model=name)) == pytest.approx(one.mean(), abs=1e-9)
    order = sorted(values, key=lambda name: -values[name].mean())
    assert table["model"].values.tolist() == order and found.best == order[0] and found.score == score and found.rows == 40
    assert float(table["difference"][1]) == pytest.approx(np.mean(values[order[0]] - values[order[1]]), abs=1e-9)


def test_the_error_is_that_of_paired_rows():
    ranked = hl.rank({"tied": TIED, "alone": ALONE}, drawn(600), engine=ENGINE, draws=20, folds=2)
    alone = ranked.to_dataset().sel(model="alone")
    assert ranked.best == "tied" and not ranked.alike and "alone" not in ranked.summary
    # what one model gains on the other, of all states with their probabilities, is scattered as much as that
    weight = np.exp(BETA * 0.5 * sum(STATES[:, i] * STATES[:, j] for i, j in OPEN.bonds))
    weight /= weight.sum()
    gained = np.log(weight) - np.log(1 / 64)
    truth, scatter = weight @ gained, np.sqrt(weight @ gained**2 - (weight @ gained) ** 2)
    assert float(alone["difference_error"]) == pytest.approx(scatter / np.sqrt(600), rel=0.15)
    assert_within(float(alone["difference"]), truth, scatter / np.sqrt(600) + 2 / 600, "what couplings gain")


def test_errors_know_of_autocorrelation_and_of_draws():
    slow = drawn(600, sampler="heat_bath", burn_in=100)
    slow = slow.isel(draw=np.repeat(np.arange(150), 4))  # every row four times
    asked = {"engine": ENGINE, "draws": 20, "folds": 2}
    found = hl.rank({"tied": TIED, "alone": ALONE}, slow, **asked)
    taken = hl.rank({"tied": TIED, "alone": ALONE}, slow.assign_attrs(independent=1), **asked)
    ratio = [float(one.to_dataset()["difference_error"][1]) for one in (found, taken)]
    assert ratio[0] > 1.6 * ratio[1] and found.worth < 250 and not found.copied and taken.copied
    few = hl.rank({"tied": TIED, "loose": LOOSE}, drawn(300), engine=ENGINE, draws=2, folds=2).to_dataset()
    many = hl.rank({"tied": TIED, "loose": LOOSE}, drawn(300), engine=ENGINE, draws=20, folds=2).to_dataset()
    assert float(few["difference_error"][1]) > 1.1 * float(many["difference_error"][1])


def test_couplings_that_are_equal_are_not_told_from_tied_ones():
    """Six needless parameters cost half a nat each times 300/150, and are never preferred by more than their error."""
    far = []
    for seed in range(5):
        found = hl.rank({"tied": TIED, "loose": LOOSE}, drawn(300, seed), engine=ENGINE, draws=20, folds=2)
        assert found.best == "tied" or found.alike == ["tied"]
        far.append((1 if found.best == "tied" else -1) * float(found.to_dataset()["difference"][1]) * 300)
    assert_within(np.mean(far), 6.0, np.sqrt(18 / 5), "nats that six parameters cost, each learned from half of the rows")


def test_few_rows_and_short_stretches_are_told():
    few = hl.rank({"tied": TIED, "alone": ALONE}, drawn(30), engine=ENGINE, draws=20, folds=2)
    assert "worth 30 independent ones" in few.summary and not few.leaking
    slow = drawn(80).isel(draw=np.repeat(np.arange(80), 14))
    found = hl.rank({"tied": TIED, "alone": ALONE}, slow.assign_attrs(independent=0), engine=ENGINE, draws=20)
    assert found.leaking and "shorter than five autocorrelation times" in found.summary
    assert "<table" in few._repr_html_() and str(few).startswith(few.summary)


def test_posteriors_counts_and_temperatures():
    data = drawn(200)
    rows, counts = np.unique(data["state"].values.reshape(200, 6), axis=0, return_counts=True)
    histogram = hl.microstates(rows.reshape(-1, 2, 3), space="spins", beta=BETA, counts=counts)
    post = hl.infer.learn(data, TIED, engine=ENGINE)
    cold = hl.simulate(WORLD, 1.2, draws=100, chains=1, seed=5, sampler="exact")
    for sets in (histogram, [data, cold]):
        found = hl.rank({"tied": post, "alone": ALONE}, sets, engine=ENGINE, draws=20, folds=2)
        assert found.best == "tied" and found.rows == (200 if sets is histogram else 300)
        assert found.to_dataset()["parameters"].values.tolist() == [1, 7]


def test_a_density_is_ranked_beside_couplings():
    network = hl.models.Autoregressive(hidden=4)
    engines = {"network": hl.infer.Training(epochs=2), "tied": ENGINE}
    found = hl.rank({"tied": TIED, "network": network}, drawn(200), engine=engines, folds=2, draws=20)
    assert found.best == "tied" and found.score == "exact" and np.isfinite(found.to_dataset()["score"]).all()
    with pytest.raises(hl.HamlearnError, match="'other', which is none"):
        hl.rank({"tied": TIED, "network": network}, drawn(200), engine={"other": "laplace"})


ROTORS = hl.simulate(hl.systems.XY((2, 2)), 0.5, draws=40, chains=1, seed=0)
ANGLES = hl.models.Couplings(lattice.hypercubic((2, 2)), fields=None)


@pytest.mark.parametrize(
    ("models", "data", "options", "told"),
    [
        ({"one": TIED}, drawn(40), {}, "two or more by name"),
        ([TIED, LOOSE], drawn(40), {}, "two or more by name"),
        ({"one": TIED, "two": "pairs"}, drawn(40), {}, "'two' must be a model"),
        ({"one": ANGLES, "two": ANGLES}, ROTORS, {}, "'one' has energies of angles without a normaliser"),
        ({"one": TIED, "net": hl.models.Autoregressive()}, drawn(40), {"score": "pseudo"}, "'net' is a normalised density"),
        ({"one": TIED, "two": LOOSE}, drawn(8), {}, "too few for 5 folds"),
        ({"one": TIED, "two": LOOSE}, drawn(40), {"score": "elpd"}, "score"),
        ({"one": TIED, "two": hl.models.Couplings([[0, 1], [5, 9]])}, drawn(40), {}, "'two': "),
        ({"one": TIED, "two": hl.models.Hierarchical(LOOSE, by="subject")}, drawn(40), {}, "'two' .* has no ln p of one row"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(models, data, options, told):
    with pytest.raises(hl.HamlearnError, match=told):
        hl.rank(models, data, engine="laplace", **options)


def test_copies_prefer_no_model():
    """Rows taken ten times each: copies of what is held out were fitted, and whoever has more parameters remembers them."""
    taken = drawn(40, seed=3).isel(draw=np.repeat(np.arange(40), 10)).assign_attrs(independent=1)
    models = {"tied": TIED, "all": hl.models.Couplings(None, prior=hl.models.Normal(3.0))}
    found = hl.rank(models, taken, engine=ENGINE, draws=20)
    gained, error = (float(found.to_dataset()[name][1]) for name in ("difference", "difference_error"))
    assert found.best == "all" and gained > 3 * error  # as it would be told without a search for copies
    assert found.alike == ["tied"] and found.worth <= 40 and found.summary.startswith("Rows seem to be copied, and none is to be preferred")
    assert "'all' would predict" in found.summary and found.to_dataset().attrs["copied"]


def test_rows_drawn_with_replacement_are_copies_and_equal_rows_of_cold_rings_are_none():
    world = hl.systems.Ising((8,), J=0.1)
    rows = hl.simulate(world, 1.0, draws=100, chains=1, seed=0, sampler="exact")
    ring, alone = (hl.models.Couplings(world.lattice, tie="uniform", **other) for other in ({"fields": None}, {"prior": ALONE.prior}))
    asked = {"engine": ENGINE, "draws": 20, "folds": 2}
    again = rows.isel(draw=np.random.default_rng(0).integers(100, size=300))
    assert "pairs of rows are equal" in hl.rank({"ring": ring, "alone": alone}, again, **asked).copied
    cold = hl.simulate(hl.systems.Ising((8,), J=1.0), 1.0, draws=300, chains=1, seed=0, sampler="exact")
    found = hl.rank({"alone": alone, "ring": ring}, cold, **asked)
    assert found.copied == "" and found.best == "ring" and not found.alike


def test_short_chains_are_worth_one_row_each_and_below_ten_prefer_no_model():
    """Four draws of each chain, which hardly move: nothing could see that along them."""
    states = np.repeat(STATES[[0, 63, 7, 56, 1, 62, 3, 60]][:, None], 4, 1)
    states[np.arange(8), np.arange(8) % 4, np.arange(8) % 6] *= -1
    slow = hl.microstates(states.reshape(8, 4, 2, 3), space="spins", beta=BETA, dims=("chain", "draw", "x", "y"))
    found = hl.rank({"tied": TIED, "alone": ALONE}, slow, engine=ENGINE, folds=2, draws=20)
    assert found.worth == 8 and found.alike and "none is preferred below 10" in found.summary


def test_words_in_alphabetical_order_are_named_where_a_model_of_ordered_states_loses():
    """Never, rarely, always are ordered; always, never, rarely, as they are read, are not."""
    words = ["never", "rarely", "always"]
    world = hl.systems.Ordinal(lattice.graph([[0, 1], [1, 2]]), 3, 2.0)
    rows = hl.simulate(world, 1.0, draws=300, chains=1, sampler="exact")["state"].values[0]
    graph = [[0, 1], [1, 2]]
    models = {"ordinal": hl.models.Couplings(graph, interaction="ordinal"), "tables": hl.models.Couplings(graph)}
    table = pd.DataFrame(np.array(words)[rows], columns=list("abc"))
    for labels, best in ((None, "tables"), (words, "ordinal")):
        data = hl.microstates(table, space="states", independent=True, labels=labels)
        found = hl.rank(models, data, folds=2, engine=ENGINE, draws=10)
        assert found.best == best
        assert ("in alphabetical order (always, never, rarely)" in found.summary) == (labels is None)
