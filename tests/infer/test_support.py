"""How much of a target was ever seen: against exact draws of both ensembles, and what the verdict makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from gaussian_oracles import path

import hamlearn as hl
from hamlearn.diagnostics import sentences
from hamlearn.infer import posteriors
from hamlearn.infer.extrapolation.extrapolate import findings
from hamlearn.infer.extrapolation.support import annealed, longest_links, path_features, unseen_share
from hamlearn.infer.families import extrapolated
from hamlearn.systems import REALS, DoubleWell, Path, exact
from statistics_budget import assert_within

WELL = Path(16, DoubleWell(4.0, 2.8))


def words(noted):
    """The sentence of a finding about temperatures, which no other number goes into."""
    return sentences.of(noted.code, noted.numbers, None)[0]


def facts_of(post):
    return posteriors.provenance_of(post).extrapolation


def test_shares_are_counted():
    seen, target = np.arange(1, 201.0), np.array([0.0, 5.0, 150.0, 199.9, 250.0, 1000.0])
    # The 99 % quantile of 1 … 200 is 198.01, the 1 % quantile 2.99.
    assert unseen_share(target[:, None], seen[:, None]) == 3 / 6
    assert unseen_share(target[:, None], seen[:, None], below=True) == 4 / 6
    both = np.stack([target, target[::-1]], 1)
    assert unseen_share(both, np.stack([seen, seen], 1)) == 6 / 6
    paths = np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(path_features(paths), [[5, 5], [0, 2]])


def test_states_are_carried_to_another_ensemble():
    """From the deep well's exact paths at one temperature to those at another, where they have longer links."""
    start, there = exact.sample(WELL, 5.0, 256, seed=1), exact.sample(WELL, 20.0, 4000, seed=2)
    found = annealed(start, lambda x: WELL.action(x, 5.0), lambda x: WELL.action(x, 20.0), REALS, 3)
    bound = np.quantile(longest_links(start), 0.99)
    share, truth = (longest_links(found) > bound).mean(), (longest_links(there) > bound).mean()
    assert truth > 0.2
    assert abs(share - truth) < 0.12  # the mover is approximate: this is a share, not a mean to many digits
    assert_within((np.abs(found) > 0.7).mean(), (np.abs(there) > 0.7).mean(), 0.02)


@pytest.mark.parametrize("space", ["spins", "states", "angles"])
def test_states_of_every_space_are_carried(space):
    system = {"spins": hl.systems.Ising((2, 2)), "states": hl.systems.Potts((2, 2), q=3), "angles": hl.systems.XY((2, 2))}[space]
    start = hl.simulate(system, beta=0.2, draws=100, chains=4, seed=1)["state"].values.reshape(-1, 2, 2)
    found = annealed(start, lambda x: system.action(x, 0.2), lambda x: system.action(x, 0.9), system.space, 2)
    there = hl.simulate(system, beta=0.9, draws=1000, chains=4, seed=3)["state"].values.reshape(-1, 2, 2)
    energies = [np.asarray(system.energy(x), float) for x in (found, there)]
    assert_within(energies[0].mean(), energies[1].mean(), energies[1].std() * np.sqrt(2 / len(found)))
    assert (found.dtype == start.dtype and set(np.unique(found)) <= set(np.unique(start))) or space == "angles"


def well(beta):
    data = hl.microstates(exact.sample(WELL, beta, 8000, seed=int(beta)), space="reals", beta=beta)
    return hl.infer.learn(data, hl.models.PolynomialAction((2, 4)))


def test_the_record_says_what_was_seen():
    """Parametric posteriors in the place of networks, joined by the identity: near the truth, so exact paths know the shares."""
    posts, target = [well(5.0), well(10.0)], exact.sample(WELL, 20.0, 3000, seed=4)
    truth = []
    for beta in (5.0, 10.0):
        seen = path_features(exact.sample(WELL, beta, 20_000, seed=5))
        truth.append((path_features(target) > np.quantile(seen, 0.99, axis=0)).any(1).mean())
    given = facts_of(extrapolated.join(posts, 20.0, 0, states=target))
    np.testing.assert_allclose(given["unseen_by_source"], truth, atol=0.1)  # a quantile of simulated paths of a fitted action
    own = facts_of(extrapolated.join(posts, 20.0, 0))
    np.testing.assert_allclose(own["unseen_by_source"], truth, atol=0.2)
    assert own["unseen_share"] == max(own["unseen_by_source"]) and "128 states of the joined action" in own["how"]


def joined(betas, beta):
    """Two networks of either temperature, trained on few paths: they differ."""
    engine = hl.infer.Training(epochs=4, batch=20, learning_rate=0.03, patience=4)
    network = hl.models.Autoregressive("local", hidden=8, components=2, members=2)
    return hl.extrapolate(
        [hl.learn(path(8, one, 1.0, 0.5, 300, int(one)), network, engine=engine, check=False) for one in betas], beta=beta
    )


def test_two_networks_predict_an_effective_sample_size_and_distrust_themselves():
    near = joined((3.0, 6.0), 4.0)
    facts = facts_of(near)
    # exp(−Var), with the variance that the members show on the recorded states; near both temperatures nothing is new.
    assert facts["predicted_ess"] == pytest.approx(np.exp(-facts["error_variance"])) and facts["predicted_ess"] > 0.1
    assert facts["unseen_share"] < 0.3
    assert not any("do not trust" in reason.what for reason in hl.verdict(near).reasons)
    far = joined((3.0, 4.0), 60.0)
    facts = facts_of(far)
    assert facts["predicted_ess"] < 0.1 and facts["amplification"] > 100
    assert hl.verdict(far).level == "do not believe"
    assert any("do not trust the extrapolation" in reason.what and "(beta = 3)" in reason.what for reason in hl.verdict(far).reasons)


def test_one_network_that_never_saw_the_target_is_not_trusted():
    """No spread, no predicted size: what was seen is enough to say so. A classical system is judged by its energies."""
    ising = hl.systems.Ising((4, 4))
    data = hl.simulate(ising, beta=0.1, draws=2000, chains=2, seed=0)
    post = hl.learn(data, hl.models.Autoregressive(hidden=16), engine=hl.infer.Training(epochs=6), check=False)
    shares = {}
    for beta in (0.11, 1.0):
        found = hl.extrapolate(post, beta=beta)
        shares[beta] = facts_of(found)["unseen_share"]
        assert facts_of(found)["predicted_ess"] is None
        assert any("do not trust" in reason.what for reason in hl.verdict(found).reasons) == (beta == 1.0)
    assert shares[0.11] < 0.2 and shares[1.0] > 0.5


def test_sources_without_weight_are_not_asked():
    facts = {"from_beta": [20.0, 40.0], "predicted_ess": 0.9, "amplification": 1.0, "weights": [0.0, 1.0], "networks": True}
    (found,) = findings({**facts, "unseen_share": 0.01, "unseen_by_source": [0.9, 0.01]}, 40.0)
    assert found.severity == "note" and "90% (beta = 20), 1% (beta = 40)" in words(found)
    (found,) = findings({**facts, "unseen_share": 0.6, "unseen_by_source": [0.6, 0.01]}, 80.0)
    assert found.severity == "serious" and "do not trust" in words(found)
    (found,) = findings({**facts, "unseen_share": 0.3, "unseen_by_source": [0.3, 0.01]}, 80.0)
    assert found.severity == "caution" and "rests on nothing" in words(found)
    (found,) = findings({**facts, "networks": False, "unseen_share": 0.6}, 80.0)
    assert found.severity == "caution" and "form of the action" in words(found)
