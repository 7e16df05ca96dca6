"""What is said of data that are read with errors, and what comparisons see through them."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer.posteriors import provenance_of
from hamlearn.models import Couplings

GLASS = hl.systems.SherringtonKirkpatrick(6, seed=3)
rng = np.random.default_rng(0)


def misread(values, rate):
    return np.where(rng.random(values.shape) < rate, -values, values)


READ = misread(hl.simulate(GLASS, beta=0.6, draws=1500, chains=1, seed=1, sampler="exact")["state"].values[0], 0.05)


@pytest.fixture(scope="module")
def post():
    return hl.learn(hl.microstates(READ, beta=0.6, flip=0.05, independent=True), Couplings(), engine="laplace", seed=0)


def test_the_verdict_and_the_page_say_that_errors_are_allowed_for(post, tmp_path):
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    found = hl.verdict(again)
    assert found.level == "believe" and "(readout errors of 5 %)" in found.summary
    (said,) = [one for one in found.reasons if one.topic == "readout errors"]
    assert "taken on trust" in said.what and "most at" not in said.what  # all alike
    assert said.severity == "note" and "of true values" in said.what and "one completion" in said.what
    assert provenance_of(again).flip == pytest.approx(0.05) and "readout errors of 5 %" in again.attrs["about"]
    assert "readout errors, allowed for" in hl.report(again, tmp_path / "page.html").read_text(encoding="utf-8")
    predicted = hl.predict(again, [0.6], observables=["energy"])
    assert predicted.attrs["states"] == "true states"
    told = "They are of true states: readings, 5 % of which are wrong, differ from them."
    assert told in hl.report(again, tmp_path / "page.html", predicted).read_text(encoding="utf-8")
    curve = predicted["energy"].sel(quantity=["lower", "upper"]).values[0]
    truth = hl.systems.exact.thermodynamics(GLASS, 0.6)["energy"].item()
    assert curve[0] < truth < curve[1]


def test_a_model_that_lacks_a_term_is_still_found_out():
    values = rng.choice([-1, 1], (4000, 6))
    values[:, 2] = np.where(rng.random(4000) < 0.85, values[:, 0] * values[:, 1], values[:, 2])  # a product of three
    data = hl.microstates(misread(values, 0.05), flip=0.05, independent=True)
    assert hl.verdict(hl.learn(data, Couplings(), engine="laplace")).level == "do not believe"
