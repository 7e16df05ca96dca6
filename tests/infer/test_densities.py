"""Learning neural densities, and everything that is read from them, against enumeration and closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import torch

import hamlearn as hl
import statistics_budget
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors, training_data
from hamlearn.infer.engines.neural import torch_training
from hamlearn.infer.families import autoregressive
from hamlearn.systems import exact
from statistics_budget import assert_within

Training, Variational = hl.infer.Training, hl.infer.Variational
ISING = hl.systems.Ising((3, 3))
BETA = 0.4
SMALL = hl.models.Autoregressive(hidden=32, symmetry=["z2"])
QUICK = Training(epochs=10, batch=150, learning_rate=8e-3)
_made = {}


def ising_data(draws=2500, beta=BETA, seed=0):
    return hl.simulate(ISING, beta=beta, draws=draws, chains=2, seed=seed)


def posterior():
    if "learned" not in _made:
        _made["learned"] = hl.learn(ising_data(), hl.models.Autoregressive(hidden=32, symmetry=["z2"], members=2), engine=QUICK, seed=1)
    return _made["learned"].copy(deep=True)


def approximated():
    if "approximated" not in _made:
        _made["approximated"] = hl.approximate(ISING, BETA, SMALL, engine=Variational(steps=300, batch=100), seed=1)
    return _made["approximated"].copy(deep=True)


def every_state():
    return (2 * exact.all_states(ISING.lattice) - 1).reshape(-1, 3, 3)


def truth(beta=BETA):
    log_p = -beta * np.asarray(ISING.energy(every_state()))
    return log_p - exact.log_partition(ISING, beta)


def test_a_learned_density_is_normalised_and_close_to_the_truth():
    log_q, log_p = hl.log_prob(posterior(), every_state()).values, truth()
    np.testing.assert_allclose(np.exp(log_q).sum(1), 1, atol=1e-10)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(1)
    assert np.all(divergence < 0.03), divergence
    energy = hl.energy(posterior(), every_state(), draws=2).values
    np.testing.assert_allclose(np.sort(energy[:, 0]), np.sort(-log_q[:, 0] / BETA), atol=1e-10)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    post = posterior()
    for ending in (".nc", ".zarr"):
        back = hl.load(hl.save(post, tmp_path / f"post{ending}"))
        assert back.equals(post)
        np.testing.assert_array_equal(hl.log_prob(back, every_state()), hl.log_prob(post, every_state()))
        np.testing.assert_array_equal(hl.sample(back, 20, seed=3)["state"], hl.sample(post, 20, seed=3)["state"])
        assert str(hl.verdict(back)) == str(hl.verdict(post))
    member = hl.draw_systems(post, 3, seed=1)[0]
    described = json.loads(json.dumps(member.to_dict()))
    with pytest.raises(HamlearnError, match="weights are kept with the posterior"):
        hl.systems.from_dict(described)


def test_draws_are_of_the_density():
    post = posterior()
    data = hl.sample(post, 20_000, seed=5)
    assert data["state"].shape == (2, 20_000, 3, 3) and data.attrs["independent"] == 1
    p = np.exp(hl.log_prob(post, every_state()).values)
    for member in range(2):
        assert_frequencies(data["state"].values[member], p[member])


def assert_frequencies(states, p):
    """The states of draws have the probabilities of all states (those that are expected less than five times as one)."""
    code = ((states.reshape(-1, 9) > 0) @ 2 ** np.arange(9)[::-1]).astype(int)
    order = ((every_state().reshape(-1, 9) > 0) @ 2 ** np.arange(9)[::-1]).astype(int)
    expected = np.zeros(512)
    expected[order] = p * len(code)
    found = np.bincount(code, minlength=512)
    large = expected > 5
    sums = (np.append(found[large], found[~large].sum()), np.append(expected[large], expected[~large].sum()))
    assert scipy.stats.chisquare(*sums, sum_check=False).pvalue > statistics_budget.spend()


def test_a_member_is_simulated_by_draws_of_its_own_at_the_temperature_it_knows():
    member = hl.draw_systems(posterior(), 1)[0]
    data = hl.simulate(member, beta=BETA, draws=5000, chains=4, seed=1)
    assert (data.attrs["sampler"], data.attrs["independent"]) == ("own", 1) and data["state"].shape == (4, 5000, 3, 3)
    assert_frequencies(data["state"].values, np.exp(-member.action(every_state(), BETA)))
    colder = hl.simulate(member, beta=2 * BETA, draws=30, chains=4, seed=1, burn_in=20)
    assert colder.attrs["sampler"] == "metropolis"
    with pytest.raises(HamlearnError, match=r"learned at, and not at beta=0\.8: take sampler='metropolis'"):
        hl.simulate(member, beta=2 * BETA, draws=30, sampler="own")


def test_overlap_is_a_probability_mass_and_only_an_identical_set_is_refused():
    data = ising_data(200)
    rows = data["state"].values.reshape(-1, 9)
    other = ising_data(100, seed=9)
    expected = np.mean([any(np.array_equal(row, one) for one in rows) for row in other["state"].values.reshape(-1, 9)])
    assert hl.infer.overlap(data, other) == pytest.approx(expected)
    with pytest.raises(HamlearnError, match="test set is the training set"):
        hl.infer.overlap(data, data)
    assert hl.infer.overlap(hl.microstates(rows[:50] * 1.5, "reals"), hl.microstates(rows[50:90] * 0.3, "reals")) == 0


def test_dims_follow_the_states():
    post, data = posterior(), ising_data(50)
    assert hl.log_prob(post, data).dims == ("member", "chain", "draw")
    assert hl.log_prob(post, data["state"].values[0, :4]).dims == ("member", "axis_0")
    assert hl.log_prob(post, data["state"].values[0, 0]).shape == (2,)


# -- estimates -----------------------------------------------------------------------------------------------------------


def test_estimates_agree_with_enumeration():
    post, log_p = posterior(), truth()
    found = hl.estimate(post, ISING, n=20_000, seed=2)
    log_q = hl.log_prob(post, every_state()).values
    q, log_z = np.exp(log_q), exact.log_partition(ISING, BETA)
    w = np.exp(log_p - log_q)
    assert_within(found["entropy"], -(q * log_q).sum(1), found["entropy_sampling_error"], "entropy")
    free = (q * (log_q - log_p)).sum(1) / BETA - log_z / BETA
    assert_within(found["free_energy"], free, found["free_energy_error"], "free energy")
    assert_within(found["log_partition"], log_z, found["log_partition_error"], "log Z")
    assert_within(found["log_partition_p"], log_z, found["log_partition_p_error"], "log Z from p")
    share = 1 / (q * w**2).sum(1)
    assert_within(found["ess_q"], share, found["ess_q_error"] + 1e-4, "ESS of q-samples")
    assert_within(found["ess_p"], share, found["ess_p_error"] + 1e-4, "ESS of p-samples")
    assert_within(found["kl_pq"], (np.exp(log_p) * (log_p - log_q)).sum(1), found["kl_pq_error"], "KL(p|q)")
    assert_within(found["mode_drop"], 1.0, found["mode_drop_error"], "mode-drop ratio")
    np.testing.assert_allclose(found["log_partition_error_bootstrap"] / found["log_partition_error"], 1, atol=0.25)


def test_a_dropped_phase_is_seen_by_draws_of_the_target_only(monkeypatch):
    """A density of one sign of an ordered magnet, exact there: its own draws notice nothing, and log Z misses ln 2."""
    states, log_p = every_state(), truth(1.0)
    up = states.sum((1, 2)) > 0
    p, rest = np.where(up, 2 * np.exp(log_p), 0), np.where(up, 0, 1e-9 / 256)
    log_q = np.log(p * (1 - 1e-9) + rest)
    index = lambda array: ((array.reshape(*array.shape[:-2], 9) > 0) @ 2 ** np.arange(9)[::-1]).astype(int)
    table = np.zeros(512)
    table[index(states)] = log_q

    class OneSign:
        space, shape, beta, conditioned = hl.systems.SPINS, (3, 3), 1.0, False

        def sample(self, count, seed, beta=None):
            return states[np.random.default_rng(seed).choice(512, size=count, p=np.exp(log_q))]

        def log_prob(self, array, beta=None):
            return table[index(array)]

    monkeypatch.setattr(autoregressive, "evaluators", lambda post: [OneSign()])
    found = hl.estimate(posterior(), ISING, beta=1.0, n=5000).isel(member=0)
    np.testing.assert_allclose(found["ess_q"], 1, atol=1e-6)
    np.testing.assert_allclose(found["log_partition"], exact.log_partition(ISING, 1.0) - np.log(2), atol=1e-6)
    assert found["ess_p"] < 1e-6
    assert_within(found["mode_drop"], 0.5, found["mode_drop_error"])


def test_without_a_system_there_is_an_entropy_only():
    entropies = {"entropy", "entropy_error", "entropy_sampling_error"}
    assert set(hl.estimate(posterior(), n=200).data_vars) == entropies
    fresh = ising_data(4000, seed=8)
    found = hl.estimate(posterior(), n=200, states=fresh)
    assert set(found.data_vars) == {*entropies, "cross_entropy", "cross_entropy_error"}
    expected = -(np.exp(truth()) * hl.log_prob(posterior(), every_state()).values).sum(1)
    assert_within(found["cross_entropy"], expected, found["cross_entropy_error"])


@pytest.mark.slow
def test_errors_of_estimates_cover():
    post = posterior()
    log_q, log_p = hl.log_prob(post, every_state()).values[0], truth()
    q, log_z = np.exp(log_q), exact.log_partition(ISING, BETA)
    exact_values = {"entropy": -(q * log_q).sum(), "free_energy": (q * (log_q - log_p)).sum() / BETA - log_z / BETA, "log_partition": log_z}
    hits, runs = dict.fromkeys(exact_values, 0), 70
    for seed in range(runs):
        found = hl.estimate(post, ISING, n=1000, seed=seed).isel(member=0)
        for name, value in exact_values.items():
            error = found["entropy_sampling_error" if name == "entropy" else f"{name}_error"]  # of the density's own entropy
            hits[name] += abs(float(found[name]) - value) < 1.6449 * float(error)
    for name, hit in hits.items():
        assert scipy.stats.binomtest(hit, runs, 0.9).pvalue > statistics_budget.spend(), (name, hit)


def slow_chains(chains, draws, seed):
    """Metropolis with three attempts a draw, written out: tens of draws of autocorrelation."""
    rng = np.random.default_rng(seed)
    states = exact.sample(ISING, BETA, chains, seed).astype(int)
    found, here = np.empty((chains, draws, 3, 3), int), np.arange(chains)
    for draw in range(draws):
        for _ in range(3):
            i, j = rng.integers(3, size=(2, chains))
            around = sum(states[here, (i + a) % 3, (j + b) % 3] for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0)))
            turn = rng.random(chains) < np.exp(-2 * BETA * states[here, i, j] * around)
            states[here, i, j] = np.where(turn, -1, 1) * states[here, i, j]
        found[:, draw] = states
    return found


def test_the_error_over_a_chain_counts_its_autocorrelation():
    post, chains = posterior(), slow_chains(40, 1000, seed=3)
    expected = -(np.exp(truth()) * hl.log_prob(post, every_state()).values[0]).sum()
    hits = 0
    for chain in chains:
        found = hl.estimate(post, n=100, states=chain)
        assert found.attrs["target_tau"] > 3
        hits += abs(float(found["cross_entropy"][0]) - expected) < 1.6449 * float(found["cross_entropy_error"][0])
    assert scipy.stats.binomtest(hits, 40, 0.9).pvalue > statistics_budget.spend(), hits
    told = [hl.estimate(post, n=100, states=chains[:4], tau=tau)["cross_entropy_error"][0] for tau in (1.0, 25.0)]
    assert told[1] / told[0] == pytest.approx(5.0)
    with pytest.raises(HamlearnError, match="tau is an autocorrelation time"):
        hl.estimate(post, n=100, states=chains[0], tau=0.5)


# -- variational ---------------------------------------------------------------------------------------------------------


def test_a_known_action_is_approximated_without_data():
    found = hl.estimate(approximated(), ISING, n=4000)
    assert found["ess_q"] > 0.97 and found["ess_p"] > 0.97
    free = -exact.log_partition(ISING, BETA) / BETA
    assert found["free_energy"].item() > free - 4 * found["free_energy_error"].item()
    assert_within(found["log_partition"], exact.log_partition(ISING, BETA), found["log_partition_error"])
    assert hl.verdict(approximated()).level == "believe"


@pytest.mark.parametrize("method", ["independence", "suffix"])
def test_corrected_chains_have_the_exact_energy(method):
    """The target is another temperature, so that an uncorrected density is far off."""
    chain = hl.infer.correct(approximated(), ISING, beta=0.6, draws=600, chains=16, method=method, seed=1)
    energies = np.asarray(ISING.energy(chain["state"].values), float)
    expected = 9 * float(exact.thermodynamics(ISING, 0.6)["energy"][0])
    assert_within(energies.mean(), expected, energies.std() / np.sqrt(chain.attrs["ess"]), method)
    plain = np.asarray(ISING.energy(hl.sample(approximated(), 4000)["state"].values)).mean()
    assert abs(plain - expected) > 2
    assert 0.1 < chain.attrs["acceptance"] < 1


def test_suffixes_of_a_symmetrised_density_stay_exact():
    model = hl.models.Autoregressive(hidden=16, symmetry=["translation"])
    post = hl.approximate(ISING, BETA, model, engine=Variational(steps=40, batch=50), seed=1)
    chain = hl.infer.correct(post, ISING, draws=800, chains=16, method="suffix", seed=3)
    energies = np.asarray(ISING.energy(chain["state"].values), float)
    expected = 9 * float(exact.thermodynamics(ISING, BETA)["energy"][0])
    assert_within(energies.mean(), expected, energies.std() / np.sqrt(chain.attrs["ess"]))


def test_prediction_reweights_direct_draws():
    curve = hl.predict(
        approximated(), [0.3, 0.4, 0.5], draws=2, observables=["energy", "heat_capacity", "free_energy", "abs_magnetization"]
    )
    oracle = exact.thermodynamics(ISING, [0.3, 0.4, 0.5])
    # The density's energy counts from its own normalisation: differences of energies are physical.
    for name, tolerance in (("energy", 0.05), ("heat_capacity", 0.06)):
        found, expected = curve[name].sel(quantity="mean").values, oracle[name].values
        shift = found[1] - expected[1] if name == "energy" else 0.0
        np.testing.assert_allclose(found - shift, expected, atol=tolerance)
    moments = exact.moments(ISING, [0.3, 0.4, 0.5])["absolute_magnetization"].values
    np.testing.assert_allclose(curve["abs_magnetization"].sel(quantity="mean"), moments, atol=0.02)
    assert "effective share" in curve["energy"].attrs["method"]


# -- other spaces, several temperatures, weights -------------------------------------------------------------------------


def test_one_network_learns_several_temperatures():
    sets = [ising_data(2000, beta, seed) for seed, beta in enumerate((0.2, 0.4, 0.6))]
    with pytest.raises(HamlearnError, match="condition='beta'"):
        hl.learn(sets, SMALL)
    model = hl.models.Autoregressive(hidden=48, symmetry="z2", condition="beta")
    post = hl.learn(sets, model, engine=QUICK, check=False)
    for beta in (0.3, 0.5):  # between the temperatures that were seen
        log_q, log_p = hl.log_prob(post, every_state(), beta=beta).values[0], truth(beta)
        assert abs(np.exp(log_q).sum() - 1) < 1e-10
        assert (np.exp(log_p) * (log_p - log_q)).sum() < 0.06
    member = hl.draw_systems(post, 1)[0]
    np.testing.assert_allclose(member.action(every_state()[:5], 0.5), -hl.log_prob(post, every_state()[:5], beta=0.5).values[0])
    found = hl.log_prob(post, sets[2])
    np.testing.assert_allclose(found[0, 0, :3], hl.log_prob(post, sets[2]["state"].values[0, :3], beta=0.6)[0])


def test_counts_are_repeats():
    rows = ising_data(500)["state"].values.reshape(-1, 3, 3)
    states, counts = np.unique(rows, axis=0, return_counts=True)
    histogram = hl.microstates(states, "spins", BETA, counts=counts)
    post = hl.learn(histogram, SMALL, engine=Training(epochs=60, batch=20, patience=20), check=False)
    log_q, log_p = hl.log_prob(post, every_state()).values[0], truth()
    assert (np.exp(log_p) * (log_p - log_q)).sum() < 0.15
    assert posteriors.provenance_of(post).calibration.ess == 1000


def test_a_conserved_charge_is_kept():
    rows = ising_data(6000)["state"].values.reshape(-1, 3, 3)
    kept = rows[rows.sum((1, 2)) == 1]
    model = hl.models.Autoregressive(hidden=32, charge=1)
    post = hl.learn(hl.microstates(kept, "spins", BETA), model, engine=QUICK, check=False)
    assert np.all(hl.sample(post, 500)["state"].values.sum((2, 3)) == 1)
    log_q = hl.log_prob(post, every_state()).values[0]
    assert np.all(np.isneginf(log_q[every_state().sum((1, 2)) != 1])) and abs(np.exp(log_q).sum() - 1) < 1e-10
    with pytest.raises(HamlearnError, match="charge=1 is conserved by the model"):
        hl.learn(ising_data(100), model, engine=QUICK)


def test_gaussian_chains_are_learned_to_their_entropy():
    rng, n, r = np.random.default_rng(0), 5, 0.8
    x = np.zeros((8000, n))
    x[:, 0] = rng.normal(size=8000)
    for site in range(1, n):
        x[:, site] = r * x[:, site - 1] + np.sqrt(1 - r**2) * rng.normal(size=8000)
    data = hl.microstates(3 + 2 * x, "reals", 1.0)
    post = hl.learn(data, hl.models.Autoregressive(hidden=32, components=2), engine=QUICK, check=False)
    covariance = 4 * r ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    gauss = scipy.stats.multivariate_normal(np.full(n, 3.0), covariance)
    test = gauss.rvs(4000, random_state=1)
    divergence = (gauss.logpdf(test) - hl.log_prob(post, test).values[0]).mean()
    assert -0.01 < divergence < 0.05
    drawn = hl.sample(post, 20_000)["state"].values[0]
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.3)


def test_angles_are_learned_with_their_rotation():
    """Two rotors: p ∝ exp(κ cos(φ₁ − φ₂)), entropy in Bessel functions."""
    rng, kappa = np.random.default_rng(0), 2.0
    first = rng.uniform(0, 2 * np.pi, 6000)
    angles = np.stack([first, (first + rng.vonmises(0, kappa, 6000)) % (2 * np.pi)], 1)
    model = hl.models.Autoregressive(hidden=16, symmetry="internal", components=2)
    post = hl.learn(hl.microstates(angles, "angles", 1.0), model, engine=QUICK, check=False)
    normal = 2 * np.log(2 * np.pi) + np.log(scipy.special.i0(kappa))
    expected = kappa * np.cos(angles[:, 0] - angles[:, 1]) - normal
    found = hl.log_prob(post, angles).values[0]
    assert abs((expected - found).mean()) < 0.01 and (expected - found).std() < 0.2
    drawn = hl.sample(post, 4000)["state"].values
    assert drawn.min() >= 0 and drawn.max() < 2 * np.pi


# -- training: checkpoints, divergence, verdict --------------------------------------------------------------------------


def interrupted(monkeypatch, epoch):
    """Ctrl-C in the middle of an epoch."""
    original, calls = torch_training._epoch, []

    def stop(*args):
        calls.append(1)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(torch_training, "_epoch", stop)


def test_a_killed_training_resumes_bit_for_bit(monkeypatch, tmp_path):
    data, model = ising_data(300), hl.models.Autoregressive(hidden=16, symmetry=["z2", "translation"], members=2)
    settings = Training(epochs=4, batch=50, checkpoint=tmp_path / "run.npz")
    whole = hl.learn(data, model, engine=Training(epochs=4, batch=50), seed=3, check=False)
    with monkeypatch.context() as patch:
        interrupted(patch, 6)  # the second member, in its second epoch
        with pytest.raises(KeyboardInterrupt):
            hl.learn(data, model, engine=settings, seed=3, check=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.0.npz", "run.1.npz"]
    resumed = hl.learn(data, model, engine=settings, seed=3, check=False)
    assert resumed["weights"].to_dataset().identical(whole["weights"].to_dataset())
    assert resumed["training"].to_dataset().identical(whole["training"].to_dataset())
    with monkeypatch.context() as patch:  # a finished training is answered without another epoch
        interrupted(patch, 1)
        again = hl.learn(data, model, engine=settings, seed=3, check=False)
    assert again["weights"].to_dataset().identical(whole["weights"].to_dataset())
    assert posteriors.provenance_of(again).engine == posteriors.provenance_of(whole).engine


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lattice", lambda: (hl.simulate(hl.systems.Ising((2, 4)), beta=BETA, draws=300, chains=2, seed=0), {})),
        (
            "space",
            lambda: (hl.microstates(np.random.default_rng(0).integers(3, size=(600, 3, 3)), "states", BETA), {"symmetry": "internal"}),
        ),
        ("model", lambda: (ising_data(300), {"hidden": 24})),
        ("data", lambda: (ising_data(300, seed=9), {})),
    ],
)
def test_a_checkpoint_of_something_else_is_left_alone_by_name(monkeypatch, tmp_path, caplog, name, change):
    settings, common = Training(epochs=3, batch=50, checkpoint=tmp_path / "run.npz"), {"hidden": 16, "symmetry": "internal"}
    with monkeypatch.context() as patch:
        interrupted(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            hl.learn(ising_data(300), hl.models.Autoregressive(**common), engine=settings, check=False)
    data, other = change()
    before = (tmp_path / "run.npz").read_bytes()
    hl.learn(data, hl.models.Autoregressive(**{**common, **other}), engine=settings, check=False)
    (told,) = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
    assert name in told.split("another training (")[1] and (tmp_path / "run.npz").read_bytes() == before
    (tmp_path / "run.npz").write_bytes(b"nothing")
    hl.learn(ising_data(300), hl.models.Autoregressive(**common), engine=settings, check=False)
    assert "damaged" in caplog.text and (tmp_path / "run.npz").read_bytes() == b"nothing"


def test_a_diverged_training_keeps_the_last_good_weights_and_says_so(monkeypatch, tmp_path):
    original, calls = torch_training._epoch, []

    def explode(density, *args):
        calls.append(1)
        loss = original(density, *args)
        if len(calls) == 3:
            with torch.no_grad():
                next(density.parameters()).fill_(float("nan"))
            return float("nan")
        return loss

    monkeypatch.setattr(torch_training, "_epoch", explode)
    settings = Training(epochs=5, batch=50, checkpoint=tmp_path / "run.npz")
    post = hl.learn(ising_data(300), SMALL, engine=settings, check=False)
    assert np.isfinite(hl.log_prob(post, every_state())).all()
    found = hl.verdict(post)
    assert found.level == "do not believe" and "diverged in epoch 3: the weights of epoch 2" in found.summary
    assert str(tmp_path / "run.npz") in found.summary and (tmp_path / "run.npz").exists()


def test_a_training_that_never_worked_is_an_error():
    with pytest.raises(HamlearnError, match="diverged in its first epoch"):
        hl.learn(ising_data(300), hl.models.Autoregressive("gru", hidden=8), engine=Training(epochs=2, learning_rate=1e30), check=False)


def test_held_out_data_are_the_ends_of_chains_or_whole_chains():
    space = hl.systems.SPINS
    few, many = ising_data(100), hl.simulate(ISING, beta=BETA, draws=20, chains=20, seed=0)
    *_, heldout, used, tau = training_data.split(few, space, 0.1)
    assert tau == 1 and np.array_equal(heldout.reshape(2, 100).sum(0) > 0, np.arange(100) >= 90) and np.array_equal(used, ~heldout)
    *_, heldout, _, _ = training_data.split(many, space, 0.1)
    assert np.array_equal(heldout.reshape(20, 20).all(1), np.arange(20) >= 18) and heldout.sum() == 40
    slow = hl.simulate(ISING, beta=BETA, draws=400, chains=2, seed=0, sampler="metropolis")
    *_, heldout, used, tau = training_data.split(slow, space, 0.1)
    assert tau > 1 and (~used & ~heldout).sum() == 2 * int(np.ceil(5 * tau))


def test_the_verdict_names_few_data_and_misfit():
    post = hl.learn(ising_data(100), hl.models.Autoregressive(hidden=128), engine=Training(epochs=2), check=False)
    assert any(
        found.topic == "data" and found.severity == "caution" and "200 independent" in found.what for found in hl.verdict(post).reasons
    )
    good = hl.verdict(posterior())
    assert good.level == "believe", str(good)
    flat = hl.learn(ising_data(4000), SMALL, engine=Training(epochs=1, learning_rate=1e-6))
    assert hl.verdict(flat).level == "do not believe" and any(found.topic == "fit" for found in hl.verdict(flat).reasons)


def test_no_global_state_and_no_threads_are_left():
    before = (torch.get_num_threads(), torch.get_rng_state())
    hl.learn(ising_data(100), SMALL, engine=Training(epochs=1, threads=1), check=False)
    assert torch.get_num_threads() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_the_report_opens_with_the_verdict(tmp_path):
    text = hl.report(posterior(), tmp_path / "page.html").read_text()
    assert "autoregressive" in text and "weights by maximum likelihood" in text


MISTAKES = {
    "likelihood": (lambda: hl.learn(ising_data(100), SMALL, likelihood="pseudo"), "likelihood"),
    "engine": (lambda: hl.learn(ising_data(100), SMALL, engine="nuts"), "hl.infer.Training"),
    "epochs": (lambda: Training(epochs=0), "epochs must be a positive whole number"),
    "seconds": (lambda: Training(seconds=-1.0), "seconds must be a finite number > 0"),
    "anneal": (lambda: Variational(anneal=1.5), "anneal, a share"),
    "too few": (lambda: hl.learn(ising_data(100).isel(draw=[0], chain=[0]), SMALL), "too few to train on"),
    "another size": (lambda: autoregressive.draw_systems(posterior(), 1, 0, (4, 4)), "knows one size"),
    "another temperature": (lambda: hl.sample(posterior(), 5, beta=0.9), "knows one temperature"),
    "another system": (lambda: hl.estimate(posterior(), hl.systems.Ising((4, 4))), r"on sites \(3, 3\)"),
    "no draws": (lambda: hl.sample(posterior(), 0), "positive whole number"),
    "bits": (lambda: hl.log_prob(posterior(), np.zeros((3, 3))), "allows the values -1 and 1"),
    "conditioned": (lambda: hl.approximate(ISING, 0.3, hl.models.Autoregressive(condition="beta")), "without condition"),
    "no density": (
        lambda: hl.log_prob(hl.learn(ising_data(200), hl.models.Couplings(ISING.lattice), engine="laplace", check=False), every_state()),
        "normalised density",
    ),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_members_are_spread_over_the_networks():
    systems = autoregressive.draw_systems(posterior(), 4, seed=0)
    values = [float(system.energy(every_state()[3])) for system in systems]
    assert values[0] == values[2] != values[1] == values[3]
    assert posteriors.provenance_of(posterior()).engine.name == "training"


def test_two_networks_are_two_members_however_many_are_asked_for():
    assert len(hl.draw_systems(posterior(), 64)) == 2
    assert hl.energy(posterior(), every_state()[:3]).shape == (2, 3) and hl.action(posterior(), every_state()[:3]).shape == (2, 3)
