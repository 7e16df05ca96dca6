"""A state that was never seen at a site is none of its states, at no temperature, wherever the gap is."""

import itertools
import json
import math

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import claims
from hamlearn.infer import posteriors
from hamlearn.spaces import States
from hamlearn.systems import exact

SEEN = ((0, 1, 2), (0, 1), (0, 2), (1, 2))  # all, all but the last, a gap in the middle, and one at the beginning


def answers():
    """Four items of three answers with one common cause, of which most lack one."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    found = np.digitize(0.8 * z[:, None] + rng.normal(size=(2000, 4)), [-0.5, 0.6])
    found[:, 1] = np.minimum(found[:, 1], 1)
    found[:, 2] = np.where(found[:, 2] == 1, 0, found[:, 2])
    found[:, 3] = np.maximum(found[:, 3], 1)
    return found


def entropy(found):
    """Of the pattern frequencies, per site: the whole table is a few dozen cells, so the plug-in is good to a few per mille."""
    share = np.unique(found, axis=0, return_counts=True)[1] / len(found)
    return -(share * np.log(share)).sum() / found.shape[1]


@pytest.fixture(scope="module")
def posterior():
    return hl.learn(hl.microstates(answers(), space="states", beta=1.0), hl.models.Couplings(None), engine="laplace", seed=0, check=False)


@pytest.mark.parametrize("q", [3, 4], ids=["columns that lack a state", "a declared state that never occurs"])
def test_entropies_are_those_of_the_states_that_occur(q):
    data = hl.microstates(answers(), space="states", beta=1.0, q=q)
    post = hl.learn(data, hl.models.Couplings(None), engine="laplace", seed=0, check=False)
    found = hl.predict(post, 1.0, observables=["entropy", "energy"], draws=24, seed=0)
    assert found["entropy"].sel(quantity="mean").item() == pytest.approx(entropy(answers()), abs=0.02)
    assert found["energy"].sel(quantity="sd").item() < 0.2
    missing = np.argwhere(~posteriors.space_of(post).there(4)).tolist()
    assert missing == [[site, state] for site in range(4) for state in range(q) if state not in SEEN[site]]
    assert "state 2 at site 1" in str(hl.verdict(post)) and "excluded" in str(hl.verdict(post))


def test_what_is_learned_is_that_of_the_states_that_occur(posterior):
    """The oracle: the same rows with the answers of every item counted anew, as columns of their own."""
    rows = np.stack([np.searchsorted(SEEN[site], column) for site, column in enumerate(answers().T)], 1)
    own = hl.microstates(rows, space="states", q=(3, 2, 2, 2), beta=1.0)
    other = hl.learn(own, hl.models.Couplings(None), engine="laplace", seed=0, check=False)
    J, h = posterior["point"]["J"].values, posterior["point"]["h"].values
    for site, values in enumerate(SEEN):
        np.testing.assert_allclose(h[site, list(values)], other["point"]["h"].values[site, : len(values)], atol=1e-8)
    for bond, (i, j) in enumerate(posteriors.bound_of(posterior).lattice.bonds):
        kept = J[bond][np.ix_(SEEN[i], SEEN[j])]
        np.testing.assert_allclose(kept, other["point"]["J"].values[bond, : len(SEEN[i]), : len(SEEN[j])], atol=1e-8)
        assert np.abs(J[bond]).sum() == pytest.approx(np.abs(kept).sum(), abs=1e-12)  # nothing else is in it


@pytest.fixture(scope="module")
def learned(posterior, tmp_path_factory):
    loaded = hl.load(hl.save(posterior, tmp_path_factory.mktemp("posterior") / "p.nc"))
    return loaded, hl.infer.draw_systems(loaded, 1, seed=0)[0]


@pytest.mark.parametrize("beta", [1e-6, 1e-290, 0.5])  # the hottest ones (there is none above) ask whether it is excluded, or only costly
def test_no_temperature_is_hot_enough_for_a_state_that_was_never_seen(learned, beta):
    loaded, system = learned
    states = np.array(list(itertools.product(*SEEN)))
    plain = lambda s: (
        sum(system.J[b][s[i], s[j]] for b, (i, j) in enumerate(system.lattice.bonds)) + sum(system.h[i, s[i]] for i in range(4))
    )
    energies = -np.array([plain(state) for state in states])
    weight = np.exp(-beta * energies)
    assert exact.all_states(system.lattice, system.space.extent).tolist() == states.tolist()
    assert float(exact.log_partition(system, beta)) == pytest.approx(math.log(weight.sum()), rel=1e-12)
    known = exact.expectations(system, beta)["marginal"].values
    for site, values in enumerate(SEEN):
        expected = [weight[states[:, site] == state].sum() / weight.sum() for state in range(3)]
        np.testing.assert_allclose(known[site], expected, atol=1e-12)
        assert set(np.flatnonzero(known[site])) == set(values)
    found = hl.predict(loaded, beta, observables=["entropy"], draws=8, seed=0)["entropy"].sel(quantity="mean").item()
    assert found == pytest.approx(math.log(24) / 4, rel=1e-9) if beta < 1e-3 else found < math.log(24) / 4
    for sampler in ("exact", "heat_bath", "metropolis", "tempering") if beta == 1e-6 else ("exact",):
        drawn = hl.simulate(system, beta=beta, draws=50, chains=8, seed=0, sampler=sampler)["state"].values.reshape(-1, 4)
        assert [sorted(set(column.tolist())) for column in drawn.T] == [list(values) for values in SEEN], sampler


def test_missing_cells_may_have_been_what_was_seen_at_their_sites():
    rng = np.random.default_rng(5)
    rows = answers()[:300].astype(float)
    whole, rows[rng.random(rows.shape) < 0.2] = rows.copy(), np.nan
    data = hl.microstates(rows, space="states", q=3, beta=1.0, independent=True)
    post = hl.learn(data, hl.models.Couplings(None), engine="laplace", seed=0)
    assert posteriors.space_of(post) == States(3, SEEN)
    density = hl.infer.log_likelihood(post, hl.microstates(whole, space="states", q=3, beta=1.0, independent=True), draws=5)
    assert np.isfinite(density["log_likelihood"]["microstates"].values).all()
    strange = hl.microstates(np.array([[0, 0, 1, 1], [1, 1, 2, 2]]), space="states", q=3, beta=1.0)
    with pytest.raises(hl.errors.HamlearnError, match="site 2 has the states 0, 2; found 1 there"):
        hl.infer.log_likelihood(post, strange, draws=5)


def test_files_that_listed_what_was_never_seen_apart_are_read(posterior, tmp_path):
    old = posterior.copy()
    del old.attrs["sizes"]
    old.attrs["never"] = json.dumps([[1, 2], [2, 1], [3, 0]])
    loaded = hl.load(hl.save(old, tmp_path / "old.nc"))
    assert posteriors.space_of(loaded) == States(3, SEEN) and "never" not in loaded.attrs
    np.testing.assert_allclose(posteriors.theta_draws(loaded), posteriors.theta_draws(posterior), atol=1e-12)


def test_a_state_of_one_half_of_the_rows_is_a_state_of_the_other():
    """One row alone holds a state: wherever it falls, the model of the other half knows the state."""
    rows = answers()
    rows[0, 2] = 1
    data = hl.microstates(rows, space="states", q=3, beta=1.0, independent=True)
    post = hl.learn(data, hl.models.Couplings(None), engine="laplace", seed=0)
    assert posteriors.space_of(post).there(4)[2].all() and hl.verdict(post).level != "do not believe"
    ranked = hl.rank({"all": hl.models.Couplings(None), "none": hl.models.Couplings([[0, 1]])}, data, engine="laplace", draws=10)
    assert ranked.best == "all" and np.isfinite(ranked.to_dataset()["score"].values).all()


def test_one_number_a_pair_is_that_of_the_states_seen_at_both_ends():
    """The coupling of a Potts table, whichever of its states were seen: in plain loops, from its energies alone."""
    pair = hl.systems.Potts(hl.systems.lattice.graph([[0, 1]], 2), 4, 0.7)
    rows = hl.simulate(pair, beta=1.0, draws=4000, chains=1, seed=1, sampler="exact")["state"].values[0]
    rows = rows[(rows[:, 0] != 2) & (rows[:, 1] != 0)]
    data = hl.microstates(rows, space="states", q=4, beta=1.0, independent=True)
    post = hl.learn(data, hl.models.Couplings(None), engine="laplace", seed=0)
    found, what = hl.plots.layout.strengths(post)
    assert what == "coupling (Potts part)" and found.mean() == pytest.approx(0.7, abs=4 * found.std()) and found.std() < 0.1
    assert claims.sites(posteriors.space_of(post)) == "states, 3 of them at a site"
