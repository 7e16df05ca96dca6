"""Plans: against enumeration by hand, a simulation of posteriors, and fits; what cannot be planned is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.infer import row_information
from hamlearn.systems import lattice
from statistics_budget import assert_within

OPEN = lattice.hypercubic((2, 3), periodic=False)
STATES = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1
J, H, BETA, SCALE = np.array([0.8, -0.5, 0.3, 1.0, -0.9, 0.6, 0.2]), np.linspace(-0.3, 0.3, 6), 0.7, 2.0
WORLD = hl.systems.Pairwise(OPEN, J, H)
MODEL = hl.models.Couplings(OPEN, prior=hl.models.Normal(SCALE), field_prior=hl.models.Normal(SCALE))
Z = scipy.stats.norm.isf(0.05)


def expected(weight, values):
    return np.tensordot(weight, values, 1)


def by_hand(beta=BETA):
    """Probabilities of all states, the statistics of the couplings and fields, and what they are of every site alone."""
    pairs = np.stack([STATES[:, i] * STATES[:, j] for i, j in OPEN.bonds], -1)
    statistics = np.concatenate([pairs, STATES], 1)
    weight = np.exp(beta * statistics @ np.concatenate([J, H]))
    return weight / weight.sum(), statistics


def fisher(beta=BETA):
    weight, statistics = by_hand(beta)
    centred = statistics - weight @ statistics
    return beta**2 * (centred * weight[:, None]).T @ centred


def godambe(beta=BETA):
    """H J⁻¹ H of the pseudo-likelihood, sites and states one by one."""
    weight = by_hand(beta)[0]
    curvature, score = np.zeros((13, 13)), np.zeros((64, 13))
    for site in range(6):
        own = np.zeros((64, 13))
        for k, (i, j) in enumerate(OPEN.bonds):
            own[:, k] = STATES[:, j] * (i == site) + STATES[:, i] * (j == site)
        own[:, 7 + site] = 1
        mean = np.tanh(beta * own @ np.concatenate([J, H]))
        score += beta * (STATES[:, site] - mean)[:, None] * own
        curvature += beta**2 * (own * (weight * (1 - mean**2))[:, None]).T @ own
    return curvature @ np.linalg.solve((score * weight[:, None]).T @ score, curvature)


@pytest.mark.parametrize(("likelihood", "of_a_row", "leverage"), [("exact", fisher, 0.0), ("pseudo", godambe, 13 / 6)])
def test_widths_are_those_of_the_information_by_hand(likelihood, of_a_row, leverage):
    rows = [200, 10_000]
    table = hl.plan(WORLD, MODEL, rows=rows, beta=[0.4, BETA], likelihood=likelihood).to_dataset()
    for beta in (0.4, BETA):
        for count in rows:
            worth = count * (1 - leverage / count) ** 2  # calibration widens by what the fit takes out of its own scores
            covariance = np.linalg.inv(worth * of_a_row(beta) + np.eye(13) / SCALE**2)
            np.testing.assert_allclose(table["width"].sel(beta=beta, rows=count), 2 * Z * np.sqrt(np.diag(covariance)), rtol=1e-3)
    assert table["strength"].values.tolist() == [True] * 7 + [False] * 6 and not table["width_error"].values.any()
    assert table.attrs["likelihood"] == likelihood


def test_simulated_information_agrees_with_that_of_all_states(monkeypatch):
    asked = {"rows": 1000, "beta": BETA, "likelihood": "pseudo"}
    exact = hl.plan(WORLD, MODEL, **asked).to_dataset()["width"].values
    monkeypatch.setattr(row_information, "LISTED", 0)
    table = hl.plan(WORLD, MODEL, **asked, simulated=2000, repeats=8).to_dataset()
    median = lambda name: float(np.median(table[name]))
    assert 0 < median("width_error") < 0.02 * median("width")
    # of eight simulations the error has t tails: compared is the mean over parameters, by the largest of the errors
    assert_within(table["width"].values.mean(), exact.mean(), table["width_error"].values.max(), "mean width")


def test_the_rows_asked_for_give_the_width_and_the_power():
    asked = {"width": 0.25, "effect": 0.3, "power": 0.7, "beta": BETA}
    plan = hl.plan(WORLD, MODEL, **asked)
    needed, detected = (plan.to_dataset()[name].values[0] for name in ("rows_needed", "rows_detected"))
    for which, of in ((0, np.max), (1, np.median)):
        there = hl.plan(WORLD, MODEL, rows=int(needed[which]), beta=BETA).to_dataset()["width"].values[0, 0, :7]
        assert of(there) == pytest.approx(0.25, rel=2e-3)
        there = hl.plan(WORLD, MODEL, rows=int(detected[which]), effect=0.3, beta=BETA).to_dataset()["power"].values[0, 0, :7]
        assert {np.max: np.min, np.median: np.median}[of](there) == pytest.approx(0.7, rel=5e-3)
    slow = hl.plan(WORLD, MODEL, **asked, tau=5.0).to_dataset()
    np.testing.assert_allclose(slow["rows_needed"].values[0], 5 * needed, rtol=1e-3)


def test_power_is_that_of_normal_posteriors():
    """Estimates of one coupling scattered by its information, pulled by its prior, and asked whether their interval leaves out zero."""
    pair = lattice.hypercubic((2,), periodic=False)
    model, beta, effect = hl.models.Couplings(pair, fields=None, prior=hl.models.Normal(0.4)), 1.0, 0.3
    table = hl.plan(hl.systems.Pairwise(pair, [effect]), model, effect=effect, rows=[30, 100], beta=beta).to_dataset()
    rng = np.random.default_rng(0)
    for rows in (30, 100):
        precision = rows * (1 - np.tanh(effect) ** 2)
        estimates = effect + rng.normal(size=200_000) / np.sqrt(precision)
        sd = (precision + 0.4**-2) ** -0.5
        seen = np.mean(np.abs(estimates * precision * sd**2) > Z * sd)
        found = float(table["power"].sel(rows=rows).squeeze())
        assert_within(found, seen, np.sqrt(seen * (1 - seen) / 200_000) + 1e-6, f"power with {rows} rows")


def test_fits_give_the_widths_that_were_planned():
    planned = hl.plan(WORLD, MODEL, rows=1500, beta=BETA).to_dataset()["width"].values[0, 0]
    seen = []
    for seed in range(8):
        data = hl.simulate(WORLD, BETA, draws=1500, chains=1, seed=seed, sampler="exact")
        post = hl.infer.learn(data, MODEL, engine="laplace", seed=seed)["posterior"]
        theta = np.concatenate([post["J"].values.reshape(-1, 7), post["h"].values.reshape(-1, 6)], 1)
        seen.append(2 * Z * theta.std(0))
    error = np.std(seen, 0, ddof=1) / np.sqrt(len(seen))
    assert_within(np.mean(planned / np.mean(seen, 0)), 1.0, np.mean(error / np.mean(seen, 0)), "ratio of widths")


def test_the_best_temperature_is_where_the_widest_interval_is_narrowest():
    betas = np.array([0.2, 0.5, 0.8, 1.2, 2.0])
    by_beta = [np.sqrt(np.diag(np.linalg.inv(fisher(beta)))[:7].max()) for beta in betas]
    plan = hl.plan(
        WORLD, hl.models.Couplings(OPEN, prior=hl.models.Normal(100.0), field_prior=hl.models.Normal(100.0)), width=0.1, beta=betas
    )
    assert plan.beta == betas[np.argmin(by_beta)] and plan.beta in plan.good
    last = hl.plan(WORLD, MODEL, width=0.1, beta=[0.1, 0.2])
    assert last.beta == 0.2 and any("last temperature on its side" in line for line in last.sentences)


def test_a_posterior_is_planned_from_its_draws():
    data = hl.simulate(WORLD, BETA, draws=800, chains=1, seed=0, sampler="exact")
    post = hl.infer.learn(data, MODEL, engine="laplace", seed=0)
    plan = hl.plan(post, width=0.2, repeats=3)
    table = plan.to_dataset()
    assert table.sizes["beta"] == 9 and table["beta"].values[4] == pytest.approx(BETA)
    assert (table["rows_needed_error"].values[4] > 0).all() and "3 draws of the posterior" in str(plan)
    truth = hl.plan(WORLD, MODEL, width=0.2, beta=BETA).to_dataset()["rows_needed"].values[0]
    np.testing.assert_allclose(table["rows_needed"].values[4], truth, rtol=0.3)


def test_it_says_what_it_found():
    plan = hl.plan(WORLD, MODEL, width=0.2, beta=[0.5, 0.7])
    needed = plan.to_dataset().sel(beta=plan.beta)["rows_needed"].values
    told = f"90 % intervals 0.2 wide take {float(f'{np.ceil(needed[0]):.3g}'):,.0f}".replace(",", "\u202f")
    assert str(plan).startswith(told) and "for the worst of 7 strengths" in str(plan) and "the exact likelihood" in str(plan)
    assert "<table>" in plan._repr_html_() and repr(plan) == f"Plan(beta={plan.beta:g}, 13 parameters)"
    one = hl.plan(WORLD, hl.models.Couplings(OPEN, tie="uniform", fields=None), width=0.2, effect=0.1, rows=500, beta=0.5)
    assert "strengths" not in str(one) and "told from zero with probability 0.8" in str(one)
    only = hl.plan(WORLD, MODEL, rows=500, beta=0.5)
    assert str(only).startswith("With 500 microstates 90 % intervals are narrowest at beta = 0.5")


def test_widths_that_nothing_reaches_are_told_in_words():
    told = hl.plan(WORLD, width=1e-12, beta=1.0).sentences[0]
    assert "take no number of microstates at beta = 1 for the worst of" in told and told.endswith("no number of them for the median one.")


def test_a_prior_that_is_not_normal_is_told():
    sparse = hl.plan(WORLD, hl.models.Couplings(OPEN, prior="spike_slab"), width=0.2, beta=0.5)
    assert "The spike_slab prior is not normal: an almost flat one stands for it" in str(sparse)
    assert "almost flat" not in str(hl.plan(WORLD, MODEL, width=0.2, beta=0.5))


def test_temperatures_that_determine_nothing_are_left_out_and_told(monkeypatch):
    monkeypatch.setattr(row_information, "LISTED", 0)
    plan = hl.plan(hl.systems.Ising((3, 3)), rows=1000, beta=[0.3, 8.0], simulated=200, repeats=2)
    assert plan.beta == 0.3 and np.isnan(plan.to_dataset()["width"].sel(beta=8.0)).all() and "beta = 8" in str(plan)
    with pytest.raises(hl.HamlearnError, match="at none of the temperatures"):
        hl.plan(hl.systems.Ising((3, 3)), rows=1000, beta=8.0, simulated=200, repeats=2)


ANGLES = hl.systems.XY((2, 2))


@dataclass(frozen=True, eq=False, repr=False)
class Broken(hl.models.Family, kind="broken"):
    """A family whose author made a slip."""

    def system(self, lattice, a):
        raise KeyError("J")


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((WORLD,), {"beta": 1.0}, "nothing is asked"),
        ((WORLD,), {"width": 0.1}, "give those to compare"),
        ((WORLD,), {"width": -1, "beta": 1.0}, "width must be a finite number > 0"),
        ((WORLD,), {"rows": [], "beta": 1.0}, "rows= is one number of microstates or several"),
        ((WORLD,), {"width": 0.1, "beta": -1.0}, "finite and > 0"),
        ((WORLD,), {"effect": 0.1, "power": 1.0, "beta": 1.0}, "power must be"),
        ((WORLD,), {"width": 0.1, "beta": 1.0, "tau": 0.5}, "tau must be"),
        ((WORLD,), {"rows": 0, "beta": 1.0}, "rows must be"),
        ((3,), {"width": 0.1}, "source is a system, or a posterior"),
        ((WORLD, "couplings"), {"width": 0.1, "beta": 1.0}, "model must be one of"),
        ((ANGLES,), {"width": 0.1, "beta": 1.0}, "without fields"),
        ((WORLD, hl.models.ClusterExpansion()), {"width": 0.1, "beta": 1.0}, "no intervals of parameters to plan"),
        ((hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.8)), hl.models.PolynomialAction()), {"width": 0.1, "beta": 1.0}, "other actions"),
        ((hl.systems.Ising((40, 40)),), {"width": 0.1, "beta": 1.0}, "4800 parameters"),
        ((hl.systems.EdwardsAnderson((3, 3), seed=1),), {"width": 0.1, "beta": 1e9}, "too ordered"),
        ((hl.systems.Ising((3,), h=0.1),), {"width": 0.1, "beta": 1e9}, "too ordered"),  # one state
        ((WORLD, Broken()), {"width": 0.1, "beta": 1.0}, r"^Broken\.system\(lattice, \.\.\.\) raised KeyError: 'J'\.$"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, options, told):
    with pytest.raises(hl.HamlearnError, match=told):
        hl.plan(*arguments, **options)


def test_a_plan_says_that_rows_to_come_are_taken_for_better_ones():
    states = np.random.default_rng(0).choice([-1, 1], (300, 3))
    data = hl.microstates(states, space="spins", beta=1.0, independent=True, flip=0.05)
    told = hl.plan(hl.infer.learn(data, hl.models.Couplings(None), engine="laplace", seed=0), width=0.3, beta=1.0).rests_on
    assert "no readout errors" in told[-1] and "missing" not in told[-1]
