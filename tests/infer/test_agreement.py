"""How far members agree at other temperatures: against enumeration, and as predictions carry it."""

import numpy as np

import hamlearn as hl
from hamlearn.infer import families
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.systems import InteractionTables, Ising, exact
from statistics_budget import assert_within

PAIRS = -np.array([(2 * a - 1) * ((2 * b - 1) + (2 * c - 1)) for a in (0, 1) for b in (0, 1) for c in (0, 1) for _ in (0, 1)], float)


def test_the_spread_of_members_is_that_of_enumeration():
    betas, step = np.array([0.1, 0.4]), 0.05
    error, share = agreement([Ising((4, 4), J=1 - step), Ising((4, 4), J=1 + step)], betas, seed=1)
    variances = []
    for beta in betas:
        states, probability = exact.distribution(Ising((4, 4), J=1 - step), float(beta))
        energy = np.asarray(Ising((4, 4)).energy(states))
        # Deviations ±step E, and two members: their variance is estimated with one degree of freedom.
        variances.append(2 * (beta * step) ** 2 * (probability @ energy**2 - (probability @ energy) ** 2))
    variances = np.array(variances)
    # A variance of 512 draws: at most a tenth off (kurtosis and autocorrelation included) in one standard error.
    assert_within(error**2, variances, 0.1 * variances, "predicted error")
    np.testing.assert_allclose(share, np.exp(-(error**2)))


def test_a_single_network_has_no_spread():
    alone = agreement([Ising((3, 3))], np.array([0.3]), seed=0)
    repeated = agreement([Ising((3, 3)), Ising((3, 3))], np.array([0.3]), seed=0)
    assert all(np.isnan(one).all() for one in (*alone, *repeated))


def test_predictions_without_a_form_warn_where_members_part(monkeypatch):
    data = hl.simulate(Ising((6, 6)), beta=0.2, draws=200, chains=2, seed=0)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((6, 6)), tie="uniform", fields=None)
    post = hl.infer.learn(data, model, engine="laplace")
    assert "predicted_ess" not in hl.predict(post, 0.2, observables=["energy"], draws=4)  # the form is known

    def curve(scales, seed):  # another seed, as answers are kept by what was asked of which posterior
        members = [InteractionTables((6, 6), 2, PAIRS * scale) for scale in scales]
        monkeypatch.setattr(families.of(post), "draw_systems", lambda *arguments: members)
        return hl.predict(post, [0.1, 0.6], observables=["energy"], draws=len(scales), seed=seed)

    close, apart = curve((0.99, 1.0, 1.01), 1), curve((0.5, 1.0, 1.5), 2)
    assert np.all(np.diff(close["predicted_error"]) > 0) and np.all(close["predicted_ess"] > 0.1) and "warning" not in close.attrs
    assert apart.attrs["warning"].startswith("do not trust beta = 0.6:")


def test_densities_say_what_their_draws_are_worth_elsewhere():
    data = hl.simulate(Ising((4, 4)), beta=0.3, draws=1000, chains=4, seed=0)
    model = hl.models.Autoregressive(hidden=16, symmetry=["z2"])
    post = hl.infer.learn(data, model, engine=hl.infer.Training(epochs=3, threads=1), seed=0)
    curve = hl.predict(post, [0.3, 0.35, 1.5], observables=["energy"], draws=2)
    share = curve["predicted_ess"].values
    assert share[0] == 1 and 0.3 < share[1] < 1 and share[2] < 0.1  # its own temperature needs no weights
    assert curve.attrs["warning"].startswith("do not trust beta = 1.5:")
