"""A state that was never seen at a site is not drawn from a prior into predictions."""

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import posteriors


def answers():
    """Four items of three answers with one common cause; item 1 lacks the last answer, item 3 the first."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    found = np.digitize(0.8 * z[:, None] + rng.normal(size=(2000, 4)), [-0.5, 0.6])
    found[:, 1] = np.minimum(found[:, 1], 1)
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
    missing = [list(pair) for pair in posteriors.bound_of(post).never]
    assert missing == [[1, 2], [3, 0]] if q == 3 else missing == [[0, 3], [1, 2], [1, 3], [2, 3], [3, 0], [3, 3]]
    assert "state 2 at site 1" in str(hl.verdict(post)) and "excluded" in str(hl.verdict(post))


def test_energies_of_states_that_occur_keep_their_differences(posterior):
    """The gauge of the occurring states: the same energy differences as the tables of θ, in plain loops, and nothing else in J and h."""
    bound = posteriors.bound_of(posterior)
    theta = np.random.default_rng(1).normal(size=bound.n_params)
    (tables, fields), (J, h) = bound.tables(theta), bound.values(theta)
    never = set(bound.never)
    allowed = [[a for a in range(3) if (site, a) not in never] for site in range(4)]
    plain = lambda pairs, single, state: (
        sum(pairs[k][state[i], state[j]] for k, (i, j) in enumerate(bound.lattice.bonds)) + sum(single[i][state[i]] for i in range(4))
    )
    shift = [plain(tables, fields, state) - plain(J, h, state) for state in itertools.product(*allowed)]
    np.testing.assert_allclose(shift, shift[0], atol=1e-10)
    for site, state in never:
        assert h[site, state] == 0
        assert all(np.all(J[k][state] == 0) for k, (i, _) in enumerate(bound.lattice.bonds) if i == site)
    np.testing.assert_allclose(h.sum(-1), 0, atol=1e-12)
    np.testing.assert_allclose(J.sum(-1), 0, atol=1e-12)
    np.testing.assert_allclose(bound.values(bound.from_values(J, h))[0], J, atol=1e-12)


def test_draws_of_what_was_learned_hold_only_states_that_were_seen(posterior, tmp_path):
    loaded = hl.load(hl.save(posterior, tmp_path / "p.nc"))
    for system in posteriors.bound_of(loaded), posteriors.bound_of(posterior):
        drawn = hl.simulate(system.system(posteriors.theta_draws(loaded)[0, 0]), beta=0.5, draws=200, chains=2, seed=0, sampler="heat_bath")
        states = drawn["state"].values
        assert states[..., 1].max() == 1 and states[..., 3].min() == 1 and states[..., 0].max() == 2
